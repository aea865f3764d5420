//! The suite of the [health results' port](runtime_ports::health_results).

use std::collections::BTreeSet;
use std::sync::Arc;

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::health::HealthStatus;
use runtime_domain::id::ServiceId;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::ModuleId;
use runtime_ports::health_results::{
    HealthRecord, HealthResultQuery, HealthResultStore, TenantHealthResults,
};
use runtime_ports::store::Cursor;
use tokio::task::JoinSet;

use super::adapter::{AdapterFactory, Begin, is_invalid, prune_all, trial, try_all, try_reopening};
use super::{Failure, Outcome, Report, ensure, equal};
use crate::sample;

/// Tries every promise of the port, each against a fresh adapter. It takes about a second, and needs a tokio runtime with time enabled.
pub async fn health_results<F>(factory: F) -> Report
where
    F: AdapterFactory,
    F::Adapter: HealthResultStore,
{
    let mut trials = try_all(&factory, all()).await;
    let name = "what was recorded survives reopening";
    let before = async |store: &F::Adapter| {
        tenant(store, 1).append(&records(1, [at(DAY), at(2 * DAY)])).await.map_err(Failure::from)
    };
    let after = async |store: &F::Adapter| {
        equal(
            "what is there",
            listed(&*tenant(store, 1), &everything()).await?,
            records(1, [at(2 * DAY), at(DAY)]),
        )
    };
    trials.push(try_reopening(&factory, name, before, after).await);
    Report { suite: "health results", trials }
}

fn all<S: HealthResultStore>() -> Vec<(String, Begin<S>)> {
    vec![
        trial(results_are_there_as_they_were_recorded),
        trial(an_append_that_is_refused_records_nothing),
        trial(a_result_that_is_recorded_never_changes),
        trial(every_filter_that_is_set_holds),
        trial(every_result_is_listed_once_in_the_order_of_time),
        trial(a_listing_is_exact_while_others_record),
        trial(a_cursor_of_another_query_is_invalid),
        trial(the_newest_result_of_each_service_is_found),
        trial(pruning_removes_exactly_what_is_older),
        trial(pruning_goes_step_by_step),
        trial(another_tenants_results_are_not_there),
        trial(what_many_record_at_once_is_all_there),
        trial(room_can_be_made_ahead),
    ]
}

/// Seconds of a day.
const DAY: u64 = 86_400;

fn at(seconds: u64) -> Timestamp {
    sample::at(seconds)
}

fn tenant(store: &dyn HealthResultStore, number: u64) -> Box<dyn TenantHealthResults> {
    store.tenant_health_results(&sample::scope(number))
}

fn everything() -> HealthResultQuery {
    HealthResultQuery::of(sample::environment(1))
}

fn module(name: &str) -> Result<ModuleId, Failure> {
    ModuleId::new(name).map_err(|error| Failure::new(error.to_string()))
}

fn record(tenant: u64, number: u64, at: Timestamp) -> HealthRecord {
    sample::health_record(tenant, 1, "cart", number, at, HealthStatus::Degraded)
}

/// One record for each time, numbered by the time.
fn records(tenant: u64, times: impl IntoIterator<Item = Timestamp>) -> Vec<HealthRecord> {
    times.into_iter().map(|at| record(tenant, at.timestamp_millis().unsigned_abs(), at)).collect()
}

/// Every page of a query, one after the other.
async fn listed(
    tenant: &dyn TenantHealthResults,
    query: &HealthResultQuery,
) -> Result<Vec<HealthRecord>, Failure> {
    let mut found = Vec::new();
    let mut query = query.clone();
    loop {
        let page = tenant.query(&query).await?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        ensure(page.items.len() <= limit, format!("a page of {limit} has {} items", page.items.len()))?;
        found.extend(page.items);
        ensure(found.len() <= 10_000, "the listing does not end")?;
        match page.next {
            Some(cursor) => query = query.after(cursor),
            None => return Ok(found),
        }
    }
}

async fn results_are_there_as_they_were_recorded<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    equal("the list of nothing", listed(&*tenant, &everything()).await?, vec![])?;
    tenant.append(&[]).await?;
    // Off the whole second, down to the nanosecond, so that a store that drops the fraction is noticed.
    let odd = at(1_000) + std::time::Duration::from_nanos(123_456_789);
    let unknown = HealthRecord { revision: None, ..record(1, 2, at(2_000)) };
    let written = [record(1, 1, odd), unknown, record(1, 3, at(5 * DAY))];
    tenant.append(&written).await?;
    let found = listed(&*tenant, &everything().oldest_first()).await?;
    equal("what is there", found, written.to_vec())
}

