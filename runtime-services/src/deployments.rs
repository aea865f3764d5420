//! Deployments: what callers may ask.

use std::collections::BTreeMap;

use runtime_domain::aggregate::{Decision, EvidenceRef};
use runtime_domain::calendar::{Activity, BreakGlass, Clearance};
use runtime_domain::component::ImageReference;
use runtime_domain::configuration::{PublishedConfiguration, RuntimeConfiguration};
use runtime_domain::deployment::{
    DeploymentEvent, DeploymentRefusal, Release, RequestDeployment, RequestRollback, RuntimeDeployment,
};
use runtime_domain::environment::Admission;
use runtime_domain::id::{AggregateKind, DeploymentId, EnvironmentId};
use runtime_domain::rollout::{HealthGate, PlanRefusal, RolloutPlan};
use runtime_domain::scope::TenantScope;
use runtime_ports::store::{CommitError, LoadError, Loaded, TenantStore};

use crate::configuration::Versions;
use crate::context::Context;
use crate::environments::{AdmissionError, EnvironmentService};
use crate::error::CommandError;
use crate::existing::{self, TRIES};
use crate::host::Host;
use crate::manifest::{ManifestError, ReleaseManifest};
use crate::observed::{self, decided};
use crate::request;
use crate::scaling::ReplicaOwnership;
use crate::secrets::SecretService;
use crate::tenancy::TenancyService;
use crate::tenancy::workloads::{Charge, demands, with_charge};
use crate::terms::Terms;
use crate::unit::{Done, Grounds, prepare};

mod charging;
mod promoted;
mod reading;
mod repair;
mod secrets;
mod standing;
mod steering;
mod waiting;

use charging::{Account, in_turn, no_room};
pub(crate) use repair::RepairError;

pub(crate) use secrets::Brought;
use secrets::facts_of;
use standing::{Standing, completed, retry_or_refuse};

/// What goes wrong with a deployment's command.
pub type DeploymentError = CommandError<DeploymentRefusal>;

/// What a request would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentPreview {
    /// All that would be done, in order.
    pub plan: RolloutPlan,
    /// What would have to pass.
    pub gates: Vec<HealthGate>,
}

/// What a caller takes on themselves, each with the reason that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exceptions {
    /// Why it cannot wait until the environment's calendar opens.
    pub break_glass: Option<String>,
    /// Why an image may come again that the environment went back from.
    pub release_hold: Option<String>,
}

/// Rolls releases out, and back.
#[derive(Debug, Clone)]
pub struct DeploymentService {
    host: Host,
    environments: EnvironmentService,
    secrets: SecretService,
    ownership: ReplicaOwnership,
}

impl DeploymentService {
    /// The service of a host. `environments` answers whether an environment accepts deployments, `secrets` which versions components get,
    /// `ownership` which components scale by a policy.
    pub fn new(
        host: Host,
        environments: EnvironmentService,
        secrets: SecretService,
        ownership: ReplicaOwnership,
    ) -> Self {
        Self { host, environments, secrets, ownership }
    }

    /// The same for callers, who are refused where the host does not run this context.
    pub(crate) fn for_callers(&self) -> Self {
        Self { host: self.host.for_callers_of(Context::Deployment), ..self.clone() }
    }

    /// The same service, for commands on these terms.
    #[must_use]
    pub fn under(&self, terms: &Terms) -> Self {
        Self { host: self.host.under(terms), ..self.clone() }
    }

    /// The release as its components scale now, for who brings something else to what serves.
    pub(crate) async fn scaled_as_now(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        release: Release,
    ) -> Result<Release, LoadError> {
        self.ownership.in_force(scope, environment, release).await
    }

    /// What tells whether an environment accepts deployments, and what it may call.
    pub(crate) fn environments(&self) -> &EnvironmentService {
        &self.environments
    }

    /// Resolves a manifest's images, so that what is deployed is exactly what the registry holds now.
    ///
    /// # Errors
    /// An image that does not exist or is damaged, named with its component.
    pub async fn resolve(&self, manifest: &ReleaseManifest) -> Result<Release, ManifestError> {
        let mut images = BTreeMap::new();
        for (place, reference) in manifest.images() {
            images.insert(reference.clone(), self.pin(&place, reference).await?);
        }
        manifest.release(&images)
    }

