//! What becomes of a policy's effects where surfaces fail, hosts die or come back, sources fall silent and clocks jump.

mod world;

use runtime_domain::scaling::{PolicyStatus, Reading};
use runtime_domain::time::Span;
use runtime_domain::value::Measure;
use runtime_ports::clock::Clock as _;
use runtime_ports::scaling_signals::MockScalingSignals;
use runtime_ports::{PortError, PortErrorKind, Retry};

use super::*;
use world::{At, Fault, World, queue};

/// The policy wants one replica for ten that wait, from one to nine, and takes away after two evaluations.
const WAITING: i64 = 40;

fn failure(kind: PortErrorKind, retry: Retry) -> PortError {
    PortError::new(kind, "surface.scale", "the surface failed").with_retry(retry)
}

/// Buried: steno#66.
#[tokio::test]
async fn an_effect_that_fails_in_any_way_is_done_in_the_end_and_told_once() {
    let later = Retry::Later { after: None };
    for (name, fault) in [
        ("works", Fault::None),
        ("refused", Fault::Before(failure(PortErrorKind::Invalid, Retry::Never))),
        ("away", Fault::Before(failure(PortErrorKind::Unavailable, later))),
        ("fenced", Fault::Before(failure(PortErrorKind::Fenced, Retry::Never))),
        ("cut off before", Fault::Before(failure(PortErrorKind::TimedOut, Retry::OutcomeUnknown))),
        ("cut off after", Fault::After(failure(PortErrorKind::TimedOut, Retry::OutcomeUnknown))),
        ("half", Fault::Half),
        ("blind", Fault::Blind),
    ] {
        let world = World::new().await;
        let one = world.host();
        world.waits(WAITING);
        world.fault(fault);
        for _ in 0..5 {
            one.pass_all().await;
            world.clock.advance(Span::from_secs(1));
        }
        world.fault(Fault::None);
        world.settle(&one).await;
        assert_eq!(world.replicas(), 4, "{name}");
        assert_eq!(world.scaled().await, [(1, 4)], "{name}: seen, and told once");
        let done: Vec<u16> = world.done().into_iter().map(|(_, to)| to).collect();
        assert_eq!(done, [4], "{name}: it was changed once");
    }
}

/// Shows X-7.
#[tokio::test]
async fn a_host_that_dies_at_any_point_leaves_what_another_ends_and_one_that_comes_back_changes_nothing() {
    for at in [At::BeforeEffect, At::AfterEffect, At::Observation] {
        for comes_back in [false, true] {
            for is_other_load in [false, true] {
                let world = World::new().await;
                let (one, other) = (world.host(), world.host());
                world.waits(WAITING);
                world.hold_at(at);
                let dying = one.spawn_pass().await;
                world.reached(at).await;
                if !comes_back {
                    dying.abort();
                    assert!(dying.await.is_err());
                    world.let_go();
                    world.take_over(&other, is_other_load).await;
                } else {
                    let held = world.keep_held();
                    world.take_over(&other, is_other_load).await;
                    let before = (world.replicas(), world.done(), world.scaled().await);
                    drop(held);
                    dying.await.expect("a zombie ends by itself");
                    assert_eq!((world.replicas(), world.done(), world.scaled().await), before, "{at:?}");
                }
                let wanted = if is_other_load { 2 } else { 4 };
                assert_eq!(world.replicas(), wanted, "{at:?} {comes_back} {is_other_load}");
                let effects = world.done();
                let distinct: std::collections::BTreeSet<_> =
                    effects.iter().map(|(effect, _)| effect).collect();
                assert_eq!(distinct.len(), effects.len(), "{at:?}: no effect was done twice: {effects:?}");
            }
        }
    }
}

#[tokio::test]
async fn two_hosts_that_repeat_an_effect_change_nothing_the_second_time() {
    let world = World::new().await;
    let (one, other) = (world.host(), world.host());
    world.waits(WAITING);
    world.fault(Fault::After(failure(PortErrorKind::TimedOut, Retry::OutcomeUnknown)));
    one.pass_all().await;
    world.clock.advance(Span::from_secs(2));
    other.pass_all().await;
    assert_eq!(world.done().len(), 1);
    assert_eq!(world.scaled().await, [(1, 4)]);
}

