//! What may be asked of a drift finding.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::aggregate::EvidenceRef;
use crate::calendar::Clearance;
use crate::component::ImageDigest;
use crate::deployment::DeployedVersion;
use crate::drift::{
    DetectedDrift, DriftException, InSync, RemediationAction, RemediationMode, RemediationPolicy,
};
use crate::id::{AggregateKind, DriftFindingId};
use crate::scope::Actor;
use crate::time::Timestamp;

/// Makes a finding of a divergence. Its natural key is the divergence's hash (DRF-2).
#[derive(Debug, PartialEq, Eq)]
pub struct DetectDrift {
    /// The new finding's identifier.
    pub drift_finding_id: DriftFindingId,
    /// What was seen.
    pub drift: DetectedDrift,
    /// Whether it is repaired.
    pub mode: RemediationMode,
}

/// A repair, as it is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct PlanRemediation {
    /// What is done.
    pub action: RemediationAction,
    /// Which kinds are repaired, and how often it is tried.
    pub policy: RemediationPolicy,
    /// Who asks for it, where it is not repaired by itself.
    pub requested_by: Option<Actor>,
    /// The digests that are quarantined for the component.
    pub quarantined: BTreeSet<ImageDigest>,
    /// Proof that the environment's calendar is open to repairs. The commit re-checks it.
    pub clearance: Clearance,
}

/// What may be asked of an existing finding.
#[derive(Debug, PartialEq, Eq)]
pub enum DriftCommand {
    /// What runs was seen not to diverge in this way.
    SeeInSync {
        /// Proof of it.
        in_sync: InSync,
        /// Proof that the planned deployment brought the component, where it is repaired by one. The commit re-checks it.
        deployed: Option<Box<DeployedVersion>>,
    },
    /// What runs was seen to diverge in another way of the same kind.
    SeeReplaced {
        /// What was seen.
        drift: DetectedDrift,
    },
    /// A repair is to begin.
    PlanRemediation(PlanRemediation),
    /// A repair cannot begin now, such as where the calendar is closed.
    PostponeRemediation {
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// A repair failed.
    RecordRemediationFailed {
        /// Which attempt.
        attempt: u32,
        /// What was said.
        reason: String,
    },
    /// It is to be tried again, as often as at first.
    RetryRemediation {
        /// Who says so.
        by: Actor,
    },
    /// Somebody accepts the divergence for a while.
    AcceptException(DriftException),
    /// It is no longer accepted.
    RevokeException {
        /// Why.
        reason: String,
    },
    /// Time has passed: exceptions expire, and what never reported back has failed.
    Tick,
}

impl DriftCommand {
    /// The command's name, for explanations and refusals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SeeInSync { .. } => "SeeInSync",
            Self::SeeReplaced { .. } => "SeeReplaced",
            Self::PlanRemediation(_) => "PlanRemediation",
            Self::PostponeRemediation { .. } => "PostponeRemediation",
            Self::RecordRemediationFailed { .. } => "RecordRemediationFailed",
            Self::RetryRemediation { .. } => "RetryRemediation",
            Self::AcceptException(_) => "AcceptException",
            Self::RevokeException { .. } => "RevokeException",
            Self::Tick => "Tick",
        }
    }

    /// The facts that the command rests on: its commit re-checks that the environment is still at exactly its revision, and the
    /// deployment at its revision or a later one.
    pub fn evidence(&self) -> Vec<EvidenceRef> {
        match self {
            Self::PlanRemediation(plan) => Vec::from([plan.clearance.evidence()]),
            Self::SeeInSync { deployed, .. } => deployed
                .iter()
                .map(|deployed| EvidenceRef {
                    kind: AggregateKind::RuntimeDeployment,
                    id: deployed.deployment().uuid(),
                    revision: deployed.at(),
                })
                .collect(),
            Self::SeeReplaced { .. }
            | Self::PostponeRemediation { .. }
            | Self::RecordRemediationFailed { .. }
            | Self::RetryRemediation { .. }
            | Self::AcceptException(_)
            | Self::RevokeException { .. }
            | Self::Tick => Vec::new(),
        }
    }
}
