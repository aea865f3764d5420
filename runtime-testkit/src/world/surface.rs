//! A surface in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::component::{ImageDigest, RevisionId};
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::secrets::DeliveredSecret;
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, EffectId, EffectOwner, FencingToken,
    InstanceObservation, InstanceState, RevisionObservation, RevisionSpec, SurfaceCapabilities, SurfaceKind,
    Traffic, TrafficControl,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::clock::Clock;
use runtime_ports::handover::EndpointHandover;
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use super::{Journal, Met, MetOutcome, fenced, lock, not_found, of_effect};

mod jobs;

/// A surface that runs nothing, and shows what it would run: an instance is ready a fixed time after it was wanted, and is gone where it is
/// wanted no more, at once unless [`MemorySurface::drains_for`] says otherwise. It fences by component and owner, and recognises effects by
/// identifier and content, as the contract says of [`EffectClass::Fenced`].
#[derive(Clone)]
pub struct MemorySurface {
    clock: Arc<dyn Clock>,
    capabilities: SurfaceCapabilities,
    ready_after: Span,
    state: Arc<Mutex<State>>,
    journal: Journal,
}

impl std::fmt::Debug for MemorySurface {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MemorySurface").field("state", &lock(&self.state)).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    components: BTreeMap<ComponentKey, Component>,
    jobs: jobs::Jobs,
    /// Images whose instances are never ready.
    broken: BTreeSet<ImageDigest>,
    /// Components whose instances are not well.
    ill: BTreeSet<ComponentKey>,
    /// How many instances were ever started.
    started: u64,
    /// How long an instance takes to go.
    grace: Span,
}

#[derive(Debug, Default)]
struct Component {
    revisions: BTreeMap<RevisionId, Revision>,
    traffic: Option<Traffic>,
    handed_to: Option<ComponentKey>,
    fences: BTreeMap<Realm, (EffectOwner, FencingToken)>,
    effects: Vec<(EffectId, String)>,
    is_known: bool,
}

/// Whose tokens are compared with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Realm {
    Rollout,
    Scaling,
    Delivery,
}

#[derive(Debug, Clone)]
struct Revision {
    spec: RevisionSpec,
    configuration: Option<DeliveredConfiguration>,
    instances: Vec<Instance>,
    /// Those that were told to go, and until when they are there.
    leaving: Vec<(Instance, Timestamp)>,
    begun: u64,
    /// It stays until its last instance has gone.
    is_retired: bool,
}

#[derive(Debug, Clone)]
struct Instance {
    number: u64,
    since: Timestamp,
    secrets: BTreeSet<DeliveredSecret>,
}

/// When something is done, and how long what is told to go then takes.
#[derive(Debug, Clone, Copy)]
struct Present {
    now: Timestamp,
    grace: Span,
}

impl Revision {
    fn of(spec: RevisionSpec) -> Self {
        let configuration = spec.configuration.clone();
        let (instances, leaving) = (Vec::new(), Vec::new());
        Self { spec, configuration, instances, leaving, begun: 0, is_retired: false }
    }

    fn is_there(&self, now: Timestamp) -> bool {
        !self.is_retired || self.leaving.iter().any(|(_, until)| *until > now)
    }

    fn wanted(&self) -> u16 {
        u16::try_from(self.instances.len()).unwrap_or(u16::MAX)
    }

    /// How many were started for it.
    fn resize(&mut self, replicas: u16, Present { now, grace }: Present) -> u64 {
        let before = self.begun;
        let stays = usize::from(replicas).min(self.instances.len());
        self.leaving.extend(self.instances.drain(stays..).map(|instance| (instance, grace.after(now))));
        self.leaving.retain(|(_, until)| *until > now);
        while self.instances.len() < usize::from(replicas) {
            self.begun += 1;
            let secrets = self.spec.secrets.clone();
            self.instances.push(Instance { number: self.begun, since: now, secrets });
        }
        self.begun - before
    }
}

impl Component {
    /// Whether an effect may be carried out; `false` where it was, and others after it.
    fn admit(&mut self, context: EffectContext, operation: &'static str, asked: &str) -> PortResult<bool> {
        let (owner, own) = (context.effect.owner, context.fence);
        let newest =
            self.fences.values().filter(|(other, _)| owner.gives_way_to(*other)).map(|(_, seen)| *seen).max();
        if let Some(seen) = newest.filter(|seen| *seen > own) {
            return Err(fenced(operation, seen, own));
        }
        let realm = match owner {
            EffectOwner::Configuration(_) => Realm::Delivery,
            EffectOwner::ScalingPolicy(_) => Realm::Scaling,
            _ => Realm::Rollout,
        };
        self.fences.insert(realm, (owner, own));
        let effect = (context.effect, asked.to_owned());
        Ok(self.effects.last() == Some(&effect) || !self.effects.contains(&effect))
    }

