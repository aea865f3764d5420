//! The committed description is what the catalogue says, and does not change under those who use it.
//!
//! `UPDATE_OPENAPI=1 cargo test -p runtime-api --test api` writes it; it refuses to write over one that callers would notice.

use std::collections::BTreeMap;
use std::path::PathBuf;

use runtime_api::catalogue::Catalogue;
use runtime_api::openapi::{breaks, document};
use serde_json::Value;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("openapi.json")
}

/// With the members in the order of their names, whatever order they were made in.
fn ordered(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> =
                members.into_iter().map(|(name, value)| (name, ordered(value))).collect();
            members.into_iter().collect()
        }
        Value::Array(items) => items.into_iter().map(ordered).collect(),
        scalar => scalar,
    }
}

#[test]
fn the_committed_description_is_what_the_catalogue_says_and_breaks_no_caller() {
    let described = document(&Catalogue::new());
    let committed: Option<Value> =
        std::fs::read_to_string(file()).ok().map(|text| serde_json::from_str(&text).unwrap());
    if let Some(committed) = &committed {
        let breaks = breaks(committed, &described);
        assert!(breaks.is_empty(), "callers would notice: {breaks:#?}");
    }
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(file(), serde_json::to_string_pretty(&ordered(described)).unwrap() + "\n").unwrap();
    } else {
        assert!(
            committed == Some(described),
            "openapi.json is not what the catalogue says: run with UPDATE_OPENAPI=1"
        );
    }
}

#[test]
fn every_operation_has_its_own_route_and_a_sentence() {
    let catalogue = Catalogue::new();
    let mut routes = std::collections::BTreeSet::new();
    for operation in catalogue.operations() {
        let descriptor = operation.descriptor();
        assert!(
            routes.insert((descriptor.method, descriptor.path)),
            "{} has another's route",
            descriptor.id()
        );
        assert!(descriptor.summary.ends_with('.') && descriptor.summary.len() > 10, "{}", descriptor.id());
        assert!(descriptor.path.starts_with("/runtime/"), "{}", descriptor.id());
    }
}

#[test]
fn the_endpoints_of_the_specification_are_there() {
    let described = document(&Catalogue::new());
    for (method, path) in [
        ("post", "/runtime/environments"),
        ("get", "/runtime/environments/{environmentId}"),
        ("post", "/runtime/deployments"),
        ("get", "/runtime/deployments/{deploymentId}"),
        ("post", "/runtime/configurations"),
        ("post", "/runtime/secret-bindings"),
        ("get", "/runtime/services/{serviceId}/health"),
        ("post", "/runtime/scaling-policies"),
        ("get", "/runtime/drift/{environmentId}"),
    ] {
        assert!(described["paths"][path][method].is_object(), "{method} {path}");
    }
}

/// Documents can be said in protobuf's JSON: objects, no choice without a name.
#[test]
fn every_document_is_an_object_and_every_choice_is_named() {
    let described = document(&Catalogue::new());
    for (name, schema) in described["components"]["schemas"].as_object().unwrap() {
        let variants = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
        if let Some(variants) = variants.filter(|variants| variants.iter().all(|it| it["type"] == "object")) {
            for variant in variants {
                let members = variant["properties"].as_object().map_or(0, serde_json::Map::len);
                assert_eq!(members, 1, "{name}: a choice is an object with one member: {variant}");
            }
        }
    }
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation["x-stream"] == true {
                continue;
            }
            let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            let name = schema["$ref"].as_str().unwrap().trim_start_matches('#');
            assert_eq!(described.pointer(name).unwrap()["type"], "object", "{method} {path}");
        }
    }
}
