//! Whether those who were written for an older description can go on with a newer one.

use std::collections::BTreeSet;

use serde_json::Value;

/// What whoever was written for `older` would notice in `newer`; empty where nothing.
///
/// Operations, fields, parameters, words and statuses of success may be added. What goes, what a request must say that it need not say before,
/// what an answer no longer always says, and what changes its form: each is told with its place.
pub fn breaks(older: &Value, newer: &Value) -> Vec<String> {
    let mut comparison = Comparison { older, newer, seen: BTreeSet::new(), found: Vec::new() };
    comparison.paths();
    comparison.found
}

/// In which direction a schema's documents go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sent {
    ByCallers,
    ByTheHost,
}

struct Comparison<'d> {
    older: &'d Value,
    newer: &'d Value,
    /// Definitions that are compared already, since they may refer to themselves.
    seen: BTreeSet<(Sent, String, String)>,
    found: Vec<String>,
}

impl<'d> Comparison<'d> {
    fn paths(&mut self) {
        for (path, methods) in members(&self.older["paths"]) {
            for (method, before) in members(methods) {
                let place = format!("{} {path}", method.to_ascii_uppercase());
                match self.newer["paths"].get(path).and_then(|methods| methods.get(method)) {
                    Some(after) => self.operation(&place, before, after),
                    None => self.found.push(format!("{place} is gone")),
                }
            }
        }
    }

    fn operation(&mut self, place: &str, before: &'d Value, after: &'d Value) {
        if before["operationId"] != after["operationId"] {
            self.found.push(format!("{place} is called otherwise"));
        }
        self.parameters(place, before, after);
        let body = |operation: &'d Value| &operation["requestBody"]["content"]["application/json"]["schema"];
        if body(before).is_object() {
            self.schema(&format!("{place}: body"), Sent::ByCallers, body(before), body(after));
        }
        if after["requestBody"]["required"] == true && before["requestBody"]["required"] != true {
            self.found.push(format!("{place}: it must have a body now"));
        }
        for (status, before) in members(&before["responses"]) {
            let place = format!("{place}: {status}");
            let Some(after) = after["responses"].get(status) else {
                if status.starts_with('2') {
                    self.found.push(format!("{place} is gone"));
                }
                continue;
            };
            let schema = |response: &'d Value| &response["content"]["application/json"]["schema"];
            if schema(before).is_object() {
                self.schema(&place, Sent::ByTheHost, schema(before), schema(after));
            }
        }
    }

    fn parameters(&mut self, place: &str, before: &'d Value, after: &'d Value) {
        let named = |parameter: &Value| (parameter["in"].clone(), parameter["name"].clone());
        for parameter in items(&before["parameters"]) {
            let place = format!("{place}: {}", named(parameter).1);
            match items(&after["parameters"]).find(|other| named(other) == named(parameter)) {
                Some(other) => {
                    self.schema(&place, Sent::ByCallers, &parameter["schema"], &other["schema"]);
                    if other["required"] == true && parameter["required"] != true {
                        self.found.push(format!("{place} must be said now"));
                    }
                }
                None => self.found.push(format!("{place} is gone")),
            }
        }
        let known: BTreeSet<String> =
            items(&before["parameters"]).map(|parameter| format!("{:?}", named(parameter))).collect();
        for parameter in items(&after["parameters"]) {
            if parameter["required"] == true && !known.contains(&format!("{:?}", named(parameter))) {
                self.found.push(format!("{place}: {} must be said now", named(parameter).1));
            }
        }
    }

    fn schema(&mut self, place: &str, sent: Sent, older: &'d Value, newer: &'d Value) {
        if let (Some(one), Some(other)) = (older["$ref"].as_str(), newer["$ref"].as_str())
            && !self.seen.insert((sent, one.to_owned(), other.to_owned()))
        {
            return;
        }
        let (older, newer) = (resolved(self.older, older), resolved(self.newer, newer));
        self.words(place, older, newer);
        self.required(place, sent, older, newer);
        for (name, before) in members(&older["properties"]) {
            let place = format!("{place}/{name}");
            match newer["properties"].get(name) {
                Some(after) => self.schema(&place, sent, before, after),
                None => self.found.push(format!("{place} is gone")),
            }
        }
        for keyword in ["items", "additionalProperties"] {
            if older[keyword].is_object() && newer[keyword].is_object() {
                self.schema(&format!("{place}/*"), sent, &older[keyword], &newer[keyword]);
            }
        }
        for keyword in ["oneOf", "anyOf"] {
            self.variants(place, sent, keyword, older, newer);
        }
        if older["additionalProperties"] != Value::Bool(false) && newer["additionalProperties"] == false {
            self.found.push(format!("{place} takes nothing else now"));
        }
    }

