//! Where a plan stands, and what to do next.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bug;
use crate::component::{HttpPath, JobSpec, RevisionId};
use crate::metric::MetricName;
use crate::rollout::gate::{Conclusion, GateCheck, GateIndex, GatePoint, HealthGate};
use crate::rollout::plan::{Change, RolloutPlan, Segment, SegmentKind, Stage, Track};
use crate::surface::EffectId;
use crate::time::{Span, Timestamp};
use crate::value::ModuleId;

/// How long a change that was made may go unobserved before it is made again.
pub const REASSERT_AFTER: Span = Span::from_secs(30);

/// Where a plan stands. Everything before `segment` is done, and of the segment each track has its own cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    segment: usize,
    tracks: BTreeMap<Track, Cursor>,
    /// Once true, holds count as over.
    pub(crate) promoted: bool,
}

/// Where one track stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The stage, counted from 0; the number of stages where the track is done.
    pub stage: usize,
    /// When the stage began.
    pub entered_at: Timestamp,
    /// Since when its deadline counts: when it began, or when the deployment was last resumed.
    pub deadline_from: Timestamp,
    /// How far its change is.
    pub effect: EffectState,
    /// True once a hold that waits for a person was released.
    pub released: bool,
}

/// How far a change of the world is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EffectState {
    /// What it requires was not observed yet.
    Blocked,
    /// It may be made.
    Clear,
    /// It will be made, and may have been: the intention is durable, the outcome is not known.
    Intended {
        /// Which effect.
        effect: EffectId,
        /// How often it was tried without success.
        attempts: u16,
        /// Not before.
        not_before: Timestamp,
        /// Why the last try was without success.
        #[serde(default)]
        trouble: Option<String>,
    },
    /// It was accepted.
    Performed {
        /// When; observations made before then say nothing about it.
        at: Timestamp,
    },
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a rollout moves only by what is done with this"]
pub enum Next {
    /// These things, each of which can be done now, in any order.
    Act(Vec<Action>),
    /// Nothing before this time.
    Wait(Timestamp),
    /// Nothing until someone decides: an approval, a resumption.
    WaitForPeople,
    /// Nothing more.
    Done,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the intention durable; then it appears as [`Action::Perform`].
    Intend {
        /// On which track.
        track: Track,
        /// For which gate's job, where it is one.
        job: Option<GateIndex>,
    },
    /// Change the world, and record how it went.
    Perform(Effect),
    /// Look at the world, and record what was seen.
    Look(Look),
    /// Let time act: a hold is over, a deadline has passed.
    Tick,
}

/// A change to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Its identifier: the same however often it is tried, by whichever host.
    pub id: EffectId,
    /// The component, where it is about one.
    pub module: Option<ModuleId>,
    /// What to do.
    pub change: EffectChange,
}

/// What an effect does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectChange {
    /// Something on the component's surface.
    Surface(Change),
    /// A job is started.
    Job(JobSpec),
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The component on its surface.
    Component {
        /// Which.
        module: ModuleId,
    },
    /// HTTP answers, of every ready instance of the revision or of the component's endpoint.
    Probe {
        /// For which gate.
        gate: GateIndex,
        /// Of which revision.
        revision: RevisionId,
        /// True where the endpoint is asked instead of the instances.
        through_endpoint: bool,
        /// The path.
        path: HttpPath,
        /// How long one answer may take.
        timeout: Span,
    },
    /// A metric of a revision.
    Metric {
        /// For which gate.
        gate: GateIndex,
        /// Of which revision.
        revision: RevisionId,
        /// Which metric.
        metric: MetricName,
        /// Since when.
        since: Timestamp,
    },
    /// A job.
    Job {
        /// For which gate.
        gate: GateIndex,
        /// Started by which effect.
        effect: EffectId,
    },
}

impl Progress {
    /// The beginning of a plan.
    pub fn begin(plan: &RolloutPlan, now: Timestamp) -> Self {
        let mut progress = Self { segment: 0, tracks: BTreeMap::new(), promoted: false };
        progress.enter(plan, now);
        progress
    }

    fn enter(&mut self, plan: &RolloutPlan, now: Timestamp) {
        self.tracks = plan
            .segments
            .get(self.segment)
            .map(|segment| {
                let cursors = segment
                    .tracks
                    .iter()
                    .map(|(track, stages)| (track.clone(), Cursor::entering(0, stages.first(), now)));
                cursors.collect()
            })
            .unwrap_or_default();
    }

