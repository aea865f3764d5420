//! Loading: what is asked for while a connection is busy goes together by the next call on it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::future::join_all;
use runtime_domain::id::TenantId;
use runtime_ports::PortResult;
use runtime_ports::store::{AggregateKey, StoredAggregate};
use tokio::time::Duration;
use uuid::Uuid;

use super::Links;
use super::read::{Columns, stored};
use super::together::{Batch, Together};
use crate::error::corrupt;
use crate::link::Link;

const OPERATION: &str = "store.load";

/// A plain statement, which costs the server half of what a function does. Rows are looked up by the tenant that was just named, so that
/// nothing is looked for before.
const LOAD: &str = "
    SELECT asked.place, found.revision, found.sequence, found.schema, found.body, found.wake_at, found.digest
    FROM (SELECT set_config('factory_runtime.tenant', $1::uuid::text, true)::uuid AS tenant) AS given,
        unnest($2::text[], $3::uuid[]) WITH ORDINALITY AS asked (kind, id, place),
        LATERAL (
            SELECT a.revision, a.sequence, a.schema, a.body, a.digest, (
                SELECT w.due_at FROM work AS w
                WHERE w.tenant = a.tenant AND w.kind = a.kind AND w.id = a.id AND w.topic = 'work'
            ) AS wake_at
            FROM aggregates AS a WHERE a.tenant = given.tenant AND a.kind = asked.kind AND a.id = asked.id
            LIMIT 1
        ) AS found";

/// Connections that aggregates are loaded on.
#[derive(Debug)]
pub(super) struct Loaders {
    pub(super) links: Links,
    /// Who waits for each of them.
    waiting: Vec<Together<Loads>>,
}

impl Loaders {
    pub(super) fn new(links: Links) -> Self {
        let waiting = links.links.iter().map(|_| Together::default()).collect();
        Self { links, waiting }
    }

    /// An aggregate as it is when this is called, or later.
    pub(super) async fn load(
        &self,
        tenant: TenantId,
        key: AggregateKey,
    ) -> PortResult<Option<StoredAggregate>> {
        let place = self.links.turn();
        match (self.links.links.get(place), self.waiting.get(place)) {
            (Some(link), Some(waiting)) => waiting.perform(link, || (tenant, key)).await?,
            _ => Err(crate::error::closed(OPERATION)),
        }
    }
}

/// What is loaded by one call, by one statement for each tenant.
#[derive(Debug, Default)]
struct Loads(Vec<(TenantId, AggregateKey)>);

#[async_trait]
impl Batch for Loads {
    type Item = (TenantId, AggregateKey);
    /// One tenant's trouble is not another's.
    type Answer = PortResult<Option<StoredAggregate>>;
    const PACE: Duration = Duration::ZERO;

    fn push(&mut self, item: Self::Item) {
        self.0.push(item);
    }

    async fn call(&self, link: &Link) -> PortResult<Vec<Self::Answer>> {
        let mut places: BTreeMap<TenantId, Vec<usize>> = BTreeMap::new();
        for (place, (tenant, _)) in self.0.iter().enumerate() {
            places.entry(*tenant).or_default().push(place);
        }
        let loaded = join_all(places.into_iter().map(async |(tenant, places)| {
            let keys: Vec<_> = places.iter().filter_map(|place| Some(self.0.get(*place)?.1)).collect();
            (places, load_all(link, tenant, &keys).await)
        }));
        let mut answers: Vec<Self::Answer> = self.0.iter().map(|_| Ok(None)).collect();
        for (places, loaded) in loaded.await {
            let mut loaded = loaded.map(Vec::into_iter);
            for place in places {
                let answer = match &mut loaded {
                    Ok(loaded) => loaded.next().unwrap_or(Ok(None)),
                    Err(error) => Err(error.clone()),
                };
                if let Some(place) = answers.get_mut(place) {
                    *place = answer;
                }
            }
        }
        Ok(answers)
    }
}

/// One tenant's, each in the place of its key.
async fn load_all(
    link: &Link,
    tenant: TenantId,
    keys: &[AggregateKey],
) -> PortResult<Vec<PortResult<Option<StoredAggregate>>>> {
    let kinds: Vec<&str> = keys.iter().map(|key| key.kind.name()).collect();
    let ids: Vec<Uuid> = keys.iter().map(|key| key.id).collect();
    let rows = link.read(OPERATION, LOAD, &[&tenant.uuid(), &kinds, &ids]).await?;
    let mut loaded: Vec<_> = keys.iter().map(|_| Ok(None)).collect();
    for row in &rows {
        let columns = Columns { operation: OPERATION, row };
        let place = usize::try_from(columns.get::<i64>(0)?).unwrap_or(0).wrapping_sub(1);
        match (keys.get(place), loaded.get_mut(place)) {
            (Some(key), Some(loaded)) => *loaded = stored(&columns, *key, 1).map(Some),
            _ => return Err(corrupt(OPERATION, "a place that was not asked for")),
        }
    }
    Ok(loaded)
}
