//! What a calendar proves to the contexts that change an environment.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::aggregate::EvidenceRef;
use crate::calendar::Activity;
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::scope::Actor;
use crate::value::Revision;

/// A change that cannot wait for the calendar, and why. It is kept in the history of what it let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Who takes it on themselves.
    pub by: Actor,
    /// Why it cannot wait.
    pub reason: String,
}

/// Proof that an environment's calendar is open to one kind of change, or that someone broke the glass.
///
/// Only the environment hands it out. It can stop being true: a commit that rests on it re-checks that the environment is still at
/// exactly this revision.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct Clearance {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) activity: Activity,
    pub(crate) break_glass: Option<BreakGlass>,
    pub(crate) at: Revision,
}

impl Clearance {
    /// The tenant whose environment it is.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment that may be changed.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The kind of change.
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// Who broke the glass and why, where the calendar itself was closed.
    pub fn break_glass(&self) -> Option<&BreakGlass> {
        self.break_glass.as_ref()
    }

    /// The fact to re-check: the environment's stored revision when it said so.
    pub fn evidence(&self) -> EvidenceRef {
        EvidenceRef {
            kind: AggregateKind::RuntimeEnvironment,
            id: self.environment.uuid(),
            revision: self.at,
        }
    }
}
