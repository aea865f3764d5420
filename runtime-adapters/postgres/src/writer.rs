//! The one writer: a task that performs waiting commits together.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures::StreamExt;
use futures::future::maybe_done;
use futures::stream::FuturesUnordered;
use runtime_domain::id::TenantId;
use runtime_ports::store::{AggregateKey, Arrivals, Commit, CommitError, CommitReceipt};
use runtime_ports::{PortError, PortErrorKind, Retry};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::batch::{Batch, COMMIT, Rows};
use crate::error::{closed, gave_way, is_answer_lost, port_error};
use crate::link::{CallError, Link, Live};

const OPERATION: &str = "store.commit";
/// How many commits wait at most; further ones wait outside, unsent, so that dropping them leaves nothing behind.
const QUEUE: usize = 1_024;
/// How many commits become durable by one flush at most, so that the first does not wait long for the last.
const LARGEST_GROUP: usize = 256;
/// On how many connections it writes.
pub(crate) const CONNECTIONS: usize = 2;
/// How often a commit is tried that the server gave up in favour of another's.
const TRIES: usize = 5;

/// Sends commits to the writer's task, which ends when this is dropped and what is queued is done.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Queued>>>,
    task: futures::lock::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

#[derive(Debug)]
struct Queued {
    tenant: TenantId,
    commit: Commit,
    reply: oneshot::Sender<Result<CommitReceipt, CommitError>>,
}

/// Whom the writer tells that something may have become due.
#[derive(Debug, Clone)]
pub(crate) struct Heralds {
    /// This host's workers.
    pub(crate) here: Arc<Arrivals>,
    /// What tells other hosts.
    pub(crate) elsewhere: Arc<Notify>,
}

impl Heralds {
    pub(crate) fn announce(&self) {
        self.here.announce();
        self.elsewhere.notify_one();
    }
}

impl Writer {
    pub(crate) fn start(links: Vec<Arc<Link>>, heralds: Heralds) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        let task = tokio::spawn(write_all(links, queue, heralds));
        Self { queue: Mutex::new(Some(sender)), task: futures::lock::Mutex::new(Some(task)) }
    }

    /// Performs a commit whose form was checked. Dropping the future leaves it wholly done or not begun.
    pub(crate) async fn commit(
        &self,
        tenant: TenantId,
        commit: Commit,
    ) -> Result<CommitReceipt, CommitError> {
        let sender = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sender = sender.ok_or_else(|| closed(OPERATION))?;
        let (reply, answer) = oneshot::channel();
        sender.send(Queued { tenant, commit, reply }).await.map_err(|_closed| closed(OPERATION))?;
        drop(sender);
        answer.await.map_err(|_lost| {
            let message = "the store's writer has stopped with the runtime it ran on: open the store again";
            PortError::new(PortErrorKind::Unavailable, OPERATION, message).with_retry(Retry::OutcomeUnknown)
        })?
    }

    /// Lets the task finish what is queued, refuses later commits, and returns when it is done.
    pub(crate) async fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = self.task.lock().await.take() {
            // A task that panicked has answered nobody, and those who wait are told so.
            let _ = task.await;
        }
    }
}

/// Which aggregates a group that is under way writes, and which it rests on.
#[derive(Default)]
struct Touched {
    written: HashSet<(TenantId, AggregateKey)>,
    rested_on: HashSet<(TenantId, AggregateKey)>,
}

impl Touched {
    fn by(group: &[Queued]) -> Self {
        let mut touched = Self::default();
        for Queued { tenant, commit, .. } in group {
            touched.written.extend(commit.writes.iter().map(|write| (*tenant, write.key)));
            touched.rested_on.extend(commit.evidence.iter().map(|check| (*tenant, check.key)));
        }
        touched
    }

    /// Whether a commit would be judged otherwise before that group has ended than after it.
    fn concerns(&self, Queued { tenant, commit, .. }: &Queued) -> bool {
        let is_written = |key: AggregateKey| self.written.contains(&(*tenant, key));
        let is_rested_on = |key: AggregateKey| self.rested_on.contains(&(*tenant, key));
        commit.writes.iter().any(|write| is_written(write.key) || is_rested_on(write.key))
            || commit.evidence.iter().any(|check| is_written(check.key))
    }
}

/// A group that is under way, and the connection that it occupies.
type UnderWay = Pin<Box<dyn Future<Output = Arc<Link>> + Send>>;

