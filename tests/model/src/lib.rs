//! How hosts share the work on one aggregate, as a model that a checker searches exhaustively.
//!
//! A host takes a lease, loads, commits an intention, asks the world for its effect, commits that it was done. Between any two of these steps
//! anything may happen: the host is slow, its lease ends by another's clock and that one takes over, it dies, or what it asked of the world
//! arrives much later. Beside that work, events go from the outbox to a consumer, under leases of their own.
//!
//! ```text
//! Idle ──take──► Working ──intend──► Working ──ask──► Asked ──(the world answers)──► Effected ──finish──► Working ── … ──► Idle
//! ```
//!
//! Revision 1 is the aggregate at its creation; job *n* is intended by revision 2*n* and done with revision 2*n* + 1. Every revision has one event.
//!
//! Of the network it is believed that what one host asks under one lease arrives in the order in which it asked; of the world, that it knows its
//! last effect again. Both are less than a surface promises, which knows many.
//!
//! The model shares no code with the stores. `tests/model` searches it, shows that each of its guards is needed, and plays every path on real
//! stores, which must answer as the model does.

mod guards;
mod properties;
mod state;
mod step;

pub use guards::Guards;
pub use state::{Fault, Held, Host, Message, Relaying, State, Working};
pub use step::{Action, Outcome};

use stateright::{Model, Property};

/// Ticks that a lease lasts.
pub const LEASE: i8 = 2;

/// The protocol, at a size.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// How far each host's clock is ahead, in ticks: 0 or more.
    pub clocks: Vec<i8>,
    /// How many jobs there are to do.
    pub jobs: u8,
    /// How many leases are given at most: what bounds the search.
    pub leases: u8,
    /// How much that was asked of the world may be on its way at once.
    pub messages: usize,
    /// Whether events are relayed.
    pub is_relayed: bool,
    /// What protects it.
    pub guards: Guards,
}

impl Protocol {
    /// The aggregate's revision when all is done.
    pub fn last_revision(&self) -> u8 {
        2 * self.jobs + 1
    }

    /// Whether nothing is left to do.
    pub fn is_ended(&self, state: &State) -> bool {
        let is_relayed = !self.is_relayed || state.published == state.revision;
        state.revision == self.last_revision() && is_relayed
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.clocks.len())]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        step::possible(self, state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.step(&mut next, action);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}
