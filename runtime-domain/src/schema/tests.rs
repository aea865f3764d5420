//! What is a change that a consumer notices, and what is none.

use alloc::vec::Vec;

use serde_json::{Value, json};

use super::*;

fn order() -> Value {
    json!({
        "type": "object",
        "properties": {
            "status": { "enum": ["open", "closed"] },
            "lines": { "type": "array", "items": { "$ref": "#/$defs/Line" } },
            "note": { "type": ["string", "null"] },
            "by": { "oneOf": [{ "type": "string", "const": "person" }, { "type": "object", "properties": { "robot": { "type": "string" } }, "required": ["robot"] }] },
        },
        "required": ["status", "lines"],
        "$defs": { "Line": { "type": "object", "properties": { "count": { "type": "integer", "minimum": 1 }, "inner": { "$ref": "#/$defs/Line" } }, "required": ["count"] } },
    })
}

fn broken(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut newer = order();
    change(&mut newer);
    breaks(&order(), &newer)
}

#[test]
fn a_consumer_does_not_notice_what_is_added_described_or_made_certain() {
    assert_eq!(broken(|_| ()), Vec::<String>::new());
    assert_eq!(
        broken(|order| order["properties"]["more"] = json!({ "type": "string" })),
        Vec::<String>::new()
    );
    assert_eq!(broken(|order| order["description"] = json!("An order.")), Vec::<String>::new());
    assert_eq!(broken(|order| order["required"] = json!(["status", "lines", "note"])), Vec::<String>::new());
    assert_eq!(broken(|order| order["properties"]["note"]["type"] = json!("string")), Vec::<String>::new());
    assert_eq!(broken(|order| order["properties"]["status"]["enum"] = json!(["open"])), Vec::<String>::new());
}

#[test]
fn every_change_that_a_consumer_notices_is_told_with_its_place() {
    let gone = broken(|order| {
        order["properties"].as_object_mut().unwrap().remove("note");
    });
    assert_eq!(gone, ["/note is gone"]);
    assert_eq!(broken(|order| order["required"] = json!(["status"])), ["/lines is no longer always there"]);
    let values = broken(|order| order["properties"]["status"]["enum"] = json!(["open", "closed", "lost"]));
    assert_eq!(values, ["/status may be lost now"]);
    let free = broken(|order| order["properties"]["status"] = json!({ "type": "string" }));
    assert_eq!(free.len(), 2, "{free:?}");
    let nested = broken(|order| order["$defs"]["Line"]["properties"]["count"]["type"] = json!("string"));
    assert_eq!(nested, ["/lines/*/count may be string now"]);
    let bound = broken(|order| order["$defs"]["Line"]["properties"]["count"]["minimum"] = json!(0));
    assert_eq!(bound, ["/lines/*/count: `minimum` was 1 and is 0"]);
    let variant = broken(|order| order["properties"]["by"]["oneOf"][0]["const"] = json!("ghost"));
    assert_eq!(variant, ["/by: `const` was \"person\" and is \"ghost\""]);
    let added = broken(|order| {
        order["properties"]["by"]["oneOf"].as_array_mut().unwrap().push(json!({ "type": "integer" }));
    });
    assert_eq!(added.len(), 2, "{added:?}");
    let lists = broken(|order| order["properties"]["lines"]["items"] = json!(true));
    assert_eq!(lists.len(), 1, "{lists:?}");
}

/// Shows X-14.
#[test]
fn every_published_event_of_the_specification_has_a_schema_of_its_own() {
    let schemas = published();
    assert_eq!(schemas.len(), PUBLISHED.len());
    for (schema, (name, version)) in schemas.iter().zip(PUBLISHED) {
        assert_eq!((schema.event_type.name(), schema.event_type.version()), (name, version));
        assert_eq!(schema.schema["properties"]["event"]["const"], json!(name));
        assert_eq!(schema.schema["title"], json!(name));
        let text = schema.schema.to_string();
        assert!(!text.contains("\"additionalProperties\":false"), "{name} forbids what may be added later");
        for reference in references(&schema.schema) {
            assert!(schema.schema["$defs"].get(&reference).is_some(), "{name} does not define {reference}");
        }
    }
}
