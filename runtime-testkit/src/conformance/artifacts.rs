//! The suite of the [artifacts' port](runtime_ports::artifacts).

use std::sync::Arc;

use runtime_domain::time::Timestamp;
use runtime_ports::PortErrorKind;
use runtime_ports::artifacts::{Artifact, ArtifactKey, ArtifactQuery, ArtifactStore, TenantArtifacts};
use runtime_ports::store::Cursor;
use runtime_ports::subject::{ContentDigest, Subject};
use tokio::task::JoinSet;

use super::adapter::{AdapterFactory, Begin, is_invalid, prune_all, trial, try_all, try_reopening};
use super::{Failure, Outcome, Report, ensure, equal};
use crate::sample;

/// Tries every promise of the port, each against a fresh adapter. It takes about a second, and needs a tokio runtime with time enabled. The
/// adapters should take artifacts of a few megabytes at most: one of the largest size is written.
pub async fn artifacts<F>(factory: F) -> Report
where
    F: AdapterFactory,
    F::Adapter: ArtifactStore,
{
    let mut trials = try_all(&factory, all()).await;
    let name = "what was finished survives reopening";
    let before = async |store: &F::Adapter| {
        let tenant = tenant(store, 1);
        write(&*tenant, &log("a"), 1, b"kept").await?;
        let mut abandoned = tenant.begin(&log("b"), sample::at(2)).await?;
        Ok(abandoned.write(b"abandoned").await?)
    };
    let after = async |store: &F::Adapter| {
        let tenant = tenant(store, 1);
        equal("what is listed", listed(&*tenant, &query()).await?, vec![artifact(&log("a"), 1, b"kept")])?;
        equal("its content", read(&*tenant, &log("a")).await?, Some(b"kept".to_vec()))
    };
    trials.push(try_reopening(&factory, name, before, after).await);
    Report { suite: "artifacts", trials }
}

fn all<S: ArtifactStore>() -> Vec<(String, Begin<S>)> {
    vec![
        trial(what_was_written_is_read),
        trial(nothing_is_shown_before_it_is_finished),
        trial(what_is_not_as_expected_is_refused),
        trial(what_is_too_large_is_refused),
        trial(an_artifact_never_changes),
        trial(a_subjects_artifacts_are_listed_by_name),
        trial(a_cursor_of_another_query_is_invalid),
        trial(pruning_removes_exactly_what_is_older),
        trial(pruning_goes_step_by_step),
        trial(another_tenants_artifacts_are_not_there),
        trial(of_many_writers_of_one_artifact_one_wins),
    ]
}

fn tenant(store: &dyn ArtifactStore, number: u64) -> Box<dyn TenantArtifacts> {
    store.tenant_artifacts(&sample::scope(number))
}

fn step() -> Subject {
    sample::subject(1, "deployment/step-1")
}

fn log(name: &str) -> ArtifactKey {
    ArtifactKey { subject: step(), name: sample::kept(name) }
}

fn query() -> ArtifactQuery {
    ArtifactQuery::of(step())
}

fn artifact(key: &ArtifactKey, seconds: u64, content: &[u8]) -> Artifact {
    let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
    Artifact { key: key.clone(), size, digest: ContentDigest::of(content), stored_at: sample::at(seconds) }
}

/// Bytes of every value, none of the parts alike.
fn content(size: usize) -> Vec<u8> {
    (0..size)
        .map(|place| u8::try_from((place ^ (place >> 8) ^ (place >> 16)) % 256).unwrap_or_default())
        .collect()
}

async fn write(
    tenant: &dyn TenantArtifacts,
    key: &ArtifactKey,
    seconds: u64,
    content: &[u8],
) -> Result<Artifact, Failure> {
    let mut writer = tenant.begin(key, sample::at(seconds)).await?;
    writer.write(content).await?;
    Ok(writer.finish(Some(ContentDigest::of(content))).await?)
}

