use std::pin::pin;
use std::task::Poll;

use runtime_domain::value::Revision;
use runtime_ports::store::{
    Commit, InboxEntry, Lease, LeaseError, LeaseRequest, LeaseTopic, ParkedQuery, Query, Unpark,
};

use super::atomicity::consumer;
use super::outbox::parking;
use super::{
    Failure, KIND, NOBODY, Outcome, Patience, World, at_once, ensure, is_conflict, key, loaded, request,
};
use crate::conformance::equal;
use crate::faults::was_performed;
use crate::sample::{self, Draft, exclusive};

/// Polls a future until it has been pending so many times, then drops it; what it returned, if it did before.
async fn dropped_after<F: Future>(pending: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = pending;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Drops a commit before its first poll, after its first, and so on until it comes to its end undisturbed.
///
/// Buried: sqlx#4393. Theirs: a `begin` that was dropped left its connection inside a transaction, and acknowledged writes were lost with it. Ours:
/// a commit that is dropped at any poll is whole or absent, and the next one is kept.
pub(super) async fn a_dropped_commit_is_whole_or_absent(world: World) -> Outcome {
    let tenant = world.tenant(1);
    for polls in 0..200 {
        let base = u64::from(polls) * 10;
        let claim = exclusive(&format!("claim-{polls}"));
        let first = Draft::create(1, key(base + 1)).claiming([claim.clone()]).by(1).publishing();
        let second = Draft::create(1, key(base + 2)).waking_at(0);
        let inbox = InboxEntry { consumer: consumer("trial")?, event: sample::event(base) };
        let whole = Commit { inbox: Some(inbox.clone()), ..sample::commit([first.clone(), second.clone()]) };
        let answer = dropped_after(polls, tenant.commit(whole.clone())).await;

        // The same aggregates without anything that could be in the way: accepted where nothing of it happened, and then nothing ever will.
        let instead = [Draft::create(1, key(base + 1)), Draft::create(1, key(base + 2))];
        let happened =
            match at_once("the commit after a dropped one", tenant.commit(sample::commit(instead))).await? {
                Ok(_) => false,
                Err(error) if is_conflict(&error) => true,
                Err(error) => return Err(error.into()),
            };
        let found = was_performed(&*tenant, &whole).await?;
        equal(&format!("dropped after {polls} polls, its event is found"), found, happened)?;
        let taker = Draft::create(1, key(base + 3)).claiming([claim]);
        let claim_free = tenant.commit(taker.commit()).await.is_ok();
        let event_free = tenant.commit(Commit { inbox: Some(inbox), ..Commit::default() }).await.is_ok();
        let outcome = format!("dropped after {polls} polls, its writes happened: {happened}");
        equal(&format!("{outcome}; its claim is free"), claim_free, !happened)?;
        equal(&format!("{outcome}; its event is unhandled"), event_free, !happened)?;
        for (number, draft) in [(1, &first), (2, &second)] {
            let wake_at = loaded(&*tenant, key(base + number)).await?.wake_at;
            let wanted = if happened { draft.write().wake_at } else { None };
            equal(&format!("{outcome}; the wake-up time of write {number}"), wake_at, wanted)?;
        }
        let leases = world.operator().take_leases(&request(LeaseTopic::Outbox, 1, 0)).await?;
        equal(&format!("{outcome}; its events wait"), !leases.is_empty(), happened)?;
        if let Some(answer) = answer {
            answer?;
            return ensure(happened, "a commit that returned Ok is not there");
        }
    }
    Err(Failure::new("a commit was still pending after 200 polls"))
}

/// What is dropped, and whether it came to its end first.
struct Drops {
    polls: u32,
    all_ended: bool,
}

impl Drops {
    async fn drop<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let answer = dropped_after(self.polls, future).await;
        self.all_ended &= answer.is_some();
        answer
    }
}

/// Every method of every handle, dropped before its first poll, after its first, and so on until each comes to its end undisturbed. After
/// every round the store does all that it should, at once.
///
/// Buried: sqlx#4393.
pub(super) async fn every_call_can_be_dropped_at_every_poll(world: World) -> Outcome {
    for polls in 0..200 {
        let number = u64::from(polls) + 1;
        let first = Draft::create(1, key(number)).waking_at(0).entries(2).publishing();
        world.tenant(1).commit(first.commit()).await?;
        let mut drops = Drops { polls, all_ended: true };
        drop_readers(&world, &mut drops, number).await;
        drop_workers(&world, &mut drops, number).await?;
        let what = format!("what follows calls that were dropped after {polls} polls");
        at_once(&what, settled(&world, &first)).await??;
        if drops.all_ended {
            return Ok(());
        }
    }
    Err(Failure::new("a call was still pending after 200 polls"))
}

