//! Decides whether a result is recorded.

use alloc::format;
use alloc::vec;

use crate::aggregate::Decision;
use crate::health::command::RecordHealthCheck;
use crate::health::event::{Completed, HealthEvent};
use crate::health::refusal::HealthRefusal;
use crate::health::state::{HealthCheckResult, judge};
use crate::health::verdict::Verdict;
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
            is_continued,
            thresholds,
        } = command;
        let status = judge(&entries)?;
        if evaluation_window.end() > now {
            return Err(HealthRefusal::WindowNotOver { end: evaluation_window.end(), now });
        }
        let verdict = match previous {
            Some(previous) if is_continued => previous.after(status, thresholds),
            _ => Verdict::first(status),
        };
        let explanation =
            format!("{status}: the worst of {} probes; believed to be {}", entries.len(), verdict.status);
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
            verdict: Some(verdict),
        })];
        let (from, to) = (previous.map(|previous| previous.status), verdict.status);
        if let Some(from) = from.filter(|from| to > *from) {
            events.push(HealthEvent::HealthDegraded { service_id, from, to });
        }
        Ok(Decision::of(events, explanation))
    }
}
