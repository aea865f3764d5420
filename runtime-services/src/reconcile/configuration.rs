//! Brings versions to those that take them in place, and records who is seen to run which.

use async_trait::async_trait;
use runtime_domain::configuration::{
    ConfigurationCommand, ConfigurationState, Consumer, DeliveredConfiguration, RuntimeConfiguration,
};
use runtime_domain::deployment::DeployedVersion;
use runtime_domain::id::AggregateKind;
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{ComponentKey, EffectId};
use runtime_ports::store::{CommitError, Lease, LeaseTopic, Loaded, Repository, TenantStore};
use runtime_ports::surface::EffectContext;

use crate::configuration::{ConfigurationError, ConfigurationService, Running, Versions, consumer};
use crate::existing;
use crate::host::Host;
use crate::observed::decided;
use crate::unit::{Grounds, commit};
use crate::worker::{PassError, Passed, Task};

/// Looks after versions in force.
pub(crate) struct ConfigurationReconciler {
    host: Host,
    configurations: ConfigurationService,
}

impl ConfigurationReconciler {
    pub(crate) fn new(host: Host, configurations: ConfigurationService) -> Self {
        Self { host, configurations }
    }
}

#[async_trait]
impl Task for ConfigurationReconciler {
    fn name(&self) -> &'static str {
        "configuration"
    }

    fn topic(&self) -> LeaseTopic {
        LeaseTopic::Work
    }

    fn kinds(&self) -> &'static [AggregateKind] {
        &[AggregateKind::RuntimeConfiguration]
    }

    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError> {
        let scope = super::scope_of(&self.host, "configuration", lease).await?;
        let store = self.host.ports().store.for_tenant(&scope);
        let loaded = Repository::<RuntimeConfiguration>::new(&*store).load(lease.key.id).await;
        let loaded = loaded.map_err(PassError::failed)?;
        let Some(loaded) = loaded.filter(|loaded| loaded.aggregate.consumption().is_some()) else {
            return Ok(Passed::AsStored);
        };
        let environment = loaded.aggregate.environment_id();
        let running = match Running::of(&self.host, scope.tenant(), environment).await {
            Ok(running) => running,
            Err(error) => {
                // What cannot be looked at says nothing, neither for nor against a version.
                tracing::warn!(%environment, %error, "what runs could not be looked at");
                let at = self.host.options().inventory_poll.after(self.host.now());
                return Ok(Passed::Until { seen: loaded.revision, at });
            }
        };
        let serving = self.configurations.serving(&scope, environment, &running).await;
        let serving = serving.map_err(PassError::failed)?;
        let mut pass = Pass { host: &self.host, store: &*store, scope: &scope, lease, loaded };
        pass.expect(&serving, &running).await?;
        pass.deliver(&serving, &running).await;
        pass.observe(&running).await?;
        pass.supersede().await?;
        let options = self.host.options();
        let is_waited_for = matches!(pass.loaded.aggregate.state(), ConfigurationState::Published(_))
            && pass.consumers().next().is_some();
        let poll = if is_waited_for {
            options.inventory_poll
        } else if running.is_empty() {
            // Where nothing runs, nobody consumes; what is rolled out wakes it.
            options.configuration_poll.times(12)
        } else {
            options.configuration_poll
        };
        Ok(Passed::Until { seen: pass.loaded.revision, at: poll.after(self.host.now()) })
    }
}

/// One pass over a version.
struct Pass<'p> {
    host: &'p Host,
    store: &'p dyn TenantStore,
    scope: &'p TenantScope,
    lease: &'p Lease,
    loaded: Loaded<RuntimeConfiguration>,
}

