//! What should run in an environment, by the word of an authority: a commit, a stack's version, what a directory holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::drift::Authoritative;
use runtime_domain::drift::watch::DesiredStatePath;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::value::ModuleId;

use crate::PortResult;
use crate::manifest::{ComponentManifest, ReleaseManifest};

/// Whose desired state is asked for, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredPlace {
    /// The tenant.
    pub tenant: TenantId,
    /// The environment.
    pub environment: EnvironmentId,
    /// The folder within what the source keeps for the tenant.
    pub path: DesiredStatePath,
}

/// The releases that should be there, by the name of the document that says so. No component is in two of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredReleases {
    releases: BTreeMap<String, ReleaseManifest>,
}

/// Two documents speak for one component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("component {module} is in `{first}` and in `{second}`: let one of them have it")]
pub struct DesiredTwice {
    /// The component.
    pub module: ModuleId,
    /// A document that has it.
    pub first: String,
    /// The other.
    pub second: String,
}

impl DesiredReleases {
    /// These releases; none is legal, and says that nothing should be there.
    ///
    /// # Errors
    /// Two of them have one component: neither is more authoritative than the other.
    pub fn new(releases: BTreeMap<String, ReleaseManifest>) -> Result<Self, DesiredTwice> {
        let mut said: BTreeMap<&ModuleId, &String> = BTreeMap::new();
        for (document, release) in &releases {
            for module in release.components.keys() {
                if let Some(first) = said.insert(module, document) {
                    let (first, second) = (first.clone(), document.clone());
                    return Err(DesiredTwice { module: module.clone(), first, second });
                }
            }
        }
        Ok(Self { releases })
    }

    /// The releases, by the name of their document.
    pub fn releases(&self) -> &BTreeMap<String, ReleaseManifest> {
        &self.releases
    }

    /// Every component, with the document that says so.
    pub fn components(&self) -> impl Iterator<Item = (&ModuleId, &ComponentManifest, &str)> {
        self.releases.iter().flat_map(|(document, release)| {
            release.components.iter().map(|(module, component)| (module, component, document.as_str()))
        })
    }
}

/// Where desired state is kept.
///
/// # Guarantees
/// - **What could not be read is an error, and never empty.** A place that is not there, one document that cannot be read or breaks a rule, and a
///   source that is being changed are errors. No releases are an answer only where the place is there and says nothing.
/// - **A revision stands for exactly one content.** Everything that is answered is of the one revision that is named, however the source changes
///   while it is read; reading the same revision again gives the same.
/// - What is not authoritative is not answered: a tree with changes that are not committed is
///   [`Unavailable`](crate::PortErrorKind::Unavailable).
/// - Nothing outside what the source keeps for the place's tenant is read, whatever paths, links and documents say.
/// - No error holds a document's text: a document may hold what should not be there.
///
/// # Errors
/// [`NotFound`](crate::PortErrorKind::NotFound) where the source has no such place, or nothing for the tenant;
/// [`Corrupt`](crate::PortErrorKind::Corrupt) for a document that cannot be read or breaks a rule, with its name and line;
/// [`Exhausted`](crate::PortErrorKind::Exhausted) beyond the source's limits; [`Unavailable`](crate::PortErrorKind::Unavailable) where the source
/// is being changed or cannot be reached.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait DesiredStateSource: Send + Sync + 'static {
    /// What should be at a place, at the source's present revision.
    async fn read(&self, place: &DesiredPlace) -> PortResult<Authoritative<Arc<DesiredReleases>>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(modules: &[&str]) -> ReleaseManifest {
        let components: serde_json::Map<_, _> = modules
            .iter()
            .map(|module| ((*module).to_owned(), serde_json::json!({"image": "shop/web:1", "version": "1"})))
            .collect();
        serde_json::from_value(serde_json::json!({
            "release": "shop-1", "strategy": {"rolling-health-gated": {}}, "components": components,
        }))
        .unwrap()
    }

    fn releases(documents: &[(&str, &[&str])]) -> BTreeMap<String, ReleaseManifest> {
        documents.iter().map(|(document, modules)| ((*document).to_owned(), release(modules))).collect()
    }

    #[test]
    fn no_two_documents_speak_for_one_component() {
        let apart =
            DesiredReleases::new(releases(&[("a.yaml", &["cart", "web"]), ("b.yaml", &["worker"])])).unwrap();
        let said: Vec<_> = apart
            .components()
            .map(|(module, _, document)| (module.to_string(), document.to_owned()))
            .collect();
        let wanted = [("cart", "a.yaml"), ("web", "a.yaml"), ("worker", "b.yaml")];
        assert_eq!(said, wanted.map(|(module, document)| (module.to_owned(), document.to_owned())));
        let twice =
            DesiredReleases::new(releases(&[("a.yaml", &["cart"]), ("b.yaml", &["cart"])])).unwrap_err();
        assert_eq!(
            twice.to_string(),
            "component cart is in `a.yaml` and in `b.yaml`: let one of them have it"
        );
        assert!(DesiredReleases::new(BTreeMap::new()).unwrap().releases().is_empty());
    }
}