    fn words(&mut self, place: &str, older: &Value, newer: &Value) {
        let words = |schema: &Value, keyword: &str| -> BTreeSet<String> {
            match &schema[keyword] {
                Value::Array(words) => words.iter().map(Value::to_string).collect(),
                Value::Null => BTreeSet::new(),
                word => BTreeSet::from([word.to_string()]),
            }
        };
        for keyword in ["enum", "const", "type", "format"] {
            for word in words(older, keyword).difference(&words(newer, keyword)) {
                self.found.push(format!("{place} has no {keyword} {word} any more"));
            }
        }
    }

    fn required(&mut self, place: &str, sent: Sent, older: &Value, newer: &Value) {
        let required = |schema: &Value| -> BTreeSet<String> {
            items(&schema["required"]).filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (before, after) = (required(older), required(newer));
        let (noticed, why) = match sent {
            Sent::ByCallers => (after.difference(&before), "must be said now"),
            Sent::ByTheHost => (before.difference(&after), "is not always there any more"),
        };
        for name in noticed {
            self.found.push(format!("{place}/{name} {why}"));
        }
    }

    /// Every variant that was there is there, compared with the one that is the most like it.
    fn variants(&mut self, place: &str, sent: Sent, keyword: &str, older: &'d Value, newer: &'d Value) {
        for before in items(&older[keyword]) {
            let trials = items(&newer[keyword]).map(|after| {
                let seen = self.seen.clone();
                let mut trial = Comparison { seen, found: Vec::new(), ..*self };
                trial.schema(place, sent, before, after);
                trial.found
            });
            let closest = trials.min_by_key(Vec::len);
            let why = closest.unwrap_or_else(|| vec![format!("{place} has a variant less")]);
            self.found.extend(why);
        }
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let pointer = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(schema)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn description() -> Value {
        json!({
            "paths": { "/things": { "post": {
                "operationId": "Things.Make",
                "parameters": [{ "in": "query", "name": "dryRun", "required": false, "schema": { "type": "boolean" } }],
                "requestBody": { "required": true, "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Make" } } } },
                "responses": { "201": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } } } },
            } } },
            "components": { "schemas": {
                "Make": { "type": "object", "required": ["name"], "properties": { "name": { "type": "string" }, "size": { "type": "integer" } }, "additionalProperties": false },
                "Thing": { "type": "object", "required": ["status"], "properties": { "status": { "enum": ["new", "old"] } } },
            } },
        })
    }

    fn broken_by(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let older = description();
        let mut newer = older.clone();
        change(&mut newer);
        breaks(&older, &newer)
    }

    #[test]
    fn what_is_added_breaks_nobody() {
        let found = broken_by(|newer| {
            newer["paths"]["/others"] = json!({ "get": { "operationId": "Others.List" } });
            newer["components"]["schemas"]["Make"]["properties"]["colour"] = json!({ "type": "string" });
            newer["components"]["schemas"]["Thing"]["properties"]["status"]["enum"] =
                json!(["new", "old", "odd"]);
        });
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn what_goes_and_what_must_be_said_is_told_with_its_place() {
        let schemas = |newer: &mut Value, schema: &str| newer["components"]["schemas"][schema].clone();
        let found = broken_by(|newer| newer["paths"] = json!({}));
        assert_eq!(found, ["POST /things is gone"]);
        let found = broken_by(|newer| {
            let mut make = schemas(newer, "Make");
            make["properties"].as_object_mut().unwrap().remove("size");
            newer["components"]["schemas"]["Make"] = make;
        });
        assert_eq!(found, ["POST /things: body/size is gone"]);
        let found = broken_by(|newer| {
            newer["components"]["schemas"]["Make"]["required"] = json!(["name", "size"]);
        });
        assert_eq!(found, ["POST /things: body/size must be said now"]);
        let found = broken_by(|newer| {
            newer["components"]["schemas"]["Thing"]["properties"]["status"]["enum"] = json!(["new"]);
        });
        assert_eq!(found, ["POST /things: 201/status has no enum \"old\" any more"]);
        let found = broken_by(|newer| newer["components"]["schemas"]["Thing"]["required"] = json!([]));
        assert_eq!(found, ["POST /things: 201/status is not always there any more"]);
        let found = broken_by(|newer| {
            newer["paths"]["/things"]["post"]["parameters"][0]["required"] = json!(true);
        });
        assert_eq!(found, ["POST /things: \"dryRun\" must be said now"]);
    }
}
