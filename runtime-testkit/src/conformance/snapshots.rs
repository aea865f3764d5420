//! The suite of the [snapshots' port](runtime_ports::snapshots).

use std::sync::Arc;

use runtime_domain::time::{Span, Timestamp};
use runtime_ports::snapshots::{
    Captured, Snapshot, SnapshotBody, SnapshotQuery, SnapshotStore, TenantSnapshots,
};
use runtime_ports::store::Cursor;
use runtime_ports::subject::Subject;
use tokio::task::JoinSet;

use super::adapter::{AdapterFactory, Begin, is_invalid, prune_all, trial, try_all, try_reopening};
use super::{Failure, Outcome, Report, ensure, equal};
use crate::sample;

/// Tries every promise of the port, each against a fresh adapter. It takes about a second, and needs a tokio runtime with time enabled.
pub async fn snapshots<F>(factory: F) -> Report
where
    F: AdapterFactory,
    F::Adapter: SnapshotStore,
{
    let mut trials = try_all(&factory, all()).await;
    let name = "what was captured survives reopening";
    let before = async |store: &F::Adapter| {
        capture(&*tenant(store, 1), &cart(), 1, "one").await.map(drop)?;
        capture(&*tenant(store, 1), &cart(), 100, "one").await.map(drop)
    };
    let after = async |store: &F::Adapter| {
        let found = tenant(store, 1).latest(&cart()).await?;
        equal("the newest", found, Some(snapshot(&cart(), 1, 100, "one")?))
    };
    trials.push(try_reopening(&factory, name, before, after).await);
    Report { suite: "snapshots", trials }
}

fn all<S: SnapshotStore>() -> Vec<(String, Begin<S>)> {
    vec![
        trial(what_was_seen_is_there),
        trial(seeing_the_same_again_makes_no_new_snapshot),
        trial(an_observation_older_than_what_is_there_is_not_kept),
        trial(the_snapshot_of_a_time_is_the_last_captured_by_then),
        trial(every_filter_that_is_set_holds),
        trial(every_snapshot_is_listed_once_newest_first),
        trial(a_cursor_of_another_query_is_invalid),
        trial(pruning_removes_exactly_what_was_last_seen_before),
        trial(pruning_goes_step_by_step),
        trial(another_tenants_snapshots_are_not_there),
        trial(of_many_observers_none_spoils_the_order),
    ]
}

fn tenant(store: &dyn SnapshotStore, number: u64) -> Box<dyn TenantSnapshots> {
    store.tenant_snapshots(&sample::scope(number))
}

fn cart() -> Subject {
    sample::subject(1, "surface/cart")
}

fn everything() -> SnapshotQuery {
    SnapshotQuery::of(sample::environment(1))
}

