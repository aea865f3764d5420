//! Every trial of the surface's suite is failed by a surface that breaks the promise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::{ComponentSpec, RevisionId};
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{DeploymentId, EnvironmentId, TenantId};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectId, FencingToken, RevisionSpec, SurfaceCapabilities, Traffic,
};
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::conformance::{AdapterFactory, Persistence, SurfaceFactory, Verdict, surface};
use runtime_testkit::sample;
use runtime_testkit::world::{MemorySurface, TokioClock};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    ListsWhatIsNot,
    RoutesAtOnce,
    StartsAgain,
    EndsTheOldest,
    RoutesNowhere,
    NeverRetires,
    ScalesWhatIsNot,
    ForgetsTheTenant,
    IgnoresTokens,
    FencesRolloutsByPolicies,
    ForgetsEffects,
    ForgetsTokensOfRefused,
    TakesRefusedForDone,
    LetsGoWhatComesBack,
    KeepsQuietAboutContent,
    DeclaresFewer,
    LeavesTheDead,
    ForgetsWhenClosed,
}

struct Broken {
    inner: MemorySurface,
    bug: Bug,
    calls: AtomicU32,
    refused: Mutex<BTreeSet<EffectId>>,
    retired: Mutex<BTreeSet<RevisionId>>,
}

fn opened(bug: Bug) -> Broken {
    let inner = MemorySurface::new(Arc::new(TokioClock::at(sample::at(1_000))));
    Broken { inner, bug, calls: AtomicU32::new(0), refused: Mutex::default(), retired: Mutex::default() }
}

impl Broken {
    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    fn context(&self, context: EffectContext) -> EffectContext {
        let mut context = context;
        if self.is(Bug::IgnoresTokens) {
            context.fence = FencingToken(u64::MAX);
        }
        if self.is(Bug::ForgetsEffects) {
            context.effect.ordinal = 1_000 + self.calls.fetch_add(1, Ordering::SeqCst);
        }
        if self.is(Bug::FencesRolloutsByPolicies) {
            let owner = DeploymentId::from_uuid(uuid::Uuid::from_u128(1));
            context.effect = EffectId::of(owner, context.effect.ordinal);
        }
        context
    }

    /// Whether it answers without its surface, for an effect on what is not there.
    fn looks_first(&self, key: &ComponentKey, revision: &RevisionId) -> bool {
        self.is(Bug::ForgetsTokensOfRefused) && self.inner.spec(key, revision).is_none()
    }

    fn key(&self, key: &ComponentKey) -> ComponentKey {
        let tenant = if self.is(Bug::ForgetsTheTenant) { sample::tenant(1) } else { key.tenant };
        ComponentKey { tenant, ..key.clone() }
    }
}

#[async_trait]
impl ComputeSurface for Broken {
    fn capabilities(&self) -> SurfaceCapabilities {
        let able = self.inner.capabilities();
        let concurrent_revisions = if self.is(Bug::DeclaresFewer) { 4 } else { able.concurrent_revisions };
        SurfaceCapabilities { concurrent_revisions, ..able }
    }

    async fn apply(&self, context: EffectContext, spec: &RevisionSpec, replicas: u16) -> PortResult<()> {
        if self.is(Bug::StartsAgain) {
            self.inner.scale_by_hand(&spec.key, 0);
            self.inner.scale_by_hand(&spec.key, replicas);
        }
        if self.is(Bug::LetsGoWhatComesBack) && self.retired.lock().unwrap().contains(&spec.revision) {
            return Ok(());
        }
        let spec = RevisionSpec { key: self.key(&spec.key), ..spec.clone() };
        match self.inner.apply(self.context(context), &spec, replicas).await {
            Err(error) if self.is(Bug::KeepsQuietAboutContent) && error.kind() == PortErrorKind::Invalid => {}
            answer => answer?,
        }
        if self.is(Bug::RoutesAtOnce) {
            let (key, traffic) = (&spec.key, Traffic::all_to(spec.revision.clone()));
            self.inner.shift_traffic(context, key, &traffic).await?;
        }
        Ok(())
    }

    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        if self.is(Bug::EndsTheOldest) {
            self.inner.scale_by_hand(key, 0);
            self.inner.scale_by_hand(key, replicas);
        }
        if self.looks_first(key, revision) {
            return Err(PortError::new(PortErrorKind::NotFound, "surface.scale", "it is not there"));
        }
        match self.inner.scale(self.context(context), &self.key(key), revision, replicas).await {
            Err(error) if self.is(Bug::ScalesWhatIsNot) && error.kind() == PortErrorKind::NotFound => Ok(()),
            answer => answer,
        }
    }

    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()> {
        if self.is(Bug::TakesRefusedForDone) && self.refused.lock().unwrap().contains(&context.effect) {
            return Ok(());
        }
        let answer = self.inner.shift_traffic(self.context(context), &self.key(key), traffic).await;
        if answer.is_err() {
            self.refused.lock().unwrap().insert(context.effect);
        }
        match answer {
            Err(error) if self.is(Bug::RoutesNowhere) && error.kind() == PortErrorKind::NotFound => Ok(()),
            answer => answer,
        }
    }

    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        if self.is(Bug::NeverRetires) || self.looks_first(key, revision) {
            return Ok(());
        }
        self.retired.lock().unwrap().insert(revision.clone());
        self.inner.retire(self.context(context), &self.key(key), revision).await
    }

    async fn deliver(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        configuration: &DeliveredConfiguration,
    ) -> PortResult<()> {
        self.inner.deliver(self.context(context), key, revision, configuration).await
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        let seen = self.inner.observe(&self.key(key)).await?;
        Ok(ComponentObservation { key: key.clone(), ..seen })
    }

    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        let mut listed = self.inner.list(tenant, environment).await?;
        if self.is(Bug::ListsWhatIsNot) && listed.is_empty() {
            let module = component(1).module;
            listed.push(self.inner.observe(&ComponentKey { tenant, environment, module }).await?);
        }
        Ok(listed)
    }
}

