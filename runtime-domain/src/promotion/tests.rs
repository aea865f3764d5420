//! Every small policy beside every small history, judged a second time by an oracle; and the ways by which a release comes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::aggregate::Aggregate;
use crate::calendar::BreakGlass;
use crate::deployment::tests::world::{component, module, release, request, rolling, tenant};
use crate::deployment::{
    DeploymentEvent, DeploymentRefusal, Release, RequestDeployment, RollbackPoint, RuntimeDeployment,
};
use crate::environment::tests::provision;
use crate::environment::{
    Admission, EnvironmentRefusal, EnvironmentStage, HostedEnvironment, RuntimeEnvironment,
};
use crate::id::EnvironmentId;
use crate::refusal::{Refusal, Rule};
use crate::rollout::GatePoint;
use crate::scope::Actor;
use crate::testing::{Told, at, id};
use crate::time::{Span, Timestamp};
use crate::value::Revision;

const SOAK: u64 = 100;

fn policy(upstream: &[u128], verified_by: Upstreams) -> PromotionPolicy {
    let upstream = upstream.iter().map(|number| id(*number)).collect();
    PromotionPolicy::new(upstream, verified_by, Span::from_secs(SOAK)).unwrap()
}

/// A release of `cart` and `pay`, at these versions.
fn versions(cart: u64, pay: u64) -> Release {
    release(vec![component("cart", cart, 1), component("pay", pay, 1)], rolling(), vec![])
}

/// Proof that an environment completed a release.
fn verified(environment: u128, release: Release, completed_at: Timestamp) -> RollbackPoint {
    RollbackPoint {
        tenant: tenant(),
        environment: id(environment),
        deployment: id(900 + environment),
        at: Revision(3),
        completed_at,
        release,
        left: BTreeMap::new(),
        numbers: BTreeMap::from([(module("cart"), 1), (module("pay"), 1)]),
    }
}

/// The same once more, as the deployment after it.
fn next(point: RollbackPoint) -> RollbackPoint {
    let numbers = point.numbers.into_iter().map(|(module, number)| (module, number + 1)).collect();
    RollbackPoint { deployment: id(950), numbers, ..point }
}

fn judged(
    policy: &PromotionPolicy,
    upstream: &[RollbackPoint],
    serving: &[RollbackPoint],
    now: u64,
) -> Result<(), PromotionRefusal> {
    let release = versions(2, 2);
    let candidate =
        Candidate { tenant: tenant(), release: &release, upstream, serving, is_hold_released: false };
    judge(policy, candidate, at(now))
}

#[test]
fn a_release_comes_once_an_environment_before_has_verified_it_for_long_enough() {
    let policy = policy(&[11], Upstreams::All);
    let points = [verified(11, versions(2, 2), at(0))];
    assert_eq!(judged(&policy, &points, &[], SOAK), Ok(()));
    let early = judged(&policy, &points, &[], SOAK - 1).unwrap_err();
    assert_eq!(early.missing, [Missing::Soak { environment: id(11), until: at(SOAK) }]);
    assert_eq!((early.ask_again_at, early.rule()), (Some(at(SOAK)), Rule::Promotion));
    assert!(early.to_string().starts_with("the release is not promoted: it soaks in env_"), "{early}");
    assert!(early.remedy().starts_with("ask again at "), "{}", early.remedy());
}

#[test]
fn what_is_not_proven_is_missing() {
    let policy = policy(&[11], Upstreams::Any);
    let missing = |names: &[&str]| -> Vec<Missing> {
        names.iter().map(|name| Missing::Verification { environment: id(11), module: module(name) }).collect()
    };
    let refused = |points: &[RollbackPoint]| judged(&policy, points, &[], 9_999).unwrap_err();
    assert_eq!(refused(&[]).missing, missing(&["cart", "pay"]));
    assert_eq!(refused(&[]).ask_again_at, None);
    assert!(refused(&[]).remedy().contains("upstream environments first"));
    let other = verified(11, versions(2, 1), at(0));
    assert_eq!(refused(&[other]).missing, missing(&["pay"]));
    assert!(refused(&[]).to_string().contains("has not verified this image of `cart`"));
    let elsewhere = verified(12, versions(2, 2), at(0));
    assert_eq!(refused(&[elsewhere]).missing.len(), 2, "another environment's proof is not this one's");
    let foreign = RollbackPoint { tenant: id(77), ..verified(11, versions(2, 2), at(0)) };
    assert_eq!(refused(&[foreign]).missing.len(), 2, "another tenant's proof proves nothing");
}

