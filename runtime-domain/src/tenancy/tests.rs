//! The table of the context's docs, and what holds for every history.

mod interleaving;
mod quota;
mod relocation;
mod workload;

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::aggregate::{Aggregate, DomainEvent, EvidenceRef};
use crate::claim::{Claim, ClaimMode, ClaimSpace};
use crate::environment::{
    CommittedQuota, HostedEnvironment, IsolationModel, QuotaReservation, ReturnedQuota,
};
use crate::id::AggregateKind;
use crate::refusal::{Refusal, Rule};
use crate::tenancy::*;
use crate::testing::{Answer, Told, answer, assert_called, assert_refused, assert_schema_is_kept, at, id};
use crate::time::Span;
use crate::value::Revision;

type Binding = Told<RuntimeTenantBinding>;

pub(crate) fn bound_tenant(tenant: u128, environment: u128, revision: Revision) -> BoundTenant {
    place_of(tenant, environment).now().prove(revision).unwrap()
}

pub(crate) fn cordoned_tenant(tenant: u128, environment: u128, revision: Revision) -> BoundTenant {
    let mut told = place_of(tenant, environment);
    told.command(&cordon(), 2).unwrap();
    told.now().prove(revision).unwrap()
}

fn place_of(tenant: u128, environment: u128) -> Binding {
    let mut told = Told::begin(RuntimeTenantBinding::bind(&bind_in(tenant, environment), at(0)), at(0));
    let committed = CommittedQuota { tenant: id(tenant), environment: id(environment), ..committed(1_000) };
    told.command(&TenancyCommand::ConfirmQuota { committed }, 0).unwrap();
    told
}

fn bind_in(tenant: u128, environment: u128) -> BindTenant {
    let given = bind(IsolationModel::Silo);
    BindTenant {
        place: TenantPlace { tenant_id: id(tenant), environment_id: id(environment), ..given.place },
        environment: HostedEnvironment {
            tenant: id(tenant),
            environment: id(environment),
            ..given.environment
        },
        reservation: QuotaReservation {
            tenant: id(tenant),
            environment: id(environment),
            ..given.reservation
        },
        ..given
    }
}

fn units(units: u64) -> ResourceQuota {
    ResourceQuota::new(units, units, units, units).unwrap()
}

fn place(isolation_model: IsolationModel) -> TenantPlace {
    TenantPlace {
        tenant_id: id(2),
        environment_id: id(1),
        isolation_model,
        quota: units(1_000),
        partitions: PartitionAssignment {
            network: PartitionKey::new("tenant-prod-acme").unwrap(),
            data: PartitionKey::new("acme").unwrap(),
        },
    }
}

fn reservation(quota: ResourceQuota) -> QuotaReservation {
    QuotaReservation {
        tenant: id(2),
        environment: id(1),
        binding: id(5),
        quota,
        until: at(60),
        at: Revision(3),
    }
}

fn committed(quota: u64) -> CommittedQuota {
    CommittedQuota { tenant: id(2), environment: id(1), binding: id(5), quota: units(quota), at: Revision(4) }
}

fn returned() -> ReturnedQuota {
    ReturnedQuota { environment: id(1), binding: id(5), at: Revision(6) }
}

fn bind(isolation_model: IsolationModel) -> BindTenant {
    BindTenant {
        tenant_binding_id: id(5),
        place: place(isolation_model),
        environment: HostedEnvironment {
            tenant: id(2),
            environment: id(1),
            isolation_model,
            stage: crate::environment::EnvironmentStage::Dev,
            at: Revision(3),
        },
        reservation: reservation(units(1_000)),
    }
}

impl Binding {
    fn command(&mut self, command: &TenancyCommand, seconds: u64) -> Result<(), TenancyRefusal> {
        let decision = self.now().decide(command, at(seconds))?;
        self.happen(decision, at(seconds));
        Ok(())
    }

    fn asked(&self, command: &TenancyCommand, seconds: u64) -> Answer {
        answer(&self.now().decide(command, at(seconds)))
    }
}

fn pending(isolation_model: IsolationModel) -> Binding {
    Told::begin(RuntimeTenantBinding::bind(&bind(isolation_model), at(0)), at(0))
}

