//! A host that shares a database and a world with others, until its input ends or it is killed.
//!
//! ```text
//! sharing-host ADDRESS SOCKET NAME LEASE
//! ```
//!
//! The lease is in milliseconds. Its first line of output is its identifier, as leases in the database name it.

#![allow(clippy::print_stdout, reason = "the test reads what it prints")]

use std::sync::Arc;

use factory_runtime_hosts::{WorldSurface, ports};
use runtime_domain::time::Span;
use runtime_postgres::{PostgresOptions, PostgresStore};
use runtime_services::{Host, HostOptions, Services};
use tokio::io::{AsyncReadExt as _, stdin};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, socket, name, lease] = arguments.as_slice() else {
        return Err("usage: sharing-host ADDRESS SOCKET NAME LEASE".into());
    };
    let store = Arc::new(PostgresStore::open(PostgresOptions::new(address)?).await?);
    let mut options = HostOptions::default();
    options.lease = Span::from_millis(lease.parse()?);
    options.poll = Span::from_millis(50);
    options.inventory_poll = options.lease;
    let host = Host::new(ports(store, WorldSurface::new(socket, name)), options);
    println!("{}", host.id().uuid());
    let services = Services::new(host, Vec::new())?;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { services.run(stop).await }
    });
    let _ = stdin().read_to_end(&mut Vec::new()).await;
    stop.cancel();
    running.await?;
    Ok(())
}
