//! How a release moves through the world: the rollout machine, without I/O.
//!
//! A strategy is compiled, before anything moves, into a [`RolloutPlan`]: data that can be shown, stored and replayed.
//!
//! ```text
//! plan ──► segment ──► segment ──► …          one after the other: preflight, waves, verification, retirement
//!             │
//!             ├─ track "component/cart"  ──► stage ─► stage ─► …      tracks of a segment run side by side
//!             └─ track "component/pay"   ──► stage ─► …
//!
//! stage: requires (observed) → change (an effect) → hold → gates pass → until (observed)
//! ```
//!
//! One shape of stage serves every strategy, forward and back. What a stage waits for is always an observation of the world or a
//! gate's verdict, never an accepted write; so a weight is a fact, and a revision is retired on evidence.
//!
//! | to find | look in |
//! |---|---|
//! | rolling, blue/green, canary and their parameters | [`strategy`] |
//! | gates, their tallies and verdicts | [`gate`] |
//! | stages, conditions, segments | [`plan`] |
//! | strategy → plan, and what a surface must be able to do | [`compile`] |
//! | where a plan stands, and what to do next | [`progress`] |

pub mod compile;
pub mod gate;
pub mod plan;
pub mod progress;
pub mod strategy;

pub use compile::{PlanRefusal, compile_restoration, compile_rollout};
pub use gate::{GateCheck, GateIndex, GatePoint, GateSpec, GateStatus, HealthGate, Sample};
pub use plan::{Change, Condition, Hold, RolloutPlan, Segment, SegmentKind, Stage, Track};
pub use progress::{Action, Effect, EffectChange, Look, Next, Progress};
pub use strategy::{DeploymentStrategy, RolloutLimits};
