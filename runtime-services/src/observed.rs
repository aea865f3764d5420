//! What a host tells of itself: spans and measurements, made in the few places that everything goes through.
//!
//! | what | where it is made |
//! |---|---|
//! | a command of a service | [`command`] |
//! | a decision | [`decided`] |
//! | a commit, its events, and what they mean | [`ObservedStore`](store::ObservedStore), which every host's store is wrapped in |
//! | a pass of a worker, its leases | [`Pass`], in `worker.rs` |
//! | a call of a port, an effect on the world | [`call`], by [`Host::bounded`](crate::Host) and [`Host::effect`](crate::Host) |
//! | an event on its way | [`delivery`](mod@delivery), in `relay/destination.rs` |
//!
//! Work that one host begins and another continues is one trace: [`crate::unit`] keeps the present span with each history entry, and in the
//! envelope of what is published; a pass and a delivery continue it. How long something takes is measured by the process's steady clock,
//! which decides nothing.

use std::fmt;
use std::pin::Pin;
use std::time::Instant;

use runtime_domain::aggregate::{Aggregate, Decision, DomainEvent};
use runtime_domain::envelope::TraceParent;
use runtime_domain::id::AggregateKind;
use runtime_domain::refusal::Refusal;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::{Span as Time, Timestamp};
use runtime_ports::store::Lease;
use runtime_ports::telemetry::{Attribute, Follows, Instrument};
use runtime_ports::{PortErrorKind, PortResult};
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span, info_span};

use crate::error::CommandError;
use crate::host::Host;
use crate::reconcile::Beginning;
use crate::unit::Done;
use crate::worker::{PassError, Passed};

pub(crate) mod delivery;
pub(crate) mod store;
#[cfg(test)]
mod tests;

/// How long after its beginning a piece of work is still continued as one trace. What comes later refers to it.
const ONE_TRACE: Time = Time::from_secs(24 * 3_600);

/// How long something took, in seconds.
pub(crate) fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

/// Two words with a dot between them, written where somebody reads them only.
struct Dotted(&'static str, &'static str);

impl fmt::Display for Dotted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

fn failed(span: &Span, kind: &str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
}

/// What a command comes to.
type Outcome<'a, A, R> = Pin<Box<dyn Future<Output = Result<Done<A>, CommandError<R>>> + Send + 'a>>;

/// Carries out a command of a service. It takes the work out of the caller's future, which many others hold within theirs.
pub(crate) fn command<'a, A: Aggregate + 'a, R: Refusal + 'static>(
    host: &'a Host,
    scope: &'a TenantScope,
    name: &'static str,
    work: impl Future<Output = Result<Done<A>, CommandError<R>>> + Send + 'a,
) -> Outcome<'a, A, R> {
    let work = Box::pin(work);
    Box::pin(performed(host, scope, name, work))
}

async fn performed<A: Aggregate, R: Refusal + 'static>(
    host: &Host,
    scope: &TenantScope,
    name: &'static str,
    work: impl Future<Output = Result<Done<A>, CommandError<R>>>,
) -> Result<Done<A>, CommandError<R>> {
    let span = info_span!(
        "command",
        otel.name = %Dotted(A::KIND.name(), name),
        otel.status_code = Empty,
        error.type = Empty,
        factory.tenant.id = %scope.tenant(),
        factory.correlation.id = %scope.correlation(),
        factory.aggregate.kind = A::KIND.name(),
        factory.aggregate.id = Empty,
        factory.environment.id = Empty,
        factory.outcome = Empty,
        factory.rule = Empty,
    );
    let began = Instant::now();
    let result = work.instrument(span.clone()).await;
    let outcome = match &result {
        Ok(done) => {
            span.record("factory.aggregate.id", display(done.aggregate.uuid()));
            span.record("factory.environment.id", display(done.aggregate.environment()));
            match done {
                Done { repeated: true, .. } => "repeated",
                Done { changed: false, .. } => "unchanged",
                Done { .. } if host.terms().preview => "previewed",
                Done { .. } => "done",
            }
        }
        Err(CommandError::Refused(refusal)) => {
            span.record("factory.rule", display(refusal.rule()));
            "refused"
        }
        Err(CommandError::NotFound { .. }) => "not-found",
        Err(CommandError::Changed { .. }) => "changed",
        Err(CommandError::KeyReused) => "key-reused",
        Err(CommandError::Contended) => "contended",
        Err(CommandError::Load(_)) => {
            failed(&span, "unreadable");
            "failed"
        }
        Err(CommandError::Port(error)) => {
            failed(&span, word(error.kind()));
            "failed"
        }
    };
    span.record("factory.outcome", outcome);
    let attributes =
        [("factory.aggregate.kind", A::KIND.name()), ("factory.command", name), ("factory.outcome", outcome)];
    host.telemetry().meter.record(Instrument::CommandDuration, seconds(began), &attributes);
    result
}

