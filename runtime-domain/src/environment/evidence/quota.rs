//! What an environment's ledger proves to tenant bindings (TEN-2).

use crate::aggregate::EvidenceRef;
use crate::environment::{EnvironmentRefusal, RuntimeEnvironment};
use crate::id::{AggregateKind, EnvironmentId, TenantBindingId, TenantId};
use crate::tenancy::ResourceQuota;
use crate::time::Timestamp;
use crate::value::Revision;

/// Proof that a quota is reserved for a tenant binding.
///
/// Only [`RuntimeEnvironment::reservation`] hands it out. It can stop being true: a commit that rests on it re-checks that the environment
/// is still at exactly this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct QuotaReservation {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) binding: TenantBindingId,
    pub(crate) quota: ResourceQuota,
    pub(crate) until: Timestamp,
    pub(crate) at: Revision,
}

/// Proof that a quota is committed to a tenant binding, so that it may be used.
///
/// Only [`RuntimeEnvironment::commitment`] hands it out. It can stop being true: a commit that rests on it re-checks that the environment
/// is still at exactly this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct CommittedQuota {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) binding: TenantBindingId,
    pub(crate) quota: ResourceQuota,
    pub(crate) at: Revision,
}

/// Proof that nothing is held for a tenant binding.
///
/// Only [`RuntimeEnvironment::returned`] hands it out. It can stop being true: a commit that rests on it re-checks that the environment is
/// still at exactly this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct ReturnedQuota {
    pub(crate) environment: EnvironmentId,
    pub(crate) binding: TenantBindingId,
    pub(crate) at: Revision,
}

fn revision_of(environment: EnvironmentId, at: Revision) -> EvidenceRef {
    EvidenceRef { kind: AggregateKind::RuntimeEnvironment, id: environment.uuid(), revision: at }
}

impl QuotaReservation {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The binding that it is kept for.
    pub fn binding(&self) -> TenantBindingId {
        self.binding
    }

    /// How much is kept.
    pub fn quota(&self) -> ResourceQuota {
        self.quota
    }

    /// Until just before when.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// The fact to re-check: the environment's stored revision when it said so.
    pub fn evidence(&self) -> EvidenceRef {
        revision_of(self.environment, self.at)
    }
}

impl CommittedQuota {
    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The binding that may use it.
    pub fn binding(&self) -> TenantBindingId {
        self.binding
    }

    /// How much.
    pub fn quota(&self) -> ResourceQuota {
        self.quota
    }

    /// The fact to re-check: the environment's stored revision when it said so.
    pub fn evidence(&self) -> EvidenceRef {
        revision_of(self.environment, self.at)
    }
}

impl ReturnedQuota {
    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The binding for which nothing is held.
    pub fn binding(&self) -> TenantBindingId {
        self.binding
    }

    /// The fact to re-check: the environment's stored revision when it said so.
    pub fn evidence(&self) -> EvidenceRef {
        revision_of(self.environment, self.at)
    }
}

impl RuntimeEnvironment {
    /// Shows what is reserved for a binding. `at` is the environment's stored revision.
    ///
    /// # Errors
    /// TEN-2 where nothing is reserved for it, or no longer.
    pub fn reservation(
        &self,
        binding: TenantBindingId,
        at: Revision,
        now: Timestamp,
    ) -> Result<QuotaReservation, EnvironmentRefusal> {
        let entry = self.ledger.entries().get(&binding);
        entry
            .and_then(|entry| Some((entry.tenant, entry.reserved.filter(|reserved| now < reserved.until)?)))
            .map(|(tenant, reserved)| QuotaReservation {
                tenant,
                environment: self.environment_id,
                binding,
                quota: reserved.quota,
                until: reserved.until,
                at,
            })
            .ok_or(EnvironmentRefusal::NotReserved { binding })
    }

    /// Shows what is committed to a binding. `at` is the environment's stored revision.
    ///
    /// # Errors
    /// TEN-2 where nothing is committed to it.
    pub fn commitment(
        &self,
        binding: TenantBindingId,
        at: Revision,
    ) -> Result<CommittedQuota, EnvironmentRefusal> {
        let entry = self.ledger.entries().get(&binding);
        entry
            .and_then(|entry| Some((entry.tenant, entry.committed?)))
            .map(|(tenant, quota)| CommittedQuota {
                tenant,
                environment: self.environment_id,
                binding,
                quota,
                at,
            })
            .ok_or(EnvironmentRefusal::NotCommitted { binding })
    }

    /// Shows that nothing is held for a binding. `at` is the environment's stored revision.
    ///
    /// # Errors
    /// TEN-2 where something is held for it.
    pub fn returned(
        &self,
        binding: TenantBindingId,
        at: Revision,
    ) -> Result<ReturnedQuota, EnvironmentRefusal> {
        if self.ledger.entries().contains_key(&binding) {
            return Err(EnvironmentRefusal::StillHeld { binding });
        }
        Ok(ReturnedQuota { environment: self.environment_id, binding, at })
    }
}
