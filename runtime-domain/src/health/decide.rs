//! What a command comes to.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec;

use crate::aggregate::Decision;
use crate::health::{
    CheckEntry, CompleteHealthCheck, HealthCheckCompleted, HealthCheckResult, HealthCommand, HealthEvent,
    HealthRefusal, HealthStatus, MOST_ENTRIES,
};
use crate::time::Timestamp;

type Decided = Result<Decision<HealthEvent>, HealthRefusal>;

impl HealthCheckResult {
    /// Decides on a new result. `previous` is how the service was found the time before, where that is known: a service that
    /// is found worse than that has degraded.
    ///
    /// # Errors
    /// HLT-2 without entries; HLT-3 where the window has not ended; CONTENT where a probe has two entries, or there are too many.
    pub fn complete(
        command: &CompleteHealthCheck,
        previous: Option<HealthStatus>,
        now: Timestamp,
    ) -> Decided {
        let status = judged(&command.entries)?;
        let end = command.evaluation_window.end();
        if end > now {
            return Err(HealthRefusal::WindowOpen { end });
        }
        let completed = HealthEvent::HealthCheckCompleted(HealthCheckCompleted {
            health_check_result_id: command.health_check_result_id,
            tenant_id: command.tenant_id,
            environment_id: command.environment_id,
            service_id: command.service_id,
            status,
            evaluation_window: command.evaluation_window,
            entries: command.entries.clone(),
        });
        let mut events = vec![completed];
        if let Some(previous) = previous.filter(|previous| *previous < status) {
            events.push(HealthEvent::HealthDegraded { service_id: command.service_id, previous, status });
        }
        let bad = command.entries.iter().filter(|entry| entry.status() > HealthStatus::Healthy).count();
        let explanation = format!("{status}: {bad} of {} entries are not Healthy", command.entries.len());
        Ok(Decision::of(events, explanation))
    }

    /// Answers the command that made this result when it comes again, under whatever new identifier.
    ///
    /// # Errors
    /// HLT-3 where it is another evaluation.
    pub fn complete_again(&self, command: &CompleteHealthCheck) -> Decided {
        let same = command.tenant_id == self.tenant_id
            && command.environment_id == self.environment_id
            && command.service_id == self.service_id
            && command.evaluation_window == self.evaluation_window
            && command.entries == self.entries;
        if same {
            Ok(Decision::unchanged("this evaluation was kept before"))
        } else {
            Err(HealthRefusal::OtherEvaluation)
        }
    }

    /// Refuses every command: a result never changes (HLT-1).
    ///
    /// # Errors
    /// Always HLT-1.
    pub fn decide(&self, command: &HealthCommand, _now: Timestamp) -> Decided {
        Err(HealthRefusal::Immutable { command: command.name() })
    }
}

/// The worst of the entries, where they can be kept (HLT-2).
pub(super) fn judged(entries: &[CheckEntry]) -> Result<HealthStatus, HealthRefusal> {
    let status = HealthStatus::worst(entries.iter().map(CheckEntry::status)).ok_or(HealthRefusal::NoEntry)?;
    if entries.len() > MOST_ENTRIES {
        return Err(HealthRefusal::TooManyEntries { count: entries.len() });
    }
    let mut probes = BTreeSet::new();
    match entries.iter().find(|entry| !probes.insert(entry.probe())) {
        Some(entry) => Err(HealthRefusal::ProbeTwice { probe: entry.probe().clone() }),
        None => Ok(status),
    }
}