fn bound(isolation_model: IsolationModel) -> Binding {
    let mut told = pending(isolation_model);
    told.command(&confirm(1_000), 0).unwrap();
    told
}

fn confirm(quota: u64) -> TenancyCommand {
    TenancyCommand::ConfirmQuota { committed: committed(quota) }
}

fn adjust(quota: u64, reserved: Option<u64>) -> TenancyCommand {
    TenancyCommand::AdjustQuota {
        quota: units(quota),
        reservation: reserved.map(|reserved| reservation(units(reserved))),
    }
}

fn cordon() -> TenancyCommand {
    TenancyCommand::CordonTenant { reason: "maintenance".to_string() }
}

fn begin_move() -> TenancyCommand {
    TenancyCommand::BeginMove { target: target(), observe_for: Span::from_secs(100) }
}

fn target() -> BoundTenant {
    BoundTenant {
        tenant: id(2),
        environment: id(8),
        isolation_model: IsolationModel::Silo,
        is_cordoned: false,
        binding: id(9),
        at: Revision(7),
    }
}

fn step(step: MoveStep) -> TenancyCommand {
    TenancyCommand::RecordMoveStep { step, outcome: MoveOutcome::Done }
}

fn abort() -> TenancyCommand {
    TenancyCommand::AbortMove { reason: "not now".to_string() }
}

fn release() -> TenancyCommand {
    TenancyCommand::ReleaseTenant { reason: "left".to_string() }
}

fn quota_returned() -> TenancyCommand {
    TenancyCommand::RecordQuotaReturned { returned: returned() }
}

/// A pool's binding in each state.
fn in_state(status: BindingStatus) -> Binding {
    let mut told = pending(IsolationModel::Pool);
    let path: Vec<TenancyCommand> = match status {
        BindingStatus::Pending => Vec::new(),
        BindingStatus::Bound => Vec::from([confirm(1_000)]),
        BindingStatus::Cordoned => Vec::from([confirm(1_000), cordon()]),
        BindingStatus::Moving => Vec::from([confirm(1_000), begin_move()]),
        BindingStatus::Released => Vec::from([confirm(1_000), cordon(), release()]),
    };
    for command in path {
        told.command(&command, 1).unwrap();
    }
    assert_eq!(told.now().state().status(), status);
    told
}

const NO: Answer = Answer::Refused(Rule::Lifecycle);
const TEN2: Answer = Answer::Refused(Rule::Ten2);

/// The table of the context's docs: a command, and its answer while Pending, Bound, Cordoned, Moving and Released.
fn table() -> Vec<(TenancyCommand, [Answer; 5])> {
    use Answer::{Changes as Yes, Same};
    Vec::from([
        (confirm(1_000), [Yes, Same, Same, Same, NO]),
        (confirm(1_001), [Yes, Same, Same, Same, NO]),
        (confirm(999), [TEN2, Same, Same, Same, NO]),
        (adjust(1_000, None), [NO, Same, Same, Same, NO]),
        (adjust(999, None), [NO, Yes, Yes, Yes, NO]),
        (adjust(1_001, Some(1_001)), [NO, Yes, Yes, Yes, NO]),
        (adjust(1_001, Some(1_000)), [NO, TEN2, TEN2, TEN2, NO]),
        (adjust(1_001, None), [NO, TEN2, TEN2, TEN2, NO]),
        (cordon(), [NO, Yes, Same, Same, NO]),
        (TenancyCommand::UncordonTenant, [NO, Same, Yes, NO, NO]),
        (TenancyCommand::ProtectFromRelease, [NO, Yes, Yes, NO, NO]),
        (TenancyCommand::Unprotect, [Same, Same, Same, Same, NO]),
        (begin_move(), [NO, Yes, NO, Same, NO]),
        (step(MoveStep::ReplicateToTarget), [NO, NO, NO, Yes, NO]),
        (step(MoveStep::SwitchToTarget), [NO, NO, NO, NO, NO]),
        (abort(), [NO, Same, NO, Yes, NO]),
        (release(), [Yes, NO, Yes, NO, Same]),
        (quota_returned(), [NO, NO, NO, NO, Yes]),
        (TenancyCommand::Tick, [Same; 5]),
    ])
}

