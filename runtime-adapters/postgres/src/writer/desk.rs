//! Where commits wait, and the connections that they are written on.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_domain::id::TenantId;
use runtime_ports::store::{AggregateKey, Commit, CommitError, CommitReceipt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::link::Link;

/// How many commits wait or are under way at most; further ones wait outside, unsent, so that dropping them leaves nothing behind.
const ROOM: usize = 1_024;

/// A commit that somebody waits for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) tenant: TenantId,
    pub(super) commit: Commit,
    /// Its place among those that wait or are under way.
    _room: OwnedSemaphorePermit,
}

/// One that waits for others.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) asked: Asked,
    pub(super) reply: oneshot::Sender<Result<CommitReceipt, CommitError>>,
}

/// What becomes of a commit that is brought to the desk.
pub(super) enum Admitted {
    /// Nothing waits and nothing is under way: whoever brought it performs it.
    Alone(Box<(Asked, Occupied)>),
    /// The writer will answer it.
    Waits(oneshot::Receiver<Result<CommitReceipt, CommitError>>),
}

/// What waits, in the order in which it came, and what is under way.
#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    room: Arc<Semaphore>,
    stirred: Notify,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Queued>,
    idle: Vec<Arc<Link>>,
    under_way: Vec<(Arc<Link>, Touched)>,
}

/// The desk is closed.
pub(super) struct Closed;

impl Desk {
    pub(super) fn new(links: Vec<Arc<Link>>) -> Arc<Self> {
        let state = State { waiting: VecDeque::new(), idle: links, under_way: Vec::new() };
        Arc::new(Self {
            state: Mutex::new(state),
            room: Arc::new(Semaphore::new(ROOM)),
            stirred: Notify::new(),
        })
    }

    /// Brings a commit. Waits while there is no room; dropping the future then leaves nothing behind.
    pub(super) async fn admit(
        self: &Arc<Self>,
        tenant: TenantId,
        commit: Commit,
    ) -> Result<Admitted, Closed> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_closed| Closed)?;
        let asked = Asked { tenant, commit, _room: room };
        let mut state = self.state();
        if state.waiting.is_empty()
            && state.under_way.is_empty()
            && let Some(link) = state.idle.pop()
        {
            let occupied = state.occupy(self, link, Touched::by([&asked]));
            return Ok(Admitted::Alone(Box::new((asked, occupied))));
        }
        let (reply, answer) = oneshot::channel();
        state.waiting.push_back(Queued { asked, reply });
        drop(state);
        self.stirred.notify_one();
        Ok(Admitted::Waits(answer))
    }

    /// Refuses whatever is brought from now on.
    pub(super) fn close(&self) {
        self.room.close();
        self.stirred.notify_one();
    }

    /// Refuses whatever is brought from now on, and answers nobody who waits.
    fn abandon(&self) {
        self.close();
        self.state().waiting.clear();
    }

    /// Whether nothing waits or is under way, and nothing will be brought.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        self.room.is_closed() && state.waiting.is_empty() && state.under_way.is_empty()
    }

    /// Returns when something was brought, or a connection became idle, since the last call.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// How many wait for a connection that is idle.
    pub(super) fn ready(&self) -> usize {
        let state = self.state();
        if state.idle.is_empty() { 0 } else { state.waiting.len() }
    }

    /// Takes up those that wait, from the first, as many as `together` says of those that nothing under way concerns, and a connection for
    /// them.
    pub(super) fn take_up(
        self: &Arc<Self>,
        together: impl FnOnce(&mut dyn Iterator<Item = &Asked>) -> usize,
    ) -> Option<(Occupied, Vec<Queued>)> {
        let mut state = self.state();
        let link = state.idle.pop()?;
        let is_free = |asked: &&Asked| !state.under_way.iter().any(|(_, touched)| touched.concern(asked));
        let many = together(&mut state.waiting.iter().map(|queued| &queued.asked).take_while(is_free));
        if many == 0 {
            state.idle.push(link);
            return None;
        }
        let group: Vec<_> = state.waiting.drain(..many).collect();
        let touched = Touched::by(group.iter().map(|queued| &queued.asked));
        Some((state.occupy(self, link, touched), group))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn occupy(&mut self, desk: &Arc<Desk>, link: Arc<Link>, touched: Touched) -> Occupied {
        self.under_way.push((Arc::clone(&link), touched));
        Occupied { desk: Arc::clone(desk), link }
    }
}

/// Lets nobody wait for ever when the task that holds this has ended, in whatever way.
pub(super) struct Attended(pub(super) Arc<Desk>);

impl Drop for Attended {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// A connection that commits are under way on, until this is dropped.
pub(super) struct Occupied {
    desk: Arc<Desk>,
    link: Arc<Link>,
}

impl Occupied {
    pub(super) fn link(&self) -> &Link {
        &self.link
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.under_way.retain(|(link, _)| !Arc::ptr_eq(link, &self.link));
        state.idle.push(Arc::clone(&self.link));
        drop(state);
        self.desk.stirred.notify_one();
    }
}

/// Which aggregates commits that are under way write, and which they rest on.
#[derive(Debug, Default)]
struct Touched {
    written: HashSet<(TenantId, AggregateKey)>,
    rested_on: HashSet<(TenantId, AggregateKey)>,
}

impl Touched {
    fn by<'a>(group: impl IntoIterator<Item = &'a Asked>) -> Self {
        let mut touched = Self::default();
        for Asked { tenant, commit, .. } in group {
            touched.written.extend(commit.writes.iter().map(|write| (*tenant, write.key)));
            touched.rested_on.extend(commit.evidence.iter().map(|check| (*tenant, check.key)));
        }
        touched
    }

    /// Whether a commit would be judged otherwise before they have ended than after it.
    fn concern(&self, Asked { tenant, commit, .. }: &Asked) -> bool {
        let is_written = |key: AggregateKey| self.written.contains(&(*tenant, key));
        let is_rested_on = |key: AggregateKey| self.rested_on.contains(&(*tenant, key));
        commit.writes.iter().any(|write| is_written(write.key) || is_rested_on(write.key))
            || commit.evidence.iter().any(|check| is_written(check.key))
    }
}
