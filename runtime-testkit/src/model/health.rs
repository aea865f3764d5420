//! A health check result, as spec.md §2 describes it.

use std::collections::BTreeSet;

use crate::model::{Facts, Foreseen, Model, exclusive};
use crate::plan::health::{Entry, HealthPlan};

/// The model of a health check result.
#[derive(Debug, Clone, Default)]
pub struct HealthModel {
    result: Option<Recorded>,
}

#[derive(Debug, Clone)]
struct Recorded {
    status: u8,
    /// When its window began, in milliseconds since the story's beginning.
    window: i64,
    entries: usize,
}

const NAMES: [&str; 3] = ["Healthy", "Degraded", "Unhealthy"];
const DEPENDENCY: u8 = 3;

/// An optional dependency that is out degrades the service and no more.
fn weight(entry: &Entry) -> u8 {
    if entry.kind == DEPENDENCY && !entry.is_required { entry.status.min(1) } else { entry.status }
}

impl Model for HealthModel {
    type Plan = HealthPlan;

    fn absent() -> Self {
        Self::default()
    }

    fn foresee(&mut self, plan: &HealthPlan, now: i64) -> Foreseen {
        let names: BTreeSet<(u8, u8)> = plan.entries.iter().map(|entry| (entry.probe, entry.kind)).collect();
        let is_known = !plan.entries.is_empty()
            && plan.entries.len() <= 100
            && names.len() == plan.entries.len()
            && plan.entries.iter().all(|entry| entry.data <= 4_096);
        if !is_known {
            return Foreseen::Refused("CONTENT");
        }
        if plan.ended < 0 {
            return Foreseen::Refused("HLT-3");
        }
        let status = plan.entries.iter().map(weight).max().unwrap_or_default();
        let window = (now - plan.ended) * 1_000 - i64::from(plan.lasts);
        self.result = Some(Recorded { status, window, entries: plan.entries.len() });
        let is_worse = plan.previous.is_some_and(|before| status > before);
        let degraded = is_worse.then_some("HealthDegraded");
        Foreseen::Changes(std::iter::once("HealthCheckCompleted").chain(degraded).collect())
    }

    fn facts(&self) -> Option<Facts> {
        let Recorded { status, window, entries } = self.result.as_ref()?;
        let began = 1_800_000_000_000 + window;
        let claim = exclusive(format_args!("health/svc_{:032x}/{began}", 1));
        let name = NAMES.get(usize::from(*status)).copied().unwrap_or_default();
        let facts = Facts { status: name.to_owned(), claims: [claim].into(), ..Facts::default() };
        Some(facts.with("entries", entries))
    }
}
