//! What holds for all results.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::fixture::*;
use crate::aggregate::Aggregate;
use crate::health::*;
use crate::time::Span;
use crate::value::Name;

fn statuses() -> impl Strategy<Value = HealthStatus> {
    proptest::sample::select(&HealthStatus::ALL[..])
}

fn kinds() -> impl Strategy<Value = ProbeKind> {
    prop_oneof![
        Just(ProbeKind::Itself),
        Just(ProbeKind::Liveness),
        Just(ProbeKind::Readiness),
        Just(ProbeKind::Dependency),
    ]
}

fn entries() -> impl Strategy<Value = Vec<CheckEntry>> {
    let data = proptest::collection::btree_map("[a-z]{1,8}", "\\PC{0,20}", 0..4);
    let one = (kinds(), any::<bool>(), statuses(), any::<u32>(), data);
    proptest::collection::vec(one, 1..12).prop_map(|entries| {
        let numbered = entries.into_iter().enumerate();
        numbered
            .map(|(number, (kind, required, status, millis, data))| CheckEntry {
                duration: LatencyMs(millis),
                data,
                ..entry(&format!("p{number}"), kind, required, status)
            })
            .collect()
    })
}

fn services() -> impl Strategy<Value = Vec<(Name, ServiceHealth)>> {
    let one = (entries(), proptest::option::weighted(0.8, 0..120u64)).prop_map(|(entries, age)| {
        let result = result(entries);
        let now = at(10 + age.unwrap_or_default());
        ServiceHealth::of(age.map(|_| &result), now, Span::from_secs(60))
    });
    proptest::collection::vec(one, 0..6).prop_map(|services| {
        let numbered = services.into_iter().enumerate();
        numbered.map(|(number, service)| (Name::new(&format!("m{number}")).unwrap(), service)).collect()
    })
}

proptest! {
    /// Shows HLT-2.
    #[test]
    fn a_result_is_as_bad_as_its_worst_entry_and_no_worse(entries in entries()) {
        let status = result(entries.clone()).status();
        // Said without the order of statuses, so that a change of that is noticed.
        let is_needed = |entry: &CheckEntry| entry.required || entry.kind != ProbeKind::Dependency;
        let fails = entries.iter().any(|entry| is_needed(entry) && entry.status == HealthStatus::Unhealthy);
        let is_well = entries.iter().all(|entry| entry.status == HealthStatus::Healthy);
        prop_assert_eq!(status == HealthStatus::Unhealthy, fails);
        prop_assert_eq!(status == HealthStatus::Healthy, is_well);
    }

    #[test]
    fn replaying_the_history_gives_the_state(entries in entries(), previous in proptest::option::of(statuses())) {
        let decision = HealthCheckResult::record(command(entries.clone(), previous), at(10)).unwrap();
        let text = serde_json::to_string(&decision.events).unwrap();
        let events: Vec<HealthEvent> = serde_json::from_str(&text).unwrap();
        let replayed = HealthCheckResult::evolve_all(None, events.iter().map(|event| (event, at(99))));
        prop_assert_eq!(replayed, Ok(Some(result(entries))));
    }

    #[test]
    fn a_result_survives_its_record(entries in entries()) {
        let result = result(entries);
        let text = serde_json::to_string(&result.to_record()).unwrap();
        let loaded = HealthCheckResult::from_record(1, serde_json::from_str(&text).unwrap());
        prop_assert_eq!(loaded, Ok(result));
    }

    /// Shows HLT-2.
    #[test]
    fn a_record_with_another_status_is_refused(entries in entries(), claimed in statuses()) {
        let result = result(entries);
        let mut record = serde_json::to_value(result.to_record()).unwrap();
        record["status"] = serde_json::to_value(claimed).unwrap();
        let loaded = HealthCheckResult::from_record(1, serde_json::from_value(record).unwrap());
        prop_assert_eq!(loaded.map_err(|error| error.rule), if claimed == result.status() { Ok(result) } else { Err("HLT-2") });
    }

    #[test]
    fn a_stale_result_is_never_believed(entries in entries(), age in 0..10_000u64, freshness in 0..5_000u64) {
        let result = result(entries);
        let health = ServiceHealth::of(Some(&result), at(10 + age), Span::from_secs(freshness));
        prop_assert_eq!(health.status(), (age <= freshness).then_some(result.status()));
    }

    #[test]
    fn a_product_is_healthy_only_where_every_service_is_known_to_be(services in services()) {
        let product = ProductHealth::of(services.iter().map(|(name, service)| (name, service)));
        let healthy = |service: &ServiceHealth| service.status() == Some(HealthStatus::Healthy);
        let all_healthy = !services.is_empty() && services.iter().all(|(_, service)| healthy(service));
        prop_assert_eq!(product.status == ProductStatus::Healthy, all_healthy);
        let ill: Vec<String> = services.iter().filter(|(_, service)| !healthy(service)).map(|(name, _)| name.clone().into()).collect();
        let mut told: Vec<String> = product.reasons.iter().map(|reason| reason.module.clone().into()).collect();
        told.sort();
        prop_assert_eq!(told, ill);
        prop_assert!(product.reasons.iter().all(|reason| !reason.because.is_empty()));
        if let Some(first) = product.reasons.first() {
            prop_assert_eq!(first.status, product.status);
        }
    }
}
