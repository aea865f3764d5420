//! Leases.

use std::collections::BTreeMap;

use runtime_domain::bug;
use runtime_domain::id::{AggregateKind, TenantId};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_ports::store::{AggregateKey, Lease, LeaseError, LeaseRequest, LeaseTopic};

use super::state::{Address, Free, LeaseRow, Line, State};

impl State {
    pub(super) fn take_leases(&mut self, request: &LeaseRequest) -> Vec<Lease> {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let lines: Vec<(AggregateKind, &Line)> = AggregateKind::ALL
            .into_iter()
            .filter(|kind| request.kinds.contains(kind))
            .filter_map(|kind| Some((kind, self.lines.get(&(request.topic, kind))?)))
            .collect();
        let mut ranked: Vec<(usize, usize, Address)> = Vec::new();
        // No more tenants than leases, since each gets one before anybody's second; and of each no more than leases.
        for (place, tenant) in self.turns(request, &lines).take(limit).enumerate() {
            let of_kind = |(kind, line): &(AggregateKind, &Line)| {
                let kind = *kind;
                let free = line.of(tenant, request.now).take(limit);
                free.map(move |(free, id)| (free, AggregateKey { kind, id })).collect::<Vec<_>>()
            };
            let mut free: Vec<(Free, AggregateKey)> = lines.iter().flat_map(of_kind).collect();
            free.sort_unstable();
            ranked.extend(free.iter().enumerate().map(|(rank, (_, key))| (rank, place, (tenant, *key))));
        }
        // Every tenant's first, then every tenant's second: one with much due work takes the rest only.
        ranked.sort_unstable();
        ranked.truncate(limit);
        ranked.into_iter().map(|(_, _, address)| self.grant(request, address)).collect()
    }

    /// The tenants of whom something can be taken: who was served longest ago first, so that none waits for ever where there are more of them than
    /// leases are asked for, and among those who never were, who has waited longest.
    fn turns(
        &self,
        request: &LeaseRequest,
        lines: &[(AggregateKind, &Line)],
    ) -> impl Iterator<Item = TenantId> + use<> {
        let mut waiting: BTreeMap<TenantId, Free> = BTreeMap::new();
        for (free, tenant) in lines.iter().flat_map(|(_, line)| line.tenants(request.now)) {
            waiting.entry(tenant).and_modify(|earliest| *earliest = free.min(*earliest)).or_insert(free);
        }
        let served = |tenant| self.served.get(&(request.topic, tenant)).copied();
        let mut turns: Vec<_> =
            waiting.into_iter().map(|(tenant, free)| (served(tenant), free, tenant)).collect();
        turns.sort_unstable();
        turns.into_iter().map(|(_, _, tenant)| tenant)
    }

    fn grant(&mut self, request: &LeaseRequest, address: Address) -> Lease {
        self.tokens += 1;
        let row = LeaseRow { token: self.tokens, holder: Some((request.host, request.until)) };
        let before = self.leases.insert((request.topic, address), row);
        self.served.insert((request.topic, address.0), self.tokens);
        if !bug!("job-run-twice") {
            self.follow(request.topic, address);
        }
        let is_told = request.topic == LeaseTopic::Work;
        Lease {
            topic: request.topic,
            tenant: address.0,
            key: address.1,
            host: request.host,
            token: FencingToken(self.tokens),
            previous: before.map(|before| FencingToken(before.token)),
            revision: self.aggregates.get(&address).filter(|_| is_told).map(|row| row.revision),
            until: request.until,
        }
    }

    /// Brings in line from when on an aggregate can be taken: to be called whenever it becomes due otherwise, or its lease changes.
    pub(super) fn follow(&mut self, topic: LeaseTopic, address: Address) {
        let due = match topic {
            LeaseTopic::Work => {
                self.aggregates.get(&address).and_then(|row| row.wake_at).map(|at| Free { at, arrival: 0 })
            }
            LeaseTopic::Outbox => {
                let events = self.outbox.get(&address);
                let arrival = events.and_then(|events| self.relays_since(&address, events));
                arrival.map(|arrival| Free { at: Timestamp::MIN_UTC, arrival })
            }
        };
        let until = self.leases.get(&(topic, address)).and_then(|row| row.holder).map(|(_, until)| until);
        let due = due.filter(|_| until.is_none() || !bug!("work-stuck-with-a-dead-host"));
        let free = due.map(|due| Free { at: until.map_or(due.at, |until| due.at.max(until)), ..due });
        let line = self.lines.entry((topic, address.1.kind)).or_default();
        line.set(address.0, address.1.id, free);
    }

    /// Whether the lease is the present one. Time plays no part: an expired lease that nobody has taken is still good.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.leases.get(&(lease.topic, (lease.tenant, lease.key))).is_some_and(|row| {
            (row.token == lease.token.0 || bug!("believes-it-leads"))
                && row.holder.is_some_and(|(host, _)| host == lease.host)
        })
    }

    /// Gives the row of a lease that is the present one another holder.
    fn hold(&mut self, lease: &Lease, until: Option<Timestamp>) -> bool {
        let address = (lease.tenant, lease.key);
        let is_held = self.holds(lease);
        if let Some(row) = self.leases.get_mut(&(lease.topic, address)).filter(|_| is_held) {
            row.holder = until.map(|until| (lease.host, until));
            self.follow(lease.topic, address);
        }
        is_held
    }

    pub(super) fn renew_lease(&mut self, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
        if self.hold(lease, Some(until)) {
            Ok(Lease { until, ..lease.clone() })
        } else {
            Err(LeaseError::Lost { key: lease.key })
        }
    }

    pub(super) fn release_lease(&mut self, lease: &Lease) {
        self.hold(lease, None);
    }

    pub(super) fn defer_lease(&mut self, lease: &Lease, seen: Revision, wake_at: Timestamp) {
        if lease.topic != LeaseTopic::Work || !self.holds(lease) {
            return;
        }
        let address = (lease.tenant, lease.key);
        if let Some(row) = self.aggregates.get_mut(&address).filter(|row| row.revision == seen) {
            let due = self.due.entry(lease.key.kind).or_default();
            if let Some(before) = row.wake_at.replace(wake_at) {
                due.remove(&(before, address));
            }
            due.insert((wake_at, address));
        }
        self.release_lease(lease);
    }

    pub(super) fn next_due(&self, kinds: &[AggregateKind]) -> Option<Timestamp> {
        let first = |kind: &AggregateKind| self.due.get(kind)?.first().map(|(at, _)| *at);
        kinds.iter().filter_map(first).min()
    }
}