async fn drop_readers(world: &World, drops: &mut Drops, number: u64) {
    let (tenant, operator) = (world.tenant(1), world.operator());
    drops.drop(tenant.load(&key(number))).await;
    drops.drop(tenant.query(&Query::all(KIND))).await;
    drops.drop(tenant.history(&key(number), 0, 10)).await;
    if let Ok(consumer) = consumer("trial") {
        drops.drop(tenant.is_handled(&InboxEntry { consumer, event: sample::event(1) })).await;
    }
    drops.drop(operator.next_due(&[KIND])).await;
    drops.drop(world.store.check()).await;
    // It may wait for ever, so it does not count, and is polled without being woken.
    let mut waiting = pin!(operator.work_arrived(LeaseTopic::Work, &[KIND]));
    std::future::poll_fn(|context| {
        let ended = (0..drops.polls).any(|_| waiting.as_mut().poll(context).is_ready());
        Poll::Ready(ended)
    })
    .await;
}

async fn drop_workers(world: &World, drops: &mut Drops, number: u64) -> Outcome {
    let operator = world.operator();
    let operator = &*operator;
    let taken =
        |topic| async move { Ok::<_, Failure>(operator.take_leases(&request(topic, 1, 1)).await?.pop()) };
    // Each is done wholly or not at all, and does not know it: none of it is an error.
    for step in 0..2 {
        if let Some(relay) = taken(LeaseTopic::Outbox).await? {
            drops.drop(operator.outbox(&relay, 10)).await;
            drops.drop(operator.outbox_published(&relay, step, &NOBODY)).await;
            let parking = parking("dropped", 2)?;
            drops.drop(operator.outbox_park(&relay, &parking)).await;
            drops.drop(operator.outbox_parked(&ParkedQuery::all())).await;
            drops.drop(operator.outbox_unpark(&Unpark::All { destination: None })).await;
            drops.drop(operator.outbox_missed(&relay, &parking.destination, 10)).await;
            drops.drop(operator.outbox_caught_up(&relay, &parking.destination, step)).await;
            drops.drop(operator.release_lease(&relay)).await;
        }
        if let Some(lease) = taken(LeaseTopic::Work).await? {
            ensure(lease.key == key(number), "another aggregate is due")?;
            drops.drop(operator.renew_lease(&lease, sample::at(20))).await;
            drops.drop(operator.defer_lease(&lease, Revision(1), sample::at(step))).await;
        }
    }
    for topic in [LeaseTopic::Work, LeaseTopic::Outbox] {
        drops.drop(operator.take_leases(&request(topic, 2, 100))).await;
    }
    Ok(())
}

/// The store does all that it should: what was begun on an aggregate is brought to its end, and nothing is left due.
async fn settled(world: &World, first: &Draft) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    world.store.check().await?;
    let late = |topic| LeaseRequest { until: sample::at(2_000), ..request(topic, 3, 1_000) };
    let mut patience = Patience::new();
    let relays = loop {
        // A call that was dropped may come to its end later than this one.
        operator.outbox_unpark(&Unpark::All { destination: None }).await?;
        let relays = operator.take_leases(&late(LeaseTopic::Outbox)).await?;
        if !relays.is_empty() {
            break relays;
        }
        patience.wait("the lease on a stream").await?;
    };
    equal(
        "the streams that are due later",
        relays.iter().map(|lease| lease.key).collect(),
        vec![first.key()],
    )?;
    for relay in relays {
        let waiting: Vec<u64> =
            operator.outbox(&relay, 10).await?.events.iter().map(|event| event.sequence).collect();
        ensure(waiting == [1, 2] || waiting == [2], format!("the events that wait later: {waiting:?}"))?;
        operator.outbox_published(&relay, 2, &NOBODY).await?;
        operator.outbox_caught_up(&relay, &parking("dropped", 2)?.destination, 2).await?;
        operator.release_lease(&relay).await?;
    }
    let works: Vec<Lease> = operator.take_leases(&late(LeaseTopic::Work)).await?;
    equal("the work that is due later", works.iter().map(|lease| lease.key).collect(), vec![first.key()])?;
    for work in works {
        let lost = Lease { host: sample::host(2), ..work.clone() };
        let renewal = operator.renew_lease(&lost, sample::at(3_000)).await;
        ensure(matches!(renewal, Err(LeaseError::Lost { .. })), "a lease is held twice")?;
        let commit = Commit { lease: Some(work.clone()), ..first.next().sleeping().commit() };
        tenant.commit(commit).await?;
        operator.release_lease(&work).await?;
    }
    equal("the revision", loaded(&*tenant, first.key()).await?.revision, Revision(2))?;
    equal("the history", tenant.history(&first.key(), 0, 10).await?.len(), 3)?;
    for topic in [LeaseTopic::Work, LeaseTopic::Outbox] {
        let left = operator.take_leases(&late(topic)).await?;
        ensure(left.is_empty(), format!("{topic:?} is still due: {left:?}"))?;
    }
    Ok(())
}
