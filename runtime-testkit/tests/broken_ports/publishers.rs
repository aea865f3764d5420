//! Publishers that break one promise each.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::id::EventId;
use runtime_ports::publisher::{EventPublisher, PublishedEvent};
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use runtime_testkit::conformance::{AdapterFactory, Persistence, PublisherFactory, Report, publisher};
use runtime_testkit::sample;
use runtime_testkit::world::RecordingBus;
use tokio::task::yield_now;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    CutsLongEnvelopes,
    NewestFirst,
    LosesWhatComesAtOnce,
    NamesItAnew,
    RefusesWhatItHas,
    KnowsByContent,
    ForgetsTheTenant,
    SendsToCheck,
    KeepsItsLock,
    RemembersBeforeItSends,
    NeverSaysNever,
    StopsAtTheImpossible,
    AcknowledgesWhileAway,
    ChecksNothing,
    GivesUpWhileAway,
    ForgetsWhenClosed,
}

/// What the bus has, and how it is.
#[derive(Debug, Default)]
struct Wire {
    events: Vec<PublishedEvent>,
    /// What it was about to take.
    begun: Vec<EventId>,
    away: bool,
    stopped: bool,
    sending: u32,
}

struct Bus {
    bug: Bug,
    wire: Arc<Mutex<Wire>>,
}

fn refused(kind: PortErrorKind, message: &str) -> PortError {
    PortError::new(kind, "publisher.publish", message)
}

impl Bus {
    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    /// Whether the bus takes an event, before anything of it is sent.
    fn admits(&self, wire: &Wire, event: &PublishedEvent) -> PortResult<()> {
        if wire.away && !self.is(Bug::AcknowledgesWhileAway) {
            let error = refused(PortErrorKind::Unavailable, "the bus is away");
            let gives_up = self.is(Bug::GivesUpWhileAway);
            return Err(if gives_up { error.with_retry(Retry::Never) } else { error });
        }
        if event.event_type.is_empty() && !self.is(Bug::NeverSaysNever) {
            return Err(refused(PortErrorKind::Invalid, "an event has a type"));
        }
        if event.event_type.is_empty() || wire.stopped {
            return Err(refused(PortErrorKind::Unavailable, "the bus is stopped"));
        }
        Ok(())
    }
}

#[async_trait]
impl EventPublisher for Bus {
    async fn publish(&self, event: &PublishedEvent) -> PortResult<()> {
        let mut event = event.clone();
        let at_once = {
            let mut wire = self.wire.lock().unwrap();
            let admitted = self.admits(&wire, &event);
            wire.stopped |= self.is(Bug::StopsAtTheImpossible) && event.event_type.is_empty();
            admitted?;
            if wire.events.iter().any(|had| had.id == event.id) {
                return match self.bug {
                    Bug::RefusesWhatItHas => Err(refused(PortErrorKind::Invalid, "it was sent before")),
                    Bug::NamesItAnew => {
                        event.id = EventId::from_uuid(uuid::Uuid::max());
                        wire.events.push(event);
                        Ok(())
                    }
                    _ => Ok(()),
                };
            }
            if wire.begun.contains(&event.id) && self.is(Bug::RemembersBeforeItSends) {
                return Ok(());
            }
            if wire.sending > 0 && self.is(Bug::KeepsItsLock) {
                return Err(refused(PortErrorKind::Unavailable, "somebody sends"));
            }
            wire.begun.push(event.id);
            wire.sending += 1;
            wire.events.len()
        };
        yield_now().await;
        let mut wire = self.wire.lock().unwrap();
        wire.sending -= 1;
        if wire.away {
            return Ok(());
        }
        if self.is(Bug::LosesWhatComesAtOnce) {
            // Both wrote behind what they saw.
            wire.events.truncate(at_once);
        }
        if self.is(Bug::KnowsByContent) && wire.events.iter().any(|had| had.envelope == event.envelope) {
            return Ok(());
        }
        if self.is(Bug::CutsLongEnvelopes) {
            event.envelope.truncate(32_768);
        }
        if self.is(Bug::ForgetsTheTenant) {
            event.tenant = sample::tenant(1);
        }
        match self.bug {
            Bug::NewestFirst => {
                let at = wire.events.len().saturating_sub(usize::from(event.sequence == 90));
                wire.events.insert(at, event);
            }
            _ => wire.events.push(event),
        }
        Ok(())
    }

