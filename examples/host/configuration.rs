//! How the host is configured: a TOML file, and over it the environment. What is not known is refused, so that no setting is believed in vain.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use toml::{Table, Value};

/// What stands before a setting's name in the environment: `FACTORY_RUNTIME__LISTEN`, `FACTORY_RUNTIME__TELEMETRY__OTLP_ENDPOINT`.
pub const PREFIX: &str = "FACTORY_RUNTIME__";

/// All settings. What is left out is as its default says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    /// The folder that keeps everything: store, vault, images, workloads.
    pub folder: PathBuf,
    /// The address that REST, gRPC and the Runtime Centre are served on.
    pub listen: SocketAddr,
    /// The certificate chain and key, in PEM. Without TLS only loopback addresses are listened on, unless `plaintext` is set.
    pub tls: Option<Tls>,
    /// Serves beyond loopback without TLS: where something in front of the host ends it.
    pub plaintext: bool,
    /// The issuers whose tokens are accepted. Without issuers and certificates, everybody on this machine is let in, and nobody else.
    pub issuers: Vec<IssuerSettings>,
    /// The tenant of everybody on this machine, where nobody is authenticated. One is made and kept in the folder where it is not said.
    pub tenant: Option<String>,
    /// Destinations beyond loopback that probes may reach: host names, or networks such as `10.0.0.0/8`.
    pub egress: Vec<String>,
    /// Where traces, metrics and logs go by OTLP over HTTP: `http://127.0.0.1:4318`. Nowhere without it; `/metrics` is served anyway.
    pub otlp_endpoint: Option<String>,
    /// A directory of release manifests that say what should run, each tenant's in a folder that is named by its identifier: a Git work tree, or
    /// a plain one. Without it environments cannot be watched for drift.
    pub desired_state: Option<PathBuf>,
    /// How many requests in a second a tenant may make over a time, by REST and gRPC together; twice as many at once.
    pub requests_per_second: NonZeroU32,
    /// How long work in flight may take to end when the host is stopped, in seconds.
    pub drain_seconds: u32,
}

/// A certificate and who must show one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, in PEM.
    pub certificates: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// Authorities, in PEM, by one of which the certificate of every client must be issued. Who a client is, its token says.
    #[serde(default)]
    pub client_authorities: Option<PathBuf>,
}

/// An issuer of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// Its URL, exactly as its tokens' `iss`.
    pub url: String,
    /// What its tokens' `aud` must name.
    pub audience: String,
    /// Where a token says the tenant: a claim's name, or a JSON pointer.
    pub tenant_claim: String,
    /// Where a token says the roles.
    pub role_claim: String,
    /// Which of our roles (`viewer`, `operator`, `approver`, `administrator`) an issuer's word stands for.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
    /// Asks an issuer on this machine, over plain HTTP.
    #[serde(default)]
    pub allow_loopback: bool,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("factory-runtime"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: None,
            plaintext: false,
            issuers: Vec::new(),
            tenant: None,
            egress: Vec::new(),
            otlp_endpoint: None,
            desired_state: None,
            requests_per_second: NonZeroU32::MIN.saturating_add(99),
            drain_seconds: 10,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    #[error("{} cannot be read: name another file, or make it readable", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    #[error("{} is not TOML", .0.display())]
    NotToml(PathBuf, #[source] toml::de::Error),
    #[error("{0} names no setting: `host schema` shows them")]
    NotASetting(String),
    #[error("the settings are not as the schema says (`host schema` shows it)")]
    Illegal(#[source] toml::de::Error),
}

impl Configuration {
    /// What a file says, where there is one, and over it what the environment says.
    pub fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigurationError> {
        let mut settings = match file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| ConfigurationError::Unreadable(file.to_owned(), error))?
                .parse::<Table>()
                .map_err(|error| ConfigurationError::NotToml(file.to_owned(), error))?,
            None => Table::new(),
        };
        for (name, text) in environment {
            let Some(path) = name.strip_prefix(PREFIX) else { continue };
            put(&mut settings, path, &text).ok_or(ConfigurationError::NotASetting(name))?;
        }
        settings.try_into().map_err(ConfigurationError::Illegal)
    }
}

/// Puts a text where `TLS__KEY` says; what reads as a TOML value is that, all else is text.
fn put(settings: &mut Table, path: &str, text: &str) -> Option<()> {
    let mut place = settings;
    let mut parts = path.split("__").map(str::to_lowercase).peekable();
    while let Some(part) = parts.next().filter(|part| !part.is_empty()) {
        if parts.peek().is_none() {
            let parsed =
                format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
            place.insert(part, parsed.unwrap_or_else(|| Value::String(text.to_owned())));
            return Some(());
        }
        place = place.entry(part).or_insert_with(|| Value::Table(Table::new())).as_table_mut()?;
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn environment(settings: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
        let owned = settings.iter().map(|(name, text)| (format!("{PREFIX}{name}"), (*text).to_owned()));
        owned.collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("host.toml");
        std::fs::write(
            &file,
            "folder = 'kept'\nlisten = '127.0.0.1:1'\n[tls]\ncertificates = 'a'\nkey = 'b'",
        )
        .unwrap();
        let over = environment(&[("LISTEN", "127.0.0.1:2"), ("TLS__KEY", "c"), ("EGRESS", "['10.0.0.0/8']")]);
        let read = Configuration::read(Some(&file), over).unwrap();
        assert_eq!(read.folder, PathBuf::from("kept"));
        assert_eq!(read.listen.port(), 2);
        assert_eq!(read.tls.unwrap().key, PathBuf::from("c"));
        assert_eq!(read.egress, ["10.0.0.0/8"]);
        assert_eq!(read.drain_seconds, 10);
    }

    #[test]
    fn what_is_no_setting_is_refused_wherever_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("host.toml");
        std::fs::write(&file, "lissten = '127.0.0.1:1'").unwrap();
        assert!(Configuration::read(Some(&file), environment(&[])).is_err());
        assert!(Configuration::read(None, environment(&[("LISSTEN", "127.0.0.1:1")])).is_err());
        assert!(Configuration::read(None, environment(&[("TLS__", "x")])).is_err());
    }
}
