//! How events leave: aggregate by aggregate, in order, at least once.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_ports::PortErrorKind;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{Lease, LeaseError, LeaseTopic, OperatorStore};

use crate::events::Listener;
use crate::host::Host;
use crate::worker::{PassError, Passed, Task};

/// How many events of one aggregate are sent before another aggregate has its turn.
const BATCH: u32 = 64;

/// Sends what waits in the outbox to this host's other contexts and to the bus.
pub(crate) struct Relay {
    store: Box<dyn OperatorStore>,
    host: Host,
    listeners: Vec<Arc<dyn Listener>>,
}

impl Relay {
    pub(crate) fn new(host: Host, listeners: Vec<Arc<dyn Listener>>) -> Self {
        let store = host.ports().store.for_operator(&host.operator("relay"));
        Self { store, host, listeners }
    }

    async fn send(&self, event: &PublishedEvent) -> Result<(), runtime_ports::PortError> {
        for listener in &self.listeners {
            listener.on_event(event).await?;
        }
        self.host.ports().publisher.publish(event).await
    }
}

#[async_trait]
impl Task for Relay {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn topic(&self) -> LeaseTopic {
        LeaseTopic::Outbox
    }

    fn kinds(&self) -> &'static [AggregateKind] {
        &AggregateKind::ALL
    }

    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError> {
        for event in self.store.outbox(lease, BATCH).await.map_err(PassError::failed)? {
            match self.send(&event).await {
                Ok(()) => self.store.outbox_published(lease, event.sequence).await.map_err(lost)?,
                Err(error) if error.kind() == PortErrorKind::Invalid => {
                    tracing::error!(event = %event.id, %error, "parked: it can never be sent as it is");
                    self.store.outbox_park(lease, event.sequence, &error.to_string()).await.map_err(lost)?;
                    return Ok(Passed::AsStored);
                }
                Err(error) => return Err(PassError::failed(error)),
            }
        }
        Ok(Passed::AsStored)
    }
}

fn lost(error: LeaseError) -> PassError {
    match error {
        LeaseError::Lost { .. } => PassError::LeaseLost,
        other => PassError::failed(other),
    }
}
