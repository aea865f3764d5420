//! What is measured: every instrument once, with its name, unit and attributes.

/// How measurements of an instrument come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstrumentKind {
    /// They are added; none is negative.
    Counter,
    /// They are added, and may be negative.
    UpDownCounter,
    /// The last one stands.
    Gauge,
    /// They are counted by size, in the buckets of [`BOUNDS`].
    Histogram,
}

impl InstrumentKind {
    /// The kind in OpenTelemetry's words, for documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter => "up-down counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The upper bounds of every histogram's buckets, in seconds, each bound within its bucket; what is greater than the last has a bucket too. From a quarter of
/// a millisecond, which an unflushed commit takes, to the minutes of an environment's creation.
pub const BOUNDS: [f64; 18] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0,
];

/// What is measured. `docs/metrics.md` is made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Instrument {
    /// How long commands of services take.
    CommandDuration,
    /// How long commits take.
    CommitDuration,
    /// Events that became durable.
    Events,
    /// What happened to leases.
    Leases,
    /// How long passes of workers take.
    PassDuration,
    /// Passes under way.
    PassesActive,
    /// How late what is due is.
    DueLag,
    /// How long calls of ports take.
    PortCallDuration,
    /// Rollouts that ended.
    Rollouts,
    /// Health gates that were judged.
    Gates,
    /// Verdicts on services' health.
    HealthVerdicts,
    /// Decisions of scaling policies.
    ScalingDecisions,
    /// Drift findings that are open.
    DriftOpen,
    /// Rotations of secrets, by how they went.
    Rotations,
    /// How long events wait until they are relayed.
    RelayLag,
    /// Events handed to destinations.
    RelayDeliveries,
    /// Streams that were parked.
    RelayParked,
    /// Records that could not be kept.
    RecordsDropped,
    /// How long requests over HTTP take.
    HttpServerRequestDuration,
    /// Requests over HTTP under way.
    HttpServerActiveRequests,
    /// How long calls over gRPC take.
    RpcServerCallDuration,
    /// Telemetry that could not be exported.
    TelemetryDropped,
}

impl Instrument {
    /// Every instrument, in the order of the documents.
    pub const ALL: [Self; 22] = [
        Self::CommandDuration,
        Self::CommitDuration,
        Self::Events,
        Self::Leases,
        Self::PassDuration,
        Self::PassesActive,
        Self::DueLag,
        Self::PortCallDuration,
        Self::Rollouts,
        Self::Gates,
        Self::HealthVerdicts,
        Self::ScalingDecisions,
        Self::DriftOpen,
        Self::Rotations,
        Self::RelayLag,
        Self::RelayDeliveries,
        Self::RelayParked,
        Self::RecordsDropped,
        Self::HttpServerRequestDuration,
        Self::HttpServerActiveRequests,
        Self::RpcServerCallDuration,
        Self::TelemetryDropped,
    ];

