//! Chance from a seed: the same throws every time.

/// Spreads neighbouring numbers over all seeds: the finaliser of `SplitMix64`.
pub(crate) const fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(STRIDE);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Throws that follow from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(mixed(seed))
    }

    /// A number below `end`; 0 where that is 0.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        let thrown = mixed(self.0);
        self.0 = self.0.wrapping_add(STRIDE);
        if end == 0 { 0 } else { thrown % end }
    }

    /// True in so many of a hundred throws.
    pub(crate) const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these; `None` where there are none.
    pub(crate) fn one_of<'t, T>(&mut self, things: &'t [T]) -> Option<&'t T> {
        let thrown = self.below(u64::try_from(things.len()).unwrap_or(u64::MAX));
        things.get(usize::try_from(thrown).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_and_another_throws_otherwise() {
        let throws = |seed| {
            let mut dice = Dice::seeded(seed);
            (0..20).map(|_| dice.below(6)).collect::<Vec<_>>()
        };
        assert_eq!(throws(1), throws(1));
        assert_ne!(throws(1), throws(2));
        assert!((0..6).all(|face| throws(1).contains(&face)), "{:?}", throws(1));
    }

    #[test]
    fn of_nothing_there_is_nothing_to_choose() {
        let mut dice = Dice::seeded(1);
        assert_eq!((dice.below(0), dice.one_of::<u8>(&[])), (0, None));
        assert!(dice.chance(100) && !dice.chance(0));
    }
}
