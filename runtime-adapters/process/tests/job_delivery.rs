//! What jobs are given of the component that they work for: before their command is run, until they have ended, and over the lives of hosts.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runtime_domain::id::TenantId;
use runtime_domain::secrets::VaultKind;
use runtime_domain::surface::{EffectId, FencingToken, RevisionSpec};
use runtime_ports::PortErrorKind;
use runtime_ports::job::{JobRequest, JobRunner as _, JobState};
use runtime_ports::secret_store::SecretStore;
use runtime_process::ProcessSurface;
use runtime_testkit::world::MemoryVault;
use serde_json::json;
use tempfile::TempDir;

#[path = "fixtures/stage.rs"]
mod stage;
#[path = "fixtures/world.rs"]
mod world;

use stage::poll_pause;
use world::key;

/// What the vault of these tests delivers.
const VALUE: &str = "worth nothing";

/// Succeeds where a job has its secret in both ways, and its configuration.
const HAS_ALL: &str = r#"[ "$(cat "$FACTORY_SECRETS/password")" = 'worth nothing' ] || exit 11
    [ "$PASSWORD" = 'worth nothing' ] || exit 12
    grep -q 'good morning' "$FACTORY_CONFIGURATION" || exit 13
    grep -q "$FACTORY_SECRETS/password" "$FACTORY_CONFIGURATION" || exit 14
    [ "$GREETING" = 'good morning' ] || exit 15
    [ "$MODE" = "the job's own" ] || exit 16"#;

/// A surface whose image is a shell, with a vault, in a folder that is passable for other users.
struct Stage {
    folder: TempDir,
    has_users: bool,
    vault: MemoryVault,
    surface: Option<ProcessSurface>,
}

impl Stage {
    async fn new() -> Self {
        Self::with(false).await
    }

    /// One whose places have users of their own, where the host is root and may change users.
    async fn of_many_users() -> Option<Self> {
        if rustix::process::geteuid().is_root() { Some(Self::with(true).await) } else { None }
    }

    async fn with(has_users: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let open_to_others = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(folder.path(), open_to_others).expect("it is ours");
        let vault = MemoryVault::new(VaultKind::Local);
        vault.keep(&"local://main/password/1".parse().expect("a version"));
        let mut stage = Self { folder, has_users, vault, surface: None };
        stage.open().await;
        stage
    }

    async fn open(&mut self) {
        let (mut options, _) = world::options(&self.folder.path().join("surface"), Path::new("/bin/sh"));
        options.secret_folder = Some(self.secrets());
        options.secret_stores.insert(VaultKind::Local, Arc::new(self.vault.clone()) as Arc<dyn SecretStore>);
        options.isolation.users = self.has_users.then_some(220_000..=220_009);
        self.surface = Some(stage::opened(options).await);
    }

    fn surface(&self) -> &ProcessSurface {
        self.surface.as_ref().expect("it is open")
    }

    async fn shutdown(&mut self) {
        self.surface.take().expect("it is open").shutdown().await;
    }

    fn secrets(&self) -> PathBuf {
        self.folder.path().join("secrets")
    }

    /// The files of secrets that there are.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.secrets()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }

    async fn ended(&self, request: &JobRequest) -> JobState {
        let ended = tokio::time::timeout(world::PATIENCE, async {
            loop {
                match self.surface().state(request.tenant, request.effect).await.expect("known") {
                    JobState::Running => poll_pause().await,
                    ended => return ended,
                }
            }
        });
        ended.await.expect("it ends")
    }

    async fn told_by(&self, request: &JobRequest) -> JobState {
        self.surface().start(request).await.expect("started");
        self.ended(request).await
    }

    /// Once nothing is left of any secret.
    async fn is_clean(&self) {
        let gone = tokio::time::timeout(world::PATIENCE, async {
            while !self.files().is_empty() {
                poll_pause().await;
            }
        });
        gone.await.expect("the secrets go");
    }
}

