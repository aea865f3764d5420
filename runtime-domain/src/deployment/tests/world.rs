//! A world that does what it is told: one surface, its revisions and its routes, and a clock.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use uuid::Uuid;

use crate::aggregate::{Aggregate, Decision};
use crate::calendar::{Activity, Clearance};
use crate::component::{
    ComponentSpec, ComponentType, ImageDigest, ImageReference, ReleaseReference, ReleaseTuple, RevisionId,
    Version,
};
use crate::configuration::{ConfigVersion, PublishedConfiguration};
use crate::deployment::*;
use crate::environment::{Admission, EnvironmentStage};
use crate::id::{ConfigurationId, DeploymentId, EnvironmentId, TenantId};
use crate::metric::MetricReading;
use crate::rollout::gate::ProbeResult;
use crate::rollout::strategy::{BlueGreen, Canary, CanaryStep, Rolling};
use crate::rollout::{
    Action, Change, DeploymentStrategy, Effect, EffectChange, GateSpec, Hold, Look, Next, RolloutLimits,
};
use crate::surface::{
    ComponentKey, ComponentObservation, EffectClass, InstanceObservation, InstanceState, RevisionObservation,
    SurfaceCapabilities, SurfaceKind, Traffic, TrafficControl,
};
use crate::time::{Span, Timestamp};
use crate::value::{Measure, ModuleId, Name, Percent, Replicas, Revision};

pub(crate) fn tenant() -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(1))
}
pub(super) fn environment() -> EnvironmentId {
    EnvironmentId::from_uuid(Uuid::from_u128(2))
}
pub(super) fn deployment_id(number: u128) -> DeploymentId {
    DeploymentId::from_uuid(Uuid::from_u128(100 + number))
}
pub(crate) fn module(name: &str) -> ModuleId {
    Name::new(name).unwrap()
}
pub(super) fn start() -> Timestamp {
    Span::from_secs(1_800_000_000).after(Timestamp::UNIX_EPOCH)
}

pub(super) fn digest(version: u64) -> ImageDigest {
    ImageDigest::new(&alloc::format!("sha256:{version:064x}")).unwrap()
}

pub(crate) fn component(name: &str, version: u64, replicas: u16) -> ComponentSpec {
    let image =
        ImageReference::new(&alloc::format!("shop/{name}:{version}")).unwrap().pinned(digest(version));
    ComponentSpec {
        module: module(name),
        component_type: ComponentType::Microservice,
        version: Version::new(&version.to_string()).unwrap(),
        tuple: ReleaseTuple {
            image,
            configuration: None,
            secrets: BTreeSet::new(),
            scaling_policy: None,
            scaling: None,
        },
        surface: SurfaceKind::Process,
        replicas: Replicas::new(replicas).unwrap(),
        resources: None,
        arguments: Vec::new(),
        variables: BTreeMap::new(),
        configuration: Default::default(),
        readiness: None,
        liveness: None,
        termination_grace: Span::from_secs(1),
        depends_on: BTreeSet::new(),
        dependencies: BTreeMap::new(),
    }
}

pub(crate) fn release(
    components: Vec<ComponentSpec>,
    strategy: DeploymentStrategy,
    gates: Vec<GateSpec>,
) -> Release {
    Release {
        reference: ReleaseReference::new("shop-1").unwrap(),
        components: components.into_iter().map(|component| (component.module.clone(), component)).collect(),
        strategy,
        gates,
        limits: RolloutLimits::default(),
        configuration_id: None,
    }
}

pub(crate) fn rolling() -> DeploymentStrategy {
    DeploymentStrategy::RollingHealthGated(Rolling::default())
}
pub(super) fn blue_green() -> DeploymentStrategy {
    DeploymentStrategy::BlueGreen(BlueGreen {
        bake: Span::from_secs(5),
        retirement_delay: Span::from_secs(5),
    })
}
pub(super) fn canary() -> DeploymentStrategy {
    let step = |weight, seconds| CanaryStep {
        weight: Percent::new(weight).unwrap(),
        hold: Hold::For(Span::from_secs(seconds)),
    };
    DeploymentStrategy::Canary(Canary {
        steps: vec![step(10, 5), step(50, 5)],
        bake: Span::from_secs(5),
        retirement_delay: Span::ZERO,
    })
}

