//! Carries rotations out: a new version in the vault, brought to every consumer through the rollout engine, the old one retired once it
//! was seen that nobody uses it.
//!
//! Each pass does one thing to the world at a time, under the lease's token. Making a version is repeated under the rotation's own
//! identifier, so that a host which died after it was made is continued and makes none; what an earlier rotation left behind is retired first.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::aggregate::EvidenceRef;
use runtime_domain::bug;
use runtime_domain::calendar::{Activity, CalendarRefusal};
use runtime_domain::environment::EnvironmentRefusal;
use runtime_domain::id::AggregateKind;
use runtime_domain::scope::{Actor, TenantScope};
use runtime_domain::secrets::{
    Consumption, Distributing, Grace, Requested, Retiring, RotateSecret, RotationCause, RotationOutcome,
    SecretBinding, SecretCommand, SecretReference, SecretState, SecretVersion,
};
use runtime_domain::surface::ComponentKey;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::secret_store::{RotationId, SecretAccess, SecretStore, VaultContext};
use runtime_ports::store::{CommitError, Lease, LeaseTopic, Loaded, Repository, TenantStore};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::deployments::{Brought, DeploymentService};
use crate::environments::{AdmissionError, EnvironmentService};
use crate::host::Host;
use crate::observed::decided;
use crate::relay::circuit::Pass;
use crate::secrets::vaults::{Vault, Vaults, fault_of};
use crate::secrets::{SecretService, is_used_elsewhere};
use crate::unit::{Grounds, commit};
use crate::worker::{PassError, Passed, Task};

mod consumers;
#[cfg(test)]
mod tests;

/// How many steps one pass does at the most before others have their turn.
const ROUNDS: usize = 32;
/// How long what needs something else of the environment waits before it is asked again.
const ENVIRONMENT_AGAIN: Span = Span::from_secs(60);

/// Carries rotations out.
pub(crate) struct SecretReconciler {
    host: Host,
    secrets: SecretService,
    deployments: DeploymentService,
    environments: EnvironmentService,
    vaults: Vaults,
}

impl SecretReconciler {
    pub(crate) fn new(
        host: Host,
        secrets: SecretService,
        deployments: DeploymentService,
        environments: EnvironmentService,
    ) -> Self {
        Self { host, secrets, deployments, environments, vaults: Vaults::default() }
    }
}

#[async_trait]
impl Task for SecretReconciler {
    fn name(&self) -> &'static str {
        "secrets"
    }

    fn topic(&self) -> LeaseTopic {
        LeaseTopic::Work
    }

    fn kinds(&self) -> &'static [AggregateKind] {
        &[AggregateKind::SecretBinding]
    }

    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError> {
        let scope = super::scope_of(&self.host, "secrets", lease).await?;
        let store = self.host.ports().store.for_tenant(&scope);
        for _ in 0..ROUNDS {
            let loaded = Repository::<SecretBinding>::new(&*store).load(lease.key.id).await;
            let Some(loaded) = loaded.map_err(PassError::failed)? else { return Ok(Passed::AsStored) };
            let seen = loaded.revision;
            let work = Work { of: self, store: &*store, scope: &scope, lease, binding: &loaded.aggregate };
            let step = work.step().await?;
            match step {
                Step::Wait(at) => return Ok(Passed::Until { seen, at }),
                Step::Rest => return Ok(Passed::AsStored),
                Step::Record(command, facts) => {
                    let command = *command;
                    if !self.record(&*store, lease, loaded, &command, &facts).await? {
                        return Ok(Passed::Until { seen, at: self.soon() });
                    }
                }
            }
        }
        Ok(Passed::AsStored)
    }
}

impl SecretReconciler {
    fn soon(&self) -> Timestamp {
        self.host.options().poll.after(self.host.now())
    }

