//! The suite of the [outbound bus's port](runtime_ports::publisher).
//!
//! What a bus does to consumers that are slow or away is its own: the port ends where the bus has an event.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::{AggregateKind, EventId, TenantId};
use runtime_ports::publisher::{EventPublisher, PublishedEvent};
use runtime_ports::{PortErrorKind, PortResult, Retry};
use tokio::task::{JoinSet, yield_now};
use uuid::Uuid;

use super::adapter::{
    AdapterFactory, Staged, attempted, is_refused, polled_once, staged, try_reopening, try_staged,
};
use super::{Failure, Outcome, Report, Verdict, ensure, equal};
use crate::sample;

/// Makes the publishers that the suite tries, and plays the one who consumes, and the bus that goes away.
#[async_trait]
pub trait PublisherFactory: AdapterFactory {
    /// Everything that a consumer of the bus was given since the publisher was made fresh, in the order in which it came, each as often as it
    /// came. Whatever was acknowledged before this is called is among it: where that takes time, it waits.
    async fn delivered(&self, publisher: &Self::Adapter) -> PortResult<Vec<PublishedEvent>>;
    /// Takes the bus away from the publisher, or gives it back. False where that cannot be done.
    async fn take_away(&self, publisher: &Self::Adapter, is_away: bool) -> PortResult<bool>;
    /// The same event, made such that the bus can never take it; `None` where it takes every one.
    fn impossible(&self, event: PublishedEvent) -> Option<PublishedEvent>;
}

/// Tries every promise of the port, each against a fresh publisher.
pub async fn publisher<F>(factory: F) -> Report
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    let factory = Arc::new(factory);
    let stage = async || Ok(Stage { factory: Arc::clone(&factory), bus: Arc::new(factory.fresh().await?) });
    let mut trials = try_staged(stage, all::<F>()).await;
    let before = async |bus: &F::Adapter| publish_all(bus, &events(1, 1, 3)).await;
    let after = async |bus: &F::Adapter| {
        publish_all(bus, &events(1, 2, 1)).await?;
        let delivered = factory.delivered(bus).await?;
        for event in events(1, 1, 3).iter().chain(&events(1, 2, 1)) {
            ensure(delivered.contains(event), format!("{} was acknowledged and did not come", event.id))?;
        }
        Ok(())
    };
    let name = "what was acknowledged is delivered though the publisher is closed";
    trials.push(try_reopening(&*factory, name, before, after).await);
    Report { suite: "publisher", trials }
}

fn all<F>() -> Vec<Staged<Stage<F>>>
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    vec![
        staged(what_is_acknowledged_is_delivered_as_it_was),
        staged(events_of_an_aggregate_come_in_their_order),
        staged(aggregates_at_once_lose_nothing),
        staged(an_event_that_is_sent_again_is_no_other_event),
        staged(events_that_differ_in_their_identifier_only_are_two),
        staged(tenants_are_not_taken_for_one_another),
        staged(asking_whether_the_bus_is_there_sends_nothing),
        staged(a_call_that_is_dropped_loses_no_event_that_is_sent_again),
        attempted(what_can_never_be_sent_is_invalid_and_holds_up_nothing),
        attempted(a_bus_that_is_away_is_told_and_takes_everything_when_it_is_back),
    ]
}

/// A fresh publisher, and who consumes.
struct Stage<F: AdapterFactory> {
    factory: Arc<F>,
    bus: Arc<F::Adapter>,
}

/// The event of this number of a tenant's aggregate, with an envelope that hides what a careless reader would trip over.
fn event(tenant: u64, aggregate: u64, number: u64) -> PublishedEvent {
    let id = EventId::from_uuid(Uuid::from_u128(
        u128::from(tenant) << 96 | u128::from(aggregate) << 64 | u128::from(number),
    ));
    let (tenant, event_type) = (sample::tenant(tenant), "factory.runtime.RuntimeDeploymentCompleted.v1");
    let envelope = format!(
        r#"{{"specversion":"1.0","id":"{id}","type":"{event_type}","data":{{"note":"a \"quoted\" \\ \u0000 line\nnext – ü 🦀","number":{number}}}}}"#
    );
    PublishedEvent {
        id,
        tenant,
        aggregate_kind: AggregateKind::RuntimeDeployment,
        aggregate_id: Uuid::from_u128(u128::from(aggregate)),
        // With gaps, as where events between are not published.
        sequence: number * 3,
        event_type: event_type.to_owned(),
        envelope,
    }
}

