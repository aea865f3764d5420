//! The reconciler in a world in memory: what it finds, what it does and does not, and that it may be killed anywhere.

mod world;

use runtime_domain::deployment::DeploymentStatus;
use runtime_domain::drift::watch::Outlook;
use runtime_domain::drift::{DriftKind, DriftStatus, Owner, RemediationMode};
use runtime_domain::scaling::{PolicySpec, PolicyTerms, ReplicaBounds, ScalingMetric, ScalingRule};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Span;
use runtime_domain::value::{Measure, Name, Replicas};

use self::world::{World, digest, lock, release};
use crate::scaling::NewScalingPolicy;

fn statuses(findings: &[runtime_domain::drift::RuntimeDriftFinding]) -> Vec<(DriftKind, DriftStatus)> {
    findings.iter().map(|finding| (finding.kind(), finding.state().status())).collect()
}

#[tokio::test]
async fn a_pass_that_sees_the_same_commits_nothing() {
    let world = World::new().await;
    let commits = world.commits();
    for _ in 0..20 {
        world.pass(&world.one).await;
        world.pass(&world.other).await;
    }
    assert_eq!(world.commits(), commits, "in sync");
    world.watch(RemediationMode::Warn).await;
    world.scale_by_hand("web", 1);
    world.pass(&world.one).await;
    assert_eq!(statuses(&world.open().await), [(DriftKind::ReplicaMismatch, DriftStatus::Detected)]);
    let commits = world.commits();
    for _ in 0..20 {
        world.pass(&world.other).await;
    }
    assert_eq!(world.commits(), commits, "the same divergence");
    assert!(matches!(world.outlook().await, Outlook::Diverged { .. }));
}

/// Shows DRF-1, DRF-2.
#[tokio::test]
async fn what_diverges_is_repaired_by_one_deployment_of_what_diverges() {
    let world = World::new().await;
    world.says(2, release(&[("web", 1, 3, "hello"), ("cart", 1, 1, "hello"), ("mail", 1, 1, "hello")]));
    world.settles().await;
    let deployments = world.deployments().await;
    world.scale_by_hand("web", 1);
    world.replace_by_hand("web", 9);
    world.scale_by_hand("cart", 4);
    world.settles().await;
    assert_eq!(world.deployments().await, deployments + 1, "one for all that diverged at once");
    assert_eq!(world.serving("web"), Some((digest(1), 3)));
    assert_eq!(world.serving("cart"), Some((digest(1), 1)));
    let repaired: Vec<_> = world
        .findings()
        .await
        .into_iter()
        .filter(|finding| finding.kind() != DriftKind::MissingResource)
        .collect();
    // Of an image that no deployment brought it is not known with what else it was started: that is a finding, too.
    assert_eq!(repaired.len(), 4);
    let by = repaired[0].remediation_deployment_id().unwrap();
    assert!(repaired.iter().all(|finding| finding.remediation_deployment_id() == Some(by)), "{repaired:?}");
    let deployment = world.one.services.deployments().deployment(&world.scope, by).await.unwrap();
    let modules: Vec<String> = deployment.release().components.keys().map(Name::to_string).collect();
    assert_eq!(
        (modules, deployment.status()),
        (vec!["cart".to_owned(), "web".to_owned()], DeploymentStatus::Completed)
    );
}

#[tokio::test]
async fn a_repair_whose_release_says_nothing_of_configuration_leaves_the_one_that_serves() {
    let world = World::new().await;
    let configuration = world.one.services.configuration();
    let serves = world.publishes("old").await;
    world.deploys_carrying(release(&[("web", 1, 3, "hello")]), serves).await;
    assert_eq!(world.configuration("web"), Some(serves));
    let newer = world.publishes("new").await;
    configuration.withdraw(&world.scope, serves, "the test wants it so".to_owned()).await.unwrap();
    world.scale_by_hand("web", 1);
    let deployments = world.deployments().await;
    world.settles().await;
    assert_eq!((world.serving("web"), world.deployments().await), (Some((digest(1), 3)), deployments + 1));
    assert_eq!(world.configuration("web"), Some(serves), "{newer} was not asked for");
}

