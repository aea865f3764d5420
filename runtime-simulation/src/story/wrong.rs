//! What operators ask for that is to be refused, whatever the state or in most states.

use std::fmt;

/// What is wrong with what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrong {
    /// It is decommissioned without a reason.
    NoReasonToDecommission,
    /// A quarantine is lifted for a release without a reason.
    NoReasonToReleaseHold,
    /// A version is withdrawn without a reason.
    NoReasonToWithdraw,
    /// A tenant is cordoned without a reason.
    NoReasonToCordon,
    /// Rotation is suspended without a reason.
    NoReasonToSuspendRotation,
    /// Scaling is suspended without a reason.
    NoReasonToSuspendScaling,
    /// A finding is accepted without a reason.
    NoReasonToAccept,
    /// A watch ends without a reason.
    NoReasonToStopWatching,
    /// A finding is accepted for a reason that gives a secret away.
    SecretReasonToAccept,
    /// A watch ends for a reason that gives a secret away.
    SecretReasonToStopWatching,
    /// A finding is accepted until a time that is past.
    AcceptedUntilYesterday,
    /// A watch that never looks.
    EndlessInterval,
    /// An environment that may call what is no destination.
    NoDestination,
    /// An environment that has no surface.
    NoSurface,
    /// An environment of a name that another one has.
    NameOfAnother,
    /// Another name for what carries the old one.
    AnotherName,
    /// An environment without the surface that its workloads run on.
    LostSurface,
    /// A capacity that is less than its tenants hold.
    NoCapacity,
    /// A promotion from an environment that nobody knows.
    UnknownUpstream,
    /// A release of nothing.
    EmptyRelease,
    /// A release for a surface that the environment does not have.
    OtherSurface,
    /// A release that says how it would scale on another surface than it is for.
    ScalesElsewhere,
    /// A release with a secret in a plain variable.
    SecretVariable,
    /// A release that takes its configuration by signal and cannot tell.
    SilentReload,
    /// A release of more than the tenant may use.
    OverQuota,
    /// A release that waits for the agreement of people who are not there.
    Strangers,
    /// What was rolled back, once more.
    RolledBackAgain,
    /// A component with another configuration than its release.
    OtherConfiguration,
    /// A release with the oldest version of configuration.
    OldConfiguration,
    /// Going back to what brought only a part of what serves.
    PartBefore,
    /// The newest configuration, once more.
    SameContent,
    /// A key twice.
    KeyTwice,
    /// A text that is too long.
    LongText,
    /// More entries than there may be.
    TooManyEntries,
    /// More in them than there may be.
    TooLargeEntries,
    /// An entry for another tenant.
    OthersEntry,
    /// A key that no environment variable can have.
    KeyIsNoVariable,
    /// A place with another isolation than the environment's.
    OtherIsolation,
    /// A place with another quota than it has.
    OtherQuota,
    /// Less than its workloads use.
    TooSmallQuota,
    /// A secret, delivered in another way than it is.
    OtherDelivery,
    /// Another policy for a component that has one.
    OtherPolicy,
    /// A policy for a surface that the environment does not have.
    PolicyOfOtherSurface,
}

impl Wrong {
    /// Everything that is wrong.
    pub const ALL: [Self; 43] = [
        Self::NoReasonToDecommission,
        Self::NoReasonToReleaseHold,
        Self::NoReasonToWithdraw,
        Self::NoReasonToCordon,
        Self::NoReasonToSuspendRotation,
        Self::NoReasonToSuspendScaling,
        Self::NoReasonToAccept,
        Self::NoReasonToStopWatching,
        Self::SecretReasonToAccept,
        Self::SecretReasonToStopWatching,
        Self::AcceptedUntilYesterday,
        Self::EndlessInterval,
        Self::NoDestination,
        Self::NoSurface,
        Self::NameOfAnother,
        Self::AnotherName,
        Self::LostSurface,
        Self::NoCapacity,
        Self::UnknownUpstream,
        Self::EmptyRelease,
        Self::OtherSurface,
        Self::ScalesElsewhere,
        Self::SecretVariable,
        Self::SilentReload,
        Self::OverQuota,
        Self::Strangers,
        Self::RolledBackAgain,
        Self::OtherConfiguration,
        Self::OldConfiguration,
        Self::PartBefore,
        Self::SameContent,
        Self::KeyTwice,
        Self::LongText,
        Self::TooManyEntries,
        Self::TooLargeEntries,
        Self::OthersEntry,
        Self::KeyIsNoVariable,
        Self::OtherIsolation,
        Self::OtherQuota,
        Self::TooSmallQuota,
        Self::OtherDelivery,
        Self::OtherPolicy,
        Self::PolicyOfOtherSurface,
    ];
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "what is to be refused: {self:?}")
    }
}
