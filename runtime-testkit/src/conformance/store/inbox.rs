use runtime_ports::store::{Commit, CommitError, InboxEntry};

use super::atomicity::consumer;
use super::{Outcome, World, is_absent, is_conflict, key, refused};
use crate::sample::{self, Draft};

/// Buried: NServiceBus#6583.
pub(super) async fn an_event_is_handled_once_by_each_consumer(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let handling = |draft: &Draft, name, event| -> Result<Commit, super::Failure> {
        let entry = InboxEntry { consumer: consumer(name)?, event: sample::event(event) };
        Ok(Commit { inbox: Some(entry), ..draft.commit() })
    };
    let already = |error: &CommitError| matches!(error, CommitError::AlreadyHandled);
    // What is refused was not handled.
    refused(&*tenant, handling(&Draft::create(1, key(1)).next(), "one", 1)?, "it conflicts", is_conflict)
        .await?;
    tenant.commit(handling(&Draft::create(1, key(1)), "one", 1)?).await?;
    let again = handling(&Draft::create(1, key(2)), "one", 1)?;
    refused(&*tenant, again, "the consumer has handled the event", already).await?;
    is_absent(&*tenant, key(2)).await?;
    tenant.commit(handling(&Draft::create(1, key(2)), "two", 1)?).await?;
    tenant.commit(handling(&Draft::create(1, key(3)), "one", 2)?).await?;
    world.tenant(2).commit(handling(&Draft::create(2, key(1)), "one", 1)?).await?;
    let mut alone = handling(&Draft::create(1, key(4)), "one", 3)?;
    alone.writes.clear();
    tenant.commit(alone.clone()).await?;
    refused(&*tenant, alone, "a commit of nothing else has handled the event", already).await
}
