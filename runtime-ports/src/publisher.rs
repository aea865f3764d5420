//! The event bus, outbound.

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::id::{EventId, TenantId};
use uuid::Uuid;

use crate::PortResult;

/// One event, ready to send: a CloudEvents 1.0 envelope in its JSON form, and what a bus needs to route it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedEvent {
    /// The event's identifier: consumers deduplicate on it.
    pub id: EventId,
    /// The tenant.
    pub tenant: TenantId,
    /// The kind of aggregate that raised it.
    pub aggregate_kind: AggregateKind,
    /// The aggregate that raised it: events with the same one are delivered in order.
    pub aggregate_id: Uuid,
    /// Its number within the aggregate: it rises, with gaps where unpublished events lie between.
    pub sequence: u64,
    /// The CloudEvents type: `factory.runtime.RuntimeDeploymentCompleted.v1`.
    pub event_type: String,
    /// The whole envelope as JSON.
    pub envelope: String,
}

/// Sends events to a bus.
///
/// Flow: the relay calls it once per event in the aggregate's order and waits for the answer before it sends the next of the same
/// aggregate; different aggregates may be sent at once.
///
/// Guarantees: `Ok` means that the bus has made the event durable. The same event may be sent again after a crash; a bus that can
/// deduplicates on its identifier.
///
/// Errors: [`Invalid`](crate::PortErrorKind::Invalid) where this event can never be sent: the relay parks it, and its aggregate's later
/// events wait behind it, for the bus alone. Any other error is the bus's own: the relay waits until it is back.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait EventPublisher: Send + Sync + 'static {
    /// Sends one event.
    async fn publish(&self, event: &PublishedEvent) -> PortResult<()>;
    /// Whether the bus can be reached: the host's readiness follows it.
    async fn check(&self) -> PortResult<()>;
}
