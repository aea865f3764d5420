//! One fact each.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec;

use serde_json::json;

use super::fixture::*;
use crate::aggregate::{Aggregate, DomainEvent};
use crate::claim::Claim;
use crate::id::AggregateKind;
use crate::inventory::*;
use crate::refusal::{Refusal, Rule};
use crate::surface::InstanceState::{Draining, Exited, NotReady, Ready, Starting};
use crate::time::Span;
use crate::value::Revision;

fn one(seconds: u64, wanted: u16, states: &[crate::surface::InstanceState]) -> RuntimeService {
    observed(&registered(), observation(seconds, [(1, running(wanted, states))], Some(1)))
}

#[test]
fn a_status_follows_from_what_is_seen() {
    let exited = Exited { code: Some(1) };
    for (wanted, states, expected) in [
        (2, vec![Ready, Ready], RuntimeStatus::Running),
        (1, vec![Ready, Ready], RuntimeStatus::Running),
        (2, vec![Ready, Starting], RuntimeStatus::Degraded),
        (2, vec![Ready], RuntimeStatus::Degraded),
        (2, vec![Starting, Starting], RuntimeStatus::Starting),
        (2, vec![Starting, exited.clone()], RuntimeStatus::Starting),
        (2, vec![NotReady, NotReady], RuntimeStatus::Unavailable),
        (2, vec![Draining, exited], RuntimeStatus::Unavailable),
        (2, vec![], RuntimeStatus::Unavailable),
        (0, vec![], RuntimeStatus::Unavailable),
    ] {
        assert_eq!(one(1, wanted, &states).status(), expected, "{states:?} of {wanted}");
    }
}

#[test]
fn a_component_that_is_gone_is_unavailable_and_not_running() {
    let gone = observed(&one(1, 1, &[Ready]), observation(2, [], None));
    assert_eq!(gone.status(), RuntimeStatus::Unavailable);
}

#[test]
fn a_running_service_whose_instances_all_start_again_is_unavailable_and_not_starting() {
    let again = observed(&one(1, 1, &[Ready]), observation(2, [(1, running(1, &[Starting]))], Some(1)));
    assert_eq!(again.status(), RuntimeStatus::Unavailable);
}

#[test]
fn an_instance_that_keeps_ending_does_not_count_as_starting() {
    let mut crashing = running(1, &[Starting]);
    crashing.instances[0].restarts = 1;
    crashing.trouble = Some("port 8080 in use".to_string());
    let service = observed(&registered(), observation(1, [(1, crashing)], Some(1)));
    let ServiceState::Unavailable(state) = service.state() else { panic!("{:?}", service.state()) };
    assert!(state.why.contains("port 8080 in use"), "{}", state.why);
}

#[test]
fn a_ready_instance_that_no_request_reaches_does_not_make_a_service_run() {
    let revisions = [(1, running(1, &[NotReady])), (2, running(1, &[Ready]))];
    let service = observed(&registered(), observation(1, revisions, Some(1)));
    assert_eq!(service.status(), RuntimeStatus::Unavailable);
}

#[test]
fn a_component_without_a_route_runs_by_its_instances() {
    let worker = observed(&registered(), observation(1, [(1, running(1, &[Ready]))], None));
    assert_eq!(worker.status(), RuntimeStatus::Running);
    assert_eq!(worker.endpoint(), None);
}

#[test]
fn instances_of_another_revision_are_listed_and_do_not_change_the_version() {
    let service = observed(&registered(), observation(1, [(2, running(1, &[Ready]))], Some(2)));
    assert_eq!(service.instances()[0].revision, revision(2));
    assert_eq!(service.version().revision, revision(1));
    assert_eq!(service.status(), RuntimeStatus::Degraded);
}

#[test]
fn a_recorded_version_is_judged_by_what_was_last_seen() {
    let before = one(1, 1, &[Ready]);
    let version = deployed(2, "cart");
    let decision = before.decide(InventoryCommand::RecordDeployedVersion { version }, at(2)).unwrap();
    let after = apply(&before, &decision, at(2));
    assert_eq!(after.version().revision, revision(2));
    assert_eq!(after.status(), RuntimeStatus::Degraded);
    let routed = observed(&after, observation(3, [(2, running(1, &[Ready]))], Some(2)));
    assert_eq!(routed.status(), RuntimeStatus::Running);
}

#[test]
fn recording_the_same_version_again_changes_nothing() {
    let service = one(1, 1, &[Ready]);
    let version = deployed(1, "cart");
    let decision = service.decide(InventoryCommand::RecordDeployedVersion { version }, at(2)).unwrap();
    assert!(decision.is_unchanged());
}

