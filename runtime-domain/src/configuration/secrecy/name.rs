//! Names of credentials.

use alloc::string::String;
use alloc::vec::Vec;

/// What a name says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Nothing about credentials.
    Plain,
    /// Something about a credential, and not the credential.
    About,
    /// A credential.
    Credential,
    /// A credential that people choose, so that it need not look random.
    Password,
}

/// Endings of a word, or of two words together, that name a credential.
const CREDENTIALS: [&str; 21] = [
    "secret",
    "secrets",
    "token",
    "tokens",
    "credential",
    "credentials",
    "apikey",
    "apikeys",
    "accesskey",
    "privatekey",
    "secretkey",
    "accountkey",
    "sharedkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "storagekey",
    "authkey",
    "connectionstring",
    "licensekey",
    "clientkey",
];
/// Endings of a word that name a credential that people choose.
const PASSWORDS: [&str; 5] = ["password", "passwords", "passwd", "passphrase", "passcode"];
/// Whole words that name a credential, too short to look for inside others.
const SHORT: [&str; 5] = ["pwd", "psk", "sas", "pat", "connstr"];
/// Last words that say a name is about a credential.
const ABOUT: [&str; 48] = [
    "name",
    "names",
    "url",
    "uri",
    "endpoint",
    "host",
    "port",
    "issuer",
    "audience",
    "type",
    "kind",
    "policy",
    "length",
    "size",
    "lifetime",
    "ttl",
    "expiry",
    "expiration",
    "duration",
    "age",
    "path",
    "file",
    "filename",
    "directory",
    "provider",
    "algorithm",
    "header",
    "prefix",
    "suffix",
    "scope",
    "scopes",
    "enabled",
    "disabled",
    "required",
    "count",
    "limit",
    "timeout",
    "interval",
    "ref",
    "reference",
    "id",
    "version",
    "hint",
    "label",
    "format",
    "pattern",
    "store",
    "vault",
];

impl Naming {
    /// What a name says, read as words: `dbPassword`, `DB_PASSWORD` and `db.password` are the same two.
    pub(super) fn of(name: &str) -> Self {
        let words = words(name);
        let mut naming = Self::Plain;
        let mut before = "";
        for word in &words {
            let word = word.trim_end_matches(|character: char| character.is_ascii_digit());
            let both = [before, word].concat();
            if PASSWORDS.iter().any(|ending| word.ends_with(ending)) || word == "pwd" {
                naming = Self::Password;
            } else if naming == Self::Plain
                && (CREDENTIALS.iter().any(|ending| both.ends_with(ending)) || SHORT.contains(&word))
            {
                naming = Self::Credential;
            }
            before = word;
        }
        let is_about = words.last().is_some_and(|last| ABOUT.contains(&last.as_str()));
        if naming != Self::Plain && is_about { Self::About } else { naming }
    }

    /// What a member's own name says, within something that has a name: what is in a credential is one.
    pub(super) fn within(self, outer: Self) -> Self {
        match (self, outer) {
            (Self::Plain, outer) => outer,
            (own, _) => own,
        }
    }

    pub(super) const fn is_credential(self) -> bool {
        matches!(self, Self::Credential | Self::Password)
    }
}

fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut characters = name.chars().peekable();
    let mut previous = ' ';
    while let Some(character) = characters.next() {
        let next_is_lower = characters.peek().is_some_and(char::is_ascii_lowercase);
        let begins = character.is_ascii_uppercase()
            && (previous.is_ascii_lowercase() || (previous.is_ascii_uppercase() && next_is_lower));
        if (begins || !character.is_ascii_alphanumeric()) && !word.is_empty() {
            words.push(core::mem::take(&mut word));
        }
        if character.is_ascii_alphanumeric() {
            word.push(character.to_ascii_lowercase());
        }
        previous = character;
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
