//! What is drift, what is somebody's, and what is not known.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;

use serde_json::json;

use super::fixture::*;
use crate::component::{ConfigurationVersionRef, ImageReference, ReleaseTuple, SecretVersionRef};
use crate::drift::*;
use crate::refusal::{Refusal, Rule};
use crate::scaling::{PolicySpec, PolicyTerms, ReplicaBounds, ScalingMetric, ScalingRule};
use crate::surface::SurfaceKind;
use crate::testing::{at, id, name};
use crate::value::{Measure, Replicas};

fn configuration(number: u128) -> Option<ConfigurationVersionRef> {
    Some(ConfigurationVersionRef {
        configuration: id(number),
        checksum: serde_json::from_value(serde_json::json!(["sha256:", &"c".repeat(64)].concat())).unwrap(),
    })
}

fn secret(version: &str) -> BTreeSet<SecretVersionRef> {
    BTreeSet::from([SecretVersionRef { binding: id(6), version: version.parse().unwrap() }])
}

fn kinds(comparison: &Comparison) -> Vec<DriftKind> {
    comparison.detected.iter().map(DetectedDrift::kind).collect()
}

fn with_owners(actual: ActualComponent, owners: &[Owner]) -> Comparison {
    let owners = owners.iter().fold(Ownership::nobody(), |all, owner| all.with(name("cart"), owner.clone()));
    compared(desired_state(), &actual_state(Some(actual), 0), &owners, 0)
}

/// Buried: argo-cd#18038, argo-cd#21434.
#[test]
fn argo_cd_18038_and_21434_every_part_that_differs_is_found_and_says_where() {
    let same = actual_component(0);
    let parts = [
        (ActualComponent { image: digest(2), ..same.clone() }, DriftKind::ImageVersionMismatch, "/image"),
        (ActualComponent { replicas: 0, ..same.clone() }, DriftKind::ReplicaMismatch, "/replicas"),
        (
            ActualComponent { surface: SurfaceKind::Kubernetes, ..same.clone() },
            DriftKind::ConfigDrift,
            "/surface",
        ),
        (
            ActualComponent { configuration: configuration(5), ..same.clone() },
            DriftKind::ConfigDrift,
            "/configuration",
        ),
        (ActualComponent { secrets: secret("2"), ..same.clone() }, DriftKind::ConfigDrift, "/bindings/"),
    ];
    for (actual, kind, path) in parts {
        let seen = with_owners(actual, &[]);
        assert_eq!(kinds(&seen), [kind]);
        let shown = seen.detected[0].diff().entries();
        assert!(shown.len() == 1 && shown[0].path.starts_with(path), "{shown:?}");
        assert_eq!(seen.detected[0].severity(), kind.severity());
        for other in DriftKind::ALL {
            assert_eq!(seen.in_sync(&cart(), other).is_some(), other != kind, "{kind} {other}");
        }
    }
    assert!(kinds(&with_owners(same, &[])).is_empty());
}

