//! Issuers that misbehave, and where keys may be fetched from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer as Authority, KeyPair};
use runtime_domain::time::Span;
use runtime_oidc::{Issuer, OidcAuthenticator};
use runtime_ports::authenticator::AuthenticationError;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::keys::{P256, jwk_set};
use crate::world::{AUDIENCE, Driven, ISSUER, Loopback, Manner, claims, raw, show};

/// What an issuer of this manner comes to, for a caller and for who asks why.
async fn outcome(manner: Manner) -> (AuthenticationError, String) {
    let issuer = Loopback::start(manner).await;
    let trusted = issuer.discovered().longest_fetch(Span::from_millis(300));
    let authenticator = OidcAuthenticator::new(Driven::new(), [trusted]).unwrap();
    let began = Instant::now();
    let error = show(&authenticator, P256.sign("1", &claims(&issuer.url()))).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "an answer is bounded");
    (error, authenticator.refresh().await.unwrap_err().to_string())
}

#[tokio::test]
async fn an_issuer_that_misbehaves_lets_nobody_in_and_costs_a_bounded_time() {
    for (manner, told) in [
        (Manner::ByHangingUp, "closed the connection"),
        (Manner::Never, "in time"),
        (Manner::Endlessly, "longer than 512 KiB"),
        (Manner::WithHeadersForEver, "headers"),
        (raw("200 OK", "<html>secret-canary</html>"), "not a JSON object"),
        (raw("200 OK", "{\"keys\":"), "not a JSON object"),
        (raw("200 OK", ""), "not a JSON object"),
        (raw("200 OK", &"[".repeat(100_000)), "not a JSON object"),
        (raw("200 OK", &format!("{}1{}", "{\"a\":".repeat(50_000), "}".repeat(50_000))), "not a JSON object"),
        (
            raw(
                "200 OK",
                "{\"issuer\":\"https://other.example.com\",\"jwks_uri\":\"https://other.example.com/k\"}",
            ),
            "another issuer",
        ),
        (raw("200 OK", &format!("\"{}\"", "x".repeat(600_000))), "longer than 512 KiB"),
        (raw("500 Internal Server Error", "{}"), "status 200"),
        (raw("404 Not Found", "{}"), "status 200"),
        (raw("204 No Content", ""), "status 200"),
        (Manner::Raw(b"\x16\x03\x01\x02\x00garbage\r\n\r\n".to_vec()), "not HTTP/1.1"),
        (Manner::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}".to_vec()), "closed the connection"),
    ] {
        let shown = format!("{manner:?}");
        let shown = shown.get(..60).unwrap_or(&shown);
        let (error, why) = outcome(manner).await;
        assert_eq!(error, AuthenticationError::Unavailable, "{shown}");
        assert!(why.contains(told), "{shown}: {why}");
        assert!(!why.contains("secret-canary"), "{why}");
    }
}

#[tokio::test]
async fn who_is_not_there_lets_nobody_in() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{address}");
    let issuer = Issuer::discovered(&url).audience(AUDIENCE).allow_loopback();
    let authenticator = OidcAuthenticator::new(Driven::new(), [issuer]).unwrap();
    let error = show(&authenticator, P256.sign("1", &claims(&url))).await.unwrap_err();
    assert_eq!(error, AuthenticationError::Unavailable);
    assert!(authenticator.refresh().await.unwrap_err().to_string().contains("refused"));
}

