//! Documents: what callers send and get, in JSON that protobuf's canonical JSON can say, too.
//!
//! Objects only; names in camelCase; closed sets of words in kebab-case; a choice is an object with one member, named for what is chosen;
//! times as RFC 3339; durations as whole numbers whose name says the unit; numbers within 2⁵³. They are mapped from the domain's types, whose
//! stored forms stay inside.

use runtime_domain::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod audit;
pub mod configurations;
pub mod deployments;
pub mod drift;
pub mod environments;
pub mod health;
pub mod inventory;
pub mod page;
pub mod releases;
pub mod scaling;
pub mod secrets;
pub mod tenancy;

/// What a command came to. With `dryRun`, what it would come to.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "{D}Outcome")]
pub struct Outcome<D> {
    /// How it is after the command.
    pub result: D,
    /// False where there was nothing to change: it was asked for before, or is so already.
    pub changed: bool,
    /// Why, in words.
    pub explanation: String,
    /// Whether nothing was changed because only a preview was asked for.
    pub dry_run: bool,
}

/// Nothing is asked but what the path says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Nothing {}

pub(crate) fn millis(span: Span) -> u64 {
    span.as_millis()
}
