//! Environments: what callers may ask.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::aggregate::Aggregate;
use runtime_domain::calendar::{Activity, BreakGlass, ChangeCalendar, Clearance};
use runtime_domain::environment::{
    Admission, EnvironmentChange, EnvironmentCommand, EnvironmentRefusal, EnvironmentStage,
    HostedEnvironment, HostedSurface, IsolationModel, ProvisionRuntimeEnvironment, ProvisioningStatus,
    RuntimeEnvironment,
};
use runtime_domain::id::{AggregateKind, EnvironmentId, ProjectId};
use runtime_domain::promotion::PromotionPolicy;
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::time::Span;
use runtime_domain::value::{Name, Region};
use runtime_ports::infrastructure::{ResourceCondition, ResourceFinding, ResourcePreview};
use runtime_ports::store::{
    HistoryEntry, LoadError, Loaded, Page, Query, Repository, RuntimeEnvironmentRepository,
    RuntimeTenantBindingRepository,
};

use crate::context::Context;
use crate::error::{CommandError, Refused, sort};
use crate::existing::{self, TRIES};
use crate::host::Host;
use crate::observed::{self, decided};
use crate::relocation;
use crate::request;
use crate::terms::Terms;
use crate::unit::{Done, Grounds, commit};

/// What goes wrong with an environment's command.
pub type EnvironmentError = CommandError<EnvironmentRefusal>;

/// Why an environment gives no admission.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// A rule refuses it.
    #[error("refused")]
    Refused(#[source] EnvironmentRefusal),
    /// This tenant has no such environment.
    #[error("the environment was not found")]
    NotFound,
    /// The stored state could not be loaded.
    #[error("the stored state could not be loaded")]
    Load(#[from] LoadError),
}

/// What an environment is to be made of, as callers ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEnvironment {
    /// The project.
    pub project_id: ProjectId,
    /// Its name, unique within the project.
    pub name: Name,
    /// The stage.
    pub stage: EnvironmentStage,
    /// The region.
    pub region: Region,
    /// How tenants are kept apart in it.
    pub isolation_model: IsolationModel,
    /// The surfaces it needs.
    pub surfaces: BTreeSet<SurfaceKind>,
    /// Destinations that workloads may call.
    pub egress_allow_list: BTreeSet<String>,
    /// How much its tenants may be given in all (TEN-2); [`ResourceQuota::LARGEST`] where it does not matter.
    pub capacity: ResourceQuota,
}

impl NewEnvironment {
    /// An environment for processes on this machine, one tenant's alone, with no limit of its own and no destination to call; change the
    /// fields that should be otherwise.
    pub fn new(project_id: ProjectId, name: Name, stage: EnvironmentStage, region: Region) -> Self {
        Self {
            project_id,
            name,
            stage,
            region,
            isolation_model: IsolationModel::Silo,
            surfaces: [SurfaceKind::Process].into(),
            egress_allow_list: BTreeSet::new(),
            capacity: ResourceQuota::LARGEST,
        }
    }
}

/// Provisions, tells of and decommissions environments.
#[derive(Debug, Clone)]
pub struct EnvironmentService {
    host: Host,
}

impl EnvironmentService {
    /// The service of a host.
    pub fn new(host: Host) -> Self {
        Self { host }
    }

    /// The same for callers, who are refused where the host does not run this context.
    pub(crate) fn for_callers(&self) -> Self {
        Self { host: self.host.for_callers_of(Context::Environment) }
    }

    /// The same service, for commands on these terms.
    #[must_use]
    pub fn under(&self, terms: &Terms) -> Self {
        Self { host: self.host.under(terms) }
    }

    /// Asks for an environment. Its project and name are its natural key: asking again gives the one that is there.
    ///
    /// # Errors
    /// The content breaks a rule, or the name is taken by one of other content.
    pub async fn provision(
        &self,
        scope: &TenantScope,
        wanted: NewEnvironment,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        observed::command(&self.host, scope, "Provision", self.try_provision(scope, wanted)).await
    }

