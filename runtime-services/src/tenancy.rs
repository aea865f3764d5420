//! Tenant bindings: what callers may ask.

use runtime_domain::aggregate::Aggregate;
use runtime_domain::claim::Claim;
use runtime_domain::environment::IsolationModel;
use runtime_domain::id::{EnvironmentId, TenantBindingId};
use runtime_domain::scope::TenantScope;
use runtime_domain::tenancy::{
    BindTenant, BindingStatus, PartitionAssignment, ResourceQuota, RuntimeTenantBinding, TenancyCommand,
    TenancyRefusal,
};
use runtime_ports::store::{Query, Repository};

use crate::environments::{AdmissionError, EnvironmentService};
use crate::error::{CommandError, Refused, sort};
use crate::existing::{self, TRIES};
use crate::host::Host;
use crate::unit::{Done, Grounds, commit};

/// What goes wrong with a tenant binding's command.
pub type TenancyError = CommandError<TenancyRefusal>;

/// Binds tenants to environments.
#[derive(Debug, Clone)]
pub struct TenancyService {
    host: Host,
    environments: EnvironmentService,
}

/// What a tenant is to get in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBinding {
    /// The environment.
    pub environment: EnvironmentId,
    /// How the tenant is kept apart; it must be the environment's model.
    pub isolation_model: IsolationModel,
    /// How much it may use.
    pub quota: ResourceQuota,
    /// Its parts of the network and of the data.
    pub partitions: PartitionAssignment,
}

impl TenancyService {
    /// The service of a host.
    pub fn new(host: Host, environments: EnvironmentService) -> Self {
        Self { host, environments }
    }

    /// Binds the caller's tenant to an environment. Asking again gives the binding that is there (TEN-3, X-3).
    ///
    /// # Errors
    /// The isolation model is not the environment's, or another tenant has the environment to itself (TEN-1).
    pub async fn bind(
        &self,
        scope: &TenantScope,
        wanted: NewBinding,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        let store = self.host.ports().store.for_tenant(scope);
        for _ in 0..TRIES {
            let environment =
                self.environments.host_of(scope, wanted.environment).await.map_err(|error| match error {
                    AdmissionError::Refused(refusal) => {
                        CommandError::Refused(TenancyRefusal::NotHosted(refusal))
                    }
                    AdmissionError::NotFound => {
                        CommandError::NotFound { what: format!("environment {}", wanted.environment) }
                    }
                    AdmissionError::Load(error) => error.into(),
                })?;
            let command = BindTenant {
                tenant_binding_id: TenantBindingId::from_uuid(self.host.ports().ids.next()),
                tenant_id: scope.tenant(),
                environment,
                isolation_model: wanted.isolation_model,
                quota: wanted.quota,
                partitions: wanted.partitions.clone(),
            };
            let query = Query::all(RuntimeTenantBinding::KIND)
                .in_environment(wanted.environment)
                .with_status(&[BindingStatus::Bound.name()])
                .limited_to(1);
            let page = Repository::<RuntimeTenantBinding>::new(&*store).query(query).await?;
            if let Some(bound) = page.items.into_iter().next() {
                let decision = bound.aggregate.bind_again(&command).map_err(CommandError::Refused)?;
                return Ok(Done::of(bound, &decision));
            }
            let facts = [command.evidence()];
            let now = self.host.now();
            let decision = RuntimeTenantBinding::bind(&command, now).map_err(CommandError::Refused)?;
            match commit::<RuntimeTenantBinding>(
                &self.host,
                &*store,
                None,
                &decision,
                Grounds::exactly(&facts),
                now,
            )
            .await
            {
                Ok(Some(loaded)) => return Ok(Done::of(loaded, &decision)),
                Ok(None) => return Err(CommandError::Contended),
                Err(error) => self.refused(error, scope, wanted.environment)?,
            }
        }
        Err(CommandError::Contended)
    }

    fn refused(
        &self,
        error: runtime_ports::store::CommitError,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<(), TenancyError> {
        match sort(error) {
            Refused::Again => Ok(()),
            // The tenant was bound in between: the next try finds the binding.
            Refused::Claim(claim) if claim == Claim::tenant_binding(scope.tenant(), environment) => Ok(()),
            Refused::Claim(_) => Err(CommandError::Refused(TenancyRefusal::Occupied)),
            Refused::Stop(error) => Err(CommandError::Port(error)),
        }
    }

    /// Changes how much the tenant may use.
    ///
    /// # Errors
    /// The binding is not there or was released.
    pub async fn adjust_quota(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        quota: ResourceQuota,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        self.command(scope, binding, &TenancyCommand::AdjustQuota { quota }).await
    }

    /// Ends a binding.
    ///
    /// # Errors
    /// The binding is not there.
    pub async fn release(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        reason: String,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        self.command(scope, binding, &TenancyCommand::ReleaseTenant { reason }).await
    }

    async fn command(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        command: &TenancyCommand,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        let what = format!("tenant binding {binding}");
        let decide = |found: &RuntimeTenantBinding, now| found.decide(command, now);
        existing::command(&self.host, scope, binding.uuid(), &what, decide).await
    }
}
