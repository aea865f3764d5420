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
//! | the store for many hosts (feature `postgres`) | `postgres` |

pub use runtime_domain as domain;
pub use runtime_ports as ports;
#[cfg(feature = "postgres")]
pub use runtime_postgres as postgres;
pub use runtime_services as services;

#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "manifest")]
pub mod manifest;
mod runtime;

pub use runtime::{BuildError, Runtime, RuntimeBuilder};
pub use runtime_services::{Liveness, Readiness};

/// What most hosts need.
pub mod prelude {
    pub use crate::runtime::{Runtime, RuntimeBuilder};
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
    pub use runtime_services::{CommandError, HostOptions};
}

/// The README's code is compiled with the tests.
#[cfg(all(doctest, feature = "embedded", feature = "manifest"))]
#[doc = include_str!("../README.md")]
struct Readme;
