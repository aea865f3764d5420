//! The rules, one by one.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use serde_json::json;

use crate::aggregate::{Aggregate, DomainEvent};
use crate::calendar::{Activity, BreakGlass, Clearance};
use crate::claim::Claim;
use crate::environment::{HostedEnvironment, IsolationModel};
use crate::id::{AggregateKind, ServiceId};
use crate::refusal::{Refusal, Rule};
use crate::secrets::tests::fixture::*;
use crate::secrets::*;
use crate::testing::{Answer, answer, assert_refused, assert_schema_is_kept, at, id, name};
use crate::time::Span;
use crate::value::Revision;

fn refused(rule: Rule) -> Answer {
    Answer::Refused(rule)
}

fn hosted(tenant: u128, environment: u128) -> HostedEnvironment {
    HostedEnvironment {
        tenant: id(tenant),
        environment: id(environment),
        stage: crate::environment::EnvironmentStage::Dev,
        isolation_model: IsolationModel::Silo,
        at: Revision(3),
    }
}

/// Shows SEC-3, X-1.
#[test]
fn a_secret_is_bound_in_its_tenants_own_environment_only() {
    let foreign = BindSecret { environment: hosted(8, 1), ..bind() };
    assert_eq!(answer(&SecretBinding::bind(&foreign, at(0))), refused(Rule::X1));
    let told = bound();
    let binding = told.now();
    assert_eq!((binding.tenant_id(), binding.environment_id()), (id(2), id(1)));
    assert_eq!((Aggregate::tenant(binding), Aggregate::environment(binding)), (id(2), id(1)));
    assert_eq!(
        answer(&binding.bind_again(&BindSecret { environment: hosted(2, 9), ..bind() })),
        refused(Rule::X1)
    );
    assert_eq!(answer(&binding.bind_again(&BindSecret { tenant_id: id(8), ..bind() })), refused(Rule::X1));
}

/// Shows X-1.
#[test]
fn a_clearance_of_another_tenant_or_environment_opens_nothing() {
    for clearance in
        [Clearance { tenant: id(8), ..clearance() }, Clearance { environment: id(8), ..clearance() }]
    {
        let command = SecretCommand::RotateSecret(RotateSecret { cause: on_demand(), clearance });
        assert_eq!(answer(&bound().now().decide(&command, at(1))), refused(Rule::X1));
    }
    let clearance = Clearance { activity: Activity::Deployment, ..clearance() };
    let command = SecretCommand::RotateSecret(RotateSecret { cause: on_demand(), clearance });
    assert_eq!(answer(&bound().now().decide(&command, at(1))), refused(Rule::Calendar));
}

/// Shows X-1.
#[test]
fn a_consumer_of_another_component_is_refused() {
    let consumer = format!("shop@{}/i0", id::<crate::id::kind::Deployment>(9)).parse().unwrap();
    let consumption = Consumption::Instances(BTreeMap::from([(consumer, Some(version(4)))]));
    assert_eq!(answer(&distributing().now().decide(&seen(at(30), consumption), at(30))), refused(Rule::X1));
}

/// Shows X-3.
#[test]
fn binding_again_gives_the_same_binding_or_says_what_differs() {
    let again = |command: &BindSecret| bound().now().bind_again(command);
    let same = BindSecret {
        secret_binding_id: id(77),
        secret: "vault://kv/shop/db?version=9#password".parse().unwrap(),
        ..bind()
    };
    assert_eq!(answer(&again(&same)), Answer::Same);
    for (command, what) in [
        (BindSecret { module: name("shop"), ..bind() }, "module"),
        (BindSecret { delivery: "env:DB".parse().unwrap(), ..bind() }, "delivery"),
        (BindSecret { secret: "local://main/db/3".parse().unwrap(), ..bind() }, "vault reference"),
        (BindSecret { identity: "local:other".parse().unwrap(), ..bind() }, "identity"),
        (
            BindSecret { rotation_schedule: RotationSchedule::new(None, Span::ZERO).unwrap(), ..bind() },
            "rotation schedule",
        ),
    ] {
        let why = again(&command).unwrap_err();
        assert_eq!(why, SecretRefusal::Different { what });
        assert_eq!(why.rule(), Rule::X3);
    }
    assert_eq!(answer(&unbound().now().bind_again(&bind())), refused(Rule::Lifecycle));
}

