//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::claim::Claim;
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::scaling::{
    ACTIVATE_EVERY, AppliedAction, EVALUATE_EVERY, Findings, FormerTerms, History, MOST_APPLIED, MOST_FORMER,
    PolicyEffect, PolicySpec, PolicyState, ReleaseMark, Released, Retired, ScalingEvent, ScalingPolicy,
    ScalingPolicyRecord, Suspended, Violated, Wanted, Watch,
};
use crate::time::Timestamp;
use crate::value::ModuleId;

impl Aggregate for ScalingPolicy {
    const KIND: AggregateKind = AggregateKind::ScalingPolicy;
    const SCHEMA: u16 = 1;
    type Event = ScalingEvent;
    type Record = ScalingPolicyRecord;

    fn uuid(&self) -> Uuid {
        self.identity.scaling_policy_id.uuid()
    }

    fn tenant(&self) -> TenantId {
        self.identity.tenant_id
    }

    fn environment(&self) -> EnvironmentId {
        self.identity.environment_id
    }

    fn status(&self) -> &'static str {
        self.state.status().name()
    }

    fn modules(&self) -> BTreeSet<ModuleId> {
        BTreeSet::from([self.identity.module_id.clone()])
    }

    fn claims(&self) -> BTreeSet<Claim> {
        match self.state {
            PolicyState::Retired(_) => BTreeSet::new(),
            _ => {
                let identity = &self.identity;
                BTreeSet::from([Claim::scaling_policy(identity.environment_id, &identity.module_id)])
            }
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let watch = self.state.watch()?;
        let Some(last) = watch.history.evaluated_at() else { return Some(watch.since) };
        let regular = EVALUATE_EVERY.after(last);
        // Where the clock went back since the last evaluation, what waits is not held up until it has caught up.
        let activated =
            watch.activated_at.map(|at| if last > at { at } else { at.max(ACTIVATE_EVERY.after(last)) });
        Some(activated.map_or(regular, |activated| activated.min(regular)))
    }

    fn evolve(state: Option<Self>, event: &ScalingEvent, at: Timestamp) -> Result<Self, Misapplied> {
        match (state, event) {
            (
                None,
                ScalingEvent::ScalingPolicyApplied {
                    identity,
                    effect: PolicyEffect::Applied { policy, release },
                },
            ) => Ok(Self {
                identity: identity.clone(),
                spec: policy.clone(),
                applied_at: at,
                applied: alloc::vec::Vec::new(),
                former: alloc::vec::Vec::new(),
                released: release.map(|release| Released { release, since: at, is_origin: true }),
                intentions: 0,
                state: PolicyState::Active(Watch::begun(History::default(), at)),
            }),
            (None, _) => Err(Misapplied { event: event.name(), state: "absent" }),
            (Some(policy), event) => {
                let state = policy.state.status().name();
                policy.step(event, at).ok_or(Misapplied { event: event.name(), state })
            }
        }
    }

    fn to_record(&self) -> ScalingPolicyRecord {
        ScalingPolicyRecord::of(self)
    }

    fn from_record(schema: u16, record: ScalingPolicyRecord) -> Result<Self, RecordError> {
        record.open(schema)
    }
}

