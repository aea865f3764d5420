//! What a release is made of: images, and components with everything they run with.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::configuration::Checksum;
use crate::id::{ConfigurationId, DeploymentId, ScalingPolicyId, SecretBindingId};
use crate::scaling::PolicySpec;
use crate::secrets::SecretVersion;
use crate::surface::SurfaceKind;
use crate::time::Span;
use crate::value::{ModuleId, Name, Replicas, TextError, parsed_text};

mod delivery;
mod dependency;
mod image;
mod resources;
#[cfg(test)]
mod tests;

pub use delivery::{ConfigurationDelivery, ConfigurationReload};
pub use dependency::{Dependency, DependencySpec, OutsideService, ServiceUrl};
pub use image::{ImageDigest, ImageReference, PinnedImage};
pub use resources::InstanceResources;

/// The version that people know a component by, such as `1.4.2`: 1 to 64 of letters, digits, `.`, `-`, `_` and `+`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[A-Za-z0-9._+-]{1,64}$")))]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

impl Version {
    /// Parses a version.
    ///
    /// # Errors
    /// Empty, longer than 64 characters, or with other characters.
    pub fn new(text: &str) -> Result<Self, TextError> {
        parsed_text(
            text,
            "a version",
            "1 to 64 letters, digits, dots, hyphens, underscores and plus signs",
            |text| {
                (1..=64).contains(&text.len())
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+'))
            },
        )
        .map(Self)
    }

    /// The version's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for Version {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl FromStr for Version {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}
impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0
    }
}
impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What part a component plays in the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ComponentType {
    /// The single ingress of the product.
    Gateway,
    /// A service behind the gateway.
    Microservice,
    /// A consumer of queues or schedules.
    Worker,
    /// The operator's front end.
    AdminPortal,
    /// The customer's front end.
    CustomerPortal,
    /// The back end of a mobile application.
    MobileBackend,
}

/// The name of an environment variable: letters, digits and underscores, not beginning with a digit, at most 128.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[A-Za-z_][A-Za-z0-9_]{0,127}$")))]
#[serde(try_from = "String", into = "String")]
pub struct VariableName(String);

impl VariableName {
    /// Parses a name.
    ///
    /// # Errors
    /// Empty, too long, other characters, a leading digit, or the prefix `FACTORY_`, which is the runtime's own.
    pub fn new(text: &str) -> Result<Self, TextError> {
        parsed_text(
            text,
            "a variable name",
            "1 to 128 letters, digits and underscores, not beginning with a digit or with `FACTORY_`",
            |text| {
                (1..=128).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                    && !text.as_bytes().first().is_some_and(u8::is_ascii_digit)
                    && !text.starts_with("FACTORY_")
            },
        )
        .map(Self)
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for VariableName {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<VariableName> for String {
    fn from(name: VariableName) -> Self {
        name.0
    }
}

/// An HTTP request path for probes: it begins with `/`, and holds printable ASCII without spaces or `#`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = r#"^/([!-"$-.0-\[\]-~][!-"$-\[\]-~]{0,510})?$"#)))]
#[serde(try_from = "String", into = "String")]
pub struct HttpPath(String);

impl HttpPath {
    /// Parses a path.
    ///
    /// # Errors
    /// Not beginning with a single `/`, too long (over 512), or with characters that a request line cannot carry.
    pub fn new(text: &str) -> Result<Self, TextError> {
        parsed_text(
            text,
            "an HTTP path",
            "a path such as /ready: one leading slash, printable ASCII, no spaces, `#` or backslashes",
            |text| {
                text.len() <= 512
                    && text.starts_with('/')
                    && !text.starts_with("//")
                    && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\')
            },
        )
        .map(Self)
    }

    /// The path's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for HttpPath {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<HttpPath> for String {
    fn from(path: HttpPath) -> Self {
        path.0
    }
}

/// How an instance shows whether it may be sent requests, or must be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HttpProbeSpec {
    /// The path that is asked on the instance's own port. Any answer from 200 to 299 passes.
    pub path: HttpPath,
    /// How often.
    #[serde(default = "HttpProbeSpec::default_period")]
    pub period: Span,
    /// How long an answer may take.
    #[serde(default = "HttpProbeSpec::default_timeout")]
    pub timeout: Span,
    /// How many failures in a row change the verdict to failing.
    #[serde(default = "HttpProbeSpec::default_failures")]
    pub failure_threshold: u16,
}

impl HttpProbeSpec {
    /// A probe of `path` with the usual period (1 s), time-out (1 s) and threshold (3).
    pub fn at(path: HttpPath) -> Self {
        Self {
            path,
            period: Self::default_period(),
            timeout: Self::default_timeout(),
            failure_threshold: Self::default_failures(),
        }
    }

    const fn default_period() -> Span {
        Span::from_secs(1)
    }
    const fn default_timeout() -> Span {
        Span::from_secs(1)
    }
    const fn default_failures() -> u16 {
        3
    }
}

/// A configuration version that a component runs with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfigurationVersionRef {
    /// The configuration.
    pub configuration: ConfigurationId,
    /// Its checksum, so that a record cannot be changed under a running component.
    pub checksum: Checksum,
}

/// A secret version that a component runs with: a reference, never a value (SEC-1, X-11).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SecretVersionRef {
    /// The binding.
    pub binding: SecretBindingId,
    /// The vault's version.
    pub version: SecretVersion,
}

