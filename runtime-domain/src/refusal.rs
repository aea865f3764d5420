//! What every refusal has in common: the rule it keeps, and what would make the command legal.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// A rule of spec.md, by its number; or one that design.md states without a number, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// No deployment is accepted unless its environment is Provisioned.
    Env1,
    /// An environment's region and stage never change once it is provisioned.
    Env2,
    /// A prod environment needs a tenant binding before its first deployment.
    Env3,
    /// A service's version is one that a known deployment brought to its environment.
    Svc1,
    /// A service is never Running without at least one healthy instance.
    Svc2,
    /// A service's tenant never changes.
    Svc3,
    /// A deployment is never Completed unless every gate has passed.
    Dep1,
    /// A rollback target is a prior Completed deployment of the same environment and components.
    Dep2,
    /// At most one deployment is in flight per environment and component at any time.
    Dep3,
    /// A configuration's version is strictly monotonic per environment.
    Cfg1,
    /// A configuration entry never holds a secret value, only a reference to a secret binding.
    Cfg2,
    /// A published configuration never changes.
    Cfg3,
    /// A secret binding refers to a vault only; plaintext cannot be represented.
    Sec1,
    /// A rotation makes a new version and keeps the binding's identity.
    Sec2,
    /// A secret binding belongs to one tenant and one environment.
    Sec3,
    /// A silo binding has its environment to itself.
    Ten1,
    /// The quotas allocated in an environment never exceed its capacity.
    Ten2,
    /// A tenant is bound to an environment at most once.
    Ten3,
    /// Health results are append-only and immutable.
    Hlt1,
    /// A health result's status is the worst of its entries.
    Hlt2,
    /// Each health result belongs to exactly one service and window.
    Hlt3,
    /// A scaling policy's fewest replicas are never more than its most.
    Scl1,
    /// Scale to zero is for event-driven targets only.
    Scl2,
    /// A scaling policy applies to exactly one service.
    Scl3,
    /// A drift finding is never Resolved without a recorded remediation or an accepted exception.
    Drf1,
    /// Drift findings with the same hash are one finding.
    Drf2,
    /// What is desired comes from authoritative Git or Pulumi state, and says which revision.
    Drf3,
    /// Every query and command is scoped to a tenant, and to an environment where one is meant; nothing crosses.
    X1,
    /// Commands are idempotent on their natural key.
    X3,
    /// A deployment applies configuration and secret versions atomically: a workload never sees half of them.
    X6,
    /// No secret value is in any event, log, error, table or answer.
    X11,
    /// Events leave in the canonical envelope: CloudEvents 1.0, each with a published, versioned schema.
    X14,
    /// A command fits the present state.
    Lifecycle,
    /// A rolled-back digest stays out until it is released on purpose.
    Quarantine,
    /// The environment's calendar is open to this kind of change.
    Calendar,
    /// A release earns its way through the stages before.
    Promotion,
    /// A command's own content keeps the rules of its types.
    Content,
    /// A surface can do what a plan needs of it.
    Capability,
}

impl Rule {
    /// Every rule, in the order of spec.md.
    pub const ALL: [Self; 38] = [
        Self::Env1,
        Self::Env2,
        Self::Env3,
        Self::Svc1,
        Self::Svc2,
        Self::Svc3,
        Self::Dep1,
        Self::Dep2,
        Self::Dep3,
        Self::Cfg1,
        Self::Cfg2,
        Self::Cfg3,
        Self::Sec1,
        Self::Sec2,
        Self::Sec3,
        Self::Ten1,
        Self::Ten2,
        Self::Ten3,
        Self::Hlt1,
        Self::Hlt2,
        Self::Hlt3,
        Self::Scl1,
        Self::Scl2,
        Self::Scl3,
        Self::Drf1,
        Self::Drf2,
        Self::Drf3,
        Self::X1,
        Self::X3,
        Self::X6,
        Self::X11,
        Self::X14,
        Self::Lifecycle,
        Self::Quarantine,
        Self::Calendar,
        Self::Promotion,
        Self::Content,
        Self::Capability,
    ];

