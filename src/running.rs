//! A host at work in the background.

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Runtime;

/// A host that reconciles and relays in a task of its own, begun by [`Runtime::start`]. Dropped, it is told to stop and drains by itself, for
/// as long as the executor runs.
#[derive(Debug)]
#[must_use = "dropped, it stops"]
pub struct Running {
    stop: DropGuard,
    work: JoinHandle<()>,
}

impl Running {
    pub(crate) fn begin(runtime: Runtime) -> Self {
        let stop = CancellationToken::new();
        let told = stop.clone();
        let work = tokio::spawn(async move { runtime.run(told.cancelled_owned()).await });
        Self { stop: stop.drop_guard(), work }
    }

    /// Tells it to stop, and waits until it has drained.
    pub async fn stop(self) {
        drop(self.stop);
        // A worker that panicked was logged, and is told of by `Runtime::liveness`.
        drop(self.work.await);
    }
}
