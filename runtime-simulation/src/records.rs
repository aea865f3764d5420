//! What the store holds, read past all faults.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use runtime_domain::aggregate::Aggregate;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::scope::TenantScope;
use runtime_domain::value::Name;
use runtime_ports::store::{AggregateKey, Loaded, Page, Query, Repository, Store, StoredAggregate};

use crate::story::Place;
use crate::world::lock;

/// The tenant with this number, and on whose behalf operators and hosts work for it.
pub(crate) fn scope(tenant: u8) -> TenantScope {
    runtime_testkit::sample::scope(u64::from(tenant))
}

/// The name of a place's environment.
pub(crate) fn name(place: Place) -> String {
    format!("shop-{}", place.environment)
}

/// What the store holds, and what was read of it before. Clones are the same.
///
/// Reading records is most of what looking costs, so one that is as it was is not read again.
#[derive(Clone)]
pub(crate) struct Records {
    store: Arc<dyn Store>,
    known: Arc<Mutex<Known>>,
}

/// What is stored of each aggregate, and the `Arc<Loaded<A>>` that it was read as.
type Known = BTreeMap<(TenantId, AggregateKey), (StoredAggregate, Box<dyn Any + Send>)>;

impl Records {
    pub(crate) fn of(store: Arc<dyn Store>) -> Self {
        Self { store, known: Arc::default() }
    }

    /// The store itself.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Every aggregate of a kind that a tenant has, newest first.
    ///
    /// # Errors
    /// What is stored breaks a rule of its own, or could not be read.
    pub(crate) async fn all<A: Aggregate + 'static>(
        &self,
        scope: &TenantScope,
    ) -> Result<Vec<Arc<Loaded<A>>>, String> {
        let mut query = Query::all(A::KIND).limited_to(500);
        let mut found = Vec::new();
        loop {
            let page = self.page(scope, &query).await?;
            found.extend(page.items);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// The newest environment of a place.
    pub(crate) async fn environment(&self, place: Place) -> Option<Arc<Loaded<RuntimeEnvironment>>> {
        let all = self.all::<RuntimeEnvironment>(&scope(place.tenant)).await.ok()?;
        let name = Name::new(&name(place)).ok()?;
        all.into_iter().find(|found| *found.aggregate.name() == name)
    }

    /// The deployments of an environment, newest first.
    pub(crate) async fn deployments(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Vec<Arc<Loaded<RuntimeDeployment>>> {
        let query = Query::all(RuntimeDeployment::KIND).in_environment(environment);
        self.page(scope, &query).await.map(|page| page.items).unwrap_or_default()
    }

    async fn page<A: Aggregate + 'static>(
        &self,
        scope: &TenantScope,
        query: &Query,
    ) -> Result<Page<Arc<Loaded<A>>>, String> {
        let store = self.store.for_tenant(scope);
        let page = store.query(query).await.map_err(told)?;
        let mut items = Vec::with_capacity(page.items.len());
        for stored in page.items {
            let place = (scope.tenant(), stored.key);
            if let Some(known) = self.known(&place, &stored) {
                items.push(known);
                continue;
            }
            let loaded = Repository::<A>::new(&*store).load(stored.key.id).await.map_err(told)?;
            let Some(loaded) = loaded.map(Arc::new) else { continue };
            lock(&self.known).insert(place, (stored, Box::new(Arc::clone(&loaded))));
            items.push(loaded);
        }
        Ok(Page { items, next: page.next })
    }

    /// What was read of an aggregate, where it is stored as it was then.
    fn known<A: Aggregate + 'static>(
        &self,
        place: &(TenantId, AggregateKey),
        stored: &StoredAggregate,
    ) -> Option<Arc<Loaded<A>>> {
        let known = lock(&self.known);
        let (_, known) = known.get(place).filter(|(before, _)| before == stored)?;
        known.downcast_ref::<Arc<Loaded<A>>>().cloned()
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
mod tests {
    use runtime_domain::environment::EnvironmentStage;
    use runtime_domain::id::ProjectId;
    use runtime_services::environments::NewEnvironment;
    use runtime_testkit::faults::Faults;
    use runtime_testkit::sample;

    use super::*;
    use crate::world::World;

    #[tokio::test(start_paused = true)]
    async fn what_is_stored_as_it_was_is_read_once_and_what_has_changed_is_read_again() {
        let world = World::new();
        let store: Arc<dyn Store> = Arc::new(world.store.clone());
        let surface: Arc<dyn runtime_ports::surface::ComputeSurface> = Arc::new(world.surface.clone());
        let services = world.services(&store, &surface, &Faults::none()).unwrap();
        let place = Place { tenant: 1, environment: 1 };
        let (own, text) = (scope(place.tenant), |text: &str| Name::new(text).unwrap());
        let project = ProjectId::from_uuid(sample::host(1).uuid());
        let wanted = NewEnvironment::new(project, text(&name(place)), EnvironmentStage::Dev, text("local"));
        let made = services.environments().provision(&own, wanted).await.unwrap();

        let records = Records::of(store);
        let first = records.environment(place).await.unwrap();
        assert_eq!((first.aggregate.id(), first.revision), (made.aggregate.id(), made.revision));
        let again = records.clone().environment(place).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again), "it is stored as it was");

        let protected = services.environments().protect(&own, made.aggregate.id(), true).await.unwrap();
        let changed = records.environment(place).await.unwrap();
        assert_eq!(changed.revision, protected.revision);
        assert!(records.environment(Place { tenant: 2, ..place }).await.is_none(), "another tenant has none");
    }
}