/// A revision with a configuration that refers to one of its two secrets, and asks for variables.
fn revision() -> RevisionSpec {
    let secret = |number: u32, delivery: &str| {
        json!({
            "binding": format!("sec_{number:032x}"), "secret": "local://main/password/1",
            "identity": "local:web", "delivery": delivery,
        })
    };
    let entry = |key: &str, value| json!({ "scope": "environment", "key": key, "value": value });
    let version = json!({
        "configuration": format!("cfg_{:032x}", 1),
        "version": 1,
        "checksum": format!("sha256:{:064x}", 1),
        "entries": [
            entry("database.login", json!({ "type": "secret", "value": { "binding": format!("sec_{:032x}", 1) } })),
            entry("GREETING", json!({ "type": "text", "value": "good morning" })),
            entry("MODE", json!({ "type": "text", "value": "the configuration's" })),
        ],
    });
    let mut spec = world::spec(1, "");
    spec.component.configuration =
        serde_json::from_value(json!({ "variables": true })).expect("a declaration");
    spec.configuration = Some(serde_json::from_value(version).expect("a version"));
    spec.secrets = [secret(1, "file:password"), secret(2, "env:PASSWORD")]
        .map(|secret| serde_json::from_value(secret).expect("a secret"))
        .into();
    spec
}

/// A shell's script as a job that works for the component.
fn script(ordinal: u32, text: &str) -> JobRequest {
    let job = json!({
        "name": "migrate",
        "image": world::image('a'),
        "arguments": ["-c", text],
        "variables": { "MODE": "the job's own" },
        "component": "cart",
        "timeout": "30s",
    });
    JobRequest {
        effect: EffectId::of(world::deployment(1), ordinal),
        fence: FencingToken(1),
        tenant: key().tenant,
        environment: key().environment,
        job: serde_json::from_value(job).expect("a job"),
        works_for: Some(revision()),
    }
}

/// As [`script`], once a file is there.
fn waiting(ordinal: u32, file: &Path, text: &str) -> JobRequest {
    script(ordinal, &format!("while ! [ -e {} ]; do sleep 0.05; done; {text}", file.display()))
}

/// Shows X-6, X-11.
#[tokio::test]
async fn a_job_has_the_configuration_and_the_secrets_of_its_component_until_it_has_ended() {
    let stage = Stage::new().await;
    assert_eq!(stage.told_by(&script(1, HAS_ALL)).await, JobState::Succeeded);
    stage.is_clean().await;
    let mut alone = script(2, "env; [ -z \"$FACTORY_SECRETS$PASSWORD$FACTORY_CONFIGURATION\" ]");
    alone.works_for = None;
    assert_eq!(stage.told_by(&alone).await, JobState::Succeeded);
    stage.surface().shutdown().await;
}

/// Shows X-1.
#[tokio::test]
async fn a_job_reads_its_secrets_as_its_tenants_user_and_nobody_else_does() {
    let Some(stage) = Stage::of_many_users().await else { return };
    let go = stage.folder.path().join("go");
    let first = waiting(1, &go, HAS_ALL);
    stage.surface().start(&first).await.expect("started");
    let [file] = &*stage.files() else { panic!("one file") };
    let mut other = script(1, &format!("cat {} && exit 0; exit 9", file.display()));
    other.tenant = TenantId::from_uuid(uuid::Uuid::from_u128(77));
    other.works_for = None;
    let told = stage.told_by(&other).await;
    assert!(
        matches!(&told, JobState::Failed { detail } if detail.contains("code 9") && detail.contains("denied")),
        "{told:?}"
    );
    std::fs::write(go, "").expect("written");
    assert_eq!(stage.ended(&first).await, JobState::Succeeded);
    stage.is_clean().await;
    stage.surface().shutdown().await;
}

/// Shows X-11.
#[tokio::test]
async fn what_a_job_with_secrets_prints_is_not_told() {
    let stage = Stage::new().await;
    let text = "echo \"not let in with $PASSWORD\"; exit 3";
    let told = stage.told_by(&script(1, text)).await;
    let JobState::Failed { detail } = &told else { panic!("{told:?}") };
    assert!(
        detail.contains("code 3") && detail.contains("in its log alone") && !detail.contains(VALUE),
        "{detail}"
    );
    let mut alone = script(2, text);
    alone.works_for = None;
    let told = stage.told_by(&alone).await;
    assert!(
        matches!(&told, JobState::Failed { detail } if detail.contains("its last output: not let in with")),
        "{told:?}"
    );
    stage.surface().shutdown().await;
}

