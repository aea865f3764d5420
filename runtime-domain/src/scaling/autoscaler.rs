//! The autoscaler: a pure function of a policy, what was found before, what is read now, and the time.
//!
//! One evaluation goes through these steps, each of which can only hold back what the one before wants:
//!
//! 1. **Proposals.** Each rule proposes what brings its metric to its threshold: `ceil(load / threshold)`, where the load of a utilisation is
//!    the sum over the ready replicas, and where it is not far enough from the threshold by the tolerance, the present count. Replicas that
//!    are not ready count as idle where more are wanted, and as carrying exactly the threshold where fewer are. A rule that may only scale
//!    out abstains where it would not. An error budget that burns in both of its stretches proposes its step more, and else abstains.
//! 2. **The greatest wins.** While any signal is Unknown (missing, old, from too few samples, negative) no replica is taken away; others may
//!    still add. A signal that has been Unknown for the fallback's span proposes the fallback, which only adds while others are known,
//!    and decides, both ways, where none is.
//! 3. **Zero.** From none, a queue or a rate above its activation starts the first replica, and so does the fallback. To none only where
//!    the bounds allow it, nothing is Unknown, every queue and rate reads exactly zero and has for the whole cooldown without a gap longer than
//!    [`LONGEST_GAP`](crate::scaling::LONGEST_GAP), and no other rule wants more than one.
//! 4. **Windows.** Out: the least recommendation of its window. In: the greatest of its. Where a window holds none, because evaluation has
//!    just begun or has paused, the present count stands for it.
//! 5. **Cooldown.** For so long after any change, none is taken away.
//! 6. **Step limits.** From how many there were at the beginning of the period.
//! 7. **Open circuits.** While a dependency's is open, none is added: it would be asked for more.
//! 8. **Bounds**, whatever went before.
//! 9. **The tenant's quota.** None is added for which it has no room, whatever the bounds say (TEN-2).
//! 10. **Rollouts.** While one is under way, none is taken away below what its plan holds, whatever the bounds say. More may be added, to what
//!     serves: never to a revision that is not promoted, and never in its place. A plan waits for so many replicas *or more*,
//!     so that no scaling can keep it from ending; where it takes away itself what serves, as when it rolls, it says what the most is.
//!
//! # What follows
//!
//! - Noise within the tolerance changes nothing.
//! - Between a change out and the next change in lies a whole window for scaling in, or a change of policy or bounds: in a time `T`, the
//!   direction changes at most `2 · ⌊T / window⌋ + 2` times, whatever is read.
//! - After the load has changed from one level to another and stays, where all replicas become ready, the count is within the tolerance of what
//!   the load needs after the window of that direction, and the cooldown where it goes in, and one period (or cooldown, where that is
//!   longer) for each step that the limits leave, and two evaluations.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bug;
use crate::reason;
use crate::scaling::{
    ErrorBudgetRule, Findings, History, Input, PolicySpec, PolicyTerms, Reading, ScalingAction, ScalingRule,
    Signal, StepLimit, Tolerance,
};
use crate::time::Timestamp;
use crate::value::{Measure, Replicas};

/// What one signal says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vote {
    /// So many replicas, not held to any bounds but [`Replicas::MOST`].
    Proposes(u16),
    /// Nothing, on purpose.
    Abstains,
    /// Nothing is known.
    Unknown,
}

/// What one signal says, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Whose it is.
    pub signal: Signal,
    /// What it says.
    pub vote: Vote,
    /// Why.
    pub because: String,
}

/// What an evaluation comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a decision scales nothing until it is recorded and done"]
pub struct ScalingDecision {
    /// How many replicas there are to be.
    pub desired: u16,
    /// Why so many, whether that is a change or not.
    pub explanation: String,
    /// What each rule said, the policy's order, the error budget last.
    pub proposals: Vec<Proposal>,
    /// What later evaluations need of this one.
    pub findings: Findings,
}

