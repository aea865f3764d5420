//! How a policy comes and goes with the releases of its component.

use super::*;
use crate::deployment::ReleasedScaling;

/// Two to so many replicas.
fn up_to(most: u16) -> PolicySpec {
    let bounds = ReplicaBounds::new(SurfaceKind::Kubernetes, 2, replicas(most)).unwrap();
    spec(PolicyTerms { bounds, ..bare() })
}

/// The deployment with this number, asked for at 20 times as many seconds, has brought this.
fn released(number: u32, policy: Option<PolicySpec>) -> ReleasedScaling {
    ReleasedScaling {
        tenant: id(2),
        environment: id(1),
        module: name("cart"),
        deployment: id(100 + u128::from(number)),
        at: Revision(7),
        number,
        requested_at: at(20 * u64::from(number)),
        policy,
    }
}

fn kubernetes() -> HostedSurface {
    hosted(SurfaceKind::Kubernetes)
}

impl Policy {
    fn follow(&mut self, released: &ReleasedScaling, seconds: u64) -> Answer {
        let decided = self.now().follow(released, &kubernetes());
        let answered = answer(&decided);
        if let Ok(decision) = decided {
            self.happen(decision, at(seconds));
        }
        self.check_replay_and_record();
        answered
    }

    fn most(&self) -> u16 {
        self.now().max_replicas().get()
    }
}

/// Shows X-6.
#[test]
fn a_policy_says_what_the_newest_release_says_and_each_release_is_followed_once() {
    let mut told = applied(bare());
    assert_eq!(told.follow(&released(1, Some(up_to(5))), 30), Answer::Changes);
    assert_eq!(told.most(), 5);
    let mark = ReleaseMark { deployment_id: id(101), number: 1 };
    assert_eq!(told.now().released(), Some(&Released { release: mark, since: at(30), is_origin: false }));
    // Somebody changes it, and the release is heard of once more: that stands.
    told.command(&change(9), 31).unwrap();
    assert_eq!((told.follow(&released(1, Some(up_to(5))), 32), told.most()), (Answer::Same, 9));
    assert_eq!((told.follow(&released(3, Some(up_to(7))), 70), told.most()), (Answer::Changes, 7));
    // The one before is heard of late.
    assert_eq!((told.follow(&released(2, Some(up_to(6))), 71), told.most()), (Answer::Same, 7));
    assert_eq!(told.names().iter().filter(|name| **name == "ScalingPolicyApplied").count(), 4);
}

#[test]
fn a_release_that_says_what_the_policy_says_is_followed_and_the_service_is_not_judged_anew() {
    let mut told = in_state(PolicyStatus::Violated);
    let before = told.now().clone();
    assert_eq!(told.follow(&released(2, Some(spec(bare()))), 50), Answer::Changes);
    assert_eq!(told.now().state(), before.state());
    assert_eq!(told.now().applied_at(), before.applied_at());
    assert_eq!(told.names().last(), Some(&"ScalingReleaseFollowed"));
    assert_eq!(told.follow(&released(1, Some(up_to(5))), 51), Answer::Same, "none before it is");
}

#[test]
fn what_somebody_changed_while_a_release_that_asks_for_nothing_else_was_under_way_stands() {
    let mut told = applied(bare());
    told.command(&change(9), 45).unwrap();
    // It was asked for at 40 seconds, when the policy said this.
    assert_eq!(told.follow(&released(2, Some(spec(bare()))), 60), Answer::Changes);
    assert_eq!((told.most(), told.names().last()), (9, Some(&"ScalingReleaseFollowed")));
    // The next was asked for after that, and means what it says.
    assert_eq!((told.follow(&released(3, Some(spec(bare()))), 80), told.most()), (Answer::Changes, 10));
}

#[test]
fn a_way_back_to_what_says_nothing_leaves_the_policy_and_lets_nothing_before_it_come_late() {
    let mut told = applied(bare());
    assert_eq!(told.follow(&released(3, None), 70), Answer::Changes);
    assert_eq!(told.follow(&released(2, Some(up_to(6))), 71), Answer::Same);
    assert_eq!(told.most(), 10);
}

