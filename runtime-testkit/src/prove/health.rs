//! Health check results: the driver and the checker.

use std::collections::{BTreeMap, BTreeSet};

use proptest::strategy::BoxedStrategy;
use runtime_domain::aggregate::Aggregate;
use runtime_domain::claim::Claim;
use runtime_domain::health::{
    CheckEntry, EvaluationWindow, HealthCheckResult, HealthEvent, HealthStatus, LatencyMs, ProbeKind,
    RecordHealthCheck, Thresholds, Verdict,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Name;

use crate::model::{Facts, HealthModel};
use crate::plan::Step;
use crate::plan::health::{Entry, HealthPlan};
use crate::prove::environment::numbered;
use crate::prove::{Answer, Driver, Fault, Provable};
use crate::strategy::health::health_stories;

/// Drives health check results: nothing can be asked of one that was recorded (HLT-1).
#[derive(Debug, Clone)]
pub struct HealthDriver;

impl Driver<HealthCheckResult> for HealthDriver {
    type Plan = HealthPlan;

    fn begin() -> Self {
        Self
    }

    fn ask(
        &self,
        state: Option<&HealthCheckResult>,
        plan: &HealthPlan,
        now: Timestamp,
    ) -> Answer<HealthEvent> {
        match (state, record(plan, now)) {
            (None, Some(command)) => Answer::of(HealthCheckResult::record(command, now)),
            _ => Answer::Nothing,
        }
    }
}

fn record(plan: &HealthPlan, now: Timestamp) -> Option<RecordHealthCheck> {
    let millis = Span::between(Timestamp::UNIX_EPOCH, now).as_millis();
    let end = millis.checked_add_signed(-plan.ended * 1_000)?;
    let point = |millis| Span::from_millis(millis).after(Timestamp::UNIX_EPOCH);
    Some(RecordHealthCheck {
        health_check_result_id: numbered(9),
        tenant_id: numbered(1),
        environment_id: numbered(1),
        service_id: numbered(1),
        module_id: Name::new("cart").ok()?,
        evaluation_window: EvaluationWindow::new(point(end - u64::from(plan.lasts)), point(end)).ok()?,
        entries: plan.entries.iter().map(entry).collect::<Option<_>>()?,
        previous: plan.previous.map(|previous| Verdict::first(status(previous))),
        is_continued: true,
        thresholds: Thresholds::NONE,
    })
}

fn entry(entry: &Entry) -> Option<CheckEntry> {
    let data = match entry.data {
        0 => BTreeMap::new(),
        size => BTreeMap::from([("k".to_owned(), "v".repeat(usize::from(size) - 1))]),
    };
    Some(CheckEntry {
        probe: Name::new(&format!("probe-{}", entry.probe)).ok()?,
        kind: match entry.kind {
            0 => ProbeKind::Itself,
            1 => ProbeKind::Liveness,
            2 => ProbeKind::Readiness,
            _ => ProbeKind::Dependency,
        },
        required: entry.is_required,
        status: status(entry.status),
        duration: LatencyMs(u32::from(entry.data)),
        data,
    })
}

const fn status(number: u8) -> HealthStatus {
    match number {
        0 => HealthStatus::Healthy,
        1 => HealthStatus::Degraded,
        _ => HealthStatus::Unhealthy,
    }
}

impl Provable for HealthCheckResult {
    type Plan = HealthPlan;
    type Driver = HealthDriver;
    type Model = HealthModel;

    const FINAL: &'static [&'static str] = &["Healthy", "Degraded", "Unhealthy"];
    const KEPT: &'static [&'static str] = &["health/"];

    fn stories() -> BoxedStrategy<Vec<Step<HealthPlan>>> {
        health_stories()
    }

    fn is_idempotent(_plan: &HealthPlan) -> bool {
        true
    }

    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        Fault::unless(before.is_none_or(|before| before == after), "HLT-1", || "it changed".to_owned())?;
        let worst = after.entries().iter().map(|entry| {
            let is_optional = entry.kind == ProbeKind::Dependency && !entry.required;
            match (is_optional, entry.status) {
                (true, HealthStatus::Unhealthy) => HealthStatus::Degraded,
                (_, status) => status,
            }
        });
        Fault::unless(worst.max() == Some(after.status()), "HLT-2", || {
            format!("it is {}, of {:?}", after.status(), after.entries())
        })?;
        let names: BTreeSet<_> = after.entries().iter().map(|entry| (&entry.probe, entry.kind)).collect();
        Fault::unless(names.len() == after.entries().len(), "CONTENT", || {
            "a probe has two entries".to_owned()
        })?;
        let window = after.evaluation_window();
        Fault::unless(
            window.start() < window.end() && window.end() <= after.evaluated_at(),
            "HLT-3",
            || {
                format!(
                    "its window is {} to {}, and it was evaluated at {}",
                    window.start(),
                    window.end(),
                    after.evaluated_at()
                )
            },
        )?;
        let claims = BTreeSet::from([Claim::health_window(after.service_id(), window.start())]);
        Fault::unless(after.claims() == claims, "HLT-3", || format!("it holds {:?}", after.claims()))
    }

    fn facts(&self, facts: Facts) -> Facts {
        facts.with("entries", self.entries().len())
    }
}
