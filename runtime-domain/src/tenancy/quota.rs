//! What a tenant may use, and which partitions are its own.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::environment::IsolationModel;
use crate::id::{EnvironmentId, TenantId};
use crate::time::Timestamp;
use crate::value::{Name, TextError};

/// One of the things that a quota counts. Each is kept by itself: room in one never makes up for want of another (TEN-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuotaUnit {
    /// Compute, in thousandths of a core.
    Cpu,
    /// Memory, in bytes.
    Memory,
    /// Storage, in bytes.
    Storage,
    /// Throughput, in requests per second.
    Throughput,
}

impl QuotaUnit {
    /// Every unit.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Storage, Self::Throughput];

    /// The unit's name, as the fields of a quota are called: `cpu_millicores`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_millicores",
            Self::Memory => "memory_bytes",
            Self::Storage => "storage_bytes",
            Self::Throughput => "requests_per_second",
        }
    }
}

impl fmt::Display for QuotaUnit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

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

    /// The largest quota there is: the capacity of an environment of which none was said.
    pub const LARGEST: Self = Self {
        units: QuotaUnits {
            cpu_millicores: Self::MOST,
            memory_bytes: Self::MOST * 1_024,
            storage_bytes: Self::MOST * 1_024,
            requests_per_second: Self::MOST,
        },
    };

    pub(crate) const fn largest() -> Self {
        Self::LARGEST
    }

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

    /// How much of one unit.
    pub const fn of(self, unit: QuotaUnit) -> u64 {
        match unit {
            QuotaUnit::Cpu => self.cpu_millicores(),
            QuotaUnit::Memory => self.memory_bytes(),
            QuotaUnit::Storage => self.storage_bytes(),
            QuotaUnit::Throughput => self.requests_per_second(),
        }
    }

    /// True where this is at least as much as `other` in every unit.
    pub fn covers(self, other: Self) -> bool {
        QuotaUnit::ALL.into_iter().all(|unit| self.of(unit) >= other.of(unit))
    }

    /// The least quota that covers both.
    #[must_use]
    pub fn covering(self, other: Self) -> Self {
        let larger = |unit| self.of(unit).max(other.of(unit));
        Self {
            units: QuotaUnits {
                cpu_millicores: larger(QuotaUnit::Cpu),
                memory_bytes: larger(QuotaUnit::Memory),
                storage_bytes: larger(QuotaUnit::Storage),
                requests_per_second: larger(QuotaUnit::Throughput),
            },
        }
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
///
/// In a silo and in a pool both are the tenant's alone. Tenants of a shared environment share workloads, and so the network those run
/// in; the data partition is the tenant's alone in every model, and no command makes an exception.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PartitionAssignment {
    /// Where its workloads run and reach each other.
    pub network: PartitionKey,
    /// Where its data lies.
    pub data: PartitionKey,
}

impl PartitionAssignment {
    /// The partitions of a tenant who asks for none of its own choice: the same whenever it is asked, other ones for every other tenant and
    /// environment. In a shared environment the network partition is the environment's, so the same for all its tenants.
    ///
    /// A key is a letter and 128 bits of a hash, so it is legal everywhere a [`Name`] is, and tells nothing of whose it is.
    pub fn derived(tenant: TenantId, environment: EnvironmentId, isolation_model: IsolationModel) -> Self {
        let tenants_network = match isolation_model {
            IsolationModel::Silo | IsolationModel::Pool => Some(tenant),
            IsolationModel::Shared => None,
        };
        Self {
            network: PartitionKey::derived('n', environment, tenants_network),
            data: PartitionKey::derived('d', environment, Some(tenant)),
        }
    }
}

impl PartitionKey {
    fn derived(kind: char, environment: EnvironmentId, tenant: Option<TenantId>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"factory.runtime/partition/1\0");
        hash.update([kind as u8, u8::from(tenant.is_some())]);
        hash.update(environment.uuid().as_bytes());
        hash.update(tenant.map_or([0; 16], |tenant| *tenant.uuid().as_bytes()));
        let digest = hash.finalize().into_iter().take(16).map(|byte| format!("{byte:02x}"));
        Self(Name::from_legal(digest.fold(String::from(kind), |key, byte| key + &byte)))
    }
}
