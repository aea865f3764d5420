//! What may be asked of a scaling policy.

use alloc::string::String;

use crate::aggregate::EvidenceRef;
use crate::environment::HostedSurface;
use crate::id::{EnvironmentId, ScalingPolicyId, TenantId};
use crate::scaling::{Input, PolicySpec};
use crate::value::ModuleId;

/// Asks for a service's scaling policy. Its natural key is the environment and the module: the service (SCL-3).
#[derive(Debug, PartialEq, Eq)]
pub struct ApplyScalingPolicy {
    /// The new policy's identifier.
    pub scaling_policy_id: ScalingPolicyId,
    /// The tenant whose service it is.
    pub tenant_id: TenantId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The module that the service is of. The service need not run yet.
    pub module_id: ModuleId,
    /// What it says.
    pub policy: PolicySpec,
    /// Proof that the environment exists, is the tenant's, and has the policy's target among its surfaces. The commit re-checks it.
    pub surface: HostedSurface,
}

impl ApplyScalingPolicy {
    /// The fact that the request rests on: its commit re-checks that it is still at exactly its revision.
    pub fn evidence(&self) -> EvidenceRef {
        self.surface.evidence()
    }
}

/// What may be asked of an existing policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScalingCommand {
    /// The policy is to say something else. It is judged anew from then on.
    ChangePolicy {
        /// What.
        policy: PolicySpec,
    },
    /// The replicas are to stay as they are, whatever is measured.
    SuspendScaling {
        /// Why.
        reason: String,
    },
    /// The policy is to scale again.
    ResumeScaling,
    /// This was measured: how many replicas are there to be?
    RecordEvaluation {
        /// What.
        input: Input,
    },
    /// Something waits for the service, which runs no replica: it is to be evaluated at once.
    RecordActivation,
    /// So many replicas are there now.
    RecordScaled {
        /// How many, whether ready or not.
        observed: u16,
    },
    /// The service is not scaled by this policy any more.
    RetirePolicy {
        /// Why.
        reason: String,
    },
}

impl ScalingCommand {
    /// The command's name, for explanations and refusals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ChangePolicy { .. } => "ChangePolicy",
            Self::SuspendScaling { .. } => "SuspendScaling",
            Self::ResumeScaling => "ResumeScaling",
            Self::RecordEvaluation { .. } => "RecordEvaluation",
            Self::RecordActivation => "RecordActivation",
            Self::RecordScaled { .. } => "RecordScaled",
            Self::RetirePolicy { .. } => "RetirePolicy",
        }
    }
}