    /// The segment that is worked on, counted from 0, and `None` where the plan is done.
    pub fn segment<'p>(&self, plan: &'p RolloutPlan) -> Option<&'p Segment> {
        plan.segments.get(self.segment)
    }

    /// What the present segment is for; `None` where the plan is done.
    pub fn kind(&self, plan: &RolloutPlan) -> Option<SegmentKind> {
        self.segment(plan).map(|segment| segment.kind)
    }

    /// The number of the present segment, from 0.
    pub fn segment_number(&self) -> usize {
        self.segment
    }

    /// True where nothing is left to do.
    pub fn is_finished(&self, plan: &RolloutPlan) -> bool {
        self.segment >= plan.segments.len()
    }

    /// The stage that a track is at, with its cursor; `None` where the track is done or not part of the segment.
    pub fn at<'s>(&'s self, plan: &'s RolloutPlan, track: &Track) -> Option<(&'s Stage, &'s Cursor)> {
        let cursor = self.tracks.get(track)?;
        let stage = self.segment(plan)?.tracks.get(track)?.get(cursor.stage)?;
        Some((stage, cursor))
    }

    /// Every unfinished track of the present segment.
    pub fn active<'s>(
        &'s self,
        plan: &'s RolloutPlan,
    ) -> impl Iterator<Item = (&'s Track, &'s Stage, &'s Cursor)> {
        self.tracks
            .keys()
            .filter_map(move |track| self.at(plan, track).map(|(stage, cursor)| (track, stage, cursor)))
    }

    /// Where a track's cursor is within the present segment.
    pub fn cursor(&self, track: &Track) -> Option<&Cursor> {
        self.tracks.get(track)
    }

    pub(crate) fn cursor_mut(&mut self, track: &Track) -> Option<&mut Cursor> {
        self.tracks.get_mut(track)
    }

    pub(crate) fn cursors_mut(&mut self) -> impl Iterator<Item = &mut Cursor> {
        self.tracks.values_mut()
    }

    /// Moves a track to its next stage, and to the next segment where that was the last one left.
    pub(crate) fn advance(&mut self, plan: &RolloutPlan, track: &Track, now: Timestamp) {
        let stages =
            self.segment(plan).and_then(|segment| segment.tracks.get(track)).map_or(&[][..], Vec::as_slice);
        if let Some(cursor) = self.tracks.get_mut(track) {
            *cursor = Cursor::entering(cursor.stage + 1, stages.get(cursor.stage + 1), now);
        }
        let is_over = |progress: &Self| {
            let left = progress.active(plan).count();
            left == 0 || bug!("wave-passes-while-progressing") && left < progress.tracks.len()
        };
        while !self.is_finished(plan) && is_over(self) {
            self.segment += 1;
            self.enter(plan, now);
        }
    }

    /// Whether the stage's hold is over.
    pub fn hold_is_over(&self, stage: &Stage, cursor: &Cursor, now: Timestamp) -> bool {
        self.promoted || cursor.released || self.hold_ends(stage, cursor).is_some_and(|end| end <= now)
    }

    /// When the hold is over by itself; `None` where it waits for a person or has not begun.
    fn hold_ends(&self, stage: &Stage, cursor: &Cursor) -> Option<Timestamp> {
        match cursor.effect {
            EffectState::Performed { at } => stage.hold.ends(at),
            _ => None,
        }
    }

    /// What to do next, from the state and the time alone.
    pub fn next(&self, plan: &RolloutPlan, gates: &[HealthGate], now: Timestamp) -> Next {
        if self.is_finished(plan) {
            return Next::Done;
        }
        let mut wants = Wants { now, actions: Vec::new(), wake: None };
        for (track, stage, cursor) in self.active(plan) {
            self.want(&mut wants, gates, track, stage, cursor);
        }
        match (wants.actions.is_empty(), wants.wake) {
            (false, _) => Next::Act(wants.actions),
            (true, Some(wake)) => Next::Wait(wake),
            (true, None) => Next::WaitForPeople,
        }
    }

    fn want(&self, wants: &mut Wants, gates: &[HealthGate], track: &Track, stage: &Stage, cursor: &Cursor) {
        match (&cursor.effect, track.module()) {
            (EffectState::Blocked, Some(module)) => wants.look(Look::Component { module: module.clone() }),
            (EffectState::Blocked | EffectState::Clear, _) if stage.change.is_none() => {
                wants.act(Action::Tick);
            }
            (EffectState::Blocked, None) => wants.act(Action::Tick),
            (EffectState::Clear, _) => wants.act(Action::Intend { track: track.clone(), job: None }),
            (EffectState::Intended { effect, not_before, .. }, module) => {
                if let Some(change) = &stage.change {
                    let change = EffectChange::Surface(change.clone());
                    wants.act_at(
                        *not_before,
                        Action::Perform(Effect { id: *effect, module: module.cloned(), change }),
                    );
                }
            }
            (EffectState::Performed { at }, module) => {
                self.settle(wants, gates, track, stage, cursor, *at, module);
            }
        }
    }

    /// The change is made (or there was none): hold, gates, and what must be observed.
    #[expect(clippy::too_many_arguments, reason = "one stage's parts, taken apart by the only caller")]
    fn settle(
        &self,
        wants: &mut Wants,
        gates: &[HealthGate],
        track: &Track,
        stage: &Stage,
        cursor: &Cursor,
        since: Timestamp,
        module: Option<&ModuleId>,
    ) {
        let mut waits_for_gate = false;
        for index in &stage.gates {
            let Some(gate) = gates.get(usize::from(index.0)) else { continue };
            if gate.has_passed() || matches!(gate.check, GateCheck::Readiness) {
                continue;
            }
            waits_for_gate = true;
            want_gate(wants, track, *index, gate, since, self.hold_is_over(stage, cursor, wants.now));
        }
        let hold_is_over = self.hold_is_over(stage, cursor, wants.now);
        if !hold_is_over && let Some(end) = self.hold_ends(stage, cursor) {
            wants.wake_at(end);
        }
        match module {
            // Seen all along, so that a revision that breaks during a hold is noticed then.
            Some(module) if !stage.until.is_empty() => wants.look(Look::Component { module: module.clone() }),
            _ if hold_is_over && !waits_for_gate => wants.act(Action::Tick),
            _ => {}
        }
    }
}

