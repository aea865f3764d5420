//! The aggregate.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentId, ScalingPolicyId, ServiceId, TenantId};
use crate::scaling::{Cooldown, History, PolicyIdentity, PolicySpec, ReleaseMark, ScalingRule, Violation};
use crate::surface::{EffectId, SurfaceKind};
use crate::time::{Span, Timestamp};
use crate::value::{ModuleId, Percent, Replicas};

/// How long after an evaluation the next is due.
pub const EVALUATE_EVERY: Span = Span::from_secs(15);

/// How long after an evaluation the next is due where something waits for a service that runs no replica.
pub const ACTIVATE_EVERY: Span = Span::from_secs(1);

/// How long more replicas than a policy allows may be needed before it is violated.
pub const SHORT_FOR: Span = Span::from_secs(300);

/// The most applied actions that a policy remembers; the oldest are forgotten first. All of them are in its history of events.
pub const MOST_APPLIED: usize = 32;

/// How one service scales.
///
/// It comes to be by [`ScalingPolicy::apply`] and changes by [`ScalingPolicy::decide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalingPolicy {
    pub(super) identity: PolicyIdentity,
    pub(super) spec: PolicySpec,
    pub(super) applied_at: Timestamp,
    pub(super) applied: Vec<AppliedAction>,
    /// What it said before, oldest first.
    pub(super) former: Vec<FormerTerms>,
    /// The newest release that it follows.
    pub(super) released: Option<Released>,
    /// How many evaluations have wanted a change.
    pub(super) intentions: u32,
    pub(super) state: PolicyState,
}

/// The most former terms that a policy remembers; the oldest are forgotten first.
pub const MOST_FORMER: usize = 16;

/// What a policy said before it was changed, so that a rollback can bring it back with the release that it belonged to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormerTerms {
    /// What it said.
    pub policy: PolicySpec,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// The newest release that a policy follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// Which.
    pub release: ReleaseMark,
    /// Since when.
    pub since: Timestamp,
    /// Whether the policy came to be with a release, and not because somebody asked for it.
    pub is_origin: bool,
}

/// An action that the policy brought about and that was seen: an entry of its scaling history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppliedAction {
    /// When it was seen.
    pub at: Timestamp,
    /// How many replicas there were.
    pub from: u16,
    /// How many there are.
    pub to: u16,
}

/// Where a policy stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyState {
    /// It scales its service, and is kept.
    Active(Watch),
    /// It scales its service, and is not kept.
    Violated(Violated),
    /// The replicas stay as they are, on purpose.
    Suspended(Suspended),
    /// It scales the service no more.
    Retired(Retired),
}

/// What the policy knows of its service while it scales it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Since when this policy has been scaling it.
    pub since: Timestamp,
    /// What evaluations found.
    pub history: History,
    /// How many replicas were seen last.
    pub observed: Option<u16>,
    /// What was decided and not yet seen.
    pub wanted: Option<Wanted>,
    /// When something began to wait for the service, which ran no replica; forgotten when it is evaluated.
    pub activated_at: Option<Timestamp>,
}

/// A change of replicas that was decided and not yet seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// How many there were.
    pub from: u16,
    /// How many there are to be.
    pub to: u16,
}

/// The policy is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Violated {
    /// What is known of the service.
    pub watch: Watch,
    /// Why.
    pub violation: Violation,
    /// Since when for this reason.
    pub since: Timestamp,
}

/// The replicas stay as they are, on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspended {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

/// It scales the service no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PolicyStatus {
    /// It scales its service, and is kept.
    Active,
    /// It scales its service, and is not kept.
    Violated,
    /// The replicas stay as they are.
    Suspended,
    /// It scales the service no more.
    Retired,
}

impl PolicyStatus {
    /// Every status, in the order of a policy's life.
    pub const ALL: [Self; 4] = [Self::Active, Self::Violated, Self::Suspended, Self::Retired];

    /// The status's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Violated => "Violated",
            Self::Suspended => "Suspended",
            Self::Retired => "Retired",
        }
    }
}

impl fmt::Display for PolicyStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl PolicyState {
    /// The state's name.
    pub const fn status(&self) -> PolicyStatus {
        match self {
            Self::Active(_) => PolicyStatus::Active,
            Self::Violated(_) => PolicyStatus::Violated,
            Self::Suspended(_) => PolicyStatus::Suspended,
            Self::Retired(_) => PolicyStatus::Retired,
        }
    }

