//! Drift on real workloads: what is changed by hand behind the runtime's back is found, and repaired through deployments.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use factory_runtime::domain::component::{ComponentSpec, RevisionId};
use factory_runtime::domain::drift::watch::{Outlook, WatchTerms};
use factory_runtime::domain::drift::{DriftKind, DriftStatus, Owner, RemediationMode, RuntimeDriftFinding};
use factory_runtime::domain::surface::{EffectId, FencingToken, RevisionSpec, Traffic};
use factory_runtime::embedded::{DesiredStateDirectory, Tenants};
use factory_runtime::ports::store::Query;
use factory_runtime::ports::surface::{ComputeSurface as _, EffectContext};
use factory_runtime::ports::{PortError, PortErrorKind};
use factory_runtime::prelude::*;
use factory_runtime::services::drift::Remedy;

use crate::bench::{Bench, WEB, get, says, until};

/// A bench whose host watches a Git work tree in which `web` 1.0.0 is desired.
struct Watched {
    bench: Bench,
    tree: PathBuf,
}

/// What is desired of `web`, as it is committed.
fn manifest(version: &str, replicas: u16, cookie: &str) -> String {
    format!(
        "release: web-{version}
strategy: {{ rolling-health-gated: {{}} }}
limits: {{ progress_deadline: 10s, rollback_deadline: 30s, crash_limit: 3 }}
components:
  {WEB}:
    image: test/web:{version}
    version: {version}
    replicas: {replicas}
    variables: {{ SESSION_COOKIE_NAME: {cookie} }}
    readiness: {{ path: /ready, period: 50ms }}
    termination_grace: 300ms
"
    )
}

