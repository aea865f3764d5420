//! What is so at one moment: in the store, in the world, at the consumer, and in each host's memory.

/// A lease that the store has given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// Its token.
    pub token: u8,
    /// Ticks until it ends, by a clock that is right. Never below 0: a lease that has ended has ended for every clock.
    pub left: i8,
}

/// How far a host is with its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Working {
    /// It does nothing.
    Idle,
    /// It has taken the lease, and has loaded the aggregate.
    Loaded {
        /// The lease's token.
        token: u8,
        /// The revision that it loaded or made.
        seen: u8,
    },
    /// It has asked the world for an effect, and waits for the answer.
    Asked {
        /// The lease's token.
        token: u8,
        /// The revision of the intention.
        seen: u8,
    },
    /// The world has answered: the effect is there.
    Effected {
        /// The lease's token.
        token: u8,
        /// The revision of the intention.
        seen: u8,
    },
}

/// How far a host is with relaying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relaying {
    /// It does nothing.
    Idle,
    /// It has taken the outbox's lease, and has read what is to be published.
    Sending {
        /// The lease's token.
        token: u8,
        /// The event that it sends next.
        next: u8,
        /// The last event that it has read.
        last: u8,
    },
}

/// One host's memory, which is gone when it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Host {
    /// Its work.
    pub work: Working,
    /// Its relaying.
    pub relay: Relaying,
}

/// What was asked of the world and is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// The token under which it was asked.
    pub token: u8,
    /// The job whose effect it is.
    pub job: u8,
}

/// What must never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A commit replaced another revision than the one it was decided on.
    LostUpdate,
    /// One job's effect was performed twice.
    Doubled,
    /// An older job's effect replaced a newer one's.
    Regressed,
    /// The consumer handled one event twice.
    HandledTwice,
    /// The consumer was told an event before the one that comes first.
    OutOfOrder,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The aggregate's revision, which is also its last event's number.
    pub revision: u8,
    /// The last token that was given.
    pub tokens: u8,
    /// The lease on the work.
    pub work: Option<Held>,
    /// The lease on the outbox.
    pub outbox: Option<Held>,
    /// Up to which event the outbox is published.
    pub published: u8,
    /// The newest token that the world has seen.
    pub fence: u8,
    /// The newest job whose effect is in the world; 0 where none is.
    pub effect: u8,
    /// What is on its way to the world, in order.
    pub messages: Vec<Message>,
    /// Up to which event the consumer has handled them.
    pub handled: u8,
    /// Whether an event reached the consumer again.
    pub is_repeated: bool,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// What has gone wrong, which must be nothing.
    pub fault: Option<Fault>,
}

impl State {
    /// An aggregate with one event that nobody has published, and nobody at work.
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            revision: 1,
            tokens: 0,
            work: None,
            outbox: None,
            published: 0,
            fence: 0,
            effect: 0,
            messages: Vec::new(),
            handled: 0,
            is_repeated: false,
            hosts: vec![Host { work: Working::Idle, relay: Relaying::Idle }; hosts],
            fault: None,
        }
    }

    /// The newest job that is recorded as intended.
    pub fn intended(&self) -> u8 {
        self.revision / 2
    }

    /// The newest job that is recorded as done.
    pub fn done(&self) -> u8 {
        (self.revision - 1) / 2
    }
}
