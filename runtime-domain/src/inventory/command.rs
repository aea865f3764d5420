//! What may be asked of an inventory record.

use alloc::string::String;

use crate::aggregate::EvidenceRef;
use crate::deployment::DeployedVersion;
use crate::id::AggregateKind;
use crate::surface::ComponentObservation;

/// Asks for the inventory record of a component that a deployment brought. Consumes the evidence that it did (SVC-1). The record's
/// identifier follows from the environment and the module: [`ServiceId::of`](crate::id::ServiceId::of).
#[derive(Debug, PartialEq, Eq)]
pub struct RegisterService {
    /// Proof of what was brought, and to which environment of which tenant.
    pub version: DeployedVersion,
}

impl RegisterService {
    /// The fact that the request rests on: its commit re-checks that the deployment is at this revision or a later one.
    pub fn evidence(&self) -> EvidenceRef {
        evidence(&self.version)
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "evidence is handed over once and by value; a box would make every caller allocate for it"
)]
/// What may be asked of an existing inventory record. Not `Clone`: evidence is used once.
#[derive(Debug, PartialEq, Eq)]
pub enum InventoryCommand {
    /// A deployment brought another version. A retired record begins anew with it.
    RecordDeployedVersion {
        /// Proof that it did.
        version: DeployedVersion,
    },
    /// A reconciler tells what a surface shows.
    RecordObservation {
        /// What.
        observation: ComponentObservation,
    },
    /// A reconciler looked and saw nothing: an error, a time-out, no answer.
    MarkUnobserved,
    /// The component is gone, until a later deployment brings it again.
    RetireService {
        /// Why.
        reason: String,
    },
}

impl InventoryCommand {
    /// The command's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RecordDeployedVersion { .. } => "RecordDeployedVersion",
            Self::RecordObservation { .. } => "RecordObservation",
            Self::MarkUnobserved => "MarkUnobserved",
            Self::RetireService { .. } => "RetireService",
        }
    }

    /// The fact that the command rests on, where it rests on one: its commit re-checks that the deployment is at this revision or a
    /// later one.
    pub fn evidence(&self) -> Option<EvidenceRef> {
        match self {
            Self::RecordDeployedVersion { version } => Some(evidence(version)),
            Self::RecordObservation { .. } | Self::MarkUnobserved | Self::RetireService { .. } => None,
        }
    }
}

fn evidence(version: &DeployedVersion) -> EvidenceRef {
    EvidenceRef {
        kind: AggregateKind::RuntimeDeployment,
        id: version.deployment().uuid(),
        revision: version.at(),
    }
}
