//! A runtime with one component that has a secret.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use factory_runtime::domain::id::{AggregateKind, ConfigurationId, SecretBindingId};
use factory_runtime::domain::secrets::{
    KeyVaultReference, ManagedIdentityRef, RotationSchedule, SecretBinding, SecretStatus,
};
use factory_runtime::domain::surface::{ComponentKey, ComponentObservation};
use factory_runtime::embedded::{Embedded, EmbeddedOptions, SecretRotator};
use factory_runtime::manifest;
use factory_runtime::ports::PortResult;
use factory_runtime::ports::secret_store::{RotationId, SecretValue};
use factory_runtime::ports::store::Query;
use factory_runtime::ports::surface::ComputeSurface as _;
use factory_runtime::ports::telemetry::Telemetry;
use factory_runtime::prelude::*;
use factory_runtime::services::secrets::NewSecretBinding;
use runtime_oci_layout::ImageSource;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take that a test waits for; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// The component.
pub(crate) const WEB: &str = "web";

/// What the operator puts in.
pub(crate) const FIRST: &[u8] = "f\u{fc}rst \"password\"+/%17 & so on".as_bytes();
/// What the rotator makes.
pub(crate) const ROTATED: &[u8] = "rotated \"password\"+/%18 & so \u{f6}n".as_bytes();

/// Knows the next password of everything.
struct Passwords;

#[async_trait]
impl SecretRotator for Passwords {
    async fn next(&self, _: &KeyVaultReference, _: &RotationId) -> PortResult<Option<SecretValue>> {
        Ok(Some(SecretValue::new(ROTATED.to_vec())))
    }
}

/// A runtime at work in a folder of its own. Whatever runs in it ends with it.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) embedded: Embedded,
    stop: CancellationToken,
    host: Option<JoinHandle<()>>,
    pub(crate) scope: TenantScope,
    pub(crate) environment: EnvironmentId,
}

pub(crate) fn secret() -> KeyVaultReference {
    "local://main/password".parse().expect("a reference")
}

pub(crate) fn identity() -> ManagedIdentityRef {
    "local:web".parse().expect("an identity")
}

/// How hosts of these tests behave.
pub(crate) fn options(folder: &std::path::Path, rotation_deadline: Span) -> EmbeddedOptions {
    let mut host = HostOptions::default();
    host.poll = Span::from_millis(50);
    host.idle = Span::from_millis(100);
    host.inventory_poll = Span::from_millis(200);
    host.rotation_deadline = rotation_deadline;
    EmbeddedOptions::new(folder).host(host).secret_rotator(Arc::new(Passwords))
}

impl Stage {
    /// An environment, and a vault with the first password.
    pub(crate) async fn set(rotation_deadline: Span) -> Self {
        Self::telling(rotation_deadline, Telemetry::default()).await
    }

