//! How a component gets its configuration.

use serde::{Deserialize, Serialize};

use crate::component::HttpPath;

/// How a component gets its configuration, and how it takes a later version.
///
/// Every instance has it as a JSON file, complete before the instance is started, and is told the file and the checksum by variables of
/// the runtime's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfigurationDelivery {
    /// Whether entries are environment variables, too, as they were when the instance was started.
    #[serde(default = "yes")]
    pub variables: bool,
    /// How it takes a later version.
    #[serde(default)]
    pub reload: ConfigurationReload,
    /// Where an instance that can tell is asked, on its own port, whether it runs with a checksum: with `checksum=sha256:…` as its query,
    /// any answer from 200 to 299 is a yes. An instance that cannot tell counts as running with what it was started with.
    #[serde(default)]
    pub report: Option<HttpPath>,
}

const fn yes() -> bool {
    true
}

impl Default for ConfigurationDelivery {
    fn default() -> Self {
        Self { variables: true, reload: ConfigurationReload::Restart, report: None }
    }
}

/// How a component takes a later version of its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ConfigurationReload {
    /// As a new revision, through the rollout engine.
    #[default]
    Restart,
    /// In place: its file is replaced as a whole, and it is sent `SIGHUP`.
    Signal,
}
