//! A vault in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::secrets::{KeyVaultReference, SecretReference, SecretVersion, VaultKind};
use runtime_domain::surface::{EffectClass, FencingToken};
use runtime_domain::time::Timestamp;
use runtime_ports::secret_store::{
    SecretAccess, SecretSink, SecretStore, SecretValue, VaultContext, VersionEntry,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use super::{Journal, Met, MetOutcome, fenced, lock};

/// A vault whose secrets are worth nothing. It fences, and makes one version for one rotation.
#[derive(Debug, Clone)]
pub struct MemoryVault {
    kind: VaultKind,
    secrets: Arc<Mutex<BTreeMap<KeyVaultReference, Secret>>>,
    journal: Journal,
}

#[derive(Debug, Default)]
struct Secret {
    fence: FencingToken,
    versions: Vec<VersionEntry>,
}

impl MemoryVault {
    /// An empty vault of this kind.
    pub fn new(kind: VaultKind) -> Self {
        Self { kind, secrets: Arc::default(), journal: Journal::default() }
    }

    /// Gives it a secret with one version.
    pub fn keep(&self, secret: &SecretReference) {
        let entry = VersionEntry {
            version: secret.version(),
            created_at: Timestamp::UNIX_EPOCH,
            made_for: None,
            is_retired: false,
        };
        let key = secret.key_vault_ref().clone();
        lock(&self.secrets).entry(key).or_default().versions.push(entry);
    }

    /// Every effect that it has met, in order.
    pub fn effects(&self) -> Vec<Met> {
        self.journal.all()
    }

    /// Every effect that it has met after so many.
    pub fn effects_after(&self, known: usize) -> Vec<Met> {
        self.journal.after(known)
    }

    /// Every secret that it keeps.
    pub fn secrets(&self) -> Vec<KeyVaultReference> {
        lock(&self.secrets).keys().cloned().collect()
    }

    /// Every version of a secret, and whether it was retired, oldest first.
    pub fn all(&self, secret: &KeyVaultReference) -> Vec<(SecretVersion, bool)> {
        let secrets = lock(&self.secrets);
        let versions = secrets.get(secret).into_iter().flat_map(|secret| &secret.versions);
        versions.map(|entry| (entry.version, entry.is_retired)).collect()
    }

    fn perform<T>(
        &self,
        operation: &'static str,
        context: VaultContext,
        secret: &KeyVaultReference,
        asked: String,
        change: impl FnOnce(&mut Secret) -> PortResult<(bool, T)>,
    ) -> PortResult<T> {
        let mut secrets = lock(&self.secrets);
        let Some(found) = secrets.get_mut(secret) else { return Err(absent(operation)) };
        let done = if found.fence > context.fence {
            Err(fenced(operation, found.fence, context.fence))
        } else {
            found.fence = context.fence;
            change(found)
        };
        let outcome = match &done {
            Ok((true, _)) => MetOutcome::Changed,
            Ok((false, _)) => MetOutcome::Unchanged,
            Err(error) if error.kind() == PortErrorKind::Fenced => MetOutcome::Fenced,
            Err(_) => MetOutcome::Refused,
        };
        self.journal.note(context.rotation, context.fence, asked, outcome);
        done.map(|(_, answer)| answer)
    }
}

fn absent(operation: &'static str) -> PortError {
    PortError::new(PortErrorKind::NotFound, operation, "there is no such secret: put it into the vault first")
}

#[async_trait]
impl SecretStore for MemoryVault {
    fn kind(&self) -> VaultKind {
        self.kind
    }

    fn effect_class(&self) -> EffectClass {
        EffectClass::Fenced
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }

    async fn versions(
        &self,
        _access: &SecretAccess,
        secret: &KeyVaultReference,
    ) -> PortResult<Vec<VersionEntry>> {
        let secrets = lock(&self.secrets);
        secrets.get(secret).map(|found| found.versions.clone()).ok_or_else(|| absent("secrets.versions"))
    }

    async fn create_version(
        &self,
        context: VaultContext,
        _access: &SecretAccess,
        secret: &KeyVaultReference,
    ) -> PortResult<SecretVersion> {
        let operation = "secrets.create_version";
        self.perform(operation, context, secret, format!("create a version of {secret}"), |found| {
            let known = found.versions.iter().find(|entry| entry.made_for == Some(context.rotation));
            if let Some(known) = known {
                return Ok((false, known.version));
            }
            let number = (found.versions.len() + 1).to_string();
            let version = number.parse().map_err(|_| {
                PortError::new(PortErrorKind::Exhausted, operation, "no more versions: use a fresh vault")
            })?;
            let (created_at, made_for) = (context.rotation.requested_at, Some(context.rotation));
            found.versions.push(VersionEntry { version, created_at, made_for, is_retired: false });
            Ok((true, version))
        })
    }

    async fn retire_version(
        &self,
        context: VaultContext,
        _access: &SecretAccess,
        secret: &SecretReference,
    ) -> PortResult<()> {
        let asked = format!("retire {secret}");
        self.perform("secrets.retire_version", context, secret.key_vault_ref(), asked, |found| {
            let mut is_changed = false;
            for entry in found.versions.iter_mut().filter(|entry| entry.version == secret.version()) {
                is_changed |= !entry.is_retired;
                entry.is_retired = true;
            }
            Ok((is_changed, ()))
        })
    }

    async fn deliver(
        &self,
        _access: &SecretAccess,
        secret: &SecretReference,
        sink: Box<dyn SecretSink>,
    ) -> PortResult<()> {
        let is_there = {
            let secrets = lock(&self.secrets);
            let found = secrets.get(secret.key_vault_ref());
            found.is_some_and(|found| {
                found.versions.iter().any(|entry| entry.version == secret.version() && !entry.is_retired)
            })
        };
        if !is_there {
            return Err(absent("secrets.deliver"));
        }
        sink.receive(SecretValue::new(b"worth nothing".to_vec()))
    }
}
