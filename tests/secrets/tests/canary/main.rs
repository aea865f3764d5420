//! A canary through a whole flow: bind, deploy, rotate, fail, go back, unbind. Nothing of it is anywhere but where it should be; and a leak
//! that is planted in each place is found by the same scan.

//!
//! It is a program of its own, since it takes every log of its process.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

#[allow(dead_code, reason = "the stage is shared, and this test asks for less of it")]
#[path = "../secrets/stage.rs"]
mod stage;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use factory_runtime::domain::id::{AggregateKind, SecretBindingId};
use factory_runtime::domain::secrets::SecretStatus;
use factory_runtime::domain::surface::FencingToken;
use factory_runtime::ports::secret_store::{RotationId, SecretAccess, SecretStore as _, VaultContext};
use factory_runtime::ports::store::Query;
use factory_runtime::ports::{PortError, PortErrorKind};
use factory_runtime::prelude::*;
use factory_runtime::services::secrets::RotationRequest;
use runtime_testkit::canary::{Canary, Captured, Leak};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::stage::{FIRST, ROTATED, Stage, get, identity};

/// All that is looked through.
struct Places {
    canaries: Vec<Canary>,
    logs: Captured,
    /// Texts by what they are: answers, errors, what `Debug` writes, events.
    told: Mutex<Vec<(String, String)>>,
    folder: PathBuf,
    /// Where secrets may be.
    except: Vec<PathBuf>,
}

impl Places {
    fn tell(&self, what: &str, text: impl Into<String>) {
        self.told.lock().expect("unpoisoned").push((what.to_owned(), text.into()));
    }

    fn tell_error(&self, what: &str, error: &(dyn std::error::Error + 'static)) {
        let mut text = format!("{error} {error:?}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            text.push_str(&format!(" {inner} {inner:?}"));
            cause = inner.source();
        }
        self.tell(what, text);
    }

    fn scan(&self) -> Vec<Leak> {
        self.scan_but(&self.except)
    }

    fn scan_but(&self, except: &[PathBuf]) -> Vec<Leak> {
        let mut leaks = Vec::new();
        for canary in &self.canaries {
            leaks.extend(canary.in_bytes("the logs", &self.logs.bytes()));
            for (what, text) in &*self.told.lock().expect("unpoisoned") {
                leaks.extend(canary.in_text(what, text));
            }
            leaks.extend(canary.in_folder(&self.folder, except).expect("every file is read"));
            leaks.extend(canary.in_command_lines().expect("every process is looked at"));
        }
        leaks
    }

    /// Where something is found that was not found before. Images are not looked through again.
    #[track_caller]
    fn finds(&self, what: &str, place: &str) {
        let images = ["images", "workloads/bundles"].map(|name| self.folder.join(name));
        let leaks = self.scan_but(&[&images[..], &self.except].concat());
        let is_found = leaks.iter().any(|leak| leak.place.contains(place));
        assert!(is_found, "{what} is not found in {place}: {leaks:?}");
    }
}

/// Buried: argo-cd#16193, argo-cd#12309, external-secrets#2401.
/// Shows X-11.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_nowhere_but_where_it_should_be_and_a_planted_leak_is_found_everywhere_else() {
    let logs = Captured::default();
    let writer = logs.clone();
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone());
    // Everything, at trace level: of ours and of every dependency.
    tracing_subscriber::registry().with(tracing::level_filters::LevelFilter::TRACE).with(layer).init();

    let stage = Stage::set(Span::from_secs(60)).await;
    let places = Places {
        canaries: [FIRST, ROTATED].map(|value| Canary::new(value).expect("a canary")).into(),
        logs,
        told: Mutex::default(),
        folder: stage.folder.path().to_owned(),
        // Where there is no file system in memory.
        except: vec![stage.folder.path().join("workloads/secrets")],
    };
    let mut observed = stage.embedded.bus().observe();
    let mut events = Captured::default();
    let mut kept = events.clone();
    tokio::spawn(async move {
        while let Some(event) = observed.next().await {
            writeln!(kept, "{event:?}").expect("kept");
        }
    });
    flow(&stage, &places).await;
    events.flush().expect("kept");
    let events = String::from_utf8_lossy(&events.bytes()).into_owned();
    for published in ["SecretBound", "SecretRotated", "RuntimeDeploymentCompleted"] {
        assert!(events.contains(published), "no {published} was seen: {events}");
    }
    places.tell("events", events);
    let told = places.told.lock().expect("unpoisoned").len();
    assert!(told > 40, "too little was told to show anything: {told}");
    let log = places.logs.bytes();
    let has_details = String::from_utf8_lossy(&log).contains("DEBUG");
    assert!(has_details && log.len() > 5_000, "too little was logged to show anything: {} bytes", log.len());
    assert_eq!(places.scan(), [], "leaks");

    plant(&stage, &places).await;
    let folder = stage.close().await;
    // Where the store was closed, its log was moved into the database.
    places.finds("a reason that was stored", "store.db");
    drop(folder);
}