    /// As [`Stage::set`], on a host that tells of itself.
    pub(crate) async fn telling(rotation_deadline: Span, telemetry: Telemetry) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = options(folder.path(), rotation_deadline).telemetry(telemetry);
        let embedded = Embedded::open_with(options).await.expect("opens");
        let stop = CancellationToken::new();
        let runtime = embedded.runtime().clone();
        let (running, stopped) = (runtime.clone(), stop.clone().cancelled_owned());
        let host = tokio::spawn(async move { running.run(stopped).await });
        let ids = &runtime.host().ports().ids;
        let tenant = TenantId::from_uuid(ids.next());
        let actor = Actor::new("ann").expect("an actor");
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
        let stage = Self { folder, embedded, stop, host: Some(host), scope, environment };
        until("the environment is provisioned", async || {
            stage.runtime().environments().admit(&stage.scope, environment).await.is_ok().then_some(())
        })
        .await;
        let put = stage.embedded.vault().put(tenant, &secret(), &[identity()], FIRST).await;
        assert_eq!(put.expect("put in").to_string(), "1");
        stage
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.embedded.runtime()
    }

    /// What the component is to get, in a way.
    pub(crate) fn wanted(&self, delivery: &str, grace: Span) -> NewSecretBinding {
        NewSecretBinding {
            environment: self.environment,
            module: Name::new(WEB).expect("a name"),
            secret: "local://main/password/1".parse().expect("a version"),
            identity: identity(),
            delivery: delivery.parse().expect("a delivery"),
            rotation_schedule: RotationSchedule::new(None, grace).expect("a schedule"),
        }
    }

    pub(crate) async fn bind(&self, delivery: &str, grace: Span) -> SecretBindingId {
        let bound = self.runtime().secrets().bind(&self.scope, self.wanted(delivery, grace)).await;
        bound.expect("bound").aggregate.id()
    }

    /// Packs a version of the workload, and deploys it with this many replicas.
    pub(crate) async fn deploy(&self, version: &str, mode: &str, replicas: u16) -> RuntimeDeployment {
        self.deploy_with(version, mode, replicas, None).await
    }

    /// As [`Stage::deploy`], with a configuration version.
    pub(crate) async fn deploy_with(
        &self,
        version: &str,
        mode: &str,
        replicas: u16,
        configuration: Option<ConfigurationId>,
    ) -> RuntimeDeployment {
        let id = self.request(version, mode, replicas, configuration).await;
        self.ended(id).await
    }

    /// The deployment, once it has ended.
    pub(crate) async fn ended(&self, id: DeploymentId) -> RuntimeDeployment {
        until("the deployment ends", async || {
            let deployment = self.runtime().deployments().deployment(&self.scope, id).await.expect("there");
            deployment.status().is_final().then_some(deployment)
        })
        .await
    }

    /// Packs a version of the workload, and asks for its deployment.
    pub(crate) async fn request(
        &self,
        version: &str,
        mode: &str,
        replicas: u16,
        configuration: Option<ConfigurationId>,
    ) -> DeploymentId {
        self.request_behind("", (version, mode, replicas), configuration).await
    }

    /// As [`Stage::request`], with gates as a manifest writes them.
    pub(crate) async fn request_behind(
        &self,
        gates: &str,
        (version, mode, replicas): (&str, &str, u16),
        configuration: Option<ConfigurationId>,
    ) -> DeploymentId {
        let reference = ImageReference::new(&format!("test/web:{version}")).expect("a reference");
        let image = ImageSource::new(reference, ["/workload"])
            .executable("/workload", env!("CARGO_BIN_EXE_factory-runtime-secret-workload"))
            .variable("MODE", mode);
        self.embedded.registry().pack(&image).await.expect("packed");
        let yaml = format!(
            "release: web-{version}
strategy: {{ rolling-health-gated: {{}} }}
limits: {{ progress_deadline: 5s, rollback_deadline: 30s, crash_limit: 1 }}
components:
  {WEB}:
    image: test/web:{version}
    version: {version}
    replicas: {replicas}
    readiness: {{ path: /ready, period: 50ms }}
    termination_grace: 2s
{gates}"
        );
        let manifest = manifest::parse(&yaml).expect("a manifest");
        let mut release = self.runtime().deployments().resolve(&manifest).await.expect("resolved");
        release.configuration_id = configuration;
        let requested = self.runtime().deployments().request(&self.scope, self.environment, release).await;
        requested.expect("accepted").aggregate.id()
    }

    pub(crate) async fn binding(&self, id: SecretBindingId) -> SecretBinding {
        self.runtime().secrets().binding(&self.scope, id).await.expect("there")
    }

    /// The binding, once it is so.
    pub(crate) async fn becomes(&self, id: SecretBindingId, status: SecretStatus) -> SecretBinding {
        until(&format!("the binding is {status}"), async || {
            let binding = self.binding(id).await;
            (binding.state().status() == status).then_some(binding)
        })
        .await
    }

    /// Once no rollout is under way: one whose rotation was given up is still on its way back then.
    pub(crate) async fn rests(&self) {
        until("no rollout is under way", async || {
            let all = Query::all(AggregateKind::RuntimeDeployment);
            let found = self.runtime().deployments().deployments(&self.scope, all).await.expect("listed");
            found.items.iter().all(|found| found.aggregate.status().is_final()).then_some(())
        })
        .await;
    }

    pub(crate) async fn observe(&self) -> ComponentObservation {
        let module = Name::new(WEB).expect("a name");
        let key = ComponentKey { tenant: self.scope.tenant(), environment: self.environment, module };
        self.embedded.surface().observe(&key).await.expect("observed")
    }

    /// The address of the component's endpoint.
    pub(crate) async fn endpoint(&self) -> String {
        let endpoint = self.observe().await.endpoint.expect("an endpoint");
        endpoint.trim_start_matches("http://").to_owned()
    }

    /// The folders of secrets of the component's instances.
    pub(crate) async fn secret_folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("processes") {
            let environ = std::fs::read(entry.expect("an entry").path().join("environ")).unwrap_or_default();
            let variables: Vec<_> = environ.split(|byte| *byte == 0).collect();
            let tenant = format!("FACTORY_TENANT={}", self.scope.tenant());
            if variables.contains(&tenant.as_bytes()) {
                let folder = variables.iter().find_map(|pair| pair.strip_prefix(b"FACTORY_SECRETS="));
                folders.extend(folder.map(|path| PathBuf::from(String::from_utf8_lossy(path).into_owned())));
            }
        }
        folders
    }

    /// Ends the host and everything that runs.
    pub(crate) async fn close(mut self) -> TempDir {
        self.embedded.surface().destroy_all().await.expect("torn down");
        self.stop.cancel();
        if let Some(host) = self.host.take() {
            host.await.expect("the host ends well");
        }
        self.embedded.close().await;
        std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
        let embedded = self.embedded.clone();
        // A test that failed must not leave processes either, wherever it failed.
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async move {
                drop(embedded.surface().destroy_all().await);
                embedded.close().await;
            });
        });
    }
}

/// Requests that go on until they are told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicU64>,
    clients: Vec<JoinHandle<u64>>,
}

impl Load {
    /// Four clients that ask again and again. An answer that `accepts` refuses has failed.
    pub(crate) fn on(endpoint: &str, accepts: impl Fn(&str) -> bool + Clone + Send + 'static) -> Self {
        let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..4).map(|_| {
            let (stop, failed) = (Arc::clone(&stop), Arc::clone(&failed));
            let (endpoint, accepts) = (endpoint.to_owned(), accepts.clone());
            tokio::spawn(async move {
                let mut asked = 0;
                while !stop.load(Ordering::SeqCst) {
                    asked += 1;
                    if !get(&endpoint, "/").await.is_ok_and(|(status, body)| status == 200 && accepts(&body))
                    {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                }
                asked
            })
        });
        let clients = clients.collect();
        Self { stop, failed, clients }
    }

    /// How many were asked, and how many failed.
    pub(crate) async fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::SeqCst);
        let mut asked = 0;
        for client in self.clients {
            asked += client.await.expect("a client");
        }
        (asked, self.failed.load(Ordering::SeqCst))
    }
}

/// The status and body that are answered to a request.
pub(crate) async fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    Ok((status, body.unwrap_or_default()))
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
