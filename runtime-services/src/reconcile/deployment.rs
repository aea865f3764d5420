//! Carries rollouts out: asks the deployment what is next, does it, and records how it went.

use async_trait::async_trait;
use runtime_domain::bug;
use runtime_domain::component::RevisionId;
use runtime_domain::deployment::{DeploymentCommand, EffectOutcome, JobReport, RuntimeDeployment};
use runtime_domain::id::AggregateKind;
use runtime_domain::metric::MetricQuery;
use runtime_domain::rollout::gate::ProbeResult;
use runtime_domain::rollout::{Action, Change, Effect, EffectChange, Look, Next};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{ComponentKey, ComponentObservation, InstanceState, RevisionSpec};
use runtime_domain::time::Span;
use runtime_domain::value::ModuleId;
use runtime_ports::job::{JobRequest, JobState};
use runtime_ports::prober::{ProbeAnswer, ProbeRequest};
use runtime_ports::store::{CommitError, Lease, LeaseTopic, Loaded, Repository, TenantStore};
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, Retry};

use crate::configuration::Versions;
use crate::host::Host;
use crate::observed::decided;
use crate::secrets::SecretService;
use crate::unit::{Grounds, commit};
use crate::worker::{PassError, Passed, Task};

/// How many rounds one pass does at the most before others have their turn.
const ROUNDS: usize = 64;

/// Carries rollouts out.
pub(crate) struct DeploymentReconciler {
    host: Host,
    secrets: SecretService,
}

impl DeploymentReconciler {
    pub(crate) fn new(host: Host, secrets: SecretService) -> Self {
        Self { host, secrets }
    }
}

#[async_trait]
impl Task for DeploymentReconciler {
    fn name(&self) -> &'static str {
        "deployment"
    }

    fn topic(&self) -> LeaseTopic {
        LeaseTopic::Work
    }

    fn kinds(&self) -> &'static [AggregateKind] {
        &[AggregateKind::RuntimeDeployment]
    }

    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError> {
        let scope = super::scope_of(&self.host, "deployment", lease).await?;
        let store = self.host.ports().store.for_tenant(&scope);
        for _ in 0..ROUNDS {
            let loaded = Repository::<RuntimeDeployment>::new(&*store).load(lease.key.id).await;
            let Some(loaded) = loaded.map_err(PassError::failed)? else { return Ok(Passed::AsStored) };
            let now = self.host.now();
            let seen = loaded.revision;
            let actions = match loaded.aggregate.next(now) {
                Next::Act(actions) => actions,
                Next::Wait(at) => return Ok(Passed::Until { seen, at }),
                Next::WaitForPeople => {
                    return Ok(Passed::Until { seen, at: Span::from_secs(3_600).after(now) });
                }
                Next::Done => return Ok(Passed::AsStored),
            };
            let mut round = Round {
                host: &self.host,
                secrets: &self.secrets,
                store: &*store,
                scope: &scope,
                lease,
                loaded,
                changed: false,
            };
            for action in &actions {
                round.carry_out(action).await?;
            }
            if !round.changed {
                let at = self.host.options().poll.after(self.host.now());
                return Ok(Passed::Until { seen: round.loaded.revision, at });
            }
        }
        Ok(Passed::AsStored)
    }
}

/// One round of actions on a deployment.
struct Round<'r> {
    host: &'r Host,
    secrets: &'r SecretService,
    store: &'r dyn TenantStore,
    scope: &'r TenantScope,
    lease: &'r Lease,
    loaded: Loaded<RuntimeDeployment>,
    changed: bool,
}

