//! Progress: nothing lost, nothing twice, over reconnections and restarts.

use std::sync::Arc;

use runtime_api::AdmissionOptions;
use runtime_http::{HttpOptions, ServerOptions};
use runtime_memory::MemoryStore;
use serde_json::json;

use crate::client::{Event, Events, ask_as};
use crate::contract::environment;
use crate::world::{Served, World, authenticated};

async fn made(served: &Served, name: &str) -> String {
    let made = ask_as(served.address, "ada", "POST", "/runtime/environments", Some(&environment(name))).await;
    made.json()["result"]["environmentId"].as_str().unwrap().to_owned()
}

async fn stop_and_resume(served: &Served, environment: &str) {
    for (what, reason) in [("stop-the-line", "an incident"), ("resume-the-line", "it is over")] {
        let path = format!("/runtime/environments/{environment}/{what}");
        let answer = ask_as(served.address, "ada", "POST", &path, Some(&json!({ "reason": reason }))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn places(events: &[Event]) -> Vec<(String, u64)> {
    let place = |event: &Event| {
        let sequence = event.data["sequence"].as_u64().unwrap_or_default();
        (event.data["id"].as_str().unwrap_or_default().to_owned(), sequence)
    };
    events.iter().map(place).collect()
}

#[tokio::test]
async fn a_tenant_is_followed_over_reconnections_without_loss_and_without_repetition() {
    let served = Served::new(Arc::new(MemoryStore::new())).await;
    let shop = made(&served, "shop").await;
    let mut events = Events::begin(served.address, "vic", "/runtime/events", None).await;
    stop_and_resume(&served, &shop).await;
    let mut seen = vec![events.next().await.unwrap()];
    drop(events);
    stop_and_resume(&served, &shop).await;
    let after = seen.last().unwrap().id.clone();
    let mut events = Events::begin(served.address, "vic", "/runtime/events", Some(&after)).await;
    for _ in 0..3 {
        seen.push(events.next().await.unwrap());
    }
    assert!(seen.iter().all(|event| event.name == "progress"), "{seen:?}");
    let expected: Vec<(String, u64)> = (2..=5).map(|sequence| (shop.clone(), sequence)).collect();
    assert_eq!(places(&seen), expected);
    assert_eq!(seen[0].data["environmentId"], json!(shop));
    assert_eq!(seen[0].data["actor"], "ada");
}

/// Shows X-1.
#[tokio::test]
async fn what_happens_to_another_tenant_is_told_to_nobody_else() {
    let served = Served::new(Arc::new(MemoryStore::new())).await;
    let mut events = Events::begin(served.address, "eve", "/runtime/events", None).await;
    let shop = made(&served, "shop").await;
    stop_and_resume(&served, &shop).await;
    let own =
        ask_as(served.address, "eve", "POST", "/runtime/environments", Some(&environment("mall"))).await;
    let first = events.next().await.unwrap();
    assert_eq!(first.data["id"], own.json()["result"]["environmentId"]);
}

#[tokio::test]
async fn whoever_asks_to_go_on_after_what_is_not_known_is_told_to_begin_anew() {
    let served = Served::new(Arc::new(MemoryStore::new())).await;
    let elsewhere = Some("0123456789abcdef0123456789abcdef-7");
    let mut events = Events::begin(served.address, "vic", "/runtime/events", elsewhere).await;
    assert_eq!(events.next().await.unwrap().name, "reset");
    let shop = made(&served, "shop").await;
    assert_eq!(events.next().await.unwrap().data["id"], json!(shop));
}

#[tokio::test]
async fn a_stream_ends_when_the_callers_credentials_do_and_when_the_host_stops() {
    let served = Served::new(Arc::new(MemoryStore::new())).await;
    let mut short = Events::begin(served.address, "short", "/runtime/events", None).await;
    assert_eq!(short.next().await, None);
    let mut events = Events::begin(served.address, "vic", "/runtime/events", None).await;
    let (stopped, ended) = tokio::join!(served.stop(), events.next());
    assert_eq!(((), None), (stopped, ended));
}

/// Shows X-9.
#[tokio::test]
async fn one_tenant_cannot_take_every_stream() {
    let world = World::of(Arc::new(MemoryStore::new()));
    let mut admission = AdmissionOptions::default();
    (admission.streams, admission.tenant_streams) = (4, 2);
    let api = world.api().admitting(&admission);
    let served = Served::of(api, authenticated(), HttpOptions::default(), ServerOptions::default()).await;
    let open = async |name| Events::begin(served.address, name, "/runtime/events", None).await;
    let _greedy = (open("ada").await, open("vic").await);
    let refused = ask_as(served.address, "ada", "GET", "/runtime/events", None).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    let _quiet = (open("eve").await, open("eve").await);
}

#[tokio::test]
async fn a_stream_is_for_those_who_are_let_in_and_of_what_is_there() {
    let served = Served::new(Arc::new(MemoryStore::new())).await;
    let get = async |token: &str, path: &str| ask_as(served.address, token, "GET", path, None).await.status;
    assert_eq!(get("mallory", "/runtime/events").await, 401);
    assert_eq!(get("vic", "/runtime/deployments/dep_00000000000000000000000000000009/events").await, 404);
    assert_eq!(get("vic", "/runtime/deployments/shop/events").await, 400);
}

/// An image that the world knows.
const IMAGE: &str =
    "registry.example/web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn release(environment: &str) -> serde_json::Value {
    json!({
        "environmentId": environment,
        "release": {
            "reference": "shop-1.0.0",
            "strategy": { "rollingHealthGated": {} },
            "components": { "web": { "image": IMAGE, "version": "1.0.0" } },
        },
    })
}

#[tokio::test]
async fn a_rollout_is_followed_to_its_end_over_reconnections_to_either_of_two_hosts() {
    let world = World::of(Arc::new(MemoryStore::new()));
    let (one, other) = (Served::at_work(&world).await, Served::new_in(&world).await);
    let mut happens = Events::begin(one.address, "vic", "/runtime/events", None).await;
    let shop = made(&one, "shop").await;
    while happens.next().await.unwrap().data["event"] != "RuntimeEnvironmentProvisioned" {}
    let asked = ask_as(one.address, "ada", "POST", "/runtime/deployments", Some(&release(&shop))).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let path = format!("{}/events", asked.header("location"));
    let (mut seen, mut after): (Vec<Event>, Option<String>) = (Vec::new(), None);
    let mut connections = 0;
    while seen.last().is_none_or(|event| event.data["event"] != "RuntimeDeploymentCompleted") {
        // Three events of a connection, then the other host is asked to go on.
        let host = if connections % 2 == 0 { other.address } else { one.address };
        connections += 1;
        let mut events = Events::begin(host, "vic", &path, after.as_deref()).await;
        for _ in 0..3 {
            let event = events.next().await.unwrap();
            let is_last = event.data["event"] == "RuntimeDeploymentCompleted";
            after = Some(event.id.clone());
            seen.push(event);
            if is_last {
                break;
            }
        }
    }
    let numbers: Vec<u64> = seen.iter().map(|event| event.data["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(connections > 2, "it was followed over {connections} connections");
    let read = ask_as(one.address, "vic", "GET", asked.header("location"), None).await.json();
    assert_eq!(read["status"], "completed");
    let history = format!("{}/history", asked.header("location"));
    let history = ask_as(one.address, "vic", "GET", &history, None).await.json();
    assert_eq!(history["entries"].as_array().unwrap().len(), numbers.len());
}
