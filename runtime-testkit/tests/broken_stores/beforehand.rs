//! Stores that look first and commit afterwards: right as long as nobody comes in between.

use std::collections::BTreeMap;

use runtime_domain::claim::{Claim, ClaimMode, ClaimSpace};
use runtime_domain::id::TenantId;
use runtime_ports::store::{AggregateKey, Commit, CommitError, CommitReceipt, Expected, StoredAggregate};

use crate::tenant::Handle;

/// Who holds which keys.
pub(crate) type Held = BTreeMap<(TenantId, AggregateKey), Vec<Claim>>;

impl Handle {
    fn tenant(&self) -> TenantId {
        self.inner.scope().tenant()
    }

    /// The first claim that another holds, who is not written by the same commit.
    fn held_by_another(&self, commit: &Commit, ours: impl Fn(&Claim) -> bool) -> Option<Claim> {
        let notes = self.store.notes.lock().unwrap();
        let is_written = |(tenant, key): &(TenantId, AggregateKey)| {
            *tenant == self.tenant() && commit.writes.iter().any(|write| write.key == *key)
        };
        let clashes = |claim: &Claim| {
            notes.held.iter().filter(|(holder, _)| !is_written(holder)).any(|((tenant, _), held)| {
                held.iter().any(|other| {
                    other.key == claim.key
                        && other.space == claim.space
                        && (claim.space == ClaimSpace::Global || *tenant == self.tenant())
                        && (other.mode == ClaimMode::Exclusive || claim.mode == ClaimMode::Exclusive)
                })
            })
        };
        let claims = commit.writes.iter().flat_map(|write| &write.claims);
        claims.filter(|claim| ours(claim)).find(|claim| clashes(claim)).cloned()
    }

    /// Keeps the claims that `ours` tells by itself, and leaves the others to the store.
    pub(crate) async fn commit_claims_beforehand(
        &self,
        mut commit: Commit,
        ours: impl Fn(&Claim) -> bool + Copy,
    ) -> Result<CommitReceipt, CommitError> {
        let held = self.held_by_another(&commit, ours);
        if held.is_some() || commit.writes.iter().any(|write| write.claims.iter().any(ours)) {
            tokio::task::yield_now().await;
        }
        let mut kept = Vec::new();
        for write in &mut commit.writes {
            kept.push((write.key, write.claims.iter().filter(|claim| ours(claim)).cloned().collect()));
            write.claims.retain(|claim| !ours(claim));
        }
        let twice = kept.iter().flat_map(|(_, claims): &(_, Vec<Claim>)| claims).collect::<Vec<_>>();
        let clash = twice.iter().enumerate().find(|(place, claim)| {
            twice.iter().take(*place).any(|other| other.key == claim.key && other.space == claim.space)
        });
        if let Some(claim) = held.or_else(|| clash.map(|(_, claim)| (*claim).clone())) {
            // What else there is to refuse comes first.
            let first = self.inner.load(&commit.writes[0].key).await?;
            let present = first.as_ref().map_or(Expected::Absent, StoredAggregate::expected_next);
            return Err(if present == commit.writes[0].expected {
                CommitError::ClaimHeld { claim }
            } else {
                CommitError::Conflict { key: commit.writes[0].key }
            });
        }
        let receipt = self.inner.commit(commit).await?;
        let mut notes = self.store.notes.lock().unwrap();
        for (key, claims) in kept {
            notes.held.insert((self.tenant(), key), claims);
        }
        Ok(receipt)
    }

    pub(crate) async fn commit_inbox_beforehand(
        &self,
        mut commit: Commit,
    ) -> Result<CommitReceipt, CommitError> {
        let Some(entry) = commit.inbox.take() else { return self.inner.commit(commit).await };
        let handled = (self.tenant(), entry.consumer, entry.event);
        if self.store.notes.lock().unwrap().handled.contains(&handled) {
            return Err(CommitError::AlreadyHandled);
        }
        tokio::task::yield_now().await;
        let receipt = self.inner.commit(commit).await?;
        self.store.notes.lock().unwrap().handled.insert(handled);
        Ok(receipt)
    }

    pub(crate) async fn commit_revision_beforehand(
        &self,
        commit: Commit,
    ) -> Result<CommitReceipt, CommitError> {
        let [write] = commit.writes.as_slice() else { return self.inner.commit(commit).await };
        let present = self.inner.load(&write.key).await?;
        if present.as_ref().map_or(Expected::Absent, StoredAggregate::expected_next) != write.expected {
            return self.inner.commit(commit).await;
        }
        tokio::task::yield_now().await;
        match self.inner.commit(commit.clone()).await {
            Err(CommitError::Conflict { .. }) => self.commit_anyhow(commit).await,
            answer => answer,
        }
    }
}