#[test]
fn what_was_replaced_since_is_not_verified_any_more() {
    let policy = policy(&[11], Upstreams::All);
    for then in [50, 0] {
        // The second host's clock may be behind.
        let points = [verified(11, versions(2, 2), at(10)), next(verified(11, versions(1, 1), at(then)))];
        assert_eq!(judged(&policy, &points, &[], 9_999).unwrap_err().missing.len(), 2);
    }
}

#[test]
fn components_that_came_by_themselves_soak_from_the_youngest() {
    let policy = policy(&[11], Upstreams::All);
    let one = |name: &str, number: u128, completed_at| {
        let release = release(vec![component(name, 2, 1)], rolling(), vec![]);
        RollbackPoint { deployment: id(number), ..verified(11, release, completed_at) }
    };
    let points = [one("cart", 1, at(0)), one("pay", 2, at(40))];
    assert_eq!(judged(&policy, &points, &[], SOAK + 39).unwrap_err().ask_again_at, Some(at(SOAK + 40)));
    assert_eq!(judged(&policy, &points, &[], SOAK + 40), Ok(()));
}

/// Buried: argo-cd#9570.
#[test]
fn an_image_that_was_gone_back_from_is_held_until_someone_releases_the_hold() {
    let policy = policy(&[11], Upstreams::Any);
    let points = [verified(11, versions(2, 2), at(0))];
    let digest = |version| component("cart", version, 1).tuple.image.digest().clone();
    let serving = |left| RollbackPoint {
        left: BTreeMap::from([(module("cart"), left)]),
        ..verified(2, versions(1, 1), at(500))
    };
    let held = judged(&policy, &points, &[serving(digest(2))], 9_999).unwrap_err();
    assert_eq!(held.missing, [Missing::Hold { module: module("cart"), digest: digest(2) }]);
    assert_eq!(held.ask_again_at, None);
    assert!(held.to_string().contains("went back from 000000000000 of `cart`"), "{held}");
    assert!(held.remedy().contains("release the hold"), "{}", held.remedy());
    assert_eq!(judged(&policy, &points, &[serving(digest(3))], 9_999), Ok(()), "it went back from another");
    let later = next(verified(2, versions(1, 1), at(600)));
    assert_eq!(
        judged(&policy, &points, &[serving(digest(2)), later], 9_999),
        Ok(()),
        "what serves came since"
    );
    let release = versions(2, 2);
    let serving = [serving(digest(2))];
    let candidate = Candidate {
        tenant: tenant(),
        release: &release,
        upstream: &points,
        serving: &serving,
        is_hold_released: true,
    };
    assert_eq!(judge(&policy, candidate, at(9_999)), Ok(()));
}

#[test]
fn where_any_is_enough_the_first_soak_counts_and_where_all_must_the_last() {
    let points = [verified(11, versions(2, 2), at(0)), verified(12, versions(2, 2), at(30))];
    let ask_again_at = |verified_by, points: &[RollbackPoint]| {
        judged(&policy(&[11, 12], verified_by), points, &[], 10).unwrap_err().ask_again_at
    };
    assert_eq!(ask_again_at(Upstreams::Any, &points), Some(at(SOAK)));
    assert_eq!(ask_again_at(Upstreams::All, &points), Some(at(SOAK + 30)));
    assert_eq!(ask_again_at(Upstreams::Any, &points[..1]), Some(at(SOAK)));
    assert_eq!(ask_again_at(Upstreams::All, &points[..1]), None, "time alone does not help");
}

