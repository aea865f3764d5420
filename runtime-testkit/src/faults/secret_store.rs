//! A vault some of whose calls meet a fault.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::secrets::{KeyVaultReference, SecretReference, SecretVersion, VaultKind};
use runtime_domain::surface::EffectClass;
use runtime_ports::PortResult;
use runtime_ports::secret_store::{SecretAccess, SecretSink, SecretStore, VaultContext, VersionEntry};

use super::{Call, Faults, Spoil, half};

impl Faults {
    /// The same vault, whose calls meet these faults.
    pub fn secret_store(&self, inner: Arc<dyn SecretStore>) -> Arc<dyn SecretStore> {
        Arc::new(FaultyVault { inner, faults: self.clone() })
    }
}

struct FaultyVault {
    inner: Arc<dyn SecretStore>,
    faults: Faults,
}

#[async_trait]
impl SecretStore for FaultyVault {
    fn kind(&self) -> VaultKind {
        self.inner.kind()
    }

    fn effect_class(&self) -> EffectClass {
        self.inner.effect_class()
    }

    async fn check(&self) -> PortResult<()> {
        self.faults.read(Call::of("secrets.check", ""), Spoil::NOTHING, self.inner.check()).await
    }

    async fn versions(
        &self,
        access: &SecretAccess,
        secret: &KeyVaultReference,
    ) -> PortResult<Vec<VersionEntry>> {
        let call = Call::of("secrets.versions", format!("{} {secret}", access.tenant));
        let turned = |listed: Vec<VersionEntry>| {
            let turn = |entry: VersionEntry| VersionEntry { is_retired: !entry.is_retired, ..entry };
            listed.into_iter().map(turn).collect()
        };
        let spoil = Spoil::part(half).garbage(turned);
        self.faults.read(call, spoil, self.inner.versions(access, secret)).await
    }

    async fn create_version(
        &self,
        context: VaultContext,
        access: &SecretAccess,
        secret: &KeyVaultReference,
    ) -> PortResult<SecretVersion> {
        let call = Call::of("secrets.create_version", format!("{secret} for {}", context.rotation));
        self.faults.change(call, || self.inner.create_version(context, access, secret)).await
    }

    async fn retire_version(
        &self,
        context: VaultContext,
        access: &SecretAccess,
        secret: &SecretReference,
    ) -> PortResult<()> {
        let call = Call::of("secrets.retire_version", secret);
        self.faults.change(call, || self.inner.retire_version(context, access, secret)).await
    }

    async fn deliver(
        &self,
        access: &SecretAccess,
        secret: &SecretReference,
        sink: Box<dyn SecretSink>,
    ) -> PortResult<()> {
        let call = Call::of("secrets.deliver", secret);
        self.faults.change_once(call, self.inner.deliver(access, secret, sink)).await
    }
}
