//! A clock that is driven, an issuer on loopback that behaves as it is told, and what the tests' authenticators trust.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::time::{Span, Timestamp};
use runtime_oidc::{Issuer, OidcAuthenticator};
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal};
use runtime_ports::clock::Clock;
use runtime_testkit::sample;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const ISSUER: &str = "https://login.example.com/realms/factory";
pub(crate) const AUDIENCE: &str = "factory-runtime";
/// When the tests begin, in seconds since 1970.
pub(crate) const START: i64 = 1_800_000_000;

/// Seconds since 1970, that move when a test says so.
pub(crate) struct Driven(AtomicI64);

impl Driven {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(START)))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for Driven {
    fn now(&self) -> Timestamp {
        Timestamp::from_timestamp(self.0.load(Ordering::SeqCst), 0).unwrap()
    }

    async fn sleep_until(&self, _deadline: Timestamp) {
        std::future::pending().await
    }
}

/// Claims that are good at the start.
pub(crate) fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": START + 600,
        "nbf": START,
        "iat": START,
        "tenant": sample::tenant(1).to_string(),
        "roles": ["operator"],
    })
}

/// The same with other members; `null` takes one away.
pub(crate) fn claims_with(issuer: &str, others: Value) -> Value {
    let mut claims = claims(issuer);
    let members = claims.as_object_mut().unwrap();
    for (name, value) in others.as_object().unwrap() {
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
    claims
}

pub(crate) fn trusting(keys: &[Value]) -> OidcAuthenticator {
    OidcAuthenticator::new(Driven::new(), [given(keys)]).unwrap()
}

pub(crate) fn given(keys: &[Value]) -> Issuer {
    Issuer::with_keys(ISSUER, crate::keys::jwk_set(keys)).audience(AUDIENCE)
}

pub(crate) async fn show(
    authenticator: &OidcAuthenticator,
    token: impl Into<String>,
) -> Result<Principal, AuthenticationError> {
    authenticator.authenticate(&Credentials::bearer(token)).await
}

/// How an issuer answers.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// With a discovery document, and these keys.
    Well(Vec<Value>),
    /// With this for every path.
    Raw(Vec<u8>),
    /// With a status line and headers, and then a body without end.
    Endlessly,
    /// With header after header, without end.
    WithHeadersForEver,
    /// Never: it accepts, reads, and is silent.
    Never,
    /// By closing the connection.
    ByHangingUp,
}

/// An issuer on loopback.
pub(crate) struct Loopback {
    pub(crate) address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    /// Discovery document, where it says something else than it should.
    pub(crate) discovery: Arc<Mutex<Option<Value>>>,
    connections: Arc<AtomicUsize>,
    key_requests: Arc<AtomicUsize>,
    paths: Arc<Mutex<Vec<String>>>,
}

impl Loopback {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            manner: Arc::new(Mutex::new(manner)),
            discovery: Arc::default(),
            connections: Arc::default(),
            key_requests: Arc::default(),
            paths: Arc::default(),
        };
        let (manner, discovery) = (this.manner.clone(), this.discovery.clone());
        let (connections, key_requests, paths) =
            (this.connections.clone(), this.key_requests.clone(), this.paths.clone());
        let url = this.url();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let manner = manner.lock().unwrap().clone();
                let document = discovery.lock().unwrap().clone().unwrap_or_else(
                    || json!({ "issuer": url, "jwks_uri": format!("{url}/keys"), "token_endpoint": "x" }),
                );
                let (key_requests, paths) = (key_requests.clone(), paths.clone());
                tokio::spawn(async move {
                    drop(answer(stream, manner, document, &key_requests, &paths).await);
                });
            }
        });
        this
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// How often somebody connected.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How often somebody asked for the keys.
    pub(crate) fn key_requests(&self) -> usize {
        self.key_requests.load(Ordering::SeqCst)
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.paths.lock().unwrap().clone()
    }

    pub(crate) fn discovered(&self) -> Issuer {
        Issuer::discovered(&self.url())
            .audience(AUDIENCE)
            .allow_loopback()
            .longest_fetch(Span::from_millis(1_500))
    }

    pub(crate) fn authenticator(&self, clock: &Arc<Driven>) -> OidcAuthenticator {
        OidcAuthenticator::new(clock.clone(), [self.discovered()]).unwrap()
    }
}

async fn answer(
    mut stream: TcpStream,
    manner: Manner,
    discovery: Value,
    key_requests: &AtomicUsize,
    paths: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut part = [0; 1_024];
        let length = stream.read(&mut part).await?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..length]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    paths.lock().unwrap().push(path.clone());
    if path == "/keys" {
        key_requests.fetch_add(1, Ordering::SeqCst);
    }
    match manner {
        Manner::Well(keys) => {
            let body = match path.as_str() {
                "/.well-known/openid-configuration" => discovery.to_string(),
                _ => crate::keys::jwk_set(&keys),
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await
        }
        Manner::Raw(bytes) => stream.write_all(&bytes).await,
        Manner::Endlessly => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"keys\":[").await?;
            loop {
                stream.write_all(&[b' '; 16 * 1_024]).await?;
            }
        }
        Manner::WithHeadersForEver => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"x-filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await?;
            }
        }
        Manner::Never => {
            drop(stream.read(&mut [0; 1]).await);
            Ok(())
        }
        Manner::ByHangingUp => Ok(()),
    }
}

pub(crate) fn raw(head: &str, body: &str) -> Manner {
    Manner::Raw(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}
