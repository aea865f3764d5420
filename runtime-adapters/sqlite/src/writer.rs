//! The one writer: a thread that owns the write connection and commits in groups.

use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{During, closed, commit_failed};
use crate::lock::OwnerLock;

/// How many tasks wait at most; further ones wait outside, unsent, so that dropping them leaves nothing behind.
const QUEUE: usize = 1_024;
/// How many tasks become durable by one flush at most, so that the first does not wait long for the last.
const LARGEST_GROUP: usize = 256;

/// Sends tasks to the writer's thread.
///
/// Dropping it lets the thread finish what is queued, and waits for it.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Task>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Its other side is dropped when the thread has let go of connection and lock.
    ended: watch::Receiver<()>,
}

impl Writer {
    pub(crate) fn start(connection: Connection, lock: OwnerLock) -> PortResult<Self> {
        let (sender, queue) = mpsc::channel(QUEUE);
        let (living, ended) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("runtime-sqlite-writer".to_owned())
            .spawn(move || {
                write_all(&connection, queue);
                drop(connection);
                drop(lock);
                drop(living);
            })
            .map_err(|error| {
                let message = "the system gives no thread for the writer: raise the process's limits";
                PortError::new(PortErrorKind::Exhausted, "store.open", message).caused_by(error)
            })?;
        Ok(Self { queue: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), ended })
    }

    /// Runs `work` in a transaction, and answers once that is durable.
    ///
    /// `work` may run more than once: where the group that it was in fails, it is tried again alone. Whatever it did before it returned
    /// `Err` is undone. Dropping the future leaves it wholly done or not begun.
    pub(crate) async fn write<T, E, F>(&self, operation: &'static str, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<PortError> + Send + 'static,
        F: Fn(&Connection) -> Result<T, E> + Send + 'static,
    {
        let sender = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sender = sender.ok_or_else(|| closed(operation))?;
        let (reply, answer) = oneshot::channel();
        let task = Queued { operation, work, result: None, reply };
        sender.send(Box::new(task)).await.map_err(|_closed| stopped(operation, Retry::Never))?;
        drop(sender);
        answer.await.map_err(|_lost| stopped(operation, Retry::OutcomeUnknown))?
    }

    /// Lets the thread finish what is queued, refuses later tasks, and returns when connection and lock are let go of.
    pub(crate) async fn close(&self) {
        self.stop();
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    fn stop(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's writer had panicked");
        }
    }
}

fn stopped(operation: &'static str, retry: Retry) -> PortError {
    let message = "the store's writer has stopped: open the store again";
    PortError::new(PortErrorKind::Unavailable, operation, message).with_retry(retry)
}

/// Something to do within a transaction.
trait Task: Send {
    /// Does it within a savepoint and keeps the result. `Err` where the transaction itself is lost.
    fn run(&mut self, connection: &Connection) -> Result<(), TransactionLost>;
    /// Answers.
    fn reply(self: Box<Self>, outcome: Outcome);
}

/// What became of a task's transaction.
enum Outcome {
    /// It is durable.
    Durable,
    /// The task, alone in it, lost it: the task's own error says why.
    LostByItself,
    /// It failed. Even a refusal does not stand, since it may rest on what another task of the group had done.
    Failed(PortError),
}

/// SQLite has rolled the whole transaction back by itself, as it does when the disk is full.
struct TransactionLost;

struct Queued<T, E, F> {
    operation: &'static str,
    work: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Task for Queued<T, E, F>
where
    T: Send,
    E: From<PortError> + Send,
    F: Fn(&Connection) -> Result<T, E> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), TransactionLost> {
        let execute = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        let result = execute("SAVEPOINT task")
            .during(self.operation)
            .map_err(E::from)
            .and_then(|_| (self.work)(connection));
        let refused = result.is_err();
        self.result = Some(result);
        if connection.is_autocommit() {
            return Err(TransactionLost);
        }
        let undone = if refused { execute("ROLLBACK TO task") } else { Ok(0) };
        match undone.and_then(|_| execute("RELEASE task")).during(self.operation) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.result = Some(Err(error.into()));
                Err(TransactionLost)
            }
        }
    }

    fn reply(self: Box<Self>, outcome: Outcome) {
        let result = match (outcome, self.result) {
            (Outcome::Durable, Some(result)) | (Outcome::LostByItself, Some(result @ Err(_))) => result,
            (Outcome::Failed(error), _) => Err(error.into()),
            (Outcome::Durable | Outcome::LostByItself, _) => Err(rolled_back(self.operation).into()),
        };
        // Nobody waits any more where the future was dropped.
        let _ = self.reply.send(result);
    }
}

fn write_all(connection: &Connection, mut queue: mpsc::Receiver<Box<dyn Task>>) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < LARGEST_GROUP
            && let Ok(task) = queue.try_recv()
        {
            group.push(task);
        }
        // One of them was too much for the disk: alone, the others may fit.
        for task in write_group(connection, group) {
            let given_back = write_group(connection, vec![task]);
            debug_assert!(given_back.is_empty(), "a single task is always answered");
        }
    }
}

fn rolled_back(operation: &'static str) -> PortError {
    let message = "SQLite rolled the transaction back: nothing was done, try again";
    PortError::new(PortErrorKind::Unavailable, operation, message)
}

/// Performs the tasks in one transaction and answers them. Gives back several where their transaction was rolled back for certain, since
/// trying them one by one may help; a single task is always answered.
#[must_use = "the tasks given back were not answered"]
fn write_group(connection: &Connection, mut group: Vec<Box<dyn Task>>) -> Vec<Box<dyn Task>> {
    let alone = group.len() == 1;
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE").during("store.commit") {
        answer(group, || Outcome::Failed(error.clone()));
        return Vec::new();
    }
    let lost = group.iter_mut().any(|task| task.run(connection).is_err());
    let committed = if lost { Ok(()) } else { connection.execute_batch("COMMIT").map_err(commit_failed) };
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a failed transaction could not be rolled back");
    }
    match committed {
        Ok(()) if !lost => answer(group, || Outcome::Durable),
        Err(error) if alone || error.retry() == Retry::OutcomeUnknown => {
            answer(group, || Outcome::Failed(error.clone()));
        }
        Ok(()) if alone => answer(group, || Outcome::LostByItself),
        Ok(()) | Err(_) => return group,
    }
    Vec::new()
}

fn answer(group: Vec<Box<dyn Task>>, outcome: impl Fn() -> Outcome) {
    group.into_iter().for_each(|task| task.reply(outcome()));
}