    async fn pin(
        &self,
        place: &str,
        reference: &ImageReference,
    ) -> Result<runtime_domain::component::PinnedImage, ManifestError> {
        let resolved = self.host.ports().registry.resolve(reference).await;
        resolved.map_err(|cause| ManifestError::Image {
            place: place.to_owned(),
            reference: Box::new(reference.clone()),
            cause: Box::new(cause),
        })
    }

    /// Asks for a rollout. A release that carries a configuration version brings it with the code, to every one of its components.
    ///
    /// Asking again for what is in flight or serves already gives that deployment and changes nothing. Where the release declares how a
    /// component scales, its scaling policy says so within a moment of the release serving, and one is made where there is none; where it
    /// declares nothing, the policy stays as it is.
    ///
    /// # Errors
    /// The environment does not accept deployments (ENV-1, ENV-3), another deployment of a component is in flight (DEP-3), the tenant's quota
    /// has no room for it (TEN-2), an image is quarantined, the configuration that it carries is not in force, or the plan cannot be made.
    pub async fn request(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        release: Release,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        self.request_with(scope, environment, release, Exceptions::default()).await
    }

    /// As [`DeploymentService::request`], with exceptions that the caller takes on themselves. They are kept in the deployment's history, with
    /// their reasons.
    ///
    /// # Errors
    /// An exception is made without a reason; else as [`DeploymentService::request`], but for what is excepted.
    pub async fn request_with(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        release: Release,
        exceptions: Exceptions,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        observed::command(
            &self.host,
            scope,
            "Request",
            self.try_request(scope, environment, release, exceptions),
        )
        .await
    }

    async fn try_request(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        release: Release,
        exceptions: Exceptions,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        let taken = |reason: String| BreakGlass { by: scope.actor().clone(), reason };
        let (break_glass, hold_released) =
            (exceptions.break_glass.map(taken), exceptions.release_hold.map(taken));
        let store = self.host.ports().store.for_tenant(scope);
        let lane = TenancyService::charging_lane(&self.host, &*store, environment).await?;
        for _ in 0..TRIES {
            let _turn = in_turn(lane.as_deref()).await;
            if let Some(done) = request::repeated(&self.host, &*store, self.new_id().uuid()).await? {
                return Ok(done);
            }
            let (release, carried) = carrying(&*store, environment, release.clone()).await?;
            let (release, secret_facts) = self.with_secrets(scope, environment, release).await?;
            let standing = Standing::of(&self.host, &*store, environment, release.components.keys()).await?;
            if let Some(same) = standing.brings(&release) {
                request::unchanged(&self.host, &*store).await?;
                let explanation = "this release is in flight or serves already".to_owned();
                return Ok(Done {
                    aggregate: same.aggregate,
                    revision: same.revision,
                    changed: false,
                    explanation,
                    repeated: false,
                });
            }
            standing.nothing_in_flight()?;
            let admission = self.admission(scope, environment).await?;
            let clearance = self.clearance(scope, environment, break_glass.clone()).await?;
            let mut request = self.rollout(&*store, release.clone(), admission, clearance, &standing).await?;
            request.configuration = in_force(carried)?;
            request.hold_released = hold_released.clone();
            let (account, facts) = (Account::of(&request), facts_of(request.evidence(), secret_facts));
            let decided = decided(|| RuntimeDeployment::request(request, self.host.now()));
            let decision = decided.map_err(CommandError::Refused)?;
            let charge = self.charge(&*store, account, &decision).await?;
            if let Some(done) = self.begin(&*store, &decision, &facts, &release, charge).await? {
                return Ok(done);
            }
        }
        Err(CommandError::Contended)
    }

