//! What happens to a watch.

use alloc::boxed::Box;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::aggregate::DomainEvent;
use crate::drift::watch::{Outlook, WatchTerms};
use crate::id::{EnvironmentId, TenantId};

/// What happens to a watch. Exhaustive, so that a new event breaks the build of who must handle it. None is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "PascalCase")]
pub enum WatchEvent {
    /// The environment is compared from now on, or on other terms.
    DriftWatchBegun {
        /// The tenant.
        tenant_id: TenantId,
        /// The environment.
        environment_id: EnvironmentId,
        /// On which terms.
        terms: Box<WatchTerms>,
    },
    /// A comparison came to something else than the last.
    DriftOutlookChanged {
        /// To what.
        outlook: Outlook,
    },
    /// The environment is compared no more.
    DriftWatchStopped {
        /// Why.
        reason: String,
    },
}

impl DomainEvent for WatchEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::DriftWatchBegun { .. } => "DriftWatchBegun",
            Self::DriftOutlookChanged { .. } => "DriftOutlookChanged",
            Self::DriftWatchStopped { .. } => "DriftWatchStopped",
        }
    }

    fn published(&self) -> Option<u16> {
        match self {
            Self::DriftWatchBegun { .. }
            | Self::DriftOutlookChanged { .. }
            | Self::DriftWatchStopped { .. } => None,
        }
    }
}
