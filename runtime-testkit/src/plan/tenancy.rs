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
    /// How much, in units of every resource, less one.
    pub quota: u8,
    /// How much is reserved in the environment, likewise.
    pub reserved: u8,
    /// Which partitions.
    pub partition: u8,
}

/// Where a tenant is asked to move to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A silo of its own.
    Silo,
    /// Another tenant's silo.
    Foreign,
    /// A place that it would share.
    Pool,
    /// A silo of its own that takes no deployments.
    Cordoned,
    /// Where it is.
    Here,
}

/// One thing that is asked of a tenant binding, or reported to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenancyPlan {
    /// Bind the tenant, or the same again.
    Bind(Place),
    /// The environment has committed so much.
    Confirm {
        /// In units of every resource, less one.
        quota: u8,
        /// Whether to another binding.
        is_foreign: bool,
    },
    /// It may use another amount.
    Adjust {
        /// In units of every resource, less one.
        quota: u8,
        /// How much is reserved for it, if anything is.
        reserved: Option<u8>,
    },
    /// It takes no new deployments.
    Cordon {
        /// Why.
        reason: String,
    },
    /// It takes them again.
    Uncordon,
    /// It cannot be released.
    Protect,
    /// It can be released again.
    Unprotect,
    /// It moves.
    Move {
        /// Where to.
        target: Target,
        /// For how many seconds the target is watched.
        observe: u8,
    },
    /// A step of the move has ended.
    Step {
        /// Whether it is the step that is waited for.
        is_next: bool,
        /// Whether it went well.
        is_done: bool,
    },
    /// It is to stay.
    Stay {
        /// Why.
        reason: String,
    },
    /// It leaves.
    Release {
        /// Why.
        reason: String,
    },
    /// The environment holds nothing for it any more.
    Returned {
        /// Whether for another binding.
        is_foreign: bool,
    },
    /// A deployment of a component begins.
    Admit {
        /// Which deployment.
        deployment: u8,
        /// Which component.
        module: u8,
        /// How much it needs, in units of every resource.
        amount: u8,
    },
    /// A deployment has ended.
    Settle {
        /// Which.
        deployment: u8,
        /// Whether what it brought serves.
        is_kept: bool,
    },
    /// A policy scales what serves of a component.
    Scale {
        /// Which component.
        module: u8,
        /// How much all its replicas need, in units of every resource.
        amount: u8,
    },
    /// Nothing runs any more.
    Retire,
    /// Time has passed.
    Tick,
}
