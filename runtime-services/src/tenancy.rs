//! Tenant bindings: what callers may ask.

mod settlement;
pub(crate) mod workloads;

use std::collections::BTreeMap;

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::claim::Claim;
use runtime_domain::environment::{IsolationModel, QuotaCommand, RuntimeEnvironment};
use runtime_domain::id::{AggregateKind, EnvironmentId, TenantBindingId};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::{
    BindTenant, BindingState, PartitionAssignment, ResourceQuota, RuntimeTenantBinding, TenancyCommand,
    TenancyRefusal, TenantPlace, WorkloadDemand,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::isolation::{Enforcement, IsolationAspect, ResourceUse};
use runtime_ports::store::{
    HistoryEntry, LoadError, Loaded, Page, Query, Repository, RuntimeTenantBindingRepository, TenantStore,
};

use crate::context::Context;
use crate::error::{CommandError, Refused, sort};
use crate::existing::{self, TRIES};
use crate::host::Host;
use crate::observed::{self, decided};
use crate::records::chosen;
use crate::request;
use crate::terms::Terms;
use crate::unit::{Done, Grounds, commit};

/// What goes wrong with a tenant binding's command.
pub type TenancyError = CommandError<TenancyRefusal>;

/// How long a quota is kept for a binding that is being made: long enough for four commits, and what a host that dies between them
/// withholds from others.
const RESERVED_FOR: Span = Span::from_secs(60);

/// Binds tenants to environments, and keeps what they may use within the environment's capacity (TEN-2).
#[derive(Debug, Clone)]
pub struct TenancyService {
    host: Host,
}

/// How a tenant is kept apart, as it is, and what it uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantIsolation {
    /// What it is promised.
    pub model: IsolationModel,
    /// How much it may use, while it has its place.
    pub quota: Option<ResourceQuota>,
    /// How much its workloads are charged: kept at admission, on every surface.
    pub charged: WorkloadDemand,
    /// What each surface keeps, and what runs on it uses.
    pub surfaces: BTreeMap<SurfaceKind, SurfaceIsolation>,
}

/// What one surface keeps of a tenant's isolation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurfaceIsolation {
    /// How far each aspect is kept.
    pub enforcement: BTreeMap<IsolationAspect, Enforcement>,
    /// What the tenant's workloads use now, as it is seen.
    pub used: ResourceUse,
}

/// What a tenant is to get in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBinding {
    /// The environment.
    pub environment: EnvironmentId,
    /// How the tenant is kept apart; it must be the environment's model.
    pub isolation_model: IsolationModel,
    /// How much it may use.
    pub quota: ResourceQuota,
    /// Its parts of the network and of the data.
    pub partitions: PartitionAssignment,
}

impl TenancyService {
    /// The service of a host.
    pub fn new(host: Host) -> Self {
        Self { host }
    }

    /// The same for callers, who are refused where the host does not run this context.
    pub(crate) fn for_callers(&self) -> Self {
        Self { host: self.host.for_callers_of(Context::Tenancy) }
    }

    /// The same service, for commands on these terms.
    #[must_use]
    pub fn under(&self, terms: &Terms) -> Self {
        Self { host: self.host.under(terms) }
    }

    /// Binds the caller's tenant to an environment. Asking again gives the binding that is there (TEN-3, X-3).
    ///
    /// The quota is reserved, claimed, committed and confirmed, each by a commit of its own. Where a host dies in between, asking again
    /// goes on, or a reconciler does; what was reserved and not claimed is free again after a minute.
    ///
    /// # Errors
    /// The isolation model is not the environment's, another tenant has the environment to itself (TEN-1), or there is no room (TEN-2).
    pub async fn bind(
        &self,
        scope: &TenantScope,
        wanted: NewBinding,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        observed::command(&self.host, scope, "Bind", self.try_bind(scope, wanted)).await
    }

