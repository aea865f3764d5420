//! How events leave: aggregate by aggregate, in order, at least once (X-4).
//!
//! ```text
//!   outbox ──► lease on one aggregate's stream ──► up to 64 events, in order ──► the bus ──► marked as published, once
//!                                                                          └──► each subscriber
//!                 a destination that refuses one, or is away, is held there; the others go on
//! ```
//!
//! - **Order**: a stream is relayed by one host at a time, event by event; an event is sent to the next destination when the one before has
//!   it, and the next event after that.
//! - **At least once**: what was sent and not yet marked when a host dies is sent again, with the same identifiers.
//! - **Bounded**: at most [`HostOptions::relay_concurrency`](crate::HostOptions::relay_concurrency) streams at once, with at most 64 events
//!   in memory each, however much waits.
//! - **Fair**: streams are taken in the store's fair order among tenants (X-9), and each is given back after 64 events.
//! - **A poison event holds one destination's part of one stream.** It is parked with its reason until an operator unparks it; what was
//!   missed meanwhile comes first, in order.
//! - **A subscriber that is away** is passed over: its streams are parked until it can be reached, and unparked by themselves.
//! - **A bus that is away** stops the relay: nothing is taken or parked until it is back; one event after the other finds out, ever more
//!   seldom, at most every 30 seconds.
//! - **A lease that is lost** stops the work on its stream at the next wait.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use runtime_domain::bug;
use runtime_domain::id::AggregateKind;
use runtime_domain::scope::OperatorScope;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, TextError};
use runtime_ports::PortResult;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    Lease, LeaseError, LeaseTopic, OperatorStore, Page, ParkedQuery, ParkedStream, ParkedUntil, Parking,
    Unpark,
};
use runtime_ports::subscriber::Subscriber;
use runtime_ports::telemetry::Instrument;
use tokio_util::sync::CancellationToken;

use crate::host::{Host, HostOptions};
use crate::observed::delivery::About;
use crate::worker::{self, PassError, Passed, Task};
use circuit::Circuit;
use destination::{Delivered, Destination, Kind, spread};

pub(crate) mod circuit;
mod deduplicated;
mod destination;

pub use deduplicated::Deduplicated;

/// How many events of one aggregate are sent before another aggregate has its turn.
const BATCH: u32 = 64;
/// How many streams are unparked at once when a subscriber is back.
const RESUMED_AT_ONCE: u32 = 64;
/// How much of a reason is kept, in characters; no store keeps a NUL.
const LONGEST_REASON: usize = 2_000;
/// How often streams are looked for that a host has parked which is no more.
const LEFTOVERS: Span = Span::from_secs(60);

/// The name that the bus has among the destinations.
pub const BUS: &str = "bus";

/// Why subscribers were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriberError {
    /// A subscriber's name is not one.
    #[error("a subscriber's name is refused")]
    Name(#[from] TextError),
    /// Two have one name.
    #[error(
        "the name `{name}` is taken by another subscriber, a context of the host or the bus: choose another"
    )]
    NameTaken {
        /// The name.
        name: Name,
    },
}

/// Sends what waits in the outbox, and shows what cannot be sent. Cheap to clone.
#[derive(Clone)]
pub struct RelayService {
    shared: Arc<Shared>,
}

struct Shared {
    host: Host,
    store: Box<dyn OperatorStore>,
    destinations: Vec<Destination>,
    /// Whether this host has parked streams until a subscriber can be reached.
    has_parked: AtomicBool,
}

impl std::fmt::Debug for RelayService {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.destinations().collect();
        formatter.debug_struct("RelayService").field("destinations", &names).finish_non_exhaustive()
    }
}

impl RelayService {
    /// The relay of a host, to its bus and to these subscribers.
    ///
    /// # Errors
    /// A subscriber's name is not one, or taken.
    pub fn new(host: Host, subscribers: Vec<Arc<dyn Subscriber>>) -> Result<Self, SubscriberError> {
        let bus = (Name::new(BUS)?, Kind::Bus);
        let mut kinds = vec![bus];
        for subscriber in subscribers {
            kinds.push((Name::new(subscriber.name())?, Kind::Subscriber(subscriber)));
        }
        let mut taken = BTreeSet::new();
        if let Some((name, _)) = kinds.iter().find(|(name, _)| !taken.insert(name.clone())) {
            return Err(SubscriberError::NameTaken { name: name.clone() });
        }
        let destinations =
            kinds.into_iter().map(|(name, kind)| Destination { name, circuit: Circuit::default(), kind });
        let store = host.ports().store.for_operator(&host.operator("relay"));
        let destinations = destinations.collect();
        let has_parked = AtomicBool::new(true);
        Ok(Self { shared: Arc::new(Shared { host, store, destinations, has_parked }) })
    }

