//! Plans: what will be done, in which order, and what each stage waits for.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::bug;
use crate::component::RevisionId;
use crate::rollout::gate::GateIndex;
use crate::surface::{ComponentObservation, Traffic};
use crate::time::{Span, Timestamp};
use crate::value::{ModuleId, TextError};

/// All that will be done, segment after segment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RolloutPlan {
    /// The segments, in order. None is empty.
    pub segments: Vec<Segment>,
}

/// A part of a plan that must be finished before the next begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Segment {
    /// What it is for.
    pub kind: SegmentKind,
    /// What runs side by side.
    pub tracks: BTreeMap<Track, Vec<Stage>>,
}

/// What a segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SegmentKind {
    /// Approvals and jobs before anything is touched.
    Preflight,
    /// Components whose dependencies are rolled out, the first wave being 1.
    Wave(u16),
    /// Post-deploy verification.
    Verification,
    /// Retiring the old revisions. The release is good by now; nothing here undoes it.
    Retirement,
    /// Bringing the old revisions back.
    Restoration,
}

impl fmt::Display for SegmentKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preflight => formatter.write_str("preflight"),
            Self::Wave(number) => write!(formatter, "wave {number}"),
            Self::Verification => formatter.write_str("verification"),
            Self::Retirement => formatter.write_str("retirement"),
            Self::Restoration => formatter.write_str("restoration"),
        }
    }
}

/// What runs beside others within a segment. Displayed as `release` or `component/<module>`; parses back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub enum Track {
    /// The release as a whole.
    Release,
    /// One component.
    Component(ModuleId),
}

impl Track {
    /// The component, where the track is one's.
    pub fn module(&self) -> Option<&ModuleId> {
        match self {
            Self::Release => None,
            Self::Component(module) => Some(module),
        }
    }
}

impl fmt::Display for Track {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release => formatter.write_str("release"),
            Self::Component(module) => write!(formatter, "component/{module}"),
        }
    }
}
impl TryFrom<String> for Track {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.strip_prefix("component/") {
            Some(module) => Ok(Self::Component(module.parse()?)),
            None if text == "release" => Ok(Self::Release),
            None => Err(TextError::new(&text, "a track", "`release` or `component/<module>`")),
        }
    }
}
impl From<Track> for String {
    fn from(track: Track) -> Self {
        track.to_string()
    }
}

/// One stage of a track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stage {
    /// What must be observed before the change is made.
    pub requires: Vec<Condition>,
    /// What is changed, if anything.
    pub change: Option<Change>,
    /// How long to stay after the change, at the least.
    pub hold: Hold,
    /// What must pass.
    pub gates: Vec<GateIndex>,
    /// What must be observed at the end.
    pub until: Vec<Condition>,
}

impl Stage {
    pub(crate) fn changing(change: Change) -> Self {
        Self {
            requires: Vec::new(),
            change: Some(change),
            hold: Hold::For(Span::ZERO),
            gates: Vec::new(),
            until: Vec::new(),
        }
    }

    pub(crate) fn holding(hold: Hold, gates: Vec<GateIndex>) -> Self {
        Self { requires: Vec::new(), change: None, hold, gates, until: Vec::new() }
    }

    pub(crate) fn once(self, requires: impl IntoIterator<Item = Condition>) -> Self {
        Self { requires: requires.into_iter().collect(), ..self }
    }

    pub(crate) fn until(self, until: impl IntoIterator<Item = Condition>) -> Self {
        Self { until: until.into_iter().collect(), ..self }
    }

    pub(crate) fn gated(self, gates: Vec<GateIndex>) -> Self {
        Self { gates, ..self }
    }
}

/// How long a stage stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// For a time.
    For(Span),
    /// Until someone resumes or promotes.
    UntilResumed,
}

impl Default for Hold {
    fn default() -> Self {
        Self::For(Span::ZERO)
    }
}

