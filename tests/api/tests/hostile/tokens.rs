//! Tokens over the wire: who is not let in learns nothing, and another tenant's things are as absent as those that never were.

use std::sync::Arc;

use runtime_http::Access;
use runtime_oidc::{Issuer, OidcAuthenticator};
use runtime_system::SystemClock;
use serde_json::{Value, json};

use crate::host::{AUDIENCE, ISSUER, Running, api, bounds, claims, signed, token};

fn changed(others: Value) -> Value {
    let mut claims = claims(1);
    claims.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    claims
}

/// What a problem says, without what names the one request.
fn comparable(document: &str) -> Value {
    let mut problem: Value = serde_json::from_str(document).unwrap();
    for member in ["correlationId", "instance"] {
        problem.as_object_mut().unwrap().remove(member);
    }
    problem
}

/// Provisions an environment of tenant 1, and gives its identifier.
async fn provisioned(host: &Running) -> String {
    let body = json!({
        "projectId": "prj_00000000000000000000000000000001", "name": "shop", "stage": "dev", "region": "local",
        "isolationModel": "silo", "surfaces": ["process"],
    })
    .to_string();
    let request = format!(
        "POST /runtime/environments HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        token(1),
        body.len()
    );
    let (code, head, body) = host.ask(&request).await;
    assert_eq!(code, 201, "{body}");
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    location.rsplit('/').next().unwrap().to_owned()
}

/// Shows X-1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_let_in_is_told_the_same_of_what_exists_and_what_does_not() {
    let host = Running::start(bounds()).await;
    let existing = format!("/runtime/environments/{}", provisioned(&host).await);
    assert_eq!(host.get(&existing, Some(&token(1))).await.0, 200);
    let absent = "/runtime/environments/env_0000000000000000000000000000abcd";
    let good = token(1);
    let now = claims(1)["iat"].as_i64().unwrap();
    let (unsigned, signature) = good.rsplit_once('.').unwrap();
    let other_signature: String = signature.chars().rev().collect();
    for (what, shown) in [
        ("nothing", None),
        ("none", Some("eyJhbGciOiJub25lIn0.e30.".to_owned())),
        ("unsigned", Some(format!("{unsigned}."))),
        ("forged", Some(format!("{unsigned}.{other_signature}"))),
        ("truncated", Some(good[..good.len() - 2].to_owned())),
        ("somebody else's", Some(signed(&claims(1), "1", 1))),
        ("of an unknown key", Some(signed(&claims(1), "2", 1))),
        ("expired", Some(signed(&changed(json!({ "exp": now - 3_600 })), "1", 0))),
        ("of the future", Some(signed(&changed(json!({ "nbf": now + 3_600 })), "1", 0))),
        ("for others", Some(signed(&changed(json!({ "aud": "other" })), "1", 0))),
        ("of another issuer", Some(signed(&changed(json!({ "iss": "https://other.example.com" })), "1", 0))),
        ("without a tenant", Some(signed(&changed(json!({ "tenant": null })), "1", 0))),
        ("of no tenant", Some(signed(&changed(json!({ "tenant": "*" })), "1", 0))),
        ("huge", Some("a".repeat(20_000))),
        ("garbage", Some("\u{e4}\u{f6}".to_owned())),
    ] {
        let of_existing = host.get(&existing, shown.as_deref()).await;
        let of_absent = host.get(absent, shown.as_deref()).await;
        assert_eq!((of_existing.0, of_absent.0), (401, 401), "{what}: {}", of_existing.2);
        for (_, head, document) in [&of_existing, &of_absent] {
            assert!(head.to_lowercase().contains("\r\nwww-authenticate: bearer"), "{what}: {head}");
            assert!(
                shown.as_deref().is_none_or(|shown| shown.len() < 12 || !document.contains(shown)),
                "{what}"
            );
        }
        assert_eq!(comparable(&of_existing.2), comparable(&of_absent.2), "{what}");
    }
}

/// Shows X-1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenants_things_are_as_absent_as_those_that_never_were() {
    let host = Running::start(bounds()).await;
    let environment = provisioned(&host).await;
    let stranger = token(2);
    let ask = async |environment: &str| {
        host.get(&format!("/runtime/environments/{environment}"), Some(&stranger)).await
    };
    let (foreign, absent) = (ask(&environment).await, ask("env_0000000000000000000000000000abcd").await);
    assert_eq!((foreign.0, absent.0), (404, 404));
    let nameless = |document: &str, id: &str| comparable(&document.replace(id, "it"));
    assert_eq!(
        nameless(&foreign.2, &environment),
        nameless(&absent.2, "env_0000000000000000000000000000abcd"),
    );
    // What the request says of its tenant is not listened to.
    let lying = format!(
        "GET /runtime/environments/{environment} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {stranger}\r\n\
         x-tenant-id: {0}\r\nx-tenant: {0}\r\nx-forwarded-user: ada\r\nconnection: close\r\n\r\n",
        claims(1)["tenant"].as_str().unwrap()
    );
    assert_eq!(host.ask(&lying).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_in_two_ways_or_in_another_form_are_none() {
    let host = Running::start(bounds()).await;
    let good = token(1);
    let path = "/runtime/environments/env_0000000000000000000000000000abcd";
    for authorization in [
        format!("authorization: Bearer {good}\r\nauthorization: Bearer {good}\r\n"),
        format!("authorization: Bearer {good}\r\nauthorization: Bearer {}\r\n", token(2)),
        format!("authorization: Bearer {good}, Bearer {good}\r\n"),
        format!("authorization: {good}\r\n"),
        format!("authorization: Basic {good}\r\n"),
        format!("authorization: Bearer\t{good}\r\n"),
        "authorization: Bearer\r\n".to_owned(),
        "authorization: Bearer \r\n".to_owned(),
        "authorization:\r\n".to_owned(),
        format!("proxy-authorization: Bearer {good}\r\n"),
        format!("cookie: authorization=Bearer {good}; access_token={good}\r\n"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n{authorization}connection: close\r\n\r\n");
        assert_eq!(host.ask(&request).await.0, 401, "{authorization}");
    }
    assert_eq!(host.get(&format!("{path}?access_token={good}"), None).await.0, 401);
    assert_eq!(host.get(path, Some(&good)).await.0, 404, "the good one is let in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_role_is_forbidden_whatever_exists() {
    let host = Running::start(bounds()).await;
    let environment = provisioned(&host).await;
    let nobody = signed(&changed(json!({ "roles": ["root", "*"] })), "1", 0);
    let answers = [environment.as_str(), "env_0000000000000000000000000000abcd"];
    for id in answers {
        let (code, _, document) = host.get(&format!("/runtime/environments/{id}"), Some(&nobody)).await;
        assert_eq!(code, 403, "{document}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_issuer_is_away_nobody_is_let_in_and_that_is_no_fault_of_the_callers() {
    let issuer = Issuer::with_keys_at(ISSUER, "http://127.0.0.1:9/keys").audience(AUDIENCE).allow_loopback();
    let authenticator = OidcAuthenticator::new(Arc::new(SystemClock::new()), [issuer]).unwrap();
    let router = api(Access::Authenticated(Arc::new(authenticator))).router().clone();
    let host = Running::serving(router, bounds()).await;
    let path = "/runtime/environments/env_0000000000000000000000000000abcd";
    assert_eq!(host.get(path, Some(&token(1))).await.0, 503);
    host.is_serving().await;
}
