use runtime_domain::id::EventId;
use runtime_domain::value::{Name, Revision};
use runtime_ports::store::{
    AggregateWrite, ChainDigest, Commit, CommitError, EvidenceCheck, InboxEntry, Lease, LeaseTopic,
    StoredAggregate, Wanted,
};
use uuid::Uuid;

use super::{
    Failure, Outcome, World, ensure, is_absent, is_claim_held, is_conflict, is_invalid, is_lease_lost,
    is_stale, key, loaded, refused, request, take_one,
};
use crate::conformance::equal;
use crate::sample::{self, Draft, exclusive};

pub(super) fn consumer(name: &str) -> Result<Name, Failure> {
    Name::new(name).map_err(|error| Failure::new(error.to_string()))
}

pub(super) async fn a_commit_is_there_as_it_was_written(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let first = Draft::create(1, key(1)).waking_at(5).entries(3);
    let receipt = tenant.commit(sample::commit([first.clone(), Draft::create(1, key(2))])).await?;
    equal("the receipt", receipt.revisions, vec![Revision(1), Revision(1)])?;
    let stored = |draft: &Draft| {
        let write = draft.write();
        StoredAggregate {
            key: write.key,
            revision: draft.revision(),
            sequence: write.history.last().map_or(0, |entry| entry.sequence),
            digest: write.history.last().map_or(ChainDigest::GENESIS, |entry| entry.digest),
            record: write.record,
            wake_at: write.wake_at,
        }
    };
    equal("the first revision", loaded(&*tenant, key(1)).await?, stored(&first))?;
    let second = first.next().body("{\"text\":\"ünïcode \u{1F600} ' \\\" \\u0000\"}").sleeping();
    let receipt = tenant.commit(second.commit()).await?;
    equal("the receipt", receipt.revisions, vec![Revision(2)])?;
    equal("the second revision", loaded(&*tenant, key(1)).await?, stored(&second))?;
    // What finds it and when it is due stay as they are, which stores may treat apart.
    let third = second.next();
    tenant.commit(third.commit()).await?;
    equal("the third revision", loaded(&*tenant, key(1)).await?, stored(&third))?;
    let written: Vec<_> =
        [&first, &second, &third].into_iter().flat_map(|draft| draft.write().history).collect();
    equal("the history", tenant.history(&key(1), 0, 100).await?, written)
}

pub(super) async fn a_refused_commit_leaves_nothing_behind(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let existing = Draft::create(1, key(9)).claiming([exclusive("taken")]);
    tenant.commit(existing.commit()).await?;
    let handled = InboxEntry { consumer: consumer("trial")?, event: sample::event(1) };
    let new = Draft::create(1, key(1)).claiming([exclusive("free")]).waking_at(1).publishing();
    let spoiled = [
        ("its last write conflicts", Draft::create(1, key(9))),
        ("its last write claims what is held", Draft::create(1, key(2)).claiming([exclusive("taken")])),
    ];
    for (why, last) in spoiled {
        let commit = Commit { inbox: Some(handled.clone()), ..sample::commit([new.clone(), last]) };
        refused(&*tenant, commit, why, |error| is_conflict(error) || is_claim_held(error)).await?;
        is_absent(&*tenant, key(1)).await?;
        is_absent(&*tenant, key(2)).await?;
        for topic in [LeaseTopic::Work, LeaseTopic::Outbox] {
            let leases = operator.take_leases(&request(topic, 1, 100)).await?;
            ensure(leases.is_empty(), format!("{topic:?} is due for a refused commit"))?;
        }
    }
    equal("the aggregate that was in the way", loaded(&*tenant, key(9)).await?.revision, Revision(1))?;
    // Neither the claim nor the inbox entry stayed.
    let other = Draft::create(1, key(3)).claiming([exclusive("free")]);
    tenant.commit(Commit { inbox: Some(handled), ..other.commit() }).await?;
    Ok(())
}

pub(super) async fn an_empty_commit_does_nothing(world: World) -> Outcome {
    let receipt = world.tenant(1).commit(Commit::default()).await?;
    equal("the receipt", receipt.revisions, vec![])
}

pub(super) async fn a_malformed_commit_is_invalid(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let whole = || Draft::create(1, key(1)).entries(2).publishing().write();
    let spoilt = |spoil: fn(&mut AggregateWrite)| {
        let mut write = whole();
        spoil(&mut write);
        Commit { writes: vec![write], ..Commit::default() }
    };
    let cases = [
        ("one aggregate is written twice", Commit { writes: vec![whole(), whole()], ..Commit::default() }),
        ("there is no history", spoilt(|write| write.history.clear())),
        (
            "the history has a gap",
            spoilt(|write| write.history.iter_mut().skip(1).for_each(|entry| entry.sequence += 1)),
        ),
        (
            "an event is another tenant's",
            spoilt(|write| {
                write.outbox.iter_mut().for_each(|event| event.tenant = sample::tenant(2));
            }),
        ),
        (
            "an event is another aggregate's",
            spoilt(|write| {
                write.outbox.iter_mut().for_each(|event| event.aggregate_id = key(2).id);
            }),
        ),
        (
            "an event is not in the history",
            spoilt(|write| {
                write.outbox.iter_mut().for_each(|event| event.id = EventId::from_uuid(Uuid::nil()));
            }),
        ),
        (
            "an event has another's number",
            spoilt(|write| {
                write.outbox.iter_mut().for_each(|event| event.sequence += 1);
            }),
        ),
        (
            "one key is claimed in two modes",
            spoilt(|write| {
                write.claims = [exclusive("both"), sample::shared("both")].into();
            }),
        ),
    ];
    for (why, commit) in cases {
        refused(&*tenant, commit, why, is_invalid).await?;
        is_absent(&*tenant, key(1)).await?;
    }
    Ok(())
}

