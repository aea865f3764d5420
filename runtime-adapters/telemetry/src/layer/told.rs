//! What a span or an event says of itself.

use std::borrow::Cow;
use std::fmt::Debug;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use runtime_ports::telemetry::{COMMITTED, EFFECT_ID, IDLE};
use tracing::field::{Field, Visit};

use crate::message::{attribute, cut};

/// The fields that are never exported: who acts, and what people wrote.
pub const WITHHELD: [&str; 4] = ["actor", "by", "purpose", "explanation"];

/// How many attributes a span or a log record has at the most.
const MOST: usize = 64;

/// The fields of a span or of an event, in OTLP's terms.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: SpanKind,
    pub(crate) is_failed: bool,
    /// May be left out where nothing was done.
    pub(crate) may_be_idle: bool,
    /// Changes something.
    pub(crate) is_work: bool,
    pub(crate) message: Option<AnyValue>,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) dropped: u32,
}

impl Told {
    pub(crate) fn of(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind: SpanKind::Internal,
            is_failed: false,
            may_be_idle: false,
            is_work: false,
            message: None,
            attributes: Vec::new(),
            dropped: 0,
        }
    }

    fn take(&mut self, field: &Field, value: impl FnOnce() -> Value) {
        let name = field.name();
        if WITHHELD.contains(&name) {
            return;
        }
        if name == "message" {
            self.message = Some(AnyValue { value: Some(value()) });
            return;
        }
        self.is_work |= name == EFFECT_ID;
        let value = attribute(name, value());
        if let Some(known) = self.attributes.iter_mut().find(|known| known.key == name) {
            *known = value;
        } else if self.attributes.len() < MOST {
            self.attributes.push(value);
        } else {
            self.dropped += 1;
        }
    }
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "otel.name" => self.name = Cow::Owned(cut(value).to_owned()),
            "otel.kind" => {
                self.kind = match value {
                    "server" => SpanKind::Server,
                    "client" => SpanKind::Client,
                    "producer" => SpanKind::Producer,
                    "consumer" => SpanKind::Consumer,
                    _ => SpanKind::Internal,
                }
            }
            "otel.status_code" => self.is_failed = value.eq_ignore_ascii_case("error"),
            _ => self.take(field, || Value::StringValue(cut(value).to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if !WITHHELD.contains(&field.name()) {
            self.record_str(field, &format!("{value:?}"));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == IDLE {
            self.may_be_idle = value;
        } else {
            self.take(field, || Value::BoolValue(value));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.is_work |= field.name() == COMMITTED && value > 0;
        self.take(field, || Value::IntValue(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            // OTLP has no greater numbers.
            Err(_) => self.record_str(field, &value.to_string()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, || Value::DoubleValue(value));
    }
}
