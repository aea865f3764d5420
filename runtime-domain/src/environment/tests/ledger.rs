//! The quota ledger: every command in every state, both sides of every limit, and what loading re-checks.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::aggregate::{Aggregate, DomainEvent, EvidenceRef};
use crate::id::{AggregateKind, TenantBindingId};
use crate::refusal::{Refusal, Rule};
use crate::tenancy::{ClaimedQuota, QuotaUnit, ReleasedTenant};
use crate::testing::{Answer, answer, assert_called, assert_refused};
use crate::time::Timestamp;
use crate::value::Revision;

const NO: Answer = Answer::Refused(Rule::Lifecycle);
const TEN2: Answer = Answer::Refused(Rule::Ten2);

fn quota(units: [u64; 4]) -> ResourceQuota {
    ResourceQuota::new(units[0], units[1], units[2], units[3]).unwrap()
}

fn all(units: u64) -> ResourceQuota {
    quota([units; 4])
}

fn binding(number: u128) -> TenantBindingId {
    id(number)
}

fn reserve(number: u128, quota: ResourceQuota, until: Timestamp) -> QuotaCommand {
    QuotaCommand::ReserveQuota {
        binding: binding(number),
        tenant: id(1_000 + number),
        quota,
        expires_at: until,
    }
}

fn claim(number: u128, quota: ResourceQuota) -> ClaimedQuota {
    ClaimedQuota {
        tenant: id(1_000 + number),
        environment: id(1),
        binding: binding(number),
        quota,
        at: Revision(4),
    }
}

fn commit(number: u128, quota: ResourceQuota) -> QuotaCommand {
    QuotaCommand::CommitQuota { claimed: claim(number, quota) }
}

fn left(number: u128) -> ReleasedTenant {
    ReleasedTenant {
        tenant: id(1_000 + number),
        environment: id(1),
        binding: binding(number),
        at: Revision(5),
    }
}

fn release(number: u128) -> QuotaCommand {
    QuotaCommand::ReleaseQuota { released: left(number) }
}

impl Told<RuntimeEnvironment> {
    fn quota(&mut self, command: &QuotaCommand, seconds: u64) -> Result<(), EnvironmentRefusal> {
        let decision = self.now().decide_quota(command, at(seconds))?;
        self.happen(decision, at(seconds));
        Ok(())
    }

    fn asked(&self, command: &QuotaCommand, seconds: u64) -> Answer {
        assert_called(command, command.name());
        answer(&self.now().decide_quota(command, at(seconds)))
    }
}

/// An environment with room for ten of everything, in which 1 has committed three, and 2 reserved two until 60.
fn with_ten(status: ProvisioningStatus) -> Told<RuntimeEnvironment> {
    let mut told = asked_for(EnvironmentStage::Dev);
    let capacity = EnvironmentChange { capacity: Some(all(10)), ..EnvironmentChange::default() };
    told.command(&EnvironmentCommand::ChangeEnvironment(capacity), 0).unwrap();
    told.quota(&reserve(1, all(3), at(60)), 0).unwrap();
    told.quota(&commit(1, all(3)), 0).unwrap();
    told.quota(&reserve(2, all(2), at(60)), 0).unwrap();
    let resources = made(&told.now().blueprint());
    let path: &[EnvironmentCommand] = match status {
        ProvisioningStatus::Requested => &[],
        ProvisioningStatus::Provisioning => &[EnvironmentCommand::RecordProvisioningStarted],
        ProvisioningStatus::ProvisioningFailed => &[EnvironmentCommand::RecordProvisioningStarted, fail()],
        ProvisioningStatus::Provisioned => &[
            EnvironmentCommand::RecordProvisioningStarted,
            EnvironmentCommand::RecordProvisioned { resources },
        ],
        ProvisioningStatus::Decommissioning => &[decommission()],
        ProvisioningStatus::Decommissioned => &[decommission(), EnvironmentCommand::RecordDecommissioned],
    };
    for command in path {
        told.command(command, 1).unwrap();
    }
    told
}

