//! What performs commits: one alone at once, those that wait together.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Instant;

use futures::StreamExt;
use futures::future::maybe_done;
use futures::stream::FuturesUnordered;
use runtime_domain::id::TenantId;
use runtime_ports::store::{AggregateKey, Arrivals, Commit, CommitError, CommitReceipt, Due};
use runtime_ports::{PortError, PortErrorKind, Retry};
use tokio::sync::Notify;
use tokio_postgres::types::ToSql;

use self::desk::{Admitted, Asked, Attended, Closed, Desk, Occupied, Queued};
use self::resolve::Outcome;
use crate::batch::{Batch, COMMIT, Rows};
use crate::error::{closed, gave_way, is_answer_lost, port_error};
use crate::link::{CallError, Link, Live};
use crate::ordinary::{NOT_ORDINARY, Ordinary};

mod desk;
mod resolve;
mod returning;

const OPERATION: &str = "store.commit";
/// How many commits become durable by one flush at most, so that the first does not wait long for the last.
const LARGEST_GROUP: usize = 256;
/// On how many connections it writes.
pub(crate) const CONNECTIONS: usize = 2;
/// How often a commit is tried that the server gave up in favour of another's.
const TRIES: usize = 5;

/// Performs commits, those that wait by a task that ends when this is closed or dropped and what was brought is done.
#[derive(Debug)]
pub(crate) struct Writer {
    desk: Arc<Desk>,
    heralds: Heralds,
    task: futures::lock::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// Whom the writer tells what may have become due.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heralds {
    /// This host's workers.
    pub(crate) here: Arc<Arrivals>,
    /// What tells other hosts.
    pub(crate) elsewhere: Arc<Elsewhere>,
}

/// What other hosts are still to be told.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    due: AtomicU32,
    stirred: Notify,
}

impl Elsewhere {
    /// What has become due since the last time, once anything has.
    pub(crate) async fn due(&self) -> Due {
        loop {
            self.stirred.notified().await;
            let due = Due::from_bits(Due::KINDS, self.due.swap(0, Ordering::AcqRel));
            if !due.is_nothing() {
                return due;
            }
        }
    }
}

impl Heralds {
    pub(crate) fn announce(&self, due: Due) {
        if due.is_nothing() {
            return;
        }
        self.here.announce(due);
        self.elsewhere.due.fetch_or(due.to_bits(), Ordering::AcqRel);
        self.elsewhere.stirred.notify_one();
    }

    /// Announces what became durable.
    fn announce_all<'c>(&self, durable: impl IntoIterator<Item = &'c Commit>) {
        let due = durable.into_iter().map(Due::by);
        self.announce(due.fold(Due::NOTHING, Due::and));
    }
}

impl Writer {
    pub(crate) fn start(links: Vec<Arc<Link>>, heralds: Heralds) -> Self {
        let desk = Desk::new(links, Instant::now);
        let task = tokio::spawn(write_all(Arc::clone(&desk), heralds.clone()));
        Self { desk, heralds, task: futures::lock::Mutex::new(Some(task)) }
    }

    /// Performs a commit whose form was checked. Dropping the future leaves it wholly done or not begun.
    pub(crate) async fn commit(
        &self,
        tenant: TenantId,
        commit: Commit,
    ) -> Result<CommitReceipt, CommitError> {
        match self.desk.admit(tenant, commit).await.map_err(|Closed| closed(OPERATION))? {
            Admitted::Alone(alone) => {
                let (asked, occupied) = *alone;
                let result = perform_alone(occupied.link(), &asked).await;
                drop(occupied);
                self.heralds.announce_all(result.is_ok().then_some(&asked.commit));
                result
            }
            Admitted::Waits(answer) => answer.await.map_err(|_lost| {
                let message =
                    "the store's writer has stopped with the runtime it ran on: open the store again";
                PortError::new(PortErrorKind::Unavailable, OPERATION, message)
                    .with_retry(Retry::OutcomeUnknown)
            })?,
        }
    }

