//! A release that serves scales as it says.

use runtime_domain::aggregate::{Decision, EvidenceRef};
use runtime_domain::deployment::ReleasedScaling;
use runtime_domain::id::{AggregateKind, ScalingPolicyId};
use runtime_domain::scaling::{ScalingEvent, ScalingPolicy, ScalingRefusal};
use runtime_domain::scope::TenantScope;
use runtime_ports::store::{Loaded, ScalingPolicyRepository, TenantStore};

use super::{ScalingError, ScalingService};
use crate::error::{CommandError, Refused, sort};
use crate::existing::{self, TRIES};
use crate::observed::{self, decided};
use crate::unit::{Done, Grounds, commit};

impl ScalingService {
    /// Has a service's policy follow what a Completed deployment says of it, and makes the policy where there is none. Repeating it changes
    /// nothing, and neither does a deployment that comes after a later one: the policy remembers which it follows.
    pub(crate) async fn follow(
        &self,
        scope: &TenantScope,
        released: &ReleasedScaling,
    ) -> Result<(), ScalingError> {
        let store = self.host.ports().store.for_tenant(scope);
        let (environment, module) = (released.environment(), released.module());
        for _ in 0..TRIES {
            let found = ScalingPolicyRepository::new(&*store).current(environment, module).await?;
            let target = match (released.policy(), &found) {
                (Some(policy), _) => policy.bounds().target(),
                (None, Some(found)) => found.aggregate.target(),
                (None, None) => return Ok(()),
            };
            let surface = self.surface(scope, environment, target).await?;
            let facts = [surface.evidence(), released.evidence()];
            let Some(Loaded { aggregate: policy, .. }) = found else {
                let id = ScalingPolicyId::from_uuid(self.host.new_id(AggregateKind::ScalingPolicy));
                let decide = || ScalingPolicy::apply_released(id, released, &surface);
                let begun =
                    observed::command(&self.host, scope, "Apply", self.begin(&*store, &facts, decide));
                match begun.await {
                    Err(CommandError::Contended) => continue,
                    answer => return answer.map(drop),
                }
            };
            let what = format!("scaling policy {}", policy.id());
            let decide = |found: &ScalingPolicy, _| found.follow(released, &surface);
            let id = policy.id().uuid();
            match existing::command_on(&self.host, scope, "Follow", id, &what, &facts, decide).await {
                // The environment may have changed, as its evidence says no more.
                Err(CommandError::Contended) => {}
                answer => return answer.map(drop),
            }
        }
        Err(CommandError::Contended)
    }

    /// Begins a policy; Contended where the service was given one in between, or something that it rests on was changed.
    async fn begin(
        &self,
        store: &dyn TenantStore,
        facts: &[EvidenceRef],
        decide: impl FnOnce() -> Result<Decision<ScalingEvent>, ScalingRefusal>,
    ) -> Result<Done<ScalingPolicy>, ScalingError> {
        let decision = decided(decide).map_err(CommandError::Refused)?;
        let (grounds, now) = (Grounds::exactly(facts), self.host.now());
        match commit::<ScalingPolicy>(&self.host, store, None, &decision, grounds, now).await {
            Ok(Some(begun)) => Ok(Done::of(begun, &decision)),
            Ok(None) => Err(CommandError::Contended),
            Err(error) => match sort(error) {
                Refused::Again | Refused::Claim(_) => Err(CommandError::Contended),
                Refused::Stop(error) => Err(CommandError::Port(error)),
            },
        }
    }
}
