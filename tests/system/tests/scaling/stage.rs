//! A host that scales processes, by a clock that goes faster than others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use factory_runtime::domain::scaling::{
    Cooldown, Fallback, PolicySpec, PolicyTerms, ReplicaBounds, ScalingMetric, ScalingPolicy, ScalingRule,
    Stabilisation,
};
use factory_runtime::domain::surface::{ComponentKey, ComponentObservation, InstanceState};
use factory_runtime::domain::value::{Measure, Replicas};
use factory_runtime::manifest;
use factory_runtime::ports::clock::Clock;
use factory_runtime::ports::metric::MetricSource;
use factory_runtime::ports::scaling_signals::ScalingSignals;
use factory_runtime::ports::surface::ComputeSurface;
use factory_runtime::prelude::*;
use factory_runtime::services::scaling::NewScalingPolicy;
use runtime_directory::DirectoryEngine;
use runtime_http_prober::{AllowList, HttpProber};
use runtime_memory::{InProcessBus, MemoryStore};
use runtime_oci_layout::{ImageSource, OciLayout};
use runtime_process::{ProcessSurface, ProcessSurfaceOptions};
use runtime_system::{SystemClock, UuidV7Generator};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take that a test waits for; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much faster the host's clock goes: an evaluation comes every half second.
const HASTE: u64 = 30;

/// The machine's clock, from now on so much faster.
struct HastyClock {
    clock: SystemClock,
    began: Timestamp,
    since: Instant,
}

#[async_trait]
impl Clock for HastyClock {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.since.elapsed().as_millis()).expect("not that long");
        Span::from_millis(passed * HASTE).after(self.began)
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        while self.now() < deadline {
            let wait = Span::between(self.now(), deadline).as_millis() / HASTE + 1;
            self.clock.sleep_until(Span::from_millis(wait).after(self.clock.now())).await;
        }
    }
}

/// A runtime at work in a folder of its own. Whatever runs in it ends with it.
pub(crate) struct Stage {
    pub(crate) runtime: Runtime,
    pub(crate) scope: TenantScope,
    pub(crate) environment: EnvironmentId,
    registry: OciLayout,
    surfaces: [Arc<ProcessSurface>; 2],
    stop: CancellationToken,
    host: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    /// A stage on which these sources are asked after the surfaces.
    pub(crate) async fn with(sources: Vec<Arc<dyn ScalingSignals>>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = SystemClock::new();
        let clock = Arc::new(HastyClock { began: clock.now(), clock, since: Instant::now() });
        let registry = OciLayout::create(folder.path().join("images")).expect("a registry");
        let prober = Arc::new(HttpProber::new(AllowList::builder().allow_loopback().build()));
        let open = async |name: &str, kind| {
            let mut options = ProcessSurfaceOptions::new(
                folder.path().join(name),
                Arc::new(registry.clone()),
                prober.clone(),
                clock.clone(),
                Arc::new(UuidV7Generator::new()),
            );
            options.kind = kind;
            options.rate_window = Span::from_secs(2);
            Arc::new(ProcessSurface::open(options).await.expect("it opens"))
        };
        let kinds = [SurfaceKind::Process, SurfaceKind::Functions];
        let surfaces = [open("process", kinds[0]).await, open("functions", kinds[1]).await];
        let mut host = HostOptions::default();
        host.poll = Span::from_millis(50 * HASTE);
        host.idle = Span::from_millis(50 * HASTE);
        host.inventory_poll = Span::from_millis(100 * HASTE);
        host.lease = Span::from_secs(15 * HASTE);
        let engine = DirectoryEngine::open(folder.path().join("environments")).expect("an engine");
        let mut builder = Runtime::builder()
            .store(Arc::new(MemoryStore::new()))
            .metrics(surfaces[0].clone() as Arc<dyn MetricSource>)
            .jobs(surfaces[0].clone())
            .infrastructure(Arc::new(engine.with_surfaces(kinds)))
            .registry(Arc::new(registry.clone()))
            .prober(prober)
            .publisher(Arc::new(InProcessBus::new()))
            .clock(clock)
            .options(host);
        for surface in &surfaces {
            builder = builder.surface(surface.clone()).scaling_signals(surface.clone());
        }
        for source in sources {
            builder = builder.scaling_signals(source);
        }
        let runtime = builder.build().expect("it is whole");
        let ids = &runtime.host().ports().ids;
        let actor = Actor::new("ann").expect("an actor");
        let tenant = TenantId::from_uuid(ids.next());
        let scope = TenantScope::authenticated(tenant, actor, runtime.host().new_correlation());
        let stop = CancellationToken::new();
        let (running, stopped) = (runtime.clone(), stop.clone().cancelled_owned());
        let host = Some(tokio::spawn(async move { running.run(stopped).await }));
        let wanted = NewEnvironment {
            project_id: ProjectId::from_uuid(ids.next()),
            name: Name::new("tests").expect("a name"),
            stage: EnvironmentStage::Dev,
            region: Name::new("local").expect("a name"),
            isolation_model: IsolationModel::Silo,
            surfaces: kinds.into(),
            egress_allow_list: [].into(),
            capacity: ResourceQuota::LARGEST,
        };
        let environment = runtime.environments().provision(&scope, wanted).await.expect("accepted");
        let environment = environment.aggregate.id();
        let stage = Self { runtime, scope, environment, registry, surfaces, stop, host, _folder: folder };
        until("the environment is provisioned", async || {
            let admitted = stage.runtime.environments().admit(&stage.scope, stage.environment).await;
            admitted.is_ok().then_some(())
        })
        .await;
        for version in ["1.0.0", "2.0.0"] {
            stage.pack(version).await;
        }
        stage
    }

