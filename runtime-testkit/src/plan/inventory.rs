//! What a story asks of an inventory record.

/// What a surface shows of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Show {
    /// How many seconds ago it looked; negative where its clock runs ahead.
    pub age: i64,
    /// Whether it shows a component of somebody else.
    pub is_foreign: bool,
    /// Whether requests go through a route; without one, every revision counts.
    pub is_routed: bool,
    /// The revisions that exist, at most one of each version.
    pub revisions: Vec<Revision>,
}

/// One revision as a surface shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// What which deployment brought: 1 to 3.
    pub version: u8,
    /// How many replicas it was asked for.
    pub wanted: u8,
    /// How its instances are: 0 starting, 1 ready, 2 not ready, 3 draining, 4 ended, 5 starting again.
    pub instances: Vec<u8>,
    /// Whether requests go to it, where there is a route.
    pub has_traffic: bool,
}

/// Whose evidence is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The service's own.
    Own,
    /// Another tenant's.
    OtherTenant,
    /// Another environment's.
    OtherEnvironment,
    /// Another module's.
    OtherModule,
}

/// One thing that is asked of an inventory record, or reported to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InventoryPlan {
    /// Register what the first deployment brought.
    Register,
    /// A deployment brought another version.
    Bring {
        /// Which deployment: 1 to 3.
        version: u8,
        /// Whose.
        whose: Whose,
    },
    /// A surface shows something.
    Observe(Show),
    /// A reconciler saw nothing.
    Silence,
    /// It is gone for good.
    Retire {
        /// Why.
        reason: String,
    },
}
