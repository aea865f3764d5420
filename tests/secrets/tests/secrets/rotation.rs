//! Rotation on real processes, and what others got wrong about it.

use std::os::unix::fs::PermissionsExt as _;

use factory_runtime::domain::configuration::{
    ConfigScope, ConfigurationEntries, ConfigurationEntry, ConfigurationValue, EntryKey, SecretReference,
};
use factory_runtime::domain::secrets::{RotationOutcome, SecretState, SecretStatus};
use factory_runtime::ports::secret_store::{SecretAccess, SecretStore as _};
use factory_runtime::prelude::*;
use factory_runtime::services::secrets::RotationRequest;

use crate::stage::{FIRST, Load, ROTATED, Stage, WEB, get, identity, secret, until};

/// What the workload answers that was given a value.
fn digest(value: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(value).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Which of the secret's versions are retired, the oldest first.
async fn retired(stage: &Stage) -> Vec<bool> {
    let access = SecretAccess { tenant: stage.scope.tenant(), identity: identity() };
    let listed = stage.embedded.vault().versions(&access, &secret()).await.expect("listed");
    listed.iter().map(|entry| entry.is_retired).collect()
}

/// Buried: vault#31758. Theirs: rotating revoked the old credentials at once, and every consumer of them failed. Ours: requests go
/// on with either, none fails, and the old version is retired only after every instance was seen on the new one and the grace is over.
///
/// Shows SEC-2.
#[tokio::test(flavor = "multi_thread")]
async fn vault_31758_a_rotation_under_load_fails_no_request_and_retires_the_old_version_after_its_grace() {
    let grace = Span::from_secs(2);
    let stage = Stage::set(Span::from_secs(60)).await;
    let binding = stage.bind("file:password", grace).await;
    assert_eq!(stage.deploy("1.0.0", "", 3).await.status(), DeploymentStatus::Completed);
    let endpoint = stage.endpoint().await;
    assert_eq!(get(&endpoint, "/").await.expect("answered"), (200, digest(FIRST)));
    let valid = [digest(FIRST), digest(ROTATED)];
    let load = Load::on(&endpoint, move |body| valid.iter().any(|valid| valid == body));

    let request = RotationRequest::because("a quarter has passed");
    stage.runtime().secrets().rotate(&stage.scope, binding, request).await.expect("accepted");
    let in_grace = stage.becomes(binding, SecretStatus::Grace).await;
    let SecretState::Grace(state) = in_grace.state() else { panic!("{in_grace:?}") };
    assert_eq!(retired(&stage).await, [false, false], "the old version is valid during the grace");
    let seen = stage.observe().await;
    let on: Vec<_> = seen.revisions.values().flat_map(|it| &it.instances).map(|it| &it.secrets).collect();
    assert!(on.len() >= 3 && on.iter().all(|on| on.iter().all(|it| it.version == state.version)), "{seen:?}");
    let bound = stage.becomes(binding, SecretStatus::Bound).await;
    let now = stage.runtime().host().now();
    assert!(now >= state.until, "it ended at {now}, before its grace at {}", state.until);
    assert_eq!(retired(&stage).await, [true, false]);
    assert_eq!(bound.current_version().to_string(), "2");
    assert_eq!(bound.rotations()[0].outcome, RotationOutcome::Completed);

    let (asked, failed) = load.end().await;
    assert!(failed == 0 && asked > 50, "{failed} of {asked} requests failed");
    assert_eq!(get(&endpoint, "/").await.expect("answered"), (200, digest(ROTATED)));
    println!("{asked} requests during a rotation, {failed} failed");
    drop(stage.close().await);
}

/// Buried: csi-driver#1288. Theirs: a secret was rotated, what ran next still got the old value, and nobody knew. Ours: a version that no instance
/// becomes ready with is never taken for consumed. The rollout goes back by itself, requests go on with the old password, and at its deadline the
/// rotation is called off and its version retired.
#[tokio::test(flavor = "multi_thread")]
async fn csi_driver_1288_a_consumer_that_does_not_take_the_new_version_holds_the_rotation() {
    let stage = Stage::set(Span::from_secs(4)).await;
    let binding = stage.bind("file:password", Span::from_secs(1)).await;
    let deployed = stage.deploy("1.0.0", "refuses-rotated", 1).await;
    assert_eq!(deployed.status(), DeploymentStatus::Completed);
    let endpoint = stage.endpoint().await;
    let first = digest(FIRST);
    let load = Load::on(&endpoint, move |body| body == first);

    let request = RotationRequest::because("a quarter has passed");
    stage.runtime().secrets().rotate(&stage.scope, binding, request).await.expect("accepted");
    stage.becomes(binding, SecretStatus::Distributing).await;
    let bound = stage.becomes(binding, SecretStatus::Bound).await;
    assert_eq!(bound.current_version().to_string(), "1");
    assert_eq!(bound.rotations()[0].outcome, RotationOutcome::Aborted);
    assert_eq!(retired(&stage).await, [false, true], "the version that nobody uses is retired");
    let (asked, failed) = load.end().await;
    assert!(failed == 0 && asked > 50, "{failed} of {asked} requests failed");
    // The image serves already: that its password was wrong is no reason to keep it out.
    stage.rests().await;
    assert_eq!(stage.deploy("1.0.1", "", 1).await.status(), DeploymentStatus::Completed);
    drop(stage.close().await);
}

/// Shows X-11 and what the delivery promises: files for their user alone, in folders of each instance's own, which go with it.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_has_its_secrets_in_a_folder_of_its_own_that_goes_with_it() {
    let stage = Stage::set(Span::from_secs(60)).await;
    stage.bind("file:password", Span::from_secs(1)).await;
    stage.bind("env:PASSWORD", Span::from_secs(1)).await;
    assert_eq!(stage.deploy("1.0.0", "", 2).await.status(), DeploymentStatus::Completed);
    assert_eq!(get(&stage.endpoint().await, "/variable").await.expect("answered"), (200, digest(FIRST)));
    let folders = stage.secret_folders().await;
    assert_eq!(folders.len(), 2, "{folders:?}");
    for folder in &folders {
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(folder), mode(&folder.join("password"))), (0o700, 0o600));
        assert_eq!(std::fs::read(folder.join("password")).expect("there"), FIRST);
    }
    drop(stage.close().await);
    for folder in folders {
        assert!(!folder.exists(), "{} is left", folder.display());
    }
}

