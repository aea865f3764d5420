//! What people and other contexts may ask of a deployment that was made.

use runtime_domain::deployment::{DeploymentCommand, RuntimeDeployment};
use runtime_domain::id::{DeploymentId, EnvironmentId};
use runtime_domain::promotion::PromotionPolicy;
use runtime_domain::scope::TenantScope;
use runtime_domain::value::Name;

use super::{DeploymentError, DeploymentService};
use crate::existing;
use crate::unit::Done;

impl DeploymentService {
    /// Agrees to a gate in the caller's name.
    ///
    /// # Errors
    /// No such approval is waited for, the caller is not an approver, or asked for the promotion that is to be agreed to.
    pub async fn approve(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        gate: Name,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        if gate.as_str() == PromotionPolicy::GATE {
            self.must_be_anothers(scope, deployment).await?;
        }
        let command = DeploymentCommand::Approve { gate, by: scope.actor().clone() };
        self.command(scope, deployment, &command).await
    }

    /// Disagrees in the caller's name: the gate fails.
    ///
    /// # Errors
    /// As [`DeploymentService::approve`].
    pub async fn reject(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        gate: Name,
        reason: String,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        let command = DeploymentCommand::Reject { gate, by: scope.actor().clone(), reason };
        self.command(scope, deployment, &command).await
    }

    /// Begins nothing new until it is resumed.
    ///
    /// # Errors
    /// It has ended or is going back.
    pub async fn pause(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        reason: String,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        self.command(scope, deployment, &DeploymentCommand::Pause { reason }).await
    }

    /// Goes on, from a pause or a hold that waits for a person.
    ///
    /// # Errors
    /// It has ended or is going back.
    pub async fn resume(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        self.command(scope, deployment, &DeploymentCommand::Resume).await
    }

    /// Skips what waits, never what judges.
    ///
    /// # Errors
    /// It does not go forward.
    pub async fn promote_now(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        self.command(scope, deployment, &DeploymentCommand::PromoteNow).await
    }

    /// Ends the rollout; what served before serves again.
    ///
    /// # Errors
    /// It is Completed: then ask for a rollback.
    pub async fn abort(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        reason: String,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        self.command(scope, deployment, &DeploymentCommand::Abort { reason }).await
    }

    /// Lets rolled-back images be deployed again.
    ///
    /// # Errors
    /// The deployment was not rolled back.
    pub async fn release_quarantine(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        reason: String,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        self.command(scope, deployment, &DeploymentCommand::ReleaseQuarantine { reason }).await
    }

    /// Aborts deployments of the environment that are in flight, and tells whether there was any.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn abort_all(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        reason: &str,
    ) -> Result<bool, DeploymentError> {
        let in_flight = self.in_flight(scope, environment, 1_000).await?;
        for loaded in &in_flight {
            self.abort(scope, loaded.aggregate.id(), reason.to_owned()).await?;
        }
        Ok(!in_flight.is_empty())
    }

    async fn command(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        command: &DeploymentCommand,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        let what = format!("deployment {deployment}");
        let decide = |found: &RuntimeDeployment, now| found.decide(command, now);
        existing::command(&self.host, scope, command.name(), deployment.uuid(), &what, decide).await
    }
}
