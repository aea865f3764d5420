//! Configuration: what callers may ask.
//!
//! A version is published, then brought to what runs: with a release that carries it, or by [`ConfigurationService::synchronise`], which
//! changes nothing else. Who runs which version is only ever what was observed.

use std::collections::BTreeMap;

use runtime_domain::calendar::{Activity, BreakGlass};
use runtime_domain::configuration::{
    Checksum, ConfigScope, ConfigVersion, ConfigurationCommand, ConfigurationDiff, ConfigurationEntries,
    ConfigurationEvent, ConfigurationRefusal, ConfigurationValue, Consumer, EntryKey, PublishConfiguration,
    RuntimeConfiguration, UsedVersion,
};
use runtime_domain::id::{AggregateKind, ConfigurationId, EnvironmentId, TenantId};
use runtime_domain::scope::TenantScope;
use runtime_domain::secrets::{BoundSecret, SecretBinding};
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{
    HistoryEntry, LoadError, Loaded, Page, Query, Repository, RuntimeConfigurationRepository, TenantStore,
};

use crate::context::Context;
use crate::deployments::DeploymentService;
use crate::environments::{AdmissionError, EnvironmentService};
use crate::error::{CommandError, Refused, sort};
use crate::existing::{self, TRIES};
use crate::host::Host;
use crate::observed::{self, decided};
use crate::request;
use crate::terms::Terms;
use crate::unit::{Done, Grounds, commit};

mod following;
mod synchronisation;
mod versions;

pub(crate) use following::{Running, consumer};
pub use synchronisation::{Synchronisation, SynchronisationError, SynchronisationRefusal, Synchronise};
pub(crate) use versions::Versions;

/// What goes wrong with a configuration's command.
pub type ConfigurationError = CommandError<ConfigurationRefusal>;

/// Publishes configuration, brings it to what runs, and tells who runs which.
#[derive(Debug, Clone)]
pub struct ConfigurationService {
    host: Host,
    environments: EnvironmentService,
    deployments: DeploymentService,
}

/// What publishing would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicationPreview {
    /// The number that the version would get.
    pub version: ConfigVersion,
    /// Its checksum.
    pub checksum: Checksum,
    /// What would differ from the newest version.
    pub changes: ConfigurationDiff,
}

/// What holds for a component under one key, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveValue {
    /// What holds.
    pub value: ConfigurationValue,
    /// The scope that set it.
    pub scope: ConfigScope,
    /// The scopes that set it, too, and gave way, the weakest first.
    pub shadowed: Vec<ConfigScope>,
}

/// What is known of one consumer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerStanding {
    /// The newest version in force that it should run; `None` where none in force expects it.
    pub expected: Option<ConfigVersion>,
    /// What it was observed to run with, since when; `None` where that is not known.
    pub observed: Option<(Checksum, Timestamp)>,
    /// Which version in force that is; `None` where it is none of them.
    pub version: Option<ConfigVersion>,
}

impl ConfigurationService {
    /// The service of a host. `environments` prove that they take configuration, `deployments` bring it and tell what serves.
    pub fn new(host: Host, environments: EnvironmentService, deployments: DeploymentService) -> Self {
        Self { host, environments, deployments }
    }

    /// The same for callers, who are refused where the host does not run this context.
    pub(crate) fn for_callers(&self) -> Self {
        Self { host: self.host.for_callers_of(Context::Configuration), ..self.clone() }
    }

    /// The same service, for commands on these terms.
    #[must_use]
    pub fn under(&self, terms: &Terms) -> Self {
        Self { host: self.host.under(terms), ..self.clone() }
    }

    /// Publishes the next version of an environment's configuration: the whole content. Asking again for what the newest version holds gives
    /// that version and changes nothing. Nothing that runs changes by it.
    ///
    /// # Errors
    /// The environment or its calendar takes no configuration now, or an entry refers to a secret that is not bound there (CFG-2).
    pub async fn publish(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        entries: ConfigurationEntries,
    ) -> Result<Done<RuntimeConfiguration>, ConfigurationError> {
        self.publish_with(scope, environment, entries, None).await
    }

