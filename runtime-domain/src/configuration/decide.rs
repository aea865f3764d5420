//! What a command comes to.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use crate::aggregate::Decision;
use crate::calendar::Activity;
use crate::configuration::{
    Checksum, ConfigScope, ConfigVersion, ConfigurationCommand, ConfigurationEvent, ConfigurationRefusal,
    ConfigurationState, Consumer, Consumption, PublishConfiguration, PublishedConfiguration,
    RuntimeConfiguration, Sighting, VersionPublished,
};
use crate::environment::IsolationModel;
use crate::reason;
use crate::time::Timestamp;

type Decided = Result<Decision<ConfigurationEvent>, ConfigurationRefusal>;

impl RuntimeConfiguration {
    /// Decides on the next version of an environment's configuration.
    ///
    /// # Errors
    /// X-1 where evidence or an entry is about another tenant or environment; CALENDAR where the clearance is for something else; CFG-2
    /// where a reference is to a secret that is not shown; X-3 where the newest version has this content; CFG-1 where numbers have run out.
    pub fn publish(command: &PublishConfiguration, _now: Timestamp) -> Decided {
        let (tenant, environment) = (command.environment.tenant(), command.environment.environment());
        check_evidence(command)?;
        let checksum = command.entries.checksum();
        let version = match &command.previous {
            None => ConfigVersion::FIRST,
            Some(previous) if previous.in_force() == Some(&checksum) => {
                return Err(ConfigurationRefusal::SameContent { version: previous.version() });
            }
            Some(previous) => previous
                .version()
                .next()
                .ok_or(ConfigurationRefusal::NoNumberLeft { newest: previous.version() })?,
        };
        let explanation = format!("{version}: {} entries", command.entries.as_slice().len());
        let published = VersionPublished {
            configuration_id: command.configuration_id,
            tenant_id: tenant,
            environment_id: environment,
            version,
            checksum,
            entries: command.entries.clone(),
            break_glass: command.clearance.break_glass().cloned(),
        };
        let events = vec![ConfigurationEvent::ConfigurationPublished(Box::new(published))];
        Ok(Decision::of(events, explanation))
    }

    /// Answers a request for the content of this version when it comes again, under whatever new identifier.
    ///
    /// # Errors
    /// CFG-3 where this version differs from what is asked for; LIFECYCLE where it is not in force any more.
    pub fn publish_again(&self, command: &PublishConfiguration) -> Decided {
        let asked = (command.environment.tenant(), command.environment.environment());
        if asked != (self.tenant_id, self.environment_id) || command.entries != self.entries {
            return Err(ConfigurationRefusal::Different { version: self.version });
        }
        match self.consumption() {
            Some(_) => Ok(Decision::unchanged(format!("{} has exactly this content", self.version))),
            None => {
                Err(self
                    .lifecycle("PublishConfiguration", "publish it as a new version, with a new identifier"))
            }
        }
    }

    /// Decides on a command. Nothing changes until the events are committed.
    ///
    /// # Errors
    /// As the table in [the module](crate::configuration) says.
    pub fn decide(&self, command: &ConfigurationCommand, now: Timestamp) -> Decided {
        match command {
            ConfigurationCommand::ExpectConsumers { consumers } => self.expect(consumers),
            ConfigurationCommand::RecordConsumption { consumer, checksum, observed_at } => {
                self.record(consumer, checksum, (*observed_at).min(now))
            }
            ConfigurationCommand::Supersede { newer } => self.supersede(newer),
            ConfigurationCommand::Withdraw { reason } => self.withdraw(reason),
        }
    }

    fn expect(&self, consumers: &BTreeSet<Consumer>) -> Decided {
        let Some(consumption) = self.consumption() else {
            return Err(self.lifecycle("ExpectConsumers", "expect them of the newest version"));
        };
        if consumers.len() > Consumption::MOST {
            return Err(ConfigurationRefusal::TooManyConsumers);
        }
        if consumption.expected == *consumers {
            return Ok(Decision::unchanged("these consumers are expected"));
        }
        // Whoever is expected no longer is forgotten; whoever was seen before being expected stays known.
        let missing = consumers.iter().filter(|consumer| !consumption.runs(consumer, &self.checksum));
        let event = ConfigurationEvent::ConsumersExpected { consumers: consumers.clone() };
        Ok(self.follow(event, consumers, missing, "other consumers should run it"))
    }

    fn record(&self, consumer: &Consumer, checksum: &Checksum, observed_at: Timestamp) -> Decided {
        let Some(consumption) = self.consumption() else {
            return Ok(Decision::unchanged("who runs it is not looked for any more"));
        };
        match consumption.sighting(consumer) {
            Some(known) if observed_at < known.observed_at => {
                return Ok(Decision::unchanged("a later observation of this consumer is known"));
            }
            Some(known) if known.checksum == *checksum => {
                return Ok(Decision::unchanged("the consumer was observed with this before"));
            }
            None if consumption.sightings.len() >= Consumption::MOST => {
                return Err(ConfigurationRefusal::TooManyConsumers);
            }
            _ => {}
        }
        let sighting = Sighting { consumer: consumer.clone(), checksum: checksum.clone(), observed_at };
        let is_own = *checksum == self.checksum;
        let explanation = format!(
            "{consumer} was observed running {} configuration",
            if is_own { "exactly this" } else { "another" }
        );
        let missing = consumption.expected.iter().filter(|expected| match *expected == consumer {
            true => !is_own,
            false => !consumption.runs(expected, &self.checksum),
        });
        let event = ConfigurationEvent::ConsumptionRecorded { sighting };
        Ok(self.follow(event, &consumption.expected, missing, explanation))
    }

