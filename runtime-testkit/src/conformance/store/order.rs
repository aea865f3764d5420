use std::sync::Arc;

use runtime_domain::id::EventId;
use runtime_domain::value::Revision;
use runtime_ports::store::{CommitReceipt, LeaseRequest, LeaseTopic};
use tokio::task::JoinSet;

use super::{Failure, NOBODY, Outcome, Patience, World, at_once, ensure, is_conflict, key, loaded, request};
use crate::conformance::equal;
use crate::sample::{self, Draft};

const WRITERS: u64 = 8;
const COMMITS: u64 = 6;
/// Every commit tells two events.
const EVENTS: u64 = 1 + WRITERS * COMMITS * 2;

/// The revision and the events of every commit of one writer.
type Written = Vec<(Revision, Vec<EventId>)>;

/// Commits on one aggregate that others write too, again after every conflict.
async fn write(world: World, writer: u64) -> Result<Written, Failure> {
    let tenant = world.host(writer).for_tenant(&sample::scope(1));
    let (mut written, mut patience) = (Vec::new(), Patience::new());
    while written.len() < usize::try_from(COMMITS).unwrap_or(0) {
        let stored = loaded(&*tenant, key(1)).await?;
        // Others go on in between, however quickly the store answers.
        tokio::task::yield_now().await;
        let draft = Draft::after(1, &stored).entries(2).by(writer).publishing();
        match tenant.commit(draft.commit()).await {
            Ok(CommitReceipt { revisions }) => {
                equal("the receipt", revisions, vec![draft.revision()])?;
                let events = draft.write().history.iter().map(|entry| entry.id).collect();
                written.push((draft.revision(), events));
            }
            Err(error) if is_conflict(&error) => patience.wait("a turn to write").await?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(written)
}

/// The beginning of an aggregate, and its writers at work.
async fn begun(world: &World) -> Result<JoinSet<Result<Written, Failure>>, Failure> {
    world.tenant(1).commit(Draft::create(1, key(1)).publishing().commit()).await?;
    let mut writers = JoinSet::new();
    for writer in 1..=WRITERS {
        writers.spawn(write(world.clone(), writer));
    }
    Ok(writers)
}

async fn ended(writers: JoinSet<Result<Written, Failure>>) -> Outcome {
    writers.join_all().await.into_iter().try_for_each(|written| written.map(drop))
}

pub(super) async fn a_history_is_in_the_order_of_commits(world: World) -> Outcome {
    let writers = begun(&world).await?;
    let mut written = Vec::new();
    for one in writers.join_all().await {
        written.extend(one?);
    }
    written.sort_by_key(|(revision, _)| *revision);
    let revisions: Vec<u64> = written.iter().map(|(revision, _)| revision.0).collect();
    equal("the revisions", revisions, (2..=1 + WRITERS * COMMITS).collect())?;
    let history = world.tenant(1).history(&key(1), 0, u32::MAX).await?;
    let sequences: Vec<u64> = history.iter().map(|entry| entry.sequence).collect();
    equal("the sequences", sequences, (1..=EVENTS).collect())?;
    let told: Vec<EventId> = history.iter().skip(1).map(|entry| entry.id).collect();
    equal("the events", told, written.into_iter().flat_map(|(_, events)| events).collect())
}

/// Whoever reads on from what it has seen sees every entry: none becomes visible after one that follows it.
///
/// Buried: kamu-cli#1398.
pub(super) async fn who_follows_a_history_misses_nothing(world: World) -> Outcome {
    let writers = begun(&world).await?;
    let tenant = world.tenant(1);
    let following = async {
        let (mut seen, mut patience) = (0, Patience::new());
        while seen < EVENTS {
            for entry in tenant.history(&key(1), seen, 5).await? {
                equal("the entry that follows what was seen", entry.sequence, seen + 1)?;
                seen = entry.sequence;
                patience.restore();
            }
            patience.wait("the end of the history").await?;
        }
        Outcome::Ok(())
    };
    // A writer that fails says why there is no more to see.
    at_once("the end of the history", async { tokio::try_join!(ended(writers), following) }).await?.map(drop)
}

/// A relay on one host beside writers on two.
///
/// Buried: kamu-cli#1398. Theirs: sequence numbers were not in the order of commits, and who read on from the last one missed events. Ours: whoever
/// follows or relays while others commit sees every event, in order.
pub(super) async fn who_relays_while_others_commit_misses_nothing(world: World) -> Outcome {
    let writers = begun(&world).await?;
    let operator = Arc::new(world.host(2).for_operator(&sample::operator()));
    let relaying = async {
        let (mut sent, mut patience) = (0, Patience::new());
        while sent < EVENTS {
            let asked = LeaseRequest { limit: 1, ..request(LeaseTopic::Outbox, 2, 0) };
            for lease in operator.take_leases(&asked).await? {
                let events = operator.outbox(&lease, 5).await?.events;
                for event in &events {
                    equal("the event that follows what was sent", event.sequence, sent + 1)?;
                    sent = event.sequence;
                    patience.restore();
                }
                if !events.is_empty() {
                    operator.outbox_published(&lease, sent, &NOBODY).await?;
                }
                operator.release_lease(&lease).await?;
            }
            patience.wait("the last event").await?;
        }
        Outcome::Ok(())
    };
    at_once("the last event", async { tokio::try_join!(ended(writers), relaying) }).await??;
    let due = operator.take_leases(&request(LeaseTopic::Outbox, 1, 0)).await?;
    ensure(due.is_empty(), "a stream of which everything was sent is due")
}
