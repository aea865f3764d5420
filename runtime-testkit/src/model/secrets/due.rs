//! When a secret is rotated next: on its schedule, and put off by a part that is its own.

use crate::plan::secrets::Turns;

/// When it is rotated next, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// By itself never.
    Never,
    /// At this time, or less than so much later.
    From { at: i64, within: i64 },
}

/// The most that it is put off.
const LONGEST: i64 = 3_600_000;
const HOUR: i64 = 3_600_000;

impl Due {
    pub(super) fn of(turns: Turns, binding: u8, now: i64) -> Self {
        let (at, gap) = match turns {
            Turns::Never => return Self::Never,
            Turns::Every(seconds) => (now + i64::from(seconds) * 1_000, i64::from(seconds) * 1_000),
            // Stories begin at a full hour.
            Turns::Hourly => ((now.div_euclid(HOUR) + 1) * HOUR, HOUR),
        };
        // The first binding is not put off at all.
        let within = if binding == 0 { 1 } else { (gap / 10).min(LONGEST) };
        Self::From { at, within }
    }

    pub(super) fn takes(self, told: Option<i64>) -> bool {
        match (self, told) {
            (Self::Never, told) => told.is_none(),
            (Self::From { at, within }, Some(told)) => (at..at + within).contains(&told),
            (Self::From { .. }, None) => false,
        }
    }
}
