//! What can be said about a commit without looking at the store.

use std::collections::BTreeSet;

use runtime_domain::id::TenantId;

use crate::error::{PortError, PortErrorKind, PortResult};
use crate::store::{AggregateWrite, Commit};

impl Commit {
    /// Checks the commit's own form, the same for every store. Stores call it before they look at anything else.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid), where
    /// - two writes are for the same aggregate,
    /// - a write has no history, its sequences are not consecutive, or two of its entries share an identifier,
    /// - an outbox event is of another tenant or aggregate, or is not one of the write's history entries, by identifier and sequence,
    /// - a write claims one key both exclusively and shared.
    pub fn check(&self, tenant: TenantId) -> PortResult<()> {
        let mut written = BTreeSet::new();
        for write in &self.writes {
            if !written.insert(write.key) {
                return Err(invalid(write, "is written twice: give each aggregate one write"));
            }
            check_history(write)?;
            check_outbox(write, tenant)?;
            let mut claimed = BTreeSet::new();
            if !write.claims.iter().all(|claim| claimed.insert((claim.space, claim.key.as_str()))) {
                return Err(invalid(write, "claims one key in two modes: choose exclusive or shared"));
            }
        }
        Ok(())
    }
}

fn check_history(write: &AggregateWrite) -> PortResult<()> {
    let Some(first) = write.history.first() else {
        return Err(invalid(write, "has no history: give every write at least one entry"));
    };
    let consecutive =
        (first.sequence..).zip(&write.history).all(|(sequence, entry)| entry.sequence == sequence);
    if first.sequence == 0 || !consecutive {
        return Err(invalid(write, "has a gap in its history: number the entries consecutively, from 1"));
    }
    let ids: BTreeSet<_> = write.history.iter().map(|entry| entry.id).collect();
    if ids.len() != write.history.len() {
        return Err(invalid(write, "has two history entries with one identifier: give each its own"));
    }
    Ok(())
}

fn check_outbox(write: &AggregateWrite, tenant: TenantId) -> PortResult<()> {
    let mut sequences = BTreeSet::new();
    for event in &write.outbox {
        if event.tenant != tenant
            || event.aggregate_kind != write.key.kind
            || event.aggregate_id != write.key.id
        {
            return Err(invalid(write, "publishes an event of another tenant or aggregate"));
        }
        let told = write.history.iter().any(|entry| entry.id == event.id && entry.sequence == event.sequence);
        if !told || !sequences.insert(event.sequence) {
            return Err(invalid(
                write,
                "publishes an event that is not in its history exactly once: publish history entries, by identifier and sequence",
            ));
        }
    }
    Ok(())
}

fn invalid(write: &AggregateWrite, why: &str) -> PortError {
    PortError::new(PortErrorKind::Invalid, "store.commit", format!("{} {why}", write.key))
}
