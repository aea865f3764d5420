//! Secret bindings: what callers may ask.

pub(crate) mod vaults;

use std::collections::BTreeSet;
use std::sync::Arc;

use runtime_domain::aggregate::{Aggregate, EvidenceRef};
use runtime_domain::calendar::{Activity, BreakGlass};
use runtime_domain::component::{ComponentSpec, SecretVersionRef};
use runtime_domain::id::{AggregateKind, EnvironmentId, SecretBindingId};
use runtime_domain::scope::TenantScope;
use runtime_domain::secrets::{
    BindSecret, BoundSecret, DeliveredSecret, Delivery, ManagedIdentityRef, RotateSecret, RotationCause,
    RotationSchedule, SecretBinding, SecretCommand, SecretReference, SecretRefusal, SecretStatus, VaultKind,
};
use runtime_domain::value::ModuleId;
use runtime_ports::secret_store::{SecretAccess, SecretStore};
use runtime_ports::store::{
    HistoryEntry, LoadError, Loaded, Page, Query, Repository, SecretBindingRepository, TenantStore,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::context::Context;
use crate::environments::{AdmissionError, EnvironmentService};
use crate::error::{CommandError, Refused, sort};
use crate::existing::{self, TRIES};
use crate::host::Host;
use crate::observed::{self, decided};
use crate::request;
use crate::terms::Terms;
use crate::unit::{Done, Grounds, commit};

/// What goes wrong with a secret binding's command.
pub type SecretError = CommandError<SecretRefusal>;

/// Binds components to secrets in vaults, and has them rotated. No value passes through it.
#[derive(Debug, Clone)]
pub struct SecretService {
    host: Host,
    environments: EnvironmentService,
}

/// What a component is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSecretBinding {
    /// The environment.
    pub environment: EnvironmentId,
    /// The component.
    pub module: ModuleId,
    /// The secret and the version that is the current one.
    pub secret: SecretReference,
    /// As whom the component asks the vault.
    pub identity: ManagedIdentityRef,
    /// How it gets it, and by which name.
    pub delivery: Delivery,
    /// When it is rotated.
    pub rotation_schedule: RotationSchedule,
}

/// Why a caller asks for a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationRequest {
    /// Why, in a sentence that is kept.
    pub reason: String,
    /// Whether its value may be known to others: then the old version gets no grace.
    pub is_compromised: bool,
    /// Why it cannot wait until the environment's calendar opens.
    pub break_glass: Option<String>,
}

impl RotationRequest {
    /// A rotation that keeps to the calendar and gives the old version its grace.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_compromised: false, break_glass: None }
    }

    /// A rotation of a secret whose value may be known to others.
    pub fn compromised(reason: impl Into<String>) -> Self {
        Self { is_compromised: true, ..Self::because(reason) }
    }
}

impl SecretService {
    /// The service of a host. `environments` answers whether an environment hosts a binding, and whether it may be rotated now.
    pub fn new(host: Host, environments: EnvironmentService) -> Self {
        Self { host, environments }
    }

    /// The same for callers, who are refused where the host does not run this context.
    pub(crate) fn for_callers(&self) -> Self {
        Self { host: self.host.for_callers_of(Context::Secrets), ..self.clone() }
    }

    /// The same service, for commands on these terms.
    #[must_use]
    pub fn under(&self, terms: &Terms) -> Self {
        Self { host: self.host.under(terms), ..self.clone() }
    }

    /// Binds a component to a secret. It gets it with its next revision; what runs stays as it is. Asking again gives the binding that is
    /// there.
    ///
    /// # Errors
    /// The vault has no such version, or does not let the identity in; the host has no adapter for this kind of vault; the environment is
    /// not the tenant's; the component gets something else by this name.
    pub async fn bind(
        &self,
        scope: &TenantScope,
        wanted: NewSecretBinding,
    ) -> Result<Done<SecretBinding>, SecretError> {
        observed::command(&self.host, scope, "Bind", self.try_bind(scope, wanted)).await
    }