#[test]
fn a_policy_that_is_suspended_takes_what_a_release_says_and_stays_suspended() {
    let mut told = in_state(PolicyStatus::Suspended);
    assert_eq!(told.follow(&released(2, Some(up_to(6))), 50), Answer::Changes);
    assert_eq!((told.now().state().status(), told.most()), (PolicyStatus::Suspended, 6));
    let mut ended = in_state(PolicyStatus::Retired);
    for policy in [Some(up_to(6)), None] {
        assert_eq!(ended.follow(&released(2, policy), 50), NO);
    }
}

#[test]
fn a_release_brings_the_policy_of_a_service_that_has_none() {
    let release = released(1, Some(up_to(5)));
    let mut told: Policy = Told::begin(ScalingPolicy::apply_released(id(5), &release, &kubernetes()), at(30));
    told.check_replay_and_record();
    assert_eq!((told.now().tenant_id(), told.now().environment_id()), (id(2), id(1)));
    assert_eq!(told.now().service_id(), ServiceId::of(id(1), &name("cart")));
    assert!(told.now().released().unwrap().is_origin);
    assert_eq!(told.follow(&release, 31), Answer::Same);
    assert_eq!((told.follow(&released(2, Some(up_to(6))), 60), told.most()), (Answer::Changes, 6));
    assert!(told.now().released().unwrap().is_origin, "it came with a release still");
    let nothing = ScalingPolicy::apply_released(id(5), &released(1, None), &kubernetes());
    assert_eq!(answer(&nothing), Answer::Same);
}

/// Shows X-1.
#[test]
fn a_release_of_another_service_tenant_or_environment_says_nothing_of_a_policy() {
    let told = applied(bare());
    let given = || released(1, Some(up_to(5)));
    for stray in [
        ReleasedScaling { tenant: id(8), ..given() },
        ReleasedScaling { environment: id(8), ..given() },
        ReleasedScaling { module: name("shop"), ..given() },
    ] {
        assert_eq!(answer(&told.now().follow(&stray, &kubernetes())), Answer::Refused(Rule::X1), "{stray:?}");
    }
    for stray in
        [ReleasedScaling { tenant: id(8), ..given() }, ReleasedScaling { environment: id(8), ..given() }]
    {
        let made = ScalingPolicy::apply_released(id(5), &stray, &kubernetes());
        assert_eq!(answer(&made), Answer::Refused(Rule::X1), "{stray:?}");
    }
    let process = hosted(SurfaceKind::Process);
    let elsewhere = told.now().follow(&given(), &process);
    assert_eq!(answer(&elsewhere), Answer::Refused(Rule::Capability));
    let elsewhere = ScalingPolicy::apply_released(id(5), &given(), &process);
    assert_eq!(answer(&elsewhere), Answer::Refused(Rule::Capability));
}

#[test]
fn a_policy_that_was_stored_before_releases_said_anything_of_it_is_read() {
    let told = applied(bare());
    let mut stored = serde_json::to_value(told.now().to_record()).unwrap();
    assert!(stored.get("released").is_none(), "what no release says is not written: {stored}");
    let read = ScalingPolicy::from_record(1, serde_json::from_value(stored.clone()).unwrap()).unwrap();
    assert_eq!((&read, read.released()), (told.now(), None));
    // The events of that time, too.
    let (event, _) = &told.history[0];
    let written = serde_json::to_value(event).unwrap();
    assert!(written["effect"]["applied"].get("release").is_none(), "{written}");
    assert_eq!(serde_json::from_value::<ScalingEvent>(written).unwrap(), *event);
    stored["released"] = serde_json::json!({"release": {"deployment_id": "dep_", "number": 1}});
    assert!(serde_json::from_value::<ScalingPolicyRecord>(stored).is_err());
}