/// Shows X-3.
#[test]
fn a_component_holds_the_name_of_its_secret_until_it_is_unbound() {
    for told in every_state() {
        let claim = Claim::secret_binding(id(1), &name("cart"), &"file:db-password".parse().unwrap());
        assert!(claim.key.ends_with("/cart/file:db-password"), "{}", claim.key);
        let is_held = told.now().claims().contains(&claim);
        assert_eq!(is_held, told.now().state().status() != SecretStatus::Unbound);
        assert_eq!(told.now().claims().len(), usize::from(is_held));
    }
}

/// Shows SEC-2.
#[test]
fn a_rotation_makes_a_version_that_was_not_seen_before_and_keeps_the_identity() {
    let told = requested();
    for number in [1, 2, 3] {
        assert_eq!(answer(&told.now().decide(&created(number), at(20))), refused(Rule::Sec2), "{number}");
    }
    let hex = SecretCommand::RecordNewVersion { version: "0".repeat(32).parse().unwrap() };
    assert_eq!(told.now().decide(&hex, at(20)), Err(SecretRefusal::OtherVault));
    let mut after = retiring();
    let decision = after.now().decide(&retired(3), at(700)).unwrap();
    after.happen(decision, at(700));
    let binding = after.now();
    assert_eq!(binding.id(), id(5));
    assert_eq!(binding.current().to_string(), "vault://kv/shop/db?version=4#password");
    assert_eq!(binding.state().status(), SecretStatus::Bound);
    assert_eq!(answer(&binding.decide(&retired(3), at(701))), Answer::Same);
    assert_eq!(answer(&binding.decide(&retired(4), at(701))), refused(Rule::Lifecycle));
    let past = &binding.rotations()[0];
    assert_eq!(
        (past.previous, past.version, past.outcome),
        (version(3), Some(version(4)), RotationOutcome::Completed)
    );
    assert_eq!((past.requested_at, past.ended_at, past.cause), (at(10), at(630), RotationKind::OnDemand));
}

/// Shows SEC-2.
#[test]
fn a_version_whose_rotation_was_called_off_does_not_come_back() {
    let told = told(&[
        (10, rotate(on_demand())),
        (20, created(4)),
        (30, abort()),
        (35, retired(4)),
        (40, rotate(on_demand())),
    ]);
    assert_eq!(told.now().current_version(), version(3));
    assert_eq!(told.now().rotations()[0].outcome, RotationOutcome::Aborted);
    assert_eq!(told.now().rotations()[0].version, Some(version(4)));
    assert_eq!(answer(&told.now().decide(&created(4), at(50))), refused(Rule::Sec2));
    assert_eq!(answer(&told.now().decide(&created(5), at(50))), Answer::Changes);
}

#[test]
fn a_new_version_of_a_rotation_that_was_called_off_is_retired_before_anything_else() {
    let mut told = told(&[(10, rotate(on_demand())), (20, created(4)), (30, abort())]);
    let SecretState::Retiring(state) = told.now().state() else { panic!("not retiring") };
    assert_eq!((state.version, state.retry_at), (version(4), at(30)));
    assert_eq!(told.now().current_version(), version(3));
    assert_eq!(told.now().version_to_deliver().map(|it| it.version), Some(version(3)));
    assert_eq!(answer(&told.now().decide(&rotate(on_demand()), at(31))), refused(Rule::Lifecycle));
    assert_eq!(told.now().decide(&retired(3), at(31)), Err(SecretRefusal::OtherVersion));
    told.check_replay_and_record();
    assert_refused(told.now(), "SEC-2", |record| record["state"]["Retiring"]["version"] = json!("3"));
    let decision = told.now().decide(&retired(4), at(31)).unwrap();
    told.happen(decision, at(31));
    let SecretState::Bound(state) = told.now().state() else { panic!("not bound") };
    assert!(state.next_rotation_at.is_some());
    told.check_replay_and_record();
}

