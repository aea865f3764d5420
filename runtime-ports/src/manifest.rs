//! Release manifests: what people and pipelines write down to be rolled out.
//!
//! A manifest names images by reference; a service pins each to the digest that the registry holds, so that what is deployed cannot change
//! under it. Unknown fields are refused: a misspelt one must not be lost. Callers bring manifests, and so does the
//! [source of desired state](crate::desired_state).

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::component::{
    ComponentSpec, ComponentType, ConfigurationDelivery, DependencySpec, HttpProbeSpec, ImageReference,
    InstanceResources, JobSpec, PinnedImage, ReleaseReference, ReleaseTuple, VariableName, Version,
};
use runtime_domain::deployment::Release;
use runtime_domain::id::ConfigurationId;
use runtime_domain::rollout::gate::{ApprovalCheck, MetricCheck, ProbeCheck};
use runtime_domain::rollout::{DeploymentStrategy, GateCheck, GatePoint, GateSpec, RolloutLimits};
use runtime_domain::scaling::PolicySpec;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Span;
use runtime_domain::value::{ModuleId, Name, Replicas};
use serde::{Deserialize, Serialize};

use crate::PortError;

/// A release as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseManifest {
    /// Its name.
    pub release: ReleaseReference,
    /// How the new replaces the old.
    pub strategy: DeploymentStrategy,
    /// Its components, by module.
    pub components: BTreeMap<ModuleId, ComponentManifest>,
    /// What it is judged by, by name, besides readiness. Evaluated in the order of their names.
    #[serde(default)]
    pub gates: BTreeMap<Name, GateManifest>,
    /// How long it may take and how much may go wrong.
    #[serde(default)]
    pub limits: RolloutLimits,
    /// The configuration version that it carries to every one of its components; none where it is not said.
    #[serde(default)]
    pub configuration: Option<ConfigurationId>,
}

/// A component as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentManifest {
    /// The image.
    pub image: ImageReference,
    /// The version that people know it by.
    pub version: Version,
    /// The part it plays; a microservice where it is not said.
    #[serde(default = "microservice", rename = "type")]
    pub component_type: ComponentType,
    /// The surface that runs it; processes where it is not said.
    #[serde(default = "process")]
    pub surface: SurfaceKind,
    /// How many replicas serve; one where it is not said. A component that scales begins with the nearest count that its bounds allow, and
    /// with as many as there are where its policy has scaled it before.
    #[serde(default = "one")]
    pub replicas: Replicas,
    /// How it scales: the terms of its scaling policy from when the release serves, as scaling takes them everywhere, for the surface that runs
    /// it. It comes and goes with the release. Where it is not said, the policy that the component has stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<PolicySpec>,
    /// What each instance needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<InstanceResources>,
    /// Arguments after the image's entry point.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Plain environment variables, never a secret.
    #[serde(default)]
    pub variables: BTreeMap<VariableName, String>,
    /// How it gets its configuration, and how it takes a later version; as a file and variables, by a restart, where it is not said.
    #[serde(default)]
    pub configuration: ConfigurationDelivery,
    /// Tells whether an instance may be sent requests.
    #[serde(default)]
    pub readiness: Option<HttpProbeSpec>,
    /// Tells whether an instance must be replaced.
    #[serde(default)]
    pub liveness: Option<HttpProbeSpec>,
    /// How long an instance may take to finish its requests.
    #[serde(default = "grace")]
    pub termination_grace: Span,
    /// Modules that must be rolled out before.
    #[serde(default)]
    pub depends_on: BTreeSet<ModuleId>,
    /// What it needs to be well, by name: `db: {}` is the component `db`, `pay: { http: { url: "http://pay.example:80/ready" } }` a service
    /// outside; `required: false` where it can do without.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<Name, DependencySpec>,
}

/// A gate as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateManifest {
    /// When it is evaluated.
    pub at: GatePoint,
    /// Which components it judges; every one where it is not said.
    #[serde(default)]
    pub modules: BTreeSet<ModuleId>,
    /// What it asks.
    pub check: CheckManifest,
}

/// What a gate asks, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckManifest {
    /// An HTTP request is answered with 200 to 299.
    Probe(ProbeCheck),
    /// A metric stays within its bound.
    Metric(MetricCheck),
    /// Enough people agree.
    Approval(ApprovalCheck),
    /// A job ends well.
    Job(JobManifest),
}

