//! What stands before a deployment: an environment, and the deployments before it.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::aggregate::Aggregate;
use runtime_domain::calendar::{Activity, Clearance};
use runtime_domain::component::{
    ComponentSpec, ComponentType, ImageDigest, ImageReference, JobSpec, ReleaseReference, ReleaseTuple,
    RevisionId, Version,
};
use runtime_domain::deployment::{
    DeployedVersion, DeploymentEvent, Release, RequestDeployment, RequestRollback, RollbackPoint,
    RuntimeDeployment, SeenRevisions,
};
use runtime_domain::environment::{
    Admission, EnvironmentStage, IsolationModel, ProvisionRuntimeEnvironment, RuntimeEnvironment,
};
use runtime_domain::id::DeploymentId;
use runtime_domain::metric::MetricName;
use runtime_domain::rollout::gate::{ApprovalCheck, Bound, MetricCheck};
use runtime_domain::rollout::strategy::{BlueGreen, Canary, CanaryStep, Rolling};
use runtime_domain::rollout::{DeploymentStrategy, GateCheck, GatePoint, GateSpec, Hold, RolloutLimits};
use runtime_domain::surface::{EffectClass, SurfaceCapabilities, SurfaceKind, TrafficControl};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Measure, ModuleId, Name, Percent, Replicas, Revision};

use crate::plan::deployment::{DeploymentPlan, Setup, Way};
use crate::plan::environment::{EnvironmentPlan, Fit};
use crate::plan::inventory::Whose;
use crate::prove::deployment::world::World;
use crate::prove::deployment::{DeploymentDriver, person, settle};
use crate::prove::environment::{EnvironmentDriver, numbered};
use crate::prove::tenancy::evidence::quota;
use crate::prove::{Answer, Driver};

/// The number of the deployment that a story is about.
const NUMBER: u8 = 3;

/// Asks for the deployment of a story.
pub(super) fn ask(setup: &Setup, now: Timestamp) -> Answer<DeploymentEvent> {
    let environment = environment(1, 1, setup.is_provisioned, now);
    let admission = match environment.map(|environment| environment.admit(Revision::FIRST, None)) {
        Some(Ok(admission)) => admission,
        Some(Err(refusal)) => return Answer::refused(&refusal),
        None => return Answer::Nothing,
    };
    let stage = stage(setup, now);
    decided(setup, admission, &stage, now).unwrap_or(Answer::Nothing)
}

/// The surface as the deployments before have left it.
pub(super) fn serving(setup: &Setup, now: Timestamp) -> World {
    stage(setup, now).driver.world
}

/// What was there before the story.
struct Stage {
    driver: DeploymentDriver,
    /// The deployments that were completed, oldest first.
    completed: Vec<RuntimeDeployment>,
}

fn stage(setup: &Setup, now: Timestamp) -> Stage {
    let mut stage = Stage { driver: DeploymentDriver::begin(), completed: Vec::new() };
    for number in 1..=setup.before {
        let began = Span::from_secs(10_000 * u64::from(NUMBER - number)).as_millis();
        let millis = Span::between(Timestamp::UNIX_EPOCH, now).as_millis() - began;
        let at = Span::from_millis(millis).after(Timestamp::UNIX_EPOCH);
        let tenant = if setup.is_foreign { 2 } else { 1 };
        let earlier = Setup {
            approval: None,
            has_job: false,
            has_metric: false,
            clearance: 0,
            modules: setup.modules.max(1),
            way: if setup.traffic == 0 { Way::Rolling { surge: 1, unavailable: 0 } } else { Way::BlueGreen },
            ..setup.clone()
        };
        let Some(completed) = bring(&mut stage, tenant, number, &earlier, at) else { return stage };
        stage.completed.push(completed);
    }
    stage
}

