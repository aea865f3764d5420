//! What happens by itself: one reconciler per kind of aggregate that acts on the world.

mod configuration;
mod deployment;
mod drift;
mod environment;
mod inventory;
mod scaling;
mod secrets;
mod tenancy;

pub(crate) use configuration::ConfigurationReconciler;
pub(crate) use deployment::DeploymentReconciler;
pub(crate) use drift::DriftReconciler;
pub(crate) use environment::EnvironmentReconciler;
pub(crate) use inventory::InventoryReconciler;
pub(crate) use scaling::ScalingReconciler;
pub(crate) use secrets::SecretReconciler;
pub(crate) use tenancy::TenancyReconciler;

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use runtime_domain::envelope::TraceParent;
use runtime_domain::id::{CorrelationId, TenantId};
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Timestamp;
use runtime_ports::PortError;
use runtime_ports::store::{AggregateKey, HistoryEntry, Lease};

use crate::host::Host;
use crate::observed;
use crate::worker::PassError;

/// What began an aggregate: its first entry's chain of work, and the span that it was decided in.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    pub(crate) correlation: CorrelationId,
    pub(crate) trace_parent: Option<TraceParent>,
    pub(crate) at: Timestamp,
}

/// What began the aggregates that this host works on. An aggregate's beginning never changes, so it is read once.
#[derive(Debug, Default)]
pub(crate) struct Beginnings {
    known: Mutex<HashMap<(TenantId, AggregateKey), Beginning>>,
}

/// How many beginnings are remembered at most: a few tens of megabytes.
const REMEMBERED: usize = 131_072;

impl Beginnings {
    fn known(&self) -> MutexGuard<'_, HashMap<(TenantId, AggregateKey), Beginning>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, lease: &Lease, beginning: Beginning) {
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert((lease.tenant, lease.key), beginning);
    }
}

/// The scope in which a reconciler works on a leased aggregate: its tenant's, and part of the chain of work that began it.
pub(crate) async fn scope_of(
    host: &Host,
    name: &'static str,
    lease: &Lease,
) -> Result<TenantScope, PassError> {
    let operator = host.operator(name);
    let known = host.beginnings().known().get(&(lease.tenant, lease.key)).cloned();
    if let Some(beginning) = known {
        observed::continues(host, &beginning);
        return Ok(operator.for_tenant(lease.tenant, beginning.correlation));
    }
    let unnamed = operator.for_tenant(lease.tenant, CorrelationId::from_uuid(lease.key.id));
    let store = host.ports().store.for_tenant(&unnamed);
    let first = store.history(&lease.key, 0, 1).await.map_err(PassError::failed)?.into_iter().next();
    let Some(HistoryEntry { correlation, trace_parent, at, .. }) = first else {
        return Ok(unnamed);
    };
    let beginning = Beginning { correlation, trace_parent, at };
    observed::continues(host, &beginning);
    host.beginnings().remember(lease, beginning);
    Ok(operator.for_tenant(lease.tenant, correlation))
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
