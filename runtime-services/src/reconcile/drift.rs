//! Compares watched environments with their desired state, keeps the findings, and repairs what is to be repaired.
//!
//! Flow of a pass, all of it under the watch's lease: look → merge what is seen into findings → follow the repairs that are under way → plan new ones →
//! begin them → say what it came to. A pass that sees what the last one saw commits nothing.
//!
//! Guarantees: a repair is planned durably before anything is done about it, under an identifier that the plan has; so whoever comes after a crash
//! does the same and not another. Findings, deployments and prunes carry the lease: a host that was replaced changes nothing. Where
//! anything could not be read or seen, nothing is found, closed or repaired.

mod findings;
mod repair;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use runtime_domain::drift::watch::{DriftWatch, Outlook, WatchState};
use runtime_domain::drift::{DriftStatus, RuntimeDriftFinding};
use runtime_domain::environment::{ProvisioningStatus, RuntimeEnvironment};
use runtime_domain::id::{AggregateKind, EnvironmentId};
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Span;
use runtime_ports::store::{CommitError, Lease, LeaseTopic, Loaded, Repository, TenantStore};

use crate::drift::DriftService;
use crate::drift::look::{Looked, NotLooked};
use crate::drift::remedy;
use crate::host::Host;
use crate::unit::{Grounds, commit};
use crate::worker::{PassError, Passed, Task};

/// How often to look while a repair is under way, where the terms look more rarely.
const WHILE_REPAIRING: Span = Span::from_secs(1);

/// Compares and repairs.
pub(crate) struct DriftReconciler {
    host: Host,
    drift: DriftService,
}

impl DriftReconciler {
    pub(crate) fn new(host: Host, drift: DriftService) -> Self {
        Self { host, drift }
    }
}

#[async_trait]
impl Task for DriftReconciler {
    fn name(&self) -> &'static str {
        "drift"
    }

    fn topic(&self) -> LeaseTopic {
        LeaseTopic::Work
    }

    fn kinds(&self) -> &'static [AggregateKind] {
        // A host without a source leaves watches to hosts that have one.
        if self.host.ports().desired_state.is_some() { &[AggregateKind::DriftWatch] } else { &[] }
    }

    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError> {
        let scope = super::scope_of(&self.host, "drift", lease).await?;
        let store = self.host.ports().store.for_tenant(&scope);
        let loaded = Repository::<DriftWatch>::new(&*store).load(lease.key.id).await;
        let Some(watch) = loaded.map_err(PassError::failed)? else { return Ok(Passed::AsStored) };
        if matches!(watch.aggregate.state(), WatchState::Stopped { .. }) {
            return Ok(Passed::AsStored);
        }
        let environment = watch.aggregate.environment_id();
        let pass =
            Pass { host: &self.host, drift: &self.drift, store: &*store, scope: &scope, lease, environment };
        pass.carry_out(watch).await
    }
}

/// One pass over an environment.
struct Pass<'p> {
    host: &'p Host,
    drift: &'p DriftService,
    store: &'p dyn TenantStore,
    scope: &'p TenantScope,
    lease: &'p Lease,
    environment: EnvironmentId,
}

type Finding = Loaded<RuntimeDriftFinding>;

