//! What every refusal has in common: the rule it keeps, and what would make the command legal.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// A rule of spec.md, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// No deployment unless the environment is Provisioned.
    Env1,
    /// Region and stage never change once provisioned.
    Env2,
    /// A prod environment needs a tenant binding before its first deployment.
    Env3,
    /// A version is one that a known deployment brought to that environment.
    Svc1,
    /// Never Running without a healthy instance.
    Svc2,
    /// The tenant never changes.
    Svc3,
    /// Never Completed unless every gate has passed.
    Dep1,
    /// A rollback target is a prior Completed deployment.
    Dep2,
    /// At most one deployment in flight per environment and component.
    Dep3,
    /// Health results are immutable.
    Hlt1,
    /// The aggregate status is the worst of the entries.
    Hlt2,
    /// Each result belongs to one service and one window.
    Hlt3,
    /// A silo binding has its environment to itself.
    Ten1,
    /// Allocated quotas never exceed capacity.
    Ten2,
    /// One binding per tenant and environment.
    Ten3,
    /// A configuration's version is strictly monotonic per environment.
    Cfg1,
    /// A configuration entry never holds a secret value.
    Cfg2,
    /// A published configuration never changes.
    Cfg3,
    /// A secret binding refers to a vault only.
    Sec1,
    /// A rotation makes a new version and keeps the binding's identity.
    Sec2,
    /// A secret binding belongs to one tenant and one environment.
    Sec3,
    /// The fewest replicas are not more than the most.
    Scl1,
    /// Scale to zero on event-driven targets only.
    Scl2,
    /// A scaling policy applies to exactly one service.
    Scl3,
    /// No finding is Resolved without a remediation or an accepted exception.
    Drf1,
    /// Findings with the same hash are one finding.
    Drf2,
    /// What is desired comes from authoritative state, and says which revision.
    Drf3,
    /// Every command is scoped to a tenant.
    X1,
    /// Commands are idempotent on their natural key.
    X3,
    /// A deployment applies configuration and secret versions atomically.
    X6,
    /// No secret value is anywhere but in its vault.
    X11,
    /// Events leave in the canonical envelope.
    X14,
    /// The life cycle: the command does not fit the present state.
    Lifecycle,
    /// A rolled-back digest stays quarantined until it is released on purpose.
    Quarantine,
    /// The calendar is closed to this kind of change.
    Calendar,
    /// The release has not earned its way from the stages before.
    Promotion,
    /// The command's own content breaks a rule of its type.
    Content,
    /// The surface cannot do what the plan would need.
    Capability,
}

impl Rule {
    /// The rule's number as spec.md writes it, or its name where design.md states it without a number.
    pub const fn number(self) -> &'static str {
        match self {
            Self::Env1 => "ENV-1",
            Self::Env2 => "ENV-2",
            Self::Env3 => "ENV-3",
            Self::Svc1 => "SVC-1",
            Self::Svc2 => "SVC-2",
            Self::Svc3 => "SVC-3",
            Self::Dep1 => "DEP-1",
            Self::Dep2 => "DEP-2",
            Self::Dep3 => "DEP-3",
            Self::Hlt1 => "HLT-1",
            Self::Hlt2 => "HLT-2",
            Self::Hlt3 => "HLT-3",
            Self::Ten1 => "TEN-1",
            Self::Ten2 => "TEN-2",
            Self::Ten3 => "TEN-3",
            Self::Cfg1 => "CFG-1",
            Self::Cfg2 => "CFG-2",
            Self::Cfg3 => "CFG-3",
            Self::Sec1 => "SEC-1",
            Self::Sec2 => "SEC-2",
            Self::Sec3 => "SEC-3",
            Self::Scl1 => "SCL-1",
            Self::Scl2 => "SCL-2",
            Self::Scl3 => "SCL-3",
            Self::Drf1 => "DRF-1",
            Self::Drf2 => "DRF-2",
            Self::Drf3 => "DRF-3",
            Self::X1 => "X-1",
            Self::X3 => "X-3",
            Self::X6 => "X-6",
            Self::X11 => "X-11",
            Self::X14 => "X-14",
            Self::Lifecycle => "LIFECYCLE",
            Self::Quarantine => "QUARANTINE",
            Self::Calendar => "CALENDAR",
            Self::Promotion => "PROMOTION",
            Self::Content => "CONTENT",
            Self::Capability => "CAPABILITY",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.number())
    }
}

/// A refused command: which rule it would break, in words, and what would make it legal.
///
/// Every context's refusal enum implements it. A refusal changes nothing: the state it was decided against still stands.
pub trait Refusal: core::error::Error + PartialEq {
    /// The rule that the refusal keeps.
    fn rule(&self) -> Rule;
    /// What the caller could do so that the command is accepted.
    fn remedy(&self) -> String;
}