/// A job as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobManifest {
    /// The image.
    pub image: ImageReference,
    /// Arguments after the image's entry point.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Plain environment variables, never a secret.
    #[serde(default)]
    pub variables: BTreeMap<VariableName, String>,
    /// The component of the release whose configuration and secrets it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ModuleId>,
    /// How long it may run.
    pub timeout: Span,
}

const fn microservice() -> ComponentType {
    ComponentType::Microservice
}
const fn process() -> SurfaceKind {
    SurfaceKind::Process
}
const fn one() -> Replicas {
    Replicas::ONE
}
const fn grace() -> Span {
    Span::from_secs(10)
}

/// Why a manifest does not make a release.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// An image cannot be had.
    #[error("{place}: image {reference} cannot be deployed")]
    Image {
        /// Where it is named.
        place: String,
        /// The image.
        reference: Box<ImageReference>,
        /// Why.
        #[source]
        cause: Box<PortError>,
    },
    /// An image was not resolved.
    #[error("{place}: image {reference} was not resolved")]
    Unresolved {
        /// Where it is named.
        place: String,
        /// The image.
        reference: Box<ImageReference>,
    },
}

impl ReleaseManifest {
    /// Every image that is named, with the place that names it.
    pub fn images(&self) -> Vec<(String, &ImageReference)> {
        let components = self
            .components
            .iter()
            .map(|(module, component)| (format!("components.{module}.image"), &component.image));
        let jobs = self.gates.iter().filter_map(|(name, gate)| match &gate.check {
            CheckManifest::Job(job) => Some((format!("gates.{name}.check.job.image"), &job.image)),
            _ => None,
        });
        components.chain(jobs).collect()
    }

    /// The release, with its images pinned.
    ///
    /// # Errors
    /// An image is missing from `images`.
    pub fn release(&self, images: &BTreeMap<ImageReference, PinnedImage>) -> Result<Release, ManifestError> {
        let pinned = |place: String, reference: &ImageReference| {
            images
                .get(reference)
                .cloned()
                .ok_or_else(|| ManifestError::Unresolved { place, reference: Box::new(reference.clone()) })
        };
        let components = self.components.iter().map(|(module, component)| {
            let image = pinned(format!("components.{module}.image"), &component.image)?;
            Ok((module.clone(), component.spec(module, image)))
        });
        let gates = self.gates.iter().map(|(name, gate)| {
            let check = match &gate.check {
                CheckManifest::Probe(check) => GateCheck::Probe(check.clone()),
                CheckManifest::Metric(check) => GateCheck::Metric(check.clone()),
                CheckManifest::Approval(check) => GateCheck::Approval(check.clone()),
                CheckManifest::Job(job) => {
                    let image = pinned(format!("gates.{name}.check.job.image"), &job.image)?;
                    GateCheck::Job(JobSpec {
                        name: name.clone(),
                        image,
                        arguments: job.arguments.clone(),
                        variables: job.variables.clone(),
                        component: job.component.clone(),
                        timeout: job.timeout,
                    })
                }
            };
            Ok(GateSpec { name: name.clone(), at: gate.at, modules: gate.modules.clone(), check })
        });
        Ok(Release {
            reference: self.release.clone(),
            components: components.collect::<Result<_, ManifestError>>()?,
            strategy: self.strategy.clone(),
            gates: gates.collect::<Result<_, ManifestError>>()?,
            limits: self.limits.clone(),
            configuration_id: self.configuration,
        })
    }
}

impl ComponentManifest {
    fn spec(&self, module: &ModuleId, image: PinnedImage) -> ComponentSpec {
        ComponentSpec {
            module: module.clone(),
            component_type: self.component_type,
            version: self.version.clone(),
            tuple: ReleaseTuple {
                image,
                configuration: None,
                secrets: BTreeSet::new(),
                scaling_policy: None,
                scaling: self.scaling.clone(),
            },
            surface: self.surface,
            replicas: self.replicas,
            resources: self.resources,
            arguments: self.arguments.clone(),
            variables: self.variables.clone(),
            configuration: self.configuration.clone(),
            readiness: self.readiness.clone(),
            liveness: self.liveness.clone(),
            termination_grace: self.termination_grace,
            depends_on: self.depends_on.clone(),
            dependencies: self.dependencies.clone(),
        }
    }
}
