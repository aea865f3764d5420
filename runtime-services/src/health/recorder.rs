//! Records health results in the background, many in one write.
//!
//! ```text
//!   evaluation ─► the aggregate's commit ─► offer (never waits) ─► queue, bounded ─► one append for each tenant's
//! ```
//!
//! Whoever judges never waits for the record: [`HealthRecorder::offer`] takes a result or loses it, and says which. Lost is only what those
//! who look back would have seen; the aggregate and its event are durable already. What fails is tried a few times, and then lost and
//! counted. [`HealthRecorder::record`] is for those who want to be sure: it waits for room, and returns when the result is durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_domain::id::TenantId;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::health_results::{HealthRecord, HealthResultStore};
use runtime_ports::telemetry::Instrument;
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::host::Host;

#[cfg(test)]
mod tests;

/// How much waits and is being written at most: 32 MiB, in units of 4 KiB of what probes told, one at least for each result.
const UNITS: u32 = 8_192;
const UNIT: usize = 4_096;
/// How often a result is tried.
const TRIES: u32 = 4;
/// How long it is waited for after the first try that failed; twice as long after each other.
const PAUSE: Span = Span::from_millis(250);
/// How often is written at the most, unless somebody waits for it: those that come meanwhile are written together.
const PACE: Span = Span::from_secs(1);
/// How many tenants' results are written at once.
const AT_ONCE: usize = 8;

/// Records health results in the background. Cheap to clone; clones are the same recorder.
///
/// Nothing is recorded until [`Services::run`](crate::Services::run) runs it; what is offered before waits in its queue.
#[derive(Clone)]
pub struct HealthRecorder {
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    store: Arc<dyn HealthResultStore>,
    queue: Mutex<VecDeque<Waiting>>,
    arrived: Notify,
    /// Somebody waits for a result to be durable, or many wait.
    urgent: Notify,
    room: Arc<Semaphore>,
    /// How many came into the queue, and of how many of these it is known what became of them.
    taken: AtomicU64,
    settled: AtomicU64,
    lost: AtomicU64,
    recorded: AtomicU64,
}

/// A result that waits to be recorded.
struct Waiting {
    scope: TenantScope,
    record: HealthRecord,
    /// Who waits for it to be durable.
    reply: Option<oneshot::Sender<PortResult<()>>>,
    /// Gives its room back when it is recorded, or lost.
    _room: OwnedSemaphorePermit,
}

impl std::fmt::Debug for HealthRecorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("HealthRecorder")
            .field("waiting", &self.inner.queue().len())
            .field("recorded", &self.recorded())
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

impl HealthRecorder {
    pub(crate) fn new(host: Host, store: Arc<dyn HealthResultStore>) -> Self {
        let room = Arc::new(Semaphore::new(UNITS as usize));
        Self {
            inner: Arc::new(Inner {
                host,
                store,
                queue: Mutex::default(),
                arrived: Notify::new(),
                urgent: Notify::new(),
                room,
                taken: AtomicU64::new(0),
                settled: AtomicU64::new(0),
                lost: AtomicU64::new(0),
                recorded: AtomicU64::new(0),
            }),
        }
    }

    /// Hands a result over to be recorded, without waiting. False where it is lost at once, because too many wait already.
    pub fn offer(&self, scope: &TenantScope, record: HealthRecord) -> bool {
        match Arc::clone(&self.inner.room).try_acquire_many_owned(units(&record)) {
            Ok(room) => {
                self.inner.push(Waiting { scope: scope.clone(), record, reply: None, _room: room });
                true
            }
            Err(_) => {
                self.inner.lose(1, "too many wait to be recorded");
                false
            }
        }
    }

    /// Records a result: waits for room, and returns when it is durable. Needs the recorder to be run.
    ///
    /// # Errors
    /// It could not be recorded: the last failure.
    pub async fn record(&self, scope: &TenantScope, record: HealthRecord) -> PortResult<()> {
        let stopped = || {
            let message = "the host is shutting down: record it with another";
            PortError::new(PortErrorKind::Unavailable, "health_results.append", message)
        };
        let room =
            Arc::clone(&self.inner.room).acquire_many_owned(units(&record)).await.map_err(|_| stopped())?;
        let (reply, answer) = oneshot::channel();
        self.inner.push(Waiting { scope: scope.clone(), record, reply: Some(reply), _room: room });
        answer.await.map_err(|_| stopped())?
    }

    /// How many results were recorded since the host began.
    pub fn recorded(&self) -> u64 {
        self.inner.recorded.load(Ordering::Relaxed)
    }

    /// How many results were lost since the host began.
    pub fn lost(&self) -> u64 {
        self.inner.lost.load(Ordering::Relaxed)
    }

