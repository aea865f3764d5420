//! Every trial of the infrastructure engine's suite is failed by an engine that breaks the promise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::environment::{
    ComputeTarget, EnvironmentBlueprint, NetworkBoundary, ProvisionedResources,
};
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{FencingToken, SurfaceKind};
use runtime_ports::infrastructure::{
    InfrastructureEngine, ResourceChange, ResourceCondition, ResourceFinding, ResourcePreview,
};
use runtime_ports::surface::EffectContext;
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::conformance::{AdapterFactory, EngineFactory, Persistence, Verdict, infrastructure};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    PreviewMakes,
    MakesTwice,
    OutputsOfNothing,
    LeavesSomething,
    ForgetsTheTenant,
    IgnoresTokens,
    ForgetsTokensOfTheGone,
    BelievesItsRecord,
    ForgetsWhenClosed,
}

type Place = (TenantId, EnvironmentId);

#[derive(Debug, Default, Clone)]
struct World {
    there: BTreeMap<Place, BTreeSet<String>>,
    recorded: BTreeMap<Place, ProvisionedResources>,
    tokens: BTreeMap<Place, FencingToken>,
    made: u32,
}

struct Engine {
    bug: Bug,
    world: Arc<Mutex<World>>,
}

const PARTS: [&str; 2] = ["network", "compute"];

impl Engine {
    fn place(&self, tenant: TenantId, environment: EnvironmentId) -> Place {
        match self.bug {
            Bug::ForgetsTheTenant => (TenantId::from_uuid(uuid::Uuid::nil()), environment),
            _ => (tenant, environment),
        }
    }

    fn admit(&self, world: &mut World, place: Place, context: EffectContext) -> PortResult<()> {
        let newest = world.tokens.entry(place).or_insert(context.fence);
        if *newest > context.fence && self.bug != Bug::IgnoresTokens {
            return Err(PortError::new(PortErrorKind::Fenced, "test", "it is older"));
        }
        *newest = (*newest).max(context.fence);
        Ok(())
    }

    fn make(&self, world: &mut World, blueprint: &EnvironmentBlueprint) -> ProvisionedResources {
        let place = self.place(blueprint.tenant, blueprint.environment);
        let there = world.there.entry(place).or_default();
        there.extend(PARTS.map(str::to_owned));
        world.made += 1;
        if self.bug == Bug::MakesTwice {
            there.insert(format!("compute-{}", world.made));
        }
        let target = |surface: &SurfaceKind| ComputeTarget { surface: *surface, resource_ids: Vec::new() };
        let resources = ProvisionedResources {
            stack_ref: "test".to_owned(),
            compute_targets: blueprint.surfaces.iter().map(target).collect(),
            network_boundary: NetworkBoundary {
                egress_allow_list: blueprint.egress_allow_list.clone(),
                resource_ids: Vec::new(),
            },
            outputs: BTreeMap::from([("address".to_owned(), "here".to_owned())]),
        };
        world.recorded.insert(place, resources.clone());
        resources
    }
}

#[async_trait]
impl InfrastructureEngine for Engine {
    async fn preview(&self, blueprint: &EnvironmentBlueprint) -> PortResult<Vec<ResourcePreview>> {
        let mut world = self.world.lock().unwrap();
        let there = world.there.get(&self.place(blueprint.tenant, blueprint.environment)).cloned();
        if self.bug == Bug::PreviewMakes {
            self.make(&mut world, blueprint);
        }
        let line = |part: &str| ResourcePreview {
            resource: part.to_owned(),
            change: match there.as_ref().is_some_and(|there| there.contains(part)) {
                true => ResourceChange::Keep,
                false => ResourceChange::Create,
            },
        };
        Ok(PARTS.map(line).into())
    }

    async fn up(
        &self,
        context: EffectContext,
        blueprint: &EnvironmentBlueprint,
    ) -> PortResult<ProvisionedResources> {
        let mut world = self.world.lock().unwrap();
        let place = self.place(blueprint.tenant, blueprint.environment);
        self.admit(&mut world, place, context)?;
        Ok(self.make(&mut world, blueprint))
    }

