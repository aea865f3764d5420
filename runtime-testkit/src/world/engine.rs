//! An infrastructure engine in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::environment::{
    ComputeTarget, EnvironmentBlueprint, NetworkBoundary, ProvisionedResources,
};
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::FencingToken;
use runtime_ports::PortResult;
use runtime_ports::infrastructure::{
    InfrastructureEngine, ResourceChange, ResourceCondition, ResourceFinding, ResourcePreview,
};
use runtime_ports::surface::EffectContext;

use super::{Journal, Met, MetOutcome, fenced, lock};

/// An engine that makes one resource for each surface. It fences by environment.
#[derive(Debug, Clone, Default)]
pub struct MemoryEngine {
    state: Arc<Mutex<State>>,
    journal: Journal,
}

#[derive(Debug, Default)]
struct State {
    made: BTreeMap<(TenantId, EnvironmentId), ProvisionedResources>,
    fences: BTreeMap<(TenantId, EnvironmentId), FencingToken>,
}

impl MemoryEngine {
    /// An engine that has made nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every effect that it has met, in order.
    pub fn effects(&self) -> Vec<Met> {
        self.journal.all()
    }

    /// Every effect that it has met after so many.
    pub fn effects_after(&self, known: usize) -> Vec<Met> {
        self.journal.after(known)
    }

    /// The environments that it has resources of.
    pub fn environments(&self) -> Vec<EnvironmentId> {
        lock(&self.state).made.keys().map(|(_, environment)| *environment).collect()
    }

    fn perform<T>(
        &self,
        operation: &'static str,
        context: EffectContext,
        place: (TenantId, EnvironmentId),
        asked: &str,
        change: impl FnOnce(&mut State) -> (bool, T),
    ) -> PortResult<T> {
        let mut state = lock(&self.state);
        let seen = state.fences.entry(place).or_default();
        if *seen > context.fence {
            self.journal.note(context.effect, context.fence, asked.to_owned(), MetOutcome::Fenced);
            return Err(fenced(operation, *seen, context.fence));
        }
        *seen = context.fence;
        let (is_changed, answer) = change(&mut state);
        let outcome = if is_changed { MetOutcome::Changed } else { MetOutcome::Unchanged };
        self.journal.note(context.effect, context.fence, asked.to_owned(), outcome);
        Ok(answer)
    }

    fn has(&self, blueprint: &EnvironmentBlueprint) -> bool {
        lock(&self.state).made.contains_key(&(blueprint.tenant, blueprint.environment))
    }
}

fn resources(blueprint: &EnvironmentBlueprint) -> ProvisionedResources {
    let target = |surface: &_| ComputeTarget { surface: *surface, resource_ids: Vec::new() };
    let egress_allow_list = blueprint.egress_allow_list.clone();
    ProvisionedResources {
        stack_ref: format!("memory/{}", blueprint.environment),
        compute_targets: blueprint.surfaces.iter().map(target).collect(),
        network_boundary: NetworkBoundary { egress_allow_list, resource_ids: Vec::new() },
        outputs: BTreeMap::from([("name".to_owned(), blueprint.name.to_string())]),
    }
}

fn names(blueprint: &EnvironmentBlueprint) -> impl Iterator<Item = String> {
    blueprint.surfaces.iter().map(ToString::to_string)
}

#[async_trait]
impl InfrastructureEngine for MemoryEngine {
    async fn preview(&self, blueprint: &EnvironmentBlueprint) -> PortResult<Vec<ResourcePreview>> {
        let change = || if self.has(blueprint) { ResourceChange::Keep } else { ResourceChange::Create };
        Ok(names(blueprint).map(|resource| ResourcePreview { resource, change: change() }).collect())
    }

    async fn up(
        &self,
        context: EffectContext,
        blueprint: &EnvironmentBlueprint,
    ) -> PortResult<ProvisionedResources> {
        let place = (blueprint.tenant, blueprint.environment);
        // It is one intention whatever is wanted by then, so that what it brings about is told from what it brought about before.
        let asked = format!("up with {:?}, reaching {:?}", blueprint.surfaces, blueprint.egress_allow_list);
        self.perform("infrastructure.up", context, place, &asked, |state| {
            let made = resources(blueprint);
            let before = state.made.insert(place, made.clone());
            (before.as_ref() != Some(&made), made)
        })
    }

    async fn refresh(&self, blueprint: &EnvironmentBlueprint) -> PortResult<Vec<ResourceFinding>> {
        let is_there = self.has(blueprint);
        let condition = if is_there { ResourceCondition::Present } else { ResourceCondition::Missing };
        Ok(names(blueprint).map(|resource| ResourceFinding { resource, condition }).collect())
    }

    async fn outputs(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Option<BTreeMap<String, String>>> {
        let state = lock(&self.state);
        Ok(state.made.get(&(tenant, environment)).map(|made| made.outputs.clone()))
    }

    async fn destroy(
        &self,
        context: EffectContext,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<()> {
        let place = (tenant, environment);
        self.perform("infrastructure.destroy", context, place, "destroy", |state| {
            (state.made.remove(&place).is_some(), ())
        })
    }
}
