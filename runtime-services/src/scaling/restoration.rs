//! A release that serves scales as it says, and one that is gone back to as it did: the policy comes and goes with the image, the
//! configuration and the secrets.

use async_trait::async_trait;
use runtime_domain::aggregate::Aggregate;
use runtime_domain::deployment::{DeploymentStatus, Purpose, ReleasedScaling, RuntimeDeployment};
use runtime_domain::id::{AggregateKind, DeploymentId};
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{
    Loaded, Query, Repository, RuntimeDeploymentRepository, ScalingPolicyRepository, TenantStore,
};
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};

use super::{NewScalingPolicy, ScalingError, ScalingService};
use crate::error::CommandError;
use crate::events::{not_handled, opened, scope_of};
use crate::host::Host;

/// Follows deployments, so that what a release says of how its components scale is in force once it serves.
///
/// Where a release that declares it serves, by a rollout or by going back to it, each component's policy says what is declared, and is made where
/// there is none. Where what is gone back to declares nothing, its components scale again as they did before what was gone back from was asked
/// for; a policy that came to be with what was gone back from is retired. A rollout that went back by itself never had its terms in force.
///
/// What somebody changed after the deployment had ended stands, and nothing that a later deployment said is undone by an earlier one: each
/// policy keeps the number of the deployment that it follows.
#[derive(Debug, Clone)]
pub struct PolicyRestoration {
    host: Host,
    scaling: ScalingService,
}

/// What a component goes back to.
struct Back {
    module: ModuleId,
    /// Whether a rollout went back by itself.
    is_rollout: bool,
    /// When what it goes back from was asked for.
    left_at: Timestamp,
    /// When it was back.
    ended_at: Timestamp,
}

impl PolicyRestoration {
    /// What restores the policies of a host.
    pub fn new(host: Host, scaling: ScalingService) -> Self {
        Self { host, scaling }
    }

    async fn restore(&self, scope: &TenantScope, deployment: DeploymentId) -> Result<(), ScalingError> {
        let store = self.host.ports().store.for_tenant(scope);
        let found = Repository::<RuntimeDeployment>::new(&*store).load(deployment.uuid()).await?;
        let Some(Loaded { aggregate: ended, revision, .. }) = found else { return Ok(()) };
        let Some(ended_at) = ended.completed_at() else { return Ok(()) };
        for module in RuntimeDeployment::modules(&ended) {
            let released = ended.released_scaling(&module, revision);
            // First what it says or is, so that what an earlier one said cannot come after it.
            if let Some(released) = &released {
                self.follow(scope, &ended, released, ended_at).await?;
            }
            if released.is_none_or(|released| released.policy().is_none())
                && let Some(left_at) = self.left_at(scope, &ended, &module).await?
            {
                let is_rollout = ended.purpose() == Purpose::Rollout;
                let back = Back { module, is_rollout, left_at, ended_at };
                self.bring_back(scope, &ended, &back).await?;
            }
        }
        Ok(())
    }

    /// What a deployment says is in force, unless a later one says otherwise, or somebody has ended the policy since.
    async fn follow(
        &self,
        scope: &TenantScope,
        ended: &RuntimeDeployment,
        released: &ReleasedScaling,
        ended_at: Timestamp,
    ) -> Result<(), ScalingError> {
        let store = self.host.ports().store.for_tenant(scope);
        let (environment, module) = (ended.environment_id(), released.module());
        if is_overtaken(&*store, ended, module).await? {
            return Ok(());
        }
        let policies = ScalingPolicyRepository::new(&*store);
        let stands = match policies.current(environment, module).await? {
            // A way back that says nothing of it changes nothing: that it is known keeps what comes late from doing so.
            Some(found) => {
                let known = found.aggregate.released().map(|known| known.release.number);
                let is_news = known.is_none_or(|known| known < released.number());
                is_news && released.policy().is_some() && ended_at < found.aggregate.applied_at()
            }
            None => {
                let query = Query::all(ScalingPolicy::KIND).in_environment(environment).about(module.clone());
                was_ended_since(&policies.every(query).await?, ended_at)
            }
        };
        if stands {
            return Ok(());
        }
        told(module, self.scaling.follow(scope, released).await)
    }