/// While one group is flushed the next is computed, on another connection.
async fn write_all(links: Vec<Arc<Link>>, mut queue: mpsc::Receiver<Queued>, heralds: Heralds) {
    let mut idle = links;
    let mut busy: FuturesUnordered<UnderWay> = FuturesUnordered::new();
    let mut touched: Vec<(Arc<Link>, Touched)> = Vec::new();
    let mut waiting: Vec<Queued> = Vec::with_capacity(LARGEST_GROUP);
    let mut is_open = true;
    while is_open || !waiting.is_empty() || !busy.is_empty() {
        if !idle.is_empty() {
            gather(&mut queue, &mut waiting).await;
        }
        let others: Vec<&Touched> = touched.iter().map(|(_, touched)| touched).collect();
        let together = if idle.is_empty() { 0 } else { fitting(&waiting, &others) };
        if together > 0
            && let Some(link) = idle.pop()
        {
            let rest = waiting.split_off(together);
            let group = std::mem::replace(&mut waiting, rest);
            touched.push((Arc::clone(&link), Touched::by(&group)));
            busy.push(Box::pin(perform_and_answer(link, group, heralds.clone())));
            continue;
        }
        tokio::select! {
            Some(link) = busy.next(), if !busy.is_empty() => {
                touched.retain(|(at, _)| !Arc::ptr_eq(at, &link));
                idle.push(link);
            }
            received = queue.recv_many(&mut waiting, LARGEST_GROUP), if is_open && waiting.len() < LARGEST_GROUP => {
                is_open = received > 0;
            }
        }
    }
}

/// Takes in what is sent at about the same time: whoever was answered together asks together again, and should not find that the first of
/// them has gone ahead.
async fn gather(queue: &mut mpsc::Receiver<Queued>, waiting: &mut Vec<Queued>) {
    let mut known = 0;
    while !waiting.is_empty() && known < waiting.len() {
        known = waiting.len();
        tokio::task::yield_now().await;
        while waiting.len() < LARGEST_GROUP
            && let Ok(queued) = queue.try_recv()
        {
            waiting.push(queued);
        }
    }
}

async fn perform_and_answer(link: Arc<Link>, group: Vec<Queued>, heralds: Heralds) -> Arc<Link> {
    let results = perform(&link, &group).await;
    let announces = |queued: &Queued| {
        queued.commit.writes.iter().any(|write| write.wake_at.is_some() || !write.outbox.is_empty())
    };
    if group.iter().zip(&results).any(|(queued, result)| result.is_ok() && announces(queued)) {
        heralds.announce();
    }
    for (queued, result) in group.into_iter().zip(results) {
        // Nobody waits any more where the future was dropped.
        let _ = queued.reply.send(result);
    }
    link
}

/// A batch for each tenant.
#[derive(Default)]
struct Group<'c>(Vec<(TenantId, Batch<'c>)>);

impl<'c> Group<'c> {
    /// Takes a commit in; `false` where it must wait.
    fn take(&mut self, queued: &'c Queued) -> bool {
        if let Some((_, batch)) = self.0.iter_mut().find(|(tenant, _)| *tenant == queued.tenant) {
            return batch.take(&queued.commit);
        }
        let mut batch = Batch::default();
        let is_taken = batch.take(&queued.commit);
        self.0.push((queued.tenant, batch));
        is_taken
    }

    fn rows(&self) -> Vec<Rows<'c>> {
        self.0.iter().map(|(tenant, batch)| batch.rows(*tenant)).collect()
    }
}

/// How many of those that wait, from the first, can be performed together, beside groups that are under way.
fn fitting(waiting: &[Queued], others: &[&Touched]) -> usize {
    let mut group = Group::default();
    let fits = |queued: &&Queued| !others.iter().any(|other| other.concerns(queued));
    waiting.iter().take_while(fits).take_while(|queued| group.take(queued)).count()
}

type Results = Vec<Result<CommitReceipt, CommitError>>;

async fn perform(link: &Link, group: &[Queued]) -> Results {
    if let [alone] = group {
        return vec![perform_alone(link, alone).await];
    }
    match perform_together(link, group).await {
        Ok(()) => group.iter().map(|queued| Ok(receipt(&queued.commit))).collect(),
        // Some refusal, or the server gave way to another: alone, each gets its own answer.
        Err(CallError::Refused(_)) => {
            let mut results = Vec::with_capacity(group.len());
            for queued in group {
                results.push(perform_alone(link, queued).await);
            }
            results
        }
        Err(error) => {
            let error = error.into_port(OPERATION);
            group.iter().map(|_| Err(error.clone().into())).collect()
        }
    }
}

