//! What happens by itself: one reconciler per kind of aggregate that acts on the world.

mod configuration;
mod deployment;
mod environment;
mod inventory;
mod secrets;
mod tenancy;

pub(crate) use configuration::ConfigurationReconciler;
pub(crate) use deployment::DeploymentReconciler;
pub(crate) use environment::EnvironmentReconciler;
pub(crate) use inventory::InventoryReconciler;
pub(crate) use secrets::SecretReconciler;
pub(crate) use tenancy::TenancyReconciler;

use std::error::Error;

use runtime_domain::id::CorrelationId;
use runtime_domain::scope::TenantScope;
use runtime_ports::PortError;
use runtime_ports::store::Lease;

use crate::host::Host;
use crate::worker::PassError;

/// The scope in which a reconciler works on a leased aggregate: its tenant's, and part of the chain of work that began it.
pub(crate) async fn scope_of(
    host: &Host,
    name: &'static str,
    lease: &Lease,
) -> Result<TenantScope, PassError> {
    let operator = host.operator(name);
    let unnamed = operator.for_tenant(lease.tenant, CorrelationId::from_uuid(lease.key.id));
    let store = host.ports().store.for_tenant(&unnamed);
    let first = store.history(&lease.key, 0, 1).await.map_err(PassError::failed)?;
    Ok(match first.first() {
        Some(entry) => operator.for_tenant(lease.tenant, entry.correlation),
        None => unnamed,
    })
}

/// A port's error with its causes, for people.
pub(crate) fn in_words(error: &PortError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
