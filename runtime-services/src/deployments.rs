//! Deployments: what callers may ask.

use std::collections::BTreeMap;

use runtime_domain::aggregate::{Decision, EvidenceRef};
use runtime_domain::calendar::{Activity, BreakGlass, Clearance};
use runtime_domain::component::ImageReference;
use runtime_domain::configuration::{PublishedConfiguration, RuntimeConfiguration};
use runtime_domain::deployment::{
    DeployedVersion, DeploymentCommand, DeploymentEvent, DeploymentRefusal, DeploymentStatus, Release,
    RequestDeployment, RequestRollback, RuntimeDeployment,
};
use runtime_domain::environment::Admission;
use runtime_domain::id::{ConfigurationId, DeploymentId, EnvironmentId};
use runtime_domain::promotion::PromotionPolicy;
use runtime_domain::rollout::{HealthGate, PlanRefusal, RolloutPlan};
use runtime_domain::scope::TenantScope;
use runtime_domain::value::{ModuleId, Name};
use runtime_ports::store::{
    CommitError, HistoryEntry, Lease, LoadError, Loaded, Page, PageRequest, Query, Repository,
    RuntimeDeploymentRepository, TenantStore,
};

use crate::configuration::Versions;
use crate::environments::{AdmissionError, EnvironmentService};
use crate::error::CommandError;
use crate::existing::{self, TRIES};
use crate::host::Host;
use crate::manifest::{ManifestError, ReleaseManifest};
use crate::scaling::ReplicaOwnership;
use crate::secrets::SecretService;
use crate::tenancy::TenancyService;
use crate::tenancy::workloads::{Charge, demands, with_charge};
use crate::unit::{Done, Grounds, prepare};

mod charging;
mod promoted;
mod secrets;
mod standing;

use charging::{in_turn, no_room};

pub(crate) use secrets::Brought;
use secrets::{facts_of, in_force_for};
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

