use async_trait::async_trait;
use runtime_domain::claim::{Claim, ClaimMode, ClaimSpace};
use runtime_domain::scope::TenantScope;
use runtime_ports::store::{
    AggregateKey, AggregateWrite, Commit, CommitError, CommitReceipt, Cursor, Expected, HistoryEntry,
    InboxEntry, LeaseTopic, Order, Page, Query, Store, StoredAggregate, TenantStore, Wanted,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::sample::exclusive;

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
            Bug::TrimsText => write.history.iter_mut().for_each(|entry| {
                entry.explanation = entry.explanation.trim().to_owned();
            }),
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
            Bug::RefusesHandedClaims => {
                let mut notes = self.store.notes.lock().unwrap();
                let is_given_up = |claim: &Claim| {
                    commit.writes.iter().any(|giver| {
                        let held = notes.claims.get(&giver.key).is_some_and(|held| held.contains(claim));
                        held && giver.claims.is_empty()
                    })
                };
                if let Some(claim) =
                    commit.writes.iter().flat_map(|write| &write.claims).find(|claim| is_given_up(claim))
                {
                    return Err(CommitError::ClaimHeld { claim: claim.clone() });
                }
                for write in &commit.writes {
                    notes.claims.insert(write.key, write.claims.clone());
                }
            }
            Bug::LosesSwappedClaims => {
                let mut notes = self.store.notes.lock().unwrap();
                let holds =
                    |write: &AggregateWrite| write.expected != Expected::Absent && !write.claims.is_empty();
                let is_swap = commit.writes.len() == 2
                    && commit.writes.iter().all(holds)
                    && commit.writes.iter().all(|write| notes.claims.get(&write.key) != Some(&write.claims));
                for write in &mut commit.writes {
                    notes.claims.insert(write.key, write.claims.clone());
                    if is_swap {
                        write.claims.clear();
                    }
                }
            }
            Bug::IgnoresInbox => commit.inbox = None,
            Bug::IgnoresLeases => commit.lease = None,
            Bug::IgnoresRelaysLeaseInCommits => {
                let _relays = commit.lease.take_if(|lease| lease.topic == LeaseTopic::Outbox);
            }
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

    /// Takes a shared claim for as good as an exclusive one.
    async fn commit_upgrading(&self, mut commit: Commit) -> Result<CommitReceipt, CommitError> {
        match self.inner.commit(commit.clone()).await {
            Err(CommitError::ClaimHeld { claim }) => {
                let shared = Claim { mode: ClaimMode::Shared, ..claim.clone() };
                let [write] = commit.writes.as_mut_slice() else {
                    return Err(CommitError::ClaimHeld { claim });
                };
                let notes = self.store.notes.lock().unwrap().claims.get(&write.key).cloned();
                if notes.is_some_and(|held| held.contains(&shared)) {
                    write.claims = [shared].into();
                    return self.inner.commit(commit).await;
                }
                Err(CommitError::ClaimHeld { claim })
            }
            answer => {
                let mut notes = self.store.notes.lock().unwrap();
                notes.claims.extend(commit.writes.into_iter().map(|write| (write.key, write.claims)));
                answer
            }
        }
    }

    /// Overwrites whatever is there.
    pub(crate) async fn commit_anyhow(&self, mut commit: Commit) -> Result<CommitReceipt, CommitError> {
        for write in &mut commit.writes {
            let present = self.inner.load(&write.key).await?;
            write.expected = present.as_ref().map_or(Expected::Absent, StoredAggregate::expected_next);
            let newest = present.map_or(0, |stored| stored.sequence);
            write.outbox.clear();
            for (entry, sequence) in write.history.iter_mut().zip(newest + 1..) {
                entry.sequence = sequence;
            }
        }
        self.inner.commit(commit).await
    }

    async fn commit_spoilt(&self, mut commit: Commit) -> Result<CommitReceipt, CommitError> {
        match self.store.bug {
            Bug::AcceptsMalformed => match self.inner.commit(commit.clone()).await {
                Err(CommitError::Port(error)) if error.kind() == PortErrorKind::Invalid => {
                    Ok(accepted(&commit))
                }
                answer => answer,
            },
            Bug::AcceptsGaps => match self.inner.commit(commit.clone()).await {
                Err(CommitError::Port(_)) if commit.check(self.inner.scope().tenant()).is_ok() => {
                    self.commit_anyhow(commit).await
                }
                answer => answer,
            },
            Bug::RemembersRefusedEvents => match self.inner.commit(commit.clone()).await {
                Err(error @ CommitError::ClaimHeld { .. }) => {
                    self.inner.commit(Commit { inbox: commit.inbox, ..Commit::default() }).await?;
                    Err(error)
                }
                answer => answer,
            },
            Bug::UpgradesSharedClaims => self.commit_upgrading(commit).await,
            Bug::TrustsOthersLeases => match self.inner.commit(commit.clone()).await {
                Err(CommitError::LeaseLost { .. })
                    if commit
                        .lease
                        .as_ref()
                        .is_some_and(|lease| lease.tenant != self.inner.scope().tenant()) =>
                {
                    self.inner.commit(Commit { lease: None, ..commit }).await
                }
                answer => answer,
            },
            Bug::LetsACommitClaimTwice => match self.inner.commit(commit.clone()).await {
                Err(CommitError::ClaimHeld { claim })
                    if commit.writes.iter().filter(|write| claimed(write, &claim)).count() > 1 =>
                {
                    commit.writes.iter_mut().skip(1).for_each(|write| write.claims.clear());
                    self.inner.commit(commit).await
                }
                answer => answer,
            },
            Bug::AcceptsAnyRevision => match self.inner.commit(commit.clone()).await {
                Err(CommitError::Conflict { .. }) => self.commit_anyhow(commit).await,
                answer => answer,
            },
            Bug::ChecksClaimsBeforehand => {
                self.commit_claims_beforehand(commit, |claim| *claim == exclusive("a")).await
            }
            Bug::ChecksGlobalClaimsBeforehand => {
                self.commit_claims_beforehand(commit, |claim| claim.space == ClaimSpace::Global).await
            }
            Bug::ChecksSharedClaimsBeforehand => {
                self.commit_claims_beforehand(commit, |claim| claim.key == "b").await
            }
            Bug::ChecksEvidenceBeforehand if !commit.evidence.is_empty() && commit.inbox.is_none() => {
                let evidence = commit.evidence.clone();
                self.inner.commit(Commit { evidence, ..Commit::default() }).await?;
                tokio::task::yield_now().await;
                self.inner.commit(Commit { evidence: Vec::new(), ..commit }).await
            }
            Bug::ChecksInboxBeforehand => self.commit_inbox_beforehand(commit).await,
            Bug::ChecksRevisionBeforehand => self.commit_revision_beforehand(commit).await,
            Bug::HandsClaimsOverTwice => match self.inner.commit(commit.clone()).await {
                Err(CommitError::Conflict { key }) => {
                    let gives_up = |write: &AggregateWrite| {
                        write.key == key && write.expected != Expected::Absent && write.claims.is_empty()
                    };
                    if commit.writes.len() < 2 || !commit.writes.iter().any(gives_up) {
                        return Err(CommitError::Conflict { key });
                    }
                    commit.writes.retain(|write| !gives_up(write));
                    self.inner.commit(commit).await
                }
                answer => answer,
            },
            Bug::HangsAfterADroppedCommit => {
                self.store.enter().await;
                self.inner.commit(commit).await
            }
            Bug::NamesTheHolder => match self.inner.commit(commit).await {
                Err(CommitError::ClaimHeld { mut claim }) if claim.space == ClaimSpace::Global => {
                    claim.key = format!(
                        "{} of {:?}",
                        claim.key,
                        self.others().first().map(|other| other.scope().tenant())
                    );
                    Err(CommitError::ClaimHeld { claim })
                }
                answer => answer,
            },
            Bug::SplitsBigCommits if commit.writes.len() > 100 => {
                let rest = commit.writes.split_off(100);
                let mut receipt = self.inner.commit(commit).await?;
                let second = self.inner.commit(Commit { writes: rest, ..Commit::default() }).await?;
                receipt.revisions.extend(second.revisions);
                Ok(receipt)
            }
            Bug::ChecksLeaseBeforeInbox => {
                let lease = commit.lease.clone();
                self.inner.commit(Commit { lease, ..Commit::default() }).await?;
                self.inner.commit(commit).await
            }
            Bug::ComparesRevisionsOnly => {
                for write in &mut commit.writes {
                    let present = self.inner.load(&write.key).await?;
                    let present = present.filter(|_| write.expected != Expected::Absent);
                    if let Some(present) =
                        present.filter(|stored| stored.revision.next() == write.expected.result())
                    {
                        write.expected = present.expected_next();
                    }
                }
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

fn claimed(write: &AggregateWrite, claim: &Claim) -> bool {
    write.claims.iter().any(|other| other.key == claim.key && other.space == claim.space)
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
        let last = commit.writes.last().map(|write| write.key);
        let answer = self.commit_spoilt(commit).await;
        if answer.is_ok() && last.is_some() {
            self.store.notes.lock().unwrap().last = last;
        }
        answer
    }

    async fn load(&self, key: &AggregateKey) -> PortResult<Option<StoredAggregate>> {
        if self.store.notes.lock().unwrap().lost == Some(*key) {
            return Ok(None);
        }
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
            Bug::FiltersForgetTheTenant if query.environment.is_some() => {
                let mut page = self.inner.query(query).await?;
                for other in self.others() {
                    page.items.extend(other.query(query).await?.items);
                }
                Ok(page)
            }
            Bug::AcceptsForgedCursors if query.after.is_some() => match self.inner.query(query).await {
                Err(_) => self.inner.query(&Query { after: None, ..query.clone() }).await,
                answer => answer,
            },
            Bug::ListsDueByCreation if query.order == Order::DueFirst => {
                let by_creation = Query { order: Order::OldestFirst, ..query.clone() };
                self.inner.query(&by_creation).await
            }
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
        let asked = if self.store.bug == Bug::IgnoresHistoryLimit { u32::MAX } else { limit };
        let mut entries = self.inner.history(key, after, asked).await?;
        let mut notes = self.store.notes.lock().unwrap();
        match self.store.bug {
            Bug::HidesTheNewestEntry if limit == 1 => entries.clear(),
            Bug::HistoryInTheOrderOfWriters if entries.len() > 20 => {
                let numbers: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
                entries.sort_by_key(|entry| entry.id);
                entries.iter_mut().zip(numbers).for_each(|(entry, number)| entry.sequence = number);
            }
            Bug::OtherHostsReadLate if self.store.is_beside && notes.shown.insert((*key, after)) => {
                entries.clear();
            }
            Bug::ShowsHistoryLate if entries.len() > 1 && after > 20 && notes.shown.insert((*key, after)) => {
                entries.remove(0);
            }
            _ => {}
        }
        Ok(entries)
    }
}
