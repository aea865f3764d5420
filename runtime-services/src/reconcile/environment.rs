//! Provisions environments and takes them down, through the infrastructure engine.

use async_trait::async_trait;
use runtime_domain::aggregate::Decision;
use runtime_domain::component::RevisionId;
use runtime_domain::environment::{
    EnvironmentCommand, EnvironmentEvent, ProvisioningStatus, QuotaCommand, RuntimeEnvironment,
};
use runtime_domain::id::AggregateKind;
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::EffectId;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::store::{CommitError, Lease, LeaseTopic, Loaded, Repository, TenantStore};
use runtime_ports::surface::EffectContext;
use runtime_ports::{PortError, PortErrorKind, Retry};

use crate::deployments::DeploymentService;
use crate::host::Host;
use crate::insist::{Insisted, Wish};
use crate::observed::decided;
use crate::relocation;
use crate::secrets::SecretService;
use crate::tenancy::{TenancyError, TenancyService};
use crate::unit::{Grounds, commit};
use crate::worker::{PassError, Passed, Task};

/// How long to wait before what failed and may succeed is tried again.
const TRY_AGAIN: Span = Span::from_secs(5);

/// The two effects on an environment as a whole. Each is one intention, however often it is tried: what it brings about is what should be.
const UP: u32 = 1;
const DESTROY: u32 = 2;

/// An effect on an environment: identified by it and by what is done, fenced by the lease.
fn effect(lease: &Lease, environment: &RuntimeEnvironment, ordinal: u32) -> EffectContext {
    EffectContext { effect: EffectId::of(environment.id(), ordinal), fence: lease.token }
}

/// A refused or failed command with its causes, for people.
fn told(error: &TenancyError) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(cause) => format!("the tenant could not be released: {cause}; to go on: {}", error.remedy()),
        None => format!("the tenant could not be released: {error}"),
    }
}

/// Provisions and decommissions.
pub(crate) struct EnvironmentReconciler {
    host: Host,
    deployments: DeploymentService,
    tenancy: TenancyService,
    secrets: SecretService,
}

impl EnvironmentReconciler {
    pub(crate) fn new(
        host: Host,
        deployments: DeploymentService,
        tenancy: TenancyService,
        secrets: SecretService,
    ) -> Self {
        Self { host, deployments, tenancy, secrets }
    }

    async fn provision(&self, lease: &Lease, environment: &RuntimeEnvironment) -> EnvironmentCommand {
        let blueprint = environment.blueprint();
        let context = effect(lease, environment, UP);
        let call = self.host.ports().infrastructure.up(context, &blueprint);
        match self.host.effect("infrastructure.up", context.effect, call).await {
            Ok(resources) => EnvironmentCommand::RecordProvisioned { resources },
            Err(error) => {
                let (reason, retry_at) = self.failure(&error);
                EnvironmentCommand::RecordProvisioningFailed { reason, retry_at }
            }
        }
    }

    /// Everything that runs goes first, then what it was given and who it ran for, then what it ran on. Each step may be done again. `None` where something still runs: it was told to
    /// go, and is looked for again.
    async fn take_down(
        &self,
        scope: &TenantScope,
        lease: &Lease,
        environment: &RuntimeEnvironment,
    ) -> Option<EnvironmentCommand> {
        let call = self.clear(scope, lease, environment);
        let failure = match self.host.limited("environment.clear", call).await {
            Ok(false) => return None,
            Ok(true) => match self.leave(scope, lease, environment).await {
                Ok(()) => return Some(EnvironmentCommand::RecordDecommissioned),
                Err(failure) => failure,
            },
            Err(error) => self.failure(&error),
        };
        let (reason, retry_at) = failure;
        let retry_at = retry_at.unwrap_or_else(|| self.later());
        Some(EnvironmentCommand::RecordDecommissioningFailed { reason, retry_at })
    }

