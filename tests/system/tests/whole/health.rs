//! Health of real workloads: what flaps, what depends on what is down, what is missing, and what nobody looks at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use async_trait::async_trait;
use factory_runtime::domain::environment::EnvironmentChange;
use factory_runtime::domain::health::{
    HealthCheckResult, HealthStatus, ProductHealth, ProductStatus, ServiceHealth,
};
use factory_runtime::domain::id::AggregateKind;
use factory_runtime::ports::clock::Clock;
use factory_runtime::ports::health_results::{HealthRecord, HealthResultQuery};
use factory_runtime::ports::store::{AggregateKey, Query, Repository};
use factory_runtime::prelude::*;
use factory_runtime::services::{CommandError, Host, Ports, Services};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::bench::{Bench, WEB, get, says, until};

/// How many results in a row change the verdict on a component of these tests.
const FALL: usize = 20;

fn component(module: &str, more: &str) -> String {
    format!(
        "  {module}:
    image: test/web:1.0.0
    version: 1.0.0
    termination_grace: 300ms
    readiness: {{ path: /ready, period: 50ms, failure_threshold: {FALL} }}
{more}"
    )
}

async fn deploy(bench: &Bench, release: &str, components: &str) {
    let deployment = bench.deploy(bench.resolve(&yaml(release, components)).await.expect("resolved")).await;
    assert_eq!(deployment.status(), DeploymentStatus::Completed);
}

fn yaml(release: &str, components: &str) -> String {
    format!(
        "release: {release}
strategy: {{ rolling-health-gated: {{}} }}
limits: {{ progress_deadline: 10s, rollback_deadline: 30s, crash_limit: 3 }}
components:
{components}"
    )
}

/// Tells the only instance of a component something, whether it is sent requests or not.
async fn tell(bench: &Bench, module: &str, path: &str) {
    let observed = bench.observe(module).await;
    let instances = observed.revisions.values().flat_map(|revision| &revision.instances);
    let addresses: Vec<&str> = instances.filter_map(|instance| instance.address.as_deref()).collect();
    assert_eq!(addresses.len(), 1, "{observed:?}");
    get(addresses[0], path).await.expect("told");
}

/// How a service is; nothing is known of one that the inventory has not heard of.
async fn health(bench: &Bench, module: &str) -> ServiceHealth {
    let service = ServiceId::of(bench.environment(), &Name::new(module).expect("a name"));
    match bench.runtime().health().health(bench.scope(), service).await {
        Err(CommandError::NotFound { what }) => ServiceHealth::Unknown { why: what },
        read => read.expect("read"),
    }
}

async fn until_it_is(bench: &Bench, module: &str, status: HealthStatus) {
    until(&format!("{module} is {status}"), async || {
        (health(bench, module).await.status() == Some(status)).then_some(())
    })
    .await;
}

async fn product(bench: &Bench) -> ProductHealth {
    bench.runtime().health().product_health(bench.scope(), bench.environment()).await.expect("read")
}

/// The last results of a component, newest first.
async fn results(bench: &Bench, module: &str) -> Vec<HealthRecord> {
    let query = HealthResultQuery::of(bench.environment()).about(&Name::new(module).expect("a name"));
    let query = query.limited_to(1_000);
    bench.runtime().health().results(bench.scope(), &query).await.expect("read").items
}

