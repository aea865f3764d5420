//! How a running service scales against live telemetry and objectives.
//!
//! ```text
//! (none) ─► Active ◄─► Violated
//!              ▲           │
//!              └► Suspended ◄┘     each of the three ─► Retired
//! ```
//!
//! | command | Active | Violated | Suspended | Retired |
//! |---|---|---|---|---|
//! | Apply again, the same | same | same | same | LIFECYCLE |
//! | Apply again, otherwise | SCL-3 | SCL-3 | SCL-3 | LIFECYCLE |
//! | ChangePolicy | yes¹ | yes¹ | yes² | LIFECYCLE |
//! | a release that serves says otherwise | yes¹ | yes¹ | yes² | LIFECYCLE |
//! | a release that serves says the same | yes⁷ | yes⁷ | yes⁷ | LIFECYCLE |
//! | a release that is followed, or an earlier one | same | same | same | LIFECYCLE |
//! | ChangePolicy to what it says | same | same | same | LIFECYCLE |
//! | SuspendScaling | yes | yes | same | LIFECYCLE |
//! | ResumeScaling | same | same | yes³ | LIFECYCLE |
//! | RecordEvaluation | yes⁴ | yes⁴ | LIFECYCLE | LIFECYCLE |
//! | RecordActivation, where it scales to zero | yes⁶ | yes⁶ | same | LIFECYCLE |
//! | RecordActivation, else, or again | same | same | same | LIFECYCLE |
//! | RecordScaled, another number | yes⁵ | yes⁵ | same | LIFECYCLE |
//! | RecordScaled, the same number | same | same | same | LIFECYCLE |
//! | RetirePolicy | yes | yes | yes | same |
//!
//! *same* means accepted and nothing changes. ¹ It is Active, and judged anew: what the former policy recommended is forgotten; when replicas
//! changed is not. ² It stays Suspended. ³ It is due at once, and remembers nothing from before. ⁴ Violated where it is not kept, Active
//! where it is. ⁵ It is as it was: only an evaluation knows whether a rollout is under way, and judges. ⁶ It is as it was, and due at once; unless a replica is wanted already.
//! ⁷ It goes on as it was, and follows no earlier release from then on.
//!
//! # How it comes and goes with a release
//!
//! A release may declare how its components scale ([`ReleaseTuple::scaling`](crate::component::ReleaseTuple::scaling)). Once its deployment is
//! Completed, whoever follows deployments has the policy follow ([`ScalingPolicy::follow`]), or makes one
//! ([`ScalingPolicy::apply_released`]). Deployments of a component are numbered, so one that is heard of late, or twice, changes nothing. A
//! release that declares nothing leaves the policy alone.
//!
//! # How it scales
//!
//! A reconciler is woken every [`EVALUATE_EVERY`], reads what the rules ask for, and records it (`RecordEvaluation`). The policy decides with
//! [`evaluate`], whose room says how, and keeps what it wants ([`ScalingPolicy::wanted`]) until it is seen. The reconciler scales the
//! surface and records what it sees (`RecordScaled`). Where it dies in between, the effect has the same identifier
//! ([`ScalingPolicy::effect`]) when another host does it again, and the next evaluation sees what came of it.
//!
//! Where something waits for a service that runs no replica, `RecordActivation` makes the policy due at once, and again after
//! [`ACTIVATE_EVERY`] for as long as it waits.
//!
//! `ScalingPolicyApplied` is published when a policy takes effect, when a changed one does, and when so many replicas are seen as it wanted:
//! never for a wish. A number that it did not want, as while a change is half done or after somebody scaled by hand, is noted and not
//! published as the policy's. `ScalingPolicyViolated` is published when replicas are seen outside of the bounds while no rollout is under way,
//! when a signal has been Unknown for the fallback's span, and when more replicas than the bounds allow have been needed for
//! [`SHORT_FOR`]; where several hold, the first of these is told. When none does any more, it is Active again.
//!
//! Invariants, each with the place that keeps it:
//! - **SCL-1** (type): the fewest replicas are not more than the most: [`ReplicaBounds`] has one parser and is read back through it.
//! - **SCL-2** (type): the least is zero only on an event-driven target: [`ReplicaBounds`] is parsed together with its target; and only where
//!   a metric can wake the service: [`PolicySpec`].
//! - **SCL-3** (type, claim): a policy is of one service, whose identifier is derived from its environment and module; and a service has one
//!   policy: [`Claim::scaling_policy`](crate::claim::Claim::scaling_policy), held until Retired.
//! - **X-1** (evidence): only the environment's own tenant applies one:
//!   [`HostedSurface`](crate::environment::HostedSurface), which also shows that the environment has the policy's target.
//! - **X-6** (evidence): what a release says of it takes effect once that release serves, and what it says that is gone back to is in force again:
//!   [`ReleasedScaling`](crate::deployment::ReleasedScaling), which only a Completed deployment hands out.
//! - **X-3** (claim, check): asking for the same policy twice gives one: `apply_again`.

mod autoscaler;
mod bounds;
mod command;
mod decide;
mod event;
mod evolve;
mod history;
mod input;
mod metric;
mod record;
mod refusal;
mod rule;
mod spec;
mod state;
#[cfg(test)]
mod tests;

pub use autoscaler::{Proposal, ScalingDecision, Vote, evaluate, proposal};
pub use bounds::{BoundsError, ReplicaBounds};
pub use command::{ApplyScalingPolicy, ScalingCommand};
pub use event::{PolicyEffect, PolicyIdentity, ReleaseMark, ScalingEvent, Violation};
pub use history::{Findings, History, LONGEST_GAP};
pub use input::{BurnReading, Input, Reading, RolloutInFlight};
pub use metric::{Cooldown, CooldownError, ScalingMetric, Signal};
pub use record::ScalingPolicyRecord;
pub use refusal::ScalingRefusal;
pub use rule::{Credence, ErrorBudgetRule, RuleFault, ScalingAction, ScalingRule};
pub use spec::{
    Fallback, FallbackReplicas, PolicyError, PolicySpec, PolicyTerms, Stabilisation, StepLimit, StepLimits,
    Tolerance,
};
pub use state::{
    ACTIVATE_EVERY, AppliedAction, EVALUATE_EVERY, FormerTerms, MOST_APPLIED, MOST_FORMER, PolicyState,
    PolicyStatus, Released, Retired, SHORT_FOR, ScalingPolicy, Suspended, Violated, Wanted, Watch,
};
