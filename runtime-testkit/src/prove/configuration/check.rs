//! What holds of every version, and what a model is compared with.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::aggregate::Aggregate;
use runtime_domain::claim::Claim;
use runtime_domain::configuration::{
    ConfigurationState, ConfigurationValue, ConsumerReport, RuntimeConfiguration,
};
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;

use crate::model::Facts;
use crate::plan::configuration::{Looks, TEXTS, text};
use crate::prove::Fault;

/// When every story begins, in seconds of Unix time.
const BEGINNING: i64 = 1_800_000_000;

pub(super) fn check(
    before: Option<&RuntimeConfiguration>,
    after: &RuntimeConfiguration,
) -> Result<(), Fault> {
    if let Some(before) = before {
        never_changes(before, after)?;
    }
    let own = BTreeSet::from([Claim::configuration_version(after.environment_id(), after.version())]);
    Fault::unless(after.claims() == own, "CFG-1", || format!("it holds {:?}", after.claims()))?;
    holds_no_secret(after)?;
    let entries = after.entries();
    Fault::unless(entries.checksum() == *after.checksum(), "CFG-3", || {
        "its checksum is of another content".to_owned()
    })?;
    let is_in_order =
        entries.as_slice().is_sorted_by(|one, next| (&one.scope, &one.key) < (&next.scope, &next.key));
    Fault::unless(is_in_order, "CONTENT", || "its entries are out of order, or one comes twice".to_owned())?;
    // One command can bring two events: in between, it runs everywhere and is not Synced yet.
    if before.is_none() {
        is_synced_where_all_run_it(after)?;
    }
    stands(after)
}

fn never_changes(before: &RuntimeConfiguration, after: &RuntimeConfiguration) -> Result<(), Fault> {
    let kept = |it: &RuntimeConfiguration| {
        let glass = it.break_glass().cloned();
        (it.version(), it.checksum().clone(), it.published_at(), glass)
    };
    Fault::unless(kept(before) == kept(after) && before.entries() == after.entries(), "CFG-3", || {
        format!("{:?} became {:?}", kept(before), kept(after))
    })?;
    let was_run = before.consumption().is_some_and(|consumption| consumption.was_consumed);
    let is_forgotten = after.consumption().is_some_and(|consumption| !consumption.was_consumed);
    Fault::unless(!(was_run && is_forgotten), "LIFECYCLE", || {
        "that somebody ran it is forgotten".to_owned()
    })?;
    let is_withdrawn = matches!(after.state(), ConfigurationState::Withdrawn(_));
    Fault::unless(!(was_run && is_withdrawn), "LIFECYCLE", || {
        "somebody ran it, and it was taken back".to_owned()
    })
}

fn holds_no_secret(after: &RuntimeConfiguration) -> Result<(), Fault> {
    let secrets = (0_u8..).zip(TEXTS).filter(|(_, (.., looks))| *looks == Looks::Secret);
    let secrets: Vec<String> = secrets.filter_map(|(number, _)| text(number)).collect();
    let place = after.entries().as_slice().iter().find(|entry| {
        let value = match &entry.value {
            ConfigurationValue::Text(text) => text.clone(),
            ConfigurationValue::Json(document) => document.to_string(),
            ConfigurationValue::Number(_) | ConfigurationValue::Boolean(_) => return false,
            ConfigurationValue::Secret(reference) => reference.version().unwrap_or_default().to_owned(),
        };
        secrets.iter().any(|secret| value.contains(secret) || entry.key.as_str().contains(secret))
    });
    Fault::unless(place.is_none(), "CFG-2", || {
        let place = place.map(|entry| format!("{} {}", entry.scope, entry.key));
        format!("{} holds a secret", place.unwrap_or_default())
    })
}

