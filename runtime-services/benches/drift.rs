//! Components compared with their desired state per second of CPU time, as ratios to a raw comparison measured in the same run:
//! `cargo bench -p runtime-services --bench drift`.
//!
//! The raw comparison walks two ordered maps of image, replicas and variables as text, and collects the names that differ. It knows no owners,
//! normal forms, differences or secrets. `compare` is the domain's comparison; `pass` is all that a look at an environment takes: desired state
//! that was read before, a surface's list, deployments, owners, comparison and report, on a store in memory. One component in a hundred diverges.
//! Beyond 10,000 components there are several environments. Rounds alternate, and the median of five counts, because machines are shared and
//! noisy.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to the person who runs it, and stops at the first fault"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::drift::watch::WatchTerms;
use runtime_domain::drift::{
    ActualComponent, ActualState, Authoritative, ComparisonPolicy, DesiredComponent, DesiredState, Ownership,
    compare_states, settings,
};
use runtime_domain::environment::{
    ComputeTarget, EnvironmentStage, IsolationModel, NetworkBoundary, ProvisionedResources,
};
use runtime_domain::id::{DeploymentId, EnvironmentId, ProjectId, TenantId};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, RevisionObservation, RevisionSpec, SurfaceCapabilities,
    SurfaceKind, Traffic, TrafficControl,
};
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::value::Name;
use runtime_memory::{InProcessBus, MemoryStore};
use runtime_ports::clock::{Clock as _, IdGenerator as _};
use runtime_ports::desired_state::{DesiredPlace, DesiredReleases, DesiredStateSource};
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::manifest::ReleaseManifest;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_services::environments::NewEnvironment;
use runtime_services::{Host, HostOptions, Ports, Records, Services};
use runtime_system::{SystemClock, UuidV7Generator};
use runtime_testkit::sample;
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 5;
const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// The components of one environment, and those of one document.
const ENVIRONMENT: usize = 10_000;
const DOCUMENT: usize = 500;

fn image(number: usize) -> String {
    format!("sha256:{number:064x}")
}

fn name(number: usize) -> String {
    format!("component-{number}")
}

/// A document of so many components from a number on.
fn manifest(first: usize, count: usize) -> ReleaseManifest {
    let components: serde_json::Map<_, _> = (first..first + count)
        .map(|number| {
            let component = serde_json::json!({
                "image": format!("shop/{}@{}", name(number), image(number)), "version": "1", "replicas": 3,
                "variables": {"LOG_LEVEL": "info", "UPSTREAM": "http://127.0.0.1:8080"},
            });
            (name(number), component)
        })
        .collect();
    let manifest = serde_json::json!({
        "release": "shop-1", "strategy": {"rolling-health-gated": {}}, "components": components,
    });
    serde_json::from_value(manifest).unwrap()
}

fn documents(count: usize) -> DesiredReleases {
    let documents = (0..count)
        .step_by(DOCUMENT)
        .map(|first| (format!("{first:06}.yaml"), manifest(first, DOCUMENT.min(count - first))));
    DesiredReleases::new(documents.collect()).unwrap()
}

