//! A surface in memory, on which a host dies at an effect of its choice, and what its clients meet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, EffectOwner, FencingToken, InstanceObservation,
    InstanceState, RevisionObservation, RevisionSpec, SurfaceCapabilities, SurfaceKind, Traffic,
    TrafficControl,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::clock::Clock;
use runtime_ports::handover::EndpointHandover;
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};

/// Time that passes as the test's runtime lets it: at once, where nothing else is to be done.
pub(crate) struct TestClock(pub(crate) tokio::time::Instant);

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.0.elapsed().as_millis()).unwrap();
        Span::from_millis(1_800_000_000_000 + elapsed).after(Timestamp::UNIX_EPOCH)
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let wait = Span::between(self.now(), deadline).to_std();
        tokio::time::sleep_until(tokio::time::Instant::now() + wait).await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

#[derive(Debug, Default)]
pub(crate) struct Component {
    pub(crate) revisions: BTreeMap<RevisionId, (RevisionSpec, u16)>,
    traffic: Option<Traffic>,
    handed_to: Option<ComponentKey>,
    token: Option<FencingToken>,
    /// Until when an instance that was told to go is there still.
    goes_at: Option<Timestamp>,
    /// In the order in which they came. One that others followed does nothing when it comes again.
    effects: Vec<String>,
}

/// Somebody else who undoes what was done, as a call does that comes late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Meddler {
    /// Nobody does.
    #[default]
    Nobody,
    /// Once, this many, after none were asked for.
    OnceDrained(u16),
    /// Once, it is brought back after it was retired.
    OnceRetired,
}

/// A surface in memory, on which a host dies at an effect of its choice.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) components: BTreeMap<ComponentKey, Component>,
    /// Every effect of the move, in order; those that were repeated too.
    pub(crate) effects: Vec<String>,
    /// How many replicas policies asked for, in order.
    pub(crate) scaled: Vec<u16>,
    pub(crate) meddler: Meddler,
    /// How long an instance takes to go.
    pub(crate) grace: Span,
    pub(crate) dies_at: Option<(usize, When)>,
    pub(crate) has_died: bool,
    /// Requests of clients that nobody would have answered.
    pub(crate) homeless: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Surface(pub(crate) Arc<Mutex<World>>, pub(crate) Arc<TestClock>);

impl Surface {
    /// Does an effect of the move, or dies around it. What is not of the move is done as it is.
    async fn perform(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        what: &str,
        change: impl FnOnce(&mut Component),
    ) -> PortResult<()> {
        let (is_done, dies) = {
            let mut world = self.0.lock().unwrap();
            let of_the_move = matches!(context.effect.owner, EffectOwner::RuntimeTenantBinding(_));
            if of_the_move {
                world.effects.push(format!("{what} of {}", context.effect));
            }
            let count = world.effects.len();
            let dies = world.dies_at.filter(|(at, _)| of_the_move && *at == count && !world.has_died);
            let component = world.components.entry(key.clone()).or_default();
            if component.token.is_some_and(|newest| newest > context.fence) {
                return Err(PortError::new(PortErrorKind::Fenced, "test", "it is older"));
            }
            component.token = Some(context.fence);
            let is_done = !matches!(dies, Some((_, When::Before)));
            if is_done {
                component.perform(&format!("{what} of {}", context.effect), change);
            }
            world.has_died |= dies.is_some();
            world.look();
            (is_done, dies.is_some())
        };
        if is_done && !dies { Ok(()) } else { std::future::pending().await }
    }

    pub(crate) fn has_died(&self) -> bool {
        self.0.lock().unwrap().has_died
    }
}

impl Component {
    fn perform(&mut self, effect: &str, change: impl FnOnce(&mut Self)) {
        let others_followed = self.effects.iter().rev().skip(1).any(|known| known == effect)
            && self.effects.last().is_some_and(|last| last != effect);
        if !others_followed {
            self.effects.push(effect.to_owned());
            change(self);
        }
    }
}

impl World {
    /// Looks whether every client of a component that was ever routed is answered by someone.
    fn look(&mut self) {
        for (key, component) in &self.components {
            let answering = component.handed_to.as_ref().unwrap_or(key);
            let is_known = component.handed_to.is_some() || component.traffic.is_some();
            let answers = self.components.get(answering).is_some_and(|component| {
                component.traffic.iter().flat_map(|traffic| traffic.revisions()).any(|revision| {
                    component.revisions.get(revision).is_some_and(|(_, replicas)| *replicas > 0)
                })
            });
            // A target that is not switched to yet has clients of its own kind: it counts once it is routed.
            if is_known && !answers {
                self.homeless.push(format!("{key} after {:?}", self.effects.last()));
            }
        }
    }

