//! Identifiers, scopes, times and commits for tests. Equal arguments give equal values: nothing here is random.

use std::collections::BTreeSet;

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::claim::{Claim, ClaimMode, ClaimSpace};
use runtime_domain::component::RevisionId;
use runtime_domain::envelope::TraceParent;
use runtime_domain::health::{
    CheckEntry, EvaluationWindow, HealthCheckCompleted, HealthCheckResult, HealthEvent, HealthStatus,
    LatencyMs, ProbeKind,
};
use runtime_domain::id::{
    AggregateKind, CorrelationId, DeploymentId, EnvironmentId, EventId, HealthCheckResultId, HostId,
    ServiceId, TenantId,
};
use runtime_domain::scope::{Actor, OperatorScope, TenantScope};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{ModuleId, Revision};
use runtime_ports::health_results::HealthRecord;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    AggregateKey, AggregateWrite, ChainDigest, Commit, Expected, Facets, HistoryEntry, StoredAggregate,
    StoredRecord,
};
use runtime_ports::subject::{KeptName, Subject};
use uuid::Uuid;

/// The tenant with this number.
pub fn tenant(number: u64) -> TenantId {
    TenantId::from_uuid(numbered(1, number))
}

/// The environment with this number.
pub fn environment(number: u64) -> EnvironmentId {
    EnvironmentId::from_uuid(numbered(2, number))
}

/// The host with this number.
pub fn host(number: u64) -> HostId {
    HostId::from_uuid(numbered(3, number))
}

/// The event with this number; histories of [`Draft`] use others.
pub fn event(number: u64) -> EventId {
    EventId::from_uuid(numbered(4, number))
}

/// The aggregate of this kind with this number.
pub fn key(kind: AggregateKind, number: u64) -> AggregateKey {
    AggregateKey { kind, id: numbered(5, number) }
}

/// The caller with this number.
///
/// # Panics
/// Never: its name is one.
#[expect(clippy::panic, reason = "every number makes a name")]
pub fn caller(number: u64) -> Actor {
    Actor::new(&format!("caller-{number}")).unwrap_or_else(|error| panic!("{error}"))
}

/// The scope of a caller who is authenticated for the tenant with this number.
pub fn scope(number: u64) -> TenantScope {
    let correlation = CorrelationId::from_uuid(numbered(6, number));
    TenantScope::authenticated(tenant(number), Actor::reconciler("testkit"), correlation)
}

/// The scope of an operator.
pub fn operator() -> OperatorScope {
    OperatorScope::trusted(Actor::reconciler("testkit"), "conformance")
}

/// So many seconds after a fixed beginning, 1970.
pub fn at(seconds: u64) -> Timestamp {
    Span::from_secs(seconds).after(Timestamp::UNIX_EPOCH)
}

/// An exclusive claim among a tenant's aggregates.
pub fn exclusive(key: &str) -> Claim {
    Claim { key: key.to_owned(), mode: ClaimMode::Exclusive, space: ClaimSpace::Tenant }
}

/// A shared claim among a tenant's aggregates.
pub fn shared(key: &str) -> Claim {
    Claim { mode: ClaimMode::Shared, ..exclusive(key) }
}

/// The same claim among all tenants' aggregates.
pub fn global(claim: Claim) -> Claim {
    Claim { space: ClaimSpace::Global, ..claim }
}

/// Everything in `drafts`, in one commit.
pub fn commit(drafts: impl IntoIterator<Item = Draft>) -> Commit {
    Commit { writes: drafts.into_iter().map(|draft| draft.write).collect(), ..Commit::default() }
}

fn numbered(space: u128, number: u64) -> Uuid {
    Uuid::from_u128((space << 96) | u128::from(number))
}