/// Shows TEN-2, X-3.
#[test]
fn every_command_in_every_state_is_answered_as_the_table_says() {
    for (command, row) in table() {
        assert_called(&command, command.name());
        for (status, expected) in BindingStatus::ALL.into_iter().zip(row) {
            let told = in_state(status);
            let decided = told.now().decide(&command, at(2));
            assert_eq!(answer(&decided), expected, "{command:?} while {status}");
            if let Ok(decision) = decided {
                let mut after = told.clone();
                after.happen(decision, at(2));
                after.check_replay_and_record();
                let again = answer(&after.now().decide(&command, at(2)));
                let is_report = matches!(command, TenancyCommand::RecordMoveStep { .. });
                // What was confirmed to a binding that waits for exactly less is more than it uses.
                assert!(again == Answer::Same || is_report, "{command:?} again while {status}: {again:?}");
            }
        }
    }
}

/// Shows TEN-3, X-3.
#[test]
fn binding_again_gives_the_same_binding_or_says_what_differs() {
    let same = place(IsolationModel::Pool);
    for status in BindingStatus::ALL {
        let told = in_state(status);
        let open = |otherwise| if status == BindingStatus::Released { NO } else { otherwise };
        assert_eq!(answer(&told.now().bind_again(&same)), open(Answer::Same), "{status}");
        let derived = PartitionAssignment::derived(id(2), id(1), IsolationModel::Pool);
        for other in [
            TenantPlace { quota: units(999), ..same.clone() },
            TenantPlace { isolation_model: IsolationModel::Shared, ..same.clone() },
            TenantPlace { partitions: derived, ..same.clone() },
            TenantPlace { tenant_id: id(3), ..same.clone() },
            TenantPlace { environment_id: id(3), ..same.clone() },
        ] {
            let differs = open(Answer::Refused(Rule::Ten3));
            assert_eq!(answer(&told.now().bind_again(&other)), differs, "{status}: {other:?}");
        }
    }
}

/// Shows TEN-1.
#[test]
fn the_isolation_is_the_environments() {
    let models = [IsolationModel::Silo, IsolationModel::Pool, IsolationModel::Shared];
    for offered in models {
        for wanted in models {
            let command = BindTenant { place: place(wanted), ..bind(offered) };
            let expected = if wanted == offered { Answer::Changes } else { Answer::Refused(Rule::Ten1) };
            assert_eq!(answer(&RuntimeTenantBinding::bind(&command, at(0))), expected);
        }
    }
}

/// Shows X-1.
#[test]
fn a_silo_takes_no_tenant_but_its_own_and_a_pool_takes_others() {
    let foreign = |model| {
        let given = bind(model);
        BindTenant {
            place: TenantPlace { tenant_id: id(8), ..given.place },
            reservation: QuotaReservation { tenant: id(8), ..given.reservation },
            ..given
        }
    };
    let silo = RuntimeTenantBinding::bind(&foreign(IsolationModel::Silo), at(0));
    assert_eq!(answer(&silo), Answer::Refused(Rule::X1));
    for model in [IsolationModel::Pool, IsolationModel::Shared] {
        assert_eq!(answer(&RuntimeTenantBinding::bind(&foreign(model), at(0))), Answer::Changes);
    }
}

