//! What was told on the bus and to the subscriber.

use std::collections::BTreeMap;

use runtime_domain::id::{CorrelationId, EventId, TenantId};
use runtime_domain::scope::{Actor, TenantScope};
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::AggregateKey;
use uuid::Uuid;

use super::{Law, Wrong};
use crate::hosts::Yard;

/// What came where.
#[derive(Debug, Default)]
pub(super) struct Events {
    bus: Came,
    follower: Came,
}

/// What came to one destination.
#[derive(Debug, Default)]
struct Came {
    known: usize,
    /// Of each aggregate, by sequence.
    by_sequence: BTreeMap<(TenantId, Uuid), BTreeMap<u64, EventId>>,
}

impl Came {
    /// Whether an event is new, or what is wrong with it.
    fn take(&mut self, event: &PublishedEvent) -> Result<bool, String> {
        self.known += 1;
        let seen = self.by_sequence.entry((event.tenant, event.aggregate_id)).or_default();
        let about = format!("{} of {} {}", event.sequence, event.aggregate_kind, event.aggregate_id);
        match seen.get(&event.sequence) {
            Some(known) if *known == event.id => return Ok(false),
            Some(_) => return Err(format!("{about} has two identifiers")),
            None => {}
        }
        if let Some((newest, _)) = seen.last_key_value().filter(|(newest, _)| **newest > event.sequence) {
            return Err(format!("{about} came after {newest}"));
        }
        seen.insert(event.sequence, event.id);
        Ok(true)
    }
}

impl Events {
    pub(super) async fn look(&mut self, yard: &Yard) -> Result<(), Wrong> {
        let (bus, follower) = (&yard.world.bus, &yard.world.follower);
        let fresh = [bus.events_after(self.bus.known), follower.events_after(self.follower.known)];
        for (came, fresh) in [&mut self.bus, &mut self.follower].into_iter().zip(fresh) {
            for event in fresh {
                let wrong = |what| (Law::EventsTellWhatHappened, what);
                if came.take(&event).map_err(wrong)? {
                    has_happened(yard, &event).await.map_err(wrong)?;
                }
            }
        }
        Ok(())
    }

    /// Whether an event has come to everybody.
    pub(super) fn has_come(&self, tenant: TenantId, aggregate: Uuid, sequence: u64) -> bool {
        [&self.bus, &self.follower].iter().all(|came| {
            came.by_sequence.get(&(tenant, aggregate)).is_some_and(|seen| seen.contains_key(&sequence))
        })
    }
}

/// An event that was told is in its aggregate's history.
async fn has_happened(yard: &Yard, event: &PublishedEvent) -> Result<(), String> {
    let correlation = CorrelationId::from_uuid(event.aggregate_id);
    let scope = TenantScope::authenticated(event.tenant, Actor::reconciler("simulation"), correlation);
    let key = AggregateKey { kind: event.aggregate_kind, id: event.aggregate_id };
    let history = yard.store.for_tenant(&scope).history(&key, event.sequence.saturating_sub(1), 1).await;
    let found = history.map_err(crate::records::told)?;
    if found.first().is_some_and(|entry| entry.id == event.id) {
        return Ok(());
    }
    Err(format!("{} {} of {key} was told, and has not happened", event.sequence, event.event_type))
}
