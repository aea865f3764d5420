//! Between how many replicas a service runs, and on which target.

use serde::{Deserialize, Serialize};

use crate::surface::SurfaceKind;
use crate::value::Replicas;

/// The fewest and the most replicas of a service on its target (SCL-1, SCL-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Written", into = "Written")]
pub struct ReplicaBounds {
    target: SurfaceKind,
    least: Option<Replicas>,
    most: Replicas,
}

/// From how many to how many replicas a service runs, and on which target.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Written {
    /// Where it runs.
    target: SurfaceKind,
    /// The fewest replicas; 0 is scale to zero.
    min_replicas: u16,
    /// The most replicas.
    max_replicas: Replicas,
}

/// Why two counts are not the bounds of a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BoundsError {
    /// The fewest are more than the most (SCL-1).
    #[error(
        "at least {least} and at most {most} replicas leave no count: write a least that is not more than the most"
    )]
    Inverted {
        /// The fewest.
        least: u16,
        /// The most.
        most: Replicas,
    },
    /// The target does not wake on events, so nothing would start it again from zero (SCL-2).
    #[error(
        "{target} is not event-driven and cannot run zero replicas: write a least of 1, or use container-apps or functions"
    )]
    NotEventDriven {
        /// The target.
        target: SurfaceKind,
    },
}

impl ReplicaBounds {
    /// From `least` to `most` replicas on `target`; a `least` of 0 is scale to zero.
    ///
    /// # Errors
    /// `least` is more than `most` (SCL-1), or is 0 on a target that is not event-driven (SCL-2).
    pub fn new(target: SurfaceKind, least: u16, most: Replicas) -> Result<Self, BoundsError> {
        if least > most.get() {
            return Err(BoundsError::Inverted { least, most });
        }
        let least = Replicas::new(least).ok();
        let is_event_driven = matches!(target, SurfaceKind::ContainerApps | SurfaceKind::Functions);
        if least.is_none() && !is_event_driven {
            return Err(BoundsError::NotEventDriven { target });
        }
        Ok(Self { target, least, most })
    }

    /// Where the service runs.
    pub const fn target(self) -> SurfaceKind {
        self.target
    }

    /// The fewest replicas; 0 where it scales to zero.
    pub fn least(self) -> u16 {
        self.least.map_or(0, Replicas::get)
    }

    /// The most replicas.
    pub const fn most(self) -> Replicas {
        self.most
    }

    /// True where the service may run no replica at all.
    pub const fn scales_to_zero(self) -> bool {
        self.least.is_none()
    }

    /// The nearest count that is within the bounds.
    pub fn clamp(self, replicas: u16) -> u16 {
        replicas.clamp(self.least(), self.most.get())
    }
}

impl TryFrom<Written> for ReplicaBounds {
    type Error = BoundsError;
    fn try_from(written: Written) -> Result<Self, Self::Error> {
        Self::new(written.target, written.min_replicas, written.max_replicas)
    }
}
impl From<ReplicaBounds> for Written {
    fn from(bounds: ReplicaBounds) -> Self {
        Self { target: bounds.target, min_replicas: bounds.least(), max_replicas: bounds.most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows SCL-1.
    #[test]
    fn the_fewest_are_never_more_than_the_most_whichever_door_is_used() {
        let most = Replicas::new(3).unwrap();
        let bounds = ReplicaBounds::new(SurfaceKind::Kubernetes, 3, most).unwrap();
        assert_eq!((bounds.target(), bounds.least(), bounds.most()), (SurfaceKind::Kubernetes, 3, most));
        assert!(!bounds.scales_to_zero());
        let inverted = Err(BoundsError::Inverted { least: 4, most });
        assert_eq!(ReplicaBounds::new(SurfaceKind::Kubernetes, 4, most), inverted);
        let mut written = serde_json::to_value(bounds).unwrap();
        assert_eq!(serde_json::from_value::<ReplicaBounds>(written.clone()).unwrap(), bounds);
        written["min_replicas"] = 4.into();
        assert!(serde_json::from_value::<ReplicaBounds>(written).is_err());
    }

    /// Shows SCL-2.
    #[test]
    fn only_an_event_driven_target_scales_to_zero() {
        use SurfaceKind::{AppService, ContainerApps, Functions, Kubernetes, Process};
        for target in [Process, Kubernetes, AppService] {
            let refused = Err(BoundsError::NotEventDriven { target });
            assert_eq!(ReplicaBounds::new(target, 0, Replicas::ONE), refused);
        }
        for target in [ContainerApps, Functions] {
            let bounds = ReplicaBounds::new(target, 0, Replicas::ONE).unwrap();
            assert!(bounds.scales_to_zero());
            assert_eq!((bounds.clamp(0), bounds.clamp(2)), (0, 1));
        }
    }
}
