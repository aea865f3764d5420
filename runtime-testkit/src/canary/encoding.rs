//! What a value looks like in each encoding.

use std::fmt::Write as _;

use super::Encoding;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) fn patterns(value: &[u8]) -> Vec<(Encoding, Vec<u8>)> {
    let mut patterns = vec![
        (Encoding::Plain, value.to_vec()),
        (Encoding::Hex, hex(value, false)),
        (Encoding::Hex, hex(value, true)),
        (Encoding::DebugBytes, debug(value)),
        (Encoding::Reversed, value.iter().rev().copied().collect()),
    ];
    for shift in 0..3 {
        patterns.push((Encoding::Base64, base64(value, shift, STANDARD)));
        patterns.push((Encoding::Base64Url, base64(value, shift, URL)));
    }
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let in_path = |byte: u8| unreserved(byte) || b"!$&'()*+,;=:@/".contains(&byte);
    patterns.push((Encoding::Percent, percent(value, |_| false, false)));
    patterns.push((Encoding::Percent, percent(value, unreserved, false)));
    patterns.push((Encoding::Percent, percent(value, unreserved, true)));
    patterns.push((Encoding::Percent, percent(value, in_path, false)));
    if let Ok(text) = std::str::from_utf8(value) {
        patterns.push((Encoding::Json, json(text, false)));
        patterns.push((Encoding::Json, json(text, true)));
        patterns.push((Encoding::Utf16, text.encode_utf16().flat_map(u16::to_le_bytes).collect()));
        patterns.push((Encoding::Utf16, text.encode_utf16().flat_map(u16::to_be_bytes).collect()));
    }
    patterns.sort();
    patterns.dedup();
    patterns
}

fn hex(value: &[u8], upper: bool) -> Vec<u8> {
    let mut text = String::new();
    for byte in value {
        // Writing to a string does not fail.
        let _ = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
    }
    text.into_bytes()
}

/// `98, 108, …`, as a list of bytes is written on one line.
fn debug(value: &[u8]) -> Vec<u8> {
    let numbers: Vec<String> = value.iter().map(u8::to_string).collect();
    numbers.join(", ").into_bytes()
}

/// What is the same of every base64 text in which the value begins `shift` bytes after a group of three.
fn base64(value: &[u8], shift: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let shifted = [&vec![0; shift], value].concat();
    let bits = shifted.len() * 8;
    let mut digits = Vec::new();
    // The first digit that no byte before the value has a part in, to the last one that no byte after it has.
    let mut at = (shift * 8).div_ceil(6) * 6;
    while at + 6 <= bits {
        let byte = |index: usize| shifted.get(index).copied().map_or(0, u32::from);
        let two = byte(at / 8) << 8 | byte(at / 8 + 1);
        let digit = usize::try_from(two >> (10 - at % 8) & 63).unwrap_or(0);
        digits.extend(alphabet.get(digit));
        at += 6;
    }
    digits
}

fn percent(value: &[u8], is_kept: impl Fn(u8) -> bool, plus_for_space: bool) -> Vec<u8> {
    let mut text = String::new();
    for byte in value {
        match byte {
            b' ' if plus_for_space => text.push('+'),
            byte if is_kept(*byte) => text.push(char::from(*byte)),
            byte => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text.into_bytes()
}

/// As JSON and `Debug` escape a text within its quotes; or with every byte outside of ASCII, and `/`, escaped too.
fn json(text: &str, everything: bool) -> Vec<u8> {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '/' if everything => escaped.push_str("\\/"),
            character if everything && !character.is_ascii() => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
            character => escaped.push(character),
        }
    }
    escaped.into_bytes()
}