fn git(tree: &std::path::Path, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(tree)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@shop.test", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Watched {
    async fn new(mode: RemediationMode) -> Self {
        let mut bench = Bench::with_a_release().await;
        let tree = bench.path("desired");
        std::fs::create_dir_all(tree.join("shop")).expect("a folder");
        git(&tree, &["init", "--quiet"]);
        std::fs::write(tree.join("shop/README.md"), "what should run").expect("written");
        let tenant = Tenants::Only(bench.scope().tenant());
        let watched =
            async |tree: PathBuf| DesiredStateDirectory::git(tree, tenant).await.expect("a work tree");
        std::fs::write(tree.join("shop/web.yaml"), manifest("1.0.0", 1, "sid")).expect("written");
        git(&tree, &["add", "--all"]);
        git(&tree, &["commit", "--quiet", "--message", "1.0.0"]);
        let source = Arc::new(watched(tree.clone()).await);
        bench.reopen(|options| options.desired_state(source)).await;
        let watched = Self { bench, tree };
        // What was deployed without Git becomes what Git says.
        watched.watch(RemediationMode::Remediate).await;
        watched.is_in_sync().await;
        watched.watch(mode).await;
        watched
    }

    async fn watch(&self, mode: RemediationMode) {
        let mut terms = WatchTerms::new("shop".parse().expect("a path"));
        terms.interval = Span::from_millis(150);
        terms.remediation.modes = DriftKind::ALL.map(|kind| (kind, mode)).into();
        let drift = self.bench.runtime().drift();
        drift.watch(self.bench.scope(), self.bench.environment(), terms).await.expect("watched");
    }

    fn commit(&self, version: &str, replicas: u16, cookie: &str) {
        std::fs::write(self.tree.join("shop/web.yaml"), manifest(version, replicas, cookie))
            .expect("written");
        git(&self.tree, &["commit", "--quiet", "--all", "--message", version]);
    }

    async fn outlook(&self) -> Outlook {
        let watch = self.bench.runtime().drift().watched(self.bench.scope(), self.bench.environment()).await;
        watch.expect("watched").outlook().expect("an outlook").clone()
    }

    /// Once the newest commit was compared and nothing diverged.
    async fn is_in_sync(&self) {
        let head = std::fs::read_to_string(self.tree.join(".git/HEAD")).expect("a head");
        let reference = head.trim().trim_start_matches("ref: ");
        let commit = std::fs::read_to_string(self.tree.join(".git").join(reference)).expect("a commit");
        let wanted = format!("git:{}", commit.trim());
        until("what runs is what is desired", async || match self.outlook().await {
            Outlook::InSync { revision } if revision.as_str() == wanted => {
                self.open().await.is_empty().then_some(())
            }
            _ => None,
        })
        .await;
    }

    async fn open(&self) -> Vec<RuntimeDriftFinding> {
        let drift = self.bench.runtime().drift();
        drift.open_findings(self.bench.scope(), self.bench.environment()).await.expect("listed")
    }

    /// Every finding of a kind, the newest first.
    async fn findings(&self, kind: DriftKind) -> Vec<RuntimeDriftFinding> {
        let all = Query::all(factory_runtime::domain::id::AggregateKind::RuntimeDriftFinding).limited_to(100);
        let page = self.bench.runtime().drift().findings(self.bench.scope(), all).await.expect("listed");
        page.items.into_iter().map(|it| it.aggregate).filter(|it| it.kind() == kind).collect()
    }

    /// The newest finding of a kind, once it is resolved by a repair; and the deployment that did it.
    async fn repaired(&self, kind: DriftKind) -> (RuntimeDriftFinding, Option<DeploymentId>) {
        until(&format!("the {kind} is repaired"), async || {
            let newest = self.findings(kind).await.into_iter().next()?;
            (newest.state().status() == DriftStatus::Resolved && newest.remediated_at().is_some())
                .then(|| (newest.clone(), newest.remediation_deployment_id()))
        })
        .await
    }

    /// What of a component serves.
    async fn serving(&self, module: &str) -> RevisionId {
        let observation = self.bench.observe(module).await;
        let traffic = observation.traffic.expect("a route");
        traffic.revisions().into_iter().next().expect("a revision").clone()
    }

    async fn component(&self) -> ComponentSpec {
        let deployment = self.serving(WEB).await.deployment;
        let deployments = self.bench.runtime().deployments();
        let deployment = deployments.deployment(self.bench.scope(), deployment).await.expect("there");
        deployment.release().components.values().next().expect("a component").clone()
    }

    /// Does something on the surface that the runtime knows nothing of.
    async fn by_hand(&self, act: impl AsyncFn(EffectContext) -> Result<(), PortError>) {
        let deployment = DeploymentId::from_uuid(self.bench.runtime().host().ports().ids.next());
        for token in 1.. {
            let effect = EffectId::of(deployment, token);
            match act(EffectContext { effect, fence: FencingToken(u64::from(token)) }).await {
                Err(error) if error.kind() == PortErrorKind::Fenced => {}
                done => return done.expect("done by hand"),
            }
        }
    }

    /// Starts a revision of a component that no deployment brought.
    async fn start(&self, module: &str, component: ComponentSpec) -> RevisionId {
        let name = Name::new(module).expect("a name");
        let deployment = DeploymentId::from_uuid(self.bench.runtime().host().ports().ids.next());
        let revision = RevisionId::new(name.clone(), deployment);
        let component = ComponentSpec { module: name, ..component };
        let spec = RevisionSpec {
            key: self.bench.key(module),
            revision: revision.clone(),
            component,
            configuration: None,
            secrets: [].into(),
        };
        let surface = self.bench.embedded().surface();
        self.by_hand(async |context| surface.apply(context, &spec, 1).await).await;
        until("it is ready", async || (self.bench.observe(module).await.ready(&revision) > 0).then_some(()))
            .await;
        let traffic = Traffic::all_to(revision.clone());
        let key = self.bench.key(module);
        self.by_hand(async |context| surface.shift_traffic(context, &key, &traffic).await).await;
        revision
    }

    async fn deployments(&self) -> usize {
        self.bench.listing().await.len()
    }

    /// Once at least so many comparisons more have begun: whatever they would have done they have done.
    async fn compared_again(&self) {
        let drift = self.bench.runtime().drift();
        for _ in 0..4 {
            drift.compare(self.bench.scope(), self.bench.environment()).await.expect("compared");
            tokio::time::timeout(std::time::Duration::from_millis(200), std::future::pending::<()>())
                .await
                .ok();
        }
    }
}

