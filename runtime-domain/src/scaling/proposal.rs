//! What one reading proposes.

use crate::scaling::Tolerance;
use crate::value::{Measure, Replicas};

/// The replicas that would bring a reading per replica (or a utilisation) to its target: `ceil(current · reading / target)`, at most
/// [`Replicas::MOST`], and `current` within the tolerance. It is not held to a policy's bounds.
///
/// `None` where the target is not positive or the reading is negative: such a reading is unknown, which is not zero.
pub fn proposal(current: u16, reading: Measure, target: Measure, tolerance: Tolerance) -> Option<u16> {
    let reading = u128::try_from(reading.micros()).ok()?;
    let target = u128::try_from(target.micros()).ok().filter(|target| *target > 0)?;
    if reading.abs_diff(target) * 100 <= target * u128::from(tolerance.get()) {
        return Some(current);
    }
    let wanted = (u128::from(current) * reading).div_ceil(target);
    Some(u16::try_from(wanted).map_or(Replicas::MOST, |wanted| wanted.min(Replicas::MOST)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Percent;

    #[test]
    fn a_reading_proposes_the_ceiling_and_nothing_within_its_tolerance() {
        let ten = Percent::new(10).unwrap();
        let propose = |reading| proposal(4, Measure::from_units(reading), Measure::from_units(100), ten);
        assert_eq!([90, 110].map(propose), [Some(4), Some(4)]);
        assert_eq!([111, 200, 201, 50, 0].map(propose), [Some(5), Some(8), Some(9), Some(2), Some(0)]);
        assert_eq!(propose(i64::MAX), Some(Replicas::MOST));
        assert_eq!(propose(-1), None);
        assert_eq!(proposal(4, Measure::from_units(1), Measure::from_units(0), ten), None);
    }
}