/// CPU time of this thread, in seconds.
#[expect(clippy::cast_precision_loss, reason = "seconds as people read them")]
fn cpu() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    told.split_ascii_whitespace().next().unwrap().parse::<u64>().unwrap() as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "counts this small are exact")]
fn rate(count: usize, mut work: impl FnMut()) -> f64 {
    let begun = cpu();
    let mut rounds = 0;
    while rounds == 0 || cpu() - begun < 0.2 {
        work();
        rounds += 1;
    }
    (count * rounds) as f64 / (cpu() - begun)
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

type Raw = BTreeMap<String, (String, u16, String)>;

fn raw(count: usize) -> (Raw, Raw) {
    let side = |is_actual: bool| {
        let component = |number: usize| {
            let is_other = is_actual && number.is_multiple_of(100);
            let shown = if is_other { image(number + 1) } else { image(number) };
            (name(number), (shown, 3, "LOG_LEVEL=info UPSTREAM=http://127.0.0.1:8080".to_owned()))
        };
        (0..count).map(component).collect()
    };
    (side(false), side(true))
}

fn differing(wanted: &Raw, found: &Raw) -> Vec<String> {
    let gone = wanted.iter().filter(|(name, wanted)| found.get(*name) != Some(*wanted));
    let new = found.iter().filter(|(name, _)| !wanted.contains_key(*name));
    gone.chain(new).map(|(name, _)| name.clone()).collect()
}

fn states(count: usize) -> (Authoritative<DesiredState>, ActualState) {
    let now = SystemClock::new().now();
    let (tenant, environment) = (sample::tenant(1), sample::environment(1));
    let (mut desired, mut actual) = (BTreeMap::new(), BTreeMap::new());
    for release in documents(count).releases().values() {
        let pinned = release.images().into_iter().map(|(_, it)| (it.clone(), it.clone().try_into().unwrap()));
        for (module, component) in release.release(&pinned.collect()).unwrap().components {
            let number: usize = module.as_str().trim_start_matches("component-").parse().unwrap();
            let shown = if number.is_multiple_of(100) { image(number + 1) } else { image(number) };
            let wanted = DesiredComponent {
                surface: component.surface,
                image: component.tuple.image.digest().clone(),
                replicas: component.replicas,
                configuration: None,
                secrets: Default::default(),
                scaling: None,
                settings: settings(&component),
            };
            let found = ActualComponent {
                observed_at: now,
                surface: component.surface,
                image: shown.parse().unwrap(),
                replicas: component.replicas.get(),
                configuration: None,
                secrets: Default::default(),
                scaling: None,
                settings: wanted.settings.clone(),
            };
            desired.insert(module.clone(), wanted);
            actual.insert(module, found);
        }
    }
    let desired = DesiredState { components: desired, resources: BTreeMap::new() };
    let revision = "pulumi:shop@1".parse().unwrap();
    let actual =
        ActualState { tenant, environment, listed_at: now, components: actual, resources: BTreeMap::new() };
    (Authoritative::from_revision(revision, tenant, environment, desired), actual)
}

/// Desired state that was read before.
struct Said(Arc<DesiredReleases>);

#[async_trait]
impl DesiredStateSource for Said {
    async fn read(&self, place: &DesiredPlace) -> PortResult<Authoritative<Arc<DesiredReleases>>> {
        let revision = format!("git:{:040x}", 1).parse().unwrap();
        Ok(Authoritative::from_revision(revision, place.tenant, place.environment, Arc::clone(&self.0)))
    }
}

/// A surface that shows what it was told to show.
#[derive(Default)]
struct Shown(std::sync::Mutex<Vec<(Name, ComponentObservation)>>);

fn unsupported() -> PortError {
    PortError::new(PortErrorKind::Unsupported, "surface.perform", "it shows, and does nothing")
}

#[async_trait]
impl ComputeSurface for Shown {
    fn capabilities(&self) -> SurfaceCapabilities {
        SurfaceCapabilities {
            kind: SurfaceKind::Process,
            traffic: TrafficControl::Weighted,
            concurrent_revisions: 8,
            metrics_by_revision: true,
            effect_class: EffectClass::Fenced,
        }
    }
    async fn apply(&self, _: EffectContext, _: &RevisionSpec, _: u16) -> PortResult<()> {
        Err(unsupported())
    }
    async fn scale(&self, _: EffectContext, _: &ComponentKey, _: &RevisionId, _: u16) -> PortResult<()> {
        Err(unsupported())
    }
    async fn shift_traffic(&self, _: EffectContext, _: &ComponentKey, _: &Traffic) -> PortResult<()> {
        Err(unsupported())
    }
    async fn deliver(
        &self,
        _: EffectContext,
        _: &ComponentKey,
        _: &RevisionId,
        _: &DeliveredConfiguration,
    ) -> PortResult<()> {
        Err(unsupported())
    }
    async fn retire(&self, _: EffectContext, _: &ComponentKey, _: &RevisionId) -> PortResult<()> {
        Err(unsupported())
    }
    async fn observe(&self, _: &ComponentKey) -> PortResult<ComponentObservation> {
        Err(unsupported())
    }
    async fn list(&self, _: TenantId, environment: EnvironmentId) -> PortResult<Vec<ComponentObservation>> {
        let now = SystemClock::new().now();
        let shown = self.0.lock().unwrap();
        let seen = shown.iter().map(|(_, shown)| {
            let key = ComponentKey { environment, ..shown.key.clone() };
            ComponentObservation { key, observed_at: now, ..shown.clone() }
        });
        Ok(seen.collect())
    }
}

/// A host that watches one environment of so many components, which its deployments brought.
async fn watched(count: usize) -> (Services, TenantScope, EnvironmentId) {
    let desired = Arc::new(documents(count));
    let shown = Arc::<Shown>::default();
    let mut engine = MockInfrastructureEngine::new();
    engine.expect_up().returning(|_, blueprint| {
        let targets = blueprint.surfaces.iter();
        Ok(ProvisionedResources {
            stack_ref: "bench".to_owned(),
            compute_targets: targets
                .map(|surface| ComputeTarget { surface: *surface, resource_ids: Vec::new() })
                .collect(),
            network_boundary: NetworkBoundary::default(),
            outputs: BTreeMap::new(),
        })
    });
    let mut registry = MockImageRegistry::new();
    registry.expect_resolve().returning(|reference| Ok(reference.clone().try_into().unwrap()));
    let surface: Arc<dyn ComputeSurface> = Arc::<Shown>::clone(&shown);
    let ports = Ports {
        store: Arc::new(MemoryStore::new()),
        records: Records::default(),
        surfaces: [(SurfaceKind::Process, surface)].into(),
        infrastructure: Arc::new(engine),
        tenancy: Default::default(),
        registry: Arc::new(registry),
        desired_state: Some(Arc::new(Said(Arc::clone(&desired)))),
        prober: Arc::new(MockHealthProber::new()),
        metrics: Arc::new(MockMetricSource::new()),
        scaling_signals: Vec::new(),
        jobs: Arc::new(MockJobRunner::new()),
        secret_stores: BTreeMap::new(),
        publisher: Arc::new(InProcessBus::new()),
        clock: Arc::new(SystemClock::new()),
        ids: Arc::new(UuidV7Generator::default()),
    };
    let services = Services::new(Host::new(ports, HostOptions::default()), Vec::new()).unwrap();
    let scope = sample::scope(1);
    let wanted = NewEnvironment {
        project_id: ProjectId::from_uuid(UuidV7Generator::default().next()),
        name: Name::new("bench").unwrap(),
        stage: EnvironmentStage::Dev,
        region: Name::new("local").unwrap(),
        isolation_model: IsolationModel::Silo,
        surfaces: [SurfaceKind::Process].into(),
        egress_allow_list: [].into(),
        capacity: ResourceQuota::LARGEST,
    };
    let environment = services.environments().provision(&scope, wanted).await.unwrap().aggregate.id();
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (services, stop) = (services.clone(), stop.clone());
        async move { services.run(stop).await }
    });
    while services.environments().admit(&scope, environment).await.is_err() {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    for document in desired.releases().values() {
        let release = services.deployments().resolve(document).await.unwrap();
        let brought = services.deployments().request(&scope, environment, release).await.unwrap().aggregate;
        services.deployments().abort(&scope, brought.id(), "it was brought before".to_owned()).await.unwrap();
        let components = brought.release().components.values();
        let tenant = scope.tenant();
        shown.0.lock().unwrap().extend(components.map(|component| {
            let module = component.module.clone();
            (module.clone(), observed(tenant, environment, brought.id(), module, component.replicas.get()))
        }));
    }
    let terms = WatchTerms::new("bench".parse().unwrap());
    services.drift().watch(&scope, environment, terms).await.unwrap();
    (services, scope, environment)
}