#[test]
fn the_old_version_stays_until_every_consumer_was_seen_on_the_new_one() {
    let status = |told: &crate::testing::Told<SecretBinding>| told.now().state().status();
    let mut told = distributing();
    for seen_on in [&[Some(4), Some(3)][..], &[Some(4), None], &[None, None]] {
        let decision = told.now().decide(&seen(at(40), instances(seen_on)), at(40)).unwrap();
        assert!(!decision.is_unchanged());
        told.happen(decision, at(40));
        assert_eq!(status(&told), SecretStatus::Distributing);
        assert_eq!(answer(&told.now().decide(&seen(at(50), instances(seen_on)), at(50))), Answer::Same);
    }
    // What was seen before there was a new version says nothing about it.
    assert_eq!(answer(&told.now().decide(&all_on(19, 4), at(60))), Answer::Same);
    assert_eq!(answer(&told.now().decide(&all_on(20, 4), at(60))), Answer::Changes);
    assert_eq!(told.now().decide(&all_on(61, 4), at(60)), Err(SecretRefusal::FutureReport));
    let empty = seen(at(60), Consumption::Instances(BTreeMap::new()));
    assert_eq!(told.now().decide(&empty, at(60)), Err(SecretRefusal::BadReport));
    let many = |count: usize| seen(at(60), instances(&alloc::vec![Some(4); count]));
    assert_eq!(answer(&told.now().decide(&many(Consumption::MOST), at(60))), Answer::Changes);
    assert_eq!(told.now().decide(&many(Consumption::MOST + 1), at(60)), Err(SecretRefusal::BadReport));
}

#[test]
fn a_look_at_the_end_of_the_grace_or_later_ends_it_and_an_earlier_one_does_not() {
    let told = grace();
    assert_eq!(answer(&told.now().decide(&all_on(629, 4), at(700))), Answer::Same);
    assert_eq!(answer(&told.now().decide(&all_on(29, 3), at(700))), Answer::Same);
    let decision = told.now().decide(&all_on(630, 4), at(630)).unwrap();
    assert_eq!(
        decision.events,
        [SecretEvent::SecretRotated {
            secret_binding_id: id(5),
            service_id: ServiceId::of(id(1), &name("cart")),
            module: name("cart"),
            previous: version(3),
            version: version(4),
            cause: RotationKind::OnDemand,
        }]
    );
}

#[test]
fn a_consumer_that_falls_back_during_the_grace_holds_the_rotation() {
    let mut told = grace();
    let decision = told.now().decide(&seen(at(640), instances(&[Some(4), Some(3)])), at(640)).unwrap();
    told.happen(decision, at(640));
    assert_eq!(told.now().state().status(), SecretStatus::Distributing);
    assert_eq!((told.now().current_version(), told.now().new_version()), (version(3), Some(version(4))));
    let decision = told.now().decide(&all_on(650, 4), at(650)).unwrap();
    told.happen(decision, at(650));
    assert_eq!(told.now().wake_at(), Some(at(1_250)));
}

#[test]
fn a_compromised_version_gets_no_grace_but_is_not_retired_under_a_consumer() {
    let mut told = told(&[(10, rotate(compromised())), (20, created(4))]);
    let decision = told.now().decide(&seen(at(30), instances(&[Some(4), Some(3)])), at(30)).unwrap();
    told.happen(decision, at(30));
    assert_eq!(told.now().state().status(), SecretStatus::Distributing);
    let decision = told.now().decide(&all_on(40, 4), at(40)).unwrap();
    told.happen(decision, at(40));
    assert_eq!(told.now().state().status(), SecretStatus::Retiring);
    assert_eq!(told.now().wake_at(), Some(at(40)));
    told.check_replay_and_record();
}