/// Shows X-1.
#[test]
fn a_binding_takes_no_evidence_of_another_tenant_environment_or_binding() {
    let given = || bind(IsolationModel::Pool);
    let strays = [
        BindTenant { tenant_binding_id: id(6), ..given() },
        BindTenant { reservation: QuotaReservation { tenant: id(8), ..given().reservation }, ..given() },
        BindTenant { reservation: QuotaReservation { environment: id(8), ..given().reservation }, ..given() },
        BindTenant {
            environment: HostedEnvironment { environment: id(8), ..given().environment },
            ..given()
        },
    ];
    for stray in strays {
        assert_eq!(
            answer(&RuntimeTenantBinding::bind(&stray, at(0))),
            Answer::Refused(Rule::X1),
            "{stray:?}"
        );
    }
    let waiting = in_state(BindingStatus::Pending);
    let told = in_state(BindingStatus::Bound);
    for (tenant, environment, binding) in [(8, 1, 5), (2, 8, 5), (2, 1, 8)] {
        let committed = CommittedQuota {
            tenant: id(tenant),
            environment: id(environment),
            binding: id(binding),
            ..committed(1_000)
        };
        let confirm = TenancyCommand::ConfirmQuota { committed };
        assert_eq!(waiting.asked(&confirm, 2), Answer::Refused(Rule::X1));
        let reservation = Some(QuotaReservation {
            tenant: id(tenant),
            environment: id(environment),
            binding: id(binding),
            ..reservation(units(1_001))
        });
        let adjust = TenancyCommand::AdjustQuota { quota: units(1_001), reservation };
        assert_eq!(told.asked(&adjust, 2), Answer::Refused(Rule::X1));
    }
    for stray in
        [ReturnedQuota { environment: id(8), ..returned() }, ReturnedQuota { binding: id(8), ..returned() }]
    {
        let command = TenancyCommand::RecordQuotaReturned { returned: stray };
        assert_eq!(in_state(BindingStatus::Released).asked(&command, 2), Answer::Refused(Rule::X1));
    }
}

/// Shows TEN-1, TEN-3.
#[test]
fn a_silo_occupies_its_environment_alone_and_the_others_share_it() {
    for (model, mode) in [
        (IsolationModel::Silo, ClaimMode::Exclusive),
        (IsolationModel::Pool, ClaimMode::Shared),
        (IsolationModel::Shared, ClaimMode::Shared),
    ] {
        for told in [pending(model), bound(model)] {
            let claims = told.now().claims();
            assert!(claims.contains(&Claim::occupancy(id(1), mode)), "{model:?}");
            assert!(claims.contains(&Claim::tenant_binding(id(2), id(1))));
            assert!(claims.contains(&Claim::partition(id(1), "data/acme")));
            let partitions: Vec<&Claim> =
                claims.iter().filter(|claim| claim.key.starts_with("partition/")).collect();
            assert_eq!(partitions.len(), if model == IsolationModel::Shared { 1 } else { 2 }, "{model:?}");
            assert!(partitions.iter().all(|claim| claim.space == ClaimSpace::Global));
            assert!(partitions.iter().all(|claim| claim.mode == ClaimMode::Exclusive));
        }
    }
    for status in BindingStatus::ALL {
        let claims = in_state(status).now().claims();
        assert_eq!(claims.is_empty(), status == BindingStatus::Released, "{status}");
    }
    assert_eq!(in_state(BindingStatus::Released).now().claims(), BTreeSet::new());
}

#[test]
fn a_tenant_proves_its_place_while_it_has_one() {
    for status in BindingStatus::ALL {
        let told = in_state(status);
        let place = told.now().prove(Revision(2));
        match status {
            BindingStatus::Pending | BindingStatus::Released => {
                assert_eq!(place.unwrap_err().rule(), Rule::Env3, "{status}");
            }
            BindingStatus::Bound | BindingStatus::Cordoned | BindingStatus::Moving => {
                let proof = place.unwrap();
                assert_eq!((proof.tenant(), proof.environment(), proof.at()), (id(2), id(1), Revision(2)));
                assert_eq!((proof.binding(), proof.isolation_model()), (id(5), IsolationModel::Pool));
                assert_eq!(proof.is_cordoned(), status != BindingStatus::Bound);
                assert_eq!(proof.evidence(), fact(AggregateKind::RuntimeTenantBinding, 5, 2));
            }
        }
        let left = told.now().released(Revision(2));
        match left {
            Ok(left) => {
                assert_eq!(status, BindingStatus::Released);
                assert_eq!((left.tenant(), left.environment(), left.binding()), (id(2), id(1), id(5)));
                assert_eq!(left.evidence(), fact(AggregateKind::RuntimeTenantBinding, 5, 2));
            }
            Err(refusal) => {
                assert_ne!(status, BindingStatus::Released);
                assert_eq!(refusal.rule(), Rule::Lifecycle);
            }
        }
        let claimed = told.now().claim(Revision(2));
        assert_eq!(claimed.is_err(), status == BindingStatus::Released);
        if let Ok(claimed) = claimed {
            assert_eq!((claimed.tenant(), claimed.environment()), (id(2), id(1)));
            assert_eq!((claimed.binding(), claimed.quota()), (id(5), units(1_000)));
            assert_eq!(claimed.evidence(), fact(AggregateKind::RuntimeTenantBinding, 5, 2));
        }
    }
}

