//! The contract as it is written down: a file for each service, and one for what they have in common.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, MessageDescriptor};
use runtime_grpc::PACKAGE;

use super::model::{Kind, MessageModel, MethodModel, Model, Shape, full, snake};

/// How wide a comment is.
const WIDTH: usize = 110;

/// The files by name. Numbers are those of `before`; what is new gets fresh ones, and what went is reserved.
pub fn files(model: &Model, before: &DescriptorPool) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let requests: BTreeSet<&String> =
        model.services.values().flat_map(BTreeMap::values).map(|method| &method.input).collect();
    for (service, methods) in &model.services {
        files.insert(
            format!("{}.proto", snake(&decapitalised(service)).as_str()),
            file(model, before, service, methods),
        );
    }
    let mut text = head("What requests and answers are made of.");
    let documents = model.messages.keys().filter(|name| !name.contains('.') && !requests.contains(name));
    let documents: Vec<&String> = documents.collect();
    text.push_str(&imports(model, documents.iter().copied(), false));
    for name in documents {
        text.push('\n');
        message(&mut text, model, before, name, 0);
    }
    files.insert("documents.proto".to_owned(), text);
    files
}

fn decapitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}

fn head(about: &str) -> String {
    format!(
        "// {about}\n//\n// Generated from the catalogue of `runtime-api`: `UPDATE_PROTO=1 cargo test -p factory-runtime-grpc-tests`. Numbers stay as they are.\n\nsyntax = \"proto3\";\n\npackage {PACKAGE};\n"
    )
}

fn file(
    model: &Model,
    before: &DescriptorPool,
    service: &str,
    methods: &BTreeMap<String, MethodModel>,
) -> String {
    let mut text = head(&format!("What `{service}` offers."));
    text.push_str(&imports(model, methods.values().map(|method| &method.input), true));
    let _ = writeln!(text, "\nservice {service} {{");
    for (place, (name, method)) in methods.iter().enumerate() {
        if place > 0 {
            text.push('\n');
        }
        comment(&mut text, &method.doc, 1);
        let stream = if method.streams { "stream " } else { "" };
        let _ = writeln!(text, "  rpc {name}({}) returns ({stream}{});", method.input, method.output);
    }
    text.push_str("}\n");
    for method in methods.values() {
        text.push('\n');
        message(&mut text, model, before, &method.input, 0);
    }
    text
}

/// What the messages need from elsewhere.
fn imports<'a>(model: &Model, names: impl Iterator<Item = &'a String>, is_service: bool) -> String {
    let mut needed = BTreeSet::new();
    if is_service {
        needed.insert("factory/runtime/v1/documents.proto");
    }
    for name in names {
        let parts = format!("{name}.");
        let own = model.messages.iter().filter(|(part, _)| *part == name || part.starts_with(&parts));
        let mut fields = own.flat_map(|(_, message)| &message.fields);
        let has_time = fields.any(|field| {
            matches!(
                &field.shape,
                Shape::One(Kind::Timestamp) | Shape::List(Kind::Timestamp) | Shape::Map(Kind::Timestamp)
            )
        });
        if has_time {
            needed.insert("google/protobuf/timestamp.proto");
        }
    }
    let lines: String = needed.iter().map(|path| format!("import \"{path}\";\n")).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

fn message(text: &mut String, model: &Model, before: &DescriptorPool, name: &str, depth: usize) {
    let MessageModel { doc, fields, is_choice } = &model.messages[name];
    let indent = "  ".repeat(depth);
    let numbers =
        Numbers::of(before.get_message_by_name(&full(name)), fields.iter().map(|field| snake(&field.json)));
    comment(text, doc, depth);
    let last = name.rsplit('.').next().unwrap();
    let parts: Vec<&String> = model
        .messages
        .keys()
        .filter(|part| part.rsplit_once('.').is_some_and(|(of, _)| of == name))
        .collect();
    if fields.is_empty() && numbers.reserved.is_empty() {
        let _ = writeln!(text, "{indent}message {last} {{}}");
        return;
    }
    let _ = writeln!(text, "{indent}message {last} {{");
    for line in numbers.reserved() {
        let _ = writeln!(text, "{indent}  {line}");
    }
    for part in &parts {
        message(text, model, before, part, depth + 1);
        text.push('\n');
    }
    let mut fields: Vec<_> = fields.iter().map(|field| (numbers.given[&snake(&field.json)], field)).collect();
    fields.sort_by_key(|(number, _)| *number);
    let within = if *is_choice { depth + 2 } else { depth + 1 };
    let inner = "  ".repeat(within);
    if *is_choice {
        let _ = writeln!(text, "{indent}  oneof choice {{");
    }
    for (number, field) in fields {
        comment(text, &field.doc, within);
        let presence = match &field.shape {
            Shape::One(Kind::Message(_) | Kind::Timestamp) => "",
            Shape::One(_) if !is_choice => "optional ",
            _ => "",
        };
        let _ = writeln!(text, "{inner}{presence}{} {} = {number};", field.shape, snake(&field.json));
    }
    if *is_choice {
        let _ = writeln!(text, "{indent}  }}");
    }
    let _ = writeln!(text, "{indent}}}");
}

fn comment(text: &mut String, doc: &str, depth: usize) {
    let indent = "  ".repeat(depth);
    let mut line = String::new();
    for word in doc.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && indent.len() + 3 + line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{indent}// {line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        let _ = writeln!(text, "{indent}// {line}");
    }
}

/// The numbers of a message's fields.
#[derive(Debug, Default)]
struct Numbers {
    given: BTreeMap<String, u32>,
    /// What was taken by fields that went, and their names.
    reserved: BTreeMap<u32, Option<String>>,
    names: BTreeSet<String>,
}

impl Numbers {
    fn of(before: Option<MessageDescriptor>, fields: impl Iterator<Item = String>) -> Self {
        let fields: Vec<String> = fields.collect();
        let mut numbers = Self::default();
        if let Some(before) = &before {
            for field in before.fields() {
                if fields.iter().any(|name| name == field.name()) {
                    numbers.given.insert(field.name().to_owned(), field.number());
                } else {
                    numbers.reserved.insert(field.number(), Some(field.name().to_owned()));
                    numbers.names.insert(field.name().to_owned());
                }
            }
            for number in before.reserved_ranges().flatten() {
                numbers.reserved.insert(number, None);
            }
            for name in before.reserved_names() {
                assert!(
                    !fields.iter().any(|field| field == name),
                    "{}.{name} was removed: call it otherwise",
                    before.full_name()
                );
                numbers.names.insert(name.to_owned());
            }
        }
        let used = numbers.given.values().chain(numbers.reserved.keys()).max();
        let mut next = used.map_or(1, |last| last + 1);
        for name in fields {
            if let Entry::Vacant(unnumbered) = numbers.given.entry(name) {
                unnumbered.insert(next);
                next += 1;
            }
        }
        numbers
    }

    fn reserved(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.reserved.is_empty() {
            let numbers: Vec<String> = self.reserved.keys().map(u32::to_string).collect();
            lines.push(format!("reserved {};", numbers.join(", ")));
        }
        if !self.names.is_empty() {
            let names: Vec<String> = self.names.iter().map(|name| format!("\"{name}\"")).collect();
            lines.push(format!("reserved {};", names.join(", ")));
        }
        lines
    }
}
