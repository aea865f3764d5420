//! What an instance needs.

use serde::{Deserialize, Serialize};

/// What one instance of a component needs: what its tenant's quota is charged for it, and where its surface can, its limit.
///
/// Compute is in thousandths of a core, memory and storage in bytes, throughput in requests per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InstanceResources {
    /// Compute, in thousandths of a core.
    pub cpu_millicores: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Storage, in bytes; none where it is not said.
    #[serde(default)]
    pub storage_bytes: u64,
    /// Throughput, in requests per second; none where it is not said.
    #[serde(default)]
    pub requests_per_second: u64,
}

impl InstanceResources {
    /// What an instance is taken to need where its component does not say: a tenth of a core and 128 MiB. So nobody gets round a quota by
    /// saying nothing.
    pub const USUAL: Self =
        Self { cpu_millicores: 100, memory_bytes: 128 << 20, storage_bytes: 0, requests_per_second: 0 };
}
