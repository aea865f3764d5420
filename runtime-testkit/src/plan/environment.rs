//! What a story asks of an environment.

/// What an environment is asked to be. Numbers stand for names, stages, regions and isolation models; they wrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blueprint {
    /// Which name.
    pub name: u8,
    /// Which stage: 0 dev, 1 test, 2 staging, 3 prod.
    pub stage: u8,
    /// Which region.
    pub region: u8,
    /// Which isolation: 0 silo, 1 pool, 2 shared.
    pub isolation: u8,
    /// Which of the five surfaces, one bit each.
    pub surfaces: u8,
    /// Which [destinations](crate::plan::DESTINATIONS), one bit each.
    pub egress: u16,
    /// How much its tenants may be given, in units of every resource, less one.
    pub capacity: u8,
}

/// What should be different; `None` leaves as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Another name.
    pub name: Option<u8>,
    /// Another stage.
    pub stage: Option<u8>,
    /// Another region.
    pub region: Option<u8>,
    /// Other surfaces.
    pub surfaces: Option<u8>,
    /// Other destinations.
    pub egress: Option<u16>,
    /// Another capacity.
    pub capacity: Option<u8>,
}

/// When changes are allowed, in UTC. Activities are one bit each: deployment, configuration, rotation, remediation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar {
    /// The windows.
    pub windows: Vec<Window>,
    /// A freeze, if there is one.
    pub freeze: Option<Freeze>,
}

/// A time of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// What it allows.
    pub activities: u8,
    /// The days on which it begins, Monday first, one bit each.
    pub days: u8,
    /// The minute of the day at which it begins, up to 1440.
    pub from: u16,
    /// The minute before which it ends: of the next day where it is no later than the beginning.
    pub to: u16,
}

/// A time in which nothing is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// What it forbids.
    pub activities: u8,
    /// How many hours after the story's beginning it begins; negative before.
    pub from: i16,
    /// For how many hours it lasts; at least one.
    pub hours: u8,
}

/// How what an engine made relates to what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Exactly.
    Exact,
    /// A surface has no target.
    SurfaceMissing,
    /// A target was not asked for.
    SurfaceStray,
    /// A surface has two targets.
    SurfaceTwice,
    /// The boundary lets out to more.
    BoundaryWider,
    /// Nothing refers to the whole.
    ReferenceBlank,
}

/// One thing that is asked of an environment, or reported to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvironmentPlan {
    /// Provision it, or the same again.
    Provision(Blueprint),
    /// A reconciler has begun.
    Start,
    /// The engine has made something.
    Made {
        /// How that fits.
        fit: Fit,
        /// Tells one making from another.
        making: u8,
    },
    /// The engine has failed.
    Failed {
        /// What it said.
        reason: String,
        /// In how many seconds to try again.
        retry: Option<u16>,
    },
    /// Try again now.
    Retry,
    /// Be otherwise.
    Change(Change),
    /// Be protected.
    Protect,
    /// Be protected no more.
    Unprotect,
    /// Be taken down.
    Decommission {
        /// Why.
        reason: String,
    },
    /// End by itself in so many seconds; never, where it is `None`.
    Expiry(Option<u16>),
    /// End, where the time has come.
    Expire,
    /// The engine misses something, or nothing.
    Lost {
        /// Whether anything is missing.
        is_lost: bool,
    },
    /// Everything is gone.
    Gone,
    /// Something could not be removed.
    NotGone {
        /// What the engine said.
        reason: String,
        /// In how many seconds to try again.
        retry: u16,
    },
    /// Keep a quota for a binding.
    Reserve {
        /// For which binding.
        binding: u8,
        /// Of which tenant.
        tenant: u8,
        /// How much, in units of every resource, less one.
        quota: u8,
        /// For how many seconds.
        seconds: i16,
    },
    /// Hold for a binding what it claims.
    Commit {
        /// Which binding.
        binding: u8,
        /// Of which tenant.
        tenant: u8,
        /// How much, in units of every resource, less one.
        quota: u8,
        /// Whether it is a binding to another environment.
        is_elsewhere: bool,
    },
    /// Hold nothing for a binding whose tenant has left.
    Return {
        /// Which binding.
        binding: u8,
        /// Of which tenant.
        tenant: u8,
        /// Whether it is a binding to another environment.
        is_elsewhere: bool,
    },
    /// Time has passed.
    Tick,
    /// Allow changes at other times.
    Calendar(Calendar),
    /// Stop every change.
    StopLine {
        /// Why.
        reason: String,
    },
    /// Let changes go on.
    ResumeLine {
        /// Why.
        reason: String,
    },
    /// Ask whether a change is cleared now.
    Clear {
        /// Which activity: 0 to 3.
        activity: u8,
        /// Why the glass is broken, if it is.
        glass: Option<String>,
    },
}
