//! A surface that does what it is told, as far as the story lets it.

use std::collections::BTreeMap;

use runtime_domain::component::{ImageDigest, RevisionId};
use runtime_domain::deployment::{JobReport, RuntimeDeployment};
use runtime_domain::metric::MetricReading;
use runtime_domain::rollout::{Action, Change, Effect, EffectChange, Next};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, InstanceObservation, InstanceState, RevisionObservation, Traffic,
};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Measure, ModuleId};

/// What stands on the surface, and how well it does.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) revisions: BTreeMap<RevisionId, (u16, ImageDigest)>,
    pub(super) traffic: BTreeMap<ModuleId, Traffic>,
    pub(super) is_broken: bool,
    pub(super) is_crashing: bool,
    pub(super) metric: Option<u32>,
    pub(super) jobs_fail: bool,
}

impl World {
    pub(super) const fn empty() -> Self {
        Self {
            revisions: BTreeMap::new(),
            traffic: BTreeMap::new(),
            is_broken: false,
            is_crashing: false,
            metric: Some(0),
            jobs_fail: false,
        }
    }

    pub(super) fn perform(&mut self, deployment: &RuntimeDeployment, effect: &Effect) {
        let (EffectChange::Surface(change), Some(module)) = (&effect.change, &effect.module) else { return };
        match change {
            Change::Apply { revision, replicas } | Change::Scale { revision, replicas } => {
                if let Some(image) = image_of(deployment, revision) {
                    self.revisions.insert(revision.clone(), (*replicas, image));
                }
            }
            Change::Shift { traffic } => {
                self.traffic.insert(module.clone(), traffic.clone());
            }
            Change::Retire { revision } => {
                self.revisions.remove(revision);
                if self.traffic.get(module).is_some_and(|traffic| traffic.revisions() == [revision]) {
                    self.traffic.remove(module);
                }
            }
        }
    }

    pub(super) fn job(&self) -> JobReport {
        if self.jobs_fail { JobReport::Failed { detail: "exit 1".to_owned() } } else { JobReport::Succeeded }
    }

    pub(super) fn reading(&self, now: Timestamp) -> MetricReading {
        let value = self.metric.map(|micros| Measure::from_micros(i64::from(micros)));
        MetricReading { value, samples: 1_000, newest: Some(now) }
    }

    pub(super) fn observe(
        &self,
        deployment: &RuntimeDeployment,
        module: &ModuleId,
        now: Timestamp,
    ) -> ComponentObservation {
        let of_module = self.revisions.iter().filter(|(revision, _)| revision.module == *module);
        let revisions = of_module.map(|(revision, (replicas, image))| {
            let is_new = revision.deployment == deployment.id();
            let state = match (is_new && self.is_crashing, is_new && self.is_broken) {
                (true, _) => InstanceState::Exited { code: Some(1) },
                (_, true) => InstanceState::NotReady,
                _ => InstanceState::Ready,
            };
            let restarts = if state == (InstanceState::Exited { code: Some(1) }) { 9 } else { 0 };
            let instance = |number| InstanceObservation {
                name: format!("{module}-{number}"),
                state: state.clone(),
                restarts,
                address: None,
                secrets: Default::default(),
                configuration: None,
            };
            let instances = (0..*replicas).map(instance).collect();
            let seen =
                RevisionObservation { image: image.clone(), wanted: *replicas, instances, trouble: None };
            (revision.clone(), seen)
        });
        ComponentObservation {
            key: ComponentKey {
                tenant: deployment.tenant_id(),
                environment: deployment.environment_id(),
                module: module.clone(),
            },
            observed_at: now,
            revisions: revisions.collect(),
            traffic: self.traffic.get(module).cloned(),
            endpoint: None,
        }
    }
}

fn image_of(deployment: &RuntimeDeployment, revision: &RevisionId) -> Option<ImageDigest> {
    let point = deployment.restore_points().get(&revision.module);
    match point.filter(|point| point.revision == *revision) {
        Some(point) => Some(point.component.tuple.image.digest().clone()),
        None => {
            deployment.release().components.get(&revision.module).map(|own| own.tuple.image.digest().clone())
        }
    }
}

/// The action with this number among the next ones, counted around.
pub(super) fn pick(deployment: &RuntimeDeployment, number: usize, now: Timestamp) -> Option<Action> {
    match deployment.next(now) {
        Next::Act(actions) => actions.get(number % actions.len().max(1)).cloned(),
        _ => None,
    }
}