fn allocated(told: &Told<RuntimeEnvironment>) -> u64 {
    told.now().ledger().allocated(QuotaUnit::Cpu)
}

/// Shows TEN-2, X-3.
#[test]
fn every_quota_command_in_every_state_is_answered_as_the_table_says() {
    use Answer::{Changes, Same};
    for status in ProvisioningStatus::ALL {
        let told = with_ten(status);
        let is_leaving =
            matches!(status, ProvisioningStatus::Decommissioning | ProvisioningStatus::Decommissioned);
        let open = |otherwise| if is_leaving { NO } else { otherwise };
        let table = [
            (reserve(3, all(5), at(40)), 2, open(Changes)),
            (reserve(3, all(6), at(40)), 2, open(TEN2)),
            (reserve(2, all(2), at(60)), 2, open(Same)),
            (reserve(2, all(2), at(59)), 2, open(Same)),
            (reserve(2, all(2), at(61)), 2, open(Changes)),
            (reserve(2, all(1), at(60)), 2, open(Changes)),
            (reserve(2, all(7), at(60)), 2, open(Changes)),
            (reserve(2, all(8), at(60)), 2, open(TEN2)),
            (reserve(1, all(8), at(60)), 2, open(Changes)),
            (reserve(1, all(9), at(60)), 2, open(TEN2)),
            (reserve(3, all(7), at(90)), 60, open(Changes)),
            (reserve(3, all(8), at(90)), 60, open(TEN2)),
            (commit(2, all(2)), 59, open(Changes)),
            (commit(2, all(3)), 59, TEN2),
            (commit(2, all(2)), 60, TEN2),
            (commit(3, all(1)), 2, TEN2),
            (commit(1, all(3)), 2, Same),
            (commit(1, all(4)), 2, TEN2),
            (commit(1, all(2)), 2, Changes),
            (release(1), 2, Changes),
            (release(2), 2, Changes),
            (release(3), 2, Same),
            (QuotaCommand::Tick, 59, Same),
            (QuotaCommand::Tick, 60, Changes),
        ];
        for (command, seconds, expected) in table {
            let case = alloc::format!("{command:?} at {seconds} while {status}");
            assert_eq!(told.asked(&command, seconds), expected, "{case}");
            let mut after = told.clone();
            if after.quota(&command, seconds).is_ok() {
                assert_eq!(after.asked(&command, seconds), Same, "again: {case}");
                after.check_replay_and_record();
                let published = after.history.iter().filter(|(event, _)| event.published().is_some());
                assert!(published.count() <= 2, "{case}");
            }
        }
    }
}

/// Shows TEN-2.
#[test]
fn each_unit_is_kept_by_itself() {
    for (index, unit) in QuotaUnit::ALL.into_iter().enumerate() {
        let mut told = with_ten(ProvisioningStatus::Provisioned);
        let mut wanted = [1; 4];
        wanted[index] = 6;
        let refused = told.now().decide_quota(&reserve(3, quota(wanted), at(40)), at(2)).unwrap_err();
        assert_eq!(refused, EnvironmentRefusal::NoRoom { unit, wanted: 6, free: 5 });
        assert!(refused.remedy().contains(&alloc::format!("at most 5 {unit}")), "{}", refused.remedy());
        assert!(refused.to_string().contains(unit.name()));
        wanted[index] = 5;
        told.quota(&reserve(3, quota(wanted), at(40)), 2).unwrap();
        let entry = told.now().ledger().entries()[&binding(3)];
        assert_eq!(entry.held(unit), 5);
        assert!(entry.covers(quota(wanted)));
        let mut more = wanted;
        more[index] += 1;
        assert!(!entry.covers(quota(more)), "{unit}");
        assert_eq!(told.now().ledger().allocated(unit), 10);
        let other = QuotaUnit::ALL[(index + 1) % 4];
        assert_eq!(told.now().ledger().allocated(other), 6);
    }
}

