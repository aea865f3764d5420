//! What a command comes to.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::aggregate::Decision;
use crate::bug;
use crate::deployment::ReleasedScaling;
use crate::environment::HostedSurface;
use crate::id::{ScalingPolicyId, ServiceId};
use crate::reason;
use crate::scaling::{
    ApplyScalingPolicy, Input, PolicyEffect, PolicyIdentity, PolicySpec, PolicyState, ReleaseMark, SHORT_FOR,
    ScalingCommand, ScalingEvent, ScalingPolicy, ScalingRefusal, Violation, Wanted, Watch, evaluate,
};
use crate::time::Timestamp;

type Decided = Result<Decision<ScalingEvent>, ScalingRefusal>;

impl ApplyScalingPolicy {
    fn check(&self) -> Result<(), ScalingRefusal> {
        let hosted = self.surface.environment();
        if hosted.environment() != self.environment_id || hosted.tenant() != self.tenant_id {
            return Err(ScalingRefusal::ForeignEvidence);
        }
        proven(&self.policy, &self.surface)
    }
}

fn proven(policy: &PolicySpec, surface: &HostedSurface) -> Result<(), ScalingRefusal> {
    let (target, proven) = (policy.bounds().target(), surface.surface());
    if target == proven { Ok(()) } else { Err(ScalingRefusal::OtherSurface { target, proven }) }
}

fn released_on(
    released: &ReleasedScaling,
    policy: &PolicySpec,
    surface: &HostedSurface,
) -> Result<(), ScalingRefusal> {
    let hosted = surface.environment();
    if (hosted.tenant(), hosted.environment()) != (released.tenant(), released.environment()) {
        return Err(ScalingRefusal::ForeignEvidence);
    }
    proven(policy, surface)
}

fn mark(released: &ReleasedScaling) -> ReleaseMark {
    ReleaseMark { deployment_id: released.deployment(), number: released.number() }
}

impl ScalingPolicy {
    /// Decides on a new policy. It takes effect at once, whether its service runs already or not.
    ///
    /// # Errors
    /// X-1 where the evidence is of another tenant or environment, CAPABILITY where it is of another surface than the policy's target.
    pub fn apply(command: &ApplyScalingPolicy) -> Decided {
        command.check()?;
        let identity = PolicyIdentity {
            scaling_policy_id: command.scaling_policy_id,
            tenant_id: command.tenant_id,
            environment_id: command.environment_id,
            service_id: ServiceId::of(command.environment_id, &command.module_id),
            module_id: command.module_id.clone(),
        };
        let effect = PolicyEffect::Applied { policy: command.policy.clone(), release: None };
        let explanation = format!("{} scales by this policy from now on", command.module_id);
        Ok(Decision::of(vec![ScalingEvent::ScalingPolicyApplied { identity, effect }], explanation))
    }

    /// Answers the command that made this policy when it comes again, under whatever new identifier.
    ///
    /// # Errors
    /// As [`ScalingPolicy::apply`]; SCL-3 where the policy differs from what is asked for; LIFECYCLE where it
    /// was retired.
    pub fn apply_again(&self, command: &ApplyScalingPolicy) -> Decided {
        if let PolicyState::Retired(_) = self.state {
            return Err(self.lifecycle("ApplyScalingPolicy", "apply a new policy, with a new identifier"));
        }
        command.check()?;
        let mut differences = self.spec.differences(&command.policy);
        let service = ServiceId::of(command.environment_id, &command.module_id);
        if service != self.identity.service_id || command.module_id != self.identity.module_id {
            differences.push("service");
        }
        if command.tenant_id != self.identity.tenant_id {
            differences.push("tenant");
        }
        if differences.is_empty() {
            Ok(Decision::unchanged("this policy was applied before"))
        } else {
            Err(ScalingRefusal::Different { service: self.identity.service_id, differences })
        }
    }

    /// Decides on a command. Nothing changes until the events are committed.
    ///
    /// # Errors
    /// As the table in [the module](crate::scaling) says.
    pub fn decide(&self, command: &ScalingCommand, now: Timestamp) -> Decided {
        if let PolicyState::Retired(_) = self.state {
            return match command {
                ScalingCommand::RetirePolicy { .. } => Ok(Decision::unchanged("it was retired before")),
                _ => Err(self.lifecycle(command.name(), "apply a new policy, with a new identifier")),
            };
        }
        match command {
            ScalingCommand::ChangePolicy { policy } => Ok(self.change(policy)),
            ScalingCommand::SuspendScaling { reason } => self.suspend(reason),
            ScalingCommand::ResumeScaling => Ok(self.resume()),
            ScalingCommand::RecordEvaluation { input } => self.evaluation(input, now),
            ScalingCommand::RecordActivation => Ok(self.activation()),
            ScalingCommand::RecordScaled { observed } => Ok(self.scaled(*observed)),
            ScalingCommand::RetirePolicy { reason } => {
                let reason = reason::stated(reason).ok_or(ScalingRefusal::BadReason)?;
                let retired = ScalingEvent::ScalingPolicyRetired { reason };
                Ok(Decision::of(vec![retired], "the service scales by this policy no more"))
            }
        }
    }

