//! Where an environment lives. Every name is an identifier's text or a constant, so no path can lead elsewhere.

use std::path::{Path, PathBuf};

use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::SurfaceKind;

pub(crate) const FENCES: &str = ".fences.json";
pub(crate) const MARK: &str = ".factory-runtime.json";
pub(crate) const MANIFEST: &str = "environment.json";
pub(crate) const TARGETS: &str = "targets";

/// The folders of every surface.
pub(crate) const PARTS: [&str; 3] = ["state", "artifacts", "logs"];

/// Every surface there is, whether an engine supports it or not.
pub(crate) const SURFACES: [SurfaceKind; 5] = [
    SurfaceKind::Process,
    SurfaceKind::Kubernetes,
    SurfaceKind::ContainerApps,
    SurfaceKind::Functions,
    SurfaceKind::AppService,
];

#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    /// The folder of the tenant.
    pub(crate) tenant_folder: PathBuf,
    /// The folder of the environment.
    pub(crate) folder: PathBuf,
}

impl Place {
    pub(crate) fn new(root: &Path, tenant: TenantId, environment: EnvironmentId) -> Self {
        let tenant_folder = root.join(tenant.to_string());
        let folder = tenant_folder.join(environment.to_string());
        Self { tenant, environment, tenant_folder, folder }
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.tenant_folder.join(".lock")
    }

    pub(crate) fn fences(&self) -> PathBuf {
        self.tenant_folder.join(FENCES)
    }

    /// Where the environment is before it is one.
    pub(crate) fn making(&self) -> PathBuf {
        self.tenant_folder.join(format!(".making-{}", self.environment))
    }

    /// Where the environment is once it is none any more.
    pub(crate) fn removing(&self) -> PathBuf {
        self.tenant_folder.join(format!(".removing-{}", self.environment))
    }

    pub(crate) fn targets(&self) -> PathBuf {
        self.folder.join(TARGETS)
    }

    pub(crate) fn target(&self, surface: SurfaceKind) -> PathBuf {
        self.targets().join(surface.name())
    }

    pub(crate) fn stack_ref(&self) -> String {
        format!("directory/{}", self.environment)
    }

    pub(crate) fn target_id(&self, surface: SurfaceKind) -> String {
        format!("{}/{surface}", self.stack_ref())
    }

    pub(crate) fn part_id(&self, surface: SurfaceKind, part: &str) -> String {
        format!("{}/{part}", self.target_id(surface))
    }
}