    /// Records until it is told to stop, then what still waits, for as long as the host drains.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let host = &self.inner.host;
        let work = self.record_all(&stop);
        let mut work = Box::pin(work);
        tokio::select! {
            biased;
            () = &mut work => {}
            () = stop.cancelled() => {
                let deadline = host.options().drain.after(host.now());
                tokio::select! {
                    biased;
                    () = &mut work => {}
                    () = host.ports().clock.sleep_until(deadline) => {}
                }
            }
        }
        drop(work);
        self.inner.queue().clear();
        let settled = self.inner.settled.load(Ordering::Relaxed);
        let left = self.inner.taken.load(Ordering::Relaxed).saturating_sub(settled);
        if left > 0 {
            self.inner.lose(left, "the host has stopped");
        }
    }

    /// Records what waits and what comes, until it is told to stop and nothing waits any more.
    async fn record_all(&self, stop: &CancellationToken) {
        let mut next = Timestamp::MIN_UTC;
        loop {
            if self.inner.queue().is_empty() {
                if stop.is_cancelled() {
                    return;
                }
                tokio::select! {
                    biased;
                    () = self.inner.arrived.notified() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            tokio::select! {
                biased;
                () = self.inner.host.ports().clock.sleep_until(next) => {}
                () = self.inner.urgent.notified() => {}
                () = stop.cancelled() => {}
            }
            next = PACE.after(self.inner.host.now());
            self.record_what_waits(stop).await;
        }
    }

    async fn record_what_waits(&self, stop: &CancellationToken) {
        let mut writing = JoinSet::new();
        for batch in self.inner.take() {
            if writing.len() >= AT_ONCE {
                writing.join_next().await;
            }
            writing.spawn(write(Arc::clone(&self.inner), batch, stop.clone()));
        }
        while writing.join_next().await.is_some() {}
    }
}

/// How much room a result takes.
fn units(record: &HealthRecord) -> u32 {
    let told = record.result.entries().iter().flat_map(|entry| &entry.data);
    let size: usize = told.map(|(key, value)| key.len() + value.len()).sum();
    u32::try_from(size / UNIT + 1).unwrap_or(UNITS).min(UNITS)
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, waiting: Waiting) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let is_awaited = waiting.reply.is_some();
        let many = {
            let mut queue = self.queue();
            queue.push_back(waiting);
            queue.len()
        };
        self.arrived.notify_one();
        if is_awaited || many >= HealthRecord::MOST {
            self.urgent.notify_one();
        }
    }

    /// All that waits, by tenant, in parts that one append takes.
    fn take(&self) -> Vec<Vec<Waiting>> {
        let mut tenants: BTreeMap<TenantId, Vec<Vec<Waiting>>> = BTreeMap::new();
        for waiting in std::mem::take(&mut *self.queue()) {
            let batches = tenants.entry(waiting.scope.tenant()).or_default();
            match batches.last_mut().filter(|batch| batch.len() < HealthRecord::MOST) {
                Some(batch) => batch.push(waiting),
                None => batches.push(vec![waiting]),
            }
        }
        tenants.into_values().flatten().collect()
    }

    fn lose(&self, many: u64, why: &str) {
        #[allow(clippy::cast_precision_loss, reason = "no host loses 2^53 results")]
        let by = many as f64;
        let attributes = [("factory.record", "health-result")];
        self.host.telemetry().meter.record(Instrument::RecordsDropped, by, &attributes);
        let lost = self.lost.fetch_add(many, Ordering::Relaxed).saturating_add(many);
        // Once for every power of two, so that a store that is away for a day does not fill the log.
        if lost.is_power_of_two() || many > 1 {
            tracing::warn!(lost, why, "health results were not recorded: the verdicts themselves stand");
        }
    }
}

/// Records one tenant's results in one durable write, tried a few times.
async fn write(inner: Arc<Inner>, batch: Vec<Waiting>, stop: CancellationToken) {
    let Some(first) = batch.first() else { return };
    let tenant = inner.store.tenant_health_results(&first.scope);
    let records: Vec<HealthRecord> = batch.iter().map(|waiting| waiting.record.clone()).collect();
    let mut pause = PAUSE;
    let mut outcome = Ok(());
    for tried in 1..=TRIES {
        outcome = inner.host.bounded("health_results.append", tenant.append(&records)).await;
        match &outcome {
            // Appending twice is appending once, so an unknown outcome is tried again too.
            Err(error) if error.retry() != Retry::Never && tried < TRIES && !stop.is_cancelled() => {
                let clock = &inner.host.ports().clock;
                tokio::select! {
                    biased;
                    () = clock.sleep_until(pause.after(inner.host.now())) => {}
                    () = stop.cancelled() => {}
                }
                pause = pause.times(2);
            }
            _ => break,
        }
    }
    let many = u64::try_from(records.len()).unwrap_or(u64::MAX);
    match &outcome {
        Ok(()) => {
            inner.recorded.fetch_add(many, Ordering::Relaxed);
        }
        Err(error) => {
            tracing::debug!(%error, "health results could not be recorded");
            inner.lose(many, "the store failed");
        }
    }
    inner.settled.fetch_add(many, Ordering::Relaxed);
    for waiting in batch {
        if let Some(reply) = waiting.reply {
            // Nobody waits any more where the future was dropped.
            let _ = reply.send(outcome.clone());
        }
    }
}