async fn an_append_that_is_refused_records_nothing<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let own = tenant(&*store, 1);
    let foreign = [record(1, 1, at(1)), record(2, 2, at(2))];
    is_invalid(own.append(&foreign).await, "a result of another tenant")?;
    let many: Vec<HealthRecord> = (0..1_001).map(|number| record(1, number, at(number))).collect();
    is_invalid(own.append(&many).await, "an append of 1,001 results")?;
    equal("what is there", listed(&*own, &everything()).await?, vec![])?;
    equal("what the other has", listed(&*tenant(&*store, 2), &everything()).await?, vec![])?;
    own.append(&many[..HealthRecord::MOST]).await?;
    equal(
        "how many are there",
        listed(&*own, &everything().limited_to(1_000)).await?.len(),
        HealthRecord::MOST,
    )
}

async fn a_result_that_is_recorded_never_changes<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    let first = record(1, 1, at(1));
    tenant.append(std::slice::from_ref(&first)).await?;
    let forged = sample::health_record(1, 1, "cart", 1, at(1), HealthStatus::Healthy);
    ensure(forged != first, "the trial forges what is already so")?;
    let second = record(1, 2, at(2));
    // Repeated, as after a lost answer, and twice in one call.
    tenant.append(&[first.clone(), second.clone(), second.clone(), forged]).await?;
    equal("what is there", listed(&*tenant, &everything()).await?, vec![second, first])
}

async fn every_filter_that_is_set_holds<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    let healthy = HealthStatus::Healthy;
    let one = sample::health_record(1, 1, "cart", 1, at(10), healthy);
    let two = sample::health_record(1, 1, "web", 2, at(20), healthy);
    let three = sample::health_record(1, 2, "cart", 3, at(30), healthy);
    let four = HealthRecord {
        revision: two.revision.clone(),
        ..sample::health_record(1, 1, "cart", 4, at(40), healthy)
    };
    tenant.append(&[one.clone(), two.clone(), three.clone(), four.clone()]).await?;
    let revision = two.revision.clone().ok_or_else(|| Failure::new("the sample has no revision"))?;
    let all = || everything().oldest_first().limited_to(1);
    for (what, query, wanted) in [
        ("the environment alone", all(), vec![&one, &two, &four]),
        ("another environment", HealthResultQuery::of(sample::environment(2)), vec![&three]),
        ("a module", all().about(&module("cart")?), vec![&one, &four]),
        ("a service", all().service(two.result.service_id()), vec![&two]),
        ("a revision", all().revision(revision.clone()), vec![&two, &four]),
        ("from a time", all().from(at(20)), vec![&two, &four]),
        ("until a time", all().until(at(20)), vec![&one]),
        ("between two times", all().from(at(10)).until(at(40)), vec![&one, &two]),
        ("no time at all", all().from(at(20)).until(at(20)), vec![]),
        (
            "all at once",
            all().about(&module("cart")?).revision(revision).from(at(11)).until(at(41)),
            vec![&four],
        ),
    ] {
        equal(what, listed(&*tenant, &query).await?, wanted.into_iter().cloned().collect())?;
    }
    Ok(())
}

async fn every_result_is_listed_once_in_the_order_of_time<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    // Three to a moment, over several days, recorded out of order.
    let mut written: Vec<HealthRecord> =
        (0..23).map(|number| record(1, number * 7 % 23, at(number * 7 % 23 / 3 * DAY / 2))).collect();
    tenant.append(&written[..11]).await?;
    tenant.append(&written[11..]).await?;
    written.sort_by_key(HealthRecord::place);
    for limit in [1, 5, 22, 23, 24, 1_000] {
        let query = everything().limited_to(limit);
        let what = format!("{limit} to a page");
        equal(&what, listed(&*tenant, &query.clone().oldest_first()).await?, written.clone())?;
        let newest_first = written.iter().rev().cloned().collect();
        equal(&what, listed(&*tenant, &query).await?, newest_first)?;
    }
    let page = tenant.query(&everything().limited_to(23)).await?;
    equal("whether a full last page goes on", page.next, None)
}

