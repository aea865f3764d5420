//! The structural comparison of what is desired with what is there.
//!
//! Both sides are brought into one normal form first, so that only real differences are left: a member that is `null` or has its
//! default is absent; numbers and quantities are exact; order-free lists have no order; what others own is left out. Then two
//! documents differ if and only if their difference has an entry.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod diff;
mod quantity;
#[cfg(test)]
mod tests;

pub use diff::{DiffEntry, DiffError, LONGEST_PATH, LONGEST_SHOWN, MOST_ENTRIES, NonEmptyDiff, ShownValue};

use crate::bug;
use crate::drift::secrecy;

/// How deep a document may nest.
pub const DEEPEST: usize = 32;
/// How many values a document may have.
pub const MOST_VALUES: usize = 10_000;
/// How many rules a comparison may have.
pub const MOST_RULES: usize = 256;

/// How the values at a path are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// Being absent means this value.
    AbsentMeans(Value),
    /// A quantity: `500m` is `0.5`, `1Gi` is `1073741824`.
    Quantity,
    /// The list has no order. Elements that all have a text of their own at this member are matched by it.
    Unordered(Option<String>),
    /// Not compared: something else owns it.
    Ignored,
}

/// How the values at every path that matches are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathRule {
    /// The members that lead there; `*` is any member or element.
    pub path: Vec<String>,
    /// How they are compared.
    pub treatment: Treatment,
}

/// Why two documents were not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// Too deep.
    #[error("a document nests deeper than {DEEPEST}: compare its parts")]
    TooDeep,
    /// Too large.
    #[error("a document has more than {MOST_VALUES} values: compare its parts")]
    TooLarge,
    /// A path is too long.
    #[error("a path is longer than {LONGEST_PATH} bytes: shorten the names")]
    PathTooLong,
    /// Too many rules.
    #[error("more than {MOST_RULES} rules were given: combine them with `*`")]
    TooManyRules,
}

/// Where two documents differ; `None` where they do not.
///
/// # Errors
/// A document or the rules exceed the bounds of this module.
pub fn difference(
    desired: &Value,
    actual: &Value,
    rules: &[PathRule],
) -> Result<Option<NonEmptyDiff>, CompareError> {
    if rules.len() > MOST_RULES {
        return Err(CompareError::TooManyRules);
    }
    let normal = |document| Normaliser { rules, values: 0 }.node(document, &mut Vec::new());
    let (desired, actual) = (normal(desired)?, normal(actual)?);
    let mut entries = Vec::new();
    walk(&Place { path: String::new(), hidden: false }, desired.as_ref(), actual.as_ref(), &mut entries);
    Ok(NonEmptyDiff::of(entries))
}

/// A normalised value. Two documents that mean the same have equal nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Null,
    Bool(bool),
    Number(i128),
    RawNumber(String),
    Text(String),
    List(Vec<Self>),
    Bag(Vec<Self>),
    Map(BTreeMap<String, Self>),
    Keyed(BTreeMap<String, Self>),
}

struct Normaliser<'r> {
    rules: &'r [PathRule],
    values: usize,
}

impl Normaliser<'_> {
    fn treatments<'p>(&'p self, path: &'p [String]) -> impl Iterator<Item = &'p Treatment> {
        let matches = move |rule: &&PathRule| {
            rule.path.len() == path.len()
                && rule.path.iter().zip(path).all(|(want, is)| want == "*" || want == is)
        };
        self.rules.iter().filter(matches).map(|rule| &rule.treatment)
    }

    /// `None` where the value is as good as absent. The depth is bounded by [`DEEPEST`].
    fn node(&mut self, value: &Value, path: &mut Vec<String>) -> Result<Option<Node>, CompareError> {
        if path.len() > DEEPEST {
            return Err(CompareError::TooDeep);
        }
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(CompareError::TooLarge);
        }
        if self.treatments(path).any(|treatment| *treatment == Treatment::Ignored) {
            return Ok(None);
        }
        let node = self.present(value, path)?;
        let default = self.treatments(path).find_map(|treatment| match treatment {
            Treatment::AbsentMeans(default) => Some(default.clone()),
            _ => None,
        });
        let absent = match default {
            Some(_) if bug!("out-of-sync-by-nothing") => false,
            Some(default) => self.present(&default, path)? == node,
            None => false,
        };
        Ok((!absent && node != Node::Null).then_some(node))
    }

    fn present(&mut self, value: &Value, path: &mut Vec<String>) -> Result<Node, CompareError> {
        let is_quantity = self.treatments(path).any(|treatment| *treatment == Treatment::Quantity);
        Ok(match value {
            Value::Null => Node::Null,
            Value::Bool(value) => Node::Bool(*value),
            Value::Number(number) => {
                let text = number.to_string();
                quantity::nanos(&text).map_or(Node::RawNumber(text), Node::Number)
            }
            Value::String(text) => match quantity::nanos(text) {
                Some(nanos) if is_quantity => Node::Number(nanos),
                _ => Node::Text(text.clone()),
            },
            Value::Object(members) => {
                let mut map = BTreeMap::new();
                for (name, member) in members {
                    if let Some(node) = self.below(member, name, path)? {
                        map.insert(name.clone(), node);
                    }
                }
                Node::Map(map)
            }
            Value::Array(elements) => self.list(elements, path)?,
        })
    }

    fn below(
        &mut self,
        value: &Value,
        name: &str,
        path: &mut Vec<String>,
    ) -> Result<Option<Node>, CompareError> {
        path.push(name.to_string());
        let length: usize = path.iter().map(|part| 2 * part.len() + 1).sum();
        let node =
            if length > LONGEST_PATH { Err(CompareError::PathTooLong) } else { self.node(value, path) };
        path.pop();
        node
    }

    fn list(&mut self, elements: &[Value], path: &mut Vec<String>) -> Result<Node, CompareError> {
        let unordered = self.treatments(path).find_map(|treatment| match treatment {
            Treatment::Unordered(key) => Some(key.clone()),
            _ => None,
        });
        if let Some(Some(key)) = &unordered {
            let keys: Vec<&str> = elements.iter().filter_map(|element| element.get(key)?.as_str()).collect();
            let distinct: BTreeSet<&str> = keys.iter().copied().collect();
            if distinct.len() == elements.len() {
                let mut map = BTreeMap::new();
                for (element, key) in elements.iter().zip(keys) {
                    map.insert(key.to_string(), self.below(element, key, path)?.unwrap_or(Node::Null));
                }
                return Ok(Node::Keyed(map));
            }
        }
        let mut nodes = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            // An order-free element has no index that a rule could name.
            let name = if unordered.is_some() { "*".to_string() } else { index.to_string() };
            nodes.push(self.below(element, &name, path)?.unwrap_or(Node::Null));
        }
        Ok(match unordered {
            Some(_) => {
                nodes.sort();
                Node::Bag(nodes)
            }
            None => Node::List(nodes),
        })
    }
}

