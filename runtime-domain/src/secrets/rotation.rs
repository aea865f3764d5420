//! What rotations are made of.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bug;
use crate::calendar::BreakGlass;
use crate::component::RevisionId;
use crate::schedule::Schedule;
use crate::scope::Actor;
use crate::secrets::reference::written_as_text;
use crate::secrets::{ReferenceError, SecretVersion};
use crate::time::{Span, Timestamp};

/// When a secret is rotated, and how long its old version stays valid after every consumer is on the new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "UncheckedRotationSchedule")]
pub struct RotationSchedule {
    schedule: Option<Schedule>,
    grace: Span,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct UncheckedRotationSchedule {
    schedule: Option<Schedule>,
    grace: Span,
}

/// A grace that is too long: an old version that is valid for ever was never rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a grace of {grace} is too long: write at most {}", RotationSchedule::LONGEST_GRACE)]
pub struct GraceError {
    grace: Span,
}

impl RotationSchedule {
    /// The longest grace.
    pub const LONGEST_GRACE: Span = Span::from_secs(30 * 86_400);

    /// Rotates by `schedule`, or on demand only.
    ///
    /// # Errors
    /// The grace is longer than [`RotationSchedule::LONGEST_GRACE`].
    pub fn new(schedule: Option<Schedule>, grace: Span) -> Result<Self, GraceError> {
        if grace > Self::LONGEST_GRACE { Err(GraceError { grace }) } else { Ok(Self { schedule, grace }) }
    }

    /// When, or `None` where only on demand.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }

    /// How long the old version stays valid after every consumer was seen on the new one.
    pub fn grace(&self) -> Span {
        self.grace
    }
}

impl TryFrom<UncheckedRotationSchedule> for RotationSchedule {
    type Error = GraceError;
    fn try_from(unchecked: UncheckedRotationSchedule) -> Result<Self, Self::Error> {
        Self::new(unchecked.schedule, unchecked.grace)
    }
}

/// Why a secret is rotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub enum RotationCause {
    /// Its schedule says so.
    Scheduled,
    /// Someone asked.
    OnDemand {
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// Its value may be known to others: no grace is given to the old version, but it is still not retired under a consumer.
    Compromised {
        /// Who says so.
        by: Actor,
        /// Why.
        reason: String,
    },
}

impl RotationCause {
    /// Without what a person wrote, for publishing.
    pub const fn kind(&self) -> RotationKind {
        match self {
            Self::Scheduled => RotationKind::Scheduled,
            Self::OnDemand { .. } => RotationKind::OnDemand,
            Self::Compromised { .. } => RotationKind::Compromised,
        }
    }

    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Scheduled => None,
            Self::OnDemand { reason, .. } | Self::Compromised { reason, .. } => Some(reason),
        }
    }

    pub(super) fn is_compromise(&self) -> bool {
        self.kind() == RotationKind::Compromised
    }
}

/// The kind of a rotation's cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RotationKind {
    /// Its schedule said so.
    Scheduled,
    /// Someone asked.
    OnDemand,
    /// Its value may have been known to others.
    Compromised,
}

/// A rotation under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Why.
    pub cause: RotationCause,
    /// Who broke the glass and why, where the calendar was closed.
    pub break_glass: Option<BreakGlass>,
    /// Since when.
    pub requested_at: Timestamp,
}

/// A rotation that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationRecord {
    /// Why it was.
    pub cause: RotationKind,
    /// The version before it.
    pub previous: SecretVersion,
    /// The version that it made, where it came so far.
    pub version: Option<SecretVersion>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it was over.
    pub ended_at: Timestamp,
    /// How it ended.
    pub outcome: RotationOutcome,
}

/// How a rotation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RotationOutcome {
    /// The new version is the current one.
    Completed,
    /// It was called off: the version before it is the current one still.
    Aborted,
    /// It was set aside before there was a new version: by a person, or since the vault failed too often.
    Suspended,
}

/// What went wrong at a vault. There is no text: vaults' errors are known to repeat credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum VaultFault {
    /// It did not answer.
    Unreachable,
    /// It asked to be left alone for a while.
    Throttled,
    /// It did not let the identity do this.
    Forbidden,
    /// It answered with an error of its own.
    Failing,
    /// Nobody knows whether it did what it was asked to.
    OutcomeUnknown,
    /// It has no such secret: only a person can help.
    NotFound,
    /// It cannot do this at all, such as make a new value for this secret: only a person can help.
    Unsupported,
}

impl VaultFault {
    /// True where trying again is of no use.
    pub const fn needs_a_person(self) -> bool {
        matches!(self, Self::NotFound | Self::Unsupported)
    }
}

impl fmt::Display for VaultFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unreachable => "the vault did not answer",
            Self::Throttled => "the vault asked to be left alone for a while",
            Self::Forbidden => "the vault did not let the identity do this",
            Self::Failing => "the vault answered with an error of its own",
            Self::OutcomeUnknown => "nobody knows whether the vault did it",
            Self::NotFound => "the vault has no such secret",
            Self::Unsupported => "the vault cannot do this",
        })
    }
}

/// One running instance that uses a secret. Written `<module>@<deployment>/<instance>`, where the instance's name is 1 to 128 letters,
/// digits, `_`, `-`, `.` and `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Consumer {
    revision: RevisionId,
    instance: String,
}

written_as_text!(Consumer);

impl Consumer {
    /// The revision that it runs.
    pub fn revision(&self) -> &RevisionId {
        &self.revision
    }

    /// The instance's name at its surface.
    pub fn instance(&self) -> &str {
        &self.instance
    }
}

impl fmt::Display for Consumer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.revision, self.instance)
    }
}

impl FromStr for Consumer {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = ReferenceError {
            what: "a consumer",
            rule: "<module>@<deployment>/<instance>, the instance in 1 to 128 letters, digits and any of _-.:",
        };
        let (revision, instance) = text.split_once('/').ok_or(refused)?;
        let is_legal = (1..=128).contains(&instance.len())
            && instance.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':'));
        let revision = revision.parse().map_err(|_| refused)?;
        if is_legal { Ok(Self { revision, instance: instance.to_owned() }) } else { Err(refused) }
    }
}

/// Who uses a secret, as it was seen. That nobody does is said, and never concluded from silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub enum Consumption {
    /// It was seen that no instance runs.
    Nobody,
    /// Every instance that runs, and the version it was seen on; `None` where that is not known, which counts as the old one.
    Instances(BTreeMap<Consumer, Option<SecretVersion>>),
}

impl Consumption {
    /// The most instances in one report: as many replicas as a component may have, twice over.
    pub const MOST: usize = 2_000;

    /// True where every instance was seen on `version`.
    pub fn is_all_on(&self, version: SecretVersion) -> bool {
        match self {
            Self::Nobody => true,
            Self::Instances(instances) => {
                let is_on = |seen: &Option<SecretVersion>| match seen {
                    None => bug!("stale-secret-is-not-noticed"),
                    Some(seen) => *seen == version,
                };
                !instances.is_empty() && instances.values().all(is_on)
            }
        }
    }
}