    async fn try_bind(
        &self,
        scope: &TenantScope,
        wanted: NewSecretBinding,
    ) -> Result<Done<SecretBinding>, SecretError> {
        let store = self.host.ports().store.for_tenant(scope);
        let id = SecretBindingId::from_uuid(self.host.new_id(AggregateKind::SecretBinding));
        for _ in 0..TRIES {
            if let Some(done) = request::repeated(&self.host, &*store, id.uuid()).await? {
                return Ok(done);
            }
            let environment = self
                .environments
                .host_of(scope, wanted.environment)
                .await
                .map_err(|error| admission(error, wanted.environment))?;
            let command = BindSecret {
                secret_binding_id: id,
                tenant_id: scope.tenant(),
                environment,
                module: wanted.module.clone(),
                secret: wanted.secret.clone(),
                identity: wanted.identity.clone(),
                delivery: wanted.delivery.clone(),
                rotation_schedule: wanted.rotation_schedule.clone(),
            };
            if let Some(found) = by_delivery(&*store, &wanted).await? {
                let decision = found.aggregate.bind_again(&command).map_err(CommandError::Refused)?;
                request::unchanged(&self.host, &*store).await?;
                return Ok(Done::of(found, &decision));
            }
            self.is_there(scope, &wanted).await?;
            let now = self.host.now();
            let decision = decided(|| SecretBinding::bind(&command, now)).map_err(CommandError::Refused)?;
            let grounds = Grounds::exactly(&[command.evidence()]).asked(&self.host);
            match commit::<SecretBinding>(&self.host, &*store, None, &decision, grounds, now).await {
                Ok(Some(bound)) => return Ok(Done::of(bound, &decision)),
                Ok(None) => {}
                Err(error) => match sort(error) {
                    // Bound in between, it is found by the next try.
                    Refused::Again | Refused::Claim(_) => {}
                    Refused::Stop(error) => return Err(CommandError::Port(error)),
                },
            }
        }
        Err(CommandError::Contended)
    }

    /// The vault lets the identity in, and has the version.
    async fn is_there(&self, scope: &TenantScope, wanted: &NewSecretBinding) -> PortResult<()> {
        let secret = wanted.secret.key_vault_ref();
        let vault = self.vault(secret.kind())?;
        let access = SecretAccess { tenant: scope.tenant(), identity: wanted.identity.clone() };
        let versions = self.host.bounded("secrets.versions", vault.versions(&access, secret)).await?;
        let is_there =
            versions.iter().any(|entry| entry.version == wanted.secret.version() && !entry.is_retired);
        if is_there {
            return Ok(());
        }
        let message = format!(
            "the vault has no valid version {} of {secret}: name one that it lists",
            wanted.secret.version()
        );
        Err(PortError::new(PortErrorKind::NotFound, "secrets.bind", message))
    }

    /// The adapter for a kind of vault.
    pub(crate) fn vault(&self, kind: VaultKind) -> PortResult<&Arc<dyn SecretStore>> {
        self.host.ports().secret_stores.get(&kind).ok_or_else(|| {
            let message = format!(
                "this host has no adapter for vaults of kind {kind:?}: choose one with `RuntimeBuilder::secret_store`"
            );
            PortError::new(PortErrorKind::Unsupported, "secrets.vault", message)
        })
    }

    /// Asks for a new version of the secret. The old one stays valid until every consumer was seen on the new one, and for its grace.
    ///
    /// # Errors
    /// It is suspended, unbound, or its last version is being retired; the calendar is closed to rotation and no glass is broken.
    pub async fn rotate(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
        request: RotationRequest,
    ) -> Result<Done<SecretBinding>, SecretError> {
        observed::command(&self.host, scope, "Rotate", self.try_rotate(scope, binding, request)).await
    }

    async fn try_rotate(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
        request: RotationRequest,
    ) -> Result<Done<SecretBinding>, SecretError> {
        let by = scope.actor().clone();
        let reason = request.reason;
        let cause = if request.is_compromised {
            RotationCause::Compromised { by: by.clone(), reason }
        } else {
            RotationCause::OnDemand { by: by.clone(), reason }
        };
        let glass = request.break_glass.map(|reason| BreakGlass { by, reason });
        let store = self.host.ports().store.for_tenant(scope);
        let what = format!("secret binding {binding}");
        for _ in 0..TRIES {
            if let Some(done) = request::repeated(&self.host, &*store, binding.uuid()).await? {
                return Ok(done);
            }
            let found: Loaded<SecretBinding> = existing::find(&*store, binding.uuid(), &what).await?;
            self.host.terms().admit(found.revision)?;
            let environment = found.aggregate.environment_id();
            let cleared =
                self.environments.clear(scope, environment, Activity::Rotation, glass.clone()).await;
            let clearance = cleared.map_err(|error| admission(error, environment))?;
            let command = SecretCommand::RotateSecret(RotateSecret { cause: cause.clone(), clearance });
            let now = self.host.now();
            let decision =
                decided(|| found.aggregate.decide(&command, now)).map_err(CommandError::Refused)?;
            let facts: Vec<EvidenceRef> = command.evidence().into_iter().collect();
            if decision.is_unchanged() {
                request::unchanged(&self.host, &*store).await?;
            }
            let grounds = Grounds::exactly(&facts).asked(&self.host);
            match commit(&self.host, &*store, Some(found), &decision, grounds, now).await {
                Ok(Some(after)) => return Ok(Done::of(after, &decision)),
                Ok(None) => {}
                Err(error) => match sort(error) {
                    Refused::Again | Refused::Claim(_) => {}
                    Refused::Stop(error) => return Err(CommandError::Port(error)),
                },
            }
        }
        Err(CommandError::Contended)
    }

