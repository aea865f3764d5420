//! What a story asks of a tenant binding.

/// A place that a tenant is asked to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whether the tenant is the one that owns the environment.
    pub is_own: bool,
    /// Which isolation the environment keeps: 0 silo, 1 pool, 2 shared.
    pub offered: u8,
    /// Which isolation is asked for.
    pub wanted: u8,
    /// How much, in units of every resource.
    pub quota: u8,
    /// Which partitions.
    pub partition: u8,
}

/// One thing that is asked of a tenant binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenancyPlan {
    /// Bind the tenant, or the same again.
    Bind(Place),
    /// It may use another amount.
    Adjust {
        /// In units of every resource.
        quota: u8,
    },
    /// It leaves.
    Release {
        /// Why.
        reason: String,
    },
}
