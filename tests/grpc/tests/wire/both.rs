//! One host over REST and over gRPC: what is said over one is so over the other.

use runtime_ports::PortErrorKind;
use runtime_testkit::faults::Fault;
use serde_json::{Value, json};

use crate::calls::{ADMINISTRATOR, release, rest};
use crate::client::Client;
use crate::world::{Served, served};

/// Status and document of a command over REST.
async fn post(host: &Served, path: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
    let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
    let headers = format!("authorization: Bearer {ADMINISTRATOR}\r\n{key}");
    let answer = rest(host, "POST", path, &headers, &body.to_string()).await;
    let (head, document) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(document).unwrap())
}

/// Shows X-3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_of_one_command_over_whichever_wire_it_comes() {
    let host = served().await;
    let client = Client::of(&host, ADMINISTRATOR).await;
    let environment = host.environment(1, "shop").await.to_string();
    let asked = json!({ "environmentId": environment, "release": release() });
    let (status, first) = post(&host, "/runtime/deployments", Some("one"), &asked).await;
    assert_eq!(status, 201, "{first}");
    let key = [("idempotency-key", "one")];
    let again = client.call_with("DeploymentService.RequestDeployment", asked.clone(), &key).await.unwrap();
    assert_eq!(again.metadata().get("idempotency-replayed").unwrap(), "true");
    assert_eq!(again.into_inner()["result"]["deploymentId"], first["result"]["deploymentId"]);
    let mut other = asked;
    other["release"]["components"]["shop"]["replicas"] = json!(2);
    let refused = client.call_with("DeploymentService.RequestDeployment", other, &key).await;
    assert!(refused.unwrap_err().message().contains("key"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn previews_of_secrets_tenants_and_watches_change_nothing() {
    let host = served().await;
    let secret = "local://vault/password/1";
    host.vault.keep(&secret.parse().unwrap());
    let environment = host.environment(1, "shop").await.to_string();
    let quota = json!({ "cpuMillicores": 1, "memoryBytes": 1, "storageBytes": 1, "requestsPerSecond": 1 });
    let bind = json!({ "environmentId": environment, "module": "shop", "secret": secret, "identity": "local:shop", "delivery": "file:password" });
    let watch = format!("/runtime/drift/{environment}/watch");
    for (path, found, body) in [
        ("/runtime/secret-bindings", "/runtime/secret-bindings", bind),
        (
            "/runtime/tenant-bindings",
            "/runtime/tenant-bindings",
            json!({ "environmentId": environment, "isolationModel": "pool", "quota": quota }),
        ),
        (&watch, &watch, json!({ "terms": { "path": "shop" } })),
    ] {
        let read = async || {
            let headers = format!("authorization: Bearer {ADMINISTRATOR}\r\n");
            let answer = rest(&host, "GET", found, &headers, "").await;
            let there = answer.contains("\"revision\":");
            assert!(
                there || answer.contains("\"items\":[]") || answer.starts_with("HTTP/1.1 404"),
                "{answer}"
            );
            there
        };
        let (status, previewed) = post(&host, &format!("{path}?dryRun=true"), None, &body).await;
        assert_eq!(
            (status, &previewed["dryRun"], &previewed["changed"]),
            (200, &json!(true), &json!(true)),
            "{previewed}"
        );
        assert!(!read().await, "{path}");
        let (status, done) = post(&host, path, None, &body).await;
        assert!(matches!(status, 200 | 201) && done["dryRun"] == false, "{done}");
        assert!(read().await, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_paths_are_compared_is_kept_over_either_wire() {
    let host = served().await;
    let client = Client::of(&host, ADMINISTRATOR).await;
    let environment = host.environment(1, "shop").await.to_string();
    let rules = json!([
        { "path": ["labels", "*"], "treatment": { "ignored": {} } },
        { "path": ["memory"], "treatment": { "quantity": {} } },
        { "path": ["ports"], "treatment": { "unordered": { "member": "name" } } },
        { "path": ["replicas"], "treatment": { "absentMeans": { "value": "1" } } },
    ]);
    let terms = |rules: &Value| json!({ "terms": { "path": "shop", "rules": rules } });
    let path = format!("/runtime/drift/{environment}/watch");
    let (status, watched) = post(&host, &path, None, &terms(&rules)).await;
    assert_eq!((status, &watched["result"]["terms"]["rules"]), (200, &rules), "{watched}");
    let asked = json!({ "environmentId": environment });
    let watched = client.call("RuntimeDriftDetectionService.GetDriftWatch", asked).await.unwrap();
    assert_eq!(watched["terms"]["rules"], rules);
    let mut asked = terms(&rules);
    asked["environmentId"] = json!(environment);
    let again = client.call("RuntimeDriftDetectionService.WatchEnvironment", asked).await.unwrap();
    assert_eq!((&again["changed"], &again["result"]["terms"]["rules"]), (&json!(false), &rules));
    let wrong = json!([{ "path": ["replicas"], "treatment": { "absentMeans": { "value": "{" } } }]);
    let (status, problem) = post(&host, &path, None, &terms(&wrong)).await;
    assert_eq!(status, 422, "{problem}");
}

/// Shows DRF-3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desired_state_that_cannot_be_read_is_no_fault_of_the_host() {
    let host = served().await;
    let client = Client::of(&host, ADMINISTRATOR).await;
    let environment = host.environment(1, "shop").await.to_string();
    let watch = json!({ "environmentId": environment, "terms": { "path": "shop" } });
    client.call("RuntimeDriftDetectionService.WatchEnvironment", watch).await.unwrap();
    host.faults.choose(|call| {
        (call.method == "desired_state.read").then_some(Fault::Before(PortErrorKind::Corrupt))
    });
    let path = format!("/runtime/drift/{environment}/comparison");
    let headers = format!("authorization: Bearer {ADMINISTRATOR}\r\n");
    let answer = rest(&host, "GET", &path, &headers, "").await;
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("\"rule\":\"DRF-3\""), "{answer}");
}

/// `1.0` is a whole number (JSON Schema).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_number_is_one_however_it_is_written() {
    let host = served().await;
    let environment = host.environment(1, "shop").await.to_string();
    let quota =
        json!({ "cpuMillicores": 1e3, "memoryBytes": 1.0, "storageBytes": 1, "requestsPerSecond": 1 });
    let bind = json!({ "environmentId": environment, "isolationModel": "pool", "quota": quota });
    let (status, bound) = post(&host, "/runtime/tenant-bindings", None, &bind).await;
    assert_eq!((status, &bound["result"]["quota"]["cpuMillicores"]), (201, &json!(1_000)), "{bound}");
    let mut half = bind;
    half["quota"]["cpuMillicores"] = json!(1.5);
    assert_eq!(post(&host, "/runtime/tenant-bindings", None, &half).await.0, 400);
}
