//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::bug;
use crate::claim::Claim;
use crate::deployment::event::DeploymentEvent;
use crate::deployment::record::RuntimeDeploymentRecord;
use crate::deployment::state::{
    Completed, DeploymentState, Failed, InProgress, Paused, Rejected, Requested, RolledBack, RollingBack,
    RuntimeDeployment,
};
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::rollout::gate::GateStatus;
use crate::rollout::progress::EffectState;
use crate::rollout::{GateIndex, HealthGate, Progress, RolloutPlan, SegmentKind, Track};
use crate::surface::EffectId;
use crate::time::Timestamp;
use crate::value::ModuleId;

impl Aggregate for RuntimeDeployment {
    const KIND: AggregateKind = AggregateKind::RuntimeDeployment;
    const SCHEMA: u16 = 1;
    type Event = DeploymentEvent;
    type Record = RuntimeDeploymentRecord;

    fn uuid(&self) -> Uuid {
        self.deployment_id.uuid()
    }

    fn tenant(&self) -> TenantId {
        self.tenant_id
    }

    fn environment(&self) -> EnvironmentId {
        self.environment_id
    }

    fn status(&self) -> &'static str {
        self.status().name()
    }

    fn modules(&self) -> BTreeSet<ModuleId> {
        self.release.components.keys().cloned().collect()
    }

    fn claims(&self) -> BTreeSet<Claim> {
        self.held_claims()
    }

    fn wake_at(&self) -> Option<Timestamp> {
        (!self.status().is_final()).then_some(self.requested_at)
    }

    fn evolve(state: Option<Self>, event: &DeploymentEvent, at: Timestamp) -> Result<Self, Misapplied> {
        match (state, event) {
            (None, DeploymentEvent::RuntimeDeploymentRequested(requested)) => Ok(Self {
                deployment_id: requested.deployment_id,
                tenant_id: requested.tenant_id,
                environment_id: requested.environment_id,
                release: Arc::new(requested.release.clone()),
                purpose: requested.purpose,
                numbers: Arc::new(requested.numbers.clone()),
                restore_points: Arc::new(requested.restore_points.clone()),
                traffic_controls: Arc::new(requested.traffic_controls.clone()),
                requested_at: at,
                started_at: None,
                plan: Arc::default(),
                gates: Vec::new(),
                touched: BTreeSet::new(),
                intentions: 0,
                state: DeploymentState::Requested(Requested {
                    progress: Progress::begin(&RolloutPlan::default(), at),
                }),
            }),
            (None, event) => Err(Misapplied { event: event.name(), state: "absent" }),
            (Some(deployment), event) => {
                let state = deployment.status().name();
                deployment.apply(event, at).ok_or(Misapplied { event: event.name(), state })
            }
        }
    }

    fn to_record(&self) -> RuntimeDeploymentRecord {
        RuntimeDeploymentRecord::of(self)
    }

    fn from_record(schema: u16, record: RuntimeDeploymentRecord) -> Result<Self, RecordError> {
        record.open(schema)
    }
}

