//! What a surface shows of a component, in the terms of a comparison.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::component::{ComponentSpec, ConfigurationVersionRef, RevisionId, SecretVersionRef};
use crate::drift::comparison::{ActualComponent, settings};
use crate::surface::{ComponentObservation, RevisionObservation, SurfaceKind, Traffic};
use crate::value::Percent;

impl ActualComponent {
    /// A component as `surface` shows it; `None` where it shows no revision. One that is scaled to nothing is there, with no replicas.
    ///
    /// It is the revision that serves: the one with the most traffic, or where nothing is routed the one with the most replicas. Where another
    /// image is served beside it, that one is told, so that a share of the traffic never hides what it goes to. A revision that is being retired is
    /// gone already. Replicas are those that the surface
    /// keeps of all revisions that serve. By which policy it scales no surface shows: that is for whoever looks to add.
    /// `brought` tells what a revision was started with, where a known deployment brought it; what nobody knows
    /// is `None` and empty, and differs from whatever is desired.
    pub fn seen<'s>(
        observation: &ComponentObservation,
        surface: SurfaceKind,
        mut brought: impl FnMut(&RevisionId) -> Option<&'s ComponentSpec>,
    ) -> Option<Self> {
        let serves = |revision: &RevisionId| share(observation.traffic.as_ref(), revision);
        let kept = |seen: &RevisionObservation| seen.wanted > 0 || seen.present() > 0;
        let is_wanted = observation.revisions.values().any(|seen| seen.wanted > 0);
        // Where requests are divided by weight, they say whether it serves; else what is not wanted beside what is, is on its way out.
        let is_weighted = matches!(observation.traffic, Some(Traffic::Weighted(_)));
        let goes = |revision: &RevisionId, seen: &RevisionObservation| {
            is_wanted && seen.wanted == 0 && !(is_weighted && serves(revision) > Percent::NONE)
        };
        let there: Vec<_> =
            observation.revisions.iter().filter(|(revision, seen)| !goes(revision, seen)).collect();
        let is_routed = there.iter().any(|(revision, _)| serves(revision) > Percent::NONE);
        let is_kept = there.iter().any(|(_, seen)| kept(seen));
        let counts = |revision: &RevisionId, seen: &RevisionObservation| match (is_routed, is_kept) {
            (true, _) => serves(revision) > Percent::NONE,
            (false, true) => kept(seen),
            (false, false) => true,
        };
        let mut shown: Vec<_> = there.into_iter().filter(|(revision, seen)| counts(revision, seen)).collect();
        shown.sort_by_key(|(revision, seen)| core::cmp::Reverse((serves(revision), seen.wanted)));
        let (first, serving) = shown.first().copied()?;
        let (revision, told) =
            shown.iter().copied().find(|(_, seen)| seen.image != serving.image).unwrap_or((first, serving));
        let replicas = shown.iter().map(|(_, seen)| seen.wanted).fold(0, u16::saturating_add);
        let component = brought(revision).filter(|component| *component.tuple.image.digest() == told.image);
        Some(Self {
            observed_at: observation.observed_at,
            surface,
            image: told.image.clone(),
            replicas,
            configuration: configuration(told, component),
            secrets: secrets(told, component),
            // No surface knows by which policy it is scaled.
            scaling: None,
            settings: component.map_or(serde_json::Value::Null, settings),
        })
    }
}

/// What its instances were seen to run with: where one runs with another version than it was started with, that one.
fn configuration(
    seen: &RevisionObservation,
    brought: Option<&ComponentSpec>,
) -> Option<ConfigurationVersionRef> {
    let brought = brought.and_then(|component| component.tuple.configuration.as_ref());
    let observed = || seen.instances.iter().filter_map(|instance| instance.configuration.as_ref());
    observed().find(|version| Some(*version) != brought).or(brought).cloned()
}

fn secrets(seen: &RevisionObservation, brought: Option<&ComponentSpec>) -> BTreeSet<SecretVersionRef> {
    let brought = brought.map(|component| component.tuple.secrets.clone()).unwrap_or_default();
    let observed = || seen.instances.iter().map(|instance| &instance.secrets);
    observed().find(|secrets| !secrets.is_empty() && **secrets != brought).cloned().unwrap_or(brought)
}

