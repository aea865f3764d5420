//! Those who were answered a moment ago, and may be back at once with their next commit.
//!
//! Who was answered together asks together again. If the first to be back went ahead, the others would wait for its flush, and from then on
//! two halves would take turns, each at the price of a whole group. So the first waits for the others, for as long as they keep coming:
//! little beside any flush, and whoever does not come back is waited for once.

use std::time::{Duration, Instant};

/// How long after the last sign of them they are waited for: some ten times what it takes to wake a task and to hear of it.
const PATIENCE: Duration = Duration::from_micros(50);

/// How many were answered lately and have brought nothing since.
#[derive(Debug, Default)]
pub(super) struct Returning {
    many: usize,
    /// When some were answered, or one came, the last time.
    stirred: Option<Instant>,
}

impl Returning {
    /// So many are answered.
    pub(super) fn answer(&mut self, many: usize, now: Instant) {
        self.many = self.awaited(now).saturating_add(many);
        self.stirred = Some(now);
    }

    /// One brings a commit, whoever it is.
    pub(super) fn come(&mut self, now: Instant) {
        self.many = self.awaited(now).saturating_sub(1);
        self.stirred = Some(now);
    }

    /// How many are worth waiting for.
    pub(super) fn awaited(&self, now: Instant) -> usize {
        let lately = self.stirred.is_some_and(|stirred| now.duration_since(stirred) < PATIENCE);
        if lately { self.many } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(begun: Instant, micros: u64) -> Instant {
        begun + Duration::from_micros(micros)
    }

    #[test]
    fn who_was_answered_is_awaited_until_all_of_them_are_back() {
        let (mut returning, begun) = (Returning::default(), Instant::now());
        assert_eq!(returning.awaited(begun), 0, "nobody was answered");
        returning.answer(3, begun);
        for left in [2, 1, 0] {
            returning.come(after(begun, 10));
            assert_eq!(returning.awaited(after(begun, 10)), left);
        }
        returning.come(after(begun, 20));
        assert_eq!(returning.awaited(after(begun, 20)), 0, "one more than were answered");
    }

    #[test]
    fn they_are_awaited_for_as_long_as_they_keep_coming() {
        let (mut returning, begun) = (Returning::default(), Instant::now());
        returning.answer(3, begun);
        returning.come(after(begun, 40));
        assert_eq!(returning.awaited(after(begun, 80)), 2, "40 µs after the last");
        returning.come(after(begun, 80));
        assert_eq!(returning.awaited(after(begun, 131)), 0, "51 µs after the last");
    }

    #[test]
    fn who_stayed_away_is_not_awaited_with_those_who_are_answered_later() {
        let (mut returning, begun) = (Returning::default(), Instant::now());
        returning.answer(9, begun);
        returning.answer(1, after(begun, 1_000));
        assert_eq!(returning.awaited(after(begun, 1_000)), 1);
        returning.come(after(begun, 1_010));
        assert_eq!(returning.awaited(after(begun, 1_010)), 0);
    }
}