pub(super) async fn the_checks_come_in_the_documented_order(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let handled = InboxEntry { consumer: consumer("trial")?, event: sample::event(1) };
    let holder = Draft::create(1, key(1)).claiming([exclusive("taken")]).waking_at(0);
    tenant.commit(Commit { inbox: Some(handled.clone()), ..holder.commit() }).await?;
    tenant.commit(Draft::create(1, key(2)).commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Work, 1, 1).await?;

    let stale = EvidenceCheck { key: key(1), wanted: Wanted::Exactly(Revision(7)) };
    let mut commit = Commit {
        writes: vec![Draft::create(1, key(2)).next().next().claiming([exclusive("taken")]).write()],
        evidence: vec![stale],
        inbox: Some(handled.clone()),
        lease: Some(Lease { host: sample::host(2), ..lease.clone() }),
    };
    let already = |error: &CommitError| matches!(error, CommitError::AlreadyHandled);
    refused(&*tenant, commit.clone(), "the event was handled", already).await?;
    let others = Lease { tenant: sample::tenant(2), ..lease.clone() };
    let under_others = Commit { lease: Some(others), ..commit.clone() };
    refused(&*tenant, under_others, "the event was handled", already).await?;
    commit.inbox = Some(InboxEntry { event: sample::event(2), ..handled });
    refused(&*tenant, commit.clone(), "the lease is another's", is_lease_lost).await?;
    commit.lease = Some(lease);
    refused(&*tenant, commit.clone(), "the evidence is stale", is_stale).await?;
    commit.evidence.clear();
    refused(&*tenant, commit.clone(), "the revision is another", is_conflict).await?;
    for write in &mut commit.writes {
        write.expected = Draft::create(1, key(2)).write().expected_next();
    }
    refused(&*tenant, commit.clone(), "the history has a gap", is_invalid).await?;
    commit.writes = vec![Draft::create(1, key(2)).next().claiming([exclusive("taken")]).write()];
    refused(&*tenant, commit.clone(), "the claim is held", is_claim_held).await?;
    commit.writes = vec![Draft::create(1, key(2)).next().write()];
    tenant.commit(commit).await?;
    Ok(())
}

pub(super) async fn a_write_that_expects_another_revision_is_refused(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let first = Draft::create(1, key(1));
    refused(&*tenant, first.next().commit(), "the aggregate does not exist", is_conflict).await?;
    tenant.commit(first.commit()).await?;
    refused(&*tenant, first.commit(), "the aggregate exists", is_conflict).await?;
    let second = first.next();
    refused(&*tenant, second.next().commit(), "the revision is yet to come", is_conflict).await?;
    tenant.commit(second.commit()).await?;
    refused(&*tenant, second.body("{}").commit(), "the revision is past", is_conflict).await?;
    let stored = loaded(&*tenant, key(1)).await?;
    equal("the revision", stored.revision, Revision(2))?;
    equal("the state", stored.record, first.next().write().record)
}

/// Two writers were at the first revision, and one was quicker: what the other meanwhile decided upon its own second is not the third.
pub(super) async fn a_write_upon_another_writers_revision_is_refused(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let first = Draft::create(1, key(1)).claiming([exclusive("kept")]);
    tenant.commit(first.commit()).await?;
    let (quick, slow) = (first.next().by(1), first.next().by(2));
    tenant.commit(quick.commit()).await?;
    let third = slow.next();
    let handled = InboxEntry { consumer: consumer("trial")?, event: sample::event(1) };
    let beside = Draft::create(1, key(2));
    let spoiled = [
        ("all else stays", third.commit()),
        ("it claims something else", third.clone().claiming([exclusive("other")]).commit()),
        ("it handles an event", Commit { inbox: Some(handled.clone()), ..third.commit() }),
        ("it is one of two", sample::commit([beside.clone(), third.clone()])),
    ];
    for (how, commit) in spoiled {
        let why = format!("the second revision is another writer's, and {how}");
        refused(&*tenant, commit, &why, is_conflict).await?;
    }
    // A store may write together what comes at once.
    let (second, third) = tokio::join!(tenant.commit(slow.commit()), tenant.commit(third.commit()));
    for answer in [second, third] {
        ensure(
            answer.as_ref().is_err_and(is_conflict),
            format!("a chain upon what came to nothing: {answer:?}"),
        )?;
    }
    is_absent(&*tenant, key(2)).await?;
    tenant.commit(Commit { inbox: Some(handled), ..sample::commit([beside, quick.next()]) }).await?;
    let written = [&first, &quick, &quick.next()].map(|draft| draft.write().history).concat();
    equal("the history", tenant.history(&key(1), 0, 100).await?, written)
}
