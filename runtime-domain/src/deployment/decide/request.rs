//! Decides whether a deployment begins.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::aggregate::Decision;
use crate::bug;
use crate::calendar::{Activity, BreakGlass};
use crate::component::{ComponentSpec, ConfigurationReload, RevisionId, VariableName};
use crate::configuration::{PublishedConfiguration, secrecy};
use crate::deployment::command::{Release, RequestDeployment, RequestRollback, SeenRevisions};
use crate::deployment::decide::Decided;
use crate::deployment::event::{DeploymentEvent, Requested};
use crate::deployment::evidence::RollbackPoint;
use crate::deployment::refusal::DeploymentRefusal;
use crate::deployment::state::{Purpose, RuntimeDeployment};
use crate::environment::Admission;
use crate::id::{DeploymentId, ScalingPolicyId};
use crate::promotion::{Candidate, PromotionPolicy, judge};
use crate::reason;
use crate::rollout::compile::{PlanInput, RestorePoint};
use crate::rollout::strategy::{BlueGreen, DeploymentStrategy, Rolling};
use crate::rollout::{GateCheck, GateSpec, PlanRefusal, compile_rollout};
use crate::surface::{SurfaceCapabilities, SurfaceKind, TrafficControl};
use crate::time::Timestamp;
use crate::value::{ModuleId, Name, Replicas};

impl RuntimeDeployment {
    /// Decides whether a rollout begins, and plans it.
    ///
    /// # Errors
    /// The plan cannot be made, evidence is about something else, the configuration that the release names is not shown, or the environment
    /// asks for a promotion that the release has not earned.
    pub fn request(command: RequestDeployment, now: Timestamp) -> Decided {
        let RequestDeployment {
            deployment_id,
            release,
            admission,
            clearance,
            configuration,
            upstream,
            hold_released,
            previous,
            seen,
            scaled,
            numbers,
            surfaces,
        } = command;
        if (clearance.tenant(), clearance.environment()) != (admission.tenant(), admission.environment()) {
            return Err(DeploymentRefusal::ForeignEvidence);
        }
        let is_rotation = clearance.activity() == Activity::Rotation;
        let is_covered = match clearance.activity() {
            // A deployment that repairs drift keeps to the windows for repairs.
            Activity::Deployment | Activity::Remediation => true,
            Activity::Rotation => differs_in_secrets_only(&release, &previous),
            Activity::Configuration => false,
        };
        if !is_covered {
            return Err(DeploymentRefusal::ForeignEvidence);
        }
        if hold_released.as_ref().is_some_and(|released| !reason::is_kept(&released.reason)) {
            return Err(DeploymentRefusal::NoReason);
        }
        check_configuration(&release, &admission, configuration.as_ref(), &previous)?;
        check_scaling(&release)?;
        // What serves was promoted before, and agreed to.
        if let Some(policy) = admission.promotion().filter(|_| !is_rotation) {
            let candidate = Candidate {
                tenant: admission.tenant(),
                release: &release,
                upstream: &upstream,
                serving: &previous,
                is_hold_released: hold_released.is_some(),
            };
            judge(policy, candidate, now)?;
        }
        let exceptions = Exceptions { break_glass: clearance.break_glass().cloned(), hold_released };
        Beginning {
            deployment_id,
            admission,
            exceptions,
            previous,
            seen,
            scaled,
            numbers,
            surfaces,
            is_rotation,
        }
        .begin(release, Purpose::Rollout)
    }

    /// Decides whether a rollback to a prior Completed deployment begins, and plans it: the fast path.
    ///
    /// # Errors
    /// The target serves already, or has a component that nothing of serves now; the plan cannot be made; evidence is about something
    /// else.
    pub fn request_rollback(command: RequestRollback) -> Decided {
        let RequestRollback { deployment_id, target, admission, previous, seen, scaled, numbers, surfaces } =
            command;
        if (target.tenant, target.environment) != (admission.tenant(), admission.environment()) {
            return Err(DeploymentRefusal::ForeignEvidence);
        }
        for module in target.release.components.keys() {
            match last_of(&previous, module) {
                None => return Err(DeploymentRefusal::TargetMismatch { module: module.clone() }),
                Some(point) if point.deployment == target.deployment => {
                    return Err(DeploymentRefusal::AlreadyServing { deployment: target.deployment });
                }
                Some(_) => {}
            }
        }
        let release = fast(&target, &surfaces);
        let purpose = Purpose::Rollback { to: target.deployment };
        // Going back is held up by no calendar and needs no promotion.
        let exceptions = Exceptions::default();
        let is_rotation = false;
        Beginning {
            deployment_id,
            admission,
            exceptions,
            previous,
            seen,
            scaled,
            numbers,
            surfaces,
            is_rotation,
        }
        .begin(release, purpose)
    }
}

