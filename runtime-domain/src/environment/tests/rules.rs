//! The invariants, the evidence, the claims and the stored form.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::aggregate::{Aggregate, DomainEvent};
use crate::claim::Claim;
use crate::environment::decide::is_destination;
use crate::refusal::{Refusal, Rule};
use crate::tenancy::tests::bound_tenant;
use crate::testing::{assert_refused, assert_schema_is_kept};
use crate::value::Revision;

const REVISION: Revision = Revision(7);

/// Shows ENV-1.
#[test]
fn only_a_provisioned_environment_admits_a_deployment() {
    for status in ProvisioningStatus::ALL {
        let told = in_state(EnvironmentStage::Dev, status);
        match told.now().admit(REVISION, None) {
            Ok(admission) => {
                assert_eq!(status, ProvisioningStatus::Provisioned);
                assert_eq!(admission.tenant(), told.now().tenant_id());
                assert_eq!(admission.environment(), told.now().id());
                assert_eq!(admission.stage(), EnvironmentStage::Dev);
                assert_eq!(admission.environment_revision(), REVISION);
                assert_eq!(admission.surfaces(), told.now().surfaces());
                assert_eq!(admission.binding(), None);
            }
            Err(refusal) => {
                assert_ne!(status, ProvisioningStatus::Provisioned);
                assert_eq!(refusal.rule(), Rule::Env1);
                assert!(!refusal.remedy().is_empty());
            }
        }
    }
}

/// Shows ENV-3.
#[test]
fn prod_admits_nobody_without_a_tenant_binding() {
    let told = in_state(EnvironmentStage::Prod, ProvisioningStatus::Provisioned);
    assert_eq!(told.now().admit(REVISION, None).unwrap_err().rule(), Rule::Env3);
    let bound = bound_tenant(2, 1, Revision(4));
    let admission = told.now().admit(REVISION, Some(&bound)).unwrap();
    assert_eq!(admission.binding(), Some((bound.binding(), Revision(4))));
}

#[test]
fn a_stage_before_prod_uses_a_binding_that_is_given() {
    let told = in_state(EnvironmentStage::Staging, ProvisioningStatus::Provisioned);
    let bound = bound_tenant(2, 1, Revision(4));
    assert!(told.now().admit(REVISION, Some(&bound)).unwrap().binding().is_some());
}

/// Shows X-1.
#[test]
fn a_binding_of_another_tenant_or_environment_admits_nobody() {
    for stage in [EnvironmentStage::Dev, EnvironmentStage::Prod] {
        let told = in_state(stage, ProvisioningStatus::Provisioned);
        for (tenant, environment) in [(8, 1), (2, 8), (8, 8)] {
            let foreign = bound_tenant(tenant, environment, Revision(4));
            assert_eq!(told.now().admit(REVISION, Some(&foreign)).unwrap_err().rule(), Rule::X1);
        }
    }
}

#[test]
fn tenants_are_bound_until_the_environment_is_taken_down() {
    for status in ProvisioningStatus::ALL {
        let told = in_state(EnvironmentStage::Dev, status);
        let is_leaving =
            matches!(status, ProvisioningStatus::Decommissioning | ProvisioningStatus::Decommissioned);
        assert_eq!(told.now().host(REVISION).is_err(), is_leaving, "{status}");
    }
}

#[test]
fn a_new_surface_is_admitted_only_once_it_is_there() {
    let mut told = in_state(EnvironmentStage::Dev, ProvisioningStatus::Provisioned);
    let surfaces = BTreeSet::from([SurfaceKind::Process, SurfaceKind::Kubernetes]);
    let change = EnvironmentChange { surfaces: Some(surfaces.clone()), ..EnvironmentChange::default() };
    told.command(&EnvironmentCommand::ChangeEnvironment(change), 10).unwrap();
    let before = BTreeSet::from([SurfaceKind::Process]);
    assert_eq!(told.now().admit(REVISION, None).unwrap().surfaces(), &before);
    assert_eq!(told.now().wake_at(), Some(at(10)));

    let resources = made(&told.now().blueprint());
    told.command(&EnvironmentCommand::RecordProvisioned { resources }, 11).unwrap();
    assert_eq!(told.now().admit(REVISION, None).unwrap().surfaces(), &surfaces);
    assert_eq!(told.now().wake_at(), None);
    told.check_replay_and_record();
}

#[test]
fn a_change_that_cannot_be_applied_waits_and_can_be_tried_again() {
    let mut told = in_state(EnvironmentStage::Dev, ProvisioningStatus::Provisioned);
    let change =
        EnvironmentChange { egress_allow_list: Some(BTreeSet::new()), ..EnvironmentChange::default() };
    told.command(&EnvironmentCommand::ChangeEnvironment(change), 10).unwrap();
    told.command(&fail(), 11).unwrap();
    assert_eq!(told.now().provisioning_status(), ProvisioningStatus::Provisioned);
    assert_eq!(told.now().wake_at(), Some(at(500)));
    told.command(&EnvironmentCommand::RetryProvisioning, 12).unwrap();
    assert_eq!(told.now().wake_at(), Some(at(12)));
    told.check_replay_and_record();
}

