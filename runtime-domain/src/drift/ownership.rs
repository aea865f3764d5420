//! Who owns what of a component at the moment: our own controllers, and decisions that people took, are never drift.
//!
//! | owner | what it owns | for how long |
//! |---|---|---|
//! | a rollout in flight | everything of its components: image, weights, revisions, replicas | until it ends |
//! | a configuration that is brought to its workloads | the configuration's version | until every workload has it |
//! | a secret's rotation | that secret's version | until the old one is retired |
//! | an active scaling policy | the replicas, within its bounds | while it is active |
//! | a rollback, whose digest is quarantined | image, configuration and secrets, where they are those gone back to | until the digest is released |
//!
//! The first three pass: until they end it is not known whether there is drift. The last two stand: what they bring about is what is
//! meant, and counts as in sync.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use serde_json::Value;

use crate::bug;
use crate::component::{ImageDigest, ReleaseTuple};
use crate::drift::DriftKind;
use crate::drift::comparison::{ActualComponent, ComponentDocument, DesiredComponent};
use crate::id::{ConfigurationId, DeploymentId, ScalingPolicyId, SecretBindingId};
use crate::value::{ModuleId, Replicas};

/// Who owns a part of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A rollout in flight.
    Rollout {
        /// Which.
        deployment: DeploymentId,
    },
    /// A configuration that is brought to its workloads.
    ConfigurationSync {
        /// Which; it must be the desired one.
        configuration: ConfigurationId,
    },
    /// A secret that is rotated.
    Rotation {
        /// Which.
        binding: SecretBindingId,
    },
    /// An active scaling policy.
    Scaling {
        /// Which.
        policy: ScalingPolicyId,
        /// The fewest replicas it keeps; zero where it may scale to nothing.
        fewest: u16,
        /// The most.
        most: Replicas,
    },
    /// A rollback that somebody or a gate decided on.
    Rollback {
        /// What was rolled back, and is quarantined.
        quarantined: ImageDigest,
        /// What was gone back to.
        stable: Box<ReleaseTuple>,
    },
}

impl Owner {
    /// Whether what it brings about is what is meant, for as long as it says; otherwise it passes.
    pub const fn stands(&self) -> bool {
        matches!(self, Self::Scaling { .. } | Self::Rollback { .. })
    }

    /// Whether it owns all of this kind of difference.
    pub(super) fn owns(&self, kind: DriftKind, desired: &DesiredComponent, actual: &ActualComponent) -> bool {
        match self {
            Self::Rollout { .. } => true,
            Self::ConfigurationSync { .. } | Self::Rotation { .. } => false,
            Self::Scaling { .. } if bug!("drift-fights-the-autoscaler") => false,
            Self::Scaling { fewest, most, .. } => {
                kind == DriftKind::ReplicaMismatch && (*fewest..=most.get()).contains(&actual.replicas)
            }
            Self::Rollback { quarantined, stable } => {
                *quarantined == desired.image
                    && match kind {
                        DriftKind::ImageVersionMismatch => actual.image == *stable.image.digest(),
                        DriftKind::ConfigDrift => {
                            actual.image == *stable.image.digest()
                                && actual.surface == desired.surface
                                && actual.configuration == stable.configuration
                                && actual.secrets == stable.secrets
                        }
                        _ => false,
                    }
            }
        }
    }

    /// Takes out of both documents the part that it owns.
    pub(super) fn take(
        &self,
        desired: &DesiredComponent,
        wanted: &mut ComponentDocument,
        found: &mut ComponentDocument,
    ) -> Option<(Value, Value)> {
        let part = |document: &mut ComponentDocument| match self {
            Self::ConfigurationSync { configuration } => {
                let is_desired = desired.configuration.as_ref()?.configuration == *configuration;
                is_desired.then(|| document.configuration.take().unwrap_or(Value::Null))
            }
            Self::Rotation { binding } => Some(document.bindings.remove(binding).unwrap_or(Value::Null)),
            Self::Rollout { .. } | Self::Scaling { .. } | Self::Rollback { .. } => None,
        };
        Some((part(wanted)?, part(found)?))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rollout { deployment } => write!(formatter, "the rollout {deployment}"),
            Self::ConfigurationSync { configuration } => {
                write!(formatter, "the configuration {configuration}, which is brought to its workloads")
            }
            Self::Rotation { binding } => write!(formatter, "the rotation of {binding}"),
            Self::Scaling { policy, fewest, most } => {
                write!(formatter, "the scaling policy {policy}, from {fewest} to {most} replicas")
            }
            Self::Rollback { quarantined, .. } => write!(formatter, "the rollback of {quarantined}"),
        }
    }
}

/// Who owns what in an environment at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ownership {
    owners: BTreeMap<ModuleId, Vec<Owner>>,
}

impl Ownership {
    /// Nobody owns anything.
    pub const fn nobody() -> Self {
        Self { owners: BTreeMap::new() }
    }

    /// The same, and `owner` owns its part of `module`.
    #[must_use]
    pub fn with(mut self, module: ModuleId, owner: Owner) -> Self {
        self.owners.entry(module).or_default().push(owner);
        self
    }

    /// Who owns parts of `module`.
    pub fn of(&self, module: &ModuleId) -> &[Owner] {
        self.owners.get(module).map_or(&[], Vec::as_slice)
    }
}