    async fn try_bind(
        &self,
        scope: &TenantScope,
        wanted: NewBinding,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        let store = self.host.ports().store.for_tenant(scope);
        let place = TenantPlace {
            tenant_id: scope.tenant(),
            environment_id: wanted.environment,
            isolation_model: wanted.isolation_model,
            quota: wanted.quota,
            partitions: wanted.partitions,
        };
        let binding = TenantBindingId::from_uuid(self.host.new_id(AggregateKind::RuntimeTenantBinding));
        for _ in 0..TRIES {
            if let Some(done) = request::repeated(&self.host, &*store, binding.uuid()).await? {
                return Ok(done);
            }
            if let Some(found) = current(&*store, wanted.environment).await? {
                let decision = found.aggregate.bind_again(&place).map_err(CommandError::Refused)?;
                let was_pending = matches!(found.aggregate.state(), BindingState::Pending(_));
                if self.host.terms().preview {
                    return Ok(Done::of(found, &decision));
                }
                let settled = self.settled(scope, found.aggregate.id()).await?;
                bound(&settled)?;
                request::unchanged(&self.host, &*store).await?;
                return Ok(Done { changed: was_pending, ..Done::of(settled, &decision) });
            }
            let reserved = self.reserve(&*store, &place, binding).await?;
            let now = self.host.now();
            let command = BindTenant {
                tenant_binding_id: binding,
                place: place.clone(),
                environment: reserved.aggregate.host(reserved.revision).map_err(refused)?,
                reservation: reserved
                    .aggregate
                    .reservation(binding, reserved.revision, now)
                    .map_err(refused)?,
            };
            let decision =
                decided(|| RuntimeTenantBinding::bind(&command, now)).map_err(CommandError::Refused)?;
            let grounds = Grounds::exactly(&command.evidence()).asked(&self.host);
            match commit::<RuntimeTenantBinding>(&self.host, &*store, None, &decision, grounds, now).await {
                Ok(Some(after)) if self.host.terms().preview => return Ok(Done::of(after, &decision)),
                Ok(_) => {
                    let settled = self.settled(scope, binding).await?;
                    bound(&settled)?;
                    return Ok(Done::of(settled, &decision));
                }
                Err(error) => match sort(error) {
                    Refused::Again => {}
                    // The tenant was bound in between: the next try finds the binding.
                    Refused::Claim(claim)
                        if claim == Claim::tenant_binding(scope.tenant(), wanted.environment) => {}
                    Refused::Claim(_) => return Err(CommandError::Refused(TenancyRefusal::Occupied)),
                    Refused::Stop(error) => return Err(CommandError::Port(error)),
                },
            }
        }
        Err(CommandError::Contended)
    }

    /// The environment, with the quota reserved in its ledger.
    async fn reserve(
        &self,
        store: &dyn TenantStore,
        place: &TenantPlace,
        binding: TenantBindingId,
    ) -> Result<Loaded<RuntimeEnvironment>, TenancyError> {
        for _ in 0..TRIES {
            let environment = self.environment(store, place.environment_id).await?;
            let now = self.host.now();
            let command = QuotaCommand::ReserveQuota {
                binding,
                tenant: place.tenant_id,
                quota: place.quota,
                expires_at: RESERVED_FOR.after(now),
            };
            if let Some(after) = self.keep(store, environment, &command, now).await? {
                return Ok(after);
            }
        }
        Err(CommandError::Contended)
    }

    /// Changes how much the tenant may use. More is reserved, claimed, committed and confirmed as in [`TenancyService::bind`]; less is so
    /// at once.
    ///
    /// # Errors
    /// The binding is not there or was released, or there is no room (TEN-2).
    pub async fn adjust_quota(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        quota: ResourceQuota,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        observed::command(&self.host, scope, "AdjustQuota", self.try_adjust_quota(scope, binding, quota))
            .await
    }

