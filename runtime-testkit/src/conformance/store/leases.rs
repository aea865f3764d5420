use std::collections::BTreeSet;

use runtime_domain::id::AggregateKind;
use runtime_domain::surface::FencingToken;
use runtime_domain::value::Revision;
use runtime_ports::store::{Commit, Lease, LeaseError, LeaseRequest, LeaseTopic, OperatorStore};
use uuid::Uuid;

use super::{KIND, Outcome, World, ensure, is_absent, is_lease_lost, key, refused, request, take_one};
use crate::conformance::equal;
use crate::sample::{self, Draft};

const WORK: LeaseTopic = LeaseTopic::Work;

/// The aggregates of leases that were taken.
fn leased(leases: &[Lease]) -> BTreeSet<Uuid> {
    leases.iter().map(|lease| lease.key.id).collect()
}

fn ids(numbers: &[u64]) -> BTreeSet<Uuid> {
    numbers.iter().map(|number| key(*number).id).collect()
}

async fn nothing_due(operator: &dyn OperatorStore, request: &LeaseRequest, why: &str) -> Outcome {
    let leases = operator.take_leases(request).await?;
    ensure(leases.is_empty(), format!("a lease was given although {why}: {leases:?}"))
}

fn is_lost(result: &Result<Lease, LeaseError>) -> bool {
    matches!(result, Err(LeaseError::Lost { key: named }) if *named == key(1))
}

pub(super) async fn only_what_is_due_is_leased(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    for (number, seconds) in [(1, 10), (2, 20), (3, 30)] {
        tenant.commit(Draft::create(1, key(number)).waking_at(seconds).commit()).await?;
    }
    tenant.commit(Draft::create(1, key(4)).commit()).await?;
    let other_kind = sample::key(AggregateKind::ScalingPolicy, 5);
    tenant.commit(Draft::create(1, other_kind).waking_at(10).commit()).await?;
    nothing_due(&*operator, &request(WORK, 1, 9), "nothing was due").await?;
    nothing_due(&*operator, &LeaseRequest { kinds: vec![], ..request(WORK, 1, 20) }, "no kind was asked for")
        .await?;
    nothing_due(&*operator, &LeaseRequest { limit: 0, ..request(WORK, 1, 20) }, "none was asked for").await?;
    nothing_due(&*operator, &request(LeaseTopic::Outbox, 1, 20), "there is no event").await?;
    let first = operator.take_leases(&LeaseRequest { limit: 1, ..request(WORK, 1, 20) }).await?;
    equal("the one due longest", leased(&first), ids(&[1]))?;
    let wanted = request(WORK, 1, 20);
    for lease in &first {
        let seen = (lease.topic, lease.tenant, lease.host, lease.until);
        equal("the lease", seen, (WORK, sample::tenant(1), wanted.host, wanted.until))?;
    }
    let second = operator.take_leases(&wanted).await?;
    equal("what else is due", leased(&second), ids(&[2]))?;
    let kinds = vec![KIND, AggregateKind::ScalingPolicy];
    let third = operator.take_leases(&LeaseRequest { kinds, ..request(WORK, 1, 20) }).await?;
    equal("what is due of two kinds", leased(&third), [other_kind.id].into())?;
    // What was due and no longer is.
    tenant.commit(Draft::create(1, key(3)).next().sleeping().commit()).await?;
    nothing_due(&*operator, &request(WORK, 1, 29), "its wake-up was taken back").await
}

/// Buried: temporal#7101.
pub(super) async fn an_unexpired_lease_is_not_taken_and_an_expired_one_is(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    tenant.commit(Draft::create(1, key(1)).waking_at(0).commit()).await?;
    let mut lease = take_one(&*operator, WORK, 1, 0).await?;
    for (host, now) in [(2, 10), (1, 20), (2, 30)] {
        for asking in [1, 2] {
            let early = request(WORK, asking, now - 1);
            nothing_due(&*operator, &early, "it was leased for another second").await?;
        }
        let next = take_one(&*operator, WORK, host, now).await?;
        ensure(next.token > lease.token, format!("{:?} follows {:?}", next.token, lease.token))?;
        equal("the holder", next.host, sample::host(host))?;
        lease = next;
    }
    Ok(())
}