/// The replicas that would carry a load of so many in all: `ceil(load / each)`, at most [`Replicas::MOST`]; and `current` where the load is
/// within the tolerance of what that many are to carry. `each` is above zero.
///
/// It is not held to a policy's bounds.
pub fn proposal(current: u16, load: u128, each: Measure, tolerance: Tolerance) -> u16 {
    let each = u128::try_from(each.micros()).unwrap_or(0).max(1);
    let carried = u128::from(current) * each;
    if current > 0 && load.abs_diff(carried) * 100 <= carried * u128::from(tolerance.get()) {
        return current;
    }
    u16::try_from(load.div_ceil(each)).map_or(Replicas::MOST, |wanted| wanted.min(Replicas::MOST))
}

/// Decides how many replicas there are to be. It is pure: asking changes nothing, and the same question has the same answer.
pub fn evaluate(spec: &PolicySpec, history: &History, input: &Input, now: Timestamp) -> ScalingDecision {
    let current = input.current;
    let ready = input.ready.min(current);
    let terms = spec.terms();
    let mut readings = BTreeMap::new();
    let mut proposals = Vec::with_capacity(terms.rules.len() + 1);
    for rule in &terms.rules {
        let (vote, because, reading) = rule.propose(current, ready, input, terms.tolerance, now);
        readings.insert(rule.metric, reading);
        proposals.push(Proposal { signal: rule.metric.into(), vote, because });
    }
    if let Some(rule) = &terms.error_budget {
        let (vote, because) = rule.propose(current, input, now);
        proposals.push(Proposal { signal: Signal::ErrorBudget, vote, because });
    }
    let zero = Measure::from_micros(0);
    let mut countable = readings.iter().filter(|(metric, _)| !metric.is_utilization()).peekable();
    let is_idle = countable.peek().is_some() && countable.all(|(_, reading)| *reading == Some(zero));
    let mut course = Course { terms, history, current, now, desired: current, said: Vec::new() };
    let wanted = course.wanted(&proposals, is_idle);
    let recommended = terms.bounds.clamp(wanted);
    course.hold(wanted, recommended, input);
    let unknown =
        proposals.iter().filter(|proposal| proposal.vote == Vote::Unknown).map(|proposal| proposal.signal);
    let findings = Findings {
        current,
        recommended,
        desired: course.desired,
        is_idle,
        unknown: unknown.collect(),
        is_short: wanted > terms.bounds.most().get() && current >= terms.bounds.most().get(),
    };
    let explanation = course.told(&proposals);
    ScalingDecision { desired: findings.desired, explanation, proposals, findings }
}

impl ScalingRule {
    fn propose(
        &self,
        current: u16,
        ready: u16,
        input: &Input,
        tolerance: Tolerance,
        now: Timestamp,
    ) -> (Vote, String, Option<Measure>) {
        if self.metric.is_utilization() && current == 0 {
            return (Vote::Abstains, "says nothing where no replica runs".to_string(), None);
        }
        let read = input.readings.get(&self.metric).map(|reading| reading.believed(self.credence, now));
        let value = match read {
            Some(Ok(value)) => value,
            _ if bug!("source-down-scales-to-zero") => Measure::from_micros(0),
            Some(Err(why)) => return (Vote::Unknown, format!("is unknown: {why}"), None),
            None => return (Vote::Unknown, "is unknown: it was not read".to_string(), None),
        };
        if self.metric.is_utilization() && ready == 0 {
            return (Vote::Unknown, "is unknown: no replica is ready".to_string(), Some(value));
        }
        let size = u128::from(value.micros().unsigned_abs());
        let wanted = if self.metric.is_utilization() {
            self.utilised(current, ready, size, tolerance)
        } else if current == 0 && value <= self.activation {
            0
        } else {
            proposal(current, size, self.threshold, tolerance)
        };
        let threshold = self.threshold;
        if self.action == ScalingAction::ScaleOut && wanted <= current && current > 0 {
            return (Vote::Abstains, format!("reads {value} against {threshold} and abstains"), Some(value));
        }
        (
            Vote::Proposes(wanted),
            format!("reads {value} against {threshold} and proposes {wanted}"),
            Some(value),
        )
    }

