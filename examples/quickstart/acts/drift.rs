//! Somebody changes what runs behind the runtime's back.

use std::time::Instant;

use factory_runtime::domain::drift::watch::{Outlook, WatchTerms};
use factory_runtime::domain::drift::{DriftKind, DriftStatus, RemediationMode};
use factory_runtime::domain::id::{AggregateKind, DeploymentId};
use factory_runtime::domain::surface::{EffectId, FencingToken};
use factory_runtime::ports::PortErrorKind;
use factory_runtime::ports::store::Query;
use factory_runtime::ports::surface::{ComputeSurface as _, EffectContext};
use factory_runtime::prelude::*;

use crate::Failure;
use crate::acts::rollouts::{REPLICAS, manifest_of};
use crate::load::Load;
use crate::stage::{Stage, WEB};
use crate::story::Told;

/// Takes a replica away by hand, and waits until it was noticed and repaired.
pub async fn repair(stage: &Stage, load: &Load) -> Result<Told, Failure> {
    println!("\ndrift");
    let (begun, before) = (Instant::now(), load.counted());
    desire_what_runs(stage).await?;
    let drift = stage.runtime().drift();
    let mut terms = WatchTerms::new("shop".parse()?);
    terms.interval = Span::from_millis(250);
    terms.remediation.modes = DriftKind::ALL.map(|kind| (kind, RemediationMode::Remediate)).into();
    drift.watch(stage.scope(), stage.dev(), terms).await?;
    let in_sync = async || {
        let watch = drift.watched(stage.scope(), stage.dev()).await?;
        Ok(matches!(watch.outlook(), Some(Outlook::InSync { .. })))
    };
    stage.wait("what runs was not seen to be what is desired", in_sync).await?;
    println!("   what runs is what `desired/shop/web.yaml` says");

    take_a_replica_away(stage).await?;
    println!("   somebody has taken a replica away by hand");
    let newest = async || {
        let all = Query::all(AggregateKind::RuntimeDriftFinding).limited_to(1);
        let found = drift.findings(stage.scope(), all).await?.items;
        Ok::<_, Failure>(found.into_iter().next().map(|found| found.aggregate))
    };
    let noticed = async || Ok(newest().await?.is_some_and(|it| it.kind() == DriftKind::ReplicaMismatch));
    let after = stage.wait("the drift was not noticed", noticed).await?;
    println!("   noticed after {:.1}s", after.as_secs_f64());
    let repaired = async || {
        let is_resolved = newest().await?.is_some_and(|it| it.state().status() == DriftStatus::Resolved);
        Ok(is_resolved && stage.ready(stage.dev(), WEB).await? == REPLICAS)
    };
    let after = stage.wait("the drift was not repaired", repaired).await?;
    println!("   repaired by a deployment, {:.1}s later", after.as_secs_f64());
    drift.stop_watching(stage.scope(), stage.dev(), "the act is over").await?;
    let counted = load.counted().since(before);
    Ok(Told {
        act: "drift repaired".to_owned(),
        took: begun.elapsed(),
        counted,
        verdict: format!("{} and resolved by a deployment", DriftKind::ReplicaMismatch),
        held: counted.failed == 0,
    })
}

/// Writes down what runs, as what should run.
async fn desire_what_runs(stage: &Stage) -> Result<(), Failure> {
    let manifest = manifest_of(4, "rolling-health-gated: {}");
    let newest = stage.runtime().configuration().newest(stage.scope(), stage.dev()).await?;
    let configuration = newest.map(|newest| format!("configuration: {}\n", newest.id())).unwrap_or_default();
    let folder = stage.desired().join("shop");
    std::fs::create_dir_all(&folder)?;
    // Whole, so that nobody reads half of it.
    std::fs::write(folder.join("web.yaml.new"), format!("{configuration}{manifest}"))?;
    std::fs::rename(folder.join("web.yaml.new"), folder.join("web.yaml"))?;
    Ok(())
}

/// As a tool does that knows nothing of leases.
async fn take_a_replica_away(stage: &Stage) -> Result<(), Failure> {
    let seen = stage.observe(stage.dev(), WEB).await?;
    let serving = seen.traffic.as_ref().and_then(|traffic| traffic.revisions().into_iter().next().cloned());
    let serving = serving.ok_or("nothing serves")?;
    let nobodys = DeploymentId::from_uuid(stage.runtime().host().ports().ids.next());
    for token in 1_u32.. {
        let context =
            EffectContext { effect: EffectId::of(nobodys, token), fence: FencingToken(token.into()) };
        match stage.surface().scale(context, &seen.key, &serving, REPLICAS - 1).await {
            Err(error) if error.kind() == PortErrorKind::Fenced => {}
            done => return Ok(done?),
        }
    }
    Ok(())
}
