//! Snapshots in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_ports::PortResult;
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::snapshots::{
    CaptureStep, Captured, Snapshot, SnapshotBody, SnapshotQuery, SnapshotStore, TenantSnapshots,
};
use runtime_ports::store::Page;
use runtime_ports::subject::{KeptName, Subject};

use crate::poisoned;

/// What cursors are marked with.
const STORE: &str = "memory";

/// Snapshots that live and end with the process.
///
/// Clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct MemorySnapshots {
    rows: Arc<Mutex<Rows>>,
}

/// A subject's snapshots, by the microsecond in which they were captured.
type Rows = BTreeMap<(TenantId, Subject), BTreeMap<i64, Snapshot>>;

impl MemorySnapshots {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self, operation: &'static str) -> PortResult<MutexGuard<'_, Rows>> {
        self.rows.lock().map_err(|_| poisoned(operation))
    }
}

impl SnapshotStore for MemorySnapshots {
    fn tenant_snapshots(&self, scope: &TenantScope) -> Box<dyn TenantSnapshots> {
        Box::new(TenantHandle { store: self.clone(), tenant: scope.tenant() })
    }

    fn snapshot_pruner(&self, _scope: &OperatorScope) -> Box<dyn Pruner> {
        Box::new(OperatorHandle(self.clone()))
    }
}

struct TenantHandle {
    store: MemorySnapshots,
    tenant: TenantId,
}

/// A time as it is kept.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

#[async_trait]
impl TenantSnapshots for TenantHandle {
    async fn capture(&self, subject: &Subject, at: Timestamp, body: &SnapshotBody) -> PortResult<Captured> {
        let mut rows = self.store.lock("snapshots.capture")?;
        let rows = rows.entry((self.tenant, subject.clone())).or_default();
        let at = whole(at);
        let newest = rows.values_mut().next_back();
        let step = newest.as_ref().map_or(CaptureStep::Insert, |newest| {
            Snapshot::step(newest.captured_at, newest.last_seen_at, newest.digest, (at, body.digest()))
        });
        match (step, newest) {
            (CaptureStep::Insert, _) => {
                let snapshot = Snapshot {
                    subject: subject.clone(),
                    captured_at: at,
                    last_seen_at: at,
                    digest: body.digest(),
                    body: body.as_str().to_owned(),
                };
                rows.insert(at.timestamp_micros(), snapshot);
            }
            (CaptureStep::Extend, Some(newest)) => newest.last_seen_at = at,
            (CaptureStep::Extend | CaptureStep::Leave | CaptureStep::Late, _) => {}
        }
        Ok(step.told())
    }

    async fn latest(&self, subject: &Subject) -> PortResult<Option<Snapshot>> {
        let rows = self.store.lock("snapshots.latest")?;
        Ok(rows.get(&(self.tenant, subject.clone())).and_then(|rows| rows.values().next_back()).cloned())
    }

    async fn as_of(&self, subject: &Subject, at: Timestamp) -> PortResult<Option<Snapshot>> {
        let rows = self.store.lock("snapshots.as_of")?;
        let rows = rows.get(&(self.tenant, subject.clone()));
        Ok(rows.and_then(|rows| rows.range(..=at.timestamp_micros()).next_back()).map(|(_, row)| row.clone()))
    }

    async fn list(&self, query: &SnapshotQuery) -> PortResult<Page<Snapshot>> {
        let after = query.position(STORE, self.tenant)?;
        let rows = self.store.lock("snapshots.list")?;
        let matching = rows
            .iter()
            .filter(|((tenant, subject), _)| {
                *tenant == self.tenant
                    && subject.environment == query.environment
                    && query.subject.as_ref().is_none_or(|name| subject.name == *name)
            })
            .flat_map(|((_, subject), rows)| rows.iter().map(|(at, row)| ((*at, subject.name.clone()), row)))
            .filter(|((at, _), _)| {
                query.from.is_none_or(|from| *at >= from.timestamp_micros())
                    && query.until.is_none_or(|until| *at < until.timestamp_micros())
            });
        let ordered: BTreeMap<(i64, KeptName), &Snapshot> = matching.collect();
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let items: Vec<Snapshot> = ordered
            .iter()
            .rev()
            .filter(|(place, _)| after.as_ref().is_none_or(|after| *place < after))
            .take(limit.saturating_add(1))
            .map(|(_, row)| (*row).clone())
            .collect();
        Ok(Page::of(items, query.limit, |last| {
            query.cursor_at(STORE, self.tenant, last.captured_at, &last.subject.name)
        }))
    }
}

struct OperatorHandle(MemorySnapshots);

#[async_trait]
impl Pruner for OperatorHandle {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        let mut subjects = self.0.lock("snapshots.prune")?;
        let most = usize::try_from(most.max(1)).unwrap_or(usize::MAX);
        let before = before.timestamp_micros();
        let old = subjects.iter().flat_map(|(subject, rows)| {
            let old = rows.iter().filter(|(_, row)| row.last_seen_at.timestamp_micros() < before);
            old.map(|(at, _)| (subject.clone(), *at))
        });
        let mut old: Vec<_> = old.take(most.saturating_add(1)).collect();
        let goes_on = old.len() > most;
        old.truncate(most);
        for (subject, at) in &old {
            if let Some(rows) = subjects.get_mut(subject) {
                rows.remove(at);
            }
        }
        subjects.retain(|_, rows| !rows.is_empty());
        Ok(Pruned { removed: u64::try_from(old.len()).unwrap_or(u64::MAX), goes_on })
    }
}