fn fact(kind: AggregateKind, number: u128, revision: u64) -> EvidenceRef {
    EvidenceRef { kind, id: uuid::Uuid::from_u128(number), revision: Revision(revision) }
}

#[test]
fn a_command_names_itself_and_what_it_rests_on() {
    let environment = |revision| fact(AggregateKind::RuntimeEnvironment, 1, revision);
    assert_eq!(bind(IsolationModel::Pool).evidence(), [environment(3)]);
    let later = BindTenant {
        reservation: QuotaReservation { at: Revision(4), ..reservation(units(1)) },
        ..bind(IsolationModel::Pool)
    };
    assert_eq!(later.evidence(), [environment(3), environment(4)]);
    let there = fact(AggregateKind::RuntimeTenantBinding, 9, 7);
    let commands = [
        (confirm(1), "ConfirmQuota", Vec::from([environment(4)])),
        (adjust(1, Some(1)), "AdjustQuota", Vec::from([environment(3)])),
        (adjust(1, None), "AdjustQuota", Vec::new()),
        (cordon(), "CordonTenant", Vec::new()),
        (TenancyCommand::UncordonTenant, "UncordonTenant", Vec::new()),
        (TenancyCommand::ProtectFromRelease, "ProtectFromRelease", Vec::new()),
        (TenancyCommand::Unprotect, "Unprotect", Vec::new()),
        (begin_move(), "BeginMove", Vec::from([there])),
        (step(MoveStep::JudgeTarget), "RecordMoveStep", Vec::new()),
        (abort(), "AbortMove", Vec::new()),
        (release(), "ReleaseTenant", Vec::new()),
        (quota_returned(), "RecordQuotaReturned", Vec::from([environment(6)])),
        (TenancyCommand::Tick, "Tick", Vec::new()),
    ];
    for (command, name, evidence) in commands {
        assert_eq!((command.name(), command.evidence()), (name, evidence));
    }
}

#[test]
fn a_protected_tenant_is_neither_released_nor_moved() {
    for status in [BindingStatus::Bound, BindingStatus::Cordoned] {
        let mut told = in_state(status);
        told.command(&TenancyCommand::ProtectFromRelease, 2).unwrap();
        assert!(told.now().is_protected());
        assert_eq!(told.now().decide(&release(), at(3)).unwrap_err(), TenancyRefusal::Protected, "{status}");
        if status == BindingStatus::Bound {
            assert_eq!(told.now().decide(&begin_move(), at(3)).unwrap_err(), TenancyRefusal::Protected);
        }
        told.check_replay_and_record();
        told.command(&TenancyCommand::Unprotect, 4).unwrap();
        assert!(!told.now().is_protected());
        let served = TenancyRefusal::Serving { status };
        match told.now().decide(&release(), at(5)) {
            Ok(_) => assert_ne!(status, BindingStatus::Bound),
            Err(refusal) => assert_eq!((refusal, status), (served, BindingStatus::Bound)),
        }
    }
}

#[test]
fn a_tenant_is_cordoned_and_released_for_a_reason_or_not_at_all() {
    let blank = TenancyCommand::ReleaseTenant { reason: "  ".to_string() };
    assert_eq!(in_state(BindingStatus::Cordoned).asked(&blank, 2), Answer::Refused(Rule::Content));
    let blank = TenancyCommand::CordonTenant { reason: String::new() };
    assert_eq!(in_state(BindingStatus::Bound).asked(&blank, 2), Answer::Refused(Rule::Content));
    let blank = TenancyCommand::AbortMove { reason: " ".to_string() };
    assert_eq!(in_state(BindingStatus::Moving).asked(&blank, 2), Answer::Refused(Rule::Content));
}