    async fn check(&self) -> PortResult<()> {
        let mut wire = self.wire.lock().unwrap();
        if wire.away && !self.is(Bug::ChecksNothing) {
            return Err(refused(PortErrorKind::Unavailable, "the bus is away"));
        }
        if self.is(Bug::SendsToCheck)
            && let Some(last) = wire.events.last().cloned()
        {
            wire.events.push(last);
        }
        Ok(())
    }
}

struct Factory(Bug);

#[async_trait]
impl AdapterFactory for Factory {
    type Adapter = Bus;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<Bus> {
        Ok(Bus { bug: self.0, wire: Arc::default() })
    }

    async fn reopen(&self, bus: Bus) -> PortResult<Bus> {
        if self.0 == Bug::ForgetsWhenClosed { self.fresh().await } else { Ok(bus) }
    }
}

#[async_trait]
impl PublisherFactory for Factory {
    async fn delivered(&self, bus: &Bus) -> PortResult<Vec<PublishedEvent>> {
        Ok(bus.wire.lock().unwrap().events.clone())
    }

    async fn take_away(&self, bus: &Bus, is_away: bool) -> PortResult<bool> {
        bus.wire.lock().unwrap().away = is_away;
        Ok(true)
    }

    fn impossible(&self, event: PublishedEvent) -> Option<PublishedEvent> {
        Some(PublishedEvent { event_type: String::new(), ..event })
    }
}

async fn of(bug: Bug) -> Report {
    publisher(Factory(bug)).await
}

#[tokio::test]
async fn every_trial_is_failed_by_a_publisher_that_breaks_its_promise() {
    let sound = vec![of(Bug::None).await];
    let as_it_was = "what is acknowledged is delivered as it was";
    let (order, at_once) = ("events of an aggregate come in their order", "aggregates at once lose nothing");
    let again = "an event that is sent again is no other event";
    let dropped = "a call that is dropped loses no event that is sent again";
    let never = "what can never be sent is invalid and holds up nothing";
    let away = "a bus that is away is told and takes everything when it is back";
    let bugs: &[(Bug, &[&str])] = &[
        (Bug::CutsLongEnvelopes, &[as_it_was]),
        (Bug::NewestFirst, &[order]),
        (Bug::LosesWhatComesAtOnce, &[at_once]),
        (Bug::NamesItAnew, &[again, dropped]),
        (Bug::RefusesWhatItHas, &[again, dropped]),
        (Bug::KnowsByContent, &["events that differ in their identifier only are two"]),
        (Bug::ForgetsTheTenant, &["tenants are not taken for one another"]),
        (Bug::SendsToCheck, &["asking whether the bus is there sends nothing"]),
        (Bug::KeepsItsLock, &[at_once, dropped]),
        (Bug::RemembersBeforeItSends, &[dropped]),
        (Bug::NeverSaysNever, &[never]),
        (Bug::StopsAtTheImpossible, &[never]),
        (Bug::AcknowledgesWhileAway, &[away]),
        (Bug::ChecksNothing, &[away]),
        (Bug::GivesUpWhileAway, &[away]),
        (Bug::ForgetsWhenClosed, &["what was acknowledged is delivered though the publisher is closed"]),
    ];
    crate::tried(sound, bugs, of).await;
}

/// The bus of the testkit's own world, which has no bug.
struct Recording;

#[async_trait]
impl AdapterFactory for Recording {
    type Adapter = RecordingBus;

    fn persistence(&self) -> Persistence {
        Persistence::Volatile
    }

    async fn fresh(&self) -> PortResult<RecordingBus> {
        Ok(RecordingBus::new("recording"))
    }

    async fn reopen(&self, bus: RecordingBus) -> PortResult<RecordingBus> {
        Ok(bus)
    }
}

#[async_trait]
impl PublisherFactory for Recording {
    async fn delivered(&self, bus: &RecordingBus) -> PortResult<Vec<PublishedEvent>> {
        Ok(bus.events())
    }

    async fn take_away(&self, _bus: &RecordingBus, _is_away: bool) -> PortResult<bool> {
        Ok(false)
    }

    fn impossible(&self, _event: PublishedEvent) -> Option<PublishedEvent> {
        None
    }
}

#[tokio::test]
async fn the_bus_that_writes_down_what_it_is_given_keeps_every_promise_of_the_port() {
    publisher(Recording).await.assert_passed();
}
