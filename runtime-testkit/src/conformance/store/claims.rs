use runtime_domain::claim::Claim;
use runtime_ports::store::CommitError;

use super::{Outcome, World, ensure, is_absent, is_claim_held, key, refusal, refused};
use crate::sample::{self, Draft, exclusive, global, shared};

fn holding(tenant: u64, number: u64, claim: Claim) -> Draft {
    Draft::create(tenant, key(number)).claiming([claim])
}

pub(super) async fn an_exclusive_claim_has_one_holder(world: World) -> Outcome {
    let tenant = world.tenant(1);
    tenant.commit(holding(1, 1, exclusive("a")).commit()).await?;
    tenant.commit(holding(1, 2, exclusive("b")).commit()).await?;
    let error = refusal(&*tenant, holding(1, 3, exclusive("a")).commit(), "another holds the key").await?;
    let named = matches!(&error, CommitError::ClaimHeld { claim } if *claim == exclusive("a"));
    ensure(named, format!("the refusal does not name the claim: {error:?}"))?;
    refused(
        &*tenant,
        holding(1, 3, shared("a")).commit(),
        "another holds the key exclusively",
        is_claim_held,
    )
    .await?;
    let update = Draft::create(1, key(2)).next().claiming([exclusive("b"), exclusive("a")]);
    refused(&*tenant, update.commit(), "another holds the key", is_claim_held).await?;
    is_absent(&*tenant, key(3)).await
}

pub(super) async fn a_shared_claim_has_many_holders(world: World) -> Outcome {
    let tenant = world.tenant(1);
    for number in 1..=3 {
        tenant.commit(holding(1, number, shared("a")).commit()).await?;
    }
    let why = "others hold the key, shared";
    refused(&*tenant, holding(1, 4, exclusive("a")).commit(), why, is_claim_held).await
}

pub(super) async fn a_claim_that_is_given_up_is_free(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let (first, second) = (holding(1, 1, exclusive("a")), holding(1, 2, shared("b")));
    tenant.commit(sample::commit([first.clone(), second.clone()])).await?;
    tenant.commit(sample::commit([first.next().claiming([]), second.next().claiming([])])).await?;
    tenant.commit(holding(1, 3, exclusive("a")).commit()).await?;
    tenant.commit(holding(1, 4, exclusive("b")).commit()).await?;
    let again = first.next().next().claiming([exclusive("a")]);
    refused(&*tenant, again.commit(), "it was given up, and another has taken it", is_claim_held).await
}

pub(super) async fn a_claim_that_is_repeated_is_kept(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let first = holding(1, 1, exclusive("a"));
    tenant.commit(first.commit()).await?;
    tenant.commit(first.next().commit()).await?;
    tenant.commit(first.next().next().claiming([exclusive("a"), exclusive("b")]).commit()).await?;
    for held in ["a", "b"] {
        let why = "the holder has repeated its claim";
        refused(&*tenant, holding(1, 2, exclusive(held)).commit(), why, is_claim_held).await?;
    }
    Ok(())
}

pub(super) async fn a_claim_passes_between_two_writes_of_one_commit(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let giver = holding(1, 1, exclusive("a"));
    tenant.commit(giver.commit()).await?;
    let (taker, given_up) = (holding(1, 2, exclusive("a")), giver.next().claiming([]));
    tenant.commit(sample::commit([taker.clone(), given_up.clone()])).await?;
    let back = [given_up.next().claiming([exclusive("a")]), taker.next().claiming([])];
    tenant.commit(sample::commit(back)).await?;
    refused(&*tenant, taker.next().next().commit(), "the claim was passed back", is_claim_held).await
}

pub(super) async fn two_aggregates_swap_their_claims_in_one_commit(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let (one, other) = (holding(1, 1, exclusive("a")), holding(1, 2, exclusive("b")));
    tenant.commit(sample::commit([one.clone(), other.clone()])).await?;
    let swapped = [one.next().claiming([exclusive("b")]), other.next().claiming([exclusive("a")])];
    tenant.commit(sample::commit(swapped.clone())).await?;
    for held in ["a", "b"] {
        refused(
            &*tenant,
            holding(1, 3, exclusive(held)).commit(),
            "it was swapped, not given up",
            is_claim_held,
        )
        .await?;
    }
    // Each holds what it got, and not what it gave.
    let [one, other] = swapped;
    tenant.commit(one.next().claiming([]).commit()).await?;
    tenant.commit(holding(1, 3, exclusive("b")).commit()).await?;
    refused(&*tenant, holding(1, 4, exclusive("a")).commit(), "its holder has kept it", is_claim_held)
        .await?;
    tenant.commit(other.next().claiming([]).commit()).await?;
    tenant.commit(holding(1, 4, exclusive("a")).commit()).await?;
    Ok(())
}

pub(super) async fn two_writes_of_one_commit_cannot_claim_the_same(world: World) -> Outcome {
    let tenant = world.tenant(1);
    for (one, other) in [(exclusive("a"), exclusive("a")), (shared("a"), exclusive("a"))] {
        let commit = sample::commit([holding(1, 1, one), holding(1, 2, other)]);
        refused(&*tenant, commit, "its writes claim one key", is_claim_held).await?;
    }
    is_absent(&*tenant, key(1)).await?;
    tenant.commit(sample::commit([holding(1, 1, shared("a")), holding(1, 2, shared("a"))])).await?;
    Ok(())
}

pub(super) async fn a_shared_claim_becomes_exclusive_only_without_others(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let (one, other) = (holding(1, 1, shared("a")), holding(1, 2, shared("a")));
    tenant.commit(sample::commit([one.clone(), other.clone()])).await?;
    let upgraded = one.next().claiming([exclusive("a")]);
    refused(&*tenant, upgraded.commit(), "another shares the key", is_claim_held).await?;
    tenant.commit(other.next().claiming([]).commit()).await?;
    tenant.commit(upgraded.commit()).await?;
    refused(&*tenant, holding(1, 3, shared("a")).commit(), "the claim became exclusive", is_claim_held).await
}

pub(super) async fn two_tenants_may_hold_one_key_of_the_tenant_space(world: World) -> Outcome {
    for number in [1, 2] {
        let tenant = world.tenant(number);
        tenant.commit(holding(number, number, exclusive("a")).commit()).await?;
    }
    // Nor does the space of all tenants know that key.
    world.tenant(3).commit(holding(3, 3, global(exclusive("a"))).commit()).await?;
    Ok(())
}

pub(super) async fn a_global_claim_has_one_holder_among_all_tenants(world: World) -> Outcome {
    let (one, other) = (world.tenant(1), world.tenant(2));
    let first = holding(1, 1, global(exclusive("a")));
    one.commit(first.commit()).await?;
    for claim in [global(exclusive("a")), global(shared("a"))] {
        refused(&*other, holding(2, 2, claim).commit(), "another tenant holds the key", is_claim_held)
            .await?;
    }
    one.commit(first.next().claiming([]).commit()).await?;
    other.commit(holding(2, 2, global(shared("a"))).commit()).await?;
    one.commit(first.next().next().claiming([global(shared("a"))]).commit()).await?;
    Ok(())
}
