//! **Factory Runtime**: link one crate, choose adapters, and your service can run generated products: isolated environments, rollouts
//! behind health gates that roll back by themselves, a live inventory, and health, with every rule kept by the library.
//!
//! ```no_run
//! # #[cfg(feature = "embedded")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use factory_runtime::embedded::Embedded;
//! use factory_runtime::prelude::*;
//!
//! let embedded = Embedded::open("state").await?;
//! let runtime = embedded.runtime().clone();
//! let scope = TenantScope::authenticated(
//!     TenantId::from_uuid(runtime.host().ports().ids.next()),
//!     Actor::new("ann")?,
//!     runtime.host().new_correlation(),
//! );
//! runtime.run(async { drop(tokio::signal::ctrl_c().await) }).await;
//! # drop(scope);
//! # Ok(())
//! # }
//! ```
//!
//! | to find | look in |
//! |---|---|
//! | the whole on one machine, ready to use | [`embedded`] |
//! | the same with adapters of your choice | [`Runtime::builder`] |
//! | what callers may ask | [`services`] |
//! | what adapters implement | [`ports`] |
//! | aggregates, rules, the rollout machine | [`domain`] |
//! | release manifests in YAML | [`manifest`] |
//! | the adapters, to choose from | [`adapters`] |
//! | the store for many hosts (feature `postgres`) | `postgres` |
//! | OTLP, and a text for a metrics endpoint (feature `telemetry`) | `telemetry` |
//! | the operations over HTTP, with a page for people (feature `http`) | `http`, `api` |
//! | the operations over gRPC (feature `grpc`) | `grpc`, `api` |
//! | who calls, by OIDC tokens or client certificates (feature `oidc`) | `oidc` |

#[cfg(any(feature = "http", feature = "grpc"))]
pub use runtime_api as api;
pub use runtime_domain as domain;
#[cfg(feature = "grpc")]
pub use runtime_grpc as grpc;
#[cfg(feature = "http")]
pub use runtime_http as http;
#[cfg(feature = "oidc")]
pub use runtime_oidc as oidc;
pub use runtime_ports as ports;
#[cfg(feature = "postgres")]
pub use runtime_postgres as postgres;
pub use runtime_services as services;

#[cfg(feature = "telemetry")]
pub use runtime_telemetry as telemetry;

mod absent;
pub mod adapters;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "manifest")]
pub mod manifest;
mod running;
mod runtime;

pub use running::Running;
pub use runtime::{BuildError, Runtime, RuntimeBuilder};
pub use runtime_services::{Context, Liveness, Readiness};

/// What most hosts need.
pub mod prelude {
    #[cfg(feature = "embedded")]
    pub use crate::adapters::oci_layout::ImageSource;
    #[cfg(feature = "embedded")]
    pub use crate::embedded::{Embedded, EmbeddedOptions};
    pub use crate::running::Running;
    pub use crate::runtime::{BuildError, Runtime, RuntimeBuilder};
    pub use runtime_domain::component::ImageReference;
    pub use runtime_domain::deployment::{DeploymentStatus, Release, RuntimeDeployment};
    pub use runtime_domain::environment::{EnvironmentStage, IsolationModel, RuntimeEnvironment};
    pub use runtime_domain::id::{DeploymentId, EnvironmentId, ProjectId, ServiceId, TenantId};
    pub use runtime_domain::refusal::Refusal;
    pub use runtime_domain::scope::{Actor, TenantScope};
    pub use runtime_domain::surface::SurfaceKind;
    pub use runtime_domain::tenancy::ResourceQuota;
    pub use runtime_domain::time::{Span, Timestamp};
    pub use runtime_domain::value::{ModuleId, Name, Region};
    pub use runtime_ports::manifest::ReleaseManifest;
    pub use runtime_services::environments::NewEnvironment;
    pub use runtime_services::{CommandError, Context, Done, HostOptions};
}

/// The code of the README and the guide is compiled with the tests.
#[cfg(all(doctest, feature = "embedded", feature = "manifest", feature = "postgres"))]
mod guide {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/tutorial.md")]
    struct Tutorial;
    #[doc = include_str!("../docs/how-to/deploy.md")]
    struct Deploy;
    #[doc = include_str!("../docs/how-to/configure.md")]
    struct Configure;
    #[doc = include_str!("../docs/how-to/operate.md")]
    struct Operate;
    #[doc = include_str!("../docs/how-to/run.md")]
    struct Run;
    #[doc = include_str!("../docs/how-to/extend.md")]
    struct Extend;
}