    /// Decides and commits. Answers whether anything has changed, by this or by others.
    async fn record(
        &self,
        store: &dyn TenantStore,
        lease: &Lease,
        loaded: Loaded<SecretBinding>,
        command: &SecretCommand,
        facts: &[EvidenceRef],
    ) -> Result<bool, PassError> {
        let now = self.host.now();
        let decision = match decided(|| loaded.aggregate.decide(command, now)) {
            Ok(decision) if decision.is_unchanged() => return Ok(false),
            Ok(decision) => decision,
            Err(refusal) => return Err(PassError::failed(refusal)),
        };
        let grounds = Grounds { lease: Some(lease), ..Grounds::exactly(facts) };
        match commit(&self.host, store, Some(loaded), &decision, grounds, now).await {
            Ok(_) | Err(CommitError::Conflict { .. } | CommitError::EvidenceStale { .. }) => Ok(true),
            Err(CommitError::LeaseLost { .. }) => Err(PassError::LeaseLost),
            Err(error) => Err(PassError::failed(error)),
        }
    }
}

/// What follows from a look at a binding.
enum Step {
    /// This is to be recorded, on these facts.
    Record(Box<SecretCommand>, Vec<EvidenceRef>),
    /// Nothing more can be done before then.
    Wait(Timestamp),
    /// It says itself when it is due.
    Rest,
}

impl Step {
    fn record(command: SecretCommand) -> Self {
        Self::Record(Box::new(command), Vec::new())
    }
}

/// One binding that is worked on.
struct Work<'w> {
    of: &'w SecretReconciler,
    store: &'w dyn TenantStore,
    scope: &'w TenantScope,
    lease: &'w Lease,
    binding: &'w SecretBinding,
}

