//! What happens in the story, in its order.

pub mod configuration;
pub mod drift;
pub mod promotion;
pub mod rollouts;
pub mod scaling;
pub mod secrets;
pub mod silo;