#[test]
fn what_the_engine_made_is_believed_only_if_it_is_the_blueprint() {
    let told = in_state(EnvironmentStage::Dev, ProvisioningStatus::Provisioning);
    let good = made(&told.now().blueprint());
    let mut missing = good.clone();
    missing.compute_targets.clear();
    let mut stray = good.clone();
    stray.compute_targets.push(ComputeTarget { surface: SurfaceKind::Functions, resource_ids: Vec::new() });
    let mut twice = good.clone();
    twice.compute_targets.extend(good.compute_targets.clone());
    let mut wider = good.clone();
    wider.network_boundary.egress_allow_list.insert("evil.example.com".to_string());
    let unnamed = ProvisionedResources { stack_ref: " ".to_string(), ..good };
    for resources in [missing, stray, twice, wider, unnamed] {
        let command = EnvironmentCommand::RecordProvisioned { resources };
        assert_eq!(told.now().decide(&command, at(9)).unwrap_err().rule(), Rule::Content, "{command:?}");
    }
}

#[test]
fn a_failure_is_tried_again_as_often_as_it_takes_and_counted() {
    let mut told = in_state(EnvironmentStage::Dev, ProvisioningStatus::ProvisioningFailed);
    assert_eq!(told.now().wake_at(), Some(at(500)));
    told.command(&EnvironmentCommand::RetryProvisioning, 600).unwrap();
    let region = EnvironmentChange { region: Some(name("northeurope")), ..EnvironmentChange::default() };
    let moved = told.now().decide(&EnvironmentCommand::ChangeEnvironment(region), at(601));
    assert_eq!(moved.unwrap_err().rule(), Rule::Env2);
    told.command(&EnvironmentCommand::RecordProvisioningStarted, 602).unwrap();
    let EnvironmentState::Provisioning(state) = told.now().state() else { panic!("{:?}", told.now()) };
    assert_eq!(state.attempts, 2);
    told.check_replay_and_record();
}

#[test]
fn an_environment_that_asks_for_nothing_or_nonsense_is_refused() {
    let good = provision(EnvironmentStage::Dev);
    let empty = ProvisionRuntimeEnvironment { surfaces: BTreeSet::new(), ..good.clone() };
    assert_eq!(RuntimeEnvironment::provision(&empty, at(0)).unwrap_err().rule(), Rule::Content);
    let bad = ProvisionRuntimeEnvironment { egress_allow_list: egress(&["http://x/"]), ..good };
    assert_eq!(RuntimeEnvironment::provision(&bad, at(0)).unwrap_err().rule(), Rule::Content);
    let told = asked_for(EnvironmentStage::Dev);
    let blank = EnvironmentCommand::DecommissionRuntimeEnvironment { reason: " ".to_string() };
    assert_eq!(told.now().decide(&blank, at(1)).unwrap_err().rule(), Rule::Content);
}

/// Shows X-3.
#[test]
fn the_name_is_held_until_the_environment_is_gone() {
    for status in ProvisioningStatus::ALL {
        let told = in_state(EnvironmentStage::Dev, status);
        let held = BTreeSet::from([Claim::environment_name(id(3), &name("shop"))]);
        let expected = if status.is_final() { BTreeSet::new() } else { held };
        assert_eq!(told.now().claims(), expected, "{status}");
    }
}

#[test]
fn a_reconciler_is_woken_exactly_where_it_has_something_to_do() {
    for status in ProvisioningStatus::ALL {
        let told = in_state(EnvironmentStage::Dev, status);
        let is_idle = matches!(status, ProvisioningStatus::Provisioned | ProvisioningStatus::Decommissioned);
        assert_eq!(told.now().wake_at().is_none(), is_idle, "{status}");
    }
}

#[test]
fn the_two_events_of_the_specification_are_published_and_no_other() {
    let mut told = in_state(EnvironmentStage::Dev, ProvisioningStatus::Provisioned);
    told.command(&decommission(), 2).unwrap();
    told.command(&EnvironmentCommand::RecordDecommissioned, 3).unwrap();
    let published: Vec<_> = told
        .history
        .iter()
        .filter_map(|(event, _)| event.published().map(|version| (event.name(), version)))
        .collect();
    assert_eq!(published, [("RuntimeEnvironmentProvisioned", 1), ("RuntimeEnvironmentDecommissioned", 1)]);
    assert_eq!(told.now().decommissioned_at(), Some(at(3)));
}