fn receipt(commit: &Commit) -> CommitReceipt {
    CommitReceipt { revisions: commit.writes.iter().map(|write| write.expected.result()).collect() }
}

/// One transaction with a call for each tenant, sent at once.
async fn perform_together(link: &Link, group: &[Queued]) -> Result<(), CallError> {
    let mut batches = Group::default();
    for queued in group {
        batches.take(queued);
    }
    let rows = batches.rows();
    if let [rows] = rows.as_slice() {
        return link.call(OPERATION, COMMIT, &rows.parameters()).await.map(drop);
    }
    let live = link.live(OPERATION).await.map_err(CallError::NotAsked)?;
    let performed = link.patient(OPERATION, &live, transaction(&live, &rows)).await;
    if matches!(performed, Err(CallError::AnswerLost(_) | CallError::NotAsked(_))) {
        link.discard(&live).await;
    }
    performed
}

async fn transaction(live: &Live, rows: &[Rows<'_>]) -> Result<(), CallError> {
    let failed = |error: tokio_postgres::Error| match is_answer_lost(&error) {
        true => CallError::AnswerLost(port_error(OPERATION, error)),
        false => CallError::Refused(error),
    };
    let statement =
        live.prepared(COMMIT).await.map_err(|error| CallError::NotAsked(port_error(OPERATION, error)))?;
    let (statement, client) = (&statement, &live.client);
    let mut calls: Vec<_> = rows
        .iter()
        .map(|rows| Box::pin(maybe_done(async move { client.execute(statement, &rows.parameters()).await })))
        .collect();
    // Each is polled every time: none may be sent after `COMMIT`, as those that `join_all` leaves for a later turn would be.
    let called = poll_fn(|context| {
        let waiting =
            calls.iter_mut().filter_map(|call| call.as_mut().poll(context).is_pending().then_some(()));
        if waiting.count() > 0 { Poll::Pending } else { Poll::Ready(()) }
    });
    // Polled in this order, and so sent in it. Where a call fails the server skips the rest, and `COMMIT` ends what was begun.
    let (begun, (), ended) =
        futures::join!(client.batch_execute("BEGIN"), called, client.batch_execute("COMMIT"));
    begun.map_err(failed)?;
    for call in calls.iter_mut().filter_map(|call| call.as_mut().take_output()) {
        call.map_err(failed)?;
    }
    ended.map_err(failed)
}

async fn perform_alone(link: &Link, queued: &Queued) -> Result<CommitReceipt, CommitError> {
    let mut batch = Batch::default();
    batch.take(&queued.commit);
    let rows = batch.rows(queued.tenant);
    let mut tries = 1..=TRIES;
    loop {
        tries.next();
        return match link.call(OPERATION, COMMIT, &rows.parameters()).await {
            Ok(_) => Ok(receipt(&queued.commit)),
            Err(CallError::Refused(error)) if gave_way(&error) && !tries.is_empty() => continue,
            Err(CallError::Refused(error)) => Err(refusal(&queued.commit, error)),
            Err(error) => Err(error.into_port(OPERATION).into()),
        };
    }
}

/// What the schema's own states say; see `migrations/0002_functions.sql`.
fn refusal(commit: &Commit, error: tokio_postgres::Error) -> CommitError {
    let detail = error.as_db_error().and_then(|error| error.detail()).unwrap_or_default();
    let mut numbers = detail.split(' ').map_while(|number| number.parse::<usize>().ok());
    let place = numbers.next().unwrap_or_default();
    let written = commit.writes.get(place).map(|write| write.key);
    let refused = match error.code().map(|state| state.code()) {
        Some("FR001") => Some(CommitError::AlreadyHandled),
        Some("FR002") => commit.lease.as_ref().map(|lease| CommitError::LeaseLost { key: lease.key }),
        Some("FR003") => {
            commit.evidence.get(place).map(|check| CommitError::EvidenceStale { key: check.key })
        }
        Some("FR004") => written.map(|key| CommitError::Conflict { key }),
        Some("FR005") => written.map(|key| gap(key, numbers.next().unwrap_or_default()).into()),
        Some("FR006") => {
            let mut claims = commit.writes.iter().flat_map(|write| &write.claims);
            claims.nth(place).map(|claim| CommitError::ClaimHeld { claim: claim.clone() })
        }
        _ => None,
    };
    refused.unwrap_or_else(|| port_error(OPERATION, error).into())
}

fn gap(key: AggregateKey, newest: usize) -> PortError {
    let message =
        format!("the history of {key} has {newest} entries: the next must have number {}", newest + 1);
    PortError::new(PortErrorKind::Invalid, OPERATION, message)
}