fn bring(
    stage: &mut Stage,
    tenant: u128,
    number: u8,
    setup: &Setup,
    at: Timestamp,
) -> Option<RuntimeDeployment> {
    let admission = environment(tenant, 1, true, at)?.admit(Revision::FIRST, None).ok()?;
    let command = RequestDeployment {
        deployment_id: id(number),
        release: release(setup, number, setup.old)?,
        admission,
        clearance: clearance(tenant, 1, Activity::Deployment, at)?,
        configuration: None,
        upstream: Vec::new(),
        hold_released: None,
        previous: points(&stage.completed)?,
        seen: seen(stage),
        scaled: BTreeMap::new(),
        numbers: numbers(setup, number)?,
        surfaces: surfaces(setup),
    };
    let decision = RuntimeDeployment::request(command, at).ok()?;
    let events = decision.events.iter().map(|event| (event, at));
    let deployment = RuntimeDeployment::evolve_all(None, events).ok()??;
    settle(&mut stage.driver, deployment, at)
}

fn decided(
    setup: &Setup,
    admission: Admission,
    stage: &Stage,
    now: Timestamp,
) -> Option<Answer<DeploymentEvent>> {
    let previous = points(&stage.completed)?;
    let (deployment_id, seen) = (id(NUMBER), seen(stage));
    let (numbers, surfaces) = (numbers(setup, NUMBER)?, surfaces(setup));
    Some(if setup.is_rollback {
        let target = stage.completed.first()?.rollback_point(Revision::FIRST).ok()?;
        Answer::of(RuntimeDeployment::request_rollback(RequestRollback {
            deployment_id,
            target,
            admission,
            previous,
            seen,
            scaled: BTreeMap::new(),
            numbers,
            surfaces,
        }))
    } else {
        let release = release(setup, NUMBER, setup.new)?;
        Answer::of(RuntimeDeployment::request(
            RequestDeployment {
                deployment_id,
                release,
                clearance: cleared(setup, now)?,
                configuration: None,
                upstream: Vec::new(),
                hold_released: None,
                admission,
                previous,
                seen,
                scaled: BTreeMap::new(),
                numbers,
                surfaces,
            },
            now,
        ))
    })
}

/// Proof of what a deployment brought, whether it has ended or not (SVC-1).
pub(in crate::prove) fn brought_version(number: u8, whose: Whose, now: Timestamp) -> Option<DeployedVersion> {
    let tenant = if whose == Whose::OtherTenant { 2 } else { 1 };
    let place = if whose == Whose::OtherEnvironment { 2 } else { 1 };
    let setup = Setup {
        before: 0,
        is_rollback: false,
        is_foreign: false,
        is_provisioned: true,
        clearance: 0,
        way: Way::BlueGreen,
        traffic: 2,
        modules: if whose == Whose::OtherModule { 2 } else { 1 },
        old: 1,
        new: 1,
        approval: None,
        has_job: false,
        has_metric: false,
    };
    let command = RequestDeployment {
        deployment_id: id(number),
        release: release(&setup, number, 1)?,
        admission: environment(tenant, place, true, now)?.admit(Revision::FIRST, None).ok()?,
        clearance: clearance(tenant, place, Activity::Deployment, now)?,
        configuration: None,
        upstream: Vec::new(),
        hold_released: None,
        previous: Vec::new(),
        seen: BTreeMap::new(),
        scaled: BTreeMap::new(),
        numbers: numbers(&setup, number)?,
        surfaces: surfaces(&setup),
    };
    let driver = DeploymentDriver::begin();
    let mut events = RuntimeDeployment::request(command, now).ok()?.events;
    let mut deployment = None;
    // Every component is intended on a track of its own, and so touched.
    for number in 0..2 {
        for event in &events {
            deployment = Some(RuntimeDeployment::evolve(deployment, event, now).ok()?);
        }
        match driver.ask(deployment.as_ref(), &DeploymentPlan::Act(number), now) {
            Answer::Decided(decision) => events = decision.events,
            _ => return None,
        }
    }
    for event in &events {
        deployment = Some(RuntimeDeployment::evolve(deployment, event, now).ok()?);
    }
    let wanted = if whose == Whose::OtherModule { "pay" } else { "cart" };
    deployment?.deployed_version(&Name::new(wanted).ok()?, Revision::FIRST)
}

