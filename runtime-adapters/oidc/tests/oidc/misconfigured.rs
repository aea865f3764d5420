//! What is said of an issuer and cannot be meant is refused before anybody calls.

use runtime_domain::time::Span;
use runtime_oidc::{ConfigurationError, Issuer, OidcAuthenticator};
use runtime_testkit::sample;
use serde_json::json;

use crate::keys::{P256, RSA, jwk_set};
use crate::world::{AUDIENCE, Driven, ISSUER, given};

fn refusal(issuers: impl IntoIterator<Item = Issuer>) -> ConfigurationError {
    OidcAuthenticator::new(Driven::new(), issuers).unwrap_err()
}

#[test]
fn terms_that_cannot_be_meant_are_refused_with_what_is_wrong() {
    let good = || given(&[P256.jwk("1")]);
    let discovered = |url: &str| Issuer::discovered(url).audience(AUDIENCE);
    for (issuer, told) in [
        (Issuer::with_keys(ISSUER, jwk_set(&[P256.jwk("1")])), "audience"),
        (good().audience(""), "audience"),
        (good().algorithms([]), "algorithm"),
        (good().clock_skew(Span::from_secs(301)), "five minutes"),
        (good().tenant_claim(""), "neither"),
        (good().tenant_claim("/"), "neither"),
        (good().role_claim("/a~2"), "neither"),
        (good().one_tenant(sample::tenant(1)).tenant("a", sample::tenant(2)), "either"),
        (good().actor_prefix(""), "prefix"),
        (good().actor_prefix("a:b"), "prefix"),
        (good().actor_prefix("reconciler"), "prefix"),
        (good().keys_fresh_for(Span::ZERO), "zero"),
        (good().between_fetches(Span::ZERO), "zero"),
        (good().longest_fetch(Span::ZERO), "zero"),
        (good().longest_fetch(Span::from_secs(31)), "30 s"),
        (good().keys_usable_for(Span::from_secs(599)), "fresh"),
        (given(&[]), "JWK set"),
        (given(&[RSA.jwk_with(json!({ "use": "enc" }))]), "JWK set"),
        (Issuer::with_keys(ISSUER, "{}").audience(AUDIENCE), "JWK set"),
        (Issuer::with_keys(ISSUER, "-----BEGIN PUBLIC KEY-----").audience(AUDIENCE), "JWK set"),
        (Issuer::with_keys("", jwk_set(&[P256.jwk("1")])).audience(AUDIENCE), "name"),
        (discovered("http://login.example.com"), "https"),
        (discovered("login.example.com"), "URL"),
        (discovered("https://login.example.com?a=b"), "query"),
        (discovered("https://login.example.com#a"), "fragment"),
        (discovered("https://u:p@login.example.com"), "user"),
        (discovered("http://127.0.0.1:1"), "allow_loopback"),
        (Issuer::with_keys_at(ISSUER, "http://keys.example.com/").audience(AUDIENCE), "https"),
        (discovered(ISSUER).authorities("x"), "no certificate authority"),
    ] {
        let error = refusal([issuer]).to_string();
        assert!(error.contains(told), "{told}: {error}");
    }
}

#[test]
fn issuers_are_at_least_one_each_once_and_their_subjects_apart() {
    assert_eq!(refusal([]), ConfigurationError::NoIssuer);
    let named = |name: &str| Issuer::with_keys(name, jwk_set(&[P256.jwk("1")])).audience(AUDIENCE);
    assert!(matches!(refusal([named("a"), named("a")]), ConfigurationError::Repeated { .. }));
    for (first, second) in [
        (named("a"), named("b")),
        (named("a").hashed_subjects(), named("b")),
        (named("a").actor_prefix("x"), named("b").actor_prefix("x")),
    ] {
        assert!(matches!(refusal([first, second]), ConfigurationError::AmbiguousActors { .. }));
    }
    let apart = [named("a").hashed_subjects(), named("b").hashed_subjects(), named("c").actor_prefix("c")];
    assert!(OidcAuthenticator::new(Driven::new(), apart).is_ok());
}
