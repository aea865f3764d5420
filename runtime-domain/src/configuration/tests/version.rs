//! One version: its states, its evidence, its record.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::aggregate::{Aggregate, DomainEvent};
use crate::calendar::BreakGlass;
use crate::claim::{Claim, ClaimMode, ClaimSpace};
use crate::id::AggregateKind;
use crate::refusal::{Refusal, Rule};
use crate::scope::Actor;
use crate::secrets::BoundSecret;
use crate::testing::{Answer, answer, assert_refused, assert_schema_is_kept, loaded};

use Answer::{Changes, Refused, Same};

fn superseded() -> Told<RuntimeConfiguration> {
    then(begun(), &supersede())
}

fn withdrawn() -> Told<RuntimeConfiguration> {
    then(begun(), &withdraw("a mistake"))
}

fn consumed() -> Told<RuntimeConfiguration> {
    let own = begun().now().checksum().clone();
    then(begun(), &seen(&consumer("cart", "1"), &own, 1))
}

#[test]
fn every_command_in_every_state_is_answered_as_the_table_says() {
    let no = Refused(Rule::Lifecycle);
    let own = begun().now().checksum().clone();
    let new = consumer("cart", "new");
    let commands = || {
        [
            expect(core::slice::from_ref(&new)),
            seen(&new, &own, 9),
            seen(&new, &other(), 9),
            supersede(),
            withdraw("no"),
        ]
    };
    let table = [
        (begun(), "Published", [Changes, Changes, Changes, Changes, Changes]),
        (consumed(), "Published", [Changes, Changes, Changes, Changes, no]),
        (synced(), "Synced", [Changes, Changes, Changes, Changes, no]),
        (superseded(), "Superseded", [no, Same, Same, Same, no]),
        (withdrawn(), "Withdrawn", [no, Same, Same, no, Same]),
    ];
    for (told, status, expected) in table {
        assert_eq!(Aggregate::status(told.now()), status);
        assert_eq!(told.now().state().status().to_string(), status);
        for (command, expected) in commands().iter().zip(expected) {
            let decided = told.now().decide(command, at(100));
            assert_eq!(answer(&decided), expected, "{} while {status}", command.name());
            if let Err(refusal) = &decided {
                assert!(refusal.to_string().contains(command.name()), "{refusal}");
            }
            if let Ok(decision) = decided {
                let mut after = told.clone();
                after.happen(decision, at(100));
                after.check_replay_and_record();
            }
        }
    }
}

/// Shows CFG-3, X-3.
#[test]
fn publishing_again_gives_the_same_version_or_says_that_it_differs() {
    let again = |entries| PublishConfiguration { configuration_id: id(77), ..publish(entries) };
    let table = [
        (begun(), Same, Refused(Rule::Cfg3)),
        (synced(), Same, Refused(Rule::Cfg3)),
        (superseded(), Refused(Rule::Lifecycle), Refused(Rule::Cfg3)),
        (withdrawn(), Refused(Rule::Lifecycle), Refused(Rule::Cfg3)),
    ];
    for (told, same, different) in table {
        assert_eq!(answer(&told.now().publish_again(&again(level("info")))), same);
        assert_eq!(answer(&told.now().publish_again(&again(level("debug")))), different);
        let mut foreign = again(level("info"));
        foreign.environment.environment = id(9);
        assert_eq!(answer(&told.now().publish_again(&foreign)), Refused(Rule::Cfg3));
        foreign = again(level("info"));
        foreign.environment.tenant = id(9);
        assert_eq!(answer(&told.now().publish_again(&foreign)), Refused(Rule::Cfg3));
    }
}

/// Shows X-3.
#[test]
fn the_content_that_is_in_force_is_not_published_twice_and_one_that_was_taken_back_is() {
    let follow = |told: &Told<RuntimeConfiguration>, entries| {
        let previous = Some(told.now().used_version(Revision(4)));
        RuntimeConfiguration::publish(&PublishConfiguration { previous, ..publish(entries) }, at(0))
    };
    assert_eq!(answer(&follow(&begun(), level("info"))), Refused(Rule::X3));
    assert_eq!(answer(&follow(&synced(), level("info"))), Refused(Rule::X3));
    assert_eq!(answer(&follow(&synced(), level("debug"))), Changes);
    assert_eq!(answer(&follow(&withdrawn(), level("info"))), Changes);
    let refusal = follow(&begun(), level("info")).unwrap_err();
    assert_eq!(refusal.remedy(), "use v1");
    assert!(refusal.to_string().starts_with("v1 has exactly"));
}

