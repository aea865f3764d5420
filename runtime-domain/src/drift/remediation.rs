//! How drift is repaired: which kinds, how often, and what became of each attempt.
//!
//! A component is repaired by a deployment of the desired release, never from a difference's text: what is shown there may be redacted.
//! What nothing desires is pruned. After a failure it is tried again, each time after twice as long, until the budget is spent.

use alloc::collections::BTreeMap;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::drift::DriftKind;
use crate::id::DeploymentId;
use crate::time::{Span, Timestamp};

/// The most attempts that a finding keeps; the history has all.
pub const MOST_ATTEMPTS_KEPT: usize = 64;

/// Whether a kind of drift is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RemediationMode {
    /// Never, not at anyone's request either.
    Off,
    /// Only at somebody's request.
    Warn,
    /// By itself.
    Remediate,
}

/// How often a repair is tried, and how long is waited: for it, and after it has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "StoredBudget", into = "StoredBudget")]
pub struct RemediationBudget {
    most_attempts: u16,
    first_backoff: Span,
    longest_backoff: Span,
    deadline: Span,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct StoredBudget {
    most_attempts: u16,
    first_backoff: Span,
    longest_backoff: Span,
    deadline: Span,
}

/// A budget is outside its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a remediation is tried 1 to {} times, each for 1s to 1d, and waits 1s to 1d after a failure, at first no longer than at last",
    RemediationBudget::MOST_ATTEMPTS
)]
pub struct BudgetError;

impl RemediationBudget {
    /// The most attempts.
    pub const MOST_ATTEMPTS: u16 = 20;
    const SHORTEST: Span = Span::from_secs(1);
    const LONGEST: Span = Span::from_secs(86_400);

    /// A budget: how many attempts, how long is waited after the first failure and at most, and how long an attempt may take.
    ///
    /// # Errors
    /// No attempts or more than 20; a span under 1 s or over one day; a first wait that is longer than the longest.
    pub fn new(
        most_attempts: u16,
        first_backoff: Span,
        longest_backoff: Span,
        deadline: Span,
    ) -> Result<Self, BudgetError> {
        let legal = |span: &Span| (Self::SHORTEST..=Self::LONGEST).contains(span);
        let spans = [first_backoff, longest_backoff, deadline];
        let sound = (1..=Self::MOST_ATTEMPTS).contains(&most_attempts)
            && spans.iter().all(legal)
            && first_backoff <= longest_backoff;
        if sound {
            Ok(Self { most_attempts, first_backoff, longest_backoff, deadline })
        } else {
            Err(BudgetError)
        }
    }

    /// How many attempts there are before people are called.
    pub const fn most_attempts(&self) -> u16 {
        self.most_attempts
    }

    /// How long an attempt may take before it counts as failed.
    pub const fn deadline(&self) -> Span {
        self.deadline
    }

    /// How long is waited after so many failures in a row: twice as long each time, up to the longest.
    pub fn backoff(&self, failures: u16) -> Span {
        let doubled = 1_u64.checked_shl(u32::from(failures.saturating_sub(1))).unwrap_or(u64::MAX);
        self.first_backoff.times(doubled).min(self.longest_backoff)
    }
}

impl Default for RemediationBudget {
    /// Five attempts of at most 30 minutes, with 30 s to 30 minutes between them.
    fn default() -> Self {
        Self {
            most_attempts: 5,
            first_backoff: Span::from_secs(30),
            longest_backoff: Span::from_secs(1_800),
            deadline: Span::from_secs(1_800),
        }
    }
}

impl TryFrom<StoredBudget> for RemediationBudget {
    type Error = BudgetError;
    fn try_from(stored: StoredBudget) -> Result<Self, BudgetError> {
        Self::new(stored.most_attempts, stored.first_backoff, stored.longest_backoff, stored.deadline)
    }
}
impl From<RemediationBudget> for StoredBudget {
    fn from(budget: RemediationBudget) -> Self {
        let RemediationBudget { most_attempts, first_backoff, longest_backoff, deadline } = budget;
        Self { most_attempts, first_backoff, longest_backoff, deadline }
    }
}

/// Which kinds of drift are repaired, and how often it is tried.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemediationPolicy {
    /// The mode of each kind; *warn* where there is none.
    #[serde(default)]
    pub modes: BTreeMap<DriftKind, RemediationMode>,
    /// How often, and how long is waited.
    #[serde(default)]
    pub budget: RemediationBudget,
}

impl RemediationPolicy {
    /// Whether this kind is repaired.
    pub fn mode(&self, kind: DriftKind) -> RemediationMode {
        self.modes.get(&kind).copied().unwrap_or(RemediationMode::Warn)
    }
}

/// What repairs a drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RemediationAction {
    /// A deployment of the desired release.
    Redeploy {
        /// Which.
        deployment: DeploymentId,
    },
    /// What nothing desires is removed.
    Prune,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemediationResult {
    /// It is not known yet.
    Running,
    /// What runs was seen to be what is desired.
    Succeeded,
    /// It failed, and what was said. Never a secret.
    Failed {
        /// Why.
        reason: String,
    },
}

/// One attempt to repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemediationAttempt {
    /// Which of the finding's, from one.
    pub number: u32,
    /// What is done.
    pub action: RemediationAction,
    /// What became of it.
    pub result: RemediationResult,
    /// When it began, and once it ended, when it ended.
    pub timestamp: Timestamp,
}
