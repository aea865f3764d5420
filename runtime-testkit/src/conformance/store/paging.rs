use std::collections::BTreeSet;
use std::time::Duration;

use runtime_domain::value::{ModuleId, Revision};
use runtime_ports::PortErrorKind;
use runtime_ports::store::{
    AggregateWrite, Commit, Cursor, LeaseRequest, LeaseTopic, Order, Query, TenantStore,
};
use uuid::Uuid;

use super::{Failure, KIND, Outcome, World, ensure, key, request};
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
    // Due times, in whole microseconds, rounded up: 10 and a nanosecond counts as 10 and a microsecond.
    let beside = |seconds, nanos| sample::at(seconds) + Duration::from_nanos(nanos);
    let odd = Draft::create(1, key(6)).environment(4).waking_at(10);
    let odd_write = AggregateWrite { wake_at: Some(beside(10, 1)), ..odd.write() };
    tenant.commit(Commit { writes: vec![odd_write], ..Commit::default() }).await?;
    tenant.commit(Draft::create(1, key(7)).environment(4).waking_at(20).commit()).await?;
    tenant.commit(Draft::create(1, key(8)).environment(4).sleeping().commit()).await?;
    for (what, query, wanted) in [
        ("due from a time", all().due_from(sample::at(20)), vec![7]),
        ("due from just after a time", all().due_from(beside(20, 1)), vec![]),
        ("due before a time", all().due_before(sample::at(20)), vec![6]),
        ("due before just after a time", all().due_before(beside(20, 1)), vec![6, 7]),
        ("due before its own time", all().due_before(beside(10, 1)), vec![]),
        ("due before the next microsecond", all().due_before(beside(10, 1_001)), vec![6]),
        ("due between two times", all().due_from(beside(10, 900)).due_before(sample::at(20)), vec![6]),
        ("due, and a status", all().due_from(sample::at(1)).with_status(&["Closed"]), vec![]),
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

pub(super) async fn what_is_due_first_is_listed_first(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let due_first = |limit| Query::all(KIND).ordered(Order::DueFirst).limited_to(limit);
    equal("the list of nothing", listed(&*tenant, &due_first(10)).await?, vec![])?;
    // Three to a moment, created in another order than they are due in, and some that are never due.
    let mut due = Vec::new();
    for place in 0..23 {
        let (number, seconds) = (shuffled(place), place * 5 % 23 / 3 * 10);
        tenant.commit(Draft::create(1, key(number)).waking_at(seconds).commit()).await?;
        tenant.commit(Draft::create(1, key(100 + number)).commit()).await?;
        due.push((seconds, place, key(number).id));
    }
    due.sort_unstable();
    let ids_of = |due: &[(u64, u64, Uuid)]| due.iter().map(|(_, _, id)| *id).collect::<Vec<_>>();
    for limit in [1, 2, 22, 23, 24, 1_000] {
        let what = format!("what is due first, {limit} to a page");
        equal(&what, listed(&*tenant, &due_first(limit)).await?, ids_of(&due))?;
    }
    let overdue: Vec<_> = due.iter().copied().filter(|(seconds, ..)| *seconds < 30).collect();
    let query = due_first(2).due_before(sample::at(30)).in_environment(sample::environment(1));
    equal("what is overdue", listed(&*tenant, &query).await?, ids_of(&overdue))?;
    // Others come and change while a page is turned: those that stay are listed once.
    let mut found = Vec::new();
    let mut query = due_first(4);
    for new in 1_000_u64.. {
        let page = tenant.query(&query).await?;
        found.extend(page.items.iter().map(|item| item.key.id));
        tenant.commit(Draft::create(1, key(new)).waking_at(new % 90).commit()).await?;
        match page.next {
            Some(cursor) if new < 1_100 => query = query.after(cursor),
            Some(_) => return Err(Failure::new("the listing does not end")),
            None => break,
        }
    }
    found.retain(|id| due.iter().any(|(_, _, due)| due == id));
    equal("those that stayed", found, ids_of(&due))?;
    let cursor =
        tenant.query(&due_first(1)).await?.next.ok_or_else(|| Failure::new("the list ends after 1"))?;
    for (query, why) in [
        (Query::all(KIND).after(cursor.clone()), "another order"),
        (due_first(1).due_before(sample::at(30)).after(cursor), "other due times"),
        (due_first(1).after(Cursor("1.1".to_owned())), "nobody"),
    ] {
        let answer = tenant.query(&query).await;
        let is_invalid = answer.as_ref().is_err_and(|error| error.kind() == PortErrorKind::Invalid);
        ensure(is_invalid, format!("a cursor of {why} was not refused as Invalid: {answer:?}"))?;
    }
    // Due times follow the present state, and what is deferred.
    let first = due.first().map(|(_, _, id)| *id).ok_or_else(|| Failure::new("nothing is due"))?;
    let operator = world.operator();
    let leases =
        operator.take_leases(&LeaseRequest { limit: 1_000, ..request(LeaseTopic::Work, 1, 100) }).await?;
    let lease = leases.iter().find(|lease| lease.key.id == first);
    let lease = lease.ok_or_else(|| Failure::new("what is due was not leased"))?;
    operator.defer_lease(lease, Revision::FIRST, sample::at(5_000)).await?;
    let page = tenant.query(&Query::all(KIND).due_from(sample::at(5_000)).ordered(Order::DueFirst)).await?;
    equal("what was deferred", page.items.iter().map(|item| item.key.id).collect(), vec![first])
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
