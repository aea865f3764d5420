//! Releases, and what is asked of the deployments of them.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::deployment::{DeploymentStatus, Release, RuntimeDeployment};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::value::Name;
use runtime_ports::desired_state::DesiredReleases;
use runtime_ports::manifest::ReleaseManifest;
use runtime_services::promotion::Promotion;
use serde_json::{Value, json};

use super::change::policy;
use super::{Answer, Asking, REASON, answer};
use crate::records::told;
use crate::story::{Operation, Place, Strategy, component};
use crate::world::digest;

/// The gate by which people agree to a release.
pub(crate) const APPROVAL: &str = "agreed";

impl Asking<'_> {
    pub(super) async fn steer(&self, operation: &Operation) -> Answer {
        let all = self.operator.records.deployments(&self.scope, self.environment).await;
        let all: Vec<&RuntimeDeployment> = all.iter().map(|loaded| &loaded.aggregate).collect();
        let newest = all.first().ok_or("there is no deployment")?.id();
        let (deployments, scope) = (self.services().deployments(), &self.scope);
        let reason = || REASON.to_owned();
        match operation {
            Operation::Pause => answer(deployments.pause(scope, newest, reason()).await),
            Operation::Resume => answer(deployments.resume(scope, newest).await),
            Operation::Promote => answer(deployments.promote_now(scope, newest).await),
            Operation::Abort => answer(deployments.abort(scope, newest, reason()).await),
            Operation::Approve { agrees } => {
                let gate = Name::new(APPROVAL).map_err(told)?;
                if *agrees {
                    answer(deployments.approve(scope, newest, gate).await)
                } else {
                    answer(deployments.reject(scope, newest, gate, reason()).await)
                }
            }
            Operation::ReleaseQuarantine => {
                answer(deployments.release_quarantine(scope, newest, reason()).await)
            }
            _ => {
                let completed = |it: &&&RuntimeDeployment| it.status() == DeploymentStatus::Completed;
                // Where nothing else has completed, what cannot be gone back to is asked for.
                let before = all.iter().filter(completed).nth(1).or(all.last());
                let before = before.ok_or("there is nothing to go back to")?;
                answer(deployments.roll_back(scope, self.environment, before.id()).await)
            }
        }
    }

    pub(super) async fn deploy(&self, version: u8, components: &[u8], strategy: Strategy) -> Answer {
        let mut wanted = release(version, components, strategy)?;
        if version.is_multiple_of(2) {
            let newest = self.services().configuration().newest(&self.scope, self.environment).await;
            if let Some(newest) = newest.map_err(told)? {
                wanted["configuration_id"] = json!(newest.id());
            }
        }
        let release: Release = serde_json::from_value(wanted).map_err(told)?;
        answer(self.services().deployments().request(&self.scope, self.environment, release).await)
    }

    /// What serves in the environment before comes to this one.
    pub(super) async fn bring_on(&self) -> Answer {
        let Place { tenant, environment } = self.operator.place;
        let before = Place { tenant, environment: environment.saturating_sub(1) };
        let before = self.operator.records.environment(before).await;
        let from = before.ok_or("there is no environment before")?.aggregate.id();
        let asked = Promotion { from, to: self.environment, modules: BTreeSet::new() };
        answer(self.services().promotion().promote(&self.scope, &asked).await)
    }
}

fn image(module: &str, version: u8) -> String {
    format!("shop/{module}@{}", digest(version))
}

/// How the components of a version scale, where it says so.
fn scaling(version: u8) -> Result<Option<Value>, String> {
    let is_said = version.is_multiple_of(5);
    is_said
        .then(|| serde_json::to_value(policy(SurfaceKind::Process, 2 + version % 4)?).map_err(told))
        .transpose()
}

