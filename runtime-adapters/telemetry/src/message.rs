//! OTLP's messages.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use runtime_domain::time::Timestamp;
use runtime_ports::telemetry::{BOUNDS, Distribution, InstrumentKind, Reading, Series};

use crate::options::OtlpOptions;

/// The conventions that names and attributes follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";
/// How long a text is at the most, in bytes.
const LONGEST: usize = 1_024;

/// A log record, and the target that it came from.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) target: &'static str,
    pub(crate) record: LogRecord,
}

pub(crate) fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(crate) fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, Value::StringValue(cut(value).to_owned()))
}

/// As much of a text as is exported.
pub(crate) fn cut(text: &str) -> &str {
    match text.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST).last() {
        Some(end) if text.len() > LONGEST => text.get(..end).unwrap_or_default(),
        _ => text,
    }
}

pub(crate) fn nanos(at: Timestamp) -> u64 {
    at.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default()
}

pub(crate) fn resource(options: &OtlpOptions) -> Resource {
    let own = [
        ("service.name", options.service.as_str()),
        ("telemetry.sdk.name", "factory-runtime"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    let own = own.into_iter().map(|(name, value)| text(name, value));
    let further = options.resource.iter().map(|(name, value)| text(name, value));
    Resource { attributes: own.chain(further).collect(), ..Resource::default() }
}

fn scope(name: &str) -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    })
}

pub(crate) fn traces(resource: Resource, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let schema_url = SCHEMA.to_owned();
    let scope_spans =
        vec![ScopeSpans { scope: scope("factory-runtime"), spans, schema_url: schema_url.clone() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans, schema_url }],
    }
}

pub(crate) fn logs(resource: Resource, lines: Vec<Line>) -> ExportLogsServiceRequest {
    let mut scopes: BTreeMap<&str, Vec<LogRecord>> = BTreeMap::new();
    for line in lines {
        scopes.entry(line.target).or_default().push(line.record);
    }
    let scope_logs = scopes.into_iter().map(|(target, log_records)| ScopeLogs {
        scope: scope(target),
        log_records,
        schema_url: SCHEMA.to_owned(),
    });
    let scope_logs = scope_logs.collect();
    let schema_url = SCHEMA.to_owned();
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource: Some(resource), scope_logs, schema_url }],
    }
}

/// All that was measured from `start` to `now`.
pub(crate) fn metrics(
    resource: Resource,
    readings: Vec<Reading>,
    start: Timestamp,
    now: Timestamp,
) -> ExportMetricsServiceRequest {
    let window = Window { start: nanos(start), now: nanos(now) };
    let readings = readings.into_iter().filter(|reading| !reading.series.is_empty());
    let schema_url = SCHEMA.to_owned();
    let metrics = readings.map(|reading| window.metric(reading)).collect();
    let scope_metrics =
        vec![ScopeMetrics { scope: scope("factory-runtime"), metrics, schema_url: schema_url.clone() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource: Some(resource), scope_metrics, schema_url }],
    }
}

struct Window {
    start: u64,
    now: u64,
}

impl Window {
    fn metric(&self, Reading { instrument, series }: Reading) -> Metric {
        let aggregation_temporality = AggregationTemporality::Cumulative.into();
        let mut numbers = Vec::new();
        let mut distributions = Vec::new();
        for (attributes, series) in series {
            let attributes = attributes.iter().map(|(name, value)| text(name, value)).collect();
            match series {
                Series::Number(number) => numbers.push(self.number(attributes, number)),
                Series::Distribution(it) => distributions.push(self.distribution(attributes, &it)),
            }
        }
        let data = match instrument.kind() {
            InstrumentKind::Gauge => Data::Gauge(Gauge { data_points: numbers }),
            InstrumentKind::Histogram => {
                Data::Histogram(Histogram { data_points: distributions, aggregation_temporality })
            }
            kind @ (InstrumentKind::Counter | InstrumentKind::UpDownCounter) => Data::Sum(Sum {
                data_points: numbers,
                aggregation_temporality,
                is_monotonic: kind == InstrumentKind::Counter,
            }),
        };
        Metric {
            name: instrument.name().to_owned(),
            description: instrument.description().to_owned(),
            unit: instrument.unit().to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    }

    fn number(&self, attributes: Vec<KeyValue>, number: f64) -> NumberDataPoint {
        NumberDataPoint {
            attributes,
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            value: Some(number_data_point::Value::AsDouble(number)),
            ..NumberDataPoint::default()
        }
    }

    fn distribution(&self, attributes: Vec<KeyValue>, it: &Distribution) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            count: it.count,
            sum: Some(it.sum),
            bucket_counts: it.buckets.to_vec(),
            explicit_bounds: BOUNDS.to_vec(),
            ..HistogramDataPoint::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_where_a_character_ends() {
        assert_eq!(cut("short"), "short");
        let exact = "a".repeat(LONGEST);
        assert_eq!(cut(&exact), exact);
        for text in ["a".repeat(5_000), "é".repeat(1_000), format!("a{}", "日".repeat(1_000))] {
            let cut = cut(&text);
            assert!(
                cut.len() <= LONGEST && cut.len() > LONGEST - 4 && text.starts_with(cut),
                "{}",
                cut.len()
            );
        }
    }
}
