//! The adapters that come with the library, each a crate of its own, for hosts that put theirs together by [`Runtime::builder`](crate::Runtime::builder).

pub use runtime_system as system;

#[cfg(feature = "embedded")]
pub use runtime_artifact_directory as artifact_directory;
#[cfg(feature = "embedded")]
pub use runtime_desired_state_directory as desired_state_directory;
#[cfg(feature = "embedded")]
pub use runtime_directory as directory;
#[cfg(feature = "embedded")]
pub use runtime_http_prober as http_prober;
#[cfg(feature = "embedded")]
pub use runtime_local_vault as local_vault;
#[cfg(feature = "embedded")]
pub use runtime_memory as memory;
#[cfg(feature = "embedded")]
pub use runtime_oci_layout as oci_layout;
#[cfg(feature = "oidc")]
pub use runtime_oidc as oidc;
#[cfg(feature = "postgres")]
pub use runtime_postgres as postgres;
#[cfg(feature = "embedded")]
pub use runtime_process as process;
#[cfg(feature = "embedded")]
pub use runtime_sqlite as sqlite;
#[cfg(feature = "telemetry")]
pub use runtime_telemetry as telemetry;