/// Shows TEN-2.
#[test]
fn a_capacity_is_never_below_what_tenants_hold() {
    let change = |units| {
        EnvironmentCommand::ChangeEnvironment(EnvironmentChange {
            capacity: Some(units),
            ..EnvironmentChange::default()
        })
    };
    let mut told = with_ten(ProvisioningStatus::Provisioned);
    for (index, unit) in QuotaUnit::ALL.into_iter().enumerate() {
        let mut units = [5; 4];
        units[index] = 4;
        let refused = told.now().decide(&change(quota(units)), at(2)).unwrap_err();
        assert_eq!(refused, EnvironmentRefusal::CapacityHeld { unit, wanted: 4, allocated: 5 });
        assert_eq!(refused.rule(), Rule::Ten2);
        assert!(refused.remedy().contains("at least 5"), "{}", refused.remedy());
    }
    assert_eq!(answer(&told.now().decide(&change(all(10)), at(2))), Answer::Same);
    // What ends by itself stands in nobody's way.
    let mut ended = told.clone();
    ended.command(&change(all(3)), 60).unwrap();
    assert_eq!((ended.now().ledger().capacity(), allocated(&ended)), (all(3), 3));
    ended.check_replay_and_record();
    told.command(&change(all(5)), 2).unwrap();
    assert_eq!(told.now().ledger().capacity(), all(5));
    assert_eq!(told.now().blueprint().capacity, all(5));
    assert_eq!(told.now().wake_at(), Some(at(2)), "the engine is to apply it");
    assert_eq!(told.asked(&reserve(3, all(1), at(40)), 3), TEN2);
}

#[test]
fn what_is_reserved_and_never_committed_is_given_back() {
    let mut told = with_ten(ProvisioningStatus::Provisioned);
    assert_eq!(allocated(&told), 5);
    assert_eq!(told.now().ledger().expires_at(), Some(at(60)));
    assert_eq!(told.now().wake_at(), Some(at(60)));
    assert_eq!(told.now().provisioning_due_at(), None);
    told.quota(&QuotaCommand::Tick, 60).unwrap();
    assert_eq!(allocated(&told), 3);
    assert!(!told.now().ledger().entries().contains_key(&binding(2)));
    assert_eq!(told.now().wake_at(), None);
    told.check_replay_and_record();
}

#[test]
fn an_increase_that_is_never_committed_leaves_what_was_committed() {
    let mut told = with_ten(ProvisioningStatus::Provisioned);
    told.quota(&reserve(1, quota([6, 1, 1, 1]), at(50)), 2).unwrap();
    assert_eq!(told.now().ledger().allocated(QuotaUnit::Cpu), 8);
    assert_eq!(told.now().ledger().allocated(QuotaUnit::Memory), 5, "what is committed stays held");
    assert_eq!(told.now().ledger().expires_at(), Some(at(50)));
    told.quota(&QuotaCommand::Tick, 50).unwrap();
    assert_eq!(allocated(&told), 5);
    assert_eq!(told.now().ledger().entries()[&binding(1)].committed, Some(all(3)));
    assert_eq!(told.now().ledger().entries()[&binding(2)].reserved.unwrap().until, at(60));
}

#[test]
fn a_commitment_is_exactly_what_is_claimed() {
    let mut told = with_ten(ProvisioningStatus::Provisioned);
    told.quota(&reserve(1, all(6), at(50)), 2).unwrap();
    told.quota(&commit(1, all(5)), 3).unwrap();
    let entry = told.now().ledger().entries()[&binding(1)];
    assert_eq!((entry.committed, entry.reserved, entry.tenant), (Some(all(5)), None, id(1_001)));
    told.quota(&release(1), 4).unwrap();
    assert_eq!(allocated(&told), 2);
    told.check_replay_and_record();
}

