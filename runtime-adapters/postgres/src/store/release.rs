//! Giving leases back: what is given back at about the same time goes in one call.

use std::sync::{Mutex, PoisonError};

use runtime_ports::PortResult;
use runtime_ports::store::Lease;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::error::gave_way;
use crate::link::{CallError, Link};
use crate::row::{number, topic};

const OPERATION: &str = "store.release_lease";
/// How often a call is made that the server gave up in favour of another's.
const TRIES: usize = 3;

/// Leases that wait to be given back.
#[derive(Debug, Default)]
pub(super) struct Releases {
    waiting: Mutex<Waiting>,
    turn: futures::lock::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    leases: Leases,
    answers: Vec<oneshot::Sender<PortResult<()>>>,
}

/// The parameters of the function `release_leases`.
#[derive(Debug, Default)]
struct Leases {
    tenants: Vec<Uuid>,
    topics: Vec<&'static str>,
    kinds: Vec<&'static str>,
    ids: Vec<Uuid>,
    tokens: Vec<i64>,
}

impl Leases {
    fn push(&mut self, lease: &Lease) {
        self.tenants.push(lease.tenant.uuid());
        self.topics.push(topic(lease.topic));
        self.kinds.push(lease.key.kind.name());
        self.ids.push(lease.key.id);
        self.tokens.push(number(lease.token.0));
    }

    async fn give_back(&self, link: &Link) -> PortResult<()> {
        let sql = "SELECT release_leases($1, $2, $3, $4, $5)";
        let mut tries = 1..=TRIES;
        loop {
            tries.next();
            let called = link
                .call(OPERATION, sql, &[&self.tenants, &self.topics, &self.kinds, &self.ids, &self.tokens])
                .await;
            match called {
                Err(CallError::Refused(error)) if gave_way(&error) && !tries.is_empty() => {}
                called => return called.map(drop).map_err(|error| error.into_port(OPERATION)),
            }
        }
    }
}

impl Releases {
    /// Gives a lease back, with all that have come to wait meanwhile. Dropping the future leaves it given back or not.
    pub(super) async fn release(&self, link: &Link, lease: &Lease) -> PortResult<()> {
        let (sender, mut answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.leases.push(lease);
            waiting.answers.push(sender);
        }
        let turn = self.turn.lock().await;
        // Whoever gives back several at once has then asked for all of them.
        tokio::task::yield_now().await;
        match answer.try_recv() {
            Ok(answered) => return answered,
            // Whoever had taken it up was dropped.
            Err(oneshot::error::TryRecvError::Closed) => {
                let mut alone = Leases::default();
                alone.push(lease);
                return alone.give_back(link).await;
            }
            Err(oneshot::error::TryRecvError::Empty) => {}
        }
        let taken_up = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let answered = taken_up.leases.give_back(link).await;
        for answer in taken_up.answers {
            // Nobody waits any more where the future was dropped.
            let _ = answer.send(answered.clone());
        }
        drop(turn);
        answered
    }
}
