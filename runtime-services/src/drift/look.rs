//! One look at an environment: what is desired of it, what is there, who owns what, and how they compare.
//!
//! Whatever cannot be read or seen makes the whole look come to nothing: a component that is missing from half a picture is not missing.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::component::{ImageDigest, ImageReference, PinnedImage};
use runtime_domain::deployment::Release;
use runtime_domain::drift::watch::WatchTerms;
use runtime_domain::drift::{
    ActualComponent, ActualState, Authoritative, Comparison, ComparisonRefusal, DesiredComponent,
    DesiredState, DesiredStateRevision, compare_states, settings,
};
use runtime_domain::id::EnvironmentId;
use runtime_domain::refusal::Refusal as _;
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{ComponentObservation, SurfaceKind};
use runtime_domain::value::ModuleId;
use runtime_ports::PortError;
use runtime_ports::desired_state::{DesiredPlace, DesiredReleases};
use runtime_ports::manifest::ManifestError;
use runtime_ports::store::{LoadError, TenantStore};

use crate::deployments::{DeploymentError, carrying};
use crate::drift::brought::Brought;
use crate::drift::owners::{self, Owners};
use crate::error::CommandError;
use crate::host::Host;
use crate::reconcile::in_words;

/// What one look came to.
pub(crate) struct Looked {
    /// The revision that says what is desired.
    pub(crate) revision: DesiredStateRevision,
    /// The desired releases, by document.
    pub(crate) releases: BTreeMap<String, Release>,
    /// What the surfaces show, by component.
    pub(crate) shown: BTreeMap<ModuleId, Vec<(SurfaceKind, ComponentObservation)>>,
    /// The digests that are out, by component.
    pub(crate) quarantined: BTreeMap<ModuleId, BTreeSet<ImageDigest>>,
    /// How it compares.
    pub(crate) comparison: Comparison,
}

