//! An embedded runtime with version 1.0.0 of one component serving, to be given bad input.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use factory_runtime::domain::id::AggregateKind;
use factory_runtime::domain::surface::{ComponentKey, ComponentObservation};
use factory_runtime::embedded::{Embedded, EmbeddedOptions};
use factory_runtime::manifest;
use factory_runtime::ports::store::Query;
use factory_runtime::ports::surface::ComputeSurface as _;
use factory_runtime::prelude::*;
use runtime_oci_layout::ImageSource;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take that a test waits for; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The component that serves.
pub(crate) const WEB: &str = "web";

/// A runtime at work in a folder of its own. Whatever runs in it ends with it.
pub(crate) struct Bench {
    folder: TempDir,
    open: Open,
    scope: TenantScope,
    environment: EnvironmentId,
}

struct Open {
    embedded: Embedded,
    stop: CancellationToken,
    host: JoinHandle<()>,
}

impl Open {
    async fn new(options: EmbeddedOptions) -> Self {
        let mut host = HostOptions::default();
        host.poll = Span::from_millis(50);
        host.idle = Span::from_millis(100);
        host.inventory_poll = Span::from_millis(200);
        host.health_poll = Span::from_millis(100);
        host.loopback_dependencies = true;
        let embedded = Embedded::open_with(options.host(host)).await.expect("opens");
        let stop = CancellationToken::new();
        let (running, stopped) = (embedded.runtime().clone(), stop.clone().cancelled_owned());
        let host = tokio::spawn(async move { running.run(stopped).await });
        Self { embedded, stop, host }
    }

    async fn close(&mut self) {
        self.stop.cancel();
        if !self.host.is_finished() {
            (&mut self.host).await.expect("the host ends well");
        }
        self.embedded.close().await;
    }
}

/// What is listed of every deployment: which, how it is, and at which revision.
pub(crate) type Listing = Vec<(DeploymentId, DeploymentStatus, u64)>;

