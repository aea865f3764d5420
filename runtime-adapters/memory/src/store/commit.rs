//! Commits: every check first, then every change, so that a refusal has nothing to undo.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::bug;
use runtime_domain::claim::{Claim, ClaimMode};
use runtime_domain::id::TenantId;
use runtime_domain::value::Revision;
use runtime_ports::store::{
    AggregateWrite, Commit, CommitError, CommitReceipt, EvidenceCheck, Expected, LeaseTopic, Wanted,
};
use runtime_ports::{PortError, PortErrorKind};

use super::state::{Address, Row, State, Waiting, claimed_key};

impl State {
    pub(super) fn commit(&mut self, tenant: TenantId, commit: Commit) -> Result<CommitReceipt, CommitError> {
        commit.check(tenant)?;
        let handled = commit.inbox.map(|entry| (tenant, entry.consumer, entry.event));
        if handled
            .as_ref()
            .is_some_and(|handled| self.inbox.contains(handled) && !bug!("duplicates-both-handled"))
        {
            return Err(CommitError::AlreadyHandled);
        }
        if let Some(lease) = &commit.lease
            && (lease.tenant != tenant || !self.holds(lease))
        {
            return Err(CommitError::LeaseLost { key: lease.key });
        }
        commit.evidence.iter().try_for_each(|check| self.check_evidence(tenant, check))?;
        commit.writes.iter().try_for_each(|write| self.check_revision(tenant, write))?;
        commit.writes.iter().try_for_each(|write| self.check_sequence(tenant, write))?;
        self.check_claims(tenant, &commit.writes)?;

        self.inbox.extend(handled);
        let revisions = commit.writes.iter().map(|write| write.expected.result()).collect();
        for write in &commit.writes {
            self.give_up_claims((tenant, write.key));
        }
        for write in commit.writes {
            self.apply(tenant, write);
        }
        Ok(CommitReceipt { revisions })
    }

    fn revision(&self, address: &Address) -> Option<Revision> {
        self.aggregates.get(address).map(|row| row.revision)
    }

    fn check_evidence(&self, tenant: TenantId, check: &EvidenceCheck) -> Result<(), CommitError> {
        let present = self.revision(&(tenant, check.key));
        let holds = match check.wanted {
            Wanted::Exactly(wanted) => present == Some(wanted),
            Wanted::AtLeast(wanted) => present.is_some_and(|present| present >= wanted),
        };
        if holds { Ok(()) } else { Err(CommitError::EvidenceStale { key: check.key }) }
    }

    fn check_revision(&self, tenant: TenantId, write: &AggregateWrite) -> Result<(), CommitError> {
        let present = self.aggregates.get(&(tenant, write.key));
        let present = present
            .map_or(Expected::Absent, |row| Expected::At { revision: row.revision, digest: row.digest() });
        if present == write.expected { Ok(()) } else { Err(CommitError::Conflict { key: write.key }) }
    }

    fn check_sequence(&self, tenant: TenantId, write: &AggregateWrite) -> Result<(), CommitError> {
        let newest = self.aggregates.get(&(tenant, write.key)).map_or(0, Row::sequence);
        if write.history.first().map(|entry| entry.sequence) == Some(newest + 1) {
            return Ok(());
        }
        let message = format!(
            "the history of {} has {newest} entries: the next must have number {}",
            write.key,
            newest + 1
        );
        Err(PortError::new(PortErrorKind::Invalid, "store.commit", message).into())
    }

    fn check_claims(&self, tenant: TenantId, writes: &[AggregateWrite]) -> Result<(), CommitError> {
        let written: BTreeSet<Address> = writes.iter().map(|write| (tenant, write.key)).collect();
        let mut taken = BTreeMap::new();
        for claim in writes.iter().flat_map(|write| &write.claims) {
            let key = claimed_key(tenant, claim);
            let others = self.claims.get(&key).into_iter().flatten();
            let others = others.filter(|(holder, _)| holder.0 == tenant || !bug!("anothers-place-is-seized"));
            let mut others = others.filter(|(holder, _)| !written.contains(holder)).map(|(_, mode)| *mode);
            if others.any(|mode| clashes(claim, mode))
                || taken.insert(key, claim.mode).is_some_and(|mode| clashes(claim, mode))
            {
                return Err(CommitError::ClaimHeld { claim: claim.clone() });
            }
        }
        Ok(())
    }

    fn give_up_claims(&mut self, address: Address) {
        let Some(row) = self.aggregates.get(&address) else { return };
        for claim in &row.claims {
            let key = claimed_key(address.0, claim);
            if let Some(holders) = self.claims.get_mut(&key) {
                holders.remove(&address);
                if holders.is_empty() {
                    self.claims.remove(&key);
                }
            }
        }
    }

    fn apply(&mut self, tenant: TenantId, write: AggregateWrite) {
        let address = (tenant, write.key);
        for claim in &write.claims {
            self.claims.entry(claimed_key(tenant, claim)).or_default().insert(address, claim.mode);
        }
        for event in write.outbox {
            self.outbox_arrivals += 1;
            let waiting = Waiting { arrival: self.outbox_arrivals, event };
            self.outbox.entry(address).or_default().insert(waiting.event.sequence, waiting);
        }
        let previous = self.aggregates.remove(&address);
        let due = self.due.entry(write.key.kind).or_default();
        if let Some(wake_at) = previous.as_ref().and_then(|row| row.wake_at) {
            due.remove(&(wake_at, address));
        }
        if let Some(wake_at) = write.wake_at {
            due.insert((wake_at, address));
        }
        let (created, mut history) = match previous {
            Some(row) => {
                for module in row.facets.modules.difference(&write.facets.modules) {
                    if let Some(about) = self.about.get_mut(&(tenant, write.key.kind, module.clone())) {
                        about.remove(&row.created);
                    }
                }
                (row.created, row.history)
            }
            None => (self.number(address), Vec::new()),
        };
        for module in &write.facets.modules {
            self.about.entry((tenant, write.key.kind, module.clone())).or_default().insert(created);
        }
        history.extend(write.history);
        let row = Row {
            revision: write.expected.result(),
            created,
            record: write.record,
            facets: write.facets,
            claims: write.claims,
            history,
            wake_at: write.wake_at,
        };
        self.aggregates.insert(address, row);
        self.follow(LeaseTopic::Work, address);
        self.follow(LeaseTopic::Outbox, address);
    }

    fn number(&mut self, (tenant, key): Address) -> u64 {
        let created = self.created.entry((tenant, key.kind)).or_default();
        let number = created.last_key_value().map_or(0, |(number, _)| *number) + 1;
        created.insert(number, key.id);
        number
    }
}

fn clashes(claim: &Claim, other: ClaimMode) -> bool {
    claim.mode == ClaimMode::Exclusive || other == ClaimMode::Exclusive
}
