//! From what a surface shows to how a service is.

use super::*;
use crate::aggregate::Aggregate;
use crate::testing::{Answer, answer};
use crate::value::Percent;
use InstanceState::{Draining, NotReady, Ready, Starting};

fn degradation(told: &Told<RuntimeService>) -> Degradation {
    match told.now().state() {
        ServiceState::Degraded(degraded) => degraded.cause.clone(),
        state => panic!("it is {state:?}"),
    }
}

#[test]
fn the_status_follows_what_is_seen_and_nothing_else() {
    let exited = InstanceState::Exited { code: Some(1) };
    let cases: [(&[InstanceState], RuntimeStatus); 7] = [
        (&[Ready, Ready], RuntimeStatus::Running),
        (&[Ready, Ready, Draining], RuntimeStatus::Running),
        (&[Ready, NotReady], RuntimeStatus::Degraded),
        (&[Starting, NotReady], RuntimeStatus::Starting),
        (&[NotReady, NotReady], RuntimeStatus::Unavailable),
        (&[exited.clone(), exited], RuntimeStatus::Unavailable),
        (&[], RuntimeStatus::Unavailable),
    ];
    for (states, status) in cases {
        let mut told = registered();
        told.sees(states, 10);
        assert_eq!(told.now().runtime_status(), status, "{states:?}");
        told.check_replay_and_record();
    }
}

#[test]
fn a_service_that_was_ready_and_starts_again_is_unavailable_and_not_starting() {
    let mut told = in_state(RuntimeStatus::Running);
    told.sees(&[Starting, Starting], 11);
    assert_eq!(told.now().runtime_status(), RuntimeStatus::Unavailable);
}

#[test]
fn too_few_ready_instances_degrade_a_service() {
    let told = in_state(RuntimeStatus::Degraded);
    assert_eq!(degradation(&told), Degradation::TooFewReady { ready: 1, wanted: 2 });
}

#[test]
fn requests_that_go_where_nothing_is_ready_degrade_a_service() {
    let mut told = registered();
    let mut observation = showing([seen(1, &[Ready, Ready])], 10);
    observation.traffic = Some(Traffic::all_to(revision(2)));
    told.command(&observe(observation), 10).unwrap();
    assert_eq!(degradation(&told), Degradation::NoneRouted);
}

#[test]
fn trouble_with_the_present_version_degrades_a_service() {
    let mut told = registered();
    let (number, mut trouble) = seen(1, &[Ready, Ready]);
    trouble.trouble = Some("the third replica: port 8080 in use".to_string());
    told.command(&observe(showing([(number, trouble)], 10)), 10).unwrap();
    assert!(matches!(degradation(&told), Degradation::Trouble { .. }));
}

#[test]
fn a_revision_that_no_deployment_brought_is_kept_as_unmanaged_and_gives_no_version() {
    let mut told = registered();
    told.command(&observe(showing([seen(9, &[Ready, Ready])], 10)), 10).unwrap();
    assert_eq!(degradation(&told), Degradation::OnlyUnmanaged);
    assert!(told.now().instances().iter().all(|instance| !instance.is_managed));
    assert_eq!(told.now().version().as_str(), "1.0.0");
    assert_eq!(told.now().revision(), &revision(1));
    told.check_replay_and_record();
}

#[test]
fn a_known_revision_that_runs_another_image_is_unmanaged() {
    let mut told = registered();
    let (_, other) = seen(9, &[Ready, Ready]);
    told.command(&observe(showing([(revision(1), other)], 10)), 10).unwrap();
    assert_eq!(degradation(&told), Degradation::OnlyUnmanaged);
}

#[test]
fn a_rollout_that_keeps_capacity_keeps_the_service_running() {
    let mut told = in_state(RuntimeStatus::Running);
    let (old, mut shrinking) = seen(1, &[Ready]);
    shrinking.wanted = 1;
    let (new, growing) = seen(2, &[Ready, Starting]);
    let mut observation = showing([(old.clone(), shrinking), (new.clone(), growing)], 11);
    let half = Percent::new(50).unwrap();
    observation.traffic = Some(Traffic::Weighted(crate::surface::TrafficWeights::split(new, half, old)));
    told.command(&observe(observation), 11).unwrap();
    assert_eq!(told.now().runtime_status(), RuntimeStatus::Running);
}

#[test]
fn a_new_version_inherits_no_verdict() {
    let mut told = in_state(RuntimeStatus::Running);
    told.command(&InventoryCommand::RecordDeployedVersion { version: deployed(2) }, 11).unwrap();
    assert_eq!(told.now().runtime_status(), RuntimeStatus::Unknown);
    assert_eq!(told.now().version().as_str(), "2.0.0");
    assert_eq!(told.now().wake_at(), Some(at(11)));
    told.check_replay_and_record();

    told.command(&observe(showing([seen(1, &[Draining]), seen(2, &[Ready, Ready])], 12)), 12).unwrap();
    // Requests still go to the old revision, where nothing is ready.
    assert_eq!(degradation(&told), Degradation::NoneRouted);
    assert!(told.now().instances().iter().all(|instance| instance.is_managed));
}

