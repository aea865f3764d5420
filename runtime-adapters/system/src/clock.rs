//! The machine's clock.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::clock::Clock;

/// A timer counts the time that passes, not what the wall clock says; no wait goes longer without comparing the two.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// The machine's clock, in UTC.
///
/// Guarantees: [`Clock::now`] is in whole microseconds, so that a store which keeps no more gives back what it was given.
/// [`Clock::sleep_until`] never returns before [`Clock::now`] has reached the deadline, and at most a minute after the wall clock was set
/// past it. Needs a Tokio runtime with its timer enabled.
///
/// Limits: as steady as the machine's clock, which may be set either way. A clock before 1970 reads as 1970, one after the
/// calendar's end as its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// The machine's clock.
    pub const fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one adapter that asks the machine for the time"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_micros())
            .ok()
            .and_then(Timestamp::from_timestamp_micros)
            .unwrap_or(Timestamp::MAX_UTC)
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        sleep_until(deadline, || self.now()).await;
    }
}

async fn sleep_until(deadline: Timestamp, now: impl Fn() -> Timestamp) {
    loop {
        let now = now();
        if now >= deadline {
            return;
        }
        // A span drops what is below a millisecond; a millisecond more never wakes too early, nor spins at the end.
        let left = Span::between(now, deadline).to_std() + Duration::from_millis(1);
        tokio::time::sleep(left.min(LONGEST_NAP)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::time::Instant;

    use super::*;

    /// A wall clock that runs with the driven timer, and that can be set.
    struct Wall {
        started: Instant,
        offset: AtomicU64,
    }

    impl Wall {
        fn new() -> Self {
            Self { started: Instant::now(), offset: AtomicU64::new(0) }
        }

        fn now(&self) -> Timestamp {
            let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap();
            Span::from_millis(passed + self.offset.load(Ordering::SeqCst)).after(Timestamp::UNIX_EPOCH)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_its_deadline_has_come() {
        let wall = Wall::new();
        let deadline = Span::from_secs(3_600).after(wall.now());
        sleep_until(deadline, || wall.now()).await;
        assert!(wall.now() >= deadline);
        assert!(wall.started.elapsed() < Duration::from_secs(3_602));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_notices_within_a_minute_that_the_clock_was_set_past_its_deadline() {
        let wall = Wall::new();
        let deadline = Span::from_secs(86_400).after(wall.now());
        let jump = async {
            tokio::time::sleep(Duration::from_secs(90)).await;
            wall.offset.store(86_400_000, Ordering::SeqCst);
        };
        tokio::join!(sleep_until(deadline, || wall.now()), jump);
        assert!(wall.started.elapsed() <= Duration::from_secs(150), "{:?}", wall.started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_goes_on_when_the_clock_was_set_back() {
        let wall = Wall::new();
        wall.offset.store(600_000, Ordering::SeqCst);
        let deadline = Span::from_secs(60).after(wall.now());
        let jump = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            wall.offset.store(0, Ordering::SeqCst);
        };
        tokio::join!(sleep_until(deadline, || wall.now()), jump);
        assert!(wall.now() >= deadline);
        assert!(wall.started.elapsed() >= Duration::from_secs(660));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_in_the_past_does_not_wait() {
        let wall = Wall::new();
        sleep_until(Timestamp::UNIX_EPOCH, || wall.now()).await;
        assert_eq!(wall.started.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn the_machines_time_is_in_whole_microseconds_and_reaches_its_deadlines() {
        let clock = SystemClock::new();
        let start = clock.now();
        assert!(start > Timestamp::from_timestamp(1_700_000_000, 0).unwrap());
        assert_eq!(start.timestamp_subsec_nanos() % 1_000, 0);
        let deadline = Span::from_millis(2).after(start);
        clock.sleep_until(deadline).await;
        assert!(clock.now() >= deadline);
    }
}
