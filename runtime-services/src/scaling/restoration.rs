//! A release that is gone back to scales as it did: the policy goes back with the image, the configuration and the secrets.

use async_trait::async_trait;
use runtime_domain::aggregate::Aggregate;
use runtime_domain::deployment::{DeploymentStatus, Purpose, RuntimeDeployment};
use runtime_domain::id::{AggregateKind, DeploymentId};
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{Loaded, Query, Repository, RuntimeDeploymentRepository, ScalingPolicyRepository};
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};

use super::{NewScalingPolicy, ScalingError, ScalingService};
use crate::error::CommandError;
use crate::events::{not_handled, opened, scope_of};
use crate::host::Host;

/// Follows deployments that went back, and has their components scale again as they did before what was gone back from was asked for.
///
/// What somebody changed after the way back had ended stands.
#[derive(Debug, Clone)]
pub struct PolicyRestoration {
    host: Host,
    scaling: ScalingService,
}

/// What a component goes back to.
struct Back {
    module: ModuleId,
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
        let Some(ended) = found.map(|found| found.aggregate) else { return Ok(()) };
        let Some(ended_at) = ended.completed_at() else { return Ok(()) };
        for module in RuntimeDeployment::modules(&ended) {
            if let Some(left_at) = self.left_at(scope, &ended, &module).await? {
                let back = Back { module, left_at, ended_at };
                self.bring_back(scope, &ended, &back).await?;
            }
        }
        Ok(())
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
        let said = all.iter().find_map(|loaded| loaded.aggregate.said_at(back.left_at));
        let Some(said) = said.cloned() else { return Ok(()) };
        let current = all.iter().map(|loaded| &loaded.aggregate).find(|policy| policy.owns_replicas());
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
        match restored {
            // The surface is not there any more, or the environment goes: nothing is left to scale.
            Err(CommandError::Refused(refusal)) => {
                tracing::warn!(module = %back.module, %refusal, "a scaling policy was not brought back");
                Ok(())
            }
            restored => restored.map(drop),
        }
    }
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