    /// Decides on [`ScalingCommand::ChangePolicy`], with proof that the environment has what the changed policy is for.
    ///
    /// # Errors
    /// X-1 where the evidence is of another tenant or environment, CAPABILITY where it is of another surface; else as
    /// [`ScalingPolicy::decide`].
    pub fn change_on(&self, policy: &PolicySpec, surface: &HostedSurface, now: Timestamp) -> Decided {
        let hosted = surface.environment();
        if hosted.environment() != self.identity.environment_id || hosted.tenant() != self.identity.tenant_id
        {
            return Err(ScalingRefusal::ForeignEvidence);
        }
        proven(policy, surface)?;
        self.decide(&ScalingCommand::ChangePolicy { policy: policy.clone() }, now)
    }

    /// Decides on a new policy that comes with a release, where the service has none.
    ///
    /// # Errors
    /// X-1 where the evidence of the surface is of another tenant or environment than the release, CAPABILITY where it is of another surface.
    pub fn apply_released(
        scaling_policy_id: ScalingPolicyId,
        released: &ReleasedScaling,
        surface: &HostedSurface,
    ) -> Decided {
        let Some(policy) = released.policy() else {
            return Ok(Decision::unchanged("the release says nothing of how it scales"));
        };
        released_on(released, policy, surface)?;
        let identity = PolicyIdentity {
            scaling_policy_id,
            tenant_id: released.tenant(),
            environment_id: released.environment(),
            service_id: ServiceId::of(released.environment(), released.module()),
            module_id: released.module().clone(),
        };
        let effect = PolicyEffect::Applied { policy: policy.clone(), release: Some(mark(released)) };
        let explanation = format!("{} scales as its release says", released.module());
        Ok(Decision::of(vec![ScalingEvent::ScalingPolicyApplied { identity, effect }], explanation))
    }

    /// Decides on what a release says, once it serves. Each release is followed once, and none after a later one; what somebody changed
    /// after the release was asked for stands where the release asked for nothing else than the policy said then.
    ///
    /// # Errors
    /// X-1 where the evidence is of another service, or of another tenant or environment; CAPABILITY where the surface is another than the
    /// release's; LIFECYCLE where the policy was retired.
    pub fn follow(&self, released: &ReleasedScaling, surface: &HostedSurface) -> Decided {
        if let PolicyState::Retired(_) = self.state {
            return Err(self.lifecycle("FollowRelease", "apply a new policy, with a new identifier"));
        }
        let identity = &self.identity;
        let own = (identity.tenant_id, identity.environment_id, &identity.module_id);
        if own != (released.tenant(), released.environment(), released.module()) {
            return Err(ScalingRefusal::ForeignEvidence);
        }
        if self.released.is_some_and(|known| known.release.number >= released.number()) {
            return Ok(Decision::unchanged("it follows this release already, or a later one"));
        }
        let release = mark(released);
        let stays = |why: &str| Ok(Decision::of(vec![ScalingEvent::ScalingReleaseFollowed { release }], why));
        let Some(policy) = released.policy() else {
            return stays("the release says nothing of how it scales: the policy stays as it is");
        };
        released_on(released, policy, surface)?;
        let differences = self.spec.differences(policy);
        if differences.is_empty() {
            return stays("the policy says what the release says");
        }
        if self.said_at(released.requested_at()) == Some(policy) {
            return stays(
                "it said what the release says, and was changed after that was asked for: that stands",
            );
        }
        let changed = self.brought(PolicyEffect::Changed { policy: policy.clone(), release: Some(release) });
        Ok(Decision::of(vec![changed], format!("with its release it has other {}", differences.join(", "))))
    }

    fn change(&self, policy: &PolicySpec) -> Decision<ScalingEvent> {
        let differences = self.spec.differences(policy);
        if differences.is_empty() {
            return Decision::unchanged("the policy says this already");
        }
        let changed = self.brought(PolicyEffect::Changed { policy: policy.clone(), release: None });
        Decision::of(vec![changed], format!("the policy has other {}", differences.join(", ")))
    }

    fn suspend(&self, why: &str) -> Decided {
        if let PolicyState::Suspended(_) = self.state {
            return Ok(Decision::unchanged("it was suspended before"));
        }
        let reason = reason::stated(why).ok_or(ScalingRefusal::BadReason)?;
        Ok(Decision::of(vec![ScalingEvent::ScalingSuspended { reason }], "the replicas stay as they are"))
    }