    async fn try_provision(
        &self,
        scope: &TenantScope,
        wanted: NewEnvironment,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        let store = self.host.ports().store.for_tenant(scope);
        for _ in 0..TRIES {
            let command = self.new_command(scope, &wanted);
            if let Some(done) = request::repeated(&self.host, &*store, command.environment_id.uuid()).await? {
                return Ok(done);
            }
            if let Some(found) =
                RuntimeEnvironmentRepository::new(&*store).named(wanted.project_id, &wanted.name).await?
            {
                let decision = found.aggregate.provision_again(&command).map_err(CommandError::Refused)?;
                request::unchanged(&self.host, &*store).await?;
                return Ok(Done::of(found, &decision));
            }
            let now = self.host.now();
            let decision =
                decided(|| RuntimeEnvironment::provision(&command, now)).map_err(CommandError::Refused)?;
            let grounds = Grounds::default().asked(&self.host);
            match commit::<RuntimeEnvironment>(&self.host, &*store, None, &decision, grounds, now).await {
                Ok(Some(loaded)) => return Ok(Done::of(loaded, &decision)),
                Ok(None) => return Err(CommandError::Contended),
                Err(error) => match sort(error) {
                    // Someone else asked for the same one in between.
                    Refused::Again | Refused::Claim(_) => {}
                    Refused::Stop(error) => return Err(CommandError::Port(error)),
                },
            }
        }
        Err(CommandError::Contended)
    }

    fn new_command(&self, scope: &TenantScope, wanted: &NewEnvironment) -> ProvisionRuntimeEnvironment {
        let NewEnvironment {
            project_id,
            name,
            stage,
            region,
            isolation_model,
            surfaces,
            egress_allow_list,
            capacity,
        } = wanted.clone();
        ProvisionRuntimeEnvironment {
            environment_id: EnvironmentId::from_uuid(self.host.new_id(AggregateKind::RuntimeEnvironment)),
            tenant_id: scope.tenant(),
            project_id,
            name,
            stage,
            region,
            isolation_model,
            surfaces,
            egress_allow_list,
            capacity,
        }
    }

    /// What provisioning would create, without creating it.
    ///
    /// # Errors
    /// The content breaks a rule, or the engine failed.
    pub async fn preview(
        &self,
        scope: &TenantScope,
        wanted: NewEnvironment,
    ) -> Result<Vec<ResourcePreview>, EnvironmentError> {
        let now = self.host.now();
        let decision = RuntimeEnvironment::provision(&self.new_command(scope, &wanted), now)
            .map_err(CommandError::Refused)?;
        let events = decision.events.iter().map(|event| (event, now));
        match RuntimeEnvironment::evolve_all(None, events) {
            Ok(Some(environment)) => {
                Ok(self.host.ports().infrastructure.preview(&environment.blueprint()).await?)
            }
            _ => Err(CommandError::Contended),
        }
    }

    /// Tries again what could not be provisioned.
    ///
    /// # Errors
    /// It did not fail.
    pub async fn retry(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        self.command(scope, environment, &EnvironmentCommand::RetryProvisioning).await
    }

    /// Changes what may be changed; region and stage may not once it is provisioned (ENV-2).
    ///
    /// # Errors
    /// The change breaks a rule.
    pub async fn change(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        change: EnvironmentChange,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        self.command(scope, environment, &EnvironmentCommand::ChangeEnvironment(change)).await
    }

    /// Keeps an environment from being decommissioned, or no longer.
    ///
    /// # Errors
    /// It is being decommissioned.
    pub async fn protect(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        protected: bool,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        let command =
            if protected { EnvironmentCommand::ProtectFromDeletion } else { EnvironmentCommand::Unprotect };
        self.command(scope, environment, &command).await
    }

    /// Lets an environment be changed at other times. What is in flight goes on.
    ///
    /// # Errors
    /// It is not there, or is being taken down.
    pub async fn change_calendar(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        calendar: ChangeCalendar,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        self.command(scope, environment, &EnvironmentCommand::ChangeCalendar { calendar }).await
    }

    /// Changes what an environment asks of a release before it comes; `None` asks nothing.
    ///
    /// # Errors
    /// It is not there, or is being taken down; an environment that the policy names is not there, or not of an earlier stage.
    pub async fn change_promotion_policy(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        policy: Option<PromotionPolicy>,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        let mut upstream = Vec::new();
        for environment in policy.iter().flat_map(PromotionPolicy::upstream) {
            match self.host_of(scope, *environment).await {
                Ok(proof) => upstream.push(proof),
                // What is not there is not proven, and refused for it.
                Err(AdmissionError::NotFound) => {}
                Err(AdmissionError::Refused(refusal)) => return Err(CommandError::Refused(refusal)),
                Err(AdmissionError::Load(error)) => return Err(error.into()),
            }
        }
        let facts: Vec<_> = upstream.iter().map(HostedEnvironment::evidence).collect();
        let what = format!("environment {environment}");
        let decide =
            |found: &RuntimeEnvironment, _| found.change_promotion_policy(policy.as_ref(), &upstream);
        existing::command_on(
            &self.host,
            scope,
            "ChangePromotionPolicy",
            environment.uuid(),
            &what,
            &facts,
            decide,
        )
        .await
    }

