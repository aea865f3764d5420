//! Scaling: what callers may ask.
//!
//! A policy is evaluated by a reconciler; here it is applied, changed, suspended, explained. Who else must know that a policy owns a
//! component's replicas, as deployments and drift must, asks [`ReplicaOwnership`].

use std::collections::BTreeMap;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::environment::HostedSurface;
use runtime_domain::id::{AggregateKind, EnvironmentId, ScalingPolicyId};
use runtime_domain::scaling::{
    ApplyScalingPolicy, PolicySpec, PolicyStatus, ScalingCommand, ScalingDecision, ScalingPolicy,
    ScalingRefusal, Violation, Wanted, evaluate,
};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_ports::store::{
    HistoryEntry, LoadError, Loaded, Page, Query, Repository, ScalingPolicyRepository, TenantStore,
};
use runtime_ports::{PortError, PortErrorKind};

use crate::context::Context;
use crate::deployments::DeploymentService;
use crate::environments::{AdmissionError, EnvironmentService};
use crate::error::{CommandError, Refused, sort};
use crate::existing::{self, TRIES};
use crate::health::HealthService;
use crate::host::Host;
use crate::observed::{self, decided};
use crate::request;
use crate::terms::Terms;
use crate::unit::{Done, Grounds, commit};

pub(crate) mod activation;
mod following;
mod ownership;
mod restoration;
pub(crate) mod senses;

pub use ownership::ReplicaOwnership;
pub use restoration::PolicyRestoration;
use senses::Senses;

/// What goes wrong with a scaling policy's command.
pub type ScalingError = CommandError<ScalingRefusal>;

/// How many of a policy's newest events are looked through for its last evaluation.
const LOOKED_BACK: u64 = 64;

/// How a service is to scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewScalingPolicy {
    /// The environment.
    pub environment: EnvironmentId,
    /// The module that the service is of. It need not run yet.
    pub module: ModuleId,
    /// What the policy says.
    pub policy: PolicySpec,
}

/// What applying a policy would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalingPreview {
    /// What would change, in words.
    pub explanation: String,
    /// What it would decide now, by what is measured now; `None` where nothing of the service can be seen.
    pub decision: Option<ScalingDecision>,
}

/// Why a policy's service has as many replicas as it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalingExplanation {
    /// How the policy is.
    pub status: PolicyStatus,
    /// What it is violated by, while it is.
    pub violation: Option<Violation>,
    /// How many replicas were seen last.
    pub observed: Option<u16>,
    /// What was decided and not seen yet.
    pub wanted: Option<Wanted>,
    /// When it was last evaluated, and why it decided as it did; `None` where it never was, or long ago.
    pub evaluated: Option<(Timestamp, String)>,
}

/// Scales services by policies.
#[derive(Debug, Clone)]
pub struct ScalingService {
    host: Host,
    environments: EnvironmentService,
    senses: Senses,
}

impl ScalingService {
    /// The service of a host. `environments` prove which surfaces they have, `deployments` tell what serves and what is under way,
    /// `health` which dependencies answer badly.
    pub fn new(
        host: Host,
        environments: EnvironmentService,
        deployments: DeploymentService,
        health: HealthService,
    ) -> Self {
        let senses = Senses::new(host.clone(), deployments, health);
        Self { host, environments, senses }
    }

    /// The same for callers, who are refused where the host does not run this context.
    pub(crate) fn for_callers(&self) -> Self {
        Self { host: self.host.for_callers_of(Context::Scaling), ..self.clone() }
    }

    /// The same service, for commands on these terms.
    #[must_use]
    pub fn under(&self, terms: &Terms) -> Self {
        Self { host: self.host.under(terms), ..self.clone() }
    }

