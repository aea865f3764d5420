//! When a policy is told to have been applied, violated, and kept again.

use super::*;

fn effects(told: &Policy) -> Vec<PolicyEffect> {
    let effect = |event: &ScalingEvent| match event {
        ScalingEvent::ScalingPolicyApplied { effect, .. } => Some(effect.clone()),
        _ => None,
    };
    told.history.iter().filter_map(|(event, _)| effect(event)).collect()
}

fn violations(told: &Policy) -> Vec<Violation> {
    let violation = |event: &ScalingEvent| match event {
        ScalingEvent::ScalingPolicyViolated { violation, .. } => Some(violation.clone()),
        _ => None,
    };
    told.history.iter().filter_map(|(event, _)| violation(event)).collect()
}

#[test]
fn what_is_wanted_is_applied_when_it_is_seen_and_not_before() {
    let mut told = applied(bare());
    told.evaluate(cpu(4, 100, 15), 15);
    assert_eq!(told.now().wanted(), Some(Wanted { from: 4, to: 8 }));
    assert_eq!(effects(&told).len(), 1);
    told.command(&scaled(6), 20).unwrap();
    assert_eq!((effects(&told).len(), told.now().wanted()), (1, Some(Wanted { from: 4, to: 8 })));
    told.command(&scaled(8), 25).unwrap();
    assert_eq!(effects(&told)[1..], [PolicyEffect::Scaled { from: 4, to: 8 }]);
    assert_eq!(told.now().applied(), [AppliedAction { at: at(25), from: 4, to: 8 }]);
    assert_eq!(told.now().wanted(), None);
    told.check_replay_and_record();
}

#[test]
fn an_evaluation_sees_what_came_of_the_one_before() {
    let mut told = applied(bare());
    told.evaluate(cpu(4, 100, 15), 15);
    // The host died before it could record what it scaled.
    told.evaluate(cpu(8, 50, 30), 30);
    assert_eq!(effects(&told)[1..], [PolicyEffect::Scaled { from: 4, to: 8 }]);
    assert_eq!(told.now().wanted(), None);
    told.check_replay_and_record();
}

#[test]
fn a_change_that_is_half_done_counts_from_where_it_began() {
    let mut told = applied(bare());
    told.evaluate(cpu(4, 100, 15), 15);
    told.evaluate(cpu(6, 75, 30), 30);
    assert_eq!(told.now().wanted(), Some(Wanted { from: 4, to: 9 }));
    told.command(&scaled(9), 31).unwrap();
    assert_eq!(told.now().applied(), [AppliedAction { at: at(31), from: 4, to: 9 }]);
    // Back to where it began, half-way: it is a change from half-way.
    told.evaluate(cpu(9, 20, 45), 45);
    told.evaluate(cpu(6, 75, 60), 60);
    assert_eq!(told.now().wanted(), Some(Wanted { from: 6, to: 9 }));
    told.command(&scaled(9), 61).unwrap();
    assert_eq!(told.now().applied()[1], AppliedAction { at: at(61), from: 6, to: 9 });
    told.check_replay_and_record();
}

#[test]
fn what_somebody_else_scales_is_noted_and_not_told_as_the_policys() {
    let mut told = applied(bare());
    told.command(&scaled(4), 1).unwrap();
    told.command(&scaled(5), 2).unwrap();
    assert_eq!(told.names(), ["ScalingPolicyApplied", "ReplicasObserved", "ReplicasObserved"]);
    assert_eq!((effects(&told).len(), told.now().applied().len()), (1, 0));
}

#[test]
fn the_last_actions_are_remembered_and_the_oldest_forgotten() {
    let mut told = applied(bare());
    for turn in 0..40u64 {
        let (current, load) = if turn % 2 == 0 { (4, 100) } else { (8, 25) };
        told.evaluate(cpu(current, load, 15 * turn), 15 * turn);
    }
    let remembered = told.now().applied();
    assert_eq!(remembered.len(), MOST_APPLIED);
    assert_eq!((remembered[0].at, remembered[31].at), (at(15 * 8), at(15 * 39)));
    told.check_replay_and_record();
}

#[test]
fn a_changed_policy_takes_effect_at_once_and_is_judged_anew() {
    let mut told = in_state(PolicyStatus::Violated);
    told.command(&change(12), 20).unwrap();
    assert_eq!(told.now().state().status(), PolicyStatus::Active);
    assert_eq!((told.now().max_replicas(), told.now().applied_at()), (replicas(12), at(20)));
    assert!(matches!(effects(&told)[1..], [PolicyEffect::Changed { .. }]));
    told.command(&suspend(), 21).unwrap();
    told.command(&change(9), 22).unwrap();
    assert_eq!(told.now().state().status(), PolicyStatus::Suspended);
    assert_eq!(told.now().max_replicas(), replicas(9));
    told.check_replay_and_record();
}

#[test]
fn replicas_outside_of_the_bounds_violate_the_policy_until_they_are_inside() {
    for (outside, inside) in [(1, 2), (11, 10)] {
        let mut told = applied(bare());
        told.evaluate(cpu(inside, 50, 15), 15);
        assert_eq!(violations(&told), []);
        told.evaluate(cpu(outside, 50, 30), 30);
        told.evaluate(cpu(outside, 50, 45), 45);
        let expected = Violation::OutOfBounds { observed: outside, least: 2, most: replicas(10) };
        assert_eq!(violations(&told), core::slice::from_ref(&expected));
        let PolicyState::Violated(violated) = told.now().state() else { panic!("it is not violated") };
        assert_eq!((&violated.violation, violated.since), (&expected, at(30)));
        assert!(expected.to_string().contains("2 to 10 are allowed"), "{expected}");
        told.evaluate(cpu(inside, 50, 60), 60);
        assert_eq!(told.names().last(), Some(&"ScalingPolicyKept"));
        assert_eq!(told.now().state().status(), PolicyStatus::Active);
        told.check_replay_and_record();
    }
}

