//! What waits for the writer.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How many tasks wait at most; further ones wait outside, unsent, so that dropping them leaves nothing behind.
const PLACES: usize = 1_024;

/// Tasks in the order in which they came, taken in groups by one thread.
pub(super) struct Queue<T> {
    places: Semaphore,
    waiting: Mutex<Waiting<T>>,
    enough: Condvar,
}

struct Waiting<T> {
    tasks: Vec<T>,
    /// How many the thread waits for; 0 where it does not wait.
    wanted: usize,
    closed: bool,
}

/// The queue takes nothing any more.
#[derive(Debug)]
pub(super) struct Closed;

impl<T> std::fmt::Debug for Queue<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Queue").field("places", &self.places).finish_non_exhaustive()
    }
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let waiting = Waiting { tasks: Vec::new(), wanted: 0, closed: false };
        Self { places: Semaphore::new(PLACES), waiting: Mutex::new(waiting), enough: Condvar::new() }
    }

    /// Puts a task in, once there is a place for it.
    pub(super) async fn send(&self, task: T) -> Result<(), Closed> {
        // The place is given back by the thread that takes the task.
        self.places.acquire().await.map_err(|_closed| Closed)?.forget();
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(Closed);
        }
        waiting.tasks.push(task);
        let enough = waiting.wanted > 0 && waiting.tasks.len() >= waiting.wanted;
        if enough {
            waiting.wanted = 0;
        }
        drop(waiting);
        if enough {
            self.enough.notify_one();
        }
        Ok(())
    }

    /// Waits until a task is there, takes those that are, at most `most`, and puts them into `group`. Until `patience` has passed it waits for
    /// `expected` of them. `false` where the queue is closed and empty.
    pub(super) fn take(&self, group: &mut Vec<T>, most: usize, expected: usize, patience: Duration) -> bool {
        let mut waiting = self.lock();
        if expected > 1 && waiting.tasks.len() < expected {
            waiting = self.await_more(waiting, expected.min(most), patience);
        }
        while waiting.tasks.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting.wanted = 1;
            waiting = self.enough.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.wanted = 0;
        let many = waiting.tasks.len().min(most);
        group.extend(waiting.tasks.drain(..many));
        drop(waiting);
        self.places.add_permits(many);
        true
    }

    fn await_more<'q>(
        &'q self,
        mut waiting: MutexGuard<'q, Waiting<T>>,
        wanted: usize,
        patience: Duration,
    ) -> MutexGuard<'q, Waiting<T>> {
        let begun = Instant::now();
        while waiting.tasks.len() < wanted && !waiting.closed {
            let Some(left) = patience.checked_sub(begun.elapsed()) else { break };
            waiting.wanted = wanted;
            waiting = self.enough.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting
    }

    /// Refuses later tasks; those that wait are still taken.
    pub(super) fn close(&self) {
        self.places.close();
        self.lock().closed = true;
        self.enough.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.places.is_closed()
    }

    /// Drops what waits.
    pub(super) fn clear(&self) {
        let left = std::mem::take(&mut self.lock().tasks);
        drop(left);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn filled(count: u32) -> Queue<u32> {
        let queue = Queue::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        (0..count).for_each(|number| runtime.block_on(queue.send(number)).unwrap());
        queue
    }

    #[test]
    fn what_waits_is_taken_in_order_and_at_most_so_many() {
        let queue = filled(5);
        let mut group = Vec::new();
        assert!(queue.take(&mut group, 3, 1, LONG));
        assert_eq!(group, [0, 1, 2]);
        assert!(queue.take(&mut group, 3, 1, LONG));
        assert_eq!(group, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_single_task_is_taken_without_waiting_for_company() {
        let mut group = Vec::new();
        assert!(filled(1).take(&mut group, 9, 1, LONG));
        assert_eq!(group, [0]);
    }

    #[test]
    fn those_expected_are_waited_for_but_not_longer_than_patience() {
        let mut group = Vec::new();
        assert!(filled(1).take(&mut group, 9, 2, Duration::from_millis(1)));
        assert_eq!(group, [0]);
        let queue = filled(1);
        let mut group = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(queue.send(7)).unwrap();
            });
            assert!(queue.take(&mut group, 9, 2, LONG));
        });
        assert_eq!(group, [0, 7]);
    }

    #[test]
    fn a_closed_queue_gives_what_is_left_and_ends() {
        let queue = filled(1);
        queue.close();
        let mut group = Vec::new();
        assert!(queue.take(&mut group, 9, 5, LONG));
        assert!(!queue.take(&mut group, 9, 5, LONG));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(queue.send(1)).is_err());
    }
}
