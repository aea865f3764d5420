//! Promotion: what serves in one environment comes to the next, as it is.
//!
//! A promotion is a deployment of the very images that serve in an environment before: nothing is built or resolved again. Configuration
//! and secrets are those of the environment that it comes to. What that environment asks of a release first says its
//! [`PromotionPolicy`]; [`judge`] decides, from what is stored, and the deployment decides it again when it is committed. Whoever asks for a
//! promotion does not agree to it: two people see it.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::component::ImageDigest;
use runtime_domain::deployment::{
    DeploymentRefusal, DeploymentStatus, Release, RollbackPoint, RuntimeDeployment,
};
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::id::EnvironmentId;
use runtime_domain::promotion::{Candidate, Missing, PromotionPolicy, judge};
use runtime_domain::scope::{Actor, TenantScope};
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{LoadError, RuntimeDeploymentRepository, TenantStore};

use crate::deployments::{DeploymentError, DeploymentService};
use crate::environments::EnvironmentService;
use crate::error::CommandError;
use crate::host::Host;
use crate::observed;
use crate::terms::Terms;
use crate::unit::Done;

/// Judges and promotes releases.
#[derive(Debug, Clone)]
pub struct PromotionService {
    host: Host,
    environments: EnvironmentService,
    deployments: DeploymentService,
}

/// What is to be promoted: from where, to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    /// The environment in which it serves.
    pub from: EnvironmentId,
    /// The environment to which it is to come.
    pub to: EnvironmentId,
    /// Which components; every one that serves there where none is named.
    pub modules: BTreeSet<ModuleId>,
}

/// How a release stands before an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What would come: the image of each component.
    pub images: BTreeMap<ModuleId, ImageDigest>,
    /// What it lacks; nothing where it may come now.
    pub missing: Vec<Missing>,
    /// When asking again may help by itself, where something is missing.
    pub ask_again_at: Option<Timestamp>,
    /// How many people must agree to the rollout, once it is asked for.
    pub approvals: u16,
    /// Who may agree, whoever asks left out; anyone else whom the host lets, where nobody is named.
    pub approvers: BTreeSet<Actor>,
}

impl Standing {
    /// True where nothing is missing but the approvals, which are given to the deployment.
    pub fn may_come(&self) -> bool {
        self.missing.is_empty()
    }
}

impl PromotionService {
    /// The service of a host.
    pub fn new(host: Host, environments: EnvironmentService, deployments: DeploymentService) -> Self {
        Self { host, environments, deployments }
    }

    /// The same service, for commands on these terms.
    #[must_use]
    pub fn under(&self, terms: &Terms) -> Self {
        Self { deployments: self.deployments.under(terms), ..self.clone() }
    }

    /// What a release lacks before it may come: verifications upstream, the rest of its soak, a hold. Nothing changes.
    ///
    /// # Errors
    /// Either environment is not there, or a component that is named does not serve in the one before.
    pub async fn explain(&self, scope: &TenantScope, asked: &Promotion) -> Result<Standing, DeploymentError> {
        let store = self.host.ports().store.for_tenant(scope);
        let target = self.environment(scope, asked.to).await?;
        let release = self.candidate(scope, asked).await?;
        let images = release.components.iter();
        let images =
            images.map(|(module, component)| (module.clone(), component.tuple.image.digest().clone()));
        let standing = Standing {
            images: images.collect(),
            missing: Vec::new(),
            ask_again_at: None,
            approvals: 0,
            approvers: BTreeSet::new(),
        };
        let Some(policy) = target.promotion() else { return Ok(standing) };
        let standing = with_approvals(standing, policy, scope.actor());
        let modules: BTreeSet<&ModuleId> = release.components.keys().collect();
        let mut upstream = Vec::new();
        for environment in policy.upstream() {
            upstream.extend(points(&*store, *environment, &modules).await?);
        }
        let serving = points(&*store, asked.to, &modules).await?;
        let candidate = Candidate {
            tenant: scope.tenant(),
            release: &release,
            upstream: &upstream,
            serving: &serving,
            is_hold_released: false,
        };
        Ok(match judge(policy, candidate, self.host.now()) {
            Ok(()) => standing,
            Err(lacks) => Standing { missing: lacks.missing, ask_again_at: lacks.ask_again_at, ..standing },
        })
    }

