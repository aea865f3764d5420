//! Secrets within deployments: which versions a release is given, and rollouts that bring nothing but other versions.

use runtime_domain::aggregate::EvidenceRef;
use runtime_domain::calendar::Activity;
use runtime_domain::component::{RevisionId, SecretVersionRef};
use runtime_domain::deployment::{DeploymentStatus, Purpose, Release, RuntimeDeployment};
use runtime_domain::id::EnvironmentId;
use runtime_domain::rollout::GateCheck;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::ModuleId;
use runtime_ports::store::{LoadError, RuntimeDeploymentRepository, TenantStore};

use super::charging::{Account, in_turn};
use super::{DeploymentError, DeploymentService, Standing, carrying, find, in_force, not_admitted};
use crate::configuration::Versions;
use crate::error::CommandError;
use crate::existing::TRIES;
use crate::observed::decided;
use crate::tenancy::TenancyService;

/// How long after a rollout of a version went back it is tried again.
const TRY_AGAIN: Span = Span::from_secs(60);

/// How far a version is on its way to a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought {
    /// A deployment of the component is in flight, or brought the version: what is left is to see it.
    UnderWay,
    /// It went back, and is not tried again before then.
    NotBefore(Timestamp),
}

impl DeploymentService {
    /// The release with the versions that its components' secrets have now, whatever it named, and the facts that this rests on: which
    /// version a release runs with says the environment that it comes to.
    pub(super) async fn with_secrets(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        mut release: Release,
    ) -> Result<(Release, Vec<EvidenceRef>), LoadError> {
        let mut facts = Vec::new();
        for component in release.components.values_mut() {
            let (versions, rest_on) = self.secrets.versions_of(scope, environment, &component.module).await?;
            component.tuple.secrets = versions;
            facts.extend(rest_on);
        }
        Ok((release, facts))
    }

    /// Whether what a component was last completed with names a version; false where nothing was.
    pub(crate) async fn serves_with(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
        named: &SecretVersionRef,
    ) -> Result<bool, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let completed = [DeploymentStatus::Completed];
        let serving =
            RuntimeDeploymentRepository::new(&*store).newest_of(environment, module, &completed).await?;
        Ok(serving.is_some_and(|serving| names(&serving.aggregate, module, named)))
    }

    /// Asks for a rollout of what a component serves with already, with the present versions of its secrets, `named` among them: the same
    /// strategy and the same probes and metrics; what people agreed to and the jobs that were run are not asked for again.
    ///
    /// # Errors
    /// The environment is not open to rotation or takes no deployments; nothing was ever deployed.
    pub(crate) async fn bring_secrets(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
        named: &SecretVersionRef,
    ) -> Result<Brought, DeploymentError> {
        let store = self.host.ports().store.for_tenant(scope);
        let lane = TenancyService::charging_lane(&self.host, &*store, environment).await?;
        for _ in 0..TRIES {
            let _turn = in_turn(lane.as_deref()).await;
            let standing = Standing::of(&self.host, &*store, environment, [module].into_iter()).await?;
            let Some(newest) = standing.newest.get(module).map(|newest| &newest.aggregate) else {
                let what = format!("a deployment of {module}");
                return Err(CommandError::NotFound { what });
            };
            if !newest.status().is_final() {
                return Ok(Brought::UnderWay);
            }
            if newest.status() != DeploymentStatus::Completed && names(newest, module, named) {
                let again = newest.completed_at().map(|ended| TRY_AGAIN.after(ended));
                if let Some(at) = again.filter(|at| *at > self.host.now()) {
                    return Ok(Brought::NotBefore(at));
                }
            }
            let Some(serving) = standing.serving.get(module).map(|serving| &serving.aggregate) else {
                let what = format!("a completed deployment of {module}");
                return Err(CommandError::NotFound { what });
            };
            if names(serving, module, named) {
                return Ok(Brought::UnderWay);
            }
            let mut release = only(serving.release(), &self.judged(&*store, serving).await?, module);
            release.configuration_id = match release.components.get(module) {
                Some(component) => {
                    let revision = RevisionId::new(module.clone(), serving.id());
                    Versions::new(&*store).left_alone(environment, &revision, component).await?
                }
                None => None,
            };
            let (release, carried) = carrying(&*store, environment, release).await?;
            let (release, secret_facts) = self.with_secrets(scope, environment, release).await?;
            let release = self.ownership.in_force(scope, environment, release).await?;
            let admission = self.admission(scope, environment).await?;
            let cleared = self.environments.clear(scope, environment, Activity::Rotation, None).await;
            let clearance = cleared.map_err(|error| not_admitted(environment, error))?;
            let mut request = self.rollout(&*store, release.clone(), admission, clearance, &standing).await?;
            request.configuration = in_force(carried)?;
            let (account, facts) = (Account::of(&request), facts_of(request.evidence(), secret_facts));
            let decided = decided(|| RuntimeDeployment::request(request, self.host.now()));
            let decision = decided.map_err(CommandError::Refused)?;
            let charge = self.charge(&*store, account, &decision).await?;
            if self.begin(&*store, &decision, &facts, &release, charge).await?.is_some() {
                return Ok(Brought::UnderWay);
            }
        }
        Err(CommandError::Contended)
    }

    /// What says how a component is rolled out and judged: going back is fast and asks for nothing but readiness, so what it went back to does.
    async fn judged(
        &self,
        store: &dyn TenantStore,
        serving: &RuntimeDeployment,
    ) -> Result<Release, DeploymentError> {
        let mut judged = serving.clone();
        while let Purpose::Rollback { to } = judged.purpose() {
            judged = find(store, to).await?.aggregate;
        }
        Ok(judged.release().clone())
    }
}

/// All facts, each once.
pub(super) fn facts_of(mut facts: Vec<EvidenceRef>, more: Vec<EvidenceRef>) -> Vec<EvidenceRef> {
    for fact in more {
        if !facts.contains(&fact) {
            facts.push(fact);
        }
    }
    facts
}

fn names(deployment: &RuntimeDeployment, module: &ModuleId, named: &SecretVersionRef) -> bool {
    let component = deployment.release().components.get(module);
    component.is_some_and(|component| component.tuple.secrets.contains(named))
}

/// The part of a release that is about one component, rolled out and judged as another says: by what judges without people and without jobs.
fn only(serving: &Release, judged: &Release, module: &ModuleId) -> Release {
    let modules = [module.clone()].into();
    let (part, mut judged) = (serving.part(&modules), judged.part(&modules));
    judged.gates.retain(|gate| matches!(gate.check, GateCheck::Probe(_) | GateCheck::Metric(_)));
    Release {
        reference: part.reference,
        components: part.components,
        strategy: judged.strategy,
        gates: judged.gates,
        limits: judged.limits,
        configuration_id: part.configuration_id,
    }
}
