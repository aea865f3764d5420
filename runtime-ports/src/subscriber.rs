//! Consumers of events within the host.

use std::error::Error;

use async_trait::async_trait;
use runtime_domain::envelope::Envelope;
use runtime_domain::id::CorrelationId;

use crate::publisher::PublishedEvent;
use crate::store::InboxEntry;
use crate::{PortError, PortErrorKind};

/// An event on its way to one subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<'d> {
    /// The event.
    pub event: &'d PublishedEvent,
    /// What makes handling it twice change nothing (X-2): put it into the commit that the event leads to. The store refuses a second such
    /// commit with [`AlreadyHandled`](crate::store::CommitError::AlreadyHandled), which means that nothing is left to do.
    pub inbox: InboxEntry,
    /// Which try of this host this is, from 1.
    pub attempt: u32,
}

impl Delivery<'_> {
    /// The chain of work that the event is part of (X-10); the event's own identifier where its envelope is not readable.
    pub fn correlation(&self) -> CorrelationId {
        let envelope = serde_json::from_str::<Envelope<serde_json::Value>>(&self.event.envelope);
        envelope
            .map_or_else(|_| CorrelationId::from_uuid(self.event.id.uuid()), |envelope| envelope.correlation)
    }
}

/// Handles the events of all aggregates, durably: what is published while it is down, slow or broken comes later, and nothing is lost.
///
/// Flow: the relay calls [`handle`](Subscriber::handle) for each event of an aggregate in order, and counts it as delivered once that has
/// returned `Ok`; different aggregates' events may be handled at once. What others call *complete*, *abandon* and *dead-letter* are `Ok`,
/// [`NotHandled::Failed`] and [`NotHandled::Rejected`].
///
/// Guarantees: every event that was committed since the first host with this subscriber began to relay is handled at least once, over
/// crashes and restarts; those of one aggregate in order. An event that is not handled holds this subscriber's stream of this aggregate
/// only: other aggregates, and other subscribers, go on.
///
/// Assumptions: every host that relays from one store has the same subscribers; those who need others listen to a bus.
///
/// ```
/// use std::sync::Arc;
///
/// use runtime_ports::store::{Commit, CommitError, Store};
/// use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};
///
/// /// Charges for what was deployed.
/// struct Billing {
///     store: Arc<dyn Store>,
///     scope: runtime_domain::scope::OperatorScope,
/// }
///
/// #[async_trait::async_trait]
/// impl Subscriber for Billing {
///     fn name(&self) -> &str {
///         "billing"
///     }
///
///     async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled> {
///         let event = delivery.event;
///         if event.event_type != "factory.runtime.RuntimeDeploymentCompleted.v1" {
///             return Ok(());
///         }
///         let scope = self.scope.for_tenant(event.tenant, delivery.correlation()).caused_by(event.id);
///         // What it decides goes into the same commit (`writes`): either both happen or neither.
///         let commit = Commit { inbox: Some(delivery.inbox), ..Commit::default() };
///         match self.store.for_tenant(&scope).commit(commit).await {
///             Ok(_) | Err(CommitError::AlreadyHandled) => Ok(()),
///             Err(CommitError::Port(error)) => Err(error.into()),
///             Err(other) => Err(NotHandled::failed("billing.charge", other)),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Subscriber: Send + Sync + 'static {
    /// Its name, a [`Name`](runtime_domain::value::Name), which the inbox and parked streams are kept under: it stays the same from release
    /// to release, and no two subscribers of a host share one.
    fn name(&self) -> &str;

    /// Handles one event. Irrelevant ones are `Ok` at once. It may be dropped at any wait, when the host stops or another takes over.
    async fn handle(&self, delivery: Delivery<'_>) -> Result<(), NotHandled>;
}

/// Why an event was not handled.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotHandled {
    /// What the subscriber needs cannot be reached. The stream waits for as long as that lasts, and then goes on by itself.
    #[error("the subscriber cannot work now")]
    Unavailable(#[source] PortError),
    /// It failed, and may succeed when tried again. After a few tries the stream is parked for an operator.
    #[error("the subscriber failed")]
    Failed(#[source] PortError),
    /// It will never be handled as it is. The stream is parked for an operator at once.
    #[error("the subscriber rejects the event")]
    Rejected(#[source] PortError),
}

impl NotHandled {
    /// A failure of `operation` (`"billing.charge"`) that may succeed when tried again.
    pub fn failed(operation: &'static str, cause: impl Error + Send + Sync + 'static) -> Self {
        let message = "the event could not be handled";
        Self::Failed(PortError::new(PortErrorKind::Internal, operation, message).caused_by(cause))
    }
}

impl From<PortError> for NotHandled {
    /// By what the error advises: what cannot be reached, timed out or is exhausted is [`Unavailable`](NotHandled::Unavailable), what is
    /// invalid is [`Rejected`](NotHandled::Rejected), and the rest has [`Failed`](NotHandled::Failed).
    fn from(error: PortError) -> Self {
        match error.kind() {
            PortErrorKind::Unavailable | PortErrorKind::TimedOut | PortErrorKind::Exhausted => {
                Self::Unavailable(error)
            }
            PortErrorKind::Invalid => Self::Rejected(error),
            _ => Self::Failed(error),
        }
    }
}