impl Round<'_> {
    async fn carry_out(&mut self, action: &Action) -> Result<(), PassError> {
        let command = match action {
            Action::Intend { track, job } => {
                Some(DeploymentCommand::RecordIntention { track: track.clone(), job: *job })
            }
            Action::Perform(effect) => {
                let outcome = self.perform(effect).await?;
                Some(DeploymentCommand::RecordOutcome { effect: effect.id, outcome })
            }
            Action::Look(look) => self.look(look).await,
            Action::Tick => Some(DeploymentCommand::Tick),
        };
        match command {
            Some(command) => self.record(&command).await,
            None => Ok(()),
        }
    }

    /// Decides and commits. Where someone else has changed the deployment, the rest of the round is decided against the newer state.
    async fn record(&mut self, command: &DeploymentCommand) -> Result<(), PassError> {
        for _ in 0..8 {
            let now = self.host.now();
            let decision = match decided(|| self.loaded.aggregate.decide(command, now)) {
                Ok(decision) if decision.is_unchanged() => return Ok(()),
                Ok(decision) => decision,
                Err(refusal) => return Err(PassError::failed(refusal)),
            };
            let grounds = Grounds { lease: Some(self.lease), ..Grounds::default() };
            match commit(self.host, self.store, Some(self.loaded.clone()), &decision, grounds, now).await {
                Ok(Some(loaded)) => {
                    for event in &decision.events {
                        use runtime_domain::aggregate::DomainEvent as _;
                        tracing::debug!(deployment = %self.loaded.aggregate.id(), event = event.name(), explanation = decision.explanation, "decided");
                    }
                    self.loaded = loaded;
                    self.changed = true;
                    return Ok(());
                }
                Ok(None) => return Ok(()),
                Err(CommitError::Conflict { .. } | CommitError::EvidenceStale { .. }) => {
                    self.reload().await?
                }
                Err(CommitError::LeaseLost { .. }) => return Err(PassError::LeaseLost),
                Err(error) => return Err(PassError::failed(error)),
            }
        }
        Ok(())
    }

    async fn reload(&mut self) -> Result<(), PassError> {
        let loaded = Repository::<RuntimeDeployment>::new(self.store).load(self.lease.key.id).await;
        if let Some(loaded) = loaded.map_err(PassError::failed)? {
            self.loaded = loaded;
            self.changed = true;
        }
        Ok(())
    }

    fn key(&self, module: &ModuleId) -> ComponentKey {
        ComponentKey {
            tenant: self.scope.tenant(),
            environment: self.loaded.aggregate.environment_id(),
            module: module.clone(),
        }
    }

    fn surface(&self, module: &ModuleId) -> Result<&dyn ComputeSurface, PortError> {
        let component = self.loaded.aggregate.release().components.get(module);
        let surface = component.and_then(|component| self.host.surface(component.surface));
        surface.map(|surface| &**surface).ok_or_else(|| {
            PortError::new(
                PortErrorKind::Unsupported,
                "reconcile.surface",
                format!("this host has no surface for component {module}: give the host its adapter"),
            )
        })
    }

    async fn perform(&self, effect: &Effect) -> Result<EffectOutcome, PassError> {
        let call = async {
            match (&effect.change, &effect.module) {
                (EffectChange::Job(job), _) => {
                    let works_for = match &job.component {
                        None => None,
                        Some(module) => {
                            let revision = RevisionId::new(module.clone(), self.loaded.aggregate.id());
                            Some(self.revision("reconcile.job", &revision).await?)
                        }
                    };
                    let request = JobRequest {
                        effect: effect.id,
                        fence: self.lease.token,
                        tenant: self.scope.tenant(),
                        environment: self.loaded.aggregate.environment_id(),
                        job: job.clone(),
                        works_for,
                    };
                    let call = self.host.ports().jobs.start(&request);
                    self.host.effect("jobs.start", effect.id, call).await
                }
                (EffectChange::Surface(change), Some(module)) => self.change(effect, module, change).await,
                (EffectChange::Surface(_), None) => Ok(()),
            }
        };
        match self.host.limited("reconcile.perform", call).await {
            Ok(()) => Ok(EffectOutcome::Done),
            Err(error) if error.kind() == PortErrorKind::Fenced => Err(PassError::LeaseLost),
            Err(error) => {
                tracing::warn!(effect = %effect.id, %error, "an effect was not accepted");
                let reason = super::in_words(&error);
                Ok(match error.retry() {
                    Retry::Never => EffectOutcome::Refused { reason },
                    Retry::Later { .. } => EffectOutcome::Deferred { reason },
                    Retry::OutcomeUnknown => EffectOutcome::Unknown { reason },
                })
            }
        }
    }

    async fn change(&self, effect: &Effect, module: &ModuleId, change: &Change) -> Result<(), PortError> {
        let surface = self.surface(module)?;
        let key = self.key(module);
        let context = EffectContext { effect: effect.id, fence: self.lease.token };
        match change {
            Change::Apply { revision, replicas } => {
                let spec = self.revision("reconcile.apply", revision).await?;
                self.host.effect("surface.apply", effect.id, surface.apply(context, &spec, *replicas)).await
            }
            Change::Scale { revision, replicas } => {
                let call = surface.scale(context, &key, revision, *replicas);
                self.host.effect("surface.scale", effect.id, call).await
            }
            Change::Shift { traffic } => {
                let call = surface.shift_traffic(context, &key, traffic);
                self.host.effect("surface.shift_traffic", effect.id, call).await
            }
            Change::Retire { revision } => {
                let call = surface.retire(context, &key, revision);
                self.host.effect("surface.retire", effect.id, call).await
            }
        }
    }

    /// A revision with all that it is given: what a release names, and the records and bindings that are named know.
    async fn revision(
        &self,
        operation: &'static str,
        revision: &RevisionId,
    ) -> Result<RevisionSpec, PortError> {
        let component = self.component(revision).ok_or_else(|| {
            let message = format!("{revision} is neither new nor what it goes back to");
            PortError::new(PortErrorKind::Internal, operation, message)
        })?;
        let key = self.key(&revision.module);
        let configuration = match &component.tuple.configuration {
            None => None,
            Some(named) => {
                let versions = Versions::new(self.store);
                Some(versions.delivered(self.scope, key.environment, named, &revision.module).await?)
            }
        };
        let secrets = self.secrets.delivered(self.scope, &component).await.map_err(|error| {
            let message = "the component's secret bindings could not be loaded";
            PortError::new(PortErrorKind::Unavailable, operation, message).caused_by(error)
        })?;
        Ok(RevisionSpec { key, revision: revision.clone(), component, configuration, secrets })
    }

    fn component(&self, revision: &RevisionId) -> Option<runtime_domain::component::ComponentSpec> {
        let deployment = &self.loaded.aggregate;
        if revision.deployment == deployment.id() {
            return deployment.release().components.get(&revision.module).cloned();
        }
        if bug!("stable-replaced-by-the-unpromoted") {
            return deployment.release().components.get(&revision.module).cloned();
        }
        let point = deployment.restore_points().get(&revision.module)?;
        (point.revision == *revision).then(|| point.component.clone())
    }

    /// What is seen; `None` where looking failed, which is no observation at all.
    async fn look(&self, look: &Look) -> Option<DeploymentCommand> {
        match look {
            Look::Component { module } => {
                let observation = self.observe(module).await?;
                Some(DeploymentCommand::RecordObservation { observation })
            }
            Look::Probe { gate, revision, through_endpoint, path, timeout } => {
                let targets = self.targets(revision, *through_endpoint).await?;
                let mut results = Vec::with_capacity(targets.len());
                for target in targets {
                    let request =
                        ProbeRequest { address: target.clone(), path: path.clone(), timeout: *timeout };
                    let answer = match self
                        .host
                        .bounded("prober.probe", self.host.ports().prober.probe(&request))
                        .await
                    {
                        Ok(ProbeAnswer::Answered { status, .. }) => Ok(status),
                        Ok(ProbeAnswer::Silent { reason }) => Err(reason),
                        Err(error) => Err(super::in_words(&error)),
                    };
                    results.push(ProbeResult { target, answer });
                }
                Some(DeploymentCommand::RecordProbes { gate: *gate, results })
            }
            Look::Metric { gate, revision, metric, since } => {
                let query = MetricQuery {
                    key: self.key(&revision.module),
                    revision: revision.clone(),
                    metric: metric.clone(),
                    since: *since,
                    until: self.host.now(),
                };
                let reading = self
                    .host
                    .bounded("metrics.read", self.host.ports().metrics.read(&query))
                    .await
                    .map_err(|error| super::in_words(&error));
                Some(DeploymentCommand::RecordReading { gate: *gate, reading })
            }
            Look::Job { gate, effect } => {
                let looked = self.host.ports().jobs.state(self.scope.tenant(), *effect);
                let state = self.host.bounded("jobs.state", looked).await;
                let report = match state {
                    Ok(JobState::Running) => JobReport::Running,
                    Ok(JobState::Succeeded) => JobReport::Succeeded,
                    Ok(JobState::Failed { detail }) => JobReport::Failed { detail },
                    Ok(JobState::Unknown { detail }) => JobReport::Unknown { detail },
                    Ok(JobState::Absent) => {
                        JobReport::Unknown { detail: "the job runner does not know it".to_owned() }
                    }
                    Err(error) => {
                        tracing::warn!(%effect, %error, "a job could not be looked at");
                        return None;
                    }
                };
                Some(DeploymentCommand::RecordJob { gate: *gate, report })
            }
        }
    }

    async fn observe(&self, module: &ModuleId) -> Option<ComponentObservation> {
        let seen = match self.surface(module) {
            Ok(surface) => self.host.bounded("surface.observe", surface.observe(&self.key(module))).await,
            Err(error) => Err(error),
        };
        seen.inspect_err(|error| tracing::warn!(%module, %error, "a component could not be looked at")).ok()
    }

    /// The addresses that a probe gate asks; an empty list is a round without an answer.
    async fn targets(&self, revision: &RevisionId, through_endpoint: bool) -> Option<Vec<String>> {
        let seen = self.observe(&revision.module).await?;
        if through_endpoint {
            let address =
                seen.endpoint.as_deref().map(|endpoint| endpoint.trim_start_matches("http://").to_owned());
            return Some(address.into_iter().collect());
        }
        let instances =
            seen.revisions.get(revision).map(|revision| revision.instances.as_slice()).unwrap_or_default();
        let ready = instances.iter().filter(|instance| instance.state == InstanceState::Ready);
        Some(ready.filter_map(|instance| instance.address.clone()).collect())
    }
}
