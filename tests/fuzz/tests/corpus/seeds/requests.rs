//! Requests, as the description of the host says that they are.

use jsonschema::Validator;
use runtime_api::catalogue::Catalogue;
use runtime_api::openapi::document;
use serde_json::{Map, Value, json};

use super::{Seeds, numbered};

/// Texts of every form that the description knows. The first that a schema takes is its sample.
const SAMPLES: [&str; 34] = [
    "shop",
    "2027-01-15T08:00:00Z",
    "2027-01-15T08:00:00",
    "2027-01-15",
    "08:00",
    "60000",
    "1.5",
    "*",
    "/ready",
    "http://service.example/ready",
    "service:shop",
    "LOG_LEVEL",
    "shop/cart:1.4.2",
    "1.4.2",
    "local:shop",
    "file:key",
    "local://shop/key/1",
    "0 8 * * mon-fri",
    "Europe/Berlin",
    "sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
    "shop@dep_00000000000000000000000000000001",
    "cfg_00000000000000000000000000000001",
    "cor_00000000000000000000000000000001",
    "dep_00000000000000000000000000000001",
    "drf_00000000000000000000000000000001",
    "evt_00000000000000000000000000000001",
    "hcr_00000000000000000000000000000001",
    "prj_00000000000000000000000000000001",
    "scp_00000000000000000000000000000001",
    "sec_00000000000000000000000000000001",
    "svc_00000000000000000000000000000001",
    "tbd_00000000000000000000000000000001",
    "ten_00000001000000000000000000000001",
    "env_00000000000000000000000000000001",
];

/// Each operation with as little as it asks for, and with everything that may be said.
pub fn bodies() -> Seeds {
    let described = document(&Catalogue::new());
    let mut seeds = Seeds::new();
    for (_, path) in described["paths"].as_object().unwrap() {
        for (_, operation) in path.as_object().unwrap() {
            let Some(id) = operation["operationId"].as_str().filter(|id| id.contains('.')) else { continue };
            for (name, whole) in [("least", false), ("most", true)] {
                let request = request(&described, operation, whole);
                seeds.insert(format!("{id}.{name}"), format!("{id}\n{request}").into_bytes());
            }
        }
    }
    seeds
}

/// Whole requests: what is said beside the body, rightly and wrongly.
pub fn requests() -> Seeds {
    let provide = json!({
        "projectId": "prj_00000000000000000000000000000001", "name": "other", "stage": "dev", "region": "local",
        "isolationModel": "silo", "surfaces": ["process"],
    });
    let mut requests: Vec<String> = [
        "GET /runtime/environments/@env\nif-match: \"r1\"",
        "POST /runtime/environments/@env/stop-the-line\nif-match: \"r1\"\nidempotency-key: once\n\n{\"reason\": \"it burns\"}",
        "POST /runtime/environments/@env/stop-the-line\nif-match: *\n\n{\"reason\": \"it burns\"}",
        "POST /runtime/environments/@env/stop-the-line\nif-match: \"r999999999999999999\"\n\n{\"reason\": \"it burns\"}",
        "POST /runtime/environments/@env/stop-the-line?dryRun=true\nif-match: W/\"r1\"\n\n{\"reason\": \"it burns\"}",
        "POST /runtime/environments/@env/decommission?dryRun=true\n\n{}",
        "GET /runtime/environments?limit=1",
        "GET /runtime/environments?limit=500&cursor=bWVtb3J5OjE6Mg",
        "GET /runtime/environments?cursor=1.a54d2c5e11f0e0b4&status=Requested&status=Failed",
        "GET /runtime/events\nlast-event-id: 0-1",
        "GET /runtime/events\nlast-event-id: evt_00000000000000000000000000000001",
        "GET /runtime/deployments/dep_00000000000000000000000000000001/events\nlast-event-id: 18446744073709551615",
        "GET /runtime/environments/@env\nauthorization: Bearer nobody",
        "GET /runtime/environments/@env\nauthorization: Basic bm9ib2R5",
        "GET /runtime/environments/@env\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\naccept: text/html",
        "PUT /runtime/environments/@env",
        "GET /openapi.json",
        "PUT /openapi.json",
        "POST /livez",
        "DELETE /readyz",
        "POST /centre",
        "GET /readyz",
        "GET /centre",
        "GET /runtime/environments/%2e%2e%2f?limit=%00",
    ]
    .map(str::to_owned)
    .to_vec();
    for head in [
        "idempotency-key: once",
        "idempotency-key: \u{7f}",
        "content-type: text/plain",
        "content-length: 99999999999",
    ] {
        requests.push(format!("POST /runtime/environments\n{head}\n\n{provide}"));
    }
    let described = document(&Catalogue::new());
    let reads = described["paths"].as_object().unwrap().iter().filter(|(_, path)| path["get"].is_object());
    requests.extend(reads.map(|(path, operations)| read(&described, path, &operations["get"])));
    numbered(requests)
}