    /// Rotates at other times, or with another grace.
    ///
    /// # Errors
    /// It is not there, or was unbound.
    pub async fn change_schedule(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
        rotation_schedule: RotationSchedule,
    ) -> Result<Done<SecretBinding>, SecretError> {
        self.command(scope, binding, &SecretCommand::ChangeSchedule { rotation_schedule }).await
    }

    /// Calls a rotation off: the old version stays the current one, and consumers go back to it. The new one is retired once nobody uses it.
    ///
    /// # Errors
    /// Its grace has begun: every consumer is on the new version. No reason is given.
    pub async fn abort(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
        reason: String,
    ) -> Result<Done<SecretBinding>, SecretError> {
        let command = SecretCommand::AbortRotation { by: scope.actor().clone(), reason };
        self.command(scope, binding, &command).await
    }

    /// Rotates it no more until it is resumed.
    ///
    /// # Errors
    /// A new version is under way to its consumers. No reason is given.
    pub async fn suspend(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
        reason: String,
    ) -> Result<Done<SecretBinding>, SecretError> {
        let command = SecretCommand::SuspendRotation { by: scope.actor().clone(), reason };
        self.command(scope, binding, &command).await
    }

    /// Rotates it again, with a fresh budget.
    ///
    /// # Errors
    /// It is not there, or was unbound.
    pub async fn resume(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
    ) -> Result<Done<SecretBinding>, SecretError> {
        let command = SecretCommand::ResumeRotation { by: scope.actor().clone() };
        self.command(scope, binding, &command).await
    }

    /// Gives the component the secret no longer, from its next revision on. Nothing is retired in the vault.
    ///
    /// # Errors
    /// It is not there. No reason is given.
    pub async fn unbind(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
        reason: String,
    ) -> Result<Done<SecretBinding>, SecretError> {
        self.command(scope, binding, &SecretCommand::Unbind { reason }).await
    }

    /// Unbinds all that is bound in an environment. What is unbound already stays so.
    pub(crate) async fn unbind_all(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        reason: &str,
    ) -> Result<(), SecretError> {
        let store = self.host.ports().store.for_tenant(scope);
        let query = Query::all(SecretBinding::KIND)
            .in_environment(environment)
            .with_status(&LIVE.map(SecretStatus::name));
        for bound in Repository::<SecretBinding>::new(&*store).every(query).await? {
            self.unbind(scope, bound.aggregate.id(), reason.to_owned()).await?;
        }
        Ok(())
    }

    /// One binding.
    ///
    /// # Errors
    /// This tenant has none by that identifier.
    pub async fn binding(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
    ) -> Result<SecretBinding, SecretError> {
        let store = self.host.ports().store.for_tenant(scope);
        let what = format!("secret binding {binding}");
        let found: Loaded<SecretBinding> = existing::find(&*store, binding.uuid(), &what).await?;
        Ok(found.aggregate)
    }

    /// One binding, and where it stands in the store.
    ///
    /// # Errors
    /// As [`SecretService::binding`].
    pub async fn stored(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
    ) -> Result<Loaded<SecretBinding>, SecretError> {
        let store = self.host.ports().store.for_tenant(scope);
        existing::find(&*store, binding.uuid(), &format!("secret binding {binding}")).await
    }

