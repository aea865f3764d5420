//! A store whose commits are seen: how long each takes, what became of it, and which events it made durable.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_ports::PortResult;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, HistoryEntry, InboxEntry, OperatorStore, Page, Query,
    Store, StoredAggregate, TenantStore,
};
use runtime_ports::telemetry::{Instrument, Meter, Telemetry};
use tracing::field::{Empty, display};
use tracing::{Instrument as _, info_span};

use super::{failed, meaning, seconds, word};

/// A store, seen at work.
pub(crate) struct ObservedStore {
    inner: Arc<dyn Store>,
    telemetry: Telemetry,
}

impl ObservedStore {
    pub(crate) fn new(inner: Arc<dyn Store>, telemetry: Telemetry) -> Self {
        Self { inner, telemetry }
    }
}

#[async_trait]
impl Store for ObservedStore {
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore> {
        let inner = self.inner.for_tenant(scope);
        Box::new(ObservedTenantStore { inner, meter: Arc::clone(&self.telemetry.meter) })
    }

    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore> {
        self.inner.for_operator(scope)
    }

    async fn check(&self) -> PortResult<()> {
        self.inner.check().await
    }
}

struct ObservedTenantStore {
    inner: Box<dyn TenantStore>,
    meter: Arc<dyn Meter>,
}

#[async_trait]
impl TenantStore for ObservedTenantStore {
    fn scope(&self) -> &TenantScope {
        self.inner.scope()
    }

    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        let news = News::of(&commit);
        let span = info_span!(
            "commit",
            otel.kind = "client",
            otel.status_code = Empty,
            error.type = Empty,
            factory.aggregate.kind = news.kind(),
            factory.aggregate.id = Empty,
            factory.events = news.events.len(),
            factory.outcome = Empty,
        );
        if let Some(write) = commit.writes.first() {
            span.record("factory.aggregate.id", display(write.key.id));
        }
        let began = Instant::now();
        let result = self.inner.commit(commit).instrument(span.clone()).await;
        let outcome = match &result {
            Ok(_) => "committed",
            Err(CommitError::AlreadyHandled) => "already-handled",
            Err(CommitError::LeaseLost { .. }) => "lease-lost",
            Err(CommitError::EvidenceStale { .. }) => "evidence-stale",
            Err(CommitError::Conflict { .. }) => "conflict",
            Err(CommitError::ClaimHeld { .. }) => "claim-held",
            Err(CommitError::Port(error)) => {
                failed(&span, word(error.kind()));
                "failed"
            }
            Err(_) => "failed",
        };
        span.record("factory.outcome", outcome);
        let attributes = [("factory.aggregate.kind", news.kind()), ("factory.outcome", outcome)];
        self.meter.record(Instrument::CommitDuration, seconds(began), &attributes);
        if result.is_ok() {
            news.tell(&*self.meter);
        }
        result
    }

    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        self.inner.load(key).await
    }

    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        self.inner.query(query).await
    }

    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool> {
        self.inner.is_handled(entry).await
    }

    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>> {
        self.inner.history(key, after, limit).await
    }
}

/// What a commit makes durable, in words.
struct News {
    events: Vec<(AggregateKind, String)>,
    verdicts: Vec<String>,
}

impl News {
    fn of(commit: &Commit) -> Self {
        let events = commit
            .writes
            .iter()
            .flat_map(|write| write.history.iter().map(move |entry| (write.key.kind, entry.event.clone())));
        let results = commit.writes.iter().filter(|write| write.key.kind == AggregateKind::HealthCheckResult);
        Self {
            events: events.collect(),
            verdicts: results.map(|write| write.facets.status.clone()).collect(),
        }
    }

    /// The kind of the first aggregate; a commit of an inbound event alone is of none.
    fn kind(&self) -> &'static str {
        self.events.first().map_or("none", |(kind, _)| kind.name())
    }

    fn tell(&self, meter: &dyn Meter) {
        for (kind, event) in &self.events {
            let attributes = [("factory.aggregate.kind", kind.name()), ("factory.event", event.as_str())];
            meter.record(Instrument::Events, 1.0, &attributes);
            if let Some((instrument, by, attribute)) = meaning(*kind, event) {
                meter.record(instrument, by, attribute.as_slice());
            }
        }
        for status in &self.verdicts {
            meter.record(Instrument::HealthVerdicts, 1.0, &[("factory.status", status)]);
        }
    }
}