/// Shows X-1.
#[test]
fn what_is_anothers_is_neither_reserved_committed_nor_released() {
    let told = with_ten(ProvisioningStatus::Provisioned);
    let x1 = Answer::Refused(Rule::X1);
    let stolen =
        QuotaCommand::ReserveQuota { binding: binding(1), tenant: id(7), quota: all(1), expires_at: at(60) };
    assert_eq!(told.asked(&stolen, 2), x1);
    for (tenant, environment) in [(7, 1), (1_002, 7)] {
        let claimed = ClaimedQuota { tenant: id(tenant), environment: id(environment), ..claim(2, all(2)) };
        assert_eq!(told.asked(&QuotaCommand::CommitQuota { claimed }, 2), x1);
        let released = ReleasedTenant { tenant: id(tenant), environment: id(environment), ..left(2) };
        assert_eq!(told.asked(&QuotaCommand::ReleaseQuota { released }, 2), x1);
    }
    let elsewhere = ReleasedTenant { environment: id(7), ..left(3) };
    assert_eq!(told.asked(&QuotaCommand::ReleaseQuota { released: elsewhere }, 2), x1);
}

#[test]
fn a_reservation_ends_after_now_and_within_the_hour() {
    let told = with_ten(ProvisioningStatus::Provisioned);
    let content = Answer::Refused(Rule::Content);
    for (until, expected) in [
        (at(1), content),
        (at(2), content),
        (at(3), Answer::Changes),
        (at(3_602), Answer::Changes),
        (at(3_603), content),
    ] {
        assert_eq!(told.asked(&reserve(3, all(1), until), 2), expected, "{until}");
    }
    let refused = told.now().decide_quota(&reserve(3, all(1), at(2)), at(2)).unwrap_err();
    assert!(refused.remedy().contains("1h"), "{}", refused.remedy());
}

#[test]
fn a_full_ledger_takes_no_further_binding_but_serves_those_it_has() {
    let mut told = asked_for(EnvironmentStage::Dev);
    for number in 0..QuotaLedger::MOST_BINDINGS as u128 {
        told.quota(&reserve(number, all(1), at(60)), 0).unwrap();
    }
    assert_eq!(told.asked(&reserve(5_000, all(1), at(70)), 1), Answer::Refused(Rule::Content));
    assert_eq!(told.asked(&reserve(7, all(2), at(70)), 1), Answer::Changes);
    assert_eq!(
        told.asked(&reserve(5_000, all(1), at(70)), 60),
        Answer::Changes,
        "those that ended make room"
    );
    let mut record = serde_json::to_value(told.now().to_record()).unwrap();
    assert!(crate::testing::loaded::<RuntimeEnvironment>(&record).is_ok());
    let entry = record["ledger"]["entries"][binding(7).to_string()].clone();
    record["ledger"]["entries"][binding(5_000).to_string()] = entry;
    let refused = crate::testing::loaded::<RuntimeEnvironment>(&record).unwrap_err();
    assert!(refused.starts_with("TEN-2") && refused.contains("1000"), "{refused}");
}