pub(super) fn admission() -> Admission {
    Admission {
        tenant: tenant(),
        environment: environment(),
        stage: EnvironmentStage::Dev,
        surfaces: BTreeSet::from([SurfaceKind::Process]),
        environment_revision: Revision::FIRST,
        binding: None,
        promotion: None,
    }
}

pub(super) fn clearance() -> Clearance {
    Clearance {
        tenant: tenant(),
        environment: environment(),
        activity: Activity::Deployment,
        break_glass: None,
        at: Revision::FIRST,
    }
}

pub(super) fn surfaces() -> BTreeMap<SurfaceKind, SurfaceCapabilities> {
    let can = SurfaceCapabilities {
        kind: SurfaceKind::Process,
        traffic: TrafficControl::Weighted,
        concurrent_revisions: 8,
        metrics_by_revision: true,
        effect_class: EffectClass::Fenced,
    };
    BTreeMap::from([(SurfaceKind::Process, can)])
}

pub(crate) fn request(number: u128, release: Release, previous: &[&RuntimeDeployment]) -> RequestDeployment {
    let points = previous.iter().map(|deployment| deployment.rollback_point(Revision(9)).unwrap()).collect();
    let numbers =
        release.components.keys().map(|module| (module.clone(), u32::try_from(number).unwrap())).collect();
    let configuration = release.configuration_id.map(|id| in_force(&release, id));
    RequestDeployment {
        deployment_id: deployment_id(number),
        release,
        admission: admission(),
        clearance: clearance(),
        configuration,
        upstream: Vec::new(),
        hold_released: None,
        previous: points,
        seen: BTreeMap::new(),
        scaled: BTreeMap::new(),
        numbers,
        surfaces: surfaces(),
    }
}

/// Proof of the configuration version that the components of a release name.
fn in_force(release: &Release, configuration: ConfigurationId) -> PublishedConfiguration {
    let mut named =
        release.components.values().filter_map(|component| component.tuple.configuration.as_ref());
    PublishedConfiguration {
        tenant: tenant(),
        environment: environment(),
        configuration,
        version: ConfigVersion::FIRST,
        checksum: named.next().unwrap().checksum.clone(),
        at: Revision(4),
    }
}

pub(super) type History = Vec<(DeploymentEvent, Timestamp)>;