/// Shows DRF-1.
#[tokio::test]
async fn what_is_taken_away_altogether_is_brought_again() {
    let world = World::new().await;
    let deployments = world.deployments().await;
    let key = world.key("web");
    lock(&world.stage).components.remove(&key);
    world.settles().await;
    assert_eq!((world.serving("web"), world.deployments().await), (Some((digest(1), 3)), deployments + 1));
    let newest = world.findings().await.into_iter().next().unwrap();
    let told = (newest.kind(), newest.state().status(), newest.attempts().len());
    assert_eq!(told, (DriftKind::MissingResource, DriftStatus::Resolved, 1));
}

/// Buried: argo-cd#18038. Theirs: what really differed was compared as equal, and nobody was told. Ours: whatever a manifest states is compared, the
/// variables too.
#[tokio::test]
async fn argo_cd_18038_real_drift_is_not_missed() {
    let world = World::new().await;
    world.watch(RemediationMode::Warn).await;
    world.says(2, release(&[("web", 1, 3, "good day")]));
    world.pass(&world.one).await;
    let open = world.open().await;
    assert_eq!(statuses(&open), [(DriftKind::ConfigDrift, DriftStatus::Detected)], "argo-cd is in sync");
    let places: Vec<&str> = open[0].diff().entries().iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(places, ["/settings/variables/GREETING"]);
}

/// Buried: argo-cd#18442. Theirs: a self-heal that had failed once was never tried again. Ours: it is tried again after a while, within a budget,
/// and then people are called.
#[tokio::test]
async fn argo_cd_18442_a_repair_that_failed_is_tried_again() {
    let world = World::new().await;
    world.scale_by_hand("web", 1);
    lock(&world.stage).refuses = 1;
    world.pass(&world.one).await;
    world.deploys().await;
    // Going back restored what serves, so it is scaled away again.
    world.scale_by_hand("web", 1);
    world.pass(&world.one).await;
    assert_eq!(statuses(&world.open().await), [(DriftKind::ReplicaMismatch, DriftStatus::RemediationFailed)]);
    world.settles().await;
    assert_eq!(world.serving("web"), Some((digest(1), 3)), "argo-cd leaves it as it is");
    let finding =
        world.findings().await.into_iter().find(|it| it.kind() == DriftKind::ReplicaMismatch).unwrap();
    assert_eq!((finding.state().status(), finding.attempts().len()), (DriftStatus::Resolved, 2));
}

/// Buried: argo-cd#21434. Theirs: an application was out of sync with an empty difference. Ours: the two are one: there is a finding if and only if
/// there is a difference to show.
#[tokio::test]
async fn argo_cd_21434_nothing_is_out_of_sync_without_a_difference() {
    let world = World::new().await;
    let said = serde_json::json!({
        "release": "shop-1", "strategy": {"rolling-health-gated": {}}, "gates": {},
        "components": {"web": {
            "image": format!("shop/web@{}", digest(1)), "version": "1", "replicas": 3, "type": "microservice",
            "arguments": [], "variables": {"GREETING": "hello"}, "readiness": null, "depends_on": [],
        }},
    });
    world.says(2, serde_json::from_value(said).unwrap());
    let deployments = world.deployments().await;
    world.settles().await;
    assert_eq!((world.open().await, world.deployments().await), (Vec::new(), deployments));
    let revision = format!("git:{:040x}", 2);
    assert!(matches!(world.outlook().await, Outlook::InSync { revision: at } if at.as_str() == revision));
    world.replace_by_hand("web", 9);
    world.pass(&world.one).await;
    assert!(world.findings().await.iter().all(|finding| !finding.diff().entries().is_empty()));
}