#[test]
fn the_two_events_of_the_specification_are_published_and_no_other() {
    let mut told = in_state(BindingStatus::Moving);
    for command in [adjust(900, None), confirm(900), abort(), cordon(), release(), quota_returned()] {
        told.command(&command, 2).unwrap();
    }
    let published: Vec<_> = told
        .history
        .iter()
        .filter_map(|(event, _)| event.published().map(|version| (event.name(), version)))
        .collect();
    assert_eq!(published, [("RuntimeTenantBound", 1), ("RuntimeTenantQuotaAdjusted", 1)]);
    assert_eq!(told.history.len(), 9);
}

#[test]
fn statuses_are_named_as_the_table_names_them() {
    let names = BindingStatus::ALL.map(BindingStatus::name);
    assert_eq!(names, ["Pending", "Bound", "Cordoned", "Moving", "Released"]);
    for status in BindingStatus::ALL {
        assert_eq!(status.to_string(), status.name());
        assert_eq!(BindingStatus::CURRENT.contains(&status), status != BindingStatus::Released);
        let told = in_state(status);
        assert_eq!(Aggregate::status(told.now()), status.name());
        let (binding, environment) = (told.now(), id(1));
        assert_eq!(
            (binding.id(), binding.tenant_id(), binding.environment_id()),
            (id(5), id(2), environment)
        );
        assert_eq!(binding.partitions(), &place(IsolationModel::Pool).partitions);
        assert_eq!(binding.network_partition().as_str(), "tenant-prod-acme");
        assert_eq!(binding.data_partition().to_string(), "acme");
        let bound_at = if status == BindingStatus::Pending { None } else { Some(at(1)) };
        assert_eq!(binding.bound_at(), bound_at);
        let has_place = !matches!(status, BindingStatus::Pending | BindingStatus::Released);
        assert_eq!(binding.quota(), has_place.then(|| units(1_000)));
        assert_eq!(binding.relocation().is_some(), status == BindingStatus::Moving);
        assert_eq!(binding.isolation_model(), IsolationModel::Pool);
    }
}

#[test]
fn a_reconciler_is_woken_exactly_where_something_is_to_be_settled() {
    assert_eq!(in_state(BindingStatus::Pending).now().wake_at(), Some(at(60)));
    assert_eq!(in_state(BindingStatus::Bound).now().wake_at(), None);
    assert_eq!(in_state(BindingStatus::Cordoned).now().wake_at(), None);
    assert_eq!(in_state(BindingStatus::Moving).now().wake_at(), Some(at(1)));
    let mut told = in_state(BindingStatus::Released);
    assert_eq!((told.now().wake_at(), told.now().is_settled()), (Some(at(1)), false));
    told.command(&quota_returned(), 2).unwrap();
    assert_eq!((told.now().wake_at(), told.now().is_settled()), (None, true));
}

#[test]
fn a_record_that_was_edited_by_hand_is_refused() {
    let told = in_state(BindingStatus::Bound);
    let binding = told.now();
    assert_schema_is_kept(binding);
    assert_refused(binding, "SCHEMA", |record| {
        record["state"]["Bound"]["allocation"]["quota"]["cpu_millicores"] = serde_json::json!(0);
    });
    assert_refused(binding, "SCHEMA", |record| record["partitions"]["data"] = serde_json::json!("../other"));
    assert_refused(binding, "SCHEMA", |record| record["tenant_id"] = record["environment_id"].clone());
    assert_refused(binding, "LIFECYCLE", |record| record["bound_at"] = serde_json::Value::Null);
    let stamp = serde_json::to_value(at(1)).unwrap();
    let waiting = in_state(BindingStatus::Pending);
    assert_refused(waiting.now(), "LIFECYCLE", |record| record["bound_at"] = stamp);
    assert_refused(waiting.now(), "LIFECYCLE", |record| record["is_protected"] = serde_json::json!(true));
    let cordoned = in_state(BindingStatus::Cordoned);
    assert_refused(cordoned.now(), "CONTENT", |record| {
        record["state"]["Cordoned"]["reason"] = serde_json::json!("");
    });
    let released = in_state(BindingStatus::Released);
    assert_refused(released.now(), "CONTENT", |record| {
        record["state"]["Released"]["reason"] = serde_json::json!(" ");
    });
    assert_refused(released.now(), "LIFECYCLE", |record| record["is_protected"] = serde_json::json!(true));
}