fn body(text: &str) -> Result<SnapshotBody, Failure> {
    SnapshotBody::parse(&format!(r#"{{"seen": "{text}"}}"#)).map_err(|error| Failure::new(error.to_string()))
}

fn snapshot(subject: &Subject, first: u64, last: u64, text: &str) -> Result<Snapshot, Failure> {
    let body = body(text)?;
    Ok(Snapshot {
        subject: subject.clone(),
        captured_at: sample::at(first),
        last_seen_at: sample::at(last),
        digest: body.digest(),
        body: body.as_str().to_owned(),
    })
}

async fn capture(
    tenant: &dyn TenantSnapshots,
    subject: &Subject,
    seconds: u64,
    text: &str,
) -> Result<Captured, Failure> {
    Ok(tenant.capture(subject, sample::at(seconds), &body(text)?).await?)
}

/// Every page of a query, one after the other: when, and what was seen.
async fn listed(
    tenant: &dyn TenantSnapshots,
    query: &SnapshotQuery,
) -> Result<Vec<(Timestamp, String)>, Failure> {
    let mut found = Vec::new();
    let mut query = query.clone();
    loop {
        let page = tenant.list(&query).await?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        ensure(page.items.len() <= limit, format!("a page of {limit} has {} items", page.items.len()))?;
        found.extend(page.items.into_iter().map(|item| (item.captured_at, item.body)));
        ensure(found.len() <= 10_000, "the listing does not end")?;
        match page.next {
            Some(cursor) => query = query.after(cursor),
            None => return Ok(found),
        }
    }
}

/// What [`listed`] gives for these.
fn seen<'t>(items: impl IntoIterator<Item = (u64, &'t str)>) -> Vec<(Timestamp, String)> {
    items
        .into_iter()
        .map(|(seconds, text)| (sample::at(seconds), format!(r#"{{"seen":"{text}"}}"#)))
        .collect()
}

async fn what_was_seen_is_there<S: SnapshotStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    equal("the newest of nothing", tenant.latest(&cart()).await?, None)?;
    equal("the first", capture(&*tenant, &cart(), 1, "one").await?, Captured::Changed)?;
    equal("the newest", tenant.latest(&cart()).await?, Some(snapshot(&cart(), 1, 1, "one")?))?;
    let large = "ä\\n".repeat(SnapshotBody::LARGEST / 4 - 10);
    equal("a large one", capture(&*tenant, &cart(), 2, &large).await?, Captured::Changed)?;
    let newest = tenant.latest(&cart()).await?;
    ensure(newest == Some(snapshot(&cart(), 2, 2, &large)?), "a large observation is not as it was kept")?;
    for other in [
        sample::subject(2, "surface/cart"),
        sample::subject(1, "surface"),
        sample::subject(1, "surface/cart/1"),
    ] {
        equal("another subject's newest", tenant.latest(&other).await?, None)?;
    }
    Ok(())
}

async fn seeing_the_same_again_makes_no_new_snapshot<S: SnapshotStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    for seconds in [1, 2, 60, 61, 62, 90, 500] {
        let wanted = match seconds {
            1 => Captured::Changed,
            61 | 500 => Captured::Extended,
            _ => Captured::Unchanged,
        };
        equal("the same again", capture(&*tenant, &cart(), seconds, "one").await?, wanted)?;
    }
    equal("what is kept", tenant.latest(&cart()).await?, Some(snapshot(&cart(), 1, 500, "one")?))?;
    equal("a change", capture(&*tenant, &cart(), 501, "other").await?, Captured::Changed)?;
    equal("a change back", capture(&*tenant, &cart(), 502, "one").await?, Captured::Changed)?;
    let found = listed(&*tenant, &everything().limited_to(1)).await?;
    equal("what is listed", found, seen([(502, "one"), (501, "other"), (1, "one")]))
}

async fn an_observation_older_than_what_is_there_is_not_kept<S: SnapshotStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    capture(&*tenant, &cart(), 100, "one").await?;
    capture(&*tenant, &cart(), 200, "one").await?;
    for (seconds, text, wanted) in [
        (99, "one", Captured::Late),
        (99, "other", Captured::Late),
        (100, "one", Captured::Unchanged),
        (150, "other", Captured::Late),
        (200, "other", Captured::Late),
    ] {
        equal(&format!("{text} at {seconds}"), capture(&*tenant, &cart(), seconds, text).await?, wanted)?;
    }
    equal("what is kept", tenant.latest(&cart()).await?, Some(snapshot(&cart(), 100, 200, "one")?))?;
    equal("what is listed", listed(&*tenant, &everything()).await?, seen([(100, "one")]))
}

async fn the_snapshot_of_a_time_is_the_last_captured_by_then<S: SnapshotStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    for (seconds, text) in [(10, "one"), (20, "two"), (30, "three")] {
        capture(&*tenant, &cart(), seconds, text).await?;
    }
    capture(&*tenant, &sample::subject(1, "surface/web"), 15, "web").await?;
    let just_before = sample::at(20) - std::time::Duration::from_nanos(1);
    for (at, wanted) in [
        (sample::at(9), None),
        (sample::at(10), Some((10, "one"))),
        (just_before, Some((10, "one"))),
        (sample::at(20), Some((20, "two"))),
        (sample::at(1_000), Some((30, "three"))),
    ] {
        let found = tenant.as_of(&cart(), at).await?;
        let wanted = wanted.map(|(seconds, text)| snapshot(&cart(), seconds, seconds, text)).transpose()?;
        equal(&format!("as of {at}"), found, wanted)?;
    }
    Ok(())
}