/// The target's release, without holds and without gates but readiness: it was judged before.
fn fast(target: &RollbackPoint, surfaces: &BTreeMap<SurfaceKind, SurfaceCapabilities>) -> Release {
    let all_can_switch = target.release.components.values().all(|component| {
        surfaces.get(&component.surface).is_some_and(|surface| surface.traffic != TrafficControl::PerInstance)
    });
    let strategy = if all_can_switch {
        DeploymentStrategy::BlueGreen(BlueGreen::default())
    } else {
        let most =
            target.release.components.values().map(|component| component.replicas.get()).max().unwrap_or(1);
        DeploymentStrategy::RollingHealthGated(Rolling { max_surge: most, max_unavailable: 0 })
    };
    Release { strategy, gates: Vec::new(), ..target.release.clone() }
}

/// What a person has taken on themselves, to be kept in the history.
#[derive(Default)]
struct Exceptions {
    break_glass: Option<BreakGlass>,
    hold_released: Option<BreakGlass>,
}

struct Beginning {
    deployment_id: DeploymentId,
    admission: Admission,
    exceptions: Exceptions,
    previous: Vec<RollbackPoint>,
    seen: BTreeMap<ModuleId, SeenRevisions>,
    scaled: BTreeMap<ModuleId, ScalingPolicyId>,
    numbers: BTreeMap<ModuleId, u32>,
    surfaces: BTreeMap<SurfaceKind, SurfaceCapabilities>,
    is_rotation: bool,
}

impl Beginning {
    fn begin(self, mut release: Release, purpose: Purpose) -> Decided {
        let (tenant, environment) = (self.admission.tenant(), self.admission.environment());
        if self.previous.iter().any(|point| (point.tenant, point.environment) != (tenant, environment)) {
            return Err(DeploymentRefusal::ForeignEvidence);
        }
        refuse_secrets(&release)?;
        self.name_policies(&mut release, purpose);
        let restore_points = self.restore_points(&release);
        keep_scaled_capacity(&mut release, &restore_points);
        let provisioned = |kind: &SurfaceKind| self.admission.surfaces().contains(kind);
        let surfaces: BTreeMap<_, _> = self
            .surfaces
            .iter()
            .filter(|(kind, _)| provisioned(kind))
            .map(|(kind, can)| (*kind, can.clone()))
            .collect();
        let (plan, gates) = compile_rollout(PlanInput {
            deployment: self.deployment_id,
            components: &release.components,
            restore_points: &self.present(&restore_points),
            leftovers: &self
                .seen
                .iter()
                .map(|(module, seen)| (module.clone(), seen.keys().cloned().collect()))
                .collect(),
            strategy: &release.strategy,
            gates: &self.gates(&release, purpose),
            surfaces: &surfaces,
        })?;
        let traffic_controls = traffic_controls(&release, &surfaces)?;
        let modules: BTreeSet<&ModuleId> = release.components.keys().collect();
        let numbers =
            modules.iter().map(|module| ((*module).clone(), self.numbers.get(*module).copied().unwrap_or(1)));
        let mut explanation =
            format!("{} components by {}, {} gates", modules.len(), release.strategy.name(), gates.len());
        if let Some(BreakGlass { by, reason }) = &self.exceptions.break_glass {
            explanation += &format!("; {by} broke the glass: {reason}");
        }
        if let Some(BreakGlass { by, reason }) = &self.exceptions.hold_released {
            explanation += &format!("; {by} released what was held: {reason}");
        }
        let requested = Requested {
            deployment_id: self.deployment_id,
            tenant_id: tenant,
            environment_id: environment,
            numbers: numbers.collect(),
            purpose,
            restore_points,
            traffic_controls,
            break_glass: self.exceptions.break_glass,
            hold_released: self.exceptions.hold_released,
            release,
        };
        let events = vec![
            DeploymentEvent::RuntimeDeploymentRequested(Box::new(requested)),
            DeploymentEvent::RolloutPlanned { plan, gates },
        ];
        Ok(Decision::of(events, explanation))
    }

