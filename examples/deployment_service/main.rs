//! One context alone on PostgreSQL, as a platform service links it: this host takes requests for deployments and carries them out. Environments,
//! configuration and all else are other hosts' on the same database; asked for them, this one refuses.
//!
//! ```text
//! export DATABASE_URL=postgres://host@localhost/factory       the login of hosts, which owns nothing
//! export OWNER_URL=postgres://owner@localhost/factory         the schema's owner, for `prepare` only
//! alias service='cargo run --example deployment_service --'
//!
//! service prepare dev      what others do: migrates, packs an image, provisions `dev` as the environment service would; prints env_…
//! service                  serves until Ctrl-C or SIGTERM, then drains
//! curl --data-binary @examples/deployment_service/release.yaml 'http://127.0.0.1:8080/runtime/deployments?environmentId=env_…'
//! curl http://127.0.0.1:8080/runtime/deployments/dep_…
//! curl http://127.0.0.1:8080/ready
//! ```
//!
//! Every setting is a variable or an option; `--help` lists them. The few routes here show the linking; whoever serves the whole API mounts
//! the library's own HTTP adapter, and makes scopes from verified credentials. This example trusts whoever can reach it, so it listens on
//! loopback addresses only.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to the person who runs it")]

mod prepare;
#[path = "../shared/process.rs"]
mod process;
mod routes;
#[path = "../shared/workload.rs"]
mod workload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use factory_runtime::adapters::http_prober::{AllowList, HttpProber};
use factory_runtime::adapters::oci_layout::OciLayout;
use factory_runtime::adapters::postgres::{PostgresOptions, PostgresStore};
use factory_runtime::adapters::process::{ProcessSurface, ProcessSurfaceOptions};
use factory_runtime::adapters::system::{SystemClock, UuidV7Generator};
use factory_runtime::prelude::*;

use process::{in_words, told_to_stop};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Deploys: one context of Factory Runtime on PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "deployment_service")]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Serves where nothing else is said.
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, clap::Args)]
struct Settings {
    /// The database, with the login of hosts: postgres://login@host:port/database.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, default_value = "", global = true)]
    database_url: String,
    /// Where images, workloads' files and logs are kept on this machine.
    #[arg(long, env = "SERVICE_FOLDER", default_value = "deployment-service", global = true)]
    folder: PathBuf,
    /// A loopback address to serve on; port 0 takes a free one, which is printed.
    #[arg(long, env = "SERVICE_LISTEN", default_value = "127.0.0.1:8080", global = true)]
    listen: SocketAddr,
    /// The tenant that is served.
    #[arg(
        long,
        env = "SERVICE_TENANT",
        default_value = "ten_00000000000000000000000000000001",
        global = true
    )]
    tenant: TenantId,
    /// How long work in flight may take to end, in seconds; then it is handed back.
    #[arg(long, env = "SERVICE_DRAIN_SECONDS", default_value_t = 10, global = true)]
    drain_seconds: u32,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Takes requests and carries them out, until Ctrl-C or SIGTERM.
    Serve,
    /// Does what others do: migrates the schema, packs an image, provisions an environment, whose identifier it prints.
    Prepare {
        /// The environment's name.
        environment: String,
        /// The database, with the login that owns the schema.
        #[arg(long, env = "OWNER_URL", hide_env_values = true)]
        owner_url: String,
        /// The login that DATABASE_URL names.
        #[arg(long, env = "HOST_LOGIN", default_value = "host")]
        login: String,
    },
    /// Serves as the demo workload: what the packed image does.
    #[command(hide = true)]
    Workload,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { settings, task } = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let outcome = match task.unwrap_or(Task::Serve) {
        Task::Serve => serve(settings).await,
        Task::Prepare { environment, owner_url, login } => {
            prepare::prepare(settings, &environment, &owner_url, &login).await
        }
        Task::Workload => workload::serve().await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", in_words(&*error));
            ExitCode::FAILURE
        }
    }
}

impl Settings {
    async fn store(&self) -> Result<PostgresStore, Failure> {
        if self.database_url.is_empty() {
            return Err("no database is named: set DATABASE_URL, or say --database-url".into());
        }
        Ok(PostgresStore::open(PostgresOptions::new(&self.database_url)?).await?)
    }

    fn registry(&self) -> Result<OciLayout, Failure> {
        std::fs::create_dir_all(&self.folder)?;
        Ok(OciLayout::create(self.folder.join("images"))?)
    }
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    if !settings.listen.ip().is_loopback() {
        return Err(
            format!("{} is no loopback address, and nobody is authenticated here", settings.listen).into()
        );
    }
    let store = settings.store().await?;
    let registry = Arc::new(settings.registry()?);
    let prober = Arc::new(HttpProber::new(AllowList::builder().allow_loopback().build()));
    let (clock, ids) = (Arc::new(SystemClock::new()), Arc::new(UuidV7Generator::new()));
    let workloads = settings.folder.join("workloads");
    let surface = ProcessSurfaceOptions::new(workloads, registry.clone(), prober.clone(), clock, ids);
    let surface = Arc::new(ProcessSurface::open(surface).await?);
    let mut options = HostOptions::default();
    options.source = "/deployment-service".to_owned();
    options.drain = Span::from_secs(settings.drain_seconds.into());
    // What only other contexts need is left out. There is no infrastructure engine, and there are no vaults.
    let runtime = Runtime::builder()
        .contexts([Context::Deployment])
        .store(Arc::new(store.clone()))
        .surface(surface.clone())
        .registry(registry)
        .prober(prober)
        .metrics(surface.clone())
        .jobs(surface.clone())
        .options(options)
        .build()?;

    let running = runtime.start();
    let listener = tokio::net::TcpListener::bind(settings.listen).await?;
    println!("serving on http://{}", listener.local_addr()?);
    routes::serve(&runtime, settings.tenant, listener, told_to_stop()?).await?;
    println!("stopping: what is in flight ends or is handed back, workloads go on");
    running.stop().await;
    surface.shutdown().await;
    store.close().await;
    Ok(())
}
