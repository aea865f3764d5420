//! What a tenant may use, and which partitions are its own.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::value::{Name, TextError};

/// How much a tenant may use of an environment: exact whole units, so that sums never round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "QuotaUnits", into = "QuotaUnits")]
pub struct ResourceQuota {
    units: QuotaUnits,
}

/// The stored form of a quota, before it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct QuotaUnits {
    cpu_millicores: u64,
    memory_bytes: u64,
    storage_bytes: u64,
    requests_per_second: u64,
}

/// Why numbers are not a quota.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a quota of {field} = {value} cannot be kept: write a whole number from {least} to {most}")]
pub struct QuotaError {
    field: &'static str,
    value: u64,
    least: u64,
    most: u64,
}

impl ResourceQuota {
    /// The most of any unit. Sums of a million such quotas are still exact.
    pub const MOST: u64 = 1 << 43;

    /// A quota of compute in thousandths of a core and bytes of memory, storage in bytes, and throughput in requests per second.
    ///
    /// # Errors
    /// No compute, memory or throughput at all, which nothing can run with; or more than [`ResourceQuota::MOST`] of anything but bytes.
    pub fn new(
        cpu_millicores: u64,
        memory_bytes: u64,
        storage_bytes: u64,
        requests_per_second: u64,
    ) -> Result<Self, QuotaError> {
        let within = |field, value, least, most| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(QuotaError { field, value, least, most })
            }
        };
        let most_bytes = Self::MOST * 1_024;
        within("cpu_millicores", cpu_millicores, 1, Self::MOST)?;
        within("memory_bytes", memory_bytes, 1, most_bytes)?;
        within("storage_bytes", storage_bytes, 0, most_bytes)?;
        within("requests_per_second", requests_per_second, 1, Self::MOST)?;
        Ok(Self { units: QuotaUnits { cpu_millicores, memory_bytes, storage_bytes, requests_per_second } })
    }

    /// Compute, in thousandths of a core.
    pub const fn cpu_millicores(self) -> u64 {
        self.units.cpu_millicores
    }

    /// Memory, in bytes.
    pub const fn memory_bytes(self) -> u64 {
        self.units.memory_bytes
    }

    /// Storage, in bytes.
    pub const fn storage_bytes(self) -> u64 {
        self.units.storage_bytes
    }

    /// Throughput, in requests per second.
    pub const fn requests_per_second(self) -> u64 {
        self.units.requests_per_second
    }
}

impl TryFrom<QuotaUnits> for ResourceQuota {
    type Error = QuotaError;
    fn try_from(units: QuotaUnits) -> Result<Self, Self::Error> {
        Self::new(units.cpu_millicores, units.memory_bytes, units.storage_bytes, units.requests_per_second)
    }
}
impl From<ResourceQuota> for QuotaUnits {
    fn from(quota: ResourceQuota) -> Self {
        quota.units
    }
}

/// A quota that was allocated to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaAllocation {
    /// How much.
    pub quota: ResourceQuota,
    /// Since when.
    pub allocated_at: Timestamp,
}

/// Names a partition of an environment: a namespace, a network segment, a schema or a key prefix. A [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PartitionKey(Name);

impl PartitionKey {
    /// Parses a key.
    ///
    /// # Errors
    /// Not a [`Name`].
    pub fn new(text: &str) -> Result<Self, TextError> {
        Name::new(text).map(Self)
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}
impl FromStr for PartitionKey {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}
impl From<PartitionKey> for String {
    fn from(key: PartitionKey) -> Self {
        key.0.into()
    }
}
impl fmt::Display for PartitionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The partitions that a tenant is assigned.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PartitionAssignment {
    /// Where its workloads run and reach each other.
    pub network: PartitionKey,
    /// Where its data lies.
    pub data: PartitionKey,
}
