//! The host that the crash test kills: it brings one release to its end, says how it ended, and then does as it is told.
//!
//! ```text
//! crash-host FOLDER TENANT WORKLOAD MANIFEST
//! ```
//!
//! Everything it does may be done again after it was killed. It writes a line of JSON for each event of the deployment, one for how it
//! ended, and one for each command that it reads: `request MANIFEST`, `release-quarantine`, `decommission`. It goes when its input ends,
//! and leaves the workloads.

#![allow(clippy::print_stdout, reason = "the test reads what it prints")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use factory_runtime::domain::aggregate::Aggregate as _;
use factory_runtime::domain::deployment::DeploymentEvent;
use factory_runtime::domain::refusal::Rule;
use factory_runtime::domain::surface::{ComponentKey, ComponentObservation, EffectId};
use factory_runtime::embedded::{Embedded, EmbeddedOptions};
use factory_runtime::manifest;
use factory_runtime::ports::registry::ImageRegistry as _;
use factory_runtime::ports::store::{HistoryEntry, Query};
use factory_runtime::ports::surface::ComputeSurface as _;
use factory_runtime::prelude::*;
use runtime_oci_layout::ImageSource;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const MODULE: &str = "web";
/// How often the world is looked at.
const BEAT: Duration = Duration::from_millis(5);
/// How long anything may take outside a rollout.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, tenant, workload, manifest] = arguments.as_slice() else {
        return Err("usage: crash-host FOLDER TENANT WORKLOAD MANIFEST".into());
    };
    let mut options = HostOptions::default();
    // What a killed host held is free again after this time.
    options.lease = Span::from_secs(1);
    options.poll = Span::from_millis(50);
    let embedded = Embedded::open_with(EmbeddedOptions::new(folder).host(options)).await?;
    let runtime = embedded.runtime().clone();
    let scope = TenantScope::authenticated(
        tenant.parse()?,
        Actor::new("crash-test")?,
        runtime.host().new_correlation(),
    );
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (runtime, stopped) = (runtime.clone(), stop.clone().cancelled_owned());
        async move { runtime.run(stopped).await }
    });
    let house = House::open(embedded, scope, Path::new(workload)).await?;
    let id = house.begin(manifest).await?;
    house.follow(id).await?;
    println!("{}", house.report(id).await?);
    house.obey(id).await?;
    stop.cancel();
    running.await?;
    house.embedded.close().await;
    Ok(())
}

/// The environment, provisioned.
struct House {
    embedded: Embedded,
    scope: TenantScope,
    environment: EnvironmentId,
}

impl House {
    async fn open(embedded: Embedded, scope: TenantScope, workload: &Path) -> Result<Self, Failure> {
        pack(&embedded, workload, "good").await?;
        pack(&embedded, workload, "broken").await?;
        let wanted = NewEnvironment {
            project_id: "prj_00000000000000000000000000000001".parse()?,
            name: Name::new("crash")?,
            stage: EnvironmentStage::Dev,
            region: Name::new("local")?,
            isolation_model: IsolationModel::Silo,
            surfaces: [SurfaceKind::Process].into(),
            egress_allow_list: [].into(),
            capacity: ResourceQuota::LARGEST,
        };
        let environments = embedded.runtime().environments();
        let environment = environments.provision(&scope, wanted).await?.aggregate.id();
        let begun = Instant::now();
        while let Err(refusal) = environments.admit(&scope, environment).await {
            if begun.elapsed() > PATIENCE {
                return Err(format!("the environment was not provisioned in time: {refusal}").into());
            }
            tokio::time::sleep(BEAT).await;
        }
        Ok(Self { embedded, scope, environment })
    }

    fn runtime(&self) -> &Runtime {
        self.embedded.runtime()
    }

    async fn request(&self, file: &str) -> Result<Result<RuntimeDeployment, Rule>, Failure> {
        let manifest = manifest::parse(&std::fs::read_to_string(file)?)?;
        let deployments = self.runtime().deployments();
        let release = deployments.resolve(&manifest).await?;
        match deployments.request(&self.scope, self.environment, release).await {
            Ok(done) => Ok(Ok(done.aggregate)),
            Err(error) => match error.rule() {
                Some(rule) => Ok(Err(rule)),
                None => Err(error.into()),
            },
        }
    }

    /// The deployment of this manifest: the one in flight or serving, or the one that went back already, whose image is in quarantine.
    async fn begin(&self, file: &str) -> Result<DeploymentId, Failure> {
        match self.request(file).await? {
            Ok(deployment) => Ok(deployment.id()),
            Err(Rule::Quarantine) => {
                let manifest = manifest::parse(&std::fs::read_to_string(file)?)?;
                let query = Query::all(RuntimeDeployment::KIND).in_environment(self.environment);
                let page = self.runtime().deployments().deployments(&self.scope, query).await?;
                let mut known = page.items.into_iter().map(|loaded| loaded.aggregate);
                let same = known.find(|deployment| deployment.release().reference == manifest.release);
                Ok(same.ok_or("the image is in quarantine because of another release")?.id())
            }
            Err(rule) => Err(format!("the release was refused by {}", rule.number()).into()),
        }
    }