    /// What was carried out is known when it is repeated.
    fn remember(&mut self, effect: EffectId, asked: &str) {
        let effect = (effect, asked.to_owned());
        if self.effects.last() != Some(&effect) {
            self.effects.push(effect);
        }
    }
}

impl MemorySurface {
    /// An empty surface of operating-system processes, on which an instance is ready half a second after it was wanted.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let capabilities = SurfaceCapabilities {
            kind: SurfaceKind::Process,
            traffic: TrafficControl::Weighted,
            concurrent_revisions: 8,
            metrics_by_revision: true,
            effect_class: EffectClass::Fenced,
        };
        let (state, journal) = (Arc::default(), Journal::default());
        Self { clock, capabilities, ready_after: Span::from_millis(500), state, journal }
    }

    /// Every effect that it has met, those that were refused too, in order.
    pub fn effects(&self) -> Vec<Met> {
        self.journal.all()
    }

    /// Every effect that it has met after so many.
    pub fn effects_after(&self, known: usize) -> Vec<Met> {
        self.journal.after(known)
    }

    /// How many instances were ever started: none twice, where no effect was doubled.
    pub fn started(&self) -> u64 {
        lock(&self.state).started
    }

    /// From now on no instance of this image is ever ready.
    pub fn breaks(&self, image: ImageDigest) {
        lock(&self.state).broken.insert(image);
    }

    /// Makes a component's instances ill, or well again.
    pub fn is_ill(&self, key: &ComponentKey, is_ill: bool) {
        let mut state = lock(&self.state);
        if is_ill {
            state.ill.insert(key.clone());
        } else {
            state.ill.remove(key);
        }
    }

    /// From now on an instance that is wanted no more is there, draining, for so long.
    pub fn drains_for(&self, grace: Span) {
        lock(&self.state).grace = grace;
    }

    /// What there is, as a surface lists it, of all tenants.
    pub fn everything(&self) -> Vec<ComponentObservation> {
        let state = lock(&self.state);
        self.seen_where(&state, |_| true)
    }

    /// Gives every revision of a component so many replicas, behind the hosts' backs.
    pub fn scale_by_hand(&self, key: &ComponentKey, replicas: u16) {
        let mut state = lock(&self.state);
        let present = self.present(&state);
        if let Some(component) = state.components.get_mut(key) {
            for revision in component.revisions.values_mut().filter(|revision| !revision.is_retired) {
                revision.resize(replicas, present);
            }
        }
    }

    /// An instance of a component ends by itself, and another is started in its place. False where there is none of that name.
    pub fn crash(&self, key: &ComponentKey, instance: &str) -> bool {
        let mut state = lock(&self.state);
        let present = self.present(&state);
        let Some(component) = state.components.get_mut(key) else { return false };
        for revision in component.revisions.values_mut() {
            let wanted = revision.wanted();
            revision.instances.retain(|running| running.number.to_string() != instance);
            if revision.wanted() < wanted {
                revision.resize(wanted, present);
                return true;
            }
        }
        false
    }

    /// Starts a component, routed, behind the hosts' backs.
    pub fn start_by_hand(&self, spec: RevisionSpec, replicas: u16) {
        let (key, id) = (spec.key.clone(), spec.revision.clone());
        let mut revision = Revision::of(spec);
        let mut state = lock(&self.state);
        revision.resize(replicas, self.present(&state));
        let component = state.components.entry(key).or_default();
        component.traffic = Some(Traffic::all_to(id.clone()));
        component.revisions.insert(id, revision);
        component.is_known = true;
    }

    /// What a revision was applied with.
    pub fn spec(&self, key: &ComponentKey, revision: &RevisionId) -> Option<RevisionSpec> {
        let state = lock(&self.state);
        let found = state.components.get(key)?.revisions.get(revision)?;
        found.is_there(self.clock.now()).then(|| found.spec.clone())
    }

    /// The components whose endpoint another answers.
    pub fn handed_over(&self) -> BTreeMap<ComponentKey, ComponentKey> {
        let state = lock(&self.state);
        let handed =
            state.components.iter().filter_map(|(key, it)| Some((key.clone(), it.handed_to.clone()?)));
        handed.collect()
    }

    fn present(&self, state: &State) -> Present {
        Present { now: self.clock.now(), grace: state.grace }
    }

    fn perform(
        &self,
        operation: &'static str,
        context: EffectContext,
        key: &ComponentKey,
        asked: String,
        change: impl FnOnce(&mut Component, Present) -> PortResult<(bool, u64)>,
    ) -> PortResult<()> {
        let mut state = lock(&self.state);
        let present = self.present(&state);
        let component = state.components.entry(key.clone()).or_default();
        component.revisions.retain(|_, revision| revision.is_there(present.now));
        let done = match component.admit(context, operation, &asked) {
            Ok(true) => change(component, present).inspect(|_| component.remember(context.effect, &asked)),
            Ok(false) => Ok((false, 0)),
            Err(error) => Err(error),
        };
        let outcome = match &done {
            Ok((true, _)) => MetOutcome::Changed,
            Ok((false, _)) => MetOutcome::Unchanged,
            Err(error) if error.kind() == PortErrorKind::Fenced => MetOutcome::Fenced,
            Err(_) => MetOutcome::Refused,
        };
        self.journal.note(of_effect(context.effect, key), context.fence, asked, outcome);
        let (_, started) = done?;
        state.started += started;
        Ok(())
    }

    /// What there is of the components that are asked for.
    fn seen_where(
        &self,
        state: &State,
        is_asked: impl Fn(&ComponentKey) -> bool,
    ) -> Vec<ComponentObservation> {
        let asked = state.components.keys().filter(|key| is_asked(key));
        asked.map(|key| self.seen(state, key)).filter(|seen| !seen.revisions.is_empty()).collect()
    }

    fn seen(&self, state: &State, key: &ComponentKey) -> ComponentObservation {
        let now = self.clock.now();
        let component = state.components.get(key);
        let revisions = component.into_iter().flat_map(|component| &component.revisions);
        let revisions = revisions.filter(|(_, revision)| revision.is_there(now));
        let revisions = revisions.map(|(id, revision)| {
            let image = revision.spec.component.tuple.image.digest();
            let is_broken = state.broken.contains(image);
            let state_of = |instance: &Instance| {
                if is_broken || self.ready_after.after(instance.since) > now {
                    InstanceState::Starting
                } else if state.ill.contains(key) {
                    InstanceState::NotReady
                } else {
                    InstanceState::Ready
                }
            };
            let running = revision.instances.iter().map(|instance| (instance, state_of(instance)));
            let leaving = revision.leaving.iter().filter(|(_, until)| *until > now);
            let leaving = leaving.map(|(instance, _)| (instance, InstanceState::Draining));
            let instances = running.chain(leaving).map(|(instance, shown)| InstanceObservation {
                name: format!("{}", instance.number),
                state: shown,
                restarts: 0,
                address: Some(format!("{}-{}.memory:80", id.module, instance.number)),
                configuration: revision.configuration.as_ref().map(DeliveredConfiguration::to_version_ref),
                secrets: instance.secrets.iter().map(DeliveredSecret::to_version_ref).collect(),
            });
            let seen = RevisionObservation {
                image: image.clone(),
                wanted: revision.wanted(),
                instances: instances.collect(),
                trouble: is_broken.then(|| "it is never ready".to_owned()),
            };
            (id.clone(), seen)
        });
        ComponentObservation {
            key: key.clone(),
            observed_at: now,
            revisions: revisions.collect(),
            traffic: component.and_then(|component| component.traffic.clone()),
            endpoint: component.filter(|it| it.is_known).map(|_| format!("http://{}.memory:80", key.module)),
        }
    }
}