    /// Unbinds the secrets, releases the tenant, and then destroys what the engine made.
    async fn leave(
        &self,
        scope: &TenantScope,
        lease: &Lease,
        environment: &RuntimeEnvironment,
    ) -> Result<(), (String, Option<Timestamp>)> {
        let reason = "its environment is being decommissioned";
        let unbound = self.secrets.unbind_all(scope, environment.id(), reason).await;
        unbound.map_err(|error| (format!("the secrets could not be unbound: {error}"), None))?;
        let released = self.tenancy.release_from(scope, environment.id(), reason).await;
        released.map_err(|error| (told(&error), None))?;
        let context = effect(lease, environment, DESTROY);
        let call = self.host.ports().infrastructure.destroy(context, scope.tenant(), environment.id());
        let destroyed = self.host.effect("infrastructure.destroy", context.effect, call).await;
        destroyed.map_err(|error| self.failure(&error))
    }

    /// Whether nothing runs any more. What does is told to go.
    async fn clear(
        &self,
        scope: &TenantScope,
        lease: &Lease,
        environment: &RuntimeEnvironment,
    ) -> Result<bool, PortError> {
        let id = environment.id();
        let missing = environment.compute_targets().iter().find(|it| self.host.surface(it.surface).is_none());
        if let Some(target) = missing {
            let message = format!(
                "this host has no surface of kind `{}`: what runs there cannot be taken down; give it one",
                target.surface
            );
            return Err(PortError::new(PortErrorKind::Unsupported, "environment.clear", message));
        }
        let mut is_empty = true;
        for surface in self.host.ports().surfaces.values() {
            for component in self.host.bounded("surface.list", surface.list(scope.tenant(), id)).await? {
                for revision in component.revisions.keys() {
                    is_empty = false;
                    let insisted =
                        Insisted { host: &self.host, surface: &**surface, key: &component.key, revision };
                    insisted.ask(Wish::Retired, self.retirement(lease, revision)).await?;
                }
            }
        }
        Ok(is_empty)
    }

    /// The effect by which a revision is retired, and another one, should somebody have brought it back. None is a deployment's own, which are
    /// counted from the first.
    fn retirement(&self, lease: &Lease, revision: &RevisionId) -> [EffectContext; 2] {
        let since = Span::between(Timestamp::UNIX_EPOCH, self.host.now()).as_millis();
        // The present in the lower bits, and above them one that no deployment counts to.
        let anew = u32::try_from(since & u64::from(u32::MAX >> 1)).unwrap_or(0) | (1 << 31);
        [u32::MAX, anew].map(|ordinal| EffectContext {
            effect: EffectId::of(revision.deployment, ordinal),
            fence: lease.token,
        })
    }

    fn failure(&self, error: &PortError) -> (String, Option<Timestamp>) {
        let retry_at = match error.retry() {
            Retry::Never => None,
            Retry::Later { after } => Some(after.unwrap_or(TRY_AGAIN).after(self.host.now())),
            Retry::OutcomeUnknown => Some(self.later()),
        };
        (super::in_words(error), retry_at)
    }

    fn later(&self) -> Timestamp {
        TRY_AGAIN.after(self.host.now())
    }

    /// Gives back what was reserved and not committed in time.
    async fn expire(
        &self,
        store: &dyn TenantStore,
        lease: &Lease,
        loaded: Loaded<RuntimeEnvironment>,
    ) -> Result<(), PassError> {
        let now = self.host.now();
        let decision = loaded.aggregate.decide_quota(&QuotaCommand::Tick, now).map_err(PassError::failed)?;
        let grounds = Grounds { lease: Some(lease), ..Grounds::default() };
        match commit(&self.host, store, Some(loaded), &decision, grounds, now).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(CommitError::LeaseLost { .. }) => Err(PassError::LeaseLost),
            Err(error) => Err(PassError::failed(error)),
        }
    }

    async fn record(
        &self,
        store: &dyn TenantStore,
        lease: &Lease,
        loaded: Loaded<RuntimeEnvironment>,
        command: &EnvironmentCommand,
    ) -> Result<bool, PassError> {
        let now = self.host.now();
        let decision: Decision<EnvironmentEvent> = match decided(|| loaded.aggregate.decide(command, now)) {
            Ok(decision) if decision.is_unchanged() => return Ok(false),
            Ok(decision) => decision,
            Err(refusal) => return Err(PassError::failed(refusal)),
        };
        let grounds = Grounds { lease: Some(lease), ..Grounds::default() };
        match commit(&self.host, store, Some(loaded), &decision, grounds, now).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(true),
            Err(CommitError::LeaseLost { .. }) => Err(PassError::LeaseLost),
            Err(error) => Err(PassError::failed(error)),
        }
    }
}