/// Buried: flagger#1407. Theirs: drift correction and the autoscaler undid each other for ever. Ours: who owns the replicas is computed: within a
/// policy's bounds they are the policy's, and no drift.
#[tokio::test]
async fn flagger_1407_drift_does_not_fight_the_autoscaler() {
    let world = World::new().await;
    let bounds = ReplicaBounds::new(SurfaceKind::Process, 2, Replicas::new(8).unwrap()).unwrap();
    let rule = ScalingRule::new(ScalingMetric::RequestRate, Measure::from_micros(100_000_000));
    let wanted = NewScalingPolicy {
        environment: world.environment,
        module: Name::new("web").unwrap(),
        policy: PolicySpec::new(PolicyTerms::new(bounds, [rule])).unwrap(),
    };
    world.one.services.scaling().put_in_force(&world.scope, &wanted).await.unwrap();
    let deployments = world.deployments().await;
    world.scale_by_hand("web", 7);
    world.settles().await;
    assert_eq!(world.serving("web"), Some((digest(1), 7)), "flagger's drift correction scales it back");
    assert_eq!((world.open().await, world.deployments().await), (Vec::new(), deployments));
    let report = world.one.services.drift().compare(&world.scope, world.environment).await.unwrap();
    assert!(report.suppressed.iter().any(|it| matches!(it.owner, Owner::Scaling { .. })), "{report:?}");
    world.scale_by_hand("web", 9);
    world.pass(&world.one).await;
    assert_eq!(
        statuses(&world.open().await),
        [(DriftKind::ReplicaMismatch, DriftStatus::Remediating)],
        "beyond its bounds"
    );
}

/// Shows DRF-3.
#[tokio::test]
async fn what_cannot_be_read_or_seen_finds_closes_and_repairs_nothing() {
    let world = World::new().await;
    world.watch(RemediationMode::Warn).await;
    world.scale_by_hand("web", 1);
    world.pass(&world.one).await;
    let found = world.open().await;
    assert_eq!(found.len(), 1);
    world.watch(RemediationMode::Remediate).await;
    world.scale_by_hand("web", 3);
    world.start_by_hand("miner", "web");
    let deployments = world.deployments().await;
    let untouched = async |why: &str| {
        world.settles().await;
        assert_eq!(
            statuses(&world.open().await),
            [(DriftKind::ReplicaMismatch, DriftStatus::Detected)],
            "{why}"
        );
        assert!(matches!(world.outlook().await, Outlook::NotCompared { .. }), "{why}");
        assert_eq!(
            (world.deployments().await, world.serving("miner").is_some()),
            (deployments, true),
            "{why}"
        );
    };
    world.cannot_be_read();
    untouched("the source is away").await;
    world.says_nothing(2);
    untouched("nothing is desired").await;
    world.says(3, release(&[("web", 1, 3, "hello")]));
    lock(&world.stage).is_dark = true;
    untouched("nothing can be seen").await;
    lock(&world.stage).is_dark = false;
    world.settles().await;
    assert_eq!((world.open().await, world.serving("miner")), (Vec::new(), None));
}

#[tokio::test]
async fn the_prune_guard_keeps_what_too_little_is_left_to_desire() {
    let world = World::new().await;
    let all = [("web", 1, 3, "hello"), ("cart", 1, 1, "hello"), ("mail", 1, 1, "hello")];
    world.says(2, release(&all));
    world.settles().await;
    world.says(3, release(&all[..1]));
    world.settles().await;
    let detected = (DriftKind::UnmanagedResource, DriftStatus::Detected);
    assert_eq!(statuses(&world.open().await), [detected, detected], "two of three are more than half");
    let report = world.one.services.drift().compare(&world.scope, world.environment).await.unwrap();
    assert!(
        report.divergences.iter().all(|it| !matches!(it.remedy, crate::drift::Remedy::Prune)),
        "{report:?}"
    );
    assert!(world.serving("cart").is_some() && world.serving("mail").is_some());
    world.says(4, release(&all[..2]));
    world.clock.advance(Span::from_secs(900));
    world.settles().await;
    assert_eq!((world.serving("mail"), world.serving("cart").is_some()), (None, true), "one of three may go");
}