    /// Its name: OpenTelemetry's where its conventions have one, else one that begins with `factory.`.
    pub const fn name(self) -> &'static str {
        self.definition().0
    }

    /// How its measurements come together.
    pub const fn kind(self) -> InstrumentKind {
        self.definition().1
    }

    /// Its unit, in UCUM's code: `s`, or what is counted in braces.
    pub const fn unit(self) -> &'static str {
        self.definition().2
    }

    /// The names of its attributes. A measurement may leave some out.
    pub const fn attributes(self) -> &'static [&'static str] {
        self.definition().3
    }

    /// What it tells, in a sentence.
    pub const fn description(self) -> &'static str {
        self.definition().4
    }

    #[rustfmt::skip]
    const fn definition(self) -> (&'static str, InstrumentKind, &'static str, &'static [&'static str], &'static str) {
        use InstrumentKind::{Counter, Gauge, Histogram, UpDownCounter};
        match self {
            Self::CommandDuration => (
                "factory.command.duration", Histogram, "s",
                &["factory.aggregate.kind", "factory.command", "factory.outcome"],
                "How long commands of services take, retries included. Outcomes: done, unchanged (there was nothing to do), repeated (by its idempotency key), previewed, refused, not-found, changed (it is at another revision), key-reused, contended, failed.",
            ),
            Self::CommitDuration => (
                "factory.commit.duration", Histogram, "s",
                &["factory.aggregate.kind", "factory.outcome"],
                "How long the store takes to make a commit durable. Outcomes: committed; conflict, evidence-stale, claim-held, lease-lost and already-handled where others were first; failed.",
            ),
            Self::Events => (
                "factory.events", Counter, "{event}",
                &["factory.aggregate.kind", "factory.event"],
                "Events that became durable, published or not.",
            ),
            Self::Leases => (
                "factory.leases", Counter, "{lease}",
                &["factory.worker", "factory.outcome"],
                "What happened to leases. Outcomes: taken, renewed, lost, returned (with when the aggregate is due next, or without), set-aside.",
            ),
            Self::PassDuration => (
                "factory.pass.duration", Histogram, "s",
                &["factory.worker", "factory.outcome"],
                "How long one pass of a worker over one aggregate takes. Outcomes: done, later (it waits for something), lost (another host has taken over), failed.",
            ),
            Self::PassesActive => (
                "factory.passes.active", UpDownCounter, "{pass}",
                &["factory.worker"],
                "Passes under way on this host; where it stays at the host's concurrency, the host has too much to do.",
            ),
            Self::DueLag => (
                "factory.due.lag", Gauge, "s",
                &["factory.worker"],
                "For how long the aggregate that is due the longest has been due, as the worker saw it when it found nothing to take; 0 where none is. What another host works on at that moment counts.",
            ),
            Self::PortCallDuration => (
                "factory.port.call.duration", Histogram, "s",
                &["factory.port", "factory.operation", "factory.outcome"],
                "How long calls of ports take: effects on the world (such as surface.apply) and looks at it (such as surface.observe). Outcomes: ok, or the kind of the port's error.",
            ),
            Self::Rollouts => (
                "factory.rollouts", Counter, "{rollout}",
                &["factory.outcome"],
                "Rollouts that began or ended. Outcomes: requested, completed, rolled-back, rejected, failed.",
            ),
            Self::Gates => (
                "factory.gates", Counter, "{gate}",
                &["factory.outcome"],
                "Health gates that were judged. Outcomes: passed, failed.",
            ),
            Self::HealthVerdicts => (
                "factory.health.verdicts", Counter, "{verdict}",
                &["factory.status"],
                "Verdicts on services' health that changed what is believed of a service. Statuses: those of HealthStatus.",
            ),
            Self::ScalingDecisions => (
                "factory.scaling.decisions", Counter, "{decision}",
                &["factory.outcome"],
                "What scaling policies came to. Outcomes: evaluated (a decision was recorded), activated (woken from zero), violated, kept again.",
            ),
            Self::DriftOpen => (
                "factory.drift.open", UpDownCounter, "{finding}",
                &[],
                "Drift findings that were opened less those that were closed, by this host since it started: the sum over all hosts is how the number has moved.",
            ),
            Self::Rotations => (
                "factory.rotations", Counter, "{rotation}",
                &["factory.outcome"],
                "Rotations of secrets. Outcomes: requested, rotated, failed, aborted.",
            ),
            Self::RelayLag => (
                "factory.relay.lag", Histogram, "s",
                &["factory.destination"],
                "How long after an event was decided a destination had it.",
            ),
            Self::RelayDeliveries => (
                "factory.relay.deliveries", Counter, "{event}",
                &["factory.destination", "factory.outcome"],
                "Events handed to destinations. Outcomes: taken, refused (for an operator to look at), away (the destination cannot be reached).",
            ),
            Self::RelayParked => (
                "factory.relay.parked", Counter, "{stream}",
                &["factory.destination", "factory.until"],
                "Streams that were parked, by what they wait for: unparked (an operator), reachable (the destination).",
            ),
            Self::RecordsDropped => (
                "factory.records.dropped", Counter, "{record}",
                &["factory.record"],
                "Records beside the aggregates that could not be kept. Records: health-result.",
            ),
            Self::HttpServerRequestDuration => (
                "http.server.request.duration", Histogram, "s",
                &["http.request.method", "http.route", "http.response.status_code", "url.scheme", "error.type"],
                "How long requests over HTTP take, by route, as OpenTelemetry's conventions have it.",
            ),
            Self::HttpServerActiveRequests => (
                "http.server.active_requests", UpDownCounter, "{request}",
                &["http.request.method", "url.scheme"],
                "Requests over HTTP under way, streams of events among them.",
            ),
            Self::RpcServerCallDuration => (
                "rpc.server.call.duration", Histogram, "s",
                &["rpc.method", "rpc.response.status_code", "rpc.system.name"],
                "How long calls over gRPC take, by method, as OpenTelemetry's conventions have it.",
            ),
            Self::TelemetryDropped => (
                "factory.telemetry.dropped", Counter, "{item}",
                &["factory.signal", "factory.outcome"],
                "Telemetry that was lost. Signals: traces, logs, metrics. Outcomes: full (there was no room), refused (the receiver did not take it), unreachable.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_instrument_is_listed_once_and_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Instrument::ALL.iter().map(|it| it.name()).collect();
        assert_eq!(names.len(), Instrument::ALL.len());
        for (place, instrument) in Instrument::ALL.iter().enumerate() {
            assert_eq!(*instrument as usize, place, "{} is out of order", instrument.name());
            assert!(instrument.description().ends_with('.'), "{}", instrument.name());
        }
    }

    #[test]
    fn no_instrument_is_told_apart_by_whom_it_is_about() {
        for instrument in Instrument::ALL {
            for attribute in instrument.attributes() {
                let attribute = attribute.trim_start_matches("factory.");
                let is_of_someone = ["tenant", ".id", "actor", "user", "environment", "address"]
                    .iter()
                    .any(|word| attribute.contains(word));
                assert!(!is_of_someone, "{} has `{attribute}`", instrument.name());
            }
        }
    }
}
