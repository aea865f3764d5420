//! How a decision becomes a commit.

use runtime_domain::aggregate::{Aggregate, Decision, DomainEvent, EvidenceRef};
use runtime_domain::id::EventId;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    AggregateWrite, ChainDigest, Commit, CommitError, EvidenceCheck, Expected, Facets, HistoryEntry,
    InboxEntry, Lease, Loaded, Repository, TenantStore, Wanted,
};
use runtime_ports::{PortError, PortErrorKind};

use crate::events::envelope;
use crate::host::Host;
use crate::observed;

/// What a command came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Done<A> {
    /// The aggregate after the command.
    pub aggregate: A,
    /// Its stored revision.
    pub revision: Revision,
    /// False where the command had nothing to change: asked for again, or already so.
    pub changed: bool,
    /// Why, in words.
    pub explanation: String,
    /// Whether the caller asked for the same command before: then this is what it came to, with the aggregate as it is now.
    pub repeated: bool,
}

impl<A: Aggregate> Done<A> {
    pub(crate) fn of(loaded: Loaded<A>, decision: &Decision<A::Event>) -> Self {
        Self {
            aggregate: loaded.aggregate,
            revision: loaded.revision,
            changed: !decision.is_unchanged(),
            explanation: decision.explanation.clone(),
            repeated: false,
        }
    }
}

/// What a commit rests on besides the aggregate itself.
#[derive(Debug, Default)]
pub(crate) struct Grounds<'g> {
    pub(crate) evidence: Vec<EvidenceCheck>,
    pub(crate) lease: Option<&'g Lease>,
    pub(crate) inbox: Option<InboxEntry>,
    /// The identifier of the first history entry; a fresh one where it is not said.
    pub(crate) first_event: Option<EventId>,
}

impl Grounds<'_> {
    pub(crate) fn exactly(facts: &[EvidenceRef]) -> Self {
        let evidence = facts.iter().map(|fact| check(fact, Wanted::Exactly(fact.revision))).collect();
        Self { evidence, ..Self::default() }
    }

    pub(crate) fn at_least(facts: &[EvidenceRef]) -> Self {
        let evidence = facts.iter().map(|fact| check(fact, Wanted::AtLeast(fact.revision))).collect();
        Self { evidence, ..Self::default() }
    }

    /// The same, for what the caller asked for: it is done once under the caller's key.
    pub(crate) fn asked(self, host: &Host) -> Self {
        match &host.terms().request {
            Some(request) => {
                Self { inbox: request.entry(), first_event: Some(request.first_event()), ..self }
            }
            None => self,
        }
    }
}

fn check(fact: &EvidenceRef, wanted: Wanted) -> EvidenceCheck {
    EvidenceCheck { key: runtime_ports::store::AggregateKey { kind: fact.kind, id: fact.id }, wanted }
}

/// Commits a decision about one aggregate, `before` being `None` where it does not exist yet. A decision without events commits nothing.
pub(crate) async fn commit<A: Aggregate>(
    host: &Host,
    store: &dyn TenantStore,
    before: Option<Loaded<A>>,
    decision: &Decision<A::Event>,
    grounds: Grounds<'_>,
    now: Timestamp,
) -> Result<Option<Loaded<A>>, CommitError> {
    if decision.events.is_empty() {
        return Ok(before);
    }
    let (commit, after) = prepare(host, store.scope(), before, decision, grounds, now)?;
    if !host.terms().preview {
        store.commit(commit).await?;
    }
    Ok(Some(after))
}

/// The commit of a decision that has events, and what the aggregate is after it.
pub(crate) fn prepare<A: Aggregate>(
    host: &Host,
    scope: &TenantScope,
    before: Option<Loaded<A>>,
    decision: &Decision<A::Event>,
    grounds: Grounds<'_>,
    now: Timestamp,
) -> Result<(Commit, Loaded<A>), PortError> {
    host.must_be_open()?;
    let (write, after) = write(host, scope, before, decision, grounds.first_event, now)?;
    let commit = Commit {
        writes: vec![write],
        evidence: grounds.evidence,
        inbox: grounds.inbox,
        lease: grounds.lease.cloned(),
    };
    Ok((commit, after))
}

fn write<A: Aggregate>(
    host: &Host,
    scope: &TenantScope,
    before: Option<Loaded<A>>,
    decision: &Decision<A::Event>,
    first_event: Option<EventId>,
    now: Timestamp,
) -> Result<(AggregateWrite, Loaded<A>), PortError> {
    let expected = before.as_ref().map_or(Expected::Absent, Loaded::expected_next);
    let (state, mut sequence, mut digest) = match before {
        Some(Loaded { aggregate, sequence, digest, .. }) => (Some(aggregate), sequence, digest),
        None => (None, 0, ChainDigest::GENESIS),
    };
    let misapplied = |message: String| PortError::new(PortErrorKind::Internal, "unit.write", message);
    let after = A::evolve_all(state, decision.events.iter().map(|event| (event, now)))
        .map_err(|error| misapplied(error.to_string()))?
        .ok_or_else(|| misapplied("a decision without events has nothing to write".to_owned()))?;
    let key = Repository::<A>::key(after.uuid());
    let mut history = Vec::with_capacity(decision.events.len());
    let mut outbox = Vec::new();
    let mut first_event = first_event;
    let trace_parent = observed::present(host);
    for event in &decision.events {
        sequence += 1;
        let mut entry = entry(host, scope, event, sequence, &decision.explanation, now)?;
        entry.trace_parent = trace_parent.clone();
        entry.id = first_event.take().unwrap_or(entry.id);
        digest = digest.then(scope.tenant(), key, &entry);
        entry.digest = digest;
        if let Some(version) = event.published() {
            outbox.push(published(host, scope, &after, &entry, version)?);
        }
        history.push(entry);
    }
    let write = AggregateWrite {
        key,
        expected,
        record: Repository::record(&after)?,
        facets: Facets {
            environment: after.environment(),
            status: after.status().to_owned(),
            modules: after.modules(),
        },
        claims: after.claims(),
        history,
        outbox,
        wake_at: after.wake_at(),
    };
    let revision = expected.result();
    Ok((write, Loaded { aggregate: after, revision, sequence, digest }))
}

fn entry<E: DomainEvent>(
    host: &Host,
    scope: &TenantScope,
    event: &E,
    sequence: u64,
    explanation: &str,
    now: Timestamp,
) -> Result<HistoryEntry, PortError> {
    let body = serde_json::to_string(event).map_err(|error| {
        PortError::new(PortErrorKind::Internal, "unit.write", "the event cannot be written as JSON")
            .caused_by(error)
    })?;
    Ok(HistoryEntry {
        sequence,
        id: EventId::from_uuid(host.ports().ids.next()),
        event: event.name().to_owned(),
        body,
        at: now,
        actor: scope.actor().clone(),
        correlation: scope.correlation(),
        causation: scope.causation(),
        explanation: explanation.to_owned(),
        trace_parent: None,
        digest: ChainDigest::GENESIS,
    })
}

fn published<A: Aggregate>(
    host: &Host,
    scope: &TenantScope,
    after: &A,
    entry: &HistoryEntry,
    version: u16,
) -> Result<PublishedEvent, PortError> {
    let (event_type, envelope) = envelope(host, scope, after, entry, version)?;
    Ok(PublishedEvent {
        id: entry.id,
        tenant: scope.tenant(),
        aggregate_kind: A::KIND,
        aggregate_id: after.uuid(),
        sequence: entry.sequence,
        event_type,
        envelope,
    })
}
