//! Failures of other autoscalers, by name, and what happens here instead.

use super::*;

/// Buried: keda#1850, keda#2244.
#[test]
fn keda_1850_2244_a_source_that_is_down_never_scales_to_zero() {
    for way in [
        FallbackReplicas::Current,
        FallbackReplicas::Static(replicas(1)),
        FallbackReplicas::IfLower(replicas(1)),
        FallbackReplicas::IfHigher(replicas(1)),
    ] {
        let mut told =
            applied(PolicyTerms { fallback: Fallback { replicas: way, ..Fallback::default() }, ..queued() });
        let mut current = 3;
        for seconds in (0..7_200).step_by(15) {
            let mut input = Input::of(current);
            input.readings.insert(ScalingMetric::QueueLength, missing());
            told.evaluate(input, seconds);
            current = told.now().wanted().map_or(current, |wanted| wanted.to);
            assert!(current >= 1, "{way:?} after {seconds}");
        }
        assert_eq!(told.now().state().status(), PolicyStatus::Violated, "somebody is told");
    }
}

/// Buried: keda#7239.
#[test]
fn keda_7239_a_fallback_leaves_zero() {
    for way in [
        FallbackReplicas::Current,
        FallbackReplicas::Static(replicas(2)),
        FallbackReplicas::IfHigher(replicas(2)),
        FallbackReplicas::IfLower(replicas(2)),
    ] {
        let mut terms =
            PolicyTerms { fallback: Fallback { replicas: way, ..Fallback::default() }, ..queued() };
        // What says nothing at none does not count as known.
        terms.rules.push(rule(ScalingMetric::CpuUtilization, 50));
        let mut told = applied(terms);
        told.evaluate(Input::of(0), 0);
        told.evaluate(Input::of(0), 179);
        assert_eq!(told.now().wanted(), None, "{way:?}");
        told.evaluate(Input::of(0), 180);
        assert_eq!(told.now().wanted(), Some(Wanted { from: 0, to: way.of(0) }), "{way:?}");
        assert!(way.of(0) >= 1);
    }
}

/// keda#6659: the fallback of one metric takes away what another needs.
#[test]
fn keda_6659_a_fallback_takes_nothing_away_that_another_rule_needs() {
    let mut terms = bare();
    terms.rules.push(rule(ScalingMetric::QueueLength, 10));
    terms.fallback.replicas = FallbackReplicas::Static(replicas(2));
    let mut told = applied(terms);
    for seconds in [0, 180] {
        told.evaluate(cpu(6, 70, seconds), seconds);
        assert_eq!(told.now().wanted(), Some(Wanted { from: 6, to: 9 }));
    }
}

/// Buried: keda#6982. Theirs: what had been paused and was no more was still taken for paused. Ours: what is resumed is due at once, and scales
/// again.
#[test]
fn keda_6982_what_is_resumed_scales_again() {
    let mut told = applied(bare());
    told.evaluate(cpu(4, 50, 0), 0);
    told.command(&suspend(), 1).unwrap();
    let refused = told.now().decide(&evaluation(4), at(2)).unwrap_err();
    assert_eq!(refused.to_string(), "RecordEvaluation is not possible while the policy is Suspended");
    told.command(&ScalingCommand::ResumeScaling, 3_600).unwrap();
    assert_eq!(told.now().state().status(), PolicyStatus::Active);
    assert_eq!(told.now().wake_at(), Some(at(3_600)), "at once");
    told.evaluate(cpu(4, 100, 3_600), 3_600);
    assert_eq!(told.now().wanted(), Some(Wanted { from: 4, to: 8 }));
    told.check_replay_and_record();
}

/// Buried: flagger#1407.
#[test]
fn flagger_1407_the_number_of_replicas_is_the_policys_and_never_drift() {
    let mut told = applied(bare());
    assert!(told.now().owns_replicas());
    told.evaluate(cpu(11, 50, 0), 0);
    assert!(told.now().owns_replicas(), "while it is violated, too");
    told.command(&suspend(), 1).unwrap();
    assert!(told.now().owns_replicas(), "what is held on purpose is no drift");
    told.command(&retire(), 2).unwrap();
    assert!(!told.now().owns_replicas());
}

/// Buried: argo-rollouts#3848.
#[test]
fn argo_rollouts_3848_scaling_takes_nothing_from_a_rollout_and_adds_to_what_serves() {
    let mut told = applied(bare());
    let rollout = Some(RolloutInFlight { floor: 6, most: None });
    told.evaluate(Input { rollout, ..cpu(6, 10, 0) }, 0);
    assert_eq!(told.now().wanted(), None, "the plan waits for six");
    told.evaluate(Input { rollout, ..cpu(6, 75, 15) }, 15);
    assert_eq!(told.now().wanted(), Some(Wanted { from: 6, to: 9 }), "nine are six or more");
    told.evaluate(Input { rollout, ..cpu(9, 10, 30) }, 30);
    assert_eq!(told.now().wanted(), Some(Wanted { from: 9, to: 6 }), "down to what it holds");
    told.evaluate(cpu(6, 10, 45), 45);
    assert_eq!(told.now().wanted(), Some(Wanted { from: 6, to: 2 }), "it has ended");
}