impl RuntimeDeployment {
    fn apply(mut self, event: &DeploymentEvent, at: Timestamp) -> Option<Self> {
        match event {
            DeploymentEvent::RuntimeDeploymentRequested(_) => return None,
            DeploymentEvent::RolloutPlanned { plan, gates } => {
                let DeploymentState::Requested(_) = self.state else { return None };
                self.plan = Arc::new(plan.clone());
                self.gates = gates.clone();
                self.state = DeploymentState::Requested(Requested { progress: Progress::begin(plan, at) });
            }
            DeploymentEvent::StageCleared { track } => self.cursor_effect(track, EffectState::Clear)?,
            DeploymentEvent::EffectRepeated { track } => self.cursor_effect(track, EffectState::Clear)?,
            DeploymentEvent::EffectIntended { track, job, effect } => {
                self.intend(track, *job, *effect, at)?;
            }
            DeploymentEvent::EffectPerformed { effect } => {
                self.outcome(*effect, &EffectState::Performed { at })?;
            }
            DeploymentEvent::EffectDeferred { effect, reason, not_before } => {
                let attempts = self.attempts(*effect)?.saturating_add(1);
                let (effect, not_before, trouble) = (*effect, *not_before, Some(reason.clone()));
                self.outcome(effect, &EffectState::Intended { effect, attempts, not_before, trouble })?;
            }
            DeploymentEvent::GateSampled { gate, sample } => self.gate_mut(*gate)?.count(sample, at),
            DeploymentEvent::GateApproved { gate, by } => self.gate_mut(*gate)?.update_tally(|tally| {
                tally.approvals.insert(by.clone());
            }),
            DeploymentEvent::GatePassed { gate, evidence } => {
                self.gate_mut(*gate)?.status = GateStatus::Passed { at, evidence: evidence.clone() };
            }
            DeploymentEvent::GateFailed { gate, reason } => {
                self.gate_mut(*gate)?.status = GateStatus::Failed { at, reason: reason.clone() };
            }
            DeploymentEvent::StageCompleted { track } | DeploymentEvent::StageSkipped { track, .. } => {
                self.advance(track, at)?;
            }
            DeploymentEvent::HoldReleased { track } => {
                self.progress_mut()?.cursor_mut(track)?.released = true;
            }
            DeploymentEvent::RolloutPromoted => self.progress_mut()?.promoted = true,
            DeploymentEvent::QuarantineReleased { .. } => match &mut self.state {
                DeploymentState::RolledBack(state) => state.quarantined.clear(),
                DeploymentState::Failed(state) => state.quarantined.clear(),
                _ => return None,
            },
            DeploymentEvent::RolloutPaused { .. }
            | DeploymentEvent::RolloutResumed
            | DeploymentEvent::RollbackStarted { .. }
            | DeploymentEvent::RuntimeDeploymentCompleted
            | DeploymentEvent::RuntimeDeploymentRolledBack { .. }
            | DeploymentEvent::DeploymentRejected { .. }
            | DeploymentEvent::DeploymentFailed { .. } => return self.transition(event, at),
        }
        Some(self)
    }

    /// The events that change the state's kind.
    fn transition(mut self, event: &DeploymentEvent, at: Timestamp) -> Option<Self> {
        self.state = match (self.state.clone(), event) {
            (
                DeploymentState::Requested(Requested { progress })
                | DeploymentState::InProgress(InProgress { progress }),
                DeploymentEvent::RolloutPaused { cause },
            ) => DeploymentState::Paused(Paused { progress, cause: cause.clone(), since: at }),
            (DeploymentState::Paused(paused), DeploymentEvent::RolloutResumed) => self.resumed(paused, at),
            (
                DeploymentState::InProgress(_) | DeploymentState::Paused(_) | DeploymentState::Requested(_),
                DeploymentEvent::RollbackStarted { cause },
            ) => {
                let plan = self.restoration();
                let progress = Progress::begin(&plan, at);
                DeploymentState::RollingBack(RollingBack {
                    plan: Arc::new(plan),
                    progress,
                    cause: cause.clone(),
                    since: at,
                })
            }
            (
                DeploymentState::InProgress(_) | DeploymentState::Requested(_),
                DeploymentEvent::RuntimeDeploymentCompleted,
            ) if self.gates.iter().all(HealthGate::has_passed) => {
                DeploymentState::Completed(Completed { completed_at: at })
            }
            (
                DeploymentState::RollingBack(_),
                DeploymentEvent::RuntimeDeploymentRolledBack { cause, quarantined, leftovers },
            ) => DeploymentState::RolledBack(RolledBack {
                completed_at: at,
                cause: cause.clone(),
                quarantined: quarantined.clone(),
                leftovers: leftovers.clone(),
            }),
            (
                DeploymentState::Requested(_) | DeploymentState::InProgress(_) | DeploymentState::Paused(_),
                DeploymentEvent::DeploymentRejected { cause },
            ) => DeploymentState::Rejected(Rejected { completed_at: at, cause: cause.clone() }),
            (DeploymentState::RollingBack(state), DeploymentEvent::DeploymentFailed { why, quarantined }) => {
                DeploymentState::Failed(Failed {
                    completed_at: at,
                    cause: state.cause,
                    why: why.clone(),
                    quarantined: quarantined.clone(),
                })
            }
            _ => return None,
        };
        Some(self)
    }

