//! Leases.

use std::collections::BTreeMap;

use runtime_domain::id::{AggregateKind, TenantId};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_ports::store::{Lease, LeaseError, LeaseRequest, LeaseTopic};

use super::state::{Address, LeaseRow, State};

impl State {
    pub(super) fn take_leases(&mut self, request: &LeaseRequest) -> Vec<Lease> {
        let mut ranked: Vec<(usize, usize, Address)> = Vec::new();
        let mut of_tenant: BTreeMap<TenantId, usize> = BTreeMap::new();
        for (place, address) in self.due_addresses(request).into_iter().enumerate() {
            let rank = of_tenant.entry(address.0).or_default();
            ranked.push((*rank, place, address));
            *rank += 1;
        }
        // Every tenant's first, then every tenant's second: one with much due work takes the rest only.
        ranked.sort_unstable();
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        ranked.truncate(limit);
        ranked.into_iter().map(|(_, _, address)| self.grant(request, address)).collect()
    }

    /// What is due and not leased, the one due longest first.
    fn due_addresses(&self, request: &LeaseRequest) -> Vec<Address> {
        let of_kind = |kind: AggregateKind| request.kinds.contains(&kind);
        let mut due: Vec<(Longest, Address)> = match request.topic {
            LeaseTopic::Work => {
                let due = self.due.iter().filter(|(kind, at, _)| of_kind(*kind) && *at <= request.now);
                due.map(|(_, at, address)| (Longest::Since(*at), *address)).collect()
            }
            LeaseTopic::Outbox => {
                let streams = self.outbox.iter().filter(|(address, _)| of_kind(address.1.kind));
                let open = streams.filter_map(|(address, events)| {
                    Some((Longest::Arrival(self.relays_since(address, events)?), *address))
                });
                open.collect()
            }
        };
        due.retain(|(_, address)| {
            let holder = self.leases.get(&(request.topic, *address)).and_then(|lease| lease.holder);
            holder.is_none_or(|(_, until)| until <= request.now)
        });
        due.sort_unstable();
        due.into_iter().map(|(_, address)| address).collect()
    }

    fn grant(&mut self, request: &LeaseRequest, address: Address) -> Lease {
        self.tokens += 1;
        let row = LeaseRow { token: self.tokens, holder: Some((request.host, request.until)) };
        self.leases.insert((request.topic, address), row);
        Lease {
            topic: request.topic,
            tenant: address.0,
            key: address.1,
            host: request.host,
            token: FencingToken(self.tokens),
            until: request.until,
        }
    }

    /// Whether the lease is the present one. Time plays no part: an expired lease that nobody has taken is still good.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.leases.get(&(lease.topic, (lease.tenant, lease.key))).is_some_and(|row| {
            row.token == lease.token.0 && row.holder.is_some_and(|(host, _)| host == lease.host)
        })
    }

    /// The row of a lease that is the present one.
    fn held(&mut self, lease: &Lease) -> Option<&mut LeaseRow> {
        if self.holds(lease) { self.leases.get_mut(&(lease.topic, (lease.tenant, lease.key))) } else { None }
    }

    pub(super) fn renew_lease(&mut self, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
        let row = self.held(lease).ok_or(LeaseError::Lost { key: lease.key })?;
        row.holder = Some((lease.host, until));
        Ok(Lease { until, ..lease.clone() })
    }

    pub(super) fn release_lease(&mut self, lease: &Lease) {
        if let Some(row) = self.held(lease) {
            row.holder = None;
        }
    }

    pub(super) fn defer_lease(&mut self, lease: &Lease, seen: Revision, wake_at: Timestamp) {
        if lease.topic != LeaseTopic::Work || !self.holds(lease) {
            return;
        }
        self.release_lease(lease);
        let address = (lease.tenant, lease.key);
        if let Some(row) = self.aggregates.get_mut(&address).filter(|row| row.revision == seen) {
            if let Some(before) = row.wake_at.replace(wake_at) {
                self.due.remove(&(lease.key.kind, before, address));
            }
            self.due.insert((lease.key.kind, wake_at, address));
        }
    }

    pub(super) fn next_due(&self, kinds: &[AggregateKind]) -> Option<Timestamp> {
        self.due.iter().filter(|(kind, _, _)| kinds.contains(kind)).map(|(_, at, _)| *at).min()
    }
}

/// What orders the due aggregates of one topic.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Longest {
    Since(Timestamp),
    Arrival(u64),
}
