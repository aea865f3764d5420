//! The time, which can be moved on: fifteen seconds between two looks need not be waited for.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::clock::Clock;
use runtime_system::SystemClock;

#[derive(Default)]
pub(crate) struct MovableClock {
    system: SystemClock,
    /// How far it is ahead, in milliseconds.
    ahead: AtomicI64,
}

impl MovableClock {
    pub(crate) fn move_on(&self, span: Span) {
        self.ahead.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::AcqRel);
    }

    fn ahead(&self) -> Span {
        Span::from_millis(self.ahead.load(Ordering::Acquire).unsigned_abs())
    }
}

#[async_trait]
impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        self.ahead().after(self.system.now())
    }

    /// Whoever sleeps while it is moved on sleeps out.
    async fn sleep_until(&self, deadline: Timestamp) {
        self.system.sleep_until(deadline - self.ahead().to_std()).await;
    }
}
