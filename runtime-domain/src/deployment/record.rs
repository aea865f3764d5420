//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::component::ComponentSpec;
use crate::deployment::Release;
use crate::deployment::state::{DeploymentState, Purpose, RuntimeDeployment};
use crate::id::{DeploymentId, EnvironmentId, TenantId};
use crate::rollout::compile::RestorePoint;
use crate::rollout::{HealthGate, RolloutPlan};
use crate::surface::TrafficControl;
use crate::time::Timestamp;
use crate::value::ModuleId;

/// The stored form of a [`RuntimeDeployment`], schema 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeDeploymentRecord {
    deployment_id: DeploymentId,
    tenant_id: TenantId,
    environment_id: EnvironmentId,
    release: Arc<Release>,
    purpose: Purpose,
    numbers: Arc<BTreeMap<ModuleId, u32>>,
    restore_points: Arc<BTreeMap<ModuleId, RestorePoint>>,
    traffic_controls: Arc<BTreeMap<ModuleId, TrafficControl>>,
    requested_at: Timestamp,
    started_at: Option<Timestamp>,
    plan: Arc<RolloutPlan>,
    gates: Vec<HealthGate>,
    touched: BTreeSet<ModuleId>,
    intentions: u32,
    state: DeploymentState,
}

impl RuntimeDeploymentRecord {
    pub(super) fn of(deployment: &RuntimeDeployment) -> Self {
        let RuntimeDeployment {
            deployment_id,
            tenant_id,
            environment_id,
            release,
            purpose,
            numbers,
            restore_points,
            traffic_controls,
            requested_at,
            started_at,
            plan,
            gates,
            touched,
            intentions,
            state,
        } = deployment.clone();
        Self {
            deployment_id,
            tenant_id,
            environment_id,
            release,
            purpose,
            numbers,
            restore_points,
            traffic_controls,
            requested_at,
            started_at,
            plan,
            gates,
            touched,
            intentions,
            state,
        }
    }

    pub(super) fn open(self, schema: u16) -> Result<RuntimeDeployment, RecordError> {
        let refused =
            |rule, why: String| Err(RecordError { aggregate: RuntimeDeployment::KIND.name(), rule, why });
        if schema != RuntimeDeployment::SCHEMA {
            return refused(
                "SCHEMA",
                format!("schema {schema} is not known: this version reads {}", RuntimeDeployment::SCHEMA),
            );
        }
        if let Some((rule, why)) = self.fault() {
            return refused(rule, why);
        }
        Ok(RuntimeDeployment {
            deployment_id: self.deployment_id,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            release: self.release,
            purpose: self.purpose,
            numbers: self.numbers,
            restore_points: self.restore_points,
            traffic_controls: self.traffic_controls,
            requested_at: self.requested_at,
            started_at: self.started_at,
            plan: self.plan,
            gates: self.gates,
            touched: self.touched,
            intentions: self.intentions,
            state: self.state,
        })
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        let components = &self.release.components;
        if components.is_empty() || components.iter().any(|(module, component)| *module != component.module) {
            return Some(("CONTENT", "components and their names do not agree".to_string()));
        }
        let is_elsewhere = |component: &ComponentSpec| {
            let scaling = component.tuple.scaling.as_ref();
            scaling.is_some_and(|policy| policy.bounds().target() != component.surface)
        };
        if components.values().any(is_elsewhere) {
            return Some((
                "CAPABILITY",
                "a component would scale on another surface than its own".to_string(),
            ));
        }
        if let DeploymentState::Completed(_) = &self.state
            && let Some(gate) = self.gates.iter().find(|gate| !gate.has_passed())
        {
            return Some(("DEP-1", format!("it is Completed, and gate `{}` has not passed", gate.name)));
        }
        let own_target = |point: &RestorePoint| point.revision.deployment == self.deployment_id;
        let is_another = |module: &ModuleId, point: &RestorePoint| {
            *module != point.revision.module || *module != point.component.module
        };
        if self.restore_points.iter().any(|(module, point)| is_another(module, point) || own_target(point)) {
            return Some((
                "DEP-2",
                "a component would go back to something that is not a prior deployment of it".to_string(),
            ));
        }
        if !self.touched.is_subset(&components.keys().cloned().collect())
            || !components.keys().eq(self.numbers.keys())
        {
            return Some(("DEP-3", "its components and what it holds for them do not agree".to_string()));
        }
        let untouched = self.touched.is_empty();
        if untouched != self.started_at.is_none() {
            return Some(("SVC-1", "what it touched and when it started do not agree".to_string()));
        }
        match &self.state {
            DeploymentState::Requested(_) | DeploymentState::Rejected(_) if !untouched => {
                Some(("LIFECYCLE", "it is Requested or Rejected, and a workload was touched".to_string()))
            }
            DeploymentState::InProgress(_)
            | DeploymentState::RollingBack(_)
            | DeploymentState::Completed(_)
            | DeploymentState::RolledBack(_)
            | DeploymentState::Failed(_)
                if untouched =>
            {
                Some(("LIFECYCLE", "it is under way or was, and no workload was touched".to_string()))
            }
            _ => self.stray_gate(),
        }
    }

    fn stray_gate(&self) -> Option<(&'static str, String)> {
        let gates = self.gates.len();
        let stages = self.plan.segments.iter().flat_map(|segment| segment.tracks.values().flatten());
        let stray = stages.flat_map(|stage| &stage.gates).find(|index| usize::from(index.0) >= gates)?;
        Some(("DEP-1", format!("the plan waits for gate {}, which does not exist", stray.0)))
    }
}