/// An operation that looks, with everything in its path and query.
fn read(described: &Value, path: &str, operation: &Value) -> String {
    let (mut path, mut query) = (path.to_owned(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let sample = match sample(described, &parameter["schema"], true, 0) {
            Value::String(text) => text,
            Value::Array(items) => items.first().and_then(Value::as_str).unwrap_or_default().to_owned(),
            other => other.to_string(),
        };
        let name = parameter["name"].as_str().unwrap();
        match parameter["in"].as_str() {
            Some("path") => path = path.replace(&format!("{{{name}}}"), &sample),
            Some("query") => query.push(format!("{name}={}", sample.replace(' ', "+"))),
            _ => {}
        }
    }
    if query.is_empty() { format!("GET {path}") } else { format!("GET {path}?{}", query.join("&")) }
}

/// One object of what path, query and body say.
fn request(described: &Value, operation: &Value, whole: bool) -> Value {
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    let mut fields = match sample(described, body, whole, 0) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let is_field = matches!(parameter["in"].as_str(), Some("path" | "query")) && name != "dryRun";
        if is_field && (whole || parameter["required"] == true) {
            fields.insert(name.to_owned(), sample(described, &parameter["schema"], whole, 0));
        }
    }
    Value::Object(fields)
}

/// A value that a schema takes; where `whole`, with everything that may be said, six levels deep.
fn sample(described: &Value, schema: &Value, whole: bool, depth: usize) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        let place = name.trim_start_matches('#');
        return sample(described, described.pointer(place).unwrap_or(&Value::Null), whole, depth);
    }
    if let Some(only) = schema.get("const") {
        return only.clone();
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return values[0].clone();
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(Value::Array(choices)) = schema.get(choice) {
            return sample(described, &choices[0], whole, depth);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].as_str(),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") => object(described, schema, whole && depth < 6, depth),
        Some("array") if whole && depth < 6 || schema["minItems"].as_u64() > Some(0) => {
            json!([sample(described, &schema["items"], whole, depth + 1)])
        }
        Some("array") => json!([]),
        Some("string") => text(schema),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(true),
        _ => Value::Null,
    }
}

fn object(described: &Value, schema: &Value, whole: bool, depth: usize) -> Value {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if whole || required.contains(&name.as_str()) {
            fields.insert(name.clone(), sample(described, property, whole, depth + 1));
        }
    }
    if whole && schema["additionalProperties"].is_object() {
        fields
            .insert("shop".to_owned(), sample(described, &schema["additionalProperties"], whole, depth + 1));
    }
    Value::Object(fields)
}

/// A text of the schema's pattern; an environment is the one that is there.
fn text(schema: &Value) -> Value {
    let takes: Validator = jsonschema::validator_for(
        &json!({ "type": "string", "pattern": schema.get("pattern").unwrap_or(&json!("")) }),
    )
    .unwrap();
    let sample = match schema["format"].as_str() {
        Some("date-time") => "2027-01-15T08:00:00Z",
        _ => SAMPLES.into_iter().find(|sample| takes.is_valid(&json!(sample))).unwrap_or_default(),
    };
    if sample.starts_with("env_") { json!("@env") } else { json!(sample) }
}
