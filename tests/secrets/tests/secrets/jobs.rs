//! Jobs that work for a component, on real processes.

use factory_runtime::domain::configuration::{
    ConfigScope, ConfigurationEntries, ConfigurationEntry, ConfigurationValue, EntryKey, SecretReference,
};
use factory_runtime::prelude::*;
use runtime_testkit::canary::Canary;
use sha2::{Digest as _, Sha256};

use crate::stage::{FIRST, Stage, WEB};

/// A job before the rollout, which ends well with the first password; `works_for` is its line that names a component.
fn migration(version: &str, works_for: &str) -> String {
    let wanted: String = Sha256::digest(FIRST).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "gates:
  migrate:
    at: before-rollout
    check:
      job:
        image: test/web:{version}
        arguments: [migrate, {wanted}]
        {works_for}
        timeout: 30s
"
    )
}

/// A database is migrated with the login of the service that it is for.
///
/// Shows.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_works_for_a_component_has_what_its_instances_are_given() {
    let stage = Stage::set(Span::from_secs(60)).await;
    let file = stage.bind("file:password", Span::from_secs(1)).await;
    stage.bind("env:PASSWORD", Span::from_secs(1)).await;
    let login = ConfigurationEntry {
        scope: ConfigScope::Service(Name::new(WEB).expect("a name")),
        key: EntryKey::new("database.login").expect("a key"),
        value: ConfigurationValue::Secret(SecretReference::to(file)),
    };
    let entries = ConfigurationEntries::new(vec![login]).expect("entries");
    let published = stage.runtime().configuration().publish(&stage.scope, stage.environment, entries);
    let configuration = published.await.expect("published").aggregate.id();
    let deployed = async |version: &str, works_for: &str| {
        let gates = migration(version, works_for);
        let id = stage.request_behind(&gates, (version, version, 1), Some(configuration)).await;
        stage.ended(id).await
    };
    let with = deployed("1.0.0", &format!("component: {WEB}")).await;
    assert_eq!(with.status(), DeploymentStatus::Completed, "{with:?}");

    // Who works for nobody is given nothing, and prints so; what it would print with a secret is not told.
    let without = deployed("1.0.1", "").await;
    let told = format!("{without:?}");
    assert_ne!(without.status(), DeploymentStatus::Completed, "{told}");
    assert!(told.contains("its last output: not let in with"), "{told}");
    drop(stage.close().await);
}

/// Shows X-11.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_with_secrets_prints_is_in_its_log_alone() {
    let stage = Stage::set(Span::from_secs(60)).await;
    stage.bind("file:password", Span::from_secs(1)).await;
    stage.bind("env:PASSWORD", Span::from_secs(1)).await;
    // It is led to no secret by any configuration: so it fails.
    let gates = migration("1.0.0", &format!("component: {WEB}"));
    let id = stage.request_behind(&gates, ("1.0.0", "", 1), None).await;
    let deployment = stage.ended(id).await;
    let history = stage.runtime().deployments().history(&stage.scope, id, 0, 1_000).await.expect("read");
    let told = format!("{deployment:?} {history:?}");
    assert!(told.contains("it exited with code 3; what it printed is in its log alone"), "{told}");
    assert_eq!(Canary::new(FIRST).expect("a canary").in_text("what is told", &told), []);
    drop(stage.close().await);
}