/// Shows CFG-1.
#[test]
fn a_version_is_one_more_than_the_newest_even_where_that_was_taken_back() {
    for (told, version) in [(begun(), 2), (synced(), 2), (withdrawn(), 2), (second(), 3)] {
        let previous = Some(told.now().used_version(Revision(4)));
        let command = PublishConfiguration { previous, ..publish(level("trace")) };
        let next: Told<RuntimeConfiguration> =
            Told::begin(RuntimeConfiguration::publish(&command, at(0)), at(0));
        assert_eq!(next.now().version().get(), version);
    }
    assert_eq!(begun().now().version(), ConfigVersion::FIRST);
    let mut last = begun().now().used_version(Revision(1));
    last.version = ConfigVersion::new(u32::MAX).unwrap();
    let command = PublishConfiguration { previous: Some(last), ..publish(level("trace")) };
    assert_eq!(answer(&RuntimeConfiguration::publish(&command, at(0))), Refused(Rule::Cfg1));
}

/// Shows CFG-1.
#[test]
fn a_number_is_held_for_ever_in_its_environment() {
    for told in [begun(), synced(), superseded(), withdrawn()] {
        let claims = told.now().claims();
        assert_eq!(claims, BTreeSet::from([Claim::configuration_version(id(1), ConfigVersion::FIRST)]));
        let claim = claims.first().unwrap();
        assert_eq!((claim.mode, claim.space), (ClaimMode::Exclusive, ClaimSpace::Tenant));
        assert_eq!(claim.key, format!("configuration-version/{}/v1", told.now().environment_id()));
    }
    assert_ne!(second().now().claims(), begun().now().claims());
    assert!(ConfigVersion::new(0).unwrap_err().to_string().contains("from 1"));
    assert!(serde_json::from_str::<ConfigVersion>("0").is_err());
}

/// Shows CFG-1, X-1.
#[test]
fn only_a_newer_version_of_the_same_environment_takes_over() {
    let newer = || second().now().prove(Revision(1)).unwrap();
    for told in [begun(), synced(), superseded(), withdrawn()] {
        let own = ConfigurationCommand::Supersede { newer: begun().now().prove(Revision(1)).unwrap() };
        assert_eq!(answer(&told.now().decide(&own, at(1))), Refused(Rule::Cfg1));
        let mut foreign = newer();
        foreign.environment = id(9);
        let foreign = ConfigurationCommand::Supersede { newer: foreign };
        assert_eq!(answer(&told.now().decide(&foreign, at(1))), Refused(Rule::X1));
        let mut foreign = newer();
        foreign.tenant = id(9);
        let foreign = ConfigurationCommand::Supersede { newer: foreign };
        assert_eq!(answer(&told.now().decide(&foreign, at(1))), Refused(Rule::X1));
    }
    let older = ConfigurationCommand::Supersede { newer: begun().now().prove(Revision(1)).unwrap() };
    assert_eq!(answer(&second().now().decide(&older, at(1))), Refused(Rule::Cfg1));
    let after = then(synced(), &supersede());
    let ConfigurationState::Superseded(state) = after.now().state() else { panic!() };
    assert_eq!((state.by, state.by_version.get(), state.applied_at), (id(11), 2, Some(at(100))));
    assert_eq!(after.now().applied_at(), Some(at(100)));
    assert_eq!(superseded().now().applied_at(), None);
}