/// The whole life of a secret, with everything that it says.
async fn flow(stage: &Stage, places: &Places) {
    let (runtime, scope) = (stage.runtime(), &stage.scope);
    let secrets = runtime.secrets();
    let grace = Span::from_millis(300);
    let mut wanted = stage.wanted("file:password", grace);
    wanted.identity = "local:stranger".parse().expect("an identity");
    places.tell_error("an error", &secrets.bind(scope, wanted).await.expect_err("not let in"));
    let file = stage.bind("file:password", grace).await;
    let variable = stage.bind("env:PASSWORD", grace).await;
    places.tell("a deployment", format!("{:?}", stage.deploy("1.0.0", "", 2).await));
    let endpoint = stage.endpoint().await;
    for path in ["/", "/variable", "/ready"] {
        places.tell("an answer", format!("{:?}", get(&endpoint, path).await.expect("answered")));
    }
    secrets.rotate(scope, file, RotationRequest::because("audit")).await.expect("accepted");
    places.tell("a binding", format!("{:?}", stage.becomes(file, SecretStatus::Distributing).await));
    places.tell("what is seen", format!("{:?}", stage.observe().await));
    places.tell("a binding", format!("{:?}", stage.becomes(file, SecretStatus::Bound).await));
    places.tell("an answer", format!("{:?}", get(&endpoint, "/").await.expect("answered")));

    // It fails: a release that takes no rotated password, and a vault that is asked for what it has not.
    let failed = stage.deploy("2.0.0", "refuses-rotated", 1).await;
    assert_eq!(failed.status(), DeploymentStatus::RolledBack, "{failed:?}");
    places.tell("a deployment", format!("{failed:?}"));
    let access = SecretAccess { tenant: scope.tenant(), identity: identity() };
    let vault = stage.embedded.vault();
    let absent = "local://main/password/1".parse().expect("a version");
    let retired = vault.retire_version(context(1), &access, &absent).await.expect_err("fenced");
    places.tell_error("an error", &retired);
    places.tell("the vault", format!("{vault:?} {:?} {:?}", stage.embedded, runtime.host()));
    secrets.rotate(scope, variable, RotationRequest::compromised("seen in a chat")).await.expect("accepted");
    places.tell("a binding", format!("{:?}", stage.becomes(variable, SecretStatus::Bound).await));
    for binding in [file, variable] {
        places.tell("a binding", format!("{:?}", secrets.unbind(scope, binding, "done".to_owned()).await));
        for entry in secrets.history(scope, binding, 0, 100).await.expect("read") {
            places.tell("history", format!("{entry:?}"));
        }
    }
    places.tell("a deployment", format!("{:?}", stage.deploy("3.0.0", "", 1).await));
    let (status, body) = get(&endpoint, "/").await.expect("answered");
    assert_eq!(status, 500, "it is given nothing any more");
    places.tell("an answer", body);
    for kind in [AggregateKind::RuntimeDeployment, AggregateKind::SecretBinding] {
        let query = Query::all(kind).limited_to(100);
        if kind == AggregateKind::SecretBinding {
            places.tell("a list", format!("{:?}", secrets.bindings(scope, query).await));
        } else {
            let listed = runtime.deployments().deployments(scope, query).await.expect("listed");
            for deployment in &listed.items {
                let id = deployment.aggregate.id();
                for entry in runtime.deployments().history(scope, id, 0, 1_000).await.expect("read") {
                    places.tell("history", format!("{entry:?}"));
                }
            }
            places.tell("a list", format!("{listed:?}"));
        }
    }
}

