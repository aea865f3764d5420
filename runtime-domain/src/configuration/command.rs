//! What may be asked of a configuration.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::aggregate::EvidenceRef;
use crate::calendar::Clearance;
use crate::configuration::{Checksum, ConfigurationEntries, Consumer, PublishedConfiguration, UsedVersion};
use crate::environment::HostedEnvironment;
use crate::id::{AggregateKind, ConfigurationId};
use crate::secrets::BoundSecret;
use crate::time::Timestamp;

/// Asks for the next version of an environment's configuration. Its natural key is the environment and the content.
#[derive(Debug, PartialEq, Eq)]
pub struct PublishConfiguration {
    /// The new version's identifier.
    pub configuration_id: ConfigurationId,
    /// Proof that the environment is there, and whose it is.
    pub environment: HostedEnvironment,
    /// Proof that the environment's calendar is open to configuration.
    pub clearance: Clearance,
    /// Proof of the newest version there is, in whatever state; `None` where there is none.
    pub previous: Option<UsedVersion>,
    /// Proof of every secret that an entry refers to.
    pub secrets: Vec<BoundSecret>,
    /// What it holds: the whole content, not a change to the one before.
    pub entries: ConfigurationEntries,
}

impl PublishConfiguration {
    /// The facts that the request rests on: its commit re-checks that each is still at exactly this revision.
    pub fn evidence(&self) -> Vec<EvidenceRef> {
        let hosted = EvidenceRef {
            kind: AggregateKind::RuntimeEnvironment,
            id: self.environment.environment().uuid(),
            revision: self.environment.at(),
        };
        let mut evidence = vec![hosted, self.clearance.evidence()];
        evidence.extend(self.previous.as_ref().map(UsedVersion::evidence));
        evidence.extend(self.secrets.iter().map(BoundSecret::evidence));
        evidence
    }
}

/// What may be asked of an existing version.
#[derive(Debug, PartialEq, Eq)]
pub enum ConfigurationCommand {
    /// These consumers, and no others, should run it.
    ExpectConsumers {
        /// Who.
        consumers: BTreeSet<Consumer>,
    },
    /// A consumer was observed running with this or another configuration.
    RecordConsumption {
        /// Who.
        consumer: Consumer,
        /// The checksum of what it runs with.
        checksum: Checksum,
        /// When it was observed; a time to come is taken as now.
        observed_at: Timestamp,
    },
    /// A newer version takes over.
    Supersede {
        /// Proof of the newer version.
        newer: PublishedConfiguration,
    },
    /// It is taken back: nobody ran it yet.
    Withdraw {
        /// Why.
        reason: String,
    },
}

impl ConfigurationCommand {
    /// The command's name, for explanations and refusals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ExpectConsumers { .. } => "ExpectConsumers",
            Self::RecordConsumption { .. } => "RecordConsumption",
            Self::Supersede { .. } => "Supersede",
            Self::Withdraw { .. } => "Withdraw",
        }
    }

    /// The facts that the command rests on: its commit re-checks that each is still at exactly this revision.
    pub fn evidence(&self) -> Vec<EvidenceRef> {
        match self {
            Self::Supersede { newer } => vec![newer.evidence()],
            Self::ExpectConsumers { .. } | Self::RecordConsumption { .. } | Self::Withdraw { .. } => {
                Vec::new()
            }
        }
    }
}