/// Asks a rule.
pub(crate) fn decided<E: DomainEvent, R: Refusal>(
    decide: impl FnOnce() -> Result<Decision<E>, R>,
) -> Result<Decision<E>, R> {
    let span = info_span!("decide", factory.outcome = Empty, factory.event = Empty, factory.rule = Empty);
    let decision = span.in_scope(decide);
    if span.is_disabled() {
        return decision;
    }
    match &decision {
        Ok(decision) => {
            if let Some(event) = decision.events.first() {
                span.record("factory.event", event.name());
            }
            span.record("factory.outcome", if decision.is_unchanged() { "unchanged" } else { "changed" });
        }
        Err(refusal) => {
            span.record("factory.outcome", "refused");
            span.record("factory.rule", display(refusal.rule()));
        }
    }
    decision
}

/// Calls a port; `effect` names what it changes in the world, where it changes something.
pub(crate) async fn call<T>(
    host: &Host,
    operation: &'static str,
    effect: Option<&(dyn fmt::Display + Sync)>,
    call: impl Future<Output = PortResult<T>>,
) -> PortResult<T> {
    let (port, method) = operation.split_once('.').unwrap_or(("port", operation));
    let span = info_span!(
        "call",
        otel.name = operation,
        otel.kind = "client",
        otel.status_code = Empty,
        error.type = Empty,
        factory.port = port,
        factory.operation = method,
        factory.effect.id = Empty,
        factory.outcome = Empty,
    );
    if let Some(effect) = effect {
        span.record("factory.effect.id", display(effect));
    }
    let began = Instant::now();
    let result = call.instrument(span.clone()).await;
    let outcome = result.as_ref().map_or_else(|error| word(error.kind()), |_| "ok");
    if result.is_err() {
        failed(&span, outcome);
    }
    span.record("factory.outcome", outcome);
    let attributes = [("factory.port", port), ("factory.operation", method), ("factory.outcome", outcome)];
    host.telemetry().meter.record(Instrument::PortCallDuration, seconds(began), &attributes);
    result
}

/// One pass of a worker over one aggregate.
pub(crate) struct Pass<'p> {
    host: &'p Host,
    worker: &'static str,
    span: Span,
    began: Instant,
}

