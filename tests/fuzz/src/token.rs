//! Bearer tokens: only what an issuer signed lets anybody in, and as nobody but whom it names.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use runtime_domain::time::Timestamp;
use runtime_oidc::{Issuer, OidcAuthenticator};
use runtime_ports::authenticator::{Authenticator as _, Credentials, Principal, Role};
use runtime_ports::clock::Clock;
use runtime_testkit::sample;
use serde_json::{Value, json};

use crate::hold::{panic_of, text};
use crate::waiting::wait;

const ISSUER: &str = "https://login.example.com/realms/factory";
const AUDIENCE: &str = "factory-runtime";
/// When it is, in seconds since 1970, for everybody here.
pub(crate) const NOW: u64 = 1_800_000_000;
/// By how much clocks may differ, unless an issuer is told otherwise.
const SKEW: i64 = 60;

/// A clock that stands.
#[derive(Debug)]
pub(crate) struct Standing;

#[async_trait]
impl Clock for Standing {
    fn now(&self) -> Timestamp {
        sample::at(NOW)
    }

    async fn sleep_until(&self, _deadline: Timestamp) {
        std::future::pending().await
    }
}

/// The key of the issuer, which nobody else has: it signs nothing but what is here.
static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| match Ed25519KeyPair::from_seed_unchecked(&[7; 32]) {
        Ok(pair) => pair,
        Err(error) => panic_of(format!("no key: {error}")),
    });

static AUTHENTICATOR: LazyLock<OidcAuthenticator> = LazyLock::new(|| {
    let public = URL_SAFE_NO_PAD.encode(KEY.public_key().as_ref());
    let key =
        json!({ "kty": "OKP", "crv": "Ed25519", "x": public, "kid": "1", "use": "sig", "alg": "EdDSA" });
    let issuer = Issuer::with_keys(ISSUER, json!({ "keys": [key] }).to_string()).audience(AUDIENCE);
    match OidcAuthenticator::new(Arc::new(Standing), [issuer]) {
        Ok(authenticator) => authenticator,
        Err(error) => panic_of(format!("no authenticator: {error}")),
    }
});

/// Tokens that the issuer has given out, the first of them good.
pub static ISSUED: LazyLock<[String; 4]> = LazyLock::new(|| {
    let mut header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "1" });
    header.sort_all_objects();
    let header = header.to_string();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signed(header.as_bytes(), claims.to_string().as_bytes())
    };
    [
        signed(header.as_bytes(), claims().to_string().as_bytes()),
        with("exp", json!(NOW - 600)),
        with("aud", json!("somebody-else")),
        with("sub", json!("reconciler:deployments")),
    ]
});

/// Claims that are good, in an order that does not hang on what else is built beside this.
pub fn claims() -> Value {
    let mut claims = json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": NOW + 600,
        "nbf": NOW,
        "iat": NOW,
        "tenant": sample::tenant(1).to_string(),
        "roles": ["operator"],
    });
    claims.sort_all_objects();
    claims
}

/// A token as it comes; or, where the data is `{header}` and `{claims}` a line each, the token of these that the issuer signed.
pub fn token(data: &[u8]) -> bool {
    let (token, claims) = if data.starts_with(b"{") {
        let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
        let (header, claims) = data.split_at(end);
        let claims = claims.get(1..).unwrap_or_default().to_vec();
        (signed(header, &claims), claims)
    } else {
        let Some(text) = text(data) else { return false };
        (text.to_owned(), claims().to_string().into_bytes())
    };
    let Some(principal) = shown(&token) else { return false };
    let is_given_out = data.starts_with(b"{") || token == ISSUED[0];
    assert!(is_given_out, "a token that nobody gave out lets in {principal:?}");
    is_as_said(&principal, &claims);
    true
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = KEY.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// Who is let in by it. Whoever is not is told why, and nothing of the token.
fn shown(token: &str) -> Option<Principal> {
    match wait(AUTHENTICATOR.authenticate(&Credentials::bearer(token))) {
        Ok(principal) => Some(principal),
        Err(refused) => {
            let said = refused.to_string();
            let is_told = token.split('.').any(|part| part.len() > 24 && said.contains(part));
            assert!(!is_told && !said.is_empty(), "{said:?} tells of the token");
            None
        }
    }
}

/// Nobody is let in with more than the claims say.
fn is_as_said(principal: &Principal, claims: &[u8]) {
    let claims: Value = match serde_json::from_slice(claims) {
        Ok(claims) => claims,
        Err(error) => panic_of(format!("{principal:?} is let in by what is not JSON: {error}")),
    };
    let text = |name: &str| claims[name].as_str().unwrap_or_default();
    assert_eq!(text("iss"), ISSUER);
    let is_for_us = match &claims["aud"] {
        Value::Array(audiences) => audiences.iter().any(|audience| audience == AUDIENCE),
        audience => audience == AUDIENCE,
    };
    assert!(is_for_us, "{claims} is for somebody else");
    let tenant = principal.tenant();
    let is_tenant = [tenant.to_string(), tenant.uuid().to_string()]
        .iter()
        .any(|it| it.eq_ignore_ascii_case(text("tenant")));
    assert!(is_tenant, "{claims} names no tenant {tenant}");
    assert_eq!(principal.actor().as_str(), text("sub"));
    let now = sample::at(NOW).timestamp();
    let until = principal.expires_at().map(|until| until.timestamp());
    assert!(until.is_some_and(|until| until > now), "{claims} has expired");
    let expires = claims["exp"].as_f64().unwrap_or_default();
    assert!(expires > (now - SKEW - 1) as f64, "{claims} has expired");
    let words: BTreeSet<Role> = match &claims["roles"] {
        Value::Array(words) => words.iter().filter_map(Value::as_str).filter_map(Role::named).collect(),
        words => words.as_str().unwrap_or_default().split(' ').filter_map(Role::named).collect(),
    };
    assert_eq!(principal.roles(), &words, "{claims} gives other roles");
    assert!(claims.get("cnf").is_none(), "{claims} is bound to a key that nobody has shown");
}