#[test]
fn what_is_missing_or_unmanaged_is_found_and_an_empty_desired_state_prunes_nothing() {
    let missing = compared(desired_state(), &actual_state(None, 0), &Ownership::nobody(), 0);
    assert_eq!(kinds(&missing), [DriftKind::MissingResource]);
    let in_sync = |comparison: &Comparison| {
        DriftKind::ALL
            .into_iter()
            .filter(|kind| comparison.in_sync(&cart(), *kind).is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(in_sync(&missing), [DriftKind::UnmanagedResource]);
    let other = || DesiredState {
        resources: [(name("queue"), json!({"size": 1}))].into(),
        ..DesiredState::default()
    };
    let there = actual_state(Some(actual_component(0)), 0);
    let unmanaged = compared(other(), &there, &Ownership::nobody(), 0);
    assert_eq!(kinds(&unmanaged), [DriftKind::UnmanagedResource, DriftKind::MissingResource]);
    assert_eq!(in_sync(&unmanaged), [DriftKind::MissingResource]);
    let neither = compared(other(), &actual_state(None, 0), &Ownership::nobody(), 0);
    assert_eq!(in_sync(&neither), DriftKind::ALL);
    let refused = |desired, actual: &ActualState| {
        let policy = ComparisonPolicy::default();
        let refusal = compare_states(&authoritative(desired), actual, &Ownership::nobody(), &policy, at(0));
        refusal.unwrap_err()
    };
    let nothing = refused(DesiredState::default(), &there);
    assert_eq!((nothing.rule(), nothing.remedy().is_empty()), (Rule::Drf3, false));
}

/// Shows X-1.
#[test]
fn another_environments_observation_is_not_compared_nor_is_too_much() {
    let policy = ComparisonPolicy::default();
    let answer = |desired: DesiredState, actual: &ActualState| {
        compare_states(&authoritative(desired), actual, &Ownership::nobody(), &policy, at(0))
            .map(|_| ())
            .map_err(|refusal| refusal.rule())
    };
    let own = actual_state(None, 0);
    assert_eq!(answer(desired_state(), &ActualState { tenant: id(8), ..own.clone() }), Err(Rule::X1));
    assert_eq!(answer(desired_state(), &ActualState { environment: id(8), ..own.clone() }), Err(Rule::X1));
    let many = |count: usize| DesiredState {
        resources: (0..count).map(|n| (name(&alloc::format!("r{n}")), json!(1))).collect(),
        ..DesiredState::default()
    };
    assert_eq!(answer(many(MOST_SUBJECTS), &own), Ok(()));
    assert_eq!(answer(many(MOST_SUBJECTS + 1), &own), Err(Rule::Content));
}

#[test]
fn what_was_observed_too_long_ago_is_neither_drift_nor_in_sync() {
    for (seconds, now, is_known) in [(0, 300, true), (0, 301, false), (300, 0, true), (301, 0, false)] {
        let actual = ActualComponent { image: digest(2), ..actual_component(seconds) };
        let stale =
            compared(desired_state(), &actual_state(Some(actual), seconds), &Ownership::nobody(), now);
        assert_eq!(stale.detected.len(), usize::from(is_known));
        assert_eq!(stale.in_sync(&cart(), DriftKind::ConfigDrift).is_some(), is_known);
        assert_eq!(stale.not_compared.len(), usize::from(!is_known));
        let missing = compared(desired_state(), &actual_state(None, seconds), &Ownership::nobody(), now);
        assert_eq!(missing.detected.len(), usize::from(is_known));
        let elsewhere = Subject::Resource(name("queue"));
        assert_eq!(missing.in_sync(&elsewhere, DriftKind::ConfigDrift).is_some(), is_known);
    }
}

/// Buried: flagger#1407.
#[test]
fn flagger_1407_replicas_within_an_active_policys_bounds_are_in_sync_and_beyond_them_drift() {
    let scaling = Owner::Scaling { policy: id(7), fewest: 2, most: Replicas::new(8).unwrap() };
    for (replicas, is_drift) in [(1, true), (2, false), (8, false), (9, true)] {
        let seen =
            with_owners(ActualComponent { replicas, ..actual_component(0) }, core::slice::from_ref(&scaling));
        assert_eq!(!seen.detected.is_empty(), is_drift, "{replicas}");
        assert_eq!(seen.in_sync(&cart(), DriftKind::ReplicaMismatch).is_none(), is_drift, "{replicas}");
        assert!(seen.suppressed.iter().all(|suppressed| suppressed.owner == scaling));
        assert_eq!(seen.suppressed.len(), usize::from(!is_drift));
    }
    let image = with_owners(ActualComponent { image: digest(2), ..actual_component(0) }, &[scaling]);
    assert_eq!(kinds(&image), [DriftKind::ImageVersionMismatch]);
}

#[test]
fn a_policy_that_says_otherwise_is_drift_where_it_is_desired_and_nobodys_where_it_is_left_open() {
    let policy = |most: u16| {
        let bounds = ReplicaBounds::new(SurfaceKind::Process, 1, Replicas::new(most).unwrap()).unwrap();
        let rule = ScalingRule::new(ScalingMetric::QueueLength, Measure::from_units(10));
        PolicySpec::new(PolicyTerms::new(bounds, [rule])).unwrap()
    };
    let seen = |wanted: Option<u16>, found: Option<u16>| {
        let wanted = DesiredComponent { scaling: wanted.map(policy), ..desired_component() };
        let mut desired = desired_state();
        desired.components = BTreeMap::from([(name("cart"), wanted)]);
        let actual = ActualComponent { scaling: found.map(policy), ..actual_component(0) };
        let seen = compared(desired, &actual_state(Some(actual), 0), &Ownership::nobody(), 0);
        let paths = seen.detected.iter().flat_map(|drift| drift.diff().entries()).map(|e| e.path.clone());
        (kinds(&seen), paths.collect::<Vec<_>>())
    };
    let drift = |path: &str| (Vec::from([DriftKind::ConfigDrift]), Vec::from([path.to_string()]));
    assert_eq!(seen(Some(4), Some(5)), drift("/scaling/bounds/max_replicas"));
    assert_eq!(seen(Some(4), Some(4)), (Vec::new(), Vec::new()));
    assert_eq!(seen(Some(4), None).0, [DriftKind::ConfigDrift]);
    for found in [Some(5), None] {
        assert_eq!(seen(None, found), (Vec::new(), Vec::new()), "{found:?}");
    }
}

/// Buried: argo-cd#9570.
#[test]
fn argo_cd_9570_what_was_gone_back_to_on_purpose_is_no_drift_and_anything_else_is() {
    let stable = ReleaseTuple {
        image: ImageReference::new("shop/cart:0").unwrap().pinned(digest(4)),
        configuration: configuration(5),
        secrets: secret("1"),
        scaling_policy: None,
        scaling: None,
    };
    let rollback =
        |quarantined| Owner::Rollback { quarantined: digest(quarantined), stable: Box::new(stable.clone()) };
    let back = ActualComponent {
        image: digest(4),
        configuration: configuration(5),
        secrets: secret("1"),
        ..actual_component(0)
    };
    let seen = with_owners(back.clone(), &[rollback(1)]);
    assert!(seen.detected.is_empty() && seen.suppressed.len() == 2, "{seen:?}");
    assert!(seen.in_sync(&cart(), DriftKind::ImageVersionMismatch).is_some());
    let both = [DriftKind::ImageVersionMismatch, DriftKind::ConfigDrift];
    assert_eq!(kinds(&with_owners(back.clone(), &[rollback(9)])), both);
    let third = ActualComponent { image: digest(3), ..back.clone() };
    assert_eq!(kinds(&with_owners(third, &[rollback(1)])), both);
    let config = [DriftKind::ConfigDrift];
    for other in [
        ActualComponent { configuration: None, ..back.clone() },
        ActualComponent { secrets: secret("2"), ..back.clone() },
        ActualComponent { surface: SurfaceKind::Functions, ..back.clone() },
    ] {
        assert_eq!(kinds(&with_owners(other, &[rollback(1)])), config);
    }
    let fewer = ActualComponent { replicas: 1, ..back };
    assert_eq!(kinds(&with_owners(fewer, &[rollback(1)])), [DriftKind::ReplicaMismatch]);
}

#[test]
fn while_a_rollout_is_in_flight_nothing_of_its_component_is_known_to_drift() {
    let rollout = Owner::Rollout { deployment: id(9) };
    let moved =
        ActualComponent { image: digest(2), replicas: 1, secrets: secret("1"), ..actual_component(0) };
    let seen = with_owners(moved, core::slice::from_ref(&rollout));
    assert!(seen.detected.is_empty() && seen.suppressed.len() == 3);
    assert!(seen.in_sync(&cart(), DriftKind::ImageVersionMismatch).is_none());
    let owners = Ownership::nobody().with(name("cart"), rollout);
    let missing = compared(desired_state(), &actual_state(None, 0), &owners, 0);
    assert!(missing.detected.is_empty() && missing.in_sync(&cart(), DriftKind::MissingResource).is_none());
    assert_eq!(missing.suppressed[0].owner.to_string(), alloc::format!("the rollout dep_{:032x}", 9));
}

#[test]
fn what_is_being_brought_to_the_workloads_is_left_out_and_the_rest_is_compared() {
    let mut desired = desired_state();
    let component =
        DesiredComponent { configuration: configuration(5), secrets: secret("2"), ..desired_component() };
    desired.components = BTreeMap::from([(name("cart"), component)]);
    let actual =
        ActualComponent { configuration: configuration(4), secrets: secret("1"), ..actual_component(0) };
    let paths = |owners: &[Owner]| {
        let owners = owners.iter().fold(Ownership::nobody(), |all, o| all.with(name("cart"), o.clone()));
        let seen = compared(desired.clone(), &actual_state(Some(actual.clone()), 0), &owners, 0);
        assert!(seen.in_sync(&cart(), DriftKind::ConfigDrift).is_none());
        let paths = seen.detected.iter().flat_map(|drift| drift.diff().entries()).map(|e| e.path.clone());
        (paths.collect::<Vec<_>>(), seen.suppressed.len())
    };
    let sync = |number| Owner::ConfigurationSync { configuration: id(number) };
    let rotation = |number| Owner::Rotation { binding: id(number) };
    let binding = alloc::format!("/bindings/{}/0", id::<crate::id::kind::SecretBinding>(6));
    let version = "/configuration/id".to_string();
    assert_eq!(paths(&[]), (Vec::from([binding.clone(), version.clone()]), 0));
    assert_eq!(paths(&[sync(5)]), (Vec::from([binding.clone()]), 1));
    assert_eq!(paths(&[sync(4), rotation(7)]), (Vec::from([binding, version.clone()]), 0));
    assert_eq!(paths(&[rotation(6)]), (Vec::from([version]), 1));
    assert_eq!(paths(&[sync(5), rotation(6)]), (Vec::new(), 2));
}

#[test]
fn a_resource_is_compared_by_the_policys_rules_and_its_severity_is_the_policys() {
    let desired = DesiredState {
        resources: [(name("queue"), json!({"size": "1Gi", "ttl": 1}))].into(),
        ..DesiredState::default()
    };
    let seen_as = |document, rules| {
        let mut actual = actual_state(None, 0);
        actual.resources.insert(name("queue"), ActualResource { observed_at: at(0), document });
        let policy = ComparisonPolicy {
            severities: [(DriftKind::ConfigDrift, Severity::Critical)].into(),
            rules,
            ..ComparisonPolicy::default()
        };
        compare_states(&authoritative(desired.clone()), &actual, &Ownership::nobody(), &policy, at(0))
            .unwrap()
    };
    let quantity = || {
        let path = Vec::from(["size".to_string()]);
        Vec::from([compare::PathRule { path, treatment: compare::Treatment::Quantity }])
    };
    let queue = Subject::Resource(name("queue"));
    let same = seen_as(json!({"size": "1024Mi", "ttl": 1}), quantity());
    assert!(same.detected.is_empty() && same.in_sync(&queue, DriftKind::ConfigDrift).is_some());
    let other = seen_as(json!({"size": "1024Mi", "ttl": 1}), Vec::new());
    assert_eq!(other.detected[0].severity(), Severity::Critical);
    assert_eq!((other.detected[0].subject(), queue.service(id(2))), (&queue, None));
    assert!(other.in_sync(&queue, DriftKind::ConfigDrift).is_none());
    assert!(other.in_sync(&queue, DriftKind::MissingResource).is_some());
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let unread = seen_as(deep, Vec::new());
    assert_eq!(unread.not_compared[0].why, WhyNotCompared::Document(compare::CompareError::TooDeep));
    assert!(unread.detected.is_empty() && unread.in_sync(&queue, DriftKind::ConfigDrift).is_none());
    assert_eq!(
        (queue.to_string(), cart().to_string()),
        ("resource queue".to_string(), "component cart".to_string())
    );
}