    /// The rule's number as spec.md writes it, or its name where design.md states it without a number.
    pub const fn number(self) -> &'static str {
        self.text().0
    }

    /// What the rule says, in a sentence.
    pub const fn statement(self) -> &'static str {
        self.text().1
    }

    /// Whether spec.md gives it a number.
    pub const fn is_numbered(self) -> bool {
        !matches!(
            self,
            Self::Lifecycle
                | Self::Quarantine
                | Self::Calendar
                | Self::Promotion
                | Self::Content
                | Self::Capability
        )
    }

    const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Env1 => ("ENV-1", "No deployment is accepted unless its environment is Provisioned."),
            Self::Env2 => ("ENV-2", "An environment's region and stage never change once it is provisioned."),
            Self::Env3 => ("ENV-3", "A prod environment needs a tenant binding before its first deployment."),
            Self::Svc1 => {
                ("SVC-1", "A service's version is one that a known deployment brought to its environment.")
            }
            Self::Svc2 => ("SVC-2", "A service is never Running without at least one healthy instance."),
            Self::Svc3 => ("SVC-3", "A service's tenant never changes."),
            Self::Dep1 => ("DEP-1", "A deployment is never Completed unless every gate has passed."),
            Self::Dep2 => (
                "DEP-2",
                "A rollback target is a prior Completed deployment of the same environment and components.",
            ),
            Self::Dep3 => {
                ("DEP-3", "At most one deployment is in flight per environment and component at any time.")
            }
            Self::Cfg1 => ("CFG-1", "A configuration's version is strictly monotonic per environment."),
            Self::Cfg2 => (
                "CFG-2",
                "A configuration entry never holds a secret value, only a reference to a secret binding.",
            ),
            Self::Cfg3 => ("CFG-3", "A published configuration never changes."),
            Self::Sec1 => {
                ("SEC-1", "A secret binding refers to a vault only; plaintext cannot be represented.")
            }
            Self::Sec2 => ("SEC-2", "A rotation makes a new version and keeps the binding's identity."),
            Self::Sec3 => ("SEC-3", "A secret binding belongs to one tenant and one environment."),
            Self::Ten1 => ("TEN-1", "A silo binding has its environment to itself."),
            Self::Ten2 => ("TEN-2", "The quotas allocated in an environment never exceed its capacity."),
            Self::Ten3 => ("TEN-3", "A tenant is bound to an environment at most once."),
            Self::Hlt1 => ("HLT-1", "Health results are append-only and immutable."),
            Self::Hlt2 => ("HLT-2", "A health result's status is the worst of its entries."),
            Self::Hlt3 => ("HLT-3", "Each health result belongs to exactly one service and window."),
            Self::Scl1 => ("SCL-1", "A scaling policy's fewest replicas are never more than its most."),
            Self::Scl2 => ("SCL-2", "Scale to zero is for event-driven targets only."),
            Self::Scl3 => ("SCL-3", "A scaling policy applies to exactly one service."),
            Self::Drf1 => (
                "DRF-1",
                "A drift finding is never Resolved without a recorded remediation or an accepted exception.",
            ),
            Self::Drf2 => ("DRF-2", "Drift findings with the same hash are one finding."),
            Self::Drf3 => (
                "DRF-3",
                "What is desired comes from authoritative Git or Pulumi state, and says which revision.",
            ),
            Self::X1 => (
                "X-1",
                "Every query and command is scoped to a tenant, and to an environment where one is meant; nothing crosses.",
            ),
            Self::X3 => ("X-3", "Commands are idempotent on their natural key."),
            Self::X6 => (
                "X-6",
                "A deployment applies configuration and secret versions atomically: a workload never sees half of them.",
            ),
            Self::X11 => ("X-11", "No secret value is in any event, log, error, table or answer."),
            Self::X14 => (
                "X-14",
                "Events leave in the canonical envelope: CloudEvents 1.0, each with a published, versioned schema.",
            ),
            Self::Lifecycle => ("LIFECYCLE", "A command fits the present state."),
            Self::Quarantine => {
                ("QUARANTINE", "A rolled-back digest stays out until it is released on purpose.")
            }
            Self::Calendar => ("CALENDAR", "The environment's calendar is open to this kind of change."),
            Self::Promotion => ("PROMOTION", "A release earns its way through the stages before."),
            Self::Content => ("CONTENT", "A command's own content keeps the rules of its types."),
            Self::Capability => ("CAPABILITY", "A surface can do what a plan needs of it."),
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
pub trait Refusal: core::error::Error + PartialEq + Send + Sync {
    /// The rule that the refusal keeps.
    fn rule(&self) -> Rule;
    /// What the caller could do so that the command is accepted.
    fn remedy(&self) -> String;
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn every_rule_of_the_specification_has_its_number_and_says_what_it_keeps() {
        let numbered: Vec<&str> =
            Rule::ALL.into_iter().filter(|rule| rule.is_numbered()).map(Rule::number).collect();
        let expected = [
            "ENV-1", "ENV-2", "ENV-3", "SVC-1", "SVC-2", "SVC-3", "DEP-1", "DEP-2", "DEP-3", "CFG-1",
            "CFG-2", "CFG-3", "SEC-1", "SEC-2", "SEC-3", "TEN-1", "TEN-2", "TEN-3", "HLT-1", "HLT-2",
            "HLT-3", "SCL-1", "SCL-2", "SCL-3", "DRF-1", "DRF-2", "DRF-3", "X-1", "X-3", "X-6", "X-11",
            "X-14",
        ];
        assert_eq!(numbered, expected);
        let named: Vec<&str> =
            Rule::ALL.into_iter().filter(|rule| !rule.is_numbered()).map(Rule::number).collect();
        assert_eq!(named, ["LIFECYCLE", "QUARANTINE", "CALENDAR", "PROMOTION", "CONTENT", "CAPABILITY"]);
        for rule in Rule::ALL {
            assert!(rule.statement().ends_with('.') && rule.statement().len() > 20, "{rule}");
            assert_eq!(rule.to_string(), rule.number());
        }
    }
}
