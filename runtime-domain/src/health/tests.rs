//! The table of the context's docs, and what holds for every evaluation.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;
use serde_json::json;

use crate::aggregate::{Aggregate, DomainEvent};
use crate::claim::Claim;
use crate::health::*;
use crate::refusal::Rule;
use crate::testing::{Answer, Told, answer, assert_refused, assert_schema_is_kept, at, id, name};
use crate::time::Span;
use HealthStatus::{Degraded, Healthy, Unhealthy};

fn entry(probe: &str, status: HealthStatus) -> CheckEntry {
    CheckEntry::required(name(probe), ProbeKind::Readiness, status, LatencyMs(12))
}

fn check(statuses: &[HealthStatus], start: u64) -> CompleteHealthCheck {
    CompleteHealthCheck {
        health_check_result_id: id(7),
        tenant_id: id(2),
        environment_id: id(1),
        service_id: id(6),
        evaluation_window: EvaluationWindow::new(at(start), at(start + 10)).unwrap(),
        entries: statuses
            .iter()
            .enumerate()
            .map(|(index, status)| entry(&format!("p{index}"), *status))
            .collect(),
    }
}

fn told(statuses: &[HealthStatus], start: u64) -> Told<HealthCheckResult> {
    let now = at(start + 10);
    Told::begin(HealthCheckResult::complete(&check(statuses, start), None, now), now)
}

fn result(status: HealthStatus, start: u64) -> HealthCheckResult {
    told(&[status], start).now().clone()
}

#[test]
fn every_command_in_every_state_is_answered_as_the_table_says() {
    let told = told(&[Healthy, Degraded], 0);
    let later = CompleteHealthCheck { health_check_result_id: id(70), ..check(&[Healthy, Degraded], 0) };
    assert_eq!(answer(&told.now().complete_again(&later)), Answer::Same);
    let others = [
        check(&[Healthy], 0),
        check(&[Healthy, Degraded], 10),
        CompleteHealthCheck { service_id: id(60), ..later.clone() },
        CompleteHealthCheck { tenant_id: id(20), ..later },
    ];
    for other in others {
        assert_eq!(answer(&told.now().complete_again(&other)), Answer::Refused(Rule::Hlt3));
    }
    for command in [
        HealthCommand::Amend { entries: Vec::new() },
        HealthCommand::Withdraw { reason: "wrong".to_string() },
    ] {
        assert_eq!(answer(&told.now().decide(&command, at(11))), Answer::Refused(Rule::Hlt1));
    }
}

#[test]
fn nothing_that_happens_later_changes_a_result() {
    let told = told(&[Degraded], 0);
    let first = &told.history[0].0;
    assert!(HealthCheckResult::evolve(told.state.clone(), first, at(20)).is_err());
    let of =
        |service, status| HealthEvent::HealthDegraded { service_id: id(service), previous: Healthy, status };
    assert_eq!(
        HealthCheckResult::evolve(told.state.clone(), &of(6, Degraded), at(20)).as_ref(),
        Ok(told.now())
    );
    assert!(HealthCheckResult::evolve(told.state.clone(), &of(60, Degraded), at(20)).is_err());
    assert!(HealthCheckResult::evolve(told.state.clone(), &of(6, Unhealthy), at(20)).is_err());
    assert!(HealthCheckResult::evolve(None, &of(6, Degraded), at(20)).is_err());
}

#[test]
fn nothing_probed_is_nothing_known_and_not_healthy() {
    assert_eq!(HealthStatus::worst([]), None);
    let refused = HealthCheckResult::complete(&check(&[], 0), None, at(10));
    assert_eq!(answer(&refused), Answer::Refused(Rule::Hlt2));
}

#[test]
fn an_evaluation_that_cannot_be_kept_is_refused() {
    let open = HealthCheckResult::complete(&check(&[Healthy], 0), None, at(9));
    assert_eq!(answer(&open), Answer::Refused(Rule::Hlt3));
    let mut twice = check(&[Healthy], 0);
    twice.entries.push(entry("p0", Healthy));
    assert_eq!(answer(&HealthCheckResult::complete(&twice, None, at(10))), Answer::Refused(Rule::Content));
    let many = check(&[Healthy; MOST_ENTRIES + 1], 0);
    assert_eq!(answer(&HealthCheckResult::complete(&many, None, at(10))), Answer::Refused(Rule::Content));
    assert!(EvaluationWindow::new(at(1), at(1)).is_err());
}

#[test]
fn a_service_that_is_found_worse_than_before_has_degraded_and_no_other_has() {
    let previous = [None, Some(Healthy), Some(Degraded), Some(Unhealthy)];
    for previous in previous {
        for status in HealthStatus::ALL {
            let decision = HealthCheckResult::complete(&check(&[status], 0), previous, at(10)).unwrap();
            let names: Vec<_> = decision.events.iter().map(DomainEvent::name).collect();
            assert!(decision.events.iter().all(|event| event.published() == Some(1)));
            let has_degraded = previous.is_some_and(|previous| previous < status);
            let expected: &[&str] = if has_degraded {
                &["HealthCheckCompleted", "HealthDegraded"]
            } else {
                &["HealthCheckCompleted"]
            };
            assert_eq!(names, expected, "{previous:?} to {status}");
        }
    }
}

