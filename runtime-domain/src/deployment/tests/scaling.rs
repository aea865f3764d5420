//! What a release says of how its components scale.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec;

use super::world::*;
use crate::aggregate::Aggregate;
use crate::component::ComponentSpec;
use crate::deployment::*;
use crate::refusal::{Refusal, Rule};
use crate::scaling::{PolicySpec, PolicyTerms, ReplicaBounds, ScalingMetric, ScalingRule};
use crate::surface::SurfaceKind;
use crate::value::{Measure, Replicas, Revision};

fn terms(target: SurfaceKind, least: u16, most: u16) -> PolicySpec {
    let bounds = ReplicaBounds::new(target, least, Replicas::new(most).unwrap()).unwrap();
    let rule = ScalingRule::new(ScalingMetric::CpuUtilization, Measure::from_units(50));
    PolicySpec::new(PolicyTerms::new(bounds, [rule])).unwrap()
}

fn scaling(version: u64, replicas: u16, policy: PolicySpec) -> ComponentSpec {
    let mut component = component("cart", version, replicas);
    component.tuple.scaling = Some(policy);
    component
}

fn requested(request: RequestDeployment) -> RuntimeDeployment {
    let decision = RuntimeDeployment::request(request, start()).unwrap();
    let events = decision.events.iter().map(|event| (event, start()));
    RuntimeDeployment::evolve_all(None, events).unwrap().unwrap()
}

#[test]
fn a_component_scales_on_the_surface_that_runs_it_and_is_told_which_where_it_does_not() {
    let stray = scaling(1, 1, terms(SurfaceKind::Kubernetes, 1, 3));
    let asked = request(1, release(vec![stray], rolling(), vec![]), &[]);
    let refusal = RuntimeDeployment::request(asked, start()).unwrap_err();
    assert_eq!(refusal.rule(), Rule::Capability);
    assert_eq!(refusal.to_string(), "component `cart` runs on process, and its scaling is for kubernetes");
    let legal = "write process as the target of its scaling, or run the component on the other surface";
    assert_eq!(refusal.remedy(), legal);
    // A row that says so is not believed.
    let good = requested(request(
        1,
        release(vec![scaling(1, 1, terms(SurfaceKind::Process, 1, 3))], rolling(), vec![]),
        &[],
    ));
    let mut stored = serde_json::to_value(good.to_record()).unwrap();
    stored["release"]["components"]["cart"]["tuple"]["scaling"]["bounds"]["target"] = "kubernetes".into();
    let read = RuntimeDeployment::from_record(1, serde_json::from_value(stored).unwrap());
    assert_eq!(read.unwrap_err().rule, "CAPABILITY");
}

#[test]
fn what_no_policy_has_scaled_yet_begins_within_the_bounds_that_its_release_declares() {
    for (written, begins) in [(1, 3), (4, 4), (9, 6)] {
        let component = scaling(1, written, terms(SurfaceKind::Process, 3, 6));
        let asked = release(vec![component], rolling(), vec![]);
        let begun = requested(request(1, asked.clone(), &[]));
        assert_eq!(begun.release().components[&module("cart")].replicas.get(), begins, "{written}");
        assert!(begun.brings(&asked), "asked for again it is the same");
        let mut other = asked;
        other.components.get_mut(&module("cart")).unwrap().tuple.scaling = None;
        assert!(!begun.brings(&other), "without its scaling it is another");
    }
}

/// Shows X-6.
#[test]
fn only_a_completed_deployment_says_how_its_components_scale() {
    let policy = terms(SurfaceKind::Process, 1, 3);
    let plain = || component("plain", 1, 1);
    let asked = || release(vec![scaling(1, 1, policy.clone()), plain()], rolling(), vec![]);
    let begun = requested(request(1, asked(), &[]));
    assert_eq!(begun.released_scaling(&module("cart"), Revision(4)), None, "it is under way");
    let (_, completed) = World::serving(asked());
    let released = completed.released_scaling(&module("cart"), Revision(4)).unwrap();
    assert_eq!((released.policy(), released.number(), released.at), (Some(&policy), 1, Revision(4)));
    assert_eq!(released.evidence().revision, Revision(4));
    assert_eq!(completed.released_scaling(&module("plain"), Revision(4)), None, "it leaves that open");
    assert_eq!(completed.released_scaling(&module("other"), Revision(4)), None);
}

#[test]
fn a_release_that_was_stored_before_it_could_say_how_it_scales_is_read() {
    let begun = requested(request(1, release(vec![component("cart", 1, 2)], rolling(), vec![]), &[]));
    let stored = serde_json::to_value(begun.to_record()).unwrap();
    let tuple = &stored["release"]["components"]["cart"]["tuple"];
    assert!(tuple.get("image").is_some() && tuple.get("scaling").is_none(), "{tuple}");
    let read = RuntimeDeployment::from_record(1, serde_json::from_value(stored).unwrap()).unwrap();
    assert_eq!(read, begun);
    let scales: BTreeMap<_, _> = read
        .release()
        .components
        .iter()
        .map(|(module, component)| (module, component.tuple.is_scaled()))
        .collect();
    assert_eq!(scales, BTreeMap::from([(&module("cart"), false)]));
}