/// Clients of `web` who ask without a pause; each answer counts, and each failure.
struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    asking: Vec<tokio::task::JoinHandle<Result<(), String>>>,
}

impl Clients {
    async fn of(watched: &Watched) -> Self {
        let endpoint = watched.bench.observe(WEB).await.endpoint.expect("an endpoint");
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let ask = |_| {
            let (stop, answered, endpoint) = (stop.clone(), answered.clone(), endpoint.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = get(endpoint.trim_start_matches("http://"), "/").await;
                    answer.map_err(|error| error.to_string())?;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        Self { asking: (0..2).map(ask).collect(), stop, answered }
    }

    async fn were_all_answered(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.asking {
            assert_eq!(client.await.expect("every answer is 200"), Ok(()), "no request failed");
        }
        assert!(self.answered.load(Ordering::Relaxed) > 10, "somebody asked");
    }
}

/// Shows DRF-1.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_by_hand_is_repaired_through_deployments_and_no_request_fails() {
    let watched = Watched::new(RemediationMode::Remediate).await;
    let (bench, surface) = (&watched.bench, watched.bench.embedded().surface());
    watched.commit("1.0.0", 2, "sid");
    watched.is_in_sync().await;
    let clients = Clients::of(&watched).await;

    // Somebody scales it down.
    let (key, revision) = (bench.key(WEB), watched.serving(WEB).await);
    watched.by_hand(async |context| surface.scale(context, &key, &revision, 1).await).await;
    let (finding, repaired_by) = watched.repaired(DriftKind::ReplicaMismatch).await;
    let deployment = bench.ended(repaired_by.expect("a deployment")).await;
    assert_eq!(deployment.status(), DeploymentStatus::Completed);
    assert_eq!(watched.serving(WEB).await.deployment, deployment.id());
    let told = bench.runtime().drift().explain(bench.scope(), finding.id()).await.expect("explained");
    says(&told.what, &["component web", "ReplicaMismatch", "/replicas", "git:"]);

    // Somebody puts another image in its place, and takes the right one away.
    bench.pack("6.6.6", "").await;
    let image = ImageReference::new("test/web:6.6.6").expect("a reference");
    let image = bench.runtime().host().ports().registry.resolve(&image).await.expect("resolved");
    let mut component = watched.component().await;
    component.tuple.image = image;
    let before = watched.serving(WEB).await;
    watched.start(WEB, component.clone()).await;
    watched.by_hand(async |context| surface.retire(context, &key, &before).await).await;
    let (_, repaired_by) = watched.repaired(DriftKind::ImageVersionMismatch).await;
    assert_eq!(bench.ended(repaired_by.expect("a deployment")).await.status(), DeploymentStatus::Completed);
    assert_eq!(bench.answer().await, "1.0.0");

    // Somebody starts what nothing desires.
    watched.start("miner", component).await;
    let (finding, repaired_by) = watched.repaired(DriftKind::UnmanagedResource).await;
    assert_eq!((repaired_by, finding.subject().name().as_str()), (None, "miner"));
    until("it is gone", async || bench.observe("miner").await.revisions.is_empty().then_some(())).await;
    watched.is_in_sync().await;
    clients.were_all_answered().await;

    // Somebody takes it away altogether, while nobody looks.
    let drift = bench.runtime().drift();
    drift.stop_watching(bench.scope(), bench.environment(), "it is taken away").await.expect("stopped");
    let revision = watched.serving(WEB).await;
    watched.by_hand(async |context| surface.retire(context, &key, &revision).await).await;
    until("it is gone", async || bench.observe(WEB).await.revisions.is_empty().then_some(())).await;
    watched.watch(RemediationMode::Remediate).await;
    let (_, repaired_by) = watched.repaired(DriftKind::MissingResource).await;
    assert_eq!(bench.ended(repaired_by.expect("a deployment")).await.status(), DeploymentStatus::Completed);
    assert_eq!(bench.answer().await, "1.0.0");
    watched.is_in_sync().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_is_the_surfaces_to_start_again_and_no_drift() {
    let watched = Watched::new(RemediationMode::Remediate).await;
    let endpoint = watched.bench.observe(WEB).await.endpoint.expect("an endpoint");
    let before = get(endpoint.trim_start_matches("http://"), "/pid").await.expect("a process");
    let deployments = watched.deployments().await;
    let victim = before.parse().ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(victim, rustix::process::Signal::KILL).expect("killed");
    until("another is started", async || {
        let seen = watched.bench.observe(WEB).await;
        seen.revisions.values().any(|it| it.restarts() > 0 && it.ready() == 1).then_some(())
    })
    .await;
    assert_ne!(get(endpoint.trim_start_matches("http://"), "/pid").await.expect("a process"), before);
    watched.compared_again().await;
    assert_eq!(watched.deployments().await, deployments);
    assert_eq!(watched.open().await, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_to_be_told_is_only_told_until_somebody_asks() {
    let watched = Watched::new(RemediationMode::Warn).await;
    let (bench, surface) = (&watched.bench, watched.bench.embedded().surface());
    let drift = bench.runtime().drift();
    let deployments = watched.deployments().await;
    let (key, revision) = (bench.key(WEB), watched.serving(WEB).await);
    watched.by_hand(async |context| surface.scale(context, &key, &revision, 3).await).await;
    let found = until("it is found", async || watched.open().await.into_iter().next()).await;
    assert_eq!((found.kind(), found.state().status()), (DriftKind::ReplicaMismatch, DriftStatus::Detected));
    watched.compared_again().await;
    assert_eq!(watched.deployments().await, deployments, "nothing is deployed");
    let report = drift.compare(bench.scope(), bench.environment()).await.expect("compared");
    let told: Vec<_> = report.divergences.iter().map(|it| (it.finding, &it.remedy)).collect();
    assert!(matches!(told.as_slice(), [(Some(id), Remedy::Report { .. })] if *id == found.id()), "{told:?}");

    // It is seen with another count: that is another finding, and the first has gone.
    watched.by_hand(async |context| surface.scale(context, &key, &revision, 2).await).await;
    let next = until("the other is found", async || {
        watched.open().await.into_iter().find(|it| it.id() != found.id())
    })
    .await;
    let first = drift.finding(bench.scope(), found.id()).await.expect("there");
    assert_eq!(first.state().status(), DriftStatus::Vanished);

    drift.remediate(bench.scope(), next.id()).await.expect("accepted");
    let (finding, repaired_by) = watched.repaired(DriftKind::ReplicaMismatch).await;
    assert_eq!((finding.id(), repaired_by.is_some()), (next.id(), true));
    watched.is_in_sync().await;
}

/// Shows DRF-3.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_authoritative_or_empty_is_not_acted_upon() {
    let watched = Watched::new(RemediationMode::Remediate).await;
    let bench = &watched.bench;
    let deployments = watched.deployments().await;
    let not_compared = async |says_so: &str| {
        until(says_so, async || match watched.outlook().await {
            Outlook::NotCompared { reason } if reason.contains(says_so) => Some(()),
            _ => None,
        })
        .await;
    };
    bench.pack("2.0.0", "").await;
    std::fs::write(watched.tree.join("shop/web.yaml"), manifest("2.0.0", 1, "sid")).expect("written");
    not_compared("the work tree is dirty").await;
    let refused = bench.runtime().drift().compare(bench.scope(), bench.environment()).await;
    assert!(refused.is_err(), "what is not known is told as that");
    // A component that nothing of Git says, while Git says nothing that counts.
    let component = watched.component().await;
    watched.start("miner", component).await;

    git(&watched.tree, &["rm", "--quiet", "-f", "shop/web.yaml"]);
    git(&watched.tree, &["commit", "--quiet", "--message", "nothing"]);
    not_compared("the desired state is empty").await;
    assert_eq!(watched.deployments().await, deployments);
    assert_eq!((bench.answer().await.as_str(), watched.open().await.len()), ("1.0.0", 0));
    assert_eq!(bench.observe("miner").await.revisions.len(), 1, "nothing is pruned");

    std::fs::write(watched.tree.join("shop/web.yaml"), manifest("2.0.0", 1, "sid")).expect("written");
    git(&watched.tree, &["add", "--all"]);
    git(&watched.tree, &["commit", "--quiet", "--message", "2.0.0"]);
    until("what is committed is deployed", async || (bench.answer().await == "2.0.0").then_some(())).await;
    watched.is_in_sync().await;
}

/// Buried: argo-cd#9570. Theirs: somebody rolled back, and the automatic sync deployed the bad release again. Ours: what a person or a gate went
/// back from stays out, and is told as what it is; the next commit goes on.
/// Shows DRF-1.
#[tokio::test(flavor = "multi_thread")]
async fn argo_cd_9570_a_deliberate_rollback_is_not_drift() {
    let watched = Watched::new(RemediationMode::Remediate).await;
    let bench = &watched.bench;
    let drift = bench.runtime().drift();
    let stable = watched.serving(WEB).await.deployment;
    bench.pack("2.0.0", "").await;
    watched.commit("2.0.0", 1, "sid");
    until("2.0.0 is deployed", async || (bench.answer().await == "2.0.0").then_some(())).await;
    watched.is_in_sync().await;

    let back = bench.runtime().deployments().roll_back(bench.scope(), bench.environment(), stable).await;
    bench.ended(back.expect("accepted").aggregate.id()).await;
    let deployments = watched.deployments().await;
    watched.compared_again().await;
    assert_eq!(bench.answer().await, "1.0.0", "argo-cd deploys 2.0.0 again");
    assert_eq!(watched.deployments().await, deployments, "nothing is deployed");
    assert_eq!(watched.open().await, Vec::new(), "nothing is found");
    let report = drift.compare(bench.scope(), bench.environment()).await.expect("compared");
    let owners: Vec<_> = report.suppressed.iter().map(|it| &it.owner).collect();
    assert!(owners.iter().any(|owner| matches!(owner, Owner::Rollback { .. })), "{owners:?}");

    bench.pack("3.0.0", "").await;
    watched.commit("3.0.0", 1, "sid");
    until("3.0.0 is deployed", async || (bench.answer().await == "3.0.0").then_some(())).await;
    watched.is_in_sync().await;
}

/// Buried: helm-controller#925. Theirs: drift correction took the masked text of its own difference for what is desired, and wrote it into a live
/// object. Ours: a difference is for people: what is repaired comes from the manifest.
/// Shows X-11.
#[tokio::test(flavor = "multi_thread")]
async fn helm_controller_925_masked_text_is_never_written_into_what_runs() {
    let watched = Watched::new(RemediationMode::Warn).await;
    let bench = &watched.bench;
    let drift = bench.runtime().drift();
    let cookie = async || {
        let endpoint = bench.observe(WEB).await.endpoint.expect("an endpoint");
        get(endpoint.trim_start_matches("http://"), "/variable/SESSION_COOKIE_NAME").await.expect("an answer")
    };
    assert_eq!(cookie().await, "sid");
    let by_hand = bench.resolve(&manifest("1.0.0", 1, "taken-by-hand")).await.expect("resolved");
    bench.deploy(by_hand).await;
    assert_eq!(cookie().await, "taken-by-hand");
    let found = until("it is found", async || watched.open().await.into_iter().next()).await;
    assert_eq!(found.kind(), DriftKind::ConfigDrift);
    let shown = format!("{:?}", found.diff());
    says(&shown, &["/settings/variables/SESSION_COOKIE_NAME", "Redacted"]);
    assert!(!shown.contains("taken-by-hand") && !shown.contains("sid\""), "{shown}");

    drift.remediate(bench.scope(), found.id()).await.expect("accepted");
    watched.repaired(DriftKind::ConfigDrift).await;
    assert_eq!(cookie().await, "sid", "helm-controller writes its mask");
}
