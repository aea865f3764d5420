//! What surfaces can do, and what they show.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use runtime_domain::component::RevisionId;
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, EffectId, FencingToken, InstanceObservation,
    InstanceState, RevisionObservation, SurfaceCapabilities, Traffic, TrafficControl, TrafficWeights,
};
use runtime_domain::value::Percent;

use crate::strategy::component::{valid_image_digest, valid_revision_id};
use crate::strategy::environment::valid_surface_kind;
use crate::strategy::value::{valid_id, valid_name, valid_percent, valid_timestamp};

/// How finely traffic is divided.
pub fn valid_traffic_control() -> BoxedStrategy<TrafficControl> {
    use TrafficControl::{PerInstance, Switch, Weighted};
    prop_oneof![Just(PerInstance), Just(Switch), Just(Weighted)].boxed()
}

/// What doing an effect again does.
pub fn valid_effect_class() -> BoxedStrategy<EffectClass> {
    use EffectClass::{AtLeastOnce, Fenced, Idempotent, ReadBeforeWrite};
    prop_oneof![Just(Fenced), Just(Idempotent), Just(ReadBeforeWrite), Just(AtLeastOnce)].boxed()
}

/// What a surface can do.
pub fn valid_capabilities() -> BoxedStrategy<SurfaceCapabilities> {
    (valid_surface_kind(), valid_traffic_control(), 1..20_u16, any::<bool>(), valid_effect_class())
        .prop_map(|(kind, traffic, concurrent_revisions, metrics_by_revision, effect_class)| {
            SurfaceCapabilities { kind, traffic, concurrent_revisions, metrics_by_revision, effect_class }
        })
        .boxed()
}

/// The address of a component.
pub fn valid_component_key() -> BoxedStrategy<ComponentKey> {
    (valid_id(), valid_id(), valid_name())
        .prop_map(|(tenant, environment, module)| ComponentKey { tenant, environment, module })
        .boxed()
}

/// An intended effect.
pub fn valid_effect_id() -> BoxedStrategy<EffectId> {
    (valid_id(), 1..=u32::MAX).prop_map(|(deployment, ordinal)| EffectId { deployment, ordinal }).boxed()
}

/// A fencing token.
pub fn valid_fencing_token() -> BoxedStrategy<FencingToken> {
    any::<u64>().prop_map(FencingToken).boxed()
}

/// Shares that sum to the whole.
pub fn valid_traffic_weights() -> BoxedStrategy<TrafficWeights> {
    (valid_revision_id(), valid_revision_id(), valid_percent())
        .prop_map(|(one, other, share)| {
            if one == other {
                TrafficWeights::split(one.clone(), Percent::ALL, one)
            } else {
                TrafficWeights::split(one, share, other)
            }
        })
        .boxed()
}

/// Where traffic goes.
pub fn valid_traffic() -> BoxedStrategy<Traffic> {
    prop_oneof![
        btree_set(valid_revision_id(), 0..3).prop_map(Traffic::PerInstance),
        valid_traffic_weights().prop_map(Traffic::Weighted),
    ]
    .boxed()
}

/// How an instance is.
pub fn valid_instance_state() -> BoxedStrategy<InstanceState> {
    use InstanceState::{Draining, Exited, NotReady, Ready, Starting};
    prop_oneof![
        1 => Just(Starting),
        3 => Just(Ready),
        1 => Just(NotReady),
        1 => Just(Draining),
        1 => option::of(any::<i32>()).prop_map(|code| Exited { code }),
    ]
    .boxed()
}

fn instance() -> impl Strategy<Value = InstanceObservation> {
    ("[a-z0-9-]{1,20}", valid_instance_state(), 0..10_u32, option::of("127\\.0\\.0\\.1:[1-9][0-9]{3}"))
        .prop_map(|(name, state, restarts, address)| InstanceObservation {
            name,
            state,
            restarts,
            address,
            secrets: BTreeSet::new(),
            configuration: None,
        })
}

fn revision() -> impl Strategy<Value = RevisionObservation> {
    (valid_image_digest(), any::<u16>(), vec(instance(), 0..4), option::of("\\PC{1,30}")).prop_map(
        |(image, wanted, instances, trouble)| RevisionObservation { image, wanted, instances, trouble },
    )
}

/// What a surface shows of a component: revisions of that component alone.
pub fn valid_observation() -> BoxedStrategy<ComponentObservation> {
    let revisions = btree_map(valid_id(), revision(), 0..3);
    let route = (option::of(any::<bool>()), option::of("http://127\\.0\\.0\\.1:[1-9][0-9]{3}"));
    (valid_component_key(), valid_timestamp(), revisions, route)
        .prop_map(|(key, observed_at, revisions, (is_routed, endpoint))| {
            let revisions: BTreeMap<RevisionId, RevisionObservation> = revisions
                .into_iter()
                .map(|(deployment, seen)| (RevisionId::new(key.module.clone(), deployment), seen))
                .collect();
            let all = revisions.keys().cloned().collect();
            let traffic = is_routed.map(|is_shared| match revisions.keys().next() {
                Some(first) if !is_shared => Traffic::all_to(first.clone()),
                _ => Traffic::PerInstance(all),
            });
            ComponentObservation { key, observed_at, revisions, traffic, endpoint }
        })
        .boxed()
}
