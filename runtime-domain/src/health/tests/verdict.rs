//! What is believed, against what was found.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::fixture::*;
use crate::aggregate::{Aggregate, DomainEvent};
use crate::health::HealthStatus::{Degraded, Healthy, Unhealthy};
use crate::health::*;
use crate::time::Span;

fn believed(found: &[HealthStatus], thresholds: Thresholds) -> Vec<HealthStatus> {
    verdicts(found, thresholds).into_iter().map(|verdict| verdict.status).collect()
}

fn verdicts(found: &[HealthStatus], thresholds: Thresholds) -> Vec<Verdict> {
    let mut verdict: Option<Verdict> = None;
    let next = |status: &HealthStatus| {
        let after = verdict.map_or(Verdict::first(*status), |before| before.after(*status, thresholds));
        verdict = Some(after);
        after
    };
    found.iter().map(next).collect()
}

fn stories() -> impl Strategy<Value = Vec<HealthStatus>> {
    proptest::collection::vec(proptest::sample::select(&HealthStatus::ALL[..]), 1..40)
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    (1..5u16, 1..5u16).prop_map(|(fall, rise)| {
        let rise = core::num::NonZeroU16::new(rise).unwrap();
        Thresholds { rise, ..Thresholds::failing_after(fall) }
    })
}

#[test]
fn a_verdict_falls_after_three_and_rises_after_two() {
    let (h, d, u) = (Healthy, Degraded, Unhealthy);
    for (found, expected) in [
        (vec![h, u, u, h], vec![h, h, h, h]),
        (vec![h, u, u, u, h, h], vec![h, h, h, u, u, h]),
        (vec![h, d, u, u, u], vec![h, h, h, d, u]),
        (vec![u, d, d, h, h], vec![u, u, d, d, h]),
        (vec![u, d, h], vec![u, u, d]),
        (vec![h, u, h, u, h, u], vec![h; 6]),
    ] {
        assert_eq!(believed(&found, Thresholds::default()), expected, "{found:?}");
    }
}

#[test]
fn degrading_is_told_once_and_only_when_it_is_believed() {
    let mut previous = None;
    let mut told = Vec::new();
    for (number, found) in [Healthy, Unhealthy, Unhealthy, Unhealthy, Unhealthy].into_iter().enumerate() {
        let asked = RecordHealthCheck {
            previous,
            thresholds: Thresholds::default(),
            ..command(vec![ready("http", found)], None)
        };
        let decision = HealthCheckResult::record(asked, at(10)).unwrap();
        let result =
            HealthCheckResult::evolve_all(None, decision.events.iter().map(|event| (event, at(10)))).unwrap();
        previous = result.map(|result| result.verdict());
        if decision.events.iter().any(|event| event.name() == "HealthDegraded") {
            told.push(number);
        }
    }
    assert_eq!(told, [3]);
}

#[test]
fn a_verdict_that_no_longer_counts_still_tells_whether_it_is_worse_now() {
    let asked = RecordHealthCheck {
        is_continued: false,
        thresholds: Thresholds::default(),
        ..command(vec![ready("http", Unhealthy)], Some(Healthy))
    };
    let decision = HealthCheckResult::record(asked, at(10)).unwrap();
    assert_eq!(
        decision.events[1],
        HealthEvent::HealthDegraded { service_id: service(), from: Healthy, to: Unhealthy }
    );
}

#[test]
fn a_verdict_that_does_not_follow_from_its_result_is_refused() {
    let result = result(vec![ready("http", Unhealthy)]);
    let mut record = serde_json::to_value(result.to_record()).unwrap();
    record["verdict"] = serde_json::json!({ "status": "Healthy" });
    let loaded = HealthCheckResult::from_record(1, serde_json::from_value(record.clone()).unwrap());
    assert_eq!(loaded.unwrap_err().rule, "CONTENT");
    let before_verdicts = record.as_object_mut().unwrap();
    before_verdicts.remove("verdict");
    let loaded = HealthCheckResult::from_record(1, serde_json::from_value(record).unwrap()).unwrap();
    assert_eq!(loaded.verdict(), Verdict::first(Unhealthy));
}

#[test]
fn what_was_found_last_and_is_not_believed_yet_is_said() {
    let asked = RecordHealthCheck {
        thresholds: Thresholds::default(),
        ..command(vec![ready("http", Healthy)], Some(Unhealthy))
    };
    let decision = HealthCheckResult::record(asked, at(10)).unwrap();
    let events = decision.events.iter().map(|event| (event, at(10)));
    let result = HealthCheckResult::evolve_all(None, events).unwrap().unwrap();
    let health = ServiceHealth::of(Some(&result), at(10), Span::from_secs(60));
    let ServiceHealth::Known { status: Unhealthy, reasons, .. } = health else { panic!("{health:?}") };
    assert_eq!(reasons, ["it was found Healthy last, and only 1 in a row say otherwise than Unhealthy"]);
}

proptest! {
    #[test]
    fn a_verdict_changes_only_after_as_many_in_a_row_as_are_needed(found in stories(), thresholds in thresholds()) {
        let believed = believed(&found, thresholds);
        for index in 1..found.len() {
            let (before, after) = (believed[index - 1], believed[index]);
            if after > before {
                let from = (index + 1).checked_sub(usize::from(thresholds.fall.get()));
                let row = from.and_then(|from| found.get(from..=index));
                prop_assert!(row.is_some_and(|row| row.iter().all(|found| *found >= after)), "{index} of {believed:?}");
            }
            if after < before {
                let from = (index + 1).checked_sub(usize::from(thresholds.rise.get()));
                let row = from.and_then(|from| found.get(from..=index));
                prop_assert!(row.is_some_and(|row| row.iter().all(|found| *found <= after)), "{index} of {believed:?}");
            }
        }
    }

    #[test]
    fn what_lasts_is_believed_in_the_end(found in stories(), last in proptest::sample::select(&HealthStatus::ALL[..]), thresholds in thresholds()) {
        let lasting = thresholds.fall.max(thresholds.rise).get();
        let found: Vec<_> = found.into_iter().chain(core::iter::repeat_n(last, usize::from(lasting))).collect();
        prop_assert_eq!(believed(&found, thresholds).last().copied(), Some(last));
    }

    #[test]
    fn nothing_that_was_never_found_healthy_is_believed_to_be(found in stories(), thresholds in thresholds()) {
        for (index, status) in believed(&found, thresholds).into_iter().enumerate() {
            prop_assert!(found[..=index].contains(&status));
        }
    }

    #[test]
    fn every_verdict_agrees_with_its_result(found in stories(), thresholds in thresholds()) {
        let verdicts = verdicts(&found, thresholds);
        for (verdict, found) in verdicts.into_iter().zip(&found) {
            prop_assert!(verdict.agrees_with(*found), "{verdict:?} {found}");
        }
    }
}