pub(super) async fn a_released_lease_can_be_taken_at_once(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    tenant.commit(Draft::create(1, key(1)).waking_at(0).commit()).await?;
    let first = take_one(&*operator, WORK, 1, 0).await?;
    operator.release_lease(&first).await?;
    let second = take_one(&*operator, WORK, 2, 0).await?;
    ensure(second.token > first.token, format!("{:?} follows {:?}", second.token, first.token))?;
    // Given back again by who has lost it, which is no error and changes nothing.
    operator.release_lease(&first).await?;
    operator.release_lease(&Lease { host: sample::host(1), ..second.clone() }).await?;
    nothing_due(&*operator, &request(WORK, 1, 1), "another than its holder gave it back").await?;
    operator.release_lease(&second).await?;
    operator.release_lease(&second).await?;
    let third = take_one(&*operator, WORK, 2, 0).await?;
    ensure(third.token > second.token, format!("{:?} follows {:?}", third.token, second.token))
}

pub(super) async fn a_renewed_lease_lasts_longer(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    tenant.commit(Draft::create(1, key(1)).waking_at(0).commit()).await?;
    let lease = take_one(&*operator, WORK, 1, 0).await?;
    let renewed = operator.renew_lease(&lease, sample::at(30)).await?;
    equal("the renewed lease", renewed.clone(), Lease { until: sample::at(30), ..lease })?;
    nothing_due(&*operator, &request(WORK, 2, 29), "it was renewed").await?;
    // An expired lease that nobody has taken is still held.
    let again = operator.renew_lease(&renewed, sample::at(50)).await?;
    equal("the token", again.token, renewed.token)?;
    nothing_due(&*operator, &request(WORK, 2, 49), "it was renewed again").await?;
    take_one(&*operator, WORK, 2, 50).await?;
    Ok(())
}

/// Buried: river#199.
pub(super) async fn a_lost_lease_is_not_renewed(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    tenant.commit(Draft::create(1, key(1)).waking_at(0).commit()).await?;
    let first = take_one(&*operator, WORK, 1, 0).await?;
    let second = take_one(&*operator, WORK, 2, 10).await?;
    let renewal = operator.renew_lease(&first, sample::at(99)).await;
    ensure(is_lost(&renewal), format!("a lease that another has taken was renewed: {renewal:?}"))?;
    for forged in [
        Lease { host: sample::host(1), ..second.clone() },
        Lease { token: FencingToken(second.token.0 + 1), ..second.clone() },
        Lease { tenant: sample::tenant(2), ..second.clone() },
    ] {
        let renewal = operator.renew_lease(&forged, sample::at(99)).await;
        ensure(is_lost(&renewal), format!("a lease that was never given was renewed: {renewal:?}"))?;
    }
    operator.release_lease(&second).await?;
    let renewal = operator.renew_lease(&second, sample::at(99)).await;
    ensure(is_lost(&renewal), format!("a lease that was given back was renewed: {renewal:?}"))?;
    take_one(&*operator, WORK, 1, 20).await?;
    Ok(())
}

/// Buried: river#199. Theirs: one who was no longer the leader believed that it was, and worked on. Ours: the store refuses the commit of whoever
/// has lost its lease, whatever it believes.
pub(super) async fn a_commit_under_a_lost_lease_is_refused(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let draft = Draft::create(1, key(1)).waking_at(0);
    tenant.commit(draft.commit()).await?;
    let under = |draft: &Draft, lease: &Lease| Commit { lease: Some(lease.clone()), ..draft.commit() };
    let first = take_one(&*operator, WORK, 1, 0).await?;
    let second = take_one(&*operator, WORK, 2, 10).await?;
    refused(&*tenant, under(&draft.next(), &first), "another has taken the lease", is_lease_lost).await?;
    let same_token = Lease { host: sample::host(1), ..second.clone() };
    refused(&*tenant, under(&draft.next(), &same_token), "the token is another host's", is_lease_lost)
        .await?;
    let never = Lease { key: key(2), ..second.clone() };
    refused(&*tenant, under(&Draft::create(1, key(2)), &never), "the lease was never given", is_lease_lost)
        .await?;
    is_absent(&*tenant, key(2)).await?;
    let other_topic = Lease { topic: LeaseTopic::Outbox, ..second.clone() };
    refused(&*tenant, under(&draft.next(), &other_topic), "the lease is of another topic", is_lease_lost)
        .await?;
    operator.release_lease(&second).await?;
    refused(&*tenant, under(&draft.next(), &second), "the lease was given back", is_lease_lost).await
}