    async fn try_adjust_quota(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        quota: ResourceQuota,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        let store = self.host.ports().store.for_tenant(scope);
        for _ in 0..TRIES {
            if let Some(done) = request::repeated(&self.host, &*store, binding.uuid()).await? {
                return Ok(done);
            }
            let found = self.settled(scope, binding).await?;
            self.host.terms().admit(found.revision)?;
            let is_more = found.aggregate.quota().is_some_and(|allocated| !allocated.covers(quota));
            let reservation = if is_more {
                let place = TenantPlace {
                    tenant_id: found.aggregate.tenant_id(),
                    environment_id: found.aggregate.environment_id(),
                    isolation_model: found.aggregate.isolation_model(),
                    quota,
                    partitions: found.aggregate.partitions().clone(),
                };
                let reserved = self.reserve(&*store, &place, binding).await?;
                let now = self.host.now();
                Some(reserved.aggregate.reservation(binding, reserved.revision, now).map_err(refused)?)
            } else {
                None
            };
            let command = TenancyCommand::AdjustQuota { quota, reservation };
            let now = self.host.now();
            let decision =
                decided(|| found.aggregate.decide(&command, now)).map_err(CommandError::Refused)?;
            if decision.is_unchanged() {
                request::unchanged(&self.host, &*store).await?;
            }
            if let Some(after) = self.note(&*store, found, &command, &decision, now).await? {
                if self.host.terms().preview {
                    return Ok(Done::of(after, &decision));
                }
                let settled = self.settled(scope, binding).await?;
                if settled.aggregate.quota() != Some(quota) {
                    return Err(CommandError::Contended);
                }
                return Ok(Done::of(settled, &decision));
            }
        }
        Err(CommandError::Contended)
    }

    /// Keeps new deployments out of a tenant's place. What runs there stays.
    ///
    /// # Errors
    /// The binding is not there, or the tenant has no place.
    pub async fn cordon(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        reason: String,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        self.command(scope, binding, &TenancyCommand::CordonTenant { reason }).await
    }

    /// Lets deployments into a tenant's place again.
    ///
    /// # Errors
    /// The binding is not there, or the tenant moves or has no place.
    pub async fn uncordon(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        self.command(scope, binding, &TenancyCommand::UncordonTenant).await
    }

    /// Keeps a binding from being released, or no longer.
    ///
    /// # Errors
    /// The binding is not there or was released.
    pub async fn protect(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        protected: bool,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        let command = if protected { TenancyCommand::ProtectFromRelease } else { TenancyCommand::Unprotect };
        self.command(scope, binding, &command).await
    }

    /// Moves a tenant from a pool or a shared environment into a silo of its own, under its clients' feet: the tenant is bound there with the
    /// same quota where it is not bound yet, and from then on a reconciler carries the move out (see [`crate::relocation`]). Asking again for
    /// the same move changes nothing.
    ///
    /// # Errors
    /// This host hands no endpoints over; the binding is not there, protected, cordoned or a silo's already; the target is not the tenant's
    /// own silo (TEN-1) or has no room (TEN-2).
    pub async fn move_to_silo(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        target: EnvironmentId,
        observe_for: Span,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        observed::command(
            &self.host,
            scope,
            "MoveToSilo",
            self.try_move_to_silo(scope, binding, target, observe_for),
        )
        .await
    }

