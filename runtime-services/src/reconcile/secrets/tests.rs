//! Rotations, with a vault that fails. Hosts that die at them are in `tests/matrix`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use runtime_domain::environment::{EnvironmentStage, IsolationModel};
use runtime_domain::id::{EnvironmentId, ProjectId, SecretBindingId};
use runtime_domain::secrets::{
    KeyVaultReference, RotationSchedule, SecretStatus, SuspensionCause, VaultFault, VaultKind,
};
use runtime_domain::surface::{ComponentObservation, EffectClass, FencingToken, SurfaceKind};
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::value::{Name, Region};
use runtime_memory::{InProcessBus, MemoryStore};
use runtime_ports::clock::Clock;
use runtime_ports::infrastructure::MockInfrastructureEngine;
use runtime_ports::job::MockJobRunner;
use runtime_ports::metric::MockMetricSource;
use runtime_ports::prober::MockHealthProber;
use runtime_ports::registry::MockImageRegistry;
use runtime_ports::secret_store::{SecretSink, VersionEntry};
use runtime_ports::store::{LeaseRequest, OperatorStore, Store};
use runtime_ports::surface::{ComputeSurface, MockComputeSurface};
use runtime_system::UuidV7Generator;
use runtime_testkit::sample;
use tokio::sync::Notify;

use super::*;
use crate::environments::NewEnvironment;
use crate::host::{HostOptions, Ports};
use crate::records::Records;
use crate::secrets::{NewSecretBinding, RotationRequest};
use crate::testing::DrivenClock;

const GRACE: Span = Span::from_secs(10);

/// Where a call of the vault stops for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Before,
    After,
}

/// A vault in memory that counts, fences, fails for some secrets, and lets the process "die" at one of its calls.
#[derive(Default)]
struct Vault {
    secrets: Mutex<BTreeMap<String, (u64, Vec<VersionEntry>)>>,
    calls: Mutex<BTreeMap<String, usize>>,
    count: AtomicUsize,
    stops_at: Mutex<Option<(usize, Stop)>>,
    died: Notify,
    woken: Notify,
    fails: Mutex<Option<(String, PortErrorKind)>>,
    versions_made: AtomicUsize,
}

impl Vault {
    fn holding(names: &[&str]) -> Self {
        let vault = Self::default();
        let first = VersionEntry {
            version: "1".parse().unwrap(),
            created_at: sample::at(0),
            made_for: None,
            is_retired: false,
        };
        for name in names {
            vault.secrets.lock().unwrap().insert(secret(name).to_string(), (0, vec![first.clone()]));
        }
        vault
    }

    async fn call<T>(
        &self,
        secret: &KeyVaultReference,
        work: impl FnOnce(&mut (u64, Vec<VersionEntry>)) -> PortResult<T>,
    ) -> PortResult<T> {
        *self.calls.lock().unwrap().entry(secret.secret_name().to_owned()).or_default() += 1;
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let stop = self.stops_at.lock().unwrap().filter(|(at, _)| *at == number).map(|(_, stop)| stop);
        if stop == Some(Stop::Before) {
            self.died.notify_one();
            self.woken.notified().await;
        }
        let fails = self.fails.lock().unwrap().clone();
        if let Some((name, kind)) = fails
            && (name == "*" || name == secret.secret_name())
        {
            return Err(PortError::new(kind, "vault.test", "it fails"));
        }
        let answer = {
            let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
            work(secrets.get_mut(&secret.to_string()).unwrap())
        };
        if stop == Some(Stop::After) {
            self.died.notify_one();
            self.woken.notified().await;
        }
        answer
    }
}

fn fenced(seen: &mut u64, token: FencingToken) -> PortResult<()> {
    if token.0 < *seen {
        return Err(PortError::new(PortErrorKind::Fenced, "vault.test", "another host has taken over"));
    }
    *seen = token.0;
    Ok(())
}

