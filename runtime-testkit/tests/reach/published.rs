//! What stories publish is what the committed schemas say, by the word of a validator that somebody else wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use jsonschema::Validator;
use runtime_domain::aggregate::DomainEvent;
use runtime_domain::configuration::RuntimeConfiguration;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::drift::RuntimeDriftFinding;
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::health::HealthCheckResult;
use runtime_domain::inventory::RuntimeService;
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::secrets::SecretBinding;
use runtime_domain::tenancy::RuntimeTenantBinding;
use runtime_testkit::prove::Provable;
use serde_json::Value;

use crate::play::{Moment, play};

/// Every committed schema, by the event's name and version.
fn schemas() -> BTreeMap<String, Validator> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runtime-domain/schemas");
    let validator = |file: fs::DirEntry| {
        let name = file.path().file_stem().unwrap().to_string_lossy().into_owned();
        let schema: Value = serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{name} is no schema: {error}"));
        (name, jsonschema::validator_for(&schema).unwrap())
    };
    fs::read_dir(folder).unwrap().map(|file| validator(file.unwrap())).collect()
}

/// Holds everything that is published against its schema; which were published.
fn published<A: Provable>(schemas: &BTreeMap<String, Validator>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    play::<A>(300, |moment| {
        let Moment::Happened(event, _) = moment else { return };
        let Some(version) = event.published() else { return };
        let name = format!("{}.v{version}", event.name());
        let data = serde_json::to_value(event).unwrap();
        let schema = schemas.get(&name).unwrap_or_else(|| panic!("{name} has no schema"));
        if let Err(error) = schema.validate(&data) {
            panic!("{name} is not as its schema says, at {}: {error}", error.instance_path());
        }
        seen.insert(name);
    });
    seen
}

/// Shows X-14.
#[test]
fn every_published_event_is_as_its_committed_schema_says() {
    let schemas = schemas();
    let seen: BTreeSet<String> = [
        published::<RuntimeEnvironment>(&schemas),
        published::<RuntimeDeployment>(&schemas),
        published::<RuntimeService>(&schemas),
        published::<RuntimeConfiguration>(&schemas),
        published::<SecretBinding>(&schemas),
        published::<RuntimeTenantBinding>(&schemas),
        published::<HealthCheckResult>(&schemas),
        published::<ScalingPolicy>(&schemas),
        published::<RuntimeDriftFinding>(&schemas),
    ]
    .into_iter()
    .flatten()
    .collect();
    let committed: BTreeSet<String> = schemas.into_keys().collect();
    assert_eq!(seen, committed, "every schema is of an event that is published, and is held against it");
    assert_eq!(committed.len(), 19);
}
