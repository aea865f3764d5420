//! What a story has more of than others. Evenly spread troubles come to the same things again and again: one call in fifty is a handover, and
//! one story in a hundred kills a host there. So the seed chooses a theme, and half of what happens is about that.

use runtime_testkit::faults::{FaultKind, METHODS, Method};

use crate::coverage;

/// What a story has more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    /// Nothing.
    Everything,
    /// Rollouts.
    Releases,
    /// Environments that come, change and go.
    Environments,
    /// What is there, and how it is.
    Inventory,
    Configuration,
    Secrets,
    Scaling,
    Drift,
    /// Places, quotas and moves.
    Tenancy,
    /// Events on their way.
    Relay,
    /// The store, by itself.
    Store,
}

const THEMES: [Theme; 11] = [
    Theme::Everything,
    Theme::Releases,
    Theme::Environments,
    Theme::Inventory,
    Theme::Configuration,
    Theme::Secrets,
    Theme::Scaling,
    Theme::Drift,
    Theme::Tenancy,
    Theme::Relay,
    Theme::Store,
];

impl Theme {
    /// The theme of a seed. Neighbouring seeds have different ones, so that every run has all of them.
    pub(super) fn of(seed: u64) -> Self {
        let count = u64::try_from(THEMES.len()).unwrap_or(1);
        let at = usize::try_from(seed % count).unwrap_or_default();
        THEMES.get(at).copied().unwrap_or(Self::Everything)
    }

    /// Whose actions hosts are killed at.
    pub(super) const fn reconciler(self) -> Option<&'static str> {
        match self {
            Self::Everything | Self::Store => None,
            Self::Releases => Some("deployment"),
            Self::Environments => Some("environment"),
            Self::Inventory => Some("inventory"),
            Self::Configuration => Some("configuration"),
            Self::Secrets => Some("secrets"),
            Self::Scaling => Some("scaling"),
            Self::Drift => Some("drift"),
            Self::Tenancy => Some("tenancy"),
            Self::Relay => Some("relay"),
        }
    }

    /// Whether faults of a method are of this theme.
    fn has(self, method: &str) -> bool {
        let (port, own) = method.split_once('.').unwrap_or((method, ""));
        match self {
            Self::Everything => true,
            Self::Releases => matches!(port, "surface" | "jobs" | "metrics" | "prober"),
            Self::Environments => port == "infrastructure",
            Self::Inventory => {
                matches!(port, "health_results" | "prober" | "snapshots") || own == "list" || own == "observe"
            }
            Self::Configuration => matches!(method, "surface.deliver" | "surface.observe" | "store.query"),
            Self::Secrets => port == "secrets",
            Self::Scaling => matches!(port, "scaling_signals" | "metrics") || method == "surface.scale",
            Self::Drift => matches!(port, "desired_state" | "registry") || method == "surface.list",
            Self::Tenancy => port == "handover" || matches!(method, "surface.retire" | "surface.scale"),
            Self::Relay => matches!(port, "publisher" | "subscriber") || own.starts_with("outbox"),
            Self::Store => port == "store",
        }
    }

    /// The cells of this theme: each is as likely as every other.
    pub(super) fn cells(self) -> Vec<(Method, FaultKind)> {
        let methods =
            METHODS.iter().filter(|method| self.has(method.name) && coverage::is_called(method.name));
        let cells = methods.flat_map(|method| {
            let kinds =
                FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::Slow && method.may_meet(*kind));
            kinds.map(|kind| (*method, kind))
        });
        cells.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Coverage;

    #[test]
    fn every_cell_that_can_be_reached_is_of_a_theme_of_its_own() {
        let told = THEMES.into_iter().skip(1).flat_map(Theme::cells);
        let told: BTreeSet<_> = told.map(|(method, kind)| (method.name, kind)).collect();
        let left: Vec<_> = Coverage::all_cells().into_iter().filter(|cell| !told.contains(cell)).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn as_many_seeds_as_there_are_themes_have_all_of_them() {
        let reconcilers: BTreeSet<_> = (90..101).filter_map(|seed| Theme::of(seed).reconciler()).collect();
        assert_eq!(reconcilers, coverage::RECONCILERS.into());
    }
}
