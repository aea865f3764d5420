//! Leases: one host at a time works on an aggregate.

use runtime_domain::id::{AggregateKind, HostId, TenantId};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Revision};

use crate::error::PortError;
use crate::store::AggregateKey;

/// What a lease is for. Leases of different topics on one aggregate are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseTopic {
    /// Reconciling: due are aggregates whose wake-up time has come.
    Work,
    /// Relaying: due are aggregates with unpublished events, and those where a held destination may catch up.
    Outbox,
}

/// Asks for leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// What for.
    pub topic: LeaseTopic,
    /// On which kinds of aggregates.
    pub kinds: Vec<AggregateKind>,
    /// Who asks.
    pub host: HostId,
    /// The present time by the host's clock.
    pub now: Timestamp,
    /// When the leases end unless they are renewed.
    pub until: Timestamp,
    /// How many at most.
    pub limit: u32,
}

/// The right to work on one aggregate until a time.
///
/// It is a hint until it is used: commits and effects that carry its token are refused once another host has taken it, so a host whose
/// clock is wrong, or that was paused, does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What for.
    pub topic: LeaseTopic,
    /// The aggregate's tenant.
    pub tenant: TenantId,
    /// The aggregate.
    pub key: AggregateKey,
    /// Who holds it.
    pub host: HostId,
    /// Greater than that of every lease that the store gave before, on whatever: so a surface can tell the newer of two hosts, and the newer of
    /// two deployments of one component.
    pub token: FencingToken,
    /// The token of the lease on the aggregate, for the same topic, that was given before this one; `None` where this is the first, or that is
    /// not known. A host that held that one knows that nobody has worked on the aggregate in between.
    pub previous: Option<FencingToken>,
    /// The aggregate's revision when the lease was given, or a moment before; `None` where that is not told, as for topic
    /// [`LeaseTopic::Outbox`]. Who remembers what the aggregate was at this revision need not load it.
    pub revision: Option<Revision>,
    /// When it ends.
    pub until: Timestamp,
}

/// Why a lease could not be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// Another host has taken it, or it was given back.
    #[error("the lease on {key} is lost")]
    Lost {
        /// The aggregate.
        key: AggregateKey,
    },
    /// A destination that was passed over as held is not held.
    #[error("`{destination}` is not held, and would miss what it was not sent: read the outbox again")]
    NotHeld {
        /// The destination.
        destination: Name,
    },
    /// The store failed.
    #[error("the store failed")]
    Port(#[from] PortError),
}
