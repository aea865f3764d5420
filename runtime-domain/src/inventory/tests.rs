//! The tables of the context's docs, and what holds for every history.

mod observing;
mod properties;
mod table;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::component::{ComponentSpec, ComponentType, ImageReference, ReleaseTuple, RevisionId, Version};
use crate::deployment::DeployedVersion;
use crate::inventory::*;
use crate::surface::{
    ComponentKey, ComponentObservation, InstanceObservation, InstanceState, RevisionObservation, SurfaceKind,
    Traffic,
};
use crate::testing::{Told, at, id, name};
use crate::time::Span;
use crate::value::{Replicas, Revision};

pub(super) fn component(number: u8, replicas: u16) -> ComponentSpec {
    let image = format!("shop/cart@sha256:{}", format!("{number:02x}").repeat(32));
    ComponentSpec {
        module: name("cart"),
        component_type: ComponentType::Microservice,
        version: Version::new(&format!("{number}.0.0")).unwrap(),
        tuple: ReleaseTuple {
            image: ImageReference::new(&image).unwrap().try_into().unwrap(),
            configuration: None,
            secrets: BTreeSet::new(),
            scaling_policy: None,
        },
        surface: SurfaceKind::Process,
        replicas: Replicas::new(replicas).unwrap(),
        arguments: Vec::new(),
        variables: BTreeMap::new(),
        readiness: None,
        liveness: None,
        termination_grace: Span::from_secs(10),
        depends_on: BTreeSet::new(),
    }
}

pub(super) fn revision(number: u8) -> RevisionId {
    RevisionId::new(name("cart"), id(u128::from(number)))
}

/// What deployment `number` brought: two replicas of version `number`.0.0.
pub(super) fn deployed(number: u8) -> DeployedVersion {
    DeployedVersion {
        tenant: id(2),
        environment: id(1),
        deployment: id(u128::from(number)),
        at: Revision(4),
        revision: revision(number),
        component: component(number, 2),
    }
}

pub(super) fn register(number: u8) -> RegisterService {
    RegisterService { service_id: id(6), tenant_id: id(2), environment_id: id(1), version: deployed(number) }
}

pub(super) fn registered() -> Told<RuntimeService> {
    Told::begin(RuntimeService::register(&register(1), at(0)), at(0))
}

/// A revision as it is seen: its instances in these states, and two of them wanted.
pub(super) fn seen(number: u8, states: &[InstanceState]) -> (RevisionId, RevisionObservation) {
    let instances = states
        .iter()
        .enumerate()
        .map(|(index, state)| InstanceObservation {
            name: format!("cart-{number}-{index}"),
            state: state.clone(),
            restarts: 0,
            address: Some(format!("127.0.0.1:{}", 40_000 + index)),
        })
        .collect();
    let image = component(number, 2).tuple.image.digest().clone();
    (revision(number), RevisionObservation { image, wanted: 2, instances, trouble: None })
}

/// A component as it is seen, requests going to the first revision.
pub(super) fn showing(
    revisions: impl IntoIterator<Item = (RevisionId, RevisionObservation)>,
    seconds: u64,
) -> ComponentObservation {
    let revisions: BTreeMap<_, _> = revisions.into_iter().collect();
    ComponentObservation {
        key: ComponentKey { tenant: id(2), environment: id(1), module: name("cart") },
        observed_at: at(seconds),
        traffic: revisions.keys().next().cloned().map(Traffic::all_to),
        revisions,
        endpoint: Some("http://127.0.0.1:8080".to_string()),
    }
}

pub(super) fn observe(observation: ComponentObservation) -> InventoryCommand {
    InventoryCommand::RecordObservation { observation }
}

pub(super) fn in_vain() -> InventoryCommand {
    InventoryCommand::MarkUnobserved { reason: "the surface does not answer".to_string() }
}

pub(super) fn retire() -> InventoryCommand {
    InventoryCommand::RetireService { reason: "module removed".to_string() }
}

impl Told<RuntimeService> {
    pub(super) fn command(
        &mut self,
        command: &InventoryCommand,
        seconds: u64,
    ) -> Result<(), InventoryRefusal> {
        let decision = self.now().decide(command, at(seconds))?;
        self.happen(decision, at(seconds));
        Ok(())
    }

    /// Looks at the surface at this second, and sees this.
    pub(super) fn sees(&mut self, states: &[InstanceState], seconds: u64) {
        self.command(&observe(showing([seen(1, states)], seconds)), seconds).unwrap();
    }
}

/// A service in each state, last looked at in second 10.
pub(super) fn in_state(status: RuntimeStatus) -> Told<RuntimeService> {
    use InstanceState::{NotReady, Ready, Starting};
    let mut told = registered();
    match status {
        RuntimeStatus::Unknown => {}
        RuntimeStatus::Starting => told.sees(&[Starting, Starting], 10),
        RuntimeStatus::Running => told.sees(&[Ready, Ready], 10),
        RuntimeStatus::Degraded => told.sees(&[Ready, NotReady], 10),
        RuntimeStatus::Unavailable => told.sees(&[NotReady, NotReady], 10),
        RuntimeStatus::Retired => told.command(&retire(), 10).unwrap(),
    }
    assert_eq!(told.now().runtime_status(), status);
    told
}