    /// Finishes what was brought, refuses later commits, and returns when that is done.
    pub(crate) async fn close(&self) {
        self.desk.close();
        if let Some(task) = self.task.lock().await.take() {
            // A task that panicked has answered nobody, and those who wait are told so.
            let _ = task.await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.desk.close();
    }
}

/// A group that is under way.
type UnderWay = Pin<Box<dyn Future<Output = ()> + Send>>;

/// While one group is flushed the next is computed, on another connection.
async fn write_all(desk: Arc<Desk>, heralds: Heralds) {
    let _attended = Attended(Arc::clone(&desk));
    let mut busy: FuturesUnordered<UnderWay> = FuturesUnordered::new();
    while !desk.is_done() {
        gather(&desk, &mut busy).await;
        match desk.take_up(fitting) {
            Some((occupied, group)) => {
                busy.push(Box::pin(perform_and_answer(occupied, group, heralds.clone())));
            }
            None => {
                tokio::select! {
                    Some(()) = busy.next(), if !busy.is_empty() => {}
                    () = desk.stirred() => {}
                }
            }
        }
    }
}

/// Lets those in who are about to be back (see `returning.rs`), while others are answered.
async fn gather(desk: &Desk, busy: &mut FuturesUnordered<UnderWay>) {
    while desk.is_gathering(LARGEST_GROUP) {
        tokio::select! {
            Some(()) = busy.next(), if !busy.is_empty() => {}
            () = tokio::task::yield_now() => {}
        }
    }
}

async fn perform_and_answer(occupied: Occupied, group: Vec<Queued>, heralds: Heralds) {
    let (asked, replies): (Vec<_>, Vec<_>) =
        group.into_iter().map(|queued| (queued.asked, queued.reply)).unzip();
    let results = perform(occupied.link(), &asked).await;
    drop(occupied);
    let durable = asked.iter().zip(&results).filter(|(_, result)| result.is_ok());
    heralds.announce_all(durable.map(|(asked, _)| &asked.commit));
    for (reply, result) in replies.into_iter().zip(results) {
        // Nobody waits any more where the future was dropped.
        let _ = reply.send(result);
    }
}

/// A batch for each tenant.
#[derive(Default)]
struct Group<'c>(Vec<(TenantId, Batch<'c>)>);

impl<'c> Group<'c> {
    /// Takes a commit in; `false` where it must wait.
    fn take(&mut self, asked: &'c Asked) -> bool {
        if let Some((_, batch)) = self.0.iter_mut().find(|(tenant, _)| *tenant == asked.tenant) {
            return batch.take(&asked.commit);
        }
        let mut batch = Batch::default();
        let is_taken = batch.take(&asked.commit);
        self.0.push((asked.tenant, batch));
        is_taken
    }

    fn rows(&self) -> Vec<Rows<'c>> {
        self.0.iter().map(|(tenant, batch)| batch.rows(*tenant)).collect()
    }
}

/// How many commits, from the first, can be performed together.
fn fitting(waiting: &mut dyn Iterator<Item = &Asked>) -> usize {
    let mut group = Group::default();
    waiting.take(LARGEST_GROUP).take_while(|asked| group.take(asked)).count()
}

type Results = Vec<Result<CommitReceipt, CommitError>>;

async fn perform(link: &Link, group: &[Asked]) -> Results {
    if let [alone] = group {
        return vec![perform_alone(link, alone).await];
    }
    match perform_together(link, group).await {
        Ok(()) => group.iter().map(|asked| Ok(receipt(&asked.commit))).collect(),
        // Some refusal, or the server gave way to another: alone, each gets its own answer.
        Err(CallError::Refused(_)) => {
            let mut results = Vec::with_capacity(group.len());
            for asked in group {
                results.push(perform_alone(link, asked).await);
            }
            results
        }
        Err(CallError::AnswerLost(error)) => resolved(link, &group.iter().collect::<Vec<_>>(), error).await,
        Err(error) => {
            let error = error.into_port(OPERATION);
            group.iter().map(|_| Err(error.clone().into())).collect()
        }
    }
}

/// Answers for commits whose answer was lost.
async fn resolved(link: &Link, group: &[&Asked], lost: PortError) -> Results {
    let outcomes = resolve::outcomes(link, group).await;
    let answers = group.iter().zip(outcomes).map(|(asked, outcome)| match outcome {
        Outcome::Performed => Ok(receipt(&asked.commit)),
        Outcome::Absent => Err(lost.clone().with_retry(Retry::Later { after: None }).into()),
        Outcome::Unknown => Err(lost.clone().with_retry(Retry::OutcomeUnknown).into()),
    });
    answers.collect()
}

