//! Drift: what callers may ask. What is watched is compared, and repaired where its terms say so, by `reconcile/drift.rs`.
//!
//! ```text
//!   desired state ──► look ◄── surfaces          look.rs: everything that is known at one moment, or nothing
//!   (a revision)       │  ◄── who owns what       owners.rs: rollouts, scaling, rollbacks, deliveries
//!                      ▼
//!                  comparison ──► findings ──► repair: a deployment of the desired release, or a prune
//! ```

mod brought;
pub(crate) mod look;
mod owners;
pub(crate) mod remedy;

use runtime_domain::aggregate::Decision;
use runtime_domain::calendar::{Activity, Clearance};
use runtime_domain::drift::compare::NonEmptyDiff;
use runtime_domain::drift::watch::{DriftWatch, WatchRefusal, WatchTerms};
use runtime_domain::drift::{
    DesiredStateRevision, DriftCommand, DriftException, DriftKind, DriftRefusal, DriftState, NotCompared,
    PlanRemediation, RemediationAction, RuntimeDriftFinding, Severity, Subject, Suppressed,
};
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::id::{AggregateKind, DeploymentId, DriftFindingId, EnvironmentId};
use runtime_domain::refusal::Refusal as _;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Timestamp;
use runtime_ports::store::{CommitError, HistoryEntry, LoadError, Loaded, Page, Query, Repository};
use runtime_ports::{PortError, PortErrorKind};

use crate::context::Context;
use crate::deployments::DeploymentService;
use crate::drift::brought::Brought;
use crate::drift::look::{Looked, NotLooked, look};
use crate::environments::{AdmissionError, EnvironmentService};
use crate::error::{CommandError, Refused, sort};
use crate::existing::{self, TRIES};
use crate::host::Host;
use crate::inventory::InventoryService;
use crate::observed;
use crate::request;
use crate::terms::Terms;
use crate::unit::{Done, Grounds, commit};

pub use remedy::Remedy;

/// What goes wrong with a finding's command.
pub type DriftError = CommandError<DriftRefusal>;
/// What goes wrong with a watch's command.
pub type WatchError = CommandError<WatchRefusal>;

/// Watches environments for drift, and tells what was found.
#[derive(Debug, Clone)]
pub struct DriftService {
    host: Host,
    environments: EnvironmentService,
    deployments: DeploymentService,
    inventory: InventoryService,
    brought: Brought,
}

/// A divergence as it was seen, and what would be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// What diverges.
    pub subject: Subject,
    /// How.
    pub kind: DriftKind,
    /// How grave it is.
    pub severity: Severity,
    /// Where desired and actual differ, without secrets (X-11).
    pub diff: NonEmptyDiff,
    /// The finding that is open about it, where there is one.
    pub finding: Option<DriftFindingId>,
    /// What would be done about it.
    pub remedy: Remedy,
}

/// What a comparison shows. Nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftReport {
    /// The revision that says what is desired.
    pub revision: DesiredStateRevision,
    /// What diverges.
    pub divergences: Vec<Divergence>,
    /// What differs and is no drift, because somebody owns it.
    pub suppressed: Vec<Suppressed>,
    /// What is not known.
    pub not_compared: Vec<NotCompared>,
}

/// A finding in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftExplanation {
    /// What diverges, and by whose word.
    pub what: String,
    /// Where it stands.
    pub status: String,
    /// What happens next, and when; or what somebody would have to do.
    pub next: String,
}

impl DriftService {
    /// The service of a host.
    pub fn new(
        host: Host,
        environments: EnvironmentService,
        deployments: DeploymentService,
        inventory: InventoryService,
    ) -> Self {
        Self { host, environments, deployments, inventory, brought: Brought::default() }
    }

    /// The same for callers, who are refused where the host does not run this context.
    pub(crate) fn for_callers(&self) -> Self {
        Self { host: self.host.for_callers_of(Context::Drift), ..self.clone() }
    }

    /// The same service, for commands on these terms.
    #[must_use]
    pub fn under(&self, terms: &Terms) -> Self {
        Self { host: self.host.under(terms), ..self.clone() }
    }

    /// Compares an environment with its desired state from now on, or on other terms. Asking twice changes nothing (X-3).
    ///
    /// # Errors
    /// This tenant has no such environment, the host has no source of desired state, or the terms are outside their bounds.
    pub async fn watch(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        terms: WatchTerms,
    ) -> Result<Done<DriftWatch>, WatchError> {
        observed::command(&self.host, scope, "Watch", self.try_watch(scope, environment, terms)).await
    }

