//! The committed schemas are what the types say, and a version that is committed never changes in a way that a consumer notices.
//!
//! `UPDATE_SCHEMAS=1 cargo test -p runtime-domain --features schema --test schemas` writes them; it refuses to write over an incompatible one: raise
//! the event's version in `DomainEvent::published` and in `schema.rs` instead, and keep the old file.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use runtime_domain::schema::{PublishedSchema, breaks, published};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

fn committed(schema: &PublishedSchema) -> Option<Value> {
    let text = std::fs::read_to_string(folder().join(schema.file_name())).ok()?;
    Some(serde_json::from_str(&text).expect("a committed schema is JSON"))
}

/// Shows X-14.
#[test]
fn the_committed_schemas_are_what_the_types_say_and_no_version_changes_under_its_consumers() {
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
    for schema in published() {
        let name = schema.file_name();
        let committed = committed(&schema);
        if let Some(committed) = &committed {
            let breaks = breaks(committed, &schema.schema);
            assert!(breaks.is_empty(), "{name} would break its consumers: raise its version. {breaks:#?}");
        }
        if update {
            let text = serde_json::to_string_pretty(&schema.schema).expect("a schema is JSON") + "\n";
            std::fs::create_dir_all(folder()).expect("a folder");
            std::fs::write(folder().join(&name), text).expect("a schema is written");
        } else {
            let same = committed.as_ref() == Some(&schema.schema);
            assert!(same, "{name} is not what the types say: run with UPDATE_SCHEMAS=1");
        }
    }
}

#[test]
fn no_schema_lies_in_the_folder_that_no_event_ever_had() {
    let known: BTreeSet<String> =
        published().iter().map(|schema| schema.event_type.name().to_owned()).collect();
    for file in std::fs::read_dir(folder()).expect("the schemas") {
        let name = file.expect("a file").file_name().to_string_lossy().into_owned();
        let event = name.split('.').next().expect("a name").to_owned();
        assert!(known.contains(&event), "{name} is of no event");
    }
}
