//! A host in this process, and clients that say exactly what they want to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use runtime_api::Api;
use runtime_domain::time::Span;
use runtime_http::{Access, HttpApi, HttpOptions, Server, ServerOptions};
use runtime_memory::{InProcessBus, MemoryStore};
use runtime_oidc::{Issuer, OidcAuthenticator};
use runtime_ports::clock::Clock;
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_services::{Host, HostOptions, Ports, Records, Services, TenancyPorts};
use runtime_system::{SystemClock, UuidV7Generator};
use runtime_testkit::sample;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const ISSUER: &str = "https://login.example.com";
pub(crate) const AUDIENCE: &str = "factory-runtime";

/// Longer than anything here takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The issuer's key pair, and somebody else's.
pub(crate) static KEYS: LazyLock<[KeyPair; 2]> =
    LazyLock::new(|| [(); 2].map(|()| KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()));

fn encoded(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(DIGITS[(number >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

pub(crate) fn jwk_set() -> Value {
    let (x, y) = KEYS[0].public_key_raw()[1..].split_at(32);
    json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "1", "x": encoded(x), "y": encoded(y) }] })
}

/// Claims of a caller of this tenant, good for ten minutes.
pub(crate) fn claims(tenant: u64) -> Value {
    let now = SystemClock::new().now().timestamp();
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600, "iat": now,
        "tenant": sample::tenant(tenant).to_string(),
        "roles": ["viewer", "operator", "approver", "administrator"],
    })
}

/// A token with these claims, signed by the issuer (0) or by somebody else (1).
pub(crate) fn signed(claims: &Value, key_id: &str, by: usize) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(key_id.to_owned());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(KEYS[by].serialized_der())).unwrap()
}

pub(crate) fn token(tenant: u64) -> String {
    signed(&claims(tenant), "1", 0)
}

pub(crate) fn oidc() -> OidcAuthenticator {
    let issuer = Issuer::with_keys(ISSUER, jwk_set().to_string()).audience(AUDIENCE);
    OidcAuthenticator::new(Arc::new(SystemClock::new()), [issuer]).unwrap()
}

/// Operations on a store of their own.
pub(crate) fn api(access: Access) -> HttpApi {
    let ports = Ports {
        store: Arc::new(MemoryStore::new()),
        records: Records::default(),
        surfaces: BTreeMap::new(),
        infrastructure: Arc::new(MockInfrastructureEngine::new()),
        tenancy: TenancyPorts::default(),
        registry: Arc::new(MockImageRegistry::new()),
        desired_state: None,
        prober: Arc::new(MockHealthProber::new()),
        metrics: Arc::new(MockMetricSource::new()),
        scaling_signals: Vec::new(),
        jobs: Arc::new(MockJobRunner::new()),
        secret_stores: BTreeMap::new(),
        publisher: Arc::new(InProcessBus::new()),
        clock: Arc::new(SystemClock::new()),
        ids: Arc::new(UuidV7Generator::default()),
    };
    let services = Services::new(Host::new(ports, HostOptions::default()), Vec::new()).unwrap();
    HttpApi::new(Api::new(services), access, HttpOptions::default())
}

/// Bounds as short as a test can wait for, on a slow machine too.
pub(crate) fn bounds() -> ServerOptions {
    let mut options = ServerOptions::default();
    options.head_within = Span::from_millis(1_000);
    options.body_within = Span::from_millis(1_000);
    options.stalled_for = Span::from_millis(1_000);
    options.idle_for = Span::from_millis(1_500);
    options.drain_within = Span::from_millis(1_000);
    options
}

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    pub(crate) async fn start(options: ServerOptions) -> Self {
        let access = Access::Authenticated(Arc::new(oidc()));
        Self::serving(api(access).router().clone(), options).await
    }

    pub(crate) async fn serving(router: Router, options: ServerOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::of(Server::of_router(listener, router, options))
    }

    pub(crate) fn of(server: Server) -> Self {
        let address = server.address().unwrap();
        Self { address, task: tokio::spawn(server.run(std::future::pending())) }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        timeout(PATIENCE, TcpStream::connect(self.address)).await.unwrap().unwrap()
    }

    /// Everything that the server says to these bytes, until it closes the connection or says nothing for a while.
    pub(crate) async fn said_to(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        let mut said = Vec::new();
        let (mut reader, mut writer) = stream.split();
        let writing = async {
            // The server may close before it has read everything.
            drop(writer.write_all(bytes).await);
        };
        let reading = async { drop(reader.read_to_end(&mut said).await) };
        let both = async { tokio::join!(writing, reading) };
        assert!(timeout(PATIENCE, both).await.is_ok(), "the connection is not ended");
        said
    }

    /// The status of the first answer to these bytes; `None` where there is none.
    pub(crate) async fn status_of(&self, bytes: &[u8]) -> Option<u16> {
        status(&self.said_to(bytes).await)
    }

    /// Asks as somebody who does nothing wrong.
    pub(crate) async fn is_serving(&self) {
        let asked = async {
            // A machine that stands still for a while lets a bound pass for everybody.
            while self.get("/livez", None).await.0 != 200 {
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(Duration::from_secs(10), asked).await.is_ok(), "others are served");
    }

    /// Status, head and body of one request of its own connection.
    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> (u16, String, String) {
        let authorization =
            token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n{authorization}connection: close\r\n\r\n")).await
    }

    pub(crate) async fn ask(&self, request: &str) -> (u16, String, String) {
        let said = String::from_utf8(self.said_to(request.as_bytes()).await).unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or((&said, ""));
        (status(said.as_bytes()).unwrap_or(0), head.to_owned(), body.to_owned())
    }
}

pub(crate) fn status(said: &[u8]) -> Option<u16> {
    let line = said.strip_prefix(b"HTTP/1.1 ").or_else(|| said.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

/// How many answers there are.
pub(crate) fn answers(said: &[u8]) -> usize {
    String::from_utf8_lossy(said).matches("HTTP/1.1 ").count()
}

/// What this process keeps in memory, in bytes; zero where the system does not say.
pub(crate) fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or_default() * 4_096
}

/// Far more than a host may be made to keep. Tests run beside one another in this process, and what they send themselves counts.
pub(crate) const MUCH: usize = 192 << 20;
