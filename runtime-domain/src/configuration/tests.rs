//! The table of the context's docs, and what holds for every history.

mod content;
mod delivered;
mod secrecy;
mod version;

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::calendar::{Activity, Clearance};
use crate::configuration::*;
use crate::environment::{HostedEnvironment, IsolationModel};
use crate::testing::{Told, at, id, name};
use crate::value::Revision;

fn entry(scope: &str, key: &str, value: ConfigurationValue) -> ConfigurationEntry {
    ConfigurationEntry { scope: scope.parse().unwrap(), key: EntryKey::new(key).unwrap(), value }
}

fn text(value: &str) -> ConfigurationValue {
    ConfigurationValue::Text(value.to_string())
}

fn json(value: &str) -> ConfigurationValue {
    ConfigurationValue::Json(JsonDocument::parse(value).unwrap())
}

fn number(value: &str) -> ConfigurationValue {
    ConfigurationValue::Number(value.parse().unwrap())
}

fn reference(binding: u128) -> ConfigurationValue {
    ConfigurationValue::Secret(SecretReference::to(id(binding)))
}

fn content(entries: Vec<ConfigurationEntry>) -> ConfigurationEntries {
    ConfigurationEntries::new(entries).unwrap()
}

/// A small content that differs by its level.
fn level(value: &str) -> ConfigurationEntries {
    content(alloc::vec![entry("environment", "log.level", text(value))])
}

fn hosted() -> HostedEnvironment {
    HostedEnvironment {
        tenant: id(2),
        environment: id(1),
        stage: crate::environment::EnvironmentStage::Dev,
        isolation_model: IsolationModel::Silo,
        at: Revision(3),
    }
}

fn clearance() -> Clearance {
    Clearance {
        tenant: id(2),
        environment: id(1),
        activity: Activity::Configuration,
        break_glass: None,
        at: Revision(3),
    }
}

fn publish(entries: ConfigurationEntries) -> PublishConfiguration {
    PublishConfiguration {
        configuration_id: id(10),
        environment: hosted(),
        clearance: clearance(),
        previous: None,
        secrets: Vec::new(),
        entries,
    }
}

fn begun() -> Told<RuntimeConfiguration> {
    Told::begin(RuntimeConfiguration::publish(&publish(level("info")), at(0)), at(0))
}

/// The second version, which follows [`begun`].
fn second() -> Told<RuntimeConfiguration> {
    let previous = Some(begun().now().used_version(Revision(4)));
    let command = PublishConfiguration { configuration_id: id(11), previous, ..publish(level("debug")) };
    Told::begin(RuntimeConfiguration::publish(&command, at(0)), at(0))
}

fn consumer(module: &str, instance: &str) -> Consumer {
    Consumer { module: name(module), name: ConsumerName::new(instance).unwrap() }
}

fn expect(consumers: &[Consumer]) -> ConfigurationCommand {
    ConfigurationCommand::ExpectConsumers { consumers: consumers.iter().cloned().collect::<BTreeSet<_>>() }
}

fn seen(consumer: &Consumer, checksum: &Checksum, seconds: u64) -> ConfigurationCommand {
    ConfigurationCommand::RecordConsumption {
        consumer: consumer.clone(),
        checksum: checksum.clone(),
        observed_at: at(seconds),
    }
}

fn withdraw(reason: &str) -> ConfigurationCommand {
    ConfigurationCommand::Withdraw { reason: reason.to_string() }
}

fn supersede() -> ConfigurationCommand {
    ConfigurationCommand::Supersede { newer: second().now().prove(Revision(1)).unwrap() }
}

fn other() -> Checksum {
    level("other").checksum()
}

fn then(mut told: Told<RuntimeConfiguration>, command: &ConfigurationCommand) -> Told<RuntimeConfiguration> {
    let decision = told.now().decide(command, at(100)).unwrap();
    told.happen(decision, at(100));
    told
}

/// Two instances of `cart` run it.
fn synced() -> Told<RuntimeConfiguration> {
    let (one, two) = (consumer("cart", "1"), consumer("cart", "2"));
    let own = begun().now().checksum().clone();
    let told = then(begun(), &expect(&[one.clone(), two.clone()]));
    then(then(told, &seen(&one, &own, 5)), &seen(&two, &own, 6))
}
