//! Time passes: hosts that are at work without end at one instant are stopped, and that is told, since nobody would see the story's end.
//!
//! It sees what operators ask for and what a host does in its own task. A task that a worker of a host has spawned is not counted yet.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use tokio::time::Instant;

use crate::world::lock;

/// How often everything together is taken up at one instant at most. Hosts that wait for one another are taken up less than fifty times.
const MOST_TURNS: u32 = 10_000;

/// Counts turns. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace(Arc<Mutex<Turns>>);

#[derive(Debug, Default)]
struct Turns {
    at: Option<Instant>,
    taken: u32,
    has_stood_still: bool,
}

impl Pace {
    /// Does it, and goes no further once time has stood still.
    pub(crate) async fn keep<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| if self.has_turn() { work.as_mut().poll(context) } else { Poll::Pending }).await
    }

    /// Whether so much was done at one instant that no other could have come.
    pub(crate) fn has_stood_still(&self) -> bool {
        lock(&self.0).has_stood_still
    }

    fn has_turn(&self) -> bool {
        let mut turns = lock(&self.0);
        let now = Instant::now();
        if turns.at != Some(now) {
            turns.at = Some(now);
            turns.taken = 0;
        }
        turns.taken += 1;
        turns.has_stood_still |= turns.taken > MOST_TURNS;
        !turns.has_stood_still
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_has_as_many_turns_as_are_needed() {
        let pace = Pace::default();
        let work = async {
            for _ in 0..2 * MOST_TURNS {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        pace.keep(work).await;
        assert!(!pace.has_stood_still());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_at_work_without_end_at_one_instant_is_stopped_so_that_time_passes() {
        let pace = Pace::default();
        let spinning = pace.keep(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let spinning = tokio::time::timeout(Duration::from_secs(1), spinning).await;
        assert!(spinning.is_err());
        assert!(pace.has_stood_still());
    }
}
