//! Waiting for a deployment's end.

use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::id::DeploymentId;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Span;

use super::{DeploymentError, DeploymentService};

impl DeploymentService {
    /// Waits until a deployment has ended, or `patience` runs out, and returns it as it is then: look at its
    /// [status](RuntimeDeployment::status). A host that reconciles deployments must be at work somewhere.
    ///
    /// # Errors
    /// As [`DeploymentService::deployment`].
    pub async fn until_ended(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        patience: Span,
    ) -> Result<RuntimeDeployment, DeploymentError> {
        let deadline = patience.after(self.host.now());
        loop {
            let found = self.deployment(scope, deployment).await?;
            let now = self.host.now();
            if found.status().is_final() || now >= deadline {
                return Ok(found);
            }
            self.host.ports().clock.sleep_until(self.host.options().poll.after(now).min(deadline)).await;
        }
    }
}
