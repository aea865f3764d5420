//! When a destination that fails is tried again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use runtime_domain::time::{Span, Timestamp};

/// How long the first failure is waited for; each further one doubles it.
const FIRST: Span = Span::from_millis(200);
/// The longest wait.
const LONGEST: Span = Span::from_secs(30);

/// Lets calls through while a destination works, and one at a time, ever more seldom, while it does not.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many calls have failed one after the other.
    failures: u32,
    /// When the next may try; `None` where all may.
    retry_at: Option<Timestamp>,
}

/// The right to call once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The destination works, as far as is known.
    Usual,
    /// It has failed: this call finds out whether it works again.
    Probe,
}

impl Circuit {
    /// Asks for a call. `Err` says when to ask again.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<Pass, Timestamp> {
        let mut state = self.lock();
        match state.retry_at {
            None => Ok(Pass::Usual),
            Some(at) if now < at => Err(at),
            Some(_) => {
                // Whoever asks meanwhile waits for the outcome; if none comes, another tries.
                state.retry_at = Some(wait(state.failures).after(now));
                Ok(Pass::Probe)
            }
        }
    }

    /// When the next call may be made, where none may be made now.
    pub(crate) fn closed_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.lock().retry_at.filter(|at| now < *at)
    }

    /// Whether the last call succeeded, or none was made.
    pub(crate) fn is_sound(&self) -> bool {
        self.lock().retry_at.is_none()
    }

    pub(crate) fn succeeded(&self) {
        let mut state = self.lock();
        if state.retry_at.is_some() {
            *state = State::default();
        }
    }

    /// Notes a failure, and returns when to try again. Of calls that were under way together, the first failure counts. `seed` spreads
    /// the retries of many hosts; `asked` is how long the destination asked to be left alone.
    pub(crate) fn failed(&self, pass: Pass, now: Timestamp, asked: Option<Span>, seed: u64) -> Timestamp {
        let mut state = self.lock();
        if let (Pass::Usual, Some(at)) = (pass, state.retry_at) {
            return at;
        }
        state.failures = state.failures.saturating_add(1);
        let pause = jittered(wait(state.failures), seed).max(asked.unwrap_or(Span::ZERO));
        let at = pause.after(now);
        state.retry_at = Some(at);
        at
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 200 ms, 400 ms, 800 ms … 30 s.
pub(crate) fn wait(failures: u32) -> Span {
    FIRST.times(1 << failures.saturating_sub(1).min(16)).min(LONGEST)
}

/// Between half and all of a span. Equal seeds give equal spans: nothing here is random, so that a simulation can be repeated.
pub(crate) fn jittered(span: Span, seed: u64) -> Span {
    let half = span.as_millis() / 2;
    // SplitMix64's last step: neighbouring seeds come out far apart.
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Span::from_millis(span.as_millis() - (mixed ^ (mixed >> 31)) % (half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Span::from_millis(millis).after(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn calls_that_fail_together_count_once() {
        let circuit = Circuit::default();
        let passes: Vec<_> = (0..64).map(|_| circuit.admit(at(0)).unwrap()).collect();
        for pass in passes {
            let again = circuit.failed(pass, at(0), None, 7);
            assert!(again <= wait(1).after(at(0)), "{again}");
        }
    }

    #[test]
    fn while_it_fails_one_call_at_a_time_goes_through_and_the_waits_grow_to_a_limit() {
        let circuit = Circuit::default();
        let mut now = at(0);
        let mut pass = circuit.admit(now).unwrap();
        for failures in 1..20 {
            let again = circuit.failed(pass, now, None, failures.into());
            let pause = Span::between(now, again);
            assert!(
                pause <= wait(failures) && pause.as_millis() * 2 >= wait(failures).as_millis(),
                "{pause}"
            );
            assert_eq!(circuit.admit(now), Err(again));
            now = again;
            pass = circuit.admit(now).unwrap();
            assert_eq!(pass, Pass::Probe);
            assert!(circuit.admit(now).is_err(), "a second call goes through");
        }
        assert_eq!(wait(20), LONGEST);
        circuit.succeeded();
        assert!(circuit.is_sound());
        assert_eq!(circuit.admit(now), Ok(Pass::Usual));
    }

    #[test]
    fn a_probe_that_never_answers_is_followed_by_another() {
        let circuit = Circuit::default();
        let again = circuit.failed(circuit.admit(at(0)).unwrap(), at(0), None, 1);
        assert_eq!(circuit.admit(again), Ok(Pass::Probe));
        let later = circuit.admit(again).unwrap_err();
        assert_eq!(circuit.admit(later), Ok(Pass::Probe));
    }

    #[test]
    fn what_the_destination_asks_for_is_respected() {
        let circuit = Circuit::default();
        let asked = Span::from_secs(120);
        let again = circuit.failed(circuit.admit(at(0)).unwrap(), at(0), Some(asked), 1);
        assert_eq!(again, asked.after(at(0)));
        assert_eq!(circuit.closed_until(at(1)), Some(again));
    }
}