fn is_synced_where_all_run_it(after: &RuntimeConfiguration) -> Result<(), Fault> {
    let status = Aggregate::status(after);
    let consumers = after.consumers();
    let is_whole = after.consumption().is_some_and(|consumption| {
        let runs = |consumer| matches!(consumers.get(consumer), Some(ConsumerReport::InSync { .. }));
        !consumption.expected.is_empty() && consumption.expected.iter().all(runs)
    });
    Fault::unless(is_whole == (status == "Synced"), "LIFECYCLE", || {
        format!("it is {status}, and its consumers are {consumers:?}")
    })
}

/// Its state, and what it proves of it.
fn stands(after: &RuntimeConfiguration) -> Result<(), Fault> {
    let status = Aggregate::status(after);
    Fault::unless((status == "Synced") <= after.applied_at().is_some(), "LIFECYCLE", || {
        "it is Synced, and never was applied".to_owned()
    })?;
    let is_in_force = matches!(status, "Published" | "Synced");
    let used = after.used_version(Revision::FIRST);
    Fault::unless(after.prove(Revision::FIRST).is_ok() == is_in_force, "LIFECYCLE", || {
        format!("it is {status}, and proves otherwise")
    })?;
    let proven = (used.version(), used.in_force());
    Fault::unless(proven == (after.version(), is_in_force.then_some(after.checksum())), "CFG-1", || {
        format!("it is {} and {status}, and shows {proven:?}", after.version())
    })?;
    let is_older = match after.state() {
        ConfigurationState::Superseded(state) => state.by_version > after.version(),
        _ => true,
    };
    Fault::unless(is_older, "CFG-1", || "what took over is not newer".to_owned())
}

pub(super) fn facts(configuration: &RuntimeConfiguration, facts: Facts) -> Facts {
    let seconds = |at: Timestamp| at.timestamp() - BEGINNING;
    let content: String = configuration
        .entries()
        .as_slice()
        .iter()
        .map(|entry| {
            let value = match &entry.value {
                ConfigurationValue::Text(text) => text.clone(),
                ConfigurationValue::Number(number) => number.to_string(),
                ConfigurationValue::Boolean(flag) => flag.to_string(),
                ConfigurationValue::Json(document) => document.to_string(),
                ConfigurationValue::Secret(reference) => reference.to_string(),
            };
            format!("{} {} {} {value}\n", entry.scope, entry.key, entry.value.type_name())
        })
        .collect();
    let end = match configuration.state() {
        ConfigurationState::Superseded(state) => format!("by {}", state.by_version),
        ConfigurationState::Withdrawn(state) => state.reason.clone(),
        ConfigurationState::Published(_) | ConfigurationState::Synced(_) => String::new(),
    };
    let glass = configuration.break_glass().map(|glass| glass.reason.as_str());
    let consumption = configuration.consumption();
    facts
        .with("tenant", configuration.tenant_id())
        .with("content", content)
        .with("broken glass", glass.unwrap_or_default())
        .with("applied", configuration.applied_at().map(|at| seconds(at).to_string()).unwrap_or_default())
        .with("ended", end)
        .with("consumers", consumption.map(|_| consumers(configuration)).unwrap_or_default())
        .with("was run", consumption.is_some_and(|consumption| consumption.was_consumed))
}

/// Who runs what; of those who are many, how many they are.
fn consumers(configuration: &RuntimeConfiguration) -> String {
    let seconds = |at: Timestamp| at.timestamp() - BEGINNING;
    let (mut told, mut crowd) = (BTreeMap::new(), 0_u16);
    for (consumer, report) in configuration.consumers() {
        let report = match report {
            ConsumerReport::Unseen if consumer.name.as_str().starts_with("crowd-") => {
                crowd += 1;
                continue;
            }
            ConsumerReport::Unseen => "unseen".to_owned(),
            ConsumerReport::InSync { since } => format!("in sync since {}", seconds(since)),
            ConsumerReport::OutOfSync { since, .. } => format!("out of sync since {}", seconds(since)),
        };
        told.insert(consumer.to_string(), report);
    }
    format!("{told:?} and {crowd} more")
}
