//! What stands in the documents of the trials, and how it is compared with what is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use runtime_domain::component::{ComponentType, ConfigurationDelivery, ReleaseReference};
use runtime_domain::drift::Authoritative;
use runtime_domain::rollout::strategy::Rolling;
use runtime_domain::rollout::{DeploymentStrategy, RolloutLimits};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Span;
use runtime_domain::value::{ModuleId, Replicas};
use runtime_ports::desired_state::{DesiredPlace, DesiredReleases};
use runtime_ports::manifest::{ComponentManifest, ReleaseManifest};

use super::{Document, Documents};
use crate::conformance::{Failure, Outcome, ensure};
use crate::sample;

pub(super) type Answer = Authoritative<Arc<DesiredReleases>>;

pub(super) fn word<T: FromStr<Err: Display>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::new(format!("`{text}`: {error}")))
}

pub(super) fn sample_place(tenant: u64, path: &str) -> Result<DesiredPlace, Failure> {
    Ok(DesiredPlace {
        tenant: sample::tenant(tenant),
        environment: sample::environment(tenant),
        path: word(path)?,
    })
}

/// A release of these components, each of the version that is given.
pub(super) fn release(name: &str, version: &str, modules: &[&str]) -> Result<Document, Failure> {
    let component = |module: &str| -> Result<ComponentManifest, Failure> {
        Ok(ComponentManifest {
            image: word(&format!("shop/{module}:{version}"))?,
            version: word(version)?,
            component_type: ComponentType::Microservice,
            surface: SurfaceKind::Process,
            replicas: Replicas::ONE,
            scaling: None,
            resources: None,
            arguments: vec!["--said".to_owned(), format!("{version}: 'yes' # no")],
            variables: BTreeMap::new(),
            configuration: ConfigurationDelivery::default(),
            readiness: None,
            liveness: None,
            termination_grace: Span::from_secs(10),
            depends_on: BTreeSet::new(),
            dependencies: BTreeMap::new(),
        })
    };
    let mut components = BTreeMap::new();
    for module in modules {
        components.insert(word::<ModuleId>(module)?, component(module)?);
    }
    Ok(Document::Release(Box::new(ReleaseManifest {
        release: ReleaseReference::new(name).map_err(|error| Failure::new(error.to_string()))?,
        strategy: DeploymentStrategy::RollingHealthGated(Rolling::default()),
        components,
        gates: BTreeMap::new(),
        limits: RolloutLimits::default(),
        configuration: None,
    })))
}

/// Two documents of three components, whose version is this.
pub(super) fn said(version: &str) -> Result<Documents, Failure> {
    Ok(BTreeMap::from([
        ("shop".to_owned(), release("shop-1", version, &["cart", "web"])?),
        ("worker".to_owned(), release("worker-1", version, &["worker"])?),
    ]))
}

pub(super) fn with(mut documents: Documents, name: &str, document: Document) -> Documents {
    documents.insert(name.to_owned(), document);
    documents
}

pub(super) fn releases(documents: &Documents) -> Vec<&ReleaseManifest> {
    let releases = documents.values().filter_map(|document| match document {
        Document::Release(release) => Some(&**release),
        Document::Garbage(_) => None,
    });
    releases.collect()
}

/// That what was read is what was said, whatever its documents are called there.
pub(super) fn is(read: &Answer, documents: &Documents) -> Outcome {
    let mut read: Vec<&ReleaseManifest> = read.value().releases().values().collect();
    read.sort_unstable_by_key(|release| release.release.to_string());
    ensure(read == releases(documents), format!("saw {}, wanted {}", told(&read), told(&releases(documents))))
}

/// Releases by their components and versions, short enough to be read.
pub(super) fn told(releases: &[&ReleaseManifest]) -> String {
    let components = releases.iter().flat_map(|release| {
        let components = release.components.iter();
        components
            .map(|(module, it)| format!("{}/{module} {} {:?}", release.release, it.version, it.arguments))
    });
    format!("[{}]", components.collect::<Vec<_>>().join(", "))
}
