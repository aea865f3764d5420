//! Whose effects are done: tokens, and what is known when it is repeated.

use std::sync::Arc;

use runtime_domain::surface::{EffectId, FencingToken, Traffic};
use runtime_ports::PortErrorKind;
use runtime_ports::surface::{ComputeSurface, EffectContext};

use super::{Given, by, by_policy, deployment, is_refused};
use crate::conformance::{Outcome, ensure, equal};

pub(super) async fn fences<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let (key, revision) = (given.own(), given.revision(1));
    given.ready(&*surface, 1).await?;
    surface.scale(by(5, 2), &key, &revision, 1).await?;
    let fenced = PortErrorKind::Fenced;
    is_refused(surface.scale(by(4, 3), &key, &revision, 3).await, fenced, "an older token's scaling")?;
    let another = EffectContext { effect: EffectId::of(deployment(2), 1), fence: FencingToken(4) };
    is_refused(surface.scale(another, &key, &revision, 3).await, fenced, "another deployment's older token")?;
    is_refused(surface.retire(by(4, 4), &key, &revision).await, fenced, "an older token's retirement")?;
    let spec = given.spec(key.clone(), 2);
    is_refused(surface.apply(by(4, 5), &spec, 1).await, fenced, "an older token's revision")?;
    let traffic = Traffic::all_to(revision.clone());
    is_refused(surface.shift_traffic(by(4, 6), &key, &traffic).await, fenced, "an older token's traffic")?;
    let seen = surface.observe(&key).await?;
    equal("how many are wanted", seen.revisions.get(&revision).map(|seen| seen.wanted), Some(1))?;
    equal("the revisions", seen.revisions.len(), 1)?;
    equal("the traffic", seen.traffic, None)
}

pub(super) async fn gives_way<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let (key, revision) = (given.own(), given.revision(1));
    given.ready(&*surface, 1).await?;
    surface.scale(by_policy(9, 1), &key, &revision, 2).await?;
    let rollout = surface.scale(by(5, 2), &key, &revision, 1).await;
    ensure(rollout.is_ok(), format!("a rollout was refused for a policy's token: {rollout:?}"))?;
    surface.scale(by(20, 3), &key, &revision, 1).await?;
    let late = surface.scale(by_policy(10, 2), &key, &revision, 3).await;
    is_refused(late, PortErrorKind::Fenced, "a policy that was decided before a later rollout")
}

pub(super) async fn recognises<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let (key, revision) = (given.own(), given.revision(1));
    given.ready(&*surface, 1).await?;
    surface.scale(by(1, 2), &key, &revision, 2).await?;
    surface.scale(by(1, 3), &key, &revision, 1).await?;
    // A host that lost the answer asks again, long after.
    surface.scale(by(1, 2), &key, &revision, 2).await?;
    let seen = surface.observe(&key).await?;
    equal("how many are wanted", seen.revisions.get(&revision).map(|seen| seen.wanted), Some(1))
}

pub(super) async fn sees<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let (key, revision, fenced) = (given.own(), given.revision(1), PortErrorKind::Fenced);
    let spec = given.spec(key.clone(), 1);
    // Whoever takes over gives up what its predecessor is about to begin.
    surface.retire(by(5, 2), &key, &revision).await?;
    is_refused(
        surface.apply(by(4, 1), &spec, 1).await,
        fenced,
        "what a later token retired before it began",
    )?;
    let scaled = surface.scale(by(7, 3), &key, &revision, 1).await;
    is_refused(scaled, PortErrorKind::NotFound, "scaling a revision that does not exist")?;
    is_refused(
        surface.apply(by(6, 4), &spec, 1).await,
        fenced,
        "an older token than that of a refused effect",
    )?;
    let seen = surface.observe(&key).await?;
    ensure(seen.revisions.is_empty() && seen.traffic.is_none(), format!("something is shown: {seen:?}"))?;
    equal("what is listed", surface.list(key.tenant, key.environment).await?, Vec::new())?;
    surface.apply(by(7, 5), &spec, 1).await?;
    given.until(&*surface, "it is ready", |seen| seen.ready(&revision) == 1).await?;
    let nowhere = surface.shift_traffic(by(9, 6), &key, &Traffic::all_to(given.revision(2))).await;
    is_refused(nowhere, PortErrorKind::NotFound, "traffic to a revision that does not exist")?;
    is_refused(
        surface.scale(by(8, 7), &key, &revision, 2).await,
        fenced,
        "an older token than that of refused traffic",
    )
}