    /// Tells every event, until the deployment has ended or waits for people.
    async fn follow(&self, id: DeploymentId) -> Result<(), Failure> {
        let deployments = self.runtime().deployments();
        let mut told = 0;
        loop {
            let deployment = deployments.deployment(&self.scope, id).await?;
            for entry in deployments.history(&self.scope, id, told, 1_000).await? {
                told = entry.sequence;
                println!("{}", json!({ "event": entry.event, "why": entry.explanation }));
            }
            if deployment.status().is_final() || deployment.status() == DeploymentStatus::Paused {
                return Ok(());
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    async fn observe(&self) -> Result<ComponentObservation, Failure> {
        let tenant = self.scope.tenant();
        let key = ComponentKey { tenant, environment: self.environment, module: Name::new(MODULE)? };
        Ok(self.embedded.surface().observe(&key).await?)
    }

    /// How it ended, what serves, and whether the history tells the same.
    async fn report(&self, id: DeploymentId) -> Result<Value, Failure> {
        let deployments = self.runtime().deployments();
        let deployment = deployments.deployment(&self.scope, id).await?;
        let serving = deployments.serving_version(&self.scope, self.environment, &Name::new(MODULE)?).await?;
        let history = self.history(id).await?;
        let events = history.iter().map(|(event, entry)| (event, entry.at));
        let replayed = RuntimeDeployment::evolve_all(None, events)?;
        let seen = self.observe().await?;
        let revisions: BTreeMap<String, u16> =
            seen.revisions.iter().map(|(revision, seen)| (revision.to_string(), seen.ready())).collect();
        Ok(json!({
            "ended": deployment.status().name(),
            "serving": serving.map(|version| version.revision().to_string()),
            "endpoint": seen.endpoint,
            "revisions": revisions,
            "is_replayed": replayed.as_ref() == Some(&deployment),
            "is_gapless": history.iter().zip(1..).all(|((_, entry), number)| entry.sequence == number),
            "doubled": doubled(history.iter().map(|(event, _)| event)),
        }))
    }

    async fn history(&self, id: DeploymentId) -> Result<Vec<(DeploymentEvent, HistoryEntry)>, Failure> {
        let mut history = Vec::new();
        loop {
            let after = history.last().map_or(0, |(_, entry): &(_, HistoryEntry)| entry.sequence);
            let page = self.runtime().deployments().history(&self.scope, id, after, 1_000).await?;
            if page.is_empty() {
                return Ok(history);
            }
            for entry in page {
                history.push((serde_json::from_str(&entry.body)?, entry));
            }
        }
    }

    /// Does what it reads until there is nothing more to read.
    async fn obey(&self, id: DeploymentId) -> Result<(), Failure> {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let answer = match line.split_once(' ').unwrap_or((&line, "")) {
                ("request", file) => match self.request(file).await? {
                    Ok(_) => "accepted",
                    Err(rule) => rule.number(),
                },
                ("release-quarantine", _) => {
                    let reason = "the next round needs the image".to_owned();
                    self.runtime().deployments().release_quarantine(&self.scope, id, reason).await?;
                    "released"
                }
                ("decommission", _) => {
                    self.decommission().await?;
                    "decommissioned"
                }
                _ => return Err(format!("`{line}` is not a command").into()),
            };
            println!("{}", json!({ "answer": answer }));
        }
        Ok(())
    }

    async fn decommission(&self) -> Result<(), Failure> {
        let environments = self.runtime().environments();
        environments.decommission(&self.scope, self.environment, "the test has ended".to_owned()).await?;
        let begun = Instant::now();
        let gone = || environments.environment(&self.scope, self.environment);
        while gone().await?.decommissioned_at().is_none() {
            if begun.elapsed() > PATIENCE {
                return Err("the environment was not decommissioned in time".into());
            }
            tokio::time::sleep(BEAT).await;
        }
        Ok(())
    }
}

/// The effects that were performed more than once, or without being intended before.
fn doubled<'e>(events: impl Iterator<Item = &'e DeploymentEvent>) -> Vec<String> {
    let mut is_open: BTreeMap<EffectId, bool> = BTreeMap::new();
    let mut doubled = Vec::new();
    for event in events {
        let (effect, is_intention) = match event {
            DeploymentEvent::EffectIntended { effect, .. } => (*effect, true),
            DeploymentEvent::EffectPerformed { effect } => (*effect, false),
            _ => continue,
        };
        let before = is_open.insert(effect, is_intention);
        let expected = if is_intention { None } else { Some(true) };
        if before != expected {
            doubled.push(format!("{effect} was intended or performed twice, or not in this order"));
        }
    }
    doubled
}

/// Packs the workload as `demo/web:TAG` unless a host did so before.
async fn pack(embedded: &Embedded, workload: &Path, tag: &str) -> Result<(), Failure> {
    let reference = ImageReference::new(&format!("demo/web:{tag}"))?;
    if embedded.registry().resolve(&reference).await.is_ok() {
        return Ok(());
    }
    let image = ImageSource::new(reference, ["/workload"])
        .executable("/workload", workload)
        .variable("BROKEN", if tag == "broken" { "yes" } else { "no" });
    embedded.registry().pack(&image).await?;
    Ok(())
}
