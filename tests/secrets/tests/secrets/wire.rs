//! What a host tells whoever asks it.

use std::collections::BTreeMap;

use factory_runtime::api::{Api, CallOptions};
use factory_runtime::ports::authenticator::{Principal, Role};
use factory_runtime::prelude::*;
use runtime_testkit::canary::Canary;
use serde_json::{Map, Value};

use crate::stage::{FIRST, Stage, WEB};

/// Operations that must have been answered, so that something was told.
const ANSWERED: [&str; 7] = [
    "DeploymentService.GetDeployment",
    "DeploymentService.ListDeploymentHistory",
    "RuntimeEnvironmentService.GetEnvironmentOutputs",
    "SecretBindingService.GetSecretBinding",
    "SecretBindingService.ListSecretBindingHistory",
    "SecretBindingService.ListSecretBindings",
    "ServiceCatalogRuntimeService.GetService",
];

/// Buried: Argo CD CVE-2025-55190. Theirs: whoever could read a project was told the credentials of its repositories. Ours: no operation that looks
/// tells what a secret is worth, whatever the role of who asks.
///
/// Shows X-11.
#[tokio::test(flavor = "multi_thread")]
async fn no_operation_tells_a_credential_to_whoever_may_look() {
    let stage = Stage::set(Span::from_secs(60)).await;
    let file = stage.bind("file:password", Span::from_secs(1)).await;
    stage.bind("env:PASSWORD", Span::from_secs(1)).await;
    let deployed = stage.deploy("1.0.0", "", 1).await;
    assert_eq!(deployed.status(), DeploymentStatus::Completed);
    let service = ServiceId::of(stage.environment, &Name::new(WEB).expect("a name"));
    let known = BTreeMap::from([
        ("deploymentId", deployed.id().to_string()),
        ("environmentId", stage.environment.to_string()),
        ("secretBindingId", file.to_string()),
        ("serviceId", service.to_string()),
    ]);

    let api = Api::new(stage.runtime().services().clone());
    let canary = Canary::new(FIRST).expect("a canary");
    let actor = Actor::new("eve").expect("an actor");
    let mut answered = BTreeMap::new();
    for role in [Role::Viewer, Role::Operator, Role::Approver, Role::Administrator] {
        let caller = Principal::verified(stage.scope.tenant(), actor.clone(), [role], None);
        for operation in api.catalogue().operations().filter(|it| it.descriptor().is_read()) {
            let path: Vec<&str> = operation.descriptor().path_parameters().collect();
            // Beside what is in the path, some want to be told of which environment.
            for named in [path.clone(), [path, vec!["environmentId"]].concat()] {
                let fields = named.into_iter().filter_map(|name| Some((name, known.get(name)?)));
                let request: Map<String, Value> =
                    fields.map(|(name, id)| (name.to_owned(), Value::from(id.as_str()))).collect();
                let id = operation.descriptor().id();
                let answer = api.call(&caller, &id, Value::Object(request), CallOptions::default()).await;
                let told = match answer {
                    Ok(answer) => {
                        answered.insert(id.clone(), answer.value().to_string());
                        answer.value().to_string()
                    }
                    Err(problem) => format!("{problem:?}"),
                };
                assert_eq!(canary.in_text(&id, &told), [], "{role:?}");
            }
        }
    }
    for id in ANSWERED {
        assert!(answered.contains_key(id), "{id} was not answered: {:?}", answered.keys());
    }
    let bound = &answered["SecretBindingService.GetSecretBinding"];
    assert!(bound.contains("local://main/password"), "it tells where the secret is: {bound}");
    drop(stage.close().await);
}
