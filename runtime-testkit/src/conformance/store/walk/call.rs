//! Which call comes next.

use std::collections::BTreeSet;

use runtime_domain::claim::Claim;
use runtime_domain::id::AggregateKind;
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Name, Revision};
use runtime_ports::store::{
    AggregateKey, ChainDigest, Commit, EvidenceCheck, InboxEntry, Lease, LeaseRequest, LeaseTopic, Order,
    ParkedQuery, ParkedUntil, Parking, Query, StoredAggregate, StreamKey, Unpark, Wanted,
};

use super::{Walk, of_topic};
use crate::conformance::Failure;
use crate::sample::{self, Draft, exclusive, global, shared};

/// Few of everything, so that calls meet.
const TENANTS: u64 = 2;
const KINDS: [AggregateKind; 2] = [AggregateKind::RuntimeDeployment, AggregateKind::RuntimeService];
const NUMBERS: u64 = 3;
const HOSTS: u64 = 3;
const NAMES: [&str; 2] = ["bus", "inventory"];
const MODULES: [&str; 2] = ["api", "web"];
const STATUSES: [&str; 2] = ["Closed", "Open"];

/// One call, with all that it says.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Commit { tenant: u64, commit: Commit },
    Load { tenant: u64, key: AggregateKey },
    List { tenant: u64, query: Query },
    IsHandled { tenant: u64, entry: InboxEntry },
    History { tenant: u64, key: AggregateKey, after: u64, limit: u32 },
    Take(LeaseRequest),
    Renew { lease: Lease, until: Timestamp },
    Release(Lease),
    Defer { lease: Lease, seen: Revision, wake_at: Timestamp },
    NextDue(Vec<AggregateKind>),
    Outbox { lease: Lease, limit: u32 },
    Mark { lease: Lease, sequence: u64, without: BTreeSet<Name> },
    Park { lease: Lease, parking: Parking },
    Missed { lease: Lease, destination: Name, limit: u32 },
    CaughtUp { lease: Lease, destination: Name, sequence: u64 },
    Parked(ParkedQuery),
    Unpark(Unpark),
}

impl Walk {
    /// Time passes, then comes this.
    pub(super) fn next_call(&mut self) -> Result<Call, Failure> {
        self.step += 1;
        self.now += self.dice.below(3);
        let tenant = 1 + self.dice.below(TENANTS);
        let sort = self.dice.below(100);
        let call = match sort {
            0..36 => Some(self.commit(tenant)?),
            36..48 => Some(self.take()),
            48..57 => self.lease(LeaseTopic::Work).map(|lease| self.worked(lease)),
            57..84 => match self.lease(LeaseTopic::Outbox) {
                Some(lease) => self.relayed(lease)?,
                None => None,
            },
            84..88 => Some(self.listing(tenant)?),
            88..90 => {
                let key = self.key();
                Some(Call::History { tenant, key, after: self.dice.below(6), limit: self.limit() })
            }
            90..92 => Some(Call::IsHandled { tenant, entry: self.inbox()? }),
            92..93 => Some(Call::NextDue(self.kinds())),
            93..95 => Some(self.parked_listing()?),
            _ => Some(self.unparking()?),
        };
        // What needs a lease that there is none of yet.
        let key = self.key();
        Ok(call.unwrap_or(Call::Load { tenant, key }))
    }

    fn key(&mut self) -> AggregateKey {
        let kind = self.dice.one_of(&KINDS).copied().unwrap_or(AggregateKind::RuntimeDeployment);
        sample::key(kind, 1 + self.dice.below(NUMBERS))
    }

    fn kinds(&mut self) -> Vec<AggregateKind> {
        KINDS.into_iter().filter(|_| self.dice.chance(80)).collect()
    }

    fn limit(&mut self) -> u32 {
        self.dice.one_of(&[1, 2, 3, 100]).copied().unwrap_or(100)
    }

    fn name(&mut self) -> Result<Name, Failure> {
        let name = self.dice.one_of(&NAMES).copied().unwrap_or_default();
        Name::new(name).map_err(|error| Failure::new(error.to_string()))
    }

    fn module(&mut self) -> Result<ModuleId, Failure> {
        let module = self.dice.one_of(&MODULES).copied().unwrap_or_default();
        ModuleId::new(module).map_err(|error| Failure::new(error.to_string()))
    }

    fn maybe<T>(
        &mut self,
        percent: u64,
        what: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        if self.dice.chance(percent) { what(self).map(Some) } else { Ok(None) }
    }

