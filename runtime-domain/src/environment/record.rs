//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::calendar::{ChangeCalendar, StoppedLine};
use crate::environment::decide::is_destination;
use crate::environment::ledger::QuotaLedgerRecord;
use crate::environment::{
    EnvironmentStage, EnvironmentState, IsolationModel, PendingChange, ProvisionedResources,
    RuntimeEnvironment,
};
use crate::id::{EnvironmentId, ProjectId, TenantId};
use crate::promotion::PromotionPolicy;
use crate::reason;
use crate::surface::SurfaceKind;
use crate::time::Timestamp;
use crate::value::{Name, Region};

/// The stored form of a [`RuntimeEnvironment`], schema 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeEnvironmentRecord {
    environment_id: EnvironmentId,
    tenant_id: TenantId,
    project_id: ProjectId,
    name: Name,
    stage: EnvironmentStage,
    region: Region,
    isolation_model: IsolationModel,
    surfaces: BTreeSet<SurfaceKind>,
    egress_allow_list: BTreeSet<String>,
    created_at: Timestamp,
    is_protected: bool,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    ledger: QuotaLedgerRecord,
    #[serde(default)]
    calendar: ChangeCalendar,
    #[serde(default)]
    stopped_line: Option<StoppedLine>,
    #[serde(default)]
    promotion: Option<PromotionPolicy>,
    state: EnvironmentState,
}

impl RuntimeEnvironmentRecord {
    pub(super) fn of(environment: &RuntimeEnvironment) -> Self {
        let RuntimeEnvironment {
            environment_id,
            tenant_id,
            project_id,
            name,
            stage,
            region,
            isolation_model,
            surfaces,
            egress_allow_list,
            created_at,
            is_protected,
            expires_at,
            ledger,
            calendar,
            stopped_line,
            promotion,
            state,
        } = environment.clone();
        Self {
            environment_id,
            tenant_id,
            project_id,
            name,
            stage,
            region,
            isolation_model,
            surfaces,
            egress_allow_list,
            created_at,
            is_protected,
            expires_at,
            ledger: ledger.into(),
            calendar,
            stopped_line,
            promotion,
            state,
        }
    }

    pub(super) fn open(self, schema: u16) -> Result<RuntimeEnvironment, RecordError> {
        let refused =
            |rule, why: String| Err(RecordError { aggregate: RuntimeEnvironment::KIND.name(), rule, why });
        if schema != RuntimeEnvironment::SCHEMA {
            let known = RuntimeEnvironment::SCHEMA;
            return refused("SCHEMA", format!("schema {schema} is not known: this version reads {known}"));
        }
        let ledger = match self.ledger.open() {
            Ok(ledger) => ledger,
            Err(why) => return refused("TEN-2", why),
        };
        let environment = RuntimeEnvironment {
            environment_id: self.environment_id,
            tenant_id: self.tenant_id,
            project_id: self.project_id,
            name: self.name,
            stage: self.stage,
            region: self.region,
            isolation_model: self.isolation_model,
            surfaces: self.surfaces,
            egress_allow_list: self.egress_allow_list,
            created_at: self.created_at,
            is_protected: self.is_protected,
            expires_at: self.expires_at,
            ledger,
            calendar: self.calendar,
            stopped_line: self.stopped_line,
            promotion: self.promotion,
            state: self.state,
        };
        match environment.fault() {
            Some((rule, why)) => refused(rule, why),
            None => Ok(environment),
        }
    }
}

impl RuntimeEnvironment {
    fn fault(&self) -> Option<(&'static str, String)> {
        if self.promotion.as_ref().is_some_and(|policy| policy.upstream().contains(&self.environment_id)) {
            return Some(("PROMOTION", "it comes after itself".to_string()));
        }
        if self.stopped_line.as_ref().is_some_and(|stopped| !reason::is_kept(&stopped.reason)) {
            return Some(("CONTENT", "its line is stopped without a reason".to_string()));
        }
        if self.expires_at.is_some() && self.stage == EnvironmentStage::Prod {
            return Some(("LIFECYCLE", "it is prod, and would end by itself".to_string()));
        }
        if self.surfaces.is_empty() {
            return Some(("CONTENT", "it has no surface".to_string()));
        }
        if !self.egress_allow_list.iter().all(|destination| is_destination(destination)) {
            return Some(("CONTENT", "its egress list holds what is no destination".to_string()));
        }
        match &self.state {
            EnvironmentState::Requested(_) => None,
            EnvironmentState::Provisioning(state) => begun(state.attempts),
            EnvironmentState::ProvisioningFailed(state) => {
                begun(state.attempts).or_else(|| kept(&state.reason))
            }
            // While a change waits, the resources are still those of the blueprint before it.
            EnvironmentState::Provisioned(state) => match &state.pending {
                Some(pending) => stray(&self.surfaces, &state.resources)
                    .map(|why| ("ENV-1", why))
                    .or_else(|| asleep(pending))
                    .or_else(|| pending.failure.as_deref().and_then(kept)),
                None => self.misfit(&state.resources).map(|misfit| ("ENV-1", misfit)),
            },
            EnvironmentState::Decommissioning(state) => self
                .leaving()
                .or_else(|| stray(&self.surfaces, state.resources.as_ref()?).map(|why| ("LIFECYCLE", why)))
                .or_else(|| kept(&state.reason))
                .or_else(|| state.failure.as_deref().and_then(kept)),
            EnvironmentState::Decommissioned(state) => self.leaving().or_else(|| kept(&state.reason)),
        }
    }

    fn leaving(&self) -> Option<(&'static str, String)> {
        self.is_protected
            .then(|| ("LIFECYCLE", "it is protected from deletion, and is being or was deleted".to_string()))
    }
}

/// What cannot be of resources that were brought about for an earlier blueprint: surfaces are only ever added to it.
fn stray(surfaces: &BTreeSet<SurfaceKind>, resources: &ProvisionedResources) -> Option<String> {
    let targets: BTreeSet<SurfaceKind> =
        resources.compute_targets.iter().map(|target| target.surface).collect();
    if targets.is_empty() || targets.len() != resources.compute_targets.len() {
        return Some("its surfaces and what was provisioned for them do not agree".to_string());
    }
    if let Some(stray) = targets.difference(surfaces).next() {
        return Some(format!("surface {stray} was never asked for"));
    }
    if !resources.network_boundary.egress_allow_list.iter().all(|destination| is_destination(destination)) {
        return Some("its network boundary lets out to what is no destination".to_string());
    }
    resources.stack_ref.trim().is_empty().then(|| "nothing refers to what was provisioned".to_string())
}

fn asleep(pending: &PendingChange) -> Option<(&'static str, String)> {
    (pending.retry_at.is_none() && pending.failure.is_none())
        .then(|| ("LIFECYCLE", "a change waits for a person, and never failed".to_string()))
}

fn begun(attempts: u32) -> Option<(&'static str, String)> {
    (attempts == 0).then(|| ("LIFECYCLE", "provisioning has begun, and was never tried".to_string()))
}

fn kept(text: &str) -> Option<(&'static str, String)> {
    (!reason::is_kept(text)).then(|| ("CONTENT", "a reason is empty or too long".to_string()))
}
