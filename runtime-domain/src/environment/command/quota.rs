//! What may be asked of an environment's quota ledger.

use alloc::vec::Vec;

use crate::aggregate::EvidenceRef;
use crate::id::{TenantBindingId, TenantId};
use crate::tenancy::{ClaimedQuota, ReleasedTenant, ResourceQuota};
use crate::time::Timestamp;

/// What may be asked of an environment's quota ledger. An enum of its own, since some of it is proven by evidence and cannot be copied.
#[derive(Debug, PartialEq, Eq)]
pub enum QuotaCommand {
    /// Keep so much for a binding, until it is committed or the time is over. Its natural key is the binding: asking again for no
    /// more and no longer changes nothing; asking for something else replaces what was reserved.
    ReserveQuota {
        /// The binding, which need not exist yet.
        binding: TenantBindingId,
        /// The tenant that is bound, or will be.
        tenant: TenantId,
        /// How much it is to hold in all, and not how much more.
        quota: ResourceQuota,
        /// When it is given to others where it was not committed; at most
        /// [`QuotaLedger::LONGEST_RESERVATION`](crate::environment::QuotaLedger::LONGEST_RESERVATION) from now.
        expires_at: Timestamp,
    },
    /// Hold for a binding exactly what it claims, and no longer what it held beyond that.
    CommitQuota {
        /// Proof of what it claims. The commit re-checks it.
        claimed: ClaimedQuota,
    },
    /// Hold nothing for a binding any more.
    ReleaseQuota {
        /// Proof that its tenant has left.
        released: ReleasedTenant,
    },
    /// Time has passed: reservations that ended are given to others.
    Tick,
}

impl QuotaCommand {
    /// The command's name, for explanations and refusals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ReserveQuota { .. } => "ReserveQuota",
            Self::CommitQuota { .. } => "CommitQuota",
            Self::ReleaseQuota { .. } => "ReleaseQuota",
            Self::Tick => "Tick",
        }
    }

    /// The facts that the command rests on: its commit re-checks that each is still at exactly its revision.
    pub fn evidence(&self) -> Vec<EvidenceRef> {
        match self {
            Self::CommitQuota { claimed } => Vec::from([claimed.evidence()]),
            Self::ReleaseQuota { released } => Vec::from([released.evidence()]),
            Self::ReserveQuota { .. } | Self::Tick => Vec::new(),
        }
    }
}
