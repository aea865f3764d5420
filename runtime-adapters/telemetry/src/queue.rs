//! What waits to be exported, within bounds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_ports::telemetry::{Instrument, Meter};
use tokio::sync::Notify;

/// A bounded queue: who puts something in never waits.
pub(crate) struct Queue<T> {
    items: Mutex<VecDeque<T>>,
    room: usize,
    batch: usize,
    signal: &'static str,
    meter: Arc<dyn Meter>,
    filled: Arc<Notify>,
}

impl<T> Queue<T> {
    /// `filled` is told when a batch is together.
    pub(crate) fn new(
        signal: &'static str,
        room: usize,
        batch: usize,
        meter: Arc<dyn Meter>,
        filled: Arc<Notify>,
    ) -> Self {
        Self { items: Mutex::default(), room: room.max(1), batch: batch.max(1), signal, meter, filled }
    }

    pub(crate) fn put(&self, item: T) {
        let mut items = self.items();
        if items.len() >= self.room {
            drop(items);
            self.dropped(1, "full");
            return;
        }
        items.push_back(item);
        let is_filled = items.len() == self.batch.min(self.room);
        drop(items);
        if is_filled {
            self.filled.notify_one();
        }
    }

    /// The oldest, at most a batch; empty where nothing waits.
    pub(crate) fn take(&self) -> Vec<T> {
        let mut items = self.items();
        let many = self.batch.min(items.len());
        items.drain(..many).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.items().len()
    }

    /// Drops all that waits.
    pub(crate) fn clear(&self, why: &'static str) {
        let many = std::mem::take(&mut *self.items()).len();
        self.dropped(many, why);
    }

    pub(crate) fn dropped(&self, many: usize, why: &'static str) {
        if many > 0 {
            let many = u32::try_from(many).unwrap_or(u32::MAX);
            let attributes = [("factory.signal", self.signal), ("factory.outcome", why)];
            self.meter.record(Instrument::TelemetryDropped, many.into(), &attributes);
        }
    }

    fn items(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use runtime_ports::telemetry::InProcessMeter;

    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_counted_and_the_oldest_go_first() {
        let meter = Arc::new(InProcessMeter::default());
        let queue = Queue::new("traces", 3, 2, Arc::clone(&meter) as _, Arc::default());
        for item in 0..5 {
            queue.put(item);
        }
        assert_eq!(meter.total(Instrument::TelemetryDropped, &[("factory.outcome", "full")]), 2.0);
        assert_eq!(queue.take(), [0, 1]);
        queue.put(5);
        assert_eq!((queue.take(), queue.take()), (vec![2, 5], vec![]));
    }
}
