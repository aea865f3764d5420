//! The components of a release.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::component::{
    ComponentSpec, ComponentType, ConfigurationDelivery, ConfigurationReload, DependencySpec, HttpPath,
    HttpProbeSpec, ImageReference, InstanceResources, OutsideService, ServiceUrl, VariableName, Version,
};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Span;
use runtime_domain::value::{ModuleId, Name, Replicas, TextError};
use runtime_ports::manifest::ComponentManifest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pinned;
use crate::document::millis;
use crate::document::scaling::{NoPolicy, PolicyDocument};

/// A component as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Component {
    /// The image. In an answer it names the digest, too.
    pub image: ImageReference,
    /// The version that people know it by.
    pub version: Version,
    /// The part that it plays.
    #[serde(default = "microservice")]
    pub component_type: ComponentType,
    /// The surface that runs it.
    #[serde(default = "process")]
    pub surface: SurfaceKind,
    /// How many replicas serve.
    #[serde(default = "one_replica")]
    pub replicas: Replicas,
    /// How it scales: the terms of its scaling policy from when the release serves, for the surface that runs it. It comes and goes with the
    /// release. Without it, the policy that the component has stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<PolicyDocument>,
    /// What each instance needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Arguments after the image's entry point.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Plain environment variables, never a secret.
    #[serde(default)]
    pub variables: BTreeMap<VariableName, String>,
    /// How it gets its configuration, and how it takes a later version.
    #[serde(default)]
    pub configuration: ConfigurationTaking,
    /// Tells whether an instance may be sent requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<HttpProbe>,
    /// Tells whether an instance must be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<HttpProbe>,
    /// How long an instance may take to finish its requests, in milliseconds.
    #[serde(default = "grace")]
    pub termination_grace_millis: u64,
    /// Modules that must be rolled out before.
    #[serde(default)]
    pub depends_on: BTreeSet<ModuleId>,
    /// What it needs to be well: components of its environment, by their modules' names, and services outside.
    #[serde(default)]
    pub dependencies: BTreeMap<Name, Dependency>,
}

/// Something that a component needs to be well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dependency {
    /// Whether it cannot do without; while something required is Unhealthy, so is the component.
    #[serde(default = "yes")]
    pub required: bool,
    /// The service outside that is meant, which answers with 200 to 299 while it is well; without it, the component of that name. It is
    /// `http://host:port/path`, in small letters, without user, query, fragment or anything secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub url: Option<String>,
    /// How long the service outside may take to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_millis: Option<u64>,
}

/// Something of a component that is not what it must be: a dependency outside that no URL names, terms that are no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(super) struct Illegal {
    /// Where it is said, from the component on.
    pub(super) at: String,
    why: String,
}

impl Illegal {
    fn url(name: &Name, why: &TextError) -> Self {
        Self { at: format!("dependencies.{name}.url"), why: why.to_string() }
    }

    fn scaling(terms: NoPolicy) -> Self {
        Self { at: format!("scaling{}", terms.at), why: terms.why }
    }
}

impl Dependency {
    fn spec(&self, name: &Name) -> Result<DependencySpec, Illegal> {
        let http = self.url.as_deref().map(|url| {
            let url = ServiceUrl::new(url);
            let usual = OutsideService::at(url.map_err(|why| Illegal::url(name, &why))?);
            let timeout = self.timeout_millis.map_or(usual.timeout, Span::from_millis);
            Ok(OutsideService { timeout, ..usual })
        });
        Ok(DependencySpec { required: self.required, http: http.transpose()? })
    }

    fn of(spec: &DependencySpec) -> Self {
        let http = spec.http.as_ref();
        Self {
            required: spec.required,
            url: http.map(|http| http.url.as_str().to_owned()),
            timeout_millis: http.map(|http| millis(http.timeout)),
        }
    }
}

const fn microservice() -> ComponentType {
    ComponentType::Microservice
}
const fn process() -> SurfaceKind {
    SurfaceKind::Process
}
const fn one_replica() -> Replicas {
    Replicas::ONE
}
const fn grace() -> u64 {
    10_000
}

/// What each instance needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_millicores: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of storage.
    #[serde(default)]
    pub storage_bytes: u64,
    /// Requests in a second.
    #[serde(default)]
    pub requests_per_second: u64,
}

/// How a component gets its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigurationTaking {
    /// As environment variables, too.
    #[serde(default = "yes")]
    pub variables: bool,
    /// How it takes a later version.
    #[serde(default)]
    pub reload: ConfigurationReload,
    /// Where it tells which version it runs with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<HttpPath>,
}

const fn yes() -> bool {
    true
}

impl Default for ConfigurationTaking {
    fn default() -> Self {
        Self::of(&ConfigurationDelivery::default())
    }
}

impl ConfigurationTaking {
    fn of(delivery: &ConfigurationDelivery) -> Self {
        let ConfigurationDelivery { variables, reload, report } = delivery.clone();
        Self { variables, reload, report }
    }
}

/// An HTTP probe of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpProbe {
    /// The path.
    pub path: HttpPath,
    /// How often, in milliseconds.
    #[serde(default = "second")]
    pub period_millis: u64,
    /// How long an answer may take, in milliseconds.
    #[serde(default = "second")]
    pub timeout_millis: u64,
    /// How many failures in a row count.
    #[serde(default = "three")]
    pub failure_threshold: u16,
}

