//! The whole story, act by act, and what came of it.

use std::path::Path;
use std::time::{Duration, Instant};

use factory_runtime::manifest;
use factory_runtime::prelude::*;

use crate::Failure;
use crate::acts::{configuration, drift, promotion, rollouts, scaling, secrets, silo};
use crate::load::{Counted, Load};
use crate::stage::{Stage, WEB};

/// One line of the summary.
pub struct Told {
    pub act: String,
    pub took: Duration,
    /// What was sent to the component meanwhile.
    pub counted: Counted,
    pub verdict: String,
    pub held: bool,
}

/// Tells the story, all of it or its first acts, and whether all of it held.
pub async fn tell(stage: &Stage, fast: bool) -> Result<bool, Failure> {
    let mut told = vec![rollouts::first(stage).await?];
    let endpoint = stage.endpoint(stage.dev(), WEB).await?;
    println!("   requests go to {endpoint} from now on, about 120 a second");
    let load = Load::begin(&endpoint, 120);
    told.extend(rollouts::under_load(stage, &load).await?);
    told.push(rollouts::kill_a_replica(stage, &load).await?);
    let mut elsewhere = Counted::default();
    if !fast {
        let (promoted, staging) = promotion::promote(stage).await?;
        told.push(promoted);
        // It takes its time, while other things happen.
        let scaled = scaling::begin(stage, staging).await?;
        let secret = secrets::bind(stage).await?;
        told.push(configuration::publish(stage, &load).await?);
        told.push(secrets::rotate(stage, &load, secret).await?);
        scaled.until_out().await?;
        told.push(drift::repair(stage, &load).await?);
        for line in [silo::move_out(stage).await?, scaled.until_back().await?] {
            elsewhere = elsewhere.and(line.counted);
            told.push(line);
        }
    }
    rollouts::show_inventory(stage).await?;
    let whole = load.end().await.and(elsewhere);
    told.push(audit(stage).await?);
    Ok(summary(&told, whole))
}

/// Reads the whole audit trail, and whether it is as it was written.
async fn audit(stage: &Stage) -> Result<Told, Failure> {
    println!("\nverifying the audit trail");
    let begun = Instant::now();
    let report = stage.runtime().audit().verify(stage.scope(), None).await?;
    for fault in &report.faults {
        println!("   {fault}");
    }
    let verdict = format!(
        "{} entries of {} histories are {}as they were written",
        report.entries,
        report.attestation.heads().count(),
        if report.is_sound() { "" } else { "not " }
    );
    println!("   {verdict}");
    let counted = Counted::default();
    Ok(Told {
        act: "the audit trail".to_owned(),
        took: begun.elapsed(),
        counted,
        verdict,
        held: report.is_sound(),
    })
}

fn summary(told: &[Told], whole: Counted) -> bool {
    println!("\n{:<34} {:>8} {:>9} {:>7}  verdict", "act", "took", "requests", "failed");
    for line in told {
        println!(
            "{:<34} {:>7.1}s {:>9} {:>7}  {}{}",
            line.act,
            line.took.as_secs_f64(),
            line.counted.sent,
            line.counted.failed,
            line.verdict,
            if line.held { "" } else { "  <- NOT as it should be" },
        );
    }
    let held = told.iter().all(|line| line.held) && whole.failed == 0;
    println!(
        "{} requests, {} failed: {}",
        whole.sent,
        whole.failed,
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
    let ended = rollouts::deploy(stage, stage.dev(), &manifest).await?;
    println!("   {}", ended.name());
    for module in manifest.components.keys() {
        if let Some(endpoint) = stage.observe(stage.dev(), module.as_str()).await?.endpoint {
            println!("   {module} answers at {endpoint}");
        }
    }
    Ok(ended == DeploymentStatus::Completed)
}
