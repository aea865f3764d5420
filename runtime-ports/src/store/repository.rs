//! Typed views of the store.

use std::marker::PhantomData;

use runtime_domain::aggregate::{Aggregate, RecordError};
use runtime_domain::value::Revision;
use uuid::Uuid;

use crate::error::PortError;
use crate::store::{
    AggregateKey, ChainDigest, Expected, Page, Query, StoredAggregate, StoredRecord, TenantStore,
};

mod typed;

pub use typed::{
    HealthCheckResultRepository, PageRequest, RuntimeConfigurationRepository, RuntimeDeploymentRepository,
    RuntimeDriftFindingRepository, RuntimeEnvironmentRepository, RuntimeServiceRepository,
    RuntimeTenantBindingRepository, ScalingPolicyRepository, SecretBindingRepository,
};

/// An aggregate and where it stands in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded<A> {
    /// The aggregate, with every rule re-checked.
    pub aggregate: A,
    /// Its revision.
    pub revision: Revision,
    /// The sequence of its newest history entry.
    pub sequence: u64,
    /// That entry's digest.
    pub digest: ChainDigest,
}

impl<A> Loaded<A> {
    /// What a write expects that follows what was loaded.
    pub const fn expected_next(&self) -> Expected {
        Expected::At { revision: self.revision, digest: self.digest }
    }
}

/// Why an aggregate could not be loaded.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The store failed.
    #[error("the store failed")]
    Port(#[from] PortError),
    /// The stored form is not readable.
    #[error("stored {key} is not readable: {why}")]
    Unreadable {
        /// Which.
        key: AggregateKey,
        /// What the parser said.
        why: String,
    },
    /// The stored form breaks a rule.
    #[error("stored {key} was refused")]
    Refused {
        /// Which.
        key: AggregateKey,
        /// The rule.
        #[source]
        cause: RecordError,
    },
}

/// A typed view of one tenant's store.
pub struct Repository<'s, A> {
    store: &'s dyn TenantStore,
    aggregate: PhantomData<fn() -> A>,
}

impl<A> std::fmt::Debug for Repository<'_, A> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Repository").field("tenant", &self.store.scope().tenant()).finish()
    }
}

impl<'s, A: Aggregate> Repository<'s, A> {
    /// A view of `store`.
    pub fn new(store: &'s dyn TenantStore) -> Self {
        Self { store, aggregate: PhantomData }
    }

    /// The key of the aggregate with this UUID.
    pub fn key(id: Uuid) -> AggregateKey {
        AggregateKey { kind: A::KIND, id }
    }

    /// Loads an aggregate and re-checks its rules; `None` where this tenant has none by that identifier.
    ///
    /// # Errors
    /// The store failed, or what it holds is not a legal aggregate.
    pub async fn load(&self, id: Uuid) -> Result<Option<Loaded<A>>, LoadError> {
        self.store.load(&Self::key(id)).await?.map(Self::open).transpose()
    }

    /// Lists aggregates; the query's kind is the view's.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn query(&self, query: Query) -> Result<Page<Loaded<A>>, LoadError> {
        let page = self.store.query(&Query { kind: A::KIND, ..query }).await?;
        let items = page.items.into_iter().map(Self::open).collect::<Result<_, _>>()?;
        Ok(Page { items, next: page.next })
    }

    fn open(stored: StoredAggregate) -> Result<Loaded<A>, LoadError> {
        let key = stored.key;
        let record = serde_json::from_str(&stored.record.body)
            .map_err(|error| LoadError::Unreadable { key, why: error.to_string() })?;
        let aggregate = A::from_record(stored.record.schema, record)
            .map_err(|cause| LoadError::Refused { key, cause })?;
        let StoredAggregate { revision, sequence, digest, .. } = stored;
        Ok(Loaded { aggregate, revision, sequence, digest })
    }

    /// The stored form of an aggregate.
    ///
    /// # Errors
    /// The record cannot be written as JSON, which no shipped aggregate does.
    pub fn record(aggregate: &A) -> Result<StoredRecord, PortError> {
        let body = serde_json::to_string(&aggregate.to_record()).map_err(|error| {
            PortError::new(
                crate::PortErrorKind::Internal,
                "store.record",
                "the state cannot be written as JSON",
            )
            .caused_by(error)
        })?;
        Ok(StoredRecord { schema: A::SCHEMA, body })
    }
}