fn component(release: u8) -> ComponentSpec {
    serde_json::from_value(serde_json::json!({
        "module": "web", "component_type": "microservice", "version": format!("{release}.0.0"),
        "tuple": { "image": format!("shop/web@sha256:{release:064x}") }, "surface": "process", "replicas": 1,
    }))
    .unwrap()
}

struct Factory(Bug);

#[async_trait]
impl AdapterFactory for Factory {
    type Adapter = Broken;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<Broken> {
        Ok(opened(self.0))
    }

    async fn reopen(&self, surface: Broken) -> PortResult<Broken> {
        Ok(if self.0 == Bug::ForgetsWhenClosed { opened(self.0) } else { surface })
    }
}

#[async_trait]
impl SurfaceFactory for Factory {
    fn component(&self, release: u8) -> ComponentSpec {
        component(release)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn kill(&self, surface: &Broken, key: &ComponentKey, instance: &str) -> PortResult<bool> {
        if surface.is(Bug::LeavesTheDead) {
            surface.inner.scale_by_hand(key, 1);
            return Ok(true);
        }
        Ok(surface.inner.crash(key, instance))
    }

    async fn end(&self, _surface: Arc<Broken>) {}
}

#[tokio::test(start_paused = true)]
async fn a_surface_that_keeps_every_promise_passes() {
    let report = surface(Factory(Bug::None)).await;
    report.assert_passed();
    assert!(report.trials().iter().all(|trial| trial.verdict == Verdict::Passed), "{report}");
}

#[tokio::test(start_paused = true)]
async fn every_trial_is_failed_by_a_surface_that_breaks_its_promise() {
    let mut caught = BTreeSet::new();
    for (bug, trial) in [
        (Bug::ListsWhatIsNot, "what was never applied is shown as nothing"),
        (Bug::RoutesAtOnce, "a revision comes up with its replicas, and gets no traffic by that"),
        (Bug::StartsAgain, "repeating an effect changes nothing"),
        (Bug::EndsTheOldest, "scaling down ends the newest instances, and scaling up adds some"),
        (Bug::RoutesNowhere, "traffic goes where it was directed, and nowhere that does not exist"),
        (Bug::NeverRetires, "what is retired goes, with its traffic, and may be retired again"),
        (Bug::ScalesWhatIsNot, "what does not exist is not found"),
        (Bug::ForgetsTheTenant, "components, environments and tenants do not meet"),
        (Bug::IgnoresTokens, "an older token changes nothing, whichever deployment has it"),
        (Bug::FencesRolloutsByPolicies, "a rollout gives way to no policy, and a policy to a rollout"),
        (Bug::ForgetsEffects, "an effect that others followed is known when it is repeated"),
        (Bug::ForgetsTokensOfRefused, "a token is seen whatever becomes of its effect"),
        (Bug::TakesRefusedForDone, "what was refused is done when it is asked for again"),
        (Bug::LetsGoWhatComesBack, "what is retired and applied again stays, with its replicas"),
        (Bug::KeepsQuietAboutContent, "a revision is never given other content"),
        (Bug::DeclaresFewer, "of one component there are as many revisions as declared"),
        (Bug::LeavesTheDead, "an instance that ends by itself is started again, of the same revision"),
        (Bug::ForgetsWhenClosed, "what runs is found by the surface that is opened next"),
    ] {
        let report = surface(Factory(bug)).await;
        let failed: BTreeSet<String> = report.failed().map(|trial| trial.name.clone()).collect();
        assert!(failed.contains(trial), "{bug:?} was not caught by `{trial}`: {report}");
        caught.insert(trial.to_owned());
    }
    let all = surface(Factory(Bug::None)).await;
    let names: BTreeSet<String> = all.trials().iter().map(|trial| trial.name.clone()).collect();
    assert_eq!(caught, names, "a trial that nothing fails proves nothing");
}