/// So many events of an aggregate, in order.
fn events(tenant: u64, aggregate: u64, count: u64) -> Vec<PublishedEvent> {
    (1..=count).map(|number| event(tenant, aggregate, number)).collect()
}

async fn publish_all<P: EventPublisher + ?Sized>(bus: &P, events: &[PublishedEvent]) -> Outcome {
    for event in events {
        bus.publish(event).await?;
    }
    Ok(())
}

/// What came, each event where it came first.
fn firsts(delivered: Vec<PublishedEvent>) -> Vec<PublishedEvent> {
    let mut seen = BTreeSet::new();
    delivered.into_iter().filter(|event| seen.insert(event.id)).collect()
}

fn of(delivered: &[PublishedEvent], tenant: TenantId, aggregate: u64) -> Vec<&PublishedEvent> {
    let aggregate = Uuid::from_u128(u128::from(aggregate));
    delivered.iter().filter(|event| event.tenant == tenant && event.aggregate_id == aggregate).collect()
}

impl<F> Stage<F>
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    async fn delivered(&self) -> Result<Vec<PublishedEvent>, Failure> {
        Ok(firsts(self.factory.delivered(&self.bus).await?))
    }

    async fn publish(&self, events: &[PublishedEvent]) -> Outcome {
        publish_all(&*self.bus, events).await
    }
}

async fn what_is_acknowledged_is_delivered_as_it_was<F>(stage: Stage<F>) -> Outcome
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    let mut wanted = event(1, 1, 1);
    stage.publish(std::slice::from_ref(&wanted)).await?;
    equal("what came", stage.delivered().await?, vec![wanted.clone()])?;
    let long = format!(r#"{{"specversion":"1.0","data":"{}"}}"#, "x".repeat(60_000));
    (wanted.id, wanted.envelope) = (event(1, 1, 2).id, long);
    wanted.sequence = 9;
    stage.publish(std::slice::from_ref(&wanted)).await?;
    let came = stage.delivered().await?;
    ensure(came.last() == Some(&wanted), "an event of 60 kB did not come as it was")
}

async fn events_of_an_aggregate_come_in_their_order<F>(stage: Stage<F>) -> Outcome
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    let wanted = events(1, 1, 40);
    stage.publish(&wanted).await?;
    equal("what came", stage.delivered().await?, wanted)
}

async fn aggregates_at_once_lose_nothing<F>(stage: Stage<F>) -> Outcome
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    const AGGREGATES: u64 = 8;
    let mut senders = JoinSet::new();
    for aggregate in 1..=AGGREGATES {
        let bus = Arc::clone(&stage.bus);
        senders.spawn(async move {
            for event in events(1, aggregate, 12) {
                bus.publish(&event).await?;
                yield_now().await;
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent.map_err(|panicked| Failure::new(format!("the adapter panicked: {panicked}")))??;
    }
    let delivered = stage.delivered().await?;
    for aggregate in 1..=AGGREGATES {
        let came: Vec<PublishedEvent> =
            of(&delivered, sample::tenant(1), aggregate).into_iter().cloned().collect();
        equal(&format!("what came of aggregate {aggregate}"), came, events(1, aggregate, 12))?;
    }
    Ok(())
}

async fn an_event_that_is_sent_again_is_no_other_event<F>(stage: Stage<F>) -> Outcome
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    let wanted = events(1, 1, 4);
    let [first, second, third, fourth] = wanted.as_slice() else { return Ok(()) };
    // A relay that died before it wrote down how far it was begins again where it was.
    for event in [first, second, third, second, third, fourth] {
        stage.bus.publish(event).await?;
    }
    let delivered = stage.factory.delivered(&stage.bus).await?;
    for event in &delivered {
        ensure(wanted.contains(event), format!("something came that nobody sent: {event:?}"))?;
    }
    equal("what came, each where it came first", firsts(delivered), wanted)
}

async fn events_that_differ_in_their_identifier_only_are_two<F>(stage: Stage<F>) -> Outcome
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    let one = event(1, 1, 1);
    let other = PublishedEvent { id: event(1, 1, 2).id, ..one.clone() };
    stage.publish(&[one.clone(), other.clone()]).await?;
    equal("what came", stage.delivered().await?, vec![one, other])
}

