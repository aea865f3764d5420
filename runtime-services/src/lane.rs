//! Commands on one aggregate, one behind the other: each is decided on what the one before it makes, while that is still being written.
//!
//! A store that writes together what waits together makes many of them durable by one flush, and no caller meets a conflict with another of
//! the same host. Nobody is answered before what the answer rests on is durable: what was decided on a state that came to nothing is refused by
//! the store, whose commit then is another's with another digest, and is decided again.
//!
//! States that were built one upon the other are a chain, whose first was built upon what is stored. Where one of them comes to nothing the chain
//! is broken: nobody builds upon any of it any more, and the next to decide looks at what is stored.

use std::any::Any;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use runtime_domain::aggregate::Aggregate;
use runtime_domain::id::TenantId;
use runtime_ports::store::{AggregateKey, Loaded};
use tokio::sync::{MutexGuard, watch};

/// The lanes of a host that are in use.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: Mutex<HashMap<(TenantId, AggregateKey), Weak<Lane>>>,
}

/// One aggregate's commands.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    head: tokio::sync::Mutex<Option<Head>>,
}

/// What the aggregate is once all that was submitted is written.
struct Head {
    /// A `Loaded<A>` of the lane's aggregate.
    state: Box<dyn Any + Send>,
    written: Written,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Head").field("written", &self.written).finish_non_exhaustive()
    }
}

/// Whether a chain is broken.
type Broken = Arc<AtomicBool>;

/// How writing a state ends.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    durable: watch::Receiver<Option<bool>>,
    chain: Broken,
}

impl Written {
    /// Whether it became durable. Where nobody was left to see how it ended, it counts as not.
    pub(crate) async fn is_durable(&mut self) -> bool {
        self.durable.wait_for(Option::is_some).await.is_ok_and(|durable| *durable == Some(true))
    }

    /// Whether it is being written, and may still become durable.
    fn is_under_way(&self) -> bool {
        !self.chain.load(Ordering::Acquire)
            && self.durable.has_changed().is_ok()
            && self.durable.borrow().is_none()
    }
}

/// Tells those who have built upon a state how writing it ended. Dropped without a word, it counts as not written.
#[derive(Debug)]
pub(crate) struct Verdict {
    durable: watch::Sender<Option<bool>>,
    chain: Broken,
}

impl Verdict {
    pub(crate) fn tell(self, durable: bool) {
        self.durable.send_replace(Some(durable));
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        if *self.durable.borrow() != Some(true) {
            self.chain.store(true, Ordering::Release);
        }
    }
}

impl Lanes {
    /// The lane of an aggregate; it is forgotten when nobody uses it any more.
    pub(crate) fn of(&self, tenant: TenantId, key: AggregateKey) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&(tenant, key)).and_then(Weak::upgrade) {
            return lane;
        }
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let lane = Arc::new(Lane::default());
        lanes.insert((tenant, key), Arc::downgrade(&lane));
        lane
    }
}

impl Lane {
    /// Waits for the right to decide on the newest state.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn { head: self.head.lock().await }
    }
}

/// The right to decide on an aggregate's newest state.
#[derive(Debug)]
pub(crate) struct Turn<'l> {
    head: MutexGuard<'l, Option<Head>>,
}

impl Turn<'_> {
    /// What the commands before this one make, while that is being written. Otherwise the newest is what is stored.
    pub(crate) fn newest<A: Aggregate + 'static>(&self) -> Option<(Loaded<A>, Written)> {
        let head = self.head.as_ref().filter(|head| head.written.is_under_way())?;
        let state = head.state.downcast_ref::<Loaded<A>>()?;
        Some((state.clone(), head.written.clone()))
    }

    /// Submits what makes `after`, and lets the next command build upon it. It continues the chain of what it was built upon, or begins one
    /// with what is stored.
    pub(crate) async fn submit<A: Aggregate + 'static, T>(
        mut self,
        after: Loaded<A>,
        built_upon: Option<&Written>,
        write: Pin<Box<dyn Future<Output = T> + Send + '_>>,
    ) -> (T, Verdict) {
        let (sender, durable) = watch::channel(None);
        let chain = built_upon.map_or_else(Broken::default, |before| Arc::clone(&before.chain));
        let verdict = Verdict { durable: sender, chain: Arc::clone(&chain) };
        *self.head = Some(Head { state: Box::new(after), written: Written { durable, chain } });
        let mut write = write;
        // Polled once, it stands in the store's queue before whatever is submitted after it.
        let first =
            std::future::poll_fn(|context: &mut Context<'_>| Poll::Ready(write.as_mut().poll(context))).await;
        drop(self);
        let written = match first {
            Poll::Ready(written) => written,
            Poll::Pending => write.await,
        };
        (written, verdict)
    }
}
