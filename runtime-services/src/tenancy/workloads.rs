//! What deployments are charged to their tenant's quota (TEN-2).

use std::collections::BTreeMap;
use std::sync::Arc;

use runtime_domain::aggregate::{Aggregate as _, Decision};
use runtime_domain::bug;
use runtime_domain::component::InstanceResources;
use runtime_domain::deployment::{DeploymentStatus, Release, RuntimeDeployment};
use runtime_domain::environment::Admission;
use runtime_domain::id::{DeploymentId, EnvironmentId, TenantBindingId};
use runtime_domain::scope::TenantScope;
use runtime_domain::tenancy::{
    RuntimeTenantBinding, TenancyCommand, TenancyEvent, TenancyRefusal, WorkloadDemand,
};
use runtime_domain::value::ModuleId;
use runtime_ports::PortResult;
use runtime_ports::store::{LoadError, Loaded, Repository, RuntimeTenantBindingRepository, TenantStore};

use super::{TenancyError, TenancyService};
use crate::error::{CommandError, Refused, sort};
use crate::existing::{self, TRIES};
use crate::host::Host;
use crate::lane::Lane;
use crate::observed::decided;
use crate::unit::{Grounds, commit};

/// What each component of a release needs.
pub(crate) type Demands = BTreeMap<ModuleId, WorkloadDemand>;

/// What each component of a release needs, fully rolled out.
pub(crate) fn demands(release: &Release) -> Demands {
    let components = release.components.iter();
    components.map(|(module, component)| (module.clone(), WorkloadDemand::of(component))).collect()
}

/// A charge that has been decided, to be committed together with the deployment that it is for.
#[derive(Debug)]
pub(crate) struct Charge {
    pub(crate) binding: Loaded<RuntimeTenantBinding>,
    pub(crate) decision: Decision<TenancyEvent>,
}

impl TenancyService {
    /// The lane in which deployments of the tenant in an environment are charged, one behind the other; `None` where it is not bound there,
    /// and nothing is charged.
    pub(crate) async fn charging_lane(
        host: &Host,
        store: &dyn TenantStore,
        environment: EnvironmentId,
    ) -> Result<Option<Arc<Lane>>, LoadError> {
        let binding = RuntimeTenantBindingRepository::new(store).current(environment).await?;
        let key = |binding: Loaded<RuntimeTenantBinding>| {
            Repository::<RuntimeTenantBinding>::key(binding.aggregate.id().uuid())
        };
        Ok(binding.map(|binding| host.lanes().of(store.scope().tenant(), key(binding))))
    }

    /// Decides what a deployment is charged, against all that were admitted before it; `None` where its tenant is not bound.
    ///
    /// # Errors
    /// It does not fit into the quota (TEN-2).
    pub(crate) async fn charge(
        host: &Host,
        store: &dyn TenantStore,
        binding: Option<TenantBindingId>,
        deployment: DeploymentId,
        demands: Demands,
    ) -> Result<Option<Charge>, TenancyError> {
        let Some(binding) = binding else { return Ok(None) };
        let Some(found) = Repository::<RuntimeTenantBinding>::new(store).load(binding.uuid()).await? else {
            return Ok(None);
        };
        let binding = settled_workloads(host, store, found).await?;
        let command = TenancyCommand::AdmitWorkloads { deployment, demands };
        let decision =
            decided(|| binding.aggregate.decide(&command, host.now())).map_err(CommandError::Refused)?;
        Ok(Some(Charge { binding, decision }))
    }

    /// Whether a deployment would fit into its tenant's quota. Nothing is settled or charged.
    ///
    /// # Errors
    /// It would not (TEN-2).
    pub(crate) async fn has_room(
        host: &Host,
        store: &dyn TenantStore,
        admission: &Admission,
        demands: Demands,
    ) -> Result<(), TenancyError> {
        let Some((binding, _)) = admission.binding() else { return Ok(()) };
        let Some(found) = Repository::<RuntimeTenantBinding>::new(store).load(binding.uuid()).await? else {
            return Ok(());
        };
        let (mut binding, now) = (found.aggregate, host.now());
        while let Some((deployment, is_kept)) = ended(store, &binding).await? {
            let command = TenancyCommand::SettleWorkloads { deployment, is_kept };
            let decision = decided(|| binding.decide(&command, now)).map_err(CommandError::Refused)?;
            let events = decision.events.iter().map(|event| (event, now));
            match RuntimeTenantBinding::evolve_all(Some(binding), events) {
                Ok(Some(after)) => binding = after,
                _ => return Err(CommandError::Contended),
            }
        }
        let deployment = DeploymentId::from_uuid(host.ports().ids.next());
        let command = TenancyCommand::AdmitWorkloads { deployment, demands };
        decided(|| binding.decide(&command, now)).map(drop).map_err(CommandError::Refused)
    }