/// Shows TEN-2.
#[test]
fn the_environment_proves_only_what_its_ledger_holds() {
    let told = with_ten(ProvisioningStatus::Provisioned);
    let environment = told.now();
    let fact = EvidenceRef {
        kind: AggregateKind::RuntimeEnvironment,
        id: environment.id().uuid(),
        revision: Revision(9),
    };
    let reservation = environment.reservation(binding(2), Revision(9), at(59)).unwrap();
    assert_eq!((reservation.tenant(), reservation.environment()), (id(1_002), id(1)));
    assert_eq!((reservation.binding(), reservation.quota()), (binding(2), all(2)));
    assert_eq!((reservation.until(), reservation.evidence()), (at(60), fact));
    for (number, seconds) in [(2, 60), (1, 2), (3, 2)] {
        let refused = environment.reservation(binding(number), Revision(9), at(seconds)).unwrap_err();
        assert_eq!(refused, EnvironmentRefusal::NotReserved { binding: binding(number) });
        assert_eq!(refused.rule(), Rule::Ten2);
    }
    let committed = environment.commitment(binding(1), Revision(9)).unwrap();
    assert_eq!((committed.tenant(), committed.environment()), (id(1_001), id(1)));
    assert_eq!((committed.binding(), committed.quota()), (binding(1), all(3)));
    assert_eq!(committed.evidence(), fact);
    for number in [2, 3] {
        let refused = environment.commitment(binding(number), Revision(9)).unwrap_err();
        assert_eq!(refused, EnvironmentRefusal::NotCommitted { binding: binding(number) });
        assert_eq!(refused.rule(), Rule::Ten2);
    }
    let returned = environment.returned(binding(3), Revision(9)).unwrap();
    assert_eq!((returned.binding(), returned.environment()), (binding(3), id(1)));
    assert_eq!(returned.evidence(), fact);
    for number in [1, 2] {
        let refused = environment.returned(binding(number), Revision(9)).unwrap_err();
        assert_eq!(refused, EnvironmentRefusal::StillHeld { binding: binding(number) });
        assert_eq!(refused.rule(), Rule::Ten2);
    }
}

#[test]
fn a_command_names_itself_and_what_it_rests_on() {
    let of = |revision| EvidenceRef {
        kind: AggregateKind::RuntimeTenantBinding,
        id: binding(2).uuid(),
        revision: Revision(revision),
    };
    let commands = [
        (reserve(2, all(1), at(1)), "ReserveQuota", Vec::new()),
        (commit(2, all(1)), "CommitQuota", Vec::from([of(4)])),
        (release(2), "ReleaseQuota", Vec::from([of(5)])),
        (QuotaCommand::Tick, "Tick", Vec::new()),
    ];
    for (command, name, evidence) in commands {
        assert_eq!((command.name(), command.evidence()), (name, evidence));
    }
}

/// Shows TEN-2.
#[test]
fn a_stored_ledger_that_is_overbooked_or_empty_of_sense_is_refused() {
    let told = with_ten(ProvisioningStatus::Provisioned);
    let two = binding(2).to_string();
    assert_refused(told.now(), "TEN-2", |record| record["ledger"]["capacity"]["storage_bytes"] = json!(4));
    assert_refused(told.now(), "TEN-2", |record| {
        record["ledger"]["entries"][&two]["reserved"]["quota"]["cpu_millicores"] = json!(8);
    });
    assert_refused(told.now(), "TEN-2", |record| {
        record["ledger"]["entries"][&two]["reserved"] = json!(null);
    });
    assert_refused(told.now(), "SCHEMA", |record| {
        record["ledger"]["entries"][&two]["reserved"]["quota"]["cpu_millicores"] = json!(0);
    });
    assert_refused(told.now(), "SCHEMA", |record| record["ledger"]["spare"] = json!(1));
}

#[test]
fn what_was_stored_before_there_were_capacities_is_read() {
    let environment = asked_for(EnvironmentStage::Dev);
    let mut record = serde_json::to_value(environment.now().to_record()).unwrap();
    record.as_object_mut().unwrap().remove("ledger");
    let loaded = crate::testing::loaded::<RuntimeEnvironment>(&record).unwrap();
    assert_eq!(&loaded, environment.now());
    assert_eq!(
        (loaded.ledger().capacity(), loaded.ledger().entries()),
        (ResourceQuota::LARGEST, &BTreeMap::new())
    );
    let mut event = serde_json::to_value(&environment.history[0].0).unwrap();
    event.as_object_mut().unwrap().remove("capacity");
    assert_eq!(serde_json::from_value::<EnvironmentEvent>(event).unwrap(), environment.history[0].0);
    let mut blueprint = serde_json::to_value(environment.now().blueprint()).unwrap();
    blueprint.as_object_mut().unwrap().remove("capacity");
    assert_eq!(
        serde_json::from_value::<EnvironmentBlueprint>(blueprint).unwrap(),
        environment.now().blueprint()
    );
}

