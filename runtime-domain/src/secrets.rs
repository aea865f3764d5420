//! Bindings of workloads to vault secrets. No value is ever held.

mod evidence;

pub use evidence::BoundSecret;
