//! Workers: they take what is due, fairly, work on it under a lease, and hand it back.
//!
//! - **One host at a time** works on an aggregate; a lease that is lost cuts the work off at its next wait.
//! - **Stateless**: a pass does all it can and then says when to look again. Between passes nothing is remembered, so a host that dies
//!   loses nothing.
//! - **Fair**: leases are taken in the store's fair order, a few at a time.
//! - **Draining**: a worker that is told to stop finishes its passes, for a time, and gives its leases back.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Revision;
use runtime_ports::PortResult;
use runtime_ports::store::{Lease, LeaseError, LeaseRequest, LeaseTopic, OperatorStore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::host::{Host, HostOptions};
use crate::observed::{self, Pass};

/// How a pass over one aggregate ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Nothing more can be done now; look again then, unless the aggregate has left this revision.
    Until {
        /// The revision that was seen.
        seen: Revision,
        /// When to look again.
        at: Timestamp,
    },
    /// Whatever was committed says when it is due.
    AsStored,
}

/// Why a pass was broken off. The aggregate is looked at again after a while; others are not held up by it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    /// Another host has taken over.
    #[error("another host has taken over")]
    LeaseLost,
    /// It waits for something else, which may be there then.
    #[error("it is looked at again at {until}")]
    Later {
        /// When to look again.
        until: Timestamp,
    },
    /// Something failed.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl PassError {
    pub(crate) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// What a worker does with an aggregate that is due.
#[async_trait]
pub(crate) trait Task: Send + Sync + 'static {
    /// Its name, for the audit trail and the logs.
    fn name(&self) -> &'static str;
    /// What for it takes leases.
    fn topic(&self) -> LeaseTopic;
    /// On what, at present: nothing where it would be in vain.
    fn kinds(&self) -> &'static [AggregateKind];
    /// On how many at once.
    fn concurrency(&self, options: &HostOptions) -> u32 {
        options.concurrency
    }
    /// How long, after all that was due was taken, it is waited for more to become due with time, so that leases are taken many at a time. What a
    /// commit makes due waits for nothing.
    fn patience(&self) -> Span {
        Span::ZERO
    }
    /// Does all that can be done now.
    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError>;
}

/// How long an aggregate whose pass failed is set aside.
const SET_ASIDE: Span = Span::from_secs(5);
/// How long it is waited for passes that end, so that several leases are taken by one call.
const MOMENT: Span = Span::from_millis(5);

/// Runs a worker until it is told to stop, then drains it.
pub(crate) async fn run(host: Host, task: Arc<dyn Task>, stop: CancellationToken) {
    let concurrency = task.concurrency(host.options());
    let store: Arc<dyn OperatorStore> =
        Arc::from(host.ports().store.for_operator(&host.operator(task.name())));
    let mut passes = JoinSet::new();
    while !stop.is_cancelled() {
        host.vitals().beat(task.name(), host.now());
        let free = room(&host, &mut passes, concurrency, &stop).await;
        if free == 0 {
            continue;
        }
        let taken = take(&host, &*store, &*task, free).await;
        let (found, is_all) = (!taken.is_empty(), taken.len() < usize::try_from(free).unwrap_or(usize::MAX));
        observed::leases(&host, task.name(), "taken", taken.len());
        for lease in taken {
            passes.spawn(hold(host.clone(), Arc::clone(&store), Arc::clone(&task), lease));
        }
        if !found {
            wait(&host, &*store, &*task, &mut passes, &stop).await;
        } else if is_all {
            gather(&host, &*store, &*task, &stop).await;
        }
    }
    drain(&host, passes).await;
}

/// How many passes may be begun: half of all, so that leases are taken many at a time, or as many as there is room for after a moment. None
/// where there is no room for a while, or it is to stop.
async fn room(host: &Host, passes: &mut JoinSet<()>, concurrency: u32, stop: &CancellationToken) -> u32 {
    let begun = host.now();
    loop {
        while passes.try_join_next().is_some() {}
        let free = concurrency.saturating_sub(u32::try_from(passes.len()).unwrap_or(u32::MAX));
        if free >= concurrency.div_ceil(2) {
            return free;
        }
        let patience = if free == 0 { host.options().idle } else { MOMENT };
        tokio::select! {
            biased;
            Some(_) = passes.join_next() => {}
            () = host.ports().clock.sleep_until(patience.after(begun)) => return free,
            () = stop.cancelled() => return 0,
        }
    }
}

async fn take(host: &Host, store: &dyn OperatorStore, task: &dyn Task, limit: u32) -> Vec<Lease> {
    if task.kinds().is_empty() {
        return Vec::new();
    }
    let now = host.now();
    let request = LeaseRequest {
        topic: task.topic(),
        kinds: task.kinds().to_vec(),
        host: host.id(),
        now,
        until: host.options().lease.after(now),
        limit,
    };
    store.take_leases(&request).await.unwrap_or_else(|error| {
        tracing::warn!(worker = task.name(), %error, "leases could not be taken; trying again");
        Vec::new()
    })
}

