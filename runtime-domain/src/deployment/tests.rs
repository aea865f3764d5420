//! Deployments against a small model of the world: table, properties, and the bugs of others.

mod belief;
mod configuration;
mod graveyard;
mod properties;
mod scaling;
mod table;
pub(crate) mod world;
