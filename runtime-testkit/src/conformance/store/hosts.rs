use runtime_domain::value::Revision;
use runtime_ports::store::{Commit, CommitError, EvidenceCheck, InboxEntry, LeaseTopic, Query, Wanted};

use super::atomicity::consumer;
use super::{
    KIND, Outcome, World, at_once, ensure, is_claim_held, is_conflict, is_lease_lost, key, loaded, refused,
    take_one,
};
use crate::conformance::equal;
use crate::sample::{self, Draft, exclusive};

pub(super) async fn what_one_host_commits_another_sees(world: World) -> Outcome {
    let here = world.host(1).for_tenant(&sample::scope(1));
    let there = world.host(2).for_tenant(&sample::scope(1));
    let (worker_here, worker_there) =
        (world.host(1).for_operator(&sample::operator()), world.host(2).for_operator(&sample::operator()));
    let inbox = InboxEntry { consumer: consumer("trial")?, event: sample::event(1) };
    let first = Draft::create(1, key(1)).claiming([exclusive("a")]).waking_at(0).publishing();
    here.commit(Commit { inbox: Some(inbox.clone()), ..first.commit() }).await?;

    equal("the state elsewhere", loaded(&*there, key(1)).await?.record, first.write().record)?;
    equal("the history elsewhere", there.history(&key(1), 0, 10).await?, first.write().history)?;
    equal("the list elsewhere", there.query(&Query::all(KIND)).await?.items.len(), 1)?;
    let again = Commit { inbox: Some(inbox), ..Commit::default() };
    let already = |error: &CommitError| matches!(error, CommitError::AlreadyHandled);
    refused(&*there, again, "another host has handled the event", already).await?;
    refused(&*there, first.commit(), "another host has created it", is_conflict).await?;
    let contender = Draft::create(1, key(2)).claiming([exclusive("a")]);
    refused(&*there, contender.commit(), "it is claimed on another host", is_claim_held).await?;

    let lease = take_one(&*worker_there, LeaseTopic::Work, 2, 1).await?;
    let nothing = worker_here.take_leases(&super::request(LeaseTopic::Work, 1, 1)).await?;
    ensure(nothing.is_empty(), "another host has leased it")?;
    let taken_over = take_one(&*worker_here, LeaseTopic::Work, 1, 60).await?;
    ensure(taken_over.token > lease.token, "a lease taken over on another host has no greater token")?;
    let zombie = Commit { lease: Some(lease), ..first.next().commit() };
    refused(&*there, zombie, "another host has taken the lease over", is_lease_lost).await?;
    let fact = EvidenceCheck { key: key(1), wanted: Wanted::Exactly(Revision(1)) };
    let resting = Commit { evidence: vec![fact], ..Draft::create(1, key(3)).commit() };
    there.commit(resting).await?;
    here.commit(Commit { lease: Some(taken_over), ..first.next().commit() }).await?;
    equal("the revision elsewhere", loaded(&*there, key(1)).await?.revision, Revision(2))?;
    // Whoever waits elsewhere hears of it, or of anything, sooner or later: they poll beside it.
    at_once("a check of the other host", world.host(2).check()).await??;
    Ok(())
}
