//! Reasons that are kept with what happened: stated by people, or reported by the world.

use alloc::borrow::ToOwned;
use alloc::string::String;

/// The longest reason that is kept, in bytes: history grows by it for ever.
pub(crate) const LONGEST: usize = 2_000;

/// A reason that a caller states: `None` where it says nothing, or more than can be kept.
pub(crate) fn stated(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= LONGEST).then(|| text.to_owned())
}

/// A reason that an engine or a surface reports: what happened has happened, so it is shortened and never refused.
pub(crate) fn reported(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "no reason was given".to_owned();
    }
    let end = text.floor_char_boundary(LONGEST.min(text.len()));
    text.get(..end).unwrap_or_default().to_owned()
}

/// Whether a stored reason is one that the functions above could have made.
pub(crate) fn is_kept(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LONGEST
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_reported_can_be_kept(text in "\\PC{0,900}") {
            prop_assert!(is_kept(&reported(&text)));
            let long = text.repeat(4);
            prop_assert!(reported(&long).len() <= LONGEST);
        }

        #[test]
        fn whatever_is_stated_and_accepted_can_be_kept(text in "\\PC{0,40}") {
            prop_assert!(stated(&text).is_none_or(|reason| is_kept(&reason)));
        }
    }

    #[test]
    fn a_reason_that_says_nothing_is_none() {
        assert_eq!(stated(" \n"), None);
        assert_eq!(stated(&"x".repeat(LONGEST + 1)), None);
        assert_eq!(stated(" moved \n"), Some("moved".to_owned()));
        assert_eq!(stated(&"x".repeat(LONGEST)).map(|reason| reason.len()), Some(LONGEST));
    }

    #[test]
    fn what_is_reported_is_shortened_at_a_letter_and_never_empty() {
        assert_eq!(reported(" port in use \n"), "port in use");
        assert_eq!(reported("  "), "no reason was given");
        assert_eq!(reported(&"x".repeat(LONGEST + 1)).len(), LONGEST);
        assert_eq!(reported(&"ä".repeat(LONGEST)).len(), LONGEST);
        assert_eq!(reported(&["x", &"ä".repeat(LONGEST)].concat()).len(), LONGEST - 1);
        assert!(is_kept(&"x".repeat(LONGEST)) && !is_kept(&"x".repeat(LONGEST + 1)) && !is_kept(" "));
    }
}
