use std::pin::pin;
use std::task::Poll;

use runtime_ports::store::{Commit, InboxEntry, LeaseTopic};

use super::atomicity::consumer;
use super::{Failure, Outcome, World, ensure, is_conflict, key, loaded, request};
use crate::conformance::equal;
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
pub(super) async fn a_dropped_commit_is_whole_or_absent(world: World) -> Outcome {
    let tenant = world.tenant(1);
    for polls in 0..200 {
        let base = u64::from(polls) * 10;
        let claim = exclusive(&format!("claim-{polls}"));
        let first = Draft::create(1, key(base + 1)).claiming([claim.clone()]).publishing();
        let second = Draft::create(1, key(base + 2)).waking_at(0);
        let inbox = InboxEntry { consumer: consumer("trial")?, event: sample::event(base) };
        let whole = Commit { inbox: Some(inbox.clone()), ..sample::commit([first.clone(), second.clone()]) };
        let answer = dropped_after(polls, tenant.commit(whole)).await;

        // The same aggregates without anything that could be in the way: accepted where nothing of it happened, and then nothing ever will.
        let instead = [Draft::create(1, key(base + 1)), Draft::create(1, key(base + 2))];
        let happened = match tenant.commit(sample::commit(instead)).await {
            Ok(_) => false,
            Err(error) if is_conflict(&error) => true,
            Err(error) => return Err(error.into()),
        };
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
