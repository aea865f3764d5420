use std::pin::pin;
use std::task::Poll;

use super::{Outcome, World, at_once, key};
use crate::sample::Draft;

/// Polls a future once, so that it has begun to wait.
async fn begun<F: Future>(future: &mut std::pin::Pin<&mut F>) {
    std::future::poll_fn(|context| {
        let _ = future.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
}

pub(super) async fn a_commit_wakes_every_waiting_worker(world: World) -> Outcome {
    let (first, second) = (world.operator(), world.operator());
    let drafts = [Draft::create(1, key(1)).waking_at(0), Draft::create(1, key(2)).publishing()];
    for draft in drafts {
        let tenant = world.tenant(1);
        let (one, other) = (first.work_arrived(), second.work_arrived());
        let (mut one, mut other) = (pin!(one), pin!(other));
        begun(&mut one).await;
        begun(&mut other).await;
        tenant.commit(draft.commit()).await?;
        at_once("the first worker's wake-up", one).await?;
        at_once("the second worker's wake-up", other).await?;
    }
    Ok(())
}

pub(super) async fn a_commit_before_the_wait_is_not_missed(world: World) -> Outcome {
    let operator = world.operator();
    let draft = Draft::create(1, key(1)).waking_at(0);
    world.tenant(1).commit(draft.commit()).await?;
    at_once("the wake-up for what was committed before", operator.work_arrived()).await?;
    {
        // Dropped while it waits, it takes nothing with it.
        let waiting = operator.work_arrived();
        let mut waiting = pin!(waiting);
        begun(&mut waiting).await;
    }
    world.tenant(1).commit(draft.next().commit()).await?;
    at_once("the wake-up after a wait that was dropped", operator.work_arrived()).await
}

pub(super) async fn a_store_that_works_says_so(world: World) -> Outcome {
    world.store.check().await?;
    let draft = Draft::create(1, key(1));
    world.tenant(1).commit(draft.commit()).await?;
    // Asking changes nothing.
    world.store.check().await?;
    world.tenant(1).commit(draft.next().commit()).await?;
    Ok(())
}