#[async_trait]
impl SecretStore for Vault {
    fn kind(&self) -> VaultKind {
        VaultKind::Local
    }
    fn effect_class(&self) -> EffectClass {
        EffectClass::Fenced
    }
    async fn check(&self) -> PortResult<()> {
        Ok(())
    }
    async fn versions(&self, _: &SecretAccess, secret: &KeyVaultReference) -> PortResult<Vec<VersionEntry>> {
        self.call(secret, |(_, versions)| Ok(versions.clone())).await
    }
    async fn create_version(
        &self,
        context: VaultContext,
        _: &SecretAccess,
        secret: &KeyVaultReference,
    ) -> PortResult<SecretVersion> {
        self.call(secret, |(fence, versions)| {
            fenced(fence, context.fence)?;
            if let Some(made) = versions.iter().find(|it| it.made_for == Some(context.rotation)) {
                return Ok(made.version);
            }
            let version = (versions.len() + 1).to_string().parse().unwrap();
            let made_for = Some(context.rotation);
            versions.push(VersionEntry { version, created_at: sample::at(0), made_for, is_retired: false });
            self.versions_made.fetch_add(1, Ordering::SeqCst);
            Ok(version)
        })
        .await
    }
    async fn retire_version(
        &self,
        context: VaultContext,
        _: &SecretAccess,
        secret: &SecretReference,
    ) -> PortResult<()> {
        self.call(secret.key_vault_ref(), |(fence, versions)| {
            fenced(fence, context.fence)?;
            for entry in versions.iter_mut().filter(|entry| entry.version == secret.version()) {
                entry.is_retired = true;
            }
            Ok(())
        })
        .await
    }
    async fn deliver(&self, _: &SecretAccess, _: &SecretReference, _: Box<dyn SecretSink>) -> PortResult<()> {
        panic!("a service asks for no value")
    }
}

fn secret(name: &str) -> KeyVaultReference {
    format!("local://main/{name}").parse().unwrap()
}

/// Several hosts on one store and one vault. Nothing runs of the component, and that is seen.
struct World {
    store: MemoryStore,
    vault: Arc<Vault>,
    clock: DrivenClock,
    scope: TenantScope,
    environment: EnvironmentId,
}

impl World {
    async fn with(names: &[&str]) -> Self {
        let clock = DrivenClock::at(sample::at(1_800_000_000));
        let (store, vault) = (MemoryStore::new(), Arc::new(Vault::holding(names)));
        let environment = sample::environment(1);
        let mut world = Self { store, vault, clock, scope: sample::scope(1), environment };
        let host = world.host();
        let wanted = NewEnvironment {
            project_id: ProjectId::from_uuid(sample::host(1).uuid()),
            name: Name::new("shop").unwrap(),
            stage: EnvironmentStage::Dev,
            region: Region::new("local").unwrap(),
            isolation_model: IsolationModel::Silo,
            surfaces: [SurfaceKind::Process].into(),
            egress_allow_list: [].into(),
            capacity: ResourceQuota::LARGEST,
        };
        let made = EnvironmentService::new(host).provision(&world.scope, wanted).await.unwrap();
        world.environment = made.aggregate.id();
        world
    }

    fn host(&self) -> Host {
        let mut surface = MockComputeSurface::new();
        let clock = self.clock.clone();
        surface.expect_observe().returning(move |key| {
            Ok(ComponentObservation {
                key: key.clone(),
                observed_at: clock.now(),
                revisions: BTreeMap::new(),
                traffic: None,
                endpoint: None,
            })
        });
        let surface: Arc<dyn ComputeSurface> = Arc::new(surface);
        let ports = Ports {
            store: Arc::new(self.store.clone()),
            records: Records::default(),
            surfaces: BTreeMap::from([(SurfaceKind::Process, surface)]),
            infrastructure: Arc::new(MockInfrastructureEngine::new()),
            tenancy: crate::TenancyPorts::default(),
            desired_state: None,
            scaling_signals: Vec::new(),
            registry: Arc::new(MockImageRegistry::new()),
            prober: Arc::new(MockHealthProber::new()),
            metrics: Arc::new(MockMetricSource::new()),
            jobs: Arc::new(MockJobRunner::new()),
            secret_stores: BTreeMap::from([(VaultKind::Local, Arc::clone(&self.vault) as _)]),
            publisher: Arc::new(InProcessBus::new()),
            clock: Arc::new(self.clock.clone()),
            ids: Arc::new(UuidV7Generator::new()),
        };
        Host::new(ports, HostOptions::default())
    }