#[test]
fn an_optional_dependency_degrades_a_service_and_no_more() {
    let optional = CheckEntry::optional(name("mail"), Unhealthy, LatencyMs(3));
    assert_eq!((optional.status(), optional.kind()), (Degraded, ProbeKind::Dependency));
    let mut check = check(&[Healthy], 0);
    check.entries.push(optional);
    let told: Told<HealthCheckResult> =
        Told::begin(HealthCheckResult::complete(&check, None, at(10)), at(10));
    assert_eq!(told.now().health_status(), Degraded);
}

#[test]
fn a_result_holds_its_window_for_ever_and_wakes_nobody() {
    let result = result(Healthy, 5);
    assert_eq!(result.claims(), BTreeSet::from([Claim::health_window(id(6), at(5))]));
    assert_eq!(result.wake_at(), None);
}

#[test]
fn a_record_that_was_edited_by_hand_is_refused() {
    let result = told(&[Healthy, Unhealthy], 0).now().clone();
    assert_schema_is_kept(&result);
    assert_refused(&result, "HLT-2", |record| record["status"] = json!("Healthy"));
    assert_refused(&result, "HLT-2", |record| record["entries"][1]["status"] = json!("Healthy"));
    assert_refused(&result, "HLT-2", |record| record["entries"] = json!([]));
    assert_refused(&result, "CONTENT", |record| record["entries"][1]["probe"] = json!("p0"));
    assert_refused(&result, "HLT-3", |record| record["evaluated_at"] = json!(at(1)));
    assert_refused(&result, "SCHEMA", |record| record["evaluation_window"]["end"] = json!(at(0)));
    assert_refused(&result, "SCHEMA", |record| record["entries"][1]["requirement"] = json!("optional"));
    assert_refused(&result, "SCHEMA", |record| record["entries"][1]["secret"] = json!("x"));
    let long = "x".repeat(CheckEntry::LONGEST_VALUE + 1);
    assert_refused(&result, "SCHEMA", |record| record["entries"][0]["data"] = json!({ "body": long }));
}

#[test]
fn data_beyond_what_is_kept_is_refused() {
    let data = |count: usize| (0..count).map(|index| (format!("k{index}"), "v".to_string())).collect();
    assert!(entry("p", Healthy).with_data(data(CheckEntry::MOST_DATA)).is_ok());
    assert!(entry("p", Healthy).with_data(data(CheckEntry::MOST_DATA + 1)).is_err());
    assert!(entry("p", Healthy).with_data(BTreeMap::from([(String::new(), String::new())])).is_err());
}

#[test]
fn without_a_fresh_result_a_service_is_unknown_and_never_healthy() {
    let freshness = Span::from_secs(30);
    let never = ServiceHealth::of(id(6), &[], freshness, at(0));
    assert_eq!(never, ServiceHealth::Unknown { service: id(6), cause: UnknownHealth::NeverEvaluated });
    let results = [result(Healthy, 0)];
    assert_eq!(ServiceHealth::of(id(6), &results, freshness, at(40)).status(), Some(Healthy));
    let stale = ServiceHealth::of(id(6), &results, freshness, at(41));
    let cause = UnknownHealth::Stale { last: Healthy, window_end: at(10) };
    assert_eq!(stale, ServiceHealth::Unknown { service: id(6), cause });
    assert_eq!(ServiceHealth::of(id(60), &results, freshness, at(40)).status(), None);
}

#[test]
fn a_known_health_tells_since_when_it_is_so_without_a_break() {
    let since =
        |results: &[HealthCheckResult]| match ServiceHealth::of(id(6), results, Span::from_secs(15), at(100))
        {
            ServiceHealth::Known { since, .. } => since,
            unknown => panic!("{unknown:?}"),
        };
    let steady = [result(Degraded, 90), result(Degraded, 80), result(Degraded, 70), result(Healthy, 60)];
    assert_eq!(since(&steady), at(70));
    let changed = [result(Degraded, 90), result(Healthy, 80), result(Degraded, 70)];
    assert_eq!(since(&changed), at(90));
    let gap = [result(Degraded, 90), result(Degraded, 80), result(Degraded, 40)];
    assert_eq!(since(&gap), at(80));
}

proptest! {
    #[test]
    fn a_result_is_as_bad_as_its_worst_entry(
        statuses in proptest::collection::vec(proptest::sample::select(&HealthStatus::ALL[..]), 1..20),
        previous in proptest::option::of(proptest::sample::select(&HealthStatus::ALL[..])),
    ) {
        let decided = HealthCheckResult::complete(&check(&statuses, 0), previous, at(10));
        let told: Told<HealthCheckResult> = Told::begin(decided, at(10));
        prop_assert!(statuses.iter().all(|status| *status <= told.now().health_status()));
        prop_assert!(statuses.contains(&told.now().health_status()));
        told.check_replay_and_record();
    }
}
