//! What environments are made of, some of whose calls meet a fault.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::environment::{EnvironmentBlueprint, ProvisionedResources};
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_ports::PortResult;
use runtime_ports::infrastructure::{
    InfrastructureEngine, ResourceCondition, ResourceFinding, ResourcePreview,
};
use runtime_ports::isolation::{Enforcement, IsolationAspect, ResourceUse, WorkloadIsolation};
use runtime_ports::surface::EffectContext;

use super::{Call, Faults, Spoil, half};

impl Faults {
    /// The same engine, whose calls meet these faults.
    pub fn infrastructure(&self, inner: Arc<dyn InfrastructureEngine>) -> Arc<dyn InfrastructureEngine> {
        Arc::new(FaultyEngine { inner, faults: self.clone() })
    }

    /// The same isolation, whose calls meet these faults.
    pub fn isolation(&self, inner: Arc<dyn WorkloadIsolation>) -> Arc<dyn WorkloadIsolation> {
        Arc::new(FaultyIsolation { inner, faults: self.clone() })
    }
}

struct FaultyEngine {
    inner: Arc<dyn InfrastructureEngine>,
    faults: Faults,
}

#[async_trait]
impl InfrastructureEngine for FaultyEngine {
    async fn preview(&self, blueprint: &EnvironmentBlueprint) -> PortResult<Vec<ResourcePreview>> {
        let call = Call::of("infrastructure.preview", blueprint.environment);
        self.faults.read(call, Spoil::part(half), self.inner.preview(blueprint)).await
    }

    async fn up(
        &self,
        context: EffectContext,
        blueprint: &EnvironmentBlueprint,
    ) -> PortResult<ProvisionedResources> {
        let call = Call::of("infrastructure.up", blueprint.environment).effect(context.effect);
        self.faults.change(call, || self.inner.up(context, blueprint)).await
    }

    async fn refresh(&self, blueprint: &EnvironmentBlueprint) -> PortResult<Vec<ResourceFinding>> {
        let call = Call::of("infrastructure.refresh", blueprint.environment);
        let foreign = |found: Vec<ResourceFinding>| {
            let found = found.into_iter();
            found
                .map(|finding| ResourceFinding { condition: ResourceCondition::Foreign, ..finding })
                .collect()
        };
        self.faults.read(call, Spoil::part(half).garbage(foreign), self.inner.refresh(blueprint)).await
    }

    async fn outputs(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Option<BTreeMap<String, String>>> {
        let call = Call::of("infrastructure.outputs", format!("{tenant} {environment}"));
        let spoil = Spoil::part(|outputs: Option<BTreeMap<_, _>>| outputs.map(|_| BTreeMap::new()));
        self.faults.read(call, spoil, self.inner.outputs(tenant, environment)).await
    }

    async fn destroy(
        &self,
        context: EffectContext,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<()> {
        let call = Call::of("infrastructure.destroy", environment).effect(context.effect);
        self.faults.change(call, || self.inner.destroy(context, tenant, environment)).await
    }
}

struct FaultyIsolation {
    inner: Arc<dyn WorkloadIsolation>,
    faults: Faults,
}

#[async_trait]
impl WorkloadIsolation for FaultyIsolation {
    fn enforcement(&self) -> BTreeMap<IsolationAspect, Enforcement> {
        self.inner.enforcement()
    }

    async fn usage(&self, tenant: TenantId, environment: EnvironmentId) -> PortResult<ResourceUse> {
        let call = Call::of("isolation.usage", format!("{tenant} {environment}"));
        let part = |used: ResourceUse| ResourceUse { memory_bytes: None, cpu_millis: None, ..used };
        let garbage = |used: ResourceUse| ResourceUse { memory_bytes: Some(u64::MAX), ..used };
        let spoil = Spoil::part(part).garbage(garbage);
        self.faults.read(call, spoil, self.inner.usage(tenant, environment)).await
    }
}