    async fn try_move_to_silo(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        target: EnvironmentId,
        observe_for: Span,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        let handover = self.host.ports().tenancy.handover.values().next();
        chosen(handover, "tenancy.move", "endpoint_handover").map_err(CommandError::Port)?;
        let store = self.host.ports().store.for_tenant(scope);
        for _ in 0..TRIES {
            if let Some(done) = request::repeated(&self.host, &*store, binding.uuid()).await? {
                return Ok(done);
            }
            let found = self.settled(scope, binding).await?;
            self.host.terms().admit(found.revision)?;
            let place = match current(&*store, target).await? {
                Some(place) => place,
                None => {
                    let quota =
                        found.aggregate.quota().ok_or(CommandError::Refused(TenancyRefusal::NotBound {
                            environment: found.aggregate.environment_id(),
                        }))?;
                    let isolation_model = IsolationModel::Silo;
                    let partitions = PartitionAssignment::derived(scope.tenant(), target, isolation_model);
                    let wanted = NewBinding { environment: target, isolation_model, quota, partitions };
                    let beside = self.under(&self.host.terms().aside());
                    let bound = Box::pin(beside.bind(scope, wanted)).await?;
                    if self.host.terms().preview {
                        return Ok(Done {
                            explanation: format!("{}; then it moves there", bound.explanation),
                            aggregate: found.aggregate,
                            revision: found.revision,
                            changed: true,
                            repeated: false,
                        });
                    }
                    self.binding(&*store, bound.aggregate.id()).await?
                }
            };
            let proof = place.aggregate.prove(place.revision).map_err(CommandError::Refused)?;
            let command = TenancyCommand::BeginMove { target: proof, observe_for };
            let now = self.host.now();
            let decision =
                decided(|| found.aggregate.decide(&command, now)).map_err(CommandError::Refused)?;
            if decision.is_unchanged() {
                request::unchanged(&self.host, &*store).await?;
            }
            if let Some(after) = self.note(&*store, found, &command, &decision, now).await? {
                return Ok(Done::of(after, &decision));
            }
        }
        Err(CommandError::Contended)
    }

    /// Lets a tenant that moves stay where it was. What was made in the silo stays there; decommission it, or move again.
    ///
    /// # Errors
    /// The binding is not there, or what the tenant had is being removed.
    pub async fn abort_move(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        reason: String,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        self.command(scope, binding, &TenancyCommand::AbortMove { reason }).await
    }

    /// One binding.
    ///
    /// # Errors
    /// This tenant has none by that identifier.
    pub async fn tenant_binding(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
    ) -> Result<RuntimeTenantBinding, TenancyError> {
        let store = self.host.ports().store.for_tenant(scope);
        Ok(self.binding(&*store, binding).await?.aggregate)
    }

    /// One binding, and where it stands in the store.
    ///
    /// # Errors
    /// As [`TenancyService::tenant_binding`].
    pub async fn stored(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
    ) -> Result<Loaded<RuntimeTenantBinding>, TenancyError> {
        let store = self.host.ports().store.for_tenant(scope);
        self.binding(&*store, binding).await
    }

