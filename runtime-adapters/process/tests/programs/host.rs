//! A host that tests kill: it opens the surface of the folder in its first argument with the workload in its second, runs two replicas
//! and a job, says so, and goes on until it is killed.

use std::io::Write as _;

use runtime_domain::component::JobSpec;
use runtime_domain::surface::{EffectId, FencingToken, Traffic};
use runtime_ports::job::{JobRequest, JobRunner as _};
use runtime_ports::surface::ComputeSurface as _;
use runtime_process::ProcessSurface;

#[path = "../fixtures/world.rs"]
mod world;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(std::path::PathBuf::from);
    let (Some(root), Some(workload)) = (arguments.next(), arguments.next()) else {
        return Err("usage: FOLDER WORKLOAD".into());
    };
    let surface = ProcessSurface::open(world::options(&root, &workload).0).await?;
    surface.apply(world::effect(1, 1), &world::spec(1, ""), 2).await?;
    surface.shift_traffic(world::effect(1, 2), &world::key(), &Traffic::all_to(world::revision(1))).await?;
    let job: JobSpec = serde_json::from_value(serde_json::json!({
        "name": "migrate",
        "image": world::image('a'),
        "arguments": ["job"],
        "variables": { "MILLIS": "1500" },
        "timeout": "30s",
    }))?;
    let request = JobRequest {
        effect: EffectId::of(world::deployment(1), 3),
        fence: FencingToken(1),
        tenant: world::key().tenant,
        environment: world::key().environment,
        job,
        works_for: None,
    };
    surface.start(&request).await?;
    writeln!(std::io::stdout(), "running")?;
    std::future::pending::<()>().await;
    Ok(())
}
