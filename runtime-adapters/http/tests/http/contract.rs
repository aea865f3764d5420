//! What every caller can rely on: statuses, headers, problems, other tenants, limits.

use std::num::NonZeroU32;
use std::sync::Arc;

use runtime_api::AdmissionOptions;
use runtime_http::{HttpOptions, ServerOptions};
use runtime_memory::MemoryStore;
use runtime_sqlite::SqliteStore;
use serde_json::{Value, json};

use crate::client::{ask, ask_as, raw};
use crate::world::{Served, World, authenticated};

pub(crate) fn environment(name: &str) -> Value {
    json!({
        "projectId": "prj_00000000000000000000000000000001",
        "name": name,
        "stage": "dev",
        "region": "local",
        "isolationModel": "silo",
        "surfaces": ["process"],
    })
}

async fn served() -> Served {
    Served::new(Arc::new(MemoryStore::new())).await
}

#[tokio::test]
async fn an_environment_is_made_read_again_and_known_by_its_tag() {
    let served = served().await;
    let made =
        ask_as(served.address, "ada", "POST", "/runtime/environments", Some(&environment("shop"))).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = made.header("location").to_owned();
    let read = ask_as(served.address, "vic", "GET", &path, None).await;
    assert_eq!((read.status, read.json()), (200, made.json()["result"].clone()));
    assert_eq!(read.header("content-type"), "application/json");
    let etag = read.header("etag").to_owned();
    assert_eq!(etag, made.header("etag"));
    let headers = [("authorization", "Bearer vic"), ("if-none-match", etag.as_str())];
    let known = ask(served.address, "GET", &path, &headers, None).await;
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    let again =
        ask_as(served.address, "ada", "POST", "/runtime/environments", Some(&environment("shop"))).await;
    assert_eq!((again.status, again.json()["changed"].clone()), (200, json!(false)));
    let mall = environment("mall");
    let other = ask_as(served.address, "ada", "POST", "/runtime/environments?dryRun=true", Some(&mall)).await;
    assert_eq!((other.status, other.json()["dryRun"].clone()), (200, json!(true)));
    let listed =
        ask_as(served.address, "vic", "GET", "/runtime/environments?status=requested&limit=5", None).await;
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_problem_is_as_rfc_9457_has_it_and_says_what_would_be_legal() {
    let served = served().await;
    let made =
        ask_as(served.address, "ada", "POST", "/runtime/environments", Some(&environment("shop"))).await;
    let id = made.json()["result"]["environmentId"].as_str().unwrap().to_owned();
    let stop = format!("/runtime/environments/{id}/stop-the-line");
    let headers = [("authorization", "Bearer ada"), ("if-match", "\"r7\"")];
    let changed =
        ask(served.address, "POST", &stop, &headers, Some(&json!({ "reason": "an incident" }))).await;
    assert_eq!(changed.status, 412, "{changed:?}");
    let stopped =
        ask_as(served.address, "ada", "POST", &stop, Some(&json!({ "reason": "an incident" }))).await;
    assert_eq!(stopped.status, 200, "{stopped:?}");
    let publish = json!({ "environmentId": id, "entries": [] });
    let correlation = "cor_0123456789abcdef0123456789abcdef";
    let headers = [("authorization", "Bearer ada"), ("x-correlation-id", correlation)];
    let refused = ask(served.address, "POST", "/runtime/configurations", &headers, Some(&publish)).await;
    assert_eq!((refused.status, refused.header("content-type")), (409, "application/problem+json"));
    assert_eq!(refused.header("x-correlation-id"), correlation);
    let problem = refused.json();
    for member in ["type", "title", "status", "detail", "rule", "remedy", "correlationId"] {
        assert!(!problem[member].is_null(), "{member} is missing: {problem}");
    }
    assert_eq!(problem["correlationId"], correlation);
}

#[tokio::test]
async fn the_correlation_of_a_trace_is_the_callers() {
    let served = served().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("authorization", "Bearer vic"), ("traceparent", trace)];
    let listed = ask(served.address, "GET", "/runtime/environments", &headers, None).await;
    assert_eq!(listed.header("x-correlation-id"), "cor_4bf92f3577b34da6a3ce929d0e0e4736");
}