    fn commit(&mut self, tenant: u64) -> Result<Call, Failure> {
        let mut written = BTreeSet::new();
        let mut drafts = Vec::new();
        for _ in 0..=self.dice.below(3) {
            let key = self.key();
            if written.insert(key) {
                drafts.push(self.draft(tenant, key)?);
            }
        }
        let evidence = if self.dice.chance(30) { vec![self.evidence(tenant)] } else { Vec::new() };
        let inbox = self.maybe(20, Self::inbox)?;
        let topic = if self.dice.chance(80) { LeaseTopic::Work } else { LeaseTopic::Outbox };
        let lease = if self.dice.chance(30) { self.lease(topic) } else { None };
        // Mostly its own tenant's: another's is worth nothing.
        let lease = lease.filter(|lease| lease.tenant == sample::tenant(tenant) || self.dice.chance(20));
        Ok(Call::Commit { tenant, commit: Commit { evidence, inbox, lease, ..sample::commit(drafts) } })
    }

    /// A write: mostly upon what there is, sometimes upon what was, or what never was.
    fn draft(&mut self, tenant: u64, key: AggregateKey) -> Result<Draft, Failure> {
        let present = self.model.aggregates.get(&(sample::tenant(tenant), key));
        let present = present.map(|aggregate| aggregate.stored.clone());
        let was = |(owner, stored): &&(u64, StoredAggregate)| *owner == tenant && stored.key == key;
        let past: Vec<StoredAggregate> =
            self.stored.iter().filter(was).map(|(_, stored)| stored.clone()).collect();
        let first = Draft::create(tenant, key);
        let draft = match (present, self.dice.below(100)) {
            (Some(_), 0..3) => first,
            (None, 0..6) => first.next(),
            (Some(present), 3..6) => {
                Draft::after(tenant, &StoredAggregate { digest: ChainDigest::GENESIS, ..present })
            }
            (Some(present), 6..9) => {
                let sequence = present.sequence + 1;
                Draft::after(tenant, &StoredAggregate { sequence, ..present })
            }
            (Some(present), 9..15) => Draft::after(tenant, self.dice.one_of(&past).unwrap_or(&present)),
            (Some(present), _) => Draft::after(tenant, &present),
            (None, _) => first,
        };
        let mut draft = draft.environment(1 + self.dice.below(2));
        draft = draft.status(self.dice.one_of(&STATUSES).copied().unwrap_or_default());
        draft = draft.about(self.maybe(50, Self::module)?).claiming(self.claims());
        draft = draft.entries(1 + self.dice.below(3)).by(self.step);
        if self.dice.chance(60) {
            draft = draft.waking_at((self.now + self.dice.below(8)).saturating_sub(2));
        }
        Ok(if self.dice.chance(50) { draft.publishing() } else { draft })
    }

    fn claims(&mut self) -> Vec<Claim> {
        let mut claims: Vec<Claim> = Vec::new();
        for key in ["a", "b", "c"] {
            let claim = if self.dice.chance(40) { exclusive(key) } else { shared(key) };
            let claim = if self.dice.chance(30) { global(claim) } else { claim };
            if self.dice.chance(25) {
                claims.push(claim);
            }
        }
        claims
    }

    fn evidence(&mut self, tenant: u64) -> EvidenceCheck {
        let key = self.key();
        let present = self.model.aggregates.get(&(sample::tenant(tenant), key));
        let present = present.map_or(0, |aggregate| aggregate.stored.revision.0);
        let around = match self.dice.below(10) {
            0 => present + 1,
            1 => present.saturating_sub(1),
            _ => present,
        };
        let revision = Revision(around.max(1));
        let wanted = if self.dice.chance(50) { Wanted::Exactly(revision) } else { Wanted::AtLeast(revision) };
        EvidenceCheck { key, wanted }
    }

    fn inbox(&mut self) -> Result<InboxEntry, Failure> {
        Ok(InboxEntry { consumer: self.name()?, event: sample::event(self.dice.below(10)) })
    }

    fn take(&mut self) -> Call {
        let topic = if self.dice.chance(50) { LeaseTopic::Work } else { LeaseTopic::Outbox };
        let lasting = 1 + self.dice.below(12);
        let limit = if self.dice.chance(50) { 100 } else { u32::try_from(self.dice.below(4)).unwrap_or(0) };
        Call::Take(LeaseRequest {
            topic,
            kinds: self.kinds(),
            host: sample::host(1 + self.dice.below(HOSTS)),
            now: self.at(0),
            until: self.at(lasting),
            limit,
        })
    }

    /// Some lease of the topic, mostly one that is held; now and then one that was never given.
    fn lease(&mut self, topic: LeaseTopic) -> Option<Lease> {
        let given = of_topic(&self.leases, topic);
        let held: Vec<Lease> = given.iter().filter(|lease| self.model.holds(lease)).cloned().collect();
        let from = if held.is_empty() || self.dice.chance(15) { &given } else { &held };
        let lease = self.dice.one_of(from)?.clone();
        Some(match self.dice.below(60) {
            0 => Lease { host: sample::host(HOSTS + 1), ..lease },
            1 => Lease { token: FencingToken(lease.token.0 + 1_000_000), ..lease },
            2 => Lease { tenant: sample::tenant(TENANTS + 1), ..lease },
            _ => lease,
        })
    }

