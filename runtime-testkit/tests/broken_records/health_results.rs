//! Health results that are kept wrongly.

use async_trait::async_trait;
use runtime_domain::id::{EnvironmentId, ServiceId, TenantId};
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::{Span, Timestamp};
use runtime_memory::MemoryHealthResults;
use runtime_ports::PortResult;
use runtime_ports::health_results::{
    HealthRecord, HealthResultQuery, HealthResultStore, OperatorHealthResults, TenantHealthResults,
};
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::store::{Cursor, Page};
use runtime_testkit::conformance::{self, AdapterFactory, Persistence};
use runtime_testkit::sample;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    AppendsOneByOne,
    DropsRevisions,
    ForgetsWhenClosed,
    IgnoresFrom,
    IgnoresRoom,
    LatestIgnoresSince,
    LosesSome,
    MixesTenants,
    PagesByOffset,
    PrunesOneMore,
    PrunesWithoutEnd,
    Replaces,
    ReversesPages,
}

struct Broken {
    bug: Bug,
    inner: MemoryHealthResults,
}

struct Handle {
    bug: Bug,
    tenant: TenantId,
    inner: Box<dyn TenantHealthResults>,
    /// Where a bug keeps what it must not.
    store: MemoryHealthResults,
}

impl HealthResultStore for Broken {
    fn tenant_health_results(&self, scope: &TenantScope) -> Box<dyn TenantHealthResults> {
        let inner = self.inner.tenant_health_results(scope);
        Box::new(Handle { bug: self.bug, tenant: scope.tenant(), inner, store: self.inner.clone() })
    }

    fn operator_health_results(&self, scope: &OperatorScope) -> Box<dyn OperatorHealthResults> {
        Box::new(Operator(self.bug, self.inner.operator_health_results(scope)))
    }
}

#[async_trait]
impl TenantHealthResults for Handle {
    async fn append(&self, records: &[HealthRecord]) -> PortResult<()> {
        match self.bug {
            Bug::AppendsOneByOne => {
                for record in records {
                    self.inner.append(std::slice::from_ref(record)).await?;
                }
                Ok(())
            }
            Bug::DropsRevisions => {
                let bare = |record: &HealthRecord| HealthRecord { revision: None, ..record.clone() };
                self.inner.append(&records.iter().map(bare).collect::<Vec<_>>()).await
            }
            Bug::LosesSome => {
                let kept = |record: &&HealthRecord| record.place().1.as_u128() % 48 != 7;
                self.inner.append(&records.iter().filter(kept).cloned().collect::<Vec<_>>()).await
            }
            Bug::Replaces => {
                // What is there is removed first: the newest write stands.
                for record in records {
                    let all = HealthResultQuery::of(sample::environment(1)).limited_to(1_000);
                    let mut kept = self.inner.query(&all).await?.items;
                    if kept.iter().any(|kept| kept.place() == record.place()) {
                        let pruner = self.store.operator_health_results(&sample::operator());
                        pruner.prune(Timestamp::MAX_UTC, 10_000).await?;
                        kept.retain(|kept| kept.place() != record.place());
                        self.inner.append(&kept).await?;
                    }
                    self.inner.append(std::slice::from_ref(record)).await?;
                }
                Ok(())
            }
            _ => self.inner.append(records).await,
        }
    }

    async fn latest(
        &self,
        environment: EnvironmentId,
        service: ServiceId,
        since: Timestamp,
    ) -> PortResult<Option<HealthRecord>> {
        let since = if self.bug == Bug::LatestIgnoresSince { Timestamp::UNIX_EPOCH } else { since };
        self.inner.latest(environment, service, since).await
    }

    async fn latest_of_all(
        &self,
        environment: EnvironmentId,
        since: Timestamp,
        after: Option<ServiceId>,
        limit: u32,
    ) -> PortResult<Vec<HealthRecord>> {
        self.inner.latest_of_all(environment, since, after, limit).await
    }

    async fn query(&self, query: &HealthResultQuery) -> PortResult<Page<HealthRecord>> {
        match self.bug {
            Bug::IgnoresFrom => self.inner.query(&HealthResultQuery { from: None, ..query.clone() }).await,
            Bug::MixesTenants if self.tenant != sample::tenant(1) && query.after.is_none() => {
                self.store.tenant_health_results(&sample::scope(1)).query(query).await
            }
            Bug::PagesByOffset => {
                let offset = query.after.as_ref().map_or(0, |cursor| cursor.0.parse().unwrap_or(0));
                let all = HealthResultQuery { after: None, limit: 1_000, ..query.clone() };
                let mut items = self.inner.query(&all).await?.items.split_off(offset);
                let limit = usize::try_from(query.limit).unwrap();
                let next = (items.len() > limit).then(|| Cursor((offset + limit).to_string()));
                items.truncate(limit);
                Ok(Page { items, next })
            }
            Bug::ReversesPages => {
                let mut page = self.inner.query(query).await?;
                page.items.reverse();
                Ok(page)
            }
            _ => self.inner.query(query).await,
        }
    }
}

struct Operator(Bug, Box<dyn OperatorHealthResults>);

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

#[async_trait]
impl OperatorHealthResults for Operator {
    async fn prepare(&self, from: Timestamp, until: Timestamp) -> PortResult<()> {
        if self.0 == Bug::IgnoresRoom { Ok(()) } else { self.1.prepare(from, until).await }
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
        Ok(Broken { bug: self.0, inner: MemoryHealthResults::new() })
    }

    async fn reopen(&self, adapter: Broken) -> PortResult<Broken> {
        if self.0 == Bug::ForgetsWhenClosed { self.fresh().await } else { Ok(adapter) }
    }
}

#[tokio::test]
async fn every_trial_of_health_results_is_failed_by_a_broken_store() {
    let bugs = [
        (Bug::AppendsOneByOne, "an append that is refused records nothing"),
        (Bug::DropsRevisions, "results are there as they were recorded"),
        (Bug::ForgetsWhenClosed, "what was recorded survives reopening"),
        (Bug::IgnoresFrom, "every filter that is set holds"),
        (Bug::IgnoresRoom, "room can be made ahead"),
        (Bug::LatestIgnoresSince, "the newest result of each service is found"),
        (Bug::LosesSome, "what many record at once is all there"),
        (Bug::MixesTenants, "another tenants results are not there"),
        (Bug::PagesByOffset, "a listing is exact while others record"),
        (Bug::PagesByOffset, "a cursor of another query is invalid"),
        (Bug::PrunesOneMore, "pruning removes exactly what is older"),
        (Bug::PrunesWithoutEnd, "pruning goes step by step"),
        (Bug::Replaces, "a result that is recorded never changes"),
        (Bug::ReversesPages, "every result is listed once in the order of time"),
    ];
    crate::tried(Bug::None, &bugs, |bug| conformance::health_results(Factory(bug))).await;
}