proptest! {
    #[test]
    fn a_release_comes_exactly_where_an_oracle_lets_it(
        all in any::<bool>(),
        // For each of three upstream environments: whether it is named, which version it runs, since when.
        upstream in proptest::collection::vec((any::<bool>(), 0..4u64, 0..200u64), 3),
        now in 0..400u64,
    ) {
        let named: Vec<u128> = upstream.iter().enumerate().filter(|(_, (named, _, _))| *named).map(|(index, _)| index as u128 + 11).collect();
        prop_assume!(!named.is_empty());
        let points: Vec<RollbackPoint> = upstream.iter().enumerate()
            // Version 0 stands for nothing at all.
            .filter(|(_, (_, version, _))| *version > 0)
            .map(|(index, (_, version, since))| verified(index as u128 + 11, versions(*version, *version), at(*since)))
            .collect();
        let is_good = |number: &u128| {
            let (_, version, since) = upstream[(*number - 11) as usize];
            version == 2 && now >= since + SOAK
        };
        let expected = if all { named.iter().all(is_good) } else { named.iter().any(is_good) };
        let policy = policy(&named, if all { Upstreams::All } else { Upstreams::Any });
        let answer = judged(&policy, &points, &[], now);
        prop_assert_eq!(answer.is_ok(), expected);
        if let Err(PromotionRefusal { missing, ask_again_at }) = answer {
            prop_assert!(!missing.is_empty());
            if let Some(later) = ask_again_at {
                let later = Span::between(at(0), later).as_millis() / 1_000;
                prop_assert!(later > now);
                prop_assert!(judged(&policy, &points, &[], later).is_ok(), "asking again then helps");
                prop_assert!(judged(&policy, &points, &[], later - 1).is_err(), "and not before");
            }
        }
    }
}

#[test]
fn a_policy_that_cannot_be_met_cannot_be_written() {
    let upstream = |count: u128| -> BTreeSet<EnvironmentId> { (1..=count).map(id).collect() };
    let made = |upstream, soak| PromotionPolicy::new(upstream, Upstreams::All, soak);
    assert_eq!(made(upstream(0), Span::ZERO), Err(PolicyError::NoUpstream));
    assert!(made(upstream(20), Span::from_secs(90 * 86_400)).is_ok());
    assert_eq!(made(upstream(21), Span::ZERO), Err(PolicyError::TooMany));
    let soak = Span::from_millis(90 * 86_400_000 + 1);
    assert_eq!(made(upstream(1), soak), Err(PolicyError::LongSoak { soak }));
    let people = |count: usize| -> BTreeSet<Actor> {
        (0..count).map(|number| Actor::new(&alloc::format!("p{number}")).unwrap()).collect()
    };
    let policy = || made(upstream(1), Span::ZERO).unwrap();
    assert!(policy().approved_by(2, people(2)).is_ok());
    assert!(policy().approved_by(2, people(0)).is_ok(), "anyone may, where nobody is named");
    assert_eq!(policy().approved_by(3, people(2)), Err(PolicyError::TooFewApprovers));
    assert_eq!(policy().approved_by(1, people(101)), Err(PolicyError::TooMany));
    let text = json!({ "upstream": ["env_00000000000000000000000000000001"], "verified_by": "any", "soak": "1h", "approvals": 2, "approvers": ["ada", "grace"] });
    let read: PromotionPolicy = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), text);
    assert_eq!(
        (read.upstream(), read.verified_by(), read.soak(), read.approvals()),
        (&upstream(1), Upstreams::Any, Span::from_secs(3_600), 2)
    );
    assert!(
        serde_json::from_value::<PromotionPolicy>(json!({ "upstream": [], "verified_by": "any" })).is_err()
    );
}

fn staging() -> Told<RuntimeEnvironment> {
    Told::begin(RuntimeEnvironment::provision(&provision(EnvironmentStage::Staging), at(0)), at(0))
}

fn hosted(number: u128, stage: EnvironmentStage) -> HostedEnvironment {
    let told =
        Told::<RuntimeEnvironment>::begin(RuntimeEnvironment::provision(&provision(stage), at(0)), at(0));
    HostedEnvironment { environment: id(number), ..told.now().host(Revision(4)).unwrap() }
}

#[test]
fn an_environment_comes_after_earlier_stages_of_its_own_tenant_only() {
    let policy = policy(&[11], Upstreams::All);
    let changed =
        |upstream: &[HostedEnvironment]| staging().now().change_promotion_policy(Some(&policy), upstream);
    for stage in [EnvironmentStage::Dev, EnvironmentStage::Test] {
        assert!(changed(&[hosted(11, stage)]).is_ok());
    }
    for stage in [EnvironmentStage::Staging, EnvironmentStage::Prod] {
        let refused = changed(&[hosted(11, stage)]).unwrap_err();
        assert_eq!(refused.rule(), Rule::Promotion);
        assert!(
            refused.to_string().contains(&alloc::format!("is {stage}, which does not come before staging"))
        );
    }
    assert_eq!(changed(&[]).unwrap_err(), EnvironmentRefusal::UnknownUpstream { environment: id(11) });
    assert_eq!(changed(&[hosted(12, EnvironmentStage::Dev)]).unwrap_err().rule(), Rule::Promotion);
    let foreign = HostedEnvironment { tenant: id(77), ..hosted(11, EnvironmentStage::Dev) };
    assert_eq!(changed(&[foreign]).unwrap_err().rule(), Rule::X1);
    let fact = hosted(11, EnvironmentStage::Dev).evidence();
    assert_eq!((fact.kind, fact.revision), (RuntimeEnvironment::KIND, Revision(4)));
}