    fn reconciler(&self) -> SecretReconciler {
        let host = self.host();
        let all = crate::Services::new(host.clone(), Vec::new()).unwrap();
        let (secrets, deployments) = (all.secrets().clone(), all.deployments().clone());
        SecretReconciler::new(host, secrets, deployments, all.environments().clone())
    }

    fn service(&self) -> SecretService {
        let host = self.host();
        SecretService::new(host.clone(), EnvironmentService::new(host))
    }

    /// Binds a component of this name to the secret of this name, and asks for a rotation.
    async fn rotating(&self, name: &str) -> SecretBindingId {
        let wanted = NewSecretBinding {
            environment: self.environment,
            module: Name::new(name).unwrap(),
            secret: format!("local://main/{name}/1").parse().unwrap(),
            identity: "local:web".parse().unwrap(),
            delivery: "file:password".parse().unwrap(),
            rotation_schedule: RotationSchedule::new(None, GRACE).unwrap(),
        };
        let id = self.service().bind(&self.scope, wanted).await.unwrap().aggregate.id();
        let request = RotationRequest::because("audit");
        self.service().rotate(&self.scope, id, request).await.unwrap();
        id
    }

    async fn binding(&self, id: SecretBindingId) -> SecretBinding {
        self.service().binding(&self.scope, id).await.unwrap()
    }

    fn leases(&self, of: &SecretReconciler) -> Box<dyn OperatorStore> {
        self.store.for_operator(&of.host.operator("secrets"))
    }

    async fn take(&self, of: &SecretReconciler) -> Vec<Lease> {
        let request = LeaseRequest {
            topic: LeaseTopic::Work,
            kinds: of.kinds().to_vec(),
            host: of.host.id(),
            now: self.clock.now(),
            until: of.host.options().lease.after(self.clock.now()),
            limit: 10,
        };
        self.leases(of).take_leases(&request).await.unwrap()
    }

