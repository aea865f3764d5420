//! Waiting for what is asynchronous, on the thread that asks.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

use crate::hold::panic_of;

thread_local! {
    static RUNTIME: Runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic_of(format!("no runtime: {error}")),
    };
}

/// The future's outcome.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}