    fn observe(&self, key: &ComponentKey, at: Timestamp) -> ComponentObservation {
        let component = self.components.get(key);
        let revisions = component.into_iter().flat_map(|component| &component.revisions);
        let revisions = revisions.map(|(revision, (spec, replicas))| {
            let instance = |number: u16| InstanceObservation {
                name: format!("{revision}-{number}"),
                state: InstanceState::Ready,
                restarts: 0,
                address: None,
                configuration: None,
                secrets: Default::default(),
            };
            let mut seen: RevisionObservation = serde_json::from_value(serde_json::json!({
                "image": spec.component.tuple.image.digest(),
                "wanted": replicas,
                "instances": [],
                "trouble": null,
            }))
            .unwrap();
            seen.instances = (0..*replicas).map(instance).collect();
            if component.and_then(|component| component.goes_at).is_some_and(|goes_at| at < goes_at) {
                seen.instances.push(InstanceObservation { state: InstanceState::Draining, ..instance(0) });
            }
            (revision.clone(), seen)
        });
        ComponentObservation {
            key: key.clone(),
            observed_at: at,
            revisions: revisions.collect(),
            traffic: component.and_then(|component| component.traffic.clone()),
            endpoint: component.map(|_| "http://127.0.0.1:1".to_owned()),
        }
    }
}

#[async_trait]
impl ComputeSurface for Surface {
    fn capabilities(&self) -> SurfaceCapabilities {
        SurfaceCapabilities {
            kind: SurfaceKind::Process,
            traffic: TrafficControl::Weighted,
            concurrent_revisions: 4,
            metrics_by_revision: true,
            effect_class: EffectClass::Fenced,
        }
    }

    async fn apply(&self, context: EffectContext, spec: &RevisionSpec, replicas: u16) -> PortResult<()> {
        let (revision, spec) = (spec.revision.clone(), spec.clone());
        let key = spec.key.clone();
        self.perform(context, &key, "apply", |it| {
            it.revisions.insert(revision, (spec, replicas));
        })
        .await
    }

    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        let of = |replicas: u16| {
            move |it: &mut Component| {
                if let Some((_, has)) = it.revisions.get_mut(revision) {
                    *has = replicas;
                }
            }
        };
        if matches!(context.effect.owner, EffectOwner::ScalingPolicy(_)) {
            self.0.lock().unwrap().scaled.push(replicas);
        }
        self.perform(context, key, "scale", of(replicas)).await?;
        let mut world = self.0.lock().unwrap();
        let goes_at = world.grace.after(self.1.now());
        if let Some(component) = world.components.get_mut(key).filter(|_| replicas == 0) {
            component.goes_at.get_or_insert(goes_at);
        }
        if let (0, Meddler::OnceDrained(replicas)) = (replicas, world.meddler) {
            world.meddler = Meddler::Nobody;
            world.components.entry(key.clone()).or_default().perform("somebody else's", of(replicas));
        }
        Ok(())
    }

    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()> {
        self.perform(context, key, "shift", |it| it.traffic = Some(traffic.clone())).await
    }

    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        let mut retired = None;
        self.perform(context, key, "retire", |it| {
            retired = it.revisions.remove(revision);
            if it.revisions.is_empty() {
                it.traffic = None;
            }
        })
        .await?;
        let mut world = self.0.lock().unwrap();
        if let (Some(retired), Meddler::OnceRetired) = (retired, world.meddler) {
            world.meddler = Meddler::Nobody;
            let component = world.components.entry(key.clone()).or_default();
            component.perform("somebody else's", |it| {
                it.revisions.insert(revision.clone(), retired);
            });
        }
        Ok(())
    }

    async fn deliver(
        &self,
        _context: EffectContext,
        _key: &ComponentKey,
        _revision: &RevisionId,
        _configuration: &DeliveredConfiguration,
    ) -> PortResult<()> {
        Ok(())
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        Ok(self.0.lock().unwrap().observe(key, self.1.now()))
    }

    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        let world = self.0.lock().unwrap();
        let there =
            world.components.keys().filter(|key| key.tenant == tenant && key.environment == environment);
        let seen = there.map(|key| world.observe(key, self.1.now()));
        Ok(seen.filter(|seen| !seen.revisions.is_empty()).collect())
    }
}

#[async_trait]
impl EndpointHandover for Surface {
    async fn hand_over(
        &self,
        context: EffectContext,
        from: &ComponentKey,
        to: &ComponentKey,
    ) -> PortResult<()> {
        let to = (from != to).then(|| to.clone());
        self.perform(context, from, "hand over", |it| it.handed_to = to).await
    }

    async fn answered_by(&self, component: &ComponentKey) -> PortResult<Option<ComponentKey>> {
        let world = self.0.lock().unwrap();
        Ok(world
            .components
            .get(component)
            .map(|it| it.handed_to.clone().unwrap_or_else(|| component.clone())))
    }
}
