//! What the catalogue offers, as protobuf would say it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use runtime_api::catalogue::Catalogue;
use runtime_grpc::{PACKAGE, Watch};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The services by name, and the messages by name; a part of a message has its name before its own: `Strategy.Canary`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Model {
    pub services: BTreeMap<String, BTreeMap<String, MethodModel>>,
    pub messages: BTreeMap<String, MessageModel>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodModel {
    pub doc: String,
    pub input: String,
    pub output: String,
    pub streams: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageModel {
    pub doc: String,
    /// By name in JSON, in the order in which numbers are given.
    pub fields: Vec<FieldModel>,
    /// Whether exactly one of the fields is there.
    pub is_choice: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldModel {
    pub json: String,
    pub doc: String,
    pub shape: Shape,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    One(Kind),
    List(Kind),
    /// By text.
    Map(Kind),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Text,
    Boolean,
    Unsigned32,
    Unsigned64,
    Signed32,
    Signed64,
    Double,
    Timestamp,
    Message(String),
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text => "string",
            Self::Boolean => "bool",
            Self::Unsigned32 => "uint32",
            Self::Unsigned64 => "uint64",
            Self::Signed32 => "int32",
            Self::Signed64 => "int64",
            Self::Double => "double",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Message(name) => name,
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(kind) => write!(formatter, "{kind}"),
            Self::List(kind) => write!(formatter, "repeated {kind}"),
            Self::Map(kind) => write!(formatter, "map<string, {kind}>"),
        }
    }
}

const REFERENCES: &str = "/definitions";

/// The model of a catalogue.
pub fn model(catalogue: &Catalogue) -> Model {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = REFERENCES.into());
    let mut schemas = settings.into_generator();
    let mut drawn = Vec::new();
    for operation in catalogue.operations() {
        let request = operation.request_schema(&mut schemas).to_value();
        let answer = operation.answer_schema(&mut schemas).to_value();
        drawn.push((*operation.descriptor(), request, answer));
    }
    let watched = Watch::ALL.map(|watch| {
        (watch, watch.request_schema(&mut schemas).to_value(), watch.answer_schema(&mut schemas).to_value())
    });
    let mut builder = Builder { definitions: definitions(schemas), model: Model::default() };
    for (descriptor, request, answer) in drawn {
        let input = format!("{}Request", descriptor.name);
        let doc = format!("Asks for `{}`.", descriptor.id());
        let request = builder.resolved(&request).clone();
        builder.message(&input, &request, Some(&doc));
        let Kind::Message(output) = builder.kind(&answer, descriptor.name) else {
            panic!("{}: the answer is not an object", descriptor.id());
        };
        let role = descriptor.role;
        let preview = if descriptor.previews { " `dry-run` previews it." } else { "" };
        let method = MethodModel {
            doc: format!("{} Role: `{role}`.{preview}", descriptor.summary),
            input,
            output,
            streams: false,
        };
        let service = builder.model.services.entry(descriptor.service.to_owned()).or_default();
        assert_eq!(service.insert(descriptor.name.to_owned(), method), None, "{}", descriptor.id());
    }
    for (watch, request, answer) in watched {
        let input = format!("{}Request", watch.name());
        let doc = format!("Asks for `{}.{}`.", watch.service(), watch.name());
        let request = builder.resolved(&request).clone();
        builder.message(&input, &request, Some(&doc));
        let Kind::Message(output) = builder.kind(&answer, watch.name()) else { panic!("it tells objects") };
        let doc = format!("{} Role: `{}`.", watch.summary(), watch.role());
        let method = MethodModel { doc, input, output, streams: true };
        let service = builder.model.services.entry(watch.service().to_owned()).or_default();
        assert_eq!(service.insert(watch.name().to_owned(), method), None);
    }
    builder.model
}

fn definitions(mut schemas: SchemaGenerator) -> Map<String, Value> {
    schemas.take_definitions(true)
}

struct Builder {
    definitions: Map<String, Value>,
    model: Model,
}

