//! A tenant moves from a pool into a silo of its own, under its clients' feet.

use std::time::Instant;

use factory_runtime::domain::tenancy::{BindingStatus, PartitionAssignment};
use factory_runtime::manifest;
use factory_runtime::prelude::*;
use factory_runtime::services::tenancy::NewBinding;

use crate::Failure;
use crate::acts::rollouts::deploy;
use crate::load::Load;
use crate::stage::{Stage, WEB};
use crate::story::Told;

const RELEASE: &str = "release: pooled
strategy: { rolling-health-gated: {} }
components:
  web:
    image: demo/web:4.0.0
    version: 4.0.0
    readiness: { path: /ready, period: 250ms }
    resources: { cpu_millicores: 100, memory_bytes: 104857600, storage_bytes: 104857600, requests_per_second: 100 }
";

/// Moves it, while its clients go on.
pub async fn move_out(stage: &Stage) -> Result<Told, Failure> {
    println!("\na tenant moves from a pool to a silo of its own");
    let pool = stage.provision("quickstart-pool", EnvironmentStage::Dev, IsolationModel::Pool).await?;
    let silo = stage.provision("quickstart-silo", EnvironmentStage::Dev, IsolationModel::Silo).await?;
    let tenancy = stage.runtime().tenancy();
    let isolation_model = IsolationModel::Pool;
    let wanted = NewBinding {
        environment: pool,
        isolation_model,
        quota: ResourceQuota::new(500, 500 << 20, 500 << 20, 500)?,
        partitions: PartitionAssignment::derived(stage.scope().tenant(), pool, isolation_model),
    };
    let binding = tenancy.bind(stage.scope(), wanted).await?.aggregate.id();
    deploy(stage, pool, &manifest::parse(RELEASE)?).await?;
    let endpoint = stage.endpoint(pool, WEB).await?;
    println!("   its clients know {endpoint}");
    let (begun, load) = (Instant::now(), Load::begin(&endpoint, 60));
    tenancy.move_to_silo(stage.scope(), binding, silo, Span::from_secs(1)).await?;
    let moved = async || {
        let binding = tenancy.tenant_binding(stage.scope(), binding).await?;
        Ok(binding.state().status() == BindingStatus::Released)
    };
    let after = stage.wait("the tenant was not moved", moved).await?;
    println!("   moved after {:.1}s; the same address is answered from the silo", after.as_secs_f64());
    let (left, there) = (stage.ready(pool, WEB).await?, stage.ready(silo, WEB).await?);
    let counted = load.end().await;
    Ok(Told {
        act: "a tenant moved to its silo".to_owned(),
        took: begun.elapsed(),
        counted,
        verdict: "answered by the silo, at the address that it had".to_owned(),
        held: counted.failed == 0 && left == 0 && there == 1,
    })
}
