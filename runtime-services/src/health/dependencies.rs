//! How that is which a service depends on.
//!
//! A dependency that is Unhealthy degrades who depends on it, and no more: it may still answer, and must not be taken for broken. One that is
//! Degraded still serves, and is only reported. So nothing is passed on from dependent to dependent, and a circle of dependencies ends: none
//! of it stays Degraded because the others are. Of a dependency that nothing is known of, nothing is said here; a product tells it.

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::component::ComponentSpec;
use runtime_domain::health::{CheckEntry, HealthStatus, ProbeKind, ServiceHealth};
use runtime_domain::inventory::{FRESHNESS, RuntimeService};
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Span;
use runtime_ports::store::LoadError;

use crate::health::HealthService;
use crate::health::probes::entry;

/// How many characters are kept of why a dependency is as it is.
const MOST_CHAIN: usize = 800;

impl HealthService {
    /// An entry for each dependency of which something is known, as far as there is room beside the entries that are there already.
    pub(super) async fn dependencies(
        &self,
        scope: &TenantScope,
        service: &RuntimeService,
        component: &ComponentSpec,
        already: usize,
    ) -> Result<Vec<CheckEntry>, LoadError> {
        let mut entries = Vec::new();
        let room = CheckEntry::MOST.saturating_sub(already);
        let others = component.depends_on.iter().filter(|module| *module != service.module_id());
        for module in others.take(room) {
            let latest = self.latest(scope, service.environment(), module).await?;
            let latest = latest.as_ref().map(|latest| &latest.result);
            let ServiceHealth::Known { status, reasons, .. } =
                ServiceHealth::of(latest, self.host.now(), FRESHNESS)
            else {
                continue;
            };
            let counts = if status == HealthStatus::Unhealthy {
                HealthStatus::Degraded
            } else {
                HealthStatus::Healthy
            };
            let because =
                if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
            let chain: String =
                format!("{module}, which is {status}{because}").chars().take(MOST_CHAIN).collect();
            let data = [(CheckEntry::DEPENDENCY.to_owned(), chain)];
            entries.push(entry(module.clone(), ProbeKind::Dependency, counts, Span::ZERO, data));
        }
        Ok(entries)
    }
}