#[test]
fn a_policy_is_kept_replayed_and_taken_away_again() {
    let mut told = staging();
    let policy = policy(&[11], Upstreams::All);
    let upstream = [hosted(11, EnvironmentStage::Dev)];
    let decision = told.now().change_promotion_policy(Some(&policy), &upstream).unwrap();
    told.happen(decision, at(1));
    assert_eq!(told.now().promotion(), Some(&policy));
    assert!(told.now().change_promotion_policy(Some(&policy), &upstream).unwrap().is_unchanged());
    told.check_replay_and_record();
    crate::testing::assert_refused(told.now(), "PROMOTION", |record| {
        record["promotion"]["upstream"] = json!([record["environment_id"]]);
    });
    let decision = told.now().change_promotion_policy(None, &[]).unwrap();
    told.happen(decision, at(2));
    assert_eq!(told.now().promotion(), None);
    told.check_replay_and_record();
}

fn asked(policy: PromotionPolicy, upstream: Vec<RollbackPoint>) -> RequestDeployment {
    let plain = request(1, versions(2, 2), &[]);
    let admission = Admission { promotion: Some(policy), ..plain.admission };
    RequestDeployment { admission, upstream, ..plain }
}

#[test]
fn a_rollout_is_refused_until_it_is_promoted() {
    let asked = |upstream| asked(policy(&[11], Upstreams::All), upstream);
    let refused = RuntimeDeployment::request(asked(vec![]), at(SOAK)).unwrap_err();
    assert!(matches!(refused, DeploymentRefusal::NotPromoted(_)));
    assert_eq!((refused.rule(), refused.remedy().is_empty()), (Rule::Promotion, false));
    let promoted = || asked(vec![verified(11, versions(2, 2), at(0))]);
    assert!(RuntimeDeployment::request(promoted(), at(SOAK)).is_ok());
    assert!(RuntimeDeployment::request(promoted(), at(SOAK - 1)).is_err());
    let facts = promoted().evidence();
    assert!(
        facts.iter().any(|fact| fact.kind == RuntimeDeployment::KIND && fact.revision == Revision(3)),
        "{facts:?}"
    );
}

#[test]
fn a_policy_adds_its_approvals_to_the_rollout_as_a_gate() {
    let people: BTreeSet<Actor> = ["ada", "grace"].map(|name| Actor::new(name).unwrap()).into();
    let policy = policy(&[11], Upstreams::All).approved_by(2, people).unwrap();
    let decision =
        RuntimeDeployment::request(asked(policy, vec![verified(11, versions(2, 2), at(0))]), at(SOAK))
            .unwrap();
    let DeploymentEvent::RolloutPlanned { gates, .. } = &decision.events[1] else { panic!() };
    let gate = gates.iter().find(|gate| gate.name.as_str() == "promotion").unwrap();
    assert_eq!(gate.at, GatePoint::BeforeRollout);
    let check = serde_json::to_value(&gate.check).unwrap();
    assert_eq!(check, json!({ "approval": { "required": 2, "approvers": ["ada", "grace"] } }));
}

#[test]
fn a_hold_is_released_with_a_reason_that_is_kept() {
    let released = |reason: &str| {
        let by = Actor::new("ada").unwrap();
        let plain = request(1, versions(2, 2), &[]);
        let command =
            RequestDeployment { hold_released: Some(BreakGlass { by, reason: reason.to_string() }), ..plain };
        RuntimeDeployment::request(command, at(0))
    };
    assert_eq!(released(" ").unwrap_err(), DeploymentRefusal::NoReason);
    assert_eq!(DeploymentRefusal::NoReason.rule(), Rule::Content);
    let decision = released("the cause is mended").unwrap();
    assert!(decision.explanation.ends_with("; ada released what was held: the cause is mended"));
    let DeploymentEvent::RuntimeDeploymentRequested(requested) = &decision.events[0] else { panic!() };
    assert_eq!(
        requested.hold_released.as_ref().map(|held| held.reason.as_str()),
        Some("the cause is mended")
    );
}
