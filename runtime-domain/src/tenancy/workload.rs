//! What a tenant's workloads use of its quota: charged when a deployment is admitted, given back when it fails (TEN-2).

use alloc::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::bug;
use crate::component::{ComponentSpec, InstanceResources};
use crate::id::DeploymentId;
use crate::tenancy::{QuotaUnit, ResourceQuota};
use crate::time::Timestamp;
use crate::value::ModuleId;

/// How much a component needs in all, by unit of a quota. Unlike a quota it may be nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WorkloadDemand {
    /// Compute, in thousandths of a core.
    pub cpu_millicores: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Storage, in bytes.
    pub storage_bytes: u64,
    /// Throughput, in requests per second.
    pub requests_per_second: u64,
}

impl WorkloadDemand {
    /// What all instances of a component need, fully rolled out; [`InstanceResources::USUAL`] each where it does not say.
    pub fn of(component: &ComponentSpec) -> Self {
        Self::each(component.resources.unwrap_or(InstanceResources::USUAL), component.replicas.get())
    }

    /// What so many replicas need, each as much.
    pub fn each(each: InstanceResources, replicas: u16) -> Self {
        let all = |amount: u64| amount.saturating_mul(u64::from(replicas));
        Self {
            cpu_millicores: all(each.cpu_millicores),
            memory_bytes: all(each.memory_bytes),
            storage_bytes: all(each.storage_bytes),
            requests_per_second: all(each.requests_per_second),
        }
    }

    /// How much of one unit.
    pub const fn in_unit(self, unit: QuotaUnit) -> u64 {
        match unit {
            QuotaUnit::Cpu => self.cpu_millicores,
            QuotaUnit::Memory => self.memory_bytes,
            QuotaUnit::Storage => self.storage_bytes,
            QuotaUnit::Throughput => self.requests_per_second,
        }
    }

    fn with(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            cpu_millicores: join(self.cpu_millicores, other.cpu_millicores),
            memory_bytes: join(self.memory_bytes, other.memory_bytes),
            storage_bytes: join(self.storage_bytes, other.storage_bytes),
            requests_per_second: join(self.requests_per_second, other.requests_per_second),
        }
    }
}

/// What a component is charged: what serves, and what a deployment brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadEntry {
    /// What serves, where something does.
    pub serving: Option<WorkloadDemand>,
    /// What a deployment that has not ended brings, where there is one.
    pub coming: Option<ComingWorkload>,
}

/// What a deployment that has not ended brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComingWorkload {
    /// The deployment.
    pub deployment: DeploymentId,
    /// How much it needs, once it serves.
    pub demand: WorkloadDemand,
    /// Since when.
    pub since: Timestamp,
}

impl WorkloadEntry {
    /// What is charged: the greater of what serves and what comes, in each unit. The instances that a rollout has beside those for a while
    /// are not charged.
    pub fn charged(&self) -> WorkloadDemand {
        let coming = self
            .coming
            .filter(|_| !bug!("quota-overrun-between-looks"))
            .map_or_else(WorkloadDemand::default, |coming| coming.demand);
        self.serving.unwrap_or_default().with(coming, u64::max)
    }
}

/// What a tenant's workloads in one environment are charged, by component. It never exceeds the tenant's quota there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkloadLedger {
    entries: BTreeMap<ModuleId, WorkloadEntry>,
}

impl WorkloadLedger {
    /// Every component that is charged for.
    pub fn entries(&self) -> &BTreeMap<ModuleId, WorkloadEntry> {
        &self.entries
    }

    /// True where nothing is charged for.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is charged in all.
    pub fn charged(&self) -> WorkloadDemand {
        let each = self.entries.values().map(WorkloadEntry::charged);
        each.fold(WorkloadDemand::default(), |all, one| all.with(one, u64::saturating_add))
    }

    /// The deployments that have not ended, as far as is known here.
    pub fn in_flight(&self) -> BTreeSet<DeploymentId> {
        self.entries.values().filter_map(|entry| entry.coming).map(|coming| coming.deployment).collect()
    }

    /// When the oldest of those was admitted.
    pub fn waits_since(&self) -> Option<Timestamp> {
        self.entries.values().filter_map(|entry| entry.coming).map(|coming| coming.since).min()
    }

    /// What a deployment brings, as it was admitted.
    pub(super) fn brought_by(&self, deployment: DeploymentId) -> BTreeMap<ModuleId, WorkloadDemand> {
        let of = |(module, entry): (&ModuleId, &WorkloadEntry)| {
            let coming = entry.coming.filter(|coming| coming.deployment == deployment)?;
            Some((module.clone(), coming.demand))
        };
        self.entries.iter().filter_map(of).collect()
    }

    /// The first unit of which the ledger charges more than the quota allows.
    pub(super) fn beyond(&self, quota: ResourceQuota) -> Option<QuotaUnit> {
        let charged = self.charged();
        QuotaUnit::ALL.into_iter().find(|unit| charged.in_unit(*unit) > quota.of(*unit))
    }

    #[must_use]
    pub(super) fn admitting(
        mut self,
        deployment: DeploymentId,
        demands: &BTreeMap<ModuleId, WorkloadDemand>,
        since: Timestamp,
    ) -> Self {
        for (module, demand) in demands {
            self.entries.entry(module.clone()).or_default().coming =
                Some(ComingWorkload { deployment, demand: *demand, since });
        }
        self
    }

    /// A deployment has ended: what it brought serves, or is given back.
    pub(super) fn settle(&mut self, deployment: DeploymentId, is_kept: bool) {
        for entry in self.entries.values_mut() {
            if let Some(coming) = entry.coming.filter(|coming| coming.deployment == deployment) {
                entry.coming = None;
                if is_kept {
                    entry.serving = Some(coming.demand);
                }
            }
        }
        self.entries.retain(|_, entry| *entry != WorkloadEntry::default());
    }

    /// What serves of a component is charged for as much from now on. False where nothing that serves is charged for.
    pub(super) fn scale(&mut self, module: &ModuleId, demand: WorkloadDemand) -> bool {
        let serving = self.entries.get_mut(module).and_then(|entry| entry.serving.as_mut());
        serving.is_some_and(|serving| {
            *serving = demand;
            true
        })
    }

    /// The most replicas of a component that serves for which a quota has room beside all else; `None` where nothing that serves of it is
    /// charged for.
    pub(super) fn room(
        &self,
        quota: ResourceQuota,
        module: &ModuleId,
        each: InstanceResources,
    ) -> Option<u16> {
        let own = self.entries.get(module).filter(|entry| entry.serving.is_some())?.charged();
        let (all, each) = (self.charged(), WorkloadDemand::each(each, 1));
        let most = QuotaUnit::ALL.into_iter().filter_map(|unit| {
            let others = all.in_unit(unit).saturating_sub(own.in_unit(unit));
            quota.of(unit).saturating_sub(others).checked_div(each.in_unit(unit))
        });
        Some(most.min().map_or(u16::MAX, |most| u16::try_from(most).unwrap_or(u16::MAX)))
    }

    /// Nothing runs any more.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// True where an entry charges for nothing at all, which no history leads to.
    pub(super) fn has_blank(&self) -> bool {
        self.entries.values().any(|entry| *entry == WorkloadEntry::default())
    }
}
