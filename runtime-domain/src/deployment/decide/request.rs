//! Decides whether a deployment begins.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::aggregate::Decision;
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
use crate::id::DeploymentId;
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
            numbers,
            surfaces,
        } = command;
        if (clearance.tenant(), clearance.environment()) != (admission.tenant(), admission.environment()) {
            return Err(DeploymentRefusal::ForeignEvidence);
        }
        let is_rotation = clearance.activity() == Activity::Rotation;
        let is_covered = match clearance.activity() {
            Activity::Deployment => true,
            Activity::Rotation => differs_in_secrets_only(&release, &previous),
            Activity::Configuration | Activity::Remediation => false,
        };
        if !is_covered {
            return Err(DeploymentRefusal::ForeignEvidence);
        }
        if hold_released.as_ref().is_some_and(|released| !reason::is_kept(&released.reason)) {
            return Err(DeploymentRefusal::NoReason);
        }
        check_configuration(&release, &admission, configuration.as_ref())?;
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
        Beginning { deployment_id, admission, exceptions, previous, seen, numbers, surfaces, is_rotation }
            .begin(release, Purpose::Rollout)
    }

    /// Decides whether a rollback to a prior Completed deployment begins, and plans it: the fast path.
    ///
    /// # Errors
    /// The target serves already, or has a component that nothing of serves now; the plan cannot be made; evidence is about something
    /// else.
    pub fn request_rollback(command: RequestRollback) -> Decided {
        let RequestRollback { deployment_id, target, admission, previous, seen, numbers, surfaces } = command;
        if (target.tenant, target.environment) != (admission.tenant(), admission.environment()) {
            return Err(DeploymentRefusal::ForeignEvidence);
        }
        for module in target.release.components.keys() {
            let serving = previous
                .iter()
                .filter(|point| point.release.components.contains_key(module))
                .max_by_key(|point| point.completed_at);
            match serving {
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
        Beginning { deployment_id, admission, exceptions, previous, seen, numbers, surfaces, is_rotation }
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
            restore_points: &restore_points,
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

    /// What each component goes back to: the newest of the given points that has it.
    fn restore_points(&self, release: &Release) -> BTreeMap<ModuleId, RestorePoint> {
        let newest = |module: &ModuleId| newest(&self.previous, module);
        release
            .components
            .keys()
            .filter_map(|module| {
                let point = newest(module)?;
                let component = point.release.components.get(module)?.clone();
                let revision = RevisionId::new(module.clone(), point.deployment);
                let wanted = self.seen.get(module).and_then(|seen| seen.get(&revision)).copied().unwrap_or(0);
                let replicas = component.replicas.max(Replicas::new(wanted).unwrap_or(Replicas::ONE));
                Some((
                    module.clone(),
                    RestorePoint { revision, completed_at: point.completed_at, component, replicas },
                ))
            })
            .collect()
    }
}

/// The newest of the points that has a component.
fn newest<'p>(points: &'p [RollbackPoint], module: &ModuleId) -> Option<&'p RollbackPoint> {
    let has_it = |point: &&RollbackPoint| point.release.components.contains_key(module);
    points.iter().filter(has_it).max_by_key(|point| point.completed_at)
}

/// Whether every component serves already, but for the versions of its secrets. What it depends on serves then, too; and its configuration
/// may be a later version, which was cleared when it was published, and is shown to be in force.
fn differs_in_secrets_only(release: &Release, serving: &[RollbackPoint]) -> bool {
    let with_the_same_secrets = |component: &ComponentSpec| {
        let mut component = component.clone();
        component.tuple.secrets.clear();
        component.tuple.configuration = None;
        component.depends_on.clear();
        component
    };
    release.components.iter().all(|(module, component)| {
        let serves = newest(serving, module).and_then(|point| point.release.components.get(module));
        serves.is_some_and(|serves| with_the_same_secrets(serves) == with_the_same_secrets(component))
    })
}

/// A release names one configuration version at most, which is shown to be in force here, and every tuple that names one names that.
fn check_configuration(
    release: &Release,
    admission: &Admission,
    shown: Option<&PublishedConfiguration>,
) -> Result<(), DeploymentRefusal> {
    let place = (admission.tenant(), admission.environment());
    if shown.is_some_and(|shown| (shown.tenant(), shown.environment()) != place) {
        return Err(DeploymentRefusal::ForeignEvidence);
    }
    if release.configuration_id != shown.map(PublishedConfiguration::configuration) {
        return Err(DeploymentRefusal::UnprovenConfiguration { module: None });
    }
    // Who is told in place and cannot say that it understood would leave it unknown for ever what it runs with.
    let silent = release.components.values().find(|component| {
        let declared = &component.configuration;
        declared.reload == ConfigurationReload::Signal && declared.report.is_none()
    });
    if let Some(component) = silent {
        return Err(DeploymentRefusal::SilentReload { module: component.module.clone() });
    }
    let proven = shown.map(PublishedConfiguration::to_version_ref);
    let stray = release
        .components
        .values()
        .find(|component| component.tuple.configuration.is_some() && component.tuple.configuration != proven);
    match stray {
        Some(component) => {
            Err(DeploymentRefusal::UnprovenConfiguration { module: Some(component.module.clone()) })
        }
        None => Ok(()),
    }
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

/// A component that a scaling policy grew keeps its capacity: the policy owns its replicas, not the release.
fn keep_scaled_capacity(release: &mut Release, restore_points: &BTreeMap<ModuleId, RestorePoint>) {
    for component in
        release.components.values_mut().filter(|component| component.tuple.scaling_policy.is_some())
    {
        if let Some(point) = restore_points.get(&component.module) {
            component.replicas = component.replicas.max(point.replicas);
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
