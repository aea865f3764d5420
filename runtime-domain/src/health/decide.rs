//! Decides whether a result is recorded.

use alloc::format;
use alloc::vec;

use crate::aggregate::Decision;
use crate::health::command::RecordHealthCheck;
use crate::health::event::{Completed, HealthEvent};
use crate::health::refusal::HealthRefusal;
use crate::health::state::{HealthCheckResult, judge};
use crate::time::Timestamp;

impl HealthCheckResult {
    /// Decides whether a result is recorded, evaluated `now`. Its status is computed, never given (HLT-2).
    ///
    /// # Errors
    /// No entries, too many or too large ones, a probe twice, or a window that has not ended.
    pub fn record(
        command: RecordHealthCheck,
        now: Timestamp,
    ) -> Result<Decision<HealthEvent>, HealthRefusal> {
        let RecordHealthCheck {
            health_check_result_id,
            tenant_id,
            environment_id,
            service_id,
            module_id,
            evaluation_window,
            entries,
            previous,
        } = command;
        let status = judge(&entries)?;
        if evaluation_window.end() > now {
            return Err(HealthRefusal::WindowNotOver { end: evaluation_window.end(), now });
        }
        let explanation = format!("{status}: the worst of {} probes", entries.len());
        let mut events = vec![HealthEvent::HealthCheckCompleted(Completed {
            health_check_result_id,
            tenant_id,
            environment_id,
            service_id,
            module_id,
            status,
            evaluated_at: now,
            evaluation_window,
            entries,
        })];
        if let Some(from) = previous.filter(|previous| status > *previous) {
            events.push(HealthEvent::HealthDegraded { service_id, from, to: status });
        }
        Ok(Decision::of(events, explanation))
    }
}