async fn every_filter_that_is_set_holds<S: SnapshotStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    let web = sample::subject(1, "surface/web");
    for (subject, seconds, text) in [
        (cart(), 10, "one"),
        (web, 20, "two"),
        (cart(), 30, "three"),
        (sample::subject(2, "surface/cart"), 40, "four"),
    ] {
        capture(&*tenant, &subject, seconds, text).await?;
    }
    let all = || everything().limited_to(1);
    for (what, query, wanted) in [
        ("the environment alone", all(), vec![(30, "three"), (20, "two"), (10, "one")]),
        ("another environment", SnapshotQuery::of(sample::environment(2)), vec![(40, "four")]),
        ("a subject", all().about(cart().name), vec![(30, "three"), (10, "one")]),
        ("from a time", all().from(sample::at(20)), vec![(30, "three"), (20, "two")]),
        ("until a time", all().until(sample::at(20)), vec![(10, "one")]),
        (
            "all at once",
            all().about(cart().name).from(sample::at(10)).until(sample::at(30)),
            vec![(10, "one")],
        ),
    ] {
        equal(what, listed(&*tenant, &query).await?, seen(wanted))?;
    }
    Ok(())
}

async fn every_snapshot_is_listed_once_newest_first<S: SnapshotStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    // Three subjects to a moment.
    let mut wanted = Vec::new();
    for place in 0..21_u64 {
        let subject = sample::subject(1, ["a", "b", "c"][usize::try_from(place % 3).unwrap_or_default()]);
        let text = place.to_string();
        capture(&*tenant, &subject, place / 3, &text).await?;
        wanted.push((place / 3, text));
    }
    wanted.reverse();
    let wanted = seen(wanted.iter().map(|(seconds, text)| (*seconds, text.as_str())));
    for limit in [1, 2, 20, 21, 22, 100] {
        let found = listed(&*tenant, &everything().limited_to(limit)).await?;
        equal(&format!("{limit} to a page"), found, wanted.clone())?;
    }
    let page = tenant.list(&everything().limited_to(21)).await?;
    equal("whether a full last page goes on", page.next, None)
}

async fn a_cursor_of_another_query_is_invalid<S: SnapshotStore>(store: Arc<S>) -> Outcome {
    let own = tenant(&*store, 1);
    for number in [1, 2] {
        for seconds in 1..=3 {
            capture(&*tenant(&*store, number), &cart(), seconds, &seconds.to_string()).await?;
        }
    }
    let query = everything().limited_to(1);
    let cursor = own.list(&query).await?.next.ok_or_else(|| Failure::new("the list ends after 1 of 3"))?;
    let going_on = || query.clone().after(cursor.clone());
    is_invalid(own.list(&going_on().about(cart().name)).await, "a cursor of a query with other filters")?;
    is_invalid(tenant(&*store, 2).list(&going_on()).await, "a cursor of another tenant")?;
    for forged in ["", "1", "'; --", "\u{0}"] {
        is_invalid(own.list(&query.clone().after(Cursor(forged.to_owned()))).await, "a forged cursor")?;
    }
    for limit in [0, 101, u32::MAX] {
        is_invalid(own.list(&query.clone().limited_to(limit)).await, "a limit out of range")?;
    }
    equal("the rest", own.list(&going_on().limited_to(100)).await?.items.len(), 2)
}

