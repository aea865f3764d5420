//! The vault's suite, on sealed files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::secrets::{KeyVaultReference, ManagedIdentityRef, SecretVersion};
use runtime_local_vault::{LocalVault, LocalVaultOptions};
use runtime_ports::PortResult;
use runtime_system::SystemClock;
use runtime_testkit::conformance::{
    AdapterFactory, Persistence, VaultCapabilities, VaultFactory, Verdict, secret_store,
};
use tempfile::TempDir;

#[derive(Default)]
struct Vaults {
    roots: Mutex<Vec<TempDir>>,
}

impl Vaults {
    fn open_newest(&self) -> PortResult<LocalVault> {
        let roots = self.roots.lock().unwrap();
        let root = roots.last().unwrap().path();
        LocalVault::open(LocalVaultOptions::new(root.join("vault"), Arc::new(SystemClock::new())))
    }
}

#[async_trait]
impl AdapterFactory for Vaults {
    type Adapter = LocalVault;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<LocalVault> {
        self.roots.lock().unwrap().push(tempfile::tempdir().unwrap());
        self.open_newest()
    }

    async fn reopen(&self, vault: LocalVault) -> PortResult<LocalVault> {
        vault.close().await;
        self.open_newest()
    }
}

#[async_trait]
impl VaultFactory for Vaults {
    fn secret(&self, name: &str) -> KeyVaultReference {
        format!("local://main/{name}").parse().unwrap()
    }

    fn identity(&self, number: u8) -> ManagedIdentityRef {
        format!("local:workload-{number}").parse().unwrap()
    }

    async fn put(
        &self,
        vault: &LocalVault,
        tenant: TenantId,
        secret: &KeyVaultReference,
        readers: &[ManagedIdentityRef],
        value: &[u8],
    ) -> PortResult<SecretVersion> {
        vault.put(tenant, secret, readers, value).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_every_promise_of_the_port() {
    let capabilities = VaultCapabilities { tells_identities_apart: true };
    let report = secret_store(Vaults::default(), capabilities).await;
    report.assert_passed();
    assert!(report.trials().iter().all(|trial| trial.verdict == Verdict::Passed), "{report}");
}
