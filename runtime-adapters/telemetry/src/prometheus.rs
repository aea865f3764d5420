//! Metrics in Prometheus' text format.

use std::fmt::Write as _;

use runtime_ports::telemetry::{BOUNDS, Instrument, InstrumentKind, Reading, Series};

/// The readings in Prometheus' text format, version 0.0.4 (`text/plain; version=0.0.4; charset=utf-8`): what a metrics endpoint answers.
///
/// Names and attributes are OpenTelemetry's with underscores, units are spelled out, and counters end in `_total`.
pub fn prometheus(readings: &[Reading]) -> String {
    let mut text = String::new();
    for reading in readings.iter().filter(|reading| !reading.series.is_empty()) {
        let name = name(reading.instrument);
        let kind = match reading.instrument.kind() {
            InstrumentKind::Counter => "counter",
            InstrumentKind::UpDownCounter | InstrumentKind::Gauge => "gauge",
            InstrumentKind::Histogram => "histogram",
        };
        let help = escaped(reading.instrument.description(), false);
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        let mut series: Vec<_> =
            reading.series.iter().map(|(attributes, it)| (labels(attributes), it)).collect();
        series.sort_by(|one, other| one.0.cmp(&other.0));
        for (labels, series) in series {
            write(&mut text, &name, &labels, series);
        }
    }
    text
}

/// The name that an instrument has for Prometheus.
pub fn name(instrument: Instrument) -> String {
    let mut name = instrument.name().replace('.', "_");
    if instrument.unit() == "s" {
        name.push_str("_seconds");
    }
    if instrument.kind() == InstrumentKind::Counter {
        name.push_str("_total");
    }
    name
}

fn write(text: &mut String, name: &str, labels: &str, series: &Series) {
    let braced = |inner: &str| if inner.is_empty() { String::new() } else { format!("{{{inner}}}") };
    match series {
        Series::Number(number) => {
            let _ = writeln!(text, "{name}{} {number}", braced(labels));
        }
        Series::Distribution(distribution) => {
            let mut below = 0;
            let comma = if labels.is_empty() { "" } else { "," };
            for (bound, many) in BOUNDS.iter().map(f64::to_string).zip(distribution.buckets) {
                below += many;
                let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}");
            }
            let (count, sum) = (distribution.count, distribution.sum);
            let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
            let _ = writeln!(text, "{name}_sum{0} {sum}\n{name}_count{0} {count}", braced(labels));
        }
    }
}

fn labels(attributes: &[(&'static str, String)]) -> String {
    let mut labels: Vec<_> = attributes
        .iter()
        .map(|(name, value)| format!("{}=\"{}\"", name.replace('.', "_"), escaped(value, true)))
        .collect();
    labels.sort();
    labels.join(",")
}

fn escaped(text: &str, quotes: bool) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { escaped.replace('"', "\\\"") } else { escaped }
}

#[cfg(test)]
mod tests {
    use runtime_ports::telemetry::{InProcessMeter, Meter as _};

    use super::*;

    #[test]
    fn every_kind_of_instrument_is_written_as_prometheus_reads_it() {
        let meter = InProcessMeter::default();
        meter.record(Instrument::Gates, 2.0, &[("factory.outcome", "passed")]);
        meter.record(Instrument::DriftOpen, -1.0, &[]);
        meter.record(Instrument::RelayLag, 0.3, &[("factory.destination", "a \"b\"\\\n")]);
        let text = prometheus(&meter.read());
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        assert_eq!(
            lines[..2],
            ["# TYPE factory_gates_total counter", "factory_gates_total{factory_outcome=\"passed\"} 2"]
        );
        assert_eq!(lines[2..4], ["# TYPE factory_drift_open gauge", "factory_drift_open -1"]);
        assert_eq!(lines[4], "# TYPE factory_relay_lag_seconds histogram");
        let label = r#"factory_destination="a \"b\"\\\n""#;
        assert!(
            text.contains(&format!("factory_relay_lag_seconds_bucket{{{label},le=\"0.25\"}} 0\n")),
            "{text}"
        );
        assert!(text.contains(&format!("factory_relay_lag_seconds_bucket{{{label},le=\"0.5\"}} 1\n")));
        assert!(text.contains(&format!("factory_relay_lag_seconds_bucket{{{label},le=\"+Inf\"}} 1\n")));
        assert!(text.ends_with(&format!(
            "factory_relay_lag_seconds_sum{{{label}}} 0.3\nfactory_relay_lag_seconds_count{{{label}}} 1\n"
        )));
    }

    #[test]
    fn no_two_instruments_have_one_name() {
        let names: std::collections::BTreeSet<_> = Instrument::ALL.iter().map(|it| name(*it)).collect();
        assert_eq!(names.len(), Instrument::ALL.len());
    }
}
