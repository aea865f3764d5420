//! How many replicas there are to be: the nine steps that the autoscaler documents, in whole numbers wide enough for anything.

use std::collections::BTreeMap;

use crate::model::scaling::memory::Memory;
use crate::plan::scaling::{BudgetRule, Fallback, Limit, Look, MetricRule, Reading, Terms, Trust};

const MOST: i128 = 1_000;
const ERROR_BUDGET: u8 = 4;

/// What one evaluation comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) current: u16,
    pub(super) recommended: u16,
    pub(super) desired: u16,
    pub(super) is_idle: bool,
    /// In the order of the rules; the error budget is 4.
    pub(super) unknown: Vec<u8>,
    pub(super) is_short: bool,
}

enum Vote {
    For(i128),
    Abstains,
    Unknown,
}

fn clamped(count: i128, terms: &Terms) -> i128 {
    count.max(i128::from(terms.least)).min(i128::from(terms.most))
}

fn narrow(count: i128) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// What a reading says, where it is to be believed.
fn believed(reading: Reading, trust: Trust, threshold: i64, replicas: u16) -> Option<i128> {
    let Reading::Measured { level, age, samples } = reading else { return None };
    let value = level.micros(threshold, replicas);
    let is_fresh = age.unsigned_abs() <= trust.freshness;
    (is_fresh && samples >= trust.samples && value >= 0).then(|| i128::from(value))
}

/// What carries a load: as many as are there where it is near enough to what they are to carry.
fn carrying(load: i128, current: i128, threshold: i128, tolerance: i128) -> i128 {
    let whole = current * threshold;
    let is_near = current > 0 && (load - whole).abs() * 100 <= whole * tolerance;
    if is_near { current } else { ((load + threshold - 1) / threshold).min(MOST) }
}

impl MetricRule {
    /// The vote, and the value where it is known.
    fn vote(&self, look: &Look, current: u16, tolerance: i128) -> (Vote, Option<i128>) {
        let threshold = i128::from(self.threshold);
        let count = i128::from(current);
        if self.is_utilisation() && current == 0 {
            return (Vote::Abstains, None);
        }
        let reading = look.metrics.get(usize::from(self.metric)).copied().unwrap_or(Reading::Absent);
        let replicas = if self.is_utilisation() { 1 } else { current };
        let Some(value) = believed(reading, self.trust, self.threshold, replicas) else {
            return (Vote::Unknown, None);
        };
        let wanted = if self.is_utilisation() {
            let ready = (count - i128::from(look.unready)).clamp(0, count);
            if ready == 0 {
                return (Vote::Unknown, None);
            }
            if value > threshold {
                carrying(ready * value, count, threshold, tolerance).max(count)
            } else {
                let load = ready * value + (count - ready) * threshold;
                carrying(load, count, threshold, tolerance).min(count)
            }
        } else if current == 0 && value <= i128::from(self.activation) {
            0
        } else {
            carrying(value, count, threshold, tolerance)
        };
        let abstains = self.is_out_only && current > 0 && wanted <= count;
        (if abstains { Vote::Abstains } else { Vote::For(wanted) }, Some(value))
    }
}

impl BudgetRule {
    fn vote(&self, look: &Look, current: u16) -> Vote {
        let rates = look.burn.map(|burn| burn.map(|rate| believed(rate, self.trust, self.burn_rate, 1)));
        let Some([Some(short), Some(long)]) = rates else { return Vote::Unknown };
        if short.min(long) < i128::from(self.burn_rate) {
            return Vote::Abstains;
        }
        let count = i128::from(current);
        let step = (count * i128::from(self.step) + 99) / 100;
        Vote::For((count + step.max(1)).min(MOST))
    }
}

impl Fallback {
    /// Never none: what nobody measured is not known to be idle.
    fn of(self, current: i128) -> i128 {
        let wanted = match self {
            Self::Current => current,
            Self::Static(count) => count.into(),
            Self::IfHigher(count) => current.max(count.into()),
            Self::IfLower(count) => current.min(count.into()),
        };
        wanted.max(1)
    }
}

impl Limit {
    fn step(&self, start: i128) -> i128 {
        let by_percent = self.percent.map_or(0, |percent| (start * i128::from(percent) + 99) / 100);
        by_percent.max(self.replicas.unwrap_or(0).into()).max(1)
    }
}

