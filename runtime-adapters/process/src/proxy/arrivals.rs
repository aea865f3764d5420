//! How many requests come, second by second, whatever becomes of them: those that wait for a first replica count too.
//!
//! Seconds are counted by the system's steady clock, so that a clock that jumps neither hides requests nor invents them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use runtime_domain::value::Measure;
use tokio::time::Instant;

/// The most seconds that a rate is measured over.
const LONGEST_WINDOW: u64 = 60;

/// The requests of one component.
#[derive(Debug)]
pub(crate) struct Arrivals {
    since: Instant,
    /// Over how many seconds a rate is measured, the present one included.
    window: u64,
    /// Seconds since `since`, and how many came in each; at most as many as a rate is measured over.
    seconds: Mutex<VecDeque<(u64, u64)>>,
}

/// How many requests came in a second, on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// So many; none, where it is known that none came.
    Known(Measure),
    /// None came, and it has been watched for this long only.
    TooShort(Duration),
}

impl Arrivals {
    /// Nothing has come yet. A rate is measured over so long.
    pub(crate) fn new(window: Duration) -> Self {
        let window = window.as_secs().clamp(1, LONGEST_WINDOW);
        Self { since: Instant::now(), window, seconds: Mutex::default() }
    }

    /// Over how many seconds a rate is measured.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// Counts one request.
    pub(crate) fn count(&self) {
        self.count_at(self.since.elapsed());
    }

    fn count_at(&self, elapsed: Duration) {
        let second = elapsed.as_secs();
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        match seconds.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => {
                seconds.push_back((second, 1));
                while seconds.len() > usize::try_from(self.window).unwrap_or(usize::MAX) {
                    seconds.pop_front();
                }
            }
        }
    }

    /// The rate over the window that ends now.
    pub(crate) fn rate(&self) -> Rate {
        self.rate_at(self.since.elapsed())
    }

    fn rate_at(&self, watched: Duration) -> Rate {
        let from = (watched.as_secs() + 1).saturating_sub(self.window);
        let seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let came: u64 = seconds.iter().filter(|(second, _)| *second >= from).map(|(_, count)| count).sum();
        let over = watched.saturating_sub(Duration::from_secs(from));
        if came == 0 && watched < Duration::from_secs(self.window) {
            return Rate::TooShort(watched);
        }
        // What came within the first second is not taken for a burst that goes on.
        let millis = u64::try_from(over.as_millis()).unwrap_or(u64::MAX).max(1_000);
        Measure::ratio(came.saturating_mul(1_000), millis).map_or(Rate::TooShort(watched), Rate::Known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 10;

    fn second(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn no_request_is_zero_only_once_it_was_watched_for_the_whole_window() {
        let arrivals = Arrivals::new(second(WINDOW));
        assert_eq!(arrivals.rate_at(Duration::ZERO), Rate::TooShort(Duration::ZERO));
        assert_eq!(arrivals.rate_at(second(WINDOW - 1)), Rate::TooShort(second(WINDOW - 1)));
        assert_eq!(arrivals.rate_at(second(WINDOW)), Rate::Known(Measure::from_units(0)));
    }

    #[test]
    fn a_single_request_is_seen_at_once_and_forgotten_after_the_window() {
        let arrivals = Arrivals::new(second(WINDOW));
        arrivals.count_at(second(100));
        assert!(matches!(arrivals.rate_at(second(100)), Rate::Known(rate) if rate > Measure::from_units(0)));
        assert!(matches!(arrivals.rate_at(second(109)), Rate::Known(rate) if rate > Measure::from_units(0)));
        assert_eq!(arrivals.rate_at(second(110)), Rate::Known(Measure::from_units(0)));
        let fresh = Arrivals::new(second(WINDOW));
        fresh.count_at(Duration::from_millis(1));
        assert_eq!(fresh.rate_at(Duration::from_millis(2)), Rate::Known(Measure::from_units(1)), "no burst");
    }

    #[test]
    fn a_steady_load_reads_as_what_it_is_and_what_is_kept_is_bounded() {
        let arrivals = Arrivals::new(second(WINDOW));
        for fifth in 0..200 {
            arrivals.count_at(Duration::from_millis(fifth * 200));
        }
        let Rate::Known(rate) = arrivals.rate_at(second(40)) else { panic!("nothing is known") };
        assert_eq!(rate, Measure::from_units(5));
        assert_eq!(arrivals.seconds.lock().expect("not poisoned").len(), 10);
    }
}
