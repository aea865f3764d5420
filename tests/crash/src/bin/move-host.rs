//! The host that is killed while it moves a tenant into a silo of its own.
//!
//! ```text
//! move-host FOLDER TENANT WORKLOAD
//! ```
//!
//! It brings one release to serve in a pool, begins the tenant's move, and tells each stage that the move comes to by a line of JSON, and
//! its end by one that says what is left where. Everything may be done again after it was killed. It goes when its input ends.

#![allow(clippy::print_stdout, reason = "the test reads what it prints")]

use std::path::Path;
use std::time::{Duration, Instant};

use factory_runtime::domain::surface::{ComponentKey, ComponentObservation};
use factory_runtime::domain::tenancy::{BindingStatus, PartitionAssignment, RuntimeTenantBinding};
use factory_runtime::embedded::{Embedded, EmbeddedOptions};
use factory_runtime::manifest;
use factory_runtime::ports::handover::EndpointHandover as _;
use factory_runtime::ports::registry::ImageRegistry as _;
use factory_runtime::ports::store::{Query, Repository};
use factory_runtime::ports::surface::ComputeSurface as _;
use factory_runtime::prelude::*;
use factory_runtime::services::tenancy::NewBinding;
use runtime_oci_layout::ImageSource;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const BEAT: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(30);
const RELEASE: &str = "release: one
strategy: { rolling-health-gated: {} }
components:
  web:
    image: demo/web:good
    version: 1.0.0
    replicas: 2
    variables: { VERSION: \"1\" }
    readiness: { path: /ready, period: 50ms }
    termination_grace: 300ms
";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, tenant, workload] = arguments.as_slice() else {
        return Err("usage: move-host FOLDER TENANT WORKLOAD".into());
    };
    let mut options = HostOptions::default();
    options.lease = Span::from_secs(1);
    options.poll = Span::from_millis(50);
    options.idle = Span::from_millis(100);
    let embedded = Embedded::open_with(EmbeddedOptions::new(folder).host(options)).await?;
    let runtime = embedded.runtime().clone();
    let correlation = runtime.host().new_correlation();
    let scope = TenantScope::authenticated(tenant.parse()?, Actor::new("crash-test")?, correlation);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (runtime, stopped) = (runtime.clone(), stop.clone().cancelled_owned());
        async move { runtime.run(stopped).await }
    });
    let house = House { embedded, scope };
    house.pack(Path::new(workload)).await?;
    let pool = house.environment("pool", IsolationModel::Pool).await?;
    let silo = house.environment("silo", IsolationModel::Silo).await?;
    house.play(pool, silo).await?;
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    house.embedded.surface().destroy_all().await?;
    stop.cancel();
    running.await?;
    house.embedded.close().await;
    Ok(())
}

struct House {
    embedded: Embedded,
    scope: TenantScope,
}

impl House {
    fn runtime(&self) -> &Runtime {
        self.embedded.runtime()
    }

    async fn pack(&self, workload: &Path) -> Result<(), Failure> {
        let reference = ImageReference::new("demo/web:good")?;
        if self.embedded.registry().resolve(&reference).await.is_err() {
            let image = ImageSource::new(reference, ["/workload"]).executable("/workload", workload);
            self.embedded.registry().pack(&image.variable("BROKEN", "no")).await?;
        }
        Ok(())
    }

    async fn environment(
        &self,
        name: &str,
        isolation_model: IsolationModel,
    ) -> Result<EnvironmentId, Failure> {
        let wanted = NewEnvironment {
            project_id: "prj_00000000000000000000000000000001".parse()?,
            name: Name::new(name)?,
            stage: EnvironmentStage::Dev,
            region: Name::new("local")?,
            isolation_model,
            surfaces: [SurfaceKind::Process].into(),
            egress_allow_list: [].into(),
            capacity: ResourceQuota::LARGEST,
        };
        let environments = self.runtime().environments();
        let id = environments.provision(&self.scope, wanted).await?.aggregate.id();
        let begun = Instant::now();
        while environments.environment(&self.scope, id).await?.provisioning_status().name() != "Provisioned" {
            patient(begun, "provisioned")?;
            tokio::time::sleep(BEAT).await;
        }
        Ok(id)
    }

    async fn place(&self, pool: EnvironmentId) -> Result<RuntimeTenantBinding, Failure> {
        let store = self.runtime().host().ports().store.for_tenant(&self.scope);
        let kind = factory_runtime::domain::id::AggregateKind::RuntimeTenantBinding;
        let all = Repository::<RuntimeTenantBinding>::new(&*store).every(Query::all(kind)).await?;
        if let Some(known) = all.into_iter().find(|it| it.aggregate.environment_id() == pool) {
            return Ok(known.aggregate);
        }
        let isolation_model = IsolationModel::Pool;
        let partitions = PartitionAssignment::derived(self.scope.tenant(), pool, isolation_model);
        let quota = ResourceQuota::new(1_000, 1 << 30, 1 << 30, 1_000)?;
        let wanted = NewBinding { environment: pool, isolation_model, quota, partitions };
        Ok(self.runtime().tenancy().bind(&self.scope, wanted).await?.aggregate)
    }

    /// Brings the release to serve, moves the tenant, and tells how that goes.
    async fn play(&self, pool: EnvironmentId, silo: EnvironmentId) -> Result<(), Failure> {
        let (deployments, tenancy) = (self.runtime().deployments(), self.runtime().tenancy());
        let begun = Instant::now();
        let mut told = None;
        loop {
            let place = self.place(pool).await?;
            match place.state().status() {
                BindingStatus::Released => break,
                BindingStatus::Bound => {
                    let release = deployments.resolve(&manifest::parse(RELEASE)?).await?;
                    let serves = deployments.request(&self.scope, pool, release).await?.aggregate;
                    if serves.status() == DeploymentStatus::Completed {
                        tenancy.move_to_silo(&self.scope, place.id(), silo, Span::from_millis(400)).await?;
                    }
                }
                _ => {}
            }
            let stage = place.relocation().map(|relocation| format!("{:?}", relocation.stage));
            if stage.is_some() && stage != told {
                println!("{}", json!({ "stage": stage }));
                told = stage;
            }
            patient(begun, "moved")?;
            tokio::time::sleep(BEAT).await;
        }
        let (left, come) = (self.observe(pool).await?, self.observe(silo).await?);
        let key = |environment| self.key(environment);
        let answering = self.embedded.surface().answered_by(&key(pool)?).await?;
        let count = |seen: &ComponentObservation| -> usize {
            seen.revisions.values().map(|revision| revision.instances.len()).sum()
        };
        println!(
            "{}",
            json!({
                "moved": answering == Some(key(silo)?),
                "left": count(&left),
                "come": count(&come),
                "endpoint": left.endpoint,
            })
        );
        Ok(())
    }

    fn key(&self, environment: EnvironmentId) -> Result<ComponentKey, Failure> {
        Ok(ComponentKey { tenant: self.scope.tenant(), environment, module: Name::new("web")? })
    }

    async fn observe(&self, environment: EnvironmentId) -> Result<ComponentObservation, Failure> {
        Ok(self.embedded.surface().observe(&self.key(environment)?).await?)
    }
}

fn patient(begun: Instant, what: &str) -> Result<(), Failure> {
    if begun.elapsed() > PATIENCE {
        return Err(format!("it was not {what} in time").into());
    }
    Ok(())
}
