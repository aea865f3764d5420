use runtime_domain::value::Revision;
use runtime_ports::store::{Commit, EvidenceCheck, LeaseTopic, Query, Wanted};

use super::{
    KIND, Outcome, World, is_absent, is_conflict, is_lease_lost, is_stale, key, loaded, refused, take_one,
};
use crate::conformance::equal;
use crate::sample::{self, Draft};

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