/// Shows X-1.
#[tokio::test]
async fn what_is_another_tenants_is_answered_byte_by_byte_as_what_is_not_there() {
    let served = served().await;
    let made =
        ask_as(served.address, "ada", "POST", "/runtime/environments", Some(&environment("shop"))).await;
    let id = made.json()["result"]["environmentId"].as_str().unwrap().to_owned();
    let absent = "env_00000000000000000000000000000099".to_owned();
    for path in ["", "/history", "/calendar", "/health", "/configuration-consumers"] {
        let text = async |id: &str| {
            let headers = [
                ("authorization", "Bearer eve"),
                ("x-correlation-id", "cor_00000000000000000000000000000001"),
            ];
            let path = format!("/runtime/environments/{id}{path}");
            let answer = ask(served.address, "GET", &path, &headers, None).await;
            let mut headers = answer.headers;
            headers.remove("date");
            format!("{} {headers:?} {}", answer.status, answer.body).replace(id, "ID")
        };
        let (foreign, missing) = (text(&id).await, text(&absent).await);
        assert_eq!(foreign, missing, "{path}");
        assert!(foreign.starts_with("404 "), "{path}: {foreign}");
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_credentials_but_to_what_tells_nothing_of_tenants() {
    let served = served().await;
    for headers in [&[][..], &[("authorization", "Bearer mallory")], &[("authorization", "Basic YWRh")]] {
        let refused = ask(served.address, "GET", "/runtime/environments", headers, None).await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"), "{headers:?}");
        assert!(!refused.body.contains("mallory") && !refused.body.contains("YWRh"));
    }
    let forbidden =
        ask_as(served.address, "vic", "POST", "/runtime/environments", Some(&environment("shop"))).await;
    assert_eq!(forbidden.status, 403);
    for path in ["/livez", "/readyz", "/openapi.json"] {
        assert_eq!(ask(served.address, "GET", path, &[], None).await.status, 200, "{path}");
    }
    let described = ask(served.address, "GET", "/openapi.json", &[], None).await.json();
    assert_eq!(described["openapi"], "3.1.0");
}

#[tokio::test]
async fn what_is_not_a_request_is_told_what_it_is_instead() {
    let served = served().await;
    let post = async |headers: &[(&str, &str)], body: &str| {
        let mut text = format!(
            "POST /runtime/environments HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ada\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        let answer = raw(served.address, format!("{text}\r\n{body}").as_bytes()).await;
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let json = [("content-type", "application/json")];
    assert_eq!(post(&json, "{").await, "400");
    assert_eq!(post(&json, "[]").await, "400");
    assert_eq!(post(&json, &format!("{}{}", "[".repeat(100), "]".repeat(100))).await, "413");
    assert_eq!(post(&[("content-type", "text/plain")], "{}").await, "415");
    assert_eq!(post(&json, &format!("\"{}\"", "a".repeat(2 << 20))).await, "413");
    let get = async |path: &str| ask_as(served.address, "vic", "GET", path, None).await.status;
    assert_eq!(get("/runtime/environments/shop").await, 400);
    assert_eq!(get("/runtime/environments?limit=many").await, 400);
    assert_eq!(get("/runtime/environments?limit=1&limit=2").await, 400);
    assert_eq!(get("/runtime/environments?colour=red").await, 400);
    assert_eq!(get("/runtime/environments/%ff").await, 400);
    assert_eq!(get("/runtime/nothing").await, 404);
    for path in ["/runtime/environments", "/runtime/events", "/openapi.json", "/livez", "/readyz", "/centre"]
    {
        let wrong = ask_as(served.address, "ada", "DELETE", path, None).await;
        assert_eq!((wrong.status, wrong.json()["status"].as_u64()), (405, Some(405)), "{path}");
    }
}

/// Shows X-9.
#[tokio::test]
async fn one_tenants_load_is_told_to_come_again_and_costs_another_nothing() {
    let world = World::of(Arc::new(MemoryStore::new()));
    let mut options = AdmissionOptions::default();
    (options.tenant_rate, options.tenant_burst) = (NonZeroU32::MIN, NonZeroU32::new(3).unwrap());
    let api = world.api().admitting(&options);
    let served = Served::of(api, authenticated(), HttpOptions::default(), ServerOptions::default()).await;
    let mut statuses = Vec::new();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let answer = ask_as(served.address, "ada", "GET", "/runtime/environments", None).await;
        statuses.push(answer.status);
        waits.extend(answer.header("retry-after").parse::<u64>().ok());
    }
    assert_eq!(statuses.first(), Some(&200), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(waits.iter().all(|wait| *wait >= 1) && !waits.is_empty());
    assert_eq!(ask_as(served.address, "eve", "GET", "/runtime/environments", None).await.status, 200);
}

/// Shows X-3.
#[tokio::test]
async fn a_command_under_a_key_is_done_once_over_a_restart_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let keyed = async |served: &Served, name: &str| {
        let headers = [("authorization", "Bearer ada"), ("idempotency-key", "one")];
        let body = environment(name);
        ask(served.address, "POST", "/runtime/environments", &headers, Some(&body)).await
    };
    let store = Arc::new(SqliteStore::open(&file).unwrap());
    let served = Served::new(store.clone()).await;
    let made = keyed(&served, "shop").await;
    assert_eq!((made.status, made.header("idempotency-replayed")), (201, ""));
    served.stop().await;
    store.close().await;
    drop(store);
    let served = Served::new(Arc::new(SqliteStore::open(&file).unwrap())).await;
    let again = keyed(&served, "shop").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"), "{again:?}");
    assert_eq!(again.json(), made.json());
    assert_eq!(again.header("location"), made.header("location"));
    let other = keyed(&served, "mall").await;
    assert_eq!(
        (other.status, other.json()["type"].clone()),
        (422, json!("urn:factory-runtime:problem:key-reused"))
    );
}
