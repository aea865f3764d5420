//! Settles with environments what bindings use of them, where whoever began it did not live to end it.

use async_trait::async_trait;
use runtime_domain::id::{AggregateKind, TenantBindingId};
use runtime_ports::store::{Lease, LeaseTopic};

use crate::host::Host;
use crate::tenancy::TenancyService;
use crate::worker::{PassError, Passed, Task};

/// Settles quotas.
pub(crate) struct TenancyReconciler {
    host: Host,
    tenancy: TenancyService,
}

impl TenancyReconciler {
    pub(crate) fn new(host: Host, tenancy: TenancyService) -> Self {
        Self { host, tenancy }
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
        let settled = self.tenancy.settled(&scope, binding).await.map_err(PassError::failed)?;
        let settled = match settled.aggregate.workloads().waits_since() {
            Some(_) => self.tenancy.settle_workloads(&scope, binding).await.map_err(PassError::failed)?,
            None => settled,
        };
        // A move is carried out by who began it; there is nothing to do for it here.
        Ok(match settled.aggregate.relocation() {
            Some(_) => {
                let at = self.host.options().idle.after(self.host.now());
                Passed::Until { seen: settled.revision, at }
            }
            None => Passed::AsStored,
        })
    }
}
