//! A host of its own folder, that lets in whoever shows a badge.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use factory_runtime::api::{Access, Api};
use factory_runtime::embedded::{DesiredStateDirectory, Tenants};
use factory_runtime::http::{HttpApi, HttpOptions, Server, ServerOptions};
use factory_runtime::ports::authenticator::{
    AuthenticationError, Authenticator, Credentials, Principal, Role,
};
use factory_runtime::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long anything may take that a test waits for; far more than it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The tenant that the tests look at, and the one that it may not see.
const OURS: &str = "ten_0000000000000000000000000000000a";
const THEIRS: &str = "ten_0000000000000000000000000000000b";

/// Everybody's badge who may do anything of ours.
pub(crate) const ADMINISTRATOR: &str = "ours.ada.administrator+approver";
/// Who may look, and no more.
pub(crate) const VIEWER: &str = "ours.vic.viewer";
/// Who may do anything, and calls themselves something that a browser could take for markup.
pub(crate) const HOSTILE: &str = "ours.hostile.administrator+approver";
/// Who is of another tenant.
pub(crate) const STRANGER: &str = "theirs.eve.administrator+approver";

/// Lets in by badges that say `TENANT.ACTOR.ROLE+ROLE`, as long as they were not taken back.
#[derive(Debug, Default)]
pub(crate) struct Badges {
    taken_back: Mutex<BTreeSet<String>>,
}

impl Badges {
    /// Lets nobody in by this badge any more.
    pub(crate) fn take_back(&self, badge: &str) {
        self.taken_back.lock().unwrap().insert(badge.to_owned());
    }
}

#[async_trait]
impl Authenticator for Badges {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        let Credentials::Bearer(badge) = credentials else { return Err(AuthenticationError::Missing) };
        if self.taken_back.lock().unwrap().contains(badge.as_str()) {
            return Err(AuthenticationError::Expired);
        }
        let invalid = || AuthenticationError::Invalid { reason: "it is no badge" };
        let parts: Vec<&str> = badge.split('.').collect();
        let [tenant, actor, roles] = parts[..] else { return Err(invalid()) };
        let tenant = match tenant {
            "ours" => OURS,
            "theirs" => THEIRS,
            _ => return Err(invalid()),
        };
        let roles: Option<Vec<Role>> = roles.split('+').map(Role::named).collect();
        let actor = if actor == "hostile" { "<img/src=x/onerror=alert(1)>" } else { actor };
        let actor = Actor::new(actor).map_err(|_| invalid())?;
        Ok(Principal::verified(tenant.parse().unwrap(), actor, roles.ok_or_else(invalid)?, None))
    }
}

/// Without credentials everybody is our administrator.
fn everybody() -> Access {
    let (tenant, actor) = (OURS.parse().unwrap(), Actor::new("anybody").unwrap());
    Access::Insecure(Principal::verified(tenant, actor, Role::ALL, None))
}

/// A host at work, and what it keeps. Whatever runs in it ends with it.
pub(crate) struct Host {
    folder: TempDir,
    pub(crate) badges: Arc<Badges>,
    pub(crate) address: String,
    client: reqwest::Client,
    open: Option<Open>,
}

struct Open {
    embedded: Embedded,
    running: Running,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Open {
    async fn new(folder: &Path, access: Access, listener: TcpListener) -> Self {
        let mut host = HostOptions::default();
        host.poll = Span::from_millis(50);
        host.idle = Span::from_millis(100);
        host.inventory_poll = Span::from_millis(200);
        host.health_poll = Span::from_millis(100);
        let desired = folder.join("desired");
        std::fs::create_dir_all(desired.join("shop")).unwrap();
        let source =
            DesiredStateDirectory::plain(&desired, Tenants::Only(OURS.parse().unwrap())).await.unwrap();
        let options = EmbeddedOptions::new(folder.join("host")).host(host).desired_state(Arc::new(source));
        let embedded = Embedded::open_with(options).await.unwrap();
        let api = Api::new(embedded.runtime().services().clone());
        let http = HttpApi::new(api, access, HttpOptions::default());
        let mut bounds = ServerOptions::default();
        bounds.drain_within = Span::from_secs(2);
        let server = Server::new(listener, &http, bounds).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.run(async { drop(stopped.await) }));
        let running = embedded.runtime().start();
        Self { embedded, running, stop, serving }
    }

    async fn close(self) -> Embedded {
        drop(self.stop);
        self.serving.await.unwrap();
        self.running.stop().await;
        self.embedded
    }
}

impl Host {
    /// One that asks for badges.
    pub(crate) async fn start() -> Self {
        Self::begin(false).await
    }

    /// One that lets everybody in.
    pub(crate) async fn start_open() -> Self {
        Self::begin(true).await
    }