fn receipt(commit: &Commit) -> CommitReceipt {
    CommitReceipt { revisions: commit.writes.iter().map(|write| write.expected.result()).collect() }
}

/// A statement and its parameters.
struct Call<'r> {
    sql: &'static str,
    parameters: Vec<&'r (dyn ToSql + Sync)>,
}

impl<'r> Call<'r> {
    /// The one that judges with care.
    fn careful(rows: &'r Rows<'_>) -> Self {
        Self { sql: COMMIT, parameters: rows.parameters().to_vec() }
    }

    fn ordinary(ordinary: &'r Ordinary<'_>) -> Self {
        Self { sql: ordinary.sql(), parameters: ordinary.parameters() }
    }
}

/// One transaction with a call for each tenant, sent at once.
async fn perform_together(link: &Link, group: &[Asked]) -> Result<(), CallError> {
    let mut batches = Group::default();
    for asked in group {
        batches.take(asked);
    }
    let rows = batches.rows();
    let ordinary: Vec<_> = rows.iter().map(Ordinary::of).collect();
    if ordinary.iter().any(Option::is_some) {
        let calls = rows.iter().zip(&ordinary).map(|(rows, ordinary)| match ordinary {
            Some(ordinary) => Call::ordinary(ordinary),
            None => Call::careful(rows),
        });
        match call_all(link, &calls.collect::<Vec<_>>()).await {
            Err(CallError::Refused(error)) if is_not_ordinary(&error) => {}
            performed => return performed,
        }
    }
    call_all(link, &rows.iter().map(Call::careful).collect::<Vec<_>>()).await
}

async fn call_all(link: &Link, calls: &[Call<'_>]) -> Result<(), CallError> {
    if let [call] = calls {
        return link.call(OPERATION, call.sql, &call.parameters).await.map(drop);
    }
    let live = link.live(OPERATION).await.map_err(CallError::NotAsked)?;
    let performed = link.patient(OPERATION, &live, transaction(&live, calls)).await;
    if matches!(performed, Err(CallError::AnswerLost(_) | CallError::NotAsked(_))) {
        link.discard(&live).await;
    }
    performed
}

async fn transaction(live: &Live, calls: &[Call<'_>]) -> Result<(), CallError> {
    let failed = |error: tokio_postgres::Error| match is_answer_lost(&error) {
        true => CallError::AnswerLost(port_error(OPERATION, error)),
        false => CallError::Refused(error),
    };
    let mut prepared = Vec::with_capacity(calls.len());
    for call in calls {
        let statement = live.prepared(call.sql).await;
        prepared.push(statement.map_err(|error| CallError::NotAsked(port_error(OPERATION, error)))?);
    }
    let client = &live.client;
    let mut calls: Vec<_> = prepared
        .iter()
        .zip(calls)
        .map(|(statement, call)| {
            Box::pin(maybe_done(async move { client.execute(statement, &call.parameters).await }))
        })
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

async fn perform_alone(link: &Link, asked: &Asked) -> Result<CommitReceipt, CommitError> {
    let mut batch = Batch::default();
    batch.take(&asked.commit);
    let rows = batch.rows(asked.tenant);
    let ordinary = Ordinary::of(&rows);
    let mut call = ordinary.as_ref().map_or_else(|| Call::careful(&rows), Call::ordinary);
    let mut tries = 1..=TRIES;
    loop {
        tries.next();
        return match link.call(OPERATION, call.sql, &call.parameters).await {
            Ok(_) => Ok(receipt(&asked.commit)),
            Err(CallError::Refused(error)) if is_not_ordinary(&error) => {
                call = Call::careful(&rows);
                continue;
            }
            Err(CallError::Refused(error)) if gave_way(&error) && !tries.is_empty() => continue,
            Err(CallError::Refused(error)) => Err(refusal(&asked.commit, error)),
            Err(CallError::AnswerLost(error)) => {
                let unknown = error.clone().with_retry(Retry::OutcomeUnknown);
                resolved(link, &[asked], error).await.pop().unwrap_or_else(|| Err(unknown.into()))
            }
            Err(error) => Err(error.into_port(OPERATION).into()),
        };
    }
}

fn is_not_ordinary(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|state| state.code() == NOT_ORDINARY)
}

/// What the schema's own states say; see `migrations/0002_commits.sql`.
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
