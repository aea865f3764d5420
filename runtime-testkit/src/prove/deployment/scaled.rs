//! Deployments that say how their component scales.

use std::collections::BTreeMap;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::calendar::Activity;
use runtime_domain::component::ReleaseReference;
use runtime_domain::deployment::{Release, ReleasedScaling, RequestDeployment, RuntimeDeployment};
use runtime_domain::rollout::RolloutLimits;
use runtime_domain::scaling::PolicySpec;
use runtime_domain::surface::{EffectClass, SurfaceCapabilities, TrafficControl};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Revision};

use super::setup::{component, environment_on, id, strategy};
use super::{DeploymentDriver, settle};
use crate::plan::deployment::Way;
use crate::prove::Driver;

/// Proof of how a component scales by the Completed deployment of this number, which was asked for then.
pub(in crate::prove) fn released_scaling(
    number: u8,
    tenant: u128,
    module: &ModuleId,
    policy: PolicySpec,
    asked_at: Timestamp,
) -> Option<ReleasedScaling> {
    let surface = policy.bounds().target();
    let environment = environment_on(surface, tenant, 1, true, asked_at)?;
    let mut component = component(module, number, 1)?;
    component.surface = surface;
    component.tuple.scaling = Some(policy);
    let able = SurfaceCapabilities {
        kind: surface,
        traffic: TrafficControl::Weighted,
        concurrent_revisions: 8,
        metrics_by_revision: true,
        effect_class: EffectClass::Fenced,
    };
    let command = RequestDeployment {
        deployment_id: id(number),
        release: Release {
            reference: ReleaseReference::new(&format!("shop-{number}")).ok()?,
            components: BTreeMap::from([(module.clone(), component)]),
            strategy: strategy(&Way::BlueGreen)?,
            gates: Vec::new(),
            limits: RolloutLimits::default(),
            configuration_id: None,
        },
        admission: environment.admit(Revision::FIRST, None).ok()?,
        clearance: environment.clear(Activity::Deployment, Revision::FIRST, asked_at, None).ok()?,
        configuration: None,
        upstream: Vec::new(),
        hold_released: None,
        previous: Vec::new(),
        seen: BTreeMap::new(),
        scaled: BTreeMap::new(),
        numbers: BTreeMap::from([(module.clone(), u32::from(number))]),
        surfaces: BTreeMap::from([(surface, able)]),
    };
    let decision = RuntimeDeployment::request(command, asked_at).ok()?;
    let events = decision.events.iter().map(|event| (event, asked_at));
    let begun = RuntimeDeployment::evolve_all(None, events).ok()??;
    let completed = settle(&mut DeploymentDriver::begin(), begun, asked_at)?;
    completed.released_scaling(module, Revision::FIRST)
}
