//! Previews, revisions, keys, other tenants, problems.

use std::sync::Arc;

use runtime_api::{CallOptions, ProblemKind};
use runtime_ports::authenticator::Role;
use runtime_sqlite::SqliteStore;
use serde_json::json;

use crate::world::{administrator, api, call, caller, environment, in_memory, provisioned};

const PROVISION: &str = "RuntimeEnvironmentService.ProvisionEnvironment";
const GET: &str = "RuntimeEnvironmentService.GetEnvironment";
const STOP: &str = "RuntimeEnvironmentService.StopTheLine";
const RESUME: &str = "RuntimeEnvironmentService.ResumeTheLine";

fn options(change: impl FnOnce(&mut CallOptions)) -> CallOptions {
    let mut options = CallOptions::default();
    change(&mut options);
    options
}

fn keyed(key: &str) -> CallOptions {
    options(|options| options.idempotency_key = Some(key.to_owned()))
}

#[tokio::test]
async fn a_preview_says_what_would_be_and_changes_nothing() {
    let (api, ada) = (in_memory(), administrator(1));
    let dry = options(|options| options.dry_run = true);
    let previewed = api.call(&ada, PROVISION, environment("shop"), dry.clone()).await.unwrap();
    assert_eq!(previewed.value()["dryRun"], true);
    assert_eq!(previewed.value()["changed"], true);
    assert_eq!(previewed.value()["result"]["status"], "requested");
    assert!(!previewed.is_created);
    let listed = call(&api, &ada, "RuntimeEnvironmentService.ListEnvironments", json!({})).await.unwrap();
    assert_eq!(listed.value()["items"], json!([]));

    let id = provisioned(&api, &ada, "shop").await;
    let stop = json!({ "environmentId": id, "reason": "an incident" });
    let previewed = api.call(&ada, STOP, stop, dry).await.unwrap();
    assert_eq!(previewed.value()["result"]["stoppedLine"]["reason"], "an incident");
    let found = call(&api, &ada, GET, json!({ "environmentId": id })).await.unwrap();
    assert_eq!(found.value()["stoppedLine"], json!(null));
    assert_eq!(found.value()["revision"], 1);
}

#[tokio::test]
async fn a_command_meant_for_another_revision_is_refused_and_does_nothing() {
    let (api, ada) = (in_memory(), administrator(1));
    let id = provisioned(&api, &ada, "shop").await;
    let read = call(&api, &ada, GET, json!({ "environmentId": id })).await.unwrap();
    let meant = options(|options| options.if_match = read.etag.clone());
    let stop = json!({ "environmentId": id, "reason": "an incident" });
    let stopped = api.call(&ada, STOP, stop, meant.clone()).await.unwrap();
    assert_ne!(stopped.etag, read.etag);
    let resume = json!({ "environmentId": id, "reason": "it is over" });
    let problem = api.call(&ada, RESUME, resume.clone(), meant).await.unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::PreconditionFailed);
    let found = call(&api, &ada, GET, json!({ "environmentId": id })).await.unwrap();
    assert_eq!(found.etag, stopped.etag);
    let meant = options(|options| options.if_match = stopped.etag.clone());
    assert!(api.call(&ada, RESUME, resume, meant).await.is_ok());
    let nonsense = options(|options| options.if_match = Some("\"seven\"".to_owned()));
    let problem = api.call(&ada, RESUME, json!({ "environmentId": id, "reason": "x" }), nonsense).await;
    assert_eq!(problem.unwrap_err().kind(), ProblemKind::Malformed);
}

/// Shows X-3.
#[tokio::test]
async fn a_command_with_a_key_is_done_once_also_by_another_host_on_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(SqliteStore::open(folder.path().join("state.db")).unwrap());
    let ada = administrator(1);
    let store = open();
    let first_host = api(store.clone());
    let made = first_host.call(&ada, PROVISION, environment("shop"), keyed("one")).await.unwrap();
    assert!(made.is_created && !made.is_repeated);
    let id = made.value()["result"]["environmentId"].as_str().unwrap().to_owned();
    let stop = json!({ "environmentId": id, "reason": "an incident" });
    let stopped = first_host.call(&ada, STOP, stop.clone(), keyed("two")).await.unwrap();
    assert_eq!(stopped.value()["changed"], true);
    call(&first_host, &ada, RESUME, json!({ "environmentId": id, "reason": "over" })).await.unwrap();
    store.close().await;
    drop(first_host);

    let second_host = api(open());
    let again = second_host.call(&ada, PROVISION, environment("shop"), keyed("one")).await.unwrap();
    assert!(again.is_repeated && again.is_created, "{again:?}");
    assert_eq!(again.value()["result"]["environmentId"], id);
    assert_eq!(again.value()["explanation"], made.value()["explanation"]);
    let repeated = second_host.call(&ada, STOP, stop, keyed("two")).await.unwrap();
    assert!(repeated.is_repeated);
    assert_eq!(repeated.value()["result"]["stoppedLine"], json!(null), "it was resumed since, and stays so");
    assert_eq!(repeated.value()["explanation"], stopped.value()["explanation"]);
}