    fn utilised(&self, current: u16, ready: u16, average: u128, tolerance: Tolerance) -> u16 {
        let each = u128::from(self.threshold.micros().unsigned_abs());
        let carried = u128::from(ready) * average;
        if average > each {
            proposal(current, carried, self.threshold, tolerance).max(current)
        } else {
            let load = carried + u128::from(current - ready) * each;
            proposal(current, load, self.threshold, tolerance).min(current)
        }
    }
}

impl ErrorBudgetRule {
    fn propose(&self, current: u16, input: &Input, now: Timestamp) -> (Vote, String) {
        let Some(burn) = &input.burn else {
            return (Vote::Unknown, "is unknown: it was not read".to_string());
        };
        let believed = |reading: &Reading| reading.believed(self.credence, now);
        let (short, long) = match (believed(&burn.short), believed(&burn.long)) {
            (Ok(short), Ok(long)) => (short, long),
            (Err(why), _) | (_, Err(why)) => return (Vote::Unknown, format!("is unknown: {why}")),
        };
        let read = format!("burns at {short} over {} and {long} over {}", self.short, self.long);
        if short < self.burn_rate || long < self.burn_rate {
            return (Vote::Abstains, format!("{read} and abstains"));
        }
        let step = (u32::from(current) * u32::from(self.step.get())).div_ceil(100).max(1);
        let wanted = (u32::from(current) + step).min(u32::from(Replicas::MOST));
        let wanted = u16::try_from(wanted).unwrap_or(Replicas::MOST);
        (Vote::Proposes(wanted), format!("{read} and proposes {wanted}"))
    }
}

/// One evaluation on its way.
struct Course<'c> {
    terms: &'c PolicyTerms,
    history: &'c History,
    current: u16,
    now: Timestamp,
    desired: u16,
    said: Vec<String>,
}