/// A revision that is there, and not about to go.
fn existing<'c>(
    component: &'c mut Component,
    operation: &'static str,
    revision: &RevisionId,
) -> PortResult<&'c mut Revision> {
    let found = component.revisions.get_mut(revision).filter(|found| !found.is_retired);
    found.ok_or_else(|| not_found(operation, revision))
}

/// The same traffic without a revision, where it leaves a whole.
fn without(traffic: Option<Traffic>, revision: &RevisionId) -> Option<Traffic> {
    let left = traffic.as_ref()?.revisions().into_iter().filter(|other| *other != revision).cloned();
    let left: BTreeSet<RevisionId> = left.collect();
    match traffic? {
        kept if !kept.revisions().contains(&revision) => Some(kept),
        Traffic::PerInstance(_) => (!left.is_empty()).then_some(Traffic::PerInstance(left)),
        Traffic::Weighted(_) => left.into_iter().next().map(Traffic::all_to),
    }
}

#[async_trait]
impl ComputeSurface for MemorySurface {
    fn capabilities(&self) -> SurfaceCapabilities {
        self.capabilities.clone()
    }

    async fn apply(&self, context: EffectContext, spec: &RevisionSpec, replicas: u16) -> PortResult<()> {
        let asked = format!("apply {} with {replicas}", spec.revision);
        let most = usize::from(self.capabilities.concurrent_revisions);
        self.perform("surface.apply", context, &spec.key, asked, |component, present| {
            let refuse = |kind, why: &str| {
                Err(PortError::new(kind, "surface.apply", format!("{}: {why}", spec.revision)))
            };
            let is_new = !component.revisions.contains_key(&spec.revision);
            if is_new && component.revisions.len() >= most {
                return refuse(
                    PortErrorKind::Exhausted,
                    "there are as many revisions as may be: retire one first",
                );
            }
            let found = component.revisions.entry(spec.revision.clone());
            let found = found.or_insert_with(|| Revision::of(spec.clone()));
            if found.spec != *spec {
                return refuse(
                    PortErrorKind::Invalid,
                    "it exists with other content: bring it as a new revision",
                );
            }
            component.is_known = true;
            let before = (is_new || found.is_retired, found.wanted());
            found.is_retired = false;
            Ok((before != (false, replicas), found.resize(replicas, present)))
        })
    }

    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        let asked = format!("scale {revision} to {replicas}");
        self.perform("surface.scale", context, key, asked, |component, present| {
            let found = existing(component, "surface.scale", revision)?;
            let before = found.wanted();
            Ok((before != replicas, found.resize(replicas, present)))
        })
    }

    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()> {
        let asked = format!("shift to {traffic:?}");
        self.perform("surface.shift_traffic", context, key, asked, |component, _| {
            for revision in traffic.revisions() {
                existing(component, "surface.shift_traffic", revision)?;
            }
            let before = component.traffic.replace(traffic.clone());
            Ok((before.as_ref() != Some(traffic), 0))
        })
    }

    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        self.perform("surface.retire", context, key, format!("retire {revision}"), |component, present| {
            component.traffic = without(component.traffic.take(), revision);
            let Some(found) = component.revisions.get_mut(revision) else { return Ok((false, 0)) };
            found.resize(0, present);
            Ok((!std::mem::replace(&mut found.is_retired, true), 0))
        })
    }

    async fn deliver(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        configuration: &DeliveredConfiguration,
    ) -> PortResult<()> {
        let asked = format!("deliver {} to {revision}", configuration.version());
        self.perform("surface.deliver", context, key, asked, |component, _| {
            let found = existing(component, "surface.deliver", revision)?;
            let is_later =
                found.configuration.as_ref().is_none_or(|given| given.version() < configuration.version());
            if is_later {
                found.configuration = Some(configuration.clone());
            }
            Ok((is_later, 0))
        })
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        Ok(self.seen(&lock(&self.state), key))
    }

    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        let state = lock(&self.state);
        Ok(self.seen_where(&state, |key| (key.tenant, key.environment) == (tenant, environment)))
    }
}

