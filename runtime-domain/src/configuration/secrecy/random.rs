//! Text that looks random.

use alloc::collections::BTreeMap;

use crate::configuration::secrecy::Suspicion;
use crate::configuration::secrecy::name::Naming;

/// Fewest characters of three kinds, and their entropy in 256ths of a bit per character.
const MIXED: (usize, u32) = (8, 5 * 128);
/// Fewest characters with digits among letters, and their entropy in 256ths of a bit per character.
const LONG: (usize, u32) = (16, 3 * 256);
/// Fewest digits among the letters of a long one: a name may end in a number.
const LONG_DIGITS: usize = 3;
/// Fewest characters of a password.
const PASSWORD: usize = 6;

/// How much of what is assigned is looked at, in bytes: a text of nothing but assignments would be read again from each of them.
const LOOKED_AT: usize = 512;

/// Whether a text has a word that looks random, where its name says that it is a credential.
pub(super) fn is_credential(text: &str, naming: Naming) -> bool {
    naming.is_credential() && text.split_whitespace().any(|word| looks_random(word, naming))
}

/// Whether one word looks like a credential.
pub(super) fn looks_random(word: &str, naming: Naming) -> bool {
    let word = word.trim_matches(['"', '\'', ',', ';']);
    if is_placeholder(word) || is_plain_location(word) {
        return false;
    }
    let length = word.chars().count();
    let kinds = Kinds::of(word);
    let mixed = length >= MIXED.0 && kinds.count() >= 3 && entropy(word) >= MIXED.1;
    let long = length >= LONG.0
        && kinds.digits >= LONG_DIGITS
        && (kinds.lower || kinds.upper)
        && entropy(word) >= LONG.1;
    let chosen = naming == Naming::Password
        && length >= PASSWORD
        && (kinds.lower || kinds.upper)
        && (kinds.digits > 0 || kinds.symbols);
    mixed || long || chosen
}

/// Looks at what a text assigns by `name=value` or `name: value`, as in `.env` files, queries and connection strings.
pub(super) fn assigned(text: &str) -> Result<(), Suspicion> {
    // A connection string is a list of pairs: there, whatever stands under a credential's name is one.
    let is_list = text.matches('=').count() >= 2 && text.contains(';');
    for (at, sign) in text.match_indices(['=', ':']) {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        let before = before.trim_end_matches(['"', '\'', ' ', '\\']);
        let ends = |character: char| !(character.is_ascii_alphanumeric() || "_-. ".contains(character));
        let name = before.rfind(ends).map_or(before, |end| before.get(end + 1..).unwrap_or(before));
        let naming = if name == "sig" { Naming::Credential } else { Naming::of(name) };
        if !naming.is_credential() {
            continue;
        }
        let value = after.trim_start_matches(['"', '\'', ' ', '\\']);
        let value = value.get(..value.floor_char_boundary(LOOKED_AT)).unwrap_or_default();
        let value =
            value.split([';', '&', '"', '\'', ',', ' ', '\n', '\r', '\t', '\\']).next().unwrap_or_default();
        if is_placeholder(value) {
            continue;
        }
        if is_list && sign == "=" {
            return Err(Suspicion::ConnectionString);
        }
        if looks_random(value, naming) {
            return Err(Suspicion::RandomCredential);
        }
    }
    Ok(())
}

/// Something that stands for a value that comes later.
pub(super) fn is_placeholder(word: &str) -> bool {
    let encloses = |open, close| {
        word.strip_prefix(open)
            .and_then(|rest: &str| rest.strip_suffix(close))
            .is_some_and(|name: &str| name.len() <= 64 && name.bytes().all(is_name_byte))
    };
    let mut characters = word.chars();
    let first = characters.next();
    encloses("${", "}")
        || encloses("{{", "}}")
        || encloses("{", "}")
        || encloses("<", ">")
        || encloses("$(", ")")
        || encloses("%", "%")
        || characters.all(|character| Some(character) == first)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.- ".contains(&byte)
}

/// A URL without a query, or a path, none of whose parts looks random.
fn is_plain_location(word: &str) -> bool {
    let rest = match word.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_lowercase()) => rest,
        _ if word.starts_with(['/', '.', '~']) && word.contains('/') => word,
        _ => return false,
    };
    let is_location = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:~".contains(&byte);
    rest.bytes().all(is_location) && !rest.split('/').any(looks_random_part)
}

fn looks_random_part(part: &str) -> bool {
    let kinds = Kinds::of(part);
    part.len() >= LONG.0 && kinds.digits >= LONG_DIGITS && entropy(part) >= LONG.1
}

#[derive(Default)]
struct Kinds {
    lower: bool,
    upper: bool,
    digits: usize,
    symbols: bool,
}

impl Kinds {
    fn of(word: &str) -> Self {
        let mut kinds = Self::default();
        for character in word.chars() {
            match character {
                'a'..='z' => kinds.lower = true,
                'A'..='Z' => kinds.upper = true,
                '0'..='9' => kinds.digits += 1,
                // What separates the words of a name is no symbol of a password.
                '-' | '_' | '.' | '/' | ':' | ',' => {}
                _ => kinds.symbols = true,
            }
        }
        kinds
    }

    fn count(&self) -> usize {
        usize::from(self.lower)
            + usize::from(self.upper)
            + usize::from(self.digits > 0)
            + usize::from(self.symbols)
    }
}

/// The Shannon entropy per character, in 256ths of a bit, rounded down.
pub(super) fn entropy(text: &str) -> u32 {
    let mut counts: BTreeMap<char, u32> = BTreeMap::new();
    let mut total: u32 = 0;
    for character in text.chars() {
        *counts.entry(character).or_default() += 1;
        total += 1;
    }
    let weighted: u64 = counts.values().map(|count| u64::from(*count) * u64::from(log2(*count))).sum();
    let average = weighted.checked_div(u64::from(total)).unwrap_or(0);
    log2(total.max(1)).saturating_sub(u32::try_from(average).unwrap_or(u32::MAX))
}

/// The logarithm to the base 2 of a number from 1, in 256ths: whole bits, then one bit of fraction for each squaring.
fn log2(number: u32) -> u32 {
    let whole = number.max(1).ilog2();
    let mut mantissa = u64::from(number.max(1)) << (31 - whole);
    let mut result = whole;
    for _ in 0..8 {
        mantissa = (mantissa * mantissa) >> 31;
        result <<= 1;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            result |= 1;
        }
    }
    result
}
