//! Four releases under load, one of them broken, and a killed replica.

use std::path::Path;
use std::time::{Duration, Instant};

use factory_runtime::manifest;
use factory_runtime::prelude::*;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::Failure;
use crate::load::{Counted, Load};
use crate::progress::follow;
use crate::stage::Stage;

const MODULE: &str = "web";
const REPLICAS: u16 = 2;

/// One line of the summary.
struct Told {
    release: String,
    took: Duration,
    counted: Counted,
    verdict: String,
    held: bool,
}

/// Tells the story, and whether all of it held.
pub async fn tell(stage: &Stage) -> Result<bool, Failure> {
    let first = release(stage, 1, "rolling-health-gated: {}", DeploymentStatus::Completed, None).await?;
    let endpoint = stage.observe(MODULE).await?.endpoint.ok_or("the component has no endpoint")?;
    println!("   requests go to {endpoint} from now on, about 120 a second");
    let load = Load::begin(&endpoint);
    let canary =
        "canary: { steps: [{ weight: 10, hold: { for: 3s } }, { weight: 50, hold: { for: 2s } }], bake: 2s }";
    let mut told = vec![first];
    told.push(release(stage, 2, canary, DeploymentStatus::Completed, Some(&load)).await?);
    told.push(release(stage, 3, canary, DeploymentStatus::RolledBack, Some(&load)).await?);
    let blue_green = "blue-green: { bake: 2s, retirement_delay: 1s }";
    told.push(release(stage, 4, blue_green, DeploymentStatus::Completed, Some(&load)).await?);
    told.push(kill_a_replica(stage, &load).await?);
    show_inventory(stage).await?;

    let whole = load.end().await;
    let seconds: f64 = told.iter().skip(1).map(|line| line.took.as_secs_f64()).sum();
    Ok(summary(&told, whole, seconds))
}

fn manifest_of(version: u8, strategy: &str) -> String {
    format!(
        "release: demo-{version}.0.0
strategy: {{ {strategy} }}
components:
  {MODULE}:
    image: demo/web:{version}.0.0
    version: {version}.0.0
    replicas: {REPLICAS}
    readiness: {{ path: /ready, period: 250ms }}
gates:
  errors:
    at: during-traffic
    check:
      metric:
        metric: error-rate
        bound: {{ at-most: \"0.05\" }}
        min_samples: 20
        interval: 500ms
        successes: 2
        failure_limit: 1
"
    )
}

async fn release(
    stage: &Stage,
    version: u8,
    strategy: &str,
    expected: DeploymentStatus,
    load: Option<&Load>,
) -> Result<Told, Failure> {
    let name = strategy.split(':').next().unwrap_or_default();
    println!("\nrelease {version}.0.0, {name}");
    let before = load.map(Load::counted).unwrap_or_default();
    let begun = Instant::now();
    let manifest = manifest::parse(&manifest_of(version, strategy))?;
    let ended = deploy(stage, &manifest).await?;
    let counted = load.map(Load::counted).unwrap_or_default().since(before);
    let serving = version_that_answers(stage).await?;
    let wanted = if expected == DeploymentStatus::Completed { version } else { version - 1 };
    let held = ended == expected && serving.contains(&format!("{wanted}.0.0")) && counted.failed == 0;
    Ok(Told {
        release: format!("{version}.0.0 {name}"),
        took: begun.elapsed(),
        counted,
        verdict: format!("{}, {wanted}.0.0 serves", ended.name()),
        held,
    })
}

async fn deploy(stage: &Stage, manifest: &ReleaseManifest) -> Result<DeploymentStatus, Failure> {
    let deployments = stage.runtime().deployments();
    let release = deployments.resolve(manifest).await?;
    let requested = deployments.request(stage.scope(), stage.environment(), release).await?;
    Ok(follow(stage, requested.aggregate.id()).await?.status())
}

async fn version_that_answers(stage: &Stage) -> Result<String, Failure> {
    let endpoint = stage.observe(MODULE).await?.endpoint.ok_or("the component has no endpoint")?;
    get(&endpoint).await
}

async fn get(url: &str) -> Result<String, Failure> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let body = client.get(url.parse()?).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Kills one process, and waits until as many are ready again.
async fn kill_a_replica(stage: &Stage, load: &Load) -> Result<Told, Failure> {
    println!("\nkilling a replica");
    let before = load.counted();
    let begun = Instant::now();
    let seen = stage.observe(MODULE).await?;
    let (revision, running) = seen.revisions.first_key_value().ok_or("nothing runs")?;
    let address =
        running.instances.first().and_then(|instance| instance.address.clone()).ok_or("no address")?;
    let pid: i32 = get(&format!("http://{address}/pid")).await?.parse()?;
    let process = rustix::process::Pid::from_raw(pid).ok_or("no process")?;
    rustix::process::kill_process(process, rustix::process::Signal::KILL)?;
    println!("   process {pid} is gone");
    let restarts = running.restarts();
    let replaced = stage
        .until(MODULE, |seen| {
            seen.revisions
                .get(revision)
                .is_some_and(|now| now.restarts() > restarts && now.ready() == REPLICAS)
        })
        .await?;
    let counted = load.counted().since(before);
    let verdict = match replaced {
        Some(after) => format!("replaced after {:.1}s", after.as_secs_f64()),
        None => "not replaced".to_owned(),
    };
    println!("   {verdict}");
    let held = replaced.is_some() && counted.failed == 0;
    Ok(Told { release: "a killed replica".to_owned(), took: begun.elapsed(), counted, verdict, held })
}

async fn show_inventory(stage: &Stage) -> Result<(), Failure> {
    println!("\ninventory");
    let services = stage.runtime().inventory().services(stage.scope(), stage.environment()).await?;
    for service in services {
        println!(
            "   {:<8} version {:<8} {:<10} {}",
            service.module_id(),
            service.version().version,
            service.status().name(),
            service.endpoint().map_or("no endpoint", |endpoint| &endpoint.url),
        );
    }
    Ok(())
}

fn summary(told: &[Told], whole: Counted, seconds: f64) -> bool {
    println!("\n{:<28} {:>8} {:>9} {:>7}  verdict", "release", "took", "requests", "failed");
    for line in told {
        println!(
            "{:<28} {:>7.1}s {:>9} {:>7}  {}{}",
            line.release,
            line.took.as_secs_f64(),
            line.counted.sent,
            line.counted.failed,
            line.verdict,
            if line.held { "" } else { "  <- NOT as it should be" },
        );
    }
    let held = told.iter().all(|line| line.held) && whole.failed == 0;
    println!(
        "{} requests, {} failed, {:.0} a second: {}",
        whole.sent,
        whole.failed,
        whole.sent as f64 / seconds.max(0.1),
        if held { "all of it held" } else { "something did not hold" },
    );
    held
}

/// Deploys a manifest from a file, and tells whether it was completed.
pub async fn deploy_manifest(stage: &Stage, file: &Path) -> Result<bool, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let manifest = manifest::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("\nrelease {}", manifest.release);
    let ended = deploy(stage, &manifest).await?;
    println!("   {}", ended.name());
    for module in manifest.components.keys() {
        if let Some(endpoint) = stage.observe(module.as_str()).await?.endpoint {
            println!("   {module} answers at {endpoint}");
        }
    }
    Ok(ended == DeploymentStatus::Completed)
}