/// Shows SVC-1, SVC-3, X-1.
#[test]
fn foreign_evidence_is_refused_by_the_rule_it_would_break() {
    let service = registered();
    let (mut of_tenant, mut of_environment) = (deployed(2, "cart"), deployed(2, "cart"));
    of_tenant.tenant = tenant(7);
    of_environment.environment = environment(7);
    for (version, rule) in
        [(of_tenant, Rule::Svc3), (of_environment, Rule::X1), (deployed(2, "mail"), Rule::Svc1)]
    {
        let refusal = service.decide(InventoryCommand::RecordDeployedVersion { version }, at(1)).unwrap_err();
        assert_eq!(refusal.rule(), rule);
        assert!(!refusal.remedy().is_empty());
    }
}

/// Shows X-1.
#[test]
fn an_observation_of_another_component_is_refused() {
    let own = observation(1, [], None);
    let mut of_tenant = own.clone();
    of_tenant.key.tenant = tenant(7);
    let mut of_environment = own.clone();
    of_environment.key.environment = environment(7);
    let mut of_module = own;
    of_module.key.module = module("mail");
    let mut with_stray = observation(1, [(1, running(1, &[Ready]))], None);
    let stray = with_stray.revisions.pop_first().unwrap().1;
    let mail = crate::component::RevisionId::new(module("mail"), revision(1).deployment);
    with_stray.revisions.insert(mail, stray);
    for observation in [of_tenant, of_environment, of_module, with_stray] {
        let refused = registered().decide(InventoryCommand::RecordObservation { observation }, at(1));
        assert_eq!(refused, Err(InventoryRefusal::ForeignObservation));
    }
}

#[test]
fn an_observation_that_is_no_newer_than_the_last_changes_nothing() {
    let service = one(10, 1, &[Ready]);
    for seconds in [9, 10] {
        let observation = observation(seconds, [], None);
        let decision = service.decide(InventoryCommand::RecordObservation { observation }, at(11)).unwrap();
        assert!(decision.is_unchanged(), "{seconds}");
    }
}

#[test]
fn an_unchanged_component_is_recorded_as_seen_once_a_heartbeat() {
    let service = one(0, 1, &[Ready]);
    let again = |seconds| {
        let observation = observation(seconds, [(1, running(1, &[Ready]))], Some(1));
        service.decide(InventoryCommand::RecordObservation { observation }, at(seconds)).unwrap()
    };
    assert!(again(59).is_unchanged());
    let seen = again(60);
    assert_eq!(seen.events, [InventoryEvent::ServiceSeen { observed_at: at(60) }]);
    assert_eq!(seen.events[0].published(), None);
    assert_eq!(apply(&service, &seen, at(60)).last_observed_at(), Some(at(60)));
}

#[test]
fn the_order_in_which_a_surface_lists_instances_is_no_change() {
    let mut reversed = running(2, &[Ready, Ready]);
    reversed.instances.reverse();
    let observation = observation(2, [(1, reversed)], Some(1));
    let decision =
        one(1, 2, &[Ready, Ready]).decide(InventoryCommand::RecordObservation { observation }, at(2));
    assert!(decision.unwrap().is_unchanged());
}

#[test]
fn an_observation_from_a_clock_that_runs_ahead_counts_as_made_now() {
    let observation = observation(9_999, [(1, running(1, &[Ready]))], Some(1));
    let before = registered();
    let decision = before.decide(InventoryCommand::RecordObservation { observation }, at(5)).unwrap();
    assert_eq!(apply(&before, &decision, at(5)).last_observed_at(), Some(at(5)));
}

#[test]
fn an_old_observation_does_not_end_the_unknown() {
    let stale = registered();
    let decision = stale.decide(InventoryCommand::MarkUnobserved, at(1_000)).unwrap();
    let unknown = apply(&stale, &decision, at(1_000));
    let observation = observation(5, [(1, running(1, &[Ready]))], Some(1));
    let late = unknown.decide(InventoryCommand::RecordObservation { observation }, at(1_000)).unwrap();
    assert!(late.is_unchanged());
}

#[test]
fn silence_becomes_unknown_only_after_the_freshness() {
    for service in [registered(), one(0, 1, &[Ready]), one(0, 2, &[Ready]), one(0, 1, &[NotReady])] {
        let limit = FRESHNESS.after(at(0));
        assert!(service.decide(InventoryCommand::MarkUnobserved, limit).unwrap().is_unchanged());
        let late = Span::from_millis(1).after(limit);
        let unknown = apply(&service, &service.decide(InventoryCommand::MarkUnobserved, late).unwrap(), late);
        assert_eq!(unknown.status(), RuntimeStatus::Unknown);
        assert_eq!(unknown.last_observed_at(), service.last_observed_at());
        assert!(unknown.decide(InventoryCommand::MarkUnobserved, at(9_000)).unwrap().is_unchanged());
        let back = observed(&unknown, observation(9_000, [(1, running(1, &[Ready]))], Some(1)));
        assert_eq!(back.status(), RuntimeStatus::Running);
    }
}