async fn a_listing_is_exact_while_others_record<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    let written: Vec<HealthRecord> =
        (0..20).map(|number| record(1, number, at(1_000 + number * 10))).collect();
    tenant.append(&written).await?;
    let mut found = BTreeSet::new();
    let mut query = everything().limited_to(3);
    for new in 100_u64.. {
        let page = tenant.query(&query).await?;
        for item in page.items {
            ensure(found.insert(item.place()), format!("{:?} was listed twice", item.place()))?;
        }
        // Before, among and after what is listed.
        let others = [at(new), at(1_000 + new), at(5_000 + new)];
        let others = others.into_iter().zip(0..).map(|(at, place)| record(1, new * 3 + place, at));
        tenant.append(&others.collect::<Vec<_>>()).await?;
        match page.next {
            Some(cursor) if new < 200 => query = query.after(cursor),
            Some(_) => return Err(Failure::new("the listing does not end")),
            None => break,
        }
    }
    let missed = written.iter().filter(|record| !found.contains(&record.place())).count();
    equal("how many that were there all the time were missed", missed, 0)
}

async fn a_cursor_of_another_query_is_invalid<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let own = tenant(&*store, 1);
    own.append(&records(1, (1..=3).map(at))).await?;
    tenant(&*store, 2).append(&records(2, (1..=3).map(at))).await?;
    let query = everything().limited_to(1);
    let cursor = own.query(&query).await?.next.ok_or_else(|| Failure::new("the list ends after 1 of 3"))?;
    let going_on = || query.clone().after(cursor.clone());
    is_invalid(own.query(&going_on().oldest_first()).await, "a cursor of another order")?;
    is_invalid(own.query(&going_on().from(at(1))).await, "a cursor of a query with other filters")?;
    is_invalid(tenant(&*store, 2).query(&going_on()).await, "a cursor of another tenant")?;
    for forged in ["", "1", "'; --", "\u{0}"] {
        is_invalid(own.query(&query.clone().after(Cursor(forged.to_owned()))).await, "a forged cursor")?;
    }
    for limit in [0, 1_001, u32::MAX] {
        is_invalid(own.query(&query.clone().limited_to(limit)).await, "a limit out of range")?;
        let latest = own.latest_of_all(sample::environment(1), at(0), None, limit).await;
        is_invalid(latest, "a limit out of range")?;
    }
    equal("the rest", own.query(&going_on().limited_to(1_000)).await?.items.len(), 2)
}

async fn the_newest_result_of_each_service_is_found<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let own = tenant(&*store, 1);
    let environment = sample::environment(1);
    let names = ["a", "b", "c", "d"];
    let mut newest = Vec::new();
    for (name, place) in names.into_iter().zip(0..) {
        let of = |number, seconds| {
            sample::health_record(1, 1, name, place * 10 + number, at(seconds), HealthStatus::Healthy)
        };
        let last = of(3, 3 * DAY + place);
        own.append(&[of(1, DAY), last.clone(), of(2, 2 * DAY)]).await?;
        newest.push(last);
    }
    let other = sample::health_record(1, 2, "a", 99, at(9 * DAY), HealthStatus::Healthy);
    own.append(&[other]).await?;
    newest.sort_by_key(|record| record.result.service_id());
    for limit in [1, 3, 4, 1_000] {
        let mut found: Vec<HealthRecord> = Vec::new();
        loop {
            let after = found.last().map(|record| record.result.service_id());
            let page = own.latest_of_all(environment, at(0), after, limit).await?;
            if page.is_empty() {
                break;
            }
            ensure(page.len() <= usize::try_from(limit).unwrap_or(usize::MAX), "a page is too long")?;
            found.extend(page);
        }
        equal(&format!("the newest of each, {limit} to a page"), found, newest.clone())?;
    }
    for record in &newest {
        let service = record.result.service_id();
        let at = record.result.evaluated_at();
        let latest = own.latest(environment, service, at).await?;
        equal("the newest since its own time", latest.as_ref(), Some(record))?;
        let later = Span::from_millis(1).after(at);
        equal("the newest since a later time", own.latest(environment, service, later).await?, None)?;
    }
    let recent = own.latest_of_all(environment, at(3 * DAY + 2), None, 10).await?;
    equal("how many have a result since a time", recent.len(), 2)?;
    let absent = ServiceId::of(environment, &module("nobody")?);
    equal("the newest of none", own.latest(environment, absent, at(0)).await?, None)?;
    let others = tenant(&*store, 2).latest_of_all(environment, at(0), None, 10).await?;
    equal("what another tenant is shown", others, vec![])
}