impl Looked {
    /// The document that desires a component, with its release.
    pub(crate) fn release_of(&self, module: &ModuleId) -> Option<(&str, &Release)> {
        let found = self.releases.iter().find(|(_, release)| release.components.contains_key(module));
        found.map(|(document, release)| (document.as_str(), release))
    }
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotLooked {
    /// The host has no source.
    #[error("this host has no source of desired state: give it an adapter of the port")]
    NoSource,
    /// What is desired could not be read.
    #[error("the desired state could not be read: {}", in_words(.0))]
    Unread(PortError),
    /// An image that is desired cannot be had.
    #[error("{place}: image {reference} cannot be had: {}", in_words(.cause))]
    NoImage {
        /// Where it is named.
        place: String,
        /// The image.
        reference: Box<ImageReference>,
        /// Why.
        cause: Box<PortError>,
    },
    /// A desired release is not whole.
    #[error("`{document}` cannot be deployed: {cause}")]
    Manifest {
        /// The document.
        document: String,
        /// Why.
        cause: Box<ManifestError>,
    },
    /// The configuration that a desired release carries cannot be had.
    #[error("`{document}` cannot be deployed: {cause}")]
    NoConfiguration {
        /// The document.
        document: String,
        /// Why.
        cause: Box<DeploymentError>,
    },
    /// What runs could not be seen.
    #[error("what runs on {surface} could not be seen: {}", in_words(.cause))]
    Unseen {
        /// The surface.
        surface: SurfaceKind,
        /// Why.
        cause: PortError,
    },
    /// It cannot be compared.
    #[error("{cause}; {}", .cause.remedy())]
    Refused {
        /// Why.
        cause: ComparisonRefusal,
    },
    /// The store failed.
    #[error("the stored state could not be loaded")]
    Load(#[from] LoadError),
}

/// Looks, and compares.
pub(crate) async fn look(
    host: &Host,
    brought: &Brought,
    scope: &TenantScope,
    environment: EnvironmentId,
    terms: &WatchTerms,
) -> Result<Looked, NotLooked> {
    let store = host.ports().store.for_tenant(scope);
    let documents = desired(host, scope, environment, terms).await?;
    let releases = releases(host, &*store, environment, documents.value()).await?;
    // Rollouts are asked for before and after the surfaces, so that one that ends meanwhile is seen in flight.
    let began = host.now();
    let before = owners::rollouts(&*store, environment).await?;
    let shown = shown(host, scope, environment).await?;
    let after = owners::rollouts(&*store, environment).await?;
    let ended = owners::ended_since(&*store, environment, began).await?;

    let revisions = shown.values().flatten().flat_map(|(_, observation)| observation.revisions.keys());
    let deployments: BTreeSet<_> = revisions.map(|revision| revision.deployment).collect();
    brought.learn(&*store, deployments).await?;
    let components = shown.iter().filter_map(|(module, seen)| {
        let wanted = releases.values().find_map(|release| release.components.get(module));
        let actual = seen.iter().filter_map(|(kind, observation)| brought.seen(scope, observation, *kind));
        // What runs on another surface than is desired is not hidden by what runs there too.
        let told =
            actual.max_by_key(|actual| wanted.is_some_and(|wanted| wanted.surface != actual.surface))?;
        Some((module.clone(), told))
    });
    let mut actual = ActualState {
        tenant: scope.tenant(),
        environment,
        listed_at: began,
        components: components.collect(),
        resources: BTreeMap::new(),
    };
    let policies = owners::scaling(&*store, environment).await?;
    for policy in &policies {
        if let Some(found) = actual.components.get_mut(policy.module_id()) {
            found.scaling = Some(policy.spec().clone());
        }
    }
    let desired = documents.map(|_| state(&releases, &actual.components));
    let revision = desired.revision().clone();
    let in_flight = before.into_iter().chain(after).chain(ended).collect();
    let Owners { ownership, quarantined } =
        owners::of(&*store, environment, in_flight, &policies, desired.value(), &actual).await?;
    let comparison = compare_states(&desired, &actual, &ownership, &terms.comparison, host.now());
    let comparison = comparison.map_err(|cause| NotLooked::Refused { cause })?;
    Ok(Looked { revision, releases, shown, quarantined, comparison })
}

async fn desired(
    host: &Host,
    scope: &TenantScope,
    environment: EnvironmentId,
    terms: &WatchTerms,
) -> Result<Authoritative<std::sync::Arc<DesiredReleases>>, NotLooked> {
    let source = host.ports().desired_state.as_ref().ok_or(NotLooked::NoSource)?;
    let place = DesiredPlace { tenant: scope.tenant(), environment, path: terms.path.clone() };
    let read = host.bounded("desired_state.read", source.read(&place)).await.map_err(NotLooked::Unread)?;
    if (read.tenant(), read.environment()) == (scope.tenant(), environment) {
        Ok(read)
    } else {
        Err(NotLooked::Refused { cause: ComparisonRefusal::OtherEnvironment })
    }
}

/// The releases with their images pinned. An image that is named with its digest is that one; any other is what its tag names now.
async fn releases(
    host: &Host,
    store: &dyn TenantStore,
    environment: EnvironmentId,
    documents: &DesiredReleases,
) -> Result<BTreeMap<String, Release>, NotLooked> {
    let mut images: BTreeMap<ImageReference, PinnedImage> = BTreeMap::new();
    let mut releases = BTreeMap::new();
    for (document, manifest) in documents.releases() {
        for (place, reference) in manifest.images() {
            if images.contains_key(reference) {
                continue;
            }
            let pinned = match PinnedImage::try_from(reference.clone()) {
                Ok(pinned) => pinned,
                Err(_) => {
                    let resolved = host.bounded("registry.resolve", host.ports().registry.resolve(reference));
                    resolved.await.map_err(|cause| NotLooked::NoImage {
                        place: format!("`{document}`, {place}"),
                        reference: Box::new(reference.clone()),
                        cause: Box::new(cause),
                    })?
                }
            };
            images.insert(reference.clone(), pinned);
        }
        let release = manifest
            .release(&images)
            .map_err(|cause| NotLooked::Manifest { document: document.clone(), cause: Box::new(cause) })?;
        let carrying = carrying(store, environment, release).await;
        let (release, _) = carrying.map_err(|cause| match cause {
            CommandError::Load(error) => NotLooked::Load(error),
            CommandError::Port(error) => NotLooked::Load(error.into()),
            cause => NotLooked::NoConfiguration { document: document.clone(), cause: Box::new(cause) },
        })?;
        releases.insert(document.clone(), release);
    }
    Ok(releases)
}

async fn shown(
    host: &Host,
    scope: &TenantScope,
    environment: EnvironmentId,
) -> Result<BTreeMap<ModuleId, Vec<(SurfaceKind, ComponentObservation)>>, NotLooked> {
    let mut shown: BTreeMap<ModuleId, Vec<_>> = BTreeMap::new();
    for (kind, surface) in &host.ports().surfaces {
        let listed = host.bounded("surface.list", surface.list(scope.tenant(), environment)).await;
        for observation in listed.map_err(|cause| NotLooked::Unseen { surface: *kind, cause })? {
            let of_this = (observation.key.tenant, observation.key.environment);
            if of_this == (scope.tenant(), environment) && !observation.revisions.is_empty() {
                shown.entry(observation.key.module.clone()).or_default().push((*kind, observation));
            }
        }
    }
    Ok(shown)
}

/// What is desired, in the terms of a comparison. What manifests leave open is what runs: nobody's drift.
fn state(releases: &BTreeMap<String, Release>, actual: &BTreeMap<ModuleId, ActualComponent>) -> DesiredState {
    let components = releases.values().flat_map(|release| release.components.values());
    let components = components.map(|component| {
        let found = actual.get(&component.module);
        let tuple = &component.tuple;
        let open = found.and_then(|found| found.configuration.clone());
        let desired = DesiredComponent {
            surface: component.surface,
            image: tuple.image.digest().clone(),
            replicas: component.replicas,
            configuration: tuple.configuration.clone().or(open),
            secrets: match found {
                Some(found) if tuple.secrets.is_empty() => found.secrets.clone(),
                _ => tuple.secrets.clone(),
            },
            scaling: tuple.scaling.clone(),
            settings: settings(component),
        };
        (component.module.clone(), desired)
    });
    DesiredState { components: components.collect(), resources: BTreeMap::new() }
}

/// The store of a scope, for those who look.
pub(crate) fn store_of(host: &Host, scope: &TenantScope) -> Box<dyn TenantStore> {
    host.ports().store.for_tenant(scope)
}