    /// One pass over everything that is due, each given back as a worker does.
    async fn passes(&self, of: &SecretReconciler) {
        for lease in self.take(of).await {
            let store = self.leases(of);
            match of.pass(&lease).await {
                Ok(Passed::Until { seen, at }) => store.defer_lease(&lease, seen, at).await.unwrap(),
                Ok(Passed::AsStored) => store.release_lease(&lease).await.unwrap(),
                Err(PassError::LeaseLost) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Goes on for so long, a second at a time.
    async fn go_on(&self, of: &SecretReconciler, seconds: u64) {
        for _ in 0..seconds {
            self.passes(of).await;
            self.clock.advance(Span::from_secs(1));
        }
    }

    fn versions(&self, name: &str) -> Vec<bool> {
        let secrets = self.vault.secrets.lock().unwrap();
        secrets[&secret(name).to_string()].1.iter().map(|entry| entry.is_retired).collect()
    }
}

#[tokio::test]
async fn a_rotation_goes_all_its_way_and_the_old_version_is_retired_after_the_grace() {
    let world = World::with(&["web"]).await;
    let id = world.rotating("web").await;
    let reconciler = world.reconciler();
    world.go_on(&reconciler, 5).await;
    assert_eq!(world.binding(id).await.state().status(), SecretStatus::Grace);
    assert_eq!(world.versions("web"), [false, false]);
    world.go_on(&reconciler, 10).await;
    let binding = world.binding(id).await;
    assert_eq!(binding.state().status(), SecretStatus::Bound);
    assert_eq!(binding.current_version().to_string(), "2");
    assert_eq!(world.versions("web"), [true, false]);
}

/// What a rotation left that was called off while its host did not know what it had made.
#[tokio::test]
async fn a_version_that_was_made_for_nothing_is_retired_by_the_next_rotation() {
    let world = World::with(&["web"]).await;
    let id = world.rotating("web").await;
    let first = world.vault.count.load(Ordering::SeqCst);
    *world.vault.stops_at.lock().unwrap() = Some((first + 1, Stop::After));
    let dying = world.reconciler();
    tokio::select! {
        biased;
        () = world.vault.died.notified() => {}
        () = world.go_on(&dying, 40) => panic!("it does not die"),
    }
    assert_eq!(world.versions("web"), [false, false]);
    world.service().abort(&world.scope, id, "not today".to_owned()).await.unwrap();
    world.clock.advance(Span::from_secs(16));
    let request = RotationRequest::because("now it is");
    world.service().rotate(&world.scope, id, request).await.unwrap();
    world.go_on(&world.reconciler(), 40).await;
    assert_eq!(world.versions("web"), [true, true, false]);
    assert_eq!(world.binding(id).await.current_version().to_string(), "3");
}

/// Buried: external-secrets#6728. Theirs: one secret that failed was asked for again and again, and used up the vault's quota for all. Ours: it is
/// asked for ever more slowly, [`SecretBinding::MOST_FAILURES`] times at the most, then set aside for a person, and nobody else waits.
#[tokio::test]
async fn external_secrets_6728_one_broken_secret_costs_its_vault_little_and_others_nothing() {
    let world = World::with(&["broken", "well"]).await;
    *world.vault.fails.lock().unwrap() = None;
    let broken = world.rotating("broken").await;
    let before = world.vault.calls.lock().unwrap()["broken"];
    *world.vault.fails.lock().unwrap() = Some(("broken".to_owned(), PortErrorKind::Denied));
    let reconciler = world.reconciler();
    world.go_on(&reconciler, 5).await;
    let well = world.rotating("well").await;
    world.go_on(&reconciler, 15).await;
    assert_eq!(world.binding(well).await.state().status(), SecretStatus::Bound, "the other one waits");
    // A day.
    for _ in 0..24 * 60 {
        world.clock.advance(Span::from_secs(60));
        world.passes(&reconciler).await;
    }
    let asked = world.vault.calls.lock().unwrap()["broken"] - before;
    assert!(asked <= SecretBinding::MOST_FAILURES as usize, "the broken one was asked for {asked} times");
    let binding = world.binding(broken).await;
    let SecretState::Suspended(state) = binding.state() else { panic!("{binding:?}") };
    assert_eq!(state.cause, SuspensionCause::VaultFailed { fault: VaultFault::Forbidden });
    assert_eq!(binding.current_version().to_string(), "1", "the old version is valid");
}

#[tokio::test]
async fn a_vault_that_is_down_is_asked_little_and_everything_goes_on_once_it_is_back() {
    let names: Vec<String> = (0..8).map(|number| format!("web-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::with(&names).await;
    let mut bindings = Vec::new();
    for name in &names {
        bindings.push(world.rotating(name).await);
    }
    let before = world.vault.count.load(Ordering::SeqCst);
    *world.vault.fails.lock().unwrap() = Some(("*".to_owned(), PortErrorKind::Unavailable));
    let reconciler = world.reconciler();
    world.go_on(&reconciler, 600).await;
    let asked = world.vault.count.load(Ordering::SeqCst) - before;
    assert!(asked <= 40, "a vault that is down was asked {asked} times in ten minutes by eight secrets");
    *world.vault.fails.lock().unwrap() = None;
    world.go_on(&reconciler, 1_200).await;
    for id in bindings {
        assert_eq!(world.binding(id).await.current_version().to_string(), "2");
    }
}
