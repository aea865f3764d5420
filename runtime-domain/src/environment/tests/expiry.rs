//! Environments that end by themselves, and resources that went by themselves.

use super::*;
use crate::aggregate::Aggregate;
use crate::refusal::{Refusal, Rule};
use crate::testing::{assert_called, assert_refused};

fn expiring(seconds: u64) -> EnvironmentCommand {
    EnvironmentCommand::ChangeExpiry { expires_at: Some(at(seconds)) }
}

#[test]
fn an_environment_ends_by_itself_once_its_time_has_come_and_not_before() {
    for status in [
        ProvisioningStatus::Requested,
        ProvisioningStatus::Provisioning,
        ProvisioningStatus::ProvisioningFailed,
        ProvisioningStatus::Provisioned,
    ] {
        let mut told = in_state(EnvironmentStage::Dev, status);
        told.command(&expiring(400), 2).unwrap();
        assert_eq!(told.now().ends_at(), Some(at(400)));
        assert!(told.now().wake_at().is_some_and(|due| due <= at(400)), "{status}");
        assert!(told.now().decide(&EnvironmentCommand::Expire, at(399)).unwrap().is_unchanged());
        told.command(&EnvironmentCommand::Expire, 400).unwrap();
        assert_eq!(told.now().provisioning_status(), ProvisioningStatus::Decommissioning);
        assert_eq!(told.now().ends_at(), None);
        assert!(told.now().decide(&EnvironmentCommand::Expire, at(401)).unwrap().is_unchanged());
        told.check_replay_and_record();
    }
}

#[test]
fn what_is_protected_does_not_end_by_itself_until_it_is_unprotected() {
    let mut told = in_state(EnvironmentStage::Test, ProvisioningStatus::Provisioned);
    told.command(&expiring(100), 2).unwrap();
    told.command(&EnvironmentCommand::ProtectFromDeletion, 3).unwrap();
    assert_eq!((told.now().ends_at(), told.now().wake_at()), (None, None));
    assert!(told.now().decide(&EnvironmentCommand::Expire, at(9_999)).unwrap().is_unchanged());
    told.command(&EnvironmentCommand::Unprotect, 200).unwrap();
    assert_eq!(told.now().wake_at(), Some(at(100)));
    assert!(!told.now().decide(&EnvironmentCommand::Expire, at(200)).unwrap().is_unchanged());
    told.check_replay_and_record();
}

#[test]
fn prod_never_ends_by_itself_whichever_way_it_would_come_to_that() {
    let prod = asked_for(EnvironmentStage::Prod);
    let refused = prod.now().decide(&expiring(100), at(1)).unwrap_err();
    assert_eq!((refused.clone(), refused.rule()), (EnvironmentRefusal::EndlessStage, Rule::Lifecycle));
    assert!(!refused.remedy().is_empty());
    let mut dev = asked_for(EnvironmentStage::Dev);
    dev.command(&expiring(100), 1).unwrap();
    let to_prod = EnvironmentChange { stage: Some(EnvironmentStage::Prod), ..EnvironmentChange::default() };
    let refused = dev.now().decide(&EnvironmentCommand::ChangeEnvironment(to_prod), at(2)).unwrap_err();
    assert_eq!(refused, EnvironmentRefusal::EndlessStage);
    assert_refused(prod.now(), "LIFECYCLE", |record| {
        record["expires_at"] = serde_json::to_value(at(100)).unwrap();
    });
}

#[test]
fn a_time_to_live_is_taken_back_and_is_asked_once() {
    let mut told = asked_for(EnvironmentStage::Dev);
    told.command(&expiring(100), 1).unwrap();
    assert!(told.now().decide(&expiring(100), at(2)).unwrap().is_unchanged());
    told.command(&EnvironmentCommand::ChangeExpiry { expires_at: None }, 3).unwrap();
    assert_eq!(told.now().expires_at(), None);
    told.check_replay_and_record();
    let leaving = in_state(EnvironmentStage::Dev, ProvisioningStatus::Decommissioning);
    assert_eq!(leaving.now().decide(&expiring(100), at(2)).unwrap_err().rule(), Rule::Lifecycle);
}

#[test]
fn what_was_removed_behind_the_engines_back_is_made_again_once() {
    let lost = |names: &[&str]| EnvironmentCommand::RecordResourcesLost { resources: egress(names) };
    let mut told = in_state(EnvironmentStage::Dev, ProvisioningStatus::Provisioned);
    assert!(told.now().decide(&lost(&[]), at(5)).unwrap().is_unchanged());
    told.command(&lost(&["logs"]), 5).unwrap();
    assert_eq!(told.now().provisioning_due_at(), Some(at(5)));
    assert!(told.now().admit(crate::value::Revision(1), None).is_ok(), "deployments go on meanwhile");
    assert!(told.now().decide(&lost(&["logs"]), at(6)).unwrap().is_unchanged());
    let resources = made(&told.now().blueprint());
    told.command(&EnvironmentCommand::RecordProvisioned { resources }, 7).unwrap();
    assert_eq!(told.now().provisioning_due_at(), None);
    told.check_replay_and_record();
    for status in ProvisioningStatus::ALL {
        if status != ProvisioningStatus::Provisioned {
            let other = in_state(EnvironmentStage::Dev, status);
            assert!(other.now().decide(&lost(&["logs"]), at(9)).unwrap().is_unchanged(), "{status}");
        }
    }
}

#[test]
fn the_commands_are_called_what_they_are() {
    for (command, name) in [
        (expiring(1), "ChangeExpiry"),
        (EnvironmentCommand::Expire, "Expire"),
        (EnvironmentCommand::RecordResourcesLost { resources: egress(&[]) }, "RecordResourcesLost"),
    ] {
        assert_called(&command, command.name());
        assert_eq!(command.name(), name);
    }
}