/// A deployment, everything that happened to it, and the world it acts on.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) deployment: Option<RuntimeDeployment>,
    pub(super) history: History,
    pub(super) revisions: BTreeMap<RevisionId, (u16, ImageDigest)>,
    /// Revisions whose instances never become ready.
    pub(super) broken: BTreeSet<RevisionId>,
    /// Revisions whose instances keep ending.
    pub(super) crashing: BTreeSet<RevisionId>,
    pub(super) traffic: BTreeMap<ModuleId, Traffic>,
    /// What a metric shows; `None` is no data.
    pub(super) metric: Option<Measure>,
    pub(super) samples: u64,
    pub(super) probe: Result<u16, String>,
    pub(super) job: JobReport,
    pub(super) jobs_started: u32,
    /// Every change that was made, in words.
    pub(super) changes: Vec<String>,
    /// The smallest number of routed ready instances ever seen, by component, once it had a route.
    pub(super) fewest_serving: BTreeMap<ModuleId, u16>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            now: start(),
            deployment: None,
            history: Vec::new(),
            revisions: BTreeMap::new(),
            broken: BTreeSet::new(),
            crashing: BTreeSet::new(),
            traffic: BTreeMap::new(),
            metric: Some(Measure::from_micros(0)),
            samples: 1_000,
            probe: Ok(200),
            job: JobReport::Succeeded,
            jobs_started: 0,
            changes: Vec::new(),
            fewest_serving: BTreeMap::new(),
        }
    }

    /// A world in which `release` was rolled out as deployment 1, and that Completed deployment.
    pub(super) fn serving(release: Release) -> (Self, RuntimeDeployment) {
        let mut world = Self::new();
        world.request(1, release, &[]).unwrap();
        world.settle();
        let first = world.deployment.clone().unwrap();
        assert_eq!(first.status(), DeploymentStatus::Completed, "{:?}", first.state());
        world.history.clear();
        world.changes.clear();
        world.fewest_serving.clear();
        (world, first)
    }

    pub(super) fn request(
        &mut self,
        number: u128,
        release: Release,
        previous: &[&RuntimeDeployment],
    ) -> Result<(), DeploymentRefusal> {
        self.begin(RuntimeDeployment::request(request(number, release, previous), self.now)?);
        Ok(())
    }

    pub(super) fn begin(&mut self, decision: Decision<DeploymentEvent>) {
        self.deployment = None;
        self.history.clear();
        self.apply(decision);
    }

    pub(super) fn deployment(&self) -> &RuntimeDeployment {
        self.deployment.as_ref().unwrap()
    }

    pub(super) fn status(&self) -> DeploymentStatus {
        self.deployment().status()
    }

    fn apply(&mut self, decision: Decision<DeploymentEvent>) {
        assert!(!decision.explanation.trim().is_empty(), "a decision without an explanation");
        for event in decision.events {
            let next = RuntimeDeployment::evolve(self.deployment.take(), &event, self.now).unwrap();
            self.deployment = Some(next);
            self.history.push((event, self.now));
        }
    }

    pub(super) fn command(&mut self, command: &DeploymentCommand) -> Result<bool, DeploymentRefusal> {
        let decision = self.deployment().decide(command, self.now)?;
        let changed = !decision.is_unchanged();
        self.apply(decision);
        Ok(changed)
    }

    pub(super) fn pass_time(&mut self, span: Span) {
        self.now = span.after(self.now);
    }

    /// Does what is to be done until the deployment ends, waits for people, or has used up its steps.
    pub(super) fn settle(&mut self) {
        for _ in 0..2_000 {
            if !self.step() {
                return;
            }
        }
        panic!("it never settles: {:?}", self.deployment().state());
    }

    /// Does what is to be done now, or lets time pass until something is; false where that waits for people, or it has ended.
    pub(super) fn step(&mut self) -> bool {
        match self.deployment().next(self.now) {
            Next::Act(actions) => {
                let changes = actions.iter().filter(|action| self.act(action)).count();
                if changes == 0 {
                    self.pass_time(Span::from_secs(1));
                }
            }
            Next::Wait(until) if until < Span::from_secs(3_600).after(self.now) => self.now = until,
            Next::Wait(_) | Next::WaitForPeople | Next::Done => return false,
        }
        true
    }

    /// Carries out one action, and tells whether anything changed.
    pub(super) fn act(&mut self, action: &Action) -> bool {
        let command = match action {
            Action::Intend { track, job } => {
                DeploymentCommand::RecordIntention { track: track.clone(), job: *job }
            }
            Action::Perform(effect) => {
                self.perform(effect);
                DeploymentCommand::RecordOutcome { effect: effect.id, outcome: EffectOutcome::Done }
            }
            Action::Look(Look::Component { module }) => {
                DeploymentCommand::RecordObservation { observation: self.observe(module) }
            }
            Action::Look(Look::Probe { gate, .. }) => {
                let result = ProbeResult { target: "instance".to_string(), answer: self.probe.clone() };
                DeploymentCommand::RecordProbes { gate: *gate, results: vec![result] }
            }
            Action::Look(Look::Metric { gate, .. }) => {
                let reading =
                    MetricReading { value: self.metric, samples: self.samples, newest: Some(self.now) };
                DeploymentCommand::RecordReading { gate: *gate, reading: Ok(reading) }
            }
            Action::Look(Look::Job { gate, .. }) => {
                DeploymentCommand::RecordJob { gate: *gate, report: self.job.clone() }
            }
            Action::Tick => DeploymentCommand::Tick,
        };
        self.command(&command).unwrap()
    }

    pub(super) fn perform(&mut self, effect: &Effect) {
        match &effect.change {
            EffectChange::Job(_) => self.jobs_started += 1,
            EffectChange::Surface(change) => {
                self.changes.push(change.to_string());
                self.change(effect.module.as_ref().unwrap(), change);
            }
        }
        self.watch();
    }

    fn change(&mut self, module: &ModuleId, change: &Change) {
        match change {
            Change::Apply { revision, replicas } | Change::Scale { revision, replicas } => {
                let image = self.image_of(revision);
                self.revisions.insert(revision.clone(), (*replicas, image));
            }
            Change::Shift { traffic } => {
                self.traffic.insert(module.clone(), traffic.clone());
            }
            Change::Retire { revision } => {
                self.revisions.remove(revision);
                if self.traffic.get(module).is_some_and(|traffic| traffic.revisions() == [revision]) {
                    self.traffic.remove(module);
                }
            }
        }
    }

    fn image_of(&self, revision: &RevisionId) -> ImageDigest {
        let own = self.deployment().release().components.get(&revision.module).unwrap();
        let point = self.deployment().restore_points().get(&revision.module);
        match point.filter(|point| point.revision == *revision) {
            Some(point) => point.component.tuple.image.digest().clone(),
            None => own.tuple.image.digest().clone(),
        }
    }

    fn is_ready(&self, revision: &RevisionId) -> bool {
        !self.broken.contains(revision) && !self.crashing.contains(revision)
    }

    fn watch(&mut self) {
        for (module, traffic) in &self.traffic {
            let serving: u16 = traffic
                .revisions()
                .iter()
                .filter(|revision| self.is_ready(revision))
                .filter_map(|revision| self.revisions.get(*revision))
                .map(|(replicas, _)| *replicas)
                .sum();
            let fewest = self.fewest_serving.entry(module.clone()).or_insert(serving);
            *fewest = serving.min(*fewest);
        }
    }

    pub(super) fn observe(&self, module: &ModuleId) -> ComponentObservation {
        let of_module = self.revisions.iter().filter(|(revision, _)| revision.module == *module);
        let revisions = of_module.map(|(revision, (replicas, image))| {
            let state = match (self.crashing.contains(revision), self.broken.contains(revision)) {
                (true, _) => InstanceState::Exited { code: Some(1) },
                (_, true) => InstanceState::NotReady,
                _ => InstanceState::Ready,
            };
            let restarts = if self.crashing.contains(revision) { 9 } else { 0 };
            let instance = |number| InstanceObservation {
                name: alloc::format!("{revision}-{number}"),
                state: state.clone(),
                restarts,
                address: None,
                secrets: Default::default(),
                configuration: None,
            };
            let seen = RevisionObservation {
                image: image.clone(),
                wanted: *replicas,
                instances: (0..*replicas).map(instance).collect(),
                trouble: None,
            };
            (revision.clone(), seen)
        });
        ComponentObservation {
            key: ComponentKey { tenant: tenant(), environment: environment(), module: module.clone() },
            observed_at: self.now,
            revisions: revisions.collect(),
            traffic: self.traffic.get(module).cloned(),
            endpoint: None,
        }
    }

    /// Only this revision exists, at this capacity, and gets everything.
    pub(super) fn assert_serves_alone(&self, revision: &RevisionId, replicas: u16) {
        let module = &revision.module;
        let present: Vec<_> = self.revisions.iter().filter(|(other, _)| other.module == *module).collect();
        assert_eq!(present.len(), 1, "{present:?}");
        assert_eq!(self.revisions.get(revision).map(|(replicas, _)| *replicas), Some(replicas));
        let traffic = self.traffic.get(module).unwrap();
        assert_eq!(traffic.revisions(), [revision]);
    }
}

