//! Who is seen to use a secret, and on which version.

use std::collections::BTreeMap;

use runtime_domain::component::SecretVersionRef;
use runtime_domain::secrets::{Consumer, Consumption, SecretCommand, SecretVersion};
use runtime_domain::surface::ComponentObservation;
use runtime_domain::time::Timestamp;

use super::{Step, Work};

/// What was seen.
pub(super) struct Seen {
    looked_at: Timestamp,
    pub(super) consumption: Consumption,
    /// No instance runs, but what would start next would not have the wanted version: a component that is scaled to zero.
    pub(super) waits_for_a_rollout: bool,
}

impl Seen {
    pub(super) fn step(&self) -> Step {
        let (observed_at, consumption) = (self.looked_at, self.consumption.clone());
        Step::record(SecretCommand::RecordConsumption { observed_at, consumption })
    }
}

impl Work<'_> {
    /// Every instance on every surface. `None` where a surface could not be looked at, or shows what cannot be told: that is no observation.
    pub(super) async fn look(&self, wanted: SecretVersion) -> Option<Seen> {
        let looked_at = self.of.host.now();
        let key = self.key();
        let mut instances = BTreeMap::new();
        let mut exists = false;
        for surface in self.of.host.ports().surfaces.values() {
            let shown = match self.of.host.bounded("surface.observe", surface.observe(&key)).await {
                Ok(shown) => shown,
                Err(error) => {
                    tracing::warn!(%key, %error, "a component could not be looked at");
                    return None;
                }
            };
            exists |= !shown.revisions.is_empty();
            instances.extend(self.consumers(&shown)?);
        }
        if instances.len() > Consumption::MOST {
            tracing::warn!(%key, count = instances.len(), "more instances than can be reported");
            return None;
        }
        if !instances.is_empty() {
            let consumption = Consumption::Instances(instances);
            return Some(Seen { looked_at, consumption, waits_for_a_rollout: false });
        }
        let named = SecretVersionRef { binding: self.binding.id(), version: wanted };
        let waits_for_a_rollout = if exists {
            let brings =
                self.of.deployments.serves_with(self.scope, key.environment, &key.module, &named).await;
            !brings.inspect_err(|error| tracing::warn!(%key, %error, "what serves could not be read")).ok()?
        } else {
            false
        };
        Some(Seen { looked_at, consumption: Consumption::Nobody, waits_for_a_rollout })
    }

    fn consumers(&self, shown: &ComponentObservation) -> Option<BTreeMap<Consumer, Option<SecretVersion>>> {
        let mut consumers = BTreeMap::new();
        for (revision, seen) in &shown.revisions {
            for instance in &seen.instances {
                let name = format!("{revision}/{}", instance.name);
                let Ok(consumer) = name.parse::<Consumer>() else {
                    tracing::warn!(name, "an instance has a name that cannot be reported");
                    return None;
                };
                let given = instance.secrets.iter().find(|given| given.binding == self.binding.id());
                consumers.insert(consumer, given.map(|given| given.version));
            }
        }
        Some(consumers)
    }
}