/// What a stage changes in the world. Each says what should be, not what to change, so doing it again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The revision exists with so many replicas.
    Apply {
        /// Which revision.
        revision: RevisionId,
        /// How many.
        replicas: u16,
    },
    /// The revision, which exists, has so many replicas.
    Scale {
        /// Which revision.
        revision: RevisionId,
        /// How many.
        replicas: u16,
    },
    /// The component's traffic goes this way.
    Shift {
        /// Where to.
        traffic: Traffic,
    },
    /// The revision is gone.
    Retire {
        /// Which revision.
        revision: RevisionId,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply { revision, replicas } => write!(formatter, "bring up {revision} at {replicas}"),
            Self::Scale { revision, replicas } => write!(formatter, "scale {revision} to {replicas}"),
            Self::Shift { traffic } => write!(formatter, "route {}", TrafficText(traffic)),
            Self::Retire { revision } => write!(formatter, "retire {revision}"),
        }
    }
}

struct TrafficText<'t>(&'t Traffic);

impl fmt::Display for TrafficText<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Traffic::PerInstance(revisions) => {
                let names: Vec<String> = revisions.iter().map(ToString::to_string).collect();
                write!(formatter, "evenly to {}", names.join(" and "))
            }
            Traffic::Weighted(weights) => {
                let shares: Vec<String> =
                    weights.iter().map(|(revision, share)| format!("{share} to {revision}")).collect();
                formatter.write_str(&shares.join(", "))
            }
        }
    }
}

/// What must be observed. An observation that does not show it, for whatever reason, does not meet it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// So many instances of the revision are ready, or more.
    Ready {
        /// Which revision.
        revision: RevisionId,
        /// How many.
        at_least: u16,
    },
    /// So many instances of these revisions together are ready, or more.
    ReadyTogether {
        /// Which revisions.
        revisions: Vec<RevisionId>,
        /// How many.
        at_least: u16,
    },
    /// No more instances of the revision are present than this.
    Present {
        /// Which revision.
        revision: RevisionId,
        /// How many.
        at_most: u16,
    },
    /// The data plane routes exactly this way.
    Routed {
        /// Which way.
        traffic: Traffic,
    },
    /// The data plane sends nothing to the revision.
    Unrouted {
        /// Which revision.
        revision: RevisionId,
    },
    /// The revision does not exist any more.
    Gone {
        /// Which revision.
        revision: RevisionId,
    },
}

impl Condition {
    /// Whether the observation shows it.
    pub fn is_met(&self, observation: &ComponentObservation) -> bool {
        match self {
            Self::Ready { revision, .. } if bug!("weight-before-capacity") => observation.ready(revision) > 0,
            Self::Ready { revision, at_least } => observation.ready(revision) >= *at_least,
            Self::ReadyTogether { revisions, at_least } => {
                let ready =
                    revisions.iter().map(|revision| u32::from(observation.ready(revision))).sum::<u32>();
                ready >= u32::from(*at_least)
            }
            Self::Present { revision, at_most } => {
                observation.revisions.get(revision).is_none_or(|seen| seen.present() <= *at_most)
            }
            Self::Routed { traffic } => observation.traffic.as_ref() == Some(traffic),
            Self::Unrouted { revision } => {
                observation.traffic.as_ref().is_none_or(|traffic| !traffic.revisions().contains(&revision))
            }
            Self::Gone { revision } => !observation.revisions.contains_key(revision),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { revision, at_least } => write!(formatter, "{at_least} ready of {revision}"),
            Self::ReadyTogether { at_least, .. } => write!(formatter, "{at_least} ready in all"),
            Self::Present { revision, at_most } => write!(formatter, "at most {at_most} of {revision}"),
            Self::Routed { traffic } => write!(formatter, "traffic {}", TrafficText(traffic)),
            Self::Unrouted { revision } => write!(formatter, "no traffic to {revision}"),
            Self::Gone { revision } => write!(formatter, "{revision} gone"),
        }
    }
}

impl Hold {
    /// When the hold that began at `since` is over; `None` until it is resumed.
    pub fn ends(self, since: Timestamp) -> Option<Timestamp> {
        match self {
            Self::For(span) => Some(span.after(since)),
            Self::UntilResumed => None,
        }
    }
}