    fn resume(&self) -> Decision<ScalingEvent> {
        match &self.state {
            PolicyState::Suspended(_) if !bug!("resumed-yet-paused") => {
                Decision::of(vec![ScalingEvent::ScalingResumed], "it scales from now on, as if just applied")
            }
            _ => Decision::unchanged("it is not suspended"),
        }
    }

    fn evaluation(&self, input: &Input, now: Timestamp) -> Decided {
        let Some(watch) = self.state.watch() else {
            return Err(self.lifecycle("RecordEvaluation", "resume scaling first"));
        };
        let mut events = self.seen(watch, input.current);
        let history = match events.first() {
            Some(ScalingEvent::ScalingPolicyApplied {
                effect: PolicyEffect::Scaled { from, to }, ..
            }) => watch.history.clone().changed(*from, *to, now),
            _ => watch.history.clone(),
        };
        let decided = evaluate(&self.spec, &history, input, now);
        let history = history.evaluated(&self.spec, &decided.findings, now);
        let explanation = decided.explanation.clone();
        events.push(ScalingEvent::ScalingEvaluated {
            findings: decided.findings,
            explanation: decided.explanation,
        });
        let after = self.spec.terms().fallback.after;
        let missing: Vec<_> = history.unknown_for(after, now).collect();
        let since = missing.iter().map(|(_, since)| *since).min();
        let is_free = input.rollout.is_none();
        let violation = self.out_of_bounds(input.current).filter(|_| is_free).or_else(|| {
            let most = self.spec.bounds().most();
            let missed = history.short_since().filter(|since| SHORT_FOR.after(*since) <= now);
            let short = missed.map(|since| Violation::TargetMissed { most, since });
            let signals = missing.iter().map(|(signal, _)| *signal).collect();
            since.map(|since| Violation::MetricsMissing { signals, since }).or(short)
        });
        events.extend(self.judged(violation));
        Ok(Decision::of(events, explanation))
    }

    fn activation(&self) -> Decision<ScalingEvent> {
        let Some(watch) = self.state.watch().filter(|_| self.spec.bounds().scales_to_zero()) else {
            return Decision::unchanged("it does not scale to zero, or is suspended: nothing is started");
        };
        if watch.activated_at.is_some() {
            return Decision::unchanged("it is known that something waits");
        }
        match watch.wanted {
            Some(Wanted { from: 0, to }) => Decision::unchanged(format!("{to} replicas are on their way")),
            _ => {
                Decision::of(vec![ScalingEvent::ScalingActivated], "something waits: it is evaluated at once")
            }
        }
    }

    fn scaled(&self, observed: u16) -> Decision<ScalingEvent> {
        let Some(watch) = self.state.watch() else {
            return Decision::unchanged("nothing is watched while scaling is suspended");
        };
        let events = self.seen(watch, observed);
        if events.is_empty() {
            Decision::unchanged(format!("{observed} replicas were seen before"))
        } else {
            Decision::of(events, format!("{observed} replicas are there"))
        }
    }

    /// What it means that so many replicas are seen.
    fn seen(&self, watch: &Watch, observed: u16) -> Vec<ScalingEvent> {
        match watch.wanted {
            Some(Wanted { from, to }) if to == observed => {
                vec![self.brought(PolicyEffect::Scaled { from, to })]
            }
            _ if watch.observed == Some(observed) => Vec::new(),
            _ => vec![ScalingEvent::ReplicasObserved { observed }],
        }
    }

    fn out_of_bounds(&self, observed: u16) -> Option<Violation> {
        let bounds = self.spec.bounds();
        let (least, most) = (bounds.least(), bounds.most());
        (bounds.clamp(observed) != observed).then_some(Violation::OutOfBounds { observed, least, most })
    }

    /// What it means that the policy is violated in this way, or in none.
    fn judged(&self, violation: Option<Violation>) -> Option<ScalingEvent> {
        match (&self.state, violation) {
            (PolicyState::Violated(known), Some(violation)) if known.violation.kind() == violation.kind() => {
                None
            }
            (_, Some(violation)) => {
                Some(ScalingEvent::ScalingPolicyViolated { identity: self.identity.clone(), violation })
            }
            (PolicyState::Violated(_), None) => Some(ScalingEvent::ScalingPolicyKept),
            (_, None) => None,
        }
    }

    fn brought(&self, effect: PolicyEffect) -> ScalingEvent {
        ScalingEvent::ScalingPolicyApplied { identity: self.identity.clone(), effect }
    }

    fn lifecycle(&self, command: &'static str, remedy: &'static str) -> ScalingRefusal {
        ScalingRefusal::Lifecycle { command, status: self.state.status(), remedy }
    }
}
