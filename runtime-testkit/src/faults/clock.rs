//! Time, as a host sees it that may be frozen, or whose clock may be wrong.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::clock::Clock;

use super::{Call, Faults, lock};

/// How long after it thaws a host's timers fire that ran out meanwhile.
const AFTER_THAW: Span = Span::from_millis(1);

impl Faults {
    /// The same clock, for a host that may be frozen.
    pub fn clock(&self, inner: Arc<dyn Clock>) -> Arc<dyn Clock> {
        Arc::new(FaultyClock { inner, faults: self.clone() })
    }
}

struct FaultyClock {
    inner: Arc<dyn Clock>,
    faults: Faults,
}

impl FaultyClock {
    fn jumped(&self, at: Timestamp, milliseconds: i64) -> Timestamp {
        let span = Span::from_millis(milliseconds.unsigned_abs());
        if milliseconds < 0 { span.before(at) } else { span.after(at) }
    }
}

#[async_trait]
impl Clock for FaultyClock {
    fn now(&self) -> Timestamp {
        let jumped_by = *lock(&self.faults.inner.jumped_by);
        self.jumped(self.inner.now(), jumped_by)
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let sleeping = async {
            self.faults.choice(&mut Call::of("clock.sleep_until", ""));
            let jumped_by = *lock(&self.faults.inner.jumped_by);
            self.inner.sleep_until(self.jumped(deadline, jumped_by.saturating_neg())).await;
            while self.faults.is_frozen() {
                self.faults.awake().await;
                self.inner.sleep_until(AFTER_THAW.after(self.inner.now())).await;
            }
        };
        self.faults.guarded("clock.sleep_until", sleeping).await;
    }
}
