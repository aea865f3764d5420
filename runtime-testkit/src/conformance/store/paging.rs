use std::collections::BTreeSet;

use runtime_domain::value::{ModuleId, Revision};
use runtime_ports::PortErrorKind;
use runtime_ports::store::{Cursor, Order, Query, TenantStore};
use uuid::Uuid;

use super::{Failure, KIND, Outcome, World, ensure, key};
use crate::conformance::equal;
use crate::sample::{self, Draft};

/// Every page of a query, one after the other.
async fn listed(tenant: &dyn TenantStore, query: &Query) -> Result<Vec<Uuid>, Failure> {
    let mut found = Vec::new();
    let mut query = query.clone();
    loop {
        let page = tenant.query(&query).await?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        ensure(page.items.len() <= limit, format!("a page of {limit} has {} items", page.items.len()))?;
        found.extend(page.items.iter().map(|item| item.key.id));
        ensure(found.len() <= 1_000, "the listing does not end")?;
        match page.next {
            Some(cursor) => query = query.after(cursor),
            None => return Ok(found),
        }
    }
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<Uuid> {
    numbers.into_iter().map(|number| key(number).id).collect()
}

/// A number whose identifiers are not in the order of their creation.
fn shuffled(place: u64) -> u64 {
    1 + place * 7 % 23
}

pub(super) async fn every_aggregate_is_listed_once_in_the_order_of_creation(world: World) -> Outcome {
    let tenant = world.tenant(1);
    equal("the list of nothing", listed(&*tenant, &Query::all(KIND)).await?, vec![])?;
    for place in 0..23 {
        tenant.commit(Draft::create(1, key(shuffled(place))).commit()).await?;
    }
    // A later write does not move it.
    tenant.commit(Draft::create(1, key(shuffled(3))).next().commit()).await?;
    for limit in [1, 5, 22, 23, 24, 1_000] {
        let newest = Query::all(KIND).limited_to(limit);
        let oldest = Query { order: Order::OldestFirst, ..newest.clone() };
        let what = format!("{limit} to a page");
        equal(&what, listed(&*tenant, &newest).await?, ids((0..23).rev().map(shuffled)))?;
        equal(&what, listed(&*tenant, &oldest).await?, ids((0..23).map(shuffled)))?;
    }
    let page = tenant.query(&Query::all(KIND).limited_to(23)).await?;
    equal("whether a full last page goes on", page.next, None)
}

pub(super) async fn every_filter_that_is_set_holds(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let module = |name| ModuleId::new(name).map_err(|error| Failure::new(error.to_string()));
    let (web, api) = (module("web")?, module("api")?);
    let first = Draft::create(1, key(1)).about([web.clone(), api.clone()]);
    tenant.commit(first.commit()).await?;
    tenant.commit(Draft::create(1, key(2)).status("Closed").about([web.clone()]).commit()).await?;
    tenant.commit(Draft::create(1, key(3)).environment(2).about([api.clone()]).commit()).await?;
    tenant.commit(Draft::create(1, key(4)).status("Paused").environment(2).commit()).await?;
    let other_kind = sample::key(runtime_domain::id::AggregateKind::ScalingPolicy, 5);
    tenant.commit(Draft::create(1, other_kind).commit()).await?;
    let all = || Query { order: Order::OldestFirst, ..Query::all(KIND).limited_to(1) };
    for (what, query, wanted) in [
        ("the kind alone", all(), vec![1, 2, 3, 4]),
        ("an environment", all().in_environment(sample::environment(2)), vec![3, 4]),
        ("a status", all().with_status(&["Open"]), vec![1, 3]),
        ("two statuses", all().with_status(&["Closed", "Paused"]), vec![2, 4]),
        ("a module", all().about(web.clone()), vec![1, 2]),
        ("another module", all().about(api.clone()), vec![1, 3]),
        ("two filters", all().about(api.clone()).in_environment(sample::environment(2)), vec![3]),
        (
            "three filters",
            all().about(web.clone()).in_environment(sample::environment(2)).with_status(&["Open"]),
            vec![],
        ),
    ] {
        equal(what, listed(&*tenant, &query).await?, ids(wanted))?;
    }
    // Filters follow the present state.
    tenant.commit(first.next().status("Closed").about([web.clone()]).environment(3).commit()).await?;
    equal("a status after a change", listed(&*tenant, &all().with_status(&["Closed"])).await?, ids([1, 2]))?;
    equal("a module after a change", listed(&*tenant, &all().about(api)).await?, ids([3]))?;
    let environment = all().in_environment(sample::environment(3));
    equal("an environment after a change", listed(&*tenant, &environment).await?, ids([1]))
}

pub(super) async fn a_listing_is_exact_while_others_write(world: World) -> Outcome {
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let number = if order == Order::NewestFirst { 1 } else { 2 };
        let tenant = world.tenant(number);
        let created: Vec<Draft> = (0..23).map(|place| Draft::create(number, key(shuffled(place)))).collect();
        for draft in &created {
            tenant.commit(draft.commit()).await?;
        }
        let mut found = Vec::new();
        let mut query = Query { order, ..Query::all(KIND).limited_to(3) };
        let mut drafts = created.clone();
        for new in 100.. {
            let page = tenant.query(&query).await?;
            found.extend(page.items.iter().map(|item| item.key.id));
            tenant.commit(Draft::create(number, key(new)).commit()).await?;
            for draft in &mut drafts {
                *draft = draft.next().status(if new % 2 == 0 { "Closed" } else { "Open" });
                tenant.commit(draft.commit()).await?;
            }
            match page.next {
                Some(cursor) if new < 200 => query = query.after(cursor),
                Some(_) => return Err(Failure::new("the listing does not end")),
                None => break,
            }
        }
        let before: BTreeSet<Uuid> = created.iter().map(|draft| draft.key().id).collect();
        found.retain(|id| before.contains(id));
        let distinct: BTreeSet<Uuid> = found.iter().copied().collect();
        equal(&format!("{order:?}: the aggregates that were there all the time"), &distinct, &before)?;
        equal(&format!("{order:?}: how often they were listed"), found.len(), before.len())?;
    }
    Ok(())
}

