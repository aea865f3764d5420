//! The nine repositories by name, with what those who work with each look for.

use runtime_domain::aggregate::Aggregate;
use runtime_domain::claim::Claim;
use runtime_domain::configuration::{ConfigurationStatus, RuntimeConfiguration};
use runtime_domain::deployment::{DeploymentStatus, RuntimeDeployment};
use runtime_domain::drift::{DriftStatus, RuntimeDriftFinding};
use runtime_domain::environment::{EnvironmentStage, ProvisioningStatus, RuntimeEnvironment};
use runtime_domain::health::HealthCheckResult;
use runtime_domain::id::{EnvironmentId, ProjectId, ServiceId};
use runtime_domain::inventory::{RuntimeService, RuntimeStatus};
use runtime_domain::scaling::{PolicyStatus, ScalingPolicy};
use runtime_domain::secrets::{SecretBinding, SecretStatus};
use runtime_domain::tenancy::{BindingStatus, RuntimeTenantBinding};
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Name};

use super::{LoadError, Loaded, Repository};
use crate::store::{Cursor, Order, Page, Query};

/// Environments of one tenant.
pub type RuntimeEnvironmentRepository<'s> = Repository<'s, RuntimeEnvironment>;
/// Deployments of one tenant.
pub type RuntimeDeploymentRepository<'s> = Repository<'s, RuntimeDeployment>;
/// The inventory of one tenant.
pub type RuntimeServiceRepository<'s> = Repository<'s, RuntimeService>;
/// Configurations of one tenant.
pub type RuntimeConfigurationRepository<'s> = Repository<'s, RuntimeConfiguration>;
/// Secret bindings of one tenant.
pub type SecretBindingRepository<'s> = Repository<'s, SecretBinding>;
/// Bindings of one tenant to environments.
pub type RuntimeTenantBindingRepository<'s> = Repository<'s, RuntimeTenantBinding>;
/// Health results of one tenant, as aggregates. Those who look back ask [`health_results`](crate::health_results).
pub type HealthCheckResultRepository<'s> = Repository<'s, HealthCheckResult>;
/// Scaling policies of one tenant.
pub type ScalingPolicyRepository<'s> = Repository<'s, ScalingPolicy>;
/// Drift findings of one tenant.
pub type RuntimeDriftFindingRepository<'s> = Repository<'s, RuntimeDriftFinding>;

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Where to go on; `None` at the beginning.
    pub after: Option<Cursor>,
    /// How many at most: 1 to 1,000.
    pub limit: u32,
}

impl PageRequest {
    /// The first 100.
    pub const FIRST: Self = Self { after: None, limit: 100 };

    /// The first so many.
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// Going on where a page ended.
    #[must_use]
    pub fn after(self, cursor: Cursor) -> Self {
        Self { after: Some(cursor), ..self }
    }
}

/// What every repository is asked. Lists are newest first unless they say otherwise. Every method fails where the store does, and where
/// what it holds is not a legal aggregate.
impl<A: Aggregate> Repository<'_, A> {
    /// All that the query is about, page by page; its limit is a page's. For lists that are known to be short.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn every(&self, mut query: Query) -> Result<Vec<Loaded<A>>, LoadError> {
        let mut found = Vec::new();
        loop {
            let page = self.query(query.clone()).await?;
            found.extend(page.items);
            match page.next {
                Some(cursor) => query = query.after(cursor),
                None => return Ok(found),
            }
        }
    }

    /// The first that the query is about.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn one(&self, query: Query) -> Result<Option<Loaded<A>>, LoadError> {
        Ok(self.query(query.limited_to(1)).await?.items.into_iter().next())
    }

    /// What is due before `now` and has not been dealt with, what has waited the longest first: with the present time, what is overdue.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn overdue(&self, now: Timestamp, page: PageRequest) -> Result<Page<Loaded<A>>, LoadError> {
        self.part(Query::all(A::KIND).due_before(now).ordered(Order::DueFirst), page).await
    }

    /// What comes due from `from` until `until`, what comes first first.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn due_between(
        &self,
        from: Timestamp,
        until: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Loaded<A>>, LoadError> {
        self.part(Query::all(A::KIND).due_from(from).due_before(until).ordered(Order::DueFirst), page).await
    }

    /// What is about a component of an environment.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn of_component(
        &self,
        environment: EnvironmentId,
        module: &ModuleId,
        page: PageRequest,
    ) -> Result<Page<Loaded<A>>, LoadError> {
        self.part(Query::all(A::KIND).in_environment(environment).about(module.clone()), page).await
    }

    async fn part(&self, query: Query, page: PageRequest) -> Result<Page<Loaded<A>>, LoadError> {
        self.query(Query { after: page.after, limit: page.limit, ..query }).await
    }

    /// In an environment, or all, by the statuses' names.
    async fn by_status(
        &self,
        environment: Option<EnvironmentId>,
        statuses: &[&str],
        page: PageRequest,
    ) -> Result<Page<Loaded<A>>, LoadError> {
        self.part(Query { environment, ..Query::all(A::KIND).with_status(statuses) }, page).await
    }
}

