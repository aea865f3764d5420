//! JSON as configuration holds it: bounded, exact and canonical.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::configuration::{Decimal, EntryError};

/// A JSON document: objects in the order of their keys, numbers as exact decimals, no duplicate keys.
///
/// Its text is canonical: without white space, strings escaped no more than JSON asks. `Display` gives it, and it parses back; serde
/// writes that text, so that no number passes through binary floating point on its way to a store and back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JsonDocument(pub(super) Json);

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    Boolean(bool),
    Number(Decimal),
    Text(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl JsonDocument {
    /// How deep lists and objects may lie in one another.
    pub const DEEPEST: usize = 16;
    /// The longest text, in bytes, canonical or not.
    pub const LONGEST: usize = 16 * 1_024;

    /// Parses a JSON text.
    ///
    /// # Errors
    /// Not JSON, a key that comes twice in an object, a number that is no [`Decimal`], too deep, or too long.
    pub fn parse(text: &str) -> Result<Self, EntryError> {
        if text.len() > Self::LONGEST {
            return Err(EntryError::JsonTooLong);
        }
        let mut reader = Reader { rest: text };
        let json = reader.value(0)?;
        reader.skip_space();
        if reader.rest.is_empty() { Self(json).bounded() } else { Err(EntryError::Json) }
    }

    /// Takes a value that was parsed elsewhere. Numbers are taken as their shortest decimal text.
    ///
    /// # Errors
    /// A number that is no [`Decimal`], too deep, or too long.
    pub fn from_value(value: &Value) -> Result<Self, EntryError> {
        Self(from_value(value, 0)?).bounded()
    }

    fn bounded(self) -> Result<Self, EntryError> {
        // Escapes and exponents can make the canonical text the longer one.
        if self.to_string().len() > Self::LONGEST { Err(EntryError::JsonTooLong) } else { Ok(self) }
    }
}

fn from_value(value: &Value, depth: usize) -> Result<Json, EntryError> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(boolean) => Json::Boolean(*boolean),
        Value::Number(number) => Json::Number(Decimal::from_json(&number.to_string())?),
        Value::String(text) => Json::Text(text.clone()),
        Value::Array(items) => {
            let depth = deeper(depth)?;
            Json::List(items.iter().map(|item| from_value(item, depth)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let depth = deeper(depth)?;
            let members = members.iter().map(|(key, value)| Ok((key.clone(), from_value(value, depth)?)));
            Json::Object(members.collect::<Result<_, EntryError>>()?)
        }
    })
}

fn deeper(depth: usize) -> Result<usize, EntryError> {
    if depth < JsonDocument::DEEPEST { Ok(depth + 1) } else { Err(EntryError::JsonTooDeep) }
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, text: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), EntryError> {
        if self.take(text) { Ok(()) } else { Err(EntryError::Json) }
    }

    fn value(&mut self, depth: usize) -> Result<Json, EntryError> {
        self.skip_space();
        match self.rest.as_bytes().first() {
            Some(b'{') => self.object(deeper(depth)?),
            Some(b'[') => self.list(deeper(depth)?),
            Some(b'"') => self.text().map(Json::Text),
            Some(b'n') => self.expect("null").map(|()| Json::Null),
            Some(b't') => self.expect("true").map(|()| Json::Boolean(true)),
            Some(b'f') => self.expect("false").map(|()| Json::Boolean(false)),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, EntryError> {
        self.expect("{")?;
        let mut members = BTreeMap::new();
        if self.take("}") {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            let key = self.text()?;
            self.expect(":")?;
            let value = self.value(depth)?;
            if members.insert(key, value).is_some() {
                return Err(EntryError::JsonDuplicate);
            }
            if self.take("}") {
                return Ok(Json::Object(members));
            }
            self.expect(",")?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, EntryError> {
        self.expect("[")?;
        let mut items = Vec::new();
        if self.take("]") {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.take("]") {
                return Ok(Json::List(items));
            }
            self.expect(",")?;
        }
    }

    fn text(&mut self) -> Result<String, EntryError> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find_map(|(at, character)| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends.then_some(at + 1)
        });
        let (literal, rest) = end.and_then(|end| self.rest.split_at_checked(end)).ok_or(EntryError::Json)?;
        // The parser's own message could repeat the text.
        let text = serde_json::from_str(literal).map_err(|_| EntryError::Json)?;
        self.rest = rest;
        Ok(text)
    }

    fn number(&mut self) -> Result<Json, EntryError> {
        let is_part = |character: char| character.is_ascii_digit() || "+-.eE".contains(character);
        let end = self.rest.find(|character| !is_part(character)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at_checked(end).ok_or(EntryError::Json)?;
        if text.is_empty() {
            return Err(EntryError::Json);
        }
        self.rest = rest;
        Decimal::from_json(text).map(Json::Number)
    }
}

fn quoted(text: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    formatter.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => formatter.write_str("\\\"")?,
            '\\' => formatter.write_str("\\\\")?,
            control if control < ' ' => write!(formatter, "\\u{:04x}", u32::from(control))?,
            other => write!(formatter, "{other}")?,
        }
    }
    formatter.write_str("\"")
}

impl fmt::Display for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Boolean(boolean) => write!(formatter, "{boolean}"),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Text(text) => quoted(text, formatter),
            Self::List(items) => {
                for (place, item) in items.iter().enumerate() {
                    write!(formatter, "{}{item}", if place == 0 { "[" } else { "," })?;
                }
                formatter.write_str(if items.is_empty() { "[]" } else { "]" })
            }
            Self::Object(members) => {
                for (place, (key, value)) in members.iter().enumerate() {
                    formatter.write_str(if place == 0 { "{" } else { "," })?;
                    quoted(key, formatter)?;
                    write!(formatter, ":{value}")?;
                }
                formatter.write_str(if members.is_empty() { "{}" } else { "}" })
            }
        }
    }
}

impl fmt::Display for JsonDocument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for JsonDocument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "JsonDocument({} bytes)", self.to_string().len())
    }
}

impl TryFrom<String> for JsonDocument {
    type Error = EntryError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}
impl From<JsonDocument> for String {
    fn from(document: JsonDocument) -> Self {
        document.to_string()
    }
}