async fn pruning_removes_exactly_what_was_last_seen_before<S: SnapshotStore>(store: Arc<S>) -> Outcome {
    let pruner = store.snapshot_pruner(&sample::operator());
    prune_all(&*pruner, sample::at(1_000), 10).await?;
    let web = sample::subject(2, "web");
    for number in [1, 2] {
        let tenant = tenant(&*store, number);
        // Seen from 10 to 300.
        for seconds in [10, 300] {
            capture(&*tenant, &cart(), seconds, "lasting").await?;
        }
        capture(&*tenant, &cart(), 400, "next").await?;
        capture(&*tenant, &web, 200, "short").await?;
    }
    let micro = std::time::Duration::from_micros(1);
    for (before, cart_left, web_left) in [
        (sample::at(200), 2, 1),
        (sample::at(200) + micro, 2, 0),
        (sample::at(300), 2, 0),
        (sample::at(300) + micro, 1, 0),
        (sample::at(400), 1, 0),
        (sample::at(400) + micro, 0, 0),
    ] {
        prune_all(&*pruner, before, 1).await?;
        for number in [1, 2] {
            let tenant = tenant(&*store, number);
            let left = listed(&*tenant, &everything()).await?.len();
            let elsewhere = listed(&*tenant, &SnapshotQuery::of(sample::environment(2))).await?.len();
            equal(
                &format!("what is left of the time since {before}"),
                (left, elsewhere),
                (cart_left, web_left),
            )?;
        }
    }
    Ok(())
}

async fn pruning_goes_step_by_step<S: SnapshotStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    for seconds in 1..=10 {
        capture(&*tenant, &cart(), seconds, &seconds.to_string()).await?;
    }
    let pruner = store.snapshot_pruner(&sample::operator());
    let pruned = pruner.prune(sample::at(9), 3).await?;
    equal("what a step of 3 says", (pruned.removed, pruned.goes_on), (3, true))?;
    equal("how many are left after it", listed(&*tenant, &everything()).await?.len(), 7)?;
    prune_all(&*pruner, sample::at(9), 3).await?;
    equal("what is left in the end", listed(&*tenant, &everything()).await?, seen([(10, "10"), (9, "9")]))
}

async fn another_tenants_snapshots_are_not_there<S: SnapshotStore>(store: Arc<S>) -> Outcome {
    for (number, text) in [(1, "first"), (2, "second")] {
        equal("the first", capture(&*tenant(&*store, number), &cart(), 1, text).await?, Captured::Changed)?;
    }
    for (number, text) in [(1, "first"), (2, "second")] {
        let tenant = tenant(&*store, number);
        let own = Some(snapshot(&cart(), 1, 1, text)?);
        equal("the newest", tenant.latest(&cart()).await?, own.clone())?;
        equal("as of a time", tenant.as_of(&cart(), sample::at(5)).await?, own)?;
        equal("what is listed", listed(&*tenant, &everything()).await?, seen([(1, text)]))?;
    }
    equal("what a stranger is shown", tenant(&*store, 3).latest(&cart()).await?, None)
}

async fn of_many_observers_none_spoils_the_order<S: SnapshotStore>(store: Arc<S>) -> Outcome {
    let mut observers = JoinSet::new();
    for observer in 0..24_u64 {
        let tenant = tenant(&*store, 1);
        observers.spawn(async move {
            let mut changed = Vec::new();
            for round in 0..4 {
                let seconds = 1 + round * 24 + observer;
                if capture(&*tenant, &cart(), seconds, &seconds.to_string()).await? == Captured::Changed {
                    changed.push(sample::at(seconds));
                }
            }
            Ok::<_, Failure>(changed)
        });
    }
    let mut changed = Vec::new();
    while let Some(ended) = observers.join_next().await {
        changed.extend(ended.map_err(|error| Failure::new(error.to_string()))??);
    }
    changed.sort_unstable();
    changed.reverse();
    let tenant = tenant(&*store, 1);
    let found: Vec<Timestamp> =
        listed(&*tenant, &everything()).await?.into_iter().map(|(at, _)| at).collect();
    equal("the snapshots, and what observers were told", &found, &changed)?;
    equal("the newest", found.first().copied(), Some(Span::from_secs(96).after(Timestamp::UNIX_EPOCH)))
}