    /// A page of the tenant's bindings; [`Query::all`] and its filters say which. The query's kind is set here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn tenant_bindings(
        &self,
        scope: &TenantScope,
        query: Query,
    ) -> Result<Page<Loaded<RuntimeTenantBinding>>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Repository::<RuntimeTenantBinding>::new(&*store).query(query).await
    }

    /// What happened to a binding after entry `after`, oldest first, at most `limit` entries: who, when and why.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Ok(store.history(&Repository::<RuntimeTenantBinding>::key(binding.uuid()), after, limit).await?)
    }

    /// What is kept of the tenant's isolation here, how, and what its workloads use now beside what they are charged.
    ///
    /// # Errors
    /// The binding is not there, or this host cannot tell.
    pub async fn isolation(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
    ) -> Result<TenantIsolation, TenancyError> {
        let ports = &self.host.ports().tenancy.isolation;
        let any = ports.values().next();
        chosen(any, "tenancy.isolation", "workload_isolation").map_err(CommandError::Port)?;
        let found = self.tenant_binding(scope, binding).await?;
        let mut surfaces = BTreeMap::new();
        for (kind, port) in ports {
            let used = port.usage(found.tenant_id(), found.environment_id());
            let used = self.host.bounded("isolation.usage", used).await?;
            surfaces.insert(*kind, SurfaceIsolation { enforcement: port.enforcement(), used });
        }
        Ok(TenantIsolation {
            model: found.isolation_model(),
            quota: found.quota(),
            charged: found.workloads().charged(),
            surfaces,
        })
    }

    /// Ends a binding, and gives its quota back. A tenant that has its place is cordoned first.
    ///
    /// # Errors
    /// The binding is not there, is protected, or the tenant is moving.
    pub async fn release(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        reason: String,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        let store = self.host.ports().store.for_tenant(scope);
        if let Some(done) = request::repeated(&self.host, &*store, binding.uuid()).await? {
            return Ok(done);
        }
        let found = self.binding(&*store, binding).await?;
        let is_open = matches!(found.aggregate.state(), BindingState::Bound(_));
        let release = TenancyCommand::ReleaseTenant { reason: reason.clone() };
        if !is_open || found.aggregate.is_protected() {
            let released = self.command(scope, binding, &release).await?;
            if self.host.terms().preview {
                return Ok(released);
            }
            let settled = self.settled(scope, binding).await?;
            return Ok(Done { aggregate: settled.aggregate, revision: settled.revision, ..released });
        }
        // What the caller means is the binding before it is cordoned; the key is that of its release.
        let first = Terms { request: None, ..self.host.terms().clone() };
        let cordoned =
            self.under(&first).command(scope, binding, &TenancyCommand::CordonTenant { reason }).await?;
        if self.host.terms().preview {
            return previewed_release(cordoned, &release, self.host.now());
        }
        let keyed = Terms { expected: None, ..self.host.terms().clone() };
        let released = self.under(&keyed).command(scope, binding, &release).await?;
        let settled = self.settled(scope, binding).await?;
        Ok(Done { aggregate: settled.aggregate, revision: settled.revision, ..released })
    }

    /// Ends the tenant's binding to an environment that is being taken down, if there is one. Doing it again changes nothing.
    pub(crate) async fn release_from(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        reason: &str,
    ) -> Result<(), TenancyError> {
        let store = self.host.ports().store.for_tenant(scope);
        if let Some(found) = current(&*store, environment).await? {
            self.command(scope, found.aggregate.id(), &TenancyCommand::RetireWorkloads).await?;
            self.release(scope, found.aggregate.id(), reason.to_owned()).await?;
        }
        Ok(())
    }

    async fn command(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
        command: &TenancyCommand,
    ) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
        let what = format!("tenant binding {binding}");
        let decide = |found: &RuntimeTenantBinding, now| found.decide(command, now);
        existing::command(&self.host, scope, command.name(), binding.uuid(), &what, decide).await
    }
}

/// The caller's tenant's binding to an environment, as far as it has not been released.
async fn current(
    store: &dyn TenantStore,
    environment: EnvironmentId,
) -> Result<Option<Loaded<RuntimeTenantBinding>>, TenancyError> {
    Ok(RuntimeTenantBindingRepository::new(store).current(environment).await?)
}

/// What releasing a binding would come to, once it is cordoned.
fn previewed_release(
    cordoned: Done<RuntimeTenantBinding>,
    release: &TenancyCommand,
    now: Timestamp,
) -> Result<Done<RuntimeTenantBinding>, TenancyError> {
    let decision = cordoned.aggregate.decide(release, now).map_err(CommandError::Refused)?;
    let events = decision.events.iter().map(|event| (event, now));
    let after = RuntimeTenantBinding::evolve_all(Some(cordoned.aggregate), events);
    let aggregate = after.ok().flatten().ok_or(CommandError::Contended)?;
    Ok(Done {
        aggregate,
        revision: cordoned.revision.next(),
        changed: true,
        explanation: decision.explanation,
        repeated: false,
    })
}

/// Refused where the tenant did not get its place in the end: its reservation ended before it was committed.
fn bound(settled: &Loaded<RuntimeTenantBinding>) -> Result<(), TenancyError> {
    match settled.aggregate.quota() {
        Some(_) => Ok(()),
        None => Err(CommandError::Refused(TenancyRefusal::NotReserved)),
    }
}

fn refused(refusal: runtime_domain::environment::EnvironmentRefusal) -> TenancyError {
    CommandError::Refused(TenancyRefusal::NotHosted(refusal))
}