    /// Has a service scale by a policy. Asking for the same again gives the one that is there.
    ///
    /// # Errors
    /// The environment does not have the policy's target among its surfaces, or is being taken down; the service has a policy that differs
    /// (SCL-3); this host reads no signals.
    pub async fn apply(
        &self,
        scope: &TenantScope,
        wanted: NewScalingPolicy,
    ) -> Result<Done<ScalingPolicy>, ScalingError> {
        self.reads_signals()?;
        self.put_in_force(scope, &wanted).await
    }

    pub(crate) async fn put_in_force(
        &self,
        scope: &TenantScope,
        wanted: &NewScalingPolicy,
    ) -> Result<Done<ScalingPolicy>, ScalingError> {
        observed::command(&self.host, scope, "Apply", self.try_put_in_force(scope, wanted)).await
    }

    async fn try_put_in_force(
        &self,
        scope: &TenantScope,
        wanted: &NewScalingPolicy,
    ) -> Result<Done<ScalingPolicy>, ScalingError> {
        let store = self.host.ports().store.for_tenant(scope);
        for _ in 0..TRIES {
            let command = self.command_of(scope, wanted).await?;
            let id = command.scaling_policy_id.uuid();
            if let Some(done) = request::repeated(&self.host, &*store, id).await? {
                return Ok(done);
            }
            let policies = ScalingPolicyRepository::new(&*store);
            if let Some(found) = policies.current(wanted.environment, &wanted.module).await? {
                let decision = found.aggregate.apply_again(&command).map_err(CommandError::Refused)?;
                request::unchanged(&self.host, &*store).await?;
                return Ok(Done::of(found, &decision));
            }
            let decision = decided(|| ScalingPolicy::apply(&command)).map_err(CommandError::Refused)?;
            let grounds = Grounds::exactly(&[command.evidence()]).asked(&self.host);
            let now = self.host.now();
            match commit::<ScalingPolicy>(&self.host, &*store, None, &decision, grounds, now).await {
                Ok(Some(loaded)) => return Ok(Done::of(loaded, &decision)),
                Ok(None) => return Err(CommandError::Contended),
                Err(error) => match sort(error) {
                    // The service was given a policy in between: the next try finds it.
                    Refused::Again | Refused::Claim(_) => {}
                    Refused::Stop(error) => return Err(CommandError::Port(error)),
                },
            }
        }
        Err(CommandError::Contended)
    }

    /// What a policy would come to, without applying it: whether it would be accepted, and how many replicas it would decide on now. What
    /// a window or a cooldown would hold back is told by what the service's present policy has found so far.
    ///
    /// # Errors
    /// As [`ScalingService::apply`], but for what only the store can refuse.
    pub async fn preview(
        &self,
        scope: &TenantScope,
        wanted: NewScalingPolicy,
    ) -> Result<ScalingPreview, ScalingError> {
        self.reads_signals()?;
        let command = self.command_of(scope, &wanted).await?;
        let store = self.host.ports().store.for_tenant(scope);
        let found = ScalingPolicyRepository::new(&*store).current(wanted.environment, &wanted.module).await?;
        let decided = match &found {
            Some(found) => found.aggregate.change_on(&wanted.policy, &command.surface, self.host.now()),
            None => decided(|| ScalingPolicy::apply(&command)),
        };
        let explanation = decided.map_err(CommandError::Refused)?.explanation;
        let history = found.and_then(|found| Some(found.aggregate.state().watch()?.history.clone()));
        let target = wanted.policy.bounds().target();
        let standing = self.senses.standing(scope, wanted.environment, &wanted.module, target).await?;
        let decision = match standing {
            Some(standing) => {
                let input = self.senses.input(scope, &wanted.policy, &standing).await;
                Some(evaluate(&wanted.policy, &history.unwrap_or_default(), &input, self.host.now()))
            }
            None => None,
        };
        Ok(ScalingPreview { explanation, decision })
    }

