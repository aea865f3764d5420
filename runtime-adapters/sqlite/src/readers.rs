//! A few connections for reading, beside the writer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use runtime_ports::{PortError, PortErrorKind, PortResult};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::connection::open_reader;
use crate::error::closed;
use crate::options::SqliteOptions;

#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    options: SqliteOptions,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, options: SqliteOptions) -> Self {
        let permits = Semaphore::new(options.reader_count() as usize);
        Self { path, options, permits: Arc::new(permits), idle: Arc::default() }
    }

    /// Runs `read` on a thread where blocking is allowed. Each read sees one state: the last commit before it began.
    pub(crate) async fn read<T, F>(&self, operation: &'static str, read: F) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> PortResult<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_closed| closed(operation))?;
        let (path, options, idle) = (self.path.clone(), self.options.clone(), Arc::clone(&self.idle));
        let reading = tokio::task::spawn_blocking(move || {
            let waiting = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = waiting.map_or_else(|| open_reader(&path, &options), Ok)?;
            let result = read(&connection);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            // Given back last: who gets it finds the connection waiting.
            drop(permit);
            result
        });
        reading.await.map_err(|error| {
            let message = "the read did not finish: the async runtime is shutting down, or the read panicked";
            PortError::new(PortErrorKind::Internal, operation, message).caused_by(error)
        })?
    }

    /// Waits for the reads that have begun, refuses later ones, and closes the connections.
    pub(crate) async fn close(&self) {
        let all = self.permits.acquire_many(self.options.reader_count()).await;
        self.permits.close();
        drop(all);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