#[test]
fn a_rotation_under_way_becomes_urgent_when_its_secret_is_compromised() {
    for mut told in [requested(), rotation_failed(), distributing(), grace()] {
        let decision = told.now().decide(&rotate(compromised()), at(100)).unwrap();
        told.happen(decision, at(100));
        assert_eq!(answer(&told.now().decide(&rotate(compromised()), at(101))), Answer::Same);
        assert_eq!(answer(&told.now().decide(&rotate(on_demand()), at(101))), Answer::Same);
        told.check_replay_and_record();
        if told.now().state().status() == SecretStatus::Grace {
            assert_eq!(told.now().wake_at(), Some(at(100)));
            let decision = told.now().decide(&all_on(100, 4), at(100)).unwrap();
            assert_eq!(decision.events[0].name(), "SecretRotated");
        }
    }
}

/// A record whose grace ends before it begins would be refused.
#[test]
fn a_compromise_that_a_clock_dates_before_the_grace_leaves_a_binding_that_can_be_stored() {
    let mut told = grace();
    let decision = told.now().decide(&rotate(compromised()), at(29)).unwrap();
    told.happen(decision, at(29));
    assert_eq!(told.now().wake_at(), Some(at(30)));
    told.check_replay_and_record();
}

#[test]
fn a_compromise_never_makes_the_grace_longer() {
    let mut told = grace();
    let decision = told.now().decide(&rotate(compromised()), at(1_000)).unwrap();
    told.happen(decision, at(1_000));
    assert_eq!(told.now().wake_at(), Some(at(630)));
    let decision = told.now().decide(&all_on(630, 4), at(1_000)).unwrap();
    assert_eq!(decision.events[0].name(), "SecretRotated");
}

#[test]
fn broken_glass_is_kept_with_the_rotation() {
    let glass = BreakGlass { by: actor(), reason: "leak".to_string() };
    let clearance = Clearance { break_glass: Some(glass.clone()), ..clearance() };
    let command = SecretCommand::RotateSecret(RotateSecret { cause: on_demand(), clearance });
    let evidence = command.evidence().unwrap();
    assert_eq!((evidence.kind, evidence.revision), (AggregateKind::RuntimeEnvironment, Revision(4)));
    let mut told = bound();
    let decision = told.now().decide(&command, at(1)).unwrap();
    told.happen(decision, at(1));
    let SecretState::Requested(state) = told.now().state() else { panic!("not requested") };
    assert_eq!(state.rotation.break_glass, Some(glass.clone()));
    let decision = told.now().decide(&rotate(compromised()), at(2)).unwrap();
    told.happen(decision, at(2));
    let SecretState::Requested(state) = told.now().state() else { panic!("not requested") };
    assert_eq!(state.rotation.break_glass, Some(glass));
    assert!(state.rotation.cause.is_compromise());
}

#[test]
fn a_scheduled_rotation_waits_until_it_is_due() {
    let told = bound();
    let due = told.now().wake_at().unwrap();
    let before = due - chrono::TimeDelta::milliseconds(1);
    assert_eq!(answer(&told.now().decide(&rotate(RotationCause::Scheduled), before)), Answer::Same);
    assert_eq!(answer(&told.now().decide(&rotate(RotationCause::Scheduled), due)), Answer::Changes);
    assert_eq!(answer(&told.now().decide(&rotate(RotationCause::Scheduled), at(DUE))), Answer::Changes);
}

