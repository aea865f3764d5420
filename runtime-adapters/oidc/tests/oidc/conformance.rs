//! The testkit's suite, with every kind of key and with certificates.

use std::sync::Arc;

use async_trait::async_trait;
use rcgen::{CertificateParams, KeyPair, SanType};
use runtime_domain::time::Timestamp;
use runtime_oidc::{ByKind, CertificateAuthenticator, CertificateHolder, OidcAuthenticator};
use runtime_ports::PortResult;
use runtime_ports::authenticator::{Credentials, Role};
use runtime_ports::clock::Clock;
use runtime_testkit::conformance::{Caller, CredentialsIssuer, Verdict, authenticator};
use serde_json::json;

use crate::keys::{ED25519, P256, P384, Pair, RSA, STRANGER};
use crate::world::{AUDIENCE, Driven, ISSUER, given};

struct Tokens(&'static Pair);

fn token_claims(caller: &Caller) -> serde_json::Value {
    json!({
        "iss": ISSUER,
        "aud": [AUDIENCE],
        "sub": caller.actor.as_str(),
        "tenant": caller.tenant.to_string(),
        "roles": caller.roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
        "nbf": caller.not_before.timestamp(),
        "exp": caller.expires_at.timestamp(),
    })
}

#[async_trait]
impl CredentialsIssuer for Tokens {
    type Authenticator = ByKind;

    fn now(&self) -> Timestamp {
        Driven::new().now()
    }

    async fn authenticator(&self, _callers: &[Caller]) -> PortResult<ByKind> {
        let oidc = OidcAuthenticator::new(Driven::new(), [given(&[self.0.jwk("1")])]).unwrap();
        Ok(ByKind::new().bearer(Arc::new(oidc)))
    }

    async fn issue(&self, caller: &Caller) -> PortResult<Credentials> {
        Ok(Credentials::bearer(self.0.sign("1", &token_claims(caller))))
    }

    async fn forge(&self, caller: &Caller) -> PortResult<Credentials> {
        let header = json!({ "alg": format!("{:?}", STRANGER.algorithm), "kid": "1" });
        Ok(Credentials::bearer(STRANGER.sign_with(&header, &token_claims(caller))))
    }
}

/// Shows X-1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_every_kind_of_key_keep_the_ports_promises() {
    for pair in [&*RSA, &*P256, &*P384, &*ED25519] {
        let report = authenticator(Tokens(pair)).await;
        report.assert_passed();
        assert!(report.trials().iter().all(|trial| trial.verdict == Verdict::Passed), "{report}");
    }
}

struct Certificates;

fn certificate(uri: &str, caller: &Caller) -> Credentials {
    let time = |time: Timestamp| {
        let seconds = time.timestamp();
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        rcgen::date_time_ymd(1970, 1, 1)
            + std::time::Duration::from_secs(u64::try_from(days * 86_400 + rest).unwrap())
    };
    let mut parameters = CertificateParams::default();
    parameters.not_before = time(caller.not_before);
    parameters.not_after = time(caller.expires_at);
    parameters.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    Credentials::Certificate(parameters.self_signed(&key).unwrap().der().to_vec())
}

fn identity(caller: &Caller) -> String {
    format!("spiffe://example.com/{}/{}", caller.tenant, caller.actor)
}

#[async_trait]
impl CredentialsIssuer for Certificates {
    type Authenticator = ByKind;

    fn now(&self) -> Timestamp {
        Driven::new().now()
    }

    async fn authenticator(&self, callers: &[Caller]) -> PortResult<ByKind> {
        let mut known = CertificateAuthenticator::new(Driven::new());
        for caller in callers {
            let holder = CertificateHolder {
                tenant: caller.tenant,
                actor: caller.actor.clone(),
                roles: caller.roles.iter().copied().collect::<std::collections::BTreeSet<Role>>(),
            };
            known = known.uri(&identity(caller), holder).unwrap();
        }
        Ok(ByKind::new().certificate(Arc::new(known)))
    }

    async fn issue(&self, caller: &Caller) -> PortResult<Credentials> {
        Ok(certificate(&identity(caller), caller))
    }

    async fn forge(&self, caller: &Caller) -> PortResult<Credentials> {
        Ok(certificate(&format!("{}x", identity(caller)), caller))
    }
}

/// Shows X-1.
#[tokio::test]
async fn certificates_keep_the_ports_promises() {
    authenticator(Certificates).await.assert_passed();
}
