//! What a story asks of a secret binding.

use crate::plan::place::{Ground, Whose};

/// Where secrets lie, and whether the vault counts their versions.
pub const VAULTS: [(&str, bool); 4] = [
    ("local://vault/db", true),
    ("vault://kv/shop/db#password", true),
    ("openbao://kv/shop/db#password", true),
    ("https://shop-prod.vault.azure.net/secrets/db", false),
];

/// How a component gets its secret.
pub const DELIVERIES: [&str; 2] = ["env:DB_PASSWORD", "file:db-password"];

/// As whom a component asks its vault.
pub const IDENTITIES: [&str; 2] = ["local:cart", "kubernetes:shop/cart"];

/// The components.
pub const MODULES: [&str; 2] = ["cart", "mail"];

/// Numbers of bindings. What is put off so that not all is rotated at once is nothing for the first of them, so that its times are exact.
pub const BINDINGS: [u128; 2] = [2_220_588, 8];

/// When a secret is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turns {
    /// On demand only.
    Never,
    /// Every so many seconds, from 60.
    Every(u32),
    /// At every full hour.
    Hourly,
}

/// When a secret is rotated, and for how many seconds the old version stays valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When.
    pub turns: Turns,
    /// For how many seconds: at most 30 days.
    pub grace: u32,
}

/// What a component is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// For whom: the tenant that owns the environment, in this or another of its environments, or another tenant in this one.
    pub whose: Whose,
    /// Whether the environment is being taken down.
    pub is_gone: bool,
    /// Which of the [`BINDINGS`] it is.
    pub binding: u8,
    /// Which of the [`MODULES`].
    pub module: u8,
    /// Which of the [`VAULTS`].
    pub vault: u8,
    /// The version's number.
    pub version: u32,
    /// Which of the [`IDENTITIES`].
    pub identity: u8,
    /// Which of the [`DELIVERIES`].
    pub delivery: u8,
    /// When it is rotated.
    pub times: Times,
}

/// Why a secret is rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Its schedule says so.
    Scheduled,
    /// Someone asked, with this reason.
    OnDemand(String),
    /// Its value may be known, for this reason.
    Compromised(String),
}

/// On which version an instance was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// On what is brought, or else on the current one.
    Newest,
    /// On the current one.
    Current,
    /// Nobody knows.
    Unknown,
}

/// Who was seen to use a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nobody.
    Nobody,
    /// These instances, the first with number 0.
    Instances(Vec<On>),
    /// So many, all on the newest version, but for the last where so said.
    Crowd {
        /// How many.
        count: u16,
        /// Whether the last is, too.
        is_whole: bool,
    },
    /// An instance of another component.
    Foreign,
}

/// A version that a vault retires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// The one that is to be retired, or that was last.
    Last,
    /// The first that is known to have been replaced.
    First,
    /// The current one.
    Current,
}

/// One thing that is asked of a secret binding, or reported to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlan {
    /// Bind a secret, or the same again.
    Bind(Wanted),
    /// Make a new version.
    Rotate {
        /// Why.
        cause: Cause,
        /// How the environment is found.
        ground: Ground,
        /// The reason for which the glass is broken, if it is.
        glass: Option<String>,
        /// Whose calendar was asked.
        whose: Whose,
        /// Whether it was asked about rotation.
        is_rotation: bool,
    },
    /// The vault has made a version.
    Made {
        /// How many after the newest that is known.
        by: i8,
        /// Whether it is named as another kind of vault would.
        is_odd: bool,
    },
    /// Somebody looked at who uses it.
    Look {
        /// How many seconds ago; negative where a clock runs ahead.
        age: i64,
        /// Who was seen.
        seen: Seen,
    },
    /// The vault failed.
    Fail {
        /// How: unreachable, throttled, forbidden, failing, of unknown outcome (0 to 4); not found, unsupported (5, 6).
        fault: u8,
        /// For how many seconds it asked to be left alone.
        retry_after: Option<u32>,
    },
    /// The vault has retired a version.
    Retired(Old),
    /// Rotate at other times.
    Reschedule(Times),
    /// Call the rotation off.
    Abort {
        /// Why.
        reason: String,
    },
    /// Rotate no more.
    Suspend {
        /// Why.
        reason: String,
    },
    /// Rotate again.
    Resume,
    /// The component no longer gets it.
    Unbind {
        /// Why.
        reason: String,
    },
    /// Time has passed.
    Tick,
}
