//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::id::{EnvironmentId, ScalingPolicyId, ServiceId, TenantId};
use crate::reason;
use crate::scaling::{
    AppliedAction, FormerTerms, MOST_APPLIED, MOST_FORMER, PolicyIdentity, PolicySpec, PolicyState, Released,
    Retired, ScalingPolicy, Suspended, Violated, Violation,
};
use crate::time::Timestamp;
use crate::value::ModuleId;

/// The stored form of a [`ScalingPolicy`], schema 1.
///
/// What the policy says checks itself as it is read (SCL-1, SCL-2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingPolicyRecord {
    scaling_policy_id: ScalingPolicyId,
    tenant_id: TenantId,
    environment_id: EnvironmentId,
    service_id: ServiceId,
    module_id: ModuleId,
    policy: PolicySpec,
    applied_at: Timestamp,
    applied: Vec<AppliedAction>,
    former: Vec<FormerTerms>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    released: Option<Released>,
    intentions: u32,
    state: PolicyState,
}

impl ScalingPolicyRecord {
    pub(super) fn of(policy: &ScalingPolicy) -> Self {
        let ScalingPolicy { identity, spec, applied_at, applied, former, released, intentions, state } =
            policy.clone();
        let PolicyIdentity { scaling_policy_id, tenant_id, environment_id, service_id, module_id } = identity;
        Self {
            scaling_policy_id,
            tenant_id,
            environment_id,
            service_id,
            module_id,
            policy: spec,
            applied_at,
            applied,
            former,
            released,
            intentions,
            state,
        }
    }

    pub(super) fn open(self, schema: u16) -> Result<ScalingPolicy, RecordError> {
        let refused =
            |rule, why: String| Err(RecordError { aggregate: ScalingPolicy::KIND.name(), rule, why });
        if schema != ScalingPolicy::SCHEMA {
            let known = ScalingPolicy::SCHEMA;
            return refused("SCHEMA", format!("schema {schema} is not known: this version reads {known}"));
        }
        let policy = ScalingPolicy {
            identity: PolicyIdentity {
                scaling_policy_id: self.scaling_policy_id,
                tenant_id: self.tenant_id,
                environment_id: self.environment_id,
                service_id: self.service_id,
                module_id: self.module_id,
            },
            spec: self.policy,
            applied_at: self.applied_at,
            applied: self.applied,
            former: self.former,
            released: self.released,
            intentions: self.intentions,
            state: self.state,
        };
        match policy.fault() {
            Some((rule, why)) => refused(rule, why.to_string()),
            None => Ok(policy),
        }
    }
}

impl ScalingPolicy {
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        let identity = &self.identity;
        if identity.service_id != ServiceId::of(identity.environment_id, &identity.module_id) {
            return Some(("SCL-3", "the service is not the module's in its environment"));
        }
        if self.applied.len() > MOST_APPLIED {
            return Some(("CONTENT", "more actions are remembered than are kept"));
        }
        if self.applied.iter().any(|action| action.from == action.to) {
            return Some(("CONTENT", "an action changed nothing"));
        }
        if self.former.len() > MOST_FORMER {
            return Some(("CONTENT", "more former terms are remembered than are kept"));
        }
        match &self.state {
            PolicyState::Active(_) => {}
            PolicyState::Violated(Violated { violation, .. }) => {
                if let Some(why) = self.misjudged(violation) {
                    return Some(("LIFECYCLE", why));
                }
            }
            PolicyState::Suspended(Suspended { reason, .. })
            | PolicyState::Retired(Retired { reason, .. }) => {
                if !reason::is_kept(reason) {
                    return Some(("CONTENT", "a reason is empty or too long"));
                }
            }
        }
        let watch = self.state.watch()?;
        if let Some(why) = watch.history.fault() {
            return Some(("CONTENT", why));
        }
        if watch.activated_at.is_some() && !self.spec.bounds().scales_to_zero() {
            return Some(("SCL-2", "something waits for the first replica, and it never runs none"));
        }
        let wanted = watch.wanted?;
        if self.intentions == 0 {
            return Some(("LIFECYCLE", "something is wanted that was never intended"));
        }
        // A quota may leave room for fewer than the least: then as many are added as there is room for, and none is taken away (TEN-2).
        if wanted.to < self.spec.bounds().least() && wanted.to < wanted.from {
            return Some(("SCL-1", "replicas are taken away until there are fewer than it allows"));
        }
        let was_decided = watch.history.evaluated_at().is_some() && wanted.from != wanted.to;
        let is_there = watch.observed == Some(wanted.to);
        (!was_decided || is_there)
            .then_some(("LIFECYCLE", "something is wanted that was never decided, or is there"))
    }

    fn misjudged(&self, violation: &Violation) -> Option<&'static str> {
        let bounds = self.spec.bounds();
        match violation {
            Violation::OutOfBounds { observed, .. } => {
                (bounds.clamp(*observed) == *observed).then_some("it is violated by what it allows")
            }
            Violation::MetricsMissing { signals, .. } => {
                signals.is_empty().then_some("metrics are missing, and none is named")
            }
            Violation::TargetMissed { most, .. } => {
                (*most != bounds.most()).then_some("it is violated by bounds that it does not have")
            }
        }
    }
}
