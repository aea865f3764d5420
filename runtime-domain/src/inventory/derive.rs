//! From what a surface showed to how a service is. Every path to Running or Degraded counts ready instances (SVC-2).

use alloc::vec::Vec;

use crate::inventory::{
    Degradation, Degraded, EndpointBinding, Observed, RuntimeService, ServiceInstance, ServiceState,
};
use crate::reason;
use crate::surface::{ComponentObservation, InstanceState};
use crate::time::Timestamp;

impl RuntimeService {
    /// How the service is, by an observation that is fresh and of this component.
    pub(super) fn derived(&self, observation: &ComponentObservation, observed_at: Timestamp) -> ServiceState {
        let observed = self.observed(observation, observed_at);
        if observed.ready() == 0 {
            let was_not_ready = matches!(self.state, ServiceState::Unknown(_) | ServiceState::Starting(_));
            let is_starting =
                observed.instances.iter().any(|instance| instance.state == InstanceState::Starting);
            return if was_not_ready && is_starting {
                ServiceState::Starting(observed)
            } else {
                ServiceState::Unavailable(observed)
            };
        }
        match self.degradation(observation, &observed) {
            Some(cause) => ServiceState::Degraded(Degraded { observed, cause }),
            None => ServiceState::Running(observed),
        }
    }

    fn observed(&self, observation: &ComponentObservation, observed_at: Timestamp) -> Observed {
        let instances: Vec<ServiceInstance> = observation
            .revisions
            .iter()
            .flat_map(|(revision, seen)| {
                let is_managed =
                    self.known(revision).is_some_and(|known| *known.image.digest() == seen.image);
                let mut instances: Vec<_> = seen.instances.iter().collect();
                instances.sort_by(|one, other| one.name.cmp(&other.name));
                instances.into_iter().map(move |instance| ServiceInstance {
                    name: instance.name.clone(),
                    revision: revision.clone(),
                    image: seen.image.clone(),
                    state: instance.state.clone(),
                    restarts: instance.restarts,
                    address: instance.address.clone(),
                    is_managed,
                })
            })
            .collect();
        let former = self.state.last_observed().and_then(|last| last.endpoint.as_ref());
        let endpoint = observation.endpoint.as_ref().map(|url| EndpointBinding {
            url: url.clone(),
            bound_at: former
                .filter(|former| former.url == *url)
                .map_or(observed_at, |former| former.bound_at),
        });
        Observed { observed_at, instances, endpoint }
    }

    /// What is wrong, where an instance is ready.
    fn degradation(&self, observation: &ComponentObservation, observed: &Observed) -> Option<Degradation> {
        // While one revision hands over to another, each is wanted in part or in full: the larger wish is what serves in the end.
        let wanted = observation.revisions.values().map(|seen| seen.wanted).max().unwrap_or(0).max(1);
        let ready = u16::try_from(observed.ready()).unwrap_or(u16::MAX);
        if ready < wanted {
            return Some(Degradation::TooFewReady { ready, wanted });
        }
        if !observed.instances.iter().any(|instance| instance.is_ready() && instance.is_managed) {
            return Some(Degradation::OnlyUnmanaged);
        }
        if let Some(traffic) = &observation.traffic
            && !traffic.revisions().into_iter().any(|revision| observation.ready(revision) > 0)
        {
            return Some(Degradation::NoneRouted);
        }
        let trouble = observation.revisions.get(&self.current.revision)?.trouble.as_ref()?;
        Some(Degradation::Trouble { reason: reason::reported(trouble) })
    }
}

impl ServiceState {
    /// Whether two states show the same, whenever they were seen.
    pub(super) fn shows_the_same_as(&self, other: &Self) -> bool {
        let alike = |one: &Observed, two: &Observed| {
            one.instances == two.instances
                && one.endpoint.as_ref().map(|endpoint| &endpoint.url)
                    == two.endpoint.as_ref().map(|endpoint| &endpoint.url)
        };
        match (self, other) {
            (Self::Starting(one), Self::Starting(two))
            | (Self::Running(one), Self::Running(two))
            | (Self::Unavailable(one), Self::Unavailable(two)) => alike(one, two),
            (Self::Degraded(one), Self::Degraded(two)) => {
                one.cause == two.cause && alike(&one.observed, &two.observed)
            }
            _ => false,
        }
    }
}
