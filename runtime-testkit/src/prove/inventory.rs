//! Inventory records: the driver and the checker.

use std::collections::{BTreeMap, BTreeSet};

use proptest::strategy::BoxedStrategy;
use runtime_domain::aggregate::Aggregate;
use runtime_domain::claim::Claim;
use runtime_domain::component::{ImageDigest, RevisionId};
use runtime_domain::id::ServiceId;
use runtime_domain::inventory::{
    InventoryCommand, InventoryEvent, RegisterService, RuntimeService, RuntimeStatus, ServiceState,
};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, InstanceObservation, InstanceState, RevisionObservation, Traffic,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Name;

use crate::model::{Facts, InventoryModel};
use crate::plan::Step;
use crate::plan::inventory::{InventoryPlan, Revision, Show, Whose};
use crate::prove::deployment::brought_version;
use crate::prove::environment::numbered;
use crate::prove::{Answer, Driver, Fault, Provable};
use crate::strategy::inventory::inventory_stories;

/// Drives inventory records: a deployment is begun for every version that is brought.
#[derive(Debug, Clone)]
pub struct InventoryDriver;

impl Driver<RuntimeService> for InventoryDriver {
    type Plan = InventoryPlan;

    fn begin() -> Self {
        Self
    }

    fn ask(
        &self,
        state: Option<&RuntimeService>,
        plan: &InventoryPlan,
        now: Timestamp,
    ) -> Answer<InventoryEvent> {
        match (state, plan) {
            (None, InventoryPlan::Register) => match brought_version(1, Whose::Own, now) {
                Some(version) => Answer::Decided(RuntimeService::register(RegisterService { version })),
                None => Answer::Nothing,
            },
            (None, _) | (Some(_), InventoryPlan::Register) => Answer::Nothing,
            (Some(service), plan) => match command(plan, now) {
                Some(command) => Answer::of(service.decide(command, now)),
                None => Answer::Nothing,
            },
        }
    }
}

fn command(plan: &InventoryPlan, now: Timestamp) -> Option<InventoryCommand> {
    Some(match plan {
        InventoryPlan::Register => return None,
        InventoryPlan::Bring { version, whose } => {
            InventoryCommand::RecordDeployedVersion { version: brought_version(*version, *whose, now)? }
        }
        InventoryPlan::Observe(show) => {
            InventoryCommand::RecordObservation { observation: shown(show, now)? }
        }
        InventoryPlan::Silence => InventoryCommand::MarkUnobserved,
        InventoryPlan::Retire { reason } => InventoryCommand::RetireService { reason: reason.clone() },
    })
}

fn shown(show: &Show, now: Timestamp) -> Option<ComponentObservation> {
    let module = Name::new("cart").ok()?;
    let millis = Span::between(Timestamp::UNIX_EPOCH, now).as_millis();
    let looked = Span::from_millis(millis.checked_add_signed(-show.age * 1_000)?);
    let id =
        |revision: &Revision| RevisionId::new(module.clone(), numbered(100 + u128::from(revision.version)));
    let routed: BTreeSet<RevisionId> = show.revisions.iter().filter(|it| it.has_traffic).map(id).collect();
    let mut revisions = BTreeMap::new();
    for revision in &show.revisions {
        let instances =
            revision.instances.iter().enumerate().map(|(number, state)| instance(number, *state)).collect();
        let seen = RevisionObservation {
            image: ImageDigest::new(&format!("sha256:{:064x}", revision.version)).ok()?,
            wanted: u16::from(revision.wanted),
            instances,
            trouble: None,
        };
        revisions.insert(id(revision), seen);
    }
    Some(ComponentObservation {
        key: ComponentKey {
            tenant: numbered(if show.is_foreign { 2 } else { 1 }),
            environment: numbered(1),
            module: module.clone(),
        },
        observed_at: looked.after(Timestamp::UNIX_EPOCH),
        revisions,
        traffic: show.is_routed.then_some(Traffic::PerInstance(routed)),
        endpoint: Some("http://127.0.0.1:8080".to_owned()),
    })
}

fn instance(number: usize, state: u8) -> InstanceObservation {
    let restarts = u32::from(state == 5);
    let state = match state {
        0 | 5 => InstanceState::Starting,
        1 => InstanceState::Ready,
        2 => InstanceState::NotReady,
        3 => InstanceState::Draining,
        _ => InstanceState::Exited { code: Some(1) },
    };
    InstanceObservation {
        name: format!("instance-{number}"),
        state,
        restarts,
        address: None,
        secrets: Default::default(),
        configuration: None,
    }
}

impl Provable for RuntimeService {
    type Plan = InventoryPlan;
    type Driver = InventoryDriver;
    type Model = InventoryModel;

    /// None: a retired component may be brought again.
    const FINAL: &'static [&'static str] = &[];
    const KEPT: &'static [&'static str] = &[];

    fn stories() -> BoxedStrategy<Vec<Step<InventoryPlan>>> {
        inventory_stories()
    }

    fn is_idempotent(_plan: &InventoryPlan) -> bool {
        true
    }

    fn is_at_rest(&self) -> bool {
        self.status() == RuntimeStatus::Retired
    }

    fn may_begin_anew(&self) -> bool {
        self.status() == RuntimeStatus::Retired
    }

    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        if let Some(before) = before {
            Fault::unless(before.tenant() == after.tenant(), "SVC-3", || "its tenant changed".to_owned())?;
            Fault::unless(before.module_id() == after.module_id(), "SVC-1", || {
                "its module changed".to_owned()
            })?;
            let is_same = before.may_begin_anew() || before.registered_at() == after.registered_at();
            Fault::unless(is_same, "X-10", || "it began anew".to_owned())?;
        }
        let recorded = &after.version().revision;
        let derived = ServiceId::of(after.environment(), after.module_id());
        Fault::unless(after.service_id() == derived, "X-3", || {
            format!("it is called {}, and {derived} is its name", after.service_id())
        })?;
        Fault::unless(recorded.module == *after.module_id(), "SVC-1", || {
            format!("it is {}, and its version is {recorded}", after.module_id())
        })?;
        let serving = after.instances().iter().filter(|it| it.is_routed && it.state == InstanceState::Ready);
        let (all, own) =
            serving.fold((0, 0), |(all, own), it| (all + 1, own + usize::from(it.revision == *recorded)));
        let status = after.status();
        let holds = match status {
            RuntimeStatus::Running => {
                own > 0 && after.state().seen().is_some_and(|seen| all >= usize::from(seen.wanted))
            }
            RuntimeStatus::Degraded => all > 0,
            RuntimeStatus::Unavailable => all == 0,
            RuntimeStatus::Starting => all == 0,
            RuntimeStatus::Unknown => true,
            RuntimeStatus::Retired => after.instances().is_empty(),
        };
        Fault::unless(holds, "SVC-2", || {
            format!("it is {status}, and {all} serve, {own} of them of {recorded}")
        })?;
        let is_retired = matches!(after.state(), ServiceState::Retired(_));
        let claim = Claim::service(after.environment(), after.module_id());
        Fault::unless(after.claims().contains(&claim) != is_retired, "X-3", || {
            format!("it is {status}, and holds {:?}", after.claims())
        })
    }

    fn facts(&self, facts: Facts) -> Facts {
        let number = self.version().revision.deployment.uuid().as_u128() - 100;
        facts.with("version", number)
    }
}
