//! JSON Schemas of the published events: what a consumer of an [`Envelope`](crate::envelope::Envelope) finds in its `data`.
//!
//! They are generated from the types themselves, one per event and version, and committed in `runtime-domain/schemas`. A schema of a version
//! that is committed never changes in a way that a consumer could notice: another version of the event is made instead.
//!
//! A schema tells what is written. Consumers pass over properties that they do not know, so an optional one may be added to a version.

mod compatible;
#[cfg(test)]
mod tests;
mod text;

pub use compatible::breaks;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::envelope::EventType;

/// The schema of one published event's data.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedSchema {
    /// The event and its version.
    pub event_type: EventType,
    /// The schema: JSON Schema, draft 2020-12.
    pub schema: Value,
}

impl PublishedSchema {
    /// The name of its file: `RuntimeDeploymentCompleted.v1.json`.
    pub fn file_name(&self) -> String {
        format!("{}.v{}.json", self.event_type.name(), self.event_type.version())
    }
}

/// Names of the published events, with their versions, as spec.md §1 lists them.
const PUBLISHED: [(&str, u16); 19] = [
    ("RuntimeEnvironmentProvisioned", 1),
    ("RuntimeEnvironmentDecommissioned", 1),
    ("RuntimeDeploymentRequested", 1),
    ("RuntimeDeploymentCompleted", 1),
    ("RuntimeDeploymentRolledBack", 1),
    ("RuntimeInventoryUpdated", 1),
    ("RuntimeServiceRetired", 1),
    ("ConfigurationPublished", 1),
    ("ConfigurationSynced", 1),
    ("SecretBound", 1),
    ("SecretRotated", 1),
    ("RuntimeTenantBound", 1),
    ("RuntimeTenantQuotaAdjusted", 1),
    ("HealthCheckCompleted", 1),
    ("HealthDegraded", 1),
    ("ScalingPolicyApplied", 1),
    ("ScalingPolicyViolated", 1),
    ("RuntimeDriftDetected", 1),
    ("RuntimeDriftRemediated", 1),
];

/// The schemas of all published events, in the order of spec.md §1.
pub fn published() -> Vec<PublishedSchema> {
    let events: BTreeMap<String, Value> = [
        variants::<crate::environment::EnvironmentEvent>(),
        variants::<crate::deployment::DeploymentEvent>(),
        variants::<crate::inventory::InventoryEvent>(),
        variants::<crate::tenancy::TenancyEvent>(),
        variants::<crate::health::HealthEvent>(),
        variants::<crate::configuration::ConfigurationEvent>(),
        variants::<crate::secrets::SecretEvent>(),
        variants::<crate::scaling::ScalingEvent>(),
        variants::<crate::drift::DriftEvent>(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let schema = |(name, version): (&str, u16)| {
        let event_type = EventType::new(name, version).ok()?;
        let schema = events.get(name)?.clone();
        Some(PublishedSchema { event_type, schema })
    };
    PUBLISHED.into_iter().filter_map(schema).collect()
}

/// An event enum's variants by name, each with the definitions that it needs and no other.
fn variants<E: JsonSchema>() -> Vec<(String, Value)> {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let whole = generator.into_root_schema_for::<E>().to_value();
    let definitions = whole.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    let all = whole.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let named = all.into_iter().filter_map(|variant| {
        let name = variant.pointer("/properties/event/const")?.as_str()?.to_string();
        Some((name, variant))
    });
    named.map(|(name, variant)| (name.clone(), standalone(&name, variant, &definitions))).collect()
}

/// A schema of its own: titled, open to properties that are added later, and with the definitions that it refers to.
fn standalone(name: &str, variant: Value, definitions: &serde_json::Map<String, Value>) -> Value {
    let mut needed: BTreeMap<String, Value> = BTreeMap::new();
    let mut open = references(&variant);
    while let Some(reference) = open.pop() {
        if let Some(definition) = definitions.get(&reference).filter(|_| !needed.contains_key(&reference)) {
            open.extend(references(definition));
            needed.insert(reference, definition.clone());
        }
    }
    let mut schema = variant;
    if let Value::Object(fields) = &mut schema {
        fields.insert("$schema".to_string(), "https://json-schema.org/draft/2020-12/schema".into());
        fields.insert("title".to_string(), name.into());
        if !needed.is_empty() {
            fields.insert("$defs".to_string(), Value::Object(needed.into_iter().collect()));
        }
    }
    sorted(schema)
}

/// Names of the definitions that a schema refers to.
fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value.as_str().and_then(|text| text.strip_prefix("#/$defs/")) {
                Some(name) if key == "$ref" => Vec::from([name.to_string()]),
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// The schema with its keys in order, and open: what may be added later is not forbidden now.
fn sorted(schema: Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields
                .into_iter()
                .filter(|(key, value)| key != "additionalProperties" || *value != Value::Bool(false))
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
