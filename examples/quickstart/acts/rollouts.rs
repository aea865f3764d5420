//! Four releases under load, one of them broken, and a killed replica.

use std::time::Instant;

use factory_runtime::manifest;
use factory_runtime::prelude::*;

use crate::Failure;
use crate::load::{Load, get};
use crate::progress::follow;
use crate::stage::{Stage, WEB};
use crate::story::Told;

/// How many replicas of the component there are.
pub const REPLICAS: u16 = 2;

const CANARY: &str =
    "canary: { steps: [{ weight: 10, hold: { for: 3s } }, { weight: 50, hold: { for: 2s } }], bake: 2s }";

/// The first release, to which nobody sends anything yet.
pub async fn first(stage: &Stage) -> Result<Told, Failure> {
    release(stage, 1, "rolling-health-gated: {}", DeploymentStatus::Completed, None).await
}

/// Three more under load: a canary, a broken one that goes back by itself, blue/green.
pub async fn under_load(stage: &Stage, load: &Load) -> Result<Vec<Told>, Failure> {
    let blue_green = "blue-green: { bake: 2s, retirement_delay: 1s }";
    Ok(vec![
        release(stage, 2, CANARY, DeploymentStatus::Completed, Some(load)).await?,
        release(stage, 3, CANARY, DeploymentStatus::RolledBack, Some(load)).await?,
        release(stage, 4, blue_green, DeploymentStatus::Completed, Some(load)).await?,
    ])
}

/// A release of the component.
pub fn manifest_of(version: u8, strategy: &str) -> String {
    format!(
        "release: demo-{version}.0.0
strategy: {{ {strategy} }}
components:
  {WEB}:
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
    let ended = deploy(stage, stage.dev(), &manifest).await?;
    let counted = load.map(Load::counted).unwrap_or_default().since(before);
    let serving = version_that_answers(stage).await?;
    let wanted = if expected == DeploymentStatus::Completed { version } else { version - 1 };
    let held = ended == expected && serving.contains(&format!("{wanted}.0.0")) && counted.failed == 0;
    let verdict = format!("{}, {wanted}.0.0 serves", ended.name());
    Ok(Told { act: format!("release {version}.0.0, {name}"), took: begun.elapsed(), counted, verdict, held })
}

/// Deploys a manifest and follows it to its end.
pub async fn deploy(
    stage: &Stage,
    environment: EnvironmentId,
    manifest: &ReleaseManifest,
) -> Result<DeploymentStatus, Failure> {
    let deployments = stage.runtime().deployments();
    let release = deployments.resolve(manifest).await?;
    let requested = deployments.request(stage.scope(), environment, release).await?;
    Ok(follow(stage, requested.aggregate.id()).await?.status())
}

async fn version_that_answers(stage: &Stage) -> Result<String, Failure> {
    let endpoint = stage.observe(stage.dev(), WEB).await?.endpoint.ok_or("the component has no endpoint")?;
    get(&endpoint).await
}

/// Kills one process, and waits until as many are ready again.
pub async fn kill_a_replica(stage: &Stage, load: &Load) -> Result<Told, Failure> {
    println!("\nkilling a replica");
    let before = load.counted();
    let begun = Instant::now();
    let seen = stage.observe(stage.dev(), WEB).await?;
    let (revision, running) = seen.revisions.first_key_value().ok_or("nothing runs")?;
    let address =
        running.instances.first().and_then(|instance| instance.address.clone()).ok_or("no address")?;
    let pid: i32 = get(&format!("http://{address}/pid")).await?.parse()?;
    let process = rustix::process::Pid::from_raw(pid).ok_or("no process")?;
    rustix::process::kill_process(process, rustix::process::Signal::KILL)?;
    println!("   process {pid} is gone");
    let restarts = running.restarts();
    let is_replaced = async || {
        let seen = stage.observe(stage.dev(), WEB).await?;
        let now = seen.revisions.get(revision);
        Ok(now.is_some_and(|now| now.restarts() > restarts && now.ready() == REPLICAS))
    };
    let after = stage.wait("the replica was not replaced", is_replaced).await?;
    let counted = load.counted().since(before);
    let verdict = format!("replaced after {:.1}s", after.as_secs_f64());
    println!("   {verdict}");
    let took = begun.elapsed();
    Ok(Told { act: "a killed replica".to_owned(), took, counted, verdict, held: counted.failed == 0 })
}

pub async fn show_inventory(stage: &Stage) -> Result<(), Failure> {
    println!("\ninventory");
    let services = stage.runtime().inventory().services(stage.scope(), stage.dev()).await?;
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
