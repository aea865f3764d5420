use runtime_domain::value::Revision;
use runtime_ports::store::{AggregateKey, Commit, CommitError, EvidenceCheck, Wanted};

use super::{Outcome, World, ensure, is_absent, is_stale, key, refusal, refused};
use crate::sample::Draft;

fn resting_on(draft: &Draft, evidence: AggregateKey, wanted: Wanted) -> Commit {
    Commit { evidence: vec![EvidenceCheck { key: evidence, wanted }], ..draft.commit() }
}

pub(super) async fn exact_evidence_ends_with_the_revision(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let witness = Draft::create(1, key(1));
    tenant.commit(witness.commit()).await?;
    let exactly = |revision| Wanted::Exactly(Revision(revision));
    tenant.commit(resting_on(&Draft::create(1, key(2)), key(1), exactly(1))).await?;
    tenant.commit(witness.next().commit()).await?;
    for (revision, why) in [(1, "the witness has changed"), (3, "the witness is not there yet")] {
        let commit = resting_on(&Draft::create(1, key(3)), key(1), exactly(revision));
        let error = refusal(&*tenant, commit, why).await?;
        let named = matches!(error, CommitError::EvidenceStale { key: named } if named == key(1));
        ensure(named, format!("the refusal does not name the witness: {error:?}"))?;
    }
    is_absent(&*tenant, key(3)).await?;
    tenant.commit(resting_on(&Draft::create(1, key(3)), key(1), exactly(2))).await?;
    Ok(())
}

pub(super) async fn lasting_evidence_outlives_the_revision(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let witness = Draft::create(1, key(1));
    tenant.commit(witness.commit()).await?;
    tenant.commit(witness.next().commit()).await?;
    let at_least = |revision| Wanted::AtLeast(Revision(revision));
    for (number, revision) in [(2, 1), (3, 2)] {
        tenant.commit(resting_on(&Draft::create(1, key(number)), key(1), at_least(revision))).await?;
    }
    let early = resting_on(&Draft::create(1, key(4)), key(1), at_least(3));
    refused(&*tenant, early, "the witness is not there yet", is_stale).await
}

pub(super) async fn evidence_of_what_does_not_exist_is_stale(world: World) -> Outcome {
    let tenant = world.tenant(1);
    for wanted in [Wanted::Exactly(Revision(1)), Wanted::AtLeast(Revision(1))] {
        let commit = resting_on(&Draft::create(1, key(2)), key(1), wanted);
        refused(&*tenant, commit, "the witness does not exist", is_stale).await?;
    }
    Ok(())
}

pub(super) async fn evidence_is_judged_before_the_commit_itself(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let witness = Draft::create(1, key(1));
    let own = resting_on(&witness, key(1), Wanted::Exactly(Revision(1)));
    refused(&*tenant, own, "the witness comes with the same commit", is_stale).await?;
    tenant.commit(witness.commit()).await?;
    tenant.commit(resting_on(&witness.next(), key(1), Wanted::Exactly(Revision(1)))).await?;
    Ok(())
}
