//! Whether a host can work, and whether it does.
//!
//! - **Ready**: the store and the bus can be used now. A host that is not ready should be sent no requests; it goes on by itself once they
//!   are back.
//! - **Live**: every worker that was begun goes on. A worker that ended unasked, or has not come round for too long, does not mend by itself:
//!   the host must be started again. That the store or the bus is away stops no worker, and does not make a host less live.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_domain::time::{Span, Timestamp};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::reconcile::in_words;

#[cfg(test)]
mod tests;

/// How long the store and the bus may take to answer before they count as away.
const PATIENCE: Span = Span::from_secs(5);

/// Whether the host can work now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// What cannot be reached, and why; empty where the host is ready.
    pub missing: Vec<String>,
}

impl Readiness {
    /// True where nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.missing.is_empty()
    }
}

/// Whether what runs by itself goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// Each worker that has ended or hangs, and what is known of it; empty where the host is live.
    pub ailing: Vec<String>,
}

impl Liveness {
    /// True where every worker that was begun goes on, or ended because it was told to.
    pub fn is_live(&self) -> bool {
        self.ailing.is_empty()
    }
}

/// The workers of a host, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vitals {
    workers: Arc<Mutex<BTreeMap<&'static str, Worker>>>,
}

/// What is known of a worker.
#[derive(Debug, Clone, Copy)]
enum Worker {
    /// It runs; those that come round say when they last did.
    Runs { beat: Option<Timestamp> },
    /// It ended without being told to.
    Ended,
}

impl Vitals {
    fn workers(&self) -> MutexGuard<'_, BTreeMap<&'static str, Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker comes round.
    pub(crate) fn beat(&self, name: &'static str, now: Timestamp) {
        if let Some(worker) = self.workers().get_mut(name) {
            *worker = Worker::Runs { beat: Some(now) };
        }
    }

    /// Runs a worker under a name. Where it ends, or panics, before it is told to stop, that is kept.
    pub(crate) async fn watch(
        &self,
        name: &'static str,
        stop: CancellationToken,
        work: impl Future<Output = ()>,
    ) {
        let _running = Running::begin(self.clone(), name, stop);
        work.await;
    }

    fn ailing(&self, now: Timestamp, silence: Span) -> Vec<String> {
        let workers = self.workers();
        let ailing = workers.iter().filter_map(|(name, worker)| match worker {
            Worker::Ended => Some(format!("{name}: it ended without being told to")),
            Worker::Runs { beat: Some(beat) } if Span::between(*beat, now) > silence => {
                let since = Span::between(*beat, now);
                Some(format!("{name}: it has not come round for {since}, and at most {silence} is usual"))
            }
            Worker::Runs { .. } => None,
        });
        ailing.collect()
    }
}

/// A worker that runs, until it is dropped.
struct Running {
    vitals: Vitals,
    name: &'static str,
    stop: CancellationToken,
}

impl Running {
    fn begin(vitals: Vitals, name: &'static str, stop: CancellationToken) -> Self {
        vitals.workers().insert(name, Worker::Runs { beat: None });
        Self { vitals, name, stop }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut workers = self.vitals.workers();
        if self.stop.is_cancelled() {
            workers.remove(self.name);
        } else {
            workers.insert(self.name, Worker::Ended);
        }
    }
}

/// Whether the store and the bus can be used now. Answers within seconds, whatever they do.
pub(crate) async fn readiness(host: &Host) -> Readiness {
    let ports = host.ports();
    let (store, bus) = tokio::join!(within(host, ports.store.check()), within(host, ports.publisher.check()));
    let missing = [("the store", store), ("the event bus", bus)];
    let missing = missing.into_iter().filter_map(|(what, check)| {
        let error = check.err()?;
        Some(format!("{what}: {}", in_words(&error)))
    });
    Readiness { missing: missing.collect() }
}

async fn within(host: &Host, check: impl Future<Output = PortResult<()>>) -> PortResult<()> {
    tokio::select! {
        biased;
        checked = check => checked,
        () = host.ports().clock.sleep_until(PATIENCE.after(host.now())) => {
            Err(PortError::new(PortErrorKind::TimedOut, "check", format!("no answer within {PATIENCE}")))
        }
    }
}

/// Whether the host's workers go on.
pub(crate) fn liveness(host: &Host) -> Liveness {
    let options = host.options();
    // A worker that has nothing to do comes round as often as it looks for work.
    let silence = options.worker_silence.max(options.idle.times(2));
    Liveness { ailing: host.vitals().ailing(host.now(), silence) }
}
