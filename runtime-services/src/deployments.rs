//! Deployments: what callers may ask.

use std::collections::BTreeMap;

use runtime_domain::aggregate::{Aggregate, Decision};
use runtime_domain::claim::Claim;
use runtime_domain::component::ImageReference;
use runtime_domain::deployment::{
    DeployedVersion, DeploymentCommand, DeploymentEvent, DeploymentRefusal, DeploymentStatus, Release,
    RequestDeployment, RequestRollback, RollbackPoint, RuntimeDeployment, SeenRevisions,
};
use runtime_domain::environment::Admission;
use runtime_domain::id::{DeploymentId, EnvironmentId};
use runtime_domain::rollout::{HealthGate, PlanRefusal, RolloutPlan};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::ComponentKey;
use runtime_domain::value::{ModuleId, Name};
use runtime_ports::store::{HistoryEntry, LoadError, Loaded, Page, Query, Repository, TenantStore};

use crate::environments::{AdmissionError, EnvironmentService};
use crate::error::{CommandError, Refused, sort};
use crate::host::Host;
use crate::manifest::{ManifestError, ReleaseManifest};
use crate::unit::{Done, Grounds, commit};

/// What goes wrong with a deployment's command.
pub type DeploymentError = CommandError<DeploymentRefusal>;

/// How often a command is decided again because others changed what it rests on.
const TRIES: usize = 8;

/// What a request would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentPreview {
    /// All that would be done, in order.
    pub plan: RolloutPlan,
    /// What would have to pass.
    pub gates: Vec<HealthGate>,
}

/// Rolls releases out, and back.
#[derive(Debug, Clone)]
pub struct DeploymentService {
    host: Host,
    environments: EnvironmentService,
}

