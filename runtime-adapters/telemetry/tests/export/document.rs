//! `docs/metrics.md` is made from the instruments.
//!
//! `UPDATE_METRICS=1 cargo test -p runtime-telemetry` writes the page; without it, a page that is not what the code says is a failure.

use std::fmt::Write as _;
use std::path::Path;

use runtime_ports::telemetry::{BOUNDS, Instrument};
use runtime_telemetry::prometheus_name;

const HEAD: &str = "# Metrics

Generated from the code by `UPDATE_METRICS=1 cargo test -p runtime-telemetry`; do not edit. What a host measures of itself
(`runtime_ports::telemetry::Instrument`), with its name in OpenTelemetry and in Prometheus. All are read at the host's metrics endpoint, and exported by
OTLP as sums from the host's start.

No metric says whose it is: attributes are words from short lists, never a tenant, an environment, an aggregate, an effect or a person. Those are
attributes of spans, but for persons. An instrument keeps 512 series at the most; what is beyond them is one series with `otel.metric.overflow`.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for instrument in Instrument::ALL {
        let attributes: Vec<String> =
            instrument.attributes().iter().map(|name| format!("`{name}`")).collect();
        let attributes = if attributes.is_empty() { "none".to_owned() } else { attributes.join(", ") };
        let _ = write!(
            page,
            "\n## `{}`\n\n{}\n\n| kind | unit | attributes | for Prometheus |\n|---|---|---|---|\n| {} | `{}` | {attributes} | `{}` |\n",
            instrument.name(),
            instrument.description(),
            instrument.kind().name(),
            instrument.unit(),
            prometheus_name(instrument),
        );
    }
    let bounds: Vec<String> = BOUNDS.iter().map(f64::to_string).collect();
    let _ = write!(page, "\n## Buckets\n\nEvery histogram's, in seconds: {}.\n", bounds.join(", "));
    page
}

#[test]
fn the_list_of_metrics_says_what_is_measured() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    if std::env::var_os("UPDATE_METRICS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "docs/metrics.md is not what the code says: run with UPDATE_METRICS=1");
}
