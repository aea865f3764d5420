//! Deployments, and what they bring into the inventory.

use std::collections::{BTreeMap, BTreeSet};

use factory_runtime::domain::calendar::Activity;
use factory_runtime::domain::component::{
    ComponentSpec, ComponentType, ImageDigest, ImageReference, ReleaseReference, ReleaseTuple, Version,
};
use factory_runtime::domain::deployment::{
    DeployedVersion, DeploymentCommand, Release, RequestDeployment, RuntimeDeployment,
};
use factory_runtime::domain::inventory::{InventoryCommand, RegisterService, RuntimeService};
use factory_runtime::domain::rollout::strategy::Rolling;
use factory_runtime::domain::rollout::{Action, DeploymentStrategy, Next, RolloutLimits};
use factory_runtime::domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, InstanceObservation, InstanceState, RevisionObservation,
    SurfaceCapabilities, SurfaceKind, Traffic, TrafficControl,
};
use factory_runtime::domain::time::Span;
use factory_runtime::domain::value::{ModuleId, Replicas, Revision};

use super::placement::provisioned;
use super::{after, at, begun, id, name};
use crate::measure;

pub fn run() {
    deployment();
    inventory();
}

fn component(module: &ModuleId, version: u64) -> ComponentSpec {
    let digest = ImageDigest::new(&format!("sha256:{version:064x}")).unwrap();
    let image = ImageReference::new(&format!("shop/{module}:{version}")).unwrap().pinned(digest);
    ComponentSpec {
        module: module.clone(),
        component_type: ComponentType::Microservice,
        version: Version::new(&version.to_string()).unwrap(),
        tuple: ReleaseTuple {
            image,
            configuration: None,
            secrets: BTreeSet::new(),
            scaling_policy: None,
            scaling: None,
        },
        surface: SurfaceKind::Process,
        replicas: Replicas::new(3).unwrap(),
        resources: None,
        arguments: Vec::new(),
        variables: BTreeMap::new(),
        configuration: Default::default(),
        readiness: None,
        liveness: None,
        termination_grace: Span::from_secs(10),
        depends_on: BTreeSet::new(),
        dependencies: BTreeMap::new(),
    }
}

fn request() -> RequestDeployment {
    let module = name("cart");
    let capabilities = SurfaceCapabilities {
        kind: SurfaceKind::Process,
        traffic: TrafficControl::Weighted,
        concurrent_revisions: 8,
        metrics_by_revision: true,
        effect_class: EffectClass::Fenced,
    };
    RequestDeployment {
        deployment_id: id(7),
        release: Release {
            reference: ReleaseReference::new("shop-1").unwrap(),
            components: BTreeMap::from([(module.clone(), component(&module, 1))]),
            strategy: DeploymentStrategy::RollingHealthGated(Rolling::default()),
            gates: Vec::new(),
            limits: RolloutLimits::default(),
            configuration_id: None,
        },
        admission: provisioned().admit(Revision(3), None).unwrap(),
        clearance: provisioned().clear(Activity::Deployment, Revision(3), at(0), None).unwrap(),
        configuration: None,
        upstream: Vec::new(),
        hold_released: None,
        previous: Vec::new(),
        seen: BTreeMap::new(),
        scaled: BTreeMap::new(),
        numbers: BTreeMap::from([(module, 1)]),
        surfaces: BTreeMap::from([(SurfaceKind::Process, capabilities)]),
    }
}

fn deployment() {
    measure::<RuntimeDeployment>("RequestDeployment (and making it)", None, at(0), || {
        RuntimeDeployment::request(request(), at(0)).unwrap()
    });
    let requested: RuntimeDeployment = begun(&RuntimeDeployment::request(request(), at(0)).unwrap());
    measure("Pause", Some(&requested), at(1), || {
        requested.decide(&DeploymentCommand::Pause { reason: "look first".to_owned() }, at(1)).unwrap()
    });
}

/// What a deployment brings once it has intended its first change.
fn brought() -> DeployedVersion {
    let requested: RuntimeDeployment = begun(&RuntimeDeployment::request(request(), at(0)).unwrap());
    let Next::Act(actions) = requested.next(at(1)) else { unreachable!("it was just requested") };
    let begins = actions.into_iter().find_map(|action| match action {
        Action::Intend { track, job } => Some(DeploymentCommand::RecordIntention { track, job }),
        Action::Tick => Some(DeploymentCommand::Tick),
        Action::Perform(_) | Action::Look(_) => None,
    });
    let decision = requested.decide(&begins.unwrap(), at(1)).unwrap();
    after(requested, &decision, at(1)).deployed_version(&name("cart"), Revision(2)).unwrap()
}

fn observed(version: &DeployedVersion) -> ComponentObservation {
    let instance = |number: u16| InstanceObservation {
        name: format!("cart-{number}"),
        state: InstanceState::Ready,
        restarts: 0,
        address: None,
        secrets: Default::default(),
        configuration: None,
    };
    let revision = RevisionObservation {
        image: ImageDigest::new(&format!("sha256:{:064x}", 1)).unwrap(),
        wanted: 3,
        instances: (0..3).map(instance).collect(),
        trouble: None,
    };
    let serving = version.revision().clone();
    ComponentObservation {
        key: ComponentKey { tenant: id(2), environment: id(1), module: name("cart") },
        observed_at: at(5),
        revisions: BTreeMap::from([(serving.clone(), revision)]),
        traffic: Some(Traffic::PerInstance(BTreeSet::from([serving]))),
        endpoint: None,
    }
}

fn inventory() {
    let version = brought();
    let observation = observed(&version);
    let registered: RuntimeService = begun(&RuntimeService::register(RegisterService { version }));
    measure("RecordObservation", Some(&registered), at(5), || {
        let command = InventoryCommand::RecordObservation { observation: observation.clone() };
        registered.decide(command, at(5)).unwrap()
    });
}