/// Proof that a calendar is open, to what the story says.
fn cleared(setup: &Setup, now: Timestamp) -> Option<Clearance> {
    match setup.clearance {
        0 => clearance(1, 1, Activity::Deployment, now),
        1 => clearance(1, 1, Activity::Rotation, now),
        _ => clearance(1, 2, Activity::Deployment, now),
    }
}

/// Proof that a calendar is open to an activity.
pub(in crate::prove) fn clearance(
    tenant: u128,
    number: u128,
    activity: Activity,
    now: Timestamp,
) -> Option<Clearance> {
    environment(tenant, number, true, now)?.clear(activity, Revision::FIRST, now, None).ok()
}

fn environment(
    tenant: u128,
    number: u128,
    is_provisioned: bool,
    now: Timestamp,
) -> Option<RuntimeEnvironment> {
    environment_on(SurfaceKind::Process, tenant, number, is_provisioned, now)
}

pub(super) fn environment_on(
    surface: SurfaceKind,
    tenant: u128,
    number: u128,
    is_provisioned: bool,
    now: Timestamp,
) -> Option<RuntimeEnvironment> {
    let asked = ProvisionRuntimeEnvironment {
        environment_id: numbered(number),
        tenant_id: numbered(tenant),
        project_id: numbered(1),
        name: Name::new("shop").ok()?,
        stage: EnvironmentStage::Dev,
        region: Name::new("local").ok()?,
        isolation_model: IsolationModel::Silo,
        surfaces: BTreeSet::from([surface]),
        egress_allow_list: BTreeSet::new(),
        capacity: quota(9)?,
    };
    let mut events = RuntimeEnvironment::provision(&asked, now).ok()?.events;
    let made = EnvironmentPlan::Made { fit: Fit::Exact, making: 0 };
    let rest = [EnvironmentPlan::Start, made];
    let mut state = None;
    for plan in rest.iter().take(if is_provisioned { 2 } else { 1 }) {
        for event in &events {
            state = Some(RuntimeEnvironment::evolve(state, event, now).ok()?);
        }
        match EnvironmentDriver.ask(state.as_ref(), plan, now) {
            Answer::Decided(decision) => events = decision.events,
            _ => return None,
        }
    }
    for event in &events {
        state = Some(RuntimeEnvironment::evolve(state, event, now).ok()?);
    }
    state
}

pub(super) fn id(number: u8) -> DeploymentId {
    numbered(100 + u128::from(number))
}

fn modules(setup: &Setup) -> Option<Vec<ModuleId>> {
    // A way back brings what was there, and there was something.
    let count = if setup.is_rollback { setup.modules.max(1) } else { setup.modules };
    ["cart", "pay"].iter().take(usize::from(count)).map(|name| Name::new(name).ok()).collect()
}

fn numbers(setup: &Setup, number: u8) -> Option<BTreeMap<ModuleId, u32>> {
    Some(modules(setup)?.into_iter().map(|module| (module, u32::from(number))).collect())
}

fn points(completed: &[RuntimeDeployment]) -> Option<Vec<RollbackPoint>> {
    completed.iter().map(|deployment| deployment.rollback_point(Revision::FIRST).ok()).collect()
}

fn seen(stage: &Stage) -> BTreeMap<ModuleId, SeenRevisions> {
    let mut seen: BTreeMap<ModuleId, SeenRevisions> = BTreeMap::new();
    let mut see = |revision: &RevisionId, replicas: u16| {
        seen.entry(revision.module.clone()).or_default().insert(revision.clone(), replicas);
    };
    for (revision, (replicas, _)) in &stage.driver.world.revisions {
        see(revision, *replicas);
    }
    seen
}

fn surfaces(setup: &Setup) -> BTreeMap<SurfaceKind, SurfaceCapabilities> {
    let traffic = match setup.traffic {
        0 => TrafficControl::PerInstance,
        1 => TrafficControl::Switch,
        _ => TrafficControl::Weighted,
    };
    let able = SurfaceCapabilities {
        kind: SurfaceKind::Process,
        traffic,
        concurrent_revisions: 8,
        metrics_by_revision: true,
        effect_class: EffectClass::Fenced,
    };
    BTreeMap::from([(SurfaceKind::Process, able)])
}