#[test]
fn a_new_version_tells_nothing_about_an_unknown_service() {
    let service = one(0, 1, &[Ready]);
    let unknown =
        apply(&service, &service.decide(InventoryCommand::MarkUnobserved, at(999)).unwrap(), at(999));
    let version = deployed(2, "cart");
    let decision = unknown.decide(InventoryCommand::RecordDeployedVersion { version }, at(1_000)).unwrap();
    assert_eq!(apply(&unknown, &decision, at(1_000)).status(), RuntimeStatus::Unknown);
}

#[test]
fn a_retired_service_holds_nothing_waits_for_nothing_and_ignores_reports() {
    let service = one(1, 1, &[Ready]);
    assert_eq!(service.claims(), BTreeSet::from([Claim::service(environment(2), &module("cart"))]));
    assert_eq!(service.wake_at(), Some(at(1)));
    let retire = || InventoryCommand::RetireService { reason: "replaced".to_string() };
    let retired = apply(&service, &service.decide(retire(), at(2)).unwrap(), at(2));
    assert_eq!(retired.status(), RuntimeStatus::Retired);
    assert_eq!((retired.claims(), retired.wake_at()), (BTreeSet::new(), None));
    assert_eq!(retired.last_observed_at(), Some(at(1)));
    let observation = observation(3, [(1, running(1, &[Ready]))], Some(1));
    for ignored in
        [retire(), InventoryCommand::MarkUnobserved, InventoryCommand::RecordObservation { observation }]
    {
        assert!(retired.decide(ignored, at(9_999)).unwrap().is_unchanged());
    }
    let version = deployed(1, "cart");
    let late = retired.decide(InventoryCommand::RecordDeployedVersion { version }, at(4)).unwrap();
    assert!(late.is_unchanged(), "the version that was retired does not bring it back");
}

/// Shows X-3, SVC-3.
#[test]
fn a_component_that_is_brought_again_is_the_same_service_and_begins_anew() {
    let service = one(1, 1, &[Ready]);
    let retire = InventoryCommand::RetireService { reason: "replaced".to_string() };
    let retired = apply(&service, &service.decide(retire, at(2)).unwrap(), at(2));
    let version = deployed(2, "cart");
    let decision = retired.decide(InventoryCommand::RecordDeployedVersion { version }, at(4)).unwrap();
    let again = apply(&retired, &decision, at(4));
    assert_eq!(again.status(), RuntimeStatus::Starting);
    assert_eq!((again.service_id(), again.tenant()), (service.service_id(), service.tenant()));
    assert_eq!((again.version().revision.clone(), again.wake_at()), (revision(2), Some(at(4))));
    assert_eq!(again.claims(), service.claims());
    let [InventoryEvent::RuntimeInventoryUpdated(InventoryUpdate::Registered(begun))] = &decision.events[..]
    else {
        panic!("{decision:?}")
    };
    let forged = |change: &dyn Fn(&mut Registered)| {
        let mut begun = begun.clone();
        change(&mut begun);
        let event = InventoryEvent::RuntimeInventoryUpdated(InventoryUpdate::Registered(begun));
        RuntimeService::evolve(Some(retired.clone()), &event, at(4))
    };
    assert!(forged(&|_| ()).is_ok());
    assert!(forged(&|begun| begun.tenant_id = tenant(7)).is_err());
    assert!(
        forged(&|begun| begun.service_id = crate::id::ServiceId::of(environment(7), &module("cart")))
            .is_err()
    );
}

#[test]
fn a_service_that_was_never_seen_wakes_from_its_registration() {
    assert_eq!(registered().wake_at(), Some(at(0)));
}

#[test]
fn evidence_names_the_deployment_and_its_revision() {
    let evidence =
        InventoryCommand::RecordDeployedVersion { version: deployed(2, "cart") }.evidence().unwrap();
    assert_eq!(evidence.kind, AggregateKind::RuntimeDeployment);
    assert_eq!(evidence.id, revision(2).deployment.uuid());
    assert_eq!(evidence.revision, Revision(5));
    assert_eq!(InventoryCommand::MarkUnobserved.evidence(), None);
}