/// Shows X-3.
#[test]
fn an_environment_of_another_capacity_is_another() {
    let other = ProvisionRuntimeEnvironment { capacity: all(10), ..provision(EnvironmentStage::Dev) };
    let told = asked_for(EnvironmentStage::Dev);
    assert_eq!(answer(&told.now().provision_again(&other)), Answer::Refused(Rule::X3));
    let told: Told<RuntimeEnvironment> = Told::begin(RuntimeEnvironment::provision(&other, at(0)), at(0));
    assert_eq!(told.now().ledger().capacity(), all(10));
    assert_eq!(answer(&told.now().provision_again(&other)), Answer::Same);
}

#[test]
fn ledger_events_do_not_fit_a_ledger_that_holds_nothing() {
    let told = asked_for(EnvironmentStage::Dev);
    for event in [
        EnvironmentEvent::QuotaCommitted { binding: binding(1), quota: all(1) },
        EnvironmentEvent::QuotaReleased { binding: binding(1) },
    ] {
        assert!(RuntimeEnvironment::evolve(told.state.clone(), &event, at(1)).is_err(), "{event:?}");
    }
}

fn any_quota() -> impl Strategy<Value = ResourceQuota> {
    [1..8u64, 1..8u64, 1..8u64, 1..8u64].prop_map(quota)
}

proptest! {
    /// Shows TEN-2.
    #[test]
    fn no_sequence_of_commands_overbooks_any_unit(
        commands in proptest::collection::vec((0..6u8, 0..5u128, any_quota(), 1..90u64, 0..40u64), 0..60)
    ) {
        let mut told = with_ten(ProvisioningStatus::Provisioned);
        let mut now = 2;
        for (kind, number, quota, lasts, seconds) in commands {
            now += seconds;
            let change = EnvironmentChange { capacity: Some(quota), ..EnvironmentChange::default() };
            let before = told.now().clone();
            let accepted = match kind {
                0 | 1 => told.quota(&reserve(number, quota, at(now + lasts)), now).is_ok(),
                2 => told.quota(&commit(number, quota), now).is_ok(),
                3 => told.quota(&release(number), now).is_ok(),
                4 => told.quota(&QuotaCommand::Tick, now).is_ok(),
                _ => told.command(&EnvironmentCommand::ChangeEnvironment(change), now).is_ok(),
            };
            prop_assert!(accepted || before == *told.now());
            let ledger = told.now().ledger();
            let mut sums = [0; 4];
            for entry in ledger.entries().values() {
                let both = [entry.committed, entry.reserved.map(|reserved| reserved.quota)];
                for (sum, unit) in sums.iter_mut().zip(QuotaUnit::ALL) {
                    *sum += both.iter().flatten().map(|quota| quota.of(unit)).max().unwrap();
                }
            }
            for (sum, unit) in sums.into_iter().zip(QuotaUnit::ALL) {
                prop_assert!(sum <= ledger.capacity().of(unit), "{unit}: {sum}");
                prop_assert_eq!(sum, ledger.allocated(unit));
            }
        }
        told.check_replay_and_record();
    }
}

#[test]
fn a_new_ledger_holds_nothing() {
    let ledger = QuotaLedger::new(all(4));
    assert_eq!((ledger.capacity(), ledger.entries().len(), ledger.expires_at()), (all(4), 0, None));
    assert!(ledger.expired(at(1)).is_empty());
    assert_eq!(ledger.after_expiry(&BTreeSet::new()).into_owned(), ledger);
}