/// A version of some components. What is in the version decides what it is judged by.
pub(super) fn release(version: u8, components: &[u8], strategy: Strategy) -> Result<Value, String> {
    let scaling = scaling(version)?;
    let names: BTreeSet<&str> = components.iter().map(|number| component(*number)).collect();
    let of = |module: &&str| {
        // One of them needs another.
        let depends_on: Vec<&str> =
            if *module == "web" { names.get("cart").into_iter().copied().collect() } else { Vec::new() };
        let component = json!({
            "module": module,
            "component_type": "microservice",
            "version": format!("{version}.0.0"),
            "tuple": { "image": image(module, version), "scaling": scaling },
            "surface": "process",
            "replicas": 1 + version % 3,
            "depends_on": depends_on,
        });
        ((*module).to_owned(), component)
    };
    let components: serde_json::Map<String, Value> = names.iter().map(of).collect();
    let mut gates = Vec::new();
    if version.is_multiple_of(7) {
        let check = json!({ "approval": { "required": 1 } });
        gates.push(json!({ "name": APPROVAL, "at": "before-rollout", "check": check }));
    }
    if version.is_multiple_of(3) {
        let works_for = names.iter().next().filter(|_| version.is_multiple_of(2));
        let job = json!({ "name": "migrate", "image": image("web", version), "timeout": "60s", "component": works_for });
        gates.push(json!({ "name": "migrated", "at": "before-rollout", "check": { "job": job } }));
        let (probe, judged) =
            (json!({ "path": "/" }), names.iter().next_back().filter(|_| version.is_multiple_of(4)));
        let judged: Vec<_> = judged.into_iter().collect();
        gates.push(json!({ "name": "answers", "at": "during-traffic", "modules": judged, "check": { "probe": probe } }));
    }
    Ok(json!({
        "reference": format!("shop-{version}"),
        "strategy": strategy_of(strategy),
        "components": components,
        "gates": gates,
        "limits": limits(),
    }))
}

/// How long a release may take: no longer than the end is waited for ([`ENDS_WITHIN`](crate::laws::ENDS_WITHIN)).
fn limits() -> Value {
    json!({ "deadline": "600s", "progress_deadline": "60s", "rollback_deadline": "120s" })
}

fn strategy_of(strategy: Strategy) -> Value {
    match strategy {
        Strategy::Rolling => json!({ "rolling-health-gated": {} }),
        Strategy::BlueGreen => json!({ "blue-green": { "bake": "2s", "retirement_delay": "2s" } }),
        Strategy::Canary => json!({ "canary": {
            "steps": [{ "weight": 20, "hold": { "for": "2s" } }, { "weight": 60, "hold": { "for": "2s" } }],
            "bake": "2s",
        } }),
    }
}

/// What is desired where a version is, of so many components.
///
/// # Errors
/// The version makes no release.
pub(crate) fn desired(version: u8, components: u8) -> Result<DesiredReleases, String> {
    let scaling = scaling(version)?;
    let of = |number: u8| {
        let module = component(number);
        let component = json!({
            "image": image(module, version), "version": version.to_string(), "replicas": 2, "scaling": scaling,
        });
        (module.to_owned(), component)
    };
    let components: serde_json::Map<String, Value> = (0..components).map(of).collect();
    let manifest: ReleaseManifest = serde_json::from_value(json!({
        "release": format!("shop-{version}"),
        "strategy": strategy_of(Strategy::Rolling),
        "components": components,
        "limits": limits(),
    }))
    .map_err(told)?;
    DesiredReleases::new(BTreeMap::from([("shop.yaml".to_owned(), manifest)])).map_err(told)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
mod tests {
    use runtime_domain::rollout::RolloutLimits;

    use super::*;
    use crate::laws::ENDS_WITHIN;

    fn longest(limits: &RolloutLimits) -> u64 {
        limits.deadline.as_millis() + limits.rollback_deadline.as_millis()
    }

    #[test]
    fn whatever_is_asked_for_or_desired_ends_within_the_time_that_the_end_is_waited_for() {
        let asked: Release = serde_json::from_value(release(1, &[0], Strategy::Rolling).unwrap()).unwrap();
        assert!(longest(&asked.limits) <= ENDS_WITHIN.as_millis(), "{:?}", asked.limits);
        for desired in desired(5, 2).unwrap().releases().values() {
            assert!(longest(&desired.limits) <= ENDS_WITHIN.as_millis(), "{:?}", desired.limits);
        }
    }
}
