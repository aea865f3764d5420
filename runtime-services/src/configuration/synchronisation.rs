//! Bringing a version to what runs, and changing nothing else.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::calendar::{Activity, BreakGlass};
use runtime_domain::component::ConfigurationReload;
use runtime_domain::configuration::{
    ConfigurationCommand, ConfigurationRefusal, Consumer, DeliveredConfiguration, RuntimeConfiguration,
};
use runtime_domain::deployment::{DeployedVersion, DeploymentRefusal, Purpose, Release, RuntimeDeployment};
use runtime_domain::id::{ConfigurationId, DeploymentId, EnvironmentId};
use runtime_domain::refusal::{Refusal, Rule};
use runtime_domain::rollout::DeploymentStrategy;
use runtime_domain::scope::TenantScope;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{LoadError, Loaded, TenantStore};

use super::following::{Running, consumer};
use super::{ConfigurationService, Versions, not_hosted};
use crate::deployments::Exceptions;
use crate::error::CommandError;
use crate::existing;
use crate::unit::Done;

/// Asks for a version to be brought to what runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synchronise {
    /// Which version.
    pub configuration: ConfigurationId,
    /// How the components that are rolled out are; as their last rollout was, where it is not said.
    pub strategy: Option<DeploymentStrategy>,
    /// Whether components that declare it take the version in place. Otherwise they are rolled out, too, through their gates.
    pub in_place: bool,
    /// What the caller takes on themselves.
    pub exceptions: Exceptions,
}

impl Synchronise {
    /// A version, as components declare that they take it.
    pub fn to(configuration: ConfigurationId) -> Self {
        Self { configuration, strategy: None, in_place: true, exceptions: Exceptions::default() }
    }
}

/// What was begun to bring a version to what runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Synchronisation {
    /// The deployments that bring it: of the same images, through the same gates, one for each release whose components it concerns.
    pub deployments: Vec<Done<RuntimeDeployment>>,
    /// Who takes it in place.
    pub in_place: BTreeSet<Consumer>,
    /// Components for which it changes nothing; they are left alone.
    pub unconcerned: BTreeSet<ModuleId>,
}

/// What goes wrong with bringing a version to what runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SynchronisationRefusal {
    /// The version cannot be brought.
    #[error(transparent)]
    Configuration(#[from] ConfigurationRefusal),
    /// A deployment of it is refused.
    #[error(transparent)]
    Deployment(#[from] DeploymentRefusal),
}

impl Refusal for SynchronisationRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::Configuration(refusal) => refusal.rule(),
            Self::Deployment(refusal) => refusal.rule(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Configuration(refusal) => refusal.remedy(),
            Self::Deployment(refusal) => refusal.remedy(),
        }
    }
}

/// Why a version could not be brought to what runs. What was begun before goes on; asking again goes on with the rest.
pub type SynchronisationError = CommandError<SynchronisationRefusal>;

fn refused<R: Refusal + Into<SynchronisationRefusal>>(error: CommandError<R>) -> SynchronisationError {
    match error {
        CommandError::Refused(refusal) => CommandError::Refused(refusal.into()),
        CommandError::NotFound { what } => CommandError::NotFound { what },
        CommandError::Contended => CommandError::Contended,
        CommandError::Changed { found } => CommandError::Changed { found },
        CommandError::KeyReused => CommandError::KeyReused,
        CommandError::Load(error) => CommandError::Load(error),
        CommandError::Port(error) => CommandError::Port(error),
    }
}

impl ConfigurationService {
    /// Brings a version to every component that runs and that it changes something for. Those that declare a reload by signal take it in place;
    /// the others are rolled out with their images, secrets and gates as they are. Nothing else is touched. Asking again changes nothing
    /// where it was asked before.
    ///
    /// # Errors
    /// The version is not there or not in force, the calendar is closed, or a deployment is refused, such as where one is in flight (DEP-3).
    pub async fn synchronise(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        wanted: Synchronise,
    ) -> Result<Synchronisation, SynchronisationError> {
        let store = self.host.ports().store.for_tenant(scope);
        let versions = Versions::new(&*store);
        let found = versions.of(environment, wanted.configuration).await?;
        let what = format!("configuration {}", wanted.configuration);
        let target = found.ok_or(CommandError::NotFound { what })?;
        let in_force_now = target.aggregate.prove(target.revision);
        in_force_now.map(drop).map_err(|refusal| CommandError::Refused(refusal.into()))?;
        let in_force = versions.in_force(environment).await?;
        let running = Running::of(&self.host, scope.tenant(), environment).await?;
        let serving = self.serving(scope, environment, &running).await.map_err(refused)?;

        let mut begun = Synchronisation::default();
        let mut rolled_out: BTreeMap<DeploymentId, BTreeSet<ModuleId>> = BTreeMap::new();
        for serving in &serving {
            let module = &serving.component().module;
            let told = if wanted.in_place { in_force.as_slice() } else { &[] };
            match concern(scope, versions, &target.aggregate, told, serving).await? {
                Concern::None => {
                    begun.unconcerned.insert(module.clone());
                }
                Concern::InPlace(consumer) if wanted.in_place => {
                    begun.in_place.insert(consumer);
                }
                Concern::InPlace(_) | Concern::Rollout => {
                    rolled_out.entry(serving.deployment()).or_default().insert(module.clone());
                }
            }
        }
        self.tell(scope, &*store, environment, &target, &begun.in_place, &wanted.exceptions).await?;
        for (deployment, modules) in rolled_out {
            let release = self.reconfigured(scope, deployment, &modules, &wanted).await?;
            let release = self.deployments.scaled_as_now(scope, environment, release).await?;
            let exceptions = wanted.exceptions.clone();
            let requested = self.deployments.request_with(scope, environment, release, exceptions).await;
            begun.deployments.push(requested.map_err(refused)?);
        }
        Ok(begun)
    }