pub(super) fn evaluate(terms: &Terms, memory: &Memory, look: &Look, current: u16, now: i64) -> Outcome {
    let mut votes = BTreeMap::new();
    let mut unknown = Vec::new();
    let mut counted = Vec::new();
    for rule in &terms.rules {
        let (vote, value) = rule.vote(look, current, terms.tolerance.into());
        if !rule.is_utilisation() {
            counted.push(value);
        }
        if let Vote::Unknown = vote {
            unknown.push(rule.metric);
        }
        votes.insert(rule.metric, vote);
    }
    if let Some(rule) = &terms.budget {
        let vote = rule.vote(look, current);
        if let Vote::Unknown = vote {
            unknown.push(ERROR_BUDGET);
        }
        votes.insert(ERROR_BUDGET, vote);
    }
    let is_idle = !counted.is_empty() && counted.iter().all(|value| *value == Some(0));
    let count = i128::from(current);
    let greatest =
        votes.values().filter_map(|vote| if let Vote::For(count) = vote { Some(*count) } else { None });
    let greatest = greatest.max();
    let wanted = if unknown.is_empty() {
        to_none_or_not(terms, memory, greatest.unwrap_or(count), count, is_idle, now)
    } else {
        let is_known = votes.values().any(|vote| match vote {
            Vote::For(_) => true,
            Vote::Abstains => current > 0,
            Vote::Unknown => false,
        });
        without_knowing(terms, memory, greatest, count, is_known, &unknown, now)
    };
    let recommended = clamped(wanted, terms);
    let most = i128::from(terms.most);
    Outcome {
        current,
        recommended: narrow(recommended),
        desired: narrow(held(terms, memory, look, recommended, count, now)),
        is_idle,
        unknown,
        is_short: wanted > most && count >= most,
    }
}

/// While something is Unknown nothing is taken away, until the fallback's time has come.
fn without_knowing(
    terms: &Terms,
    memory: &Memory,
    greatest: Option<i128>,
    count: i128,
    is_any_known: bool,
    unknown: &[u8],
    now: i64,
) -> i128 {
    let has_lasted = |signal: &u8| memory.has_been_unknown_for(*signal, terms.fallback_after, now);
    let fallback = terms.fallback.of(count);
    let held = greatest.unwrap_or(0).max(count);
    if !is_any_known && unknown.iter().all(has_lasted) {
        fallback
    } else if unknown.iter().any(has_lasted) {
        held.max(fallback)
    } else {
        held
    }
}

/// The last replica goes only after a whole cooldown of nothing to do.
fn to_none_or_not(
    terms: &Terms,
    memory: &Memory,
    greatest: i128,
    count: i128,
    is_idle: bool,
    now: i64,
) -> i128 {
    if terms.least > 0 || count == 0 || greatest > 1 {
        return greatest;
    }
    let is_long_idle = is_idle && memory.has_been_idle_for(terms.cooldown, now);
    if is_long_idle { 0 } else { 1 }
}

/// Windows, cooldown, limits, circuits, bounds, the quota and the rollout, in this order.
fn held(terms: &Terms, memory: &Memory, look: &Look, recommended: i128, count: i128, now: i64) -> i128 {
    let mut desired = recommended;
    if recommended > count && terms.window_out > 0 {
        let least = memory.recommended_within(terms.window_out, now).map_or(count, |(least, _)| least.into());
        desired = recommended.min(least).max(count);
    }
    if recommended < count && terms.window_in > 0 {
        let most = memory.recommended_within(terms.window_in, now).map_or(count, |(_, most)| most.into());
        desired = recommended.max(most).min(count);
    }
    if desired < count && memory.changed_within(terms.cooldown, now) {
        desired = count;
    }
    if let Some(limit) = terms.limit_out.filter(|_| desired > count) {
        let start = memory.count_before(limit.period, count, now);
        desired = desired.min((start + limit.step(start)).max(count));
    }
    if let Some(limit) = terms.limit_in.filter(|_| desired < count) {
        let start = memory.count_before(limit.period, count, now);
        desired = desired.max((start - limit.step(start)).min(count));
    }
    if look.circuits > 0 {
        desired = desired.min(count);
    }
    desired = clamped(desired, terms);
    if let Some(room) = look.room {
        desired = desired.min(count.max(room.into()));
    }
    match look.floor {
        Some(floor) => desired.max(count.min(floor.into())),
        None => desired,
    }
}