    async fn try_watch(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        terms: WatchTerms,
    ) -> Result<Done<DriftWatch>, WatchError> {
        if self.host.ports().desired_state.is_none() {
            return Err(CommandError::Refused(WatchRefusal::NoSource));
        }
        let store = look::store_of(&self.host, scope);
        let watched = Repository::<RuntimeEnvironment>::new(&*store);
        if watched.load(environment.uuid()).await?.is_none() {
            return Err(CommandError::NotFound { what: format!("environment {environment}") });
        }
        for _ in 0..TRIES {
            if let Some(done) = request::repeated(&self.host, &*store, environment.uuid()).await? {
                return Ok(done);
            }
            let found = Repository::<DriftWatch>::new(&*store).load(environment.uuid()).await?;
            if let Some(found) = &found {
                self.host.terms().admit(found.revision)?;
            }
            let decided = match &found {
                Some(found) => found.aggregate.watch(&terms),
                None => DriftWatch::begin(scope.tenant(), environment, &terms),
            };
            let decision = decided.map_err(CommandError::Refused)?;
            let now = self.host.now();
            if decision.is_unchanged() {
                request::unchanged(&self.host, &*store).await?;
            }
            let grounds = Grounds::default().asked(&self.host);
            match commit(&self.host, &*store, found, &decision, grounds, now).await {
                Ok(Some(after)) => return Ok(Done::of(after, &decision)),
                Ok(None) => {}
                Err(error) => again(error)?,
            }
        }
        Err(CommandError::Contended)
    }

    /// Compares an environment no more. Findings stay as they are.
    ///
    /// # Errors
    /// It is not watched, or no reason is given.
    pub async fn stop_watching(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        reason: &str,
    ) -> Result<Done<DriftWatch>, WatchError> {
        let what = format!("a watch of {environment}");
        let decide = |found: &DriftWatch, _| found.stop(reason);
        existing::command(&self.host, scope, "StopWatching", environment.uuid(), &what, decide).await
    }