fn release(setup: &Setup, version: u8, replicas: u8) -> Option<Release> {
    let components = modules(setup)?.into_iter().map(|module| {
        let component = component(&module, version, replicas)?;
        Some((module, component))
    });
    Some(Release {
        reference: ReleaseReference::new(&format!("shop-{version}")).ok()?,
        components: components.collect::<Option<_>>()?,
        strategy: strategy(&setup.way)?,
        gates: gates(setup)?,
        limits: RolloutLimits::default(),
        configuration_id: None,
    })
}

pub(super) fn component(module: &ModuleId, version: u8, replicas: u8) -> Option<ComponentSpec> {
    let digest = ImageDigest::new(&format!("sha256:{version:064x}")).ok()?;
    let image = ImageReference::new(&format!("shop/{module}:{version}")).ok()?.pinned(digest);
    Some(ComponentSpec {
        module: module.clone(),
        component_type: ComponentType::Microservice,
        version: Version::new(&version.to_string()).ok()?,
        tuple: ReleaseTuple {
            image,
            configuration: None,
            secrets: BTreeSet::new(),
            scaling_policy: None,
            scaling: None,
        },
        surface: SurfaceKind::Process,
        replicas: Replicas::new(u16::from(replicas)).ok()?,
        resources: None,
        arguments: Vec::new(),
        variables: BTreeMap::new(),
        configuration: Default::default(),
        readiness: None,
        liveness: None,
        termination_grace: Span::from_secs(1),
        depends_on: BTreeSet::new(),
        dependencies: BTreeMap::new(),
    })
}

pub(super) fn strategy(way: &Way) -> Option<DeploymentStrategy> {
    let (bake, retirement_delay) = (Span::from_secs(5), Span::from_secs(5));
    Some(match way {
        Way::Rolling { surge, unavailable } => DeploymentStrategy::RollingHealthGated(Rolling {
            max_surge: u16::from(*surge),
            max_unavailable: u16::from(*unavailable),
        }),
        Way::BlueGreen => DeploymentStrategy::BlueGreen(BlueGreen { bake, retirement_delay }),
        Way::Canary(weights) => {
            let step = |weight: &u8| {
                let weight = Percent::new((*weight).min(100)).ok()?;
                // At half of the traffic somebody has a look.
                let hold =
                    if weight.get() == 50 { Hold::UntilResumed } else { Hold::For(Span::from_secs(5)) };
                Some(CanaryStep { weight, hold })
            };
            let steps = weights.iter().map(step).collect::<Option<_>>()?;
            DeploymentStrategy::Canary(Canary { steps, bake, retirement_delay })
        }
    })
}

fn gates(setup: &Setup) -> Option<Vec<GateSpec>> {
    let gate = |name: &str, at, check| {
        Some(GateSpec { name: Name::new(name).ok()?, at, modules: BTreeSet::new(), check })
    };
    let mut gates = Vec::new();
    if let Some(approval) = &setup.approval {
        let approvers = (0..approval.named).map(person).collect::<Option<_>>()?;
        let check = ApprovalCheck { required: u16::from(approval.required), approvers };
        gates.push(gate("approval", GatePoint::BeforeRollout, GateCheck::Approval(check))?);
    }
    if setup.has_job {
        let job = JobSpec {
            name: Name::new("migrate").ok()?,
            image: component(&Name::new("migrate").ok()?, 7, 1)?.tuple.image,
            arguments: Vec::new(),
            variables: BTreeMap::new(),
            component: None,
            timeout: Span::from_secs(60),
        };
        gates.push(gate("migrate", GatePoint::BeforeRollout, GateCheck::Job(job))?);
    }
    if setup.has_metric {
        let check = MetricCheck {
            metric: MetricName::ErrorRate,
            bound: Bound::AtMost(Measure::from_micros(50_000)),
            min_samples: 20,
            freshness: Span::from_secs(60),
            interval: Span::from_secs(1),
            successes: 2,
            failure_limit: 1,
            inconclusive_limit: 3,
        };
        gates.push(gate("errors", GatePoint::DuringTraffic, GateCheck::Metric(check))?);
    }
    Some(gates)
}
