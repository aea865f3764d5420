//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::id::{EnvironmentId, ServiceId, TenantId};
use crate::inventory::{
    DeployedRevision, REMEMBERED_VERSIONS, RuntimeService, ServiceInstance, ServiceState, UnknownCause,
};
use crate::reason;
use crate::time::Timestamp;
use crate::value::ModuleId;

/// The stored form of a [`RuntimeService`], schema 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeServiceRecord {
    service_id: ServiceId,
    tenant_id: TenantId,
    environment_id: EnvironmentId,
    module_id: ModuleId,
    registered_at: Timestamp,
    current: DeployedRevision,
    former: Vec<DeployedRevision>,
    looked_at: Timestamp,
    state: ServiceState,
}

impl RuntimeServiceRecord {
    pub(super) fn of(service: &RuntimeService) -> Self {
        let RuntimeService {
            service_id,
            tenant_id,
            environment_id,
            module_id,
            registered_at,
            current,
            former,
            looked_at,
            state,
        } = service.clone();
        Self {
            service_id,
            tenant_id,
            environment_id,
            module_id,
            registered_at,
            current,
            former,
            looked_at,
            state,
        }
    }

    pub(super) fn open(self, schema: u16) -> Result<RuntimeService, RecordError> {
        let refused =
            |rule, why: String| Err(RecordError { aggregate: RuntimeService::KIND.name(), rule, why });
        if schema != RuntimeService::SCHEMA {
            let known = RuntimeService::SCHEMA;
            return refused("SCHEMA", format!("schema {schema} is not known: this version reads {known}"));
        }
        let service = RuntimeService {
            service_id: self.service_id,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            module_id: self.module_id,
            registered_at: self.registered_at,
            current: self.current,
            former: self.former,
            looked_at: self.looked_at,
            state: self.state,
        };
        match service.fault() {
            Some((rule, why)) => refused(rule, why),
            None => Ok(service),
        }
    }
}

impl RuntimeService {
    fn fault(&self) -> Option<(&'static str, String)> {
        let versions: Vec<&DeployedRevision> = self.former.iter().chain([&self.current]).collect();
        let revisions: BTreeSet<_> = versions.iter().map(|version| &version.revision).collect();
        if versions.iter().any(|version| version.revision.module != self.module_id) {
            return Some(("SVC-1", "a version is of another module".to_string()));
        }
        if revisions.len() != versions.len() || versions.len() > REMEMBERED_VERSIONS {
            return Some(("SVC-1", "versions are remembered twice, or too many".to_string()));
        }
        if let Some(instance) = self.instances().iter().find(|instance| !self.is_recognised(instance)) {
            let name = &instance.name;
            return Some((
                "SVC-1",
                format!("instance {name} counts as managed, and no deployment brought it"),
            ));
        }
        self.status_fault()
    }

    /// A version may have been forgotten since the instance was seen, but only where the service is Unknown for it; a foreign module's
    /// revision is never managed.
    fn is_recognised(&self, instance: &ServiceInstance) -> bool {
        let is_known =
            self.known(&instance.revision).is_some_and(|known| *known.image.digest() == instance.image);
        match &self.state {
            ServiceState::Unknown(_) => !instance.is_managed || instance.revision.module == self.module_id,
            _ => instance.is_managed == is_known,
        }
    }

    fn status_fault(&self) -> Option<(&'static str, String)> {
        let ready = self.state.last_observed().map_or(0, super::Observed::ready);
        let has_managed = self.instances().iter().any(|instance| instance.is_ready() && instance.is_managed);
        match &self.state {
            ServiceState::Running(_) if !has_managed => {
                Some(("SVC-2", "it is Running, and no instance of a known version is ready".to_string()))
            }
            ServiceState::Degraded(_) if ready == 0 => {
                Some(("SVC-2", "it is Degraded, and no instance is ready".to_string()))
            }
            ServiceState::Starting(_) | ServiceState::Unavailable(_) if ready > 0 => {
                Some(("SVC-2", "an instance is ready, and its status denies it".to_string()))
            }
            ServiceState::Unknown(unknown)
                if unknown.cause == UnknownCause::NeverObserved && unknown.last.is_some() =>
            {
                Some(("SVC-2", "it was never observed, and yet seen".to_string()))
            }
            ServiceState::Retired(retired) if !reason::is_kept(&retired.reason) => {
                Some(("CONTENT", "the reason of its retirement is empty or too long".to_string()))
            }
            _ => None,
        }
    }
}