pub(super) async fn a_commit_under_a_lease_leaves_it_in_force(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let first = Draft::create(1, key(1)).waking_at(0);
    tenant.commit(first.commit()).await?;
    let lease = take_one(&*operator, WORK, 1, 0).await?;
    let second = first.next().waking_at(1);
    tenant.commit(Commit { lease: Some(lease.clone()), ..second.commit() }).await?;
    nothing_due(&*operator, &request(WORK, 2, 5), "its holder has committed and not given it back").await?;
    // Stores do not judge by the clock: nobody has taken it, so it holds.
    tenant.commit(Commit { lease: Some(lease.clone()), ..second.next().commit() }).await?;
    operator.renew_lease(&lease, sample::at(40)).await?;
    Ok(())
}

pub(super) async fn leases_of_two_topics_are_independent(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    tenant.commit(Draft::create(1, key(1)).waking_at(0).publishing().commit()).await?;
    let work = take_one(&*operator, WORK, 1, 0).await?;
    let outbox = take_one(&*operator, LeaseTopic::Outbox, 2, 0).await?;
    operator.release_lease(&work).await?;
    nothing_due(&*operator, &request(LeaseTopic::Outbox, 1, 0), "a lease of another topic was given back")
        .await?;
    operator.renew_lease(&outbox, sample::at(20)).await?;
    take_one(&*operator, WORK, 1, 0).await?;
    Ok(())
}

pub(super) async fn next_due_tells_the_earliest_leased_or_not(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    equal("next due of nothing", operator.next_due(&[KIND]).await?, None)?;
    tenant.commit(Draft::create(1, key(1)).publishing().commit()).await?;
    equal("next due of what never wakes", operator.next_due(&[KIND]).await?, None)?;
    tenant.commit(Draft::create(1, key(2)).waking_at(30).commit()).await?;
    world.tenant(2).commit(Draft::create(2, key(3)).waking_at(20).commit()).await?;
    let scaling = AggregateKind::ScalingPolicy;
    tenant.commit(Draft::create(1, sample::key(scaling, 4)).waking_at(10).commit()).await?;
    equal("next due", operator.next_due(&[KIND]).await?, Some(sample::at(20)))?;
    equal("next due of two kinds", operator.next_due(&[KIND, scaling]).await?, Some(sample::at(10)))?;
    equal("next due of no kind", operator.next_due(&[]).await?, None)?;
    take_one(&*operator, WORK, 1, 20).await?;
    equal("next due though leased", operator.next_due(&[KIND]).await?, Some(sample::at(20)))?;
    world.tenant(2).commit(Draft::create(2, key(3)).next().sleeping().commit()).await?;
    equal("next due after a change", operator.next_due(&[KIND]).await?, Some(sample::at(30)))
}

pub(super) async fn tokens_grow_over_all_aggregates(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let mut newest = FencingToken(0);
    for number in 1..=3 {
        tenant.commit(Draft::create(1, key(number)).waking_at(0).commit()).await?;
        let lease = take_one(&*operator, WORK, 1, 0).await?;
        ensure(lease.token > newest, format!("{:?} of another aggregate follows {newest:?}", lease.token))?;
        newest = lease.token;
    }
    Ok(())
}

