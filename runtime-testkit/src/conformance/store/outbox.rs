use std::collections::BTreeSet;

use runtime_domain::value::Name;
use runtime_ports::PortErrorKind;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    Commit, Held, InboxEntry, Lease, LeaseError, LeaseTopic, OperatorStore, ParkedQuery, ParkedUntil,
    Parking, StreamKey, Unpark,
};

use super::{Failure, NOBODY, Outcome, World, ensure, key, request, take_one};
use crate::conformance::equal;
use crate::sample::{self, Draft};

async fn waiting(operator: &dyn OperatorStore, lease: &Lease, limit: u32) -> Result<Vec<u64>, Failure> {
    Ok(sequences(&operator.outbox(lease, limit).await?.events))
}

fn sequences(events: &[PublishedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

fn name(text: &str) -> Result<Name, Failure> {
    Name::new(text).map_err(|error| Failure::new(error.to_string()))
}

/// Who is held, and whether it may catch up.
async fn held(operator: &dyn OperatorStore, lease: &Lease) -> Result<Vec<(String, bool)>, Failure> {
    let mut held: Vec<_> = operator.outbox(lease, 1).await?.held;
    held.sort_by(|one, other| one.destination.cmp(&other.destination));
    Ok(held
        .into_iter()
        .map(|Held { destination, is_resumed }| (destination.to_string(), is_resumed))
        .collect())
}

async fn missed(operator: &dyn OperatorStore, lease: &Lease, destination: &str) -> Result<Vec<u64>, Failure> {
    Ok(sequences(&operator.outbox_missed(lease, &name(destination)?, 100).await?))
}

/// Parks the stream from `sequence` on, until an operator unparks it.
pub(super) fn parking(destination: &str, sequence: u64) -> Result<Parking, Failure> {
    Ok(Parking {
        destination: name(destination)?,
        sequence,
        reason: format!("{destination} refuses event {sequence}"),
        until: ParkedUntil::Unparked,
        at: sample::at(sequence),
    })
}

fn stream(tenant: u64, number: u64, destination: &str) -> Result<StreamKey, Failure> {
    Ok(StreamKey { tenant: sample::tenant(tenant), key: key(number), destination: name(destination)? })
}

async fn nothing_is_due(operator: &dyn OperatorStore, why: &str) -> Outcome {
    let due = operator.take_leases(&request(LeaseTopic::Outbox, 1, 0)).await?;
    ensure(due.is_empty(), format!("a stream is due although {why}"))
}

pub(super) async fn events_are_relayed_in_order_until_they_are_published(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let first = Draft::create(1, key(1)).entries(12).publishing();
    tenant.commit(first.commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    equal("the leased aggregate", (lease.tenant, lease.key), (sample::tenant(1), key(1)))?;
    equal("the events", operator.outbox(&lease, 100).await?.events, first.write().outbox)?;
    equal("at most five events", waiting(&*operator, &lease, 5).await?, vec![1, 2, 3, 4, 5])?;
    operator.outbox_published(&lease, 10, &NOBODY).await?;
    let second = first.next().entries(2).publishing();
    tenant.commit(second.commit()).await?;
    equal("the events that are left", waiting(&*operator, &lease, 100).await?, vec![11, 12, 13, 14])?;
    operator.outbox_published(&lease, 14, &NOBODY).await?;
    equal("the events that are left", waiting(&*operator, &lease, 100).await?, vec![])?;
    operator.release_lease(&lease).await?;
    let due = operator.take_leases(&request(LeaseTopic::Outbox, 1, 0)).await?;
    ensure(due.is_empty(), "a stream without events is due")?;
    tenant.commit(second.next().publishing().commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    equal("the events that came later", waiting(&*operator, &lease, 100).await?, vec![15])
}

pub(super) async fn publishing_again_changes_nothing(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    tenant.commit(Draft::create(1, key(1)).entries(3).publishing().commit()).await?;
    tenant.commit(Draft::create(1, key(2)).commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    for sequence in [2, 2, 1] {
        operator.outbox_published(&lease, sequence, &NOBODY).await?;
        equal("the events that are left", waiting(&*operator, &lease, 100).await?, vec![3])?;
    }
    Ok(())
}

pub(super) async fn a_parked_destination_waits_and_the_others_go_on(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let poisoned = Draft::create(1, key(1)).entries(3).publishing();
    tenant.commit(poisoned.commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    operator.outbox_park(&lease, &parking("bus", 2)?).await?;
    equal("the events that the others have not got", waiting(&*operator, &lease, 100).await?, vec![2, 3])?;
    equal("who is held", held(&*operator, &lease).await?, vec![("bus".to_owned(), false)])?;
    operator.outbox_published(&lease, 3, &NOBODY).await?;
    equal("the events that are left", waiting(&*operator, &lease, 100).await?, vec![])?;
    equal("what one that is parked may get", missed(&*operator, &lease, "bus").await?, vec![])?;
    operator.release_lease(&lease).await?;
    nothing_is_due(&*operator, "its only destination behind is parked").await?;
    let next = poisoned.next().publishing();
    tenant.commit(next.commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    equal("the event that came later", waiting(&*operator, &lease, 100).await?, vec![4])?;
    operator.outbox_published(&lease, 4, &NOBODY).await?;
    operator.release_lease(&lease).await?;

    let others = Unpark::All { destination: Some(name("inventory")?) };
    equal("the parked streams of another destination", operator.outbox_unpark(&others).await?, 0)?;
    let one = Unpark::One(stream(1, 1, "bus")?);
    equal("the parked stream", operator.outbox_unpark(&one).await?, 1)?;
    equal("the parked streams that are left", operator.outbox_unpark(&one).await?, 0)?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    equal("who is held", held(&*operator, &lease).await?, vec![("bus".to_owned(), true)])?;
    equal("what it has missed", missed(&*operator, &lease, "bus").await?, vec![2, 3, 4])?;
    let first = operator.outbox_missed(&lease, &name("bus")?, 1).await?;
    equal("the first event that it has missed", first, poisoned.write().outbox[1..2].to_vec())?;
    operator.outbox_caught_up(&lease, &name("bus")?, 2).await?;
    equal("what it has missed", missed(&*operator, &lease, "bus").await?, vec![3, 4])?;
    operator.outbox_caught_up(&lease, &name("bus")?, 4).await?;
    equal("who is held", held(&*operator, &lease).await?, vec![])?;
    operator.release_lease(&lease).await?;
    nothing_is_due(&*operator, "everybody has everything").await?;
    tenant.commit(next.next().publishing().commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    equal("the event for all", waiting(&*operator, &lease, 100).await?, vec![5])
}

pub(super) async fn a_hold_ends_only_when_its_destination_has_caught_up(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    tenant.commit(Draft::create(1, key(1)).entries(2).publishing().commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    operator.outbox_park(&lease, &parking("bus", 1)?).await?;
    // The relay has read who is held; now an operator unparks it, although it has missed nothing yet.
    operator.outbox_unpark(&Unpark::All { destination: None }).await?;
    operator.outbox_published(&lease, 2, &NOBODY).await?;
    equal("what the unparked destination has missed", missed(&*operator, &lease, "bus").await?, vec![1, 2])
}

pub(super) async fn nothing_is_marked_that_was_not_sent_to_who_is_not_held(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    tenant.commit(Draft::create(1, key(1)).entries(2).publishing().commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    let without = BTreeSet::from([name("bus")?]);
    operator.outbox_park(&lease, &parking("bus", 1)?).await?;
    operator.outbox_unpark(&Unpark::All { destination: None }).await?;
    operator.outbox_caught_up(&lease, &name("bus")?, 0).await?;
    equal("who is held", held(&*operator, &lease).await?, vec![])?;
    // The relay has read long ago that it is, and has passed it over.
    let marked = operator.outbox_published(&lease, 2, &without).await;
    let is_refused = |error: LeaseError| matches!(error, LeaseError::NotHeld { destination } if destination.as_str() == "bus");
    ensure(marked.is_err_and(is_refused), "events are marked that a destination would never get")?;
    equal("the events that are left", waiting(&*operator, &lease, 100).await?, vec![1, 2])?;
    operator.outbox_park(&lease, &parking("bus", 1)?).await?;
    operator.outbox_published(&lease, 2, &without).await?;
    operator.outbox_unpark(&Unpark::All { destination: None }).await?;
    equal("what the held one has missed", missed(&*operator, &lease, "bus").await?, vec![1, 2])
}

pub(super) async fn destinations_are_held_apart(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let first = Draft::create(1, key(1)).entries(4).publishing();
    let later = first.next();
    tenant.commit(first.commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    operator.outbox_park(&lease, &parking("first", 2)?).await?;
    operator.outbox_park(&lease, &parking("second", 3)?).await?;
    equal("the events for the others", waiting(&*operator, &lease, 100).await?, vec![3, 4])?;
    operator.outbox_published(&lease, 4, &NOBODY).await?;
    equal("the parked streams", operator.outbox_unpark(&Unpark::All { destination: None }).await?, 2)?;
    operator.outbox_caught_up(&lease, &name("first")?, 4).await?;
    equal("who is held", held(&*operator, &lease).await?, vec![("second".to_owned(), true)])?;
    equal("what the second has missed", missed(&*operator, &lease, "second").await?, vec![3, 4])?;
    // Parked again while it catches up.
    operator.outbox_caught_up(&lease, &name("second")?, 3).await?;
    operator.outbox_park(&lease, &parking("second", 4)?).await?;
    equal("who is held", held(&*operator, &lease).await?, vec![("second".to_owned(), false)])?;
    operator.outbox_unpark(&Unpark::One(stream(1, 1, "second")?)).await?;
    equal("what the second has missed", missed(&*operator, &lease, "second").await?, vec![4])?;
    // Nothing can be said of events that are not there yet.
    operator.outbox_published(&lease, u64::MAX, &NOBODY).await?;
    operator.outbox_park(&lease, &parking("third", u64::MAX)?).await?;
    tenant.commit(later.publishing().commit()).await?;
    equal("the events for the others", waiting(&*operator, &lease, 100).await?, vec![5])?;
    operator.outbox_published(&lease, 5, &NOBODY).await?;
    operator.outbox_unpark(&Unpark::All { destination: None }).await?;
    equal("what the third has missed", missed(&*operator, &lease, "third").await?, vec![5])
}

pub(super) async fn parked_streams_are_listed_page_by_page(world: World) -> Outcome {
    let operator = world.operator();
    for number in [1, 2] {
        let tenant = world.tenant(number);
        for aggregate in [1, 2] {
            tenant.commit(Draft::create(number, key(aggregate)).entries(9).publishing().commit()).await?;
        }
    }
    for lease in operator.take_leases(&request(LeaseTopic::Outbox, 1, 0)).await? {
        operator.outbox_park(&lease, &parking("bus", 7)?).await?;
        let away = Parking { until: ParkedUntil::Reachable, ..parking("inventory", 8)? };
        operator.outbox_park(&lease, &away).await?;
    }
    let mut listed = Vec::new();
    let mut query = ParkedQuery { limit: 3, ..ParkedQuery::all() };
    loop {
        let page = operator.outbox_parked(&query).await?;
        ensure(page.items.len() <= 3, "a page is longer than asked for")?;
        listed.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    let mut streams: Vec<_> = listed.iter().map(|parked| parked.stream.clone()).collect();
    streams.sort();
    streams.dedup();
    equal("how many streams are listed, and how many are different", (listed.len(), streams.len()), (8, 8))?;
    for parked in &listed {
        let (sequence, until) = match parked.stream.destination.as_str() {
            "bus" => (7, ParkedUntil::Unparked),
            _ => (8, ParkedUntil::Reachable),
        };
        let reason = parking(parked.stream.destination.as_str(), sequence)?.reason;
        let seen = (parked.sequence, parked.until, parked.reason.clone(), parked.since);
        equal("a parked stream", seen, (sequence, until, reason, sample::at(sequence)))?;
    }
    let tenant = Some(sample::tenant(2));
    let filters = [
        (ParkedQuery { tenant, ..ParkedQuery::all() }, 4),
        (ParkedQuery { destination: Some(name("bus")?), ..ParkedQuery::all() }, 4),
        (ParkedQuery { until: Some(ParkedUntil::Reachable), tenant, ..ParkedQuery::all() }, 2),
        (ParkedQuery { destination: Some(name("nobody")?), ..ParkedQuery::all() }, 0),
    ];
    for (query, count) in filters {
        equal("the filtered streams", operator.outbox_parked(&query).await?.items.len(), count)?;
    }
    operator.outbox_unpark(&Unpark::All { destination: Some(name("bus")?) }).await?;
    equal("what is parked still", operator.outbox_parked(&ParkedQuery::all()).await?.items.len(), 4)?;
    let refused = operator.outbox_parked(&ParkedQuery { limit: 0, ..ParkedQuery::all() }).await;
    ensure(refused.is_err_and(|error| error.kind() == PortErrorKind::Invalid), "a page of none is listed")
}

pub(super) async fn a_consumer_learns_whether_an_event_was_handled(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let entry =
        |consumer: &str| Ok::<_, Failure>(InboxEntry { consumer: name(consumer)?, event: sample::event(1) });
    equal("before", tenant.is_handled(&entry("billing")?).await?, false)?;
    tenant.commit(Commit { inbox: Some(entry("billing")?), ..Commit::default() }).await?;
    equal("afterwards", tenant.is_handled(&entry("billing")?).await?, true)?;
    equal("by another", tenant.is_handled(&entry("inventory")?).await?, false)?;
    equal("by another tenant", world.tenant(2).is_handled(&entry("billing")?).await?, false)?;
    let other = InboxEntry { event: sample::event(2), ..entry("billing")? };
    equal("another event", tenant.is_handled(&other).await?, false)
}

/// Buried: MassTransit#3791.
pub(super) async fn only_the_present_relay_marks_and_parks(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    tenant.commit(Draft::create(1, key(1)).publishing().waking_at(0).commit()).await?;
    let work = take_one(&*operator, LeaseTopic::Work, 1, 0).await?;
    let invalid = |error: &LeaseError| matches!(error, LeaseError::Port(error) if error.kind() == PortErrorKind::Invalid);
    let read = operator.outbox(&work, 1).await;
    ensure(
        read.is_err_and(|error| error.kind() == PortErrorKind::Invalid),
        "a lease for work reads the outbox",
    )?;
    let marked = operator.outbox_published(&work, 1, &NOBODY).await;
    ensure(marked.is_err_and(|error| invalid(&error)), "a lease for work marks events")?;
    let lost = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    let present = take_one(&*operator, LeaseTopic::Outbox, 2, 60).await?;
    let is_lost = |error: &LeaseError| matches!(error, LeaseError::Lost { key: named } if *named == key(1));
    let marked = operator.outbox_published(&lost, 1, &NOBODY).await;
    ensure(marked.is_err_and(|error| is_lost(&error)), "a relay that has lost its lease marks events")?;
    let parked = operator.outbox_park(&lost, &parking("bus", 1)?).await;
    ensure(parked.is_err_and(|error| is_lost(&error)), "a relay that has lost its lease parks the stream")?;
    let moved = operator.outbox_caught_up(&lost, &name("bus")?, 1).await;
    ensure(moved.is_err_and(|error| is_lost(&error)), "a relay that has lost its lease ends a hold")?;
    equal("the events", waiting(&*operator, &present, 100).await?, vec![1])?;
    let forged = Lease { host: sample::host(9), ..present.clone() };
    let marked = operator.outbox_published(&forged, 1, &NOBODY).await;
    ensure(marked.is_err_and(|error| is_lost(&error)), "a host marks events with another's token")?;
    operator.outbox_published(&present, 1, &NOBODY).await?;
    Ok(())
}