async fn read(tenant: &dyn TenantArtifacts, key: &ArtifactKey) -> Result<Option<Vec<u8>>, Failure> {
    let Some(mut reader) = tenant.open(key).await? else { return Ok(None) };
    let mut bytes = Vec::new();
    while let Some(part) = reader.read().await? {
        ensure(!part.is_empty() && part.len() <= 64 << 10, format!("a part has {} bytes", part.len()))?;
        bytes.extend(part);
    }
    equal("the size told", reader.artifact().size, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    equal("the digest told", reader.artifact().digest, ContentDigest::of(&bytes))?;
    Ok(Some(bytes))
}

/// Every page of a query, one after the other.
async fn listed(tenant: &dyn TenantArtifacts, query: &ArtifactQuery) -> Result<Vec<Artifact>, Failure> {
    let mut found = Vec::new();
    let mut query = query.clone();
    loop {
        let page = tenant.list(&query).await?;
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

async fn what_was_written_is_read<S: ArtifactStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    equal("what was never written", read(&*tenant, &log("a")).await?, None)?;
    for (name, size) in [("empty", 0), ("byte", 1), ("part", 64 << 10), ("parts", (64 << 10) * 3 + 7)] {
        let content = content(size);
        let mut writer = tenant.begin(&log(name), sample::at(1)).await?;
        for part in content.chunks(1_000) {
            writer.write(part).await?;
        }
        let written = writer.finish(None).await?;
        equal("what was finished", written, artifact(&log(name), 1, &content))?;
        ensure(
            read(&*tenant, &log(name)).await? == Some(content),
            format!("{name} is not read as it was written"),
        )?;
    }
    // Of the time, whole microseconds are kept.
    let odd = sample::at(1) + std::time::Duration::from_nanos(1_999);
    let finished = tenant.begin(&log("odd"), odd).await?.finish(None).await?;
    equal("the time", finished.stored_at, sample::at(1) + std::time::Duration::from_nanos(1_000))
}

async fn nothing_is_shown_before_it_is_finished<S: ArtifactStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    let mut writer = tenant.begin(&log("a"), sample::at(1)).await?;
    writer.write(&content(100_000)).await?;
    equal("what is read before", read(&*tenant, &log("a")).await?, None)?;
    equal("what is listed before", listed(&*tenant, &query()).await?, vec![])?;
    drop(writer);
    equal("what is read of what was abandoned", read(&*tenant, &log("a")).await?, None)?;
    equal("what is listed of what was abandoned", listed(&*tenant, &query()).await?, vec![])?;
    write(&*tenant, &log("a"), 2, b"after all").await?;
    equal("what is read afterwards", read(&*tenant, &log("a")).await?, Some(b"after all".to_vec()))
}

async fn what_is_not_as_expected_is_refused<S: ArtifactStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    let mut writer = tenant.begin(&log("a"), sample::at(1)).await?;
    writer.write(b"one").await?;
    match writer.finish(Some(ContentDigest::of(b"other"))).await {
        Ok(_) => return Err(Failure::new("content of another digest than expected was accepted")),
        Err(error) => equal("the refusal's kind", error.kind(), PortErrorKind::Corrupt)?,
    }
    equal("what is read", read(&*tenant, &log("a")).await?, None)?;
    equal("what is listed", listed(&*tenant, &query()).await?, vec![])
}

async fn what_is_too_large_is_refused<S: ArtifactStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    let largest = usize::try_from(store.largest_artifact()).unwrap_or(usize::MAX);
    let part = content(64 << 10);
    let mut writer = tenant.begin(&log("a"), sample::at(1)).await?;
    let mut rest = largest;
    while rest > 0 {
        let many = rest.min(part.len());
        writer.write(&part[..many]).await?;
        rest -= many;
    }
    is_invalid(writer.write(b"!").await, "a byte beyond the largest size")?;
    ensure(writer.write(b"").await.is_err(), "a writer that has failed goes on")?;
    ensure(writer.finish(None).await.is_err(), "a writer that has failed is finished")?;
    equal("what is listed", listed(&*tenant, &query()).await?, vec![])?;
    let whole: Vec<u8> = part.iter().copied().cycle().take(largest).collect();
    write(&*tenant, &log("a"), 1, &whole).await?;
    ensure(read(&*tenant, &log("a")).await? == Some(whole), "the largest is not read as it was written")
}