    async fn pack(&self, version: &str) {
        let reference = ImageReference::new(&format!("test/web:{version}")).expect("a reference");
        let image = ImageSource::new(reference, ["/workload"])
            .executable("/workload", env!("CARGO_BIN_EXE_factory-runtime-test-workload"))
            .variable("VERSION", version);
        self.registry.pack(&image).await.expect("packed");
    }

    /// Rolls out a version of a module, and follows it to its end.
    pub(crate) async fn deploy(&self, module: &str, version: &str, more: &str) -> RuntimeDeployment {
        let yaml = format!(
            "release: {module}-{version}
strategy: {{ blue-green: {{}} }}
limits: {{ progress_deadline: 30m, rollback_deadline: 30m }}
components:
  {module}:
    image: test/web:{version}
    version: {version}
    readiness: {{ path: /ready, period: 50ms }}
    termination_grace: 5s
{more}"
        );
        let manifest = manifest::parse(&yaml).expect("a manifest");
        let deployments = self.runtime.deployments();
        let release = deployments.resolve(&manifest).await.expect("resolved");
        let requested = deployments.request(&self.scope, self.environment, release).await;
        self.ended(requested.expect("accepted").aggregate.id()).await
    }

    /// A deployment, once it is Completed.
    pub(crate) async fn ended(&self, id: DeploymentId) -> RuntimeDeployment {
        let ended = until("the deployment ends", async || {
            let found = self.runtime.deployments().deployment(&self.scope, id).await.expect("there");
            found.status().is_final().then_some(found)
        })
        .await;
        assert_eq!(ended.status(), DeploymentStatus::Completed, "{:?}", ended.state());
        ended
    }

    /// Has a module scale by a policy.
    pub(crate) async fn apply(&self, module: &str, terms: PolicyTerms) -> ScalingPolicy {
        let wanted = NewScalingPolicy {
            environment: self.environment,
            module: name(module),
            policy: PolicySpec::new(terms).expect("a policy"),
        };
        self.runtime.scaling().apply(&self.scope, wanted).await.expect("applied").aggregate
    }

    pub(crate) async fn policy(&self, module: &str) -> ScalingPolicy {
        let found = self.runtime.scaling().policy_of(&self.scope, self.environment, &name(module)).await;
        found.expect("read").expect("it has one")
    }

    /// Every event of a module's policy.
    pub(crate) async fn events(&self, module: &str) -> Vec<String> {
        let policy = self.policy(module).await.id();
        let history = self.runtime.scaling().history(&self.scope, policy, 0, 1_000).await.expect("read");
        history.into_iter().map(|entry| entry.event).collect()
    }

    /// Why a module has as many replicas as it has.
    pub(crate) async fn explanation(&self, module: &str) -> String {
        let policy = self.policy(module).await.id();
        let explained = self.runtime.scaling().explain(&self.scope, policy).await.expect("explained");
        explained.evaluated.map(|(_, why)| why).unwrap_or_default()
    }

    pub(crate) async fn observe(&self, module: &str) -> ComponentObservation {
        let key =
            ComponentKey { tenant: self.scope.tenant(), environment: self.environment, module: name(module) };
        let [process, functions] = &self.surfaces;
        let surface = if functions.has(&key) { functions } else { process };
        surface.observe(&key).await.expect("observed")
    }