    /// A page of the tenant's bindings. The query's kind is set here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn bindings(
        &self,
        scope: &TenantScope,
        query: Query,
    ) -> Result<Page<Loaded<SecretBinding>>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Repository::<SecretBinding>::new(&*store).query(query).await
    }

    /// What happened to a binding after entry `after`, oldest first, at most `limit` entries.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Ok(store.history(&Repository::<SecretBinding>::key(binding.uuid()), after, limit).await?)
    }

    /// Proof that a secret is bound, so that a configuration may refer to it (CFG-2).
    ///
    /// # Errors
    /// It is not there, or was unbound.
    pub async fn prove(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
    ) -> Result<BoundSecret, SecretError> {
        let store = self.host.ports().store.for_tenant(scope);
        let what = format!("secret binding {binding}");
        let found: Loaded<SecretBinding> = existing::find(&*store, binding.uuid(), &what).await?;
        found.aggregate.prove(found.revision).map_err(CommandError::Refused)
    }

    /// The secret versions that a component which starts now must be given, for its release tuple, and the facts that this rests on.
    pub(crate) async fn versions_of(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<(BTreeSet<SecretVersionRef>, Vec<EvidenceRef>), LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let mut versions = BTreeSet::new();
        let mut facts = Vec::new();
        for bound in bound_to(&*store, environment, module).await? {
            versions.extend(bound.aggregate.version_to_deliver());
            facts.push(EvidenceRef {
                kind: SecretBinding::KIND,
                id: bound.aggregate.uuid(),
                revision: bound.revision,
            });
        }
        Ok((versions, facts))
    }

    /// What a revision is given of the secrets that its release tuple names. One that was unbound since is no longer given.
    pub(crate) async fn delivered(
        &self,
        scope: &TenantScope,
        component: &ComponentSpec,
    ) -> Result<BTreeSet<DeliveredSecret>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let mut delivered = BTreeSet::new();
        for named in &component.tuple.secrets {
            let found = SecretBindingRepository::new(&*store).load(named.binding.uuid()).await?;
            delivered.extend(found.and_then(|found| found.aggregate.delivered(named.version)));
        }
        Ok(delivered)
    }

    async fn command(
        &self,
        scope: &TenantScope,
        binding: SecretBindingId,
        command: &SecretCommand,
    ) -> Result<Done<SecretBinding>, SecretError> {
        let what = format!("secret binding {binding}");
        let decide = |found: &SecretBinding, now| found.decide(command, now);
        existing::command(&self.host, scope, command.name(), binding.uuid(), &what, decide).await
    }
}

/// Every status but that of what was unbound.
const LIVE: [SecretStatus; 7] = [
    SecretStatus::Bound,
    SecretStatus::Requested,
    SecretStatus::RotationFailed,
    SecretStatus::Distributing,
    SecretStatus::Grace,
    SecretStatus::Retiring,
    SecretStatus::Suspended,
];

/// The bindings of a component that were not unbound.
async fn bound_to(
    store: &dyn TenantStore,
    environment: EnvironmentId,
    module: &ModuleId,
) -> Result<Vec<Loaded<SecretBinding>>, LoadError> {
    let query = Query::all(SecretBinding::KIND)
        .in_environment(environment)
        .about(module.clone())
        .with_status(&LIVE.map(SecretStatus::name));
    SecretBindingRepository::new(store).every(query).await
}

async fn by_delivery(
    store: &dyn TenantStore,
    wanted: &NewSecretBinding,
) -> Result<Option<Loaded<SecretBinding>>, LoadError> {
    let bound = bound_to(store, wanted.environment, &wanted.module).await?;
    Ok(bound.into_iter().find(|bound| *bound.aggregate.delivery() == wanted.delivery))
}

/// Whether another binding of the tenant uses a version still: then it is that one's to retire.
pub(crate) async fn is_used_elsewhere(
    store: &dyn TenantStore,
    binding: &SecretBinding,
    version: runtime_domain::secrets::SecretVersion,
) -> Result<bool, LoadError> {
    let query = Query::all(SecretBinding::KIND).with_status(&LIVE.map(SecretStatus::name)).limited_to(1_000);
    let others = SecretBindingRepository::new(store).every(query).await?;
    Ok(others.iter().map(|other| &other.aggregate).any(|other| {
        other.id() != binding.id()
            && other.key_vault_ref() == binding.key_vault_ref()
            && (other.current_version() == version || other.new_version() == Some(version))
    }))
}

fn admission(error: AdmissionError, environment: EnvironmentId) -> SecretError {
    match error {
        AdmissionError::Refused(refusal) => CommandError::Refused(SecretRefusal::Environment(refusal)),
        AdmissionError::NotFound => CommandError::NotFound { what: format!("environment {environment}") },
        AdmissionError::Load(error) => error.into(),
    }
}