fn share(traffic: Option<&Traffic>, revision: &RevisionId) -> Percent {
    match traffic {
        Some(Traffic::PerInstance(revisions)) if revisions.contains(revision) => Percent::ALL,
        Some(Traffic::Weighted(weights)) => weights.share(revision),
        Some(Traffic::PerInstance(_)) | None => Percent::NONE,
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::ToString;

    use super::*;
    use crate::drift::tests::fixture::digest;
    use crate::surface::{ComponentKey, InstanceObservation, InstanceState, TrafficWeights};
    use crate::testing::{at, id, name};

    fn revision(number: u128) -> RevisionId {
        RevisionId::new(name("cart"), id(number))
    }

    fn shown(revisions: &[(u128, u8, u16)], traffic: Option<Traffic>) -> ComponentObservation {
        let revisions = revisions.iter().map(|(number, image, wanted)| {
            let seen = RevisionObservation {
                image: digest(*image),
                wanted: *wanted,
                instances: Vec::new(),
                trouble: None,
            };
            (revision(*number), seen)
        });
        ComponentObservation {
            key: ComponentKey { tenant: id(1), environment: id(2), module: name("cart") },
            observed_at: at(5),
            revisions: revisions.collect(),
            traffic,
            endpoint: None,
        }
    }

    fn seen(revisions: &[(u128, u8, u16)], traffic: Option<Traffic>) -> Option<(u8, u16)> {
        let observation = shown(revisions, traffic);
        let actual = ActualComponent::seen(&observation, SurfaceKind::Process, |_| None)?;
        assert_eq!((actual.observed_at, actual.settings), (at(5), serde_json::Value::Null));
        let image = (0..=9).find(|number| digest(*number) == actual.image).unwrap();
        Some((image, actual.replicas))
    }

    #[test]
    fn what_serves_is_what_is_there() {
        let all_to = |number| Some(Traffic::all_to(revision(number)));
        assert_eq!(seen(&[(1, 1, 3)], all_to(1)), Some((1, 3)));
        assert_eq!(
            seen(&[(1, 1, 3), (2, 2, 1)], all_to(2)),
            Some((2, 1)),
            "what nobody is sent to is not served"
        );
        assert_eq!(seen(&[(1, 1, 0)], all_to(1)), Some((1, 0)), "scaled to nothing, and routed");
        assert_eq!(seen(&[(1, 1, 2), (2, 2, 1)], None), Some((2, 3)), "a worker has no route");
        assert_eq!(seen(&[(1, 1, 0)], None), Some((1, 0)), "scaled to nothing, and still there");
        assert_eq!(seen(&[], None), None);
    }

    #[test]
    fn what_is_being_retired_is_gone_where_another_revision_is_wanted() {
        let observation = |traffic| {
            let mut observation = shown(&[(1, 1, 0), (2, 2, 3)], traffic);
            let instance = InstanceObservation {
                name: "0".to_string(),
                state: InstanceState::Ready,
                restarts: 0,
                address: None,
                configuration: None,
                secrets: BTreeSet::new(),
            };
            observation.revisions.get_mut(&revision(1)).unwrap().instances.push(instance);
            observation
        };
        let both = Some(Traffic::PerInstance([revision(1), revision(2)].into()));
        for traffic in [None, both] {
            let seen = ActualComponent::seen(&observation(traffic), SurfaceKind::Process, |_| None).unwrap();
            assert_eq!((seen.image, seen.replicas), (digest(2), 3));
        }
        let still_routed = observation(Some(Traffic::all_to(revision(1))));
        let seen = ActualComponent::seen(&still_routed, SurfaceKind::Process, |_| None).unwrap();
        assert_eq!((seen.image, seen.replicas), (digest(1), 0), "requests go to what is not wanted");
    }

    #[test]
    fn a_small_share_of_the_traffic_hides_no_image() {
        let weights = |share| {
            let share = Percent::new(share).unwrap();
            Some(Traffic::Weighted(
                TrafficWeights::new(BTreeMap::from([(revision(1), share.rest()), (revision(2), share)]))
                    .unwrap(),
            ))
        };
        assert_eq!(seen(&[(1, 1, 3), (2, 2, 1)], weights(1)), Some((2, 4)));
        assert_eq!(seen(&[(1, 1, 3), (2, 1, 1)], weights(1)), Some((1, 4)));
        let both = Some(Traffic::PerInstance([revision(1), revision(2)].into()));
        assert_eq!(seen(&[(1, 1, 3), (2, 2, 1)], both), Some((2, 4)));
    }
}
