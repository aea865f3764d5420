//! The table of the context's docs, and what holds for every history.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};

use proptest::prelude::*;

use crate::aggregate::{Aggregate, DomainEvent, EvidenceRef};
use crate::claim::{Claim, ClaimMode, ClaimSpace};
use crate::environment::{HostedEnvironment, IsolationModel};
use crate::id::AggregateKind;
use crate::refusal::{Refusal, Rule};
use crate::tenancy::*;
use crate::testing::{Answer, Told, answer, assert_refused, assert_schema_is_kept, at, id};
use crate::value::Revision;

pub(crate) fn bound_tenant(tenant: u128, environment: u128, revision: Revision) -> BoundTenant {
    let command = BindTenant {
        tenant_id: id(tenant),
        environment: HostedEnvironment {
            tenant: id(tenant),
            environment: id(environment),
            isolation_model: IsolationModel::Silo,
            at: Revision(1),
        },
        ..bind(IsolationModel::Silo)
    };
    let told: Told<RuntimeTenantBinding> = Told::begin(RuntimeTenantBinding::bind(&command, at(0)), at(0));
    told.now().prove(revision).unwrap()
}

fn quota(units: u64) -> ResourceQuota {
    ResourceQuota::new(units, units, units, units).unwrap()
}

fn bind(isolation_model: IsolationModel) -> BindTenant {
    BindTenant {
        tenant_binding_id: id(5),
        tenant_id: id(2),
        environment: HostedEnvironment {
            tenant: id(2),
            environment: id(1),
            isolation_model,
            at: Revision(3),
        },
        isolation_model,
        quota: quota(1_000),
        partitions: PartitionAssignment {
            network: PartitionKey::new("tenant-prod-acme").unwrap(),
            data: PartitionKey::new("acme").unwrap(),
        },
    }
}

fn bound(isolation_model: IsolationModel) -> Told<RuntimeTenantBinding> {
    Told::begin(RuntimeTenantBinding::bind(&bind(isolation_model), at(0)), at(0))
}

fn released() -> Told<RuntimeTenantBinding> {
    let mut told = bound(IsolationModel::Silo);
    let decision = told.now().decide(&release("left"), at(1)).unwrap();
    told.happen(decision, at(1));
    told
}

fn release(reason: &str) -> TenancyCommand {
    TenancyCommand::ReleaseTenant { reason: reason.to_string() }
}

#[test]
fn every_command_in_every_state_is_answered_as_the_table_says() {
    use Answer::{Changes, Refused, Same};
    let commands = [
        TenancyCommand::AdjustQuota { quota: quota(2) },
        TenancyCommand::AdjustQuota { quota: quota(1_000) },
        release("left"),
    ];
    let no = Refused(Rule::Lifecycle);
    let table = [(bound(IsolationModel::Silo), [Changes, Same, Changes]), (released(), [no, no, Same])];
    for (told, expected) in table {
        for (command, expected) in commands.iter().zip(expected) {
            let decided = told.now().decide(command, at(2));
            assert_eq!(answer(&decided), expected, "{command:?} while {}", Aggregate::status(told.now()));
            if let Ok(decision) = decided {
                let mut after = told.clone();
                after.happen(decision, at(2));
                after.check_replay_and_record();
            }
        }
    }
}

/// Shows TEN-3, X-3.
#[test]
fn binding_again_gives_the_same_binding_or_says_what_differs() {
    let same = BindTenant { tenant_binding_id: id(77), ..bind(IsolationModel::Silo) };
    let other = BindTenant { quota: quota(9), ..bind(IsolationModel::Silo) };
    let told = bound(IsolationModel::Silo);
    assert_eq!(answer(&told.now().bind_again(&same)), Answer::Same);
    assert_eq!(answer(&told.now().bind_again(&other)), Answer::Refused(Rule::Ten3));
    assert_eq!(answer(&released().now().bind_again(&same)), Answer::Refused(Rule::Lifecycle));
}

/// Shows TEN-1.
#[test]
fn the_isolation_is_the_environments() {
    let models = [IsolationModel::Silo, IsolationModel::Pool, IsolationModel::Shared];
    for offered in models {
        for wanted in models {
            let command = BindTenant { isolation_model: wanted, ..bind(offered) };
            let expected = if wanted == offered { Answer::Changes } else { Answer::Refused(Rule::Ten1) };
            assert_eq!(answer(&RuntimeTenantBinding::bind(&command, at(0))), expected);
        }
    }
}

/// Shows X-1.
#[test]
fn a_silo_takes_no_tenant_but_its_own_and_a_pool_takes_others() {
    let foreign = |model| BindTenant { tenant_id: id(8), ..bind(model) };
    let silo = RuntimeTenantBinding::bind(&foreign(IsolationModel::Silo), at(0));
    assert_eq!(answer(&silo), Answer::Refused(Rule::X1));
    let pool = RuntimeTenantBinding::bind(&foreign(IsolationModel::Pool), at(0));
    assert_eq!(answer(&pool), Answer::Changes);
}