#[test]
fn a_version_that_comes_back_is_remembered_once() {
    let mut told = in_state(RuntimeStatus::Running);
    for (step, number) in [2, 1, 2, 1].into_iter().enumerate() {
        let version = InventoryCommand::RecordDeployedVersion { version: deployed(number) };
        told.command(&version, 11 + step as u64).unwrap();
    }
    let former: Vec<_> = told.now().former().iter().map(|former| former.revision.clone()).collect();
    assert_eq!((told.now().revision(), former.as_slice()), (&revision(1), &[revision(2)][..]));
    told.check_replay_and_record();
}

#[test]
fn an_older_observation_never_replaces_a_newer_one() {
    let mut told = in_state(RuntimeStatus::Running);
    let late = observe(showing([seen(1, &[NotReady, NotReady])], 9));
    assert_eq!(answer(&told.now().decide(&late, at(60))), Answer::Same);
    told.command(&late, 60).unwrap();
    assert_eq!(told.now().runtime_status(), RuntimeStatus::Running);
}

#[test]
fn a_surface_whose_clock_is_ahead_does_not_make_later_observations_look_old() {
    let mut told = registered();
    told.command(&observe(showing([seen(1, &[Ready, Ready])], 5_000)), 10).unwrap();
    assert_eq!(told.now().last_observed_at(), Some(at(10)));
    told.sees(&[NotReady, NotReady], 11);
    assert_eq!(told.now().runtime_status(), RuntimeStatus::Unavailable);
}

#[test]
fn an_observation_that_shows_nothing_new_is_kept_once_per_heartbeat() {
    let mut told = in_state(RuntimeStatus::Running);
    let before = told.history.len();
    for seconds in 11..=100 {
        told.sees(&[Ready, Ready], seconds);
    }
    assert_eq!(told.history.len() - before, 3);
    assert_eq!(told.now().last_observed_at(), Some(at(100)));
}

#[test]
fn a_service_that_is_seen_no_more_becomes_unknown_and_not_before_its_time() {
    for status in
        [RuntimeStatus::Starting, RuntimeStatus::Running, RuntimeStatus::Degraded, RuntimeStatus::Unavailable]
    {
        let mut told = in_state(status);
        for seconds in 11..=100 {
            told.command(&in_vain(), seconds).unwrap();
            assert_eq!(told.now().runtime_status(), status);
        }
        told.command(&in_vain(), 101).unwrap();
        assert_eq!(told.now().runtime_status(), RuntimeStatus::Unknown, "{status}");
        assert_eq!(told.now().last_observed_at(), Some(at(10)));
        told.check_replay_and_record();
    }
}

#[test]
fn an_observation_that_is_too_old_is_no_knowledge() {
    let mut told = registered();
    told.command(&observe(showing([seen(1, &[Ready, Ready])], 10)), 10 + 91).unwrap();
    assert_eq!(told.now().runtime_status(), RuntimeStatus::Unknown);

    let mut told = in_state(RuntimeStatus::Running);
    told.command(&observe(showing([seen(1, &[Ready, Ready])], 11)), 11 + 91).unwrap();
    assert_eq!(told.now().runtime_status(), RuntimeStatus::Unknown);
}

#[test]
fn looking_in_vain_puts_the_next_look_off_so_that_no_reconciler_spins() {
    for status in &RuntimeStatus::ALL[..5] {
        let mut told = in_state(*status);
        let mut now = 10;
        for _ in 0..20 {
            let due = told.now().wake_at().unwrap();
            now = now.max(Span::between(at(0), due).as_millis() / 1_000);
            told.command(&in_vain(), now).unwrap();
            assert!(told.now().wake_at().unwrap() > at(now), "{status} spins at {now}");
        }
    }
    assert_eq!(in_state(RuntimeStatus::Retired).now().wake_at(), None);
}

#[test]
fn an_endpoint_tells_since_when_it_is_bound() {
    let mut told = in_state(RuntimeStatus::Running);
    told.sees(&[Ready, NotReady], 20);
    let bound_at = |told: &Told<RuntimeService>| {
        told.now().state().last_observed().unwrap().endpoint.as_ref().map(|endpoint| endpoint.bound_at)
    };
    assert_eq!(bound_at(&told), Some(at(10)));
    let mut moved = showing([seen(1, &[Ready, Ready])], 21);
    moved.endpoint = Some("http://127.0.0.1:9090".to_string());
    told.command(&observe(moved), 21).unwrap();
    assert_eq!(bound_at(&told), Some(at(21)));
    assert_eq!(told.now().endpoint_url(), Some("http://127.0.0.1:9090"));
}
