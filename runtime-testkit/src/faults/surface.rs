//! Surfaces, jobs and endpoints some of whose calls meet a fault.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, EffectId, RevisionSpec, SurfaceCapabilities, Traffic,
};
use runtime_domain::time::Span;
use runtime_ports::PortResult;
use runtime_ports::handover::EndpointHandover;
use runtime_ports::job::{JobRequest, JobRunner, JobState};
use runtime_ports::surface::{ComputeSurface, EffectContext};

use super::{Call, Faults, Spoil, half};

impl Faults {
    /// The same surface, whose calls meet these faults.
    pub fn surface(&self, inner: Arc<dyn ComputeSurface>) -> Arc<dyn ComputeSurface> {
        Arc::new(FaultySurface { inner, faults: self.clone() })
    }

    /// The same handover, whose calls meet these faults.
    pub fn handover(&self, inner: Arc<dyn EndpointHandover>) -> Arc<dyn EndpointHandover> {
        Arc::new(FaultyHandover { inner, faults: self.clone() })
    }

    /// The same runner of jobs, whose calls meet these faults.
    pub fn jobs(&self, inner: Arc<dyn JobRunner>) -> Arc<dyn JobRunner> {
        Arc::new(FaultyJobs { inner, faults: self.clone() })
    }
}

struct FaultySurface {
    inner: Arc<dyn ComputeSurface>,
    faults: Faults,
}

/// How long ahead of all clocks an observation is from that is garbage.
const AHEAD: Span = Span::from_secs(86_400);

fn half_seen(mut seen: ComponentObservation) -> ComponentObservation {
    for revision in seen.revisions.values_mut() {
        revision.instances = half(std::mem::take(&mut revision.instances));
    }
    seen
}

/// Of another tenant's component, and from the future.
fn not_seen(mut seen: ComponentObservation) -> ComponentObservation {
    seen.key.tenant = TenantId::from_uuid(uuid::Uuid::from_u128(!seen.key.tenant.uuid().as_u128()));
    seen.observed_at = AHEAD.after(seen.observed_at);
    seen
}

#[async_trait]
impl ComputeSurface for FaultySurface {
    fn capabilities(&self) -> SurfaceCapabilities {
        self.inner.capabilities()
    }

    async fn apply(&self, context: EffectContext, revision: &RevisionSpec, replicas: u16) -> PortResult<()> {
        let about = format_args!("{} {} with {replicas}", revision.key, revision.revision).to_string();
        let call = Call::of("surface.apply", about).effect(context.effect);
        self.faults.change(call, || self.inner.apply(context, revision, replicas)).await
    }

    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        let about = format!("{key} {revision} to {replicas}");
        let call = Call::of("surface.scale", about).effect(context.effect);
        self.faults.change(call, || self.inner.scale(context, key, revision, replicas)).await
    }

    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()> {
        let call = Call::of("surface.shift_traffic", format!("{key} to {traffic:?}")).effect(context.effect);
        self.faults.change(call, || self.inner.shift_traffic(context, key, traffic)).await
    }

    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        let call = Call::of("surface.retire", format!("{key} {revision}")).effect(context.effect);
        self.faults.change(call, || self.inner.retire(context, key, revision)).await
    }

    async fn deliver(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        configuration: &DeliveredConfiguration,
    ) -> PortResult<()> {
        let about = format!("{key} {revision} version {}", configuration.version());
        let call = Call::of("surface.deliver", about).effect(context.effect);
        self.faults.change(call, || self.inner.deliver(context, key, revision, configuration)).await
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        let spoil = Spoil::part(half_seen).garbage(not_seen);
        self.faults.read(Call::of("surface.observe", key), spoil, self.inner.observe(key)).await
    }

    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        let call = Call::of("surface.list", format!("{tenant} {environment}"));
        let spoil = Spoil::part(half).garbage(|seen| seen.into_iter().map(not_seen).collect());
        self.faults.read(call, spoil, self.inner.list(tenant, environment)).await
    }
}

struct FaultyHandover {
    inner: Arc<dyn EndpointHandover>,
    faults: Faults,
}

#[async_trait]
impl EndpointHandover for FaultyHandover {
    async fn hand_over(
        &self,
        context: EffectContext,
        from: &ComponentKey,
        to: &ComponentKey,
    ) -> PortResult<()> {
        let call = Call::of("handover.hand_over", format!("{from} to {to}")).effect(context.effect);
        self.faults.change(call, || self.inner.hand_over(context, from, to)).await
    }

    async fn answered_by(&self, component: &ComponentKey) -> PortResult<Option<ComponentKey>> {
        let call = Call::of("handover.answered_by", component);
        let spoil = Spoil::part(|_| None);
        self.faults.read(call, spoil, self.inner.answered_by(component)).await
    }
}

struct FaultyJobs {
    inner: Arc<dyn JobRunner>,
    faults: Faults,
}

#[async_trait]
impl JobRunner for FaultyJobs {
    fn effect_class(&self) -> EffectClass {
        self.inner.effect_class()
    }

    async fn start(&self, request: &JobRequest) -> PortResult<()> {
        let call = Call::of("jobs.start", request.effect).effect(request.effect);
        self.faults.change(call, || self.inner.start(request)).await
    }

    async fn state(&self, tenant: TenantId, effect: EffectId) -> PortResult<JobState> {
        let call = Call::of("jobs.state", format!("{tenant} {effect}"));
        let spoil = Spoil::part(|_| JobState::Absent)
            .garbage(|_| JobState::Unknown { detail: "a fault on purpose".to_owned() });
        self.faults.read(call, spoil, self.inner.state(tenant, effect)).await
    }
}
