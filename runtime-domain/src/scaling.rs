//! How a running service scales against live telemetry and objectives.
//!
//! - **SCL-1** (type): the fewest replicas are not more than the most; [`ReplicaBounds`] has one parser and is read back through it.
//! - **SCL-2** (type): the least is zero only on an event-driven target; [`ReplicaBounds`] is parsed together with its target.

mod bounds;
mod proposal;

pub use bounds::{BoundsError, ReplicaBounds};
pub use proposal::{Tolerance, proposal};
