use runtime_ports::PortErrorKind;
use runtime_ports::store::{Lease, LeaseError, LeaseTopic, OperatorStore};

use super::{Failure, KIND, Outcome, World, ensure, key, request, take_one};
use crate::conformance::equal;
use crate::sample::{self, Draft};

async fn waiting(operator: &dyn OperatorStore, lease: &Lease, limit: u32) -> Result<Vec<u64>, Failure> {
    Ok(operator.outbox(lease, limit).await?.iter().map(|event| event.sequence).collect())
}

pub(super) async fn events_are_relayed_in_order_until_they_are_published(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let first = Draft::create(1, key(1)).entries(12).publishing();
    tenant.commit(first.commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    equal("the leased aggregate", (lease.tenant, lease.key), (sample::tenant(1), key(1)))?;
    equal("the events", operator.outbox(&lease, 100).await?, first.write().outbox)?;
    equal("at most five events", waiting(&*operator, &lease, 5).await?, vec![1, 2, 3, 4, 5])?;
    operator.outbox_published(&lease, 10).await?;
    let second = first.next().entries(2).publishing();
    tenant.commit(second.commit()).await?;
    equal("the events that are left", waiting(&*operator, &lease, 100).await?, vec![11, 12, 13, 14])?;
    operator.outbox_published(&lease, 14).await?;
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
        operator.outbox_published(&lease, sequence).await?;
        equal("the events that are left", waiting(&*operator, &lease, 100).await?, vec![3])?;
    }
    Ok(())
}

pub(super) async fn a_parked_stream_waits_and_the_others_go_on(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let poisoned = Draft::create(1, key(1)).entries(3).publishing();
    tenant.commit(poisoned.commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    operator.outbox_published(&lease, 1).await?;
    operator.outbox_park(&lease, 2, "the bus refuses it for ever").await?;
    equal("the events of a parked stream", waiting(&*operator, &lease, 100).await?, vec![])?;
    operator.release_lease(&lease).await?;
    tenant.commit(poisoned.next().publishing().commit()).await?;
    tenant.commit(Draft::create(1, key(2)).publishing().commit()).await?;
    let other = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    equal("the stream that goes on", other.key, key(2))?;
    let others = [runtime_domain::id::AggregateKind::ScalingPolicy];
    equal("the parked streams of another kind", operator.outbox_unpark(&others).await?, 0)?;
    equal("the parked streams", operator.outbox_unpark(&[KIND]).await?, 1)?;
    equal("the parked streams that are left", operator.outbox_unpark(&[KIND]).await?, 0)?;
    let lease = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    equal("the events that waited", waiting(&*operator, &lease, 100).await?, vec![2, 3, 4])
}

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
    let marked = operator.outbox_published(&work, 1).await;
    ensure(marked.is_err_and(|error| invalid(&error)), "a lease for work marks events")?;
    let lost = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    let present = take_one(&*operator, LeaseTopic::Outbox, 2, 60).await?;
    let is_lost = |error: &LeaseError| matches!(error, LeaseError::Lost { key: named } if *named == key(1));
    let marked = operator.outbox_published(&lost, 1).await;
    ensure(marked.is_err_and(|error| is_lost(&error)), "a relay that has lost its lease marks events")?;
    let parked = operator.outbox_park(&lost, 1, "late").await;
    ensure(parked.is_err_and(|error| is_lost(&error)), "a relay that has lost its lease parks the stream")?;
    equal("the events", waiting(&*operator, &present, 100).await?, vec![1])?;
    let forged = Lease { host: sample::host(9), ..present.clone() };
    let marked = operator.outbox_published(&forged, 1).await;
    ensure(marked.is_err_and(|error| is_lost(&error)), "a host marks events with another's token")?;
    operator.outbox_published(&present, 1).await?;
    Ok(())
}
