use runtime_domain::value::{ModuleId, Revision};
use runtime_ports::store::{
    Commit, CommitError, CommitReceipt, EvidenceCheck, InboxEntry, Lease, LeaseTopic, Order, Query, Wanted,
};

use super::atomicity::consumer;
use super::{
    Failure, KIND, Outcome, World, ensure, is_absent, is_conflict, is_lease_lost, is_stale, key, loaded,
    refusal, refused, request, take_one,
};
use crate::conformance::{chain, equal};
use crate::sample::{self, Draft, exclusive, global, shared};

/// Buried: external-secrets list without a namespace. Theirs: a list was asked for without its namespace, and showed everybody's. Ours: whoever asks
/// has a handle of one tenant, and there is no list of another's.
pub(super) async fn another_tenants_things_are_not_there(world: World) -> Outcome {
    let (one, other) = (world.tenant(1), world.tenant(2));
    one.commit(Draft::create(1, key(1)).commit()).await?;
    equal("the handle's tenant", other.scope().tenant(), sample::tenant(2))?;
    is_absent(&*other, key(1)).await?;
    let page = other.query(&Query::all(KIND)).await?;
    equal("the other tenant's list", (page.items, page.next), (vec![], None))?;
    let why = "the aggregate is another tenant's";
    refused(&*other, Draft::create(2, key(1)).next().commit(), why, is_conflict).await
}

pub(super) async fn two_tenants_may_use_one_identifier(world: World) -> Outcome {
    let (one, other) = (world.tenant(1), world.tenant(2));
    let (mine, theirs) =
        (Draft::create(1, key(1)).body("{\"of\":1}"), Draft::create(2, key(1)).body("{\"of\":2}"));
    one.commit(mine.commit()).await?;
    other.commit(theirs.commit()).await?;
    other.commit(theirs.next().body("{\"of\":3}").commit()).await?;
    equal("the first tenant's state", loaded(&*one, key(1)).await?.record, mine.write().record)?;
    equal("the first tenant's history", one.history(&key(1), 0, 10).await?.len(), 1)?;
    equal("the second tenant's history", other.history(&key(1), 0, 10).await?.len(), 2)?;
    equal("the first tenant's list", one.query(&Query::all(KIND)).await?.items.len(), 1)
}

pub(super) async fn another_tenants_facts_and_leases_are_worth_nothing(world: World) -> Outcome {
    let (one, other, operator) = (world.tenant(1), world.tenant(2), world.operator());
    one.commit(Draft::create(1, key(1)).waking_at(0).commit()).await?;
    let lease = take_one(&*operator, LeaseTopic::Work, 1, 1).await?;
    let fact = EvidenceCheck { key: key(1), wanted: Wanted::AtLeast(Revision(1)) };
    let draft = Draft::create(2, key(2));
    let resting = Commit { evidence: vec![fact], ..draft.commit() };
    refused(&*other, resting, "the evidence is another tenant's", is_stale).await?;
    let under = Commit { lease: Some(lease), ..draft.commit() };
    refused(&*other, under, "the lease is on another tenant's aggregate", is_lease_lost).await
}

/// Everything that a tenant can do, with keys that it may have and keys that it has not, written down without the tenant's own name.
async fn seen_by(world: &World, number: u64) -> Result<Vec<String>, Failure> {
    let tenant = world.tenant(number);
    let web = ModuleId::new("web").map_err(|error| Failure::new(error.to_string()))?;
    let answered = |answer: Result<CommitReceipt, CommitError>| match answer {
        Ok(receipt) => format!("{:?}", receipt.revisions),
        Err(CommitError::Port(error)) => format!("{:?} {error}", error.kind()),
        Err(error) => error.to_string(),
    };
    let mut seen = Vec::new();
    let draft = |place| Draft::create(number, key(place));
    let handling = |event| -> Result<InboxEntry, Failure> {
        Ok(InboxEntry { consumer: consumer("trial")?, event: sample::event(event) })
    };
    for place in 1..=4 {
        for wanted in [Wanted::Exactly(Revision(1)), Wanted::AtLeast(Revision(1))] {
            let evidence = vec![EvidenceCheck { key: key(place), wanted }];
            seen.push(answered(tenant.commit(Commit { evidence, ..Commit::default() }).await));
        }
        seen.push(answered(tenant.commit(draft(place).next().commit()).await));
        seen.push(format!("{:?}", tenant.load(&key(place)).await?));
        seen.push(format!("{:?}", tenant.history(&key(place), 0, 10).await?));
    }
    let own = draft(1).claiming([exclusive("one"), shared("two")]).about([web.clone()]).publishing();
    seen.push(answered(tenant.commit(Commit { inbox: Some(handling(1)?), ..own.commit() }).await));
    seen.push(answered(tenant.commit(Commit { inbox: Some(handling(1)?), ..draft(2).commit() }).await));
    seen.push(answered(tenant.commit(draft(2).claiming([shared("one")]).commit()).await));
    seen.push(answered(tenant.commit(draft(2).claiming([shared("two")]).commit()).await));
    seen.push(answered(tenant.commit(draft(2).commit()).await));
    seen.push(answered(tenant.commit(draft(3).environment(2).status("Closed").waking_at(3).commit()).await));
    let all = || Query { order: Order::OldestFirst, ..Query::all(KIND) };
    for query in [
        Query::all(KIND),
        all().limited_to(1),
        all().in_environment(sample::environment(1)),
        all().with_status(&["Closed"]),
        all().about(web),
    ] {
        let page = tenant.query(&query).await?;
        seen.push(format!("{:?} and more: {}", page.items, page.next.is_some()));
    }
    for place in 1..=4 {
        seen.push(format!("{:?}", tenant.load(&key(place)).await?));
        seen.push(format!("{:?}", tenant.history(&key(place), 0, 10).await?));
    }
    Ok(seen)
}

