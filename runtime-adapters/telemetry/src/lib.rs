//! Telemetry: traces, metrics and logs by OTLP over HTTP, metrics in Prometheus' text format.
//!
//! ```text
//!   `tracing` spans, events ──► layer ──► two bounded queues ─┐
//!                                                             ├──► Exporter::run ──► POST /v1/traces, /v1/logs, /v1/metrics
//!   measurements ──► InProcessMeter ──────────────────────────┘
//!                          └──► prometheus(…) ──► a metrics endpoint
//! ```
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use runtime_ports::clock::{Clock, IdGenerator};
//! # async fn host(clock: Arc<dyn Clock>, ids: Arc<dyn IdGenerator>) -> Result<(), Box<dyn std::error::Error>> {
//! use runtime_telemetry::{Otlp, OtlpOptions};
//! use tracing_subscriber::layer::SubscriberExt as _;
//! use tracing_subscriber::util::SubscriberInitExt as _;
//!
//! let otlp = Otlp::new(OtlpOptions::to("http://127.0.0.1:4318", "deployments"), clock, ids)?;
//! tracing_subscriber::registry().with(otlp.layer()).init();
//! // Give `otlp.telemetry()` to the host.
//! otlp.run(std::future::pending()).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//! - **Never in the host's way**: nothing that the host does waits for an export, nor fails for one. What there is no room for is dropped, and
//!   counted in `factory.telemetry.dropped`.
//! - **One trace over hosts**: what [`TraceContext::follow`](runtime_ports::telemetry::TraceContext::follow) is told is what is exported. A trace
//!   that began elsewhere is sampled as it was there; one that begins here by its identifier, so that all hosts come to the same.
//! - **Nothing personal, no secret**: fields that hold actors or people's words are not exported ([`WITHHELD`]); texts are cut at
//!   1,024 bytes. Only what the library itself tells is exported, and what the host adds by name.
//! - **A pass that changes nothing is not exported**, unless it failed or [`OtlpOptions::idle_passes`] asks for it.
//!
//! # Assumptions
//! The subscriber is built upon [`tracing_subscriber::Registry`], and has one such layer. [`Otlp::run`] is polled on a Tokio runtime.

mod exporter;
mod layer;
mod message;
mod options;
mod prometheus;
mod queue;
mod trace;

pub use exporter::Otlp;
pub use layer::WITHHELD;
pub use options::{OtlpError, OtlpOptions};
pub use prometheus::{name as prometheus_name, prometheus};