    /// The release's own gates, and the approvals that the environment asks for before it is promoted.
    fn gates(&self, release: &Release, purpose: Purpose) -> Vec<GateSpec> {
        let is_promoted = purpose == Purpose::Rollout && !self.is_rotation;
        let policy = self.admission.promotion().filter(|_| is_promoted);
        release.gates.iter().cloned().chain(policy.and_then(PromotionPolicy::gate)).collect()
    }

    /// What is there to be replaced: a revision that is seen to be gone takes no traffic and cannot be retired. It can be gone back to still.
    fn present(&self, points: &BTreeMap<ModuleId, RestorePoint>) -> BTreeMap<ModuleId, RestorePoint> {
        let is_there = |module: &ModuleId, point: &RestorePoint| {
            self.seen.get(module).is_none_or(|seen| seen.contains_key(&point.revision))
        };
        let there = points.iter().filter(|(module, point)| is_there(module, point));
        there.map(|(module, point)| (module.clone(), point.clone())).collect()
    }

    /// Makes the policies that scale its components a part of the release's tuples. What is gone back to keeps those that it had.
    fn name_policies(&self, release: &mut Release, purpose: Purpose) {
        for (module, policy) in &self.scaled {
            if let Some(component) = release.components.get_mut(module)
                && (purpose == Purpose::Rollout || component.tuple.scaling_policy.is_none())
            {
                component.tuple.scaling_policy = Some(*policy);
            }
        }
    }

    /// What each component goes back to: the last of the given points that brought it.
    fn restore_points(&self, release: &Release) -> BTreeMap<ModuleId, RestorePoint> {
        release
            .components
            .keys()
            .filter_map(|module| {
                let point = last_of(&self.previous, module)?;
                let mut component = point.release.components.get(module)?.clone();
                if bug!("configuration-stays") {
                    component.tuple.configuration =
                        release.components.get(module)?.tuple.configuration.clone();
                }
                let revision = RevisionId::new(module.clone(), point.deployment);
                let seen = self.seen.get(module).and_then(|seen| seen.get(&revision)).copied();
                let wanted = seen.map(|wanted| Replicas::new(wanted).unwrap_or(Replicas::ONE));
                let replicas = match wanted {
                    // Scaled in, it is not brought back to what the release once said; scaled to none, one is to be ready.
                    Some(wanted) if is_scaled(release, module) => wanted,
                    Some(wanted) => component.replicas.max(wanted),
                    None => component.replicas,
                };
                Some((
                    module.clone(),
                    RestorePoint { revision, completed_at: point.completed_at, component, replicas },
                ))
            })
            .collect()
    }
}

/// The one of the points that brought a component last.
fn last_of<'p>(points: &'p [RollbackPoint], module: &ModuleId) -> Option<&'p RollbackPoint> {
    if bug!("target-lost-by-renumbering") {
        let has_it = |point: &&RollbackPoint| point.release.components.contains_key(module);
        return points.iter().filter(has_it).max_by_key(|point| point.deployment);
    }
    RollbackPoint::last_of(points, module)
}

/// Whether there are components, and every one serves already, but for the versions of its secrets. What it depends on serves then, too; and its configuration
/// may be a later version, which was cleared when it was published, and is shown to be in force.
fn differs_in_secrets_only(release: &Release, serving: &[RollbackPoint]) -> bool {
    let with_the_same_secrets = |component: &ComponentSpec| {
        let mut component = component.clone();
        component.tuple.secrets.clear();
        component.tuple.configuration = None;
        // Who rotates brings the terms that are in force, and so changes none.
        component.tuple.scaling = None;
        component.depends_on.clear();
        component
    };
    !release.components.is_empty()
        && release.components.iter().all(|(module, component)| {
            let serves = last_of(serving, module).and_then(|point| point.release.components.get(module));
            serves.is_some_and(|serves| with_the_same_secrets(serves) == with_the_same_secrets(component))
        })
}