async fn tenants_are_not_taken_for_one_another<F>(stage: Stage<F>) -> Outcome
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    // The same aggregate's identifier, as where a tenant was copied.
    for number in 1..=3 {
        stage.publish(&[event(1, 1, number), event(2, 1, number)]).await?;
    }
    let delivered = stage.delivered().await?;
    for tenant in [1, 2] {
        let came: Vec<PublishedEvent> =
            of(&delivered, sample::tenant(tenant), 1).into_iter().cloned().collect();
        equal(&format!("what came of tenant {tenant}"), came, events(tenant, 1, 3))?;
    }
    Ok(())
}

async fn asking_whether_the_bus_is_there_sends_nothing<F>(stage: Stage<F>) -> Outcome
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    stage.bus.check().await?;
    stage.publish(&events(1, 1, 1)).await?;
    stage.bus.check().await?;
    stage.publish(&[event(1, 1, 2)]).await?;
    equal("what came", stage.factory.delivered(&stage.bus).await?, events(1, 1, 2))
}

async fn a_call_that_is_dropped_loses_no_event_that_is_sent_again<F>(stage: Stage<F>) -> Outcome
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    let wanted = events(1, 1, 6);
    for (polls, event) in wanted.iter().enumerate() {
        let mut publishing = Box::pin(stage.bus.publish(event));
        for _ in 0..polls {
            if polled_once(publishing.as_mut()).await.is_some() {
                break;
            }
            yield_now().await;
        }
        drop(publishing);
        stage.bus.check().await?;
        // Whether it was sent is not known, so it is sent again.
        stage.bus.publish(event).await?;
    }
    let delivered = stage.delivered().await?;
    equal("what came, each where it came first", delivered, wanted)
}

async fn what_can_never_be_sent_is_invalid_and_holds_up_nothing<F>(
    stage: Stage<F>,
) -> Result<Verdict, Failure>
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    let Some(impossible) = stage.factory.impossible(event(1, 1, 2)) else {
        return Ok(Verdict::Skipped("it takes every event"));
    };
    stage.publish(&[event(1, 1, 1)]).await?;
    for _ in 0..2 {
        let what = "an event that can never be sent";
        let error = is_refused(stage.bus.publish(&impossible).await, PortErrorKind::Invalid, what)?;
        let says = !error.message().is_empty() && error.retry() == Retry::Never;
        ensure(says, format!("the refusal says {:?}: {error}", error.retry()))?;
    }
    stage.bus.check().await?;
    stage.publish(&[event(1, 2, 1)]).await?;
    equal("what came", stage.delivered().await?, vec![event(1, 1, 1), event(1, 2, 1)])?;
    Ok(Verdict::Passed)
}

async fn a_bus_that_is_away_is_told_and_takes_everything_when_it_is_back<F>(
    stage: Stage<F>,
) -> Result<Verdict, Failure>
where
    F: PublisherFactory,
    F::Adapter: EventPublisher,
{
    let wanted = events(1, 1, 3);
    stage.publish(&wanted[..1]).await?;
    if !stage.factory.take_away(&stage.bus, true).await? {
        return Ok(Verdict::Skipped("its bus is never away"));
    }
    ensure(stage.bus.check().await.is_err(), "the bus is away, and the check says that it is there")?;
    for event in &wanted[1..] {
        match stage.bus.publish(event).await {
            Ok(()) => return Err(Failure::new("an event was acknowledged while the bus was away")),
            Err(error) => ensure(
                error.kind() != PortErrorKind::Invalid && error.retry() != Retry::Never,
                format!("the bus will be back, and {:?}, {:?} is said: {error}", error.kind(), error.retry()),
            )?,
        }
    }
    stage.factory.take_away(&stage.bus, false).await?;
    stage.bus.check().await?;
    stage.publish(&wanted[1..]).await?;
    equal("what came, each where it came first", stage.delivered().await?, wanted)?;
    Ok(Verdict::Passed)
}
