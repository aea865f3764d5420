//! stub
use super::EnvironmentStage;
use crate::id::*;
use crate::surface::SurfaceKind;
use crate::value::Revision;
use alloc::collections::BTreeSet;
/// stub
#[derive(Debug, PartialEq, Eq)]
pub struct Admission {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    pub(crate) stage: EnvironmentStage,
    pub(crate) surfaces: BTreeSet<SurfaceKind>,
    pub(crate) environment_revision: Revision,
    pub(crate) binding: Option<(TenantBindingId, Revision)>,
}
impl Admission {
    /// a
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }
    /// a
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }
    /// a
    pub fn stage(&self) -> EnvironmentStage {
        self.stage
    }
    /// a
    pub fn surfaces(&self) -> &BTreeSet<SurfaceKind> {
        &self.surfaces
    }
    /// a
    pub fn environment_revision(&self) -> Revision {
        self.environment_revision
    }
    /// a
    pub fn binding(&self) -> Option<(TenantBindingId, Revision)> {
        self.binding
    }
}