/// Shows TEN-1, TEN-3.
#[test]
fn a_silo_occupies_its_environment_alone_and_the_others_share_it() {
    for (model, mode) in [
        (IsolationModel::Silo, ClaimMode::Exclusive),
        (IsolationModel::Pool, ClaimMode::Shared),
        (IsolationModel::Shared, ClaimMode::Shared),
    ] {
        let claims = bound(model).now().claims();
        assert!(claims.contains(&Claim::occupancy(id(1), mode)), "{model:?}");
        assert!(claims.contains(&Claim::tenant_binding(id(2), id(1))));
        let partitions = claims.iter().filter(|claim| claim.key.starts_with("partition/")).count();
        assert_eq!(partitions, if model == IsolationModel::Shared { 1 } else { 2 }, "{model:?}");
        let is_global =
            |claim: &&Claim| claim.space == ClaimSpace::Global && claim.mode == ClaimMode::Exclusive;
        assert!(
            claims.iter().filter(|claim| claim.key.starts_with("partition/")).all(|claim| is_global(&claim))
        );
    }
    assert_eq!(released().now().claims(), BTreeSet::new());
}

#[test]
fn a_released_tenant_proves_nothing() {
    assert_eq!(released().now().prove(Revision(2)).unwrap_err().rule(), Rule::Env3);
    let told = bound(IsolationModel::Pool);
    let proof = told.now().prove(Revision(2)).unwrap();
    assert_eq!((proof.tenant(), proof.environment(), proof.at()), (id(2), id(1), Revision(2)));
    assert_eq!((proof.binding(), proof.isolation_model()), (id(5), IsolationModel::Pool));
}

#[test]
fn a_request_to_bind_names_the_environment_and_the_revision_it_rests_on() {
    let expected = EvidenceRef {
        kind: AggregateKind::RuntimeEnvironment,
        id: id::<crate::id::kind::Environment>(1).uuid(),
        revision: Revision(3),
    };
    assert_eq!(bind(IsolationModel::Pool).evidence(), expected);
}

#[test]
fn a_tenant_is_not_released_without_a_reason() {
    let told = bound(IsolationModel::Silo);
    assert_eq!(answer(&told.now().decide(&release("  "), at(1))), Answer::Refused(Rule::Content));
}

#[test]
fn a_quota_that_nothing_could_run_with_cannot_be_written() {
    assert!(ResourceQuota::new(0, 1, 1, 1).is_err());
    assert!(ResourceQuota::new(1, 0, 1, 1).is_err());
    assert!(ResourceQuota::new(1, 1, 1, 0).is_err());
    assert!(ResourceQuota::new(1, 1, 0, 1).is_ok());
    assert!(ResourceQuota::new(u64::MAX, 1, 1, 1).unwrap_err().to_string().contains("cpu_millicores"));
}

#[test]
fn the_two_events_of_the_specification_are_published_and_no_other() {
    let mut told = bound(IsolationModel::Silo);
    for command in [TenancyCommand::AdjustQuota { quota: quota(2) }, release("left")] {
        let decision = told.now().decide(&command, at(1)).unwrap();
        told.happen(decision, at(1));
    }
    let published: alloc::vec::Vec<_> = told.history.iter().map(|(event, _)| event.published()).collect();
    assert_eq!(published, [Some(1), Some(1), None]);
}

#[test]
fn a_record_that_was_edited_by_hand_is_refused() {
    let binding = bound(IsolationModel::Silo).now().clone();
    assert_schema_is_kept(&binding);
    assert_refused(&binding, "SCHEMA", |record| {
        record["state"]["Bound"]["allocation"]["quota"]["cpu_millicores"] = serde_json::json!(0);
    });
    assert_refused(&binding, "SCHEMA", |record| record["partitions"]["data"] = serde_json::json!("../other"));
    assert_refused(&binding, "SCHEMA", |record| record["tenant_id"] = record["environment_id"].clone());
    assert_refused(released().now(), "CONTENT", |record| {
        record["state"]["Released"]["reason"] = serde_json::json!(" ");
    });
}

proptest! {
    #[test]
    fn replaying_any_history_gives_the_state_and_so_does_its_record(
        commands in proptest::collection::vec((0..3u8, 1..5u64, "[a-z ]{0,5}"), 0..12)
    ) {
        let mut told = bound(IsolationModel::Pool);
        for (seconds, (kind, units, reason)) in commands.into_iter().enumerate() {
            let command = match kind {
                0 => TenancyCommand::ReleaseTenant { reason: String::from(&reason) },
                _ => TenancyCommand::AdjustQuota { quota: quota(units) },
            };
            if let Ok(decision) = told.now().decide(&command, at(seconds as u64)) {
                told.happen(decision, at(seconds as u64));
            }
        }
        told.check_replay_and_record();
    }

    #[test]
    fn a_quota_round_trips_and_a_hostile_one_is_refused(units in any::<[u64; 4]>()) {
        match ResourceQuota::new(units[0], units[1], units[2], units[3]) {
            Ok(quota) => {
                let text = serde_json::to_string(&quota).unwrap();
                prop_assert_eq!(serde_json::from_str::<ResourceQuota>(&text).unwrap(), quota);
            }
            Err(error) => prop_assert!(error.to_string().contains("write a whole number")),
        }
    }
}
