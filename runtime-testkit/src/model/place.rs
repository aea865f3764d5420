//! Where the things of a story are, and what the specification says of an environment's calendar.

use crate::model::text;
use crate::plan::place::{Ground, Whose};

/// The tenant and the environment.
pub(super) const fn place(whose: Whose) -> (u128, u128) {
    match whose {
        Whose::Own => (1, 1),
        Whose::OtherEnvironment => (1, 2),
        Whose::OtherTenant => (2, 1),
    }
}

/// The reason for which the glass is broken, where a change is cleared at all.
pub(super) fn cleared(ground: Ground, glass: Option<&str>) -> Result<Option<String>, &'static str> {
    match (ground, glass) {
        (Ground::Gone, _) => Err("LIFECYCLE"),
        (Ground::Open, _) => Ok(None),
        (Ground::Stopped, None) => Err("CALENDAR"),
        (Ground::Stopped, Some(reason)) if !text::is_reason(reason) => Err("CONTENT"),
        (Ground::Stopped, Some(reason)) => Ok(Some(reason.trim().to_owned())),
    }
}