#[test]
fn a_record_that_was_edited_by_hand_is_refused() {
    let provisioned = in_state(EnvironmentStage::Dev, ProvisioningStatus::Provisioned).now().clone();
    assert_schema_is_kept(&provisioned);
    assert_refused(&provisioned, "CONTENT", |record| record["surfaces"] = serde_json::json!([]));
    assert_refused(&provisioned, "CONTENT", |record| {
        record["egress_allow_list"] = serde_json::json!(["a b"])
    });
    assert_refused(&provisioned, "ENV-1", |record| record["surfaces"] = serde_json::json!(["kubernetes"]));
    assert_refused(&provisioned, "ENV-1", |record| {
        record["state"]["Provisioned"]["resources"]["compute_targets"] = serde_json::json!([]);
    });
    assert_refused(&provisioned, "SCHEMA", |record| record["stage"] = serde_json::json!("production"));
    assert_refused(&provisioned, "SCHEMA", |record| {
        record["state"]["Provisioned"]["extra"] = serde_json::json!(1)
    });

    let leaving = in_state(EnvironmentStage::Dev, ProvisioningStatus::Decommissioning).now().clone();
    assert_refused(&leaving, "LIFECYCLE", |record| record["is_protected"] = serde_json::json!(true));
    assert_refused(&leaving, "CONTENT", |record| {
        record["state"]["Decommissioning"]["reason"] = serde_json::json!("");
    });
    let begun = in_state(EnvironmentStage::Dev, ProvisioningStatus::Provisioning).now().clone();
    assert_refused(&begun, "LIFECYCLE", |record| {
        record["state"]["Provisioning"]["attempts"] = serde_json::json!(0);
    });
}

/// A Provisioned environment with a change that waits to be applied.
fn with_a_change_that_waits() -> Told<RuntimeEnvironment> {
    let mut told = in_state(EnvironmentStage::Dev, ProvisioningStatus::Provisioned);
    let surfaces = Some(BTreeSet::from([SurfaceKind::Process, SurfaceKind::Kubernetes]));
    let change = EnvironmentChange { surfaces, ..EnvironmentChange::default() };
    told.command(&EnvironmentCommand::ChangeEnvironment(change), 10).unwrap();
    told
}

#[test]
fn a_record_whose_change_waits_is_not_believed_about_surfaces_that_nobody_asked_for() {
    let told = with_a_change_that_waits();
    let stray = serde_json::json!({ "surface": "functions", "resource_ids": [] });
    let twice = serde_json::json!({ "surface": "process", "resource_ids": [] });
    for target in [stray, twice] {
        assert_refused(told.now(), "ENV-1", |record| {
            let targets = &mut record["state"]["Provisioned"]["resources"]["compute_targets"];
            targets.as_array_mut().unwrap().push(target);
        });
    }
    assert_refused(told.now(), "ENV-1", |record| {
        record["state"]["Provisioned"]["resources"]["compute_targets"] = serde_json::json!([]);
    });
    assert_refused(told.now(), "ENV-1", |record| {
        record["state"]["Provisioned"]["resources"]["stack_ref"] = serde_json::json!(" ");
    });
    assert_refused(told.now(), "ENV-1", |record| {
        let boundary = &mut record["state"]["Provisioned"]["resources"]["network_boundary"];
        boundary["egress_allow_list"] = serde_json::json!(["no good"]);
    });
}

#[test]
fn a_record_whose_change_would_wait_for_ever_without_a_reason_is_refused() {
    assert_refused(with_a_change_that_waits().now(), "LIFECYCLE", |record| {
        record["state"]["Provisioned"]["pending"]["retry_at"] = serde_json::Value::Null;
    });
}

#[test]
fn a_record_is_not_believed_about_what_is_taken_down_that_was_never_asked_for() {
    let mut told = with_a_change_that_waits();
    told.command(&decommission(), 11).unwrap();
    told.check_replay_and_record();
    assert_refused(told.now(), "LIFECYCLE", |record| {
        let targets = &mut record["state"]["Decommissioning"]["resources"]["compute_targets"];
        let stray = serde_json::json!({ "surface": "functions", "resource_ids": ["of-another"] });
        targets.as_array_mut().unwrap().push(stray);
    });
}