/// Shows X-1.
#[test]
fn evidence_about_another_tenant_or_environment_publishes_nothing() {
    let secret = || BoundSecret {
        tenant: id(2),
        environment: id(1),
        module: name("cart"),
        binding: id(30),
        at: Revision(1),
    };
    let mut commands: Vec<PublishConfiguration> = (0..6).map(|_| publish(level("info"))).collect();
    commands[0].clearance.tenant = id(9);
    commands[1].clearance.environment = id(9);
    let mut previous = second().now().used_version(Revision(1));
    previous.tenant = id(9);
    commands[2].previous = Some(previous);
    let mut previous = second().now().used_version(Revision(1));
    previous.environment = id(9);
    commands[3].previous = Some(previous);
    commands[4].secrets = vec![secret(), BoundSecret { tenant: id(9), ..secret() }];
    commands[5].secrets = vec![BoundSecret { environment: id(9), ..secret() }];
    for command in &commands {
        assert_eq!(answer(&RuntimeConfiguration::publish(command, at(0))), Refused(Rule::X1));
    }
    let decided = RuntimeConfiguration::publish(
        &PublishConfiguration { secrets: vec![secret()], ..publish(level("info")) },
        at(0),
    );
    assert_eq!(answer(&decided), Changes);
}

/// Shows X-1.
#[test]
fn a_silo_has_entries_for_its_own_tenant_only_and_a_pool_for_others() {
    let tenant = |number: u128| {
        let scope = ConfigScope::Tenant(id(number)).to_string();
        content(vec![entry(&scope, "beta", ConfigurationValue::Boolean(true))])
    };
    let table = [
        (IsolationModel::Silo, 2, Changes),
        (IsolationModel::Silo, 8, Refused(Rule::X1)),
        (IsolationModel::Pool, 8, Changes),
        (IsolationModel::Shared, 8, Changes),
    ];
    for (isolation_model, number, expected) in table {
        let mut command = publish(tenant(number));
        command.environment.isolation_model = isolation_model;
        assert_eq!(answer(&RuntimeConfiguration::publish(&command, at(0))), expected, "{isolation_model:?}");
    }
}

#[test]
fn a_clearance_for_something_else_is_none() {
    for activity in Activity::ALL {
        let mut command = publish(level("info"));
        command.clearance.activity = activity;
        let decided = RuntimeConfiguration::publish(&command, at(0));
        let is_right = activity == Activity::Configuration;
        assert_eq!(answer(&decided), if is_right { Changes } else { Refused(Rule::Calendar) });
    }
}

#[test]
fn broken_glass_is_kept_with_what_it_let_through() {
    let glass = BreakGlass { by: Actor::new("ada").unwrap(), reason: "the shop is down".to_string() };
    let mut command = publish(level("info"));
    command.clearance.break_glass = Some(glass.clone());
    let mut told: Told<RuntimeConfiguration> =
        Told::begin(RuntimeConfiguration::publish(&command, at(0)), at(0));
    assert_eq!(told.now().break_glass(), Some(&glass));
    told.check_replay_and_record();
    assert_refused(told.now(), "CONTENT", |record| record["break_glass"]["reason"] = "".into());
    told = begun();
    assert_eq!(told.now().break_glass(), None);
}

/// Shows CFG-2.
#[test]
fn a_reference_needs_proof_that_its_secret_is_bound_for_what_reads_it() {
    let secret = |module: &str, binding: u128| BoundSecret {
        tenant: id(2),
        environment: id(1),
        module: name(module),
        binding: id(binding),
        at: Revision(7),
    };
    let cases = [
        ("environment", vec![], Refused(Rule::Cfg2)),
        ("environment", vec![secret("cart", 31)], Refused(Rule::Cfg2)),
        ("environment", vec![secret("cart", 31), secret("cart", 30)], Changes),
        ("service:cart", vec![secret("cart", 30)], Changes),
        ("service:cart", vec![secret("mail", 30)], Refused(Rule::Cfg2)),
    ];
    for (scope, secrets, expected) in cases {
        let entries = content(vec![entry(scope, "db.password", reference(30))]);
        let command = PublishConfiguration { secrets, ..publish(entries) };
        let decided = RuntimeConfiguration::publish(&command, at(0));
        assert_eq!(answer(&decided), expected, "{scope}");
        if let Err(refusal) = decided {
            assert!(refusal.remedy().contains(scope), "{}", refusal.remedy());
        }
    }
}

