//! The typed repositories find what those who work with each look for.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use std::collections::BTreeSet;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::environment::{
    EnvironmentStage, IsolationModel, ProvisionRuntimeEnvironment, ProvisioningStatus, RuntimeEnvironment,
};
use runtime_domain::health::{HealthCheckResult, HealthStatus};
use runtime_domain::id::ProjectId;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::time::Timestamp;
use runtime_domain::value::{ModuleId, Name, Region};
use runtime_memory::MemoryStore;
use runtime_ports::store::{
    AggregateWrite, Commit, Facets, HealthCheckResultRepository, Loaded, Page, PageRequest, Query,
    Repository, RuntimeDeploymentRepository, RuntimeDriftFindingRepository, RuntimeEnvironmentRepository,
    RuntimeServiceRepository, RuntimeTenantBindingRepository, ScalingPolicyRepository,
    SecretBindingRepository, Store, TenantStore,
};
use runtime_testkit::sample::{self, Draft};
use uuid::Uuid;

fn project() -> ProjectId {
    ProjectId::from_uuid(Uuid::from_u128(77))
}

fn environment(number: u64, stage: EnvironmentStage) -> RuntimeEnvironment {
    let command = ProvisionRuntimeEnvironment {
        environment_id: sample::environment(number),
        tenant_id: sample::tenant(1),
        project_id: project(),
        name: Name::new(&format!("shop-{number}")).unwrap(),
        stage,
        region: Region::new("westeurope").unwrap(),
        isolation_model: IsolationModel::Shared,
        surfaces: BTreeSet::from([SurfaceKind::Process]),
        egress_allow_list: BTreeSet::new(),
        capacity: ResourceQuota::LARGEST,
    };
    let decided = RuntimeEnvironment::provision(&command, sample::at(0)).unwrap();
    let events = decided.events.iter().map(|event| (event, sample::at(0)));
    RuntimeEnvironment::evolve_all(None, events).unwrap().unwrap()
}

async fn keep<A: Aggregate>(store: &dyn TenantStore, aggregate: &A, due: Option<Timestamp>) {
    let draft = Draft::create(1, Repository::<A>::key(aggregate.uuid()));
    let write = AggregateWrite {
        record: Repository::record(aggregate).unwrap(),
        facets: Facets {
            environment: aggregate.environment(),
            status: aggregate.status().to_owned(),
            modules: aggregate.modules(),
        },
        claims: aggregate.claims(),
        wake_at: due,
        ..draft.write()
    };
    store.commit(Commit { writes: vec![write], ..Commit::default() }).await.unwrap();
}

fn numbers(page: &Page<Loaded<RuntimeEnvironment>>) -> Vec<u64> {
    let number = |loaded: &Loaded<RuntimeEnvironment>| {
        (1..100).find(|number| sample::environment(*number).uuid() == loaded.aggregate.uuid()).unwrap()
    };
    page.items.iter().map(number).collect()
}

#[tokio::test]
async fn environments_are_found_by_stage_name_status_and_due_time() {
    use EnvironmentStage::{Dev, Prod};
    let store = MemoryStore::new().for_tenant(&sample::scope(1));
    for number in 1..=12 {
        let stage = if number % 3 == 0 { Prod } else { Dev };
        let due = (number % 2 == 0).then(|| sample::at(100 - number));
        keep(&*store, &environment(number, stage), due).await;
    }
    let environments = RuntimeEnvironmentRepository::new(&*store);
    for limit in 1..=6 {
        let mut found = Vec::new();
        let mut request = PageRequest::first(limit);
        loop {
            let page = environments.in_stage(Prod, request.clone()).await.unwrap();
            assert!(page.items.len() <= usize::try_from(limit).unwrap());
            found.extend(numbers(&page));
            let Some(next) = page.next else { break };
            request = request.after(next);
        }
        assert_eq!(found, [12, 9, 6, 3], "{limit} to a page");
    }
    let staging = environments.in_stage(EnvironmentStage::Staging, PageRequest::FIRST).await.unwrap();
    assert_eq!((numbers(&staging), staging.next), (vec![], None));

    let named = |name: &str| Name::new(name).unwrap();
    let found = environments.named(project(), &named("shop-7")).await.unwrap().unwrap();
    assert_eq!(found.aggregate.uuid(), sample::environment(7).uuid());
    assert!(environments.named(project(), &named("shop-77")).await.unwrap().is_none());

    let requested =
        environments.with_status(&[ProvisioningStatus::Requested], PageRequest::first(2)).await.unwrap();
    assert_eq!(numbers(&requested), [12, 11]);
    let gone =
        environments.with_status(&[ProvisioningStatus::Decommissioned], PageRequest::FIRST).await.unwrap();
    assert_eq!(numbers(&gone), Vec::<u64>::new());

    let overdue = environments.overdue(sample::at(95), PageRequest::FIRST).await.unwrap();
    assert_eq!(numbers(&overdue), [12, 10, 8, 6]);
    let coming = environments.due_between(sample::at(92), sample::at(98), PageRequest::FIRST).await.unwrap();
    assert_eq!(numbers(&coming), [8, 6, 4]);
    let every = environments.every(Query::all(RuntimeEnvironment::KIND).limited_to(5)).await.unwrap();
    assert_eq!(every.len(), 12);
}

#[tokio::test]
async fn results_are_found_by_component() {
    let store = MemoryStore::new().for_tenant(&sample::scope(1));
    for (number, module) in [(1, "cart"), (2, "web"), (3, "cart"), (4, "web")] {
        let at = sample::at(number);
        let result = sample::health_record(1, 1, module, number, at, HealthStatus::Healthy).result;
        keep::<HealthCheckResult>(&*store, &result, None).await;
    }
    let results = HealthCheckResultRepository::new(&*store);
    let cart = ModuleId::new("cart").unwrap();
    let newest = results.newest_of(sample::environment(1), &cart).await.unwrap().unwrap();
    assert_eq!(newest.aggregate.evaluated_at(), sample::at(3));
    assert!(results.newest_of(sample::environment(2), &cart).await.unwrap().is_none());
    let all = results.of_component(sample::environment(1), &cart, PageRequest::FIRST).await.unwrap();
    assert_eq!(all.items.len(), 2);
}

#[tokio::test]
async fn a_repository_of_nothing_finds_nothing() {
    let store = MemoryStore::new().for_tenant(&sample::scope(1));
    let (environment, first) = (sample::environment(1), || PageRequest::FIRST);
    let cart = ModuleId::new("cart").unwrap();
    let deployments = RuntimeDeploymentRepository::new(&*store);
    assert!(deployments.in_flight(environment, first()).await.unwrap().items.is_empty());
    assert!(deployments.newest_of(environment, &cart, &[]).await.unwrap().is_none());
    let services = RuntimeServiceRepository::new(&*store);
    assert!(services.live(environment).await.unwrap().is_empty());
    assert!(services.component(environment, &cart).await.unwrap().is_none());
    let bindings = RuntimeTenantBindingRepository::new(&*store);
    assert!(bindings.current(environment).await.unwrap().is_none());
    let secrets = SecretBindingRepository::new(&*store);
    assert!(secrets.rotating_before(sample::at(9), first()).await.unwrap().items.is_empty());
    let policies = ScalingPolicyRepository::new(&*store);
    assert!(policies.current(environment, &cart).await.unwrap().is_none());
    let findings = RuntimeDriftFindingRepository::new(&*store);
    assert!(findings.open_in(environment, first()).await.unwrap().items.is_empty());
    assert!(findings.exceptions_ending_before(sample::at(9), first()).await.unwrap().items.is_empty());
}
