//! JSON as strictly as what lets callers in is to be read: no member twice, no deep nesting.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deeper than any claim or key that an issuer needs.
const DEEPEST: u8 = 8;

/// The name under which `serde_json` hands over a number where some crate of the host chose its feature `arbitrary_precision`.
const WRAPPED_NUMBER: &str = "$serde_json::private::Number";

/// Parses one JSON object; `None` for what is anything else, has a member twice at any level, or nests deeper than eight levels.
///
/// Parsers differ in which of two equal members they take, so what one of them checked another may read differently.
pub(crate) fn parse_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { levels_left: DEEPEST }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

struct Strict {
    levels_left: u8,
}

impl Strict {
    fn inner<E: Error>(&self) -> Result<Self, E> {
        let levels_left = self.levels_left.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { levels_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without repeated members")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(self.inner()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == WRAPPED_NUMBER && map.is_empty() {
                let number = members.next_value::<String>()?.parse::<Number>().map_err(A::Error::custom)?;
                return Ok(Value::Number(number));
            }
            let value = members.next_value_seed(self.inner()?)?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_as_it_stands() {
        let text = r#"{"s":"x","n":1,"m":-1,"f":1.5,"b":true,"z":null,"a":[1,{"o":{}}]}"#;
        let plain: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse_object(text.as_bytes()).map(Value::Object), Some(plain));
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused_at_every_level_and_in_every_spelling() {
        for text in [
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"sub":"a","\u0073ub":"b"}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
        ] {
            assert_eq!(parse_object(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_or_more_than_one_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "\"x\"",
            "1",
            "{}{}",
            "{} x",
            "{",
            "{\"a\":}",
            "{'a':1}",
            "{\"a\":1,}",
            "{\"a\":NaN}",
        ] {
            assert_eq!(parse_object(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}"), None, "not UTF-8");
        assert_eq!(parse_object(b"{\"a\":\"\\ud800\"}"), None, "half a character");
    }

    #[test]
    fn what_nests_deeply_is_refused_however_deep() {
        let nested = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse_object(nested(7).as_bytes()).is_some());
        for levels in [8, 9, 200, 100_000] {
            assert_eq!(parse_object(nested(levels).as_bytes()), None, "{levels}");
        }
    }
}