    async fn begin(is_open: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let badges = Arc::new(Badges::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let access = if is_open { everybody() } else { Access::Authenticated(badges.clone()) };
        let open = Open::new(folder.path(), access, listener).await;
        Self { folder, badges, address, client: reqwest::Client::new(), open: Some(open) }
    }

    /// Ends the host; workloads go on.
    pub(crate) async fn stop(&mut self) {
        self.open.take().unwrap().close().await.close().await;
    }

    /// Starts another on the same folder and address, which asks for badges.
    pub(crate) async fn start_again(&mut self) {
        let address = self.address.trim_start_matches("http://");
        let listener = TcpListener::bind(address).await.unwrap();
        self.open =
            Some(Open::new(self.folder.path(), Access::Authenticated(self.badges.clone()), listener).await);
    }

    /// Ends everything that runs in it.
    pub(crate) async fn end(mut self) {
        if self.open.is_none() {
            self.start_again().await;
        }
        let embedded = self.open.take().unwrap().close().await;
        embedded.surface().destroy_all().await.unwrap();
        embedded.close().await;
    }

    pub(crate) fn desired(&self, file: &str) -> PathBuf {
        self.folder.path().join("desired/shop").join(file)
    }

    /// Asks as somebody; the status and the document.
    pub(crate) async fn ask(&self, badge: &str, path: &str) -> (u16, Value) {
        self.answered(self.client.get(format!("{}{path}", self.address)).bearer_auth(badge)).await
    }

    /// Commands as somebody.
    pub(crate) async fn command(&self, badge: &str, path: &str, body: &Value) -> (u16, Value) {
        let asked = self.client.post(format!("{}{path}", self.address)).bearer_auth(badge);
        self.answered(asked.header("content-type", "application/json").body(body.to_string())).await
    }

    async fn answered(&self, asked: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = asked.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    /// Commands as the administrator, who is obeyed.
    pub(crate) async fn obeys(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.command(ADMINISTRATOR, path, &body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer:#}");
        answer
    }

    /// Asks as the administrator.
    pub(crate) async fn told(&self, path: &str) -> Value {
        let (status, answer) = self.ask(ADMINISTRATOR, path).await;
        assert_eq!(status, 200, "{path}: {answer:#}");
        answer
    }

    /// An environment, once it hosts workloads.
    pub(crate) async fn provisioned(&self, badge: &str, name: &str, stage: &str) -> String {
        let wanted = json!({
            "projectId": "prj_00000000000000000000000000000001", "name": name, "stage": stage, "region": "local",
            "isolationModel": "silo", "surfaces": ["process"],
        });
        let (status, made) = self.command(badge, "/runtime/environments", &wanted).await;
        assert!((200..300).contains(&status), "{made:#}");
        let path = format!("/runtime/environments/{}", text(found(&made, "environmentId")));
        until("the environment is provisioned", async || {
            let (_, environment) = self.ask(badge, &path).await;
            (environment["status"] == "provisioned").then_some(())
        })
        .await;
        text(found(&made, "environmentId"))
    }

    /// Packs a version of the workload as `test/web:VERSION`.
    pub(crate) async fn pack(&self, version: &str) {
        let reference = ImageReference::new(&format!("test/web:{version}")).unwrap();
        let image = ImageSource::new(reference, ["/workload"])
            .executable("/workload", env!("CARGO_BIN_EXE_factory-runtime-centre-workload"))
            .variable("VERSION", version);
        self.open.as_ref().unwrap().embedded.registry().pack(&image).await.unwrap();
    }

    /// Asks for a release; which deployment it is.
    pub(crate) async fn deploy(&self, environment: &str, release: Value) -> String {
        let body = json!({ "environmentId": environment, "release": release });
        text(found(&self.obeys("/runtime/deployments", body).await, "deploymentId"))
    }

    /// Once a deployment has come to a status.
    pub(crate) async fn comes_to(&self, deployment: &str, status: &str) -> Value {
        until(&format!("the deployment is {status}"), async || {
            let now = self.told(&format!("/runtime/deployments/{deployment}")).await;
            (now["status"] == status).then_some(now)
        })
        .await
    }

    /// Version 1.0.0 of `module` serves.
    pub(crate) async fn serves(&self, environment: &str, module: &str, replicas: u16) {
        self.pack("1.0.0").await;
        let first = release(module, "1.0.0", replicas, json!({ "rollingHealthGated": {} }), json!({}));
        let first = self.deploy(environment, first).await;
        self.comes_to(&first, "completed").await;
    }
}

/// A release of one component.
pub(crate) fn release(module: &str, version: &str, replicas: u16, strategy: Value, gates: Value) -> Value {
    let component = json!({
        "image": format!("test/web:{version}"), "version": version, "replicas": replicas,
        "readiness": { "path": "/ready", "periodMillis": 50 }, "terminationGraceMillis": 300,
    });
    json!({
        "reference": format!("{module}-{version}"), "strategy": strategy, "gates": gates,
        "components": { module: component },
    })
}

/// A canary of these shares, each held for a while; the last one bakes.
pub(crate) fn canary(shares: &[u8], hold_millis: u64) -> Value {
    let steps: Vec<_> =
        shares.iter().map(|share| json!({ "weight": share, "holdMillis": hold_millis })).collect();
    json!({ "canary": { "steps": steps, "bakeMillis": 200 } })
}

/// A member of a document, at its top or in what the command came to.
fn found<'a>(document: &'a Value, member: &str) -> &'a Value {
    let within = document.as_object().into_iter().flat_map(|object| object.values());
    document
        .get(member)
        .or_else(|| within.filter_map(|inner| inner.get(member)).next())
        .unwrap_or(&Value::Null)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Looks again and again until there is something, for a long time.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        loop {
            beat.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}
