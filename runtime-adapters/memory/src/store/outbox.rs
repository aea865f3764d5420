//! The outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use runtime_domain::bug;
use runtime_domain::value::Name;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    Held, Lease, LeaseError, LeaseTopic, Outbox, Page, ParkedQuery, ParkedStream, Parking, StreamKey, Unpark,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use super::state::{Address, Behind, Hold, Parked, State, Waiting};

impl State {
    pub(super) fn outbox(&self, lease: &Lease, limit: u32) -> PortResult<Outbox> {
        check_topic(lease, "store.outbox")?;
        let address = (lease.tenant, lease.key);
        let behind = self.behind.get(&address);
        let begin = behind.map_or(Bound::Unbounded, |behind| Bound::Excluded(behind.others));
        let events = self.outbox.get(&address).into_iter();
        let events = events.flat_map(|events| events.range((begin, Bound::Unbounded)));
        let held = behind.into_iter().flat_map(|behind| &behind.holds).map(|(destination, hold)| Held {
            destination: destination.clone(),
            is_resumed: hold.parked.is_none(),
        });
        Ok(Outbox { events: taken(events, limit), held: held.collect() })
    }

    pub(super) fn outbox_published(
        &mut self,
        lease: &Lease,
        sequence: u64,
        without: &BTreeSet<Name>,
    ) -> Result<(), LeaseError> {
        const OPERATION: &str = "store.outbox_published";
        self.check_relay(lease, OPERATION)?;
        let address = (lease.tenant, lease.key);
        let is_held =
            |name: &&Name| self.behind.get(&address).is_some_and(|behind| behind.holds.contains_key(*name));
        if let Some(name) = without.iter().find(|name| !is_held(name)) {
            return Err(LeaseError::NotHeld { destination: name.clone() });
        }
        let newest = self.newest_event(address);
        let sequence = if bug!("event-passed-over") { newest } else { sequence.min(newest) };
        match self.behind.get_mut(&address) {
            Some(behind) => {
                behind.others = behind.others.max(sequence);
                self.let_go(address);
            }
            None => self.drop_events(address, |number| number <= sequence),
        }
        self.follow(LeaseTopic::Outbox, address);
        Ok(())
    }

    pub(super) fn outbox_park(&mut self, lease: &Lease, parking: &Parking) -> Result<(), LeaseError> {
        self.check_relay(lease, "store.outbox_park")?;
        let address = (lease.tenant, lease.key);
        let Parking { destination, sequence, reason, until, at } = parking.clone();
        let sequence = sequence.min(self.newest_event(address).saturating_add(1));
        let behind = self.behind.entry(address).or_default();
        if !behind.holds.contains_key(&destination) {
            behind.others = behind.others.max(sequence.saturating_sub(1));
        }
        let parked = Parked { reason, until, since: at };
        behind.holds.insert(destination, Hold { from: sequence, parked: Some(parked) });
        self.let_go(address);
        self.follow(LeaseTopic::Outbox, address);
        Ok(())
    }

    /// The newest event that waits: nothing is said of those that come later.
    fn newest_event(&self, address: Address) -> u64 {
        let newest = self.outbox.get(&address).and_then(|events| events.last_key_value());
        newest.map_or(0, |(sequence, _)| *sequence)
    }

    pub(super) fn outbox_missed(
        &self,
        lease: &Lease,
        destination: &Name,
        limit: u32,
    ) -> PortResult<Vec<PublishedEvent>> {
        check_topic(lease, "store.outbox_missed")?;
        let address = (lease.tenant, lease.key);
        let behind = self.behind.get(&address);
        let hold = behind.and_then(|behind| Some((behind, behind.holds.get(destination)?)));
        Ok(match (self.outbox.get(&address), hold) {
            (Some(events), Some((behind, hold))) if hold.parked.is_none() => {
                taken(missed(events, behind, hold), limit)
            }
            _ => Vec::new(),
        })
    }

    pub(super) fn outbox_caught_up(
        &mut self,
        lease: &Lease,
        destination: &Name,
        sequence: u64,
    ) -> Result<(), LeaseError> {
        self.check_relay(lease, "store.outbox_caught_up")?;
        let address = (lease.tenant, lease.key);
        let holds = self.behind.get_mut(&address).map(|behind| &mut behind.holds);
        if let Some(hold) = holds.and_then(|holds| holds.get_mut(destination))
            && hold.parked.is_none()
        {
            hold.from = hold.from.max(sequence.saturating_add(1));
            self.end_hold(address, destination);
            self.let_go(address);
            self.follow(LeaseTopic::Outbox, address);
        }
        Ok(())
    }

