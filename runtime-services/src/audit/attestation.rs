//! The ends of all histories at one time, as text that can be kept anywhere.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use runtime_domain::id::{AggregateKind, TenantId};
use runtime_ports::store::{AggregateKey, ChainDigest};
use uuid::Uuid;

/// How far an aggregate's history went, and what it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many entries it had.
    pub sequence: u64,
    /// The digest of the last.
    pub digest: ChainDigest,
}

/// The end of every history of a tenant at one time. Nothing in it is secret.
///
/// Displayed as text, one line for the tenant and one for each aggregate, in order; parses back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    tenant: TenantId,
    heads: BTreeMap<AggregateKey, Head>,
}

/// A text is not an attestation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} is not one of an attestation: write `tenant ID` first, then lines of `KIND ID ENTRIES DIGEST`"
)]
pub struct NotAnAttestation {
    /// The number of the line, from 1.
    pub line: usize,
}

impl Attestation {
    pub(super) fn new(tenant: TenantId, heads: BTreeMap<AggregateKey, Head>) -> Self {
        Self { tenant, heads }
    }

    /// Whose trail it is.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The end of one history.
    pub fn head(&self, key: AggregateKey) -> Option<Head> {
        self.heads.get(&key).copied()
    }

    /// The ends of all.
    pub fn heads(&self) -> impl Iterator<Item = (AggregateKey, Head)> {
        self.heads.iter().map(|(key, head)| (*key, *head))
    }
}

impl fmt::Display for Attestation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "tenant {}", self.tenant.uuid())?;
        self.heads.iter().try_for_each(|(key, Head { sequence, digest })| {
            writeln!(formatter, "{} {} {sequence} {digest}", key.kind, key.id)
        })
    }
}

impl FromStr for Attestation {
    type Err = NotAnAttestation;
    fn from_str(text: &str) -> Result<Self, NotAnAttestation> {
        let mut lines = text.lines().zip(1..);
        let tenant = lines
            .next()
            .and_then(|(line, _)| Uuid::parse_str(line.strip_prefix("tenant ")?).ok())
            .ok_or(NotAnAttestation { line: 1 })?;
        let mut heads = BTreeMap::new();
        for (text, line) in lines {
            let (key, head) = head(text).ok_or(NotAnAttestation { line })?;
            if heads.insert(key, head).is_some() {
                return Err(NotAnAttestation { line });
            }
        }
        Ok(Self { tenant: TenantId::from_uuid(tenant), heads })
    }
}

fn head(line: &str) -> Option<(AggregateKey, Head)> {
    let mut words = line.split(' ');
    let kind: AggregateKind = words.next()?.parse().ok()?;
    let id = Uuid::parse_str(words.next()?).ok()?;
    let sequence = words.next()?.parse().ok()?;
    let digest = words.next()?.parse().ok()?;
    words.next().is_none().then_some((AggregateKey { kind, id }, Head { sequence, digest }))
}