    /// The most replicas of a component that serves for which the tenant's quota has room, where each needs as much; `None` where it is not
    /// charged for.
    pub(crate) async fn room(
        host: &Host,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
        each: InstanceResources,
    ) -> Result<Option<u16>, LoadError> {
        let store = host.ports().store.for_tenant(scope);
        let binding = RuntimeTenantBindingRepository::new(&*store).current(environment).await?;
        Ok(binding.and_then(|binding| binding.aggregate.room(module, each)))
    }

    /// Charges what serves of a component for as many replicas, where it is charged for at all.
    ///
    /// # Errors
    /// There are more than were charged for, and the quota has no room for them (TEN-2).
    pub(crate) async fn charge_scaling(
        host: &Host,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
        demand: WorkloadDemand,
    ) -> Result<(), TenancyError> {
        let store = host.ports().store.for_tenant(scope);
        let Some(binding) = RuntimeTenantBindingRepository::new(&*store).current(environment).await? else {
            return Ok(());
        };
        let id = binding.aggregate.id();
        let (what, command) = (
            format!("tenant binding {id}"),
            TenancyCommand::ChargeScaling { module: module.clone(), demand },
        );
        if binding.aggregate.decide(&command, host.now()).is_ok_and(|decision| decision.is_unchanged()) {
            return Ok(());
        }
        let decide = |found: &RuntimeTenantBinding, now| found.decide(&command, now);
        existing::command(host, scope, command.name(), id.uuid(), &what, decide).await.map(drop)
    }

    /// Settles what deployments were charged that have ended, and tells whether any has not.
    pub(crate) async fn settle_workloads(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
    ) -> Result<Loaded<RuntimeTenantBinding>, TenancyError> {
        let store = self.host.ports().store.for_tenant(scope);
        let found = self.binding(&*store, binding).await?;
        settled_workloads(&self.host, &*store, found).await
    }
}

/// The binding, with every deployment settled that has ended.
async fn settled_workloads(
    host: &Host,
    store: &dyn TenantStore,
    mut binding: Loaded<RuntimeTenantBinding>,
) -> Result<Loaded<RuntimeTenantBinding>, TenancyError> {
    for _ in 0..TRIES {
        let Some((deployment, is_kept)) = ended(store, &binding.aggregate).await? else { return Ok(binding) };
        let command = TenancyCommand::SettleWorkloads { deployment, is_kept };
        let now = host.now();
        let decision = decided(|| binding.aggregate.decide(&command, now)).map_err(CommandError::Refused)?;
        let id = binding.aggregate.id();
        match commit(host, store, Some(binding), &decision, Grounds::default(), now).await {
            Ok(Some(after)) => binding = after,
            Ok(None) => return Err(CommandError::Contended),
            Err(error) => match sort(error) {
                Refused::Again => {
                    let found = Repository::<RuntimeTenantBinding>::new(store).load(id.uuid()).await?;
                    binding = found.ok_or(CommandError::Refused(TenancyRefusal::ForeignEvidence))?;
                }
                Refused::Claim(_) => return Err(CommandError::Contended),
                Refused::Stop(error) => return Err(CommandError::Port(error)),
            },
        }
    }
    Ok(binding)
}

/// A deployment that is charged as one in flight, and has ended; and whether what it brought serves.
async fn ended(
    store: &dyn TenantStore,
    binding: &RuntimeTenantBinding,
) -> Result<Option<(DeploymentId, bool)>, LoadError> {
    for deployment in binding.workloads().in_flight() {
        let found = Repository::<RuntimeDeployment>::new(store).load(deployment.uuid()).await?;
        match found.map(|loaded| loaded.aggregate.status()) {
            // The charge and the deployment are one commit: one that is not there was never made.
            None => return Ok(Some((deployment, false))),
            Some(status) if status.is_final() => {
                let is_kept = status == DeploymentStatus::Completed || bug!("failed-create-is-charged");
                return Ok(Some((deployment, is_kept)));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

/// The write of a charge, to go into the commit of its deployment.
pub(crate) fn with_charge(
    host: &Host,
    scope: &TenantScope,
    mut commit: runtime_ports::store::Commit,
    charge: Charge,
) -> PortResult<runtime_ports::store::Commit> {
    if charge.decision.is_unchanged() {
        return Ok(commit);
    }
    let key = Repository::<RuntimeTenantBinding>::key(charge.binding.aggregate.id().uuid());
    let (charged, _) = crate::unit::prepare(
        host,
        scope,
        Some(charge.binding),
        &charge.decision,
        Grounds::default(),
        host.now(),
    )?;
    // The write itself expects the very revision that the charge was decided at.
    commit.evidence.retain(|fact| fact.key != key);
    commit.writes.extend(charged.writes);
    Ok(commit)
}
