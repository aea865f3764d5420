//! Who may call what, over every method of the descriptors that are served.

use futures::StreamExt as _;
use prost::Message as _;
use runtime_api::catalogue::Catalogue;
use runtime_grpc::{PACKAGE, Watch};
use runtime_ports::authenticator::Role;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};

use crate::client::{Client, filled};
use crate::world::{Served, served};

/// How many calls are under way at once.
const AT_ONCE: usize = 16;

/// Shows X-1: without credentials that verify there is nothing, whatever the method and whatever is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_method_answers_who_is_not_known() {
    let host = served().await;
    let client = Client::of(&host, "1-viewer").await;
    let mut told = Vec::new();
    for token in [None, Some("forged"), Some("expired"), Some("1-nobody")] {
        let client = client.with(token);
        for method in client.methods() {
            for message in [Vec::new(), vec![0xff; 3]] {
                let refused = client.send(&method, message, &[]).await.unwrap_err();
                assert_eq!(
                    refused.code(),
                    Code::Unauthenticated,
                    "{token:?} {}: {refused}",
                    method.full_name()
                );
                told.push(refused.message().to_owned());
            }
        }
    }
    assert!(told.iter().all(|message| !message.contains("forged")), "what was shown is told");
    assert_eq!(told.len(), 4 * 2 * (Catalogue::new().operations().count() + Watch::ALL.len()));
}

/// Each method has its case for each role, by the descriptors: who has not the role that the catalogue says is refused, who has it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_method_needs_the_role_that_its_operation_declares() {
    let host = served().await;
    let client = Client::of(&host, "1-viewer").await;
    let catalogue = Catalogue::new();
    let mut cases = 0;
    for role in Role::ALL {
        let client = client.with(Some(&format!("1-{}", role.name())));
        for method in client.methods() {
            let id = method.full_name().trim_start_matches(PACKAGE).trim_start_matches('.');
            let watch =
                Watch::ALL.into_iter().find(|watch| id == format!("{}.{}", watch.service(), watch.name()));
            let operation = catalogue.operation(id).map(|operation| operation.descriptor().role);
            let needed = operation.or(watch.map(Watch::role)).unwrap_or_else(|| panic!("{id} has no case"));
            let outcome = client.send(&method, Vec::new(), &[("dry-run", "false")]).await;
            let code = outcome.map_or_else(|status| status.code(), |_| Code::Ok);
            let is_let_in = code != Code::PermissionDenied;
            assert_eq!(is_let_in, role.suffices_for(needed), "{role} {id}: {code:?}");
            assert_ne!(code, Code::Unauthenticated, "{id}");
            cases += 1;
        }
    }
    assert_eq!(cases, Role::ALL.len() * (catalogue.operations().count() + Watch::ALL.len()));
}

/// Shows X-1: what is another tenant's is answered byte for byte as on a host that has nothing at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_another_tenants_is_answered_as_if_it_were_not_there() {
    let (host, empty) = tokio::join!(served(), served());
    let known = filled_tenant(&host).await;
    let own = Client::of(&host, "1-administrator").await;
    let (foreign, nobody) = (own.with(Some("2-administrator")), Client::of(&empty, "2-administrator").await);
    let said = [("x-correlation-id", "cor_000000000000000000000000000000ff"), ("dry-run", "false")];
    let mut not_found = 0;
    for method in own.methods() {
        let message = filled(method.input(), &known).encode_to_vec();
        let here = foreign.send(&method, message.clone(), &said).await;
        let there = nobody.send(&method, message, &said).await;
        match (here, there) {
            (Err(here), Err(there)) => {
                assert_eq!(bytes(&here), bytes(&there), "{}", method.full_name());
                not_found += usize::from(here.code() == Code::NotFound);
            }
            (Ok(here), Ok(there)) => assert_eq!(here.get_ref(), there.get_ref(), "{}", method.full_name()),
            (here, there) => panic!("{}: {here:?} and {there:?}", method.full_name()),
        }
    }
    assert!(not_found > 20, "only {not_found} methods asked for a thing of the other's");
    let found = own
        .call("RuntimeEnvironmentService.GetEnvironment", json!({ "environmentId": known["environmentId"] }))
        .await;
    assert!(found.is_ok(), "the owner has it: {found:?}");
}

/// All that a status says.
fn bytes(status: &Status) -> (Code, String, Vec<u8>, Vec<String>) {
    let mut metadata: Vec<String> = status
        .metadata()
        .clone()
        .into_headers()
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    metadata.sort();
    // Details hold a map, whose order is not fixed.
    let mut details = status.details().to_vec();
    details.sort_unstable();
    (status.code(), status.message().to_owned(), details, metadata)
}

/// Things of the first tenant, by the names that requests have for them.
async fn filled_tenant(host: &Served) -> Map<String, Value> {
    let environment = host.environment(1, "shop").await.to_string();
    let client = Client::of(host, "1-administrator").await;
    let entry =
        json!({ "scope": "environment", "key": "greeting", "value": { "text": { "value": "hello" } } });
    let published = json!({ "environmentId": environment, "entries": [entry] });
    let published = client.call("RuntimeConfigurationService.PublishConfiguration", published).await.unwrap();
    let image = format!("demo/shop@sha256:{}", "7".repeat(64));
    let release = json!({
        "reference": "shop-1",
        "strategy": { "rollingHealthGated": {} },
        "components": { "shop": { "image": image, "version": "1.0.0" } },
    });
    let deployed = json!({ "environmentId": environment, "release": release });
    let deployed = client.call("DeploymentService.RequestDeployment", deployed).await.unwrap();
    let policy = json!({
        "target": "process", "minReplicas": 1, "maxReplicas": 3,
        "rules": [{ "metric": "request-rate", "threshold": "10" }],
    });
    let policy = json!({ "environmentId": environment, "module": "shop", "policy": policy });
    let applied = client.call("RuntimeScalingService.ApplyScalingPolicy", policy).await.unwrap();
    let known = json!({
        "environmentId": environment,
        "fromEnvironmentId": environment,
        "toEnvironmentId": environment,
        "configurationId": published["result"]["configurationId"],
        "deploymentId": deployed["result"]["deploymentId"],
        "scalingPolicyId": applied["result"]["scalingPolicyId"],
        "serviceId": applied["result"]["serviceId"],
        "module": "shop",
        "reason": "to see",
        "gate": "readiness",
        "release": release,
    });
    let Value::Object(known) = known else { panic!() };
    known
}

/// Many callers of several tenants at once, each sees its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_see_their_own() {
    let host = served().await;
    let client = Client::of(&host, "1-administrator").await;
    let calls = futures::stream::iter(0..64_u64).map(|number| {
        let client = client.with(Some(&format!("{}-administrator", number % 4)));
        async move {
            let wanted = json!({
                "projectId": "prj_00000000000000000000000000000001", "name": format!("e{number}"), "stage": "dev",
                "region": "local", "isolationModel": "pool", "surfaces": ["process"],
            });
            client.call("RuntimeEnvironmentService.ProvisionEnvironment", wanted).await.unwrap();
        }
    });
    calls.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let mine = client
        .with(Some("3-viewer"))
        .call("RuntimeEnvironmentService.ListEnvironments", json!({}))
        .await
        .unwrap();
    let items = mine["items"].as_array().unwrap();
    assert_eq!(items.len(), 16);
    assert!(
        items.iter().all(|item| item["tenantId"] == json!(runtime_testkit::sample::tenant(3).to_string()))
    );
}