#[tokio::test]
async fn a_job_whose_secrets_cannot_be_had_is_not_started_and_may_be_later() {
    let stage = Stage::new().await;
    let mut request = script(1, HAS_ALL);
    let given = request.works_for.as_mut().expect("given");
    let mut retired = given.secrets.first().cloned().expect("a secret");
    given.secrets.retain(|secret| *secret != retired);
    retired.secret = "local://main/password/2".parse().expect("a version");
    given.secrets.insert(retired);
    let refused = stage.surface().start(&request).await.expect_err("there is no such version");
    assert_eq!(refused.kind(), PortErrorKind::NotFound);
    assert_eq!(stage.surface().state(request.tenant, request.effect).await.expect("known"), JobState::Absent);
    assert_eq!(stage.files(), Vec::<PathBuf>::new());
    assert_eq!(stage.told_by(&script(1, HAS_ALL)).await, JobState::Succeeded);
    stage.surface().shutdown().await;
}

/// Nothing of it is left half-way: here two secrets are to have one name.
#[tokio::test]
async fn a_job_that_cannot_be_given_everything_is_given_nothing() {
    let stage = Stage::new().await;
    let mut request = script(1, HAS_ALL);
    let given = request.works_for.as_mut().expect("given");
    let mut clashing = given.secrets.first().cloned().expect("a secret");
    clashing.binding = format!("sec_{:032x}", 3).parse().expect("a binding");
    given.secrets.insert(clashing);
    stage.surface().start(&request).await.expect_err("they are of one name");
    assert_eq!(stage.files(), Vec::<PathBuf>::new());
    let state = stage.surface().state(request.tenant, request.effect).await.expect("known");
    assert_eq!(state, JobState::Absent);
    stage.surface().shutdown().await;
}

/// Shows X-1.
#[tokio::test]
async fn a_job_works_for_no_component_of_another_tenant_or_environment() {
    let stage = Stage::new().await;
    let mut of_another_tenant = script(1, HAS_ALL);
    of_another_tenant.tenant = TenantId::from_uuid(uuid::Uuid::from_u128(77));
    let mut of_another_environment = script(2, HAS_ALL);
    of_another_environment.environment =
        "env_00000000000000000000000000000063".parse().expect("an environment");
    for request in [of_another_tenant, of_another_environment] {
        let refused = stage.surface().start(&request).await.expect_err("it is another's");
        assert_eq!(refused.kind(), PortErrorKind::Invalid);
        let state = stage.surface().state(request.tenant, request.effect).await.expect("known");
        assert_eq!(state, JobState::Absent);
    }
    stage.surface().shutdown().await;
}

#[tokio::test]
async fn a_job_keeps_its_secrets_while_no_host_watches_and_the_next_host_removes_what_has_ended() {
    let mut stage = Stage::new().await;
    let go = stage.folder.path().join("go");
    let soon = stage.folder.path().join("soon");
    let (lasts, ends) = (waiting(1, &go, HAS_ALL), waiting(2, &soon, HAS_ALL));
    for request in [&lasts, &ends] {
        stage.surface().start(request).await.expect("started");
    }
    assert_eq!(stage.files().len(), 2);
    stage.shutdown().await;
    std::fs::write(soon, "").expect("written");
    let status = stage.folder.path().join("surface/jobs");
    let status =
        status.join(ends.tenant.to_string()).join(ends.effect.owner.to_string()).join("2/run/status");
    let ended = tokio::time::timeout(world::PATIENCE, async {
        while std::fs::read(&status).unwrap_or_default().is_empty() {
            poll_pause().await;
        }
    });
    ended.await.expect("it ends");
    assert_eq!(stage.files().len(), 2, "nobody was there to remove any");
    stage.open().await;
    assert_eq!(stage.files().len(), 1);
    assert_eq!(stage.ended(&ends).await, JobState::Succeeded);
    std::fs::write(go, "").expect("written");
    assert_eq!(stage.ended(&lasts).await, JobState::Succeeded);
    stage.is_clean().await;
    stage.surface().shutdown().await;
}

#[tokio::test]
async fn a_destroyed_environment_takes_the_secrets_of_its_jobs_with_it() {
    let stage = Stage::new().await;
    stage.surface().start(&script(1, "sleep 600")).await.expect("started");
    assert_eq!(stage.files().len(), 1);
    stage.surface().destroy_environment(key().tenant, key().environment).await.expect("destroyed");
    assert_eq!(stage.files(), Vec::<PathBuf>::new());
    stage.surface().shutdown().await;
}