/// A change under a token that was replaced long ago.
fn context(fence: u64) -> VaultContext {
    let rotation = RotationId {
        binding: SecretBindingId::from_uuid(Default::default()),
        previous: "1".parse().expect("a version"),
        requested_at: Timestamp::UNIX_EPOCH,
    };
    VaultContext { rotation, fence: FencingToken(fence) }
}

/// A leak in each place, one after the other.
async fn plant(stage: &Stage, places: &Places) {
    let text = std::str::from_utf8(FIRST).expect("text");
    tracing::trace!(password = text, "a line");
    places.finds("a field of a log line", "the logs");

    let canary = &places.canaries[1];
    let planted = places.folder.join("workloads/planted");
    std::fs::create_dir(&planted).expect("a folder");
    for (encoding, written) in canary.written() {
        std::fs::write(planted.join("file"), written).expect("written");
        let leaks = canary.in_folder(&planted, &places.except).expect("read");
        let is_found = leaks.iter().any(|leak| leak.encoding == encoding);
        assert!(is_found, "a file with {encoding} is not found: {leaks:?}");
    }
    places.finds("a file", "workloads/planted");
    let span = tracing::trace_span!("planted", password = std::str::from_utf8(ROTATED).expect("text"));
    drop(span.enter());
    drop(span);
    assert!(!canary.in_bytes("the spans", &places.logs.bytes()).is_empty(), "a span's field is not found");

    #[derive(Debug)]
    #[expect(dead_code, reason = "it is there to be shown by `Debug`")]
    struct Careless(Vec<u8>);
    places.tell("a careless type", format!("{:?}", Careless(FIRST.to_vec())));
    places.finds("what `Debug` writes", "a careless type");
    let error = PortError::new(PortErrorKind::Denied, "vault.login", format!("`{text}` was refused"));
    places.tell_error("a careless error", &error);
    places.finds("an error", "a careless error");
    places.tell("a careless answer", format!("{{\"password\":{text:?}}}"));
    places.finds("an answer", "a careless answer");
    places.tell("a careless event", format!("q={}", "rotated+%22password%22%2B%2F%2518+%26+so+%C3%B6n"));
    places.finds("an event", "a careless event");

    let mut child = Command::new("sh")
        .args(["-c", "read line", "--password", text])
        .stdin(Stdio::piped())
        .spawn()
        .expect("a process");
    places.finds("an argument", &format!("process {}'s command line", child.id()));
    child.stdin.take().expect("its input").write_all(b"\n").expect("told");
    child.wait().expect("ended");

    // Through the product's own doors: what a person writes where it does not belong, and what a workload prints.
    let secrets = stage.runtime().secrets();
    let mut wanted = stage.wanted("file:password", Span::from_secs(1));
    wanted.secret = "local://main/password/2".parse().expect("a version");
    let bound = secrets.bind(&stage.scope, wanted.clone()).await.expect("bound").aggregate.id();
    secrets.unbind(&stage.scope, bound, format!("it was {text}")).await.expect("unbound");
    places.finds("a reason in a table that is only in the store's log yet", "store.db-wal");
    secrets.bind(&stage.scope, wanted).await.expect("bound again");
    drop(stage.deploy("4.0.0", "tells", 1).await);
    places.finds("what a workload prints", "/logs/");
}
