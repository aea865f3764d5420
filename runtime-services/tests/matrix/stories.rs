//! One story for each reconciler, and for what each may come to.

use async_trait::async_trait;
use runtime_domain::deployment::Release;
use runtime_domain::surface::EffectOwner;
use runtime_testkit::faults::Call;
use serde_json::{Value, json};

use crate::stage::Stage;

mod configuration;
mod deployment;
mod drift;
mod environment;
mod inventory;
mod relay;
pub(crate) mod scaling;
mod secrets;
pub(crate) mod tenancy;

/// Where hosts may not do an effect twice: the surface refuses older tokens, and recognises effects.
const FENCED: &str = "fenced";
/// Where what is done twice is recognised by its identifier by who gets it.
const DEDUPLICATED: &str = "at least once, known by its identifier";

/// A story of one reconciler.
#[async_trait(?Send)]
pub(crate) trait Story: Send + Sync {
    fn name(&self) -> &'static str;
    /// What is promised of its effects.
    fn class(&self) -> &'static str;
    /// Whether a call is an action of the reconciler that it is about.
    fn is_own(&self, call: &Call) -> bool;
    /// What was before, which nobody disturbs.
    async fn prepare(&self, stage: &Stage);
    /// What is asked for; no host is at work yet.
    async fn begin(&self, stage: &Stage);
    /// Whether it is over.
    async fn is_settled(&self, stage: &Stage) -> bool;
}

/// A rollout that is watched for long before it is recorded.
pub(crate) const LONG_BAKE: &dyn Story = &deployment::BlueGreen { bake: "10m" };

pub(crate) const ALL: &[&dyn Story] = &[
    &deployment::Canary,
    &deployment::Rolling,
    &deployment::BlueGreen { bake: "2s" },
    &deployment::Broken,
    &environment::Provisioned,
    &environment::Decommissioned,
    &inventory::Ill,
    &configuration::InPlace,
    &configuration::RolledOut,
    &secrets::Rotated,
    &scaling::Busier,
    &scaling::Released,
    &scaling::GoneBack,
    &drift::Repaired,
    &tenancy::Moved,
    &relay::Relayed,
];

/// Whether a reconciler has committed it.
fn is_commit_of(call: &Call, reconciler: &str) -> bool {
    let actor = call.actor.as_ref().and_then(|actor| actor.as_str().strip_prefix("reconciler:"));
    call.method == "store.commit" && actor == Some(reconciler)
}

fn owner(call: &Call) -> Option<EffectOwner> {
    call.effect.map(|effect| effect.owner)
}

/// An image with this number.
pub(crate) fn image(module: &str, number: u8) -> String {
    format!("shop/{module}@sha256:{number:064x}")
}

pub(crate) fn component(module: &str, number: u8, replicas: u16) -> Value {
    json!({
        "module": module,
        "component_type": "microservice",
        "version": format!("{number}.0.0"),
        "tuple": { "image": image(module, number) },
        "surface": "process",
        "replicas": replicas,
    })
}

pub(crate) fn release(number: u8, strategy: Value, components: &[Value]) -> Release {
    let components: serde_json::Map<String, Value> = components
        .iter()
        .map(|component| (component["module"].as_str().unwrap().to_owned(), component.clone()))
        .collect();
    let release = json!({
        "reference": format!("shop-{number}"),
        "strategy": strategy,
        "components": components,
        "limits": { "progress_deadline": "60s" },
    });
    serde_json::from_value(release).unwrap()
}

pub(crate) fn rolling() -> Value {
    json!({ "rolling-health-gated": {} })
}

/// Version 1 of `web`, with two replicas.
pub(crate) fn first() -> Release {
    release(1, rolling(), &[component("web", 1, 2)])
}