/// One tenant beside nobody, another beside one who has used every key, claim, event and module before it.
///
/// Buried: external-secrets list without a namespace.
pub(super) async fn a_tenant_sees_the_same_with_and_without_others(world: World) -> Outcome {
    let alone = seen_by(&world, 1).await?;
    let (busy, operator) = (world.tenant(2), world.operator());
    let web = ModuleId::new("web").map_err(|error| Failure::new(error.to_string()))?;
    for place in 1..=4 {
        let claims = [exclusive("one"), shared("two")].map(|mut claim| {
            claim.key = format!("{}-{place}", claim.key);
            claim
        });
        let first =
            Draft::create(2, key(place)).claiming(claims).about([web.clone()]).entries(3).waking_at(1);
        let inbox = InboxEntry { consumer: consumer("trial")?, event: sample::event(place) };
        busy.commit(Commit { inbox: Some(inbox), ..first.publishing().environment(2).commit() }).await?;
    }
    busy.commit(Draft::create(2, key(5)).claiming([exclusive("one")]).status("Closed").commit()).await?;
    busy.commit(Draft::create(2, key(6)).claiming([exclusive("two")]).status("Closed").commit()).await?;
    operator.take_leases(&request(LeaseTopic::Work, 1, 10)).await?;
    let beside = seen_by(&world, 3).await?;
    for (place, (alone, beside)) in alone.iter().zip(&beside).enumerate() {
        equal(&format!("what a tenant sees beside another, answer {place}"), beside, alone)?;
    }
    equal("how much is seen", beside.len(), alone.len())
}

pub(super) async fn no_refusal_names_another_tenant(world: World) -> Outcome {
    let (one, other, operator) = (world.tenant(1), world.tenant(2), world.operator());
    let holder =
        Draft::create(1, key(77)).claiming([global(exclusive("a")), global(shared("b"))]).waking_at(0);
    one.commit(holder.commit()).await?;
    let lease: Lease = take_one(&*operator, LeaseTopic::Work, 1, 1).await?;
    let contender = Draft::create(2, key(1));
    let own = Draft::create(2, key(2));
    other.commit(own.commit()).await?;
    let refusals = [
        ("a key is held", contender.clone().claiming([global(exclusive("a"))]).commit()),
        ("a key is shared", contender.clone().claiming([global(exclusive("b"))]).commit()),
        ("a key is held", own.next().claiming([global(shared("a"))]).commit()),
        (
            "the lease is another tenant's",
            Commit { lease: Some(Lease { key: key(1), ..lease }), ..contender.commit() },
        ),
    ];
    let secrets = [sample::tenant(1).uuid(), key(77).id].map(|id| (id.simple().to_string(), id.to_string()));
    for (why, commit) in refusals {
        let error = refusal(&*other, commit, why).await?;
        let told = format!("{} {error:?}", chain(&error));
        let named = secrets.iter().any(|(simple, hyphens)| told.contains(simple) || told.contains(hyphens));
        ensure(
            !named || is_lease_lost(&error),
            format!("the refusal names another tenant or its things: {told}"),
        )?;
    }
    Ok(())
}
