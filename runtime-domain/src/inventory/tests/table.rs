//! Every command in every state.

use super::*;
use crate::aggregate::{Aggregate, DomainEvent};
use crate::claim::Claim;
use crate::refusal::Rule;
use crate::testing::{Answer, answer, assert_refused, assert_schema_is_kept};

const NO: Answer = Answer::Refused(Rule::Lifecycle);

/// What a command is answered with in a state, from the table in the context's docs, a second after the service was looked at.
fn expected(row: usize, status: RuntimeStatus) -> Answer {
    use Answer::{Changes, Same};
    if status == RuntimeStatus::Retired {
        return if row == 6 { Same } else { NO };
    }
    match row {
        // The version that is recorded, and another.
        0 => Same,
        1 => Changes,
        // A newer observation of two ready instances.
        2 if status == RuntimeStatus::Running => Same,
        2 => Changes,
        // An observation that is older than the last, and looking in vain: news where nobody has looked before.
        3 | 4 if status != RuntimeStatus::Unknown => Same,
        // Looking in vain, long after; retiring.
        3..=6 => Changes,
        _ => unreachable!(),
    }
}

fn commands() -> [(InventoryCommand, u64); 7] {
    let ready = [InstanceState::Ready, InstanceState::Ready];
    [
        (InventoryCommand::RecordDeployedVersion { version: deployed(1) }, 11),
        (InventoryCommand::RecordDeployedVersion { version: deployed(2) }, 11),
        (observe(showing([seen(1, &ready)], 11)), 11),
        (observe(showing([seen(1, &ready)], 9)), 11),
        (in_vain(), 11),
        (in_vain(), 10 + 91),
        (retire(), 11),
    ]
}

#[test]
fn every_command_in_every_state_is_answered_as_the_table_says() {
    for status in RuntimeStatus::ALL {
        for (row, (command, seconds)) in commands().into_iter().enumerate() {
            let told = in_state(status);
            let decided = told.now().decide(&command, at(seconds));
            assert_eq!(answer(&decided), expected(row, status), "{command:?} while {status}");
            if let Ok(decision) = decided {
                let mut after = told.clone();
                after.happen(decision, at(seconds));
                after.check_replay_and_record();
            }
        }
    }
}

#[test]
fn evidence_of_another_tenant_environment_or_module_is_refused_in_every_state() {
    for status in &RuntimeStatus::ALL[..5] {
        let told = in_state(*status);
        let tenant = DeployedVersion { tenant: id(8), ..deployed(2) };
        let environment = DeployedVersion { environment: id(8), ..deployed(2) };
        let module = DeployedVersion { revision: RevisionId::new(name("checkout"), id(2)), ..deployed(2) };
        for (version, rule) in [(tenant, Rule::Svc3), (environment, Rule::Svc1), (module, Rule::Svc1)] {
            let command = InventoryCommand::RecordDeployedVersion { version };
            assert_eq!(answer(&told.now().decide(&command, at(11))), Answer::Refused(rule), "{status}");
        }
    }
}

#[test]
fn an_observation_of_another_component_is_refused_in_every_state() {
    let own = showing([seen(1, &[])], 11);
    let keys = [
        ComponentKey { tenant: id(8), ..own.key.clone() },
        ComponentKey { environment: id(8), ..own.key.clone() },
        ComponentKey { module: name("checkout"), ..own.key },
    ];
    for status in &RuntimeStatus::ALL[..5] {
        for key in &keys {
            let command = observe(ComponentObservation { key: key.clone(), ..showing([seen(1, &[])], 11) });
            let answered = answer(&in_state(*status).now().decide(&command, at(11)));
            assert_eq!(answered, Answer::Refused(Rule::X1), "{status}");
        }
    }
}

#[test]
fn only_evidence_of_the_scopes_own_tenant_and_environment_registers_a_service() {
    let tenant = RegisterService { tenant_id: id(8), ..register(1) };
    assert_eq!(answer(&RuntimeService::register(&tenant, at(0))), Answer::Refused(Rule::Svc3));
    let environment = RegisterService { environment_id: id(8), ..register(1) };
    assert_eq!(answer(&RuntimeService::register(&environment, at(0))), Answer::Refused(Rule::Svc1));
}

#[test]
fn registering_again_gives_the_same_record_or_says_what_differs() {
    for status in &RuntimeStatus::ALL[..5] {
        let told = in_state(*status);
        assert_eq!(answer(&told.now().register_again(&register(1))), Answer::Same);
        assert_eq!(answer(&told.now().register_again(&register(2))), Answer::Refused(Rule::X3));
    }
    assert_eq!(answer(&in_state(RuntimeStatus::Retired).now().register_again(&register(1))), NO);
}

#[test]
fn a_service_is_claimed_until_it_is_retired() {
    for status in RuntimeStatus::ALL {
        let held = BTreeSet::from([Claim::service(id(1), &name("cart"))]);
        let expected = if status.is_final() { BTreeSet::new() } else { held };
        assert_eq!(in_state(status).now().claims(), expected);
    }
}

#[test]
fn a_service_is_not_retired_without_a_reason() {
    let blank = InventoryCommand::RetireService { reason: " ".to_string() };
    let answered = answer(&in_state(RuntimeStatus::Running).now().decide(&blank, at(11)));
    assert_eq!(answered, Answer::Refused(Rule::Content));
}

#[test]
fn the_two_events_of_the_specification_are_published_and_no_other() {
    let mut told = registered();
    told.command(&in_vain(), 1).unwrap();
    told.command(&retire(), 2).unwrap();
    let published: Vec<_> = told.history.iter().map(|(event, _)| (event.name(), event.published())).collect();
    assert_eq!(
        published,
        [
            ("RuntimeInventoryUpdated", Some(1)),
            ("ServiceObservationMissed", None),
            ("RuntimeServiceRetired", Some(1))
        ]
    );
}

#[test]
fn a_record_that_was_edited_by_hand_is_refused() {
    let running = in_state(RuntimeStatus::Running).now().clone();
    assert_schema_is_kept(&running);
    assert_refused(&running, "SVC-2", |record| {
        record["state"]["Running"]["instances"] = serde_json::json!([]);
    });
    assert_refused(&running, "SVC-2", |record| {
        for index in 0..2 {
            record["state"]["Running"]["instances"][index]["state"] = serde_json::json!("not-ready");
        }
    });
    assert_refused(&running, "SVC-1", |record| {
        let foreign = serde_json::json!(revision(9).to_string());
        record["state"]["Running"]["instances"][0]["revision"] = foreign;
    });
    assert_refused(&running, "SVC-1", |record| record["module_id"] = serde_json::json!("checkout"));
    assert_refused(&running, "SVC-1", |record| {
        let twice = record["current"].clone();
        record["former"] = serde_json::json!([twice]);
    });
    assert_refused(&running, "SVC-2", |record| {
        record["state"] = serde_json::json!({ "Unavailable": record["state"]["Running"] });
    });
    assert_refused(&running, "SVC-2", |record| {
        let mut observed = record["state"]["Running"].clone();
        observed["instances"] = serde_json::json!([]);
        record["state"] = serde_json::json!({ "Degraded": { "observed": observed, "cause": "none-routed" } });
    });
    assert_refused(&running, "SCHEMA", |record| {
        record["current"]["image"] = serde_json::json!("shop/cart:latest")
    });
    let retired = in_state(RuntimeStatus::Retired).now().clone();
    assert_refused(&retired, "CONTENT", |record| {
        record["state"]["Retired"]["reason"] = serde_json::json!("");
    });
}
