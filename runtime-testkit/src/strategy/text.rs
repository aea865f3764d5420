//! Hostile texts.

use proptest::prelude::*;

/// Texts that must be refused or legal, and never make anything panic: empty, long, with control characters, look-alikes and
/// directions, paths that climb, identifiers of other kinds, numbers at the edges, and plain noise.
pub fn hostile_text() -> BoxedStrategy<String> {
    let chosen = prop_oneof![
        Just(""),
        Just(" "),
        Just("\0"),
        Just("\u{202e}evil"),
        Just("ﬁne"),
        Just("раypal"),
        Just("a\u{0301}"),
        Just("\u{feff}name"),
        Just("💥"),
        Just("../../etc/passwd"),
        Just("..\\..\\windows"),
        Just("%2e%2e%2f"),
        Just("/"),
        Just("-"),
        Just("--version"),
        Just("$(reboot)"),
        Just("'; drop table aggregates; --"),
        Just("name\r\nX-Injected: 1"),
        Just("{{secret}}"),
        Just("null"),
        Just("NaN"),
        Just("-0"),
        Just("1e999"),
        Just("9223372036854775808"),
        Just("18446744073709551616"),
        Just("İ"),
        Just("sha256:"),
        Just("component/"),
        Just("@dep_"),
    ];
    prop_oneof![
        4 => chosen.prop_map(str::to_owned),
        2 => (0..15_usize, any::<u128>()).prop_map(|(kind, number)| identifier(kind, number)),
        1 => (0..6_usize).prop_map(|power| "a".repeat(10_usize.pow(u32::try_from(power).unwrap_or(0)).min(70_000))),
        2 => any::<String>(),
        2 => "[a-zA-Z0-9_.:/@+-]{0,90}",
        1 => "\\PC{0,40}",
    ]
    .boxed()
}

/// An identifier of one of the kinds, sometimes one that is a little wrong.
fn identifier(kind: usize, number: u128) -> String {
    const KINDS: [&str; 15] = [
        "ten", "prj", "env", "dep", "svc", "cfg", "sec", "tbd", "hcr", "scp", "drf", "evt", "cor", "hst",
        "xyz",
    ];
    let prefix = KINDS.get(kind).unwrap_or(&"ten");
    match number % 4 {
        0 => format!("{prefix}_{number:032x}"),
        1 => format!("{prefix}_{number:031x}"),
        2 => format!("{prefix}-{number:032x}"),
        _ => format!("{}_{number:032X}", prefix.to_uppercase()),
    }
}
