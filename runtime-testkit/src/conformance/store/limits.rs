use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_ports::store::{
    ChainDigest, Commit, EvidenceCheck, Expected, Lease, LeaseError, LeaseRequest, LeaseTopic, Wanted,
};

use super::{
    KIND, NOBODY, Outcome, World, ensure, is_absent, is_claim_held, is_conflict, is_lease_lost, is_stale,
    key, loaded, refused, request, take_one,
};
use crate::conformance::equal;
use crate::sample::{self, Draft, exclusive};

pub(super) async fn the_least_and_the_greatest_are_taken_at_their_word(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    // Due since the beginning of time, and never.
    let ever = Draft::create(1, key(1)).due(Timestamp::MIN_UTC).entries(3).publishing();
    tenant.commit(ever.commit()).await?;
    tenant.commit(Draft::create(1, key(2)).due(Timestamp::MAX_UTC).commit()).await?;
    equal("next due since ever", operator.next_due(&[KIND]).await?, Some(Timestamp::MIN_UTC))?;
    let all = LeaseRequest { limit: u32::MAX, ..request(LeaseTopic::Work, 1, 1) };
    let leases = operator.take_leases(&all).await?;
    equal("what was leased of all", leases.iter().map(|lease| lease.key).collect(), vec![key(1)])?;
    let nobody = operator.take_leases(&LeaseRequest { now: sample::at(2), ..all.clone() }).await?;
    ensure(nobody.is_empty(), "it was leased already")?;
    let Some(lease) = leases.into_iter().next() else { return Ok(()) };

    // A lease without an end, and one that ends at once.
    let for_ever = operator.renew_lease(&lease, Timestamp::MAX_UTC).await?;
    let later = LeaseRequest { now: sample::at(4_000_000_000), ..all.clone() };
    ensure(operator.take_leases(&later).await?.is_empty(), "a lease without an end was taken")?;
    operator.renew_lease(&for_ever, sample::at(1)).await?;
    let next = take_one(&*operator, LeaseTopic::Work, 2, 1).await?;
    ensure(next.token > lease.token, "a lease that ended at once was not taken over")?;
    let forged = Lease { token: FencingToken(u64::MAX), ..next.clone() };
    let renewal = operator.renew_lease(&forged, sample::at(9)).await;
    ensure(matches!(renewal, Err(LeaseError::Lost { .. })), format!("the greatest token: {renewal:?}"))?;
    let under = Commit { lease: Some(forged), ..ever.next().commit() };
    refused(&*tenant, under, "the token was never given", is_lease_lost).await?;

    // Revisions and sequences that nothing will ever have.
    for revision in [0, u64::MAX - 1, u64::MAX] {
        let mut commit = Draft::create(1, key(3)).commit();
        commit.writes.iter_mut().for_each(|write| {
            write.expected = Expected::At { revision: Revision(revision), digest: ChainDigest::GENESIS };
        });
        refused(&*tenant, commit, "nothing is at that revision", is_conflict).await?;
        for wanted in [Wanted::Exactly(Revision(revision)), Wanted::AtLeast(Revision(revision.max(2)))] {
            let evidence = vec![EvidenceCheck { key: key(1), wanted }];
            let resting = Commit { evidence, ..Draft::create(1, key(3)).commit() };
            refused(&*tenant, resting, "nothing is at that revision", is_stale).await?;
        }
    }
    is_absent(&*tenant, key(3)).await?;
    let relay = take_one(&*operator, LeaseTopic::Outbox, 1, 1).await?;
    equal("no event", operator.outbox(&relay, 0).await?.events.len(), 0)?;
    equal("all events", operator.outbox(&relay, u32::MAX).await?.events.len(), 3)?;
    operator.outbox_published(&relay, 0, &NOBODY).await?;
    equal("the events after none was sent", operator.outbox(&relay, u32::MAX).await?.events.len(), 3)?;
    operator.outbox_published(&relay, u64::MAX, &NOBODY).await?;
    equal("the events after all were sent", operator.outbox(&relay, u32::MAX).await?.events.len(), 0)
}

/// Two hundred aggregates in one commit, one of them with a state of a megabyte: refused whole, then done whole.
pub(super) async fn a_big_commit_is_whole(world: World) -> Outcome {
    const WRITES: u64 = 200;
    let tenant = world.tenant(1);
    let body = format!("{{\"text\":\"{}\"}}", "\u{fc}".repeat(500_000));
    let drafts = |last: &str| -> Vec<Draft> {
        let of = |number| {
            let claim = if number == WRITES { last.to_owned() } else { format!("claim-{number}") };
            let draft = Draft::create(1, key(number)).claiming([exclusive(&claim)]).entries(3).publishing();
            if number == 7 { draft.body(&body) } else { draft }
        };
        (1..=WRITES).map(of).collect()
    };
    tenant.commit(Draft::create(1, key(1_000)).claiming([exclusive("taken")]).commit()).await?;
    refused(&*tenant, sample::commit(drafts("taken")), "the last of its claims is held", is_claim_held)
        .await?;
    for number in [1, 7, WRITES] {
        is_absent(&*tenant, key(number)).await?;
    }
    let receipt = tenant.commit(sample::commit(drafts("free"))).await?;
    equal("the receipt", receipt.revisions.len(), 200)?;
    equal("the big state", loaded(&*tenant, key(7)).await?.record.body, body)?;
    for number in 1..=WRITES {
        let (history, contender) =
            (tenant.history(&key(number), 0, 10).await?, Draft::create(1, key(2_000 + number)));
        equal(&format!("the history of write {number}"), history.len(), 3)?;
        let held = if number == WRITES { "free".to_owned() } else { format!("claim-{number}") };
        let why = format!("write {number} of the commit claims it");
        refused(&*tenant, contender.claiming([exclusive(&held)]).commit(), &why, is_claim_held).await?;
    }
    let relay = LeaseRequest { limit: 1_000, ..request(LeaseTopic::Outbox, 1, 0) };
    equal("the streams", world.operator().take_leases(&relay).await?.len(), 200)
}
