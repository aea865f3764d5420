//! What earlier evaluations leave behind. Times are in seconds; slots, which are parts of a window, in milliseconds.

use std::collections::BTreeMap;

use crate::model::scaling::autoscaler::Outcome;
use crate::plan::scaling::Terms;

/// What is remembered.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    recommended: Vec<Slot>,
    /// When replicas changed, and by how many.
    changes: Vec<(i64, i128)>,
    idle_since: Option<i64>,
    pub(super) short_since: Option<i64>,
    pub(super) unknown_since: BTreeMap<u8, i64>,
    pub(super) evaluated_at: Option<i64>,
}

/// The recommendations of a thirty-second part of the longer window.
#[derive(Debug, Clone)]
struct Slot {
    since: i64,
    until: i64,
    least: u16,
    most: u16,
}

const PARTS: i64 = 32;
const MOST_CHANGES: usize = 32;
const LONGEST_PERIOD: i64 = 1_800;
const LONGEST_GAP: i64 = 60;

impl Memory {
    pub(super) fn has_been_unknown_for(&self, signal: u8, span: u32, now: i64) -> bool {
        self.unknown_since.get(&signal).is_some_and(|since| now - since >= i64::from(span))
    }

    pub(super) fn has_been_idle_for(&self, span: u32, now: i64) -> bool {
        !self.is_gap(now) && self.idle_since.is_some_and(|since| now - since >= i64::from(span))
    }

    /// Nobody looked for so long that what was so may have been otherwise in between.
    fn is_gap(&self, now: i64) -> bool {
        self.evaluated_at.is_none_or(|last| now - last > LONGEST_GAP)
    }

    pub(super) fn recommended_within(&self, window: u32, now: i64) -> Option<(u16, u16)> {
        let begins = (now - i64::from(window)) * 1_000;
        let within = || self.recommended.iter().filter(|slot| slot.until > begins);
        Some((within().map(|slot| slot.least).min()?, within().map(|slot| slot.most).max()?))
    }

    pub(super) fn changed_within(&self, span: u32, now: i64) -> bool {
        self.changes.last().is_some_and(|(at, _)| now - at < i64::from(span))
    }

    /// How many there were when a period before now began, which now ends with `count`.
    pub(super) fn count_before(&self, period: u32, count: i128, now: i64) -> i128 {
        let within = self.changes.iter().filter(|(at, _)| now - at < i64::from(period));
        (count - within.map(|(_, by)| by).sum::<i128>()).clamp(0, u16::MAX.into())
    }

    pub(super) fn last_change(&self) -> Option<i64> {
        self.changes.last().map(|(at, _)| *at)
    }

    pub(super) fn change(&mut self, from: u16, to: u16, now: i64) {
        self.changes.retain(|(at, _)| now - at < LONGEST_PERIOD);
        self.changes.push((now, i128::from(to) - i128::from(from)));
        if self.changes.len() > MOST_CHANGES {
            let (_, oldest) = self.changes.remove(0);
            if let Some((_, next)) = self.changes.first_mut() {
                *next += oldest;
            }
        }
    }

    /// Another policy takes effect: only the changes of replicas are still true.
    pub(super) fn forget(&mut self) {
        *self = Self { changes: std::mem::take(&mut self.changes), ..Self::default() };
    }

    pub(super) fn evaluated(&mut self, terms: &Terms, found: &Outcome, now: i64) {
        let is_gap = self.is_gap(now);
        let kept = |since: Option<i64>| Some(since.filter(|_| !is_gap).unwrap_or(now));
        self.idle_since = if found.is_idle { kept(self.idle_since) } else { None };
        self.short_since = if found.is_short { kept(self.short_since) } else { None };
        let before = std::mem::take(&mut self.unknown_since);
        let since = |signal: &u8| (*signal, before.get(signal).copied().unwrap_or(now));
        self.unknown_since = found.unknown.iter().map(since).collect();
        self.recommend(terms.window_out.max(terms.window_in), found.recommended, now * 1_000);
        self.evaluated_at = Some(now);
    }

    fn recommend(&mut self, window: u32, count: u16, now: i64) {
        let window = i64::from(window) * 1_000;
        self.recommended.retain(|slot| now - slot.until < window);
        if window == 0 {
            return;
        }
        let part = (window + PARTS - 1) / PARTS;
        match self.recommended.last_mut().filter(|slot| now - slot.since < part) {
            Some(slot) => {
                slot.until = slot.until.max(now);
                slot.least = slot.least.min(count);
                slot.most = slot.most.max(count);
            }
            None => self.recommended.push(Slot { since: now, until: now, least: count, most: count }),
        }
    }
}
