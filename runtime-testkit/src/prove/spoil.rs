//! Ways to tamper with a stored form, at any place in it.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use crate::strategy::json::hostile_json;

/// One change by hand.
#[derive(Debug, Clone)]
pub(super) struct Spoil {
    /// Where.
    at: Index,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Remove,
    Replace(Value),
    Insert(String, Value),
    /// Another part of the same form goes there.
    Copy(Index),
    /// A number goes up or down, a flag turns over, a text loses its end.
    Nudge(i64),
}

pub(super) fn spoils() -> impl Strategy<Value = Spoil> {
    let what = prop_oneof![
        2 => Just(What::Remove),
        3 => hostile_json().prop_map(What::Replace),
        1 => ("[a-z_]{1,12}", hostile_json()).prop_map(|(key, value)| What::Insert(key, value)),
        3 => any::<Index>().prop_map(What::Copy),
        2 => prop_oneof![Just(1_i64), Just(-1), any::<i64>()].prop_map(What::Nudge),
    ];
    (any::<Index>(), what).prop_map(|(at, what)| Spoil { at, what })
}

impl Spoil {
    /// The form after the change.
    pub(super) fn of(&self, form: &Value) -> Value {
        let mut spoilt = form.clone();
        let places = places(form);
        let Some(place) = places.get(self.at.index(places.len())) else { return spoilt };
        match &self.what {
            What::Remove => remove(&mut spoilt, place),
            What::Replace(value) => put(&mut spoilt, place, value.clone()),
            What::Insert(key, value) => insert(&mut spoilt, place, key, value),
            What::Copy(from) => {
                let from = places.get(from.index(places.len())).and_then(|from| form.pointer(from));
                put(&mut spoilt, place, from.cloned().unwrap_or_default());
            }
            What::Nudge(by) => {
                if let Some(value) = spoilt.pointer_mut(place) {
                    nudge(value, *by);
                }
            }
        }
        spoilt
    }

    /// The form's text, cut at the same place.
    pub(super) fn cut<'t>(&self, text: &'t str) -> &'t str {
        let end = text.floor_char_boundary(self.at.index(text.len().max(1)));
        text.get(..end).unwrap_or_default()
    }
}

/// Every place in a form, as JSON pointers, the root first.
fn places(form: &Value) -> Vec<String> {
    let mut places = Vec::new();
    let mut open = vec![(String::new(), form)];
    while let Some((place, value)) = open.pop() {
        match value {
            Value::Object(fields) => open.extend(fields.iter().map(|(key, value)| {
                (format!("{place}/{}", key.replace('~', "~0").replace('/', "~1")), value)
            })),
            Value::Array(items) => {
                open.extend(
                    items.iter().enumerate().map(|(index, value)| (format!("{place}/{index}"), value)),
                );
            }
            _ => {}
        }
        places.push(place);
    }
    places
}

fn put(form: &mut Value, place: &str, value: Value) {
    if let Some(old) = form.pointer_mut(place) {
        *old = value;
    }
}

fn remove(form: &mut Value, place: &str) {
    let Some((parent, key)) = place.rsplit_once('/') else { return put(form, place, Value::Null) };
    let key = key.replace("~1", "/").replace("~0", "~");
    match form.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(&key)),
        Some(Value::Array(items)) => {
            if let Some(index) = key.parse().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}

fn insert(form: &mut Value, place: &str, key: &str, value: &Value) {
    match form.pointer_mut(place) {
        Some(Value::Object(fields)) => drop(fields.insert(key.to_owned(), value.clone())),
        Some(Value::Array(items)) => items.push(value.clone()),
        Some(other) => *other = value.clone(),
        None => {}
    }
}

fn nudge(value: &mut Value, by: i64) {
    *value = match &*value {
        Value::Bool(flag) => Value::Bool(!flag),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::from(number.wrapping_add_signed(by)),
            (None, Some(number)) => Value::from(number.wrapping_add(by)),
            _ => Value::Null,
        },
        Value::String(text) => {
            let mut text = text.clone();
            text.pop();
            Value::String(text)
        }
        Value::Array(items) => Value::Array(items.iter().chain(items.first()).cloned().collect()),
        Value::Object(_) | Value::Null => Value::Null,
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_is_found_and_can_be_changed() {
        let form = json!({"a": {"b/c": [1, {"d": true}]}, "e": null});
        let mut found = places(&form);
        found.sort();
        assert_eq!(found, ["", "/a", "/a/b~1c", "/a/b~1c/0", "/a/b~1c/1", "/a/b~1c/1/d", "/e"]);
        for place in found {
            assert!(form.pointer(&place).is_some(), "{place}");
            let mut removed = form.clone();
            remove(&mut removed, &place);
            assert_ne!(removed, form, "{place}");
            let mut inserted = form.clone();
            insert(&mut inserted, &place, "z", &json!("z"));
            assert_ne!(inserted, form, "{place}");
        }
    }

    #[test]
    fn a_nudge_changes_every_kind_of_value() {
        for value in [json!(true), json!(0), json!(-7), json!("text"), json!([1]), json!({"a": 1})] {
            let mut nudged = value.clone();
            nudge(&mut nudged, -1);
            assert_ne!(nudged, value);
        }
    }
}
