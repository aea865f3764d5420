//! What is known of secrets without their values.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::id::TenantId;
use runtime_domain::secrets::{KeyVaultReference, ManagedIdentityRef, SecretVersion};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_ports::PortErrorKind;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Outcome};

/// The vault's table of contents. Each one names the digest of the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    /// The vault's own name, which every value is sealed for.
    pub(crate) vault: String,
    /// Counted from 1.
    pub(crate) generation: u64,
    /// The digest of the file of the index before; empty for the first.
    pub(crate) previous: String,
    /// By tenant and reference.
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// Which index is the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Anchor {
    pub(crate) generation: u64,
    /// The digest of the index's file.
    pub(crate) index: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secret {
    /// Who is let in.
    pub(crate) readers: BTreeSet<ManagedIdentityRef>,
    /// The greatest fencing token seen.
    pub(crate) fence: u64,
    /// The oldest first.
    pub(crate) versions: Vec<Version>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    pub(crate) number: u32,
    pub(crate) created_at: Timestamp,
    /// The rotation that it was made for, as text.
    pub(crate) made_for: Option<String>,
    /// Where its value is, until it is retired.
    pub(crate) value: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Value {
    pub(crate) file: String,
    /// The digest of the file.
    pub(crate) digest: String,
}

/// A secret's place in the index.
pub(crate) fn place(tenant: TenantId, secret: &KeyVaultReference) -> String {
    format!("{tenant} {secret}")
}

impl Index {
    pub(crate) fn first(vault: String) -> Self {
        Self { vault, generation: 0, previous: String::new(), secrets: BTreeMap::new() }
    }

    /// The files of all values.
    pub(crate) fn files(&self) -> BTreeSet<&str> {
        let versions = self.secrets.values().flat_map(|secret| &secret.versions);
        versions.filter_map(|version| Some(version.value.as_ref()?.file.as_str())).collect()
    }

    /// A secret that lets an identity in. Where there is none, nothing tells whether another tenant has it.
    pub(crate) fn readable(
        &self,
        tenant: TenantId,
        secret: &KeyVaultReference,
        identity: &ManagedIdentityRef,
    ) -> Outcome<&Secret> {
        let found = self.secrets.get(&place(tenant, secret)).ok_or_else(|| {
            let message = format!("the vault has no secret {secret}: put its value in first");
            Fault::new(PortErrorKind::NotFound, message)
        })?;
        if found.readers.contains(identity) {
            return Ok(found);
        }
        let message = format!(
            "the vault does not let {identity} have {secret}: put the value in with this identity among its readers"
        );
        Err(Fault::new(PortErrorKind::Denied, message))
    }
}

impl Secret {
    /// One more than the greatest number there ever was.
    pub(crate) fn next_number(&self) -> Outcome<u32> {
        let last = self.versions.last().map_or(0, |version| version.number);
        last.checked_add(1).ok_or_else(|| {
            Fault::new(
                PortErrorKind::Exhausted,
                "the secret has as many versions as can be counted: bind another one",
            )
        })
    }

    pub(crate) fn version(&self, version: SecretVersion) -> Option<&Version> {
        self.versions.iter().find(|entry| entry.name() == Some(version))
    }

    /// Checks a token, and remembers it.
    pub(crate) fn admit(&mut self, fence: FencingToken) -> Outcome<()> {
        if fence.0 < self.fence {
            let message = format!(
                "the change carries fencing token {} and {} was seen already: another host has taken over this secret, so let it work",
                fence.0, self.fence
            );
            return Err(Fault::new(PortErrorKind::Fenced, message));
        }
        self.fence = fence.0;
        Ok(())
    }
}

impl Version {
    /// The version as references name it.
    pub(crate) fn name(&self) -> Option<SecretVersion> {
        std::num::NonZeroU32::new(self.number).map(SecretVersion::numbered)
    }
}
