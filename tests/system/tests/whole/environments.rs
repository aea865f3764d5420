//! Environments on this machine: what ends by itself, what was removed behind the engine's back, and the way to the next stage.

use std::path::PathBuf;

use factory_runtime::domain::id::SecretBindingId;
use factory_runtime::domain::promotion::{Missing, PromotionPolicy, Upstreams};
use factory_runtime::domain::refusal::Rule;
use factory_runtime::domain::secrets::{KeyVaultReference, RotationSchedule};
use factory_runtime::ports::infrastructure::ResourceCondition;
use factory_runtime::ports::surface::ComputeSurface as _;
use factory_runtime::prelude::*;
use factory_runtime::services::promotion::Promotion;
use factory_runtime::services::secrets::NewSecretBinding;

use crate::bench::{Bench, WEB, release_of, until};
use crate::tenancy::environment;

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_whose_time_has_come_ends_by_itself_unless_it_is_protected() {
    let bench = Bench::with_a_release().await;
    let (environments, scope) = (bench.runtime().environments(), bench.scope());
    let kept = environment(&bench, "kept", EnvironmentStage::Dev, IsolationModel::Silo).await;
    let bound = bind(&bench).await;
    environments.protect(scope, kept, true).await.expect("protected");
    for id in [kept, bench.environment()] {
        environments.live_for(scope, id, Some(Span::from_millis(1))).await.expect("accepted");
    }
    until("it is gone", async || {
        let found = environments.environment(scope, bench.environment()).await.expect("there");
        found.decommissioned_at()
    })
    .await;
    let left = bench.embedded().surface().list(scope.tenant(), bench.environment()).await.expect("listed");
    assert!(left.is_empty(), "{left:?}");
    assert!(environments.outputs(scope, bench.environment()).await.expect("told").is_none());
    let bound = bench.runtime().secrets().binding(scope, bound).await.expect("there");
    assert_eq!(bound.state().status().name(), "Unbound", "nothing is left of it");
    let kept_still = environments.environment(scope, kept).await.expect("there");
    assert_eq!(kept_still.provisioning_status().name(), "Provisioned");
    let refused = environments.decommission(scope, kept, "on purpose".to_owned()).await;
    assert_eq!(refused.expect_err("it is protected").rule(), Some(Rule::Lifecycle));
}

/// Binds the component that serves to a secret.
async fn bind(bench: &Bench) -> SecretBindingId {
    let (secret, identity) = ("local://main/password", "local:web".parse().expect("an identity"));
    let whole: KeyVaultReference = secret.parse().expect("a reference");
    let vault = bench.embedded().vault();
    vault.put(bench.scope().tenant(), &whole, &[identity], b"correct horse").await.expect("put in");
    let wanted = NewSecretBinding {
        environment: bench.environment(),
        module: Name::new(WEB).expect("a name"),
        secret: format!("{secret}/1").parse().expect("a version"),
        identity: "local:web".parse().expect("an identity"),
        delivery: "file:password".parse().expect("a delivery"),
        rotation_schedule: RotationSchedule::new(None, Span::from_secs(1)).expect("a schedule"),
    };
    bench.runtime().secrets().bind(bench.scope(), wanted).await.expect("bound").aggregate.id()
}

/// Buried: pulumi#8559.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_behind_the_engines_back_is_found_and_made_again() {
    let bench = Bench::with_a_release().await;
    let (environments, scope) = (bench.runtime().environments(), bench.scope());
    let outputs = environments.outputs(scope, bench.environment()).await.expect("told");
    let logs = PathBuf::from(&outputs.expect("it is provisioned")["process.logs"]);
    std::fs::remove_dir(&logs).expect("removed");
    let found = environments.refresh(scope, bench.environment()).await.expect("looked");
    let missing: Vec<_> =
        found.iter().filter(|finding| finding.condition == ResourceCondition::Missing).collect();
    assert_eq!(missing.len(), 1, "{found:?}");
    until("it is there again", async || logs.is_dir().then_some(())).await;
    until("nothing is missing", async || {
        let found = environments.refresh(scope, bench.environment()).await.expect("looked");
        found.iter().all(|finding| finding.condition == ResourceCondition::Present).then_some(())
    })
    .await;
    assert_eq!(bench.answer().await, "1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serves_in_dev_comes_to_staging_as_it_is_once_another_person_agrees() {
    let bench = Bench::with_a_release().await;
    let (runtime, scope) = (bench.runtime(), bench.scope());
    let staging = environment(&bench, "staging", EnvironmentStage::Staging, IsolationModel::Silo).await;
    let grace = scope_of(scope, "grace");
    let approvers = ["ann", "grace"].map(|name| Actor::new(name).expect("an actor"));
    let soak = Span::from_secs(3_600);
    let policy = |soak| {
        let policy = PromotionPolicy::new([bench.environment()].into(), Upstreams::All, soak);
        policy.and_then(|policy| policy.approved_by(1, approvers.clone().into())).expect("a policy")
    };
    let environments = runtime.environments();
    environments.change_promotion_policy(scope, staging, Some(policy(soak))).await.expect("changed");
    let asked = Promotion { from: bench.environment(), to: staging, modules: [].into() };
    let standing = runtime.promotion().explain(scope, &asked).await.expect("explained");
    assert!(matches!(standing.missing.as_slice(), [Missing::Soak { .. }]), "{standing:?}");
    assert!(!standing.may_come() && standing.ask_again_at.is_some());
    let refused = runtime.promotion().promote(scope, &asked).await.expect_err("it has not soaked");
    assert_eq!(refused.rule(), Some(Rule::Promotion));

    environments.change_promotion_policy(scope, staging, Some(policy(Span::ZERO))).await.expect("changed");
    let standing = runtime.promotion().explain(scope, &asked).await.expect("explained");
    assert!(standing.may_come() && standing.approvals == 1, "{standing:?}");
    assert_eq!(standing.approvers, [approvers[1].clone()].into(), "whoever asks does not agree to it");
    // Built again under the same name, it is another image: what was verified comes, and nothing else.
    bench.pack("1.0.0", "built again").await;
    let promoted = runtime.promotion().promote(scope, &asked).await.expect("accepted").aggregate;
    let gate = || Name::new("promotion").expect("a name");
    let own = runtime.deployments().approve(scope, promoted.id(), gate()).await.expect_err("refused");
    assert_eq!(own.rule(), Some(Rule::Promotion), "{own}");
    until("it waits to be agreed to", async || {
        runtime.deployments().approve(&grace, promoted.id(), gate()).await.ok()
    })
    .await;
    let ended = bench.ended(promoted.id()).await;
    assert_eq!(ended.status(), DeploymentStatus::Completed);
    let module = Name::new("web").expect("a name");
    let image = |deployment: &RuntimeDeployment| deployment.release().components[&module].tuple.image.clone();
    let (served, _, _) = *bench.listing().await.last().expect("the first");
    let served = runtime.deployments().deployment(scope, served).await.expect("there");
    assert_eq!(image(&ended).digest(), image(&served).digest());
    assert_eq!(
        runtime.promotion().promote(scope, &asked).await.expect("the same").aggregate.id(),
        promoted.id()
    );
    let rebuilt = bench.resolve(&release_of("1.0.0")).await.expect("resolved");
    let foreign = runtime.deployments().request(scope, staging, rebuilt).await;
    assert_eq!(foreign.expect_err("nobody verified it").rule(), Some(Rule::Promotion));
}

fn scope_of(scope: &TenantScope, actor: &str) -> TenantScope {
    TenantScope::authenticated(scope.tenant(), Actor::new(actor).expect("an actor"), scope.correlation())
}
