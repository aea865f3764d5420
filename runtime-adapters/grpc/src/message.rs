//! How a message becomes the document that an operation takes, and a document the message that answers it: by proto3's canonical JSON, with
//! numbers of 64 bits as numbers.
//!
//! A list that is empty is not told from one that is absent by protobuf, so that empty ones are always said; everything else says itself
//! whether it is there.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, MessageDescriptor, ReflectMessage as _, SerializeOptions,
    Value as Field,
};
use runtime_api::{Problem, ProblemKind};
use serde_json::Value;

use crate::options::GrpcOptions;

mod count;

use count::has_more_fields;

/// The document of a message of this type.
pub(crate) fn document(
    of: MessageDescriptor,
    message: Bytes,
    options: &GrpcOptions,
) -> Result<Value, Problem> {
    if has_more_fields(&of, &message, options.message_fields) {
        let detail = format!("the message has more than {} fields", options.message_fields);
        return Err(Problem::new(ProblemKind::ContentTooLarge, detail));
    }
    let name = of.name().to_owned();
    let message = DynamicMessage::decode(of, message)
        .map_err(|error| malformed(format!("this is not a {name}: {error}")))?;
    if let Some(unknown) = unknown(&message) {
        return Err(malformed(unknown).remedied_by("use the contract that the host tells by reflection"));
    }
    let options = SerializeOptions::new().stringify_64_bit_integers(false).skip_default_fields(false);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| malformed(format!("this is not a {name}: {error}")))
}

/// The message of this type that says what a document says.
pub(crate) fn message(of: MessageDescriptor, document: &str) -> Result<Bytes, Problem> {
    let name = of.full_name().to_owned();
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let mut document = serde_json::Deserializer::from_str(document);
    let message = DynamicMessage::deserialize_with_options(of, &mut document, &options);
    let message = message.map_err(|error| {
        tracing::error!(message = name, %error, "an answer is not of its message");
        Problem::from_kind(ProblemKind::Internal)
    })?;
    Ok(message.encode_to_vec().into())
}

fn malformed(detail: String) -> Problem {
    Problem::new(ProblemKind::Malformed, detail)
}

/// What a message says that its contract does not know.
fn unknown(message: &DynamicMessage) -> Option<String> {
    if let Some(field) = message.unknown_fields().next() {
        let name = message.descriptor().name().to_owned();
        return Some(format!("{name} has no field {}", field.number()));
    }
    message.fields().find_map(|(_, value)| unknown_within(value))
}

fn unknown_within(value: &Field) -> Option<String> {
    match value {
        Field::Message(message) => unknown(message),
        Field::List(items) => items.iter().find_map(unknown_within),
        Field::Map(entries) => entries.values().find_map(unknown_within),
        _ => None,
    }
}