/// What is asked of environments.
impl Repository<'_, RuntimeEnvironment> {
    /// Those with one of these statuses.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn with_status(
        &self,
        statuses: &[ProvisioningStatus],
        page: PageRequest,
    ) -> Result<Page<Loaded<RuntimeEnvironment>>, LoadError> {
        self.by_status(None, &names(statuses, |status| status.name()), page).await
    }

    /// Those of a stage. It reads the tenant's environments one after the other, which are few; what is in them is found by
    /// [`Query::in_environment`].
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn in_stage(
        &self,
        stage: EnvironmentStage,
        page: PageRequest,
    ) -> Result<Page<Loaded<RuntimeEnvironment>>, LoadError> {
        let mut items: Vec<Loaded<RuntimeEnvironment>> = Vec::new();
        let mut query = Query { after: page.after, ..Query::all(RuntimeEnvironment::KIND) };
        loop {
            // No more than are wanted, so that the cursor never goes past what is given.
            let wanted = page.limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            let found = self.query(query.clone().limited_to(wanted)).await?;
            items.extend(found.items.into_iter().filter(|loaded| loaded.aggregate.stage() == stage));
            match found.next {
                Some(cursor) if items.len() < usize::try_from(page.limit).unwrap_or(usize::MAX) => {
                    query = query.after(cursor);
                }
                next => return Ok(Page { items, next }),
            }
        }
    }

    /// The one that has this name in its project, whatever its status; none that has given the name up.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn named(
        &self,
        project: ProjectId,
        name: &Name,
    ) -> Result<Option<Loaded<RuntimeEnvironment>>, LoadError> {
        let wanted = Claim::environment_name(project, name);
        let all = self.every(Query::all(RuntimeEnvironment::KIND)).await?;
        Ok(all.into_iter().find(|loaded| loaded.aggregate.claims().contains(&wanted)))
    }
}

/// What is asked of deployments.
impl Repository<'_, RuntimeDeployment> {
    /// Those with one of these statuses, in an environment or all.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn with_status(
        &self,
        environment: Option<EnvironmentId>,
        statuses: &[DeploymentStatus],
        page: PageRequest,
    ) -> Result<Page<Loaded<RuntimeDeployment>>, LoadError> {
        self.by_status(environment, &names(statuses, |status| status.name()), page).await
    }

    /// Those of an environment that have not ended.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn in_flight(
        &self,
        environment: EnvironmentId,
        page: PageRequest,
    ) -> Result<Page<Loaded<RuntimeDeployment>>, LoadError> {
        let going_on: Vec<DeploymentStatus> =
            DeploymentStatus::ALL.into_iter().filter(|status| !status.is_final()).collect();
        self.with_status(Some(environment), &going_on, page).await
    }

    /// The newest of a component with one of these statuses.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn newest_of(
        &self,
        environment: EnvironmentId,
        module: &ModuleId,
        statuses: &[DeploymentStatus],
    ) -> Result<Option<Loaded<RuntimeDeployment>>, LoadError> {
        let query = Query::all(RuntimeDeployment::KIND).in_environment(environment).about(module.clone());
        self.one(query.with_status(&names(statuses, |status| status.name()))).await
    }
}

/// What is asked of the inventory.
impl Repository<'_, RuntimeService> {
    /// Those of an environment with one of these statuses.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn with_status(
        &self,
        environment: EnvironmentId,
        statuses: &[RuntimeStatus],
        page: PageRequest,
    ) -> Result<Page<Loaded<RuntimeService>>, LoadError> {
        self.by_status(Some(environment), &names(statuses, |status| status.name()), page).await
    }

    /// All of an environment that are not retired.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn live(&self, environment: EnvironmentId) -> Result<Vec<Loaded<RuntimeService>>, LoadError> {
        let live: Vec<RuntimeStatus> =
            RuntimeStatus::ALL.into_iter().filter(|status| *status != RuntimeStatus::Retired).collect();
        let query = Query::all(RuntimeService::KIND).in_environment(environment);
        self.every(query.with_status(&names(&live, |status| status.name()))).await
    }

    /// The record of a component, retired or not.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn component(
        &self,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Option<Loaded<RuntimeService>>, LoadError> {
        self.load(ServiceId::of(environment, module).uuid()).await
    }
}

/// What is asked of configurations.
impl Repository<'_, RuntimeConfiguration> {
    /// Those of an environment with one of these statuses.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn with_status(
        &self,
        environment: EnvironmentId,
        statuses: &[ConfigurationStatus],
        page: PageRequest,
    ) -> Result<Page<Loaded<RuntimeConfiguration>>, LoadError> {
        self.by_status(Some(environment), &names(statuses, |status| status.name()), page).await
    }

    /// The one of an environment that was published last.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn newest(
        &self,
        environment: EnvironmentId,
    ) -> Result<Option<Loaded<RuntimeConfiguration>>, LoadError> {
        self.one(Query::all(RuntimeConfiguration::KIND).in_environment(environment)).await
    }
}

