//! Whole hosts in a simulated world.
//!
//! One seed decides everything: what operators ask of which host and when, which call of which port meets which fault, how long calls take,
//! which host dies, freezes, is cut off or has the wrong time. The hosts are the real ones, with all their services and reconcilers; the world
//! is in memory, or yours. What must always hold is looked at after every step. A seed that breaks it is made shorter until a person can
//! read it, and is told with the command that tells it again.
//!
//! ```
//! use std::sync::Arc;
//! use runtime_simulation::Simulation;
//!
//! // In your own tests: your surface, over the world's or instead of it.
//! Simulation::new(1).steps(40).surface(|world| Arc::new(world.surface.clone())).seeds(2).assert_passed();
//! ```
//!
//! | to find | look in |
//! |---|---|
//! | what a user calls | [`Simulation`], [`Outcome`], [`Failure`] |
//! | what happens, as plain data | [`Story`], `story/generate.rs`; which seed has more of what: `story/emphasis.rs` |
//! | how it is told | `telling.rs`, `hosts.rs`, `operator.rs`, `world.rs` |
//! | what was reached, what was not, and what cannot be | [`Coverage`], [`NEVER_CALLED`] |
//! | what must hold | [`Law`], `laws/`, `witness.rs` |
//! | how a story is made shorter | `shrink.rs` |
//!
//! Time is tokio's, paused: it goes on at once where nothing is to be done. Everything runs on one thread.

mod coverage;
mod hosts;
mod laws;
mod operator;
mod outcome;
mod pace;
mod panics;
mod random;
mod records;
mod shrink;
mod simulation;
mod story;
mod telling;
mod trace;
mod witness;
mod world;

pub use coverage::{Cells, Coverage, CrashPoint, CrashPoints, NEVER_CALLED};
pub use laws::{Broken, Law};
pub use outcome::{Failure, Outcome, Told};
pub use simulation::{Mode, Simulation, Size};
pub use story::{
    DriftAsk, EnvironmentAsk, Event, Hand, Operation, Place, ScalingAsk, SecretAsk, Step, Story, Strategy,
    TenancyAsk, Trouble, Wrong,
};
pub use trace::Calls;
pub use world::World;
