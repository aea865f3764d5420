//! Where secrets lie, how workloads come by them, and as whom. Every text has a narrow grammar, so that a value cannot be smuggled in
//! where a name belongs; and no refusal repeats the text, since that might be one (SEC-1, X-11).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::num::NonZeroU32;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::component::VariableName;

/// Why a text is no reference. It does not repeat the text, which might be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is not {what} (it is not shown, for it might be a secret): write {rule}")]
pub struct ReferenceError {
    pub(super) what: &'static str,
    pub(super) rule: &'static str,
}

/// Gives a type that is written as one text the doors of serde and of `String`, all through its one parser.
macro_rules! written_as_text {
    ($($kind:ty),+) => {$(
        impl TryFrom<String> for $kind {
            type Error = ReferenceError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    )+};
}
pub(super) use written_as_text;

written_as_text!(SecretVersion, KeyVaultReference, SecretReference, ManagedIdentityRef, Delivery);

/// A vault's name for one version of a secret: 32 lower-case hexadecimal digits (Key Vault), or a whole number from 1 (the others).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct SecretVersion(Versioned);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Versioned {
    Number(NonZeroU32),
    Opaque(u128),
}

impl SecretVersion {
    /// The `number`th version, in a vault that counts them.
    pub const fn numbered(number: NonZeroU32) -> Self {
        Self(Versioned::Number(number))
    }

    /// True where both are counted by their vault, and this is the later one.
    pub fn is_counted_after(self, other: Self) -> bool {
        matches!((self.0, other.0), (Versioned::Number(own), Versioned::Number(other)) if own > other)
    }

    const fn is_counted(self) -> bool {
        matches!(self.0, Versioned::Number(_))
    }
}

impl fmt::Display for SecretVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Versioned::Number(number) => write!(formatter, "{number}"),
            Versioned::Opaque(bits) => write!(formatter, "{bits:032x}"),
        }
    }
}

impl FromStr for SecretVersion {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex =
            text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let is_number = (1..=10).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && !text.starts_with('0');
        let version = if is_hex {
            u128::from_str_radix(text, 16).ok().map(Versioned::Opaque)
        } else {
            text.parse().ok().filter(|_| is_number).map(Versioned::Number)
        };
        version.map(Self).ok_or(ReferenceError {
            what: "a secret's version",
            rule: "32 lower-case hexadecimal digits (Key Vault) or a whole number from 1 (Vault, OpenBao, local)",
        })
    }
}

/// The kinds of vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VaultKind {
    /// Azure Key Vault.
    KeyVault,
    /// HashiCorp Vault, a KV engine of version 2.
    Vault,
    /// OpenBao, a KV engine of version 2.
    OpenBao,
    /// The embedded vault.
    Local,
}

/// One secret in one vault, whatever its version. `Display` and [`FromStr`] round-trip; it is written
///
/// - `https://<vault>.vault.azure.net/secrets/<name>`, or with `vault.azure.cn` or `vault.usgovcloudapi.net`: a vault is 3 to 24 lower-case
///   letters, digits and single hyphens, begins with a letter and does not end in a hyphen; a name is 1 to 127 letters, digits and hyphens;
/// - `vault://<mount>/<path>#<field>` or `openbao://…`: a mount, up to eight path segments, and a field of 1 to 64 letters, digits, `_`, `-`
///   and `.`, not beginning with a dot; a mount with slashes in its name cannot be referred to;
/// - `local://<vault>/<name>`: both as a mount is.
///
/// No user information, port, query, percent escape or second spelling is accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct KeyVaultReference {
    kind: VaultKind,
    vault: String,
    name: String,
}

const CLOUDS: [&str; 3] = [".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net"];
const MOST_SEGMENTS: usize = 8;

impl KeyVaultReference {
    /// The kind of vault.
    pub fn kind(&self) -> VaultKind {
        self.kind
    }

    /// The vault: its host name, mount or name.
    pub fn vault(&self) -> &str {
        &self.vault
    }

    /// The secret's name in its vault; for Vault and OpenBao `<path>#<field>`.
    pub fn secret_name(&self) -> &str {
        &self.name
    }

    /// True where a version is one that this kind of vault gives.
    pub fn takes(&self, version: SecretVersion) -> bool {
        version.is_counted() == (self.kind != VaultKind::KeyVault)
    }
}

impl fmt::Display for KeyVaultReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, vault, name } = self;
        match kind {
            VaultKind::KeyVault => write!(formatter, "https://{vault}/secrets/{name}"),
            VaultKind::Vault => write!(formatter, "vault://{vault}/{name}"),
            VaultKind::OpenBao => write!(formatter, "openbao://{vault}/{name}"),
            VaultKind::Local => write!(formatter, "local://{vault}/{name}"),
        }
    }
}

impl FromStr for KeyVaultReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parsed(text).ok_or(ReferenceError {
            what: "a reference to a vault's secret",
            rule: "https://<vault>.vault.azure.net/secrets/<name>, vault://<mount>/<path>#<field>, openbao://<mount>/<path>#<field> or local://<vault>/<name>, without a version",
        })
    }
}

fn parsed(text: &str) -> Option<KeyVaultReference> {
    let (scheme, rest) = text.split_once("://")?;
    let (vault, name) = rest.split_once('/')?;
    let (kind, name, is_legal) = match scheme {
        "https" => {
            let name = name.strip_prefix("secrets/")?;
            (VaultKind::KeyVault, name, is_key_vault(vault) && is_key_vault_name(name))
        }
        "vault" => (VaultKind::Vault, name, is_segment(vault) && is_path_and_field(name)),
        "openbao" => (VaultKind::OpenBao, name, is_segment(vault) && is_path_and_field(name)),
        "local" => (VaultKind::Local, name, is_segment(vault) && is_segment(name)),
        _ => return None,
    };
    is_legal.then(|| KeyVaultReference { kind, vault: vault.to_owned(), name: name.to_owned() })
}