#[tokio::test]
async fn a_key_is_of_one_command_of_one_caller() {
    let (api, ada) = (in_memory(), administrator(1));
    api.call(&ada, PROVISION, environment("shop"), keyed("one")).await.unwrap();
    let problem = api.call(&ada, PROVISION, environment("mall"), keyed("one")).await.unwrap_err();
    assert_eq!((problem.kind(), problem.kind().status()), (ProblemKind::KeyReused, 422));
    let id = provisioned(&api, &ada, "shop").await;
    let stop = json!({ "environmentId": id, "reason": "an incident" });
    let problem = api.call(&ada, STOP, stop.clone(), keyed("one")).await.unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::KeyReused);
    // Another caller's key of the same text is another key, and another tenant's as well.
    let ann = caller(1, "ann", &[Role::Administrator]);
    assert!(!api.call(&ann, STOP, stop, keyed("one")).await.unwrap().is_repeated);
    let other = api.call(&administrator(2), PROVISION, environment("shop"), keyed("one")).await.unwrap();
    assert!(other.is_created && !other.is_repeated);
    for key in ["", &"k".repeat(256), "a\nb", "ä"] {
        let problem = api.call(&ada, PROVISION, environment("shop"), keyed(key)).await.unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::Malformed, "{key}");
    }
}

#[tokio::test]
async fn a_repetition_of_what_changed_nothing_changes_nothing_later() {
    let (api, ada) = (in_memory(), administrator(1));
    let id = provisioned(&api, &ada, "shop").await;
    let resume = json!({ "environmentId": id, "reason": "nothing is stopped" });
    let unchanged = api.call(&ada, RESUME, resume.clone(), keyed("one")).await.unwrap();
    assert_eq!(unchanged.value()["changed"], false);
    let stop = json!({ "environmentId": id, "reason": "an incident" });
    call(&api, &ada, STOP, stop).await.unwrap();
    let repeated = api.call(&ada, RESUME, resume, keyed("one")).await.unwrap();
    assert!(repeated.is_repeated);
    assert_eq!(repeated.value()["result"]["stoppedLine"]["reason"], "an incident");
    let other = json!({ "environmentId": id, "reason": "another reason" });
    let problem = api.call(&ada, RESUME, other, keyed("one")).await.unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::KeyReused);
}

#[tokio::test]
async fn many_at_once_under_one_key_do_it_once() {
    let (api, ada) = (in_memory(), administrator(1));
    let id = provisioned(&api, &ada, "shop").await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (api, ada) = (api.clone(), ada.clone());
        let stop = json!({ "environmentId": id, "reason": "an incident" });
        calls.spawn(async move { api.call(&ada, STOP, stop, keyed("one")).await.unwrap() });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| answer.value()["changed"] == true), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| !answer.is_repeated).count(), 1);
    let history = json!({ "environmentId": id });
    let history =
        call(&api, &ada, "RuntimeEnvironmentService.ListEnvironmentHistory", history).await.unwrap();
    assert_eq!(history.value()["entries"].as_array().unwrap().len(), 2);
}

/// Shows X-1.
#[tokio::test]
async fn what_is_another_tenants_is_answered_as_what_is_not_there() {
    let (api, ada, eve) = (in_memory(), administrator(1), administrator(2));
    let id = provisioned(&api, &ada, "shop").await;
    let absent = "env_00000000000000000000000000000099";
    for operation in [GET, STOP, "RuntimeDriftDetectionService.GetEnvironmentDrift"] {
        let request = |id: &str| match operation {
            STOP => json!({ "environmentId": id, "reason": "x" }),
            _ => json!({ "environmentId": id }),
        };
        let text = async |id: &str| {
            let problem = call(&api, &eve, operation, request(id)).await.unwrap_err();
            let mut document = serde_json::to_value(problem.document()).unwrap();
            document["correlationId"].take();
            document.to_string().replace(id, "ID")
        };
        assert_eq!(text(&id).await, text(absent).await, "{operation}");
        assert!(text(absent).await.contains("404"));
    }
    let listed = call(&api, &eve, "RuntimeEnvironmentService.ListEnvironments", json!({})).await.unwrap();
    assert_eq!(listed.value()["items"], json!([]));
}