/// What is asked of secret bindings.
impl Repository<'_, SecretBinding> {
    /// Those with one of these statuses, in an environment or all.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn with_status(
        &self,
        environment: Option<EnvironmentId>,
        statuses: &[SecretStatus],
        page: PageRequest,
    ) -> Result<Page<Loaded<SecretBinding>>, LoadError> {
        self.by_status(environment, &names(statuses, |status| status.name()), page).await
    }

    /// Those that are to be rotated, or tried again, before a time, the earliest first.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn rotating_before(
        &self,
        before: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Loaded<SecretBinding>>, LoadError> {
        let statuses = [SecretStatus::Bound, SecretStatus::RotationFailed].map(SecretStatus::name);
        let query = Query::all(SecretBinding::KIND).with_status(&statuses);
        self.part(query.due_before(before).ordered(Order::DueFirst), page).await
    }
}

/// What is asked of tenant bindings.
impl Repository<'_, RuntimeTenantBinding> {
    /// Those with one of these statuses.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn with_status(
        &self,
        statuses: &[BindingStatus],
        page: PageRequest,
    ) -> Result<Page<Loaded<RuntimeTenantBinding>>, LoadError> {
        self.by_status(None, &names(statuses, |status| status.name()), page).await
    }

    /// The tenant's binding to an environment, as far as it has not been released (TEN-3).
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn current(
        &self,
        environment: EnvironmentId,
    ) -> Result<Option<Loaded<RuntimeTenantBinding>>, LoadError> {
        let query = Query::all(RuntimeTenantBinding::KIND).in_environment(environment);
        self.one(query.with_status(&BindingStatus::CURRENT.map(BindingStatus::name))).await
    }
}

/// What is asked of health results.
impl Repository<'_, HealthCheckResult> {
    /// The newest of a component.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn newest_of(
        &self,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Option<Loaded<HealthCheckResult>>, LoadError> {
        self.one(Query::all(HealthCheckResult::KIND).in_environment(environment).about(module.clone())).await
    }
}

/// What is asked of scaling policies.
impl Repository<'_, ScalingPolicy> {
    /// Those with one of these statuses, in an environment or all.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn with_status(
        &self,
        environment: Option<EnvironmentId>,
        statuses: &[PolicyStatus],
        page: PageRequest,
    ) -> Result<Page<Loaded<ScalingPolicy>>, LoadError> {
        self.by_status(environment, &names(statuses, |status| status.name()), page).await
    }

    /// The one of a component that is not retired (SCL-3).
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn current(
        &self,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Option<Loaded<ScalingPolicy>>, LoadError> {
        let live: Vec<PolicyStatus> =
            PolicyStatus::ALL.into_iter().filter(|status| *status != PolicyStatus::Retired).collect();
        let query = Query::all(ScalingPolicy::KIND).in_environment(environment).about(module.clone());
        self.one(query.with_status(&names(&live, |status| status.name()))).await
    }
}

/// What is asked of drift findings.
impl Repository<'_, RuntimeDriftFinding> {
    /// Those with one of these statuses, in an environment or all.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn with_status(
        &self,
        environment: Option<EnvironmentId>,
        statuses: &[DriftStatus],
        page: PageRequest,
    ) -> Result<Page<Loaded<RuntimeDriftFinding>>, LoadError> {
        self.by_status(environment, &names(statuses, |status| status.name()), page).await
    }

    /// Those of an environment that have neither gone nor been resolved.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn open_in(
        &self,
        environment: EnvironmentId,
        page: PageRequest,
    ) -> Result<Page<Loaded<RuntimeDriftFinding>>, LoadError> {
        let is_over = |status: &DriftStatus| matches!(status, DriftStatus::Resolved | DriftStatus::Vanished);
        let open: Vec<DriftStatus> = DriftStatus::ALL.into_iter().filter(|status| !is_over(status)).collect();
        self.with_status(Some(environment), &open, page).await
    }

    /// Accepted exceptions that end before a time, the earliest first.
    ///
    /// # Errors
    /// As [`Repository::load`].
    pub async fn exceptions_ending_before(
        &self,
        before: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Loaded<RuntimeDriftFinding>>, LoadError> {
        let query = Query::all(RuntimeDriftFinding::KIND).with_status(&[DriftStatus::Excepted.name()]);
        self.part(query.due_before(before).ordered(Order::DueFirst), page).await
    }
}

fn names<S: Copy>(statuses: &[S], name: impl Fn(S) -> &'static str) -> Vec<&'static str> {
    statuses.iter().copied().map(name).collect()
}
