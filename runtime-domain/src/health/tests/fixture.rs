//! Results of whatever a test wants.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use uuid::Uuid;

use crate::aggregate::Aggregate;
use crate::health::*;
use crate::id::{EnvironmentId, HealthCheckResultId, ServiceId, TenantId};
use crate::time::{Span, Timestamp};
use crate::value::Name;

pub(super) fn at(seconds: u64) -> Timestamp {
    Span::from_secs(1_800_000_000 + seconds).after(Timestamp::UNIX_EPOCH)
}

pub(super) fn service() -> ServiceId {
    ServiceId::from_uuid(Uuid::from_u128(3))
}

pub(super) fn entry(probe: &str, kind: ProbeKind, required: bool, status: HealthStatus) -> CheckEntry {
    let probe = Name::new(probe).unwrap();
    CheckEntry { probe, kind, required, status, duration: LatencyMs(5), data: BTreeMap::new() }
}

pub(super) fn ready(probe: &str, status: HealthStatus) -> CheckEntry {
    entry(probe, ProbeKind::Readiness, true, status)
}

/// Asks for a result of the window from second 0 to 10.
pub(super) fn command(entries: Vec<CheckEntry>, previous: Option<HealthStatus>) -> RecordHealthCheck {
    RecordHealthCheck {
        health_check_result_id: HealthCheckResultId::from_uuid(Uuid::from_u128(4)),
        tenant_id: TenantId::from_uuid(Uuid::from_u128(1)),
        environment_id: EnvironmentId::from_uuid(Uuid::from_u128(2)),
        service_id: service(),
        module_id: Name::new("cart").unwrap(),
        evaluation_window: EvaluationWindow::new(at(0), at(10)).unwrap(),
        entries,
        previous: previous.map(Verdict::first),
        is_continued: true,
        thresholds: Thresholds::NONE,
    }
}

/// A result evaluated at second 10.
pub(super) fn result(entries: Vec<CheckEntry>) -> HealthCheckResult {
    let decision = HealthCheckResult::record(command(entries, None), at(10)).unwrap();
    let events = decision.events.iter().map(|event| (event, at(10)));
    HealthCheckResult::evolve_all(None, events).unwrap().unwrap()
}
