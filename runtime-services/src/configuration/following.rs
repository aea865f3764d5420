//! Who should run a version and who does, by what deployments brought and surfaces show.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use runtime_domain::component::{ConfigurationReload, ConfigurationVersionRef, RevisionId};
use runtime_domain::configuration::{ConfigurationCommand, Consumer, ConsumerName, RuntimeConfiguration};
use runtime_domain::deployment::DeployedVersion;
use runtime_domain::id::{AggregateKind, EnvironmentId, TenantId};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{ComponentObservation, InstanceState, RevisionObservation};
use runtime_domain::value::ModuleId;
use runtime_ports::PortResult;
use runtime_ports::store::Loaded;
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};

use super::{ConfigurationError, ConfigurationService, Versions};
use crate::events::{not_handled, opened, scope_of};
use crate::host::Host;

/// What runs in an environment, as its surfaces show it now.
#[derive(Debug)]
pub(crate) struct Running {
    components: BTreeMap<ModuleId, Vec<ComponentObservation>>,
}

impl Running {
    /// Looks at every surface of the host.
    ///
    /// # Errors
    /// One could not be looked at: then nothing is known.
    pub(crate) async fn of(host: &Host, tenant: TenantId, environment: EnvironmentId) -> PortResult<Self> {
        let mut components: BTreeMap<ModuleId, Vec<ComponentObservation>> = BTreeMap::new();
        for surface in host.ports().surfaces.values() {
            for seen in host.bounded("surface.list", surface.list(tenant, environment)).await? {
                components.entry(seen.key.module.clone()).or_default().push(seen);
            }
        }
        Ok(Self { components })
    }

    /// Whether nothing runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.components.is_empty()
    }

    fn modules(&self) -> impl Iterator<Item = &ModuleId> {
        self.components.keys()
    }

    fn revision(&self, revision: &RevisionId) -> Option<&RevisionObservation> {
        let of_module = self.components.get(&revision.module)?;
        of_module.iter().find_map(|component| component.revisions.get(revision))
    }

    /// Every revision that is seen to run with a version, as one that may be `own`, with that version and when that was seen.
    pub(crate) fn sightings(
        &self,
        own: &ConfigurationVersionRef,
    ) -> Vec<(Consumer, ConfigurationVersionRef, runtime_domain::time::Timestamp)> {
        let components = self.components.values().flatten();
        let revisions = components
            .flat_map(|seen| seen.revisions.iter().map(|(id, shown)| (id, shown, seen.observed_at)));
        revisions
            .filter_map(|(id, shown, at)| Some((consumer(id)?, seen_with(shown, own)?.clone(), at)))
            .collect()
    }
}

/// What all instances of a revision are seen to run with. `None` where that is not known of one that is not on its way out, or none is
/// ready. Where they differ, it is something else than `own`.
fn seen_with<'o>(
    revision: &'o RevisionObservation,
    own: &ConfigurationVersionRef,
) -> Option<&'o ConfigurationVersionRef> {
    let mut first = None;
    for instance in revision.instances.iter().filter(|it| it.state != InstanceState::Draining) {
        if instance.state != InstanceState::Ready {
            return None;
        }
        let seen = instance.configuration.as_ref()?;
        if first.is_none() || seen != own {
            first = Some(seen);
        }
    }
    first
}

/// A revision as a consumer: its deployment names it within its module. `None` for a name that cannot be one, which no deployment has.
pub(crate) fn consumer(revision: &RevisionId) -> Option<Consumer> {
    let name = ConsumerName::new(&revision.deployment.to_string()).ok()?;
    Some(Consumer { module: revision.module.clone(), name })
}

impl ConfigurationService {
    /// What serves of each component that runs, by the deployments.
    pub(crate) async fn serving(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        running: &Running,
    ) -> Result<Vec<DeployedVersion>, ConfigurationError> {
        let mut serving = Vec::new();
        for module in running.modules() {
            serving.extend(self.deployments.serving_version(scope, environment, module).await?);
        }
        Ok(serving)
    }

    /// Who should run a version: what serves with it by its release, and what was told to take it in place and has nothing newer. What
    /// has no replicas consumes nothing.
    pub(crate) fn expected(
        version: &RuntimeConfiguration,
        in_force: &[Loaded<RuntimeConfiguration>],
        serving: &[DeployedVersion],
        running: &Running,
    ) -> BTreeSet<Consumer> {
        let is_idle = |revision| running.revision(revision).is_some_and(|shown| shown.wanted == 0);
        let is_told = |consumer: &Consumer| {
            version.consumption().is_some_and(|consumption| consumption.expected.contains(consumer))
        };
        let is_newer = |other: &RuntimeConfiguration| other.version() > version.version();
        let has_newer = |named: Option<&ConfigurationVersionRef>, consumer: &Consumer| {
            in_force.iter().map(|other| &other.aggregate).filter(|other| is_newer(other)).any(|other| {
                named.is_some_and(|named| named.configuration == other.id())
                    || other.consumption().is_some_and(|consumption| consumption.expected.contains(consumer))
            })
        };
        let expected = serving.iter().filter(|serving| !is_idle(serving.revision())).filter_map(|serving| {
            let (component, consumer) = (serving.component(), consumer(serving.revision())?);
            let named = component.tuple.configuration.as_ref();
            let takes_in_place = component.configuration.reload == ConfigurationReload::Signal;
            let is_of_release = named.is_some_and(|named| named.configuration == version.id());
            let is_meant = is_of_release || takes_in_place && is_told(&consumer);
            // Once something newer is to be taken in place, what the release brought is the past.
            let is_past = takes_in_place && has_newer(named, &consumer);
            (is_meant && !is_past).then_some(consumer)
        });
        expected.collect()
    }

    /// Brings who should run each version in force up to date with what the deployments have brought.
    async fn follow(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<(), ConfigurationError> {
        let store = self.host.ports().store.for_tenant(scope);
        let in_force = Versions::new(&*store).in_force(environment).await?;
        if in_force.is_empty() {
            return Ok(());
        }
        let running = Running::of(&self.host, scope.tenant(), environment).await?;
        let serving = self.serving(scope, environment, &running).await?;
        for version in &in_force {
            let consumers = Self::expected(&version.aggregate, &in_force, &serving, &running);
            let command = ConfigurationCommand::ExpectConsumers { consumers };
            self.command(scope, version.aggregate.id(), &command).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Subscriber for ConfigurationService {
    fn name(&self) -> &str {
        "configuration"
    }

    async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled> {
        let event = delivery.event;
        if event.aggregate_kind != AggregateKind::RuntimeDeployment {
            return Ok(());
        }
        let envelope = opened(event)?;
        if !matches!(envelope.event_type.name(), "RuntimeDeploymentCompleted" | "RuntimeDeploymentRolledBack")
        {
            return Ok(());
        }
        let scope = scope_of(&self.host, "configuration", &envelope);
        match self.follow(&scope, envelope.environment).await {
            // It only makes haste: the reconciler looks by itself. Superseded meanwhile, a version expects nobody any more.
            Err(ConfigurationError::Refused(_) | ConfigurationError::Port(_)) => Ok(()),
            followed => followed.map_err(not_handled),
        }
    }
}
