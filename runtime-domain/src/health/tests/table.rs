//! One fact each.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use serde_json::json;

use super::fixture::*;
use crate::aggregate::{Aggregate, DomainEvent};
use crate::claim::Claim;
use crate::health::HealthStatus::{Degraded, Healthy, Unhealthy};
use crate::health::*;
use crate::refusal::{Refusal, Rule};
use crate::time::Span;
use crate::value::Name;

const FRESHNESS: Span = Span::from_secs(60);

#[test]
fn only_an_optional_dependency_counts_for_less_than_it_is() {
    for (kind, required, found, counted) in [
        (ProbeKind::Dependency, false, Unhealthy, Degraded),
        (ProbeKind::Dependency, false, Degraded, Degraded),
        (ProbeKind::Dependency, false, Healthy, Healthy),
        (ProbeKind::Dependency, true, Unhealthy, Unhealthy),
        (ProbeKind::Itself, false, Unhealthy, Unhealthy),
        (ProbeKind::Liveness, false, Unhealthy, Unhealthy),
        (ProbeKind::Readiness, false, Unhealthy, Unhealthy),
    ] {
        let entries = vec![entry("database", kind, required, found), ready("http", Healthy)];
        assert_eq!(result(entries).status(), counted, "{kind:?} {required} {found}");
    }
}

#[test]
fn degrading_is_told_only_where_it_is_worse_than_before() {
    for (previous, now, told) in [
        (None, Unhealthy, false),
        (Some(Healthy), Healthy, false),
        (Some(Healthy), Degraded, true),
        (Some(Degraded), Unhealthy, true),
        (Some(Degraded), Degraded, false),
        (Some(Unhealthy), Degraded, false),
    ] {
        let decision =
            HealthCheckResult::record(command(vec![ready("http", now)], previous), at(10)).unwrap();
        let names: Vec<_> = decision.events.iter().map(|event| (event.name(), event.published())).collect();
        let expected = [("HealthCheckCompleted", Some(1)), ("HealthDegraded", Some(1))];
        assert_eq!(names, expected[..1 + usize::from(told)], "{previous:?} {now}");
    }
}

#[test]
fn entries_that_cannot_be_judged_are_refused() {
    let many = (0..101).map(|number| ready(&format!("p{number}"), Healthy)).collect();
    let mut large = ready("http", Healthy);
    large.data = BTreeMap::from([("body".to_string(), "x".repeat(CheckEntry::MOST_DATA))]);
    let http = Name::new("http").unwrap();
    for (entries, fault) in [
        (vec![], EntryFault::None),
        (many, EntryFault::TooMany { count: 101 }),
        (vec![ready("http", Healthy), ready("http", Unhealthy)], EntryFault::Twice { probe: http.clone() }),
        (vec![large], EntryFault::TooMuchData { probe: http, size: CheckEntry::MOST_DATA + 4 }),
    ] {
        let refusal = HealthCheckResult::record(command(entries, None), at(10)).unwrap_err();
        assert_eq!(refusal, HealthRefusal::Entries(fault));
        assert_eq!(refusal.rule(), Rule::Content);
        assert!(!refusal.remedy().is_empty());
    }
}

#[test]
fn as_many_entries_and_as_much_data_as_are_kept_are_accepted() {
    let mut entries: Vec<CheckEntry> = (0..100).map(|number| ready(&format!("p{number}"), Healthy)).collect();
    entries[0].data = BTreeMap::from([("body".to_string(), "x".repeat(CheckEntry::MOST_DATA - 4))]);
    assert_eq!(result(entries).entries().len(), 100);
}

#[test]
fn a_window_is_never_empty() {
    for (start, end) in [(at(10), at(10)), (at(10), at(9))] {
        assert!(EvaluationWindow::new(start, end).is_err());
        let written = json!({ "start": start, "end": end });
        assert!(serde_json::from_value::<EvaluationWindow>(written).is_err());
    }
    let within_a_millisecond = at(10) + chrono::TimeDelta::microseconds(1);
    assert!(EvaluationWindow::new(at(10), within_a_millisecond).is_err());
}

#[test]
fn a_window_that_has_not_ended_is_refused() {
    let refusal = HealthCheckResult::record(command(vec![ready("http", Healthy)], None), at(9)).unwrap_err();
    assert_eq!(refusal.rule(), Rule::Hlt3);
}

/// Shows HLT-1.
#[test]
fn a_result_is_never_completed_again() {
    let decision = HealthCheckResult::record(command(vec![ready("http", Healthy)], None), at(10)).unwrap();
    let existing = result(vec![ready("http", Unhealthy)]);
    assert!(HealthCheckResult::evolve(Some(existing), &decision.events[0], at(11)).is_err());
}

#[test]
fn events_that_do_not_agree_with_the_entries_do_not_apply() {
    let decision = HealthCheckResult::record(command(vec![ready("http", Unhealthy)], None), at(10)).unwrap();
    let HealthEvent::HealthCheckCompleted(mut forged) = decision.events[0].clone() else { panic!() };
    forged.status = Healthy;
    assert!(HealthCheckResult::evolve(None, &HealthEvent::HealthCheckCompleted(forged), at(10)).is_err());
    let unhealthy = result(vec![ready("http", Unhealthy)]);
    for (from, to) in [(Healthy, Degraded), (Unhealthy, Unhealthy)] {
        let degraded = HealthEvent::HealthDegraded { service_id: service(), from, to };
        assert!(HealthCheckResult::evolve(Some(unhealthy.clone()), &degraded, at(10)).is_err());
        assert!(HealthCheckResult::evolve(None, &degraded, at(10)).is_err());
    }
}

