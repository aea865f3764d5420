//! State, history, outbox, inbox, claims and leases, in one atomic commit.
//!
//! ```text
//!            TenantScope                         OperatorScope
//!                 │                                    │
//!   Store::for_tenant ─► TenantStore      Store::for_operator ─► OperatorStore
//!                          load, query, history                    take, renew, release leases
//!                          commit(Commit) ── whole or not at all    relay the outbox
//! ```
//!
//! A [`Commit`] is a value: aggregate writes with what they expect to replace, the claims they hold, their history and events, the
//! evidence they rest on, the lease they are made under. One value lets a store use one round trip, flush many commits at once,
//! and lets a fault-injecting store wrap one method.

use std::collections::BTreeSet;

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Revision};

use crate::PortResult;

mod arrival;
mod chain;
mod commit;
mod cursor;
mod lease;
mod outbox;
mod query;
mod repository;
mod shape;

pub use arrival::{Arrivals, Due, Watch};
pub use chain::{ChainDigest, NotADigest};
pub use commit::{
    AggregateKey, AggregateWrite, Commit, CommitError, CommitReceipt, EvidenceCheck, Expected, Facets,
    HistoryEntry, InboxEntry, StoredRecord, Wanted,
};
pub use cursor::{Cursor, Seal, check_limit};
pub use lease::{Lease, LeaseError, LeaseRequest, LeaseTopic};
pub use outbox::{Held, Outbox, ParkedQuery, ParkedStream, ParkedUntil, Parking, StreamKey, Unpark};
pub use query::{Order, Page, Query, StoredAggregate, due_micros};
pub use repository::{
    HealthCheckResultRepository, LoadError, Loaded, PageRequest, Repository, RuntimeConfigurationRepository,
    RuntimeDeploymentRepository, RuntimeDriftFindingRepository, RuntimeEnvironmentRepository,
    RuntimeServiceRepository, RuntimeTenantBindingRepository, ScalingPolicyRepository,
    SecretBindingRepository,
};

/// A store of aggregates.
///
/// # Guarantees
/// - A commit happens whole or not at all, and once it has returned `Ok` it survives a crash of the process (and of the machine,
///   where the adapter's durability says so).
/// - Two commits that expect the same revision of one aggregate, or claim the same exclusive key: exactly one succeeds. A write that was
///   decided upon the other one, though the revision that it expects is there, is refused too ([`Expected::At`]).
/// - Sequence numbers of one aggregate's history are 1, 2, 3 … in commit order, without gaps.
/// - A tenant's handle neither shows, nor changes, nor tells the existence of another tenant's things.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// A handle bound to one tenant.
    fn for_tenant(&self, scope: &TenantScope) -> Box<dyn TenantStore>;
    /// A handle that works across tenants, for reconcilers and the relay.
    fn for_operator(&self, scope: &OperatorScope) -> Box<dyn OperatorStore>;
    /// Whether the store can be read and written now: the host's readiness follows it (X-13).
    async fn check(&self) -> PortResult<()>;
}

/// What one tenant can do with the store.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait TenantStore: Send + Sync {
    /// The scope that the handle is bound to.
    fn scope(&self) -> &TenantScope;

    /// Performs a commit whole, or refuses it whole.
    ///
    /// Checks, in this order: its own form ([`Commit::check`]), inbox, lease, evidence, expected revisions with their digests, gapless history,
    /// claims. The error names the first that fails. Claims are judged by the state after the commit: one write may take what another gives up.
    async fn commit(&self, commit: Commit) -> Result<CommitReceipt, CommitError>;

    /// Loads one aggregate; `None` where this tenant has none by that key.
    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>>;

    /// Lists aggregates page by page. An aggregate that exists during the whole listing appears exactly once; in the order
    /// [`Order::DueFirst`] that holds for those whose due time stays what it is.
    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>>;

    /// Whether this consumer has handled this event: a commit with the same [`InboxEntry`] is refused.
    ///
    /// For consumers whose effects are not in the store: they look first, do, and then commit the entry alone.
    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool>;

    /// An aggregate's history after `after`, oldest first, at most `limit` entries.
    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>>;
}