    async fn refresh(&self, blueprint: &EnvironmentBlueprint) -> PortResult<Vec<ResourceFinding>> {
        let world = self.world.lock().unwrap();
        let place = self.place(blueprint.tenant, blueprint.environment);
        let there = world.there.get(&place).cloned().unwrap_or_default();
        let is_recorded = self.bug == Bug::BelievesItsRecord && world.recorded.contains_key(&place);
        let own = PARTS.map(|part| ResourceFinding {
            resource: part.to_owned(),
            condition: match is_recorded || there.contains(part) {
                true => ResourceCondition::Present,
                false => ResourceCondition::Missing,
            },
        });
        let foreign = there
            .iter()
            .filter(|name| !PARTS.contains(&name.as_str()))
            .map(|name| ResourceFinding { resource: name.clone(), condition: ResourceCondition::Foreign });
        Ok(own.into_iter().chain(foreign).collect())
    }

    async fn outputs(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Option<BTreeMap<String, String>>> {
        let world = self.world.lock().unwrap();
        let recorded = world.recorded.get(&self.place(tenant, environment));
        let outputs = recorded.map(|resources| resources.outputs.clone());
        Ok(if self.bug == Bug::OutputsOfNothing { outputs.or(Some(BTreeMap::new())) } else { outputs })
    }

    async fn destroy(
        &self,
        context: EffectContext,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<()> {
        let mut world = self.world.lock().unwrap();
        let place = self.place(tenant, environment);
        self.admit(&mut world, place, context)?;
        world.recorded.remove(&place);
        let there = world.there.remove(&place);
        if self.bug == Bug::LeavesSomething && there.is_some() {
            world.there.insert(place, BTreeSet::from([PARTS[0].to_owned()]));
        }
        if self.bug == Bug::ForgetsTokensOfTheGone {
            world.tokens.remove(&place);
        }
        Ok(())
    }
}

struct Factory(Bug);

#[async_trait]
impl AdapterFactory for Factory {
    type Adapter = Engine;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<Engine> {
        Ok(Engine { bug: self.0, world: Arc::default() })
    }

    async fn reopen(&self, engine: Engine) -> PortResult<Engine> {
        Ok(match self.0 {
            Bug::ForgetsWhenClosed => Engine { bug: self.0, world: Arc::default() },
            _ => engine,
        })
    }
}

#[async_trait]
impl EngineFactory for Factory {
    fn surface(&self) -> SurfaceKind {
        SurfaceKind::Process
    }

    async fn remove(&self, engine: &Engine, resource: &str) -> PortResult<bool> {
        let mut world = engine.world.lock().unwrap();
        Ok(world.there.values_mut().any(|there| there.remove(resource)))
    }
}

#[tokio::test]
async fn an_engine_that_keeps_every_promise_passes() {
    let report = infrastructure(Factory(Bug::None)).await;
    report.assert_passed();
    assert!(report.trials().iter().all(|trial| trial.verdict == Verdict::Passed), "{report}");
}

#[tokio::test]
async fn every_trial_is_failed_by_an_engine_that_breaks_its_promise() {
    let mut caught = BTreeSet::new();
    for (bug, trial) in [
        (Bug::PreviewMakes, "preview says what up will do and changes nothing"),
        (Bug::MakesTwice, "up makes what was asked for, once"),
        (Bug::OutputsOfNothing, "outputs are told of what is provisioned only"),
        (Bug::LeavesSomething, "destroy leaves nothing, and succeeds again"),
        (Bug::ForgetsTheTenant, "environments and tenants do not meet"),
        (Bug::IgnoresTokens, "an older token changes nothing"),
        (Bug::ForgetsTokensOfTheGone, "an older token changes nothing"),
        (Bug::BelievesItsRecord, "what was removed behind its back is found and made again"),
        (Bug::ForgetsWhenClosed, "what was made survives reopening"),
    ] {
        let report = infrastructure(Factory(bug)).await;
        let failed: BTreeSet<String> = report.failed().map(|trial| trial.name.clone()).collect();
        assert!(failed.contains(trial), "{bug:?} was not caught by `{trial}`: {report}");
        caught.insert(trial.to_owned());
    }
    let all = infrastructure(Factory(Bug::None)).await;
    let names: BTreeSet<String> = all.trials().iter().map(|trial| trial.name.clone()).collect();
    assert_eq!(caught, names, "a trial that nothing fails proves nothing");
}
