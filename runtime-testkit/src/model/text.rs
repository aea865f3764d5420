//! What the specification says of reasons, read independently.

const LONGEST: usize = 2_000;

/// Whether a person's reason says something that can be kept.
pub(super) fn is_reason(text: &str) -> bool {
    let said = text.trim();
    !said.is_empty() && said.len() <= LONGEST
}

/// A machine's reason as it is kept: what happened has happened, so it is shortened and never refused.
pub(super) fn kept(text: &str) -> String {
    let said = text.trim();
    if said.is_empty() {
        return "no reason was given".to_owned();
    }
    let mut short = String::new();
    for character in said.chars() {
        if short.len() + character.len_utf8() > LONGEST {
            break;
        }
        short.push(character);
    }
    short
}
