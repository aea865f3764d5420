//! Evaluates policies, scales what they own, and records what is seen of it.
//!
//! One pass: look → evaluate, where it is due, and make that durable → scale, where something is wanted that was not asked for yet → look
//! again, and record what is there. An effect is done at most once a pass; where it failed, or its outcome is unknown, the next pass
//! looks before it does anything. What is accepted is not believed: only what is observed is recorded.

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::scaling::{EVALUATE_EVERY, PolicyState, ScalingCommand, ScalingPolicy, Wanted};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::EffectId;
use runtime_domain::tenancy::WorkloadDemand;
use runtime_domain::time::Span;
use runtime_ports::PortErrorKind;
use runtime_ports::store::{CommitError, Lease, LeaseTopic, Loaded, Repository, TenantStore};
use runtime_ports::surface::EffectContext;

use crate::host::Host;
use crate::observed::decided;
use crate::scaling::ScalingService;
use crate::scaling::senses::Standing;
use crate::tenancy::TenancyService;
use crate::unit::{Grounds, commit};
use crate::worker::{PassError, Passed, Task};

/// How long to wait before a surface that failed is asked again, and before what is waited for and cannot be seen is looked for again.
const TRY_AGAIN: Span = Span::from_secs(1);

/// Scales services.
pub(crate) struct ScalingReconciler {
    host: Host,
    scaling: ScalingService,
}

impl ScalingReconciler {
    pub(crate) fn new(host: Host, scaling: ScalingService) -> Self {
        Self { host, scaling }
    }

    async fn look(&self, scope: &TenantScope, policy: &ScalingPolicy) -> Result<Option<Standing>, PassError> {
        let senses = self.scaling.senses();
        let looked =
            senses.standing(scope, policy.environment_id(), policy.module_id(), policy.target()).await;
        looked.map_err(PassError::failed)
    }

    /// Decides and commits; `None` where somebody else changed the policy in between, so that all is to be looked at again.
    async fn record(
        &self,
        store: &dyn TenantStore,
        lease: &Lease,
        loaded: Loaded<ScalingPolicy>,
        command: &ScalingCommand,
    ) -> Result<Option<Loaded<ScalingPolicy>>, PassError> {
        let now = self.host.now();
        let decision = decided(|| loaded.aggregate.decide(command, now)).map_err(PassError::failed)?;
        if decision.is_unchanged() {
            return Ok(Some(loaded));
        }
        tracing::debug!(policy = %loaded.aggregate.id(), command = command.name(), explanation = decision.explanation, "decided");
        let grounds = Grounds { lease: Some(lease), ..Grounds::default() };
        match commit(&self.host, store, Some(loaded), &decision, grounds, now).await {
            Ok(after) => Ok(after),
            Err(CommitError::Conflict { .. } | CommitError::EvidenceStale { .. }) => Ok(None),
            Err(CommitError::LeaseLost { .. }) => Err(PassError::LeaseLost),
            Err(error) => Err(PassError::failed(error)),
        }
    }

    /// Asks the surface for what is wanted. Answers whether it was accepted.
    async fn scale(&self, lease: &Lease, standing: &Standing, effect: EffectId, to: u16) -> bool {
        let Some(surface) = self.host.surface(standing.target) else { return false };
        let context = EffectContext { effect, fence: lease.token };
        let call = surface.scale(context, &standing.key, &standing.revision, to);
        match self.host.effect("surface.scale", effect, call).await {
            Ok(()) => true,
            Err(error) if error.kind() == PortErrorKind::Fenced => {
                // A later rollout of the component is known to the surface, or another host's lease: a later token, or none, is given next.
                tracing::info!(%effect, "the surface has seen a later token");
                false
            }
            Err(error) => {
                tracing::warn!(%effect, %error, "a service was not scaled");
                false
            }
        }
    }