#[test]
fn a_vault_that_fails_is_asked_ever_more_slowly_and_then_a_person_must_look() {
    let mut told = requested();
    let mut now = 100;
    for wait in [60, 120, 240, 480, 960, 1_920, 3_840] {
        let decision = told.now().decide(&failed(VaultFault::Failing), at(now)).unwrap();
        told.happen(decision, at(now));
        assert_eq!(told.now().wake_at(), Some(at(now + wait)));
        assert_eq!(answer(&told.now().decide(&SecretCommand::Tick, at(now + wait - 1))), Answer::Same);
        let decision = told.now().decide(&SecretCommand::Tick, at(now + wait)).unwrap();
        told.happen(decision, at(now + wait));
        now += wait;
    }
    let decision = told.now().decide(&failed(VaultFault::Failing), at(now)).unwrap();
    told.happen(decision, at(now));
    assert_eq!((told.now().state().status(), told.now().wake_at()), (SecretStatus::Suspended, None));
    assert_eq!(told.now().rotations()[0].outcome, RotationOutcome::Suspended);
    told.check_replay_and_record();
    let decision = told.now().decide(&resume(), at(now + 1)).unwrap();
    told.happen(decision, at(now + 1));
    assert_eq!(told.now().state().status(), SecretStatus::Bound);
    assert!(told.now().wake_at().unwrap() > at(now + 30 * DAY));
}

#[test]
fn a_vault_is_left_alone_as_long_as_it_asks_within_reason() {
    let told = requested();
    let wait = |retry_after: Option<u64>| {
        let command = SecretCommand::RecordVaultFailure {
            fault: VaultFault::Throttled,
            retry_after: retry_after.map(Span::from_secs),
        };
        let mut told = told.clone();
        let decision = told.now().decide(&command, at(100)).unwrap();
        told.happen(decision, at(100));
        told.now().wake_at().unwrap()
    };
    assert_eq!(wait(None), at(160));
    assert_eq!(wait(Some(5)), at(160));
    assert_eq!(wait(Some(300)), at(400));
    assert_eq!(wait(Some(DAY)), at(100 + 6 * 3_600));
}

#[test]
fn what_only_a_person_can_mend_is_not_tried_again() {
    for (fault, expected) in [
        (VaultFault::Unreachable, SecretStatus::RotationFailed),
        (VaultFault::Throttled, SecretStatus::RotationFailed),
        (VaultFault::Forbidden, SecretStatus::RotationFailed),
        (VaultFault::Failing, SecretStatus::RotationFailed),
        (VaultFault::OutcomeUnknown, SecretStatus::RotationFailed),
        (VaultFault::NotFound, SecretStatus::Suspended),
        (VaultFault::Unsupported, SecretStatus::Suspended),
    ] {
        let mut told = requested();
        let decision = told.now().decide(&failed(fault), at(100)).unwrap();
        assert!(decision.explanation.starts_with(&fault.to_string()) && fault.to_string().len() > 10);
        told.happen(decision, at(100));
        assert_eq!(told.now().state().status(), expected, "{fault}");
    }
}

#[test]
fn retiring_goes_on_after_failures_and_after_a_suspension() {
    let mut told = retiring();
    assert_eq!(told.now().decide(&retired(4), at(640)), Err(SecretRefusal::OtherVersion));
    for number in 0..7_u64 {
        let decision = told.now().decide(&failed(VaultFault::Forbidden), at(640 + number)).unwrap();
        told.happen(decision, at(640 + number));
        let SecretState::Retiring(state) = told.now().state() else { panic!("not retiring") };
        assert_eq!((u64::from(state.failures), state.fault), (number + 1, Some(VaultFault::Forbidden)));
        assert_eq!(state.retry_at, at(640 + number + 60 * (1 << number)));
    }
    told.check_replay_and_record();
    let decision = told.now().decide(&failed(VaultFault::Forbidden), at(900)).unwrap();
    told.happen(decision, at(900));
    told.check_replay_and_record();
    assert_eq!(told.now().state().status(), SecretStatus::Suspended);
    let decision = told.now().decide(&resume(), at(1_000)).unwrap();
    told.happen(decision, at(1_000));
    let SecretState::Retiring(state) = told.now().state() else { panic!("not retiring") };
    assert_eq!((state.version, state.failures, state.fault), (version(3), 0, None));
    assert_eq!(told.now().wake_at(), Some(at(1_000)));
}

