//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::calendar::Activity;
use crate::configuration::secrecy::Suspicion;
use crate::configuration::{
    ConfigScope, ConfigVersion, ConfigurationEntries, ConfigurationStatus, ConfigurationValue, Consumption,
    EntryKey,
};
use crate::environment::EnvironmentRefusal;
use crate::id::SecretBindingId;
use crate::refusal::{Refusal, Rule};

/// Why a configuration's command or content was refused. The configuration is as it was. It never repeats a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationRefusal {
    /// An entry looks like a secret.
    #[error("the entry `{key}` in scope {scope} {suspicion}")]
    SecretValue {
        /// In which scope.
        scope: String,
        /// Under which key; not shown where the key itself looks like a secret.
        key: String,
        /// By which rule.
        suspicion: Suspicion,
    },
    /// An entry refers to a secret that no evidence shows.
    #[error("an entry in scope {scope} refers to {binding}, and no evidence shows that it is bound there")]
    UnprovenSecret {
        /// In which scope.
        scope: ConfigScope,
        /// Which binding.
        binding: SecretBindingId,
    },
    /// A key comes twice in a scope.
    #[error("the entry `{key}` comes twice in scope {scope}")]
    Twice {
        /// In which scope.
        scope: ConfigScope,
        /// Which key.
        key: EntryKey,
    },
    /// A text is too long.
    #[error("the entry `{key}` in scope {scope} is longer than {} bytes", ConfigurationValue::LONGEST_TEXT)]
    TextTooLong {
        /// In which scope.
        scope: ConfigScope,
        /// Which key.
        key: EntryKey,
    },
    /// There are too many entries.
    #[error("there are more than {} entries", ConfigurationEntries::MOST)]
    TooMany,
    /// The entries are too large together.
    #[error("the entries are larger than {} bytes together", ConfigurationEntries::MOST_BYTES)]
    TooLarge,
    /// A diff was drawn from another content.
    #[error("the entry `{key}` in scope {scope} is not what the changes begin from")]
    OtherBasis {
        /// In which scope.
        scope: ConfigScope,
        /// Which key.
        key: EntryKey,
    },
    /// There are too many consumers.
    #[error("there are more than {} consumers", Consumption::MOST)]
    TooManyConsumers,
    /// The environment takes no configuration now.
    #[error(transparent)]
    NotHosted(#[from] EnvironmentRefusal),
    /// Evidence is about another tenant or environment.
    #[error("the evidence is about another tenant or environment")]
    ForeignEvidence,
    /// A silo's configuration is of its own tenant only.
    #[error("an entry is for another tenant, and the environment is a silo")]
    ForeignTenant,
    /// The calendar was asked about another kind of change.
    #[error("the calendar's clearance is for {activity}, and not for configuration")]
    OtherActivity {
        /// For which.
        activity: Activity,
    },
    /// The newest version has exactly this content.
    #[error("{version} has exactly this content and is in force")]
    SameContent {
        /// Which version.
        version: ConfigVersion,
    },
    /// A version's content is asked to be another.
    #[error("{version} has another content, tenant or environment, and a published version never changes")]
    Different {
        /// Which version.
        version: ConfigVersion,
    },
    /// What should supersede a version is not newer.
    #[error("{by} is not newer than {version}")]
    NotNewer {
        /// What should supersede.
        by: ConfigVersion,
        /// What it should supersede.
        version: ConfigVersion,
    },
    /// There is no number after the newest version's.
    #[error("{newest} is the last version that can be numbered")]
    NoNumberLeft {
        /// The newest.
        newest: ConfigVersion,
    },
    /// The version is not in force, so it proves nothing.
    #[error("{version} is {status}")]
    NotInForce {
        /// Which version.
        version: ConfigVersion,
        /// How it is.
        status: ConfigurationStatus,
    },
    /// A reason is missing, or longer than can be kept.
    #[error("the reason is empty or longer than {} bytes", crate::reason::LONGEST)]
    BadReason,
    /// The command does not fit the present state.
    #[error("{command} is not possible while the configuration is {status}")]
    Lifecycle {
        /// The command.
        command: &'static str,
        /// The state.
        status: ConfigurationStatus,
        /// What would be possible.
        remedy: &'static str,
    },
}

impl Refusal for ConfigurationRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::SecretValue { .. } | Self::UnprovenSecret { .. } => Rule::Cfg2,
            Self::Twice { .. }
            | Self::TextTooLong { .. }
            | Self::TooMany
            | Self::TooLarge
            | Self::OtherBasis { .. }
            | Self::TooManyConsumers
            | Self::BadReason => Rule::Content,
            Self::NotHosted(refusal) => refusal.rule(),
            Self::ForeignEvidence | Self::ForeignTenant => Rule::X1,
            Self::OtherActivity { .. } => Rule::Calendar,
            Self::SameContent { .. } => Rule::X3,
            Self::Different { .. } => Rule::Cfg3,
            Self::NotNewer { .. } | Self::NoNumberLeft { .. } => Rule::Cfg1,
            Self::NotInForce { .. } | Self::Lifecycle { .. } => Rule::Lifecycle,
        }
    }

    fn remedy(&self) -> String {
        let text = match self {
            Self::SecretValue { .. } => {
                "keep it in a vault, bind it, and write a reference to the SecretBinding in its place"
            }
            Self::UnprovenSecret { scope, binding } => {
                return format!("bind {binding} in this environment, for what reads {scope}, and show it");
            }
            Self::Twice { .. } => "write each key once in a scope",
            Self::TextTooLong { .. } => "split the text, or deliver it as a file of the image",
            Self::TooMany | Self::TooLarge => "write less, or deliver it as a file of the image",
            Self::OtherBasis { .. } => "draw the diff from this content",
            Self::TooManyConsumers => "name revisions as consumers, and not each instance",
            Self::NotHosted(refusal) => return refusal.remedy(),
            Self::ForeignEvidence => "take the evidence from the same tenant and environment",
            Self::ForeignTenant => "write entries for the environment's own tenant",
            Self::OtherActivity { .. } => "ask the environment's calendar for a clearance for configuration",
            Self::SameContent { version } => return format!("use {version}"),
            Self::Different { .. } => "publish another version, with a new identifier",
            Self::NotNewer { .. } => "supersede it by a version with a greater number",
            Self::NoNumberLeft { .. } => "provision another environment, which counts from 1",
            Self::NotInForce { .. } => "take the newest version of the environment",
            Self::BadReason => "say in a sentence why",
            Self::Lifecycle { remedy, .. } => remedy,
        };
        text.to_string()
    }
}
