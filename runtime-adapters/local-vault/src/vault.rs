//! The vault: opening it, the operator's side, and the port.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::secrets::{
    KeyVaultReference, ManagedIdentityRef, SecretReference, SecretVersion, VaultKind,
};
use runtime_domain::surface::EffectClass;
use runtime_domain::time::Timestamp;
use runtime_ports::secret_store::{
    RotationId, SecretAccess, SecretSink, SecretStore, SecretValue, VaultContext, VersionEntry,
};
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use zeroize::Zeroizing;

use crate::disk::Disk;
use crate::fault::{Fault, Outcome};
use crate::index::{Secret, Version, place};
use crate::open::Open;
use crate::options::LocalVaultOptions;
use crate::seal::random;

/// The embedded vault. Cheap to clone; every clone is the same vault.
#[derive(Clone)]
pub struct LocalVault {
    options: LocalVaultOptions,
    /// Nothing once it is closed.
    open: Arc<Mutex<Option<Open>>>,
}

impl fmt::Debug for LocalVault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LocalVault").field("options", &self.options).finish_non_exhaustive()
    }
}

impl LocalVault {
    /// Opens a vault, and makes it, with its key, where neither is there.
    ///
    /// # Errors
    /// Another process has it open; others can read its key; the key is missing; it was tampered with.
    pub fn open(options: LocalVaultOptions) -> PortResult<Self> {
        Self::open_on(options, Disk::default())
    }

    pub(crate) fn open_on(options: LocalVaultOptions, disk: Disk) -> PortResult<Self> {
        let open = Open::new(&options.root, &options.key, disk).map_err(|fault| fault.at("vault.open"))?;
        Ok(Self { options, open: Arc::new(Mutex::new(Some(open))) })
    }

    /// Puts a value in, as the secret's next version, for these identities of a tenant besides those that were let in before. For operators:
    /// read the value from a file or a pipe, never from a command line, and wipe it afterwards.
    ///
    /// # Errors
    /// The reference is none of a local vault; the value is empty or has more than 64 KiB; the disk refused.
    pub async fn put(
        &self,
        tenant: TenantId,
        secret: &KeyVaultReference,
        readers: &[ManagedIdentityRef],
        value: &[u8],
    ) -> PortResult<SecretVersion> {
        let value = Zeroizing::new(value.to_vec());
        let now = self.options.clock.now();
        let (secret, readers) = (secret.clone(), readers.to_vec());
        self.with("vault.put", move |open| {
            is_local(&secret)?;
            let place = place(tenant, &secret);
            add(open, &place, now, None, &value, |secret| {
                secret.readers.extend(readers);
                Ok(())
            })
        })
        .await
    }

    /// Lets an identity in no longer. What it was given before is not taken from it: rotate for that.
    ///
    /// # Errors
    /// The disk refused.
    pub async fn revoke(
        &self,
        tenant: TenantId,
        secret: &KeyVaultReference,
        reader: &ManagedIdentityRef,
    ) -> PortResult<()> {
        let (place, reader) = (place(tenant, secret), reader.clone());
        self.with("vault.revoke", move |open| {
            open.change(|index| {
                if let Some(secret) = index.secrets.get_mut(&place) {
                    secret.readers.remove(&reader);
                }
                Ok(())
            })
        })
        .await
    }

    /// Closes the vault for every clone: the key is wiped from memory, and another process may open it. Closing twice is not an error.
    pub async fn close(&self) {
        let open = Arc::clone(&self.open);
        let closed = tokio::task::spawn_blocking(move || {
            open.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
        if closed.await.is_err() {
            tracing::warn!("closing the vault was cut off");
        }
    }

    /// Does one thing to the vault, off the threads that serve others.
    async fn with<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Open) -> Outcome<T> + Send + 'static,
    ) -> PortResult<T> {
        let open = Arc::clone(&self.open);
        let done = tokio::task::spawn_blocking(move || {
            match &mut *open.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(open) => work(open),
                None => Err(Fault::new(PortErrorKind::Unavailable, "the vault was closed: open it again")),
            }
        });
        match done.await {
            Ok(outcome) => outcome.map_err(|fault| fault.at(operation)),
            Err(_) => Err(PortError::new(PortErrorKind::Internal, operation, "the vault's work was cut off")
                .with_retry(Retry::OutcomeUnknown)),
        }
    }

    async fn next_value(&self, secret: &KeyVaultReference, rotation: &RotationId) -> PortResult<SecretValue> {
        if let Some(rotator) = &self.options.rotator
            && let Some(value) = rotator.next(secret, rotation).await?
        {
            return Ok(value);
        }
        generated().map_err(|fault| fault.at("vault.create_version"))
    }
}

#[async_trait]
impl SecretStore for LocalVault {
    fn kind(&self) -> VaultKind {
        VaultKind::Local
    }

    fn effect_class(&self) -> EffectClass {
        EffectClass::Fenced
    }

    async fn check(&self) -> PortResult<()> {
        self.with("vault.check", Open::check).await
    }

    async fn versions(
        &self,
        access: &SecretAccess,
        secret: &KeyVaultReference,
    ) -> PortResult<Vec<VersionEntry>> {
        let (access, secret) = (access.clone(), secret.clone());
        self.with("vault.versions", move |open| {
            let found = open.index()?.readable(access.tenant, &secret, &access.identity)?;
            Ok(found.versions.iter().filter_map(listed).collect())
        })
        .await
    }

