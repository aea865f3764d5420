//! The rules that callers meet, on real workloads.

use factory_runtime::domain::deployment::Purpose;
use factory_runtime::domain::envelope::Envelope;
use factory_runtime::domain::health::{HealthStatus, ServiceHealth};
use factory_runtime::domain::inventory::RuntimeStatus;
use factory_runtime::domain::refusal::Rule;
use factory_runtime::domain::tenancy::{PartitionAssignment, PartitionKey, ResourceQuota};
use factory_runtime::ports::store::Query;
use factory_runtime::prelude::*;
use factory_runtime::services::deployments::Exceptions;
use factory_runtime::services::tenancy::NewBinding;
use runtime_memory::Observed;

use crate::bench::{Bench, WEB, release_of, until};

async fn packed(bench: &Bench, version: &str, mode: &str) -> Release {
    bench.pack(version, mode).await;
    bench.resolve(&release_of(version)).await.expect("resolved")
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_again_for_what_is_in_flight_or_serves_changes_nothing() {
    let bench = Bench::with_a_release().await;
    let release = packed(&bench, "2.0.0", "").await;
    let deployments = bench.runtime().deployments();
    let ask = async || {
        deployments.request(bench.scope(), bench.environment(), release.clone()).await.expect("accepted")
    };
    let first = ask().await;
    assert!(first.changed);
    let second = ask().await;
    assert_eq!((second.aggregate.id(), second.changed), (first.aggregate.id(), false));
    bench.ended(first.aggregate.id()).await;
    let third = ask().await;
    assert_eq!((third.aggregate.id(), third.changed), (first.aggregate.id(), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_releases_at_once_exactly_one_is_accepted() {
    let bench = Bench::with_a_release().await;
    let mut releases = Vec::new();
    for number in 2..10 {
        releases.push(packed(&bench, &format!("{number}.0.0"), "").await);
    }
    let deployments = bench.runtime().deployments();
    let asked = releases.into_iter().map(|release| {
        let (deployments, scope) = (deployments.clone(), bench.scope().clone());
        let environment = bench.environment();
        tokio::spawn(async move { deployments.request(&scope, environment, release).await })
    });
    let mut accepted = Vec::new();
    for answer in asked.collect::<Vec<_>>() {
        match answer.await.expect("answered") {
            Ok(done) => accepted.push(done.aggregate.id()),
            Err(error) => assert_eq!(error.rule(), Some(Rule::Dep3), "{error}"),
        }
    }
    assert_eq!(accepted.len(), 1, "{accepted:?}");
    bench.ended(accepted[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_image_is_quarantined_until_it_is_released() {
    let bench = Bench::with_a_release().await;
    let release = packed(&bench, "2.0.0", "exits").await;
    bench.rolls_back(release.clone()).await;
    let deployments = bench.runtime().deployments();
    let refused = deployments.request(bench.scope(), bench.environment(), release.clone()).await;
    assert_eq!(refused.expect_err("refused").rule(), Some(Rule::Quarantine));

    let rolled_back = Query::all(factory_runtime::domain::id::AggregateKind::RuntimeDeployment)
        .in_environment(bench.environment())
        .with_status(&["RolledBack"]);
    let page = deployments.deployments(bench.scope(), rolled_back).await.expect("listed");
    let id = page.items[0].aggregate.id();
    deployments
        .release_quarantine(bench.scope(), id, "it was the licence".to_owned())
        .await
        .expect("released");
    deployments.request(bench.scope(), bench.environment(), release).await.expect("accepted again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_goes_to_an_earlier_completed_deployment_and_to_no_other() {
    let bench = Bench::with_a_release().await;
    let (first, _, _) = bench.listing().await[0];
    let second = bench.deploy(packed(&bench, "2.0.0", "").await).await.id();
    let deployments = bench.runtime().deployments();
    let back = async |to| deployments.roll_back(bench.scope(), bench.environment(), to).await;

    assert_eq!(back(second).await.expect_err("it serves").rule(), Some(Rule::Dep2));
    let begun = back(first).await.expect("accepted");
    let ended = bench.ended(begun.aggregate.id()).await;
    assert_eq!(
        (ended.status(), ended.purpose()),
        (DeploymentStatus::Completed, Purpose::Rollback { to: first })
    );
    assert_eq!(bench.answer().await, "1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_another_tenant_is_answered_like_what_does_not_exist() {
    let bench = Bench::with_a_release().await;
    let runtime = bench.runtime();
    let ids = &runtime.host().ports().ids;
    let other = TenantScope::authenticated(
        TenantId::from_uuid(ids.next()),
        Actor::new("eve").expect("an actor"),
        runtime.host().new_correlation(),
    );
    let (theirs, _, _) = bench.listing().await[0];
    let absent = DeploymentId::from_uuid(ids.next());
    let said = async |id: DeploymentId| {
        let error =
            runtime.deployments().abort(&other, id, "mischief".to_owned()).await.expect_err("not found");
        error.to_string().replace(&id.to_string(), "ID")
    };
    assert_eq!(said(theirs).await, said(absent).await);
    assert!(runtime.environments().environment(&other, bench.environment()).await.is_err());
    assert!(runtime.inventory().services(&other, bench.environment()).await.expect("read").is_empty());
    let release = packed(&bench, "2.0.0", "").await;
    let refused = runtime.deployments().request(&other, bench.environment(), release).await;
    assert!(matches!(refused, Err(CommandError::NotFound { .. })), "{refused:?}");
    assert_eq!(bench.answer().await, "1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prod_environment_takes_no_deployment_before_its_tenant_is_bound() {
    let bench = Bench::with_a_release().await;
    let runtime = bench.runtime();
    let wanted = NewEnvironment {
        project_id: ProjectId::from_uuid(runtime.host().ports().ids.next()),
        name: Name::new("live").expect("a name"),
        stage: EnvironmentStage::Prod,
        region: Name::new("local").expect("a name"),
        isolation_model: IsolationModel::Silo,
        surfaces: [SurfaceKind::Process].into(),
        egress_allow_list: [].into(),
        capacity: ResourceQuota::LARGEST,
    };
    let asked = runtime.environments().provision(bench.scope(), wanted).await.expect("accepted");
    let environment = asked.aggregate.id();
    let release = packed(&bench, "2.0.0", "").await;
    let ask = async || runtime.deployments().request(bench.scope(), environment, release.clone()).await;
    until("it is provisioned, and then a binding is what is missing", async || {
        let rule = ask().await.expect_err("refused").rule();
        assert!(matches!(rule, Some(Rule::Env1 | Rule::Env3)), "{rule:?}");
        (rule == Some(Rule::Env3)).then_some(())
    })
    .await;

    let binding = NewBinding {
        environment,
        isolation_model: IsolationModel::Silo,
        quota: ResourceQuota::new(1_000, 1 << 30, 1 << 30, 100).expect("a quota"),
        partitions: PartitionAssignment {
            network: PartitionKey::new("live").expect("a key"),
            data: PartitionKey::new("live").expect("a key"),
        },
    };
    runtime.tenancy().bind(bench.scope(), binding.clone()).await.expect("bound");
    assert!(!runtime.tenancy().bind(bench.scope(), binding).await.expect("bound before").changed);
    ask().await.expect("accepted");
}

/// Shows TEN-2.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_quota_grows_within_the_capacity_and_is_given_back_when_it_leaves() {
    let bench = Bench::with_a_release().await;
    let runtime = bench.runtime();
    let quota = |units| ResourceQuota::new(units, units, units, units).expect("a quota");
    let wanted = NewEnvironment {
        project_id: ProjectId::from_uuid(runtime.host().ports().ids.next()),
        name: Name::new("pool").expect("a name"),
        stage: EnvironmentStage::Dev,
        region: Name::new("local").expect("a name"),
        isolation_model: IsolationModel::Pool,
        surfaces: [SurfaceKind::Process].into(),
        egress_allow_list: [].into(),
        capacity: quota(1_000),
    };
    let asked = runtime.environments().provision(bench.scope(), wanted).await.expect("accepted");
    let environment = asked.aggregate.id();
    let tenant = bench.scope().tenant();
    let of = |units| NewBinding {
        environment,
        isolation_model: IsolationModel::Pool,
        quota: quota(units),
        partitions: PartitionAssignment::derived(tenant, environment, IsolationModel::Pool),
    };
    let tenancy = runtime.tenancy();
    let refused = tenancy.bind(bench.scope(), of(1_001)).await.expect_err("there is no room");
    assert_eq!(refused.rule(), Some(Rule::Ten2));
    let bound = tenancy.bind(bench.scope(), of(600)).await.expect("bound").aggregate;
    assert_eq!(bound.quota(), Some(quota(600)));
    let refused = tenancy.adjust_quota(bench.scope(), bound.id(), quota(1_001)).await;
    assert_eq!(refused.expect_err("there is no room").rule(), Some(Rule::Ten2));
    for units in [1_000, 300, 300] {
        let adjusted = tenancy.adjust_quota(bench.scope(), bound.id(), quota(units)).await.expect("adjusted");
        assert_eq!(adjusted.aggregate.quota(), Some(quota(units)));
        assert!(adjusted.aggregate.is_settled());
    }
    tenancy.release(bench.scope(), bound.id(), "it has left".to_owned()).await.expect("released");
    let after = runtime.environments().environment(bench.scope(), environment).await.expect("kept");
    assert!(after.ledger().entries().is_empty(), "{:?}", after.ledger());
    let again = tenancy.bind(bench.scope(), of(1_000)).await.expect("bound again").aggregate;
    assert_ne!(again.id(), bound.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serves_is_in_the_inventory_with_its_health_and_events_tell_of_it() {
    let bench = Bench::with_a_release().await;
    let mut events = bench.embedded().bus().observe();
    bench.pack("2.0.0", "").await;
    bench.deploy_well("2.0.0").await;
    let runtime = bench.runtime();
    let service = until("2.0.0 runs by the inventory", async || {
        let services = runtime.inventory().services(bench.scope(), bench.environment()).await.expect("read");
        services.into_iter().find(|service| {
            service.version().version.as_str() == "2.0.0" && service.status() == RuntimeStatus::Running
        })
    })
    .await;
    assert_eq!(service.module_id().as_str(), WEB);
    until("it is known to be healthy", async || {
        let health = runtime.health().health(bench.scope(), service.service_id()).await.expect("read");
        matches!(health, ServiceHealth::Known { status: HealthStatus::Healthy, .. }).then_some(())
    })
    .await;

    let mut last = std::collections::BTreeMap::new();
    let mut names = Vec::new();
    while !names.iter().any(|name| name == "RuntimeDeploymentCompleted") {
        let Some(Observed::Event(event)) = events.next().await else { panic!("the bus ended or lagged") };
        let envelope: Envelope<serde_json::Value> =
            serde_json::from_str(&event.envelope).expect("an envelope");
        let before = last.insert(envelope.subject.id, envelope.sequence);
        assert!(
            before.is_none_or(|before| before < envelope.sequence),
            "events of one aggregate come in order"
        );
        assert_eq!(envelope.tenant, bench.scope().tenant());
        names.push(envelope.event_type.name().to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decommissioning_aborts_what_is_in_flight_and_leaves_nothing_running() {
    let bench = Bench::with_a_release().await;
    bench.pack("2.0.0", "").await;
    let held = release_of("2.0.0")
        .replace("rolling-health-gated: {}", "canary: { steps: [{ weight: 50, hold: until-resumed }] }");
    let release = bench.resolve(&held).await.expect("resolved");
    let runtime = bench.runtime();
    let begun =
        runtime.deployments().request(bench.scope(), bench.environment(), release).await.expect("accepted");
    runtime
        .environments()
        .decommission(bench.scope(), bench.environment(), "the test has ended".to_owned())
        .await
        .expect("accepted");
    let refused = runtime.environments().admit(bench.scope(), bench.environment()).await;
    assert!(refused.is_err(), "it accepts nothing from now on");
    until("it is gone", async || {
        let environment = runtime.environments().environment(bench.scope(), bench.environment()).await;
        environment.expect("kept").decommissioned_at()
    })
    .await;
    let deployment =
        runtime.deployments().deployment(bench.scope(), begun.aggregate.id()).await.expect("kept");
    assert!(deployment.status().is_final(), "{:?}", deployment.status());
    assert!(bench.observe(WEB).await.revisions.is_empty());
    until("the inventory has retired it", async || {
        let services = runtime.inventory().services(bench.scope(), bench.environment()).await.expect("read");
        services.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_line_holds_up_a_release_and_neither_a_rollback_nor_broken_glass() {
    let bench = Bench::with_a_release().await;
    let (first, _, _) = bench.listing().await[0];
    bench.deploy(packed(&bench, "2.0.0", "").await).await;
    let release = packed(&bench, "3.0.0", "").await;
    let (environments, deployments) = (bench.runtime().environments(), bench.runtime().deployments());
    environments.stop_the_line(bench.scope(), bench.environment(), "payments fail").await.expect("stopped");

    let refused = deployments.request(bench.scope(), bench.environment(), release.clone()).await;
    let refused = refused.expect_err("the line is stopped");
    assert_eq!(refused.rule(), Some(Rule::Calendar));
    assert!(format!("{refused:?}").contains("payments fail"), "{refused:?}");
    let back =
        deployments.roll_back(bench.scope(), bench.environment(), first).await.expect("going back is free");
    bench.ended(back.aggregate.id()).await;

    let exceptions = Exceptions { break_glass: Some("this is the fix".to_owned()), ..Exceptions::default() };
    let broken = deployments
        .request_with(bench.scope(), bench.environment(), release.clone(), exceptions)
        .await
        .expect("accepted");
    let history = deployments.history(bench.scope(), broken.aggregate.id(), 0, 1).await.expect("kept");
    assert!(history[0].explanation.contains("broke the glass: this is the fix"), "{history:?}");
    bench.ended(broken.aggregate.id()).await;

    environments.resume_the_line(bench.scope(), bench.environment(), "they work").await.expect("resumed");
    let again =
        deployments.request(bench.scope(), bench.environment(), release).await.expect("it serves already");
    assert!(!again.changed);
}
