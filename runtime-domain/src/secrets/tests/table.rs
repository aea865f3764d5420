//! The table of the context's docs.

use alloc::string::ToString;

use crate::aggregate::Aggregate;
use crate::refusal::{Refusal, Rule};
use crate::secrets::tests::fixture::*;
use crate::secrets::*;
use crate::testing::{Answer, answer, at};

#[test]
fn every_command_in_every_state_is_answered_as_the_table_says() {
    use Answer::{Changes, Refused, Same};
    let no = Refused(Rule::Lifecycle);
    let change = || SecretCommand::ChangeSchedule {
        rotation_schedule: RotationSchedule::new(None, crate::time::Span::ZERO).unwrap(),
    };
    let now = 700;
    type Row = (SecretCommand, [Answer; 8]);
    let rows: [Row; 17] = [
        (rotate(RotationCause::Scheduled), [Same, Same, Same, Same, Same, no, no, no]),
        (rotate(on_demand()), [Changes, Same, Same, Same, Same, no, no, no]),
        (rotate(compromised()), [Changes, Changes, Changes, Changes, Changes, no, no, no]),
        (created(4), [no, Changes, Changes, Same, Same, Same, no, no]),
        (created(3), [Same, Refused(Rule::Sec2), Refused(Rule::Sec2), no, no, no, Same, no]),
        (all_on(now, 4), [Same, Same, Same, Changes, Changes, Same, Same, Same]),
        (all_on(now, 3), [Same, Same, Same, Changes, Changes, Same, Same, Same]),
        (seen(at(now), Consumption::Nobody), [Same, Same, Same, Changes, Changes, Same, Same, Same]),
        (failed(VaultFault::Unreachable), [no, Changes, Same, no, no, Changes, Same, no]),
        (retired(3), [no, no, no, no, no, Changes, no, no]),
        (change(), [Changes, Changes, Changes, Changes, Changes, Changes, Changes, no]),
        (abort(), [Same, Changes, Changes, Changes, no, no, Same, no]),
        (suspend(), [Changes, Changes, Changes, no, no, Changes, Same, no]),
        (resume(), [Same, Same, Same, Same, Same, Same, Changes, no]),
        (unbind(), [Changes, Changes, Changes, Changes, Changes, Changes, Changes, Same]),
        (SecretCommand::Tick, [Same, Same, Changes, Same, Same, Same, Same, Same]),
        (
            SecretCommand::ChangeSchedule { rotation_schedule: monthly() },
            [Same, Same, Same, Same, Same, Same, Same, no],
        ),
    ];
    for (command, expected) in rows {
        for (told, expected) in every_state().into_iter().zip(expected) {
            let decided = told.now().decide(&command, at(now));
            assert_eq!(answer(&decided), expected, "{} while {}", command.name(), told.now().status());
            if let Ok(decision) = decided {
                let mut after = told.clone();
                after.happen(decision, at(now));
                after.check_replay_and_record();
            }
        }
    }
}

#[test]
fn each_state_has_its_name_its_wake_and_its_version() {
    use crate::aggregate::DomainEvent;
    let names =
        ["Bound", "Requested", "RotationFailed", "Distributing", "Grace", "Retiring", "Suspended", "Unbound"];
    let wakes = [None, Some(10), Some(80), Some(20), Some(630), Some(630), None, None];
    let deliver = [Some(3), Some(3), Some(3), Some(4), Some(4), Some(4), Some(3), None];
    let current = [3, 3, 3, 3, 3, 4, 3, 3];
    for (index, told) in every_state().iter().enumerate() {
        let binding = told.now();
        assert_eq!(binding.status(), names[index]);
        assert_eq!(binding.state().status().to_string(), names[index]);
        if index > 0 {
            assert_eq!(binding.wake_at(), wakes[index].map(at), "{}", names[index]);
        }
        let delivered = binding.version_to_deliver().map(|reference| reference.version);
        assert_eq!(delivered, deliver[index].map(version), "{}", names[index]);
        assert_eq!(binding.current_version(), version(current[index]), "{}", names[index]);
        told.check_replay_and_record();
        for (event, _) in &told.history {
            let is_public = matches!(event.name(), "SecretBound" | "SecretRotated");
            assert_eq!(event.published(), is_public.then_some(1), "{}", event.name());
        }
    }
    let next = bound().now().wake_at().unwrap();
    assert!(next >= at(30 * DAY) && next < at(DUE), "{next}");
}

#[test]
fn every_status_says_what_would_be_possible() {
    let all = [
        SecretStatus::Bound,
        SecretStatus::Requested,
        SecretStatus::RotationFailed,
        SecretStatus::Distributing,
        SecretStatus::Grace,
        SecretStatus::Retiring,
        SecretStatus::Suspended,
        SecretStatus::Unbound,
    ];
    for status in all {
        let refusal = SecretRefusal::Lifecycle { command: "RotateSecret", status };
        assert_eq!(refusal.rule(), Rule::Lifecycle);
        assert!(refusal.to_string().contains(status.name()), "{refusal}");
        assert!(refusal.remedy().len() > 10, "{status}");
    }
}