fn is_key_vault(host: &str) -> bool {
    CLOUDS.iter().filter_map(|cloud| host.strip_suffix(cloud)).any(|name| {
        (3..=24).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && !name.ends_with('-')
            && !name.contains("--")
    })
}

fn is_key_vault_name(name: &str) -> bool {
    (1..=127).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_segment(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn is_path_and_field(text: &str) -> bool {
    text.split_once('#').is_some_and(|(path, field)| {
        is_segment(field) && path.split('/').count() <= MOST_SEGMENTS && path.split('/').all(is_segment)
    })
}

/// One version of one secret: the vault's address of it, never what is there.
///
/// Written as the [`KeyVaultReference`] with its version: `https://…/secrets/<name>/<version>`, `vault://<mount>/<path>?version=<n>#<field>`,
/// `local://<vault>/<name>/<n>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretReference {
    key_vault_ref: KeyVaultReference,
    version: SecretVersion,
}

impl SecretReference {
    /// A version of a secret.
    ///
    /// # Errors
    /// The version is none that this kind of vault gives.
    pub fn new(key_vault_ref: KeyVaultReference, version: SecretVersion) -> Result<Self, ReferenceError> {
        if key_vault_ref.takes(version) { Ok(Self { key_vault_ref, version }) } else { Err(UNVERSIONED) }
    }

    /// The secret.
    pub fn key_vault_ref(&self) -> &KeyVaultReference {
        &self.key_vault_ref
    }

    /// The version.
    pub fn version(&self) -> SecretVersion {
        self.version
    }
}

const UNVERSIONED: ReferenceError = ReferenceError {
    what: "a reference to a version of a vault's secret",
    rule: "https://<vault>.vault.azure.net/secrets/<name>/<32 hexadecimal digits>, vault://<mount>/<path>?version=<number>#<field>, openbao://… or local://<vault>/<name>/<number>",
};

impl fmt::Display for SecretReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.key_vault_ref.to_string();
        match text.split_once('#') {
            Some((path, field)) => write!(formatter, "{path}?version={}#{field}", self.version),
            None => write!(formatter, "{text}/{}", self.version),
        }
    }
}

impl FromStr for SecretReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (secret, version) = match text.split_once('#') {
            Some((path, field)) => {
                let (path, version) = path.split_once("?version=").ok_or(UNVERSIONED)?;
                (format!("{path}#{field}"), version)
            }
            None => text.rsplit_once('/').map(|(path, rest)| (path.to_owned(), rest)).ok_or(UNVERSIONED)?,
        };
        let secret = secret.parse().map_err(|_| UNVERSIONED)?;
        Self::new(secret, version.parse().map_err(|_| UNVERSIONED)?)
    }
}

/// As whom a workload asks its vault. `Display` and [`FromStr`] round-trip; it is written
///
/// - `azure:<client id>`, a UUID in lower case with hyphens: a user-assigned managed identity;
/// - `kubernetes:<namespace>/<service account>`, both DNS labels of at most 63;
/// - `local:<name>`, a DNS label of at most 63: who the embedded vault lets in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^(azure:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|kubernetes:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|local:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$")))]
#[serde(try_from = "String", into = "String")]
pub struct ManagedIdentityRef(String);

impl ManagedIdentityRef {
    /// The identity's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ManagedIdentityRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ManagedIdentityRef {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_legal = match text.split_once(':') {
            Some(("azure", client)) => {
                Uuid::try_parse(client).is_ok_and(|uuid| uuid.as_hyphenated().to_string() == client)
            }
            Some(("kubernetes", account)) => {
                account.split_once('/').is_some_and(|(namespace, name)| is_label(namespace) && is_label(name))
            }
            Some(("local", name)) => is_label(name),
            _ => false,
        };
        is_legal.then(|| Self(text.to_owned())).ok_or(ReferenceError {
            what: "a managed identity",
            rule: "azure:<client id>, kubernetes:<namespace>/<service account> or local:<name>",
        })
    }
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// How a workload gets its secret, and by which name it knows it. Written `file:<name>` or `env:<VARIABLE>`.
///
/// A file's name is 1 to 64 letters, digits, `_`, `-` and `.`, not beginning with a dot. A file can change under a running workload;
/// an environment variable needs it to be started again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^(file:[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}|env:[A-Za-z_][A-Za-z0-9_]{0,127})$")))]
#[serde(try_from = "String", into = "String")]
pub struct Delivery(Delivered);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Delivered {
    File(String),
    Variable(VariableName),
}

impl Delivery {
    /// The file's name, where it is a file in the workload's folder of secrets.
    pub fn file(&self) -> Option<&str> {
        match &self.0 {
            Delivered::File(name) => Some(name),
            Delivered::Variable(_) => None,
        }
    }

    /// The variable, where it is an environment variable.
    pub fn variable(&self) -> Option<&VariableName> {
        match &self.0 {
            Delivered::File(_) => None,
            Delivered::Variable(name) => Some(name),
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Delivered::File(name) => write!(formatter, "file:{name}"),
            Delivered::Variable(name) => write!(formatter, "env:{}", name.as_str()),
        }
    }
}

impl FromStr for Delivery {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let delivered = match text.split_once(':') {
            Some(("file", name)) => is_segment(name).then(|| Delivered::File(name.to_owned())),
            Some(("env", name)) => VariableName::new(name).ok().map(Delivered::Variable),
            _ => None,
        };
        delivered.map(Self).ok_or(ReferenceError {
            what: "a way to deliver a secret",
            rule: "file:<name> or env:<VARIABLE>, without the prefix `FACTORY_`",
        })
    }
}