#[test]
fn a_request_names_every_fact_it_rests_on() {
    let mut command = publish(level("debug"));
    command.clearance.at = Revision(5);
    command.previous = Some(begun().now().used_version(Revision(4)));
    command.secrets = vec![BoundSecret {
        tenant: id(2),
        environment: id(1),
        module: name("cart"),
        binding: id(30),
        at: Revision(7),
    }];
    let named: Vec<_> =
        command.evidence().iter().map(|fact| (fact.kind, fact.id.as_u128(), fact.revision.0)).collect();
    let expected = [
        (AggregateKind::RuntimeEnvironment, 1, 3),
        (AggregateKind::RuntimeEnvironment, 1, 5),
        (AggregateKind::RuntimeConfiguration, 10, 4),
        (AggregateKind::SecretBinding, 30, 7),
    ];
    assert_eq!(named, expected);
    let evidence = supersede().evidence();
    assert_eq!((evidence.len(), evidence[0].id.as_u128(), evidence[0].revision), (1, 11, Revision(1)));
    assert_eq!(withdraw("no").evidence(), []);
}

#[test]
fn a_version_in_force_proves_itself_and_no_other_does() {
    for told in [begun(), synced()] {
        let proof = told.now().prove(Revision(6)).unwrap();
        assert_eq!((proof.tenant(), proof.environment(), proof.configuration()), (id(2), id(1), id(10)));
        assert_eq!((proof.version().get(), proof.evidence().revision), (1, Revision(6)));
        assert_eq!(proof.checksum(), told.now().checksum());
        let named = proof.to_version_ref();
        assert_eq!((named.configuration, &named.checksum), (id(10), told.now().checksum()));
        let used = told.now().used_version(Revision(6));
        assert_eq!(used.in_force(), Some(told.now().checksum()));
    }
    for told in [superseded(), withdrawn()] {
        let refusal = told.now().prove(Revision(6)).unwrap_err();
        assert_eq!(refusal.rule(), Rule::Lifecycle);
        assert_eq!(refusal.to_string(), format!("v1 is {}", Aggregate::status(told.now())));
        let used = told.now().used_version(Revision(6));
        assert_eq!((used.tenant(), used.environment(), used.configuration()), (id(2), id(1), id(10)));
        assert_eq!((used.version().get(), used.in_force()), (1, None));
        assert_eq!(used.evidence().kind, AggregateKind::RuntimeConfiguration);
        assert_eq!(used.evidence().id.as_u128(), 10);
    }
}

