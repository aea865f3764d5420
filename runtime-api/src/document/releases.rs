//! Releases: what is rolled out, how, and what it is judged by.

use std::collections::BTreeMap;
use std::fmt::Display;

use runtime_domain::component::{ImageReference, ReleaseReference};
use runtime_domain::deployment::Release;
use runtime_domain::id::ConfigurationId;
use runtime_domain::rollout::strategy::{BlueGreen, Canary, CanaryStep, Rolling};
use runtime_domain::rollout::{DeploymentStrategy, GateSpec, Hold, RolloutLimits};
use runtime_domain::time::Span;
use runtime_domain::value::{ModuleId, Name, Percent};
use runtime_ports::manifest::{GateManifest, ReleaseManifest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::millis;
use crate::problem::{Problem, ProblemKind};

mod components;
mod gates;

pub use components::{Component, ConfigurationTaking, Dependency, HttpProbe, Resources};
pub use gates::{Check, Gate};

/// A release as it is written down: images by reference, which are resolved when it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Release")]
pub struct ReleaseDocument {
    /// Its name.
    pub reference: ReleaseReference,
    /// How the new replaces the old.
    pub strategy: Strategy,
    /// Its components, by module.
    pub components: BTreeMap<ModuleId, Component>,
    /// What it is judged by, by name, besides readiness.
    #[serde(default)]
    pub gates: BTreeMap<Name, Gate>,
    /// How long it may take and how much may go wrong.
    #[serde(default)]
    pub limits: Limits,
    /// The configuration version that it carries to every one of its components; none where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_id: Option<ConfigurationId>,
}

/// How the new replaces the old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Strategy {
    /// Instance by instance, each judged.
    RollingHealthGated {
        /// How many more than wanted there may be meanwhile.
        #[serde(default = "one")]
        max_surge: u16,
        /// How many fewer than wanted there may be meanwhile.
        #[serde(default)]
        max_unavailable: u16,
    },
    /// The new beside the old, then all traffic at once.
    BlueGreen {
        /// How long the new bakes before it gets the traffic, in milliseconds.
        #[serde(default)]
        bake_millis: u64,
        /// How long the old stays afterwards, in milliseconds.
        #[serde(default)]
        retirement_delay_millis: u64,
    },
    /// The new gets shares of the traffic, one after the other.
    Canary {
        /// The shares.
        steps: Vec<CanaryShare>,
        /// How long the new bakes with all traffic, in milliseconds.
        #[serde(default)]
        bake_millis: u64,
        /// How long the old stays afterwards, in milliseconds.
        #[serde(default)]
        retirement_delay_millis: u64,
    },
}

const fn one() -> u16 {
    1
}

/// A share of the traffic, and how long it is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CanaryShare {
    /// The share, in percent.
    pub weight: Percent,
    /// How long it is held, in milliseconds, at the least.
    #[serde(default)]
    pub hold_millis: u64,
    /// Whether it is held until somebody resumes; then no time is said.
    #[serde(default)]
    pub holds_until_resumed: bool,
}

impl CanaryShare {
    fn step(&self) -> CanaryStep {
        let hold = if self.holds_until_resumed {
            Hold::UntilResumed
        } else {
            Hold::For(Span::from_millis(self.hold_millis))
        };
        CanaryStep { weight: self.weight, hold }
    }

    fn of(step: &CanaryStep) -> Self {
        let (hold_millis, holds_until_resumed) = match step.hold {
            Hold::For(span) => (millis(span), false),
            Hold::UntilResumed => (0, true),
        };
        Self { weight: step.weight, hold_millis, holds_until_resumed }
    }
}

impl Strategy {
    pub(crate) fn strategy(&self) -> DeploymentStrategy {
        match self {
            Self::RollingHealthGated { max_surge, max_unavailable } => {
                DeploymentStrategy::RollingHealthGated(Rolling {
                    max_surge: *max_surge,
                    max_unavailable: *max_unavailable,
                })
            }
            Self::BlueGreen { bake_millis, retirement_delay_millis } => {
                DeploymentStrategy::BlueGreen(BlueGreen {
                    bake: Span::from_millis(*bake_millis),
                    retirement_delay: Span::from_millis(*retirement_delay_millis),
                })
            }
            Self::Canary { steps, bake_millis, retirement_delay_millis } => {
                DeploymentStrategy::Canary(Canary {
                    steps: steps.iter().map(CanaryShare::step).collect(),
                    bake: Span::from_millis(*bake_millis),
                    retirement_delay: Span::from_millis(*retirement_delay_millis),
                })
            }
        }
    }