    /// What a rollout would do and would have to pass, without asking for it.
    ///
    /// # Errors
    /// As [`DeploymentService::request`], but for what only the store can refuse.
    pub async fn preview(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        release: Release,
    ) -> Result<DeploymentPreview, DeploymentError> {
        let store = self.host.ports().store.for_tenant(scope);
        let (release, carried) = carrying(&*store, environment, release).await?;
        let (release, _) = self.with_secrets(scope, environment, release).await?;
        let standing = Standing::of(&self.host, &*store, environment, release.components.keys()).await?;
        let admission = self.admission(scope, environment).await?;
        let clearance = self.clearance(scope, environment, None).await?;
        let mut request = self.rollout(&*store, release, admission, clearance, &standing).await?;
        request.configuration = in_force(carried)?;
        let demands = demands(&request.release);
        let room = TenancyService::has_room(&self.host, &*store, &request.admission, demands).await;
        room.map_err(no_room)?;
        let decision = decided(|| RuntimeDeployment::request(request, self.host.now()));
        let events = decision.map_err(CommandError::Refused)?.events;
        let planned = events.into_iter().find_map(|event| match event {
            DeploymentEvent::RolloutPlanned { plan, gates } => Some(DeploymentPreview { plan, gates }),
            _ => None,
        });
        planned.ok_or(CommandError::Contended)
    }

    /// Asks to go back to a prior Completed deployment (DEP-2), by the fast path.
    ///
    /// # Errors
    /// The target is not a Completed deployment of the environment or serves already; else as [`DeploymentService::request`].
    pub async fn roll_back(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        to: DeploymentId,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        observed::command(&self.host, scope, "RollBack", self.try_roll_back(scope, environment, to)).await
    }

    async fn try_roll_back(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        to: DeploymentId,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        let store = self.host.ports().store.for_tenant(scope);
        let lane = TenancyService::charging_lane(&self.host, &*store, environment).await?;
        for _ in 0..TRIES {
            let _turn = in_turn(lane.as_deref()).await;
            if let Some(done) = request::repeated(&self.host, &*store, self.new_id().uuid()).await? {
                return Ok(done);
            }
            let loaded = find(&*store, to).await?;
            if loaded.aggregate.environment_id() != environment {
                return Err(CommandError::NotFound { what: format!("deployment {to}") });
            }
            let target = loaded.aggregate.rollback_point(loaded.revision).map_err(CommandError::Refused)?;
            let release = target.release().clone();
            let standing = Standing::of(&self.host, &*store, environment, release.components.keys()).await?;
            standing.nothing_in_flight()?;
            let admission = self.admission(scope, environment).await?;
            let scaled = self.ownership.of(scope, environment, release.components.keys()).await?;
            let request = RequestRollback {
                deployment_id: self.new_id(),
                target,
                admission,
                previous: standing.points()?,
                seen: standing.seen.clone(),
                scaled,
                numbers: standing.numbers(),
                surfaces: self.host.capabilities(),
            };
            let account = Account::new(&request.admission, request.deployment_id);
            let facts = request.evidence();
            let decision =
                decided(|| RuntimeDeployment::request_rollback(request)).map_err(CommandError::Refused)?;
            let charge = self.charge(&*store, account, &decision).await?;
            if let Some(done) = self.begin(&*store, &decision, &facts, &release, charge).await? {
                return Ok(done);
            }
        }
        Err(CommandError::Contended)
    }

    /// Commits a deployment's beginning; `None` where others have changed what it rests on, so that it must be decided again.
    async fn begin(
        &self,
        store: &dyn TenantStore,
        decision: &Decision<DeploymentEvent>,
        facts: &[EvidenceRef],
        release: &Release,
        charge: Option<Charge>,
    ) -> Result<Option<Done<RuntimeDeployment>>, DeploymentError> {
        let grounds = Grounds::exactly(facts).asked(&self.host);
        match self.attempt(store, decision, grounds, charge).await {
            Ok(begun) => Ok(Some(Done::of(begun, decision))),
            Err(error) => retry_or_refuse(error, release).map(|()| None),
        }
    }

    fn new_id(&self) -> DeploymentId {
        DeploymentId::from_uuid(self.host.new_id(AggregateKind::RuntimeDeployment))
    }