    /// How many replicas of a module are seen to be ready, and how many there are.
    pub(crate) async fn replicas(&self, module: &str) -> (usize, usize) {
        let seen = self.observe(module).await;
        let instances: Vec<_> = seen.revisions.values().flat_map(|revision| &revision.instances).collect();
        let ready = instances.iter().filter(|instance| instance.state == InstanceState::Ready);
        (ready.count(), instances.len())
    }

    /// Returns once a module has exactly so many replicas, all ready.
    pub(crate) async fn until_replicas(&self, module: &str, wanted: usize) {
        until(&format!("{module} has {wanted} replicas"), async || {
            (self.replicas(module).await == (wanted, wanted)).then_some(())
        })
        .await;
    }

    /// Returns once so many more evaluations were made of a module's policy.
    pub(crate) async fn evaluated(&self, module: &str, times: usize) {
        let count =
            async || self.events(module).await.iter().filter(|event| *event == "ScalingEvaluated").count();
        let begun = count().await;
        until("it is evaluated", async || (count().await >= begun + times).then_some(())).await;
    }

    pub(crate) async fn endpoint(&self, module: &str) -> String {
        let endpoint = self.observe(module).await.endpoint.expect("an endpoint");
        endpoint.trim_start_matches("http://").to_owned()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
        let (surfaces, host) = (self.surfaces.clone(), self.host.take());
        // A test that failed must not leave processes either.
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async move {
                if let Some(host) = host {
                    let _ = host.await;
                }
                for surface in surfaces {
                    drop(surface.destroy_all().await);
                    surface.shutdown().await;
                }
            });
        });
    }
}

/// Requests at a steady pace, each over a connection of its own, until it is told to stop.
pub(crate) struct Load {
    each: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    stop: CancellationToken,
    sending: JoinHandle<u64>,
}

impl Load {
    /// A request every so many milliseconds.
    pub(crate) fn begin(endpoint: &str, millis: u64) -> Self {
        let (each, failed) = (Arc::new(AtomicU64::new(millis)), Arc::new(AtomicU64::new(0)));
        let stop = CancellationToken::new();
        let (pace, failures, stopped, endpoint) =
            (Arc::clone(&each), Arc::clone(&failed), stop.clone(), endpoint.to_owned());
        let sending = tokio::spawn(async move {
            let clock = SystemClock::new();
            let mut sent = tokio::task::JoinSet::new();
            let mut count = 0;
            while !stopped.is_cancelled() {
                count += 1;
                let (endpoint, failures) = (endpoint.clone(), Arc::clone(&failures));
                sent.spawn(async move {
                    if !matches!(get(&endpoint, "/").await, Ok((200, _))) {
                        failures.fetch_add(1, Ordering::SeqCst);
                    }
                });
                let pause = Span::from_millis(pace.load(Ordering::SeqCst));
                clock.sleep_until(pause.after(clock.now())).await;
            }
            sent.join_all().await;
            count
        });
        Self { each, failed, stop, sending }
    }

    pub(crate) fn slow_down(&self, millis: u64) {
        self.each.store(millis, Ordering::SeqCst);
    }

    /// Ends, and tells how many were sent and how many of them failed.
    pub(crate) async fn end(self) -> (u64, u64) {
        self.stop.cancel();
        let sent = self.sending.await.expect("it ends well");
        (sent, self.failed.load(Ordering::SeqCst))
    }
}

/// The status and the body that are answered to a request.
pub(crate) async fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let broken = || std::io::Error::other(format!("no answer: {answer}"));
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let body = answer.split_once("\r\n\r\n").ok_or_else(broken)?.1.to_owned();
    Ok((status, body))
}

/// Looks again and again until there is something, for a long time.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        let mut beat = tokio::time::interval(Duration::from_millis(25));
        loop {
            beat.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// From `least` to `most` replicas, so much for each, with nothing that holds back for longer than two evaluations.
pub(crate) fn terms(
    target: SurfaceKind,
    least: u16,
    most: u16,
    metric: ScalingMetric,
    each: i64,
) -> PolicyTerms {
    let bounds = ReplicaBounds::new(target, least, Replicas::new(most).expect("replicas")).expect("bounds");
    let rule = ScalingRule::new(metric, Measure::from_units(each));
    PolicyTerms {
        stabilisation: Stabilisation { scale_out: Span::ZERO, scale_in: Span::from_secs(20) },
        cooldown_seconds: Cooldown::from_secs(20).expect("a cooldown"),
        fallback: Fallback { after: Span::from_secs(60), ..Fallback::default() },
        ..PolicyTerms::new(bounds, [rule])
    }
}
