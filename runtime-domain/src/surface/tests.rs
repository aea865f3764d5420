//! How traffic is divided, and what an observation counts.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::component::{ImageDigest, RevisionId};
use crate::surface::*;
use crate::testing::{at, id, letters, name};
use crate::value::Percent;

#[test]
fn traffic_goes_where_its_shares_say() {
    let [one, two] = [1, 2].map(|number| RevisionId::new(name("cart"), id(number)));
    let split = TrafficWeights::split(two.clone(), Percent::new(30).unwrap(), one.clone());
    assert_eq!((split.share(&one).get(), split.share(&two).get()), (70, 30));
    let shares: Vec<(RevisionId, u8)> =
        split.iter().map(|(revision, share)| (revision.clone(), share.get())).collect();
    assert_eq!(shares, [(one.clone(), 70), (two.clone(), 30)]);
    let none = TrafficWeights::split(two.clone(), Percent::NONE, one.clone());
    assert_eq!(Traffic::Weighted(none).revisions(), [&one]);
    assert_eq!(Traffic::all_to(two.clone()).revisions(), [&two]);
    let per_instance = Traffic::PerInstance([one.clone(), two.clone()].into());
    assert_eq!(per_instance.revisions(), [&one, &two]);
    let weights = |first, second| {
        let shares = [(one.clone(), first), (two.clone(), second)]
            .map(|(revision, share)| (revision, Percent::new(share).unwrap()));
        TrafficWeights::new(shares.into())
    };
    assert!(weights(60, 40).is_ok() && weights(60, 39).is_err() && weights(60, 41).is_err());
    assert!(weights(0, 99).unwrap_err().to_string().contains("99 is not a sum of traffic weights"));
}

#[test]
fn an_observation_counts_instances_by_how_they_are() {
    use InstanceState::{Draining, Exited, NotReady, Ready, Starting};
    let states = [Ready, Ready, Starting, NotReady, Draining, Exited { code: None }];
    let instances = states.into_iter().enumerate().map(|(index, state)| InstanceObservation {
        name: index.to_string(),
        state,
        restarts: 2,
        address: None,
        secrets: Default::default(),
        configuration: None,
    });
    let image = ImageDigest::new(&["sha256:", &letters(64)].concat()).unwrap();
    let mut seen = RevisionObservation { image, wanted: 3, instances: instances.collect(), trouble: None };
    assert_eq!((seen.ready(), seen.present(), seen.restarts()), (2, 4, 12));
    seen.instances[0].restarts = u32::MAX;
    assert_eq!(seen.restarts(), u32::MAX, "counts end at the most that can be told");
    let revision = RevisionId::new(name("cart"), id(1));
    let key = ComponentKey { tenant: id(1), environment: id(2), module: name("cart") };
    let component = ComponentObservation {
        key: key.clone(),
        observed_at: at(0),
        revisions: BTreeMap::from([(revision.clone(), seen)]),
        traffic: None,
        endpoint: None,
    };
    assert_eq!(component.ready(&revision), 2);
    assert_eq!(component.ready(&RevisionId::new(name("cart"), id(2))), 0);
    assert_eq!(
        key.to_string(),
        "ten_00000000000000000000000000000001/env_00000000000000000000000000000002/cart"
    );
    let effect = EffectId { deployment: id(3), ordinal: 7 };
    assert_eq!(effect.to_string(), "dep_00000000000000000000000000000003/7");
}

#[test]
fn a_surface_is_called_the_same_everywhere() {
    use SurfaceKind::{AppService, ContainerApps, Functions, Kubernetes, Process};
    for kind in [Process, Kubernetes, ContainerApps, Functions, AppService] {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        assert_eq!(kind.to_string(), kind.name());
    }
}