    /// As [`ConfigurationService::publish`], with the reason why it cannot wait until the calendar opens, which is kept.
    ///
    /// # Errors
    /// As [`ConfigurationService::publish`], but for the calendar.
    pub async fn publish_with(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        entries: ConfigurationEntries,
        break_glass: Option<String>,
    ) -> Result<Done<RuntimeConfiguration>, ConfigurationError> {
        observed::command(
            &self.host,
            scope,
            "Publish",
            self.try_publish(scope, environment, entries, break_glass),
        )
        .await
    }

    async fn try_publish(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        entries: ConfigurationEntries,
        break_glass: Option<String>,
    ) -> Result<Done<RuntimeConfiguration>, ConfigurationError> {
        let store = self.host.ports().store.for_tenant(scope);
        for _ in 0..TRIES {
            let id = self.host.new_id(AggregateKind::RuntimeConfiguration);
            if let Some(done) = request::repeated(&self.host, &*store, id).await? {
                return Ok(done);
            }
            let newest = RuntimeConfigurationRepository::new(&*store).newest(environment).await?;
            let command = self
                .publication(scope, &*store, environment, newest.as_ref(), &entries, &break_glass)
                .await?;
            if let Some(newest) = newest
                && let Ok(decision) = newest.aggregate.publish_again(&command)
            {
                request::unchanged(&self.host, &*store).await?;
                return Ok(Done::of(newest, &decision));
            }
            let now = self.host.now();
            let decision =
                decided(|| RuntimeConfiguration::publish(&command, now)).map_err(CommandError::Refused)?;
            let grounds = Grounds::exactly(&command.evidence()).asked(&self.host);
            match commit::<RuntimeConfiguration>(&self.host, &*store, None, &decision, grounds, now).await {
                Ok(Some(published)) => return Ok(Done::of(published, &decision)),
                Ok(None) => return Err(CommandError::Contended),
                Err(error) => match sort(error) {
                    // Someone else published in between: this one is the next after that.
                    Refused::Again | Refused::Claim(_) => {}
                    Refused::Stop(error) => return Err(CommandError::Port(error)),
                },
            }
        }
        Err(CommandError::Contended)
    }

    /// What publishing would do, without doing it.
    ///
    /// # Errors
    /// As [`ConfigurationService::publish`]; the newest version's own content is refused here, since nothing would be published.
    pub async fn preview(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        entries: ConfigurationEntries,
    ) -> Result<PublicationPreview, ConfigurationError> {
        let store = self.host.ports().store.for_tenant(scope);
        let newest = RuntimeConfigurationRepository::new(&*store).newest(environment).await?;
        let command = self.publication(scope, &*store, environment, newest.as_ref(), &entries, &None).await?;
        let decision = decided(|| RuntimeConfiguration::publish(&command, self.host.now()));
        let events = decision.map_err(CommandError::Refused)?.events;
        let published = events.into_iter().find_map(|event| match event {
            ConfigurationEvent::ConfigurationPublished(published) => Some(published),
            _ => None,
        });
        let published = published.ok_or(CommandError::Contended)?;
        let before = newest.map(|newest| newest.aggregate.entries().clone()).unwrap_or_default();
        Ok(PublicationPreview {
            version: published.version,
            checksum: published.checksum,
            changes: ConfigurationDiff::between(&before, &entries),
        })
    }

    /// Takes a version back that nobody ran yet, and that no deployment is bringing. Its number stays used.
    ///
    /// # Errors
    /// It is not there, a deployment that carries it is in flight, or a consumer ran it: then publish another.
    pub async fn withdraw(
        &self,
        scope: &TenantScope,
        configuration: ConfigurationId,
        reason: String,
    ) -> Result<Done<RuntimeConfiguration>, ConfigurationError> {
        let found = self.configuration(scope, configuration).await?;
        if self.deployments.is_carried(scope, found.environment_id(), configuration).await? {
            return Err(CommandError::Refused(ConfigurationRefusal::Lifecycle {
                command: "Withdraw",
                status: found.state().status(),
                remedy: "abort the deployment that brings it, or let it end and publish another version",
            }));
        }
        self.command(scope, configuration, &ConfigurationCommand::Withdraw { reason }).await
    }