/// Buried: keda#1850, keda#2244.
#[tokio::test]
async fn a_source_that_is_silent_stale_wrong_or_flapping_takes_nothing_away() {
    let hour = Span::from_secs(3_600);
    let world = World::new().await;
    let host = world.host();
    world.waits(WAITING);
    world.settle(&host).await;
    let now = || world.clock.now();
    let old =
        |units, at| Reading::Measured { value: Measure::from_units(units), observed_at: at, samples: 1 };
    let away = || Err(PortError::new(PortErrorKind::Unavailable, "queue.signal", "the broker is away"));
    for round in 0..3 {
        for answer in [
            away(),
            Ok(Reading::Missing { why: "nobody counted".to_owned() }),
            Ok(old(0, hour.before(now()))),
            Ok(old(0, hour.after(now()))),
            Ok(Reading::Measured { value: Measure::from_units(0), observed_at: now(), samples: 0 }),
            Ok(old(-5, now())),
        ] {
            world.answers(answer.clone());
            world.evaluated(&host, 4).await;
            assert_eq!(world.replicas(), 4, "in round {round}: {answer:?}");
        }
        // It is there for a moment, with the load that was.
        world.waits(WAITING);
        world.evaluated(&host, 1).await;
    }
    world.answers(away());
    world.evaluated(&host, 8).await;
    assert_eq!((world.replicas(), world.status().await), (4, PolicyStatus::Violated));
    // What is known to be little takes away again.
    world.waits(10);
    world.evaluated(&host, 8).await;
    assert_eq!((world.replicas(), world.status().await), (1, PolicyStatus::Active));
}

