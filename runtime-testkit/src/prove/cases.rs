//! How many cases, and from which seed.

use std::hash::{BuildHasher, Hasher};

use crate::dice::mixed;

/// How many cases a suite plays, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cases {
    pub(super) count: u64,
    pub(super) seed: Option<u64>,
    /// One case alone, by its own seed.
    pub(super) only: Option<u64>,
}

/// Sets the number of cases of every suite that does not say it itself.
const CASES: &str = "RUNTIME_TESTKIT_CASES";
/// Plays one case alone: the seed that a failure printed, in hexadecimal.
const SEED: &str = "RUNTIME_TESTKIT_SEED";
/// Where every suite begins that does not say it itself, in hexadecimal: the same cases in every run.
const FIRST: &str = "RUNTIME_TESTKIT_FIRST";

impl Default for Cases {
    /// 256 cases, or as many as `RUNTIME_TESTKIT_CASES` says; where they begin is as for [`Cases::of`].
    fn default() -> Self {
        let number = std::env::var(CASES).ok().and_then(|text| text.trim().parse().ok());
        Self::of(number.unwrap_or(256))
    }
}

impl Cases {
    /// So many cases, whatever the environment variable says. They begin with a fresh seed, or with the one that `RUNTIME_TESTKIT_FIRST` names;
    /// `RUNTIME_TESTKIT_SEED` names one case alone.
    pub fn of(count: u64) -> Self {
        let named = |variable| std::env::var(variable).ok().and_then(|text| parse(&text));
        Self { count, seed: named(FIRST), only: named(SEED) }
    }

    /// The same cases every time.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// One case alone: the seed that a failure printed.
    #[must_use]
    pub fn only(self, case: u64) -> Self {
        Self { only: Some(case), ..self }
    }

    /// The seed of every case, in order.
    pub(super) fn seeds(self) -> impl Iterator<Item = u64> {
        let first = self.seed.unwrap_or_else(fresh);
        let count = if self.only.is_some() { 1 } else { self.count };
        (0..count).map(move |number| self.only.unwrap_or_else(|| mixed(first.wrapping_add(number))))
    }
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

/// A seed that differs from run to run.
fn fresh() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_cases_and_another_gives_others() {
        let seeds = |seed| Cases { count: 9, seed: Some(seed), only: None }.seeds().collect::<Vec<_>>();
        assert_eq!(seeds(1), seeds(1));
        assert_ne!(seeds(1), seeds(2));
        assert_eq!(seeds(1).len(), 9);
    }

    #[test]
    fn one_case_can_be_played_alone() {
        let only = Cases { count: 9, seed: Some(1), only: None }.only(0xfeed);
        assert_eq!(only.seeds().collect::<Vec<_>>(), [0xfeed]);
        assert_eq!(parse(" 0xfeed "), Some(0xfeed));
        assert_eq!(parse("feed"), Some(0xfeed));
        assert_eq!(parse("seed"), None);
    }
}
