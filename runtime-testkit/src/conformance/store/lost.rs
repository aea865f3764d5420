use std::sync::Arc;

use runtime_domain::value::Revision;
use runtime_ports::Retry;
use runtime_ports::store::{Commit, CommitError, InboxEntry, TenantStore};

use super::atomicity::consumer;
use super::{Failure, Outcome, World, is_claim_held, is_conflict, key, loaded, refused};
use crate::conformance::equal;
use crate::faults::{Call, Fault, Faults, was_performed};
use crate::sample::{self, Draft, exclusive};

/// Commits, and finds out by the events whether it happened where the answer does not say.
async fn found_out(tenant: &dyn TenantStore, commit: Commit) -> Result<bool, Failure> {
    match tenant.commit(commit.clone()).await {
        Ok(_) => Ok(true),
        Err(CommitError::Port(error)) if error.retry() == Retry::OutcomeUnknown => {
            Ok(was_performed(tenant, &commit).await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// What a caller does about an answer that was lost is exact: it finds its own events where the commit happened, and does not take
/// another's for them where it did not.
pub(super) async fn a_commit_whose_answer_was_lost_is_found_by_its_event(world: World) -> Outcome {
    let faults = |call: &Call| match (call.method, call.number % 3) {
        ("store.commit", 1) => Some(Fault::AnswerLost),
        ("store.commit", 2) => Some(Fault::RequestLost),
        _ => None,
    };
    let faulty = Faults::new(faults).store(Arc::clone(&world.store)).for_tenant(&sample::scope(1));
    let tenant = world.tenant(1);
    for number in 1..=9 {
        let performed = number % 3 != 2;
        let claim = exclusive(&format!("claim-{number}"));
        let first = Draft::create(1, key(number)).by(1).claiming([claim.clone()]).publishing();
        let inbox = InboxEntry { consumer: consumer("trial")?, event: sample::event(number) };
        let commit = Commit { inbox: Some(inbox), ..first.commit() };
        equal("whether a creation was performed", found_out(&*faulty, commit.clone()).await?, performed)?;
        let taker = Draft::create(1, key(100 + number)).claiming([claim]);
        if performed {
            refused(&*tenant, taker.commit(), "the claim came with the commit", is_claim_held).await?;
            let already = |error: &CommitError| matches!(error, CommitError::AlreadyHandled);
            refused(&*tenant, commit, "it was performed", already).await?;
        } else {
            // It never will be: what it would have is free, and it can be done again.
            tenant.commit(taker.commit()).await?;
            tenant.commit(taker.next().claiming([]).commit()).await?;
            tenant.commit(commit).await?;
        }
    }
    // Another writer goes on before the caller looks.
    let (first, second) = (Draft::create(1, key(50)), Draft::create(1, key(50)).next());
    tenant.commit(first.commit()).await?;
    let (own, others) = (second.clone().by(1).commit(), second.by(2));
    tenant.commit(others.commit()).await?;
    equal("whether what another overtook was performed", was_performed(&*tenant, &own).await?, false)?;
    refused(&*tenant, own, "another was first", is_conflict).await?;
    tenant.commit(others.next().by(2).commit()).await?;
    let earlier = others.commit();
    equal("whether what others followed was performed", was_performed(&*tenant, &earlier).await?, true)?;
    equal("the revision", loaded(&*tenant, key(50)).await?.revision, Revision(3))
}