impl Builder {
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
        let name = reference.rsplit('/').next().unwrap();
        self.definitions.get(name).unwrap_or_else(|| panic!("{reference} is not defined"))
    }

    /// The name that a schema is defined under.
    fn name(schema: &Value) -> Option<String> {
        Some(schema.get("$ref")?.as_str()?.rsplit('/').next()?.to_owned())
    }

    /// Takes a schema of an object, or of a choice, in as a message.
    fn message(&mut self, name: &str, schema: &Value, doc: Option<&str>) {
        if self.model.messages.contains_key(name) {
            return;
        }
        let doc = doc.map_or_else(|| described(schema), str::to_owned);
        // It may hold itself.
        self.model.messages.insert(name.to_owned(), MessageModel::default());
        let message = match schema.get("oneOf").and_then(Value::as_array) {
            Some(choices) => {
                let fields = choices.iter().map(|choice| self.chosen(name, choice)).collect();
                MessageModel { doc, fields, is_choice: true }
            }
            None => MessageModel { doc, fields: self.fields(name, schema), is_choice: false },
        };
        self.model.messages.insert(name.to_owned(), message);
    }

    fn chosen(&mut self, name: &str, choice: &Value) -> FieldModel {
        let members = choice.get("properties").and_then(Value::as_object);
        let members =
            members.unwrap_or_else(|| panic!("{name}: a choice is an object with one member: {choice}"));
        assert_eq!(members.len(), 1, "{name}: a choice has one member");
        let (json, schema) = members.iter().next().unwrap();
        let kind = self.kind(schema, &format!("{name}.{}", pascal(json)));
        let doc = [described(choice), described(schema)].into_iter().find(|doc| !doc.is_empty());
        assert!(matches!(kind, Kind::Message(_)), "{name}.{json}: what is chosen is an object");
        FieldModel { json: json.clone(), doc: doc.unwrap_or_default(), shape: Shape::One(kind) }
    }

    /// The fields of an object: those that must be there first, as they were declared.
    fn fields(&mut self, name: &str, schema: &Value) -> Vec<FieldModel> {
        let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let required: Vec<String> =
            schema.get("required").and_then(Value::as_array).map_or_else(Vec::new, |names| {
                names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
            });
        let others: BTreeSet<&String> = properties.keys().filter(|name| !required.contains(name)).collect();
        let names: Vec<String> = required.iter().chain(others).cloned().collect();
        let fields = names.iter().map(|json| {
            let is_required = required.contains(json);
            self.field(name, json, &properties[json], is_required)
        });
        fields.collect()
    }

    fn field(&mut self, message: &str, json: &str, schema: &Value, is_required: bool) -> FieldModel {
        let place = format!("{message}.{json}");
        let shape = self.shape(&place, &format!("{message}.{}", pascal(json)), schema);
        let default = schema.get("default").filter(|default| !default.is_null());
        if let (Shape::List(_) | Shape::Map(_), Some(default)) = (&shape, default) {
            let is_empty = default.as_array().is_some_and(Vec::is_empty)
                || default.as_object().is_some_and(Map::is_empty);
            assert!(
                is_empty,
                "{place}: protobuf cannot tell an empty list from an absent one, and {default} is assumed"
            );
        }
        assert_eq!(camel(&snake(json)), json, "{place}: the name does not survive protobuf's JSON");
        let mut doc = vec![described(schema)];
        if doc[0].is_empty() {
            doc[0] = described(self.resolved(&non_null(schema)));
        }
        doc.extend(self.words(schema));
        match (&shape, default) {
            (Shape::One(_), Some(default)) if !default.is_object() => {
                doc.push(format!("Default: `{default}`."))
            }
            (Shape::One(_), _) if is_required => doc.push("Required.".to_owned()),
            _ => {}
        }
        doc.retain(|line| !line.is_empty());
        FieldModel { json: json.to_owned(), doc: doc.join(" "), shape }
    }

    /// Which words a closed set has.
    fn words(&self, schema: &Value) -> Option<String> {
        let schema = non_null(schema);
        let schema = self.resolved(&schema);
        let schema = schema.get("items").map_or(schema, |items| self.resolved(items));
        let words = words(schema)?;
        Some(format!(
            "One of {}.",
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        ))
    }

    fn shape(&mut self, place: &str, part: &str, schema: &Value) -> Shape {
        let is_nullable = non_null(schema) != *schema;
        let schema = non_null(schema);
        let resolved = self.resolved(&schema).clone();
        if is_type(&resolved, "array") {
            assert!(
                !is_nullable,
                "{place}: protobuf cannot tell an empty list from none: put it into an object"
            );
            let items = resolved.get("items").unwrap_or_else(|| panic!("{place}: a list of anything"));
            return Shape::List(self.kind(items, part));
        }
        let values = resolved.get("additionalProperties").filter(|values| values.is_object());
        let is_map = values.is_some() || resolved.get("patternProperties").is_some();
        if is_type(&resolved, "object") && is_map && resolved.get("properties").is_none() {
            assert!(
                !is_nullable,
                "{place}: protobuf cannot tell an empty map from none: put it into an object"
            );
            let patterned = resolved.get("patternProperties").and_then(Value::as_object);
            let values = values.or_else(|| patterned?.values().next()).unwrap().clone();
            return Shape::Map(self.kind(&values, part));
        }
        Shape::One(self.kind(&schema, part))
    }

    /// What one value is; an object without a name of its own is called `part`.
    fn kind(&mut self, schema: &Value, part: &str) -> Kind {
        let resolved = self.resolved(schema).clone();
        if words(&resolved).is_some() || is_type(&resolved, "string") {
            let is_time = resolved.get("format").is_some_and(|format| format == "date-time");
            return if is_time { Kind::Timestamp } else { Kind::Text };
        }
        if is_type(&resolved, "boolean") {
            return Kind::Boolean;
        }
        if is_type(&resolved, "integer") {
            let format = resolved.get("format").and_then(Value::as_str).unwrap_or("int64");
            return match format {
                "uint8" | "uint16" | "uint32" => Kind::Unsigned32,
                "uint64" | "uint" => Kind::Unsigned64,
                "int8" | "int16" | "int32" => Kind::Signed32,
                "int64" | "int" => Kind::Signed64,
                other => panic!("{part}: {other} is no number that protobuf has"),
            };
        }
        if is_type(&resolved, "number") {
            return Kind::Double;
        }
        let is_object = is_type(&resolved, "object") || resolved.get("oneOf").is_some();
        assert!(is_object, "{part}: {resolved} has no place in protobuf");
        let name = Self::name(schema).unwrap_or_else(|| part.to_owned());
        self.message(&name, &resolved, None);
        Kind::Message(name)
    }
}

