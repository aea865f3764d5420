//! Events between contexts: the envelope that leaves, and what this host's other contexts do with it.

use runtime_domain::aggregate::Aggregate;
use runtime_domain::envelope::{Envelope, EventType, Source, Subject};
use runtime_domain::refusal::Refusal;
use runtime_domain::scope::TenantScope;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{HistoryEntry, LoadError};
use runtime_ports::subscriber::NotHandled;
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::error::CommandError;
use crate::host::Host;

/// The event's CloudEvents type, and its envelope as JSON.
pub(crate) fn envelope<A: Aggregate>(
    host: &Host,
    scope: &TenantScope,
    after: &A,
    entry: &HistoryEntry,
    version: u16,
) -> Result<(String, String), PortError> {
    let broken =
        |message: &str| PortError::new(PortErrorKind::Internal, "events.envelope", message.to_owned());
    let data: serde_json::Value = serde_json::from_str(&entry.body)
        .map_err(|error| broken("the event is not JSON").caused_by(error))?;
    let invalid =
        |error: runtime_domain::value::TextError| broken("the envelope cannot be written").caused_by(error);
    let event_type = EventType::new(&entry.event, version).map_err(invalid)?;
    let envelope = Envelope {
        id: entry.id,
        source: Source::new(&host.options().source).map_err(invalid)?,
        event_type: event_type.clone(),
        time: entry.at,
        subject: Subject { kind: A::KIND, id: after.uuid() },
        data_schema: None,
        tenant: scope.tenant(),
        environment: after.environment(),
        correlation: scope.correlation(),
        causation: scope.causation(),
        trace_parent: entry.trace_parent.clone(),
        sequence: entry.sequence,
        data,
    };
    let text = serde_json::to_string(&envelope)
        .map_err(|error| broken("the envelope is not JSON").caused_by(error))?;
    Ok((event_type.to_string(), text))
}

/// The envelope of an event that another context of this host raised.
pub(crate) fn opened(event: &PublishedEvent) -> PortResult<Envelope<serde_json::Value>> {
    serde_json::from_str(&event.envelope).map_err(|error| {
        let message = format!("event {} has an envelope that cannot be read", event.id);
        PortError::new(PortErrorKind::Invalid, "events.open", message).caused_by(error)
    })
}

/// The scope in which a context reacts to an event: the tenant's, in the same chain of work, because of it.
pub(crate) fn scope_of(
    host: &Host,
    listener: &'static str,
    envelope: &Envelope<serde_json::Value>,
) -> TenantScope {
    host.operator(listener).for_tenant(envelope.tenant, envelope.correlation).caused_by(envelope.id)
}

/// A failure to react, as the relay understands it: what a port could not do now is done later; what a rule refuses, or cannot be loaded,
/// is tried a few times and then shown to an operator.
pub(crate) fn not_handled<R: Refusal + Send + Sync + 'static>(error: CommandError<R>) -> NotHandled {
    match error {
        CommandError::Port(error) | CommandError::Load(LoadError::Port(error)) => error.into(),
        error => NotHandled::failed("events.react", error),
    }
}
