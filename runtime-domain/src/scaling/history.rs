//! What the autoscaler remembers. It is bounded, however often it evaluates.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::scaling::{PolicySpec, Signal, Stabilisation, StepLimit};
use crate::time::{Span, Timestamp};

/// The longest time between two evaluations for which the readings between them are taken to have been alike.
pub const LONGEST_GAP: Span = Span::from_secs(60);

/// Into how many slots the longer window is divided. Recommendations of one slot are kept together, by their least and their greatest, so a
/// window may last longer by one slot than it says, and never less.
const SLOTS: u64 = 32;

/// The most changes of replicas that are kept. The oldest two become one where there are more, which counts as the younger of them.
const MOST_CHANGES: usize = 32;

/// What was recommended in one slot of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot {
    since: Timestamp,
    until: Timestamp,
    least: u16,
    greatest: u16,
}

/// A change of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    at: Timestamp,
    from: u16,
    to: u16,
}

/// What an evaluation leaves behind for those after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// How many replicas there were.
    pub current: u16,
    /// What was recommended, before windows, cooldown and limits.
    pub recommended: u16,
    /// What was decided.
    pub desired: u16,
    /// Whether every metric that can be zero is known to be exactly that.
    pub is_idle: bool,
    /// What was Unknown.
    pub unknown: Vec<Signal>,
    /// Whether more replicas were proposed than the policy allows.
    pub is_short: bool,
}

/// What earlier evaluations found: recommendations of the windows, changes of the periods, and since when what is so has been so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    slots: Vec<Slot>,
    changes: Vec<Change>,
    idle_since: Option<Timestamp>,
    short_since: Option<Timestamp>,
    unknown_since: BTreeMap<Signal, Timestamp>,
    evaluated_at: Option<Timestamp>,
}

impl History {
    /// When it was last evaluated.
    pub fn evaluated_at(&self) -> Option<Timestamp> {
        self.evaluated_at
    }

    /// Since when a signal has been Unknown without a break.
    pub fn unknown_since(&self, signal: Signal) -> Option<Timestamp> {
        self.unknown_since.get(&signal).copied()
    }

    /// The signals that have been Unknown for so long or longer.
    pub fn unknown_for(&self, span: Span, now: Timestamp) -> impl Iterator<Item = (Signal, Timestamp)> + '_ {
        self.unknown_since
            .iter()
            .filter(move |(_, since)| span.after(**since) <= now)
            .map(|(signal, since)| (*signal, *since))
    }

    /// Since when more replicas have been proposed than the policy allows, without a break.
    pub fn short_since(&self) -> Option<Timestamp> {
        self.short_since
    }

    /// Since when every metric that can be zero has been known to be, without a break.
    pub(super) fn idle_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.idle_since.filter(|_| !self.is_gap(now))
    }

    /// When the replicas last changed.
    pub fn changed_at(&self) -> Option<Timestamp> {
        self.changes.last().map(|change| change.at)
    }

    fn is_gap(&self, now: Timestamp) -> bool {
        self.evaluated_at.is_none_or(|last| Span::between(last, now) > LONGEST_GAP)
    }

    /// The least and the greatest recommendation within a window before now; `None` where there was none.
    pub(super) fn recommended(&self, window: Span, now: Timestamp) -> Option<(u16, u16)> {
        let within = self.slots.iter().filter(|slot| window.after(slot.until) > now);
        within.fold(None, |range: Option<(u16, u16)>, slot| {
            let (least, greatest) = range.unwrap_or((slot.least, slot.greatest));
            Some((least.min(slot.least), greatest.max(slot.greatest)))
        })
    }

    /// How many replicas there were when a period before now began.
    pub(super) fn at_start(&self, period: Span, current: u16, now: Timestamp) -> u16 {
        let within = self.changes.iter().filter(|change| period.after(change.at) > now);
        let net: i64 = within.map(|change| i64::from(change.to) - i64::from(change.from)).sum();
        u16::try_from((i64::from(current) - net).max(0)).unwrap_or(u16::MAX)
    }

    /// What remains of it when another policy takes effect: when replicas changed, and nothing that the former policy recommended.
    pub(super) fn restarted(&self) -> Self {
        Self { changes: self.changes.clone(), ..Self::default() }
    }

    /// The replicas have changed.
    #[must_use]
    pub fn changed(mut self, from: u16, to: u16, at: Timestamp) -> Self {
        self.changes.retain(|change| StepLimit::LONGEST_PERIOD.after(change.at) > at);
        self.changes.push(Change { at, from, to });
        if self.changes.len() > MOST_CHANGES {
            let oldest = self.changes.remove(0);
            if let Some(next) = self.changes.first_mut() {
                let from = i32::from(next.from) + i32::from(oldest.from) - i32::from(oldest.to);
                next.from = u16::try_from(from.max(0)).unwrap_or(u16::MAX);
            }
        }
        self
    }

    /// An evaluation was made.
    #[must_use]
    pub fn evaluated(mut self, spec: &PolicySpec, found: &Findings, now: Timestamp) -> Self {
        let is_gap = self.is_gap(now);
        let kept = |since: Option<Timestamp>| since.filter(|_| !is_gap).unwrap_or(now);
        self.idle_since = found.is_idle.then(|| kept(self.idle_since));
        self.short_since = found.is_short.then(|| kept(self.short_since));
        self.unknown_since = found
            .unknown
            .iter()
            .map(|signal| (*signal, self.unknown_since.get(signal).copied().unwrap_or(now)))
            .collect();
        let Stabilisation { scale_out, scale_in } = spec.terms().stabilisation;
        let window = scale_out.max(scale_in);
        self.slots.retain(|slot| window.after(slot.until) > now);
        let slot = Span::from_millis(window.as_millis().div_ceil(SLOTS));
        match self.slots.last_mut() {
            Some(last) if slot.after(last.since) > now => {
                last.until = last.until.max(now);
                last.least = last.least.min(found.recommended);
                last.greatest = last.greatest.max(found.recommended);
            }
            _ if window.is_zero() => {}
            _ => self.slots.push(Slot {
                since: now,
                until: now,
                least: found.recommended,
                greatest: found.recommended,
            }),
        }
        self.evaluated_at = Some(now);
        self
    }

    /// What is wrong with it, where it was not made here.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if self.slots.len() as u64 > SLOTS + 2 || self.changes.len() > MOST_CHANGES {
            return Some("more is remembered than can be");
        }
        let is_in_order =
            self.slots.iter().all(|slot| slot.since <= slot.until && slot.least <= slot.greatest);
        if !is_in_order {
            return Some("a recommendation ends before it begins");
        }
        if self.evaluated_at.is_none()
            && (self.idle_since.is_some() || self.short_since.is_some() || !self.unknown_since.is_empty())
        {
            return Some("something was found by no evaluation");
        }
        None
    }
}
