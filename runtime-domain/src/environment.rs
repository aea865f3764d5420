//! Runtime environments: isolated, provisioned stage and region slices that host workloads.

mod blueprint;
mod evidence;
pub use evidence::Admission;

pub use blueprint::{
    ComputeTarget, EnvironmentBlueprint, EnvironmentStage, IsolationModel, NetworkBoundary,
    ProvisionedResources,
};