/// What rolls forward and back as one: code, configuration, secrets and scaling policy.
///
/// Two components with equal tuples behave the same, so a rollback that restores the tuple restores the behaviour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReleaseTuple {
    /// The code.
    pub image: PinnedImage,
    /// The configuration version, if the component has one.
    #[serde(default)]
    pub configuration: Option<ConfigurationVersionRef>,
    /// The secret versions.
    #[serde(default)]
    pub secrets: BTreeSet<SecretVersionRef>,
    /// The scaling policy, if one applies.
    #[serde(default)]
    pub scaling_policy: Option<ScalingPolicyId>,
    /// How it is to scale, where the release says so: the terms of its policy from when the release serves. Where it says nothing, the policy
    /// that there is stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<PolicySpec>,
}

impl ReleaseTuple {
    /// Whether the component scales: by a policy that it has, or by what the release declares. The number of its replicas is the policy's then.
    pub const fn is_scaled(&self) -> bool {
        self.scaling_policy.is_some() || self.scaling.is_some()
    }
}

/// One component of a release: what to run, how many, and how its surface tells that it is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ComponentSpec {
    /// The module it is generated from: its identity within the environment.
    pub module: ModuleId,
    /// The part it plays.
    pub component_type: ComponentType,
    /// The version that people know it by.
    pub version: Version,
    /// Code, configuration, secrets and scaling policy, as one.
    pub tuple: ReleaseTuple,
    /// The surface that runs it.
    pub surface: SurfaceKind,
    /// How many replicas serve when it is fully rolled out.
    pub replicas: Replicas,
    /// What each instance needs, where it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<InstanceResources>,
    /// Arguments after the image's entry point; empty means the image's own.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Plain environment variables. A secret never goes here (CFG-2, X-11).
    #[serde(default)]
    pub variables: BTreeMap<VariableName, String>,
    /// How it gets its configuration, and how it takes a later version.
    #[serde(default)]
    pub configuration: ConfigurationDelivery,
    /// Tells whether an instance may be sent requests. Without one, an instance counts as ready once it runs and listens.
    #[serde(default)]
    pub readiness: Option<HttpProbeSpec>,
    /// Tells whether an instance must be replaced.
    #[serde(default)]
    pub liveness: Option<HttpProbeSpec>,
    /// How long an instance may take to finish its requests after it was told to stop, before it is killed.
    #[serde(default = "ComponentSpec::default_grace")]
    pub termination_grace: Span,
    /// Modules of the same release that must be rolled out before this one.
    #[serde(default)]
    pub depends_on: BTreeSet<ModuleId>,
    /// What it needs to be well, by name: components of its environment, in this release or not, and services outside. What is only among
    /// `depends_on` is not required.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<Name, DependencySpec>,
}

impl ComponentSpec {
    const fn default_grace() -> Span {
        Span::from_secs(10)
    }
}

/// A short task that runs to its end, such as a database migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JobSpec {
    /// Its name within the deployment.
    pub name: Name,
    /// The code.
    pub image: PinnedImage,
    /// Arguments after the image's entry point.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Plain environment variables. A secret never goes here (CFG-2, X-11).
    #[serde(default)]
    pub variables: BTreeMap<VariableName, String>,
    /// The component of the same release that it works for, such as the one whose database it migrates: it is given the configuration and the
    /// secrets that this component's instances are given (X-6). Without one it is given neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ModuleId>,
    /// How long it may run before it is stopped and counts as failed.
    pub timeout: Span,
}

/// One revision of a component: what one deployment brought. A new deployment always makes a new revision, even of the
/// same image, so a new revision never inherits a verdict.
///
/// Displayed as `module@dep_…`; parses back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?@dep_[0-9a-f]{32}$")))]
#[serde(try_from = "String", into = "String")]
pub struct RevisionId {
    /// The component.
    pub module: ModuleId,
    /// The deployment that brought it.
    pub deployment: DeploymentId,
}

impl RevisionId {
    /// The revision of `module` that `deployment` brings.
    pub fn new(module: ModuleId, deployment: DeploymentId) -> Self {
        Self { module, deployment }
    }
}
impl fmt::Display for RevisionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.module, self.deployment)
    }
}
impl FromStr for RevisionId {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || TextError::new(text, "a revision", "module@dep_ and 32 hexadecimal digits");
        let (module, deployment) = text.split_once('@').ok_or_else(refused)?;
        Ok(Self {
            module: module.parse().map_err(|_| refused())?,
            deployment: deployment.parse().map_err(|_| refused())?,
        })
    }
}
impl TryFrom<String> for RevisionId {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl From<RevisionId> for String {
    fn from(revision: RevisionId) -> Self {
        format!("{revision}")
    }
}

/// The name of a release as people and pipelines know it, such as `shop-2026.11.2`: 1 to 128 letters, digits and `.-_+/@:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[A-Za-z0-9._+/@:-]{1,128}$")))]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseReference(String);

impl ReleaseReference {
    /// Parses a release reference.
    ///
    /// # Errors
    /// Empty, longer than 128 characters, or with other characters.
    pub fn new(text: &str) -> Result<Self, TextError> {
        parsed_text(text, "a release reference", "1 to 128 letters, digits and any of .-_+/@:", |text| {
            (1..=128).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+/@:".contains(&byte))
        })
        .map(Self)
    }

    /// The reference's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for ReleaseReference {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<ReleaseReference> for String {
    fn from(reference: ReleaseReference) -> Self {
        reference.0
    }
}
impl fmt::Display for ReleaseReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
