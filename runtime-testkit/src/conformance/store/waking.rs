use std::pin::pin;
use std::task::Poll;

use runtime_domain::id::AggregateKind;
use runtime_ports::store::LeaseTopic;

use super::{KIND, Outcome, World, at_once, key};
use crate::sample::{self, Draft};

/// Polls a future once, so that it has begun to wait. Tells whether that was over at once: a worker may be woken for nothing.
async fn begun<F: Future>(future: &mut std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

pub(super) async fn a_commit_wakes_every_waiting_worker(world: World) -> Outcome {
    let (first, second) = (world.operator(), world.operator());
    let drafts = [
        (LeaseTopic::Work, Draft::create(1, key(1)).waking_at(0)),
        (LeaseTopic::Outbox, Draft::create(1, key(2)).publishing()),
    ];
    for (topic, draft) in drafts {
        let tenant = world.tenant(1);
        let (one, other) = (first.work_arrived(topic, &[KIND]), second.work_arrived(topic, &[KIND]));
        let (mut one, mut other) = (pin!(one), pin!(other));
        let (one_was_woken, other_was_woken) = (begun(&mut one).await, begun(&mut other).await);
        tenant.commit(draft.commit()).await?;
        // Whoever was woken for nothing waits again, and is woken for what was committed meanwhile.
        match one_was_woken {
            true => at_once("the first worker's wake-up", first.work_arrived(topic, &[KIND])).await?,
            false => at_once("the first worker's wake-up", one).await?,
        }
        match other_was_woken {
            true => at_once("the second worker's wake-up", second.work_arrived(topic, &[KIND])).await?,
            false => at_once("the second worker's wake-up", other).await?,
        }
    }
    Ok(())
}

pub(super) async fn a_commit_before_the_wait_is_not_missed(world: World) -> Outcome {
    const WORK: LeaseTopic = LeaseTopic::Work;
    let operator = world.operator();
    let draft = Draft::create(1, key(1)).waking_at(0);
    world.tenant(1).commit(draft.commit()).await?;
    at_once("the wake-up for what was committed before", operator.work_arrived(WORK, &[KIND])).await?;
    {
        // Dropped while it waits, it takes nothing with it.
        let waiting = operator.work_arrived(WORK, &[KIND]);
        let mut waiting = pin!(waiting);
        begun(&mut waiting).await;
    }
    world.tenant(1).commit(draft.next().commit()).await?;
    at_once("the wake-up after a wait that was dropped", operator.work_arrived(WORK, &[KIND])).await
}

pub(super) async fn a_wake_up_for_one_kind_takes_none_from_another(world: World) -> Outcome {
    const WORK: LeaseTopic = LeaseTopic::Work;
    let operator = world.operator();
    let other = sample::key(AggregateKind::ScalingPolicy, 2);
    for address in [key(1), other] {
        world.tenant(1).commit(Draft::create(1, address).waking_at(0).commit()).await?;
    }
    at_once("the wake-up for one kind", operator.work_arrived(WORK, &[KIND])).await?;
    at_once("the wake-up for another", operator.work_arrived(WORK, &[other.kind])).await?;
    world.tenant(1).commit(Draft::create(1, key(3)).publishing().commit()).await?;
    let kinds = [KIND, other.kind];
    at_once("the wake-up for an event", operator.work_arrived(LeaseTopic::Outbox, &kinds)).await
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