pub(super) async fn a_lease_tells_which_one_was_before_it(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    tenant.commit(Draft::create(1, key(1)).waking_at(0).publishing().commit()).await?;
    let first = take_one(&*operator, WORK, 1, 0).await?;
    equal("what was before the first", first.previous, None)?;
    // Another topic's leases do not count.
    let relaying = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    equal("what was before the first of another topic", relaying.previous, None)?;
    let renewed = operator.renew_lease(&first, sample::at(20)).await?;
    equal("what a renewal keeps", (renewed.token, renewed.previous), (first.token, None))?;
    operator.release_lease(&renewed).await?;
    let second = take_one(&*operator, WORK, 2, 1).await?;
    equal("what was given back before", second.previous, Some(first.token))?;
    operator.defer_lease(&second, Revision::FIRST, sample::at(2)).await?;
    let third = take_one(&*operator, WORK, 1, 2).await?;
    equal("what was deferred before", third.previous, Some(second.token))?;
    // It ends by itself, and another takes over.
    let fourth = take_one(&*operator, WORK, 2, 1_000).await?;
    equal("what ended before", fourth.previous, Some(third.token))
}

pub(super) async fn a_deferred_aggregate_is_due_when_its_holder_said(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let draft = Draft::create(1, key(1)).waking_at(0);
    tenant.commit(draft.commit()).await?;
    let lease = take_one(&*operator, WORK, 1, 0).await?;
    operator.defer_lease(&lease, Revision(1), sample::at(30)).await?;
    equal("next due", operator.next_due(&[KIND]).await?, Some(sample::at(30)))?;
    nothing_due(&*operator, &request(WORK, 2, 29), "it was deferred").await?;
    take_one(&*operator, WORK, 2, 30).await?;
    Ok(())
}

pub(super) async fn deferring_does_not_hide_what_changed_meanwhile(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let draft = Draft::create(1, key(1)).waking_at(0);
    tenant.commit(draft.commit()).await?;
    let lease = take_one(&*operator, WORK, 1, 0).await?;
    // A person's command, while the holder had looked at revision 1.
    tenant.commit(draft.next().waking_at(1).commit()).await?;
    operator.defer_lease(&lease, Revision(1), sample::at(99)).await?;
    take_one(&*operator, WORK, 2, 1).await?;
    Ok(())
}

pub(super) async fn a_lost_lease_defers_nothing(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    tenant.commit(Draft::create(1, key(1)).waking_at(0).commit()).await?;
    let first = take_one(&*operator, WORK, 1, 0).await?;
    let second = take_one(&*operator, WORK, 2, 10).await?;
    operator.defer_lease(&first, Revision(1), sample::at(99)).await?;
    equal("next due", operator.next_due(&[KIND]).await?, Some(sample::at(0)))?;
    operator.renew_lease(&second, sample::at(20)).await?;
    Ok(())
}

pub(super) async fn a_lease_tells_the_revision_of_what_it_is_on(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let first = Draft::create(1, key(1)).waking_at(0).publishing();
    tenant.commit(first.commit()).await?;
    let lease = take_one(&*operator, WORK, 1, 0).await?;
    equal("the revision of what is new", lease.revision, Some(Revision::FIRST))?;
    let relaying = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
    equal("what is told to who relays", relaying.revision, None)?;
    // By the holder, and then by somebody who holds nothing.
    let second = first.next().waking_at(0);
    tenant.commit(Commit { lease: Some(lease.clone()), ..second.commit() }).await?;
    let third = second.next().waking_at(0);
    tenant.commit(third.commit()).await?;
    let renewed = operator.renew_lease(&lease, sample::at(20)).await?;
    equal("what a renewal keeps", renewed.revision, Some(Revision::FIRST))?;
    operator.defer_lease(&renewed, third.revision(), sample::at(1)).await?;
    let next = take_one(&*operator, WORK, 2, 1).await?;
    equal("the revision after two commits", next.revision, Some(third.revision()))?;
    // What somebody left behind is told of as well.
    let taken_over = take_one(&*operator, WORK, 3, 1_000).await?;
    equal("the revision of what was left behind", taken_over.revision, Some(third.revision()))
}
