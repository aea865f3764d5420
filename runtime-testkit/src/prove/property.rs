//! What is shown of every aggregate.

use std::fmt;

/// One property. Each is a trial of its own in the report, and each has a broken aggregate among this crate's tests that it catches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// No command, event or query panics.
    NeverPanics,
    /// The same question gets the same answer, and asking changes nothing.
    AsksFreely,
    /// A refusal names its rule, says what is wrong and what would be right; a decision is explained.
    SaysWhy,
    /// What is decided can be applied.
    Applies,
    /// Every invariant holds after every event.
    KeepsInvariants,
    /// Tenant, environment and identifier never change.
    KeepsIdentity,
    /// The history, written as JSON and read back, gives the state.
    Replays,
    /// The stored form, written as JSON and read back, gives the state; other schemas are refused.
    ReadsBack,
    /// A stored form that was tampered with is refused, or is a legal aggregate.
    SurvivesTampering,
    /// Any JSON at all is refused as a record or an event, or is a legal one.
    SurvivesAnyJson,
    /// What began cannot begin again, and an event in the wrong place is refused or does no harm.
    KeepsOrder,
    /// Claims follow from the state alone, and a final state lets go of what it need not keep.
    HoldsClaims,
    /// Asking the same again changes nothing.
    Repeats,
    /// A final state stays final and wakes nobody.
    Rests,
    /// The independent model agrees.
    AgreesWithModel,
}

impl Property {
    /// Every property, in the report's order.
    pub const ALL: [Self; 15] = [
        Self::NeverPanics,
        Self::AsksFreely,
        Self::SaysWhy,
        Self::Applies,
        Self::KeepsInvariants,
        Self::KeepsIdentity,
        Self::Replays,
        Self::ReadsBack,
        Self::SurvivesTampering,
        Self::SurvivesAnyJson,
        Self::KeepsOrder,
        Self::HoldsClaims,
        Self::Repeats,
        Self::Rests,
        Self::AgreesWithModel,
    ];

    /// The property as a sentence: its trial's name.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NeverPanics => "nothing that is asked or told makes it panic",
            Self::AsksFreely => "the same question gets the same answer and changes nothing",
            Self::SaysWhy => "a refusal names its rule and a remedy and a decision its reason",
            Self::Applies => "what is decided can be applied",
            Self::KeepsInvariants => "every invariant holds after every event",
            Self::KeepsIdentity => "identifier tenant and environment never change",
            Self::Replays => "its history read back from json gives the state",
            Self::ReadsBack => "its record read back from json gives the state",
            Self::SurvivesTampering => "a tampered record is refused or is a legal aggregate",
            Self::SurvivesAnyJson => "any json is refused or is legal",
            Self::KeepsOrder => "what has begun cannot begin again",
            Self::HoldsClaims => "claims follow from the state and end with it",
            Self::Repeats => "asking the same again changes nothing",
            Self::Rests => "a final state stays final and wakes nobody",
            Self::AgreesWithModel => "the independent model agrees at every step",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.sentence())
    }
}