    pub(crate) fn of(strategy: &DeploymentStrategy) -> Self {
        match strategy {
            DeploymentStrategy::RollingHealthGated(Rolling { max_surge, max_unavailable }) => {
                Self::RollingHealthGated { max_surge: *max_surge, max_unavailable: *max_unavailable }
            }
            DeploymentStrategy::BlueGreen(BlueGreen { bake, retirement_delay }) => Self::BlueGreen {
                bake_millis: millis(*bake),
                retirement_delay_millis: millis(*retirement_delay),
            },
            DeploymentStrategy::Canary(Canary { steps, bake, retirement_delay }) => Self::Canary {
                steps: steps.iter().map(CanaryShare::of).collect(),
                bake_millis: millis(*bake),
                retirement_delay_millis: millis(*retirement_delay),
            },
        }
    }
}

/// How long a rollout may take and how much may go wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// How long it may take in all, in milliseconds.
    pub deadline_millis: u64,
    /// How long it may go without progress, in milliseconds.
    pub progress_deadline_millis: u64,
    /// How long going back may take, in milliseconds.
    pub rollback_deadline_millis: u64,
    /// How often instances may end before it goes back.
    pub crash_limit: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(&RolloutLimits::default())
    }
}

impl Limits {
    fn of(limits: &RolloutLimits) -> Self {
        Self {
            deadline_millis: millis(limits.deadline),
            progress_deadline_millis: millis(limits.progress_deadline),
            rollback_deadline_millis: millis(limits.rollback_deadline),
            crash_limit: limits.crash_limit,
        }
    }
}

/// An image, by its digest.
pub(crate) fn pinned(image: &runtime_domain::component::PinnedImage) -> ImageReference {
    let reference = image.reference();
    let text = format!("{}@{}", reference.repository(), image.digest().as_str());
    ImageReference::new(&text).unwrap_or_else(|_| reference.clone())
}

impl ReleaseDocument {
    pub(crate) fn manifest(&self) -> Result<ReleaseManifest, Problem> {
        let unprocessable = |what: String, why: &dyn Display| {
            Problem::new(ProblemKind::Unprocessable, format!("release.{what}: {why}"))
        };
        let gates = self.gates.iter().map(|(name, gate)| {
            let check =
                gate.check.manifest().map_err(|error| unprocessable(format!("gates.{name}"), &error))?;
            Ok((name.clone(), GateManifest { at: gate.at, modules: gate.modules.clone(), check }))
        });
        let components = self.components.iter().map(|(id, component)| {
            let manifest = component.manifest();
            let manifest =
                manifest.map_err(|why| unprocessable(format!("components.{id}.{}", why.at), &why))?;
            Ok((id.clone(), manifest))
        });
        Ok(ReleaseManifest {
            release: self.reference.clone(),
            strategy: self.strategy.strategy(),
            components: components.collect::<Result<_, Problem>>()?,
            gates: gates.collect::<Result<_, Problem>>()?,
            limits: RolloutLimits {
                deadline: Span::from_millis(self.limits.deadline_millis),
                progress_deadline: Span::from_millis(self.limits.progress_deadline_millis),
                rollback_deadline: Span::from_millis(self.limits.rollback_deadline_millis),
                crash_limit: self.limits.crash_limit,
            },
            configuration: self.configuration_id,
        })
    }

    pub(crate) fn of(release: &Release) -> Self {
        let gate = |spec: &GateSpec| {
            let check = Check::of(&spec.check)?;
            Some((spec.name.clone(), Gate { at: spec.at, modules: spec.modules.clone(), check }))
        };
        Self {
            reference: release.reference.clone(),
            strategy: Strategy::of(&release.strategy),
            components: release.components.iter().map(|(id, it)| (id.clone(), Component::of(it))).collect(),
            gates: release.gates.iter().filter_map(gate).collect(),
            limits: Limits::of(&release.limits),
            configuration_id: release.configuration_id,
        }
    }
}
