//! What may be a secret: whatever a configuration refuses as one (CFG-2), and more. It errs on the side of hiding, since a hidden value
//! still counts as a difference.

use alloc::string::String;

use crate::configuration::secrecy;

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
        || secrecy::inspect("", text).is_err()
        || PARTS.iter().any(|part| plain.contains(part))
        || words().any(|word| BEGINNINGS.iter().any(|beginning| word.starts_with(beginning)))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    /// Shows X-11.
    #[test]
    fn what_a_configuration_refuses_is_hidden_in_a_difference_too() {
        // Assembled, so that no scanner of this repository takes them for real.
        for text in
            [format!("npm_{}", "a1B2c3D4e5".repeat(4)), format!("dop_v1_{}", "0123456789abcdef".repeat(4))]
        {
            assert!(secrecy::inspect("", &text).is_err(), "{text} is a form that a configuration refuses");
            assert!(is_like_a_secret(&text), "{text}");
        }
        assert!(!is_like_a_secret("1.4.2") && !is_like_a_secret("ready"));
    }
}