/// A release names one configuration version at most, which is shown to be in force here. Every tuple that names one names that, or keeps
/// the one that its component serves with.
fn check_configuration(
    release: &Release,
    admission: &Admission,
    shown: Option<&PublishedConfiguration>,
    previous: &[RollbackPoint],
) -> Result<(), DeploymentRefusal> {
    let place = (admission.tenant(), admission.environment());
    if shown.is_some_and(|shown| (shown.tenant(), shown.environment()) != place) {
        return Err(DeploymentRefusal::ForeignEvidence);
    }
    if release.configuration_id != shown.map(PublishedConfiguration::configuration) {
        return Err(DeploymentRefusal::UnprovenConfiguration { module: None });
    }
    let proven = shown.map(PublishedConfiguration::to_version_ref);
    for component in release.components.values() {
        let (module, named) = (&component.module, &component.tuple.configuration);
        // Who is told in place and cannot say that it understood would leave it unknown for ever what it runs with.
        let declared = &component.configuration;
        if declared.reload == ConfigurationReload::Signal && declared.report.is_none() {
            return Err(DeploymentRefusal::SilentReload { module: module.clone() });
        }
        let is_kept = || {
            let serving = last_of(previous, module).and_then(|point| point.release.components.get(module));
            release.configuration_id.is_none()
                && serving.is_some_and(|serving| serving.tuple.configuration == *named)
        };
        if named.is_some() && *named != proven && !is_kept() {
            return Err(DeploymentRefusal::UnprovenConfiguration { module: Some(module.clone()) });
        }
    }
    Ok(())
}

/// What a component scales by is for the surface that runs it.
fn check_scaling(release: &Release) -> Result<(), DeploymentRefusal> {
    for component in release.components.values() {
        let target = component.tuple.scaling.as_ref().map(|policy| policy.bounds().target());
        if let Some(target) = target.filter(|target| *target != component.surface) {
            let (module, surface) = (component.module.clone(), component.surface);
            return Err(DeploymentRefusal::ScalesElsewhere { module, surface, target });
        }
    }
    Ok(())
}

/// A plain variable is no place for a secret (CFG-2).
fn refuse_secrets(release: &Release) -> Result<(), DeploymentRefusal> {
    let refuse = |owner: &Name, variables: &BTreeMap<VariableName, String>| {
        variables.iter().try_for_each(|(name, value)| {
            secrecy::inspect(name.as_str(), value).map_err(|suspicion| {
                let is_named = secrecy::inspect(name.as_str(), "").is_ok();
                let variable = is_named.then(|| name.clone());
                DeploymentRefusal::SecretVariable { owner: owner.clone(), variable, suspicion }
            })
        })
    };
    for component in release.components.values() {
        refuse(&component.module, &component.variables)?;
    }
    for gate in &release.gates {
        if let GateCheck::Job(job) = &gate.check {
            refuse(&job.name, &job.variables)?;
        }
    }
    Ok(())
}

/// Whether a policy owns the component's replicas.
fn is_scaled(release: &Release, module: &ModuleId) -> bool {
    release.components.get(module).is_some_and(|component| component.tuple.scaling_policy.is_some())
}

/// A component that a policy scales keeps as many replicas as it has, more or fewer than the release says: the policy owns them. One that no
/// policy has scaled yet, and that is to scale by what the release declares, begins with as many as that allows.
fn keep_scaled_capacity(release: &mut Release, restore_points: &BTreeMap<ModuleId, RestorePoint>) {
    for component in release.components.values_mut() {
        if let (None, Some(policy)) = (component.tuple.scaling_policy, &component.tuple.scaling) {
            let allowed = policy.bounds().clamp(component.replicas.get());
            component.replicas = Replicas::new(allowed).unwrap_or(Replicas::ONE);
        }
    }
    for component in
        release.components.values_mut().filter(|component| component.tuple.scaling_policy.is_some())
    {
        if bug!("scaling-is-forgotten") {
            continue;
        }
        if let Some(point) = restore_points.get(&component.module) {
            component.replicas = point.replicas;
        }
    }
}

fn traffic_controls(
    release: &Release,
    surfaces: &BTreeMap<SurfaceKind, SurfaceCapabilities>,
) -> Result<BTreeMap<ModuleId, TrafficControl>, PlanRefusal> {
    release
        .components
        .values()
        .map(|component| {
            let surface = surfaces.get(&component.surface).ok_or_else(|| PlanRefusal::UnknownSurface {
                module: component.module.clone(),
                surface: component.surface,
            })?;
            Ok((component.module.clone(), surface.traffic))
        })
        .collect()
}
