//! The one writer: a thread that owns the write connection and commits in groups.

use runtime_domain::bug;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::error::{During, closed, commit_failed};
use crate::lock::OwnerLock;
use crate::options::Durability;

mod queue;

use queue::Queue;

/// How many tasks become durable by one flush at most, so that the first does not wait long for the last.
const LARGEST_GROUP: usize = 256;
/// How long those who were answered together are waited for, to be flushed together again, however long a flush takes.
const LONGEST_PATIENCE: Duration = Duration::from_micros(500);

/// Sends tasks to the writer's thread.
///
/// Dropping it lets the thread finish what is queued, and waits for it.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Arc<Queue<Box<dyn Task>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Its other side is dropped when the thread has let go of connection and lock.
    ended: watch::Receiver<()>,
}

impl Writer {
    /// `lost` is called after a transaction was lost, before anything else is written.
    pub(crate) fn start(
        connection: Connection,
        durability: Durability,
        lock: OwnerLock,
        lost: impl Fn() + Send + 'static,
    ) -> PortResult<Self> {
        let queue = Arc::new(Queue::new());
        let (living, ended) = watch::channel(());
        let waiting = CloseWhenDropped(Arc::clone(&queue));
        let thread = std::thread::Builder::new()
            .name("runtime-sqlite-writer".to_owned())
            .spawn(move || {
                Session { connection: &connection, durability, is_flushing: None, lost: &lost }
                    .write_all(&waiting.0);
                drop(waiting);
                drop(connection);
                drop(lock);
                drop(living);
            })
            .map_err(|error| {
                let message = "the system gives no thread for the writer: raise the process's limits";
                PortError::new(PortErrorKind::Exhausted, "store.open", message).caused_by(error)
            })?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)), ended })
    }

    /// Runs `work` in a transaction, and answers once that is as durable as `flush` says.
    ///
    /// `work` may run more than once: where the group that it was in fails, it is tried again alone. It should change nothing before it refuses:
    /// what it did is undone, but so is what the others of its group did, and they are tried again. Dropping the future leaves it wholly done or not
    /// begun.
    pub(crate) async fn write<T, E, F>(&self, operation: &'static str, flush: Flush, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<PortError> + Send + 'static,
        F: Fn(&Connection) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Queued { operation, flush, work, result: None, reply };
        self.queue.send(Box::new(task)).await.map_err(|_closed| closed(operation))?;
        answer.await.map_err(|_lost| stopped(operation))?
    }

    /// Lets the thread finish what is queued, refuses later tasks, and returns when connection and lock are let go of.
    pub(crate) async fn close(&self) {
        self.stop();
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Whether later tasks are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    fn stop(&self) {
        self.queue.close();
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

/// Closes the queue when the writer's thread ends, however it ends, and forgets what is left in it: whoever waits for an answer is told.
struct CloseWhenDropped(Arc<Queue<Box<dyn Task>>>);

impl Drop for CloseWhenDropped {
    fn drop(&mut self) {
        self.0.close();
        self.0.clear();
    }
}

fn stopped(operation: &'static str) -> PortError {
    let message = "the store's writer has stopped: open the store again";
    PortError::new(PortErrorKind::Unavailable, operation, message).with_retry(Retry::OutcomeUnknown)
}

/// Whether a write waits for the disk. The greatest of a group counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flush {
    /// It survives a crash of the process, and one of the machine once anything after it was flushed: for what does no harm where it is as it
    /// was a moment before.
    Later,
    /// It is answered when it survives a crash of the machine, where the store's durability asks for that.
    AsAsked,
    /// It is answered when it survives a crash of the machine, whatever the store's durability.
    Always,
}

/// Something to do within a transaction.
trait Task: Send {
    /// Whether its group waits for the disk.
    fn flush(&self) -> Flush;
    /// Does it and keeps the result. `Err` where the transaction is lost.
    fn run(&mut self, connection: &Connection) -> Result<(), TransactionLost>;
    /// Answers.
    fn reply(self: Box<Self>, outcome: Outcome);
}

/// What became of a task's transaction.
enum Outcome {
    /// It is durable, as far as it asked for.
    Durable,
    /// The task, alone in it, lost it: the task's own error says why.
    LostByItself,
    /// It failed. Even a refusal does not stand, since it may rest on what another task of the group had done.
    Failed(PortError),
}

/// SQLite has rolled the whole transaction back by itself, as it does when the disk is full, or a task has failed in the middle.
struct TransactionLost;

struct Queued<T, E, F> {
    operation: &'static str,
    flush: Flush,
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
    fn flush(&self) -> Flush {
        self.flush
    }

    fn run(&mut self, connection: &Connection) -> Result<(), TransactionLost> {
        let before = connection.total_changes();
        let result = (self.work)(connection);
        let is_half_done = result.is_err() && connection.total_changes() != before;
        self.result = Some(result);
        if is_half_done || connection.is_autocommit() { Err(TransactionLost) } else { Ok(()) }
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

fn rolled_back(operation: &'static str) -> PortError {
    let message = "SQLite rolled the transaction back: nothing was done, try again";
    PortError::new(PortErrorKind::Unavailable, operation, message)
}

/// What the thread works with.
struct Session<'s> {
    connection: &'s Connection,
    durability: Durability,
    /// Whether the connection waits for the disk, as it was told last.
    is_flushing: Option<bool>,
    lost: &'s dyn Fn(),
}

impl Session<'_> {
    fn write_all(&mut self, queue: &Queue<Box<dyn Task>>) {
        let mut group = Vec::new();
        let (mut expected, mut patience) = (1, Duration::ZERO);
        while queue.take(&mut group, LARGEST_GROUP, expected, patience) {
            expected = group.len();
            let begun = Instant::now();
            let given_back = self.write_group(std::mem::take(&mut group));
            patience = (begun.elapsed() / 2).min(LONGEST_PATIENCE);
            // One of them was too much for the disk: alone, the others may fit.
            for task in given_back {
                let given_back = self.write_group(vec![task]);
                debug_assert!(given_back.is_empty(), "a single task is always answered");
            }
        }
    }

    /// Performs the tasks in one transaction and answers them. Gives back several where their transaction was rolled back for certain, since
    /// trying them one by one may help; a single task is always answered.
    #[must_use = "the tasks given back were not answered"]
    fn write_group(&mut self, mut group: Vec<Box<dyn Task>>) -> Vec<Box<dyn Task>> {
        let connection = self.connection;
        let alone = group.len() == 1;
        let flush = group.iter().map(|task| task.flush()).max().unwrap_or(Flush::Later);
        let begun = self.flush(flush).and_then(|()| execute(connection, "BEGIN IMMEDIATE"));
        if let Err(error) = begun.during("store.commit") {
            answer(group, || Outcome::Failed(error.clone()));
            return Vec::new();
        }
        let spoilt = group.iter_mut().any(|task| task.run(connection).is_err());
        let committed = if spoilt { Ok(()) } else { execute(connection, "COMMIT").map_err(commit_failed) };
        if !connection.is_autocommit()
            && let Err(error) = execute(connection, "ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
        if spoilt || committed.is_err() {
            (self.lost)();
        }
        match committed {
            Ok(()) if !spoilt => answer(group, || Outcome::Durable),
            Err(error) if alone || error.retry() == Retry::OutcomeUnknown => {
                answer(group, || Outcome::Failed(error.clone()));
            }
            Ok(()) if alone => answer(group, || Outcome::LostByItself),
            Ok(()) | Err(_) => return group,
        }
        Vec::new()
    }

    /// Tells the connection whether it waits for the disk at a transaction's end.
    fn flush(&mut self, flush: Flush) -> rusqlite::Result<()> {
        let flush = match flush {
            Flush::Later => false,
            Flush::AsAsked => self.durability == Durability::Full && !bug!("acknowledged-write-is-lost"),
            Flush::Always => true,
        };
        if self.is_flushing != Some(flush) {
            // A pragma that sets works when it is compiled: it cannot be kept.
            self.connection.execute_batch(if flush {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            })?;
            self.is_flushing = Some(flush);
        }
        Ok(())
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

fn answer(group: Vec<Box<dyn Task>>, outcome: impl Fn() -> Outcome) {
    group.into_iter().for_each(|task| task.reply(outcome()));
}