impl ScalingPolicy {
    fn step(mut self, event: &ScalingEvent, at: Timestamp) -> Option<Self> {
        match event {
            ScalingEvent::ScalingPolicyApplied { effect, .. } => self.brought_about(effect, at),
            ScalingEvent::ScalingEvaluated { findings, .. } => {
                let spec = &self.spec;
                self.state.watch_mut()?.find(spec, findings, at);
                self.intentions =
                    self.intentions.saturating_add(u32::from(findings.desired != findings.current));
                Some(self)
            }
            ScalingEvent::ScalingReleaseFollowed { release } => {
                let is_retired = matches!(self.state, PolicyState::Retired(_));
                self.note_release(*release, at);
                (!is_retired).then_some(self)
            }
            ScalingEvent::ScalingActivated => {
                self.state.watch_mut()?.activated_at = Some(at);
                Some(self)
            }
            ScalingEvent::ReplicasObserved { observed } => {
                self.state.watch_mut()?.observed = Some(*observed);
                Some(self)
            }
            ScalingEvent::ScalingPolicyViolated { violation, .. } => {
                let violation = violation.clone();
                let state = match self.state {
                    PolicyState::Active(watch) | PolicyState::Violated(Violated { watch, .. }) => {
                        PolicyState::Violated(Violated { watch, violation, since: at })
                    }
                    PolicyState::Suspended(_) | PolicyState::Retired(_) => return None,
                };
                Some(Self { state, ..self })
            }
            ScalingEvent::ScalingPolicyKept => {
                let PolicyState::Violated(Violated { watch, .. }) = self.state else { return None };
                Some(Self { state: PolicyState::Active(watch), ..self })
            }
            ScalingEvent::ScalingSuspended { reason } => {
                self.state.watch()?;
                let state = PolicyState::Suspended(Suspended { since: at, reason: reason.clone() });
                Some(Self { state, ..self })
            }
            ScalingEvent::ScalingResumed => {
                let PolicyState::Suspended(_) = self.state else { return None };
                Some(Self { state: PolicyState::Active(Watch::begun(History::default(), at)), ..self })
            }
            ScalingEvent::ScalingPolicyRetired { reason } => {
                let is_retired = matches!(self.state, PolicyState::Retired(_));
                let state = PolicyState::Retired(Retired { since: at, reason: reason.clone() });
                (!is_retired).then_some(Self { state, ..self })
            }
        }
    }

    fn note_release(&mut self, release: ReleaseMark, at: Timestamp) {
        let is_origin = self.released.is_some_and(|released| released.is_origin);
        self.released = Some(Released { release, since: at, is_origin });
    }

    fn brought_about(mut self, effect: &PolicyEffect, at: Timestamp) -> Option<Self> {
        match effect {
            PolicyEffect::Applied { .. } => None,
            PolicyEffect::Changed { policy, release } => {
                if let Some(release) = release {
                    self.note_release(*release, at);
                }
                let state = match self.state {
                    PolicyState::Active(watch) | PolicyState::Violated(Violated { watch, .. }) => {
                        PolicyState::Active(Watch {
                            observed: watch.observed,
                            ..Watch::begun(watch.history.restarted(), at)
                        })
                    }
                    PolicyState::Suspended(suspended) => PolicyState::Suspended(suspended),
                    PolicyState::Retired(_) => return None,
                };
                if self.former.len() >= MOST_FORMER {
                    self.former.remove(0);
                }
                self.former.push(FormerTerms { policy: self.spec, since: self.applied_at, until: at });
                Some(Self { spec: policy.clone(), applied_at: at, state, ..self })
            }
            PolicyEffect::Scaled { from, to } => {
                let watch = self.state.watch_mut()?;
                watch.history = core::mem::take(&mut watch.history).changed(*from, *to, at);
                watch.observed = Some(*to);
                watch.wanted = None;
                if self.applied.len() >= MOST_APPLIED {
                    self.applied.remove(0);
                }
                self.applied.push(AppliedAction { at, from: *from, to: *to });
                Some(self)
            }
        }
    }
}

impl PolicyState {
    fn watch_mut(&mut self) -> Option<&mut Watch> {
        match self {
            Self::Active(watch) | Self::Violated(Violated { watch, .. }) => Some(watch),
            Self::Suspended(_) | Self::Retired(_) => None,
        }
    }
}

impl Watch {
    fn begun(history: History, at: Timestamp) -> Self {
        Self { since: at, history, observed: None, wanted: None, activated_at: None }
    }

    fn find(&mut self, spec: &PolicySpec, findings: &Findings, at: Timestamp) {
        self.history = core::mem::take(&mut self.history).evaluated(spec, findings, at);
        self.activated_at = None;
        let Findings { current, desired, .. } = *findings;
        // A change that is not all there yet counts from where it began, whichever count is wanted by now; where replicas come and go by
        // themselves until the other way leads there, another change begins.
        let begun =
            self.wanted.map(|wanted| wanted.from).filter(|from| from.cmp(&desired) == current.cmp(&desired));
        let from = begun.unwrap_or(current);
        self.wanted = (desired != current).then_some(Wanted { from, to: desired });
    }
}
