//! Runtime configurations: versioned sets of typed entries, published whole and never changed.
//!
//! One aggregate is one version of an environment's configuration.
//!
//! ```text
//! (none) ─► Published ◄─► Synced
//!             │    │        │
//!             │    └───┬────┘
//!             ▼        ▼
//!         Withdrawn  Superseded
//! ```
//!
//! | command | Published | Synced | Superseded | Withdrawn |
//! |---|---|---|---|---|
//! | Publish again, the same | same | same | LIFECYCLE | LIFECYCLE |
//! | Publish again, otherwise | CFG-3 | CFG-3 | CFG-3 | CFG-3 |
//! | ExpectConsumers | yes¹ | yes² | LIFECYCLE | LIFECYCLE |
//! | RecordConsumption | yes¹ | yes² | same | same |
//! | Supersede, by a newer version | yes | yes | same | LIFECYCLE |
//! | Supersede, by itself or an older | CFG-1 | CFG-1 | CFG-1 | CFG-1 |
//! | Withdraw | yes³ | LIFECYCLE | LIFECYCLE | same |
//!
//! *same* means accepted and nothing changes; so is expecting who is expected, and an observation that says nothing new or is older than
//! the one that is known. ¹ and to Synced where every expected consumer is now observed with exactly this checksum. ² and back to
//! Published where one is not. ³ LIFECYCLE where a consumer ever ran it.
//!
//! **Scopes.** An entry holds for the environment, for one service, or for one tenant; where several set a key, the tenant's wins over the
//! service's, and the service's over the environment's. [`ConfigurationEntries::effective`] previews it.
//!
//! Invariants, each with the place that keeps it:
//! - **CFG-1** (claim, evidence): a version is its predecessor's plus one, shown by [`UsedVersion`], and its number is held for ever by
//!   [`Claim::configuration_version`](crate::claim::Claim::configuration_version), withdrawn or not.
//! - **CFG-2** (type, evidence, check): [`ConfigurationEntries`] takes no entry that [`secrecy`] suspects, from whatever source; a secret
//!   reference needs its [`BoundSecret`](crate::secrets::BoundSecret).
//! - **CFG-3** (type, check): no command or event changes entries; replaying and loading compare them with the [`Checksum`].
//! - **X-1** (evidence, check): the environment, the clearance, the predecessor and every secret are of one tenant and environment, and a
//!   silo's entries are of its own tenant only.
//! - **X-3** (evidence, check): the content that the newest version has is not published again; the same request again is the same version.
//! - **X-11** (type): a refusal says where and by which rule, and never repeats a value; values have no telling `Debug`.

mod checksum;
mod command;
mod decide;
mod delivered;
mod diff;
mod effective;
mod entry;
mod event;
mod evidence;
mod evolve;
mod json;
mod number;
mod record;
mod refusal;
pub mod secrecy;
mod state;
#[cfg(test)]
mod tests;

pub use checksum::{Checksum, ChecksumError, ConfigVersion, ConsumerName};
pub use command::{ConfigurationCommand, PublishConfiguration};
pub use delivered::{DeliveredConfiguration, VariableError};
pub use diff::{ConfigurationDiff, EntryChange};
pub use effective::{EffectiveConfiguration, EffectiveEntry};
pub use entry::{
    ConfigScope, ConfigurationEntries, ConfigurationEntry, ConfigurationScope, ConfigurationValue,
    EntryError, EntryKey, SecretReference,
};
pub use event::{ConfigurationEvent, VersionPublished};
pub use evidence::{PublishedConfiguration, UsedVersion};
pub use json::JsonDocument;
pub use number::Decimal;
pub use record::RuntimeConfigurationRecord;
pub use refusal::ConfigurationRefusal;
pub use state::{
    ConfigurationState, ConfigurationStatus, Consumer, ConsumerReport, Consumption, Published,
    RuntimeConfiguration, Sighting, Superseded, Synced, Withdrawn,
};
