use runtime_domain::value::Revision;
use runtime_ports::store::{AggregateKey, Commit, CommitError, EvidenceCheck, Wanted};

use tokio::task::JoinSet;

use super::{Outcome, World, ensure, is_absent, is_stale, key, refusal, refused};
use crate::conformance::equal;
use crate::sample::{self, Draft};

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

/// Each of two commits writes what the other rests on: whichever is first, the other's evidence has ended. A store that looks at evidence
/// without holding on to it lets both happen.
pub(super) async fn one_of_two_that_rest_on_each_other_happens(world: World) -> Outcome {
    for round in 0..12 {
        let numbers = [round * 2 + 1, round * 2 + 2];
        let drafts = numbers.map(|number| Draft::create(1, key(number)));
        world.tenant(1).commit(sample::commit(drafts.clone())).await?;
        let mut contenders = JoinSet::new();
        for (place, draft) in (1..).zip(&drafts) {
            let tenant = world.host(place).for_tenant(&sample::scope(1));
            let other = drafts.iter().map(Draft::key).find(|key| *key != draft.key());
            let commit = other.map(|other| resting_on(&draft.next(), other, Wanted::Exactly(Revision(1))));
            contenders.spawn(async move {
                tokio::task::yield_now().await;
                tenant.commit(commit.unwrap_or_default()).await
            });
        }
        let answers = contenders.join_all().await;
        let happened = answers.iter().filter(|answer| answer.is_ok()).count();
        equal("how many of two that rest on each other happened", happened, 1)?;
        let otherwise =
            answers.iter().filter_map(|answer| answer.as_ref().err()).find(|error| !is_stale(error));
        ensure(otherwise.is_none(), format!("the other was refused otherwise: {otherwise:?}"))?;
    }
    Ok(())
}
