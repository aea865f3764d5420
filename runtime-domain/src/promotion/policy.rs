//! What an environment asks of a release before it comes.

use alloc::collections::BTreeSet;
use alloc::string::ToString;

use serde::{Deserialize, Serialize};

use crate::id::EnvironmentId;
use crate::promotion::PolicyError;
use crate::rollout::gate::ApprovalCheck;
use crate::rollout::{GateCheck, GatePoint, GateSpec};
use crate::scope::Actor;
use crate::time::Span;
use crate::value::Name;

/// How many of the upstream environments must have verified a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Upstreams {
    /// At least one of them.
    Any,
    /// Every one of them.
    All,
}

/// What an environment asks of a release before it comes. It is never empty: an environment that asks nothing has no policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Draft", into = "Draft")]
pub struct PromotionPolicy {
    draft: Draft,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Draft {
    upstream: BTreeSet<EnvironmentId>,
    verified_by: Upstreams,
    #[serde(default)]
    soak: Span,
    #[serde(default)]
    approvals: u16,
    #[serde(default)]
    approvers: BTreeSet<Actor>,
}

impl PromotionPolicy {
    /// The most upstream environments.
    pub const MOST_UPSTREAM: usize = 20;
    /// The most approvers that are named.
    pub const MOST_APPROVERS: usize = 100;
    /// The longest soak.
    pub const LONGEST_SOAK: Span = Span::from_secs(90 * 86_400);

    /// A policy: verified by any or all of these environments, soaked there for so long.
    ///
    /// # Errors
    /// No environment, or more than [`PromotionPolicy::MOST_UPSTREAM`]; a soak longer than [`PromotionPolicy::LONGEST_SOAK`].
    pub fn new(
        upstream: BTreeSet<EnvironmentId>,
        verified_by: Upstreams,
        soak: Span,
    ) -> Result<Self, PolicyError> {
        Draft { upstream, verified_by, soak, approvals: 0, approvers: BTreeSet::new() }.try_into()
    }

    /// The same policy, and so many different people must agree to each release; any whom the host lets, where nobody is named.
    ///
    /// # Errors
    /// More approvals than there are approvers, or more than [`PromotionPolicy::MOST_APPROVERS`].
    pub fn approved_by(self, approvals: u16, approvers: BTreeSet<Actor>) -> Result<Self, PolicyError> {
        Draft { approvals, approvers, ..self.draft }.try_into()
    }

    /// The environments before.
    pub fn upstream(&self) -> &BTreeSet<EnvironmentId> {
        &self.draft.upstream
    }

    /// How many of them must have verified a release.
    pub fn verified_by(&self) -> Upstreams {
        self.draft.verified_by
    }

    /// How long a release must have served there.
    pub fn soak(&self) -> Span {
        self.draft.soak
    }

    /// How many people must agree.
    pub fn approvals(&self) -> u16 {
        self.draft.approvals
    }

    /// Who may agree; whoever the host lets, where nobody is named.
    pub fn approvers(&self) -> &BTreeSet<Actor> {
        &self.draft.approvers
    }

    /// The name of the gate that stands for the approvals.
    pub const GATE: &'static str = "promotion";

    /// The gate that the policy adds to every rollout, where it asks for approvals.
    pub(crate) fn gate(&self) -> Option<GateSpec> {
        let check = ApprovalCheck { required: self.draft.approvals, approvers: self.draft.approvers.clone() };
        (self.draft.approvals > 0).then(|| GateSpec {
            name: Name::from_legal(Self::GATE.to_string()),
            at: GatePoint::BeforeRollout,
            modules: BTreeSet::new(),
            check: GateCheck::Approval(check),
        })
    }
}

impl TryFrom<Draft> for PromotionPolicy {
    type Error = PolicyError;
    fn try_from(draft: Draft) -> Result<Self, Self::Error> {
        if draft.upstream.is_empty() {
            return Err(PolicyError::NoUpstream);
        }
        if draft.upstream.len() > Self::MOST_UPSTREAM || draft.approvers.len() > Self::MOST_APPROVERS {
            return Err(PolicyError::TooMany);
        }
        if draft.soak > Self::LONGEST_SOAK {
            return Err(PolicyError::LongSoak { soak: draft.soak });
        }
        if !draft.approvers.is_empty() && draft.approvers.len() < usize::from(draft.approvals) {
            return Err(PolicyError::TooFewApprovers);
        }
        Ok(Self { draft })
    }
}
impl From<PromotionPolicy> for Draft {
    fn from(policy: PromotionPolicy) -> Self {
        policy.draft
    }
}
