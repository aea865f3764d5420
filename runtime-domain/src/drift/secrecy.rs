//! What may be a secret. It errs on the side of hiding: a hidden value still counts as a difference.

use alloc::string::String;

const NAMES: [&str; 14] = [
    "secret",
    "password",
    "passwd",
    "passphrase",
    "token",
    "credential",
    "apikey",
    "privatekey",
    "accesskey",
    "accountkey",
    "connectionstring",
    "authorization",
    "cookie",
    "signature",
];
const BEGINNINGS: [&str; 12] = [
    "eyj",
    "bearer ",
    "basic ",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "akia",
    "xoxb-",
    "xoxp-",
    "sk-",
    "glpat-",
];
const PARTS: [&str; 7] =
    ["-----begin", "accountkey=", "sharedaccesskey=", "password=", "pwd=", "secret=", "token="];

/// Whether a name says that its value is a secret: `DB_PASSWORD`, `apiKey`.
pub(super) fn is_secret_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    NAMES.iter().any(|part| plain.contains(part))
}

/// Whether a text looks like a secret, or holds one: keys, tokens, addresses with a password in them.
pub(super) fn is_like_a_secret(text: &str) -> bool {
    let plain = text.to_ascii_lowercase();
    let words = || plain.split(['"', '\'', ',', '\n', '[', '{', ':']).map(str::trim_start);
    let address = plain.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    address
        || PARTS.iter().any(|part| plain.contains(part))
        || words().any(|word| BEGINNINGS.iter().any(|beginning| word.starts_with(beginning)))
}