/// Shows CFG-2 and X-6: a configuration names a binding, and the workload finds there where its secret is; a rotation keeps the configuration.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_refers_to_a_secret_tells_the_workload_where_it_is() {
    let stage = Stage::set(Span::from_secs(60)).await;
    let file = stage.bind("file:password", Span::from_millis(200)).await;
    let variable = stage.bind("env:PASSWORD", Span::from_millis(200)).await;
    let entry = |key: &str, binding| ConfigurationEntry {
        scope: ConfigScope::Service(Name::new(WEB).expect("a name")),
        key: EntryKey::new(key).expect("a key"),
        value: ConfigurationValue::Secret(SecretReference::to(binding)),
    };
    let entries =
        ConfigurationEntries::new(vec![entry("database.login", file), entry("api.login", variable)]);
    let published =
        stage.runtime().configuration().publish(&stage.scope, stage.environment, entries.expect("entries"));
    let configuration = published.await.expect("published").aggregate.id();
    let deployed = stage.deploy_with("1.0.0", "", 1, Some(configuration)).await;
    assert_eq!(deployed.status(), DeploymentStatus::Completed, "{deployed:?}");
    let told = async || {
        let (_, text) = get(&stage.endpoint().await, "/configuration").await.expect("answered");
        let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        told["entries"].clone()
    };
    let first = told().await;
    assert_eq!(first["api.login"]["variable"], "PASSWORD", "{first}");
    let path = first["database.login"]["file"].as_str().expect("a path").to_owned();
    assert_eq!(std::fs::read(&path).expect("there"), FIRST);

    let request = RotationRequest::because("audit");
    stage.runtime().secrets().rotate(&stage.scope, file, request).await.expect("accepted");
    until("the rotation is over", async || {
        (stage.binding(file).await.current_version().to_string() == "2").then_some(())
    })
    .await;
    let then = told().await;
    let path = then["database.login"]["file"].as_str().expect("a path");
    assert_eq!(std::fs::read(path).expect("there"), ROTATED);
    drop(stage.close().await);
}

/// An aborted rotation brings its consumers back, and its version is retired once nobody uses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_called_off_half_way_goes_back_and_leaves_no_valid_version() {
    let stage = Stage::set(Span::from_secs(60)).await;
    let binding = stage.bind("file:password", Span::from_secs(60)).await;
    assert_eq!(stage.deploy("1.0.0", "", 1).await.status(), DeploymentStatus::Completed);
    let secrets = stage.runtime().secrets();
    secrets.rotate(&stage.scope, binding, RotationRequest::because("audit")).await.expect("accepted");
    stage.becomes(binding, SecretStatus::Distributing).await;
    secrets.abort(&stage.scope, binding, "not today".to_owned()).await.expect("called off");
    let bound = stage.becomes(binding, SecretStatus::Bound).await;
    assert_eq!(bound.current_version().to_string(), "1");
    assert_eq!(retired(&stage).await, [false, true]);
    until("the old password is back", async || {
        let answered = get(&stage.endpoint().await, "/").await.ok()?;
        (answered == (200, digest(FIRST))).then_some(())
    })
    .await;
    drop(stage.close().await);
}

/// What a host without a vault, or a tenant without the secret, is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_bound_is_refused_with_what_would_be_legal() {
    let stage = Stage::set(Span::from_secs(60)).await;
    let secrets = stage.runtime().secrets();
    let wanted = stage.wanted("file:password", Span::from_secs(1));
    let said = async |wanted| {
        let refused = secrets.bind(&stage.scope, wanted).await.expect_err("refused");
        let mut text = refused.to_string();
        let mut cause = std::error::Error::source(&refused);
        while let Some(inner) = cause {
            text.push_str(&format!(": {inner}"));
            cause = inner.source();
        }
        text
    };
    let mut absent = wanted.clone();
    absent.secret = "local://main/password/7".parse().expect("a version");
    assert!(said(absent).await.contains("no valid version 7"));
    let mut stranger = wanted.clone();
    stranger.identity = "local:stranger".parse().expect("an identity");
    assert!(said(stranger).await.contains("does not let local:stranger"));
    let mut elsewhere = wanted.clone();
    elsewhere.secret = "openbao://kv/web?version=1#password".parse().expect("a version");
    assert!(said(elsewhere).await.contains("RuntimeBuilder::secret_store"));
    let bound = secrets.bind(&stage.scope, wanted.clone()).await.expect("bound");
    let again = secrets.bind(&stage.scope, wanted).await.expect("the same");
    assert!(bound.changed && !again.changed);
    assert_eq!(bound.aggregate.id(), again.aggregate.id());
    // Another tenant has neither the binding nor the secret.
    let other = TenantScope::authenticated(
        TenantId::from_uuid(stage.runtime().host().ports().ids.next()),
        Actor::new("eve").expect("an actor"),
        stage.runtime().host().new_correlation(),
    );
    let refused = secrets.binding(&other, bound.aggregate.id()).await.expect_err("not hers");
    assert!(refused.to_string().contains("was not found"), "{refused}");
    drop(stage.close().await);
}