    /// One version.
    ///
    /// # Errors
    /// This tenant has none by that identifier.
    pub async fn configuration(
        &self,
        scope: &TenantScope,
        configuration: ConfigurationId,
    ) -> Result<RuntimeConfiguration, ConfigurationError> {
        let store = self.host.ports().store.for_tenant(scope);
        Ok(find(&*store, configuration).await?.aggregate)
    }

    /// One version, and where it stands in the store.
    ///
    /// # Errors
    /// As [`ConfigurationService::configuration`].
    pub async fn stored(
        &self,
        scope: &TenantScope,
        configuration: ConfigurationId,
    ) -> Result<Loaded<RuntimeConfiguration>, ConfigurationError> {
        let store = self.host.ports().store.for_tenant(scope);
        find(&*store, configuration).await
    }

    /// A page of the tenant's versions; [`Query::all`] and its filters say which. The query's kind is set here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn configurations(
        &self,
        scope: &TenantScope,
        query: Query,
    ) -> Result<Page<Loaded<RuntimeConfiguration>>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Repository::<RuntimeConfiguration>::new(&*store).query(query).await
    }

    /// The version of an environment that was published last, in whatever state; `None` before the first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn newest(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Option<RuntimeConfiguration>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let newest = RuntimeConfigurationRepository::new(&*store).newest(environment).await?;
        Ok(newest.map(|newest| newest.aggregate))
    }

    /// What happened to a version after entry `after`, oldest first, at most `limit` entries: who, when and why.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        scope: &TenantScope,
        configuration: ConfigurationId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let key = Repository::<RuntimeConfiguration>::key(configuration.uuid());
        Ok(store.history(&key, after, limit).await?)
    }

    /// What leads from one version to another, of the same environment or of two.
    ///
    /// # Errors
    /// One of them is not there.
    pub async fn diff(
        &self,
        scope: &TenantScope,
        from: ConfigurationId,
        to: ConfigurationId,
    ) -> Result<ConfigurationDiff, ConfigurationError> {
        let store = self.host.ports().store.for_tenant(scope);
        let (from, to) = (find(&*store, from).await?.aggregate, find(&*store, to).await?.aggregate);
        Ok(ConfigurationDiff::between(from.entries(), to.entries()))
    }

    /// What holds for a component under a version, and for a tenant where it works for one, by key.
    ///
    /// # Errors
    /// The version is not there.
    pub async fn effective(
        &self,
        scope: &TenantScope,
        configuration: ConfigurationId,
        module: &ModuleId,
        tenant: Option<TenantId>,
    ) -> Result<BTreeMap<EntryKey, EffectiveValue>, ConfigurationError> {
        let store = self.host.ports().store.for_tenant(scope);
        let found = find(&*store, configuration).await?.aggregate;
        let effective = found.entries().effective(module, tenant).entries.into_iter();
        let owned = effective.map(|(key, entry)| {
            let value = EffectiveValue {
                value: entry.value.clone(),
                scope: entry.scope.clone(),
                shadowed: entry.shadowed.into_iter().cloned().collect(),
            };
            (key.clone(), value)
        });
        Ok(owned.collect())
    }

    /// Who runs which version in an environment: every consumer that a version in force expects, or that was observed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn consumers(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<BTreeMap<Consumer, ConsumerStanding>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let in_force = Versions::new(&*store).in_force(environment).await?;
        let mut standings: BTreeMap<Consumer, ConsumerStanding> = BTreeMap::new();
        for version in &in_force {
            let version = &version.aggregate;
            let Some(consumption) = version.consumption() else { continue };
            for consumer in &consumption.expected {
                let standing = standings.entry(consumer.clone()).or_default();
                standing.expected = standing.expected.max(Some(version.version()));
            }
            for sighting in &consumption.sightings {
                let standing = standings.entry(sighting.consumer.clone()).or_default();
                let is_newer =
                    standing.observed.as_ref().is_none_or(|(_, known)| *known < sighting.observed_at);
                if is_newer {
                    standing.observed = Some((sighting.checksum.clone(), sighting.observed_at));
                }
            }
        }
        for standing in standings.values_mut() {
            let runs = |version: &&Loaded<RuntimeConfiguration>| {
                standing.observed.as_ref().is_some_and(|(seen, _)| seen == version.aggregate.checksum())
            };
            standing.version = in_force.iter().find(runs).map(|version| version.aggregate.version());
        }
        Ok(standings)
    }

    /// The request for the next version after `newest`, with all that it rests on.
    async fn publication(
        &self,
        scope: &TenantScope,
        store: &dyn TenantStore,
        environment: EnvironmentId,
        newest: Option<&Loaded<RuntimeConfiguration>>,
        entries: &ConfigurationEntries,
        break_glass: &Option<String>,
    ) -> Result<PublishConfiguration, ConfigurationError> {
        let refused = |error| not_hosted(environment, error);
        let hosted = self.environments.host_of(scope, environment).await.map_err(refused)?;
        let break_glass = break_glass.clone().map(|reason| BreakGlass { by: scope.actor().clone(), reason });
        let cleared = self.environments.clear(scope, environment, Activity::Configuration, break_glass).await;
        Ok(PublishConfiguration {
            configuration_id: ConfigurationId::from_uuid(
                self.host.new_id(AggregateKind::RuntimeConfiguration),
            ),
            environment: hosted,
            clearance: cleared.map_err(refused)?,
            previous: newest.map(used),
            secrets: bound_secrets(store, entries).await?,
            entries: entries.clone(),
        })
    }

    async fn command(
        &self,
        scope: &TenantScope,
        configuration: ConfigurationId,
        command: &ConfigurationCommand,
    ) -> Result<Done<RuntimeConfiguration>, ConfigurationError> {
        let what = format!("configuration {configuration}");
        let decide = |found: &RuntimeConfiguration, now| found.decide(command, now);
        existing::command(&self.host, scope, command.name(), configuration.uuid(), &what, decide).await
    }
}