const fn second() -> u64 {
    1_000
}
const fn three() -> u16 {
    3
}

impl HttpProbe {
    fn spec(&self) -> HttpProbeSpec {
        HttpProbeSpec {
            path: self.path.clone(),
            period: Span::from_millis(self.period_millis),
            timeout: Span::from_millis(self.timeout_millis),
            failure_threshold: self.failure_threshold,
        }
    }

    fn of(spec: &HttpProbeSpec) -> Self {
        Self {
            path: spec.path.clone(),
            period_millis: millis(spec.period),
            timeout_millis: millis(spec.timeout),
            failure_threshold: spec.failure_threshold,
        }
    }
}

impl Component {
    pub(super) fn manifest(&self) -> Result<ComponentManifest, Illegal> {
        let dependencies =
            self.dependencies.iter().map(|(name, needed)| Ok((name.clone(), needed.spec(name)?)));
        Ok(ComponentManifest {
            image: self.image.clone(),
            version: self.version.clone(),
            component_type: self.component_type,
            surface: self.surface,
            replicas: self.replicas,
            scaling: self.scaling.clone().map(PolicyDocument::said).transpose().map_err(Illegal::scaling)?,
            resources: self.resources.map(|each| InstanceResources {
                cpu_millicores: each.cpu_millicores,
                memory_bytes: each.memory_bytes,
                storage_bytes: each.storage_bytes,
                requests_per_second: each.requests_per_second,
            }),
            arguments: self.arguments.clone(),
            variables: self.variables.clone(),
            configuration: ConfigurationDelivery {
                variables: self.configuration.variables,
                reload: self.configuration.reload,
                report: self.configuration.report.clone(),
            },
            readiness: self.readiness.as_ref().map(HttpProbe::spec),
            liveness: self.liveness.as_ref().map(HttpProbe::spec),
            termination_grace: Span::from_millis(self.termination_grace_millis),
            depends_on: self.depends_on.clone(),
            dependencies: dependencies.collect::<Result<_, Illegal>>()?,
        })
    }

    pub(super) fn of(spec: &ComponentSpec) -> Self {
        Self {
            image: pinned(&spec.tuple.image),
            version: spec.version.clone(),
            component_type: spec.component_type,
            surface: spec.surface,
            replicas: spec.replicas,
            scaling: spec.tuple.scaling.as_ref().map(PolicyDocument::of),
            resources: spec.resources.map(|each| Resources {
                cpu_millicores: each.cpu_millicores,
                memory_bytes: each.memory_bytes,
                storage_bytes: each.storage_bytes,
                requests_per_second: each.requests_per_second,
            }),
            arguments: spec.arguments.clone(),
            variables: spec.variables.clone(),
            configuration: ConfigurationTaking::of(&spec.configuration),
            readiness: spec.readiness.as_ref().map(HttpProbe::of),
            liveness: spec.liveness.as_ref().map(HttpProbe::of),
            termination_grace_millis: millis(spec.termination_grace),
            depends_on: spec.depends_on.clone(),
            dependencies: spec
                .dependencies
                .iter()
                .map(|(name, it)| (name.clone(), Dependency::of(it)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A component that says so of how it scales.
    fn scaling(terms: serde_json::Value) -> Component {
        let component = json!({ "image": "shop/cart:1", "version": "1", "scaling": terms });
        serde_json::from_value(component).unwrap()
    }

    #[test]
    fn a_component_scales_by_the_words_that_scaling_itself_takes() {
        let terms = json!({
            "target": "process", "minReplicas": 2, "maxReplicas": 8,
            "rules": [{ "metric": "cpu-utilization", "threshold": "60" }],
            "cooldownSeconds": 30, "scaleInLimit": { "replicas": 1, "periodMillis": 60_000 },
        });
        let policy: PolicyDocument = serde_json::from_value(terms.clone()).unwrap();
        let spec = policy.spec().unwrap();
        let manifest = scaling(terms).manifest().unwrap();
        assert_eq!(manifest.scaling, Some(spec.clone()));
        let written = serde_json::to_value(PolicyDocument::of(&spec)).unwrap();
        assert_eq!(
            scaling(written).manifest().unwrap().scaling,
            Some(spec),
            "what is answered is read again"
        );
    }

    #[test]
    fn terms_that_are_no_policy_are_refused_by_their_place_with_what_would_be_legal() {
        let with = |more: serde_json::Value| {
            let mut terms = json!({
                "target": "process", "minReplicas": 1, "maxReplicas": 8,
                "rules": [{ "metric": "cpu-utilization", "threshold": "60" }],
            });
            terms.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let illegal = scaling(terms).manifest().unwrap_err();
            (illegal.at.clone(), illegal.to_string())
        };
        let (at, why) = with(json!({ "minReplicas": 0 }));
        assert_eq!(at, "scaling");
        assert!(why.contains("write a least of 1, or use container-apps or functions"), "{why}");
        let (at, why) = with(json!({ "fallback": { "mode": "static" } }));
        assert_eq!(at, "scaling.fallback");
        assert!(why.contains("every other mode takes a number"), "{why}");
        assert_eq!(with(json!({ "rules": [] })).1, "a policy needs a rule: write one for a metric");
    }
}