/// The results of a component that were told to the world, newest first, and how many of them told that it is worse.
async fn told(bench: &Bench, module: &str) -> (Vec<HealthCheckResult>, usize) {
    let store = bench.runtime().host().ports().store.for_tenant(bench.scope());
    let query = Query::all(AggregateKind::HealthCheckResult)
        .in_environment(bench.environment())
        .about(Name::new(module).expect("a name"))
        .limited_to(1_000);
    let page = Repository::<HealthCheckResult>::new(&*store).query(query).await.expect("listed");
    let mut told = Vec::new();
    let mut degraded = 0;
    for loaded in page.items {
        let result = loaded.aggregate;
        let id = result.health_check_result_id().uuid();
        let key = AggregateKey { kind: AggregateKind::HealthCheckResult, id };
        let history = store.history(&key, 0, 10).await.expect("read");
        degraded += history.iter().filter(|entry| entry.event == "HealthDegraded").count();
        told.push(result);
    }
    (told, degraded)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_readiness_that_flaps_leaves_the_verdict_and_one_that_stays_down_changes_it_once() {
    let bench = Bench::with_a_release().await;
    deploy(&bench, "steady", &component(WEB, "")).await;
    until_it_is(&bench, WEB, HealthStatus::Healthy).await;
    let revision = |record: &HealthRecord| record.revision.clone();
    let serving = until("the release was evaluated", async || {
        let newest = results(&bench, WEB).await.into_iter().next()?;
        let current = bench.observe(WEB).await;
        let own = revision(&newest)?;
        (current.revisions.len() == 1 && current.revisions.contains_key(&own)).then_some(own)
    })
    .await;
    until("that release is believed to be well", async || {
        let (told, _) = told(&bench, WEB).await;
        let newest = results(&bench, WEB).await.into_iter().next()?;
        let is_well = newest.result.verdict().status == HealthStatus::Healthy;
        (is_well && told.first()?.verdict().status == HealthStatus::Healthy).then_some(())
    })
    .await;
    let (before, degraded_before) = told(&bench, WEB).await;

    for _ in 0..3 {
        for (path, found) in [("/fail", HealthStatus::Unhealthy), ("/mend", HealthStatus::Healthy)] {
            tell(&bench, WEB, path).await;
            until(&format!("it was found {found}"), async || {
                let newest = results(&bench, WEB).await.into_iter().next()?;
                (newest.result.status() == found).then_some(())
            })
            .await;
            assert_eq!(health(&bench, WEB).await.status(), Some(HealthStatus::Healthy), "after {path}");
        }
    }
    let (now, degraded) = told(&bench, WEB).await;
    assert_eq!((now.len(), degraded), (before.len(), degraded_before), "what is not believed is not told");

    tell(&bench, WEB, "/fail").await;
    until_it_is(&bench, WEB, HealthStatus::Unhealthy).await;
    // Results are written together, a moment after the verdict that they made.
    let (kept, in_a_row) = until("the results that made it worse are kept", async || {
        let kept = results(&bench, WEB).await;
        let ill = |record: &&HealthRecord| record.result.status() == HealthStatus::Unhealthy;
        let in_a_row = kept.iter().take_while(ill).count();
        let newest = kept.first()?;
        (newest.result.verdict().status == HealthStatus::Unhealthy).then_some((kept, in_a_row))
    })
    .await;
    assert!(in_a_row >= FALL, "{in_a_row} in a row made it worse");
    assert!(kept.iter().take(in_a_row).all(|record| record.revision.as_ref() == Some(&serving)));
    tell(&bench, WEB, "/mend").await;
    until_it_is(&bench, WEB, HealthStatus::Healthy).await;
    let (now, degraded) = told(&bench, WEB).await;
    assert_eq!(degraded, degraded_before + 1, "it is told once that it is worse");
    assert_eq!(now.len(), before.len() + 2, "two verdicts changed, and only they were commits");
    let windows: BTreeSet<_> = kept.iter().map(|record| record.result.evaluation_window().start()).collect();
    assert_eq!(windows.len(), kept.len(), "no two results are about the same window");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_depends_on_what_is_down_is_degraded_and_says_why_down_to_the_cause() {
    let bench = Bench::with_a_release().await;
    let both = component("db", "") + &component(WEB, "    depends_on: [db]\n");
    deploy(&bench, "both", &both).await;
    for module in ["db", WEB] {
        until_it_is(&bench, module, HealthStatus::Healthy).await;
    }
    until("the product is well", async || {
        (product(&bench).await.status == ProductStatus::Healthy).then_some(())
    })
    .await;
    tell(&bench, "db", "/fail").await;
    until_it_is(&bench, WEB, HealthStatus::Degraded).await;
    let ServiceHealth::Known { reasons, .. } = health(&bench, WEB).await else { panic!("it is known") };
    says(&reasons.join("\n"), &["depends on db, which is Unhealthy: ", "status 503"]);
    let whole = product(&bench).await;
    assert_eq!(whole.status, ProductStatus::Unhealthy, "{whole:?}");
    says(
        &whole.explain("shop"),
        &["shop is Unhealthy: db is Unhealthy: ", "; web is Degraded: depends on db, which is Unhealthy: "],
    );
    tell(&bench, "db", "/mend").await;
    until("the product is well again", async || {
        (product(&bench).await.status == ProductStatus::Healthy).then_some(())
    })
    .await;
}

/// A service outside that answers with this status, until it is dropped.
async fn outside(status: Arc<AtomicU16>) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = [0; 1_024];
            drop(stream.read(&mut question).await);
            let status = status.load(Ordering::SeqCst);
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    (port, serving)
}

/// Shows X-12.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_required_makes_ill_what_is_optional_degrades_and_a_service_outside_is_asked_where_it_may_be()
{
    let bench = Bench::with_a_release().await;
    let status = Arc::new(AtomicU16::new(200));
    let (port, serving) = outside(Arc::clone(&status)).await;
    let needs = |required: bool| {
        let http = format!("{{ url: \"http://127.0.0.1:{port}/ready\" }}");
        format!("    dependencies: {{ db: {{}}, pay: {{ required: {required}, http: {http} }} }}\n")
    };
    let three = component("db", "") + &component(WEB, &needs(true)) + &component("cart", &needs(false));
    deploy(&bench, "three", &three).await;
    until_it_is(&bench, "db", HealthStatus::Healthy).await;
    // Nobody has said that the environment may call it.
    until_it_is(&bench, WEB, HealthStatus::Degraded).await;
    let ServiceHealth::Known { reasons, .. } = health(&bench, WEB).await else { panic!("it is known") };
    says(
        &reasons.join("\n"),
        &["pay (http://127.0.0.1:", "may not be asked", "egress allow-list: add it there"],
    );
    let granted = EnvironmentChange {
        egress_allow_list: Some([format!("127.0.0.1:{port}")].into()),
        ..EnvironmentChange::default()
    };
    bench
        .runtime()
        .environments()
        .change(bench.scope(), bench.environment(), granted)
        .await
        .expect("changed");
    for module in [WEB, "cart"] {
        until_it_is(&bench, module, HealthStatus::Healthy).await;
    }
    status.store(503, Ordering::SeqCst);
    until_it_is(&bench, WEB, HealthStatus::Unhealthy).await;
    until_it_is(&bench, "cart", HealthStatus::Degraded).await;
    let ServiceHealth::Known { reasons, .. } = health(&bench, "cart").await else { panic!("it is known") };
    says(&reasons.join("\n"), &["depends on pay", "which is Unhealthy: status 503", "and is not required"]);
    status.store(200, Ordering::SeqCst);
    for module in [WEB, "cart"] {
        until_it_is(&bench, module, HealthStatus::Healthy).await;
    }
    tell(&bench, "db", "/fail").await;
    for module in [WEB, "cart"] {
        until_it_is(&bench, module, HealthStatus::Unhealthy).await;
    }
    serving.abort();
}

/// Buried: argo-cd#6708. Theirs: a parent was Healthy for a moment while a child of it was not there yet. Ours: it is Unknown until the child is
/// known.
#[tokio::test(flavor = "multi_thread")]
async fn argo_cd_6708_a_product_is_never_healthy_while_a_child_is_missing() {
    let bench = Bench::with_a_release().await;
    until("the product is well", async || {
        (product(&bench).await.status == ProductStatus::Healthy).then_some(())
    })
    .await;
    let release = bench.resolve(&yaml("more", &component("cart", ""))).await.expect("resolved");
    let deployments = bench.runtime().deployments();
    deployments.request(bench.scope(), bench.environment(), release).await.expect("accepted");
    until("the child is well, and the product", async || {
        let whole = product(&bench).await;
        // Read afterwards: a child that is not known now was not known before.
        let child = health_if_any(&bench, "cart").await;
        if child.as_ref().and_then(ServiceHealth::status).is_none() {
            assert_eq!(whole.status, ProductStatus::Unknown, "{whole:?}");
            says(&whole.explain("shop"), &["shop is Unknown: cart is Unknown: "]);
        }
        (whole.status == ProductStatus::Healthy).then_some(())
    })
    .await;
}

async fn health_if_any(bench: &Bench, module: &str) -> Option<ServiceHealth> {
    let service = ServiceId::of(bench.environment(), &Name::new(module).expect("a name"));
    bench.runtime().health().health(bench.scope(), service).await.ok()
}

/// The machine's clock, so much later.
struct Later(Arc<dyn Clock>, Span);

#[async_trait]
impl Clock for Later {
    fn now(&self) -> Timestamp {
        self.1.after(self.0.now())
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let wait = Span::between(self.now(), deadline);
        self.0.sleep_until(wait.after(self.0.now())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_host_has_looked_at_for_a_while_is_unknown_until_one_does() {
    let mut bench = Bench::with_a_release().await;
    until_it_is(&bench, WEB, HealthStatus::Healthy).await;
    bench.stop().await;
    let ports = bench.runtime().host().ports().clone();
    let clock: Arc<dyn Clock> = Arc::new(Later(Arc::clone(&ports.clock), Span::from_secs(200)));
    let later = Host::new(Ports { clock, ..ports }, HostOptions::default());
    let later = Services::new(later, Vec::new()).expect("services");
    let service = ServiceId::of(bench.environment(), &Name::new(WEB).expect("a name"));
    let health_then = later.health().health(bench.scope(), service).await.expect("read");
    let ServiceHealth::Unknown { why } = health_then else { panic!("{health_then:?}") };
    says(&why, &["it was last evaluated ", "a result stays true for "]);
    let whole = later.health().product_health(bench.scope(), bench.environment()).await.expect("read");
    assert_eq!(whole.status, ProductStatus::Unknown, "{whole:?}");
    let result = later.health().evaluate(bench.scope(), service).await.expect("read");
    assert_eq!(result, None, "what was seen long ago is no ground for a verdict");
    bench.reopen(|options| options).await;
    let before = results(&bench, WEB).await.len();
    until("it is looked at again", async || (results(&bench, WEB).await.len() > before).then_some(())).await;
    until_it_is(&bench, WEB, HealthStatus::Healthy).await;
    assert!(bench.runtime().readiness().await.is_ready());
    assert!(bench.runtime().liveness().is_live());
}