impl Pass<'_> {
    fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.loaded.aggregate.consumption().into_iter().flat_map(|consumption| &consumption.expected)
    }

    /// Says who should run it.
    async fn expect(&mut self, serving: &[DeployedVersion], running: &Running) -> Result<(), PassError> {
        let in_force = Versions::new(self.store).in_force(self.loaded.aggregate.environment_id()).await;
        let in_force = in_force.map_err(PassError::failed)?;
        let consumers = ConfigurationService::expected(&self.loaded.aggregate, &in_force, serving, running);
        self.record(&ConfigurationCommand::ExpectConsumers { consumers }).await
    }

    /// Gives it to those that should take it in place and are not seen to run it. One that fails does not keep the others from it.
    async fn deliver(&self, serving: &[DeployedVersion], running: &Running) {
        let version = &self.loaded.aggregate;
        let own = version.version_ref();
        let in_sync: Vec<Consumer> = running
            .sightings(&own)
            .into_iter()
            .filter(|(_, seen, _)| *seen == own)
            .map(|(consumer, _, _)| consumer)
            .collect();
        for serving in serving {
            let named = serving.component().tuple.configuration.as_ref();
            let is_brought = named.is_some_and(|named| named.configuration == version.id());
            let is_due = consumer(serving.revision()).is_some_and(|consumer| {
                self.consumers().any(|expected| *expected == consumer) && !in_sync.contains(&consumer)
            });
            if is_due && !is_brought {
                let module = &serving.component().module;
                let delivered = version.delivered(module, Some(self.scope.tenant()));
                self.give(serving, &delivered).await;
            }
        }
    }

    async fn give(&self, serving: &DeployedVersion, delivered: &DeliveredConfiguration) {
        let component = serving.component();
        let Some(surface) = self.host.surface(component.surface) else { return };
        let key = ComponentKey {
            tenant: serving.tenant(),
            environment: serving.environment(),
            module: component.module.clone(),
        };
        let effect = EffectId::of(delivered.configuration(), 1);
        let context = EffectContext { effect, fence: self.lease.token };
        let call = surface.deliver(context, &key, serving.revision(), delivered);
        // Whatever became of it, only what is seen counts; what is not seen is done again.
        if let Err(error) = self.host.effect("surface.deliver", effect, call).await {
            tracing::warn!(%key, version = %delivered.version(), %error, "a configuration was not accepted: trying again");
        }
    }

    /// Records who is seen to run what.
    async fn observe(&mut self, running: &Running) -> Result<(), PassError> {
        let own = self.loaded.aggregate.version_ref();
        for (consumer, seen, observed_at) in running.sightings(&own) {
            let concerns_it = seen == own || self.consumers().any(|expected| *expected == consumer);
            if concerns_it {
                let checksum = seen.checksum;
                self.record(&ConfigurationCommand::RecordConsumption { consumer, checksum, observed_at })
                    .await?;
            }
        }
        Ok(())
    }

    /// What everybody runs takes over from what is older.
    async fn supersede(&self) -> Result<(), PassError> {
        let newer = &self.loaded;
        if !matches!(newer.aggregate.state(), ConfigurationState::Synced(_)) {
            return Ok(());
        }
        let in_force = Versions::new(self.store).in_force(newer.aggregate.environment_id()).await;
        for old in in_force.map_err(PassError::failed)? {
            let old = old.aggregate;
            if old.version() >= newer.aggregate.version() {
                continue;
            }
            let Ok(proof) = newer.aggregate.prove(newer.revision) else { return Ok(()) };
            let facts = [proof.evidence()];
            let command = ConfigurationCommand::Supersede { newer: proof };
            let what = format!("configuration {}", old.id());
            let decide = |found: &RuntimeConfiguration, now| found.decide(&command, now);
            let done = existing::command_on(
                self.host,
                self.scope,
                command.name(),
                old.id().uuid(),
                &what,
                &facts,
                decide,
            )
            .await;
            match done {
                // Somebody changed one of the two: the next pass looks again.
                Ok(_) | Err(ConfigurationError::Contended | ConfigurationError::Refused(_)) => {}
                Err(error) => return Err(PassError::failed(error)),
            }
        }
        Ok(())
    }

    /// Decides and commits under the lease. Where someone else has changed the version, it is decided against the newer state.
    async fn record(&mut self, command: &ConfigurationCommand) -> Result<(), PassError> {
        for _ in 0..existing::TRIES {
            let now = self.host.now();
            let decision = match decided(|| self.loaded.aggregate.decide(command, now)) {
                Ok(decision) if decision.is_unchanged() => return Ok(()),
                Ok(decision) => decision,
                // It has just been superseded or withdrawn: nobody looks for its consumers any more.
                Err(_) if self.loaded.aggregate.consumption().is_none() => return Ok(()),
                Err(refusal) => return Err(PassError::failed(refusal)),
            };
            let grounds = Grounds { lease: Some(self.lease), ..Grounds::default() };
            match commit(self.host, self.store, Some(self.loaded.clone()), &decision, grounds, now).await {
                Ok(after) => {
                    self.loaded = after.unwrap_or_else(|| self.loaded.clone());
                    return Ok(());
                }
                Err(CommitError::Conflict { .. }) => {
                    let versions = Repository::<RuntimeConfiguration>::new(self.store);
                    let found = versions.load(self.lease.key.id).await.map_err(PassError::failed)?;
                    if let Some(found) = found {
                        self.loaded = found;
                    }
                }
                Err(CommitError::LeaseLost { .. }) => return Err(PassError::LeaseLost),
                Err(error) => return Err(PassError::failed(error)),
            }
        }
        Ok(())
    }
}
