//! The last result of a service, wherever it is kept.

use runtime_domain::id::{EnvironmentId, ServiceId};
use runtime_domain::inventory::FRESHNESS;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_ports::health_results::HealthRecord;
use runtime_ports::store::{HealthCheckResultRepository, LoadError};

use crate::health::HealthService;

impl HealthService {
    /// The last result of a component: the later one of what is an aggregate and what was only recorded. Older records than stay fresh are
    /// not looked for.
    pub(super) async fn latest(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<Option<HealthRecord>, LoadError> {
        let service = ServiceId::of(environment, module);
        let store = self.host.ports().store.for_tenant(scope);
        let newest = HealthCheckResultRepository::new(&*store).newest_of(environment, module).await?;
        let newest = newest.map(|loaded| HealthRecord { result: loaded.aggregate, revision: None });
        let newest = newest.filter(|newest| newest.result.service_id() == service);
        let Some(records) = &self.host.ports().records.health_results else { return Ok(newest) };
        let millis = i64::try_from(FRESHNESS.as_millis()).unwrap_or(i64::MAX);
        let since = self.host.now().timestamp_millis().saturating_sub(millis);
        let since = Timestamp::from_timestamp_millis(since).unwrap_or(Timestamp::MIN_UTC);
        let recorded = records.tenant_health_results(scope).latest(environment, service, since).await?;
        // Of the same result the record knows more: the revision that it is about.
        Ok(match (newest, recorded) {
            (Some(newest), Some(recorded))
                if newest.result.evaluated_at() > recorded.result.evaluated_at()
                    && newest.result.health_check_result_id() != recorded.result.health_check_result_id() =>
            {
                Some(newest)
            }
            (newest, recorded) => recorded.or(newest),
        })
    }
}