impl Bench {
    /// Version 1.0.0 serves.
    pub(crate) async fn with_a_release() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let open = Open::new(EmbeddedOptions::new(folder.path())).await;
        let runtime = open.embedded.runtime().clone();
        let ids = &runtime.host().ports().ids;
        let actor = Actor::new("ann").expect("an actor");
        let tenant = TenantId::from_uuid(ids.next());
        let scope = TenantScope::authenticated(tenant, actor, runtime.host().new_correlation());
        let wanted = NewEnvironment {
            project_id: ProjectId::from_uuid(ids.next()),
            name: Name::new("tests").expect("a name"),
            stage: EnvironmentStage::Dev,
            region: Name::new("local").expect("a name"),
            isolation_model: IsolationModel::Silo,
            surfaces: [SurfaceKind::Process].into(),
            egress_allow_list: [].into(),
            capacity: ResourceQuota::LARGEST,
        };
        let environment = runtime.environments().provision(&scope, wanted).await.expect("accepted");
        let environment = environment.aggregate.id();
        let bench = Self { folder, open, scope, environment };
        until("the environment is provisioned", async || {
            bench.runtime().environments().admit(&bench.scope, bench.environment).await.is_ok().then_some(())
        })
        .await;
        bench.pack("1.0.0", "").await;
        bench.deploy_well("1.0.0").await;
        bench
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.open.embedded.runtime()
    }

    pub(crate) fn embedded(&self) -> &Embedded {
        &self.open.embedded
    }

    pub(crate) fn scope(&self) -> &TenantScope {
        &self.scope
    }

    pub(crate) fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// A path in the runtime's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Ends the host. What was opened stays open, and workloads go on.
    pub(crate) async fn stop(&mut self) {
        self.open.stop.cancel();
        (&mut self.open.host).await.expect("the host ends well");
    }

    /// Ends the host and starts another on the same folder, with options that are changed. Workloads go on meanwhile.
    pub(crate) async fn reopen(&mut self, change: impl FnOnce(EmbeddedOptions) -> EmbeddedOptions) {
        self.open.close().await;
        self.open = Open::new(change(EmbeddedOptions::new(self.folder.path()))).await;
    }

    /// Packs a version of the workload as `test/web:VERSION`.
    pub(crate) async fn pack(&self, version: &str, mode: &str) {
        let reference = ImageReference::new(&format!("test/web:{version}")).expect("a reference");
        let image = ImageSource::new(reference, ["/workload"])
            .executable("/workload", env!("CARGO_BIN_EXE_factory-runtime-test-workload"))
            .variable("VERSION", version)
            .variable("MODE", mode);
        self.embedded().registry().pack(&image).await.expect("packed");
    }

    /// What is deployed; parsed from `yaml`.
    pub(crate) async fn resolve(&self, yaml: &str) -> Result<Release, String> {
        let manifest = manifest::parse(yaml).expect("a manifest");
        self.runtime().deployments().resolve(&manifest).await.map_err(|error| in_words(&error))
    }

    /// Asks for a release and follows it to its end.
    pub(crate) async fn deploy(&self, release: Release) -> RuntimeDeployment {
        let deployments = self.runtime().deployments();
        let requested = deployments.request(&self.scope, self.environment, release).await;
        self.ended(requested.expect("accepted").aggregate.id()).await
    }

    /// A deployment, once it has ended.
    pub(crate) async fn ended(&self, id: DeploymentId) -> RuntimeDeployment {
        until("the deployment ends", async || {
            let deployment = self.runtime().deployments().deployment(&self.scope, id).await.expect("there");
            deployment.status().is_final().then_some(deployment)
        })
        .await
    }

    /// Deploys a release that rolls back, and gives the explanation of its end.
    pub(crate) async fn rolls_back(&self, release: Release) -> String {
        let deployment = self.deploy(release).await;
        let history = self.history(deployment.id()).await;
        assert_eq!(deployment.status(), DeploymentStatus::RolledBack, "{history:#?}");
        history.into_iter().next_back().expect("a history").1
    }

    /// Every event of a deployment with its body and explanation, oldest first.
    pub(crate) async fn history(&self, id: DeploymentId) -> Vec<(String, String)> {
        let history = self.runtime().deployments().history(&self.scope, id, 0, 1_000).await.expect("read");
        history
            .into_iter()
            .map(|entry| (format!("{} {}", entry.event, entry.body), entry.explanation))
            .collect()
    }

    /// Deploys a version that is fine.
    pub(crate) async fn deploy_well(&self, version: &str) {
        let release = self.resolve(&release_of(version)).await.expect("resolved");
        let deployment = self.deploy(release).await;
        let history = self.history(deployment.id()).await;
        assert_eq!(deployment.status(), DeploymentStatus::Completed, "{history:#?}");
        assert_eq!(self.answer().await, version);
    }

    /// The deployments of the tenant.
    pub(crate) async fn listing(&self) -> Listing {
        let query = Query::all(AggregateKind::RuntimeDeployment).limited_to(100);
        let page = self.runtime().deployments().deployments(&self.scope, query).await.expect("listed");
        let listed = page.items.into_iter();
        listed.map(|it| (it.aggregate.id(), it.aggregate.status(), it.revision.0)).collect()
    }

    /// Asserts that 1.0.0 serves, that nothing is in flight, and that a good release is accepted and completed.
    pub(crate) async fn is_unharmed(&self) {
        assert_eq!(self.answer().await, "1.0.0", "the previous release serves");
        let busy = self.runtime().deployments().is_busy(&self.scope, self.environment).await;
        assert!(!busy.expect("read"), "something is in flight");
        self.pack("9.0.0", "").await;
        self.deploy_well("9.0.0").await;
    }

    pub(crate) fn key(&self, module: &str) -> ComponentKey {
        ComponentKey {
            tenant: self.scope.tenant(),
            environment: self.environment,
            module: Name::new(module).expect("a name"),
        }
    }

    /// What the surface sees of a component.
    pub(crate) async fn observe(&self, module: &str) -> ComponentObservation {
        self.embedded().surface().observe(&self.key(module)).await.expect("observed")
    }

    /// What a client of the component gets.
    pub(crate) async fn answer(&self) -> String {
        let endpoint = self.observe(WEB).await.endpoint.expect("an endpoint");
        get(endpoint.trim_start_matches("http://"), "/").await.expect("an answer")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.open.stop.cancel();
        let (embedded, folder) = (self.open.embedded.clone(), self.folder.path().to_owned());
        // A test that failed must not leave processes either, wherever it failed.
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async move {
                let ended = embedded.surface().destroy_all().await;
                embedded.close().await;
                if ended.is_err()
                    && let Ok(again) = Embedded::open(folder).await
                {
                    drop(again.surface().destroy_all().await);
                    again.close().await;
                }
            });
        });
    }
}

/// A release of one component at a version.
pub(crate) fn release_of(version: &str) -> String {
    format!(
        "release: web-{version}
strategy: {{ rolling-health-gated: {{}} }}
limits: {{ progress_deadline: 3s, rollback_deadline: 30s, crash_limit: 1 }}
components:
  {WEB}:
    image: test/web:{version}
    version: {version}
    readiness: {{ path: /ready, period: 50ms }}
    termination_grace: 300ms
"
    )
}

/// The body that is answered to a request.
pub(crate) async fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
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

/// An error with its causes.
pub(crate) fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

/// Asserts that a text says all of this.
#[track_caller]
pub(crate) fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not said in: {text}");
    }
}

/// A port that another program has.
pub(crate) fn taken_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}
