//! Whether a release may come, from what Completed deployments prove.

use alloc::vec::Vec;

use crate::deployment::{Release, RollbackPoint};
use crate::id::{EnvironmentId, TenantId};
use crate::promotion::{Missing, PromotionPolicy, PromotionRefusal, Upstreams};
use crate::time::Timestamp;

/// A release that asks to come, with everything that is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'c> {
    /// The tenant of the environment that it asks to come to. What other tenants prove proves nothing.
    pub tenant: TenantId,
    /// What asks to come.
    pub release: &'c Release,
    /// What the upstream environments prove: the newest Completed deployment of each component there.
    pub upstream: &'c [RollbackPoint],
    /// What serves in the environment itself: the newest Completed deployment of each component.
    pub serving: &'c [RollbackPoint],
    /// Whether someone has released what is held.
    pub is_hold_released: bool,
}

/// Says whether a release may come now.
///
/// # Errors
/// Something is missing: what, and when asking again may help.
pub fn judge(
    policy: &PromotionPolicy,
    candidate: Candidate<'_>,
    now: Timestamp,
) -> Result<(), PromotionRefusal> {
    let held = if candidate.is_hold_released { Vec::new() } else { holds(candidate) };
    if !held.is_empty() {
        return Err(PromotionRefusal { missing: held, ask_again_at: None });
    }
    let lacking: Vec<Vec<Missing>> =
        policy.upstream().iter().map(|environment| lacks(policy, candidate, *environment, now)).collect();
    let is_enough = match policy.verified_by() {
        Upstreams::Any => lacking.iter().any(Vec::is_empty),
        Upstreams::All => lacking.iter().all(Vec::is_empty),
    };
    if is_enough {
        return Ok(());
    }
    let over = lacking.iter().filter(|missing| !missing.is_empty()).map(|missing| soaked_at(missing));
    let ask_again_at = match policy.verified_by() {
        Upstreams::Any => over.flatten().min(),
        Upstreams::All => over.collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().max()),
    };
    Err(PromotionRefusal { missing: lacking.into_iter().flatten().collect(), ask_again_at })
}

/// Images that the environment went back from.
fn holds(candidate: Candidate<'_>) -> Vec<Missing> {
    let components = candidate.release.components.values();
    components
        .filter_map(|component| {
            let serving = RollbackPoint::last_of(candidate.serving, &component.module);
            let left = serving?.left.get(&component.module)?;
            (left == component.tuple.image.digest())
                .then(|| Missing::Hold { module: component.module.clone(), digest: left.clone() })
        })
        .collect()
}

/// What a release lacks in one upstream environment: a verification of each component, or else the rest of its soak.
fn lacks(
    policy: &PromotionPolicy,
    candidate: Candidate<'_>,
    environment: EnvironmentId,
    now: Timestamp,
) -> Vec<Missing> {
    let is_there =
        |point: &&RollbackPoint| (point.tenant, point.environment) == (candidate.tenant, environment);
    let upstream = candidate.upstream.iter().filter(is_there);
    let mut missing = Vec::new();
    let mut youngest = None;
    for component in candidate.release.components.values() {
        let module = &component.module;
        let verified = RollbackPoint::last_of(upstream.clone(), module).filter(|point| {
            let own = point.release.components.get(module).map(|own| own.tuple.image.digest());
            own == Some(component.tuple.image.digest())
        });
        match verified {
            Some(point) => youngest = youngest.max(Some(point.completed_at)),
            None => missing.push(Missing::Verification { environment, module: module.clone() }),
        }
    }
    let until = youngest.map(|completed_at| policy.soak().after(completed_at));
    match until {
        Some(until) if missing.is_empty() && now < until => {
            missing.push(Missing::Soak { environment, until })
        }
        _ => {}
    }
    missing
}

/// When a soak is over, where nothing else is missing.
fn soaked_at(missing: &[Missing]) -> Option<Timestamp> {
    match missing {
        [Missing::Soak { until, .. }] => Some(*until),
        _ => None,
    }
}
