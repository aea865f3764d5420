//! Where events go: the bus, and this host's subscribers.

use std::sync::Arc;

use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Name;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::InboxEntry;
use runtime_ports::subscriber::{Delivery, NotHandled, Subscriber};
use runtime_ports::{PortError, PortErrorKind, Retry};
use tracing::Instrument as _;

use super::circuit::{Circuit, Pass, jittered, wait};
use crate::host::Host;
use crate::observed::delivery::{self, About};
use crate::reconcile::in_words;

/// One place where events go.
pub(super) struct Destination {
    pub(super) name: Name,
    pub(super) circuit: Circuit,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// The bus. Without it nothing is relayed.
    Bus,
    Subscriber(Arc<dyn Subscriber>),
}

/// What became of an event on its way to one destination.
#[derive(Debug)]
pub(super) enum Delivered {
    /// The destination has it.
    Taken,
    /// It cannot have it until somebody mends something.
    Refused { reason: String },
    /// The destination cannot be reached; worth another try then.
    Away { reason: String, until: Timestamp },
}

impl Destination {
    pub(super) fn is_bus(&self) -> bool {
        matches!(self.kind, Kind::Bus)
    }

    pub(super) async fn deliver(&self, host: &Host, event: &PublishedEvent, about: &About) -> Delivered {
        let span = delivery::span(host, self.name.as_str(), self.is_bus(), event, about);
        let delivered = self.send(host, event).instrument(span.clone()).await;
        let outcome = match delivered {
            Delivered::Taken => "taken",
            Delivered::Refused { .. } => "refused",
            Delivered::Away { .. } => "away",
        };
        delivery::ended(host, &span, self.name.as_str(), about, outcome);
        delivered
    }

    async fn send(&self, host: &Host, event: &PublishedEvent) -> Delivered {
        let pass = match self.circuit.admit(host.now()) {
            Ok(pass) => pass,
            Err(until) => {
                let reason = format!("{} could not be reached a moment ago", self.name);
                return Delivered::Away { reason, until };
            }
        };
        match &self.kind {
            Kind::Bus => {
                let answer = host.bounded("publisher.publish", host.ports().publisher.publish(event)).await;
                match answer {
                    Ok(()) => self.taken(),
                    Err(error) if error.kind() == PortErrorKind::Invalid => self.refused(&error),
                    Err(error) => self.away(host, pass, event, &error),
                }
            }
            Kind::Subscriber(subscriber) => self.handle(host, &**subscriber, pass, event).await,
        }
    }

    /// Tries a few times; what fails more often is for a person to look at.
    async fn handle(
        &self,
        host: &Host,
        subscriber: &dyn Subscriber,
        pass: Pass,
        event: &PublishedEvent,
    ) -> Delivered {
        let attempts = host.options().delivery_attempts.max(1);
        let mut attempt = 1;
        loop {
            let inbox = InboxEntry { consumer: self.name.clone(), event: event.id };
            let answer = bounded(host, subscriber.handle(Delivery { event, inbox, attempt })).await;
            match answer {
                Ok(()) => return self.taken(),
                Err(NotHandled::Unavailable(error)) => return self.away(host, pass, event, &error),
                Err(NotHandled::Failed(error)) if attempt < attempts => {
                    tracing::warn!(subscriber = %self.name, event = %event.id, %error, attempt, "trying again");
                }
                Err(NotHandled::Failed(error)) => {
                    self.circuit.succeeded();
                    let reason = format!("failed {attempts} times, at last: {}", in_words(&error));
                    return Delivered::Refused { reason };
                }
                Err(NotHandled::Rejected(error)) => return self.refused(&error),
                Err(other) => {
                    self.circuit.succeeded();
                    return Delivered::Refused { reason: other.to_string() };
                }
            }
            let pause = jittered(wait(attempt), seed(host, event));
            host.ports().clock.sleep_until(pause.after(host.now())).await;
            attempt += 1;
        }
    }

    fn taken(&self) -> Delivered {
        self.circuit.succeeded();
        Delivered::Taken
    }

    /// It answered, so it can be reached.
    fn refused(&self, error: &PortError) -> Delivered {
        self.circuit.succeeded();
        Delivered::Refused { reason: in_words(error) }
    }

    fn away(&self, host: &Host, pass: Pass, event: &PublishedEvent, error: &PortError) -> Delivered {
        let asked = match error.retry() {
            Retry::Later { after } => after,
            _ => None,
        };
        let until = self.circuit.failed(pass, host.now(), asked, seed(host, event));
        tracing::warn!(destination = %self.name, %error, %until, "cannot be reached; trying again then");
        Delivered::Away { reason: in_words(error), until }
    }
}

/// A subscriber that does not answer in time cannot be reached.
async fn bounded(
    host: &Host,
    answer: impl Future<Output = Result<(), NotHandled>>,
) -> Result<(), NotHandled> {
    let limit = host.options().call_timeout;
    tokio::select! {
        biased;
        answer = answer => answer,
        () = host.ports().clock.sleep_until(limit.after(host.now())) => {
            let message = format!("no answer within {limit}: it may or may not have been handled");
            Err(NotHandled::Unavailable(PortError::new(PortErrorKind::TimedOut, "relay.handle", message)))
        }
    }
}

/// Spreads the retries of hosts and events.
fn seed(host: &Host, event: &PublishedEvent) -> u64 {
    let (host, event) = (host.id().uuid().as_u64_pair(), event.id.uuid().as_u64_pair());
    host.0 ^ host.1 ^ event.0 ^ event.1
}

/// How long a stream waits beyond `until`, so that not all that wait for one destination come back at once.
pub(super) fn spread(until: Timestamp, host: &Host, event: &PublishedEvent) -> Timestamp {
    jittered(Span::from_millis(100), seed(host, event)).after(until)
}