/// Shows TEN-2.
#[test]
fn a_policy_that_wants_fewer_than_its_least_for_want_of_room_can_be_stored() {
    let mut told = applied(bare());
    told.evaluate(Input { room: Some(1), ..Input::of(0) }, 15);
    assert_eq!(
        told.now().wanted(),
        Some(Wanted { from: 0, to: 1 }),
        "two are the least, and there is room for one"
    );
    told.check_replay_and_record();
}

#[test]
fn a_change_the_other_way_counts_from_what_is_there() {
    let mut told = applied(bare());
    told.evaluate(cpu(4, 25, 15), 15);
    assert_eq!(told.now().wanted(), Some(Wanted { from: 4, to: 2 }));
    told.evaluate(Input { room: Some(1), ..Input::of(0) }, 30);
    assert_eq!(told.now().wanted(), Some(Wanted { from: 0, to: 1 }), "all were lost: none is taken away");
    told.check_replay_and_record();
    told.evaluate(cpu(3, 100, 45), 45);
    told.evaluate(cpu(9, 40, 60), 60);
    assert_eq!(
        told.now().wanted(),
        Some(Wanted { from: 9, to: 8 }),
        "three were there, and six came by themselves"
    );
    told.check_replay_and_record();
}

#[test]
fn a_rollout_may_run_more_than_the_bounds_allow() {
    let mut told = applied(bare());
    let rollout = Some(RolloutInFlight { floor: 12, most: None });
    told.evaluate(Input { rollout, ..cpu(12, 50, 15) }, 15);
    assert_eq!((violations(&told), told.now().wanted()), (Vec::new(), None));
    told.evaluate(cpu(12, 50, 30), 30);
    assert_eq!(violations(&told).len(), 1);
    assert_eq!(told.now().wanted(), Some(Wanted { from: 12, to: 10 }));
}

#[test]
fn a_target_that_is_missed_for_long_at_the_most_violates_the_policy() {
    let mut told = applied(bare());
    for seconds in (0..=315).step_by(15) {
        assert_eq!(violations(&told), [], "{seconds}");
        told.evaluate(cpu(10, 100, seconds), seconds);
        if seconds == 300 {
            break;
        }
    }
    let expected = Violation::TargetMissed { most: replicas(10), since: at(0) };
    assert_eq!(violations(&told), core::slice::from_ref(&expected));
    assert!(expected.to_string().starts_with("more than 10 replicas have been needed since"), "{expected}");
    told.evaluate(cpu(10, 50, 315), 315);
    assert_eq!(told.now().state().status(), PolicyStatus::Active);
}

#[test]
fn a_target_is_not_missed_while_there_is_room_or_was_a_pause() {
    let mut told = applied(bare());
    for seconds in (0..=600).step_by(15) {
        told.evaluate(cpu(9, 100, seconds), seconds);
    }
    assert_eq!(violations(&told), []);
    told.evaluate(cpu(10, 100, 700), 700);
    told.evaluate(cpu(10, 100, 1_001), 1_001);
    assert_eq!(violations(&told), [], "nobody looked in between");
}

#[test]
fn metrics_that_are_missing_beyond_the_fallbacks_span_violate_the_policy() {
    let mut told = applied(bare());
    told.evaluate(Input::of(4), 0);
    told.evaluate(Input::of(4), 179);
    assert_eq!(violations(&told), []);
    told.evaluate(Input::of(4), 180);
    let signals = Vec::from([Signal::CpuUtilization]);
    let expected = Violation::MetricsMissing { signals, since: at(0) };
    assert_eq!(violations(&told), core::slice::from_ref(&expected));
    assert!(expected.to_string().ends_with(" of cpu-utilization"), "{expected}");
    told.evaluate(cpu(11, 50, 195), 195);
    assert_eq!(violations(&told).len(), 2, "another reason is told");
    told.evaluate(cpu(4, 50, 210), 210);
    assert_eq!(told.now().state().status(), PolicyStatus::Active);
    told.check_replay_and_record();
}

#[test]
fn the_two_events_of_the_specification_are_published_and_no_other() {
    let mut told = in_state(PolicyStatus::Violated);
    for command in [evaluation(4), suspend(), ScalingCommand::ResumeScaling, scaled(4), retire()] {
        told.command(&command, 30).unwrap();
    }
    let published: BTreeSet<_> =
        told.history.iter().filter_map(|(event, _)| Some((event.name(), event.published()?))).collect();
    assert_eq!(published, BTreeSet::from([("ScalingPolicyApplied", 1), ("ScalingPolicyViolated", 1)]));
    let names: BTreeSet<_> = told.names().into_iter().collect();
    assert_eq!(names.len(), 8, "every event: {names:?}");
}

#[test]
fn a_violation_lists_what_is_missing() {
    let signals = Vec::from([Signal::QueueLength, Signal::ErrorBudget]);
    let missing = Violation::MetricsMissing { signals, since: at(0) };
    assert!(missing.to_string().ends_with(" of queue-length, error-budget"), "{missing}");
    assert_eq!(missing.kind(), "metrics-missing");
    let short = Violation::TargetMissed { most: replicas(2), since: at(0) };
    let outside = Violation::OutOfBounds { observed: 1, least: 2, most: replicas(2) };
    assert_eq!((short.kind(), outside.kind()), ("target-missed", "out-of-bounds"));
}
