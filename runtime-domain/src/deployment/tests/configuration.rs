//! Releases that carry a configuration version: shown to be in force, the same one in every component, or left as it serves.

use alloc::vec;
use alloc::vec::Vec;

use super::world::*;
use crate::component::{ComponentSpec, ConfigurationReload, ConfigurationVersionRef, HttpPath};
use crate::configuration::{Checksum, PublishedConfiguration};
use crate::deployment::*;
use crate::id::ConfigurationId;
use crate::refusal::{Refusal, Rule};
use crate::testing::id;
use crate::value::Revision;

fn named(number: u128) -> ConfigurationVersionRef {
    let checksum = Checksum::new(&alloc::format!("sha256:{number:064x}")).unwrap();
    ConfigurationVersionRef { configuration: id(number), checksum }
}

fn configured(name: &str, version: u64, configuration: u128) -> ComponentSpec {
    let mut component = component(name, version, 1);
    component.tuple.configuration = Some(named(configuration));
    component
}

/// A request for components, carrying the first one's configuration.
fn carrying(components: Vec<ComponentSpec>) -> RequestDeployment {
    let first = components[0].tuple.configuration.clone().map(|named| named.configuration);
    request(2, Release { configuration_id: first, ..release(components, rolling(), vec![]) }, &[])
}

fn refused(request: RequestDeployment) -> DeploymentRefusal {
    let refusal = RuntimeDeployment::request(request, start()).unwrap_err();
    assert!(!refusal.remedy().is_empty());
    refusal
}

/// Shows X-6.
#[test]
fn a_release_carries_the_version_that_is_shown_in_every_component_that_names_one() {
    let plain = component("web", 1, 1);
    let request = carrying(vec![configured("cart", 1, 1), plain]);
    assert!(request.evidence().contains(&request.configuration.as_ref().unwrap().evidence()));
    assert!(RuntimeDeployment::request(request, start()).is_ok());

    let mixed = refused(carrying(vec![configured("cart", 1, 1), configured("pay", 1, 2)]));
    assert_eq!(mixed, DeploymentRefusal::UnprovenConfiguration { module: Some(module("pay")) });
    assert_eq!(mixed.rule(), Rule::X6);
}

/// Shows.
#[test]
fn a_version_that_is_not_shown_or_is_of_another_place_is_refused() {
    let whole = || carrying(vec![configured("cart", 1, 1)]);
    let unproven = DeploymentRefusal::UnprovenConfiguration { module: None };
    assert_eq!(refused(RequestDeployment { configuration: None, ..whole() }), unproven);
    let other = |configuration: ConfigurationId| {
        whole().configuration.map(|shown| PublishedConfiguration { configuration, ..shown })
    };
    assert_eq!(refused(RequestDeployment { configuration: other(id(9)), ..whole() }), unproven);
    let foreign = whole().configuration.map(|shown| PublishedConfiguration { tenant: id(77), ..shown });
    let foreign = refused(RequestDeployment { configuration: foreign, ..whole() });
    assert_eq!(foreign, DeploymentRefusal::ForeignEvidence);
    // What nobody carries is not slipped in by a component either.
    let mut slipped = carrying(vec![component("cart", 1, 1)]);
    slipped.release.components.insert(module("cart"), configured("cart", 1, 1));
    let slipped = refused(slipped);
    assert_eq!(slipped, DeploymentRefusal::UnprovenConfiguration { module: Some(module("cart")) });
}

#[test]
fn a_component_may_keep_the_version_that_it_serves_with_and_no_other() {
    let first = Release {
        configuration_id: Some(id(1)),
        ..release(vec![configured("cart", 1, 1)], rolling(), vec![])
    };
    let (_, first) = World::serving(first);
    let again = |configuration| {
        request(2, release(vec![configured("cart", 2, configuration)], rolling(), vec![]), &[&first])
    };
    assert!(RuntimeDeployment::request(again(1), start()).is_ok());
    let other = refused(again(2));
    assert_eq!(other, DeploymentRefusal::UnprovenConfiguration { module: Some(module("cart")) });
    assert_eq!(first.rollback_point(Revision(9)).unwrap().release().configuration_id, Some(id(1)));
}

#[test]
fn what_takes_its_configuration_by_signal_must_be_able_to_tell_that_it_did() {
    let mut component = component("cart", 1, 1);
    component.configuration.reload = ConfigurationReload::Signal;
    let silent = refused(request(2, release(vec![component.clone()], rolling(), vec![]), &[]));
    assert_eq!(silent, DeploymentRefusal::SilentReload { module: module("cart") });
    component.configuration.report = Some(HttpPath::new("/configuration").unwrap());
    let told = request(2, release(vec![component], rolling(), vec![]), &[]);
    assert!(RuntimeDeployment::request(told, start()).is_ok());
}
