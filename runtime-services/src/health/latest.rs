//! The last result of a service, wherever it is kept.

use runtime_domain::id::{EnvironmentId, ServiceId};
use runtime_domain::inventory::FRESHNESS;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_ports::health_results::HealthRecord;
use runtime_ports::store::{HealthCheckResultRepository, LoadError};

use crate::health::HealthService;

/// The last results of a service.
pub(super) struct Latest {
    /// The newest that is an aggregate.
    pub(super) told: Option<HealthRecord>,
    /// The newest that was recorded, where that is still fresh.
    recorded: Option<HealthRecord>,
}

impl Latest {
    /// The later one.
    pub(super) fn newest(self) -> Option<HealthRecord> {
        // Of the same result the record knows more: the revision that it is about.
        match (self.told, self.recorded) {
            (Some(told), Some(recorded))
                if told.result.evaluated_at() > recorded.result.evaluated_at()
                    && told.result.health_check_result_id() != recorded.result.health_check_result_id() =>
            {
                Some(told)
            }
            (told, recorded) => recorded.or(told),
        }
    }
}

impl HealthService {
    /// The last result of a component, wherever it is kept.
    pub(super) async fn latest(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Option<HealthRecord>, LoadError> {
        Ok(self.latest_of_each(scope, environment, module).await?.newest())
    }

    /// The last result of a component that is an aggregate, and the last that was only recorded. Older records than stay fresh are not
    /// looked for.
    pub(super) async fn latest_of_each(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Latest, LoadError> {
        let service = ServiceId::of(environment, module);
        let told = self.told(scope, environment, module).await?;
        let Some(records) = &self.host.ports().records.health_results else {
            return Ok(Latest { told, recorded: None });
        };
        let millis = i64::try_from(FRESHNESS.as_millis()).unwrap_or(i64::MAX);
        let since = self.host.now().timestamp_millis().saturating_sub(millis);
        let since = Timestamp::from_timestamp_millis(since).unwrap_or(Timestamp::MIN_UTC);
        let recorded = records.tenant_health_results(scope).latest(environment, service, since).await?;
        Ok(Latest { told, recorded })
    }

    /// The last result of a component that is an aggregate.
    pub(super) async fn told(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Option<HealthRecord>, LoadError> {
        let store = self.host.ports().store.for_tenant(scope);
        let told = HealthCheckResultRepository::new(&*store).newest_of(environment, module).await?;
        let told = told.map(|loaded| HealthRecord { result: loaded.aggregate, revision: None });
        let service = ServiceId::of(environment, module);
        Ok(told.filter(|told| told.result.service_id() == service))
    }
}
