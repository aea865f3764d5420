//! Settles with environments what bindings use of them, where whoever began it did not live to end it, and carries tenants' moves out.

use async_trait::async_trait;
use runtime_domain::id::{AggregateKind, TenantBindingId};
use runtime_domain::scope::TenantScope;
use runtime_domain::tenancy::{MoveNext, MoveOutcome, MoveStep, RuntimeTenantBinding, TenancyCommand};
use runtime_ports::store::{CommitError, Lease, LeaseTopic, Loaded};

use crate::deployments::DeploymentService;
use crate::host::Host;
use crate::inventory::InventoryService;
use crate::observed::decided;
use crate::relocation::{Progress, Relocation};
use crate::tenancy::TenancyService;
use crate::unit::{Grounds, commit};
use crate::worker::{PassError, Passed, Task};

/// Settles quotas and charges, and moves tenants.
pub(crate) struct TenancyReconciler {
    host: Host,
    tenancy: TenancyService,
    deployments: DeploymentService,
    inventory: InventoryService,
}

impl TenancyReconciler {
    pub(crate) fn new(
        host: Host,
        tenancy: TenancyService,
        deployments: DeploymentService,
        inventory: InventoryService,
    ) -> Self {
        Self { host, tenancy, deployments, inventory }
    }

    /// Does what the move's present step lacks; answers when to look again, or `None` where the binding has come further.
    async fn relocate(
        &self,
        lease: &Lease,
        scope: &TenantScope,
        found: Loaded<RuntimeTenantBinding>,
    ) -> Result<Option<Passed>, PassError> {
        let Some(relocation) = found.aggregate.relocation().cloned() else { return Ok(None) };
        let step = match relocation.next(self.host.now()) {
            MoveNext::Do(step) => step,
            MoveNext::Wait(at) => return Ok(Some(Passed::Until { seen: found.revision, at })),
        };
        let asked = Relocation {
            host: &self.host,
            deployments: &self.deployments,
            scope,
            lease,
            binding: &found.aggregate,
            relocation: &relocation,
        };
        let outcome = match asked.carry_out(step).await? {
            Progress::Done => MoveOutcome::Done,
            Progress::Failed(why) => MoveOutcome::Failed(why),
            Progress::NotYet => {
                let at = self.host.options().poll.after(self.host.now());
                return Ok(Some(Passed::Until { seen: found.revision, at }));
            }
        };
        let found = if step == MoveStep::ReleaseSource && outcome == MoveOutcome::Done {
            let environment = found.aggregate.environment_id();
            let reason = "its tenant has moved to a silo of its own";
            self.inventory.retire_all(scope, environment, reason).await.map_err(PassError::failed)?;
            match self.record(lease, scope, found, &TenancyCommand::RetireWorkloads).await? {
                Some(found) => found,
                None => return Ok(None),
            }
        } else {
            found
        };
        self.record(lease, scope, found, &TenancyCommand::RecordMoveStep { step, outcome }).await?;
        Ok(None)
    }

    /// Decides and commits under the lease; `None` where others were quicker, and the newest state is to be asked.
    async fn record(
        &self,
        lease: &Lease,
        scope: &TenantScope,
        found: Loaded<RuntimeTenantBinding>,
        command: &TenancyCommand,
    ) -> Result<Option<Loaded<RuntimeTenantBinding>>, PassError> {
        let store = self.host.ports().store.for_tenant(scope);
        let now = self.host.now();
        let decision = decided(|| found.aggregate.decide(command, now)).map_err(PassError::failed)?;
        let grounds = Grounds { lease: Some(lease), ..Grounds::exactly(&command.evidence()) };
        match commit(&self.host, &*store, Some(found), &decision, grounds, now).await {
            Ok(after) => Ok(after),
            Err(CommitError::Conflict { .. } | CommitError::EvidenceStale { .. }) => Ok(None),
            Err(CommitError::LeaseLost { .. }) => Err(PassError::LeaseLost),
            Err(error) => Err(PassError::failed(error)),
        }
    }
}

#[async_trait]
impl Task for TenancyReconciler {
    fn name(&self) -> &'static str {
        "tenancy"
    }

    fn topic(&self) -> LeaseTopic {
        LeaseTopic::Work
    }

    fn kinds(&self) -> &'static [AggregateKind] {
        &[AggregateKind::RuntimeTenantBinding]
    }

    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError> {
        let scope = super::scope_of(&self.host, "tenancy", lease).await?;
        let binding = TenantBindingId::from_uuid(lease.key.id);
        loop {
            let settled = self.tenancy.settled(&scope, binding).await.map_err(PassError::failed)?;
            let settled = match settled.aggregate.workloads().waits_since() {
                Some(_) => self.tenancy.settle_workloads(&scope, binding).await.map_err(PassError::failed)?,
                None => settled,
            };
            if settled.aggregate.relocation().is_some() {
                match self.relocate(lease, &scope, settled).await? {
                    Some(passed) => return Ok(passed),
                    None => continue,
                }
            }
            // A deployment that is charged for is in flight still.
            if settled.aggregate.workloads().waits_since().is_some() {
                let at = self.host.options().idle.after(self.host.now());
                return Ok(Passed::Until { seen: settled.revision, at });
            }
            // It may have been released just now, with its quota to be given back.
            if settled.aggregate.is_settled() {
                return Ok(Passed::AsStored);
            }
        }
    }
}