#[async_trait]
impl EndpointHandover for MemorySurface {
    async fn hand_over(
        &self,
        context: EffectContext,
        from: &ComponentKey,
        to: &ComponentKey,
    ) -> PortResult<()> {
        let operation = "handover.hand_over";
        let refuse = |why: &str| Err(PortError::new(PortErrorKind::Invalid, operation, why));
        if from.tenant != to.tenant {
            return refuse("the two are of different tenants: hand over within one (X-1)");
        }
        {
            let state = lock(&self.state);
            for key in [from, to] {
                if !state.components.get(key).is_some_and(|component| component.is_known) {
                    return Err(not_found(operation, key));
                }
            }
            let is_passed_on =
                state.components.get(to).is_some_and(|component| component.handed_to.is_some());
            if from != to && is_passed_on {
                return refuse("the one that would answer has handed its endpoint over: take it back first");
            }
        }
        self.perform(operation, context, from, format!("hand over to {to}"), |component, _| {
            let to = (from != to).then(|| to.clone());
            let before = std::mem::replace(&mut component.handed_to, to);
            Ok((before != component.handed_to, 0))
        })
    }

    async fn answered_by(&self, component: &ComponentKey) -> PortResult<Option<ComponentKey>> {
        let state = lock(&self.state);
        let found = state.components.get(component).filter(|found| found.is_known);
        Ok(found.map(|found| found.handed_to.clone().unwrap_or_else(|| component.clone())))
    }
}
