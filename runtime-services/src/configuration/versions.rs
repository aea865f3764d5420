//! What other contexts of this host ask of configuration versions.

use runtime_domain::component::{ComponentSpec, ConfigurationReload, ConfigurationVersionRef, RevisionId};
use runtime_domain::configuration::{ConfigurationStatus, DeliveredConfiguration, RuntimeConfiguration};
use runtime_domain::id::{ConfigurationId, EnvironmentId};
use runtime_domain::scope::TenantScope;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{LoadError, Loaded, Query, Repository, TenantStore};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::configuration::consumer;

/// The versions of one tenant.
#[derive(Clone, Copy)]
pub(crate) struct Versions<'s> {
    store: &'s dyn TenantStore,
}

impl<'s> Versions<'s> {
    pub(crate) fn new(store: &'s dyn TenantStore) -> Self {
        Self { store }
    }

    /// One version of an environment; `None` where it is not there, which another environment's is not either.
    pub(crate) async fn of(
        &self,
        environment: EnvironmentId,
        configuration: ConfigurationId,
    ) -> Result<Option<Loaded<RuntimeConfiguration>>, LoadError> {
        let found = Repository::<RuntimeConfiguration>::new(self.store).load(configuration.uuid()).await?;
        Ok(found.filter(|found| found.aggregate.environment_id() == environment))
    }

    /// The versions of an environment that are in force, the newest first. They are few: what is synchronised supersedes what is older.
    pub(crate) async fn in_force(
        &self,
        environment: EnvironmentId,
    ) -> Result<Vec<Loaded<RuntimeConfiguration>>, LoadError> {
        use runtime_domain::aggregate::Aggregate as _;
        let statuses =
            [ConfigurationStatus::Published, ConfigurationStatus::Synced].map(ConfigurationStatus::name);
        let query = Query::all(RuntimeConfiguration::KIND).in_environment(environment).with_status(&statuses);
        let mut found = Repository::<RuntimeConfiguration>::new(self.store).every(query).await?;
        found.sort_by_key(|loaded| std::cmp::Reverse(loaded.aggregate.version()));
        Ok(found)
    }

    /// What a rollout that leaves a component's configuration alone carries: the version that it was told of in place last, else the one that it
    /// was rolled out with; `None` where it has none, or that is not in force any more and is kept as what it serves with.
    pub(crate) async fn left_alone(
        &self,
        environment: EnvironmentId,
        serving: &RevisionId,
        component: &ComponentSpec,
    ) -> Result<Option<ConfigurationId>, LoadError> {
        let Some(named) = &component.tuple.configuration else { return Ok(None) };
        let takes_in_place = component.configuration.reload == ConfigurationReload::Signal;
        let consumer = consumer(serving).filter(|_| takes_in_place);
        let is_told = |version: &&Loaded<RuntimeConfiguration>| {
            let expected = version.aggregate.consumption().map(|consumption| &consumption.expected);
            consumer.as_ref().zip(expected).is_some_and(|(who, expected)| expected.contains(who))
        };
        let in_force = self.in_force(environment).await?;
        let is_named =
            |version: &&Loaded<RuntimeConfiguration>| version.aggregate.id() == named.configuration;
        let left = in_force.iter().find(is_told).or_else(|| in_force.iter().find(is_named));
        Ok(left.map(|version| version.aggregate.id()))
    }

    /// What a component gets of the version that its release tuple names, in force or not: what was rolled out with it goes back with it.
    pub(crate) async fn delivered(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        named: &ConfigurationVersionRef,
        module: &ModuleId,
    ) -> PortResult<DeliveredConfiguration> {
        const OPERATION: &str = "configuration.delivered";
        let found = self.of(environment, named.configuration).await.map_err(|error| match error {
            LoadError::Port(error) => error,
            error => {
                let message = format!("configuration {} is damaged: restore it", named.configuration);
                PortError::new(PortErrorKind::Corrupt, OPERATION, message).caused_by(error)
            }
        })?;
        let found = found.ok_or_else(|| {
            let message = format!("configuration {} is not in this environment", named.configuration);
            PortError::new(PortErrorKind::NotFound, OPERATION, message)
        })?;
        if *found.aggregate.checksum() != named.checksum {
            let message = format!("configuration {} is not what the release names", named.configuration);
            return Err(PortError::new(PortErrorKind::Corrupt, OPERATION, message));
        }
        Ok(found.aggregate.delivered(module, Some(scope.tenant())))
    }
}
