//! Where commits wait, and the connections that they are written on.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use runtime_domain::id::TenantId;
use runtime_ports::store::{AggregateKey, Commit, CommitError, CommitReceipt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::returning::Returning;
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
    /// Nothing waits, nothing is under way and nobody is about to be back: whoever brought it performs it.
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
    clock: fn() -> Instant,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Queued>,
    idle: Vec<Arc<Link>>,
    under_way: Vec<(Arc<Link>, Touched)>,
    returning: Returning,
}

/// The desk is closed.
pub(super) struct Closed;

impl Desk {
    pub(super) fn new(links: Vec<Arc<Link>>, clock: fn() -> Instant) -> Arc<Self> {
        let state = State {
            waiting: VecDeque::new(),
            idle: links,
            under_way: Vec::new(),
            returning: Returning::default(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
            room: Arc::new(Semaphore::new(ROOM)),
            stirred: Notify::new(),
            clock,
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
        let now = (self.clock)();
        state.returning.come(now);
        if state.waiting.is_empty()
            && state.under_way.is_empty()
            && state.returning.awaited(now) == 0
            && let Some(link) = state.idle.pop()
        {
            let occupied = state.occupy(self, link, [&asked].into_iter());
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

    /// Whether some could be taken up who had better wait a little: for others who are about to be back, unless `most` wait already.
    pub(super) fn is_gathering(&self, most: usize) -> bool {
        let state = self.state();
        let is_ready = state.waiting.front().is_some_and(|first| state.is_free(&first.asked));
        !state.idle.is_empty()
            && is_ready
            && state.waiting.len() < most
            && state.returning.awaited((self.clock)()) > 0
    }

    /// Takes up those that wait, from the first, as many as `together` says of those that nothing under way concerns, and a connection for
    /// them.
    pub(super) fn take_up(
        self: &Arc<Self>,
        together: impl FnOnce(&mut dyn Iterator<Item = &Asked>) -> usize,
    ) -> Option<(Occupied, Vec<Queued>)> {
        let mut state = self.state();
        let link = state.idle.pop()?;
        let waiting = state.waiting.iter().map(|queued| &queued.asked);
        let many = together(&mut waiting.take_while(|asked| state.is_free(asked)));
        if many == 0 {
            state.idle.push(link);
            return None;
        }
        let group: Vec<_> = state.waiting.drain(..many).collect();
        let occupied = state.occupy(self, link, group.iter().map(|queued| &queued.asked));
        Some((occupied, group))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether nothing that is under way concerns it.
    fn is_free(&self, asked: &Asked) -> bool {
        !self.under_way.iter().any(|(_, touched)| touched.concern(asked))
    }

    fn occupy<'a>(
        &mut self,
        desk: &Arc<Desk>,
        link: Arc<Link>,
        group: impl ExactSizeIterator<Item = &'a Asked>,
    ) -> Occupied {
        let many = group.len();
        self.under_way.push((Arc::clone(&link), Touched::by(group)));
        Occupied { desk: Arc::clone(desk), link, many }
    }
}

/// Lets nobody wait for ever when the task that holds this has ended, in whatever way.
pub(super) struct Attended(pub(super) Arc<Desk>);

impl Drop for Attended {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// A connection that commits are under way on, until this is dropped: then they are about to be answered.
pub(super) struct Occupied {
    desk: Arc<Desk>,
    link: Arc<Link>,
    /// How many commits.
    many: usize,
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
        state.returning.answer(self.many, (self.desk.clock)());
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

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use runtime_domain::id::AggregateKind;
    use runtime_domain::time::Span;
    use runtime_testkit::sample::{self, Draft};

    use super::*;
    use crate::PostgresOptions;
    use crate::connection::{Dialler, Role};

    /// A clock that stands still.
    fn now() -> Instant {
        static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);
        *NOW
    }

    /// With connections that nobody has made.
    fn desk() -> Arc<Desk> {
        let options = PostgresOptions::new("host=localhost user=host dbname=store").expect("legal options");
        let dialler = Dialler::primary(&options).expect("a dialler");
        let link = || Arc::new(Link::new(dialler.clone(), Role::Tenant, Span::from_secs(1)));
        Desk::new(vec![link(), link()], now)
    }

    async fn bring(desk: &Arc<Desk>, number: u64) -> Admitted {
        let draft = Draft::create(1, sample::key(AggregateKind::RuntimeDeployment, number));
        desk.admit(sample::tenant(1), draft.commit()).await.unwrap_or_else(|Closed| panic!("it is open"))
    }

    fn take_all(desk: &Arc<Desk>) -> (Occupied, Vec<Queued>) {
        desk.take_up(|waiting| waiting.count()).expect("some wait, and a connection is idle")
    }

    #[tokio::test]
    async fn who_finds_nobody_goes_alone_and_who_was_answered_with_others_waits_for_them() {
        let desk = desk();
        let Admitted::Alone(first) = bring(&desk, 1).await else { panic!("nobody else is there") };
        let _answers = [bring(&desk, 2).await, bring(&desk, 3).await];
        let (second, group) = take_all(&desk);
        assert_eq!(group.len(), 2);
        assert!(!desk.is_gathering(256), "nobody waits");

        drop((first, second));
        for back in 1..=2 {
            assert!(matches!(bring(&desk, back).await, Admitted::Waits(_)), "{back} of three are back");
            assert!(desk.is_gathering(256));
        }
        assert!(!desk.is_gathering(2), "so many are enough");
        assert!(matches!(bring(&desk, 3).await, Admitted::Waits(_)), "others are before it");
        assert!(!desk.is_gathering(256), "all are back");
        let (third, group) = take_all(&desk);
        assert_eq!(group.len(), 3);

        drop(third);
        let (fourth, rest) = (bring(&desk, 4).await, bring(&desk, 5).await);
        assert!(matches!((fourth, rest), (Admitted::Waits(_), Admitted::Waits(_))), "a third may be back");
    }

    #[tokio::test]
    async fn nobody_waits_for_others_behind_a_commit_that_it_cannot_be_judged_before() {
        let desk = desk();
        let Admitted::Alone(_first) = bring(&desk, 1).await else { panic!("nobody else is there") };
        let _answers = [bring(&desk, 2).await, bring(&desk, 3).await];
        let (second, _) = take_all(&desk);
        drop(second);
        let _answer = bring(&desk, 1).await;
        assert_eq!(desk.state().returning.awaited(now()), 1, "one of two is not back");
        assert!(!desk.is_gathering(256), "its aggregate is being written");
    }
}
