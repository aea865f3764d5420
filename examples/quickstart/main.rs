//! The main job, on one machine, under load: rollouts that move real requests, a bad one that goes back by itself, a promotion with an
//! approval, configuration, a rotated secret, scaling, drift that is repaired, a tenant that moves.
//!
//! ```text
//! cargo run --example quickstart                       the whole story, then everything is removed
//! cargo run --example quickstart -- --fast             … its first acts: rollouts, and a killed replica
//! cargo run --example quickstart -- --keep             … and left running until Ctrl-C
//! cargo run --example quickstart -- --release FILE     deploys a manifest of yours (see examples/quickstart/release.yaml)
//! ```
//!
//! It packs itself as the demo workload, so nothing needs to be installed but Rust. It exits with 0 only if every act ended as it
//! should, no request was lost, and the audit trail is as it was written.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to the person who runs it")]

mod acts;
mod load;
#[path = "../shared/process.rs"]
mod process;
mod progress;
mod stage;
mod story;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use process::{in_words, told_to_stop};

/// Rolls releases out and back on this machine, under load.
#[derive(Debug, Parser)]
#[command(name = "quickstart")]
struct Arguments {
    /// Tell the first acts only: rollouts, one of them bad, and a killed replica.
    #[arg(long)]
    fast: bool,
    /// Leave everything running until Ctrl-C; workloads go on after that, to be adopted by the next run on the same folder.
    #[arg(long)]
    keep: bool,
    /// Deploy this manifest (YAML) instead of the story. The images demo/web:1.0.0 to demo/web:4.0.0 are packed for you; 3.0.0 is broken.
    #[arg(long, value_name = "FILE")]
    release: Option<PathBuf>,
    /// Keep state in this folder; a temporary one where it is not given.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Serve as the demo workload: what the packed images do.
    #[arg(long, hide = true)]
    workload: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let outcome =
        if arguments.workload { workload::serve().await.map(|()| true) } else { run(arguments).await };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", in_words(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let temporary = tempfile::TempDir::with_prefix("factory-runtime-")?;
    let folder = arguments.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    let stage = stage::Stage::open(&folder).await?;
    let held = match &arguments.release {
        Some(file) => story::deploy_manifest(&stage, file).await,
        None => story::tell(&stage, arguments.fast).await,
    };
    if arguments.keep {
        // The folder outlives this process, as the workloads do.
        let folder = if arguments.folder.is_none() { temporary.keep() } else { folder };
        println!("\nstill running, in {}; Ctrl-C ends the host and leaves the workloads", folder.display());
        told_to_stop()?.await;
        stage.leave().await;
    } else {
        let removed = stage.remove().await;
        let held = held?;
        return removed.map(|()| held);
    }
    held
}
