//! Verifies the audit trail of a tenant in the folder of an embedded runtime that is not running.
//!
//! ```text
//! cargo run --example audit -- FOLDER TENANT                      is the trail as it was written?
//! cargo run --example audit -- FOLDER TENANT --attest FILE        … and keep its end in a file, to be stored elsewhere
//! cargo run --example audit -- FOLDER TENANT --against FILE       … and does it go through what was kept?
//! ```
//!
//! It exits with 0 where the trail is sound, and with 1 where it is not, saying what does not fit. A host that runs does the same with
//! `Runtime::audit`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to the person who runs it")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use factory_runtime::embedded::Embedded;
use factory_runtime::prelude::*;
use factory_runtime::services::audit::Attestation;

/// Verifies who changed what.
#[derive(Debug, Parser)]
#[command(name = "audit")]
struct Arguments {
    /// The runtime's folder.
    folder: PathBuf,
    /// The tenant, as it is displayed.
    tenant: TenantId,
    /// Write the end of every history to this file.
    #[arg(long, value_name = "FILE")]
    attest: Option<PathBuf>,
    /// Verify against the ends in this file.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { folder, tenant, attest, against }: Arguments) -> Result<bool, Failure> {
    if !folder.join("store.db").is_file() {
        return Err(format!("{} is not the folder of an embedded runtime", folder.display()).into());
    }
    let attested: Option<Attestation> = match against {
        Some(file) => Some(std::fs::read_to_string(file)?.parse()?),
        None => None,
    };
    let embedded = Embedded::open(&folder).await?;
    let runtime = embedded.runtime();
    let scope = TenantScope::authenticated(tenant, Actor::new("auditor")?, runtime.host().new_correlation());
    let report = runtime.audit().verify(&scope, attested.as_ref()).await;
    embedded.close().await;
    let report = report?;
    for fault in &report.faults {
        println!("{fault}");
    }
    if let Some(file) = attest {
        std::fs::write(file, report.attestation.to_string())?;
    }
    let (entries, histories) = (report.entries, report.attestation.heads().count());
    println!(
        "{entries} entries of {histories} histories: {}",
        if report.is_sound() { "as they were written" } else { "not as they were written" }
    );
    Ok(report.is_sound())
}
