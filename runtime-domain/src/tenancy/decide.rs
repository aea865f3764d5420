//! What a command comes to.

use alloc::format;
use alloc::vec;

use crate::aggregate::Decision;
use crate::environment::IsolationModel;
use crate::reason;
use crate::tenancy::{
    BindTenant, BindingState, ResourceQuota, RuntimeTenantBinding, TenancyCommand, TenancyEvent,
    TenancyRefusal, TenantBound,
};
use crate::time::Timestamp;

type Decided = Result<Decision<TenancyEvent>, TenancyRefusal>;

impl RuntimeTenantBinding {
    /// Decides on a new binding.
    ///
    /// # Errors
    /// TEN-1 where the isolation is not the environment's; X-1 where the environment is another tenant's silo.
    pub fn bind(command: &BindTenant, _now: Timestamp) -> Decided {
        let environment = &command.environment;
        if command.isolation_model != environment.isolation_model() {
            return Err(TenancyRefusal::OtherIsolation {
                wanted: command.isolation_model,
                offered: environment.isolation_model(),
            });
        }
        if command.isolation_model == IsolationModel::Silo && command.tenant_id != environment.tenant() {
            return Err(TenancyRefusal::ForeignSilo);
        }
        let bound = TenantBound {
            tenant_binding_id: command.tenant_binding_id,
            tenant_id: command.tenant_id,
            environment_id: environment.environment(),
            isolation_model: command.isolation_model,
            quota: command.quota,
            partitions: command.partitions.clone(),
        };
        let explanation =
            format!("the environment at {} keeps {:?} isolation", environment.at(), command.isolation_model);
        Ok(Decision::of(vec![TenancyEvent::RuntimeTenantBound(bound)], explanation))
    }

    /// Answers the command that made this binding when it comes again, under whatever new identifier.
    ///
    /// # Errors
    /// TEN-3 where the binding differs from what is asked for; LIFECYCLE where the tenant was released.
    pub fn bind_again(&self, command: &BindTenant) -> Decided {
        let BindingState::Bound(bound) = &self.state else {
            return Err(self.lifecycle("BindTenant", "ask for a new binding, with a new identifier"));
        };
        let same = command.tenant_id == self.tenant_id
            && command.environment.environment() == self.environment_id
            && command.isolation_model == self.isolation_model
            && command.quota == bound.allocation.quota
            && command.partitions == self.partitions;
        if same {
            Ok(Decision::unchanged("the tenant was bound before"))
        } else {
            Err(TenancyRefusal::Different { environment: self.environment_id })
        }
    }

    /// Decides on a command. Nothing changes until the events are committed.
    ///
    /// # Errors
    /// As the table in [the module](crate::tenancy) says.
    pub fn decide(&self, command: &TenancyCommand, _now: Timestamp) -> Decided {
        match command {
            TenancyCommand::AdjustQuota { quota } => self.adjust(*quota),
            TenancyCommand::ReleaseTenant { reason } => self.release(reason),
        }
    }

    fn adjust(&self, quota: ResourceQuota) -> Decided {
        match &self.state {
            BindingState::Bound(bound) if bound.allocation.quota == quota => {
                Ok(Decision::unchanged("this quota is allocated"))
            }
            BindingState::Bound(bound) => Ok(Decision::of(
                vec![TenancyEvent::RuntimeTenantQuotaAdjusted {
                    tenant_binding_id: self.tenant_binding_id,
                    previous: bound.allocation.quota,
                    quota,
                }],
                "another quota was asked for",
            )),
            BindingState::Released(_) => {
                Err(self.lifecycle("AdjustQuota", "bind the tenant again, with the quota it needs"))
            }
        }
    }

    fn release(&self, why: &str) -> Decided {
        match &self.state {
            BindingState::Bound(_) => {
                let reason = reason::stated(why).ok_or(TenancyRefusal::BadReason)?;
                Ok(Decision::of(vec![TenancyEvent::TenantReleased { reason }], "the tenant leaves"))
            }
            BindingState::Released(_) => Ok(Decision::unchanged("the tenant was released before")),
        }
    }

    fn lifecycle(&self, command: &'static str, remedy: &'static str) -> TenancyRefusal {
        TenancyRefusal::Lifecycle { command, status: self.state.status(), remedy }
    }
}
