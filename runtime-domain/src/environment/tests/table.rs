//! Every command in every state.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;
use crate::aggregate::Aggregate;
use crate::calendar::ChangeCalendar;
use crate::refusal::Rule;
use crate::testing::{Answer, answer, assert_called};

fn change(change: EnvironmentChange) -> EnvironmentCommand {
    EnvironmentCommand::ChangeEnvironment(change)
}

/// Every command, in the order of the rows below.
fn commands(environment: &RuntimeEnvironment) -> Vec<EnvironmentCommand> {
    let none = EnvironmentChange::default;
    let resources = made(&environment.blueprint());
    let other = ProvisionedResources { stack_ref: "acme/shop/other".to_string(), ..resources.clone() };
    let more = BTreeSet::from([SurfaceKind::Process, SurfaceKind::Kubernetes]);
    let fewer = BTreeSet::from([SurfaceKind::Kubernetes]);
    Vec::from([
        EnvironmentCommand::RecordProvisioningStarted,
        EnvironmentCommand::RecordProvisioned { resources },
        EnvironmentCommand::RecordProvisioned { resources: other },
        fail(),
        EnvironmentCommand::RecordProvisioningFailed { reason: "otherwise".to_string(), retry_at: None },
        EnvironmentCommand::RetryProvisioning,
        change(none()),
        change(EnvironmentChange { egress_allow_list: Some(egress(&["other.example.com"])), ..none() }),
        change(EnvironmentChange { surfaces: Some(more), ..none() }),
        change(EnvironmentChange { surfaces: Some(fewer), ..none() }),
        change(EnvironmentChange { region: Some(name("northeurope")), ..none() }),
        change(EnvironmentChange { stage: Some(EnvironmentStage::Test), ..none() }),
        change(EnvironmentChange { name: Some(name("store")), ..none() }),
        EnvironmentCommand::ProtectFromDeletion,
        EnvironmentCommand::Unprotect,
        decommission(),
        EnvironmentCommand::RecordDecommissioned,
        EnvironmentCommand::RecordDecommissioningFailed { reason: "busy".to_string(), retry_at: at(900) },
        EnvironmentCommand::ChangeCalendar { calendar: nightly() },
        EnvironmentCommand::ChangeCalendar { calendar: ChangeCalendar::default() },
        stop("payments fail"),
        EnvironmentCommand::ResumeTheLine { by: ada(), reason: "they work".to_string() },
    ])
}

/// One column of the table: how the commands above are answered.
fn column(status: ProvisioningStatus) -> [Answer; 22] {
    use Answer::{Changes as Yes, Refused, Same};
    let no = Refused(Rule::Lifecycle);
    let (env2, x3, cap) = (Refused(Rule::Env2), Refused(Rule::X3), Refused(Rule::Capability));
    match status {
        ProvisioningStatus::Requested => [
            Yes, no, no, no, no, Same, Same, Yes, Yes, Yes, Yes, Yes, Yes, Yes, Same, Yes, no, no, Yes, Same,
            Yes, Same,
        ],
        ProvisioningStatus::Provisioning => [
            Same, Yes, Yes, Yes, Yes, Same, Same, Yes, Yes, cap, env2, env2, x3, Yes, Same, Yes, no, no, Yes,
            Same, Yes, Same,
        ],
        ProvisioningStatus::ProvisioningFailed => [
            no, no, no, Same, no, Yes, Same, Yes, Yes, cap, env2, env2, x3, Yes, Same, Yes, no, no, Yes,
            Same, Yes, Same,
        ],
        ProvisioningStatus::Provisioned => [
            no, Same, Yes, no, no, Same, Same, Yes, Yes, cap, env2, env2, x3, Yes, Same, Yes, no, no, Yes,
            Same, Yes, Same,
        ],
        ProvisioningStatus::Decommissioning => {
            [no, no, no, no, no, no, no, no, no, no, no, no, no, no, no, Same, Yes, Yes, no, no, no, no]
        }
        ProvisioningStatus::Decommissioned => {
            [no, no, no, no, no, no, no, no, no, no, no, no, no, no, no, Same, Same, no, no, no, no, no]
        }
    }
}

#[test]
fn every_command_in_every_state_is_answered_as_the_table_says() {
    for status in ProvisioningStatus::ALL {
        let told = in_state(EnvironmentStage::Dev, status);
        let commands = commands(told.now());
        assert_eq!(commands.len(), column(status).len());
        for (command, expected) in commands.iter().zip(column(status)) {
            assert_called(command, command.name());
            let decided = told.now().decide(command, at(10));
            assert_eq!(answer(&decided), expected, "{command:?} while {status}");
            if let Ok(decision) = decided {
                let mut after = told.clone();
                after.happen(decision, at(10));
                after.check_replay_and_record();
            }
        }
    }
}

#[test]
fn a_command_that_was_accepted_changes_nothing_the_second_time_or_says_why_not() {
    for status in ProvisioningStatus::ALL {
        let told = in_state(EnvironmentStage::Dev, status);
        for command in commands(told.now()) {
            let mut after = told.clone();
            if after.command(&command, 10).is_err() {
                continue;
            }
            let again = answer(&after.now().decide(&command, at(10)));
            // What the world reports anew is news; a second failure may come at another time.
            let is_report = matches!(command, EnvironmentCommand::RecordDecommissioningFailed { .. });
            assert!(again == Answer::Same || is_report, "{command:?} while {status}: {again:?}");
        }
    }
}

/// Shows X-3.
#[test]
fn asking_again_for_the_same_environment_gives_the_same_one() {
    let same = ProvisionRuntimeEnvironment { environment_id: id(99), ..provision(EnvironmentStage::Dev) };
    let other = ProvisionRuntimeEnvironment { region: name("northeurope"), ..same.clone() };
    for status in ProvisioningStatus::ALL {
        let told = in_state(EnvironmentStage::Dev, status);
        let is_gone = status == ProvisioningStatus::Decommissioned;
        let gone = Answer::Refused(Rule::Lifecycle);
        let expected = |otherwise| if is_gone { gone } else { otherwise };
        assert_eq!(answer(&told.now().provision_again(&same)), expected(Answer::Same), "{status}");
        let differs = expected(Answer::Refused(Rule::X3));
        assert_eq!(answer(&told.now().provision_again(&other)), differs, "{status}");
    }
}

#[test]
fn a_protected_environment_is_not_decommissioned_in_any_state() {
    for status in &ProvisioningStatus::ALL[..4] {
        let mut told = in_state(EnvironmentStage::Dev, *status);
        told.command(&EnvironmentCommand::ProtectFromDeletion, 5).unwrap();
        assert_eq!(answer(&told.now().decide(&decommission(), at(6))), Answer::Refused(Rule::Lifecycle));
        told.command(&EnvironmentCommand::Unprotect, 7).unwrap();
        told.command(&decommission(), 8).unwrap();
        assert_eq!(told.now().provisioning_status(), ProvisioningStatus::Decommissioning);
    }
}

#[test]
fn every_event_but_the_first_is_refused_before_it_and_the_first_after_it() {
    for status in ProvisioningStatus::ALL {
        let told = in_state(EnvironmentStage::Dev, status);
        for (event, when) in &told.history[1..] {
            assert!(RuntimeEnvironment::evolve(None, event, *when).is_err(), "{event:?}");
        }
        let (first, when) = &told.history[0];
        let refused = RuntimeEnvironment::evolve(told.state.clone(), first, *when).unwrap_err();
        assert_eq!(format!("{}", refused.state), status.name());
    }
}