/// A health result of the module's service in the environment with this number, evaluated in the millisecond before `at`, and the revision
/// that it judged, which the number's parity decides.
///
/// # Panics
/// `module` is no name, or `at` is before 1970.
#[expect(clippy::panic, reason = "a test's own mistake must stop the test")]
pub fn health_record(
    tenant_number: u64,
    environment_number: u64,
    module: &str,
    number: u64,
    at: Timestamp,
    status: HealthStatus,
) -> HealthRecord {
    let module_id = ModuleId::new(module).unwrap_or_else(|error| panic!("{error}"));
    let environment_id = environment(environment_number);
    let start = Timestamp::from_timestamp_millis(at.timestamp_millis().saturating_sub(1)).unwrap_or(at);
    let end = Span::from_millis(1).after(start);
    let event = HealthEvent::HealthCheckCompleted(HealthCheckCompleted {
        health_check_result_id: HealthCheckResultId::from_uuid(numbered(8, number)),
        tenant_id: tenant(tenant_number),
        environment_id,
        service_id: ServiceId::of(environment_id, &module_id),
        module_id: module_id.clone(),
        status,
        evaluated_at: at,
        evaluation_window: EvaluationWindow::new(start, end).unwrap_or_else(|error| panic!("{error}")),
        entries: vec![CheckEntry {
            probe: ModuleId::new("instances").unwrap_or_else(|error| panic!("{error}")),
            kind: ProbeKind::Itself,
            required: true,
            status,
            duration: LatencyMs(u32::try_from(number % 1_000).unwrap_or_default()),
            data: [("seen".to_owned(), format!("number {number}"))].into(),
        }],
        verdict: None,
    });
    let result = HealthCheckResult::evolve(None, &event, at).unwrap_or_else(|error| panic!("{error}"));
    let deployment = DeploymentId::from_uuid(numbered(9, number % 2));
    HealthRecord { result, revision: Some(RevisionId::new(module_id, deployment)) }
}

/// The name for what is kept.
///
/// # Panics
/// It is none.
#[expect(clippy::panic, reason = "a test's own mistake must stop the test")]
pub fn kept(name: &str) -> KeptName {
    KeptName::new(name).unwrap_or_else(|error| panic!("{error}"))
}

/// Something in the environment with this number.
///
/// # Panics
/// `name` is no name for what is kept.
pub fn subject(environment_number: u64, name: &str) -> Subject {
    Subject { environment: environment(environment_number), name: kept(name) }
}

/// A write that is legal where it is used in order: `create`, then `next` of what was committed, and so on.
///
/// It has the status `Open`, is of [`environment`]`(1)`, is about no module, claims nothing, publishes nothing, wakes nobody, and has one
/// history entry, until it is told otherwise.
#[derive(Debug, Clone)]
pub struct Draft {
    tenant: TenantId,
    write: AggregateWrite,
}

