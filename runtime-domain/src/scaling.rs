//! How a running service scales against live telemetry and objectives.
//!
//! - **SCL-1** (type): the fewest replicas are not more than the most; [`ReplicaBounds`] has one parser and is read back through it.
//! - **SCL-2** (type): the least is zero only on an event-driven target; [`ReplicaBounds`] is parsed together with its target.

mod bounds;
mod metric;
mod proposal;
mod rule;
mod spec;

pub use bounds::{BoundsError, ReplicaBounds};
pub use metric::{Cooldown, CooldownError, ScalingMetric, Signal};
pub use proposal::proposal;
pub use rule::{Credence, ErrorBudgetRule, RuleFault, ScalingAction, ScalingRule};
pub use spec::{
    Fallback, FallbackReplicas, PolicyError, PolicySpec, PolicyTerms, Stabilisation, StepLimit, StepLimits,
    Tolerance,
};