impl Pass<'_> {
    async fn carry_out(&self, watch: Loaded<DriftWatch>) -> Result<Passed, PassError> {
        let found = Repository::<RuntimeEnvironment>::new(self.store).load(self.environment.uuid()).await;
        let status = found.map_err(PassError::failed)?.map(|found| found.aggregate.provisioning_status());
        match status {
            Some(ProvisioningStatus::Provisioned) => {}
            Some(ProvisioningStatus::Decommissioning | ProvisioningStatus::Decommissioned) | None => {
                let decision = watch.aggregate.stop("the environment is decommissioned");
                let decision = decision.map_err(PassError::failed)?;
                self.record_watch(watch, &decision).await?;
                return Ok(Passed::AsStored);
            }
            Some(_) => {
                let reason = "the environment is not provisioned".to_owned();
                return self.end(watch, Outlook::NotCompared { reason }, false).await;
            }
        }
        let terms = watch.aggregate.terms().clone();
        let open = remedy::open(self.store, self.environment).await.map_err(PassError::failed)?;
        match self.drift.look(self.scope, self.environment, &terms).await {
            Ok(looked) => {
                let (outlook, is_repairing) = self.compared(looked, open, &terms).await?;
                self.end(watch, outlook, is_repairing).await
            }
            Err(NotLooked::Load(error)) => Err(PassError::failed(error)),
            Err(error) => {
                // What has ended by the clock has ended, whatever is seen.
                for finding in open {
                    self.tick(finding).await?;
                }
                let reason = error.to_string();
                if !is_known(&watch.aggregate, &reason) {
                    tracing::warn!(environment = %self.environment, reason, "drift could not be looked for");
                }
                self.end(watch, Outlook::NotCompared { reason }, false).await
            }
        }
    }

    /// What is seen becomes findings, and findings become repairs.
    async fn compared(
        &self,
        mut looked: Looked,
        open: Vec<Finding>,
        terms: &runtime_domain::drift::watch::WatchTerms,
    ) -> Result<(Outlook, bool), PassError> {
        let detected = std::mem::take(&mut looked.comparison.detected);
        let guard = remedy::guard(&detected, looked.shown.len(), terms);
        let merged = self.merge(&looked, detected, open, terms, guard.as_deref()).await?;
        let followed = self.follow(&looked, merged.open).await?;
        let planned = self.plan(&looked, merged.due, terms).await?;
        let is_repairing = followed || planned;
        let revision = looked.revision;
        let outlook = match (merged.is_diverged, looked.comparison.not_compared.first()) {
            (true, _) => Outlook::Diverged { revision },
            (false, Some(unknown)) => {
                Outlook::NotCompared { reason: format!("{}: {}", unknown.subject, unknown.why) }
            }
            (false, None) => Outlook::InSync { revision },
        };
        Ok((outlook, is_repairing))
    }

    /// Says what it came to, and when to look again.
    async fn end(
        &self,
        watch: Loaded<DriftWatch>,
        outlook: Outlook,
        is_repairing: bool,
    ) -> Result<Passed, PassError> {
        let interval = watch.aggregate.terms().interval;
        let interval = if is_repairing { interval.min(WHILE_REPAIRING) } else { interval };
        let decision = watch.aggregate.record_outlook(outlook).map_err(PassError::failed)?;
        let seen = self.record_watch(watch, &decision).await?;
        let at = interval.after(self.host.now());
        Ok(seen.map_or(Passed::AsStored, |seen| Passed::Until { seen, at }))
    }

    /// The revision after it; `None` where somebody changed the watch meanwhile, which says when it is due.
    async fn record_watch(
        &self,
        watch: Loaded<DriftWatch>,
        decision: &runtime_domain::aggregate::Decision<runtime_domain::drift::watch::WatchEvent>,
    ) -> Result<Option<runtime_domain::value::Revision>, PassError> {
        let grounds = Grounds { lease: Some(self.lease), ..Grounds::default() };
        match commit(self.host, self.store, Some(watch), decision, grounds, self.host.now()).await {
            Ok(after) => Ok(after.map(|after| after.revision)),
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(CommitError::LeaseLost { .. }) => Err(PassError::LeaseLost),
            Err(error) => Err(PassError::failed(error)),
        }
    }
}

fn is_known(watch: &DriftWatch, reason: &str) -> bool {
    matches!(watch.outlook(), Some(Outlook::NotCompared { reason: known }) if known == reason)
}

fn is_remediating(finding: &RuntimeDriftFinding) -> bool {
    finding.state().status() == DriftStatus::Remediating
}