    /// Asks for the deployment of exactly what serves in the environment before. Asking again for what is in flight or serves already gives
    /// that deployment.
    ///
    /// # Errors
    /// Something is missing ([`PromotionService::explain`] says what), an image was rolled back there and is quarantined, too few could agree
    /// besides the caller; else as [`DeploymentService::request`].
    pub async fn promote(
        &self,
        scope: &TenantScope,
        asked: &Promotion,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        observed::command(&self.host, scope, "Promote", self.try_promote(scope, asked)).await
    }

    async fn try_promote(
        &self,
        scope: &TenantScope,
        asked: &Promotion,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        let target = self.environment(scope, asked.to).await?;
        if let Some(policy) = target.promotion()
            && !policy.approvers().is_empty()
            && others(policy, scope.actor()).len() < usize::from(policy.approvals())
        {
            return Err(CommandError::Refused(DeploymentRefusal::OwnPromotion {
                actor: scope.actor().clone(),
            }));
        }
        let mut release = self.candidate(scope, asked).await?;
        release.configuration_id = self.deployments.configuration_in_force(scope, asked.to).await?;
        self.deployments.request(scope, asked.to, release).await
    }

    async fn environment(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<RuntimeEnvironment, DeploymentError> {
        self.environments.environment(scope, environment).await.map_err(|error| match error {
            CommandError::Load(error) => CommandError::Load(error),
            CommandError::Port(error) => CommandError::Port(error),
            _ => CommandError::NotFound { what: format!("environment {environment}") },
        })
    }

    /// One release of everything that serves in the environment before, each component with its image, and of nothing that is another
    /// environment's own.
    async fn candidate(&self, scope: &TenantScope, asked: &Promotion) -> Result<Release, DeploymentError> {
        self.environment(scope, asked.from).await?;
        let serving = self.deployments.serving(scope, asked.from).await?;
        let modules: BTreeSet<ModuleId> = match asked.modules.is_empty() {
            true => serving.keys().cloned().collect(),
            false => asked.modules.clone(),
        };
        if let Some(absent) = modules.iter().find(|module| !serving.contains_key(*module)) {
            return Err(CommandError::NotFound { what: format!("a completed deployment of {absent}") });
        }
        // What it is judged by is what the last one is. Those that have no component in common are told apart by the clocks alone.
        let brought = modules.iter().filter_map(|module| serving.get(module));
        let is_last = |it: &&RuntimeDeployment| !brought.clone().any(|other| other.came_after(it));
        let newest = brought.clone().filter(is_last).max_by_key(|deployment| deployment.completed_at());
        let Some(newest) = newest else {
            let what = format!("a completed deployment in {}", asked.from);
            return Err(CommandError::NotFound { what });
        };
        let mut release = newest.release().clone();
        release.components = modules
            .iter()
            .filter_map(|module| {
                let component = serving.get(module)?.release().components.get(module)?.clone();
                Some((module.clone(), component))
            })
            .collect();
        let mut release = release.part(&modules);
        own_nothing(&mut release);
        Ok(release)
    }
}

/// Takes from a release what is the environment's that it comes from: configuration, secrets, and its policies of scaling.
pub(crate) fn own_nothing(release: &mut Release) {
    release.configuration_id = None;
    for component in release.components.values_mut() {
        component.tuple.configuration = None;
        component.tuple.secrets.clear();
        component.tuple.scaling_policy = None;
    }
}

fn with_approvals(standing: Standing, policy: &PromotionPolicy, asker: &Actor) -> Standing {
    Standing { approvals: policy.approvals(), approvers: others(policy, asker), ..standing }
}

/// Who may agree to what somebody asks for: the policy's approvers, but for whoever asks.
fn others(policy: &PromotionPolicy, asker: &Actor) -> BTreeSet<Actor> {
    policy.approvers().iter().filter(|approver| *approver != asker).cloned().collect()
}

/// Proof of what an environment's components were last completed with, each deployment once.
async fn points(
    store: &dyn TenantStore,
    environment: EnvironmentId,
    modules: &BTreeSet<&ModuleId>,
) -> Result<Vec<RollbackPoint>, LoadError> {
    let deployments = RuntimeDeploymentRepository::new(store);
    let mut points: Vec<RollbackPoint> = Vec::new();
    for module in modules {
        let found = deployments.newest_of(environment, module, &[DeploymentStatus::Completed]).await?;
        if let Some(found) = found
            && let Ok(point) = found.aggregate.rollback_point(found.revision)
            && points.iter().all(|known| known.deployment() != point.deployment())
        {
            points.push(point);
        }
    }
    Ok(points)
}