    /// Changes what a policy says. The service is judged anew from then on.
    ///
    /// # Errors
    /// The policy is not there or was retired; the environment does not have the target that the change names.
    pub async fn change(
        &self,
        scope: &TenantScope,
        policy: ScalingPolicyId,
        wanted: PolicySpec,
    ) -> Result<Done<ScalingPolicy>, ScalingError> {
        let environment = self.policy(scope, policy).await?.environment_id();
        for _ in 0..TRIES {
            let surface = self.surface(scope, environment, wanted.bounds().target()).await?;
            let facts = [surface.evidence()];
            let what = format!("scaling policy {policy}");
            let decide = |found: &ScalingPolicy, now| found.change_on(&wanted, &surface, now);
            match existing::command_on(&self.host, scope, "Change", policy.uuid(), &what, &facts, decide)
                .await
            {
                // The environment may have changed, as its evidence says no more.
                Err(CommandError::Contended) => {}
                answer => return answer,
            }
        }
        Err(CommandError::Contended)
    }

    /// Keeps the replicas as they are, whatever is measured.
    ///
    /// # Errors
    /// The policy is not there or was retired; no reason is given.
    pub async fn suspend(
        &self,
        scope: &TenantScope,
        policy: ScalingPolicyId,
        reason: String,
    ) -> Result<Done<ScalingPolicy>, ScalingError> {
        self.command(scope, policy, &ScalingCommand::SuspendScaling { reason }).await
    }

    /// Lets a suspended policy scale again, as if it was just applied.
    ///
    /// # Errors
    /// The policy is not there or was retired.
    pub async fn resume(
        &self,
        scope: &TenantScope,
        policy: ScalingPolicyId,
    ) -> Result<Done<ScalingPolicy>, ScalingError> {
        self.command(scope, policy, &ScalingCommand::ResumeScaling).await
    }

    /// Ends a policy. The service keeps the replicas that it has; another policy may be applied.
    ///
    /// # Errors
    /// The policy is not there; no reason is given.
    pub async fn retire(
        &self,
        scope: &TenantScope,
        policy: ScalingPolicyId,
        reason: String,
    ) -> Result<Done<ScalingPolicy>, ScalingError> {
        self.command(scope, policy, &ScalingCommand::RetirePolicy { reason }).await
    }

    /// One policy.
    ///
    /// # Errors
    /// This tenant has none by that identifier.
    pub async fn policy(
        &self,
        scope: &TenantScope,
        policy: ScalingPolicyId,
    ) -> Result<ScalingPolicy, ScalingError> {
        let store = self.host.ports().store.for_tenant(scope);
        Ok(find(&*store, policy).await?.aggregate)
    }

    /// One policy, and where it stands in the store.
    ///
    /// # Errors
    /// As [`ScalingService::policy`].
    pub async fn stored(
        &self,
        scope: &TenantScope,
        policy: ScalingPolicyId,
    ) -> Result<Loaded<ScalingPolicy>, ScalingError> {
        let store = self.host.ports().store.for_tenant(scope);
        find(&*store, policy).await
    }

