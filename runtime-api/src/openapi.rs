//! The description of what a host offers over HTTP: OpenAPI 3.1, assembled from the catalogue.

use std::collections::BTreeMap;

use runtime_domain::id::DeploymentId;
use runtime_ports::authenticator::Role;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;
use crate::operation::{Descriptor, Method, Operation};
use crate::problem::{ProblemDocument, ProblemKind};
use crate::progress::ProgressEvent;

mod compatible;

pub use compatible::breaks;

/// The media type of answers.
pub const JSON: &str = "application/json";
/// The media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The media type of progress.
pub const EVENT_STREAM: &str = "text/event-stream";
/// The path of a deployment's progress.
pub const FOLLOW_DEPLOYMENT: &str = "/runtime/deployments/{deploymentId}/events";
/// The path of a tenant's progress.
pub const FOLLOW_TENANT: &str = "/runtime/events";

/// What a key may be: printable, and as headers are, without space around it.
const KEY: &str = "^[!-~]([ -~]{0,253}[!-~])?$";
/// What `If-Match` may be: a tag that an answer had, or whatever is there.
const ONE_TAG: &str = "^(\\*|\"r[0-9]{1,18}\")$";

/// The description, as JSON. The same catalogue gives the same bytes.
pub fn document(catalogue: &Catalogue) -> Value {
    let mut schemas = generator();
    let mut paths: Map<String, Value> = Map::new();
    for operation in catalogue.operations() {
        let descriptor = operation.descriptor();
        let described = described(operation, &mut schemas);
        let path = paths.entry(descriptor.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(descriptor.method.name().to_ascii_lowercase(), described);
        }
    }
    for (path, described) in streams(&mut schemas) {
        paths.insert(path.to_owned(), described);
    }
    schemas.subschema_for::<ProblemDocument>();
    let mut components = schemas.take_definitions(true);
    components.sort_keys();
    paths.sort_keys();
    bounded(json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Factory Runtime",
            "summary": "Environments, rollouts, inventory, configuration, secrets, tenants, health, scaling and drift of generated products",
            "version": "1",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
            "responses": problems(),
            "schemas": components,
        },
    }))
}

/// The same description as callers need it: a number of 32 or 64 bits says how large it may be, which its type says to us only; and what is
/// said twice in a set counts once, so that no set asks for items that differ.
fn bounded(described: Value) -> Value {
    match described {
        Value::Object(mut members) => {
            if members.get("uniqueItems") == Some(&Value::Bool(true)) {
                members.remove("uniqueItems");
            }
            if members.get("format").is_some_and(|format| format == "uint32") {
                members.entry("maximum").or_insert_with(|| u32::MAX.into());
            }
            if members.get("format").is_some_and(|format| format == "uint64") {
                members.entry("maximum").or_insert_with(|| u64::MAX.into());
            }
            members.into_iter().map(|(name, member)| (name, bounded(member))).collect()
        }
        Value::Array(items) => items.into_iter().map(bounded).collect(),
        other => other,
    }
}

fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    settings.into_generator()
}

/// The fields of a request, with which of them must be there.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestFields {
    /// Each field's schema.
    pub properties: Map<String, Value>,
    /// Those that must be there.
    pub required: Vec<String>,
}

/// The fields of an operation's request, for wires that take them from several places. References in their schemas are to
/// `#/components/schemas` of the description.
pub fn request_fields(operation: &Operation) -> RequestFields {
    fields(operation, &mut generator())
}

fn fields(operation: &Operation, schemas: &mut SchemaGenerator) -> RequestFields {
    let schema = operation.request_schema(schemas);
    let resolved = resolve(schema.as_value(), schemas.definitions());
    let properties = resolved.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let required = resolved.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let required = required.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    RequestFields { properties, required }
}

fn resolve(schema: &Value, definitions: &Map<String, Value>) -> Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.rsplit('/').next());
    name.and_then(|name| definitions.get(name)).unwrap_or(schema).clone()
}