    /// Where events go: [`BUS`], then the subscribers.
    pub fn destinations(&self) -> impl Iterator<Item = &Name> {
        self.shared.destinations.iter().map(|destination| &destination.name)
    }

    /// Lists the streams that are parked, with their reasons, of all tenants.
    ///
    /// # Errors
    /// The query is [`Invalid`](runtime_ports::PortErrorKind::Invalid), or the store failed.
    pub async fn parked(&self, scope: &OperatorScope, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
        self.shared.host.ports().store.for_operator(scope).outbox_parked(query).await
    }

    /// Lets parked streams go on from the event that they stopped at, and returns how many there were. Do so once the cause is mended: an
    /// event that is refused again parks its stream again.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unpark(&self, scope: &OperatorScope, which: &Unpark) -> PortResult<u32> {
        let unparked = self.shared.host.ports().store.for_operator(scope).outbox_unpark(which).await?;
        let (actor, purpose) = (scope.actor(), scope.purpose());
        tracing::info!(%actor, purpose, ?which, unparked, "parked streams go on");
        Ok(unparked)
    }

    /// Relays until `stop` is cancelled, then ends what is in flight and returns (X-8). Dropping it loses nothing.
    ///
    /// For hosts that relay and do nothing else; [`Services::run`](crate::Services::run) includes it.
    pub async fn run(&self, stop: CancellationToken) {
        let host = self.shared.host.clone();
        let resumed = stop.child_token();
        let worker = worker::run(host, Arc::new(Relay(Arc::clone(&self.shared))), stop);
        tokio::join!(worker, resumed.run_until_cancelled(self.shared.resume_forever()));
    }
}

struct Relay(Arc<Shared>);

#[async_trait]
impl Task for Relay {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn topic(&self) -> LeaseTopic {
        LeaseTopic::Outbox
    }

    fn kinds(&self) -> &'static [AggregateKind] {
        let now = self.0.host.now();
        let mut bus = self.0.destinations.iter().filter(|destination| destination.is_bus());
        match bus.find_map(|bus| bus.circuit.closed_until(now)) {
            Some(_) => &[],
            None => &AggregateKind::ALL,
        }
    }

    fn concurrency(&self, options: &HostOptions) -> u32 {
        options.relay_concurrency
    }

    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError> {
        let shared = &self.0;
        let mut outbox = shared.store.outbox(lease, BATCH).await.map_err(PassError::failed)?;
        if outbox.held.iter().any(|held| held.is_resumed) {
            for held in outbox.held.iter().filter(|held| held.is_resumed) {
                shared.catch_up(lease, &held.destination).await?;
            }
            // Who has caught up gets what comes.
            outbox = shared.store.outbox(lease, BATCH).await.map_err(PassError::failed)?;
        }
        let held: BTreeSet<_> = outbox.held.into_iter().map(|held| held.destination).collect();
        let open = shared.destinations.iter().filter(|destination| !held.contains(&destination.name));
        shared.relay(lease, open.collect(), &held, &outbox.events).await?;
        Ok(Passed::AsStored)
    }
}

impl Shared {
    /// Sends events to all that are not held, in order, and marks them together.
    async fn relay(
        &self,
        lease: &Lease,
        mut open: Vec<&Destination>,
        held: &BTreeSet<Name>,
        events: &[PublishedEvent],
    ) -> Result<(), PassError> {
        let mut sent = None;
        for event in events {
            let about = About::of(event);
            let mut still_open = Vec::with_capacity(open.len());
            for destination in open {
                match destination.deliver(&self.host, event, &about).await {
                    Delivered::Taken => still_open.push(destination),
                    Delivered::Away { until, .. } if destination.is_bus() => {
                        self.mark(lease, sent, held).await?;
                        return Err(PassError::Later { until: spread(until, &self.host, event) });
                    }
                    refused => self.hold(lease, destination, event, refused).await?,
                }
            }
            open = still_open;
            sent = Some(event.sequence);
        }
        self.mark(lease, sent, held).await
    }

    /// Marks what was sent to all but those that are held.
    async fn mark(&self, lease: &Lease, sent: Option<u64>, held: &BTreeSet<Name>) -> Result<(), PassError> {
        match sent {
            Some(sequence) => self.store.outbox_published(lease, sequence, held).await.map_err(lost),
            None => Ok(()),
        }
    }