fn used(newest: &Loaded<RuntimeConfiguration>) -> UsedVersion {
    newest.aggregate.used_version(newest.revision)
}

/// Proof of every secret that the entries refer to and that is bound; what is not proven is refused for it.
async fn bound_secrets(
    store: &dyn TenantStore,
    entries: &ConfigurationEntries,
) -> Result<Vec<BoundSecret>, LoadError> {
    let mut bindings: Vec<_> = entries.secrets().into_iter().map(|(_, secret)| secret.binding()).collect();
    bindings.sort();
    bindings.dedup();
    let mut proofs = Vec::with_capacity(bindings.len());
    for binding in bindings {
        let found = Repository::<SecretBinding>::new(store).load(binding.uuid()).await?;
        proofs.extend(found.and_then(|found| found.aggregate.prove(found.revision).ok()));
    }
    Ok(proofs)
}

fn not_hosted(environment: EnvironmentId, error: AdmissionError) -> ConfigurationError {
    match error {
        AdmissionError::Refused(refusal) => CommandError::Refused(ConfigurationRefusal::NotHosted(refusal)),
        AdmissionError::NotFound => CommandError::NotFound { what: format!("environment {environment}") },
        AdmissionError::Load(error) => error.into(),
    }
}

async fn find(
    store: &dyn TenantStore,
    configuration: ConfigurationId,
) -> Result<Loaded<RuntimeConfiguration>, ConfigurationError> {
    existing::find(store, configuration.uuid(), &format!("configuration {configuration}")).await
}
