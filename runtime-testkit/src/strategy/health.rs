//! Health: entries, windows, and the stories of results.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use runtime_domain::health::{CheckEntry, EvaluationWindow, HealthStatus, LatencyMs, ProbeKind};
use runtime_domain::time::Span;

use crate::plan::Step;
use crate::plan::health::{Entry, HealthPlan};
use crate::strategy::{story, value};

/// A status.
pub fn valid_health_status() -> BoxedStrategy<HealthStatus> {
    proptest::sample::select(HealthStatus::ALL.to_vec()).boxed()
}

/// What a probe asks.
pub fn valid_probe_kind() -> BoxedStrategy<ProbeKind> {
    use ProbeKind::{Dependency, Itself, Liveness, Readiness};
    prop_oneof![Just(Itself), Just(Liveness), Just(Readiness), Just(Dependency)].boxed()
}

/// How long a probe took.
pub fn valid_latency() -> BoxedStrategy<LatencyMs> {
    any::<u32>().prop_map(LatencyMs).boxed()
}

/// What one probe found.
pub fn valid_check_entry() -> BoxedStrategy<CheckEntry> {
    let data = btree_map("[a-z_]{1,12}", "\\PC{0,24}", 0..4);
    (value::valid_name(), valid_probe_kind(), any::<bool>(), valid_health_status(), valid_latency(), data)
        .prop_map(|(probe, kind, required, status, duration, data)| CheckEntry {
            probe,
            kind,
            required,
            status,
            duration,
            data,
        })
        .boxed()
}

/// A window that is not empty.
pub fn valid_evaluation_window() -> BoxedStrategy<EvaluationWindow> {
    (value::valid_timestamp(), 1..86_400_000_u64)
        .prop_filter_map("a window", |(start, millis)| {
            EvaluationWindow::new(start, Span::from_millis(millis).after(start)).ok()
        })
        .boxed()
}

fn entry() -> impl Strategy<Value = Entry> {
    let data = prop_oneof![12 => 0..40_u16, 1 => Just(4_096_u16), 1 => Just(4_097_u16)];
    (0..12_u8, 0..4_u8, any::<bool>(), 0..3_u8, data)
        .prop_map(|(probe, kind, is_required, status, data)| Entry { probe, kind, is_required, status, data })
}

/// Up to twelve entries, or as many as are kept, or one more.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let many = |count: u8| {
        (0..count)
            .map(|probe| Entry { probe, kind: 0, is_required: true, status: probe % 3, data: 0 })
            .collect::<Vec<_>>()
    };
    prop_oneof![12 => vec(entry(), 0..6), 1 => Just(many(100)), 1 => Just(many(101))]
}

/// What may be recorded.
pub fn health_plans() -> BoxedStrategy<HealthPlan> {
    let ended = prop_oneof![6 => 0..300_i64, 1 => Just(-1_i64)];
    let lasts = prop_oneof![1 => Just(0_u32), 6 => 1..60_000_u32];
    (entries(), ended, lasts, prop::option::of(0..3_u8))
        .prop_map(|(entries, ended, lasts, previous)| HealthPlan { entries, ended, lasts, previous })
        .boxed()
}

/// Stories of a result: asked until it is recorded once.
pub fn health_stories() -> BoxedStrategy<Vec<Step<HealthPlan>>> {
    story(health_plans(), health_plans(), 3)
}
