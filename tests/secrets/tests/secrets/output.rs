//! What workloads print.

use factory_runtime::domain::id::DeploymentId;
use factory_runtime::prelude::*;
use runtime_testkit::canary::Canary;

use crate::stage::{FIRST, Stage};

/// All that is told of a deployment, whoever asks.
async fn told(stage: &Stage, deployment: DeploymentId) -> String {
    let deployments = stage.runtime().deployments();
    let state = deployments.deployment(&stage.scope, deployment).await.expect("there");
    let history = deployments.history(&stage.scope, deployment, 0, 1_000).await.expect("read");
    format!("{state:?} {history:?}")
}

/// What an instance printed last is told where it crashes, unless it was given secrets: who can tell how it writes them?
///
/// Shows X-11.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_with_secrets_prints_is_in_its_log_alone() {
    let stage = Stage::set(Span::from_secs(60)).await;
    let crashed = async |version: &str| {
        // Not the image that crashed before, which is in quarantine.
        let deployment = stage.deploy(version, &format!("tells-and-ends-{version}"), 1).await;
        assert_ne!(deployment.status(), DeploymentStatus::Completed, "{deployment:?}");
        let told = told(&stage, deployment.id()).await;
        assert!(told.contains("it exited with code 3"), "{told}");
        told
    };
    let without = crashed("1.0.0").await;
    assert!(without.contains("its last output: not let in with"), "{without}");
    stage.bind("file:password", Span::from_secs(1)).await;
    stage.bind("env:PASSWORD", Span::from_secs(1)).await;
    let with = crashed("1.0.1").await;
    let canary = Canary::new(FIRST).expect("a canary");
    assert_eq!(canary.in_text("what is told", &with), []);
    assert!(!with.contains("not let in with") && with.contains("in its log alone"), "{with}");
    drop(stage.close().await);
}
