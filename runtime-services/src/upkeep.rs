//! Upkeep: what is older than the host keeps goes, step by step, and room is made ahead for what comes.
//!
//! Every host does it; that several do it at once harms nothing. A round is bounded, so that an overdue one takes its time and the rest
//! waits for the next.

use runtime_domain::time::{Span, Timestamp};
use runtime_ports::retention::Pruner;
use tokio_util::sync::CancellationToken;

use crate::host::Host;

#[cfg(test)]
mod tests;

/// How many things one step removes at most.
const STEP: u32 = 500;
/// How many steps a round has at most for each store.
const STEPS: u32 = 200;
/// How far ahead room is made for health results.
const AHEAD: Span = Span::from_secs(3 * 86_400);

/// Looks after what is kept until it is told to stop.
pub(crate) async fn run(host: Host, stop: CancellationToken) {
    while !stop.is_cancelled() {
        round(&host, &stop).await;
        let next = host.options().retention.every.after(host.now());
        tokio::select! {
            biased;
            () = host.ports().clock.sleep_until(next) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// One round. What fails is tried again in the next one.
pub(crate) async fn round(host: &Host, stop: &CancellationToken) {
    let records = &host.ports().records;
    let retention = &host.options().retention;
    let scope = host.operator("upkeep");
    let now = host.now();
    if let Some(store) = &records.health_results {
        let operator = store.operator_health_results(&scope);
        let prepared = host.bounded("health_results.prepare", operator.prepare(now, AHEAD.after(now))).await;
        if let Err(error) = prepared {
            tracing::warn!(%error, "no room was made ahead for health results: recording makes it by itself");
        }
        prune(host, stop, "health results", &*operator, before(now, retention.health_results)).await;
    }
    if let Some(store) = &records.snapshots {
        let pruner = store.snapshot_pruner(&scope);
        prune(host, stop, "snapshots", &*pruner, before(now, retention.snapshots)).await;
    }
    if let Some(store) = &records.artifacts {
        let pruner = store.artifact_pruner(&scope);
        prune(host, stop, "artifacts", &*pruner, before(now, retention.artifacts)).await;
    }
}

/// The millisecond this far before `now`; the beginning of the calendar where there is no such point.
fn before(now: Timestamp, span: Span) -> Timestamp {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_timestamp_millis(now.timestamp_millis().saturating_sub(millis))
        .unwrap_or(Timestamp::MIN_UTC)
}

async fn prune<P: Pruner + ?Sized>(
    host: &Host,
    stop: &CancellationToken,
    what: &str,
    pruner: &P,
    before: Timestamp,
) {
    let mut removed = 0_u64;
    for _ in 0..STEPS {
        if stop.is_cancelled() {
            break;
        }
        match host.bounded("retention.prune", pruner.prune(before, STEP)).await {
            Ok(pruned) => {
                removed = removed.saturating_add(pruned.removed);
                if !pruned.goes_on {
                    break;
                }
            }
            Err(error) => {
                tracing::warn!(what, %error, "what is old was not removed: it is tried again in the next round");
                break;
            }
        }
    }
    if removed > 0 {
        tracing::debug!(what, removed, "removed what was older than is kept");
    }
}