    /// Makes it durable who takes the version in place; the reconciler sees to it.
    async fn tell(
        &self,
        scope: &TenantScope,
        store: &dyn TenantStore,
        environment: EnvironmentId,
        target: &Loaded<RuntimeConfiguration>,
        told: &BTreeSet<Consumer>,
        exceptions: &Exceptions,
    ) -> Result<(), SynchronisationError> {
        if told.is_empty() {
            return Ok(());
        }
        let glass = exceptions.break_glass.clone();
        let glass = glass.map(|reason| BreakGlass { by: scope.actor().clone(), reason });
        let cleared = self.environments.clear(scope, environment, Activity::Configuration, glass).await;
        let cleared = cleared.map_err(|error| refused(not_hosted(environment, error)))?;
        let id = target.aggregate.id();
        let decide = |found: &RuntimeConfiguration, now| {
            let known = found.consumption().map(|consumption| consumption.expected.clone());
            let consumers = known.unwrap_or_default().union(told).cloned().collect();
            found.decide(&ConfigurationCommand::ExpectConsumers { consumers }, now)
        };
        let (what, facts) = (format!("configuration {id}"), [cleared.evidence()]);
        let done = existing::command_on(
            &self.host.aside(),
            store.scope(),
            "ExpectConsumers",
            id.uuid(),
            &what,
            &facts,
            decide,
        )
        .await;
        done.map(drop).map_err(refused)
    }

    /// Some components of a release as they serve, with the version: the same images, secrets, scaling and gates.
    async fn reconfigured(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        modules: &BTreeSet<ModuleId>,
        wanted: &Synchronise,
    ) -> Result<Release, SynchronisationError> {
        let serving = self.deployments.deployment(scope, deployment).await.map_err(refused)?;
        // Going back is fast and asks for nothing but readiness: what it went back to says how it is rolled out and judged.
        let mut judged = serving.clone();
        while let Purpose::Rollback { to } = judged.purpose() {
            judged = self.deployments.deployment(scope, to).await.map_err(refused)?;
        }
        let (part, judged) = (serving.release().part(modules), judged.release().part(modules));
        Ok(Release {
            reference: part.reference,
            components: part.components,
            strategy: wanted.strategy.clone().unwrap_or(judged.strategy),
            gates: judged.gates,
            limits: judged.limits,
            configuration_id: Some(wanted.configuration),
        })
    }
}

/// What a version changes for a component.
enum Concern {
    None,
    InPlace(Consumer),
    Rollout,
}

/// What a version changes for a component, which may have been told of one of these in place before.
async fn concern(
    scope: &TenantScope,
    versions: Versions<'_>,
    target: &RuntimeConfiguration,
    told: &[Loaded<RuntimeConfiguration>],
    serving: &DeployedVersion,
) -> Result<Concern, LoadError> {
    let component = serving.component();
    let deliver = |version: &RuntimeConfiguration| version.delivered(&component.module, Some(scope.tenant()));
    let consumer = consumer(serving.revision());
    let takes_in_place = component.configuration.reload == ConfigurationReload::Signal;
    let was_told = |version: &&Loaded<RuntimeConfiguration>| {
        let expected = version.aggregate.consumption().map(|consumption| &consumption.expected);
        takes_in_place
            && consumer.as_ref().zip(expected).is_some_and(|(who, expected)| expected.contains(who))
    };
    // What it was told of last stands above what its release brought.
    let has: Option<(bool, DeliveredConfiguration)> = match told.iter().find(was_told) {
        Some(told) => Some((told.aggregate.version() >= target.version(), deliver(&told.aggregate))),
        None => match &component.tuple.configuration {
            None => None,
            Some(named) => {
                let found = versions.of(serving.environment(), named.configuration).await?;
                found.map(|found| (found.aggregate.id() == target.id(), deliver(&found.aggregate)))
            }
        },
    };
    let gets = deliver(target);
    Ok(match (has, consumer) {
        (None, _) if gets.values().is_empty() => Concern::None,
        (Some((has_it, _)), _) if has_it => Concern::None,
        (Some((_, has)), _) if has.says_the_same(&gets) => Concern::None,
        // Going back to an older version is not done in place: whoever takes versions in place takes later ones only.
        (Some((_, has)), Some(consumer)) if takes_in_place && has.version() < gets.version() => {
            Concern::InPlace(consumer)
        }
        _ => Concern::Rollout,
    })
}
