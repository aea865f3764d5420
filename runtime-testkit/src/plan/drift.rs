//! What a story asks of a drift finding, and of the world that it compares. Small numbers stand for images, versions and times in seconds.

use crate::plan::inventory::Whose;

/// Texts that a reason may hold, and never should.
pub const SECRETS: [&str; 4] = [
    "password=hunter2",
    "Bearer hunter2hunter2",
    "postgres://shop:hunter2@db.example.com/shop",
    "the token=hunter2 was wrong",
];

/// What each of [`SECRETS`] holds: wherever this shows, a secret was told.
pub const CANARY: &str = "hunter2";

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Words without a secret.
    Words(String),
    /// One of [`SECRETS`].
    Secret(u8),
}

impl Said {
    /// The words.
    pub fn text(&self) -> String {
        match self {
            Self::Words(words) => words.clone(),
            Self::Secret(number) => {
                let number = usize::from(*number) % SECRETS.len();
                SECRETS.get(number).copied().unwrap_or_default().to_owned()
            }
        }
    }
}

/// What diverges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The component `cart`.
    Cart,
    /// The component `pay`.
    Pay,
    /// The resource `queue`.
    Queue,
}

/// How it diverges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Another image.
    Image,
    /// Another number of replicas.
    Replicas,
    /// Another configuration.
    Configuration,
    /// It is not there.
    Missing,
    /// Nothing desires it.
    Unmanaged,
}

/// What a subject is, or should be. Of a resource only `replicas` is shown, as its size, and `secret`, as its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Where it runs: 0 processes, else Kubernetes.
    pub surface: u8,
    /// Its image.
    pub image: u8,
    /// How many.
    pub replicas: u16,
    /// Its configuration; 0 is none.
    pub configuration: u8,
    /// The version of its secret; 0 is none.
    pub secret: u8,
}

/// Who owns what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Nobody.
    Nobody,
    /// A rollout.
    Rollout,
    /// A configuration that is brought.
    Sync {
        /// Which.
        configuration: u8,
    },
    /// A rotation of the secret.
    Rotation,
    /// A scaling policy.
    Scaling {
        /// The fewest replicas.
        fewest: u16,
        /// The most.
        most: u16,
    },
    /// A rollback.
    Rollback {
        /// What was rolled back.
        quarantined: u8,
        /// What was gone back to; where it runs and how many do not matter.
        stable: Made,
    },
}

/// Of whom a comparison is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The story's tenant and environment.
    Own,
    /// Another tenant's.
    OtherTenant,
    /// Another environment.
    OtherEnvironment,
    /// What is desired of one environment, and what is there of another.
    Mixed,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Of whom.
    pub of: Of,
    /// At what.
    pub subject: Subject,
    /// What should be there.
    pub desired: Option<Made>,
    /// What is there.
    pub actual: Option<Made>,
    /// Whether anything else is desired.
    pub has_more: bool,
    /// Who owns what differs.
    pub owner: Owner,
    /// Which revision says what is desired.
    pub revision: u8,
    /// How grave everything is, if not as usual: 0 is the least.
    pub severity: Option<u8>,
    /// How old what was observed was when it was compared; negative where it was from the future.
    pub age: i16,
    /// How long ago it was compared.
    pub delay: u16,
}

/// What repairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// The deployment with this number.
    Deploy(u8),
    /// It is removed.
    Prune,
}

/// How often a repair is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How often.
    pub most: u16,
    /// How long is waited at first.
    pub first: u32,
    /// How long at most.
    pub longest: u32,
    /// How long an attempt may take.
    pub deadline: u32,
}

/// What a calendar was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared {
    /// For a repair here.
    Repair,
    /// For a rotation here.
    Rotation,
    /// For a repair in another environment.
    Elsewhere,
    /// For a repair of another tenant's.
    Foreign,
}

/// A deployment that brought the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brought {
    /// Its number.
    pub number: u8,
    /// Whose it is.
    pub whose: Whose,
}

/// Which attempt is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The last one.
    Last,
    /// The one before it.
    Before,
    /// One that has not begun.
    Next,
}

/// A repair that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What is done.
    pub repair: Repair,
    /// Whether it is repaired: 0 off, 1 at somebody's request, 2 by itself.
    pub mode: u8,
    /// How often.
    pub budget: Budget,
    /// Whether somebody asks for it.
    pub is_requested: bool,
    /// Which image is quarantined.
    pub quarantined: Option<u8>,
    /// What the calendar was asked.
    pub cleared: Cleared,
}

/// One thing that is asked of a drift finding, or seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriftPlan {
    /// A comparison shows a divergence of this kind: make a finding of it, or the same again.
    Detect {
        /// The comparison.
        look: Look,
        /// Which kind is asked about.
        kind: Kind,
        /// Whether it is repaired: 0 off, 1 at somebody's request, 2 by itself.
        mode: u8,
    },
    /// A comparison shows no divergence of this kind.
    InSync {
        /// The comparison.
        look: Look,
        /// Which kind is asked about.
        kind: Kind,
        /// The deployment that is shown to have brought it.
        brought: Option<Brought>,
    },
    /// A comparison shows another divergence of this kind.
    Replaced {
        /// The comparison.
        look: Look,
        /// Which kind is asked about.
        kind: Kind,
    },
    /// A repair is to begin.
    Repair(Asked),
    /// It cannot begin now.
    Postpone {
        /// For how long.
        seconds: i32,
        /// Why.
        reason: Said,
    },
    /// It failed.
    Failed {
        /// Which attempt.
        attempt: Attempt,
        /// What was said.
        reason: Said,
    },
    /// It is to be tried again.
    Retry,
    /// Somebody accepts it.
    Accept {
        /// Who.
        by: u8,
        /// For how long.
        seconds: i32,
        /// Why.
        reason: Said,
    },
    /// It is no longer accepted.
    Revoke {
        /// Why.
        reason: Said,
    },
    /// Time has passed.
    Tick,
}