impl Work<'_> {
    async fn step(&self) -> Result<Step, PassError> {
        let now = self.of.host.now();
        match self.binding.state() {
            SecretState::Bound(state) if state.next_rotation_at.is_some_and(|due| due <= now) => {
                self.rotate().await
            }
            SecretState::Requested(state) => self.create(state).await,
            SecretState::RotationFailed(state) if state.retry_at <= now => {
                Ok(Step::record(SecretCommand::Tick))
            }
            SecretState::Distributing(state) => self.distribute(state).await,
            SecretState::Grace(state) if state.until <= now => self.end_grace(state).await,
            SecretState::Retiring(state) if state.retry_at <= now => self.retire(state).await,
            SecretState::Bound(_)
            | SecretState::RotationFailed(_)
            | SecretState::Grace(_)
            | SecretState::Retiring(_)
            | SecretState::Suspended(_)
            | SecretState::Unbound(_) => Ok(Step::Rest),
        }
    }

    /// Its schedule says so; the calendar must let it.
    async fn rotate(&self) -> Result<Step, PassError> {
        let environment = self.binding.environment_id();
        match self.of.environments.clear(self.scope, environment, Activity::Rotation, None).await {
            Ok(clearance) => {
                let command = RotateSecret { cause: RotationCause::Scheduled, clearance };
                let command = SecretCommand::RotateSecret(command);
                let facts = command.evidence().into_iter().collect();
                Ok(Step::Record(Box::new(command), facts))
            }
            Err(AdmissionError::Load(error)) => Err(PassError::failed(error)),
            Err(AdmissionError::NotFound) => Ok(Step::Wait(self.later(ENVIRONMENT_AGAIN))),
            Err(AdmissionError::Refused(refusal)) => {
                let opens_at = match &refusal {
                    EnvironmentRefusal::Calendar(CalendarRefusal::Closed { opens_at, .. }) => *opens_at,
                    _ => None,
                };
                tracing::info!(binding = %self.binding.id(), %refusal, "a scheduled rotation waits");
                Ok(Step::Wait(opens_at.unwrap_or_else(|| self.later(ENVIRONMENT_AGAIN))))
            }
        }
    }

    fn later(&self, span: Span) -> Timestamp {
        span.after(self.of.host.now())
    }

    fn access(&self) -> SecretAccess {
        SecretAccess { tenant: self.scope.tenant(), identity: self.binding.identity().clone() }
    }

    fn context(&self, requested_at: Timestamp) -> VaultContext {
        let (binding, previous) = (self.binding.id(), self.binding.current_version());
        VaultContext { rotation: RotationId { binding, previous, requested_at }, fence: self.lease.token }
    }

    /// The vault makes the new version, unless it did before.
    async fn create(&self, state: &Requested) -> Result<Step, PassError> {
        let is_forgotten = bug!("killed-create-makes-a-second");
        let context =
            self.context(if is_forgotten { self.of.host.now() } else { state.rotation.requested_at });
        let call = match self.call(state.failures) {
            Ok(call) => call,
            Err(step) => return Ok(step),
        };
        let created = async {
            self.retire_leftovers(&**call.vault, context).await?;
            call.vault.create_version(context, &self.access(), self.binding.key_vault_ref()).await
        };
        let created = self.of.host.effect("secrets.create_version", context.rotation, created).await;
        self.answered(&call, created.map(|version| SecretCommand::RecordNewVersion { version }))
    }

    /// A rotation that was called off or set aside may have had its version made, and its host died before it knew.
    async fn retire_leftovers(&self, vault: &dyn SecretStore, context: VaultContext) -> PortResult<()> {
        let (access, secret) = (self.access(), self.binding.key_vault_ref());
        let current = self.binding.current_version();
        for entry in vault.versions(&access, secret).await? {
            let is_own = entry.made_for.is_some_and(|made_for| {
                made_for.binding == self.binding.id() && made_for != context.rotation
            });
            if !is_own || entry.is_retired || entry.version == current {
                continue;
            }
            let elsewhere = is_used_elsewhere(self.store, self.binding, entry.version).await;
            if elsewhere.map_err(|error| {
                let message = "the tenant's secret bindings could not be loaded";
                PortError::new(PortErrorKind::Unavailable, "secrets.leftovers", message).caused_by(error)
            })? {
                continue;
            }
            let leftover = reference(secret.clone(), entry.version)?;
            tracing::info!(binding = %self.binding.id(), version = %entry.version, "a version that nobody uses is retired");
            vault.retire_version(context, &access, &leftover).await?;
        }
        Ok(())
    }

    /// The new version is brought to every consumer by a rollout, until every one was seen on it.
    async fn distribute(&self, state: &Distributing) -> Result<Step, PassError> {
        let looked = self.look(state.version).await;
        if let Some(seen) = &looked
            && seen.consumption.is_all_on(state.version)
            && !seen.waits_for_a_rollout
        {
            return Ok(seen.step());
        }
        let longest = self.of.host.options().rotation_deadline;
        if longest.after(state.since) <= self.of.host.now() {
            let version = state.version;
            let reason = format!("not every consumer was seen on version {version} within {longest}");
            tracing::warn!(binding = %self.binding.id(), reason, "a rotation is called off");
            let by = Actor::reconciler("secrets");
            return Ok(Step::record(SecretCommand::AbortRotation { by, reason }));
        }
        match looked {
            Some(seen)
                if !seen.waits_for_a_rollout && state.consumption.as_ref() != Some(&seen.consumption) =>
            {
                Ok(seen.step())
            }
            Some(_) => self.bring(state.version).await,
            None => Ok(Step::Wait(self.of.soon())),
        }
    }

    /// A rollout that changes nothing but the versions of the component's secrets.
    async fn bring(&self, version: SecretVersion) -> Result<Step, PassError> {
        let (environment, module) = (self.binding.environment_id(), self.binding.module());
        let named = runtime_domain::component::SecretVersionRef { binding: self.binding.id(), version };
        let brought = self.of.deployments.bring_secrets(self.scope, environment, module, &named).await;
        Ok(Step::Wait(match brought {
            Ok(Brought::UnderWay) => self.of.soon(),
            Ok(Brought::NotBefore(at)) => at.max(self.of.soon()),
            Err(error) => {
                tracing::warn!(binding = %self.binding.id(), %error, "a new version is not brought yet");
                self.later(self.of.host.options().idle)
            }
        }))
    }

    async fn end_grace(&self, state: &Grace) -> Result<Step, PassError> {
        match self.look(state.version).await {
            Some(seen) if seen.waits_for_a_rollout => self.bring(state.version).await,
            Some(seen) => Ok(seen.step()),
            None => Ok(Step::Wait(self.of.soon())),
        }
    }

    /// A version is retired once it was seen that nobody is on it.
    async fn retire(&self, state: &Retiring) -> Result<Step, PassError> {
        let Some(seen) = self.look(self.binding.current_version()).await else {
            return Ok(Step::Wait(self.of.soon()));
        };
        // What cannot be told is taken for the version before: a version that was called off was the later one.
        let was_called_off =
            self.binding.rotations().last().is_some_and(|past| past.outcome == RotationOutcome::Aborted);
        let is_on_it =
            |on: &Option<SecretVersion>| *on == Some(state.version) || (on.is_none() && !was_called_off);
        let is_used = match &seen.consumption {
            Consumption::Nobody => seen.waits_for_a_rollout,
            Consumption::Instances(instances) => instances.values().any(is_on_it),
        };
        if is_used {
            return self.bring(self.binding.current_version()).await;
        }
        let elsewhere = is_used_elsewhere(self.store, self.binding, state.version);
        if elsewhere.await.map_err(PassError::failed)? {
            let version = state.version;
            tracing::info!(binding = %self.binding.id(), %version, "another binding uses the version: it will retire it");
            return Ok(Step::record(SecretCommand::RecordRetired { version }));
        }
        let context =
            self.context(self.binding.rotations().last().map_or(state.retry_at, |past| past.requested_at));
        let call = match self.call(state.failures) {
            Ok(call) => call,
            Err(step) => return Ok(step),
        };
        let retired = async {
            let secret = reference(self.binding.key_vault_ref().clone(), state.version)?;
            call.vault.retire_version(context, &self.access(), &secret).await
        };
        let retired = self.of.host.effect("secrets.retire_version", context.rotation, retired).await;
        self.answered(&call, retired.map(|()| SecretCommand::RecordRetired { version: state.version }))
    }

    /// The binding's vault, as far as its circuit and its budget let it be asked now.
    fn call(&self, failures: u32) -> Result<Call<'_>, Step> {
        let secret = self.binding.key_vault_ref();
        let vault = match self.of.secrets.vault(secret.kind()) {
            Ok(vault) => vault,
            Err(error) => {
                let (fault, retry_after) = fault_of(&error);
                tracing::warn!(binding = %self.binding.id(), %error, "a vault cannot be asked");
                return Err(Step::record(SecretCommand::RecordVaultFailure { fault, retry_after }));
            }
        };
        let guard = self.of.vaults.of(secret);
        match guard.admit(failures, self.of.host.now()) {
            Ok(pass) => Ok(Call { vault, guard, pass }),
            Err(at) => Err(Step::Wait(at)),
        }
    }

    fn answered(&self, call: &Call<'_>, answer: PortResult<SecretCommand>) -> Result<Step, PassError> {
        match answer {
            Ok(command) => {
                call.guard.succeeded();
                Ok(Step::record(command))
            }
            Err(error) if error.kind() == PortErrorKind::Fenced => {
                call.guard.succeeded();
                Err(PassError::LeaseLost)
            }
            Err(error) => Ok(Step::record(self.failure(&call.guard, call.pass, &error))),
        }
    }

    fn failure(&self, guard: &Vault, pass: Pass, error: &PortError) -> SecretCommand {
        let (fault, retry_after) = fault_of(error);
        let seed = self.lease.token.0;
        guard.failed(pass, fault, self.of.host.now(), retry_after, seed);
        // The vault's own words stay out: they are known to repeat credentials.
        tracing::warn!(binding = %self.binding.id(), %fault, "a vault did not do what it was asked");
        SecretCommand::RecordVaultFailure { fault, retry_after }
    }

    fn key(&self) -> ComponentKey {
        ComponentKey {
            tenant: self.scope.tenant(),
            environment: self.binding.environment_id(),
            module: self.binding.module().clone(),
        }
    }
}

/// The right to ask a vault once.
struct Call<'c> {
    vault: &'c Arc<dyn SecretStore>,
    guard: Arc<Vault>,
    pass: Pass,
}

fn reference(
    secret: runtime_domain::secrets::KeyVaultReference,
    version: SecretVersion,
) -> PortResult<SecretReference> {
    SecretReference::new(secret, version).map_err(|error| {
        PortError::new(
            PortErrorKind::Internal,
            "secrets.reference",
            "the vault lists a version that it does not give",
        )
        .caused_by(error)
    })
}