impl<'p> Pass<'p> {
    pub(crate) fn begin(host: &'p Host, worker: &'static str, lease: &Lease) -> Self {
        let span = info_span!(
            "pass",
            otel.name = %format_args!("reconcile {worker}"),
            otel.status_code = Empty,
            error.type = Empty,
            factory.idle = true,
            factory.worker = worker,
            factory.tenant.id = %lease.tenant,
            factory.correlation.id = Empty,
            factory.aggregate.kind = lease.key.kind.name(),
            factory.aggregate.id = %lease.key.id,
            factory.outcome = Empty,
        );
        host.telemetry().meter.record(Instrument::PassesActive, 1.0, &[("factory.worker", worker)]);
        Self { host, worker, span, began: Instant::now() }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn ended(&self, outcome: &Result<Passed, PassError>) {
        let word = match outcome {
            Ok(_) => "done",
            Err(PassError::LeaseLost) => "lost",
            Err(PassError::Later { .. }) => "later",
            Err(PassError::Failed(_)) => {
                failed(&self.span, "pass");
                "failed"
            }
        };
        self.span.record("factory.outcome", word);
        let attributes = [("factory.worker", self.worker), ("factory.outcome", word)];
        self.host.telemetry().meter.record(Instrument::PassDuration, seconds(self.began), &attributes);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.host.telemetry().meter.record(
            Instrument::PassesActive,
            -1.0,
            &[("factory.worker", self.worker)],
        );
    }
}

/// What became of leases.
pub(crate) fn leases(host: &Host, worker: &'static str, outcome: &str, many: usize) {
    if many > 0 {
        let attributes = [("factory.worker", worker), ("factory.outcome", outcome)];
        let many = u32::try_from(many).unwrap_or(u32::MAX);
        host.telemetry().meter.record(Instrument::Leases, many.into(), &attributes);
    }
}

/// How late what is due is, as a worker saw it that found nothing to take.
pub(crate) fn lag(host: &Host, worker: &'static str, due: Option<Timestamp>, now: Timestamp) {
    let late = due.map_or(Time::ZERO, |due| Time::between(due, now));
    host.telemetry().meter.record(
        Instrument::DueLag,
        late.to_std().as_secs_f64(),
        &[("factory.worker", worker)],
    );
}

/// The present span, a pass, continues the work that began the aggregate.
pub(crate) fn continues(host: &Host, first: &Beginning) {
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    span.record("factory.correlation.id", display(first.correlation));
    if let Some(parent) = &first.trace_parent {
        host.telemetry().traces.follow(&span, parent, since(first.at, host.now()));
    }
}

fn since(begun: Timestamp, now: Timestamp) -> Follows {
    if Time::between(begun, now) > ONE_TRACE { Follows::Link } else { Follows::Child }
}

/// The present span, for what is committed in it to be continued.
pub(crate) fn present(host: &Host) -> Option<TraceParent> {
    host.telemetry().traces.current()
}

/// A port's failure, in a word from a short list.
fn word(kind: PortErrorKind) -> &'static str {
    match kind {
        PortErrorKind::Invalid => "invalid",
        PortErrorKind::NotFound => "not-found",
        PortErrorKind::Denied => "denied",
        PortErrorKind::Corrupt => "corrupt",
        PortErrorKind::Exhausted => "exhausted",
        PortErrorKind::Fenced => "fenced",
        PortErrorKind::Unsupported => "unsupported",
        PortErrorKind::Unavailable => "unavailable",
        PortErrorKind::TimedOut => "timed-out",
        PortErrorKind::Internal => "internal",
        _ => "other",
    }
}

/// An instrument that an event moves: by how much, and with which word.
type Meaning = (Instrument, f64, Option<Attribute<'static>>);

/// What an event means beside its being counted.
pub(crate) fn meaning(kind: AggregateKind, event: &str) -> Option<Meaning> {
    use AggregateKind::{RuntimeDeployment, RuntimeDriftFinding, ScalingPolicy, SecretBinding};
    let outcome = |instrument, word| Some((instrument, 1.0, Some(("factory.outcome", word))));
    match (kind, event) {
        (RuntimeDeployment, "RuntimeDeploymentRequested") => outcome(Instrument::Rollouts, "requested"),
        (RuntimeDeployment, "RuntimeDeploymentCompleted") => outcome(Instrument::Rollouts, "completed"),
        (RuntimeDeployment, "RuntimeDeploymentRolledBack") => outcome(Instrument::Rollouts, "rolled-back"),
        (RuntimeDeployment, "DeploymentRejected") => outcome(Instrument::Rollouts, "rejected"),
        (RuntimeDeployment, "DeploymentFailed") => outcome(Instrument::Rollouts, "failed"),
        (RuntimeDeployment, "GatePassed") => outcome(Instrument::Gates, "passed"),
        (RuntimeDeployment, "GateFailed") => outcome(Instrument::Gates, "failed"),
        (ScalingPolicy, "ScalingEvaluated") => outcome(Instrument::ScalingDecisions, "evaluated"),
        (ScalingPolicy, "ScalingActivated") => outcome(Instrument::ScalingDecisions, "activated"),
        (ScalingPolicy, "ScalingPolicyViolated") => outcome(Instrument::ScalingDecisions, "violated"),
        (ScalingPolicy, "ScalingPolicyKept") => outcome(Instrument::ScalingDecisions, "kept"),
        (SecretBinding, "SecretRotationRequested") => outcome(Instrument::Rotations, "requested"),
        (SecretBinding, "SecretRotated") => outcome(Instrument::Rotations, "rotated"),
        (SecretBinding, "SecretRotationFailed") => outcome(Instrument::Rotations, "failed"),
        (SecretBinding, "SecretRotationAborted") => outcome(Instrument::Rotations, "aborted"),
        (RuntimeDriftFinding, "RuntimeDriftDetected") => Some((Instrument::DriftOpen, 1.0, None)),
        (RuntimeDriftFinding, "RuntimeDriftRemediated" | "DriftResolvedByException" | "DriftVanished") => {
            Some((Instrument::DriftOpen, -1.0, None))
        }
        _ => None,
    }
}