    /// What follows where these are expected and, of them, these are missing after the event: in sync, out of it, or neither.
    fn follow<'c>(
        &self,
        event: ConfigurationEvent,
        expected: &BTreeSet<Consumer>,
        missing: impl Iterator<Item = &'c Consumer>,
        explanation: impl Into<String>,
    ) -> Decision<ConfigurationEvent> {
        let mut events = vec![event];
        let mut missing = missing.peekable();
        let was_synced = matches!(self.state, ConfigurationState::Synced(_));
        let is_synced = !expected.is_empty() && missing.peek().is_none();
        if is_synced && !was_synced {
            events.push(ConfigurationEvent::ConfigurationSynced {
                configuration_id: self.configuration_id,
                environment_id: self.environment_id,
                version: self.version,
                checksum: self.checksum.clone(),
                consumers: expected.clone(),
            });
        } else if was_synced && !is_synced {
            let consumers = missing.cloned().collect();
            events.push(ConfigurationEvent::ConfigurationFellOutOfSync { consumers });
        }
        Decision::of(events, explanation)
    }

    fn supersede(&self, newer: &PublishedConfiguration) -> Decided {
        if (newer.tenant(), newer.environment()) != (self.tenant_id, self.environment_id) {
            return Err(ConfigurationRefusal::ForeignEvidence);
        }
        if newer.version() <= self.version {
            return Err(ConfigurationRefusal::NotNewer { by: newer.version(), version: self.version });
        }
        match &self.state {
            ConfigurationState::Published(_) | ConfigurationState::Synced(_) => Ok(Decision::of(
                vec![ConfigurationEvent::ConfigurationSuperseded {
                    by: newer.configuration(),
                    by_version: newer.version(),
                }],
                format!("{} takes over", newer.version()),
            )),
            ConfigurationState::Superseded(_) => Ok(Decision::unchanged("a newer version took over before")),
            ConfigurationState::Withdrawn(_) => {
                Err(self.lifecycle("Supersede", "leave it: it is not in force any more"))
            }
        }
    }

    fn withdraw(&self, why: &str) -> Decided {
        match &self.state {
            ConfigurationState::Published(state) if !state.consumption.was_consumed => {
                let reason = reason::stated(why).ok_or(ConfigurationRefusal::BadReason)?;
                Ok(Decision::of(
                    vec![ConfigurationEvent::ConfigurationWithdrawn { reason }],
                    "nobody ran it, and it is taken back",
                ))
            }
            ConfigurationState::Withdrawn(_) => Ok(Decision::unchanged("it was taken back before")),
            ConfigurationState::Published(_)
            | ConfigurationState::Synced(_)
            | ConfigurationState::Superseded(_) => {
                Err(self
                    .lifecycle("Withdraw", "publish another version that takes over: consumers ran this one"))
            }
        }
    }

    fn lifecycle(&self, command: &'static str, remedy: &'static str) -> ConfigurationRefusal {
        ConfigurationRefusal::Lifecycle { command, status: self.state.status(), remedy }
    }
}

fn check_evidence(command: &PublishConfiguration) -> Result<(), ConfigurationRefusal> {
    let place = (command.environment.tenant(), command.environment.environment());
    let clearance = &command.clearance;
    let previous_is_foreign = command
        .previous
        .as_ref()
        .is_some_and(|previous| (previous.tenant(), previous.environment()) != place);
    let secret_is_foreign =
        command.secrets.iter().any(|secret| (secret.tenant(), secret.environment()) != place);
    if (clearance.tenant(), clearance.environment()) != place || previous_is_foreign || secret_is_foreign {
        return Err(ConfigurationRefusal::ForeignEvidence);
    }
    if clearance.activity() != Activity::Configuration {
        return Err(ConfigurationRefusal::OtherActivity { activity: clearance.activity() });
    }
    // A silo has one tenant; a pool's or shared environment's entries may be for each that has a place there.
    let is_foreign = |scope: &ConfigScope| matches!(scope, ConfigScope::Tenant(of) if *of != place.0);
    if command.environment.isolation_model() == IsolationModel::Silo
        && command.entries.scopes().any(|scope| is_foreign(scope.scope))
    {
        return Err(ConfigurationRefusal::ForeignTenant);
    }
    for (scope, reference) in command.entries.secrets() {
        let is_shown = command.secrets.iter().any(|secret| {
            let reads_it = match scope {
                ConfigScope::Service(module) => module == secret.module(),
                ConfigScope::Environment | ConfigScope::Tenant(_) => true,
            };
            secret.binding() == reference.binding() && reads_it
        });
        if !is_shown {
            let (scope, binding) = (scope.clone(), reference.binding());
            return Err(ConfigurationRefusal::UnprovenSecret { scope, binding });
        }
    }
    Ok(())
}