/// What the library's own workers do with the store, across tenants.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait OperatorStore: Send + Sync {
    /// Takes leases on aggregates that are due, at most `request.limit`, fairly (X-9): a tenant with much due work does not keep another's from
    /// being taken in the same call, and where more tenants have something due than a call gives leases, the calls that a host makes one after
    /// another for the same kinds serve them in turn, of however many kinds the work of each is. Who has nothing but what is leased already, or
    /// what is for later, takes nobody's turn; it may take a store half a second to find who is due among many of those. A store that several
    /// processes share gives what one of them left behind before what merely waits, so that no backlog delays a takeover. It may pass over what a
    /// commit is being tried on, also one that it has just refused: that is there for the next call.
    async fn take_leases(&self, request: &LeaseRequest) -> PortResult<Vec<Lease>>;

    /// Prolongs a lease that is still held, keeping its token.
    async fn renew_lease(&self, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError>;

    /// Gives a lease back, so that another host need not wait for its end. Giving back a lost one is not an error.
    async fn release_lease(&self, lease: &Lease) -> PortResult<()>;

    /// Gives a lease of topic [`LeaseTopic::Work`] back and sets when the aggregate is due next, unless it has left revision `seen` since:
    /// then someone else has said when it is due, and that stands. Doing so with a lost lease changes nothing and is not an error.
    async fn defer_lease(&self, lease: &Lease, seen: Revision, wake_at: Timestamp) -> PortResult<()>;

    /// When the earliest aggregate of these kinds is due, leased or not; `None` where nothing is.
    async fn next_due(&self, kinds: &[AggregateKind]) -> PortResult<Option<Timestamp>>;

    /// Returns when a commit may have made an aggregate of these kinds due for the topic since the last call for it. May return early; need
    /// not notice other hosts' commits, nor those that are made under a lease on the aggregate itself, whose holder gives it back: so callers
    /// poll beside it. Cancellation safe.
    async fn work_arrived(&self, topic: LeaseTopic, kinds: &[AggregateKind]);

    /// What the aggregate that `lease` (of topic [`LeaseTopic::Outbox`]) is for has to relay: at most `limit` events.
    async fn outbox(&self, lease: &Lease, limit: u32) -> PortResult<Outbox>;

    /// Marks the aggregate's events up to and including `sequence` as published: every destination that is not held has them, but for those
    /// in `without`, which were passed over because they were held. Those that are held lose none. Marking what is marked changes nothing; a
    /// sequence beyond the newest event means the newest.
    ///
    /// # Errors
    /// [`NotHeld`](LeaseError::NotHeld) where a destination in `without` is not held: whoever read that it is read something old, and nothing
    /// would bring it the events that it was not sent (X-4). Nothing is marked then; read the outbox again.
    async fn outbox_published(
        &self,
        lease: &Lease,
        sequence: u64,
        without: &BTreeSet<Name>,
    ) -> Result<(), LeaseError>;

    /// Sets the aggregate's stream aside for one destination, which has got all before `parking.sequence` and nothing after: a poison event
    /// holds its own stream and destination only. Where the destination is not held yet, all before `parking.sequence` counts as
    /// published; where it is, its hold moves and is parked again.
    async fn outbox_park(&self, lease: &Lease, parking: &Parking) -> Result<(), LeaseError>;

    /// The events that a held destination has missed while others got them, in order, at most `limit`; empty unless its hold is resumed.
    async fn outbox_missed(
        &self,
        lease: &Lease,
        destination: &Name,
        limit: u32,
    ) -> PortResult<Vec<crate::publisher::PublishedEvent>>;

    /// Moves a resumed hold behind `sequence`: the destination has what lies before. Where that is all that the others have got, the hold
    /// ends, and the destination gets what comes: read [`OperatorStore::outbox`] again. Events that nobody has yet to get are let go.
    /// Without such a hold it changes nothing.
    async fn outbox_caught_up(
        &self,
        lease: &Lease,
        destination: &Name,
        sequence: u64,
    ) -> Result<(), LeaseError>;

    /// Lists parked streams page by page, of all tenants. A stream that is parked during the whole listing appears exactly once.
    async fn outbox_parked(&self, query: &ParkedQuery) -> PortResult<Page<ParkedStream>>;

    /// Lets parked streams go on from the event that they stopped at, and returns how many there were. Each that has missed something is
    /// due for relaying. A hold ends with [`OperatorStore::outbox_caught_up`] and in no other way, so that no relay at work overlooks it.
    async fn outbox_unpark(&self, which: &Unpark) -> PortResult<u32>;
}