fn observed(
    tenant: TenantId,
    environment: EnvironmentId,
    deployment: DeploymentId,
    module: Name,
    replicas: u16,
) -> ComponentObservation {
    let number: usize = module.as_str().trim_start_matches("component-").parse().unwrap();
    let shown = if number.is_multiple_of(100) { image(number + 1) } else { image(number) };
    let revision = RevisionId::new(module.clone(), deployment);
    let observation = RevisionObservation {
        image: shown.parse().unwrap(),
        wanted: replicas,
        instances: Vec::new(),
        trouble: None,
    };
    ComponentObservation {
        key: ComponentKey { tenant, environment, module },
        observed_at: SystemClock::new().now(),
        revisions: [(revision.clone(), observation)].into(),
        traffic: Some(Traffic::all_to(revision)),
        endpoint: None,
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("components      raw/s   compare/s  ratio      pass/s  ratio   us of a pass for each");
    for size in SIZES {
        let (environments, count) = (size.div_ceil(ENVIRONMENT), size.min(ENVIRONMENT));
        let (wanted, found) = raw(count);
        let (desired, actual) = states(count);
        let (services, scope, environment) = runtime.block_on(watched(count));
        let (owners, policy) = (Ownership::nobody(), ComparisonPolicy::default());
        let now = actual.listed_at;
        let mut rates = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            rates[0].push(rate(count * environments, || {
                for _ in 0..environments {
                    assert_eq!(black_box(differing(&wanted, &found)).len(), count.div_ceil(100));
                }
            }));
            rates[1].push(rate(count * environments, || {
                for _ in 0..environments {
                    let compared = compare_states(&desired, &actual, &owners, &policy, now).unwrap();
                    assert_eq!(black_box(compared).detected.len(), count.div_ceil(100));
                }
            }));
            rates[2].push(rate(count * environments, || {
                for _ in 0..environments {
                    let report = runtime.block_on(services.drift().compare(&scope, environment)).unwrap();
                    assert!(black_box(report).divergences.len() >= count.div_ceil(100));
                }
            }));
        }
        let [raw, compare, pass] = rates.map(|mut rates| median(&mut rates));
        println!(
            "{size:>10} {raw:>10.0} {compare:>11.0} {:>6.3} {pass:>11.0} {:>6.3} {:>8.1}",
            compare / raw,
            pass / raw,
            1e6 / pass
        );
    }
}
