use async_trait::async_trait;
use runtime_domain::claim::{ClaimMode, ClaimSpace};
use runtime_domain::scope::TenantScope;
use runtime_ports::store::{
    AggregateKey, AggregateWrite, Commit, CommitError, CommitReceipt, Cursor, Expected, HistoryEntry,
    InboxEntry, Page, Query, Store, StoredAggregate, TenantStore, Wanted,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::Broken;
use crate::bug::Bug;

pub(crate) struct Handle {
    pub(crate) inner: Box<dyn TenantStore>,
    pub(crate) store: Broken,
}

impl Handle {
    fn spoil_write(&self, write: &mut AggregateWrite) {
        match self.store.bug {
            Bug::DropsWakeUps => write.wake_at = None,
            Bug::ForgetsRepeatedClaims if write.expected != Expected::Absent => write.claims.clear(),
            Bug::IgnoresClaims => write.claims.clear(),
            Bug::NeverGivesUpClaims => {
                let mut notes = self.store.notes.lock().unwrap();
                let held = notes.claims.entry(write.key).or_default();
                held.extend(write.claims.iter().cloned());
                write.claims.clone_from(held);
            }
            bug => {
                let claims = std::mem::take(&mut write.claims).into_iter().map(|mut claim| {
                    match bug {
                        Bug::MakesClaimsGlobal => claim.space = ClaimSpace::Global,
                        Bug::MakesClaimsOfTenant => claim.space = ClaimSpace::Tenant,
                        Bug::TreatsSharedAsExclusive => claim.mode = ClaimMode::Exclusive,
                        _ => {}
                    }
                    claim
                });
                write.claims = claims.collect();
            }
        }
    }

    fn spoil(&self, commit: &mut Commit) -> Result<(), CommitError> {
        match self.store.bug {
            Bug::IgnoresEvidence => commit.evidence.clear(),
            Bug::IgnoresInbox => commit.inbox = None,
            Bug::IgnoresLeases => commit.lease = None,
            Bug::JudgesEvidenceAfterwards => {
                for check in std::mem::take(&mut commit.evidence) {
                    let after = commit.writes.iter().find(|write| write.key == check.key);
                    match after.map(|write| write.expected.result()) {
                        Some(revision) if check.wanted != Wanted::Exactly(revision) => {
                            return Err(CommitError::EvidenceStale { key: check.key });
                        }
                        Some(_) => {}
                        None => commit.evidence.push(check),
                    }
                }
            }
            bug => {
                for check in &mut commit.evidence {
                    check.wanted = match (bug, check.wanted) {
                        (Bug::TreatsExactAsLasting, Wanted::Exactly(revision)) => Wanted::AtLeast(revision),
                        (Bug::TreatsLastingAsExact, Wanted::AtLeast(revision)) => Wanted::Exactly(revision),
                        (_, wanted) => wanted,
                    };
                }
            }
        }
        commit.writes.iter_mut().for_each(|write| self.spoil_write(write));
        Ok(())
    }

    async fn commit_one_by_one(&self, commit: Commit) -> Result<CommitReceipt, CommitError> {
        let mut revisions = Vec::new();
        for write in commit.writes {
            let one = Commit { writes: vec![write], ..Commit::default() };
            revisions.extend(self.inner.commit(one).await?.revisions);
            tokio::task::yield_now().await;
        }
        let rest = Commit { writes: Vec::new(), ..commit };
        self.inner.commit(rest).await?;
        Ok(CommitReceipt { revisions })
    }

    /// Overwrites whatever is there.
    async fn commit_anyhow(&self, mut commit: Commit) -> Result<CommitReceipt, CommitError> {
        for write in &mut commit.writes {
            let present = self.inner.load(&write.key).await?;
            write.expected =
                present.as_ref().map_or(Expected::Absent, |stored| Expected::At(stored.revision));
            let newest = present.map_or(0, |stored| stored.sequence);
            write.outbox.clear();
            for (entry, sequence) in write.history.iter_mut().zip(newest + 1..) {
                entry.sequence = sequence;
            }
        }
        self.inner.commit(commit).await
    }

    fn others(&self) -> Vec<Box<dyn TenantStore>> {
        let notes = self.store.notes.lock().unwrap();
        let others = notes.tenants.iter().filter(|scope| scope.tenant() != self.inner.scope().tenant());
        others.map(|scope| self.store.inner.for_tenant(scope)).collect()
    }

    async fn query_by_offset(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        let offset = query.after.as_ref().map_or(0, |cursor| cursor.0.parse().unwrap_or(0));
        let everything = Query { after: None, limit: 1_000, ..query.clone() };
        let mut items = self.inner.query(&everything).await?.items.split_off(offset);
        let limit = usize::try_from(query.limit).unwrap();
        let next = (items.len() > limit).then(|| Cursor((offset + limit).to_string()));
        items.truncate(limit);
        Ok(Page { items, next })
    }
}

fn accepted(commit: &Commit) -> CommitReceipt {
    CommitReceipt { revisions: commit.writes.iter().map(|write| write.expected.result()).collect() }
}

#[async_trait]
impl TenantStore for Handle {
    fn scope(&self) -> &TenantScope {
        self.inner.scope()
    }

    async fn commit(&self, mut commit: Commit) -> Result<CommitReceipt, CommitError> {
        self.spoil(&mut commit)?;
        match self.store.bug {
            Bug::AcceptsMalformed => match self.inner.commit(commit.clone()).await {
                Err(CommitError::Port(error)) if error.kind() == PortErrorKind::Invalid => {
                    Ok(accepted(&commit))
                }
                answer => answer,
            },
            Bug::AcceptsAnyRevision => match self.inner.commit(commit.clone()).await {
                Err(CommitError::Conflict { .. }) => self.commit_anyhow(commit).await,
                answer => answer,
            },
            Bug::ChecksLeaseBeforeInbox => {
                let lease = commit.lease.clone();
                self.inner.commit(Commit { lease, ..Commit::default() }).await?;
                self.inner.commit(commit).await
            }
            Bug::CommitsWritesOneByOne => self.commit_one_by_one(commit).await,
            Bug::IdentifiersAreGlobal => {
                for write in &commit.writes {
                    for other in self.others() {
                        if other.load(&write.key).await?.is_some() {
                            return Err(CommitError::Conflict { key: write.key });
                        }
                    }
                }
                self.inner.commit(commit).await
            }
            Bug::RefusesEmptyCommits if commit == Commit::default() => {
                Err(PortError::new(PortErrorKind::Invalid, "store.commit", "the commit is empty").into())
            }
            Bug::ReleasesWhenCommitted => {
                let lease = commit.lease.clone();
                let receipt = self.inner.commit(commit).await?;
                if let Some(lease) = lease {
                    let operator = self.store.inner.for_operator(&runtime_testkit::sample::operator());
                    operator.release_lease(&lease).await?;
                }
                Ok(receipt)
            }
            _ => self.inner.commit(commit).await,
        }
    }

    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        let mine = self.inner.load(key).await?;
        if mine.is_some() || self.store.bug != Bug::LeaksOtherTenants {
            return Ok(mine);
        }
        for other in self.others() {
            if let Some(theirs) = other.load(key).await? {
                return Ok(Some(theirs));
            }
        }
        Ok(None)
    }

    async fn query(&self, query: &Query) -> PortResult<Page<StoredAggregate>> {
        match self.store.bug {
            Bug::IgnoresStatuses => self.inner.query(&Query { statuses: Vec::new(), ..query.clone() }).await,
            Bug::PagesByOffset => self.query_by_offset(query).await,
            Bug::ReversesPages => {
                let mut page = self.inner.query(query).await?;
                page.items.reverse();
                Ok(page)
            }
            _ => self.inner.query(query).await,
        }
    }

    async fn is_handled(&self, entry: &InboxEntry) -> PortResult<bool> {
        Ok(self.store.bug != Bug::ForgetsWhatWasHandled && self.inner.is_handled(entry).await?)
    }

    async fn history(&self, key: &AggregateKey, after: u64, limit: u32) -> PortResult<Vec<HistoryEntry>> {
        let limit = if self.store.bug == Bug::IgnoresHistoryLimit { u32::MAX } else { limit };
        self.inner.history(key, after, limit).await
    }
}
