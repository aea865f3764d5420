use std::sync::Arc;

use runtime_domain::value::Revision;
use runtime_ports::store::{Commit, CommitError, InboxEntry, LeaseTopic, Query, Store, Unpark};

use super::atomicity::consumer;
use super::outbox::parking;
use super::{
    KIND, NOBODY, Outcome, StoreFactory, World, ensure, is_claim_held, is_lease_lost, key, loaded, refused,
    take_one,
};
use crate::conformance::equal;
use crate::sample::{self, Draft, exclusive};

pub(super) async fn what_was_committed_survives_reopening<F: StoreFactory>(factory: Arc<F>) -> Outcome {
    let store = factory.fresh().await?;
    let tenant = store.for_tenant(&sample::scope(1));
    let operator = store.for_operator(&sample::operator());
    let inbox = InboxEntry { consumer: consumer("trial")?, event: sample::event(1) };
    let first = Draft::create(1, key(1)).claiming([exclusive("a")]).waking_at(0).entries(3).publishing();
    tenant.commit(Commit { inbox: Some(inbox.clone()), ..first.commit() }).await?;
    tenant.commit(Draft::create(1, key(2)).publishing().commit()).await?;
    let cursor = tenant.query(&Query::all(KIND).limited_to(1)).await?.next;
    let before = loaded(&*tenant, key(1)).await?;
    let work = take_one(&*operator, LeaseTopic::Work, 1, 1).await?;
    for lease in operator.take_leases(&super::request(LeaseTopic::Outbox, 1, 1)).await? {
        operator.outbox_published(&lease, 1, &NOBODY).await?;
        if lease.key == key(1) {
            operator.outbox_park(&lease, &parking("bus", 3)?).await?;
        }
        operator.release_lease(&lease).await?;
    }
    let last = Draft::create(1, key(4));
    tenant.commit(last.commit()).await?;
    drop((tenant, operator));

    let store: Arc<dyn Store> = Arc::new(factory.reopen(store).await?);
    let world = World { beside: Arc::clone(&store), store };
    let (tenant, operator) = (world.tenant(1), world.operator());
    equal("the state", loaded(&*tenant, key(1)).await?, before)?;
    equal("the last commit", loaded(&*tenant, key(4)).await?.record, last.write().record)?;
    equal("the history", tenant.history(&key(1), 0, 10).await?, first.write().history)?;
    let again = Commit { inbox: Some(inbox), ..Commit::default() };
    let already = |error: &CommitError| matches!(error, CommitError::AlreadyHandled);
    refused(&*tenant, again, "the event was handled before it was closed", already).await?;
    let contender = Draft::create(1, key(3)).claiming([exclusive("a")]);
    refused(&*tenant, contender.commit(), "the claim was held before it was closed", is_claim_held).await?;
    let page = tenant.query(&Query { after: cursor, ..Query::all(KIND) }).await?;
    equal("the page after the cursor", page.items.iter().map(|item| item.key).collect(), vec![key(1)])?;
    let relay = take_one(&*operator, LeaseTopic::Outbox, 1, 2).await?;
    let outbox = operator.outbox(&relay, 10).await?;
    let waiting: Vec<u64> = outbox.events.iter().map(|event| event.sequence).collect();
    equal("the events for those who are not held", (relay.key, waiting), (key(1), vec![3]))?;
    equal("how many are held", outbox.held.len(), 1)?;
    let unparked = operator.outbox_unpark(&Unpark::All { destination: None }).await?;
    equal("the parked streams", unparked, 1)?;
    let taken = take_one(&*operator, LeaseTopic::Work, 2, 60).await?;
    ensure(taken.token > work.token, "a lease's token did not grow over reopening")?;
    let zombie = Commit { lease: Some(work), ..first.next().commit() };
    refused(&*tenant, zombie, "another has taken the lease", is_lease_lost).await?;
    let receipt = tenant.commit(Commit { lease: Some(taken), ..first.next().commit() }).await?;
    equal("the revision after reopening", receipt.revisions, vec![Revision(2)])
}