    pub(super) fn outbox_parked(&self, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
        let after = query.position()?;
        let streams = self.behind.iter().flat_map(|(address, behind)| {
            behind.holds.iter().filter_map(|(destination, hold)| {
                let parked = hold.parked.as_ref()?;
                let stream =
                    StreamKey { tenant: address.0, key: address.1, destination: destination.clone() };
                let Parked { reason, until, since } = parked.clone();
                Some(ParkedStream { stream, sequence: hold.from, reason, until, since })
            })
        });
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let items: Vec<_> = streams
            .filter(|parked| after.as_ref().is_none_or(|after| parked.stream > *after))
            .filter(|parked| {
                query.tenant.is_none_or(|tenant| tenant == parked.stream.tenant)
                    && query.until.is_none_or(|until| until == parked.until)
                    && query.destination.as_ref().is_none_or(|name| *name == parked.stream.destination)
            })
            .take(limit.saturating_add(1))
            .collect();
        Ok(Page::of(items, query.limit, |last| last.stream.cursor()))
    }

    pub(super) fn outbox_unpark(&mut self, which: &Unpark) -> u32 {
        let addresses: Vec<Address> = match which {
            Unpark::One(stream) => vec![(stream.tenant, stream.key)],
            Unpark::All { .. } => self.behind.keys().copied().collect(),
        };
        let wanted = match which {
            Unpark::One(stream) => Some(&stream.destination),
            Unpark::All { destination } => destination.as_ref(),
        };
        let mut count = 0;
        for address in addresses {
            let holds = self.behind.get_mut(&address).into_iter().flat_map(|behind| &mut behind.holds);
            let parked = holds.filter(|(destination, hold)| {
                hold.parked.is_some() && wanted.is_none_or(|wanted| wanted == *destination)
            });
            for (_, hold) in parked {
                hold.parked = None;
                count += 1;
            }
            self.follow(LeaseTopic::Outbox, address);
        }
        count
    }

    /// Ends a hold that has caught up.
    fn end_hold(&mut self, address: Address, destination: &Name) {
        let nothing = BTreeMap::new();
        let events = self.outbox.get(&address).unwrap_or(&nothing);
        let Some(behind) = self.behind.get_mut(&address) else { return };
        let hold = behind.holds.get(destination);
        if hold.is_some_and(|hold| missed(events, behind, hold).next().is_none()) {
            behind.holds.remove(destination);
        }
    }

    /// Drops the events that nobody has yet to get.
    fn let_go(&mut self, address: Address) {
        let Some(behind) = self.behind.get(&address) else { return };
        let others = behind.others;
        let wanted = behind.holds.values().map(|hold| hold.from).min().unwrap_or(u64::MAX);
        if behind.holds.is_empty() {
            self.behind.remove(&address);
        }
        self.drop_events(address, |number| number <= others && number < wanted);
    }

    fn drop_events(&mut self, address: Address, is_done: impl Fn(u64) -> bool) {
        if let Some(events) = self.outbox.get_mut(&address) {
            events.retain(|number, _| !is_done(*number));
            if events.is_empty() {
                self.outbox.remove(&address);
            }
        }
    }

    /// Since when a stream has something to relay; `None` where it has nothing.
    pub(super) fn relays_since(&self, address: &Address, events: &BTreeMap<u64, Waiting>) -> Option<u64> {
        let Some(behind) = self.behind.get(address) else {
            return events.values().next().map(|waiting| waiting.arrival);
        };
        let fresh = events.range((Bound::Excluded(behind.others), Bound::Unbounded)).next();
        let resumed = behind.holds.values().filter(|hold| hold.parked.is_none());
        let missed = resumed.filter_map(|hold| missed(events, behind, hold).next());
        fresh.into_iter().chain(missed).map(|(_, waiting)| waiting.arrival).min()
    }

    fn check_relay(&self, lease: &Lease, operation: &'static str) -> Result<(), LeaseError> {
        check_topic(lease, operation)?;
        if self.holds(lease) { Ok(()) } else { Err(LeaseError::Lost { key: lease.key }) }
    }
}

/// The events that others have got and a held destination has not.
fn missed<'e>(
    events: &'e BTreeMap<u64, Waiting>,
    behind: &Behind,
    hold: &Hold,
) -> impl Iterator<Item = (&'e u64, &'e Waiting)> + use<'e> {
    let range = (hold.from <= behind.others).then(|| events.range(hold.from..=behind.others));
    range.into_iter().flatten()
}

fn taken<'e>(events: impl Iterator<Item = (&'e u64, &'e Waiting)>, limit: u32) -> Vec<PublishedEvent> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    events.take(limit).map(|(_, waiting)| waiting.event.clone()).collect()
}

fn check_topic(lease: &Lease, operation: &'static str) -> PortResult<()> {
    match lease.topic {
        LeaseTopic::Outbox => Ok(()),
        LeaseTopic::Work => Err(PortError::new(
            PortErrorKind::Invalid,
            operation,
            format!("the lease on {} is for work: take one of the topic Outbox", lease.key),
        )),
    }
}