/// Shows ENV-2.
#[test]
fn no_event_moves_an_environment_once_provisioning_was_tried() {
    let mut retried = in_state(EnvironmentStage::Dev, ProvisioningStatus::ProvisioningFailed);
    retried.command(&EnvironmentCommand::RetryProvisioning, 600).unwrap();
    let fixed = [
        EnvironmentChange { stage: Some(EnvironmentStage::Prod), ..EnvironmentChange::default() },
        EnvironmentChange { region: Some(name("northeurope")), ..EnvironmentChange::default() },
        EnvironmentChange { name: Some(name("store")), ..EnvironmentChange::default() },
    ];
    for change in fixed {
        let event = EnvironmentEvent::EnvironmentChanged { change };
        let fresh = asked_for(EnvironmentStage::Dev);
        assert!(RuntimeEnvironment::evolve(fresh.state, &event, at(601)).is_ok(), "{event:?}");
        let tried =
            ProvisioningStatus::ALL.into_iter().filter(|status| *status != ProvisioningStatus::Requested);
        let tried = tried.map(|status| in_state(EnvironmentStage::Dev, status));
        for told in tried.chain([retried.clone()]) {
            assert!(
                RuntimeEnvironment::evolve(told.state.clone(), &event, at(601)).is_err(),
                "{event:?}: {told:?}"
            );
        }
    }
}

#[test]
fn destinations_are_hosts_with_or_without_a_port() {
    for text in ["localhost", "api.example.com:443", "10.0.0.1", "10.0.0.1:80", "[::1]:8080", "[fe80::1]"] {
        assert!(is_destination(text), "{text}");
    }
    for text in [
        "", ":80", "a b", "http://x", "x:0", "x:65536", "x:+1", "-x.com", "x..y", "*.x", "::1", "[::1",
        "[x]", "x/y",
    ] {
        assert!(!is_destination(text), "{text}");
    }
}

fn any_command() -> impl Strategy<Value = EnvironmentCommand> {
    let reason = prop_oneof![Just("because".to_string()), "\\PC{0,20}"];
    let change = (
        proptest::option::of(Just(name("store"))),
        proptest::option::of(Just(EnvironmentStage::Test)),
        proptest::option::of(Just(name("northeurope"))),
        proptest::option::of(prop_oneof![
            Just(BTreeSet::from([SurfaceKind::Process])),
            Just(BTreeSet::from([SurfaceKind::Process, SurfaceKind::Functions])),
            Just(BTreeSet::new()),
        ]),
        proptest::option::of(prop_oneof![Just(egress(&["b.example.com"])), Just(egress(&["no good"]))]),
    )
        .prop_map(|(name, stage, region, surfaces, egress_allow_list)| EnvironmentChange {
            name,
            stage,
            region,
            surfaces,
            egress_allow_list,
            capacity: None,
        });
    prop_oneof![
        3 => Just(EnvironmentCommand::RecordProvisioningStarted),
        3 => Just(EnvironmentCommand::RecordProvisioned { resources: made(&asked_for(EnvironmentStage::Dev).now().blueprint()) }),
        2 => (reason.clone(), proptest::option::of(0..900u64)).prop_map(|(reason, retry)| {
            EnvironmentCommand::RecordProvisioningFailed { reason, retry_at: retry.map(at) }
        }),
        2 => Just(EnvironmentCommand::RetryProvisioning),
        3 => change.prop_map(EnvironmentCommand::ChangeEnvironment),
        1 => Just(EnvironmentCommand::ProtectFromDeletion),
        1 => Just(EnvironmentCommand::Unprotect),
        1 => reason.clone().prop_map(|reason| EnvironmentCommand::DecommissionRuntimeEnvironment { reason }),
        1 => Just(EnvironmentCommand::RecordDecommissioned),
        1 => (reason, 0..900u64).prop_map(|(reason, retry)| {
            EnvironmentCommand::RecordDecommissioningFailed { reason, retry_at: at(retry) }
        }),
    ]
}

proptest! {
    #[test]
    fn replaying_any_history_gives_the_state_and_so_does_its_record(
        commands in proptest::collection::vec((any_command(), 0..60u64, any::<bool>()), 0..30)
    ) {
        let mut told = asked_for(EnvironmentStage::Dev);
        let mut now = 0;
        for (command, seconds, engine_is_honest) in commands {
            now += seconds;
            let command = match command {
                EnvironmentCommand::RecordProvisioned { .. } if engine_is_honest => {
                    EnvironmentCommand::RecordProvisioned { resources: made(&told.now().blueprint()) }
                }
                command => command,
            };
            let before = told.now().clone();
            let accepted = told.command(&command, now).is_ok();
            prop_assert!(accepted || *told.now() == before);
            let is_fixed = !matches!(before.state(), EnvironmentState::Requested(state) if state.attempts == 0);
            if is_fixed {
                // ENV-2
                prop_assert_eq!((before.stage(), before.region()), (told.now().stage(), told.now().region()));
            }
            prop_assert_eq!(before.tenant_id(), told.now().tenant_id());
        }
        told.check_replay_and_record();
    }
}

#[test]
fn stages_are_ordered_and_called_the_same_everywhere() {
    let stages =
        [EnvironmentStage::Dev, EnvironmentStage::Test, EnvironmentStage::Staging, EnvironmentStage::Prod];
    assert!(stages.is_sorted());
    for stage in stages {
        assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        assert_eq!(stage.to_string(), stage.name());
    }
}
