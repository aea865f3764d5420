//! Keys that change, and tokens that name keys which nobody knows.

use std::sync::Arc;
use std::time::Duration;

use runtime_ports::authenticator::AuthenticationError;
use serde_json::json;

use crate::keys::{P256, P384, RSA, STRANGER};
use crate::world::{Driven, Loopback, Manner, claims, claims_with, show};

/// Waits, for seconds at most, for what other tasks bring about.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), waiting).await.is_ok(), "{what}");
}

fn is_invalid(error: &AuthenticationError) -> bool {
    matches!(error, AuthenticationError::Invalid { .. })
}

#[tokio::test]
async fn keys_are_discovered_once_and_then_known() {
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1"), RSA.jwk("2")])).await;
    let authenticator = issuer.authenticator(&Driven::new());
    for _ in 0..20 {
        for (pair, key_id) in [(&*P256, "1"), (&*RSA, "2")] {
            let token =
                pair.sign(key_id, &claims_with(&issuer.url(), json!({ "exp": crate::world::START + 9_000 })));
            show(&authenticator, token).await.unwrap();
        }
    }
    assert_eq!(issuer.paths(), ["/.well-known/openid-configuration", "/keys"]);
}

#[tokio::test]
async fn a_rotated_key_is_accepted_by_one_fetch_and_a_withdrawn_one_is_refused() {
    let clock = Driven::new();
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    let authenticator = issuer.authenticator(&clock);
    let (old, new) = (P256.sign("1", &claims(&issuer.url())), STRANGER.sign("2", &claims(&issuer.url())));
    show(&authenticator, old.clone()).await.unwrap();
    issuer.behave(Manner::Well(vec![STRANGER.jwk("2")]));
    clock.advance(10);
    assert!(show(&authenticator, old.clone()).await.is_ok(), "nobody has asked for newer keys yet");
    show(&authenticator, new.clone()).await.unwrap();
    assert_eq!(issuer.key_requests(), 2);
    assert!(is_invalid(&show(&authenticator, old).await.unwrap_err()));
    assert!(show(&authenticator, new).await.is_ok());
}

#[tokio::test]
async fn a_key_that_was_withdrawn_is_forgotten_when_the_keys_are_no_longer_fresh() {
    let clock = Driven::new();
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1"), STRANGER.jwk("2")])).await;
    let authenticator = issuer.authenticator(&clock);
    let token = P256.sign("1", &claims_with(&issuer.url(), json!({ "exp": crate::world::START + 9_000 })));
    show(&authenticator, token.clone()).await.unwrap();
    issuer.behave(Manner::Well(vec![STRANGER.jwk("2")]));
    clock.advance(599);
    show(&authenticator, token.clone()).await.unwrap();
    assert_eq!(issuer.key_requests(), 1);
    clock.advance(1);
    // Nobody waits for the fetch that begins now.
    show(&authenticator, token.clone()).await.unwrap();
    let authenticator = Arc::new(authenticator);
    let ended = async {
        while show(&authenticator, token.clone()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), ended).await.is_ok());
    assert!(is_invalid(&show(&authenticator, token).await.unwrap_err()));
}

/// Shows X-12.
#[tokio::test]
async fn a_flood_of_unknown_keys_asks_the_issuer_once_in_a_while() {
    let clock = Driven::new();
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    let authenticator = Arc::new(issuer.authenticator(&clock));
    let good = P256.sign("1", &claims(&issuer.url()));
    show(&authenticator, good.clone()).await.unwrap();
    assert_eq!(issuer.key_requests(), 1);
    for wave in 0..4 {
        clock.advance(10);
        let flood: Vec<_> = (0..100)
            .map(|number| {
                let token = STRANGER.sign(&format!("unknown-{wave}-{number}"), &claims(&issuer.url()));
                let authenticator = authenticator.clone();
                tokio::spawn(async move { show(&authenticator, token).await })
            })
            .collect();
        for call in flood {
            assert!(is_invalid(&call.await.unwrap().unwrap_err()));
        }
        // Tokens of another kind of key, and those without a key's name, are no way around.
        let nameless = STRANGER.sign_with(&json!({ "alg": "ES256" }), &claims(&issuer.url()));
        for token in [P384.sign("1", &claims(&issuer.url())), nameless] {
            assert!(is_invalid(&show(&authenticator, token).await.unwrap_err()));
        }
        assert!(show(&authenticator, good.clone()).await.is_ok(), "who has a good token notices nothing");
        assert_eq!(issuer.key_requests(), 2 + wave, "one fetch for each ten seconds");
    }
}