/// Where a walk is, and whether a name on the way said that what is below is secret.
struct Place {
    path: String,
    hidden: bool,
}

impl Place {
    fn below(&self, name: &str, desired: Option<&Node>, actual: Option<&Node>) -> Self {
        let hidden = self.hidden
            || secrecy::is_secret_name(name)
            || [desired, actual].into_iter().flatten().any(names_a_secret);
        let shown = if secrecy::is_like_a_secret(name) {
            "«redacted»".to_string()
        } else {
            name.replace('~', "~0").replace('/', "~1")
        };
        Self { path: [&self.path, "/", &shown].concat(), hidden }
    }
}

/// Whether a pair such as `{name: DB_PASSWORD, value: …}` names a secret by one of its values.
fn names_a_secret(node: &Node) -> bool {
    let Node::Map(members) = node else { return false };
    ["name", "key", "id"]
        .into_iter()
        .any(|member| matches!(members.get(member), Some(Node::Text(text)) if secrecy::is_secret_name(text)))
}

/// The depth is bounded: both sides went through [`Normaliser::node`].
fn walk(place: &Place, desired: Option<&Node>, actual: Option<&Node>, entries: &mut Vec<DiffEntry>) {
    if desired == actual {
        return;
    }
    match (desired, actual) {
        (Some(Node::Map(wanted)), Some(Node::Map(found)))
        | (Some(Node::Keyed(wanted)), Some(Node::Keyed(found))) => {
            let found_too = found.keys().filter(|_| !bug!("real-drift-is-missed"));
            let names: BTreeSet<&String> = wanted.keys().chain(found_too).collect();
            for name in names {
                let (wanted, found) = (wanted.get(name), found.get(name));
                walk(&place.below(name, wanted, found), wanted, found, entries);
            }
        }
        (Some(Node::List(wanted)), Some(Node::List(found))) if wanted.len() == found.len() => {
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                let below = place.below(&index.to_string(), Some(wanted), Some(found));
                walk(&below, Some(wanted), Some(found), entries);
            }
        }
        _ => {
            let shown = |side: Option<&Node>| side.map_or(ShownValue::Absent, |node| show(place, node));
            entries.push(DiffEntry {
                path: place.path.clone(),
                desired: shown(desired),
                actual: shown(actual),
            });
        }
    }
}

fn show(place: &Place, node: &Node) -> ShownValue {
    if (place.hidden || holds_a_secret(node)) && !bug!("secret-in-a-diff") {
        return ShownValue::Redacted;
    }
    let mut text = String::new();
    write_canonical(node, &mut text);
    ShownValue::of(&text)
}

fn holds_a_secret(node: &Node) -> bool {
    match node {
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::RawNumber(_) => false,
        Node::Text(text) => secrecy::is_like_a_secret(text),
        Node::List(nodes) | Node::Bag(nodes) => nodes.iter().any(holds_a_secret),
        Node::Map(members) | Node::Keyed(members) => {
            names_a_secret(node)
                || members.iter().any(|(name, member)| {
                    secrecy::is_secret_name(name) || secrecy::is_like_a_secret(name) || holds_a_secret(member)
                })
        }
    }
}

fn write_canonical(node: &Node, text: &mut String) {
    let separated = |text: &mut String, index: usize| {
        if index > 0 {
            text.push(',');
        }
    };
    match node {
        Node::Null => text.push_str("null"),
        Node::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Node::Number(nanos) => text.push_str(&decimal(*nanos)),
        Node::RawNumber(number) => text.push_str(number),
        Node::Text(value) => text.push_str(&Value::from(value.as_str()).to_string()),
        Node::List(nodes) | Node::Bag(nodes) => {
            text.push('[');
            for (index, node) in nodes.iter().enumerate() {
                separated(text, index);
                write_canonical(node, text);
            }
            text.push(']');
        }
        Node::Map(members) | Node::Keyed(members) => {
            text.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                separated(text, index);
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_canonical(member, text);
            }
            text.push('}');
        }
    }
}

fn decimal(nanos: i128) -> String {
    let size = nanos.unsigned_abs();
    let (units, rest) = (size / 1_000_000_000, size % 1_000_000_000);
    let sign = if nanos < 0 { "-" } else { "" };
    let decimals = alloc::format!("{rest:09}");
    match decimals.trim_end_matches('0') {
        "" => alloc::format!("{sign}{units}"),
        decimals => alloc::format!("{sign}{units}.{decimals}"),
    }
}
