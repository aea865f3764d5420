//! What the store holds, read past all faults.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::scope::TenantScope;
use runtime_domain::value::Name;
use runtime_ports::store::{AggregateKey, Loaded, Query, Repository, Store, StoredAggregate};

use crate::story::Place;

/// The tenant with this number, and on whose behalf operators and hosts work for it.
pub(crate) fn scope(tenant: u8) -> TenantScope {
    runtime_testkit::sample::scope(u64::from(tenant))
}

/// The name of a place's environment.
pub(crate) fn name(place: Place) -> String {
    format!("shop-{}", place.environment)
}

/// Every aggregate of a kind that a tenant has, newest first.
///
/// # Errors
/// What is stored breaks a rule of its own, or could not be read.
pub(crate) async fn all<A: Aggregate>(
    store: &dyn Store,
    scope: &TenantScope,
) -> Result<Vec<Loaded<A>>, String> {
    let store = store.for_tenant(scope);
    let repository = Repository::<A>::new(&*store);
    let mut query = Query::all(A::KIND).limited_to(500);
    let mut found = Vec::new();
    loop {
        let page = repository.query(query.clone()).await.map_err(told)?;
        found.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(found),
        }
    }
}

/// What was read before. Records are most of what looking costs: one that is as it was is not read again.
#[derive(Default)]
pub(crate) struct Known(BTreeMap<(TenantId, AggregateKey), (StoredAggregate, Box<dyn Any + Send>)>);

impl Known {
    /// As [`all`].
    ///
    /// # Errors
    /// As [`all`].
    pub(crate) async fn all<A: Aggregate + 'static>(
        &mut self,
        store: &dyn Store,
        scope: &TenantScope,
    ) -> Result<Vec<Arc<Loaded<A>>>, String> {
        let store = store.for_tenant(scope);
        let mut query = Query::all(A::KIND).limited_to(500);
        let mut found = Vec::new();
        loop {
            let page = store.query(&query).await.map_err(told)?;
            for stored in page.items {
                let place = (scope.tenant(), stored.key);
                let before = self.0.get(&place).filter(|(before, _)| *before == stored);
                if let Some(known) = before.and_then(|(_, known)| known.downcast_ref::<Arc<Loaded<A>>>()) {
                    found.push(Arc::clone(known));
                    continue;
                }
                let loaded = Repository::<A>::new(&*store).load(stored.key.id).await.map_err(told)?;
                let Some(loaded) = loaded.map(Arc::new) else { continue };
                self.0.insert(place, (stored, Box::new(Arc::clone(&loaded))));
                found.push(loaded);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(found),
            }
        }
    }
}

/// The newest environment of a place.
pub(crate) async fn environment(store: &dyn Store, place: Place) -> Option<RuntimeEnvironment> {
    let all = all::<RuntimeEnvironment>(store, &scope(place.tenant)).await.ok()?;
    let name = Name::new(&name(place)).ok()?;
    all.into_iter().map(|loaded| loaded.aggregate).find(|found| *found.name() == name)
}

/// The deployments of an environment, newest first.
pub(crate) async fn deployments(
    store: &dyn Store,
    scope: &TenantScope,
    environment: EnvironmentId,
) -> Vec<RuntimeDeployment> {
    let tenant = store.for_tenant(scope);
    let query = Query::all(RuntimeDeployment::KIND).in_environment(environment);
    let page = Repository::<RuntimeDeployment>::new(&*tenant).query(query).await;
    page.map(|page| page.items.into_iter().map(|loaded| loaded.aggregate).collect()).unwrap_or_default()
}

/// An error with all that caused it.
pub(crate) fn told(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
