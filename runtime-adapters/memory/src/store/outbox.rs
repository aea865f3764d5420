//! The outbox.

use runtime_domain::id::AggregateKind;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{Lease, LeaseError, LeaseTopic};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use super::state::{Parked, State};

impl State {
    pub(super) fn outbox(&self, lease: &Lease, limit: u32) -> PortResult<Vec<PublishedEvent>> {
        check_topic(lease, "store.outbox")?;
        let address = (lease.tenant, lease.key);
        let end = self.parked.get(&address).map_or(u64::MAX, |parked| parked.from);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let events = self.outbox.get(&address).into_iter().flat_map(|events| events.range(..end));
        Ok(events.take(limit).map(|(_, waiting)| waiting.event.clone()).collect())
    }

    pub(super) fn outbox_published(&mut self, lease: &Lease, sequence: u64) -> Result<(), LeaseError> {
        self.check_relay(lease, "store.outbox_published")?;
        let address = (lease.tenant, lease.key);
        if let Some(events) = self.outbox.get_mut(&address) {
            events.retain(|number, _| *number > sequence);
            if events.is_empty() {
                self.outbox.remove(&address);
            }
        }
        Ok(())
    }

    pub(super) fn outbox_park(
        &mut self,
        lease: &Lease,
        sequence: u64,
        reason: &str,
    ) -> Result<(), LeaseError> {
        self.check_relay(lease, "store.outbox_park")?;
        let parked = Parked { from: sequence, reason: reason.to_owned() };
        self.parked.insert((lease.tenant, lease.key), parked);
        Ok(())
    }

    pub(super) fn outbox_unpark(&mut self, kinds: &[AggregateKind]) -> u32 {
        let before = self.parked.len();
        self.parked.retain(|(_, key), _| !kinds.contains(&key.kind));
        u32::try_from(before - self.parked.len()).unwrap_or(u32::MAX)
    }

    fn check_relay(&self, lease: &Lease, operation: &'static str) -> Result<(), LeaseError> {
        check_topic(lease, operation)?;
        if self.holds(lease) { Ok(()) } else { Err(LeaseError::Lost { key: lease.key }) }
    }
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
