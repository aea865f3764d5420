//! Runtime environments: isolated, provisioned stage and region slices that host workloads.

mod blueprint;

pub use blueprint::{
    ComputeTarget, EnvironmentBlueprint, EnvironmentStage, IsolationModel, NetworkBoundary,
    ProvisionedResources,
};