fn want_gate(
    wants: &mut Wants,
    track: &Track,
    index: GateIndex,
    gate: &HealthGate,
    since: Timestamp,
    hold_is_over: bool,
) {
    if gate.conclusion() == Conclusion::Sufficient && hold_is_over {
        return wants.act(Action::Tick);
    }
    match (&gate.check, &gate.judged) {
        (GateCheck::Job(job), _) => match gate.tally().job {
            None => wants.act(Action::Intend { track: track.clone(), job: Some(index) }),
            Some(EffectState::Intended { effect, not_before, .. }) => {
                let change = EffectChange::Job(job.clone());
                wants.act_at(not_before, Action::Perform(Effect { id: effect, module: None, change }));
            }
            Some(_) => {
                if let Some(effect) = gate.tally().job_effect {
                    wants.look(Look::Job { gate: index, effect });
                }
            }
        },
        (GateCheck::Probe(check), Some(revision)) => {
            if let Some(due) = gate.sample_due(since) {
                let through_endpoint = gate.at == GatePoint::AfterRollout;
                let look = Look::Probe {
                    gate: index,
                    revision: revision.clone(),
                    through_endpoint,
                    path: check.path.clone(),
                    timeout: check.timeout,
                };
                wants.act_at(due, Action::Look(look));
            }
        }
        (GateCheck::Metric(check), Some(revision)) => {
            if let Some(due) = gate.sample_due(since) {
                let metric = check.metric.clone();
                let look = Look::Metric { gate: index, revision: revision.clone(), metric, since };
                wants.act_at(due, Action::Look(look));
            }
        }
        (GateCheck::Readiness | GateCheck::Approval(_) | GateCheck::Probe(_) | GateCheck::Metric(_), _) => {}
    }
}

struct Wants {
    now: Timestamp,
    actions: Vec<Action>,
    wake: Option<Timestamp>,
}

impl Wants {
    fn act(&mut self, action: Action) {
        if !self.actions.contains(&action) {
            self.actions.push(action);
        }
    }

    fn look(&mut self, look: Look) {
        self.act(Action::Look(look));
    }

    fn act_at(&mut self, due: Timestamp, action: Action) {
        if due <= self.now { self.act(action) } else { self.wake_at(due) }
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

impl Cursor {
    fn entering(index: usize, stage: Option<&Stage>, now: Timestamp) -> Self {
        let effect = match stage {
            Some(stage) if !stage.requires.is_empty() => EffectState::Blocked,
            Some(stage) if stage.change.is_some() => EffectState::Clear,
            _ => EffectState::Performed { at: now },
        };
        Self { stage: index, entered_at: now, deadline_from: now, effect, released: false }
    }
}