    async fn create_version(
        &self,
        context: VaultContext,
        access: &SecretAccess,
        secret: &KeyVaultReference,
    ) -> PortResult<SecretVersion> {
        const OPERATION: &str = "vault.create_version";
        let place = place(access.tenant, secret);
        let made_for = context.rotation.to_string();
        let made = {
            let (access, secret, place) = (access.clone(), secret.clone(), place.clone());
            let made_for = made_for.clone();
            self.with(OPERATION, move |open| {
                let found = open.index()?.readable(access.tenant, &secret, &access.identity)?;
                let made = found.versions.iter().find(|it| it.made_for.as_ref() == Some(&made_for));
                let made = made.and_then(Version::name);
                fence(open, &place, context)?;
                Ok(made)
            })
            .await?
        };
        if let Some(made) = made {
            return Ok(made);
        }
        let value = self.next_value(secret, &context.rotation).await?;
        let now = self.options.clock.now();
        self.with(OPERATION, move |open| {
            let known = open.index()?.secrets.get(&place);
            let made = known
                .and_then(|secret| secret.versions.iter().find(|it| it.made_for.as_ref() == Some(&made_for)));
            // Asked twice at once: the first one counts.
            if let Some(made) = made.and_then(Version::name) {
                return Ok(made);
            }
            add(open, &place, now, Some(made_for), value.expose(), |secret| secret.admit(context.fence))
        })
        .await
    }

    async fn retire_version(
        &self,
        context: VaultContext,
        access: &SecretAccess,
        secret: &SecretReference,
    ) -> PortResult<()> {
        let (access, secret) = (access.clone(), secret.clone());
        self.with("vault.retire_version", move |open| {
            let reference = secret.key_vault_ref();
            let found = open.index()?.readable(access.tenant, reference, &access.identity)?;
            let found = found.version(secret.version()).ok_or_else(|| absent(&secret))?;
            let (number, is_retired) = (found.number, found.value.is_none());
            let place = place(access.tenant, reference);
            fence(open, &place, context)?;
            if is_retired {
                return Ok(());
            }
            open.change(|index| {
                let versions = index.secrets.get_mut(&place).map(|secret| &mut secret.versions);
                for version in versions.into_iter().flatten().filter(|version| version.number == number) {
                    version.value = None;
                }
                Ok(())
            })
        })
        .await
    }

    async fn deliver(
        &self,
        access: &SecretAccess,
        secret: &SecretReference,
        sink: Box<dyn SecretSink>,
    ) -> PortResult<()> {
        let (access, secret) = (access.clone(), secret.clone());
        let value = self
            .with("vault.deliver", move |open| {
                let reference = secret.key_vault_ref();
                let found = open.index()?.readable(access.tenant, reference, &access.identity)?;
                let found = found.version(secret.version()).ok_or_else(|| absent(&secret))?.clone();
                let mut plain = open.value(&place(access.tenant, reference), &found)?;
                Ok(SecretValue::new(std::mem::take(&mut *plain)))
            })
            .await?;
        sink.receive(value)
    }
}

fn listed(version: &Version) -> Option<VersionEntry> {
    Some(VersionEntry {
        version: version.name()?,
        created_at: version.created_at,
        made_for: version.made_for.as_deref().and_then(RotationId::parse),
        is_retired: version.value.is_none(),
    })
}

/// Refuses an older token, and remembers a newer one before anything is done under it.
fn fence(open: &mut Open, place: &str, context: VaultContext) -> Outcome<()> {
    let seen = open.index()?.secrets.get(place).map_or(0, |secret| secret.fence);
    if seen == context.fence.0 {
        return Ok(());
    }
    open.change(|index| index.secrets.get_mut(place).map_or(Ok(()), |secret| secret.admit(context.fence)))
}

/// Adds a version: its value to disk, then the index that names it.
fn add(
    open: &mut Open,
    place: &str,
    now: Timestamp,
    made_for: Option<String>,
    value: &[u8],
    besides: impl FnOnce(&mut Secret) -> Outcome<()>,
) -> Outcome<SecretVersion> {
    let number = match open.index()?.secrets.get(place) {
        Some(secret) => secret.next_number()?,
        None => 1,
    };
    let value = open.keep(place, number, value)?;
    open.change(|index| {
        let secret = index.secrets.entry(place.to_owned()).or_default();
        besides(secret)?;
        secret.versions.push(Version { number, created_at: now, made_for, value: Some(value) });
        Ok(())
    })?;
    let number = NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Ok(SecretVersion::numbered(number))
}

fn is_local(secret: &KeyVaultReference) -> Outcome<()> {
    if secret.kind() == VaultKind::Local {
        return Ok(());
    }
    let message = format!("{secret} is none of a local vault's: write local://<vault>/<name>");
    Err(Fault::new(PortErrorKind::Invalid, message))
}

fn absent(secret: &SecretReference) -> Fault {
    Fault::new(PortErrorKind::NotFound, format!("the vault has no {secret}: name a version that it lists"))
}

/// 32 random bytes, as base64url without padding: 43 characters.
fn generated() -> Outcome<SecretValue> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = Zeroizing::new([0_u8; 32]);
    random(&mut *bytes)?;
    let mut text = Vec::with_capacity(43);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| chunk.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..=chunk.len() {
            let at = usize::try_from(bits >> (18 - 6 * digit) & 63).unwrap_or(0);
            text.push(ALPHABET.get(at).copied().unwrap_or(b'A'));
        }
    }
    Ok(SecretValue::new(text))
}

#[cfg(test)]
mod tests;
