//! What a command on the quota ledger comes to (TEN-2).

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::Decided;
use crate::aggregate::Decision;
use crate::environment::{
    EnvironmentEvent, EnvironmentRefusal, EnvironmentState, QuotaCommand, QuotaLedger, ReservedQuota,
    RuntimeEnvironment,
};
use crate::id::{TenantBindingId, TenantId};
use crate::tenancy::{ClaimedQuota, ReleasedTenant, ResourceQuota};
use crate::time::{Span, Timestamp};

impl RuntimeEnvironment {
    /// Decides on a command on the quota ledger. Nothing changes until the events are committed.
    ///
    /// Whatever is decided, reservations that have ended are given back first.
    ///
    /// # Errors
    /// As the table in [the module](crate::environment) says.
    pub fn decide_quota(&self, command: &QuotaCommand, now: Timestamp) -> Decided {
        match command {
            QuotaCommand::ReserveQuota { binding, tenant, quota, expires_at } => {
                let wanted = ReservedQuota { quota: *quota, until: *expires_at };
                self.reserve(*binding, *tenant, wanted, now)
            }
            QuotaCommand::CommitQuota { claimed } => self.commit(claimed, now),
            QuotaCommand::ReleaseQuota { released } => self.release(released),
            QuotaCommand::Tick => Ok(self.tick(now)),
        }
    }

    fn reserve(
        &self,
        binding: TenantBindingId,
        tenant: TenantId,
        wanted: ReservedQuota,
        now: Timestamp,
    ) -> Decided {
        if self.is_leaving() {
            return Err(self.lifecycle("ReserveQuota", "choose an environment that is not being taken down"));
        }
        if wanted.until <= now || wanted.until > QuotaLedger::LONGEST_RESERVATION.after(now) {
            return Err(EnvironmentRefusal::BadExpiry);
        }
        let expired = self.ledger.expired(now);
        let ledger = self.ledger.after_expiry(&expired);
        match ledger.entries().get(&binding) {
            Some(entry) if entry.tenant != tenant => return Err(EnvironmentRefusal::ForeignQuota),
            Some(entry)
                if entry.reserved.is_some_and(|reserved| {
                    reserved.quota == wanted.quota && reserved.until >= wanted.until
                }) =>
            {
                return Ok(Decision::unchanged("this much is reserved"));
            }
            None if ledger.entries().len() >= QuotaLedger::MOST_BINDINGS => {
                return Err(EnvironmentRefusal::LedgerFull);
            }
            Some(_) | None => {}
        }
        if let Some(shortage) = ledger.shortage(binding, wanted.quota) {
            let (unit, wanted, free) = (shortage.unit, shortage.wanted, shortage.free);
            return Err(EnvironmentRefusal::NoRoom { unit, wanted, free });
        }
        let mut events = self.expiry(now);
        let (quota, until) = (wanted.quota, wanted.until);
        events.push(EnvironmentEvent::QuotaReserved { binding, tenant, quota, until });
        let left = Span::between(now, until);
        Ok(Decision::of(events, format!("there is room; it is reserved for {left}")))
    }

    fn commit(&self, claimed: &ClaimedQuota, now: Timestamp) -> Decided {
        let binding = claimed.binding();
        if claimed.environment() != self.environment_id {
            return Err(EnvironmentRefusal::ForeignQuota);
        }
        let expired = self.ledger.expired(now);
        let ledger = self.ledger.after_expiry(&expired);
        let Some(entry) = ledger.entries().get(&binding) else {
            return Err(EnvironmentRefusal::NotReserved { binding });
        };
        if entry.tenant != claimed.tenant() {
            return Err(EnvironmentRefusal::ForeignQuota);
        }
        if entry.committed == Some(claimed.quota()) && entry.reserved.is_none() {
            return Ok(Decision::unchanged("exactly this much is committed"));
        }
        if !entry.covers(claimed.quota()) {
            return Err(EnvironmentRefusal::NotReserved { binding });
        }
        let is_less = entry.committed.is_some_and(|committed| committed.covers(claimed.quota()));
        if self.is_leaving() && !is_less {
            return Err(self.lifecycle("CommitQuota", "release the tenant: its environment is taken down"));
        }
        let mut events = self.expiry(now);
        events.push(EnvironmentEvent::QuotaCommitted { binding, quota: claimed.quota() });
        Ok(Decision::of(events, "the binding claims it, and it was held"))
    }

    fn release(&self, released: &ReleasedTenant) -> Decided {
        let binding = released.binding();
        match self.ledger.entries().get(&binding) {
            _ if released.environment() != self.environment_id => Err(EnvironmentRefusal::ForeignQuota),
            Some(entry) if entry.tenant != released.tenant() => Err(EnvironmentRefusal::ForeignQuota),
            Some(_) => Ok(Decision::of(
                vec![EnvironmentEvent::QuotaReleased { binding }],
                "the tenant has left, and its quota is free for others",
            )),
            None => Ok(Decision::unchanged("nothing is held for the binding")),
        }
    }

    fn tick(&self, now: Timestamp) -> Decision<EnvironmentEvent> {
        let events = self.expiry(now);
        if events.is_empty() {
            return Decision::unchanged("no reservation has ended");
        }
        Decision::of(events, "what was reserved and not committed in time is free for others")
    }

    /// What happens first, whatever else happens: reservations that have ended are given back.
    fn expiry(&self, now: Timestamp) -> Vec<EnvironmentEvent> {
        let bindings = self.ledger.expired(now);
        if bindings.is_empty() { Vec::new() } else { vec![EnvironmentEvent::QuotaExpired { bindings }] }
    }

    /// What another capacity takes: no less than is held, once reservations that have ended are given back.
    pub(super) fn resize(
        &self,
        capacity: ResourceQuota,
        now: Timestamp,
    ) -> Result<Vec<EnvironmentEvent>, EnvironmentRefusal> {
        let expired = self.ledger.expired(now);
        match self.ledger.after_expiry(&expired).excess(capacity) {
            Some((unit, allocated)) => {
                Err(EnvironmentRefusal::CapacityHeld { unit, wanted: capacity.of(unit), allocated })
            }
            None => Ok(self.expiry(now)),
        }
    }

    fn is_leaving(&self) -> bool {
        matches!(self.state, EnvironmentState::Decommissioning(_) | EnvironmentState::Decommissioned(_))
    }
}