    /// The policy that a service scales by; `None` where it has none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn policy_of(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Option<ScalingPolicy>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let found = ScalingPolicyRepository::new(&*store).current(environment, module).await?;
        Ok(found.map(|found| found.aggregate))
    }

    /// A page of the tenant's policies; [`Query::all`] and its filters say which. The query's kind is set here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn policies(
        &self,
        scope: &TenantScope,
        query: Query,
    ) -> Result<Page<Loaded<ScalingPolicy>>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Repository::<ScalingPolicy>::new(&*store).query(query).await
    }

    /// What happened to a policy after entry `after`, oldest first, at most `limit` entries: every evaluation, and why it decided so.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        scope: &TenantScope,
        policy: ScalingPolicyId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Ok(store.history(&Repository::<ScalingPolicy>::key(policy.uuid()), after, limit).await?)
    }

    /// Why a policy's service has as many replicas as it has.
    ///
    /// # Errors
    /// This tenant has no such policy, or the store failed.
    pub async fn explain(
        &self,
        scope: &TenantScope,
        policy: ScalingPolicyId,
    ) -> Result<ScalingExplanation, ScalingError> {
        use runtime_domain::scaling::PolicyState;
        let store = self.host.ports().store.for_tenant(scope);
        let Loaded { aggregate, sequence, .. } = find(&*store, policy).await?;
        let key = Repository::<ScalingPolicy>::key(aggregate.uuid());
        let newest = store.history(&key, sequence.saturating_sub(LOOKED_BACK), 1_000).await?;
        let last = newest.into_iter().rev().find(|entry| entry.event == "ScalingEvaluated");
        let watch = aggregate.state().watch();
        Ok(ScalingExplanation {
            status: aggregate.state().status(),
            violation: match aggregate.state() {
                PolicyState::Violated(violated) => Some(violated.violation.clone()),
                PolicyState::Active(_) | PolicyState::Suspended(_) | PolicyState::Retired(_) => None,
            },
            observed: watch.and_then(|watch| watch.observed),
            wanted: aggregate.wanted(),
            evaluated: last.map(|entry| (entry.at, entry.explanation)),
        })
    }

    /// What the reconciler sees by.
    pub(crate) fn senses(&self) -> &Senses {
        &self.senses
    }

    /// Something waits for a service that runs no replica: its policy, where it has one, is to be evaluated at once.
    pub(crate) async fn activate(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<(), ScalingError> {
        let Some(policy) = self.policy_of(scope, environment, module).await? else { return Ok(()) };
        self.command(scope, policy.id(), &ScalingCommand::RecordActivation).await.map(drop)
    }

    async fn command(
        &self,
        scope: &TenantScope,
        policy: ScalingPolicyId,
        command: &ScalingCommand,
    ) -> Result<Done<ScalingPolicy>, ScalingError> {
        let what = format!("scaling policy {policy}");
        let decide = |found: &ScalingPolicy, now| found.decide(command, now);
        existing::command(&self.host, scope, command.name(), policy.uuid(), &what, decide).await
    }

    async fn command_of(
        &self,
        scope: &TenantScope,
        wanted: &NewScalingPolicy,
    ) -> Result<ApplyScalingPolicy, ScalingError> {
        let target = wanted.policy.bounds().target();
        Ok(ApplyScalingPolicy {
            scaling_policy_id: ScalingPolicyId::from_uuid(self.host.new_id(AggregateKind::ScalingPolicy)),
            tenant_id: scope.tenant(),
            environment_id: wanted.environment,
            module_id: wanted.module.clone(),
            policy: wanted.policy.clone(),
            surface: self.surface(scope, wanted.environment, target).await?,
        })
    }

    async fn surface(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        target: SurfaceKind,
    ) -> Result<HostedSurface, ScalingError> {
        self.environments.host_on(scope, environment, target).await.map_err(|error| match error {
            AdmissionError::Refused(refusal) => CommandError::Refused(ScalingRefusal::NotHosted(refusal)),
            AdmissionError::NotFound => CommandError::NotFound { what: format!("environment {environment}") },
            AdmissionError::Load(error) => error.into(),
        })
    }

    fn reads_signals(&self) -> Result<(), ScalingError> {
        if !self.host.ports().scaling_signals.is_empty() {
            return Ok(());
        }
        let message =
            "this host reads nothing to scale by: choose a source with `RuntimeBuilder::scaling_signals`";
        Err(CommandError::Port(PortError::new(PortErrorKind::Unsupported, "scaling.apply", message)))
    }
}

async fn find(
    store: &dyn TenantStore,
    policy: ScalingPolicyId,
) -> Result<Loaded<ScalingPolicy>, ScalingError> {
    existing::find(store, policy.uuid(), &format!("scaling policy {policy}")).await
}

/// The policies of these modules that are not retired.
pub(crate) type Owners = BTreeMap<ModuleId, ScalingPolicyId>;
