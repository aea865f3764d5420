//! The stored form. Loading re-checks every rule, so a row that was edited by hand is refused, not believed.

use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, RecordError};
use crate::drift::secrecy;
use crate::drift::watch::{DriftWatch, Outlook, WatchState, WatchTerms};
use crate::id::{EnvironmentId, TenantId};
use crate::reason;

/// The stored form of a [`DriftWatch`], schema 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftWatchRecord {
    tenant_id: TenantId,
    environment_id: EnvironmentId,
    terms: WatchTerms,
    state: WatchState,
}

impl DriftWatchRecord {
    pub(super) fn of(watch: &DriftWatch) -> Self {
        let DriftWatch { tenant_id, environment_id, terms, state } = watch.clone();
        Self { tenant_id, environment_id, terms, state }
    }

    pub(super) fn open(self, schema: u16) -> Result<DriftWatch, RecordError> {
        let refused = |rule, why: String| Err(RecordError { aggregate: DriftWatch::KIND.name(), rule, why });
        if schema != DriftWatch::SCHEMA {
            let known = DriftWatch::SCHEMA;
            return refused("SCHEMA", format!("schema {schema} is not known: this version reads {known}"));
        }
        if !self.terms.is_sound() {
            return refused("CONTENT", "the terms are outside their bounds".to_string());
        }
        let said = match &self.state {
            WatchState::Watching(watch) => match &watch.outlook {
                Outlook::NotCompared { reason } => Some(reason),
                _ => None,
            },
            WatchState::Stopped { reason, .. } => Some(reason),
        };
        if said.is_some_and(|reason| secrecy::is_like_a_secret(reason)) {
            return refused("X-11", "a reason may hold a secret".to_string());
        }
        if said.is_some_and(|reason| !reason::is_kept(reason)) {
            return refused("CONTENT", "a reason is empty or too long".to_string());
        }
        let Self { tenant_id, environment_id, terms, state } = self;
        Ok(DriftWatch { tenant_id, environment_id, terms, state })
    }
}
