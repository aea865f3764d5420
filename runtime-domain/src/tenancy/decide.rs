//! What a command comes to.

mod quota;
mod relocation;
mod workload;

use alloc::format;
use alloc::vec;

use crate::aggregate::Decision;
use crate::environment::IsolationModel;
use crate::reason;
use crate::tenancy::{
    BindTenant, BindingState, RuntimeTenantBinding, TenancyCommand, TenancyEvent, TenancyRefusal, TenantPlace,
};
use crate::time::Timestamp;

type Decided = Result<Decision<TenancyEvent>, TenancyRefusal>;

impl RuntimeTenantBinding {
    /// Decides on a new binding.
    ///
    /// # Errors
    /// TEN-1 where the isolation is not the environment's; X-1 where the environment is another tenant's silo, or the evidence is of another
    /// environment, tenant or binding; TEN-2 where the reservation has ended or does not cover the quota.
    pub fn bind(command: &BindTenant, now: Timestamp) -> Decided {
        let BindTenant { tenant_binding_id, place, environment, reservation } = command;
        if place.environment_id != environment.environment()
            || place.environment_id != reservation.environment()
            || place.tenant_id != reservation.tenant()
            || *tenant_binding_id != reservation.binding()
        {
            return Err(TenancyRefusal::ForeignEvidence);
        }
        if place.isolation_model != environment.isolation_model() {
            return Err(TenancyRefusal::OtherIsolation {
                wanted: place.isolation_model,
                offered: environment.isolation_model(),
            });
        }
        if place.isolation_model == IsolationModel::Silo && place.tenant_id != environment.tenant() {
            return Err(TenancyRefusal::ForeignSilo);
        }
        if reservation.until() <= now || !reservation.quota().covers(place.quota) {
            return Err(TenancyRefusal::NotReserved);
        }
        let explanation = format!(
            "the environment at {} keeps {:?} isolation and the quota",
            environment.at(),
            place.isolation_model
        );
        let requested = TenancyEvent::TenantBindingRequested {
            tenant_binding_id: *tenant_binding_id,
            place: place.clone(),
            until: reservation.until(),
        };
        Ok(Decision::of(vec![requested], explanation))
    }

    /// Answers the command that made this binding when it comes again, under whatever new identifier.
    ///
    /// # Errors
    /// TEN-3 where the binding differs from what is asked for; LIFECYCLE where the tenant was released.
    pub fn bind_again(&self, place: &TenantPlace) -> Decided {
        let quota = match &self.state {
            BindingState::Pending(pending) => Some(pending.quota),
            _ => self.quota(),
        };
        let Some(quota) = quota else {
            return Err(self.lifecycle("BindTenant", "ask for a new binding, with a new identifier"));
        };
        let same = place.tenant_id == self.tenant_id
            && place.environment_id == self.environment_id
            && place.isolation_model == self.isolation_model
            && place.quota == quota
            && place.partitions == self.partitions;
        if same {
            Ok(Decision::unchanged("the tenant's place was asked for before"))
        } else {
            Err(TenancyRefusal::Different { environment: self.environment_id })
        }
    }

    /// Decides on a command. Nothing changes until the events are committed.
    ///
    /// # Errors
    /// As the table in [the module](crate::tenancy) says.
    pub fn decide(&self, command: &TenancyCommand, now: Timestamp) -> Decided {
        match command {
            TenancyCommand::ConfirmQuota { committed } => self.confirm(committed),
            TenancyCommand::AdjustQuota { quota, reservation } => {
                self.adjust(*quota, reservation.as_ref(), now)
            }
            TenancyCommand::CordonTenant { reason } => self.cordon(reason),
            TenancyCommand::UncordonTenant => self.uncordon(),
            TenancyCommand::ProtectFromRelease => self.protect(true),
            TenancyCommand::Unprotect => self.protect(false),
            TenancyCommand::BeginMove { target, observe_for } => self.begin_move(target, *observe_for),
            TenancyCommand::RecordMoveStep { step, outcome } => self.record_step(*step, outcome, now),
            TenancyCommand::AbortMove { reason } => self.abort_move(reason),
            TenancyCommand::AdmitWorkloads { deployment, demands } => {
                self.admit_workloads(*deployment, demands, now)
            }
            TenancyCommand::SettleWorkloads { deployment, is_kept } => {
                self.settle_workloads(*deployment, *is_kept)
            }
            TenancyCommand::ChargeScaling { module, demand } => self.charge_scaling(module, *demand),
            TenancyCommand::RetireWorkloads => self.retire_workloads(),
            TenancyCommand::ReleaseTenant { reason } => self.release(reason),
            TenancyCommand::RecordQuotaReturned { returned } => self.quota_returned(returned),
            TenancyCommand::Tick => Ok(self.tick(now)),
        }
    }

