//! The contexts of a host: which of the nine it runs.
//!
//! A host may run any of them. It reconciles what those decide and takes their callers' commands; commands of the others are refused with
//! [`Unsupported`](runtime_ports::PortErrorKind::Unsupported), for the host that runs them. What contexts ask of one another goes on
//! everywhere, and so does the relay, since the hosts of one store share it: give all of them the same subscribers.

use std::fmt;

use runtime_ports::{PortError, PortErrorKind};

/// One of the nine contexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// Environments.
    Environment,
    /// Deployments, and promotion.
    Deployment,
    /// The live inventory.
    Inventory,
    /// Configuration.
    Configuration,
    /// Secret bindings.
    Secrets,
    /// Tenant bindings.
    Tenancy,
    /// Health. Services are evaluated by whoever looks at them for the inventory: a host that runs either does both.
    Health,
    /// Scaling policies.
    Scaling,
    /// Drift.
    Drift,
}

impl Context {
    /// All nine.
    pub const ALL: [Self; 9] = [
        Self::Environment,
        Self::Deployment,
        Self::Inventory,
        Self::Configuration,
        Self::Secrets,
        Self::Tenancy,
        Self::Health,
        Self::Scaling,
        Self::Drift,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Deployment => "deployment",
            Self::Inventory => "inventory",
            Self::Configuration => "configuration",
            Self::Secrets => "secrets",
            Self::Tenancy => "tenancy",
            Self::Health => "health",
            Self::Scaling => "scaling",
            Self::Drift => "drift",
        }
    }

    pub(crate) fn not_run_here(self) -> PortError {
        let message =
            format!("this host does not run the context `{self}`: ask one that does, or let this one run it");
        PortError::new(PortErrorKind::Unsupported, "host.command", message)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
