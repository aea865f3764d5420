//! Shows CFG-1, CFG-2, CFG-3.
//! What a configuration proves is consumed, and comes from no wire; its entries are made by one door, and never changed.

use runtime_domain::configuration::{
    ConfigurationEntries, ConfigurationEntry, PublishedConfiguration, RuntimeConfiguration, UsedVersion,
};

fn cloned<T: Clone>() {}
fn defaulted<T: Default>() {}
fn read<T: serde::de::DeserializeOwned>() {}

fn add(configuration: &RuntimeConfiguration, entries: &mut ConfigurationEntries, entry: ConfigurationEntry) {
    entries.0.push(entry);
    configuration.entries = entries.clone();
}

fn main() {
    cloned::<PublishedConfiguration>();
    cloned::<UsedVersion>();
    defaulted::<PublishedConfiguration>();
    defaulted::<UsedVersion>();
    read::<PublishedConfiguration>();
    read::<UsedVersion>();
    // An aggregate is loaded by its record, which re-checks every rule.
    read::<RuntimeConfiguration>();
}
