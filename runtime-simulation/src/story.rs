//! What happens in one run, as plain data: who is asked what, what is done behind the hosts' backs, what fails. A story is made before it is
//! told, and each of its steps can be left out, so that a story which breaks a rule can be made shorter until it is one that a person reads.

use std::fmt;

use runtime_domain::time::Span;
use runtime_testkit::faults::Fault;

use crate::coverage::CrashPoint;

mod emphasis;
mod generate;
mod operation;
mod wrong;

pub(crate) use generate::story;
pub use operation::{DriftAsk, EnvironmentAsk, Operation, ScalingAsk, SecretAsk, TenancyAsk};
pub use wrong::Wrong;

/// What happens, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// The seed of everything that the steps leave open: how long calls take.
    pub seed: u64,
    /// The steps.
    pub steps: Vec<Step>,
}

/// One thing that happens, and how long it is until the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its place in the story as it was made, from 1. It keeps it where steps before it are left out.
    pub number: u32,
    /// What happens.
    pub event: Event,
    /// How long the hosts work then.
    pub pause: Span,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Somebody asks a host for something, and goes away without waiting for the answer.
    Asked {
        /// Which host, from 1.
        host: u8,
        /// Where.
        place: Place,
        /// What for.
        operation: Operation,
    },
    /// Something happens behind the hosts' backs.
    ByHand {
        /// Where.
        place: Place,
        /// What.
        hand: Hand,
    },
    /// A host gets into trouble, or out of it.
    Host {
        /// Which, from 1.
        host: u8,
        /// What happens to it.
        trouble: Trouble,
    },
}

/// One tenant's environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The tenant's number, from 1.
    pub tenant: u8,
    /// The environment's number, from 1.
    pub environment: u8,
}

/// How a release replaces another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Instance by instance.
    Rolling,
    /// All at once.
    BlueGreen,
    /// By steps.
    Canary,
}

/// What is done behind the hosts' backs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hand {
    /// A component's revisions are given so many replicas.
    Scale {
        /// Which.
        component: u8,
        /// How many.
        replicas: u8,
    },
    /// An instance of it ends, and another comes in its place.
    Crash {
        /// Which.
        component: u8,
    },
    /// Its instances are ill, or well again.
    Ill {
        /// Which.
        component: u8,
        /// Whether they are.
        is_ill: bool,
    },
    /// There is so much to do, everywhere.
    Load {
        /// In units; one replica does 10.
        units: u8,
    },
    /// A version is desired, everywhere.
    Desire {
        /// Which.
        version: u8,
    },
}

/// What happens to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// A later call of this method meets a fault.
    Fault {
        /// The port and its method: one of [`METHODS`](runtime_testkit::faults::METHODS).
        method: &'static str,
        /// Which call from now, 0 for the next.
        skipped: u8,
        /// What it meets.
        fault: Fault,
    },
    /// It is gone, as by `kill -9`.
    Crash,
    /// It is started, where it is gone.
    Start,
    /// It stands still.
    Freeze,
    /// It goes on, as if nothing had happened.
    Thaw,
    /// Its clock is wrong by so many milliseconds.
    ClockJump(i64),
    /// It is killed at a later action of one of its reconcilers: an effect, or a commit.
    Die {
        /// Whose, as its leases and commits name it.
        reconciler: &'static str,
        /// Which action from now, 0 for the next.
        skipped: u8,
        /// Whether that is done, and nobody learns it.
        is_done: bool,
    },
    /// It comes to this point at an action of one of its reconcilers at which no host has come to it in this story, so that rare actions are
    /// as likely as those that happen all the time.
    Stop {
        /// Whose, as its leases and commits name it.
        reconciler: &'static str,
        /// After how many different such actions.
        skipped: u8,
        /// Where at the action, and whether it goes on later.
        point: CrashPoint,
    },
    /// Nothing that it asks of this port arrives.
    Partition(&'static str),
    /// It reaches everything again.
    Heal,
    /// What was to be done late is done.
    Release,
}

/// The names of components.
const COMPONENTS: [&str; 36] = [
    "web", "cart", "pay", "search", "mail", "stock", "price", "login", "media", "audit", "quote", "route",
    "offer", "order", "refund", "rating", "review", "basket", "coupon", "ledger", "parcel", "depot", "fleet",
    "label", "notice", "survey", "wish", "bundle", "tax", "rate", "index", "crawl", "thumb", "share", "gift",
    "chat",
];

/// The name of a component by its number.
pub(crate) fn component(number: u8) -> &'static str {
    let count = u8::try_from(COMPONENTS.len()).unwrap_or(u8::MAX);
    COMPONENTS.get(usize::from(number % count)).copied().unwrap_or("web")
}

impl Story {
    /// How far ahead of the time a host's clock is at most.
    pub fn furthest_ahead(&self) -> Span {
        let ahead = self.steps.iter().filter_map(|step| match step.event {
            Event::Host { trouble: Trouble::ClockJump(by), .. } => u64::try_from(by).ok(),
            _ => None,
        });
        Span::from_millis(ahead.max().unwrap_or_default())
    }

    /// The same story, of these steps only.
    #[must_use]
    pub fn only(&self, numbers: &[u32]) -> Self {
        let steps = self.steps.iter().filter(|step| numbers.contains(&step.number)).cloned().collect();
        Self { seed: self.seed, steps }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(formatter, "  {step}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>4}. {}; then {}", self.number, self.event, self.pause)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { host, place, operation } => {
                write!(formatter, "host {host} is asked in {place}: {operation}")
            }
            Self::ByHand { place, hand } => write!(formatter, "by hand in {place}: {hand}"),
            Self::Host { host, trouble } => write!(formatter, "host {host} {trouble}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "environment {} of tenant {}", self.environment, self.tenant)
    }
}

impl fmt::Display for Hand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale { component: of, replicas } => {
                write!(formatter, "{} gets {replicas} replicas", component(*of))
            }
            Self::Crash { component: of } => write!(formatter, "an instance of {} ends", component(*of)),
            Self::Ill { component: of, is_ill: true } => write!(formatter, "{} falls ill", component(*of)),
            Self::Ill { component: of, is_ill: false } => write!(formatter, "{} is well", component(*of)),
            Self::Load { units } => write!(formatter, "the load is {units}, everywhere"),
            Self::Desire { version } => write!(formatter, "version {version} is desired, everywhere"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault { method, skipped: 0, fault } => {
                write!(formatter, "meets {fault:?} at its next {method}")
            }
            Self::Fault { method, skipped, fault } => {
                write!(formatter, "meets {fault:?} at its {method} after the next {skipped}")
            }
            Self::Crash => formatter.write_str("is killed"),
            Self::Die { reconciler, skipped, is_done } => {
                let side = if *is_done { "after" } else { "before" };
                write!(formatter, "is killed {side} action {skipped} from now of its reconciler {reconciler}")
            }
            Self::Stop { reconciler, skipped, point } => {
                let point = point.name();
                write!(formatter, "is {point} new action {skipped} from now of its reconciler {reconciler}")
            }
            Self::Start => formatter.write_str("is started where it is gone"),
            Self::Freeze => formatter.write_str("stands still"),
            Self::Thaw => formatter.write_str("goes on where it stood still"),
            Self::ClockJump(0) => formatter.write_str("has the right time"),
            Self::ClockJump(by) => write!(formatter, "has a clock that is wrong by {by} ms"),
            Self::Partition(port) => write!(formatter, "does not reach its {port}"),
            Self::Heal => formatter.write_str("reaches everything"),
            Self::Release => formatter.write_str("has done late what it was to do"),
        }
    }
}
