//! One calendar for deployments, configuration, rotation and remediation: when an environment may be changed.

mod activity;
mod clearance;

pub use activity::Activity;
pub use clearance::{BreakGlass, Clearance};