pub(super) fn metric_gate(name: &str) -> GateSpec {
    use crate::metric::MetricName;
    use crate::rollout::gate::{Bound, MetricCheck};
    use crate::rollout::{GateCheck, GatePoint};
    GateSpec {
        name: module(name),
        at: GatePoint::DuringTraffic,
        modules: BTreeSet::new(),
        check: GateCheck::Metric(MetricCheck {
            metric: MetricName::ErrorRate,
            bound: Bound::AtMost("0.05".parse().unwrap()),
            min_samples: 20,
            freshness: Span::from_secs(60),
            interval: Span::from_secs(1),
            successes: 2,
            failure_limit: 1,
            inconclusive_limit: 3,
        }),
    }
}

pub(super) fn approval_gate(name: &str, required: u16) -> GateSpec {
    use crate::rollout::gate::ApprovalCheck;
    use crate::rollout::{GateCheck, GatePoint};
    GateSpec {
        name: module(name),
        at: GatePoint::BeforeRollout,
        modules: BTreeSet::new(),
        check: GateCheck::Approval(ApprovalCheck { required, approvers: BTreeSet::new() }),
    }
}

pub(crate) fn job_gate(name: &str) -> GateSpec {
    use crate::component::JobSpec;
    use crate::rollout::{GateCheck, GatePoint};
    let image = component("migrations", 7, 1).tuple.image;
    GateSpec {
        name: module(name),
        at: GatePoint::BeforeRollout,
        modules: BTreeSet::new(),
        check: GateCheck::Job(JobSpec {
            name: module(name),
            image,
            arguments: Vec::new(),
            variables: BTreeMap::new(),
            component: None,
            timeout: Span::from_secs(60),
        }),
    }
}
