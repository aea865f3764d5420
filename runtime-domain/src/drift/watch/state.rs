//! The aggregate.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::drift::compare::MOST_RULES;
use crate::drift::watch::DesiredStatePath;
use crate::drift::{ComparisonPolicy, DesiredStateRevision, RemediationPolicy};
use crate::id::{EnvironmentId, TenantId};
use crate::time::{Span, Timestamp};
use crate::value::Percent;

/// On which terms an environment is compared with its desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchTerms {
    /// Where in the host's source its desired state is.
    pub path: DesiredStatePath,
    /// How often it is compared, 100 ms to one day.
    pub interval: Span,
    /// How a comparison judges.
    pub comparison: ComparisonPolicy,
    /// Which kinds of drift are repaired, and how often that is tried.
    pub remediation: RemediationPolicy,
    /// The prune guard: how much of what runs may be removed because nothing desires it. Where more would be, nothing is.
    pub prune_at_most: Percent,
}

impl WatchTerms {
    /// The shortest interval.
    pub const SHORTEST: Span = Span::from_millis(100);
    /// The longest interval.
    pub const LONGEST: Span = Span::from_secs(86_400);

    /// The usual terms: every 15 seconds, everything is found and nothing repaired, and at most half of what runs is ever pruned.
    pub fn new(path: DesiredStatePath) -> Self {
        Self {
            path,
            interval: Span::from_secs(15),
            comparison: ComparisonPolicy::default(),
            remediation: RemediationPolicy::default(),
            prune_at_most: Percent::HALF,
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        (Self::SHORTEST..=Self::LONGEST).contains(&self.interval)
            && self.comparison.rules.len() <= MOST_RULES
            && self.comparison.fresh_for > Span::from_millis(0)
    }
}

/// What the last comparison came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outlook {
    /// Nothing was compared yet.
    Unknown,
    /// What runs is what is desired, or what somebody accepts or owns.
    InSync {
        /// The revision that says what is desired.
        revision: DesiredStateRevision,
    },
    /// Something diverges: the open findings say what.
    Diverged {
        /// The revision that says what is desired.
        revision: DesiredStateRevision,
    },
    /// It is not known, and why: the desired state could not be read or is empty, or what runs could not be seen.
    NotCompared {
        /// Why. Never a secret.
        reason: String,
    },
}

/// How an environment is compared with its desired state.
///
/// It comes to be by [`DriftWatch::begin`] and changes by its other decisions. Its identifier is the environment's: there is one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftWatch {
    pub(super) tenant_id: TenantId,
    pub(super) environment_id: EnvironmentId,
    pub(super) terms: WatchTerms,
    pub(super) state: WatchState,
}

/// Where a watch stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchState {
    /// It compares.
    Watching(Watch),
    /// It does not. Findings stay as they are.
    Stopped {
        /// Since when.
        since: Timestamp,
        /// Why. Never a secret.
        reason: String,
    },
}

/// It compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Since when on these terms.
    pub since: Timestamp,
    /// What the last comparison came to.
    pub outlook: Outlook,
    /// Since when it comes to that.
    pub outlook_since: Timestamp,
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WatchStatus {
    /// It compares.
    Watching,
    /// It does not.
    Stopped,
}

impl WatchStatus {
    /// Every status.
    pub const ALL: [Self; 2] = [Self::Watching, Self::Stopped];

    /// The status's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watching => "Watching",
            Self::Stopped => "Stopped",
        }
    }
}

impl fmt::Display for WatchStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl DriftWatch {
    /// The tenant. It never changes.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The environment.
    pub fn environment_id(&self) -> EnvironmentId {
        self.environment_id
    }

    /// The terms.
    pub fn terms(&self) -> &WatchTerms {
        &self.terms
    }

    /// Where it stands, with what exists only there.
    pub fn state(&self) -> &WatchState {
        &self.state
    }

    /// What the last comparison came to; `None` where it is stopped.
    pub fn outlook(&self) -> Option<&Outlook> {
        match &self.state {
            WatchState::Watching(watch) => Some(&watch.outlook),
            WatchState::Stopped { .. } => None,
        }
    }

    /// The state's name.
    pub const fn status(&self) -> WatchStatus {
        match &self.state {
            WatchState::Watching(_) => WatchStatus::Watching,
            WatchState::Stopped { .. } => WatchStatus::Stopped,
        }
    }
}
