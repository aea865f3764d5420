//! Time passes: hosts that are at work without end at one instant are stopped, and that is told, since nobody would see the story's end.
//!
//! It counts whatever is taken up at one instant: what operators ask for, a host's own task, each call of a port and each time that one
//! wakes. What it cannot see is a worker's task that neither calls a port nor waits for anything but its next turn.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use tokio::time::Instant;

use crate::world::lock;

/// How often everything together is taken up at one instant at most. Hosts of two dozen components come to less than a thousand.
const MOST_TURNS: u32 = 20_000;

/// Counts turns. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace(Arc<Mutex<Turns>>);

#[derive(Debug, Default)]
struct Turns {
    at: Option<Instant>,
    taken: u32,
    /// By whom.
    by: BTreeMap<&'static str, u32>,
    stood_still: Option<String>,
}

impl Pace {
    /// Does it, and goes no further once time has stood still.
    pub(crate) async fn keep<T>(&self, whose: &'static str, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| if self.has_turn(whose) { work.as_mut().poll(context) } else { Poll::Pending })
            .await
    }

    /// Who was at work most when so much was done at one instant that no other could have come.
    pub(crate) fn stood_still(&self) -> Option<String> {
        lock(&self.0).stood_still.clone()
    }

    /// Whether it may go on, where it is taken up now.
    pub(crate) fn has_turn(&self, whose: &'static str) -> bool {
        let mut turns = lock(&self.0);
        let now = Instant::now();
        if turns.at != Some(now) {
            *turns = Turns { at: Some(now), stood_still: turns.stood_still.take(), ..Turns::default() };
        }
        turns.taken += 1;
        *turns.by.entry(whose).or_default() += 1;
        if turns.taken > MOST_TURNS && turns.stood_still.is_none() {
            let most = turns.by.iter().filter(|(_, taken)| **taken > MOST_TURNS / 10);
            let most: Vec<&str> = most.map(|(whose, _)| *whose).collect();
            turns.stood_still = Some(most.join(", "));
        }
        turns.stood_still.is_none()
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
        pace.keep("who waits", work).await;
        assert_eq!(pace.stood_still(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_at_work_without_end_at_one_instant_is_stopped_so_that_time_passes() {
        let pace = Pace::default();
        let spinning = pace.keep("who spins", async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let spinning = tokio::time::timeout(Duration::from_secs(1), spinning).await;
        assert!(spinning.is_err());
        assert_eq!(pace.stood_still(), Some("who spins".to_owned()));
    }
}