    /// A pause is not held against a stage's deadline, nor its unknown samples against a gate.
    fn resumed(&mut self, paused: Paused, at: Timestamp) -> DeploymentState {
        let mut progress = paused.progress;
        for cursor in progress.cursors_mut() {
            cursor.deadline_from = at;
        }
        for gate in self.gates.iter_mut().filter(|gate| matches!(gate.status, GateStatus::Evaluating(_))) {
            gate.update_tally(|tally| tally.inconclusive_in_a_row = 0);
        }
        self.working(progress)
    }

    fn working(&self, progress: Progress) -> DeploymentState {
        let is_preflight = progress.kind(&self.plan) == Some(SegmentKind::Preflight);
        if is_preflight || self.started_at.is_none() {
            DeploymentState::Requested(Requested { progress })
        } else {
            DeploymentState::InProgress(InProgress { progress })
        }
    }

    pub(super) fn progress_mut(&mut self) -> Option<&mut Progress> {
        match &mut self.state {
            DeploymentState::Requested(state) => Some(&mut state.progress),
            DeploymentState::InProgress(state) => Some(&mut state.progress),
            DeploymentState::Paused(state) => Some(&mut state.progress),
            DeploymentState::RollingBack(state) => Some(&mut state.progress),
            _ => None,
        }
    }

    fn cursor_effect(&mut self, track: &Track, effect: EffectState) -> Option<()> {
        self.progress_mut()?.cursor_mut(track)?.effect = effect;
        Some(())
    }

    fn gate_mut(&mut self, gate: GateIndex) -> Option<&mut HealthGate> {
        self.gates.get_mut(usize::from(gate.0))
    }

    fn intend(
        &mut self,
        track: &Track,
        job: Option<GateIndex>,
        effect: EffectId,
        at: Timestamp,
    ) -> Option<()> {
        let intended = EffectState::Intended { effect, attempts: 0, not_before: at, trouble: None };
        self.intentions = effect.ordinal;
        if let Some(gate) = job {
            self.gate_mut(gate)?.update_tally(|tally| {
                tally.job = Some(intended);
                tally.job_effect = Some(effect);
            });
            return Some(());
        }
        self.cursor_effect(track, intended)?;
        if !bug!("half-made-is-never-undone") || self.started_at.is_some() {
            self.touched.extend(track.module().cloned());
        }
        if self.started_at.is_none() {
            self.started_at = Some(at);
        }
        if let DeploymentState::Requested(Requested { progress }) = &self.state {
            self.state = self.working(progress.clone());
        }
        Some(())
    }

    /// Where an effect's intention is kept: on the track or the gate that intends it.
    fn outcome(&mut self, effect: EffectId, outcome: &EffectState) -> Option<()> {
        let intends = |state: &EffectState| matches!(state, EffectState::Intended { effect: own, .. } if *own == effect);
        let cursor = self.progress_mut()?.cursors_mut().find(|cursor| intends(&cursor.effect));
        if let Some(cursor) = cursor {
            cursor.effect = outcome.clone();
            return Some(());
        }
        let gate = self.gates.iter_mut().find(|gate| gate.tally().job.as_ref().is_some_and(intends))?;
        gate.update_tally(|tally| tally.job = Some(outcome.clone()));
        Some(())
    }

    /// How often an intended effect was tried; `None` where it is not intended.
    pub(super) fn attempts(&self, effect: EffectId) -> Option<u16> {
        let attempts = |state: &EffectState| match state {
            EffectState::Intended { effect: own, attempts, .. } if *own == effect => Some(*attempts),
            _ => None,
        };
        let (plan, progress) = self.work()?;
        let on_track = progress.active(plan).find_map(|(_, _, cursor)| attempts(&cursor.effect));
        on_track.or_else(|| self.gates.iter().find_map(|gate| gate.tally().job.as_ref().and_then(attempts)))
    }

    fn advance(&mut self, track: &Track, at: Timestamp) -> Option<()> {
        let plan = match &self.state {
            DeploymentState::RollingBack(state) => Arc::clone(&state.plan),
            _ => Arc::clone(&self.plan),
        };
        let progress = self.progress_mut()?;
        progress.cursor(track)?;
        progress.advance(&plan, track, at);
        Some(())
    }
}
