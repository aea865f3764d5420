//! For stores: tells waiting workers that something may have become due.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use event_listener::{Event, EventListener};
use runtime_domain::id::AggregateKind;

use crate::store::{AggregateWrite, Commit, LeaseTopic};

/// How many kinds of work there are: each topic of each kind.
const ALL: usize = 2 * AggregateKind::ALL.len();

/// What may have become due: kinds of aggregates, for each topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Due(u32);

impl Due {
    /// Nothing.
    pub const NOTHING: Self = Self(0);
    /// Anything.
    pub const ANYTHING: Self = Self((1 << ALL) - 1);

    /// Aggregates of these kinds, for a topic.
    pub fn of(topic: LeaseTopic, kinds: &[AggregateKind]) -> Self {
        Self(kinds.iter().map(|kind| 1 << place(topic, *kind)).fold(0, |all, one| all | one))
    }

    /// What a commit may make due at once. What it writes under a lease on the same aggregate can be taken when that is given back, not before:
    /// whoever holds it knows.
    pub fn by(commit: &Commit) -> Self {
        let is_leased = |write: &AggregateWrite| {
            commit
                .lease
                .as_ref()
                .is_some_and(|lease| lease.topic == LeaseTopic::Work && lease.key == write.key)
        };
        commit.writes.iter().fold(Self::NOTHING, |due, write| {
            let wakes = write.wake_at.is_some() && !is_leased(write);
            let work = if wakes { Self::of(LeaseTopic::Work, &[write.key.kind]) } else { Self::NOTHING };
            let tells = !write.outbox.is_empty();
            let outbox = if tells { Self::of(LeaseTopic::Outbox, &[write.key.kind]) } else { Self::NOTHING };
            due.and(work).and(outbox)
        })
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is nothing.
    pub const fn is_nothing(self) -> bool {
        self.0 == 0
    }

    /// For stores that tell other hosts: a number for it, to be told with [`Due::KINDS`].
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// What a number stands for that a host told which knows so many kinds; anything, where this one knows others.
    pub const fn from_bits(kinds: usize, bits: u32) -> Self {
        if kinds == Self::KINDS { Self(bits & Self::ANYTHING.0) } else { Self::ANYTHING }
    }

    /// How many kinds this version knows.
    pub const KINDS: usize = AggregateKind::ALL.len();

    fn places(self) -> impl Iterator<Item = usize> {
        (0..ALL).filter(move |place| self.0 & (1 << place) != 0)
    }
}

fn place(topic: LeaseTopic, kind: AggregateKind) -> usize {
    let kind = kind as usize;
    match topic {
        LeaseTopic::Work => kind,
        LeaseTopic::Outbox => AggregateKind::ALL.len() + kind,
    }
}

/// Counts arrivals of each kind of work. Every worker remembers the counts that it has seen, so that none takes another's wake-up, and is woken
/// by nothing that is not for it.
///
/// With it an adapter keeps what [`OperatorStore::work_arrived`](super::OperatorStore::work_arrived) promises: announce after every commit
/// what it may make due, and give every operator's handle a [`Watch`] of its own. It needs no runtime.
#[derive(Debug, Default)]
pub struct Arrivals {
    lines: [Line; ALL],
}

#[derive(Debug, Default)]
struct Line {
    count: AtomicU64,
    event: Event,
}

impl Arrivals {
    /// Wakes every worker that waits for any of it, and lets those that do not wait yet return at once when they do.
    pub fn announce(&self, due: Due) {
        for line in due.places().filter_map(|place| self.lines.get(place)) {
            line.count.fetch_add(1, Ordering::AcqRel);
            line.event.notify(usize::MAX);
        }
    }
}

/// One worker's view of the arrivals.
#[derive(Debug)]
pub struct Watch {
    arrivals: Arc<Arrivals>,
    seen: [AtomicU64; ALL],
}

impl Watch {
    /// Sees what arrives from now on.
    pub fn new(arrivals: Arc<Arrivals>) -> Self {
        let seen = std::array::from_fn(|place| {
            let count = arrivals.lines.get(place).map_or(0, |line| line.count.load(Ordering::Acquire));
            AtomicU64::new(count)
        });
        Self { arrivals, seen }
    }

    /// Returns when any of it has arrived since the last time that it returned for that. Dropping it forgets nothing.
    pub async fn arrived(&self, awaited: Due) {
        // Listening before the counts are read: an arrival in between wakes it.
        let lines = awaited.places().filter_map(|place| self.arrivals.lines.get(place));
        let mut listeners: Vec<EventListener> = lines.map(|line| line.event.listen()).collect();
        if self.catch_up(awaited) {
            return;
        }
        poll_fn(|context| {
            let woken = listeners.iter_mut().any(|listener| Pin::new(listener).poll(context).is_ready());
            if woken { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.catch_up(awaited);
    }

    fn catch_up(&self, awaited: Due) -> bool {
        let mut has_arrived = false;
        for place in awaited.places() {
            if let (Some(line), Some(seen)) = (self.arrivals.lines.get(place), self.seen.get(place)) {
                let count = line.count.load(Ordering::Acquire);
                has_arrived |= seen.fetch_max(count, Ordering::AcqRel) < count;
            }
        }
        has_arrived
    }
}