async fn pruning_removes_exactly_what_is_older<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let operator = store.operator_health_results(&sample::operator());
    prune_all(&*operator, at(100 * DAY), 10).await?;
    // Around the turn of a day, and of the whole microsecond within one.
    let within = at(3 * DAY + 500);
    let just = |nanos| within + std::time::Duration::from_nanos(nanos);
    let times = [
        at(DAY),
        at(2 * DAY),
        at(3 * DAY) - std::time::Duration::from_nanos(1),
        at(3 * DAY),
        at(3 * DAY + 1),
        within,
    ];
    let times = || times.into_iter().chain([just(1_000), at(4 * DAY), at(9 * DAY)]);
    for number in [1, 2] {
        let records: Vec<HealthRecord> =
            times().zip(0..).map(|(at, place)| record(number, place, at)).collect();
        tenant(&*store, number).append(&records).await?;
    }
    for before in [at(0), at(3 * DAY), just(0), just(1_000), at(4 * DAY), at(4 * DAY + 1)] {
        prune_all(&*operator, before, 2).await?;
        for number in [1, 2] {
            let left = listed(&*tenant(&*store, number), &everything().oldest_first()).await?;
            let left: Vec<Timestamp> = left.iter().map(|record| record.result.evaluated_at()).collect();
            let micros = before.timestamp_micros();
            let wanted: Vec<Timestamp> = times().filter(|at| at.timestamp_micros() >= micros).collect();
            equal(&format!("what tenant {number} has left of the time since {before}"), left, wanted)?;
        }
    }
    // What was pruned can be recorded again: nothing remembers it.
    let again = record(1, 0, at(DAY));
    tenant(&*store, 1).append(std::slice::from_ref(&again)).await?;
    let found = listed(&*tenant(&*store, 1), &everything().until(at(2 * DAY))).await?;
    equal("what was recorded again", found, vec![again])
}

async fn pruning_goes_step_by_step<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    tenant.append(&records(1, (0..10).map(|number| at(DAY + number)))).await?;
    let operator = store.operator_health_results(&sample::operator());
    let pruned = operator.prune(at(DAY + 8), 3).await?;
    ensure(pruned.goes_on, "a step that left older results says that it was the last")?;
    let left = listed(&*tenant, &everything()).await?.len();
    equal("how many are left after a step of 3", left, 7)?;
    prune_all(&*operator, at(DAY + 8), 3).await?;
    equal("how many are left in the end", listed(&*tenant, &everything()).await?.len(), 2)
}

async fn another_tenants_results_are_not_there<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    // The same identifiers at the same times.
    for number in [1, 2] {
        tenant(&*store, number).append(&[record(number, 1, at(1)), record(number, 2, at(2))]).await?;
    }
    for number in [1, 2] {
        let found = listed(&*tenant(&*store, number), &everything()).await?;
        equal("what is shown", found, vec![record(number, 2, at(2)), record(number, 1, at(1))])?;
        let service = record(number, 1, at(1)).result.service_id();
        let latest = tenant(&*store, number).latest(sample::environment(1), service, at(0)).await?;
        let owner = latest.map(|record| record.result.tenant());
        equal("whose the newest is", owner, Some(sample::tenant(number)))?;
    }
    equal("what a stranger is shown", listed(&*tenant(&*store, 3), &everything()).await?, vec![])
}

async fn what_many_record_at_once_is_all_there<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let mut callers = JoinSet::new();
    for caller in 0..24_u64 {
        let tenant = tenant(&*store, 1 + caller % 2);
        callers.spawn(async move {
            for round in 0..4 {
                let number = caller * 4 + round;
                // The first to record on a day races with the others to make room for it.
                tenant.append(&[record(1 + caller % 2, number, at(round * DAY + number))]).await?;
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.map_err(|error| Failure::new(error.to_string()))??;
    }
    for number in [1, 2] {
        equal("how many are there", listed(&*tenant(&*store, number), &everything()).await?.len(), 48)?;
    }
    Ok(())
}

async fn room_can_be_made_ahead<S: HealthResultStore>(store: Arc<S>) -> Outcome {
    let operator = store.operator_health_results(&sample::operator());
    operator.prepare(at(DAY), at(9 * DAY)).await?;
    operator.prepare(at(DAY), at(DAY)).await?;
    operator.prepare(at(DAY - 1), at(3 * DAY)).await?;
    is_invalid(operator.prepare(at(2), at(1)).await, "a time that ends before it begins")?;
    is_invalid(operator.prepare(at(0), at(61 * DAY)).await, "a time of 61 days")?;
    let tenant = tenant(&*store, 1);
    let times = [0, DAY - 1, DAY, 5 * DAY, 9 * DAY, 10 * DAY, 500 * DAY].map(at);
    tenant.append(&records(1, times)).await?;
    prune_all(&*operator, at(5 * DAY), 10).await?;
    operator.prepare(at(DAY), at(9 * DAY)).await?;
    let left = listed(&*tenant, &everything().oldest_first()).await?;
    equal("what is left", left, records(1, [5 * DAY, 9 * DAY, 10 * DAY, 500 * DAY].map(at)))
}
