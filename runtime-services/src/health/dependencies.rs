//! How that is which a service depends on.
//!
//! A required dependency that is Unhealthy makes who depends on it Unhealthy; one that it can do without degrades it at most. What is Degraded
//! still serves, and is only reported. Of a dependency that nothing is known of, nothing is said here; a product tells it.
//!
//! What is Unhealthy is passed on from dependent to dependent as far as there is a cause: something that is Unhealthy by itself. So a circle of
//! required dependencies ends when its cause does: none of it stays Unhealthy because the others are.

use std::collections::BTreeSet;
use std::sync::Arc;

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::component::{Dependency, OutsideService};
use runtime_domain::health::{CheckEntry, HealthCheckResult, HealthStatus, ProbeKind, ServiceHealth};
use runtime_domain::id::EnvironmentId;
use runtime_domain::inventory::{FRESHNESS, RuntimeService};
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Span;
use runtime_domain::value::ModuleId;
use runtime_ports::store::LoadError;
use tokio::task::JoinSet;

use crate::error::CommandError;
use crate::health::destinations::{Told, forbidden};
use crate::health::familiar::Declared;
use crate::health::probes::{Probed, entry};
use crate::health::{HealthError, HealthService};

/// How many characters are kept of why a dependency is as it is.
const MOST_CHAIN: usize = 800;
/// How many components are looked at for the cause of one that is Unhealthy.
const MOST_CAUSES: usize = 32;

impl HealthService {
    /// An entry for each dependency of which something is known, as far as there is room beside the entries that are there already: what is
    /// required first.
    pub(super) async fn dependencies(
        &self,
        scope: &TenantScope,
        service: &RuntimeService,
        declared: &Declared,
        already: usize,
    ) -> Result<Probed, HealthError> {
        let room = CheckEntry::MOST.saturating_sub(already);
        let needed: Vec<Dependency<'_>> = declared.needs().take(room).collect();
        let outside: Vec<_> = needed.iter().filter_map(|needed| Some((*needed, needed.http?))).collect();
        let mut probed = self.outside(scope, service.environment(), &outside).await?;
        for needed in needed.iter().filter(|needed| needed.http.is_none()) {
            let (environment, asking) = (service.environment(), service.module_id());
            probed.entries.extend(self.component(scope, environment, asking, *needed).await?);
        }
        Ok(probed)
    }

    /// How another component of the environment is.
    async fn component(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        asking: &ModuleId,
        needed: Dependency<'_>,
    ) -> Result<Option<CheckEntry>, LoadError> {
        let latest = self.latest(scope, environment, needed.name).await?;
        let latest = latest.as_ref().map(|latest| &latest.result);
        let ServiceHealth::Known { status, reasons, .. } =
            ServiceHealth::of(latest, self.host.now(), FRESHNESS)
        else {
            return Ok(None);
        };
        let counts = match (status, latest) {
            (HealthStatus::Unhealthy, Some(latest)) if needed.required => {
                if self.has_cause(scope, environment, asking, latest).await? {
                    HealthStatus::Unhealthy
                } else {
                    HealthStatus::Degraded
                }
            }
            (HealthStatus::Unhealthy, _) => HealthStatus::Unhealthy,
            _ => HealthStatus::Healthy,
        };
        let because = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
        let what = format!("{}, which is {status}{because}", needed.name);
        Ok(Some(told(needed, counts, Span::ZERO, &what)))
    }

    /// Whether something leads to a component's being Unhealthy that is Unhealthy by itself, and is not `asking`, whose own state is not known
    /// yet.
    async fn has_cause(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        asking: &ModuleId,
        ill: &HealthCheckResult,
    ) -> Result<bool, LoadError> {
        let mut seen = BTreeSet::from([asking.clone(), ill.module_id().clone()]);
        let mut open = Vec::new();
        if has_own_cause(ill) {
            return Ok(true);
        }
        open.extend(passed_on(ill));
        while let Some(module) = open.pop() {
            if seen.len() > MOST_CAUSES || !seen.insert(module.clone()) {
                continue;
            }
            let Some(latest) = self.latest(scope, environment, &module).await? else { continue };
            let health = ServiceHealth::of(Some(&latest.result), self.host.now(), FRESHNESS);
            if health.status() != Some(HealthStatus::Unhealthy) {
                continue;
            }
            if has_own_cause(&latest.result) {
                return Ok(true);
            }
            open.extend(passed_on(&latest.result));
        }
        Ok(false)
    }