async fn an_artifact_never_changes<S: ArtifactStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    let first = write(&*tenant, &log("a"), 1, b"one").await?;
    equal("what is said of the same again", write(&*tenant, &log("a"), 2, b"one").await?, first.clone())?;
    let mut writer = tenant.begin(&log("a"), sample::at(3)).await?;
    writer.write(b"other").await?;
    is_invalid(writer.finish(None).await, "another content for an artifact that is there")?;
    equal("its content", read(&*tenant, &log("a")).await?, Some(b"one".to_vec()))?;
    equal("what is listed", listed(&*tenant, &query()).await?, vec![first])
}

async fn a_subjects_artifacts_are_listed_by_name<S: ArtifactStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    equal("the list of nothing", listed(&*tenant, &query()).await?, vec![])?;
    // By their bytes, `-` comes before `.`, that before `/`, digits before letters.
    let names = ["0", "a", "a-b", "a.b", "a/b", "a/b/c", "a0", "ab", "z"];
    let mut wanted = Vec::new();
    for (name, place) in names.into_iter().zip(0..) {
        wanted.push(artifact(&log(name), place, name.as_bytes()));
    }
    for (place, name) in
        [5, 2, 8, 0, 4, 7, 1, 3, 6].map(|place: u64| (place, names[usize::try_from(place).unwrap_or(0)]))
    {
        write(&*tenant, &log(name), place, name.as_bytes()).await?;
    }
    for other in [
        sample::subject(1, "deployment"),
        sample::subject(1, "deployment/step-1/a"),
        sample::subject(2, "deployment/step-1"),
    ] {
        write(&*tenant, &ArtifactKey { subject: other, name: sample::kept("foreign") }, 1, b"foreign")
            .await?;
    }
    for limit in [1, 2, 8, 9, 10, 1_000] {
        let found = listed(&*tenant, &query().limited_to(limit)).await?;
        equal(&format!("{limit} to a page"), found, wanted.clone())?;
    }
    let page = tenant.list(&query().limited_to(9)).await?;
    equal("whether a full last page goes on", page.next, None)
}

async fn a_cursor_of_another_query_is_invalid<S: ArtifactStore>(store: Arc<S>) -> Outcome {
    let own = tenant(&*store, 1);
    for number in [1, 2] {
        for name in ["a", "b", "c"] {
            write(&*tenant(&*store, number), &log(name), 1, b"").await?;
        }
    }
    let query = query().limited_to(1);
    let cursor = own.list(&query).await?.next.ok_or_else(|| Failure::new("the list ends after 1 of 3"))?;
    let elsewhere = ArtifactQuery::of(sample::subject(2, "deployment/step-1")).after(cursor.clone());
    is_invalid(own.list(&elsewhere).await, "a cursor of another subject")?;
    let going_on = query.clone().after(cursor);
    is_invalid(tenant(&*store, 2).list(&going_on).await, "a cursor of another tenant")?;
    for forged in ["", "a", "../a", "\u{0}"] {
        is_invalid(own.list(&query.clone().after(Cursor(forged.to_owned()))).await, "a forged cursor")?;
    }
    for limit in [0, 1_001, u32::MAX] {
        is_invalid(own.list(&query.clone().limited_to(limit)).await, "a limit out of range")?;
    }
    equal("the rest", own.list(&going_on.limited_to(1_000)).await?.items.len(), 2)
}

