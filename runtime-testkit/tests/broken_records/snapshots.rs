//! Snapshots that are kept wrongly.

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::{Span, Timestamp};
use runtime_memory::MemorySnapshots;
use runtime_ports::PortResult;
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::snapshots::{
    Captured, Snapshot, SnapshotBody, SnapshotQuery, SnapshotStore, TenantSnapshots,
};
use runtime_ports::store::{Cursor, Page};
use runtime_ports::subject::Subject;
use runtime_testkit::conformance::{self, AdapterFactory, Persistence};
use runtime_testkit::sample;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    AsOfIsExclusive,
    ForgetsWhenClosed,
    IgnoresSubjects,
    MixesTenants,
    PagesByOffset,
    PrunesOneMore,
    PrunesWithoutEnd,
    RenamesBodies,
    ReversesPages,
    TellsLateAsChanged,
    TellsUnchangedAsChanged,
}

struct Broken {
    bug: Bug,
    inner: MemorySnapshots,
}

struct Handle {
    bug: Bug,
    tenant: TenantId,
    inner: Box<dyn TenantSnapshots>,
    store: MemorySnapshots,
}

impl SnapshotStore for Broken {
    fn tenant_snapshots(&self, scope: &TenantScope) -> Box<dyn TenantSnapshots> {
        let inner = self.inner.tenant_snapshots(scope);
        Box::new(Handle { bug: self.bug, tenant: scope.tenant(), inner, store: self.inner.clone() })
    }

    fn snapshot_pruner(&self, scope: &OperatorScope) -> Box<dyn Pruner> {
        Box::new(Operator(self.bug, self.inner.snapshot_pruner(scope)))
    }
}

#[async_trait]
impl TenantSnapshots for Handle {
    async fn capture(&self, subject: &Subject, at: Timestamp, body: &SnapshotBody) -> PortResult<Captured> {
        let captured = self.inner.capture(subject, at, body).await?;
        Ok(match (self.bug, captured) {
            (Bug::TellsLateAsChanged, Captured::Late)
            | (Bug::TellsUnchangedAsChanged, Captured::Unchanged) => Captured::Changed,
            (_, captured) => captured,
        })
    }

    async fn latest(&self, subject: &Subject) -> PortResult<Option<Snapshot>> {
        let renamed = |snapshot: Snapshot| Snapshot { body: snapshot.body.to_uppercase(), ..snapshot };
        match self.bug {
            Bug::MixesTenants if self.tenant != sample::tenant(1) => {
                self.store.tenant_snapshots(&sample::scope(1)).latest(subject).await
            }
            Bug::RenamesBodies => Ok(self.inner.latest(subject).await?.map(renamed)),
            _ => self.inner.latest(subject).await,
        }
    }

    async fn as_of(&self, subject: &Subject, at: Timestamp) -> PortResult<Option<Snapshot>> {
        let earlier = Timestamp::from_timestamp_micros(at.timestamp_micros() - 1).unwrap();
        self.inner.as_of(subject, if self.bug == Bug::AsOfIsExclusive { earlier } else { at }).await
    }

    async fn list(&self, query: &SnapshotQuery) -> PortResult<Page<Snapshot>> {
        match self.bug {
            Bug::IgnoresSubjects => self.inner.list(&SnapshotQuery { subject: None, ..query.clone() }).await,
            Bug::PagesByOffset => {
                let offset = query.after.as_ref().map_or(0, |cursor| cursor.0.parse().unwrap_or(0));
                let all = SnapshotQuery { after: None, limit: 100, ..query.clone() };
                let mut items = self.inner.list(&all).await?.items.split_off(offset);
                let limit = usize::try_from(query.limit).unwrap();
                let next = (items.len() > limit).then(|| Cursor((offset + limit).to_string()));
                items.truncate(limit);
                Ok(Page { items, next })
            }
            Bug::ReversesPages => {
                let mut page = self.inner.list(query).await?;
                page.items.reverse();
                Ok(page)
            }
            _ => self.inner.list(query).await,
        }
    }
}

struct Operator(Bug, Box<dyn Pruner>);

#[async_trait]
impl Pruner for Operator {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        match self.0 {
            Bug::PrunesOneMore => self.1.prune(Span::from_millis(1).after(before), most).await,
            Bug::PrunesWithoutEnd => self.1.prune(before, u32::MAX).await,
            _ => self.1.prune(before, most).await,
        }
    }
}

struct Factory(Bug);

#[async_trait]
impl AdapterFactory for Factory {
    type Adapter = Broken;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<Broken> {
        Ok(Broken { bug: self.0, inner: MemorySnapshots::new() })
    }

    async fn reopen(&self, adapter: Broken) -> PortResult<Broken> {
        if self.0 == Bug::ForgetsWhenClosed { self.fresh().await } else { Ok(adapter) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trial_of_snapshots_is_failed_by_a_broken_store() {
    let bugs = [
        (Bug::AsOfIsExclusive, "the snapshot of a time is the last captured by then"),
        (Bug::ForgetsWhenClosed, "what was captured survives reopening"),
        (Bug::IgnoresSubjects, "every filter that is set holds"),
        (Bug::MixesTenants, "another tenants snapshots are not there"),
        (Bug::PagesByOffset, "a cursor of another query is invalid"),
        (Bug::PrunesOneMore, "pruning removes exactly what was last seen before"),
        (Bug::PrunesWithoutEnd, "pruning goes step by step"),
        (Bug::RenamesBodies, "what was seen is there"),
        (Bug::ReversesPages, "every snapshot is listed once newest first"),
        (Bug::ReversesPages, "of many observers none spoils the order"),
        (Bug::TellsLateAsChanged, "an observation older than what is there is not kept"),
        (Bug::TellsUnchangedAsChanged, "seeing the same again makes no new snapshot"),
    ];
    crate::tried(Bug::None, &bugs, |bug| conformance::snapshots(Factory(bug))).await;
}
