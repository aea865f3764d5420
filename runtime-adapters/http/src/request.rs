//! How a request becomes a call: one object of what the path, the query and the body say, and what the headers say beside it.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, IF_MATCH};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use runtime_api::openapi::RequestFields;
use runtime_api::{CallOptions, Problem, ProblemKind};
use runtime_domain::id::CorrelationId;
use serde_json::{Map, Value};

use crate::answer::CORRELATION;
use crate::options::HttpOptions;

/// What a field that comes as text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Number,
    Boolean,
    List,
}

/// The shapes of an operation's fields.
#[derive(Debug, Clone)]
pub(crate) struct Shapes(BTreeMap<String, Shape>);

impl Shapes {
    pub(crate) fn of(fields: &RequestFields) -> Self {
        let shapes = fields.properties.iter().map(|(name, schema)| (name.clone(), shape(schema)));
        Self(shapes.collect())
    }

    /// The fields that come as text, from the path and the query. Those that the operation does not know are kept: its schema refuses them.
    pub(crate) fn read(
        &self,
        pairs: impl Iterator<Item = (String, String)>,
    ) -> Result<Map<String, Value>, Problem> {
        let mut fields = Map::new();
        for (name, text) in pairs {
            let value = match self.0.get(&name) {
                Some(Shape::Number) => {
                    let number = text.parse::<i64>().map(Value::from);
                    let number = number.or_else(|_| text.parse::<u64>().map(Value::from));
                    number.map_err(|_| malformed(format!("{name}: this is not a whole number")))?
                }
                Some(Shape::Boolean) => Value::Bool(boolean(&name, &text)?),
                Some(Shape::List) => {
                    if let Some(Value::Array(list)) = fields.get_mut(&name) {
                        list.push(Value::String(text));
                        continue;
                    }
                    Value::Array(vec![Value::String(text)])
                }
                Some(Shape::Text) | None => Value::String(text),
            };
            if fields.insert(name.clone(), value).is_some() {
                return Err(malformed(format!("{name}: it is said twice")));
            }
        }
        Ok(fields)
    }
}

fn shape(schema: &Value) -> Shape {
    let named = |name: &str| match schema.get("type") {
        Some(Value::String(kind)) => kind == name,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == name),
        _ => false,
    };
    if named("integer") || named("number") {
        Shape::Number
    } else if named("boolean") {
        Shape::Boolean
    } else if named("array") {
        Shape::List
    } else {
        Shape::Text
    }
}

fn boolean(name: &str, text: &str) -> Result<bool, Problem> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(malformed(format!("{name}: this is neither `true` nor `false`"))),
    }
}

pub(crate) fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(ProblemKind::Malformed, detail)
}

/// The query's pairs, and whether a preview is asked for.
pub(crate) fn query(text: Option<&str>) -> Result<(Vec<(String, String)>, bool), Problem> {
    let mut pairs = Vec::new();
    let mut dry_run = None;
    for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
        if name == "dryRun" {
            if dry_run.replace(boolean("dryRun", &value)?).is_some() {
                return Err(malformed("dryRun: it is said twice"));
            }
        } else {
            pairs.push((name.into_owned(), value.into_owned()));
        }
    }
    Ok((pairs, dry_run.unwrap_or(false)))
}

/// What the headers say beside the request.
pub(crate) fn options(
    headers: &HeaderMap,
    dry_run: bool,
    correlation: CorrelationId,
) -> Result<CallOptions, Problem> {
    let mut options = CallOptions::default();
    options.dry_run = dry_run;
    options.correlation = Some(correlation);
    options.idempotency_key = one(headers, "idempotency-key")?;
    options.if_match = one(headers, IF_MATCH.as_str())?;
    Ok(options)
}

fn one(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.to_owned())),
        _ => Err(malformed(format!("the header `{name}` is not one plain text"))),
    }
}

/// The chain of work that a request says it belongs to: by its own header, or by its trace.
pub(crate) fn correlation(headers: &HeaderMap) -> Option<CorrelationId> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let named = text(CORRELATION.as_str()).and_then(|text| text.parse().ok());
    named.or_else(|| {
        let mut parts = text("traceparent")?.split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let is_trace = version.len() == 2 && trace.len() == 32 && trace.bytes().any(|byte| byte != b'0');
        format!("cor_{trace}").parse().ok().filter(|_| is_trace)
    })
}

/// The body's fields; none where there is no body.
pub(crate) async fn body(
    headers: &HeaderMap,
    body: Body,
    options: &HttpOptions,
) -> Result<Map<String, Value>, Problem> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > options.body_bytes as u64) {
        return Err(too_large(options));
    }
    let bytes = Limited::new(body, options.body_bytes).collect().await.map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            too_large(options)
        } else {
            malformed("the body did not come whole")
        }
    })?;
    fields(headers, &bytes.to_bytes(), options)
}

fn fields(headers: &HeaderMap, bytes: &Bytes, options: &HttpOptions) -> Result<Map<String, Value>, Problem> {
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|media_type| media_type.to_str().ok());
    let essence = media_type.and_then(|media_type| media_type.split(';').next()).unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(runtime_api::openapi::JSON) {
        return Err(Problem::from_kind(ProblemKind::UnsupportedMediaType));
    }
    if depth(bytes) > options.body_depth {
        let detail = format!("the body nests deeper than {}", options.body_depth);
        return Err(Problem::new(ProblemKind::ContentTooLarge, detail));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(malformed("the body is not a JSON object")),
        Err(error) => Err(malformed(format!("the body is not JSON: {error}"))),
    }
}

fn too_large(options: &HttpOptions) -> Problem {
    let detail = format!("the body is larger than {} bytes", options.body_bytes);
    Problem::new(ProblemKind::ContentTooLarge, detail)
}

/// How deep brackets nest, those within texts left out: counted before anything is built of them.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
