//! The kinds of change that a calendar knows.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A kind of change to an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// A release is rolled out. Going back is never held up by a calendar.
    Deployment,
    /// A configuration is published.
    Configuration,
    /// A secret is rotated.
    Rotation,
    /// Drift is repaired.
    Remediation,
}

impl Activity {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Deployment, Self::Configuration, Self::Rotation, Self::Remediation];

    /// The kind's name as manifests write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::Configuration => "configuration",
            Self::Rotation => "rotation",
            Self::Remediation => "remediation",
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