fn described(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let descriptor = operation.descriptor();
    let RequestFields { properties, required } = fields(operation, schemas);
    let in_path: Vec<&str> = descriptor.path_parameters().collect();
    let mut parameters = Vec::new();
    let mut body = Map::new();
    // In the order of their names, whatever order a host's features keep members in.
    for (name, schema) in properties.into_iter().collect::<BTreeMap<_, _>>() {
        if in_path.contains(&name.as_str()) {
            parameters.push(parameter("path", &name, true, schema));
        } else if descriptor.is_read() {
            parameters.push(parameter("query", &name, required.contains(&name), schema));
        } else {
            body.insert(name, schema);
        }
    }
    parameters.extend(common_parameters(descriptor));
    let answer = operation.answer_schema(schemas);
    let mut described = json!({
        "operationId": descriptor.id(),
        "tags": [descriptor.service],
        "summary": descriptor.summary,
        "x-role": descriptor.role.name(),
        "x-rules": descriptor.refusals.iter().map(|rule| rule.number()).collect::<Vec<_>>(),
        "parameters": parameters,
        "responses": responses(descriptor, answer.as_value()),
    });
    if let Some(described) = described.as_object_mut()
        && !descriptor.is_read()
    {
        let required: Vec<&String> = required.iter().filter(|name| body.contains_key(*name)).collect();
        let is_required = !required.is_empty();
        let schema = json!({
            "type": "object",
            "properties": body,
            "required": required,
            "additionalProperties": false,
        });
        let content = json!({ JSON: { "schema": schema } });
        described.insert("requestBody".to_owned(), json!({ "required": is_required, "content": content }));
    }
    described
}

fn parameter(place: &str, name: &str, required: bool, mut schema: Value) -> Value {
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let description = description.unwrap_or_else(|| Value::String(String::new()));
    json!({ "in": place, "name": name, "required": required, "description": description, "schema": schema })
}

fn common_parameters(descriptor: &Descriptor) -> Vec<Value> {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let header = |name: &str, description: &str, schema: Value| json!({ "in": "header", "name": name, "required": false, "description": description, "schema": schema });
    let mut parameters = Vec::new();
    if descriptor.previews {
        parameters.push(json!({
            "in": "query",
            "name": "dryRun",
            "required": false,
            "description": "Say what would happen, and change nothing.",
            "schema": { "type": "boolean", "default": false },
        }));
    }
    if descriptor.is_read() {
        if descriptor.revises {
            let description = "Answer 304 where this revision is still the newest.";
            parameters.push(header("If-None-Match", description, json!({ "type": "string" })));
        }
    } else {
        if descriptor.takes_key {
            let description = "A name for this one command, by which a repetition is recognised.";
            parameters.push(header("Idempotency-Key", description, text(KEY)));
        }
        if descriptor.revises {
            let description = "Carry it out only where this revision is still the newest.";
            parameters.push(header("If-Match", description, text(ONE_TAG)));
        }
    }
    parameters
}

fn responses(descriptor: &Descriptor, answer: &Value) -> Value {
    let mut responses = Map::new();
    let mut headers = Map::new();
    if descriptor.revises || descriptor.creates {
        let schema = json!({ "type": "string" });
        headers.insert("ETag".to_owned(), json!({ "description": "The revision.", "schema": schema }));
    }
    let good = |description: &str, headers: &Map<String, Value>| {
        json!({
            "description": description,
            "headers": headers,
            "content": { JSON: { "schema": answer } },
        })
    };
    responses.insert("200".to_owned(), good("How it is.", &headers));
    if descriptor.creates {
        let schema = json!({ "type": "string" });
        headers.insert("Location".to_owned(), json!({ "description": "Its path.", "schema": schema }));
        responses.insert("201".to_owned(), good("It was made.", &headers));
    }
    if descriptor.is_read() && descriptor.revises {
        responses.insert("304".to_owned(), json!({ "description": "The revision is still the newest." }));
    }
    // The server says so before anything else is known of the request.
    responses.insert("431".to_owned(), json!({ "description": "The head is too large." }));
    for status in statuses(descriptor) {
        let reference = format!("#/components/responses/Problem{status}");
        responses.insert(status.to_string(), json!({ "$ref": reference }));
    }
    Value::Object(responses)
}