    /// What is known of the service, while the policy scales it.
    pub const fn watch(&self) -> Option<&Watch> {
        match self {
            Self::Active(watch) | Self::Violated(Violated { watch, .. }) => Some(watch),
            Self::Suspended(_) | Self::Retired(_) => None,
        }
    }
}

impl ScalingPolicy {
    /// Its identifier.
    pub fn id(&self) -> ScalingPolicyId {
        self.identity.scaling_policy_id
    }

    /// The tenant whose service it scales. It never changes.
    pub fn tenant_id(&self) -> TenantId {
        self.identity.tenant_id
    }

    /// The environment.
    pub fn environment_id(&self) -> EnvironmentId {
        self.identity.environment_id
    }

    /// The service that it scales: exactly one, and always the same (SCL-3).
    pub fn service_id(&self) -> ServiceId {
        self.identity.service_id
    }

    /// The module that the service is of.
    pub fn module_id(&self) -> &ModuleId {
        &self.identity.module_id
    }

    /// What it says.
    pub fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    /// Where the service runs.
    pub fn target(&self) -> SurfaceKind {
        self.spec.bounds().target()
    }

    /// What each metric leads to.
    pub fn rules(&self) -> &[ScalingRule] {
        &self.spec.terms().rules
    }

    /// The fewest replicas; 0 where it scales to zero.
    pub fn min_replicas(&self) -> u16 {
        self.spec.bounds().least()
    }

    /// The most replicas.
    pub fn max_replicas(&self) -> Replicas {
        self.spec.bounds().most()
    }

    /// The percentage that a utilisation is to have; `None` where it scales by none.
    pub fn target_utilization_percent(&self) -> Option<Percent> {
        self.spec.target_utilization_percent()
    }

    /// Whether the service may run no replica at all.
    pub fn scale_to_zero(&self) -> bool {
        self.spec.bounds().scales_to_zero()
    }

    /// How long after a change none is taken away.
    pub fn cooldown(&self) -> Cooldown {
        self.spec.terms().cooldown_seconds
    }

    /// When it took effect, in its present form.
    pub fn applied_at(&self) -> Timestamp {
        self.applied_at
    }

    /// What it said at a time; `None` where it did not scale the service then, or has forgotten.
    pub fn said_at(&self, at: Timestamp) -> Option<&PolicySpec> {
        if let PolicyState::Retired(Retired { since, .. }) = &self.state
            && *since <= at
        {
            return None;
        }
        if self.applied_at <= at {
            return Some(&self.spec);
        }
        let former = self.former.iter().rev().find(|former| former.since <= at && at < former.until)?;
        Some(&former.policy)
    }

    /// Whether it is known to have come to be after a time: false where it has forgotten its beginning.
    pub fn began_after(&self, at: Timestamp) -> bool {
        let first = self.former.first().map_or(self.applied_at, |former| former.since);
        self.former.len() < MOST_FORMER && at < first
    }

    /// The newest release that it follows; `None` where no release said anything of it.
    pub fn released(&self) -> Option<&Released> {
        self.released.as_ref()
    }

    /// The last [`MOST_APPLIED`] actions that it brought about, oldest first.
    pub fn applied(&self) -> &[AppliedAction] {
        &self.applied
    }

    /// How many replicas it wants, where that is not what was seen last.
    pub fn wanted(&self) -> Option<Wanted> {
        self.state.watch()?.wanted
    }

    /// The effect that brings about what it wants, where that is not what was seen last. Each evaluation that wants a change intends it anew,
    /// so that what others did in between is no reason to take it for done.
    pub fn effect(&self) -> Option<(EffectId, Wanted)> {
        let wanted = self.wanted()?;
        Some((EffectId::of(self.identity.scaling_policy_id, self.intentions), wanted))
    }

    /// Whether the number of the service's replicas is this policy's, and not what Git or Pulumi says, so that a difference is no drift. So it
    /// is while it is suspended, too: the replicas are held where they are on purpose.
    pub fn owns_replicas(&self) -> bool {
        !matches!(self.state, PolicyState::Retired(_))
    }

    /// Where it stands, with what exists only there.
    pub fn state(&self) -> &PolicyState {
        &self.state
    }
}