/// Shows SVC-2.
#[test]
fn a_running_event_without_a_ready_instance_does_not_apply() {
    let service = one(1, 1, &[NotReady]);
    let snapshot = service.state().seen().unwrap().clone();
    let forged = InventoryEvent::RuntimeInventoryUpdated(InventoryUpdate::Observed {
        snapshot,
        status: RuntimeStatus::Running,
        why: "trust me".to_string(),
    });
    assert!(RuntimeService::evolve(Some(service), &forged, at(2)).is_err());
}

#[test]
fn events_out_of_order_do_not_apply() {
    let registered_event = RuntimeService::register(RegisterService { version: deployed(1, "cart") });
    let seen = InventoryEvent::ServiceSeen { observed_at: at(1) };
    assert!(RuntimeService::evolve(Some(registered()), &registered_event.events[0], at(1)).is_err());
    assert!(RuntimeService::evolve(None, &seen, at(1)).is_err());
    assert!(RuntimeService::evolve(Some(registered()), &seen, at(1)).is_err(), "nothing was seen before");
}

/// Shows SVC-1, SVC-2.
#[test]
fn hostile_records_are_refused_by_the_rule_they_break() {
    let record = |service: &RuntimeService| serde_json::to_value(service.to_record()).unwrap();
    let load = |value| RuntimeService::from_record(1, serde_json::from_value(value).unwrap());
    let running = record(&one(1, 1, &[Ready]));
    assert!(load(running.clone()).is_ok());

    let mut lying = running.clone();
    lying["state"]["seen"]["instances"][0]["state"] = json!("not-ready");
    assert_eq!(load(lying).unwrap_err().rule, "SVC-2");

    let mut unrouted = running.clone();
    unrouted["state"]["seen"]["instances"][0]["is_routed"] = json!(false);
    assert_eq!(load(unrouted).unwrap_err().rule, "SVC-2");

    let mut other_version = running.clone();
    other_version["version"]["revision"] = json!(revision(2).to_string());
    assert_eq!(load(other_version).unwrap_err().rule, "SVC-2");

    let mut other_module = running.clone();
    other_module["module_id"] = json!("mail");
    assert_eq!(load(other_module).unwrap_err().rule, "SVC-1");

    let mut other_identifier = running.clone();
    other_identifier["service_id"] =
        json!(crate::id::ServiceId::of(environment(7), &module("cart")).to_string());
    assert_eq!(load(other_identifier).unwrap_err().rule, "X-3");

    let mut stray = running.clone();
    let mail = crate::component::RevisionId::new(module("mail"), revision(1).deployment);
    stray["state"]["seen"]["instances"][0]["revision"] = json!(mail.to_string());
    assert_eq!(load(stray).unwrap_err().rule, "CONTENT");

    let mut degraded = record(&one(1, 2, &[Ready]));
    degraded["state"]["seen"]["instances"] = json!([]);
    assert_eq!(load(degraded).unwrap_err().rule, "SVC-2");

    let mut unavailable = record(&one(1, 1, &[NotReady]));
    unavailable["state"]["seen"]["instances"][0]["state"] = json!("ready");
    assert_eq!(load(unavailable).unwrap_err().rule, "CONTENT");

    let mut too_few = running.clone();
    too_few["state"]["seen"]["wanted"] = json!(2);
    assert_eq!(load(too_few).unwrap_err().rule, "CONTENT");

    let mut starting = record(&one(1, 1, &[Starting]));
    assert_eq!(starting["state"]["status"], "Starting");
    starting["state"]["seen"]["instances"][0]["state"] = json!("ready");
    assert_eq!(load(starting).unwrap_err().rule, "CONTENT");

    let newer = RuntimeService::from_record(2, serde_json::from_value(running.clone()).unwrap());
    assert_eq!(newer.unwrap_err().rule, "SCHEMA");

    let mut unknown_field = running;
    unknown_field["more"] = json!(1);
    assert!(serde_json::from_value::<RuntimeServiceRecord>(unknown_field).is_err());
}

#[test]
fn the_published_events_are_the_two_of_the_specification() {
    let service = one(1, 1, &[Ready]);
    let observation = observation(2, [], None);
    let updated = service.decide(InventoryCommand::RecordObservation { observation }, at(2)).unwrap();
    let retired =
        service.decide(InventoryCommand::RetireService { reason: "gone".to_string() }, at(2)).unwrap();
    let names = [&updated.events[0], &retired.events[0]].map(|event| (event.name(), event.published()));
    assert_eq!(names, [("RuntimeInventoryUpdated", Some(1)), ("RuntimeServiceRetired", Some(1))]);
}