    /// How an environment is watched, and what the last comparison came to.
    ///
    /// # Errors
    /// It is not watched.
    pub async fn watched(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<DriftWatch, WatchError> {
        let store = look::store_of(&self.host, scope);
        let what = format!("a watch of {environment}");
        let found: Loaded<DriftWatch> = existing::find(&*store, environment.uuid(), &what).await?;
        Ok(found.aggregate)
    }

    /// Compares an environment now, on the terms it is watched on, and changes nothing: what diverges, and what would be done about it.
    ///
    /// # Errors
    /// It is not watched; the desired state could not be read or is empty, or what runs could not be seen.
    pub async fn compare(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<DriftReport, WatchError> {
        let watch = self.watched(scope, environment).await?;
        let looked = self.look(scope, environment, watch.terms()).await.map_err(not_compared)?;
        let store = look::store_of(&self.host, scope);
        let open = remedy::open(&*store, environment).await?;
        let closed = match self.cleared(scope, environment).await {
            Ok(_) => None,
            Err(CommandError::Refused(refusal)) => Some(refusal.to_string()),
            Err(CommandError::Load(error)) => return Err(CommandError::Load(error)),
            Err(CommandError::Port(error)) => return Err(CommandError::Port(error)),
            Err(error) => Some(error.to_string()),
        };
        let now = self.host.now();
        let guard = remedy::guard(&looked.comparison.detected, looked.shown.len(), watch.terms());
        let divergences = looked.comparison.detected.iter().map(|drift| {
            let finding = open.iter().find(|finding| finding.aggregate.hash() == drift.hash());
            let finding = finding.map(|finding| &finding.aggregate);
            Divergence {
                subject: drift.subject().clone(),
                kind: drift.kind(),
                severity: drift.severity(),
                diff: drift.diff().clone(),
                finding: finding.map(RuntimeDriftFinding::id),
                remedy: remedy::of(&looked, watch.terms(), drift, finding, guard.as_deref(), now)
                    .unless(closed.as_deref()),
            }
        });
        let divergences = divergences.collect();
        let Looked { revision, comparison, .. } = looked;
        Ok(DriftReport {
            revision,
            divergences,
            suppressed: comparison.suppressed,
            not_compared: comparison.not_compared,
        })
    }

    /// A page of the tenant's findings; [`Query::all`] and its filters say which. The query's kind is set here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn findings(
        &self,
        scope: &TenantScope,
        query: Query,
    ) -> Result<Page<Loaded<RuntimeDriftFinding>>, LoadError> {
        let store = look::store_of(&self.host, scope);
        Repository::<RuntimeDriftFinding>::new(&*store).query(query).await
    }

    /// As [`DriftService::open_findings`], with where each stands in the store.
    ///
    /// # Errors
    /// The store failed.
    pub async fn stored_open_findings(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Vec<Loaded<RuntimeDriftFinding>>, LoadError> {
        remedy::open(&*look::store_of(&self.host, scope), environment).await
    }

    /// Every finding of an environment that has neither gone nor been resolved.
    ///
    /// # Errors
    /// The store failed.
    pub async fn open_findings(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Vec<RuntimeDriftFinding>, LoadError> {
        let store = look::store_of(&self.host, scope);
        let open = remedy::open(&*store, environment).await?;
        Ok(open.into_iter().map(|loaded| loaded.aggregate).collect())
    }

    /// One finding.
    ///
    /// # Errors
    /// This tenant has none by that identifier.
    pub async fn finding(
        &self,
        scope: &TenantScope,
        finding: DriftFindingId,
    ) -> Result<RuntimeDriftFinding, DriftError> {
        Ok(self.find(scope, finding).await?.aggregate)
    }

    /// One finding, and where it stands in the store.
    ///
    /// # Errors
    /// As [`DriftService::finding`].
    pub async fn stored(
        &self,
        scope: &TenantScope,
        finding: DriftFindingId,
    ) -> Result<Loaded<RuntimeDriftFinding>, DriftError> {
        self.find(scope, finding).await
    }

    /// How an environment is watched, and where the watch stands in the store.
    ///
    /// # Errors
    /// As [`DriftService::watched`].
    pub async fn stored_watch(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Loaded<DriftWatch>, WatchError> {
        let store = look::store_of(&self.host, scope);
        existing::find(&*store, environment.uuid(), &format!("a watch of {environment}")).await
    }

    /// What happened to an environment's watch after entry `after`, oldest first, at most `limit` entries: who, when and why (X-10).
    ///
    /// # Errors
    /// The store failed.
    pub async fn watch_history(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, LoadError> {
        let store = look::store_of(&self.host, scope);
        Ok(store.history(&Repository::<DriftWatch>::key(environment.uuid()), after, limit).await?)
    }

    /// What happened to a finding after entry `after`, oldest first, at most `limit` entries: who, when and why (X-10).
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        scope: &TenantScope,
        finding: DriftFindingId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, LoadError> {
        let store = look::store_of(&self.host, scope);
        let key = Repository::<RuntimeDriftFinding>::key(finding.uuid());
        Ok(store.history(&key, after, limit).await?)
    }

    /// A finding in words: what diverges, where it stands, and what happens next.
    ///
    /// # Errors
    /// This tenant has none by that identifier.
    pub async fn explain(
        &self,
        scope: &TenantScope,
        finding: DriftFindingId,
    ) -> Result<DriftExplanation, DriftError> {
        let found = self.find(scope, finding).await?;
        let newest = self.history(scope, finding, found.sequence.saturating_sub(1), 1).await?;
        let because = newest.into_iter().next().map(|entry| entry.explanation).unwrap_or_default();
        let watch = match self.watched(scope, found.aggregate.environment_id()).await {
            Ok(watch) => Some(watch),
            Err(CommandError::NotFound { .. }) => None,
            Err(error) => return Err(of_watch(error)),
        };
        Ok(remedy::explain(&found.aggregate, watch.as_ref(), because))
    }

    /// Accepts a divergence for a while, in the caller's name.
    ///
    /// # Errors
    /// It is being repaired or closed; no reason is given, or it ends in the past or in more than 90 days.
    pub async fn accept_exception(
        &self,
        scope: &TenantScope,
        finding: DriftFindingId,
        reason: String,
        expires_at: Timestamp,
    ) -> Result<Done<RuntimeDriftFinding>, DriftError> {
        let owner = scope.actor().clone();
        let exception = DriftException { owner, reason, expires_at };
        self.command(scope, finding, &DriftCommand::AcceptException(exception)).await
    }

    /// Accepts it no longer.
    ///
    /// # Errors
    /// It is closed, or no reason is given.
    pub async fn revoke_exception(
        &self,
        scope: &TenantScope,
        finding: DriftFindingId,
        reason: String,
    ) -> Result<Done<RuntimeDriftFinding>, DriftError> {
        self.command(scope, finding, &DriftCommand::RevokeException { reason }).await
    }

    /// Lets it be tried again, as often as at first.
    ///
    /// # Errors
    /// It is accepted or closed.
    pub async fn retry(
        &self,
        scope: &TenantScope,
        finding: DriftFindingId,
    ) -> Result<Done<RuntimeDriftFinding>, DriftError> {
        let command = DriftCommand::RetryRemediation { by: scope.actor().clone() };
        self.command(scope, finding, &command).await
    }

    /// Asks for a repair in the caller's name, where it is not repaired by itself. It is carried out when the environment is compared next.
    ///
    /// # Errors
    /// Its kind is never repaired, the calendar is closed, the desired image is out, or it is accepted, has failed a short while ago or is
    /// closed; the environment is not watched, or could not be looked at.
    pub async fn remediate(
        &self,
        scope: &TenantScope,
        finding: DriftFindingId,
    ) -> Result<Done<RuntimeDriftFinding>, DriftError> {
        let found = self.find(scope, finding).await?.aggregate;
        let environment = found.environment_id();
        let watch = self.watched(scope, environment).await.map_err(of_watch)?;
        let looked = self.look(scope, environment, watch.terms()).await;
        let looked = looked.map_err(|error| of_watch(not_compared(error)))?;
        let action = match found.kind() {
            DriftKind::UnmanagedResource => RemediationAction::Prune,
            _ => RemediationAction::Redeploy {
                deployment: DeploymentId::from_uuid(self.host.new_id(AggregateKind::RuntimeDeployment)),
            },
        };
        let quarantined = found.subject().module().and_then(|module| looked.quarantined.get(module));
        for _ in 0..TRIES {
            let clearance = self.cleared(scope, environment).await?;
            let facts = [clearance.evidence()];
            let command = DriftCommand::PlanRemediation(PlanRemediation {
                action,
                policy: watch.terms().remediation.clone(),
                requested_by: Some(scope.actor().clone()),
                quarantined: quarantined.cloned().unwrap_or_default(),
                clearance,
            });
            let decide = |finding: &RuntimeDriftFinding, now| match finding.state() {
                DriftState::Remediating(_) => Ok(Decision::unchanged("a repair is under way")),
                _ => finding.decide(&command, now),
            };
            let what = format!("drift finding {finding}");
            match existing::command_on(
                &self.host,
                scope,
                command.name(),
                finding.uuid(),
                &what,
                &facts,
                decide,
            )
            .await
            {
                Err(CommandError::Contended) => {}
                answer => return answer,
            }
        }
        Err(CommandError::Contended)
    }

    /// Proof that the calendar is open to repairs.
    pub(crate) async fn cleared(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Clearance, DriftError> {
        let cleared = self.environments.clear(scope, environment, Activity::Remediation, None).await;
        cleared.map_err(|error| match error {
            AdmissionError::Refused(refusal) => CommandError::Refused(DriftRefusal::NotCleared(refusal)),
            AdmissionError::NotFound => CommandError::NotFound { what: format!("environment {environment}") },
            AdmissionError::Load(error) => error.into(),
        })
    }

    /// One look at the environment.
    pub(crate) async fn look(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        terms: &WatchTerms,
    ) -> Result<Looked, NotLooked> {
        look(&self.host, &self.brought, scope, environment, terms).await
    }

    pub(crate) fn deployments(&self) -> &DeploymentService {
        &self.deployments
    }

    pub(crate) fn inventory(&self) -> &InventoryService {
        &self.inventory
    }

    async fn find(
        &self,
        scope: &TenantScope,
        finding: DriftFindingId,
    ) -> Result<Loaded<RuntimeDriftFinding>, DriftError> {
        let store = look::store_of(&self.host, scope);
        existing::find(&*store, finding.uuid(), &format!("drift finding {finding}")).await
    }

    async fn command(
        &self,
        scope: &TenantScope,
        finding: DriftFindingId,
        command: &DriftCommand,
    ) -> Result<Done<RuntimeDriftFinding>, DriftError> {
        let what = format!("drift finding {finding}");
        let decide = |found: &RuntimeDriftFinding, now| found.decide(command, now);
        existing::command(&self.host, scope, command.name(), finding.uuid(), &what, decide).await
    }
}

fn again(error: CommitError) -> Result<(), WatchError> {
    match sort(error) {
        Refused::Again | Refused::Claim(_) => Ok(()),
        Refused::Stop(error) => Err(CommandError::Port(error)),
    }
}

/// Why there is no comparison, as a caller is told. It is never told as an empty one.
fn not_compared(error: NotLooked) -> WatchError {
    match error {
        NotLooked::NoSource => CommandError::Refused(WatchRefusal::NoSource),
        NotLooked::Load(error) => error.into(),
        NotLooked::Unread(error) | NotLooked::Unseen { cause: error, .. } => CommandError::Port(error),
        other @ (NotLooked::NoImage { .. }
        | NotLooked::Manifest { .. }
        | NotLooked::NoConfiguration { .. }
        | NotLooked::Refused { .. }) => {
            CommandError::Port(PortError::new(PortErrorKind::Invalid, "drift.compare", other.to_string()))
        }
    }
}

fn of_watch(error: WatchError) -> DriftError {
    match error {
        CommandError::Refused(refusal) => {
            let message = format!("{refusal}: {}", refusal.remedy());
            CommandError::Port(PortError::new(PortErrorKind::Unsupported, "drift.look", message))
        }
        CommandError::NotFound { what } => CommandError::NotFound { what },
        CommandError::Contended => CommandError::Contended,
        CommandError::Changed { found } => CommandError::Changed { found },
        CommandError::KeyReused => CommandError::KeyReused,
        CommandError::Load(error) => CommandError::Load(error),
        CommandError::Port(error) => CommandError::Port(error),
    }
}