#[tokio::test]
async fn a_clock_that_jumps_an_hour_takes_nothing_away_and_what_waits_is_served() {
    let hour = Span::from_secs(3_600);
    let world = World::new().await;
    let host = world.host();
    world.waits(WAITING);
    world.settle(&host).await;
    // The source's clock stays what it was, so that what it says is an hour old, of whatever it is.
    let frozen = world.clock.now();
    world.answers(Ok(Reading::Measured { value: Measure::from_units(0), observed_at: frozen, samples: 1 }));
    world.clock.advance(hour);
    world.evaluated(&host, 3).await;
    assert_eq!(world.replicas(), 4);
    world.waits(WAITING);
    world.evaluated(&host, 1).await;
    let ahead = world.clock.now();
    world.clock.set(hour.before(ahead));
    host.pass_all().await;
    assert_eq!(world.replicas(), 4, "it waits for the clock, and nothing changes meanwhile");
    world.clock.set(ahead);
    world.waits(80);
    world.evaluated(&host, 1).await;
    assert_eq!(world.replicas(), 8);
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_neither_judged_nor_changed() {
    let world = World::new().await;
    let host = world.host();
    world.fault(Fault::Blind);
    world.waits(WAITING);
    for _ in 0..10 {
        host.pass_all().await;
        world.clock.advance(Span::from_secs(15));
    }
    assert!(world.done().is_empty());
    assert_eq!(world.events().await, ["ScalingPolicyApplied"]);
}

#[tokio::test]
async fn what_somebody_scaled_by_hand_is_noted_and_brought_back() {
    let world = World::new().await;
    let host = world.host();
    world.waits(WAITING);
    world.settle(&host).await;
    world.by_hand(2);
    world.evaluated(&host, 1).await;
    world.settle(&host).await;
    assert_eq!((world.replicas(), world.scaled().await), (4, vec![(1, 4), (2, 4)]));
}

#[tokio::test]
async fn a_suspended_or_retired_policy_changes_nothing() {
    let world = World::new().await;
    let host = world.host();
    let policy = world.policy().await.id();
    let reason = || "an incident".to_owned();
    world.scaling().suspend(&world.scope, policy, reason()).await.expect("suspended");
    world.waits(WAITING);
    world.passes(&host, 8).await;
    assert!(world.done().is_empty());
    world.scaling().resume(&world.scope, policy).await.expect("resumed");
    world.settle(&host).await;
    assert_eq!(world.replicas(), 4);
    world.scaling().retire(&world.scope, policy, reason()).await.expect("retired");
    world.waits(90);
    world.passes(&host, 8).await;
    assert_eq!(world.replicas(), 4);
}

#[tokio::test]
async fn a_preview_says_what_would_be_decided_and_changes_nothing() {
    let world = World::new().await;
    world.waits(WAITING);
    let before = world.events().await;
    let preview = world.scaling().preview(&world.scope, world.wanted(queue(5))).await.expect("previewed");
    let decision = preview.decision.expect("it runs");
    assert_eq!(decision.desired, 8, "{}", decision.explanation);
    assert_eq!((world.events().await, world.done().len()), (before, 0));
}

#[tokio::test]
async fn a_host_that_reads_nothing_says_so_and_applies_no_policy() {
    let world = World::new().await;
    let services = world.services(Vec::new());
    let refused = services.scaling().apply(&world.scope, world.wanted(queue(5))).await.unwrap_err();
    let told = std::error::Error::source(&refused).expect("a cause").to_string();
    assert!(told.contains("RuntimeBuilder::scaling_signals"), "{told}");
}

/// Shows SCL-2, SCL-3, X-1.
#[tokio::test]
async fn a_policy_is_for_a_surface_that_its_environment_has_and_for_its_own_tenant() {
    use runtime_domain::refusal::Rule;
    use runtime_domain::surface::SurfaceKind;
    let world = World::new().await;
    let stray = world.wanted(world::queue_on(SurfaceKind::Kubernetes, 5));
    let refused = world.scaling().apply(&world.scope, stray.clone()).await.unwrap_err();
    assert_eq!(refused.rule(), Some(Rule::Capability), "{}", refused.remedy());
    let policy = world.policy().await.id();
    let refused = world.scaling().change(&world.scope, policy, stray.policy).await.unwrap_err();
    assert_eq!(refused.rule(), Some(Rule::Capability));
    let other = world.scaling().apply(&world.scope, world.wanted(queue(5))).await.unwrap_err();
    assert_eq!(other.rule(), Some(Rule::Scl3));
    let same = world.scaling().apply(&world.scope, world.wanted(queue(10))).await.expect("the same");
    assert!(!same.changed);
    let stranger = runtime_testkit::sample::scope(2);
    let absent = world.scaling().policy(&stranger, policy).await.unwrap_err();
    assert!(matches!(absent, crate::error::CommandError::NotFound { .. }));
}

#[tokio::test]
async fn the_first_source_that_knows_a_metric_answers_for_it() {
    let unsupported = || PortError::new(PortErrorKind::Unsupported, "one.signal", "it knows no queue");
    let world = World::new().await;
    let mut first = MockScalingSignals::new();
    first.expect_signal().returning(move |_| Err(unsupported()));
    let services = world.services(vec![std::sync::Arc::new(first), world.source()]);
    world.waits(WAITING);
    let preview = services.scaling().preview(&world.scope, world.wanted(queue(10))).await.expect("previewed");
    assert_eq!(preview.decision.expect("it runs").desired, 4);
}

/// Buried: capsule#1425.
/// Shows TEN-2.
#[tokio::test]
async fn a_policy_adds_no_replica_for_which_the_tenants_quota_has_no_room_and_says_so_and_gives_back() {
    let world = World::new().await;
    let one = world.host();
    let charged = world.is_bound(3).await;
    assert_eq!(charged().await, 1);
    world.waits(WAITING);
    world.settle(&one).await;
    assert_eq!((world.replicas(), charged().await), (3, 3), "four are wanted, and three fit");
    let policy = world.policy().await.id();
    let told = world.scaling().explain(&world.scope, policy).await.unwrap().evaluated.unwrap().1;
    assert!(told.contains("the tenant's quota has room for 3 replicas"), "{told}");
    world.evaluated(&one, 3).await;
    assert_eq!((world.replicas(), charged().await), (3, 3));
    world.waits(10);
    world.evaluated(&one, 6).await;
    world.settle(&one).await;
    world.evaluated(&one, 1).await;
    assert_eq!((world.replicas(), charged().await), (1, 1), "what is not needed any more is given back");
}

/// Shows TEN-2, X-7.
#[tokio::test]
async fn what_a_host_charged_before_it_died_is_used_or_given_back() {
    for at in [At::BeforeEffect, At::AfterEffect] {
        let world = World::new().await;
        let (one, other) = (world.host(), world.host());
        let charged = world.is_bound(9).await;
        world.waits(WAITING);
        world.hold_at(at);
        let dying = one.spawn_pass().await;
        world.reached(at).await;
        assert_eq!(charged().await, 4, "it is charged for before there is more");
        dying.abort();
        assert!(dying.await.is_err());
        world.let_go();
        world.waits(10);
        world.take_over(&other, false).await;
        world.evaluated(&other, 1).await;
        assert_eq!(charged().await, u64::from(world.replicas()), "{at:?}");
    }
}