    /// What a worker does with its lease beside committing under it.
    fn worked(&mut self, lease: Lease) -> Call {
        if self.dice.chance(60) {
            return self.kept_or_not(lease);
        }
        let present = self.model.aggregates.get(&(lease.tenant, lease.key));
        let present = present.map_or(1, |aggregate| aggregate.stored.revision.0);
        let seen = Revision(present.saturating_sub(u64::from(self.dice.chance(20))).max(1));
        let later = self.dice.below(8);
        Call::Defer { lease, seen, wake_at: self.at(later) }
    }

    /// Prolongs it or gives it back.
    fn kept_or_not(&mut self, lease: Lease) -> Call {
        let lasting = 1 + self.dice.below(12);
        if self.dice.chance(50) {
            Call::Renew { lease, until: self.at(lasting) }
        } else {
            Call::Release(lease)
        }
    }

    /// What a relay does; nothing where it reads under a lease that is lost, of which the docs say nothing.
    fn relayed(&mut self, lease: Lease) -> Result<Option<Call>, Failure> {
        let is_held = self.model.holds(&lease);
        let (destination, limit) = (self.name()?, self.limit());
        let published = self.model.stream(&lease).map_or(0, |stream| stream.published());
        let call = match self.dice.below(100) {
            0..20 => is_held.then_some(Call::Outbox { lease, limit }),
            20..35 => is_held.then_some(Call::Missed { lease, destination, limit }),
            35..60 => {
                let without = self.maybe(25, Self::name)?.into_iter().collect();
                Some(Call::Mark { lease, sequence: published + self.dice.below(4), without })
            }
            60..78 => {
                let sendable = self.model.stream(&lease).map(|stream| stream.sendable(&destination));
                let sequence = self.dice.one_of(&sendable.unwrap_or_default()).copied();
                sequence.map(|sequence| self.parking(lease, destination, sequence))
            }
            78..92 => Some(Call::CaughtUp { lease, destination, sequence: self.dice.below(published + 1) }),
            _ => Some(self.kept_or_not(lease)),
        };
        Ok(call)
    }

    fn parking(&mut self, lease: Lease, destination: Name, sequence: u64) -> Call {
        let until = if self.dice.chance(50) { ParkedUntil::Unparked } else { ParkedUntil::Reachable };
        let reason = format!("{destination} refuses event {sequence}");
        Call::Park { lease, parking: Parking { destination, sequence, reason, until, at: self.at(0) } }
    }

    fn listing(&mut self, tenant: u64) -> Result<Call, Failure> {
        let kind = self.key().kind;
        let order = [Order::NewestFirst, Order::OldestFirst, Order::DueFirst];
        let query = Query {
            kind,
            environment: self.maybe(30, |walk| Ok(sample::environment(1 + walk.dice.below(2))))?,
            statuses: STATUSES.into_iter().filter(|_| self.dice.chance(30)).map(str::to_owned).collect(),
            module: self.maybe(30, Self::module)?,
            due_from: self.maybe(20, |walk| Ok(walk.around()))?,
            due_before: self.maybe(20, |walk| Ok(walk.around()))?,
            order: self.dice.one_of(&order).copied().unwrap_or_default(),
            after: None,
            limit: self.limit(),
        };
        Ok(Call::List { tenant, query })
    }

    /// A time not far from the present one.
    fn around(&mut self) -> Timestamp {
        sample::at((self.now + self.dice.below(8)).saturating_sub(4))
    }

    fn parked_listing(&mut self) -> Result<Call, Failure> {
        let until = [ParkedUntil::Unparked, ParkedUntil::Reachable];
        Ok(Call::Parked(ParkedQuery {
            destination: self.maybe(40, Self::name)?,
            tenant: self.maybe(40, |walk| Ok(sample::tenant(1 + walk.dice.below(TENANTS))))?,
            until: self
                .maybe(40, |walk| Ok(walk.dice.one_of(&until).copied().unwrap_or(ParkedUntil::Unparked)))?,
            after: None,
            limit: self.limit(),
        }))
    }

    fn unparking(&mut self) -> Result<Call, Failure> {
        if self.dice.chance(50) {
            return Ok(Call::Unpark(Unpark::All { destination: self.maybe(50, Self::name)? }));
        }
        let tenant = sample::tenant(1 + self.dice.below(TENANTS));
        let stream = StreamKey { tenant, key: self.key(), destination: self.name()? };
        Ok(Call::Unpark(Unpark::One(stream)))
    }
}