#[test]
fn another_schedule_counts_from_now_where_nothing_is_under_way() {
    let hourly = RotationSchedule::new(Some("every 1h".parse().unwrap()), Span::ZERO).unwrap();
    let command = || SecretCommand::ChangeSchedule { rotation_schedule: hourly.clone() };
    let told_bound = told(&[(100, command())]);
    let wake = told_bound.now().wake_at().unwrap();
    assert!(wake >= at(3_700) && wake < at(3_700 + 360), "{wake}");
    assert_eq!(told_bound.now().rotation_schedule(), &hourly);
    let told_grace = told(&[(10, rotate(on_demand())), (20, command())]);
    assert_eq!(told_grace.now().wake_at(), Some(at(10)));
    assert_eq!(told_grace.now().rotation_schedule().grace(), Span::ZERO);
    let most = RotationSchedule::LONGEST_GRACE;
    assert!(RotationSchedule::new(None, most).is_ok());
    let why = RotationSchedule::new(None, most + Span::from_millis(1)).unwrap_err().to_string();
    assert_eq!(why, "a grace of 30d1ms is too long: write at most 30d");
    let json = json!({"schedule": null, "grace": "31d"});
    assert!(serde_json::from_value::<RotationSchedule>(json).is_err());
}

#[test]
fn a_reason_must_be_given() {
    let empty = || " ".to_string();
    for (told, command) in [
        (bound(), rotate(RotationCause::OnDemand { by: actor(), reason: empty() })),
        (bound(), rotate(RotationCause::Compromised { by: actor(), reason: empty() })),
        (bound(), SecretCommand::SuspendRotation { by: actor(), reason: empty() }),
        (bound(), SecretCommand::Unbind { reason: empty() }),
        (requested(), SecretCommand::AbortRotation { by: actor(), reason: empty() }),
    ] {
        assert_eq!(told.now().decide(&command, at(50)), Err(SecretRefusal::BadReason), "{}", command.name());
        assert_eq!(answer(&told.now().decide(&command, at(50))), refused(Rule::Content));
    }
}

#[test]
fn a_bound_secret_proves_it_and_an_unbound_one_proves_nothing() {
    for told in every_state() {
        match told.now().prove(Revision(7)) {
            Ok(proof) => {
                assert_eq!((proof.tenant(), proof.environment(), proof.binding()), (id(2), id(1), id(5)));
                assert_eq!((proof.module(), proof.evidence().revision), (&name("cart"), Revision(7)));
                assert_eq!(proof.evidence().kind, AggregateKind::SecretBinding);
            }
            Err(why) => {
                assert_eq!((why.rule(), told.now().state().status()), (Rule::Cfg2, SecretStatus::Unbound));
            }
        }
    }
}

#[test]
fn a_binding_says_what_it_was_bound_with() {
    let told = bound();
    let binding = told.now();
    assert_eq!((binding.service_id(), binding.bound_at()), (ServiceId::of(id(1), &name("cart")), at(0)));
    assert_eq!((binding.module(), binding.secret_name()), (&name("cart"), "shop/db#password"));
    assert_eq!(binding.key_vault_ref().to_string(), "vault://kv/shop/db#password");
    assert_eq!((binding.identity().as_str(), binding.delivery().file()), ("local:cart", Some("db-password")));
    assert_eq!(binding.modules().into_iter().collect::<Vec<_>>(), [name("cart")]);
    assert_eq!(Aggregate::uuid(binding), id::<crate::id::kind::SecretBinding>(5).uuid());
    assert_eq!(binding.rotation_schedule().schedule(), monthly().schedule());
    let evidence = bind().evidence();
    assert_eq!((evidence.kind, evidence.revision), (AggregateKind::RuntimeEnvironment, Revision(3)));
    assert_eq!(evidence.id, id::<crate::id::kind::Environment>(1).uuid());
    assert_eq!(unbind().evidence(), None);
}