    /// Parks the stream for a destination that did not take an event.
    async fn hold(
        &self,
        lease: &Lease,
        destination: &Destination,
        event: &PublishedEvent,
        outcome: Delivered,
    ) -> Result<(), PassError> {
        let (reason, until) = match outcome {
            Delivered::Taken => return Ok(()),
            Delivered::Refused { .. } if bug!("poison-loops-for-ever") => {
                return Err(PassError::Later { until: Span::from_secs(1).after(self.host.now()) });
            }
            Delivered::Refused { reason } => {
                tracing::error!(destination = %destination.name, event = %event.id, reason, "parked for an operator");
                (reason, ParkedUntil::Unparked)
            }
            Delivered::Away { reason, .. } => {
                self.has_parked.store(true, Ordering::Release);
                (reason, ParkedUntil::Reachable)
            }
        };
        let destination = destination.name.clone();
        self.park(lease, destination, event.sequence, reason, until).await
    }

    async fn park(
        &self,
        lease: &Lease,
        destination: Name,
        sequence: u64,
        reason: String,
        until: ParkedUntil,
    ) -> Result<(), PassError> {
        let reason = reason.replace('\0', "").chars().take(LONGEST_REASON).collect();
        let attributes = [("factory.destination", destination.as_str()), ("factory.until", until.name())];
        self.host.telemetry().meter.record(Instrument::RelayParked, 1.0, &attributes);
        let parking = Parking { destination, sequence, reason, until, at: self.host.now() };
        self.store.outbox_park(lease, &parking).await.map_err(lost)
    }

    /// Sends a destination what it has missed.
    async fn catch_up(&self, lease: &Lease, name: &Name) -> Result<(), PassError> {
        let missed = self.store.outbox_missed(lease, name, BATCH).await.map_err(PassError::failed)?;
        let destination = self.destinations.iter().find(|destination| destination.name == *name);
        let mut taken = 0;
        for event in &missed {
            let Some(destination) = destination else {
                let reason = format!("this host has no subscriber `{name}`: unpark it on one that has");
                return self.park(lease, name.clone(), event.sequence, reason, ParkedUntil::Unparked).await;
            };
            match destination.deliver(&self.host, event, &About::of(event)).await {
                Delivered::Taken => taken = event.sequence,
                Delivered::Away { until, .. } if destination.is_bus() => {
                    self.store.outbox_caught_up(lease, name, taken).await.map_err(lost)?;
                    return Err(PassError::Later { until: spread(until, &self.host, event) });
                }
                refused => return self.hold(lease, destination, event, refused).await,
            }
        }
        self.store.outbox_caught_up(lease, name, taken).await.map_err(lost)
    }

    /// Unparks what waits for subscribers that can be reached again.
    async fn resume_forever(&self) {
        let mut leftovers_at = self.host.now();
        loop {
            let now = self.host.now();
            if now >= leftovers_at || self.has_parked.swap(false, Ordering::AcqRel) {
                leftovers_at = LEFTOVERS.after(now);
                for destination in self.destinations.iter().filter(|destination| !destination.is_bus()) {
                    if let Err(error) = self.resume(destination, now).await {
                        self.has_parked.store(true, Ordering::Release);
                        tracing::warn!(%error, "parked streams could not be looked at; trying again");
                    }
                }
            }
            self.host.ports().clock.sleep_until(self.host.options().idle.after(now)).await;
        }
    }

    /// One stream finds out whether the subscriber can be reached; then all the others follow.
    async fn resume(&self, destination: &Destination, now: Timestamp) -> PortResult<()> {
        if destination.circuit.closed_until(now).is_some() {
            self.has_parked.store(true, Ordering::Release);
            return Ok(());
        }
        loop {
            let is_sound = destination.circuit.is_sound();
            let query = ParkedQuery {
                destination: Some(destination.name.clone()),
                until: Some(ParkedUntil::Reachable),
                limit: if is_sound { RESUMED_AT_ONCE } else { 1 },
                ..ParkedQuery::all()
            };
            let page = self.store.outbox_parked(&query).await?;
            for parked in page.items {
                self.has_parked.store(true, Ordering::Release);
                self.store.outbox_unpark(&Unpark::One(parked.stream)).await?;
            }
            if page.next.is_none() || !is_sound {
                return Ok(());
            }
        }
    }
}

fn lost(error: LeaseError) -> PassError {
    match error {
        LeaseError::Lost { .. } => PassError::LeaseLost,
        other => PassError::failed(other),
    }
}