#[tokio::test]
async fn a_refusal_names_its_rule_and_what_would_be_legal() {
    let (api, ada) = (in_memory(), administrator(1));
    let id = provisioned(&api, &ada, "shop").await;
    let publish = json!({ "environmentId": id, "entries": [] });
    call(&api, &ada, STOP, json!({ "environmentId": id, "reason": "an incident" })).await.unwrap();
    let problem =
        call(&api, &ada, "RuntimeConfigurationService.PublishConfiguration", publish).await.unwrap_err();
    let document = problem.document();
    assert_eq!(document.status, 409, "{document:?}");
    assert!(document.rule.is_some() && !document.remedy.is_empty(), "{document:?}");
    assert!(document.correlation_id.is_some());
}

#[tokio::test]
async fn a_field_that_is_not_known_is_refused_by_its_name() {
    let (api, ada) = (in_memory(), administrator(1));
    let mut request = environment("shop");
    request["colour"] = json!("red");
    let problem = call(&api, &ada, PROVISION, request).await.unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::Malformed);
    assert!(problem.detail().contains("colour"), "{}", problem.detail());
    let mut request = environment("shop");
    request["capacity"] = json!({ "cpuMillicores": "many" });
    let problem = call(&api, &ada, PROVISION, request).await.unwrap_err();
    assert!(problem.detail().starts_with("capacity.cpuMillicores"), "{}", problem.detail());
}

/// What fits its schema is never malformed: that no service outside can be asked there is a rule's word.
#[tokio::test]
async fn a_dependency_that_no_url_names_is_refused_by_its_place_and_not_repeated() {
    let (api, ada) = (in_memory(), administrator(1));
    let id = provisioned(&api, &ada, "shop").await;
    for url in ["", "https://pay.example", "http://ada:hunter2@pay.example", "http://pay.example:0/", "/pay"]
    {
        let component = json!({ "image": "shop/cart:1.0", "version": "1.0.0", "dependencies": { "pay": { "url": url } } });
        let release = json!({ "reference": "r1", "strategy": { "rollingHealthGated": {} }, "components": { "cart": component } });
        let request = json!({ "environmentId": id, "release": release });
        let problem = call(&api, &ada, "DeploymentService.RequestDeployment", request).await.unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::Unprocessable, "{}", problem.detail());
        assert!(
            problem.detail().starts_with("release.components.cart.dependencies.pay.url: "),
            "{problem:?}"
        );
        assert!(problem.detail().contains("http://host:port/path"), "{problem:?}");
        assert!(!problem.detail().contains("hunter2"), "{problem:?}");
    }
}

#[tokio::test]
async fn a_day_that_the_calendar_does_not_have_is_refused_by_its_place() {
    let (api, ada) = (in_memory(), administrator(1));
    let id = provisioned(&api, &ada, "shop").await;
    let calendar = |until: &str| {
        let freeze = json!({ "name": "feast", "activities": [], "from": "2026-02-27T00:00:00", "until": until, "reason": "a feast" });
        json!({ "environmentId": id, "timeZone": "UTC", "windows": [], "freezes": [freeze] })
    };
    let change = "RuntimeEnvironmentService.ChangeCalendar";
    let problem = call(&api, &ada, change, calendar("2026-02-29T00:00:00")).await.unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::Unprocessable, "{problem:?}");
    assert!(problem.detail().starts_with("freezes[0].until: "), "{problem:?}");
    let changed = call(&api, &ada, change, calendar("2026-02-28T12:00:00.5")).await;
    assert!(!matches!(&changed, Err(problem) if problem.kind() == ProblemKind::Malformed), "{changed:?}");
}

#[tokio::test]
async fn a_list_is_given_page_by_page_and_a_foreign_cursor_is_refused() {
    let (api, ada) = (in_memory(), administrator(1));
    for name in ["one", "two", "three"] {
        provisioned(&api, &ada, name).await;
    }
    let list = "RuntimeEnvironmentService.ListEnvironments";
    let first = call(&api, &ada, list, json!({ "limit": 2 })).await.unwrap();
    assert_eq!(first.value()["items"].as_array().unwrap().len(), 2);
    let cursor = first.value()["nextCursor"].clone();
    let second = call(&api, &ada, list, json!({ "limit": 2, "cursor": cursor })).await.unwrap();
    assert_eq!(second.value()["items"].as_array().unwrap().len(), 1);
    assert_eq!(second.value()["nextCursor"], json!(null));
    let elsewhere = call(&api, &administrator(2), list, json!({ "cursor": cursor })).await.unwrap_err();
    assert_eq!(elsewhere.kind(), ProblemKind::Unprocessable);
    for limit in [0, 501] {
        let problem = call(&api, &ada, list, json!({ "limit": limit })).await.unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::Malformed);
    }
    let none = call(&api, &ada, list, json!({ "stage": "prod" })).await.unwrap();
    assert_eq!(none.value()["items"], json!([]));
}