/// Shows X-12.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let (error, why) = outcome(raw(&format!("{status}\r\nlocation: {}/keys", elsewhere.url()), "")).await;
        assert_eq!(error, AuthenticationError::Unavailable);
        assert!(why.contains("redirect"), "{why}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

/// Shows X-12.
#[tokio::test]
async fn keys_are_fetched_from_configured_hosts_only() {
    let elsewhere = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    let url = issuer.url();
    for keys in [
        json!(format!("{}/keys", elsewhere.url())),
        json!(format!("http://localhost:{}/keys", elsewhere.address.port())),
        json!("http://169.254.169.254/latest/meta-data"),
        json!("https://keys.example.com/keys"),
        json!("http://keys.example.com/keys"),
        json!("file:///etc/passwd"),
        json!("/keys"),
        json!(""),
        json!(1),
        json!([format!("{url}/keys")]),
        Value::Null,
        json!(format!("http://user:word@{}/keys", issuer.address)),
    ] {
        *issuer.discovery.lock().unwrap() = Some(json!({ "issuer": url, "jwks_uri": keys }));
        let authenticator = issuer.authenticator(&Driven::new());
        assert!(authenticator.refresh().await.is_err(), "{keys}");
        let error = show(&authenticator, P256.sign("1", &claims(&url))).await.unwrap_err();
        assert_eq!(error, AuthenticationError::Unavailable, "{keys}");
    }
    assert_eq!((elsewhere.connections(), issuer.key_requests()), (0, 0));
}

#[tokio::test]
async fn a_discovery_document_that_is_another_issuers_is_not_believed() {
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    for name in [json!(format!("{}/", issuer.url())), json!(ISSUER), Value::Null, json!([issuer.url()])] {
        let document = json!({ "issuer": name, "jwks_uri": format!("{}/keys", issuer.url()) });
        *issuer.discovery.lock().unwrap() = Some(document);
        let authenticator = issuer.authenticator(&Driven::new());
        assert!(authenticator.refresh().await.unwrap_err().to_string().contains("another issuer"), "{name}");
    }
    assert_eq!(issuer.key_requests(), 0);
}

#[tokio::test]
async fn keys_can_be_where_they_are_said_to_be_without_discovery() {
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    let trusted =
        Issuer::with_keys_at(ISSUER, &format!("{}/keys", issuer.url())).audience(AUDIENCE).allow_loopback();
    let authenticator = OidcAuthenticator::new(Driven::new(), [trusted]).unwrap();
    show(&authenticator, P256.sign("1", &claims(ISSUER))).await.unwrap();
    assert_eq!(issuer.paths(), ["/keys"]);
}

#[tokio::test]
async fn more_keys_than_an_issuer_has_are_no_keys() {
    let keys = |count| (0..count).map(|number: u32| P256.jwk(&number.to_string())).collect::<Vec<_>>();
    let issuer = Loopback::start(Manner::Well(keys(64))).await;
    let authenticator = issuer.authenticator(&Driven::new());
    show(&authenticator, P256.sign("63", &claims(&issuer.url()))).await.unwrap();
    issuer.behave(Manner::Well(keys(65)));
    assert!(authenticator.refresh().await.is_err());
}

/// An issuer behind TLS, with a certificate for `name`, and the authority that vouches for it.
async fn secured(name: &str, keys: String) -> (u16, String) {
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap();
    let pem = authority.pem();
    let authority = Authority::new(parameters, authority_key);
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = TlsAcceptor::from(Arc::new(config.clone())).accept(stream).await else {
                continue;
            };
            drop(stream.read(&mut [0; 4_096]).await);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", keys.len());
            drop(stream.write_all(&[head.as_bytes(), keys.as_bytes()].concat()).await);
            drop(stream.shutdown().await);
        }
    });
    (port, pem)
}

/// Shows X-12.
#[tokio::test]
async fn an_issuer_behind_tls_is_who_its_certificate_says() {
    let keys = jwk_set(&[P256.jwk("1")]);
    let (port, pem) = secured("localhost", keys.clone()).await;
    let at = |port: u16| {
        Issuer::with_keys_at(ISSUER, &format!("https://localhost:{port}/keys"))
            .audience(AUDIENCE)
            .allow_loopback()
    };
    let open = |issuer: Issuer| OidcAuthenticator::new(Driven::new(), [issuer]).unwrap();
    let authenticator = open(at(port).authorities(pem.clone()));
    authenticator.refresh().await.unwrap();
    show(&authenticator, P256.sign("1", &claims(ISSUER))).await.unwrap();

    let (other_port, other_pem) = secured("other.example.com", keys).await;
    for issuer in [at(port).authorities(other_pem.clone()), at(other_port).authorities(other_pem)] {
        let authenticator = open(issuer);
        assert!(authenticator.refresh().await.unwrap_err().to_string().contains("certificate"));
        let error = show(&authenticator, P256.sign("1", &claims(ISSUER))).await.unwrap_err();
        assert_eq!(error, AuthenticationError::Unavailable);
    }
    let plain = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    let url = format!("https://localhost:{}/keys", plain.address.port());
    let authenticator =
        open(Issuer::with_keys_at(ISSUER, &url).audience(AUDIENCE).allow_loopback().authorities(pem));
    assert!(authenticator.refresh().await.is_err(), "what speaks no TLS is nobody");
}