    /// The services outside that were found Unhealthy when a component was evaluated last.
    pub(crate) async fn ill_outside(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
    ) -> Result<BTreeSet<ModuleId>, LoadError> {
        let latest = self.latest(scope, environment, module).await?;
        let latest = latest.filter(|latest| {
            let health = ServiceHealth::of(Some(&latest.result), self.host.now(), FRESHNESS);
            health.status().is_some()
        });
        let entries = latest.iter().flat_map(|latest| latest.result.entries());
        let ill = entries
            .filter(|entry| entry.status == HealthStatus::Unhealthy && entry.data.contains_key(OUTSIDE));
        Ok(ill.map(|entry| entry.probe.clone()).collect())
    }

    /// How services outside are, asked at once.
    async fn outside(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        needed: &[(Dependency<'_>, &OutsideService)],
    ) -> Result<Probed, HealthError> {
        let mut probed = Probed::default();
        if needed.is_empty() {
            return Ok(probed);
        }
        let environments = self.inventory.deployments().environments();
        let environment =
            environments.environment(scope, environment).await.map_err(|error| match error {
                CommandError::Load(error) => CommandError::Load(error),
                CommandError::Port(error) => CommandError::Port(error),
                _ => CommandError::NotFound { what: format!("environment {environment}") },
            })?;
        let is_loopback_granted = self.host.options().loopback_dependencies;
        let mut asked = JoinSet::new();
        for (number, (_, outside)) in needed.iter().enumerate() {
            let granted = environment.egress_allow_list().iter().map(String::as_str);
            let answer = forbidden(&outside.url, granted, is_loopback_granted);
            let (destinations, host) = (Arc::clone(&self.destinations), self.host.clone());
            let (tenant, outside) = (scope.tenant(), (*outside).clone());
            asked.spawn(async move {
                match answer {
                    Some(why) => (number, Told::Forbidden { why }),
                    None => (number, destinations.ask(&host, tenant, &outside).await),
                }
            });
        }
        while let Some(answer) = asked.join_next().await {
            let Ok((number, answer)) = answer else { continue };
            let Some((needed, outside)) = needed.get(number) else { continue };
            let (name, url) = (needed.name, &outside.url);
            let (counts, latency, what) = match answer {
                Told::Well { latency } => {
                    (HealthStatus::Healthy, latency, format!("{name} ({url}), which is Healthy"))
                }
                Told::Ill { seen } => {
                    let what = format!("{name} ({url}), which is Unhealthy: {seen}");
                    (HealthStatus::Unhealthy, Span::ZERO, what)
                }
                Told::Forbidden { why } => {
                    let what = format!("{name} ({url}), which may not be asked: {why}");
                    (HealthStatus::Degraded, Span::ZERO, what)
                }
                Told::Unasked => {
                    // What it can do without does not make it unknown how it is.
                    probed.unasked += usize::from(needed.required);
                    continue;
                }
            };
            probed.entries.push(told(*needed, counts, latency, &what));
        }
        probed.entries.sort_by(|one, other| one.probe.cmp(&other.probe));
        Ok(probed)
    }
}

/// Whether a result has a reason of its own for being Unhealthy. A service outside is one.
fn has_own_cause(result: &HealthCheckResult) -> bool {
    let ill = result.entries().iter().filter(|entry| entry.counts_as() == HealthStatus::Unhealthy);
    ill.into_iter().any(|entry| entry.kind != ProbeKind::Dependency || entry.data.contains_key(OUTSIDE))
}

/// The components whose being Unhealthy makes this one so.
fn passed_on(result: &HealthCheckResult) -> Vec<ModuleId> {
    let ill = result.entries().iter().filter(|entry| entry.counts_as() == HealthStatus::Unhealthy);
    ill.map(|entry| entry.probe.clone()).collect()
}

/// The key of a service's URL in the data of its entry; a component's has none.
const OUTSIDE: &str = "url";

fn told(needed: Dependency<'_>, status: HealthStatus, latency: Span, what: &str) -> CheckEntry {
    let chain: String = what.chars().take(MOST_CHAIN).collect();
    let url = needed.http.map(|outside| (OUTSIDE.to_owned(), outside.url.to_string()));
    let data = [(CheckEntry::DEPENDENCY.to_owned(), chain)].into_iter().chain(url);
    let entry = entry(needed.name.clone(), ProbeKind::Dependency, status, latency, data);
    CheckEntry { required: needed.required, ..entry }
}

#[cfg(test)]
mod tests;