impl Course<'_> {
    /// What the signals want together, before anything holds it back.
    fn wanted(&mut self, proposals: &[Proposal], is_idle: bool) -> u16 {
        let greatest = proposals.iter().filter_map(|proposal| match proposal.vote {
            Vote::Proposes(wanted) => Some(wanted),
            Vote::Abstains | Vote::Unknown => None,
        });
        let greatest = greatest.max();
        let unknown = || proposals.iter().filter(|proposal| proposal.vote == Vote::Unknown);
        if unknown().next().is_none() {
            return self.zero(greatest.unwrap_or(self.current), is_idle);
        }
        // Where nothing runs, an abstention knows nothing that could speak against a fallback.
        let is_known = |proposal: &Proposal| match proposal.vote {
            Vote::Proposes(_) => true,
            Vote::Abstains => self.current > 0,
            Vote::Unknown => false,
        };
        let is_any_known = proposals.iter().any(is_known);
        let after = self.terms.fallback.after;
        let has_lasted = |proposal: &Proposal| {
            let since = self.history.unknown_since(proposal.signal);
            since.is_some_and(|since| after.after(since) <= self.now)
        };
        let (is_any_lasting, is_all_lasting) = (unknown().any(has_lasted), unknown().all(has_lasted));
        let fallback = self.terms.fallback.replicas.of(self.current);
        if !is_any_known && is_all_lasting {
            self.said.push(format!("nothing has been known for {after}: the fallback is {fallback}"));
            return fallback;
        }
        let held = greatest.unwrap_or(0).max(self.current);
        if is_any_lasting && fallback > held {
            self.said.push(format!("not all has been known for {after}: the fallback is {fallback}"));
            return fallback;
        }
        if greatest.is_none_or(|greatest| greatest < self.current) {
            self.said.push("what is not known takes no replica away".to_string());
        }
        held
    }

    /// The way to none, and past it.
    fn zero(&mut self, greatest: u16, is_idle: bool) -> u16 {
        if !self.terms.bounds.scales_to_zero() || greatest > 1 || self.current == 0 {
            return greatest;
        }
        let cooldown = self.terms.cooldown_seconds.span();
        let idle_since = self.history.idle_since(self.now);
        if is_idle && idle_since.is_some_and(|since| cooldown.after(since) <= self.now) {
            self.said.push(format!("there has been nothing to do for {cooldown}"));
            return 0;
        }
        if is_idle {
            self.said.push(format!("there has not been nothing to do for {cooldown} yet: the last stays"));
        }
        greatest.max(1)
    }

    /// All that holds it back, in its order.
    fn hold(&mut self, wanted: u16, recommended: u16, input: &Input) {
        let (current, now, bounds) = (self.current, self.now, self.terms.bounds);
        let windows = self.terms.stabilisation;
        let of = |window| self.history.recommended(window, now).unwrap_or((current, current));
        let least = if windows.scale_out.is_zero() { recommended } else { of(windows.scale_out).0 };
        let greatest = if windows.scale_in.is_zero() { recommended } else { of(windows.scale_in).1 };
        self.desired = recommended;
        let stable = current.max(recommended.min(least)).min(recommended.max(greatest));
        self.turn(stable, || {
            let window = if recommended > current { windows.scale_out } else { windows.scale_in };
            format!("the recommendations of the last {window} hold it at {stable}")
        });
        let cooldown = self.terms.cooldown_seconds.span();
        let is_cooling = self.history.changed_at().is_some_and(|at| cooldown.after(at) > now);
        if self.desired < current && is_cooling {
            self.turn(current, || format!("a change was less than {cooldown} ago"));
        }
        self.limit();
        if self.desired > current && !input.open_circuits.is_empty() {
            let open: Vec<&str> = input.open_circuits.iter().take(3).map(|module| module.as_str()).collect();
            self.turn(current, || format!("the circuit to {} is open: none is added", open.join(", ")));
        }
        let bounded = bounds.clamp(self.desired);
        let is_out = wanted != recommended || bounded != self.desired;
        self.desired = bounded;
        if is_out {
            self.said.push(format!("the bounds are {} to {}", bounds.least(), bounds.most()));
        }
        if let Some(room) = input.room.filter(|room| self.desired > current.max(*room)) {
            let held = current.max(room);
            self.turn(held, || format!("the tenant's quota has room for {room} replicas"));
        }
        if let Some(rollout) = input.rollout {
            let floor = rollout.floor.min(current);
            let most = rollout.most.unwrap_or(u16::MAX).max(current);
            let held = self.desired.max(floor).min(most);
            self.turn(held, || format!("the rollout that is under way holds {held}"));
        }
    }

    fn limit(&mut self) {
        let (current, limits) = (self.current, self.terms.limits);
        let (history, now) = (self.history, self.now);
        let start = |limit: &StepLimit| history.at_start(limit.period, current, now);
        if let Some(limit) = limits.scale_out.filter(|_| self.desired > current) {
            let start = start(&limit);
            let most = start.saturating_add(limit.step(start)).max(current);
            let limited = self.desired.min(most);
            self.turn(limited, || format!("a period of {} adds up to {limited}", limit.period));
        }
        if let Some(limit) = limits.scale_in.filter(|_| self.desired < current) {
            let start = start(&limit);
            let fewest = start.saturating_sub(limit.step(start)).min(current);
            let limited = self.desired.max(fewest);
            self.turn(limited, || format!("a period of {} takes away down to {limited}", limit.period));
        }
    }

    fn turn(&mut self, desired: u16, why: impl FnOnce() -> String) {
        if desired != self.desired {
            self.desired = desired;
            self.said.push(why());
        }
    }

    fn told(&self, proposals: &[Proposal]) -> String {
        let mut parts: Vec<String> =
            proposals.iter().map(|proposal| format!("{} {}", proposal.signal, proposal.because)).collect();
        parts.extend(self.said.iter().cloned());
        let (current, desired) = (self.current, self.desired);
        let outcome = if desired == current {
            format!("{current} replicas stay {desired}: ")
        } else {
            format!("from {current} to {desired} replicas: ")
        };
        reason::reported(&(outcome + &parts.join("; ")))
    }
}