    async fn attempt(
        &self,
        store: &dyn TenantStore,
        decision: &Decision<DeploymentEvent>,
        grounds: Grounds<'_>,
        charge: Option<Charge>,
    ) -> Result<Loaded<RuntimeDeployment>, CommitError> {
        let (now, scope) = (self.host.now(), store.scope());
        let (mut commit, begun) = prepare(&self.host, scope, None, decision, grounds, now)?;
        if let Some(charge) = charge {
            commit = with_charge(&self.host, scope, commit, charge)?;
        }
        if self.host.terms().preview {
            return Ok(begun);
        }
        store.commit(commit).await.map(|_receipt| begun)
    }

    async fn admission(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Admission, DeploymentError> {
        self.environments.admit(scope, environment).await.map_err(|error| not_admitted(environment, error))
    }

    async fn clearance(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        break_glass: Option<BreakGlass>,
    ) -> Result<Clearance, DeploymentError> {
        let cleared = self.environments.clear(scope, environment, Activity::Deployment, break_glass).await;
        cleared.map_err(|error| not_admitted(environment, error))
    }

    async fn rollout(
        &self,
        store: &dyn TenantStore,
        release: Release,
        admission: Admission,
        clearance: Clearance,
        standing: &Standing,
    ) -> Result<RequestDeployment, DeploymentError> {
        let mut upstream = Vec::new();
        for environment in admission.promotion().into_iter().flat_map(|policy| policy.upstream()) {
            upstream.extend(completed(store, *environment, release.components.keys()).await?);
        }
        let environment = admission.environment();
        let scaled = self.ownership.of(store.scope(), environment, release.components.keys()).await?;
        Ok(RequestDeployment {
            deployment_id: self.new_id(),
            release,
            admission,
            clearance,
            configuration: None,
            upstream,
            hold_released: None,
            previous: standing.points()?,
            seen: standing.seen.clone(),
            scaled,
            numbers: standing.numbers(),
            surfaces: self.host.capabilities(),
        })
    }
}

/// The release with the configuration that it carries in every release tuple, and that version.
pub(crate) async fn carrying(
    store: &dyn TenantStore,
    environment: EnvironmentId,
    mut release: Release,
) -> Result<(Release, Option<Loaded<RuntimeConfiguration>>), DeploymentError> {
    let Some(id) = release.configuration_id else { return Ok((release, None)) };
    let found = Versions::new(store).of(environment, id).await?;
    let found = found.ok_or_else(|| CommandError::NotFound { what: format!("configuration {id}") })?;
    for component in release.components.values_mut() {
        let delivered = found.aggregate.delivered(&component.module, Some(store.scope().tenant()));
        if component.configuration.variables
            && let Err(why) = delivered.variables()
        {
            let module = component.module.clone();
            return Err(CommandError::Refused(DeploymentRefusal::Undeliverable { module, why }));
        }
        component.tuple.configuration = Some(delivered.to_version_ref());
    }
    Ok((release, Some(found)))
}

fn in_force(
    carried: Option<Loaded<RuntimeConfiguration>>,
) -> Result<Option<PublishedConfiguration>, DeploymentError> {
    let proof = carried.map(|loaded| loaded.aggregate.prove(loaded.revision)).transpose();
    proof.map_err(|refusal| CommandError::Refused(refusal.into()))
}

fn not_admitted(environment: EnvironmentId, error: AdmissionError) -> DeploymentError {
    match error {
        AdmissionError::Refused(refusal) => CommandError::Refused(DeploymentRefusal::NotAdmitted(refusal)),
        AdmissionError::NotFound => CommandError::NotFound { what: format!("environment {environment}") },
        AdmissionError::Load(error) => error.into(),
    }
}

async fn find(
    store: &dyn TenantStore,
    deployment: DeploymentId,
) -> Result<Loaded<RuntimeDeployment>, DeploymentError> {
    existing::find(store, deployment.uuid(), &format!("deployment {deployment}")).await
}

impl From<PlanRefusal> for DeploymentError {
    fn from(refusal: PlanRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}