#[test]
fn it_is_synced_only_when_every_expected_consumer_was_observed_with_exactly_this_checksum() {
    let (one, two) = (consumer("cart", "1"), consumer("mail", "1"));
    let own = begun().now().checksum().clone();
    let told = then(begun(), &seen(&one, &own, 1));
    assert_eq!(Aggregate::status(told.now()), "Published", "nobody is expected, so nothing is known");
    let told = then(told, &expect(&[one.clone(), two.clone()]));
    assert_eq!((Aggregate::status(told.now()), told.now().applied_at()), ("Published", None));
    let told = then(told, &seen(&two, &other(), 2));
    assert_eq!(Aggregate::status(told.now()), "Published", "the wrong checksum never counts");
    let told = then(told, &seen(&two, &own, 3));
    assert_eq!((Aggregate::status(told.now()), told.now().applied_at()), ("Synced", Some(at(100))));
    let (event, _) = told.history.last().unwrap();
    let ConfigurationEvent::ConfigurationSynced { version, checksum, consumers, .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!((version.get(), checksum, consumers), (1, &own, &BTreeSet::from([one, two])));
}

#[test]
fn expecting_only_who_runs_it_brings_it_in_sync_and_a_newcomer_out_of_it() {
    let (one, new) = (consumer("cart", "1"), consumer("cart", "3"));
    let told = then(synced(), &expect(&[one.clone(), new.clone()]));
    assert_eq!(Aggregate::status(told.now()), "Published");
    let fell = ConfigurationEvent::ConfigurationFellOutOfSync { consumers: BTreeSet::from([new]) };
    assert_eq!(told.history.last().unwrap().0, fell);
    assert!(matches!(told.now().state(), ConfigurationState::Published(state) if state.since == at(100)));
    let told = then(told, &expect(&[one]));
    assert_eq!(Aggregate::status(told.now()), "Synced");
    let told = then(told, &expect(&[]));
    assert_eq!(Aggregate::status(told.now()), "Published", "where nobody is expected, nothing is known");
}

#[test]
fn a_consumer_seen_with_another_configuration_is_shown_as_out_of_sync() {
    let (one, two, three) = (consumer("cart", "1"), consumer("cart", "2"), consumer("cart", "3"));
    let told = then(synced(), &seen(&two, &other(), 50));
    assert_eq!(Aggregate::status(told.now()), "Published");
    let told = then(told, &expect(&[one.clone(), two.clone(), three.clone()]));
    let (before, wrong) = (at(5), other());
    let reports: Vec<_> = told.now().consumers().into_iter().collect();
    let expected = [
        (&one, ConsumerReport::InSync { since: before }),
        (&two, ConsumerReport::OutOfSync { checksum: &wrong, since: at(50) }),
        (&three, ConsumerReport::Unseen),
    ];
    assert_eq!(reports, expected);
    assert!(superseded().now().consumers().is_empty());
    assert_eq!(one.to_string(), "cart/1");
}

#[test]
fn an_observation_that_is_old_or_says_nothing_new_changes_nothing() {
    let one = consumer("cart", "1");
    let own = begun().now().checksum().clone();
    let decided = |command| answer(&synced().now().decide(&command, at(100)));
    assert_eq!(decided(seen(&one, &own, 90)), Same);
    assert_eq!(decided(seen(&one, &other(), 4)), Same);
    assert_eq!(decided(seen(&one, &other(), 5)), Changes);
    assert_eq!(decided(expect(&[one.clone(), consumer("cart", "2")])), Same);
    let told = then(begun(), &seen(&one, &own, 500));
    let sighting = told.now().consumption().unwrap().sightings[0].clone();
    assert_eq!(sighting.observed_at, at(100), "a time to come is taken as now");
}

#[test]
fn who_left_is_forgotten_and_that_somebody_ran_it_is_not() {
    let one = consumer("cart", "1");
    let told = then(synced(), &expect(&[]));
    assert_eq!(told.now().consumers().len(), 0);
    assert_eq!(answer(&told.now().decide(&withdraw("no"), at(1))), Refused(Rule::Lifecycle));
    let told = then(begun(), &seen(&one, &other(), 1));
    assert_eq!(answer(&told.now().decide(&withdraw("no"), at(1))), Changes, "another version was run");
    assert_eq!(answer(&begun().now().decide(&withdraw(" "), at(1))), Refused(Rule::Content));
}

#[test]
fn consumers_are_bounded() {
    let many = |count: usize| -> BTreeSet<Consumer> {
        (0..count).map(|number| consumer("cart", &number.to_string())).collect()
    };
    let expect = |count| ConfigurationCommand::ExpectConsumers { consumers: many(count) };
    assert_eq!(answer(&begun().now().decide(&expect(Consumption::MOST), at(1))), Changes);
    assert_eq!(answer(&begun().now().decide(&expect(Consumption::MOST + 1), at(1))), Refused(Rule::Content));
    let mut crowded = begun().now().clone();
    let sightings = many(Consumption::MOST).into_iter().map(|consumer| Sighting {
        consumer,
        checksum: other(),
        observed_at: at(1),
    });
    crowded.state = ConfigurationState::Published(Published {
        since: at(0),
        consumption: Consumption { sightings: sightings.collect(), ..Consumption::default() },
    });
    let new = crowded.decide(&seen(&consumer("mail", "1"), &other(), 2), at(2));
    assert_eq!(answer(&new), Refused(Rule::Content));
    let known = seen(&consumer("cart", "1"), crowded.checksum(), 2);
    assert_eq!(answer(&crowded.decide(&known, at(2))), Changes);
    for text in ["", "a b", &"x".repeat(129)] {
        assert!(ConsumerName::new(text).is_err(), "{text}");
    }
    assert_eq!(ConsumerName::new(&"x".repeat(128)).unwrap().as_str().len(), 128);
}

#[test]
fn the_two_events_of_the_specification_are_published_and_no_other() {
    let one = consumer("cart", "1");
    let own = begun().now().checksum().clone();
    let told = then(synced(), &seen(&one, &other(), 50));
    let told = then(then(told, &seen(&one, &own, 51)), &supersede());
    let names: Vec<_> = told.history.iter().map(|(event, _)| (event.name(), event.published())).collect();
    let expected = [
        ("ConfigurationPublished", Some(1)),
        ("ConsumersExpected", None),
        ("ConsumptionRecorded", None),
        ("ConsumptionRecorded", None),
        ("ConfigurationSynced", Some(1)),
        ("ConsumptionRecorded", None),
        ("ConfigurationFellOutOfSync", None),
        ("ConsumptionRecorded", None),
        ("ConfigurationSynced", Some(1)),
        ("ConfigurationSuperseded", None),
    ];
    assert_eq!(names, expected);
    let (event, _) = withdrawn().history.pop().unwrap();
    assert_eq!((event.name(), event.published()), ("ConfigurationWithdrawn", None));
}

#[test]
fn it_is_looked_at_while_it_is_in_force() {
    assert_eq!(begun().now().wake_at(), Some(at(0)));
    assert_eq!(synced().now().wake_at(), synced().now().applied_at());
    for told in [superseded(), withdrawn()] {
        assert_eq!(told.now().wake_at(), None);
    }
}

#[test]
fn it_says_whose_and_which_it_is() {
    let told = begun();
    let it = told.now();
    assert_eq!((it.id(), it.tenant_id(), it.environment_id()), (id(10), id(2), id(1)));
    assert_eq!((it.uuid().as_u128(), it.tenant(), it.environment()), (10, id(2), id(1)));
    assert_eq!((it.version().to_string().as_str(), it.published_at()), ("v1", at(0)));
    assert_eq!(it.modules(), BTreeSet::new());
    assert_eq!(it.entries(), &level("info"));
    let entries = content(vec![
        entry("environment", "a", text("1")),
        entry("service:cart", "a", text("1")),
        entry("service:mail", "a", text("1")),
    ]);
    let told: Told<RuntimeConfiguration> =
        Told::begin(RuntimeConfiguration::publish(&publish(entries), at(0)), at(0));
    assert_eq!(told.now().modules(), BTreeSet::from([name("cart"), name("mail")]));
}

/// Shows CFG-3.
#[test]
fn a_history_whose_entries_were_edited_is_not_replayed() {
    let (event, _) = begun().history.pop().unwrap();
    let mut body = serde_json::to_value(&event).unwrap();
    body["entries"][0]["value"]["value"] = "debug".into();
    let event: ConfigurationEvent = serde_json::from_value(body).unwrap();
    let misapplied = RuntimeConfiguration::evolve(None, &event, at(0)).unwrap_err();
    assert_eq!((misapplied.event, misapplied.state), ("ConfigurationPublished", "absent"));
}

#[test]
fn an_event_that_does_not_fit_the_state_is_not_applied() {
    let told = synced();
    let synced_event = told.history.last().unwrap().0.clone();
    for (told, event, state) in [
        (synced(), synced_event.clone(), "Synced"),
        (superseded(), synced_event, "Superseded"),
        (withdrawn(), superseded().history.pop().unwrap().0, "Withdrawn"),
        (synced(), withdrawn().history.pop().unwrap().0, "Synced"),
        (superseded(), told.history[1].0.clone(), "Superseded"),
        (begun(), begun().history.pop().unwrap().0, "Published"),
    ] {
        let misapplied = RuntimeConfiguration::evolve(told.state, &event, at(0)).unwrap_err();
        assert_eq!((misapplied.event, misapplied.state), (event.name(), state));
    }
}

/// Shows CFG-1, CFG-2, CFG-3.
#[test]
fn a_record_that_was_edited_by_hand_is_refused() {
    let it = synced().now().clone();
    assert_schema_is_kept(&it);
    assert_refused(&it, "CFG-3", |record| record["entries"][0]["value"]["value"] = "debug".into());
    assert_refused(&it, "CFG-3", |record| record["entries"] = serde_json::json!([]));
    assert_refused(&it, "CFG-3", |record| record["checksum"] = other().as_str().into());
    assert_refused(&it, "CFG-2", |record| {
        record["entries"][0]["value"]["value"] = format!("ghp_{}", "a1".repeat(18)).into();
    });
    assert_refused(&it, "CONTENT", |record| {
        let entry = record["entries"][0].clone();
        record["entries"].as_array_mut().unwrap().push(entry);
    });
    assert_refused(&it, "SCHEMA", |record| record["version"] = 0.into());
    let consumption = |record: &mut serde_json::Value, change: &dyn Fn(&mut serde_json::Value)| {
        change(&mut record["state"]["Synced"]["consumption"]);
    };
    assert_refused(&it, "LIFECYCLE", |record| {
        consumption(record, &|it| it["expected"] = serde_json::json!([]))
    });
    assert_refused(&it, "LIFECYCLE", |record| {
        consumption(record, &|it| it["sightings"][0]["checksum"] = other().as_str().into());
    });
    assert_refused(&it, "CONTENT", |record| {
        consumption(record, &|it| it["sightings"].as_array_mut().unwrap().reverse());
    });
    assert_refused(&it, "CONTENT", |record| {
        consumption(record, &|it| it["sightings"][1] = it["sightings"][0].clone());
    });
    assert_refused(&it, "CONTENT", |record| consumption(record, &|it| it["was_consumed"] = false.into()));
    assert_refused(&it, "LIFECYCLE", |record| {
        let consumption = record["state"]["Synced"]["consumption"].clone();
        record["state"] = serde_json::json!({"Published": {"since": at(0), "consumption": consumption}});
    });
    for version in [1, 2] {
        assert_refused(superseded().now(), "CFG-1", |record| {
            record["version"] = version.into();
            record["state"]["Superseded"]["by_version"] = 1.into();
        });
    }
    assert_refused(withdrawn().now(), "CONTENT", |record| {
        record["state"]["Withdrawn"]["reason"] = " ".into()
    });
}

#[test]
fn a_record_with_too_many_consumers_is_refused() {
    let many = |count: usize| -> Vec<_> {
        (0..count).map(|at| serde_json::json!({"module": "cart", "name": format!("{at:05}")})).collect()
    };
    let mut record = serde_json::to_value(begun().now().to_record()).unwrap();
    record["state"]["Published"]["consumption"]["expected"] = many(Consumption::MOST).into();
    assert!(loaded::<RuntimeConfiguration>(&record).is_ok());
    record["state"]["Published"]["consumption"]["expected"] = many(Consumption::MOST + 1).into();
    assert!(loaded::<RuntimeConfiguration>(&record).unwrap_err().starts_with("CONTENT"));
    let sighting =
        |consumer| serde_json::json!({"consumer": consumer, "checksum": other(), "observed_at": at(0)});
    record["state"]["Published"]["consumption"]["expected"] = serde_json::json!([]);
    let sightings: Vec<_> = many(Consumption::MOST + 1).into_iter().map(sighting).collect();
    record["state"]["Published"]["consumption"]["sightings"] = sightings.into();
    assert!(loaded::<RuntimeConfiguration>(&record).unwrap_err().starts_with("CONTENT"));
}

fn commands() -> impl Strategy<Value = ConfigurationCommand> {
    let who = || (0..3_usize).prop_map(|which| consumer(["cart", "mail", "shop"][which], "1"));
    prop_oneof![
        proptest::collection::btree_set(who(), 0..4)
            .prop_map(|consumers| ConfigurationCommand::ExpectConsumers { consumers }),
        (who(), any::<bool>(), 0..30_u64).prop_map(|(who, is_own, seconds)| {
            seen(&who, &if is_own { level("info").checksum() } else { other() }, seconds)
        }),
        (who(), 0..30_u64).prop_map(|(who, seconds)| seen(&who, &level("info").checksum(), seconds)),
        Just(()).prop_map(|()| withdraw("no")),
    ]
}

proptest! {
    /// Shows CFG-3.
    #[test]
    fn whatever_happens_the_content_stays_and_synced_means_that_everybody_runs_it(
        commands in proptest::collection::vec(commands(), 0..25),
        ends in any::<bool>(),
    ) {
        let mut told = begun();
        let end = ends.then(supersede);
        for (second, command) in commands.iter().chain(end.as_ref()).enumerate() {
            let now = at(second as u64);
            if let Ok(decision) = told.now().decide(command, now) {
                told.happen(decision, now);
            }
            let it = told.now();
            prop_assert_eq!(it.entries(), &level("info"));
            prop_assert_eq!(it.checksum(), &it.entries().checksum());
            if let Some(consumption) = it.consumption() {
                let all_run_it = !consumption.expected.is_empty() && consumption.expected.iter().all(|who| {
                    matches!(it.consumers().get(who), Some(ConsumerReport::InSync { .. }))
                });
                prop_assert_eq!(matches!(it.state(), ConfigurationState::Synced(_)), all_run_it);
            }
        }
        told.check_replay_and_record();
    }
}