/// Shows HLT-3.
#[test]
fn a_result_holds_its_window_for_ever_and_waits_for_nothing() {
    let result = result(vec![ready("http", Healthy)]);
    assert_eq!(result.claims(), BTreeSet::from([Claim::health_window(service(), at(0))]));
    assert_eq!(result.wake_at(), None);
}

#[test]
fn hostile_records_are_refused_by_the_rule_they_break() {
    let good = serde_json::to_value(result(vec![ready("http", Unhealthy)]).to_record()).unwrap();
    let load = |field: &str, value: serde_json::Value| {
        let mut record = good.clone();
        record[field] = value;
        HealthCheckResult::from_record(1, serde_json::from_value(record).unwrap())
    };
    assert!(load("status", json!("Unhealthy")).is_ok());
    assert_eq!(load("status", json!("Healthy")).unwrap_err().rule, "HLT-2");
    assert_eq!(load("entries", json!([])).unwrap_err().rule, "CONTENT");
    let backward = json!({ "start": at(10), "end": at(0) });
    assert_eq!(load("evaluation_window", backward).unwrap_err().rule, "HLT-3");
    assert_eq!(load("evaluated_at", json!(at(9))).unwrap_err().rule, "HLT-3");
    let newer = HealthCheckResult::from_record(2, serde_json::from_value(good.clone()).unwrap());
    assert_eq!(newer.unwrap_err().rule, "SCHEMA");
}

#[test]
fn a_service_that_was_never_evaluated_is_unknown() {
    assert_eq!(ServiceHealth::of(None, at(10), FRESHNESS).status(), None);
}

#[test]
fn a_result_tells_nothing_once_it_is_stale_or_where_it_is_from_the_future() {
    let healthy = result(vec![ready("http", Healthy)]);
    let status = |now| ServiceHealth::of(Some(&healthy), now, FRESHNESS).status();
    let stale = Span::from_millis(70_001).after(at(0));
    assert_eq!(status(at(10)), Some(Healthy));
    assert_eq!(status(at(70)), Some(Healthy));
    assert_eq!(status(stale), None);
    assert_eq!(status(at(0)), Some(Healthy), "clocks differ a little");
    let long_before = Span::from_secs(1_000).after(crate::time::Timestamp::UNIX_EPOCH);
    assert_eq!(status(long_before), None);
}

#[test]
fn a_service_tells_its_reasons_worst_first() {
    let entries = vec![
        ready("fine", Healthy),
        entry("mail", ProbeKind::Dependency, false, Unhealthy),
        entry("database", ProbeKind::Dependency, true, Unhealthy),
    ];
    let ServiceHealth::Known { reasons, .. } = ServiceHealth::of(Some(&result(entries)), at(10), FRESHNESS)
    else {
        panic!()
    };
    let expected = ["probe `database` is Unhealthy", "probe `mail` is Unhealthy, and is not required"];
    assert_eq!(reasons, expected);
}

#[test]
fn a_product_is_as_its_worst_service_and_unknown_is_worse_than_healthy() {
    let known = |status| ServiceHealth::of(Some(&result(vec![ready("http", status)])), at(10), FRESHNESS);
    let unknown = || ServiceHealth::of(None, at(10), FRESHNESS);
    for (services, expected) in [
        (vec![], ProductStatus::Unknown),
        (vec![known(Healthy)], ProductStatus::Healthy),
        (vec![known(Healthy), unknown()], ProductStatus::Unknown),
        (vec![unknown(), known(Degraded)], ProductStatus::Degraded),
        (vec![known(Unhealthy), unknown(), known(Healthy)], ProductStatus::Unhealthy),
    ] {
        let name = Name::new("cart").unwrap();
        let product = ProductHealth::of(services.iter().map(|service| (&name, service)));
        assert_eq!(product.status, expected, "{services:?}");
    }
}

#[test]
fn a_product_tells_every_service_that_is_not_healthy_worst_first() {
    let health = |latest: Option<&HealthCheckResult>| ServiceHealth::of(latest, at(10), FRESHNESS);
    let services = [
        ("aa", health(None)),
        ("bb", health(Some(&result(vec![ready("http", Healthy)])))),
        ("cc", { health(Some(&result(vec![ready("http", Unhealthy)]))) }),
    ]
    .map(|(name, service)| (Name::new(name).unwrap(), service));
    let product = ProductHealth::of(services.iter().map(|(name, service)| (name, service)));
    let reasons: Vec<_> = product
        .reasons
        .iter()
        .map(|reason| (reason.module.as_str(), reason.status, reason.because.join("; ")))
        .collect();
    assert_eq!(
        reasons,
        [
            ("cc", ProductStatus::Unhealthy, "probe `http` is Unhealthy".to_string()),
            ("aa", ProductStatus::Unknown, "it was never evaluated".to_string()),
        ]
    );
}