pub(super) async fn a_cursor_of_another_query_is_invalid(world: World) -> Outcome {
    let tenant = world.tenant(1);
    for number in 1..=3 {
        tenant.commit(Draft::create(1, key(number)).commit()).await?;
        world.tenant(2).commit(Draft::create(2, key(number)).commit()).await?;
    }
    let query = Query::all(KIND).limited_to(1);
    let cursor =
        tenant.query(&query).await?.next.ok_or_else(|| Failure::new("the list ends after 1 of 3"))?;
    let invalid = |tenant: Box<dyn TenantStore>, query: Query, why: &'static str| async move {
        let answer = tenant.query(&query).await;
        let is_invalid = answer.as_ref().is_err_and(|error| error.kind() == PortErrorKind::Invalid);
        ensure(is_invalid, format!("{why} was not refused as Invalid: {answer:?}"))
    };
    let going_on = || query.clone().after(cursor.clone());
    invalid(world.tenant(1), going_on().with_status(&["Open"]), "a cursor of a query with other filters")
        .await?;
    invalid(world.tenant(1), Query { order: Order::OldestFirst, ..going_on() }, "a cursor of another order")
        .await?;
    invalid(world.tenant(2), going_on(), "a cursor of another tenant").await?;
    for forged in ["", "1", "'; --", "\u{0}"] {
        invalid(world.tenant(1), query.clone().after(Cursor(forged.to_owned())), "a forged cursor").await?;
    }
    for limit in [0, 1_001, u32::MAX] {
        invalid(world.tenant(1), query.clone().limited_to(limit), "a limit out of range").await?;
    }
    // The limit may change from page to page.
    let rest = tenant.query(&going_on().limited_to(1_000)).await?;
    equal("the rest", rest.items.iter().map(|item| item.revision).collect(), vec![Revision(1); 2])
}
