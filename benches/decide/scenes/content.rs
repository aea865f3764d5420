//! What components run with: configurations and secrets.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use factory_runtime::domain::calendar::Activity;
use factory_runtime::domain::configuration::{
    ConfigScope, ConfigurationCommand, ConfigurationEntries, ConfigurationEntry, ConfigurationValue,
    Consumer, ConsumerName, EntryKey, PublishConfiguration, RuntimeConfiguration,
};
use factory_runtime::domain::scope::Actor;
use factory_runtime::domain::secrets::{
    BindSecret, RotateSecret, RotationCause, RotationSchedule, SecretBinding, SecretCommand, SecretVersion,
};
use factory_runtime::domain::time::Span;
use factory_runtime::domain::value::Revision;

use super::placement::provisioned;
use super::{after, at, begun, id, name};
use crate::measure;

pub fn run() {
    configuration();
    secret();
}

/// Sixteen entries of a line each.
fn entries() -> ConfigurationEntries {
    let entry = |number: u32| ConfigurationEntry {
        scope: ConfigScope::Environment,
        key: EntryKey::new(&format!("feature.{number}.mode")).unwrap(),
        value: ConfigurationValue::Text(format!("mode {number}")),
    };
    ConfigurationEntries::new((0..16).map(entry).collect()).unwrap()
}

fn publish(entries: ConfigurationEntries) -> PublishConfiguration {
    PublishConfiguration {
        configuration_id: id(10),
        environment: provisioned().host(Revision(3)).unwrap(),
        clearance: provisioned().clear(Activity::Configuration, Revision(3), at(2), None).unwrap(),
        previous: None,
        secrets: Vec::new(),
        entries,
    }
}

fn configuration() {
    let command = publish(entries());
    measure::<RuntimeConfiguration>("PublishConfiguration, of 16 entries", None, at(2), || {
        RuntimeConfiguration::publish(&command, at(2)).unwrap()
    });
    let published: RuntimeConfiguration = begun(&RuntimeConfiguration::publish(&command, at(2)).unwrap());
    let consumer = |number: u32| Consumer {
        module: name("cart"),
        name: ConsumerName::new(&format!("cart-{number}")).unwrap(),
    };
    let consumers: BTreeSet<_> = (0..3).map(consumer).collect();
    let expect = ConfigurationCommand::ExpectConsumers { consumers };
    let published = after(published.clone(), &published.decide(&expect, at(3)).unwrap(), at(3));
    let seen = ConfigurationCommand::RecordConsumption {
        consumer: consumer(0),
        checksum: published.checksum().clone(),
        observed_at: at(4),
    };
    measure("RecordConsumption", Some(&published), at(4), || published.decide(&seen, at(4)).unwrap());
}

fn secret() {
    let schedule = RotationSchedule::new(Some("every 30d".parse().unwrap()), Span::from_secs(600)).unwrap();
    let bind = BindSecret {
        secret_binding_id: id(11),
        tenant_id: id(2),
        environment: provisioned().host(Revision(3)).unwrap(),
        module: name("cart"),
        secret: "vault://kv/shop/db?version=3#password".parse().unwrap(),
        identity: "local:cart".parse().unwrap(),
        delivery: "file:db-password".parse().unwrap(),
        rotation_schedule: schedule,
    };
    let bound: SecretBinding = begun(&SecretBinding::bind(&bind, at(2)).unwrap());
    let rotate = SecretCommand::RotateSecret(RotateSecret {
        cause: RotationCause::OnDemand { by: Actor::new("ann").unwrap(), reason: "an audit".to_owned() },
        clearance: provisioned().clear(Activity::Rotation, Revision(3), at(3), None).unwrap(),
    });
    measure("RotateSecret", Some(&bound), at(3), || bound.decide(&rotate, at(3)).unwrap());
    let rotating = after(bound.clone(), &bound.decide(&rotate, at(3)).unwrap(), at(3));
    let version = SecretVersion::numbered(NonZeroU32::new(4).unwrap());
    let made = SecretCommand::RecordNewVersion { version };
    measure("RecordNewVersion", Some(&rotating), at(4), || rotating.decide(&made, at(4)).unwrap());
}