fn is_type(schema: &Value, name: &str) -> bool {
    schema.get("type").is_some_and(|kind| kind == name)
}

/// The words of a closed set.
fn words(schema: &Value) -> Option<Vec<String>> {
    let listed = schema.get("enum").and_then(Value::as_array).map(|words| words.iter().collect::<Vec<_>>());
    let single = schema.get("const").map(|word| vec![word]);
    let one_of = || {
        let choices = schema.get("oneOf")?.as_array()?;
        let words = choices.iter().map(|choice| {
            choice
                .get("const")
                .map(|word| vec![word])
                .or_else(|| Some(choice.get("enum")?.as_array()?.iter().collect()))
        });
        Some(words.collect::<Option<Vec<_>>>()?.concat())
    };
    let words = listed.or(single).or_else(one_of)?;
    words.into_iter().map(|word| word.as_str().map(str::to_owned)).collect()
}

/// The schema of what is there where something is.
fn non_null(schema: &Value) -> Value {
    let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let others: Vec<&Value> = choices.iter().filter(|choice| !is_null(choice)).collect();
        assert_eq!(others.len(), 1, "a choice without names: {schema}");
        return others[0].clone();
    }
    if let Some(kinds) = schema.get("type").and_then(Value::as_array) {
        let others: Vec<&Value> = kinds.iter().filter(|kind| *kind != "null").collect();
        assert_eq!(others.len(), 1, "a value of several types: {schema}");
        let mut schema = schema.clone();
        schema["type"] = others[0].clone();
        return schema;
    }
    schema.clone()
}

fn described(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `bakeMillis` as `bake_millis`.
pub fn snake(json: &str) -> String {
    let mut name = String::new();
    for letter in json.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |name, part| name + &pascal(part))
}

fn pascal(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// The whole name of a message.
pub fn full(name: &str) -> String {
    format!("{PACKAGE}.{name}")
}
