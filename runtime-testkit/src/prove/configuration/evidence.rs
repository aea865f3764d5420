//! What is shown for a configuration: its environment, its calendar's clearance, the versions before it, and bound secrets.

use std::num::NonZeroU32;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::calendar::Activity;
use runtime_domain::configuration::{
    ConfigurationCommand, ConfigurationEntries, ConfigurationEvent, PublishConfiguration,
    RuntimeConfiguration, UsedVersion,
};
use runtime_domain::environment::IsolationModel;
use runtime_domain::secrets::{
    BindSecret, BoundSecret, RotationSchedule, SecretBinding, SecretReference, SecretVersion,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, Revision};

use crate::plan::configuration::{Before, Ended};
use crate::plan::place::Ground;
use crate::prove::environment::numbered;
use crate::prove::place::Place;
use crate::prove::tenancy::evidence::after;

impl Place {
    /// Where a configuration is.
    pub(super) fn at(configuration: &RuntimeConfiguration) -> Self {
        Self {
            tenant: configuration.tenant_id().uuid().as_u128(),
            environment: configuration.environment_id().uuid().as_u128(),
            isolation: IsolationModel::Pool,
        }
    }

    /// Asks for a version, with everything shown as it should be.
    pub(super) fn publish(
        self,
        number: u128,
        previous: Option<UsedVersion>,
        entries: ConfigurationEntries,
        now: Timestamp,
    ) -> Option<PublishConfiguration> {
        Some(PublishConfiguration {
            configuration_id: numbered(number),
            environment: self.environment(Ground::Open, now)?.host(Revision::FIRST).ok()?,
            clearance: self
                .clearance::<ConfigurationEvent>(Ground::Open, None, Activity::Configuration, now)
                .ok()?,
            previous,
            secrets: (0..2).map(|secret| self.secret(secret, now)).collect::<Option<_>>()?,
            entries,
        })
    }

    /// The secret of `cart` (0), or of `mail`.
    pub(super) fn secret(self, number: u8, now: Timestamp) -> Option<BoundSecret> {
        let module = if number == 0 { "cart" } else { "mail" };
        let command = BindSecret {
            secret_binding_id: numbered(30 + u128::from(number)),
            tenant_id: numbered(self.tenant),
            environment: self.environment(Ground::Open, now)?.host(Revision::FIRST).ok()?,
            module: Name::new(module).ok()?,
            secret: SecretReference::new(
                format!("local://vault/{module}").parse().ok()?,
                SecretVersion::numbered(NonZeroU32::MIN),
            )
            .ok()?,
            identity: format!("local:{module}").parse().ok()?,
            delivery: "env:PASSWORD".parse().ok()?,
            rotation_schedule: RotationSchedule::new(None, Span::ZERO).ok()?,
        };
        let decision = SecretBinding::bind(&command, now).ok()?;
        after::<SecretBinding>(None, &decision, now)?.prove(Revision::FIRST).ok()
    }

    /// The version after another one.
    pub(super) fn following(
        self,
        previous: Option<UsedVersion>,
        entries: ConfigurationEntries,
        now: Timestamp,
    ) -> Option<RuntimeConfiguration> {
        let number = 100 + u128::from(previous.as_ref().map_or(0, |previous| previous.version().get()));
        let command = self.publish(number, previous, entries, now)?;
        after(None, &RuntimeConfiguration::publish(&command, now).ok()?, now)
    }

    /// The environment's `number`th version, with this content.
    pub(super) fn version(
        self,
        number: u32,
        entries: ConfigurationEntries,
        now: Timestamp,
    ) -> Option<RuntimeConfiguration> {
        // Nobody publishes four thousand million of them: what is stored of the first says that it is that one.
        if number > 3 {
            let mut form = serde_json::to_value(self.version(1, entries, now)?.to_record()).ok()?;
            form["version"] = number.into();
            let record = serde_json::from_value(form).ok()?;
            return RuntimeConfiguration::from_record(RuntimeConfiguration::SCHEMA, record).ok();
        }
        let mut newest: Option<RuntimeConfiguration> = None;
        for earlier in 1..number {
            let previous = newest.as_ref().map(|newest| newest.used_version(Revision::FIRST));
            newest = Some(self.following(previous, super::small(earlier)?, now)?);
        }
        self.following(newest.map(|newest| newest.used_version(Revision::FIRST)), entries, now)
    }

    /// Proof of the newest version there is.
    pub(super) fn before(
        self,
        before: &Before,
        entries: &ConfigurationEntries,
        now: Timestamp,
    ) -> Option<UsedVersion> {
        let entries = if before.is_same { entries.clone() } else { super::small(0)? };
        let newest = self.version(before.number, entries, now)?;
        let end = match before.ended {
            None => return Some(newest.used_version(Revision::FIRST)),
            Some(Ended::Withdrawn) => ConfigurationCommand::Withdraw { reason: "a mistake".to_owned() },
            Some(Ended::Superseded) => {
                let newer = self.version(before.number.checked_add(1)?, super::small(9)?, now)?;
                ConfigurationCommand::Supersede { newer: newer.prove(Revision::FIRST).ok()? }
            }
        };
        let decision = newest.decide(&end, now).ok()?;
        Some(after(Some(newest), &decision, now)?.used_version(Revision::FIRST))
    }
}
