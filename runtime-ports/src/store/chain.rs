//! The chain that an aggregate's history is: each entry's digest covers the entry and the digest before it.

use std::fmt;
use std::str::FromStr;

use runtime_domain::id::TenantId;
use sha2::{Digest, Sha256};

use crate::store::{AggregateKey, HistoryEntry};

/// The end of an aggregate's history up to some entry, as SHA-256: two histories with equal digests are equal, so whoever kept a digest can
/// tell later that nothing before it was changed, taken out or put in.
///
/// Displayed as 64 hexadecimal digits; parses back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainDigest([u8; 32]);

/// What stands for a digest is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest of a history is 64 hexadecimal digits")]
pub struct NotADigest;

impl ChainDigest {
    /// Before the first entry.
    pub const GENESIS: Self = Self([0; 32]);

    /// A digest that was kept as bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest, to be kept.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest after `entry` of the tenant's aggregate, which follows this one. All of the entry counts but its own digest
    /// and its trace parent.
    #[must_use]
    pub fn then(&self, tenant: TenantId, key: AggregateKey, entry: &HistoryEntry) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"factory-runtime history 1");
        hash.update(self.0);
        // Each part is led by its length, so that no two entries read alike.
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(tenant.uuid().as_bytes());
        part(key.kind.name().as_bytes());
        part(key.id.as_bytes());
        part(&entry.sequence.to_be_bytes());
        part(entry.id.uuid().as_bytes());
        part(entry.event.as_bytes());
        part(entry.body.as_bytes());
        part(entry.at.to_rfc3339().as_bytes());
        part(entry.actor.as_str().as_bytes());
        part(entry.correlation.uuid().as_bytes());
        part(entry.causation.map(|cause| *cause.uuid().as_bytes()).as_ref().map_or(&[], |bytes| bytes));
        part(entry.explanation.as_bytes());
        Self(hash.finalize().into())
    }
}

impl fmt::Display for ChainDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ChainDigest {
    type Err = NotADigest;
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NotADigest);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_not_text| NotADigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_not_a_number| NotADigest)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<&[u8]> for ChainDigest {
    type Error = NotADigest;
    fn try_from(bytes: &[u8]) -> Result<Self, NotADigest> {
        bytes.try_into().map(Self).map_err(|_length| NotADigest)
    }
}