#[async_trait]
impl Task for EnvironmentReconciler {
    fn name(&self) -> &'static str {
        "environment"
    }

    fn topic(&self) -> LeaseTopic {
        LeaseTopic::Work
    }

    fn kinds(&self) -> &'static [AggregateKind] {
        &[AggregateKind::RuntimeEnvironment]
    }

    async fn pass(&self, lease: &Lease) -> Result<Passed, PassError> {
        let scope = super::scope_of(&self.host, "environment", lease).await?;
        let store = self.host.ports().store.for_tenant(&scope);
        loop {
            let loaded = Repository::<RuntimeEnvironment>::new(&*store).load(lease.key.id).await;
            let Some(loaded) = loaded.map_err(PassError::failed)? else { return Ok(Passed::AsStored) };
            let now = self.host.now();
            if loaded.aggregate.ledger().expires_at().is_some_and(|ended| ended <= now) {
                self.expire(&*store, lease, loaded).await?;
                continue;
            }
            let is_over = loaded.aggregate.ends_at().is_some_and(|ends| ends <= now);
            let stays = is_over
                && relocation::tenant_stays(&*store, loaded.aggregate.id())
                    .await
                    .map_err(PassError::failed)?;
            if is_over && !stays {
                self.record(&*store, lease, loaded, &EnvironmentCommand::Expire).await?;
                continue;
            }
            // A reservation may have woken it before the engine has anything to do.
            if loaded.aggregate.provisioning_due_at().is_none_or(|due| now < due) {
                // It ends when its tenant may go, which is nobody's event here.
                let again = Passed::Until { seen: loaded.revision, at: self.later() };
                return Ok(if stays { again } else { Passed::AsStored });
            }
            let command = match loaded.aggregate.provisioning_status() {
                ProvisioningStatus::Requested => EnvironmentCommand::RecordProvisioningStarted,
                ProvisioningStatus::ProvisioningFailed => EnvironmentCommand::RetryProvisioning,
                ProvisioningStatus::Provisioning => self.provision(lease, &loaded.aggregate).await,
                ProvisioningStatus::Decommissioning => {
                    let reason = "its environment is being decommissioned";
                    let aborted = self.deployments.abort_all(&scope, loaded.aggregate.id(), reason).await;
                    let in_flight = aborted.map_err(PassError::failed)?;
                    let command =
                        if in_flight { None } else { self.take_down(&scope, lease, &loaded.aggregate).await };
                    let Some(command) = command else {
                        let at = self.host.options().poll.after(self.host.now());
                        return Ok(Passed::Until { seen: loaded.revision, at });
                    };
                    command
                }
                // A change of what is provisioned waits to be applied.
                ProvisioningStatus::Provisioned => self.provision(lease, &loaded.aggregate).await,
                ProvisioningStatus::Decommissioned => return Ok(Passed::AsStored),
            };
            let failed = matches!(
                command,
                EnvironmentCommand::RecordProvisioningFailed { .. }
                    | EnvironmentCommand::RecordDecommissioningFailed { .. }
            );
            if !self.record(&*store, lease, loaded, &command).await? || failed {
                return Ok(Passed::AsStored);
            }
        }
    }
}
