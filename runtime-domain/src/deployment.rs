//! Deployments: rollouts of one or more components, health-gated and reversible.

mod evidence;

pub use evidence::DeployedVersion;