#[test]
fn the_last_twenty_rotations_are_kept() {
    let mut told = bound();
    for round in 0..21_u64 {
        for command in [rotate(on_demand()), abort()] {
            let decision = told.now().decide(&command, at(100 + round)).unwrap();
            told.happen(decision, at(100 + round));
        }
    }
    assert_eq!(told.now().rotations().len(), SecretBinding::MOST_RECORDS);
    assert_eq!(told.now().rotations()[0].ended_at, at(101));
    told.check_replay_and_record();
    assert_refused(told.now(), "CONTENT", |record| {
        let first = record["rotations"][0].clone();
        record["rotations"].as_array_mut().unwrap().push(first);
    });
}

#[test]
fn a_record_that_was_edited_by_hand_is_refused() {
    let told = bound();
    assert_schema_is_kept(told.now());
    assert_refused(told.now(), "SEC-3", |record| record["module"] = json!("shop"));
    assert_refused(told.now(), "SCHEMA", |record| record["tenant_id"] = record["environment_id"].clone());
    assert_refused(told.now(), "SCHEMA", |record| record["current"] = json!("hunter2"));
    assert_refused(unbound().now(), "CONTENT", |record| record["state"]["Unbound"]["reason"] = json!(" "));
    assert_refused(suspended().now(), "CONTENT", |record| {
        record["state"]["Suspended"]["cause"]["Asked"]["reason"] = json!("");
    });
    assert_refused(suspended().now(), "SEC-2", |record| {
        record["state"]["Suspended"]["unretired"] = json!("2")
    });
    for (told, state) in [
        (requested(), "Requested"),
        (rotation_failed(), "RotationFailed"),
        (distributing(), "Distributing"),
        (grace(), "Grace"),
    ] {
        assert_refused(told.now(), "CONTENT", |record| {
            record["state"][state]["rotation"]["cause"]["OnDemand"]["reason"] = json!("");
        });
    }
    assert_refused(requested().now(), "LIFECYCLE", |record| {
        record["state"]["Requested"]["failures"] = json!(8)
    });
    assert_refused(rotation_failed().now(), "LIFECYCLE", |record| {
        record["state"]["RotationFailed"]["failures"] = json!(0);
    });
    assert_refused(rotation_failed().now(), "LIFECYCLE", |record| {
        record["state"]["RotationFailed"]["failures"] = json!(8);
    });
}

/// Shows SEC-2.
#[test]
fn a_record_with_versions_that_no_rotation_gives_is_refused() {
    for (told, state) in [(distributing(), "Distributing"), (grace(), "Grace")] {
        for number in ["2", "3"] {
            assert_refused(told.now(), "SEC-2", |record| record["state"][state]["version"] = json!(number));
        }
        assert_refused(told.now(), "SEC-2", |record| {
            record["state"][state]["version"] = json!("0".repeat(32))
        });
    }
    assert_refused(distributing().now(), "CONTENT", |record| {
        record["state"]["Distributing"]["consumption"] = json!({"Instances": {}});
    });
    assert_refused(distributing().now(), "X-1", |record| {
        let consumer = "shop@dep_00000000000000000000000000000009/i0";
        record["state"]["Distributing"]["consumption"] = json!({"Instances": {consumer: null}});
    });
    assert_refused(grace().now(), "LIFECYCLE", |record| {
        record["state"]["Grace"]["until"] = json!("2020-01-01T00:00:00Z");
    });
    assert_refused(retiring().now(), "SEC-2", |record| record["state"]["Retiring"]["version"] = json!("4"));
    assert_refused(retiring().now(), "SEC-2", |record| record["rotations"][0]["version"] = json!("5"));
    assert_refused(retiring().now(), "SEC-2", |record| record["rotations"][0]["version"] = json!("3"));
    assert_refused(retiring().now(), "LIFECYCLE", |record| {
        record["state"]["Retiring"]["failures"] = json!(1)
    });
    assert_refused(retiring().now(), "LIFECYCLE", |record| {
        record["state"]["Retiring"]["failures"] = json!(8)
    });
    assert_refused(retiring().now(), "LIFECYCLE", |record| {
        record["state"]["Retiring"]["fault"] = json!("Failing");
    });
}