/// The statuses that an operation may answer instead, in order.
pub fn statuses(descriptor: &Descriptor) -> Vec<u16> {
    let kinds = ProblemKind::ALL.into_iter().filter(|kind| match kind {
        ProblemKind::PreconditionFailed => descriptor.method == Method::Post && descriptor.revises,
        ProblemKind::Refused | ProblemKind::Contended => {
            descriptor.method == Method::Post || !descriptor.refusals.is_empty()
        }
        ProblemKind::ContentTooLarge | ProblemKind::UnsupportedMediaType | ProblemKind::KeyReused => {
            descriptor.method == Method::Post
        }
        // A path is asked for by the methods that it has.
        ProblemKind::MethodNotAllowed => false,
        ProblemKind::Forbidden => descriptor.role != Role::Viewer || descriptor.method == Method::Get,
        _ => true,
    });
    let mut statuses: Vec<u16> = kinds.map(ProblemKind::status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// The paths of progress, as server-sent events.
fn streams(schemas: &mut SchemaGenerator) -> [(&'static str, Value); 2] {
    let event = schemas.subschema_for::<ProgressEvent>();
    let described = |id: &str, summary: &str, last: Value, in_path: Option<Value>| {
        let last = json!({
            "in": "header",
            "name": "Last-Event-ID",
            "required": false,
            "description": "Go on after this event.",
            "schema": last,
        });
        let parameters: Vec<Value> = in_path.into_iter().chain([last]).collect();
        let mut responses = Map::new();
        let good = json!({
            "description": "Events, as they happen: `data` is a ProgressEvent. An event `reset` says that something was missed: read anew.",
            "content": { EVENT_STREAM: { "x-event-schema": event } },
        });
        responses.insert("200".to_owned(), good);
        for status in [400, 401, 403, 404, 406, 408, 429, 500, 503] {
            let reference = format!("#/components/responses/Problem{status}");
            responses.insert(status.to_string(), json!({ "$ref": reference }));
        }
        json!({ "get": {
            "operationId": id,
            "tags": ["Progress"],
            "summary": summary,
            "x-role": Role::Viewer.name(),
            "x-stream": true,
            "parameters": parameters,
            "responses": responses,
        } })
    };
    let schema = schemas.subschema_for::<DeploymentId>();
    let deployment = parameter("path", "deploymentId", true, schema.to_value());
    [
        (
            FOLLOW_DEPLOYMENT,
            described(
                "Progress.FollowDeployment",
                "Follows a deployment: its history from the beginning, and then what happens.",
                json!({ "type": "string", "pattern": "^[0-9]{1,15}$" }),
                Some(deployment),
            ),
        ),
        (
            FOLLOW_TENANT,
            described(
                "Progress.FollowTenant",
                "Follows everything of the tenant, from now on. After what is no event of this stream it begins with `reset`.",
                json!({ "type": "string" }),
                None,
            ),
        ),
    ]
}

fn problems() -> Map<String, Value> {
    let mut problems: Map<String, Value> = Map::new();
    for kind in ProblemKind::ALL {
        let name = format!("Problem{}", kind.status());
        let schema = json!({ "$ref": format!("#/components/schemas/{}", ProblemDocument::schema_name()) });
        let described = json!({
            "description": kind.title(),
            "content": { PROBLEM_JSON: { "schema": schema } },
        });
        problems.entry(name).or_insert(described);
    }
    problems
}