    /// When what a component went back from was asked for; `None` where it did not go back.
    async fn left_at(
        &self,
        scope: &TenantScope,
        ended: &RuntimeDeployment,
        module: &ModuleId,
    ) -> Result<Option<Timestamp>, ScalingError> {
        match (ended.status(), ended.purpose()) {
            (DeploymentStatus::RolledBack, Purpose::Rollout) => Ok(Some(ended.requested_at())),
            (DeploymentStatus::Completed, Purpose::Rollback { to }) => {
                let store = self.host.ports().store.for_tenant(scope);
                let deployments = RuntimeDeploymentRepository::new(&*store);
                let query = Query::all(RuntimeDeployment::KIND)
                    .in_environment(ended.environment_id())
                    .about(module.clone())
                    .with_status(&[DeploymentStatus::Completed.name()]);
                // Newest first, down to what was gone back to: the last one before it is what replaced it.
                let mut replaced = None;
                for loaded in deployments.every(query).await? {
                    let other = loaded.aggregate;
                    if other.id() == to {
                        return Ok(replaced);
                    }
                    if other.id() != ended.id() {
                        replaced = Some(other.requested_at());
                    }
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    async fn bring_back(
        &self,
        scope: &TenantScope,
        ended: &RuntimeDeployment,
        back: &Back,
    ) -> Result<(), ScalingError> {
        let environment = ended.environment_id();
        let store = self.host.ports().store.for_tenant(scope);
        let policies = ScalingPolicyRepository::new(&*store);
        let query = Query::all(ScalingPolicy::KIND).in_environment(environment).about(back.module.clone());
        let all: Vec<Loaded<ScalingPolicy>> = policies.every(query).await?;
        let current = all.iter().map(|loaded| &loaded.aggregate).find(|policy| policy.owns_replicas());
        // What a rollout that went back by itself replaced may have been heard of only while that was under way.
        let followed = current.and_then(ScalingPolicy::released).filter(|_| back.is_rollout);
        let left_at = followed.map_or(back.left_at, |followed| followed.since.max(back.left_at));
        let said = all.iter().find_map(|loaded| loaded.aggregate.said_at(left_at));
        let Some(said) = said.cloned() else {
            return match current.filter(|policy| came_with_what_was_left(policy, back)) {
                Some(policy) => {
                    let reason =
                        format!("{} was gone back to, and scaled by no policy", ended.release().reference);
                    told(&back.module, self.scaling.retire(scope, policy.id(), reason).await.map(drop))
                }
                None => Ok(()),
            };
        };
        let restored = match current {
            Some(policy) if policy.applied_at() >= back.ended_at || *policy.spec() == said => return Ok(()),
            Some(policy) => self.scaling.change(scope, policy.id(), said).await,
            None if was_ended_since(&all, back.ended_at) => return Ok(()),
            None => {
                let module = back.module.clone();
                let wanted = NewScalingPolicy { environment, module, policy: said };
                self.scaling.put_in_force(scope, &wanted).await
            }
        };
        told(&back.module, restored.map(drop))
    }
}

/// Where the surface is not there any more, or the environment goes, nothing is left to scale.
fn told(module: &ModuleId, followed: Result<(), ScalingError>) -> Result<(), ScalingError> {
    match followed {
        Err(CommandError::Refused(refusal)) => {
            tracing::warn!(%module, %refusal, "a scaling policy does not follow its release");
            Ok(())
        }
        followed => followed,
    }
}

/// Whether a later deployment of a component says how it scales, or went back to what says nothing.
async fn is_overtaken(
    store: &dyn TenantStore,
    ended: &RuntimeDeployment,
    module: &ModuleId,
) -> Result<bool, ScalingError> {
    let deployments = RuntimeDeploymentRepository::new(store);
    let completed = [DeploymentStatus::Completed];
    let newest = deployments.newest_of(ended.environment_id(), module, &completed).await?;
    if newest.is_none_or(|newest| newest.aggregate.id() == ended.id()) {
        return Ok(false);
    }
    let query = Query::all(RuntimeDeployment::KIND)
        .in_environment(ended.environment_id())
        .about(module.clone())
        .with_status(&completed.map(DeploymentStatus::name));
    let number = |deployment: &RuntimeDeployment| deployment.numbers().get(module).copied();
    let all = deployments.every(query).await?;
    let mut later = all.iter().filter(|other| number(&other.aggregate) > number(ended));
    Ok(later.any(|later| later.aggregate.released_scaling(module, later.revision).is_some()))
}

/// Whether a policy came to be with a release that was gone back from.
fn came_with_what_was_left(policy: &ScalingPolicy, back: &Back) -> bool {
    let with_a_release = policy.released().is_some_and(|released| released.is_origin);
    with_a_release
        && !back.is_rollout
        && policy.began_after(back.left_at)
        && !policy.began_after(back.ended_at)
}

/// Whether somebody ended a policy after the way back had ended.
fn was_ended_since(policies: &[Loaded<ScalingPolicy>], at: Timestamp) -> bool {
    use runtime_domain::scaling::PolicyState;
    policies.iter().any(
        |loaded| matches!(loaded.aggregate.state(), PolicyState::Retired(retired) if retired.since >= at),
    )
}

#[async_trait]
impl Subscriber for PolicyRestoration {
    fn name(&self) -> &str {
        "scaling"
    }

    async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled> {
        let event = delivery.event;
        if event.aggregate_kind != AggregateKind::RuntimeDeployment {
            return Ok(());
        }
        let envelope = opened(event)?;
        match envelope.event_type.name() {
            "RuntimeDeploymentCompleted" | "RuntimeDeploymentRolledBack" => {
                let scope = scope_of(&self.host, "scaling", &envelope);
                let deployment = DeploymentId::from_uuid(event.aggregate_id);
                self.restore(&scope, deployment).await.map_err(not_handled)
            }
            _ => Ok(()),
        }
    }
}