#[tokio::test]
async fn callers_of_a_cold_start_share_one_fetch() {
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    let authenticator = Arc::new(issuer.authenticator(&Driven::new()));
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let (authenticator, token) = (authenticator.clone(), P256.sign("1", &claims(&issuer.url())));
            tokio::spawn(async move { show(&authenticator, token).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(issuer.key_requests(), 1);
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_nobody_elses_fetch_along() {
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    let authenticator = Arc::new(issuer.authenticator(&Driven::new()));
    let token = P256.sign("1", &claims(&issuer.url()));
    let impatient = {
        let (authenticator, token) = (authenticator.clone(), token.clone());
        tokio::spawn(async move { show(&authenticator, token).await })
    };
    until("the first caller's fetch begins", || issuer.connections() > 0).await;
    impatient.abort();
    show(&authenticator, token).await.unwrap();
    assert_eq!(issuer.key_requests(), 1);
}

#[tokio::test]
async fn keys_serve_while_the_issuer_is_away_for_a_bounded_time_and_then_nobody_is_let_in() {
    let clock = Driven::new();
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    let authenticator = issuer.authenticator(&clock);
    let token = P256.sign("1", &claims_with(&issuer.url(), json!({ "exp": crate::world::START + 90_000 })));
    show(&authenticator, token.clone()).await.unwrap();
    issuer.behave(Manner::ByHangingUp);
    for _ in 0..5 {
        clock.advance(700);
        let before = issuer.connections();
        let asked_again = async {
            while issuer.connections() == before {
                show(&authenticator, token.clone()).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(10), asked_again).await.is_ok());
    }
    // Whether a key exists that it names cannot be known.
    let unknown = STRANGER.sign("2", &claims(&issuer.url()));
    assert_eq!(show(&authenticator, unknown).await.unwrap_err(), AuthenticationError::Unavailable);
    clock.advance(100);
    assert_eq!(show(&authenticator, token.clone()).await.unwrap_err(), AuthenticationError::Unavailable);
    let connections = issuer.connections();
    for _ in 0..50 {
        assert_eq!(show(&authenticator, token.clone()).await.unwrap_err(), AuthenticationError::Unavailable);
    }
    assert_eq!(issuer.connections(), connections, "who is away is left alone for a while");
    issuer.behave(Manner::Well(vec![P256.jwk("1")]));
    clock.advance(10);
    show(&authenticator, token).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_key_younger() {
    let clock = Driven::new();
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    let authenticator = issuer.authenticator(&clock);
    let token = P256.sign(
        "1",
        &claims_with(&issuer.url(), json!({ "exp": crate::world::START + 90_000, "nbf": 0, "iat": 0 })),
    );
    show(&authenticator, token.clone()).await.unwrap();
    issuer.behave(Manner::ByHangingUp);
    clock.advance(-100_000);
    show(&authenticator, token.clone()).await.unwrap();
    until("it is asked again", || issuer.connections() > 2).await;
    clock.advance(3_600);
    assert_eq!(show(&authenticator, token).await.unwrap_err(), AuthenticationError::Unavailable);
}

#[tokio::test]
async fn an_issuer_that_publishes_no_key_any_more_has_withdrawn_them_all() {
    let clock = Driven::new();
    let issuer = Loopback::start(Manner::Well(vec![P256.jwk("1")])).await;
    let authenticator = issuer.authenticator(&clock);
    let token = P256.sign("1", &claims(&issuer.url()));
    show(&authenticator, token.clone()).await.unwrap();
    issuer.behave(Manner::Well(Vec::new()));
    authenticator.refresh().await.unwrap();
    assert!(is_invalid(&show(&authenticator, token).await.unwrap_err()));
}