impl DeploymentService {
    /// The service of a host. `environments` answers whether an environment accepts deployments.
    pub fn new(host: Host, environments: EnvironmentService) -> Self {
        Self { host, environments }
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

    /// Asks for a rollout. Asking again for what is in flight or serves already gives that deployment and changes nothing.
    ///
    /// # Errors
    /// The environment does not accept deployments (ENV-1, ENV-3), another deployment of a component is in flight (DEP-3), an image is
    /// quarantined, or the plan cannot be made.
    pub async fn request(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        release: Release,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        for _ in 0..TRIES {
            let store = self.host.ports().store.for_tenant(scope);
            let standing = self.standing(&*store, environment, release.components.keys()).await?;
            if let Some(same) = standing.brings(&release) {
                let explanation = "this release is in flight or serves already".to_owned();
                return Ok(Done {
                    aggregate: same.aggregate,
                    revision: same.revision,
                    changed: false,
                    explanation,
                });
            }
            let admission = self.admission(scope, environment).await?;
            let request = self.rollout(release.clone(), admission, &standing)?;
            let facts = request.evidence();
            let now = self.host.now();
            let decision = RuntimeDeployment::request(request).map_err(CommandError::Refused)?;
            match commit::<RuntimeDeployment>(
                &self.host,
                &*store,
                None,
                &decision,
                Grounds::exactly(&facts),
                now,
            )
            .await
            {
                Ok(Some(loaded)) => return Ok(done(loaded, &decision)),
                Ok(None) => return Err(CommandError::Contended),
                Err(error) => retry_or_refuse(error, &release)?,
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
        let standing = self.standing(&*store, environment, release.components.keys()).await?;
        let admission = self.admission(scope, environment).await?;
        let decision = RuntimeDeployment::request(self.rollout(release, admission, &standing)?);
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
        for _ in 0..TRIES {
            let store = self.host.ports().store.for_tenant(scope);
            let loaded = self.find(&*store, to).await?;
            if loaded.aggregate.environment_id() != environment {
                return Err(not_found(to));
            }
            let target = loaded.aggregate.rollback_point(loaded.revision).map_err(CommandError::Refused)?;
            let release = target.release().clone();
            let standing = self.standing(&*store, environment, release.components.keys()).await?;
            let admission = self.admission(scope, environment).await?;
            let request = RequestRollback {
                deployment_id: DeploymentId::from_uuid(self.host.ports().ids.next()),
                target,
                admission,
                previous: standing.points()?,
                seen: standing.seen.clone(),
                numbers: standing.numbers(),
                surfaces: self.host.capabilities(),
            };
            let facts = request.evidence();
            let now = self.host.now();
            let decision = RuntimeDeployment::request_rollback(request).map_err(CommandError::Refused)?;
            match commit::<RuntimeDeployment>(
                &self.host,
                &*store,
                None,
                &decision,
                Grounds::exactly(&facts),
                now,
            )
            .await
            {
                Ok(Some(loaded)) => return Ok(done(loaded, &decision)),
                Ok(None) => return Err(CommandError::Contended),
                Err(error) => retry_or_refuse(error, &release)?,
            }
        }
        Err(CommandError::Contended)
    }

    /// Agrees to a gate in the caller's name.
    ///
    /// # Errors
    /// No such approval is waited for, or the caller is not an approver.
    pub async fn approve(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        gate: Name,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
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
        Ok(self.find(&*store, deployment).await?.aggregate)
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
        let completed = newest(&*store, environment, module, &[DeploymentStatus::Completed.name()]).await?;
        Ok(completed.and_then(|loaded| loaded.aggregate.deployed_version(module, loaded.revision)))
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
        let statuses: Vec<&str> = DeploymentStatus::ALL
            .into_iter()
            .filter(|status| !status.is_final())
            .map(DeploymentStatus::name)
            .collect();
        let query = Query::all(RuntimeDeployment::KIND).in_environment(environment).with_status(&statuses);
        Ok(self.deployments(scope, query.limited_to(limit)).await?.items)
    }

    async fn command(
        &self,
        scope: &TenantScope,
        deployment: DeploymentId,
        command: &DeploymentCommand,
    ) -> Result<Done<RuntimeDeployment>, DeploymentError> {
        let store = self.host.ports().store.for_tenant(scope);
        for _ in 0..TRIES {
            let loaded = self.find(&*store, deployment).await?;
            let now = self.host.now();
            let decision = loaded.aggregate.decide(command, now).map_err(CommandError::Refused)?;
            match commit(&self.host, &*store, Some(loaded), &decision, Grounds::default(), now).await {
                Ok(Some(loaded)) => return Ok(done(loaded, &decision)),
                Ok(None) => return Err(not_found(deployment)),
                Err(error) => match sort(error) {
                    Refused::Again => {}
                    Refused::Claim(_) => return Err(CommandError::Contended),
                    Refused::Stop(error) => return Err(CommandError::Port(error)),
                },
            }
        }
        Err(CommandError::Contended)
    }

    async fn find(
        &self,
        store: &dyn TenantStore,
        deployment: DeploymentId,
    ) -> Result<Loaded<RuntimeDeployment>, DeploymentError> {
        let found = Repository::<RuntimeDeployment>::new(store).load(deployment.uuid()).await?;
        found.ok_or_else(|| not_found(deployment))
    }

    async fn admission(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Admission, DeploymentError> {
        self.environments.admit(scope, environment).await.map_err(|error| match error {
            AdmissionError::Refused(refusal) => {
                CommandError::Refused(DeploymentRefusal::NotAdmitted(refusal))
            }
            AdmissionError::NotFound => CommandError::NotFound { what: format!("environment {environment}") },
            AdmissionError::Load(error) => error.into(),
        })
    }

    fn rollout(
        &self,
        release: Release,
        admission: Admission,
        standing: &Standing,
    ) -> Result<RequestDeployment, DeploymentError> {
        Ok(RequestDeployment {
            deployment_id: DeploymentId::from_uuid(self.host.ports().ids.next()),
            release,
            admission,
            previous: standing.points()?,
            seen: standing.seen.clone(),
            numbers: standing.numbers(),
            surfaces: self.host.capabilities(),
        })
    }

    /// What is known about the components now.
    async fn standing(
        &self,
        store: &dyn TenantStore,
        environment: EnvironmentId,
        modules: impl Iterator<Item = &ModuleId>,
    ) -> Result<Standing, DeploymentError> {
        let mut standing = Standing::default();
        for module in modules {
            if let Some(newest) = newest(store, environment, module, &[]).await? {
                standing.newest.insert(module.clone(), newest);
            }
            let completed = newest(store, environment, module, &[DeploymentStatus::Completed.name()]).await?;
            if let Some(completed) = completed {
                standing.serving.insert(module.clone(), completed);
            }
            let seen = self.seen(store, environment, module).await;
            standing.seen.insert(module.clone(), seen);
        }
        Ok(standing)
    }

    /// What the surfaces show of a component. One that cannot be looked at shows nothing; the release's own numbers stand then.
    async fn seen(
        &self,
        store: &dyn TenantStore,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> SeenRevisions {
        let key = ComponentKey { tenant: store.scope().tenant(), environment, module: module.clone() };
        let mut seen = SeenRevisions::new();
        for surface in self.host.ports().surfaces.values() {
            match self.host.bounded("surface.observe", surface.observe(&key)).await {
                Ok(shown) => {
                    seen.extend(
                        shown.revisions.into_iter().map(|(revision, shown)| (revision, shown.wanted)),
                    );
                }
                Err(error) => tracing::warn!(%key, %error, "a component could not be looked at"),
            }
        }
        seen
    }
}

/// The newest deployments of a set of components.
#[derive(Debug, Default)]
struct Standing {
    newest: BTreeMap<ModuleId, Loaded<RuntimeDeployment>>,
    serving: BTreeMap<ModuleId, Loaded<RuntimeDeployment>>,
    seen: BTreeMap<ModuleId, SeenRevisions>,
}

impl Standing {
    fn numbers(&self) -> BTreeMap<ModuleId, u32> {
        let numbers = self.newest.iter().map(|(module, newest)| {
            let number = newest.aggregate.numbers().get(module).copied().unwrap_or(0);
            (module.clone(), number + 1)
        });
        numbers.collect()
    }

    fn points(&self) -> Result<Vec<RollbackPoint>, DeploymentError> {
        let mut seen = std::collections::BTreeSet::new();
        let completed = self.serving.values().filter(|loaded| seen.insert(loaded.aggregate.id()));
        let points = completed.map(|loaded| loaded.aggregate.rollback_point(loaded.revision));
        points.collect::<Result<_, _>>().map_err(CommandError::Refused)
    }

    /// The deployment that brings exactly this release to every one of its components, in flight or serving.
    fn brings(&self, release: &Release) -> Option<Loaded<RuntimeDeployment>> {
        let first = self.newest.values().next()?;
        let is_alive =
            !first.aggregate.status().is_final() || first.aggregate.status() == DeploymentStatus::Completed;
        let is_same = first.aggregate.brings(release)
            && self.newest.len() == release.components.len()
            && self.newest.values().all(|other| other.aggregate.id() == first.aggregate.id());
        (is_alive && is_same).then(|| first.clone())
    }
}

async fn newest(
    store: &dyn TenantStore,
    environment: EnvironmentId,
    module: &ModuleId,
    statuses: &[&str],
) -> Result<Option<Loaded<RuntimeDeployment>>, LoadError> {
    let query = Query::all(RuntimeDeployment::KIND)
        .in_environment(environment)
        .about(module.clone())
        .with_status(statuses)
        .limited_to(1);
    let page = Repository::<RuntimeDeployment>::new(store).query(query).await?;
    Ok(page.items.into_iter().next())
}

fn not_found(deployment: DeploymentId) -> DeploymentError {
    CommandError::NotFound { what: format!("deployment {deployment}") }
}

fn done(loaded: Loaded<RuntimeDeployment>, decision: &Decision<DeploymentEvent>) -> Done<RuntimeDeployment> {
    Done {
        aggregate: loaded.aggregate,
        revision: loaded.revision,
        changed: !decision.is_unchanged(),
        explanation: decision.explanation.clone(),
    }
}

/// A held claim tells which rule refuses the request; what was merely changed by others is tried again.
fn retry_or_refuse(
    error: runtime_ports::store::CommitError,
    release: &Release,
) -> Result<(), DeploymentError> {
    match sort(error) {
        Refused::Again => Ok(()),
        Refused::Stop(error) => Err(CommandError::Port(error)),
        Refused::Claim(claim) => {
            let refusal = release.components.values().find_map(|component| refusal_of(&claim, component));
            match refusal {
                Some(refusal) => Err(CommandError::Refused(refusal)),
                // Another deployment was requested and ended in between: its number is taken.
                None => Ok(()),
            }
        }
    }
}

fn refusal_of(
    claim: &Claim,
    component: &runtime_domain::component::ComponentSpec,
) -> Option<DeploymentRefusal> {
    let module = component.module.clone();
    let digest = component.tuple.image.digest().clone();
    if claim.key.starts_with("in-flight/") && claim.key.ends_with(&format!("/{module}")) {
        Some(DeploymentRefusal::InFlight { module })
    } else if claim.key.starts_with("quarantine/") && claim.key.ends_with(&format!("/{module}/{digest}")) {
        Some(DeploymentRefusal::Quarantined { module, digest })
    } else {
        None
    }
}

impl From<PlanRefusal> for DeploymentError {
    fn from(refusal: PlanRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}