    /// Stops every change of an environment, whatever its calendar says, until the line is resumed. What is in flight goes on, and going
    /// back is never held up.
    ///
    /// # Errors
    /// It is not there, or is being taken down; no reason is given.
    pub async fn stop_the_line(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        reason: &str,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        let command =
            EnvironmentCommand::StopTheLine { by: scope.actor().clone(), reason: reason.to_owned() };
        self.command(scope, environment, &command).await
    }

    /// Lets an environment be changed again as its calendar says.
    ///
    /// # Errors
    /// It is not there, or is being taken down; no reason is given.
    pub async fn resume_the_line(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        reason: &str,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        let command =
            EnvironmentCommand::ResumeTheLine { by: scope.actor().clone(), reason: reason.to_owned() };
        self.command(scope, environment, &command).await
    }

    /// Lets an environment end by itself after this time, or never: it is decommissioned then as if someone had asked for it, unless it is
    /// protected.
    ///
    /// # Errors
    /// It is not there, is prod, or is being taken down.
    pub async fn live_for(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        time_to_live: Option<Span>,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        let expires_at = time_to_live.map(|span| span.after(self.host.now()));
        self.command(scope, environment, &EnvironmentCommand::ChangeExpiry { expires_at }).await
    }

    /// Looks whether everything that was provisioned is still there. What was removed behind the engine's back is recorded, and made again.
    ///
    /// # Errors
    /// It is not there, or the engine failed.
    pub async fn refresh(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Vec<ResourceFinding>, EnvironmentError> {
        let found = self.environment(scope, environment).await?;
        let blueprint = found.blueprint();
        let looked = self.host.ports().infrastructure.refresh(&blueprint);
        let findings = self.host.bounded("infrastructure.refresh", looked).await?;
        let missing = findings.iter().filter(|finding| finding.condition == ResourceCondition::Missing);
        let resources: BTreeSet<String> = missing.map(|finding| finding.resource.clone()).collect();
        if !resources.is_empty() {
            let command = EnvironmentCommand::RecordResourcesLost { resources };
            self.under(&self.host.terms().aside()).command(scope, environment, &command).await?;
        }
        Ok(findings)
    }

    /// What the engine tells of a provisioned environment, such as addresses and folders; `None` where it is not provisioned.
    ///
    /// # Errors
    /// It is not there, or the engine failed.
    pub async fn outputs(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Option<BTreeMap<String, String>>, EnvironmentError> {
        let found = self.environment(scope, environment).await?;
        let told = self.host.ports().infrastructure.outputs(found.tenant_id(), found.id());
        Ok(self.host.bounded("infrastructure.outputs", told).await?)
    }

    /// Removes an environment with everything in it. It accepts no deployment from now on; those in flight are aborted, and end first. Then
    /// what runs is drained and retired, then its tenant is released, and then the engine removes what it made.
    ///
    /// # Errors
    /// It is not there, it or its tenant's binding is protected, or its tenant is moving, out of it or into it.
    pub async fn decommission(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        reason: String,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        let store = self.host.ports().store.for_tenant(scope);
        if relocation::tenant_stays(&*store, environment).await? {
            return Err(CommandError::Refused(EnvironmentRefusal::TenantStays));
        }
        self.command(scope, environment, &EnvironmentCommand::DecommissionRuntimeEnvironment { reason }).await
    }

    /// One environment.
    ///
    /// # Errors
    /// This tenant has none by that identifier.
    pub async fn environment(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<RuntimeEnvironment, EnvironmentError> {
        let store = self.host.ports().store.for_tenant(scope);
        let what = format!("environment {environment}");
        let found: Loaded<RuntimeEnvironment> = existing::find(&*store, environment.uuid(), &what).await?;
        Ok(found.aggregate)
    }

    /// Waits until an environment is provisioned, or `patience` runs out, and returns it as it is then: look at its
    /// [status](RuntimeEnvironment::provisioning_status). A host that reconciles environments must be at work somewhere.
    ///
    /// # Errors
    /// As [`EnvironmentService::environment`].
    pub async fn until_provisioned(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        patience: Span,
    ) -> Result<RuntimeEnvironment, EnvironmentError> {
        let deadline = patience.after(self.host.now());
        loop {
            let found = self.environment(scope, environment).await?;
            let now = self.host.now();
            let is_settled = matches!(
                found.provisioning_status(),
                ProvisioningStatus::Provisioned | ProvisioningStatus::Decommissioned
            );
            if is_settled || now >= deadline {
                return Ok(found);
            }
            self.host.ports().clock.sleep_until(self.host.options().poll.after(now).min(deadline)).await;
        }
    }

    /// One environment, and where it stands in the store.
    ///
    /// # Errors
    /// As [`EnvironmentService::environment`].
    pub async fn stored(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Loaded<RuntimeEnvironment>, EnvironmentError> {
        let store = self.host.ports().store.for_tenant(scope);
        existing::find(&*store, environment.uuid(), &format!("environment {environment}")).await
    }

    /// A page of the tenant's environments. The query's kind is set here.
    ///
    /// # Errors
    /// The store failed.
    pub async fn environments(
        &self,
        scope: &TenantScope,
        query: Query,
    ) -> Result<Page<Loaded<RuntimeEnvironment>>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Repository::<RuntimeEnvironment>::new(&*store).query(query).await
    }

    /// What happened to an environment after entry `after`, oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        Ok(store.history(&Repository::<RuntimeEnvironment>::key(environment.uuid()), after, limit).await?)
    }

    /// Proof that the environment accepts a deployment now (ENV-1, ENV-3).
    ///
    /// # Errors
    /// It does not, and why.
    pub async fn admit(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<Admission, AdmissionError> {
        let store = self.host.ports().store.for_tenant(scope);
        let loaded = Repository::<RuntimeEnvironment>::new(&*store).load(environment.uuid()).await?;
        let loaded = loaded.ok_or(AdmissionError::NotFound)?;
        let binding = RuntimeTenantBindingRepository::new(&*store).current(environment).await?;
        let bound = binding.and_then(|binding| binding.aggregate.prove(binding.revision).ok());
        loaded.aggregate.admit(loaded.revision, bound.as_ref()).map_err(AdmissionError::Refused)
    }

    /// Proof that the environment's calendar is open to an activity now, or that someone broke the glass.
    ///
    /// # Errors
    /// It is closed: why, and when it opens.
    pub async fn clear(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        activity: Activity,
        break_glass: Option<BreakGlass>,
    ) -> Result<Clearance, AdmissionError> {
        let store = self.host.ports().store.for_tenant(scope);
        let loaded = Repository::<RuntimeEnvironment>::new(&*store).load(environment.uuid()).await?;
        let loaded = loaded.ok_or(AdmissionError::NotFound)?;
        let cleared = loaded.aggregate.clear(activity, loaded.revision, self.host.now(), break_glass);
        cleared.map_err(AdmissionError::Refused)
    }

    /// Proof that the environment can host a tenant binding.
    ///
    /// # Errors
    /// It cannot, and why.
    pub async fn host_of(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
    ) -> Result<HostedEnvironment, AdmissionError> {
        let store = self.host.ports().store.for_tenant(scope);
        let loaded = Repository::<RuntimeEnvironment>::new(&*store).load(environment.uuid()).await?;
        let loaded = loaded.ok_or(AdmissionError::NotFound)?;
        loaded.aggregate.host(loaded.revision).map_err(AdmissionError::Refused)
    }

    /// Proof that workloads of the environment can run on a surface.
    ///
    /// # Errors
    /// It has no such surface, or is being taken down.
    pub async fn host_on(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        surface: SurfaceKind,
    ) -> Result<HostedSurface, AdmissionError> {
        let store = self.host.ports().store.for_tenant(scope);
        let loaded = Repository::<RuntimeEnvironment>::new(&*store).load(environment.uuid()).await?;
        let loaded = loaded.ok_or(AdmissionError::NotFound)?;
        loaded.aggregate.host_on(surface, loaded.revision).map_err(AdmissionError::Refused)
    }

    async fn command(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        command: &EnvironmentCommand,
    ) -> Result<Done<RuntimeEnvironment>, EnvironmentError> {
        let what = format!("environment {environment}");
        let decide = |found: &RuntimeEnvironment, now| found.decide(command, now);
        existing::command(&self.host, scope, command.name(), environment.uuid(), &what, decide).await
    }
}
