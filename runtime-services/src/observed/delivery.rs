//! An event on its way to a destination.

use std::borrow::Cow;

use runtime_domain::envelope::TraceParent;
use runtime_domain::time::{Span as Time, Timestamp};
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::telemetry::{Follows, Instrument};
use serde::Deserialize;
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::host::Host;

/// What telemetry needs of an envelope.
#[derive(Debug, Default)]
pub(crate) struct About {
    decided_at: Option<Timestamp>,
    trace_parent: Option<TraceParent>,
}

#[derive(Deserialize)]
struct Head<'e> {
    #[serde(borrow)]
    time: Cow<'e, str>,
    #[serde(borrow)]
    traceparent: Option<Cow<'e, str>>,
}

impl About {
    /// Of an envelope that cannot be read nothing is known; whoever needs it will say so.
    pub(crate) fn of(event: &PublishedEvent) -> Self {
        let Ok(head) = serde_json::from_str::<Head<'_>>(&event.envelope) else { return Self::default() };
        Self {
            decided_at: head.time.parse().ok(),
            trace_parent: head.traceparent.and_then(|text| TraceParent::new(&text).ok()),
        }
    }
}

/// The span of a delivery, which continues the work that raised the event and not the relay's pass. Who is no bus is of this host.
pub(crate) fn span(
    host: &Host,
    destination: &str,
    is_bus: bool,
    event: &PublishedEvent,
    about: &About,
) -> Span {
    let (verb, kind, operation) =
        if is_bus { ("publish", "producer", "send") } else { ("process", "consumer", "process") };
    let span = info_span!(
        parent: None,
        "delivery",
        otel.name = %format_args!("{verb} {}", short(&event.event_type)),
        otel.kind = kind,
        otel.status_code = Empty,
        error.type = Empty,
        messaging.operation.type = operation,
        messaging.destination.name = destination,
        messaging.message.id = %event.id,
        cloudevents.event_id = %event.id,
        cloudevents.event_type = %event.event_type,
        cloudevents.event_subject = %format_args!("{}/{}", event.aggregate_kind, event.aggregate_id.as_simple()),
        factory.tenant.id = %event.tenant,
        factory.outcome = Empty,
    );
    if let Some(parent) = &about.trace_parent {
        host.telemetry().traces.follow(&span, parent, Follows::Child);
    }
    span
}

/// `factory.runtime.SecretBound.v1` is `SecretBound`.
fn short(event_type: &str) -> &str {
    event_type.split('.').nth(2).unwrap_or(event_type)
}

/// What became of it: `taken`, `refused` or `away`.
pub(crate) fn ended(host: &Host, span: &Span, destination: &str, about: &About, outcome: &'static str) {
    span.record("factory.outcome", outcome);
    let meter = &host.telemetry().meter;
    let place = ("factory.destination", destination);
    meter.record(Instrument::RelayDeliveries, 1.0, &[place, ("factory.outcome", outcome)]);
    match (outcome, about.decided_at) {
        ("taken", Some(decided_at)) => {
            let lag = Time::between(decided_at, host.now()).to_std().as_secs_f64();
            meter.record(Instrument::RelayLag, lag, &[place]);
        }
        ("taken", None) => {}
        _ => super::failed(span, outcome),
    }
}
