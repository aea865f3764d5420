//! What keeps tenants apart where workloads run, said as it is, and how much they use.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::time::Timestamp;

use crate::PortResult;

/// Something that can be kept apart, or kept within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IsolationAspect {
    /// Files of one tenant cannot be read or written by workloads of another.
    Files,
    /// Workloads of one tenant cannot signal, trace or read the memory of those of another.
    Processes,
    /// A workload sees the variables that it was given, and no other.
    Variables,
    /// The ports that a tenant's instances listen on are its own.
    Ports,
    /// Workloads reach allowed destinations only.
    Network,
    /// Compute that an instance uses.
    Cpu,
    /// Memory that an instance uses.
    Memory,
    /// Storage that a tenant uses.
    Storage,
    /// Requests per second that a tenant is sent.
    Throughput,
}

impl IsolationAspect {
    /// Every aspect.
    pub const ALL: [Self; 9] = [
        Self::Files,
        Self::Processes,
        Self::Variables,
        Self::Ports,
        Self::Network,
        Self::Cpu,
        Self::Memory,
        Self::Storage,
        Self::Throughput,
    ];

    /// The aspect's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Processes => "processes",
            Self::Variables => "variables",
            Self::Ports => "ports",
            Self::Network => "network",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Storage => "storage",
            Self::Throughput => "throughput",
        }
    }
}

/// How far an aspect is kept, on this machine and with these rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// It cannot be broken by a workload, and by what: `separate users from 200000`.
    Enforced {
        /// By what.
        by: String,
    },
    /// It is kept in part, and where not: `each process by itself, not their sum`.
    Partial {
        /// By what, and where not.
        by: String,
    },
    /// It is looked at and told, and nothing is stopped.
    Observed {
        /// By what.
        by: String,
    },
    /// It is not kept, and what would keep it.
    Absent {
        /// What is missing.
        why: String,
    },
}

/// What the workloads of one tenant in one environment use now. `None` where it could not be seen: never zero instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceUse {
    /// When it was looked.
    pub observed_at: Timestamp,
    /// How many processes run.
    pub processes: Option<u64>,
    /// Memory that they hold, in bytes.
    pub memory_bytes: Option<u64>,
    /// Compute that they have used since they started, in milliseconds.
    pub cpu_millis: Option<u64>,
    /// Storage that they fill, in bytes.
    pub storage_bytes: Option<u64>,
}

/// A surface that tells what keeps its tenants apart.
///
/// # Guarantees
/// - What is said holds for every workload that is started from now on; it is constant for the surface's life.
/// - Nothing is said to be enforced that a workload could break without breaking the operating system.
/// - Nothing of another tenant or environment is counted.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait WorkloadIsolation: Send + Sync + 'static {
    /// How far each aspect is kept.
    fn enforcement(&self) -> BTreeMap<IsolationAspect, Enforcement>;

    /// What a tenant's workloads in an environment use now.
    async fn usage(&self, tenant: TenantId, environment: EnvironmentId) -> PortResult<ResourceUse>;
}
