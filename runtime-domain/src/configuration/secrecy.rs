//! Tells what looks like a secret, so that it is refused and not kept (CFG-2, X-11).
//!
//! A guess by rule: it finds what has the form of a secret, wherever in a text it stands, and what is written under a name of credentials
//! and looks random. It cannot find a secret that looks like ordinary text. What it says names the rule, and never repeats the text.
//!
//! | looked for | where |
//! |---|---|
//! | private keys: PEM, OpenPGP, PuTTY, age, PEM in base64, JWK with its private part | anywhere |
//! | keys and tokens of clouds, repositories and services, by their prefix and length | anywhere |
//! | JSON Web Tokens; `Bearer` and `Basic` credentials | anywhere |
//! | URLs with a password; connection strings with one | anywhere |
//! | text that looks random | under names of credentials: the key, a JSON member, `name=value` in a text |
//!
//! A *name of credentials* has a word such as password, secret, token, credential, or an API, access, private, account or signing key,
//! unless its last word says that it is about one (`password_min_length`, `token_url`, `secret-name`). *Looks random* is said of a word
//! without white space that is not a place-holder such as `${TOKEN}` and not a plain URL or path, and
//! - has at least 8 characters of three kinds (lower case, upper case, digits, symbols) and 2.5 bits of Shannon entropy per character, or
//! - has at least 16 characters with three digits or more among letters, and 3 bits per character, or
//! - stands under a password's name, has at least 6 characters, and letters mixed with digits or symbols.

mod name;
mod random;
mod shape;

use alloc::string::{String, ToString};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::configuration::json::Json;
use crate::configuration::secrecy::name::Naming;
use crate::configuration::{ConfigurationEntry, ConfigurationRefusal, ConfigurationValue, JsonDocument};

/// Which rule a text broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Suspicion {
    /// A private key.
    PrivateKey,
    /// A key of a cloud's.
    CloudKey,
    /// A token of a code repository or a package registry.
    RepositoryToken,
    /// A token of some other service.
    ServiceToken,
    /// A JSON Web Token.
    WebToken,
    /// An `Authorization` header's value.
    Authorization,
    /// A URL with a password or a token before its host.
    UrlCredentials,
    /// A connection string with a password or a key.
    ConnectionString,
    /// Something random under a name of credentials.
    RandomCredential,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PrivateKey => "looks like a private key",
            Self::CloudKey => "looks like a cloud's access key",
            Self::RepositoryToken => "looks like a token of a code repository or package registry",
            Self::ServiceToken => "looks like a token of a service",
            Self::WebToken => "looks like a JSON Web Token",
            Self::Authorization => "looks like an Authorization header",
            Self::UrlCredentials => "looks like a URL with credentials",
            Self::ConnectionString => "looks like a connection string with a password",
            Self::RandomCredential => "looks random and stands under a name of credentials",
        })
    }
}

/// Looks at a name and its text, such as an environment variable, by the rule of CFG-2.
///
/// # Errors
/// The name or the text looks like a secret.
pub fn inspect(name: &str, text: &str) -> Result<(), Suspicion> {
    inspect_shape(name)?;
    inspect_text(text, Naming::of(name))
}

/// Looks for what has the form of a secret under any name.
fn inspect_shape(text: &str) -> Result<(), Suspicion> {
    shape::known(text).map_or(Ok(()), Err)
}

fn inspect_text(text: &str, naming: Naming) -> Result<(), Suspicion> {
    inspect_shape(text)?;
    let trimmed = text.trim_start();
    if trimmed.starts_with(['{', '['])
        && let Ok(document) = JsonDocument::parse(text)
    {
        inspect_json(&document.0, naming)?;
    }
    random::assigned(text)?;
    if random::is_credential(text, naming) { Err(Suspicion::RandomCredential) } else { Ok(()) }
}

/// As deep as a document can be: see [`JsonDocument::DEEPEST`].
fn inspect_json(json: &Json, naming: Naming) -> Result<(), Suspicion> {
    match json {
        Json::Null | Json::Boolean(_) | Json::Number(_) => Ok(()),
        Json::Text(text) => {
            // A text within JSON is not read as JSON again: a chain of them would have no bound but the text's length.
            inspect_shape(text)?;
            random::assigned(text)?;
            if random::is_credential(text, naming) { Err(Suspicion::RandomCredential) } else { Ok(()) }
        }
        Json::List(items) => items.iter().try_for_each(|item| inspect_json(item, naming)),
        Json::Object(members) => {
            if members.contains_key("kty") && (members.contains_key("d") || members.contains_key("k")) {
                return Err(Suspicion::PrivateKey);
            }
            members.iter().try_for_each(|(key, value)| {
                inspect_shape(key)?;
                random::assigned(key)?;
                inspect_json(value, Naming::of(key).within(naming))
            })
        }
    }
}

/// Looks at an entry: its scope, its key and its value.
pub(super) fn inspect_entry(entry: &ConfigurationEntry) -> Result<(), ConfigurationRefusal> {
    let naming = Naming::of(entry.key.as_str());
    let found = match &entry.value {
        ConfigurationValue::Number(_) | ConfigurationValue::Boolean(_) => Ok(()),
        ConfigurationValue::Text(text) => inspect_text(text, naming),
        ConfigurationValue::Json(document) => inspect_json(&document.0, naming),
        ConfigurationValue::Secret(reference) => inspect_shape(reference.version().unwrap_or_default()),
    };
    let (scope, key) = (entry.scope.to_string(), entry.key.as_str());
    let suspicion = [inspect_shape(&scope), inspect_shape(key), found].into_iter().find_map(Result::err);
    match suspicion {
        None => Ok(()),
        Some(suspicion) => {
            Err(ConfigurationRefusal::SecretValue { scope: shown(&scope), key: shown(key), suspicion })
        }
    }
}

/// A scope or key as a refusal may show it: not where it looks like a secret itself.
fn shown(text: &str) -> String {
    match inspect_shape(text) {
        Ok(()) => text.to_string(),
        Err(_) => "(not shown: it looks like a secret)".to_string(),
    }
}
