//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::calendar::Activity;
use crate::component::ImageDigest;
use crate::drift::{DriftKind, DriftStatus, FindingHash, RemediationMode};
use crate::environment::EnvironmentRefusal;
use crate::id::DeploymentId;
use crate::refusal::{Refusal, Rule};
use crate::time::Timestamp;

/// Why a drift finding's command was refused. The finding is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DriftRefusal {
    /// What should prove something is of another tenant, environment or subject, or of another kind of drift.
    #[error("the evidence is of another tenant, environment, subject or kind of drift")]
    ForeignEvidence,
    /// What was observed is too old to say anything now.
    #[error("what was observed says nothing after {until}")]
    Stale {
        /// Until when it did.
        until: Timestamp,
    },
    /// It is another divergence than the finding's.
    #[error("this is the divergence {given}, and the finding is of {expected}")]
    OtherDivergence {
        /// The finding's.
        expected: FindingHash,
        /// What was given.
        given: FindingHash,
    },
    /// Another deployment than the planned one is no recorded remediation.
    #[error("the finding is repaired by {planned}, and {given} is no recorded remediation of it")]
    OtherDeployment {
        /// The planned one.
        planned: DeploymentId,
        /// What was given.
        given: DeploymentId,
    },
    /// The calendar was asked about another kind of change.
    #[error("the calendar is open to {given}, and this is a {}", Activity::Remediation)]
    OtherActivity {
        /// What it was asked about.
        given: Activity,
    },
    /// The environment does not clear the repair.
    #[error(transparent)]
    NotCleared(EnvironmentRefusal),
    /// The policy does not let it be repaired.
    #[error("{kind} is not repaired {}: its mode is {mode:?}", if *mode == RemediationMode::Off { "at all" } else { "by itself" })]
    NotRemediated {
        /// Which kind.
        kind: DriftKind,
        /// Its mode.
        mode: RemediationMode,
    },
    /// The desired image was rolled back, and stays out.
    #[error("{digest} is desired, was rolled back, and stays out until it is released")]
    Quarantined {
        /// Which.
        digest: ImageDigest,
    },
    /// The action does not repair this.
    #[error("{kind} is not repaired in this way")]
    UnfitAction {
        /// Which kind.
        kind: DriftKind,
    },
    /// A repair failed a short while ago.
    #[error("a repair failed, and the next waits until {retry_at}")]
    BackingOff {
        /// Until when.
        retry_at: Timestamp,
    },
    /// A time is past, or further ahead than may be.
    #[error("the time is past, or later than {latest}")]
    BadTime {
        /// The latest that may be.
        latest: Timestamp,
    },
    /// A reason is missing, or longer than can be kept.
    #[error("the reason is empty or longer than {} bytes", crate::reason::LONGEST)]
    BadReason,
    /// A reason may hold a secret. It is not repeated here.
    #[error("the reason holds what may be a secret")]
    SecretReason,
    /// The command does not fit the present state.
    #[error("{command} is not possible while the finding is {status}")]
    Lifecycle {
        /// The command.
        command: &'static str,
        /// The state.
        status: DriftStatus,
        /// What would be possible.
        remedy: &'static str,
    },
}

impl Refusal for DriftRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::ForeignEvidence => Rule::X1,
            Self::OtherDivergence { .. } => Rule::Drf2,
            Self::OtherDeployment { .. } => Rule::Drf1,
            Self::OtherActivity { .. } => Rule::Calendar,
            Self::NotCleared(refusal) => refusal.rule(),
            Self::Quarantined { .. } => Rule::Quarantine,
            Self::Stale { .. } | Self::BadTime { .. } | Self::BadReason | Self::UnfitAction { .. } => {
                Rule::Content
            }
            Self::SecretReason => Rule::X11,
            Self::NotRemediated { .. } | Self::BackingOff { .. } | Self::Lifecycle { .. } => Rule::Lifecycle,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::ForeignEvidence => {
                "take what was seen of the same tenant, environment, subject and kind".to_string()
            }
            Self::Stale { .. } => "observe it again, and compare".to_string(),
            Self::OtherDivergence { .. } => "make a finding of the other divergence".to_string(),
            Self::OtherDeployment { planned, .. } => {
                format!("show what {planned} brought, or record that the repair failed")
            }
            Self::OtherActivity { .. } => format!("ask the calendar about a {}", Activity::Remediation),
            Self::NotCleared(refusal) => refusal.remedy(),
            Self::NotRemediated { mode: RemediationMode::Warn, .. } => {
                "say who asks for it, or set the kind's mode to remediate".to_string()
            }
            Self::NotRemediated { .. } => "set the kind's mode to warn or remediate".to_string(),
            Self::Quarantined { .. } => {
                "release the digest on purpose, or change what is desired".to_string()
            }
            Self::UnfitAction { kind: DriftKind::UnmanagedResource } => {
                "prune it, or desire it".to_string()
            }
            Self::UnfitAction { .. } => {
                "deploy the desired release where it is a component; repair any other resource in its own tool"
                    .to_string()
            }
            Self::BackingOff { retry_at } => {
                format!("wait until {retry_at}, or let an operator retry the remediation")
            }
            Self::BadTime { latest } => format!("choose a time that is to come, no later than {latest}"),
            Self::BadReason => "say in a sentence why".to_string(),
            Self::SecretReason => "say why without the value; if it was a secret, rotate it".to_string(),
            Self::Lifecycle { remedy, .. } => (*remedy).to_string(),
        }
    }
}