impl Draft {
    /// The first write of an aggregate of the tenant with this number.
    pub fn create(tenant_number: u64, key: AggregateKey) -> Self {
        let tenant = tenant(tenant_number);
        let facets =
            Facets { environment: environment(1), status: "Open".to_owned(), modules: BTreeSet::new() };
        let write = AggregateWrite {
            key,
            expected: Expected::Absent,
            record: StoredRecord { schema: 1, body: r#"{"step":1}"#.to_owned() },
            facets,
            claims: BTreeSet::new(),
            history: vec![history_entry(key, 1)],
            outbox: Vec::new(),
            wake_at: None,
        };
        Self { tenant, write }.chained()
    }

    /// The write that follows this one: it expects the revision that this one makes, continues its history by one entry, keeps facets,
    /// claims and wake-up time, and publishes nothing.
    #[must_use]
    pub fn next(&self) -> Self {
        let sequence = self.write.history.last().map_or(1, |entry| entry.sequence + 1);
        let body = format!(r#"{{"step":{sequence}}}"#);
        let write = AggregateWrite {
            expected: self.write.expected_next(),
            record: StoredRecord { schema: 1, body },
            history: vec![history_entry(self.write.key, sequence)],
            outbox: Vec::new(),
            ..self.write.clone()
        };
        Self { tenant: self.tenant, write }.chained()
    }

    /// The write that follows what the tenant with this number has stored, as [`Draft::next`] follows a write, but claiming nothing.
    pub fn after(tenant_number: u64, stored: &StoredAggregate) -> Self {
        let mut draft = Self::create(tenant_number, stored.key);
        let sequence = stored.sequence + 1;
        draft.write.expected = stored.expected_next();
        draft.write.history = vec![history_entry(stored.key, sequence)];
        draft.chained().body(&format!(r#"{{"step":{sequence}}}"#))
    }

    /// Decided by the writer with this number, from 1: its events have identifiers that no other writer's have.
    #[must_use]
    pub fn by(mut self, writer: u64) -> Self {
        let own = |id: EventId| {
            EventId::from_uuid(Uuid::from_u128(id.uuid().as_u128() ^ (u128::from(writer) << 104)))
        };
        self.write.history.iter_mut().for_each(|entry| entry.id = own(entry.id));
        self.write.outbox.iter_mut().for_each(|event| event.id = own(event.id));
        self.chained()
    }

    /// With another stored form.
    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        self.write.record.body = body.to_owned();
        self
    }

    /// With another status.
    #[must_use]
    pub fn status(mut self, status: &str) -> Self {
        self.write.facets.status = status.to_owned();
        self
    }

    /// In the environment with this number.
    #[must_use]
    pub fn environment(mut self, number: u64) -> Self {
        self.write.facets.environment = environment(number);
        self
    }

    /// About these modules and no others.
    #[must_use]
    pub fn about(mut self, modules: impl IntoIterator<Item = ModuleId>) -> Self {
        self.write.facets.modules = modules.into_iter().collect();
        self
    }

    /// Holding these claims and no others.
    #[must_use]
    pub fn claiming(mut self, claims: impl IntoIterator<Item = Claim>) -> Self {
        self.write.claims = claims.into_iter().collect();
        self
    }

    /// Due at this time.
    #[must_use]
    pub fn due(mut self, at: Timestamp) -> Self {
        self.write.wake_at = Some(at);
        self
    }

    /// Due so many seconds after the beginning.
    #[must_use]
    pub fn waking_at(mut self, seconds: u64) -> Self {
        self.write.wake_at = Some(at(seconds));
        self
    }

    /// Never due.
    #[must_use]
    pub fn sleeping(mut self) -> Self {
        self.write.wake_at = None;
        self
    }

    /// With so many history entries, at least one.
    #[must_use]
    pub fn entries(mut self, count: u64) -> Self {
        let first = self.write.history.first().map_or(1, |entry| entry.sequence);
        self.write.history =
            (first..first + count.max(1)).map(|sequence| history_entry(self.write.key, sequence)).collect();
        self.chained()
    }

    /// Every entry with the digest that follows the one before it, worked out alike for every tenant, so that what two of them see can be
    /// compared.
    fn chained(mut self) -> Self {
        let mut digest = match self.write.expected {
            Expected::Absent => ChainDigest::GENESIS,
            Expected::At { digest, .. } => digest,
        };
        for entry in &mut self.write.history {
            digest = digest.then(tenant(1), self.write.key, entry);
            entry.digest = digest;
        }
        self
    }

    /// Publishing every history entry.
    #[must_use]
    pub fn publishing(mut self) -> Self {
        let (tenant, key) = (self.tenant, self.write.key);
        let published = |entry: &HistoryEntry| PublishedEvent {
            id: entry.id,
            tenant,
            aggregate_kind: key.kind,
            aggregate_id: key.id,
            sequence: entry.sequence,
            event_type: "factory.runtime.Sampled.v1".to_owned(),
            envelope: format!(r#"{{"sequence":{}}}"#, entry.sequence),
        };
        self.write.outbox = self.write.history.iter().map(published).collect();
        self
    }

    /// Which aggregate it writes.
    pub fn key(&self) -> AggregateKey {
        self.write.key
    }

    /// The revision that it makes.
    pub fn revision(&self) -> Revision {
        self.write.expected.result()
    }

    /// The write itself, to look at or to spoil.
    pub fn write(&self) -> AggregateWrite {
        self.write.clone()
    }

    /// A commit of this write alone.
    pub fn commit(&self) -> Commit {
        commit([self.clone()])
    }
}

fn trace_parent(sequence: u64) -> Option<TraceParent> {
    TraceParent::new(&format!("00-{:032x}-{sequence:016x}-01", u128::from(sequence) << 64 | 7)).ok()
}

fn history_entry(key: AggregateKey, sequence: u64) -> HistoryEntry {
    // Off the whole second, so that a store that drops the fraction is noticed.
    let at = Span::from_millis(sequence * 1_001).after(Timestamp::UNIX_EPOCH);
    HistoryEntry {
        sequence,
        id: EventId::from_uuid(Uuid::from_u128(key.id.as_u128() ^ (u128::from(sequence) << 64))),
        event: "Sampled".to_owned(),
        body: format!(r#"{{"number":{sequence}}}"#),
        at,
        actor: Actor::reconciler("testkit"),
        correlation: CorrelationId::from_uuid(numbered(7, sequence)),
        causation: sequence.is_multiple_of(2).then(|| event(sequence)),
        explanation: format!("entry {sequence}, because the trial says so"),
        trace_parent: sequence.is_multiple_of(3).then(|| trace_parent(sequence)).flatten(),
        digest: ChainDigest::GENESIS,
    }
}
