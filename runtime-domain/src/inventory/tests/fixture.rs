//! A service, and surfaces that show whatever a test wants.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use uuid::Uuid;

use crate::aggregate::{Aggregate, Decision};
use crate::component::{
    ComponentSpec, ComponentType, ImageDigest, ImageReference, ReleaseTuple, RevisionId, Version,
};
use crate::deployment::DeployedVersion;
use crate::id::{DeploymentId, EnvironmentId, TenantId};
use crate::inventory::*;
use crate::surface::{
    ComponentKey, ComponentObservation, InstanceObservation, InstanceState, RevisionObservation, SurfaceKind,
    Traffic,
};
use crate::time::{Span, Timestamp};
use crate::value::{ModuleId, Name, Replicas, Revision};

pub(super) fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}
pub(super) fn environment(number: u128) -> EnvironmentId {
    EnvironmentId::from_uuid(Uuid::from_u128(number))
}
pub(super) fn module(name: &str) -> ModuleId {
    Name::new(name).unwrap()
}
pub(super) fn revision(number: u128) -> RevisionId {
    RevisionId::new(module("cart"), DeploymentId::from_uuid(Uuid::from_u128(number)))
}
pub(super) fn at(seconds: u64) -> Timestamp {
    Span::from_secs(1_800_000_000 + seconds).after(Timestamp::UNIX_EPOCH)
}
fn digest(number: u128) -> ImageDigest {
    ImageDigest::new(&format!("sha256:{number:064x}")).unwrap()
}

/// Evidence that deployment `number` brought `name`.
pub(super) fn deployed(number: u128, name: &str) -> DeployedVersion {
    let image = ImageReference::new(&format!("shop/{name}:{number}")).unwrap().pinned(digest(number));
    let component = ComponentSpec {
        module: module(name),
        component_type: ComponentType::Microservice,
        version: Version::new(&number.to_string()).unwrap(),
        tuple: ReleaseTuple {
            image,
            configuration: None,
            secrets: BTreeSet::new(),
            scaling_policy: None,
            scaling: None,
        },
        surface: SurfaceKind::Process,
        replicas: Replicas::new(2).unwrap(),
        resources: None,
        arguments: Vec::new(),
        variables: BTreeMap::new(),
        configuration: Default::default(),
        readiness: None,
        liveness: None,
        termination_grace: Span::from_secs(1),
        depends_on: BTreeSet::new(),
        dependencies: BTreeMap::new(),
    };
    let deployment = DeploymentId::from_uuid(Uuid::from_u128(number));
    DeployedVersion {
        tenant: tenant(1),
        environment: environment(2),
        deployment,
        at: Revision(5),
        revision: RevisionId::new(module(name), deployment),
        component,
    }
}

/// One revision with these instances, of `wanted`.
pub(super) fn running(wanted: u16, states: &[InstanceState]) -> RevisionObservation {
    let instances = states.iter().enumerate().map(|(index, state)| InstanceObservation {
        name: format!("i{index}"),
        state: state.clone(),
        restarts: 0,
        address: Some(format!("127.0.0.1:{}", 40_000 + index)),
        secrets: Default::default(),
        configuration: None,
    });
    RevisionObservation { image: digest(1), wanted, instances: instances.collect(), trouble: None }
}

/// The component, seen at `seconds`, with its traffic on `routed` where there is any.
pub(super) fn observation(
    seconds: u64,
    revisions: impl IntoIterator<Item = (u128, RevisionObservation)>,
    routed: Option<u128>,
) -> ComponentObservation {
    ComponentObservation {
        key: ComponentKey { tenant: tenant(1), environment: environment(2), module: module("cart") },
        observed_at: at(seconds),
        revisions: revisions.into_iter().map(|(number, seen)| (revision(number), seen)).collect(),
        traffic: routed.map(|number| Traffic::all_to(revision(number))),
        endpoint: routed.map(|_| "http://127.0.0.1:8080".to_string()),
    }
}

/// Applies what was decided.
pub(super) fn apply(
    service: &RuntimeService,
    decision: &Decision<InventoryEvent>,
    now: Timestamp,
) -> RuntimeService {
    let events = decision.events.iter().map(|event| (event, now));
    RuntimeService::evolve_all(Some(service.clone()), events).unwrap().unwrap()
}

/// A service registered at second 0 with deployment 1.
pub(super) fn registered() -> RuntimeService {
    let decision = RuntimeService::register(RegisterService { version: deployed(1, "cart") });
    RuntimeService::evolve_all(None, decision.events.iter().map(|event| (event, at(0)))).unwrap().unwrap()
}

/// The service after an observation made and told at the same time.
pub(super) fn observed(service: &RuntimeService, observation: ComponentObservation) -> RuntimeService {
    let now = observation.observed_at;
    let decision = service.decide(InventoryCommand::RecordObservation { observation }, now).unwrap();
    apply(service, &decision, now)
}
