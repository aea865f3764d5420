//! What a binding settles with its environment about its quota (TEN-2).

use alloc::string::ToString;
use alloc::vec;

use super::Decided;
use crate::aggregate::Decision;
use crate::environment::{CommittedQuota, QuotaReservation, ReturnedQuota};
use crate::tenancy::{
    BindingState, Bound, QuotaExchange, ResourceQuota, RuntimeTenantBinding, TenancyEvent, TenancyRefusal,
    TenantBound,
};
use crate::time::Timestamp;

impl RuntimeTenantBinding {
    pub(super) fn confirm(&self, committed: &CommittedQuota) -> Decided {
        let is_own = committed.binding() == self.tenant_binding_id
            && committed.environment() == self.environment_id
            && committed.tenant() == self.tenant_id;
        if !is_own {
            return Err(TenancyRefusal::ForeignEvidence);
        }
        match &self.state {
            BindingState::Pending(pending) => {
                if !committed.quota().covers(pending.quota) {
                    return Err(TenancyRefusal::NotCommitted);
                }
                let bound = TenantBound {
                    tenant_binding_id: self.tenant_binding_id,
                    tenant_id: self.tenant_id,
                    environment_id: self.environment_id,
                    isolation_model: self.isolation_model,
                    quota: pending.quota,
                    partitions: self.partitions.clone(),
                };
                Ok(Decision::of(vec![TenancyEvent::RuntimeTenantBound(bound)], "its quota is committed"))
            }
            BindingState::Released(_) => {
                Err(self.lifecycle("ConfirmQuota", "return the quota to the environment"))
            }
            state => state.bound().map_or_else(
                || Ok(Decision::unchanged("nothing waits to be settled")),
                |bound| self.confirm_exchange(bound, committed.quota()),
            ),
        }
    }

    fn confirm_exchange(&self, bound: &Bound, committed: ResourceQuota) -> Decided {
        match bound.exchange {
            Some(QuotaExchange::Increase { quota, .. }) if committed.covers(quota) => {
                let mut events = vec![self.adjusted(bound, quota)];
                if committed == quota {
                    events.push(TenancyEvent::QuotaSettled);
                }
                Ok(Decision::of(events, "the larger quota is committed"))
            }
            Some(QuotaExchange::Surplus { .. }) if committed == bound.allocation.quota => {
                Ok(Decision::of(vec![TenancyEvent::QuotaSettled], "no more is committed than is used"))
            }
            Some(_) => Err(TenancyRefusal::NotCommitted),
            None => Ok(Decision::unchanged("nothing waits to be settled")),
        }
    }

    fn adjusted(&self, bound: &Bound, quota: ResourceQuota) -> TenancyEvent {
        TenancyEvent::RuntimeTenantQuotaAdjusted {
            tenant_binding_id: self.tenant_binding_id,
            previous: bound.allocation.quota,
            quota,
        }
    }

    pub(super) fn adjust(
        &self,
        quota: ResourceQuota,
        reservation: Option<&QuotaReservation>,
        now: Timestamp,
    ) -> Decided {
        let Some(bound) = self.state.bound() else {
            return Err(self.lifecycle("AdjustQuota", "bind the tenant, with the quota it needs"));
        };
        match bound.exchange {
            Some(QuotaExchange::Increase { quota: asked, .. }) if asked == quota => {
                return Ok(Decision::unchanged("this quota was asked for, and waits to be committed"));
            }
            Some(QuotaExchange::Increase { .. }) => {
                return Err(self.lifecycle("AdjustQuota", "confirm the increase that waits, or let it lapse"));
            }
            Some(QuotaExchange::Surplus { .. }) | None => {}
        }
        if bound.allocation.quota == quota {
            return Ok(Decision::unchanged("this quota is allocated"));
        }
        if let Some(unit) = self.workloads.beyond(quota) {
            let used = self.workloads.charged().in_unit(unit);
            return Err(TenancyRefusal::InUse { unit, used });
        }
        if bound.allocation.quota.covers(quota) {
            return Ok(Decision::of(vec![self.adjusted(bound, quota)], "the tenant does with less"));
        }
        let Some(reservation) = reservation else { return Err(TenancyRefusal::NotReserved) };
        if reservation.binding() != self.tenant_binding_id
            || reservation.environment() != self.environment_id
            || reservation.tenant() != self.tenant_id
        {
            return Err(TenancyRefusal::ForeignEvidence);
        }
        if reservation.until() <= now || !reservation.quota().covers(quota) {
            return Err(TenancyRefusal::NotReserved);
        }
        let requested = TenancyEvent::QuotaIncreaseRequested { quota, until: reservation.until() };
        Ok(Decision::of(vec![requested], "the environment keeps the larger quota"))
    }

    pub(super) fn quota_returned(&self, returned: &ReturnedQuota) -> Decided {
        if returned.binding() != self.tenant_binding_id || returned.environment() != self.environment_id {
            return Err(TenancyRefusal::ForeignEvidence);
        }
        match &self.state {
            BindingState::Released(released) if released.is_quota_returned => {
                Ok(Decision::unchanged("its quota was returned before"))
            }
            BindingState::Released(_) => Ok(Decision::of(
                vec![TenancyEvent::TenantQuotaReturned],
                "the environment holds nothing for it any more",
            )),
            _ => Err(self.lifecycle("RecordQuotaReturned", "release the tenant first")),
        }
    }

    pub(super) fn tick(&self, now: Timestamp) -> Decision<TenancyEvent> {
        let lapsed = |until: Timestamp| until <= now;
        match (&self.state, self.state.bound().and_then(|bound| bound.exchange)) {
            (BindingState::Pending(pending), _) if lapsed(pending.until) => {
                let reason = "its quota was not committed in time".to_string();
                Decision::of(vec![TenancyEvent::TenantReleased { reason }], "its reservation has ended")
            }
            (_, Some(QuotaExchange::Increase { until, .. })) if lapsed(until) => {
                Decision::of(vec![TenancyEvent::QuotaIncreaseLapsed], "the reservation of more has ended")
            }
            _ => Decision::unchanged("nothing has ended"),
        }
    }
}
