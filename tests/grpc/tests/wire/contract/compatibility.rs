//! What would break clients that know an earlier contract.

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use runtime_grpc::PACKAGE;

/// Everything of `before` that `after` does not keep.
pub fn broken(before: &DescriptorPool, after: &DescriptorPool) -> Vec<String> {
    let mut broken = Vec::new();
    for service in before.services().filter(|service| service.package_name() == PACKAGE) {
        let Some(same) = after.get_service_by_name(service.full_name()) else {
            broken.push(format!("{} was removed", service.full_name()));
            continue;
        };
        for method in service.methods() {
            match same.methods().find(|other| other.name() == method.name()) {
                None => broken.push(format!("{} was removed", method.full_name())),
                Some(other) if called(&other) != called(&method) => {
                    broken.push(format!("{} takes or answers something else", method.full_name()));
                }
                Some(_) => {}
            }
        }
    }
    for message in
        before.all_messages().filter(|message| message.package_name() == PACKAGE && !message.is_map_entry())
    {
        // A message that no method knows any more breaks nobody.
        if let Some(same) = after.get_message_by_name(message.full_name()) {
            broken.extend(message.fields().filter_map(|field| lost(&field, &same)));
            let kept = |number: u32| same.reserved_ranges().any(|range| range.contains(&number));
            let freed = message.reserved_ranges().flatten().filter(|number| !kept(*number));
            broken.extend(
                freed.map(|number| format!("{}: {number} is not reserved any more", message.full_name())),
            );
        }
    }
    broken
}

fn called(method: &MethodDescriptor) -> (String, String, bool, bool) {
    let (input, output) = (method.input(), method.output());
    let streams = (method.is_client_streaming(), method.is_server_streaming());
    (input.full_name().to_owned(), output.full_name().to_owned(), streams.0, streams.1)
}

fn lost(field: &FieldDescriptor, message: &MessageDescriptor) -> Option<String> {
    let place = field.full_name();
    let Some(same) = message.get_field(field.number()) else {
        let is_reserved = message.reserved_ranges().any(|range| range.contains(&field.number()));
        let is_name_reserved = message.reserved_names().any(|name| name == field.name());
        return (!is_reserved || !is_name_reserved)
            .then(|| format!("{place} was removed, and its number and name are not reserved"));
    };
    if same.name() != field.name() {
        return Some(format!("{place}: its number {} is used again, for {}", field.number(), same.name()));
    }
    let (before, after) = (written(field), written(&same));
    (before != after).then(|| format!("{place} was {before} and is {after}"))
}

/// How a field lies on the wire, and in generated code.
fn written(field: &FieldDescriptor) -> String {
    let kind = |kind: Kind| match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        other => format!("{other:?}"),
    };
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { return String::new() };
        let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        return format!("map<{}, {}>", kind(key), kind(value));
    }
    let of = kind(field.kind());
    match (
        field.is_list(),
        field.supports_presence(),
        field.containing_oneof().filter(|of| !of.is_synthetic()),
    ) {
        (true, ..) => format!("repeated {of}"),
        (false, _, Some(choice)) => format!("{of} of {}", choice.name()),
        (false, true, None) => format!("optional {of}"),
        (false, false, None) => of,
    }
}