async fn pruning_removes_exactly_what_is_older<S: ArtifactStore>(store: Arc<S>) -> Outcome {
    let pruner = store.artifact_pruner(&sample::operator());
    prune_all(&*pruner, sample::at(1_000), 10).await?;
    for number in [1, 2] {
        for seconds in [10, 20, 30] {
            write(&*tenant(&*store, number), &log(&format!("log-{seconds}")), seconds, b"content").await?;
        }
    }
    let micro = std::time::Duration::from_micros(1);
    for (before, left) in [
        (sample::at(10), vec![10, 20, 30]),
        (sample::at(20), vec![20, 30]),
        (sample::at(20) + micro, vec![30]),
        (sample::at(31), vec![]),
    ] {
        prune_all(&*pruner, before, 1).await?;
        for number in [1, 2] {
            let found = listed(&*tenant(&*store, number), &query()).await?;
            let found: Vec<Timestamp> = found.iter().map(|artifact| artifact.stored_at).collect();
            let wanted = left.iter().copied().map(sample::at).collect();
            equal(&format!("what is left of the time since {before}"), found, wanted)?;
        }
    }
    // What was pruned can be written again, with another content too.
    write(&*tenant(&*store, 1), &log("log-10"), 40, b"other").await?;
    equal("the content", read(&*tenant(&*store, 1), &log("log-10")).await?, Some(b"other".to_vec()))
}

async fn pruning_goes_step_by_step<S: ArtifactStore>(store: Arc<S>) -> Outcome {
    let tenant = tenant(&*store, 1);
    for number in 0..10 {
        write(&*tenant, &log(&format!("log-{number}")), number, b"content").await?;
    }
    let pruner = store.artifact_pruner(&sample::operator());
    let pruned = pruner.prune(sample::at(8), 3).await?;
    equal("what a step of 3 says", (pruned.removed, pruned.goes_on), (3, true))?;
    equal("how many are left after it", listed(&*tenant, &query()).await?.len(), 7)?;
    prune_all(&*pruner, sample::at(8), 3).await?;
    let left = [8, 9].map(|number| artifact(&log(&format!("log-{number}")), number, b"content"));
    equal("what is left in the end", listed(&*tenant, &query()).await?, left.to_vec())
}

async fn another_tenants_artifacts_are_not_there<S: ArtifactStore>(store: Arc<S>) -> Outcome {
    for (number, content) in [(1, b"one"), (2, b"two")] {
        write(&*tenant(&*store, number), &log("a"), number, content).await?;
    }
    for (number, content) in [(1, b"one"), (2, b"two")] {
        let tenant = tenant(&*store, number);
        equal("the content", read(&*tenant, &log("a")).await?, Some(content.to_vec()))?;
        equal(
            "what is listed",
            listed(&*tenant, &query()).await?,
            vec![artifact(&log("a"), number, content)],
        )?;
    }
    equal("what a stranger reads", read(&*tenant(&*store, 3), &log("a")).await?, None)?;
    equal("what a stranger is shown", listed(&*tenant(&*store, 3), &query()).await?, vec![])
}

async fn of_many_writers_of_one_artifact_one_wins<S: ArtifactStore>(store: Arc<S>) -> Outcome {
    let mut writers = JoinSet::new();
    for number in 0..16_u8 {
        let tenant = tenant(&*store, 1);
        writers.spawn(async move {
            let content = vec![number; 100_000];
            let mut writer = tenant.begin(&log("a"), sample::at(1)).await?;
            for part in content.chunks(10_000) {
                writer.write(part).await?;
                tokio::task::yield_now().await;
            }
            Ok::<_, Failure>((number, writer.finish(None).await))
        });
    }
    let mut winners = Vec::new();
    while let Some(ended) = writers.join_next().await {
        match ended.map_err(|error| Failure::new(error.to_string()))?? {
            (number, Ok(_)) => winners.push(number),
            (_, refused) => is_invalid(refused, "another content for an artifact that is there")?,
        }
    }
    equal("how many writers won", winners.len(), 1)?;
    let content = read(&*tenant(&*store, 1), &log("a")).await?;
    ensure(content == Some(vec![winners[0]; 100_000]), "what is there is not what the winner wrote")
}
