use std::collections::BTreeSet;

use runtime_ports::store::{Commit, CommitError, CommitReceipt, InboxEntry, LeaseRequest, LeaseTopic};
use tokio::task::JoinSet;

use super::atomicity::consumer;
use super::{Failure, Outcome, World, ensure, is_claim_held, is_conflict, key, request};
use crate::conformance::equal;
use crate::sample::{self, Draft, exclusive};

const CONTENDERS: u64 = 64;

/// Lets every contender commit at once; exactly one wins, and the others are refused as `expected` recognises.
async fn one_wins(
    world: &World,
    commit: impl Fn(u64) -> Commit,
    expected: impl Fn(&CommitError) -> bool,
) -> Outcome {
    let mut contenders = JoinSet::new();
    for number in 1..=CONTENDERS {
        let (tenant, commit) = (world.tenant(1), commit(number));
        contenders.spawn(async move {
            tokio::task::yield_now().await;
            tenant.commit(commit).await
        });
    }
    let answers: Vec<Result<CommitReceipt, CommitError>> = contenders.join_all().await;
    let winners = answers.iter().filter(|answer| answer.is_ok()).count();
    equal(&format!("how many of {CONTENDERS} contenders won"), winners, 1)?;
    let unexpected = answers.iter().filter_map(|answer| answer.as_ref().err()).find(|error| !expected(error));
    ensure(unexpected.is_none(), format!("a loser was refused otherwise: {unexpected:?}"))
}

pub(super) async fn one_of_many_contenders_wins_a_claim(world: World) -> Outcome {
    let commit = |number| Draft::create(1, key(number)).claiming([exclusive("a")]).commit();
    one_wins(&world, commit, is_claim_held).await
}

pub(super) async fn one_of_many_contenders_wins_a_revision(world: World) -> Outcome {
    let first = Draft::create(1, key(1));
    let body = |number| format!("{{\"by\":{number}}}");
    one_wins(&world, |number| first.clone().body(&body(number)).commit(), is_conflict).await?;
    one_wins(&world, |number| first.next().body(&body(number)).commit(), is_conflict).await
}

pub(super) async fn one_of_many_contenders_handles_an_event(world: World) -> Outcome {
    let entry = InboxEntry { consumer: consumer("trial")?, event: sample::event(1) };
    let commit = |number| Commit { inbox: Some(entry.clone()), ..Draft::create(1, key(number)).commit() };
    one_wins(&world, commit, |error| matches!(error, CommitError::AlreadyHandled)).await
}

pub(super) async fn many_hosts_share_the_leases_without_overlap(world: World) -> Outcome {
    const AGGREGATES: u64 = 48;
    for number in 1..=AGGREGATES {
        world.tenant(1).commit(Draft::create(1, key(number)).waking_at(0).commit()).await?;
    }
    let mut hosts = JoinSet::new();
    for host in 1..=16 {
        let operator = world.operator();
        hosts.spawn(async move {
            tokio::task::yield_now().await;
            operator.take_leases(&LeaseRequest { limit: 5, ..request(LeaseTopic::Work, host, 1) }).await
        });
    }
    let mut taken = Vec::new();
    for leases in hosts.join_all().await {
        taken.extend(leases?.into_iter().map(|lease| lease.key.id));
    }
    let distinct: BTreeSet<_> = taken.iter().collect();
    if distinct.len() != taken.len() {
        return Err(Failure::new("an aggregate was leased to two hosts at once"));
    }
    equal("how many aggregates were leased", taken.len(), 48)
}