#[test]
fn what_was_stored_before_there_were_ledgers_is_read() {
    let told = in_state(BindingStatus::Bound);
    let mut record = serde_json::to_value(told.now().to_record()).unwrap();
    record.as_object_mut().unwrap().remove("is_protected");
    record["state"]["Bound"].as_object_mut().unwrap().remove("exchange");
    assert_eq!(&crate::testing::loaded::<RuntimeTenantBinding>(&record).unwrap(), told.now());
    let mut told = in_state(BindingStatus::Released);
    told.command(&quota_returned(), 2).unwrap();
    let mut record = serde_json::to_value(told.now().to_record()).unwrap();
    record["state"]["Released"].as_object_mut().unwrap().remove("is_quota_returned");
    assert_eq!(&crate::testing::loaded::<RuntimeTenantBinding>(&record).unwrap(), told.now());
}

#[test]
fn every_event_but_the_first_is_refused_before_it_and_the_first_after_it() {
    for status in BindingStatus::ALL {
        let told = in_state(status);
        for (event, when) in &told.history[1..] {
            assert!(RuntimeTenantBinding::evolve(None, event, *when).is_err(), "{event:?}");
        }
        let (first, when) = &told.history[0];
        let refused = RuntimeTenantBinding::evolve(told.state.clone(), first, *when).unwrap_err();
        assert_eq!(refused.state, status.name());
    }
}

fn any_command() -> impl Strategy<Value = TenancyCommand> {
    let steps = MoveStage::ALL.map(MoveStage::step);
    let reason = prop_oneof![3 => Just("because".to_string()), 1 => "[a-z ]{0,3}"];
    let outcome = prop_oneof![
        3 => Just(MoveOutcome::Done),
        1 => "[a-z]{0,4}".prop_map(MoveOutcome::Failed),
    ];
    prop_oneof![
        3 => (998..1_003u64).prop_map(confirm),
        2 => (998..1_003u64, proptest::option::of(998..1_003u64)).prop_map(|(more, kept)| adjust(more, kept)),
        1 => reason.clone().prop_map(|reason| TenancyCommand::CordonTenant { reason }),
        1 => Just(()).prop_map(|()| TenancyCommand::UncordonTenant),
        1 => Just(()).prop_map(|()| TenancyCommand::ProtectFromRelease),
        1 => Just(()).prop_map(|()| TenancyCommand::Unprotect),
        2 => Just(()).prop_map(|()| begin_move()),
        6 => (proptest::sample::select(steps.to_vec()), outcome)
            .prop_map(|(step, outcome)| TenancyCommand::RecordMoveStep { step, outcome }),
        1 => reason.clone().prop_map(|reason| TenancyCommand::AbortMove { reason }),
        1 => reason.prop_map(|reason| TenancyCommand::ReleaseTenant { reason }),
        1 => Just(()).prop_map(|()| quota_returned()),
        1 => Just(()).prop_map(|()| TenancyCommand::Tick),
    ]
}

proptest! {
    #[test]
    fn replaying_any_history_gives_the_state_and_so_does_its_record(
        commands in proptest::collection::vec((any_command(), 0..40u64), 0..40)
    ) {
        let mut told = pending(IsolationModel::Pool);
        let mut now = 0;
        for (command, seconds) in commands {
            now += seconds;
            let before = told.now().clone();
            let accepted = told.command(&command, now).is_ok();
            prop_assert!(accepted || *told.now() == before);
            prop_assert_eq!(before.tenant_id(), told.now().tenant_id());
            prop_assert_eq!(told.now().claim(Revision(1)).is_ok(), told.now().state().status() != BindingStatus::Released);
        }
        told.check_replay_and_record();
    }
}