    /// Charges the tenant for as many replicas as there are or are to be, before any is added and after one is gone (TEN-2). False where there is
    /// no room for them.
    async fn charge(&self, scope: &TenantScope, standing: &Standing, wanted: u16) -> bool {
        let replicas = wanted.max(standing.asked).max(standing.replicas);
        let (environment, module) = (standing.key.environment, &standing.key.module);
        let demand = WorkloadDemand::each(standing.each, replicas);
        match TenancyService::charge_scaling(&self.host, scope, environment, module, demand).await {
            Ok(()) => true,
            Err(error) => {
                // The next evaluation sees how much room there is, and says so.
                tracing::info!(key = %standing.key, replicas, %error, "a quota was not charged");
                false
            }
        }
    }

    fn later(&self, loaded: &Loaded<ScalingPolicy>, wait: Span) -> Passed {
        Passed::Until { seen: loaded.revision, at: wait.after(self.host.now()) }
    }
}

/// Whether a rollout that is under way lets this be done; a number that was decided before it began may not be.
fn is_let(standing: &Standing, wanted: Wanted) -> bool {
    standing.rollout.is_none_or(|rollout| {
        let fewest = rollout.floor.min(standing.replicas);
        let most = rollout.most.unwrap_or(u16::MAX).max(standing.replicas);
        (fewest..=most).contains(&wanted.to)
    })
}

#[async_trait]
impl Task for ScalingReconciler {
    fn name(&self) -> &'static str {
        "scaling"
    }

    fn topic(&self) -> LeaseTopic {
        LeaseTopic::Work
    }

    fn kinds(&self) -> &'static [AggregateKind] {
        &[AggregateKind::ScalingPolicy]
    }

    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError> {
        use runtime_domain::aggregate::Aggregate as _;

        let scope = super::scope_of(&self.host, "scaling", lease).await?;
        let store = self.host.ports().store.for_tenant(&scope);
        let loaded =
            Repository::<ScalingPolicy>::new(&*store).load(lease.key.id).await.map_err(PassError::failed)?;
        let Some(mut loaded) = loaded else { return Ok(Passed::AsStored) };
        if let PolicyState::Suspended(_) | PolicyState::Retired(_) = loaded.aggregate.state() {
            return Ok(Passed::AsStored);
        }
        let Some(standing) = self.look(&scope, &loaded.aggregate).await? else {
            let is_waited_for =
                loaded.aggregate.state().watch().is_some_and(|watch| watch.activated_at.is_some());
            return Ok(self.later(&loaded, if is_waited_for { TRY_AGAIN } else { EVALUATE_EVERY }));
        };
        let is_due = loaded.aggregate.wake_at().is_some_and(|due| due <= self.host.now());
        let command = if is_due {
            let input = self.scaling.senses().input(&scope, loaded.aggregate.spec(), &standing).await;
            ScalingCommand::RecordEvaluation { input }
        } else {
            ScalingCommand::RecordScaled { observed: standing.replicas }
        };
        let Some(after) = self.record(&*store, lease, loaded, &command).await? else {
            return Ok(Passed::AsStored);
        };
        loaded = after;
        let effect = loaded.aggregate.effect();
        let has_room = self.charge(&scope, &standing, effect.map_or(0, |(_, wanted)| wanted.to)).await;
        let Some((effect, wanted)) = effect else { return Ok(Passed::AsStored) };
        if wanted.to > standing.asked && !has_room {
            return Ok(self.later(&loaded, TRY_AGAIN));
        }
        if !is_let(&standing, wanted) {
            // It is decided anew, with the rollout in sight, when it is due.
            return Ok(Passed::AsStored);
        }
        if standing.asked != wanted.to && !self.scale(lease, &standing, effect, wanted.to).await {
            return Ok(self.later(&loaded, TRY_AGAIN));
        }
        let seen = self.look(&scope, &loaded.aggregate).await?;
        if let Some(seen) = seen.filter(|seen| seen.revision == standing.revision) {
            let command = ScalingCommand::RecordScaled { observed: seen.replicas };
            match self.record(&*store, lease, loaded, &command).await? {
                Some(after) => loaded = after,
                None => return Ok(Passed::AsStored),
            }
        }
        // Until all of it is seen.
        Ok(match loaded.aggregate.effect() {
            Some(_) => self.later(&loaded, self.host.options().poll),
            None => Passed::AsStored,
        })
    }
}

#[cfg(test)]
mod tests;
