//! Whether a consumer who reads by an older schema understands what is written by a newer one.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde_json::Value;

/// What tells people something and means nothing to a reader.
const ANNOTATIONS: [&str; 8] =
    ["$schema", "$id", "$defs", "title", "description", "default", "examples", "deprecated"];

/// What a consumer of `older` would notice in what is written by `newer`; empty where nothing.
///
/// A property may be added, and one that was optional may become certain. A property that goes, is no longer certain, or changes its
/// form; a value or a variant that is added: each is told with its place. Any other difference that this does not know counts too.
pub fn breaks(older: &Value, newer: &Value) -> Vec<String> {
    let mut comparison = Comparison { older, newer, seen: BTreeSet::new(), found: Vec::new() };
    comparison.compare("", older, newer);
    comparison.found
}

struct Comparison<'s> {
    older: &'s Value,
    newer: &'s Value,
    /// Pairs of definitions that are compared already, since definitions may refer to themselves.
    seen: BTreeSet<(String, String)>,
    found: Vec<String>,
}

impl<'s> Comparison<'s> {
    fn compare(&mut self, place: &str, older: &'s Value, newer: &'s Value) {
        let (Some(older), Some(newer)) = (self.resolved(older, newer), self.resolved_newer(newer)) else {
            return;
        };
        let mut keywords: BTreeSet<&str> = BTreeSet::new();
        for schema in [older, newer] {
            keywords.extend(schema.as_object().into_iter().flatten().map(|(keyword, _)| keyword.as_str()));
        }
        for keyword in keywords.into_iter().filter(|keyword| !ANNOTATIONS.contains(keyword)) {
            match keyword {
                "properties" => self.properties(place, older, newer),
                "required" => self.required(place, older, newer),
                "type" | "enum" => self.values(place, keyword, older, newer),
                "oneOf" | "anyOf" => self.variants(place, keyword, older, newer),
                "items" | "additionalProperties" => match (older.get(keyword), newer.get(keyword)) {
                    (Some(Value::Object(_)), Some(Value::Object(_))) => {
                        let (older, newer) = (&older[keyword], &newer[keyword]);
                        self.compare(&format!("{place}/*"), older, newer);
                    }
                    (older, newer) => self.same(place, keyword, older, newer),
                },
                _ => self.same(place, keyword, older.get(keyword), newer.get(keyword)),
            }
        }
    }

    /// The older schema behind its reference; `None` where this pair of definitions was compared already.
    fn resolved(&mut self, older: &'s Value, newer: &'s Value) -> Option<&'s Value> {
        if let (Some(one), Some(other)) = (reference(older), reference(newer))
            && !self.seen.insert((one.to_string(), other.to_string()))
        {
            return None;
        }
        definition(self.older, older)
    }

    fn resolved_newer(&self, newer: &'s Value) -> Option<&'s Value> {
        definition(self.newer, newer)
    }

    fn properties(&mut self, place: &str, older: &'s Value, newer: &'s Value) {
        for (name, before) in older["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}/{name}");
            match newer["properties"].get(name) {
                Some(after) => self.compare(&place, before, after),
                None => self.found.push(format!("{place} is gone")),
            }
        }
    }

    fn required(&mut self, place: &str, older: &Value, newer: &Value) {
        for name in listed(&older["required"]).difference(&listed(&newer["required"])) {
            self.found.push(format!("{place}/{name} is no longer always there"));
        }
    }

    /// What is written must be among what is expected.
    fn values(&mut self, place: &str, keyword: &str, older: &Value, newer: &Value) {
        let (Some(before), Some(after)) = (older.get(keyword), newer.get(keyword)) else {
            return self.same(place, keyword, older.get(keyword), newer.get(keyword));
        };
        for value in listed(after).difference(&listed(before)) {
            self.found.push(format!("{place} may be {value} now"));
        }
    }

    /// Every variant that is written must be one that is expected.
    fn variants(&mut self, place: &str, keyword: &str, older: &'s Value, newer: &'s Value) {
        let (Some(before), Some(after)) = (older[keyword].as_array(), newer[keyword].as_array()) else {
            return self.same(place, keyword, older.get(keyword), newer.get(keyword));
        };
        for variant in after {
            let mut closest: Option<Vec<String>> = None;
            for expected in before {
                let mut trial = Comparison {
                    older: self.older,
                    newer: self.newer,
                    seen: self.seen.clone(),
                    found: Vec::new(),
                };
                trial.compare(place, expected, variant);
                let is_closer = closest.as_ref().is_none_or(|closest| trial.found.len() < closest.len());
                if is_closer {
                    closest = Some(trial.found);
                }
            }
            let why = closest.unwrap_or_else(|| vec![format!("{place} has a variant that nobody expects")]);
            self.found.extend(why);
        }
    }

    fn same(&mut self, place: &str, keyword: &str, older: Option<&Value>, newer: Option<&Value>) {
        if older != newer {
            let told = |value: Option<&Value>| value.map_or("nothing".to_string(), Value::to_string);
            self.found.push(format!("{place}: `{keyword}` was {} and is {}", told(older), told(newer)));
        }
    }
}

fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()
}

/// A schema, or the definition that it refers to; an unknown reference stands for itself.
fn definition<'s>(root: &'s Value, schema: &'s Value) -> Option<&'s Value> {
    let name = reference(schema).and_then(|reference| reference.strip_prefix("#/$defs/"));
    Some(name.and_then(|name| root["$defs"].get(name)).unwrap_or(schema))
}

/// A keyword's value or values, as texts.
fn listed(value: &Value) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToString::to_string);
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        Value::Null => BTreeSet::new(),
        value => BTreeSet::from([text(value)]),
    }
}
