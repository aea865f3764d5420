//! Health results in memory.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::id::{EnvironmentId, ServiceId, TenantId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_ports::PortResult;
use runtime_ports::health_results::{
    HealthRecord, HealthResultQuery, HealthResultStore, OperatorHealthResults, TenantHealthResults,
    check_append, check_prepare,
};
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::store::{Page, check_limit};
use uuid::Uuid;

use crate::poisoned;

/// What cursors are marked with.
const STORE: &str = "memory";

/// Health results that live and end with the process.
///
/// Clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct MemoryHealthResults {
    rows: Arc<Mutex<Rows>>,
}

type Rows = BTreeMap<TenantId, Kept>;

/// Where a result is among a tenant's, in the order of their time.
type Place = (i64, Uuid);

/// A tenant's results.
#[derive(Debug, Default)]
struct Kept {
    by_time: BTreeMap<Place, HealthRecord>,
    of_service: BTreeMap<(EnvironmentId, ServiceId), BTreeSet<Place>>,
}

fn service_of(record: &HealthRecord) -> (EnvironmentId, ServiceId) {
    (record.result.environment(), record.result.service_id())
}

impl Kept {
    fn insert(&mut self, record: &HealthRecord) {
        let place = record.place();
        if let Entry::Vacant(vacant) = self.by_time.entry(place) {
            vacant.insert(record.clone());
            self.of_service.entry(service_of(record)).or_default().insert(place);
        }
    }

    fn remove(&mut self, place: &Place) {
        let Some(record) = self.by_time.remove(place) else { return };
        let service = service_of(&record);
        if let Some(places) = self.of_service.get_mut(&service) {
            places.remove(place);
            if places.is_empty() {
                self.of_service.remove(&service);
            }
        }
    }
}

impl MemoryHealthResults {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self, operation: &'static str) -> PortResult<MutexGuard<'_, Rows>> {
        self.rows.lock().map_err(|_| poisoned(operation))
    }
}

impl HealthResultStore for MemoryHealthResults {
    fn tenant_health_results(&self, scope: &TenantScope) -> Box<dyn TenantHealthResults> {
        Box::new(TenantHandle { store: self.clone(), tenant: scope.tenant() })
    }

    fn operator_health_results(&self, _scope: &OperatorScope) -> Box<dyn OperatorHealthResults> {
        Box::new(OperatorHandle(self.clone()))
    }
}

struct TenantHandle {
    store: MemoryHealthResults,
    tenant: TenantId,
}

#[async_trait]
impl TenantHealthResults for TenantHandle {
    async fn append(&self, records: &[HealthRecord]) -> PortResult<()> {
        check_append(self.tenant, records)?;
        let mut rows = self.store.lock("health_results.append")?;
        let rows = rows.entry(self.tenant).or_default();
        records.iter().for_each(|record| rows.insert(record));
        Ok(())
    }

    async fn latest(
        &self,
        environment: EnvironmentId,
        service: ServiceId,
        since: Timestamp,
    ) -> PortResult<Option<HealthRecord>> {
        let rows = self.store.lock("health_results.latest")?;
        let newest = rows.get(&self.tenant).and_then(|rows| {
            let place = rows.of_service.get(&(environment, service))?.last()?;
            rows.by_time.get(place).filter(|_| place.0 >= since.timestamp_micros())
        });
        Ok(newest.cloned())
    }

    async fn latest_of_all(
        &self,
        environment: EnvironmentId,
        since: Timestamp,
        after: Option<ServiceId>,
        limit: u32,
    ) -> PortResult<Vec<HealthRecord>> {
        const OPERATION: &str = "health_results.latest_of_all";
        check_limit(OPERATION, limit, 1_000)?;
        let rows = self.store.lock(OPERATION)?;
        let recent = rows.get(&self.tenant).into_iter();
        let recent = recent.flat_map(|rows| rows.by_time.range((since.timestamp_micros(), Uuid::nil())..));
        let recent = recent.map(|(_, record)| record).filter(|record| is_of(record, environment));
        // In the order of time: the newest of each is what remains.
        let newest: BTreeMap<ServiceId, &HealthRecord> =
            recent.map(|record| (record.result.service_id(), record)).collect();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(newest.range((start, Bound::Unbounded)).take(limit).map(|(_, record)| (*record).clone()).collect())
    }

    async fn query(&self, query: &HealthResultQuery) -> PortResult<Page<HealthRecord>> {
        let after = query.position(STORE, self.tenant)?;
        let rows = self.store.lock("health_results.query")?;
        let matching = rows.get(&self.tenant).into_iter().flat_map(|rows| &rows.by_time);
        let matching = matching.filter(|(place, record)| {
            matches(record, query)
                && after
                    .is_none_or(|after| if query.oldest_first { **place > after } else { **place < after })
        });
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let items: Vec<HealthRecord> = if query.oldest_first {
            matching.take(limit.saturating_add(1)).map(|(_, record)| record.clone()).collect()
        } else {
            matching.rev().take(limit.saturating_add(1)).map(|(_, record)| record.clone()).collect()
        };
        Ok(Page::of(items, query.limit, |record| query.cursor_at(STORE, self.tenant, record.place())))
    }
}

fn is_of(record: &HealthRecord, environment: EnvironmentId) -> bool {
    record.result.environment() == environment
}

fn matches(record: &HealthRecord, query: &HealthResultQuery) -> bool {
    let (at, _) = record.place();
    is_of(record, query.environment)
        && query.service.is_none_or(|service| record.result.service_id() == service)
        && query.revision.as_ref().is_none_or(|revision| record.revision.as_ref() == Some(revision))
        && query.from.is_none_or(|from| at >= from.timestamp_micros())
        && query.until.is_none_or(|until| at < until.timestamp_micros())
}

struct OperatorHandle(MemoryHealthResults);

#[async_trait]
impl Pruner for OperatorHandle {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        let mut tenants = self.0.lock("health_results.prune")?;
        let end = (before.timestamp_micros(), Uuid::nil());
        let old = tenants
            .iter()
            .flat_map(|(tenant, rows)| rows.by_time.range(..end).map(|(place, _)| (*tenant, *place)));
        let most = usize::try_from(most.max(1)).unwrap_or(usize::MAX);
        let mut old: Vec<_> = old.take(most.saturating_add(1)).collect();
        let goes_on = old.len() > most;
        old.truncate(most);
        for (tenant, place) in &old {
            if let Some(rows) = tenants.get_mut(tenant) {
                rows.remove(place);
            }
        }
        tenants.retain(|_, rows| !rows.by_time.is_empty());
        Ok(Pruned { removed: u64::try_from(old.len()).unwrap_or(u64::MAX), goes_on })
    }
}

#[async_trait]
impl OperatorHealthResults for OperatorHandle {
    async fn prepare(&self, from: Timestamp, until: Timestamp) -> PortResult<()> {
        check_prepare(from, until)
    }
}