/// Until more is due, where the task has patience.
async fn gather(host: &Host, store: &dyn OperatorStore, task: &dyn Task, stop: &CancellationToken) {
    if task.patience() == Span::ZERO {
        return;
    }
    tokio::select! {
        biased;
        () = store.work_arrived(task.topic(), task.kinds()) => {}
        () = host.ports().clock.sleep_until(task.patience().after(host.now())) => {}
        () = stop.cancelled() => {}
    }
}

/// Until something may be due: a commit announces it, its time has come, or a pass has ended.
async fn wait(
    host: &Host,
    store: &dyn OperatorStore,
    task: &dyn Task,
    passes: &mut JoinSet<()>,
    stop: &CancellationToken,
) {
    let now = host.now();
    let idle = host.options().idle.after(now);
    let due = match task.topic() {
        LeaseTopic::Work => store.next_due(task.kinds()).await.ok().flatten(),
        LeaseTopic::Outbox => None,
    };
    observed::lag(host, task.name(), due, now);
    // What is due already and was not given is held by another, or by a pass of this host.
    let least = host.options().poll.after(now).min(idle);
    let until = due.map_or(idle, |due| due.clamp(least, idle));
    tokio::select! {
        biased;
        () = store.work_arrived(task.topic(), task.kinds()) => {}
        () = host.ports().clock.sleep_until(until) => {}
        Some(_) = passes.join_next() => {}
        () = stop.cancelled() => {}
    }
}

/// One pass under its lease, which is renewed meanwhile and given back afterwards.
pub(crate) async fn hold(host: Host, store: Arc<dyn OperatorStore>, task: Arc<dyn Task>, lease: Lease) {
    let outcome = {
        let seen = Pass::begin(&host, task.name(), &lease);
        let pass = task.pass(&lease).instrument(seen.span());
        tokio::pin!(pass);
        let keep = keep(&host, &*store, task.name(), lease.clone());
        tokio::pin!(keep);
        let outcome = tokio::select! {
            biased;
            outcome = &mut pass => outcome,
            () = &mut keep => Err(PassError::LeaseLost),
        };
        seen.ended(&outcome);
        outcome
    };
    let became = match &outcome {
        Ok(_) => "returned",
        Err(PassError::LeaseLost) => "lost",
        Err(_) => "set-aside",
    };
    observed::leases(&host, task.name(), became, 1);
    let given_back = match outcome {
        Ok(Passed::Until { seen, at }) => store.defer_lease(&lease, seen, at).await,
        Ok(Passed::AsStored) => store.release_lease(&lease).await,
        Err(PassError::LeaseLost) => {
            tracing::info!(worker = task.name(), key = %lease.key, "another host has taken over");
            return;
        }
        Err(PassError::Later { until }) => set_aside(&*store, &lease, until).await,
        Err(PassError::Failed(error)) => {
            tracing::error!(worker = task.name(), key = %lease.key, error = &*error, "set aside for a while");
            set_aside(&*store, &lease, SET_ASIDE.after(host.now())).await
        }
    };
    if let Err(error) = given_back {
        tracing::warn!(worker = task.name(), key = %lease.key, %error, "the lease was not given back: it ends by itself");
    }
}

/// The lease keeps others off until it ends; then any host tries again.
async fn set_aside(store: &dyn OperatorStore, lease: &Lease, until: Timestamp) -> PortResult<()> {
    match store.renew_lease(lease, until).await {
        Err(LeaseError::Port(error)) => Err(error),
        _ => Ok(()),
    }
}

/// Renews a lease for as long as it is held; returns when it is lost.
async fn keep(host: &Host, store: &dyn OperatorStore, worker: &'static str, mut lease: Lease) {
    loop {
        let half = Span::from_millis(host.options().lease.as_millis() / 2);
        host.ports().clock.sleep_until(half.after(host.now())).await;
        match store.renew_lease(&lease, host.options().lease.after(host.now())).await {
            Ok(renewed) => {
                observed::leases(host, worker, "renewed", 1);
                lease = renewed;
            }
            Err(LeaseError::Port(error)) => {
                tracing::warn!(key = %lease.key, %error, "a lease was not renewed; trying again")
            }
            Err(_) => return,
        }
    }
}

async fn drain(host: &Host, mut passes: JoinSet<()>) {
    let deadline = host.options().drain.after(host.now());
    while !passes.is_empty() {
        tokio::select! {
            biased;
            Some(_) = passes.join_next() => {}
            () = host.ports().clock.sleep_until(deadline) => {
                // Whatever is cut off here is taken up by another host once its lease ends.
                passes.abort_all();
                while passes.join_next().await.is_some() {}
            }
        }
    }
}
