//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::id::{EnvironmentId, ServiceId, TenantId};
use crate::inventory::state::{RecordedVersion, RuntimeService, ServiceState};
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
    version: RecordedVersion,
    registered_at: Timestamp,
    state: ServiceState,
}

impl RuntimeServiceRecord {
    pub(super) fn of(service: &RuntimeService) -> Self {
        let RuntimeService {
            service_id,
            tenant_id,
            environment_id,
            module_id,
            version,
            registered_at,
            state,
        } = service.clone();
        Self { service_id, tenant_id, environment_id, module_id, version, registered_at, state }
    }

    pub(super) fn open(self, schema: u16) -> Result<RuntimeService, RecordError> {
        let refused =
            |rule, why: String| Err(RecordError { aggregate: RuntimeService::KIND.name(), rule, why });
        if schema != RuntimeService::SCHEMA {
            return refused(
                "SCHEMA",
                format!("schema {schema} is not known: this version reads {}", RuntimeService::SCHEMA),
            );
        }
        if let Some((rule, why)) = self.fault() {
            return refused(rule, why);
        }
        Ok(RuntimeService {
            service_id: self.service_id,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            module_id: self.module_id,
            version: self.version,
            registered_at: self.registered_at,
            state: self.state,
        })
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        let recorded = &self.version.revision;
        if recorded.module != self.module_id {
            let why = format!("its version is {recorded}, and its module is `{}`", self.module_id);
            return Some(("SVC-1", why));
        }
        if self.service_id != ServiceId::of(self.environment_id, &self.module_id) {
            let why = format!(
                "{} is not the identifier of `{}` in its environment",
                self.service_id, self.module_id
            );
            return Some(("X-3", why));
        }
        let instances = self.state.seen().map(|seen| seen.instances.as_slice()).unwrap_or_default();
        if let Some(stray) = instances.iter().find(|instance| instance.revision.module != self.module_id) {
            let why =
                format!("it has an instance of {}, and its module is `{}`", stray.revision, self.module_id);
            return Some(("CONTENT", why));
        }
        match &self.state {
            ServiceState::Running(state) if !state.seen.serves(recorded) => {
                Some(("SVC-2", format!("it is Running, and no instance of {recorded} serves")))
            }
            ServiceState::Running(state) if state.seen.serving() < usize::from(state.seen.wanted) => {
                Some(("CONTENT", "it is Running, and fewer instances serve than are wanted".to_string()))
            }
            ServiceState::Starting(state) if state.seen.as_ref().is_some_and(|seen| seen.serving() > 0) => {
                Some(("CONTENT", "it is Starting, and an instance serves".to_string()))
            }
            ServiceState::Degraded(state) if state.seen.serving() == 0 => {
                Some(("SVC-2", "it is Degraded, and no instance serves: that is Unavailable".to_string()))
            }
            ServiceState::Unavailable(state) if state.seen.serving() > 0 => {
                Some(("CONTENT", "it is Unavailable, and an instance serves".to_string()))
            }
            _ => None,
        }
    }
}
