//! A host that people would run: everything in one process on SQLite, with REST, gRPC and the Runtime Centre on one port.
//!
//! ```text
//! alias host='cargo run --example host --'
//!
//! host pack demo/hello:1.0.0      packs this program as a demo workload into the host's registry
//! host secret local://demo/greeting < FILE     puts a secret into its vault
//! host                            serves on http://127.0.0.1:8080 until Ctrl-C or SIGTERM, then drains; a second one ends it at once
//! host --config host.toml         … as a file says; every setting can be said by the environment, too: FACTORY_RUNTIME__LISTEN
//! host schema                     prints the schema of the settings
//! ```
//!
//! Then open `/centre` in a browser, ask `/openapi.json` what there is, or see README.md for the operations by curl. Without issuers in the
//! settings nobody is authenticated: the host says so, listens on loopback only, and everybody on this machine is one tenant's administrator.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to the person who runs it")]

mod access;
mod configuration;
#[path = "../shared/process.rs"]
mod process;
#[path = "../shared/workload.rs"]
mod workload;

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use factory_runtime::adapters::http_prober::AllowList;
use factory_runtime::adapters::local_vault::{LocalVault, LocalVaultOptions};
use factory_runtime::adapters::oci_layout::OciLayout;
use factory_runtime::adapters::system::{SystemClock, UuidV7Generator};
use factory_runtime::api::{AdmissionOptions, Api};
use factory_runtime::domain::secrets::KeyVaultReference;
use factory_runtime::embedded::{DesiredStateDirectory, Embedded, EmbeddedOptions, Tenants};
use factory_runtime::grpc::{GrpcApi, GrpcOptions};
use factory_runtime::http::{ClientCertificates, HttpApi, HttpOptions, Server, ServerOptions, Tls};
use factory_runtime::prelude::*;
use factory_runtime::telemetry::{Otlp, OtlpOptions, prometheus};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use configuration::Configuration;
use process::{in_words, told_to_stop};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs a host of Factory Runtime: REST, gRPC and the Runtime Centre on one port.
#[derive(Debug, Parser)]
#[command(name = "host")]
struct Arguments {
    /// The settings, in TOML. What the environment says goes over it.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Serves where nothing else is said.
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serves until Ctrl-C or SIGTERM.
    Serve,
    /// Packs an executable as an image into the host's registry.
    Pack {
        /// The image's name and tag: demo/hello:1.0.0.
        reference: String,
        /// What it runs, listening on $PORT; this program as a demo workload without it.
        #[arg(long, value_name = "FILE")]
        executable: Option<PathBuf>,
    },
    /// Puts standard input into the vault as a secret's next version, and prints where it lies. The host must not be running.
    Secret {
        /// Where it lies, without a version: local://demo/greeting.
        reference: String,
        /// Who may read it.
        #[arg(long, default_value = "local:demo")]
        identity: String,
    },
    /// Prints the schema of the settings, as JSON Schema.
    Schema,
    /// Serves as the demo workload: what the packed image does.
    #[command(hide = true)]
    Workload,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { config, task } = Arguments::parse();
    let outcome = match task.unwrap_or(Task::Serve) {
        Task::Schema => {
            println!("{:#}", schemars::schema_for!(Configuration).as_value());
            Ok(())
        }
        Task::Workload => workload::serve().await,
        task => match Configuration::read(config.as_deref(), std::env::vars()) {
            Ok(configuration) => match task {
                Task::Pack { reference, executable } => pack(&configuration, &reference, executable).await,
                Task::Secret { reference, identity } => secret(&configuration, &reference, &identity).await,
                _ => serve(configuration).await,
            },
            Err(error) => Err(error.into()),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", in_words(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn pack(
    configuration: &Configuration,
    reference: &str,
    executable: Option<PathBuf>,
) -> Result<(), Failure> {
    std::fs::create_dir_all(&configuration.folder)?;
    let registry = OciLayout::create(configuration.folder.join("images"))?;
    let reference = reference.parse()?;
    let source = match executable {
        Some(executable) => ImageSource::new(reference, ["/program"]).executable("/program", executable),
        None => {
            ImageSource::new(reference, ["/host", "workload"]).executable("/host", std::env::current_exe()?)
        }
    };
    registry.pack(&source).await?;
    Ok(())
}

async fn secret(configuration: &Configuration, reference: &str, identity: &str) -> Result<(), Failure> {
    let mut value = zeroize::Zeroizing::new(Vec::new());
    std::io::stdin().read_to_end(&mut value)?;
    let (tenant, secret) = (access::tenant(configuration)?, reference.parse::<KeyVaultReference>()?);
    std::fs::create_dir_all(&configuration.folder)?;
    let options = LocalVaultOptions::new(configuration.folder.join("vault"), Arc::new(SystemClock::new()));
    let vault = LocalVault::open(options)?;
    let version = vault.put(tenant, &secret, &[identity.parse()?], &value).await?;
    vault.close().await;
    println!("{reference}/{version}");
    Ok(())
}

async fn serve(configuration: Configuration) -> Result<(), Failure> {
    let otlp = match &configuration.otlp_endpoint {
        Some(endpoint) => {
            let (clock, ids) = (Arc::new(SystemClock::new()), Arc::new(UuidV7Generator::new()));
            Some(Otlp::new(OtlpOptions::to(endpoint, "factory-runtime-host"), clock, ids)?)
        }
        None => None,
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::registry()
        .with(otlp.as_ref().map(Otlp::layer))
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter))
        .init();
    if !configuration.listen.ip().is_loopback() && configuration.tls.is_none() && !configuration.plaintext {
        let address = configuration.listen;
        return Err(format!(
            "{address} is beyond loopback: set `tls`, or `plaintext` where TLS ends before this host"
        )
        .into());
    }

    let embedded = Embedded::open_with(options(&configuration, otlp.as_ref()).await?).await?;
    let runtime = embedded.runtime().clone();
    let mut admission = AdmissionOptions::default();
    admission.tenant_rate = configuration.requests_per_second;
    admission.tenant_burst =
        configuration.requests_per_second.saturating_add(configuration.requests_per_second.get());
    let api = Api::new(runtime.services().clone()).admitting(&admission);
    let access = access::of(&configuration).await?;
    let rest = HttpApi::new(api.clone(), access.clone(), HttpOptions::default());
    let grpc = GrpcApi::new(api, access, GrpcOptions::default())?;
    let meter = runtime.host().telemetry().meter.clone();
    let metrics = axum::routing::get(move || std::future::ready(prometheus(&meter.read())));
    let router = grpc.beside(rest.router().clone()).route("/metrics", metrics);

    let listener = tokio::net::TcpListener::bind(configuration.listen).await?;
    let address = listener.local_addr()?;
    let mut bounds = ServerOptions::default();
    bounds.drain_within = Span::from_secs(configuration.drain_seconds.into());
    let mut server = Server::new(listener, &rest, bounds)?.with_router(router);
    if let Some(tls) = &configuration.tls {
        server = server.with_tls(certificate(tls)?);
    }
    let scheme = if configuration.tls.is_some() { "https" } else { "http" };
    if rest.is_insecure() {
        println!(
            "INSECURE: everybody on this machine is let in without credentials; name issuers in the settings to change that"
        );
    }
    println!(
        "serving REST and gRPC on {scheme}://{address}, the Runtime Centre on {scheme}://{address}/centre"
    );

    let told = told_to_stop()?;
    let (exported, exporting) = tokio::sync::oneshot::channel::<()>();
    let export =
        otlp.clone().map(|otlp| tokio::spawn(async move { otlp.run(async { drop(exporting.await) }).await }));
    let running = runtime.start();
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let told = async {
        told.await;
        println!("stopping: what is in flight ends or is handed back, workloads go on");
        // REST's streams are ended by the server.
        grpc.end_streams();
        drop(stopping);
    };
    // Requests and reconcilers drain beside one another, so that both have ended in `drain_seconds`.
    let drained = async {
        drop(stopped.await);
        running.stop().await;
    };
    tokio::join!(server.run(told), drained);
    embedded.close().await;
    drop(exported);
    if let Some(export) = export {
        export.await?;
    }
    Ok(())
}

async fn options(configuration: &Configuration, otlp: Option<&Otlp>) -> Result<EmbeddedOptions, Failure> {
    let mut egress = AllowList::builder().allow_loopback();
    for destination in &configuration.egress {
        egress = match destination.contains('/') {
            true => egress.allow_network(destination)?,
            false => egress.allow_host(destination)?,
        };
    }
    let mut host = HostOptions::default();
    host.drain = Span::from_secs(configuration.drain_seconds.into());
    let options = EmbeddedOptions::new(&configuration.folder).egress(egress.build()).host(host);
    let options = match &configuration.desired_state {
        Some(folder) => {
            options.desired_state(Arc::new(DesiredStateDirectory::open(folder, Tenants::Each).await?))
        }
        None => options,
    };
    Ok(match otlp {
        Some(otlp) => options.telemetry(otlp.telemetry()),
        None => options,
    })
}

fn certificate(tls: &configuration::Tls) -> Result<Tls, Failure> {
    let read = |file: &PathBuf| {
        std::fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))
    };
    let (chain, key) = (read(&tls.certificates)?, read(&tls.key)?);
    let authorities = tls.client_authorities.as_ref().map(read).transpose()?;
    let clients = authorities.as_deref().map_or(ClientCertificates::None, ClientCertificates::Required);
    Ok(Tls::new(&chain, &key, clients)?)
}
