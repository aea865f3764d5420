//! Whether a tenant's workloads fit into its quota (TEN-2).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;

use super::Decided;
use crate::aggregate::Decision;
use crate::id::DeploymentId;
use crate::tenancy::{
    BindingState, QuotaUnit, RuntimeTenantBinding, TenancyEvent, TenancyRefusal, WorkloadDemand,
};
use crate::time::Timestamp;
use crate::value::ModuleId;

impl RuntimeTenantBinding {
    pub(super) fn admit_workloads(
        &self,
        deployment: DeploymentId,
        demands: &BTreeMap<ModuleId, WorkloadDemand>,
        now: Timestamp,
    ) -> Decided {
        let BindingState::Bound(bound) = &self.state else {
            let remedy = match &self.state {
                BindingState::Pending(_) | BindingState::Released(_) => "bind the tenant first",
                BindingState::Moving(_) => "let the tenant's move end, or abort it",
                BindingState::Bound(_) | BindingState::Cordoned(_) => "uncordon the tenant first",
            };
            return Err(self.lifecycle("AdmitWorkloads", remedy));
        };
        let brought = self.workloads.brought_by(deployment);
        if demands.is_empty() || brought == *demands {
            return Ok(Decision::unchanged("these workloads are charged for already"));
        }
        if !brought.is_empty() {
            return Err(self.lifecycle(
                "AdmitWorkloads",
                "make another deployment: this one was charged for something else",
            ));
        }
        let waiting = demands.keys().find_map(|module| self.workloads.entries().get(module)?.coming);
        if waiting.is_some() {
            return Err(
                self.lifecycle("AdmitWorkloads", "let the deployment that is in flight end, and settle it")
            );
        }
        let after = self.workloads.clone().admitting(deployment, demands, now);
        let quota = bound.allocation.quota;
        if let Some(unit) = after.beyond(quota) {
            return Err(TenancyRefusal::OverQuota {
                unit,
                wanted: after.charged().in_unit(unit),
                quota: quota.of(unit),
            });
        }
        let admitted = TenancyEvent::WorkloadsAdmitted { deployment, demands: demands.clone() };
        Ok(Decision::of(vec![admitted], format!("{} components fit into the quota", demands.len())))
    }

    pub(super) fn settle_workloads(&self, deployment: DeploymentId, is_kept: bool) -> Decided {
        if self.workloads.brought_by(deployment).is_empty() {
            return Ok(Decision::unchanged("nothing is charged for that deployment"));
        }
        let explanation = if is_kept { "what was deployed serves" } else { "what was charged is given back" };
        Ok(Decision::of(vec![TenancyEvent::WorkloadsSettled { deployment, is_kept }], explanation))
    }

    pub(super) fn charge_scaling(&self, module: &ModuleId, demand: WorkloadDemand) -> Decided {
        let serving = self.workloads.entries().get(module).and_then(|entry| entry.serving);
        let (Some(serving), Some(bound)) = (serving, self.state.bound()) else {
            return Ok(Decision::unchanged("nothing that serves of it is charged for"));
        };
        if serving == demand {
            return Ok(Decision::unchanged("as much is charged for already"));
        }
        let mut after = self.workloads.clone();
        after.scale(module, demand);
        let quota = bound.allocation.quota;
        // What is given back is taken whatever the quota is by now.
        let is_more = |unit: &QuotaUnit| demand.in_unit(*unit) > serving.in_unit(*unit);
        let is_beyond = |unit: &QuotaUnit| after.charged().in_unit(*unit) > quota.of(*unit);
        if let Some(unit) = QuotaUnit::ALL.into_iter().find(|unit| is_more(unit) && is_beyond(unit)) {
            let wanted = after.charged().in_unit(unit);
            return Err(TenancyRefusal::OverQuota { unit, wanted, quota: quota.of(unit) });
        }
        let scaled = TenancyEvent::WorkloadScaled { module: module.clone(), demand };
        Ok(Decision::of(vec![scaled], "it is charged for as many replicas as there are to be"))
    }

    pub(super) fn retire_workloads(&self) -> Decided {
        if self.workloads.is_empty() {
            return Ok(Decision::unchanged("nothing is charged for"));
        }
        Ok(Decision::of(vec![TenancyEvent::WorkloadsRetired], "nothing of the tenant runs here any more"))
    }
}