/// Why a deployment that repairs drift was not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepairError {
    /// Another host has taken over.
    #[error("another host has taken over")]
    LeaseLost,
    /// It was refused, or a port failed.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
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
    /// Asking again for what is in flight or serves already gives that deployment and changes nothing.
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
        let taken = |reason: String| BreakGlass { by: scope.actor().clone(), reason };
        let (break_glass, hold_released) =
            (exceptions.break_glass.map(taken), exceptions.release_hold.map(taken));
        let store = self.host.ports().store.for_tenant(scope);
        let lane = TenancyService::charging_lane(&self.host, &*store, environment).await?;
        for _ in 0..TRIES {
            let _turn = in_turn(lane.as_deref()).await;
            let (release, carried) = carrying(&*store, environment, release.clone()).await?;
            let (release, secret_facts) = self.with_secrets(scope, environment, release).await?;
            let standing = Standing::of(&self.host, &*store, environment, release.components.keys()).await?;
            if let Some(same) = standing.brings(&release) {
                let explanation = "this release is in flight or serves already".to_owned();
                return Ok(Done {
                    aggregate: same.aggregate,
                    revision: same.revision,
                    changed: false,
                    explanation,
                });
            }
            standing.nothing_in_flight()?;
            let admission = self.admission(scope, environment).await?;
            let clearance = self.clearance(scope, environment, break_glass.clone()).await?;
            let mut request = self.rollout(&*store, release.clone(), admission, clearance, &standing).await?;
            request.configuration = in_force(carried)?;
            request.hold_released = hold_released.clone();
            let charge = self.charge(&*store, &request.admission, request.deployment_id, &release).await?;
            let facts = facts_of(request.evidence(), secret_facts);
            let decided = RuntimeDeployment::request(request, self.host.now());
            let decision = decided.map_err(CommandError::Refused)?;
            if let Some(done) = self.begin(&*store, &decision, &facts, &release, charge).await? {
                return Ok(done);
            }
        }
        Err(CommandError::Contended)
    }

    /// Begins the deployment that repairs drift, under the lease of who found it. Repeating it gives the one that was begun. It brings the
    /// release whether or not it serves by the record already, since what runs is not what the record says.
    ///
    /// # Errors
    /// The lease is lost; else as [`DeploymentService::request`], where the calendar is asked about repairs.
    pub(crate) async fn repair(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        deployment: DeploymentId,
        release: Release,
        lease: &Lease,
    ) -> Result<RuntimeDeployment, RepairError> {
        let store = self.host.ports().store.for_tenant(scope);
        let lane = TenancyService::charging_lane(&self.host, &*store, environment).await;
        let lane = lane.map_err(DeploymentError::from)?;
        for _ in 0..TRIES {
            let _turn = in_turn(lane.as_deref()).await;
            let begun = Repository::<RuntimeDeployment>::new(&*store).load(deployment.uuid()).await;
            if let Some(begun) = begun.map_err(DeploymentError::from)? {
                return Ok(begun.aggregate);
            }
            let standing = Standing::of(&self.host, &*store, environment, release.components.keys()).await;
            let standing = standing.map_err(DeploymentError::from)?;
            standing.nothing_in_flight()?;
            let mut release = release.clone();
            if release.configuration_id.is_none() {
                // What the desired release leaves open stays as it serves.
                let serving = standing.serving.values().find_map(|it| it.aggregate.configuration_id());
                release.configuration_id = in_force_for(&*store, environment, serving).await?;
            }
            let (release, carried) = carrying(&*store, environment, release).await?;
            let given = self.with_secrets(scope, environment, release).await;
            let (release, secret_facts) = given.map_err(DeploymentError::from)?;
            let admission = self.admission(scope, environment).await?;
            let cleared = self.environments.clear(scope, environment, Activity::Remediation, None).await;
            let clearance = cleared.map_err(|error| not_admitted(environment, error))?;
            let request = self.rollout(&*store, release.clone(), admission, clearance, &standing).await?;
            let configuration = in_force(carried)?;
            let request = RequestDeployment { deployment_id: deployment, configuration, ..request };
            let charge = self.charge(&*store, &request.admission, deployment, &release).await?;
            let facts = facts_of(request.evidence(), secret_facts);
            let decided = RuntimeDeployment::request(request, self.host.now());
            let decision = decided.map_err(DeploymentError::Refused)?;
            let grounds = Grounds { lease: Some(lease), ..Grounds::exactly(&facts) };
            match self.attempt(&*store, &decision, grounds, charge).await {
                Ok(begun) => return Ok(begun.aggregate),
                Err(CommitError::LeaseLost { .. }) => return Err(RepairError::LeaseLost),
                Err(error) => retry_or_refuse(error, &release)?,
            }
        }
        Err(DeploymentError::Contended.into())
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
        let decision = RuntimeDeployment::request(request, self.host.now());
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
        let store = self.host.ports().store.for_tenant(scope);
        let lane = TenancyService::charging_lane(&self.host, &*store, environment).await?;
        for _ in 0..TRIES {
            let _turn = in_turn(lane.as_deref()).await;
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
                deployment_id: DeploymentId::from_uuid(self.host.ports().ids.next()),
                target,
                admission,
                previous: standing.points()?,
                seen: standing.seen.clone(),
                scaled,
                numbers: standing.numbers(),
                surfaces: self.host.capabilities(),
            };
            let charge = self.charge(&*store, &request.admission, request.deployment_id, &release).await?;
            let facts = request.evidence();
            let decision = RuntimeDeployment::request_rollback(request).map_err(CommandError::Refused)?;
            if let Some(done) = self.begin(&*store, &decision, &facts, &release, charge).await? {
                return Ok(done);
            }
        }
        Err(CommandError::Contended)
    }

    /// Agrees to a gate in the caller's name.
    ///
    /// # Errors
    /// No such approval is waited for, the caller is not an approver, or asked for the promotion that is to be agreed to.
    pub async fn approve(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        gate: Name,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        if gate.as_str() == PromotionPolicy::GATE {
            self.must_be_anothers(scope, deployment).await?;
        }
        let command = DeploymentCommand::Approve { gate, by: scope.actor().clone() };
        self.command(scope, deployment, &command).await
    }

    /// Disagrees in the caller's name: the gate fails.
    ///
    /// # Errors
    /// As [`DeploymentService::approve`].
    pub async fn reject(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        gate: Name,
        reason: String,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        let command = DeploymentCommand::Reject { gate, by: scope.actor().clone(), reason };
        self.command(scope, deployment, &command).await
    }

    /// Begins nothing new until it is resumed.
    ///
    /// # Errors
    /// It has ended or is going back.
    pub async fn pause(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        reason: String,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        self.command(scope, deployment, &DeploymentCommand::Pause { reason }).await
    }

    /// Goes on, from a pause or a hold that waits for a person.
    ///
    /// # Errors
    /// It has ended or is going back.
    pub async fn resume(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        self.command(scope, deployment, &DeploymentCommand::Resume).await
    }

    /// Skips what waits, never what judges.
    ///
    /// # Errors
    /// It does not go forward.
    pub async fn promote_now(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        self.command(scope, deployment, &DeploymentCommand::PromoteNow).await
    }

    /// Ends the rollout; what served before serves again.
    ///
    /// # Errors
    /// It is Completed: then ask for a rollback.
    pub async fn abort(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        reason: String,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        self.command(scope, deployment, &DeploymentCommand::Abort { reason }).await
    }

    /// Lets rolled-back images be deployed again.
    ///
    /// # Errors
    /// The deployment was not rolled back.
    pub async fn release_quarantine(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        reason: String,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        self.command(scope, deployment, &DeploymentCommand::ReleaseQuarantine { reason }).await
    }

    /// One deployment.
    ///
    /// # Errors
    /// This tenant has none by that identifier.
    pub async fn deployment(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
    ) -> Result<RuntimeDeployment, DeploymentError> {
        let store = self.host.ports().store.for_tenant(scope);
        Ok(find(&*store, deployment).await?.aggregate)
    }

    /// A page of the tenant's deployments; [`Query::all`] and its filters say which. The query's kind is set here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn deployments(
        &self,
        scope: &TenantScope,
        query: Query,
    ) -> Result<Page<Loaded<RuntimeDeployment>>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Repository::<RuntimeDeployment>::new(&*store).query(query).await
    }

    /// What happened to a deployment after entry `after`, oldest first, at most `limit` entries: who, when and why.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let key = Repository::<RuntimeDeployment>::key(deployment.uuid());
        Ok(store.history(&key, after, limit).await?)
    }

    /// Proof of the version of a component that serves now; `None` where nothing was ever completed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn serving_version(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Option<DeployedVersion>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let completed = RuntimeDeploymentRepository::new(&*store)
            .newest_of(environment, module, &[DeploymentStatus::Completed])
            .await?;
        Ok(completed.and_then(|loaded| loaded.aggregate.deployed_version(module, loaded.revision)))
    }

    /// The deployment of a component that is in flight, if one is (DEP-3).
    ///
    /// # Errors
    /// The store failed.
    pub async fn in_flight_of(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Option<RuntimeDeployment>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let newest = RuntimeDeploymentRepository::new(&*store).newest_of(environment, module, &[]).await?;
        Ok(newest.map(|loaded| loaded.aggregate).filter(|deployment| !deployment.status().is_final()))
    }

    /// Whether a deployment that carries this configuration version is in flight.
    pub(crate) async fn is_carried(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        configuration: ConfigurationId,
    ) -> Result<bool, LoadError> {
        let in_flight = self.in_flight(scope, environment, 1_000).await?;
        Ok(in_flight.iter().any(|it| it.aggregate.configuration_id() == Some(configuration)))
    }

    /// Whether any deployment of the environment is in flight.
    ///
    /// # Errors
    /// The store failed.
    pub async fn is_busy(&self, scope: &TenantScope, environment: EnvironmentId) -> Result<bool, LoadError> {
        Ok(!self.in_flight(scope, environment, 1).await?.is_empty())
    }

    /// Aborts deployments of the environment that are in flight, and tells whether there was any.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn abort_all(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        reason: &str,
    ) -> Result<bool, DeploymentError> {
        let in_flight = self.in_flight(scope, environment, 1_000).await?;
        for loaded in &in_flight {
            self.abort(scope, loaded.aggregate.id(), reason.to_owned()).await?;
        }
        Ok(!in_flight.is_empty())
    }

    async fn in_flight(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        limit: u32,
    ) -> Result<Vec<Loaded<RuntimeDeployment>>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let deployments = RuntimeDeploymentRepository::new(&*store);
        Ok(deployments.in_flight(environment, PageRequest::first(limit)).await?.items)
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
        match self.attempt(store, decision, Grounds::exactly(facts), charge).await {
            Ok(begun) => Ok(Some(Done::of(begun, decision))),
            Err(error) => retry_or_refuse(error, release).map(|()| None),
        }
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
        store.commit(commit).await.map(|_receipt| begun)
    }

    async fn command(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        command: &DeploymentCommand,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        let what = format!("deployment {deployment}");
        let decide = |found: &RuntimeDeployment, now| found.decide(command, now);
        existing::command(&self.host, scope, deployment.uuid(), &what, decide).await
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
            deployment_id: DeploymentId::from_uuid(self.host.ports().ids.next()),
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