    fn cordon(&self, why: &str) -> Decided {
        match &self.state {
            BindingState::Bound(_) => {
                let reason = reason::stated(why).ok_or(TenancyRefusal::BadReason)?;
                Ok(Decision::of(
                    vec![TenancyEvent::TenantCordoned { reason }],
                    "the tenant's place takes no new deployments",
                ))
            }
            BindingState::Cordoned(_) => Ok(Decision::unchanged("it was cordoned before")),
            BindingState::Moving(_) => {
                Ok(Decision::unchanged("a tenant that moves takes no new deployments"))
            }
            BindingState::Pending(_) | BindingState::Released(_) => {
                Err(self.lifecycle("CordonTenant", "cordon a tenant that has its place"))
            }
        }
    }

    fn uncordon(&self) -> Decided {
        match &self.state {
            BindingState::Cordoned(_) => Ok(Decision::of(
                vec![TenancyEvent::TenantUncordoned],
                "the tenant's place takes deployments again",
            )),
            BindingState::Bound(_) => Ok(Decision::unchanged("it is not cordoned")),
            BindingState::Moving(_) => Err(self.lifecycle("UncordonTenant", "abort the move first")),
            BindingState::Pending(_) | BindingState::Released(_) => {
                Err(self.lifecycle("UncordonTenant", "bind the tenant"))
            }
        }
    }

    fn protect(&self, wanted: bool) -> Decided {
        let command = if wanted { "ProtectFromRelease" } else { "Unprotect" };
        match &self.state {
            BindingState::Released(_) => {
                Err(self.lifecycle(command, "bind the tenant again; what is released stays so"))
            }
            _ if self.is_protected == wanted => Ok(Decision::unchanged("it is as asked")),
            BindingState::Pending(_) if wanted => {
                Err(self.lifecycle(command, "wait until the tenant has its place: until then it may lapse"))
            }
            // A move ends with the release of its source.
            BindingState::Moving(_) if wanted => {
                Err(self.lifecycle(command, "abort the move first: it would end with the release"))
            }
            _ if wanted => {
                Ok(Decision::of(vec![TenancyEvent::TenantProtected], "it is protected from release"))
            }
            _ => Ok(Decision::of(
                vec![TenancyEvent::TenantUnprotected],
                "its protection from release was taken away",
            )),
        }
    }

    fn release(&self, why: &str) -> Decided {
        match &self.state {
            BindingState::Released(_) => return Ok(Decision::unchanged("the tenant was released before")),
            _ if self.is_protected => return Err(TenancyRefusal::Protected),
            BindingState::Bound(_) | BindingState::Moving(_) => {
                return Err(TenancyRefusal::Serving { status: self.state.status() });
            }
            BindingState::Pending(_) | BindingState::Cordoned(_) => {}
        }
        self.nothing_stays()?;
        let reason = reason::stated(why).ok_or(TenancyRefusal::BadReason)?;
        Ok(Decision::of(vec![TenancyEvent::TenantReleased { reason }], "the tenant leaves"))
    }

    /// What a tenant leaves behind would be nobody's.
    fn nothing_stays(&self) -> Result<(), TenancyRefusal> {
        match self.workloads.entries().len() {
            0 => Ok(()),
            count => Err(TenancyRefusal::WorkloadsStay { count }),
        }
    }

    pub(super) fn lifecycle(&self, command: &'static str, remedy: &'static str) -> TenancyRefusal {
        TenancyRefusal::Lifecycle { command, status: self.state.status(), remedy }
    }
}
