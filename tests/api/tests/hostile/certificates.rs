//! TLS: who a client's certificate says it is, and handshakes that are none.

use std::collections::BTreeSet;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use runtime_http::{Access, ClientCertificates, Server, Tls, TlsError};
use runtime_oidc::{ByKind, CertificateAuthenticator, CertificateHolder};
use runtime_ports::authenticator::Role;
use runtime_system::SystemClock;
use runtime_testkit::sample;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use crate::host::{Running, api, bounds, oidc, status, token};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(parameters, key), pem, der }
    }

    fn issue(&self, name: SanType, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = vec![name];
        parameters.extended_key_usages = vec![usage];
        (parameters.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn client(&self, uri: &str) -> (rcgen::Certificate, KeyPair) {
        self.issue(SanType::URI(uri.try_into().unwrap()), ExtendedKeyUsagePurpose::ClientAuth)
    }
}

async fn host(authority: &Authority, clients: &Authority) -> Running {
    let holder = CertificateHolder {
        tenant: sample::tenant(1),
        actor: sample::caller(1),
        roles: BTreeSet::from([Role::Viewer]),
    };
    let known = CertificateAuthenticator::new(Arc::new(SystemClock::new()))
        .uri("spiffe://example.com/ci", holder)
        .unwrap();
    let both = ByKind::new().certificate(Arc::new(known)).bearer(Arc::new(oidc()));
    let name = SanType::DnsName("localhost".try_into().unwrap());
    let (certificate, key) = authority.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
    let tls = Tls::new(
        certificate.pem().as_bytes(),
        key.serialize_pem().as_bytes(),
        ClientCertificates::Optional(clients.pem.as_bytes()),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let router = api(Access::Authenticated(Arc::new(both))).router().clone();
    Running::of(Server::of_router(listener, router, bounds()).with_tls(tls.unwrap()))
}

/// The status of a request that needs somebody to be let in; `None` where the handshake comes to nothing.
async fn asked(
    host: &Running,
    authority: &Authority,
    client: Option<&(rcgen::Certificate, KeyPair)>,
    token: Option<&str>,
) -> Option<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, host.connect().await).await;
    let mut stream = stream.ok()?;
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "GET /runtime/environments/env_0000000000000000000000000000abcd HTTP/1.1\r\nhost: localhost\r\n{authorization}connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut said = Vec::new();
    drop(stream.read_to_end(&mut said).await);
    status(&said)
}

/// Shows X-1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_who_its_certificate_says_and_nobody_by_one_that_is_unknown() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let host = host(&authority, &clients).await;
    let known = clients.client("spiffe://example.com/ci");
    let unknown = clients.client("spiffe://example.com/other");
    let forged = strangers.client("spiffe://example.com/ci");
    assert_eq!(
        asked(&host, &authority, Some(&known), None).await,
        Some(404),
        "let in, and there is no such thing"
    );
    assert_eq!(asked(&host, &authority, Some(&unknown), None).await, Some(401));
    assert_eq!(asked(&host, &authority, Some(&forged), None).await, None, "no connection");
    assert_eq!(asked(&host, &authority, None, None).await, Some(401));
    assert_eq!(asked(&host, &authority, None, Some(&token(2))).await, Some(404), "by token");
    let bad = "eyJhbGciOiJub25lIn0.e30.";
    assert_eq!(
        asked(&host, &authority, Some(&known), Some(bad)).await,
        Some(401),
        "a token that is shown is judged"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_are_none_end_in_time_while_others_are_served() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let host = host(&authority, &clients).await;
    let beginnings: [&[u8]; 6] = [
        b"",
        b"\x16",
        b"\x16\x03\x01\xff\xff",
        b"GET /livez HTTP/1.1\r\nhost: h\r\n\r\n",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
        &[0x16; 4_096],
    ];
    let ended = futures::future::join_all(
        beginnings.into_iter().cycle().take(60).map(|beginning| host.said_to(beginning)),
    );
    let others = async {
        for _ in 0..5 {
            assert_eq!(asked(&host, &authority, None, Some(&token(1))).await, Some(404));
        }
    };
    let (said, ()) = tokio::join!(ended, others);
    assert!(said.iter().all(|said| status(said).is_none()), "nothing is answered in the clear");
}

#[test]
fn what_is_no_certificate_key_or_authority_is_refused_as_such() {
    let authority = Authority::new();
    let name = SanType::DnsName("localhost".try_into().unwrap());
    let (certificate, key) = authority.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
    let (chain, key) = (certificate.pem(), key.serialize_pem());
    let other = KeyPair::generate().unwrap().serialize_pem();
    let made =
        |chain: &str, key: &str, clients| Tls::new(chain.as_bytes(), key.as_bytes(), clients).map(drop);
    assert_eq!(made(&chain, &key, ClientCertificates::None), Ok(()));
    assert_eq!(made("", &key, ClientCertificates::None), Err(TlsError::Certificates));
    assert_eq!(made(&chain, "", ClientCertificates::None), Err(TlsError::Key));
    assert_eq!(made(&chain, &other, ClientCertificates::None), Err(TlsError::Key));
    assert_eq!(made(&chain, &key, ClientCertificates::Required(b"")), Err(TlsError::Authorities));
}
