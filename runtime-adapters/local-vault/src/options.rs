//! How a vault is set up.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use runtime_ports::clock::Clock;

use crate::rotator::SecretRotator;

/// What a [`LocalVault`](crate::LocalVault) is opened with. Begin with [`LocalVaultOptions::new`] and change what should differ.
#[derive(Clone)]
#[non_exhaustive]
pub struct LocalVaultOptions {
    /// The folder of the vault; created, for this user alone, where it is missing.
    pub root: PathBuf,
    /// The key's file; its anchor lies beside it. `ROOT/key` by default; made where neither it nor a vault is there. Kept on another medium than
    /// the vault, a stolen vault is unreadable, and one that is put back to an earlier state is noticed.
    pub key: PathBuf,
    /// Makes the next values of secrets that others must know too; without one the vault makes random ones.
    pub rotator: Option<Arc<dyn SecretRotator>>,
    /// Tells when versions are made.
    pub clock: Arc<dyn Clock>,
}

impl LocalVaultOptions {
    /// The usual options for a folder.
    pub fn new(root: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        let root = root.into();
        Self { key: root.join("key"), root, rotator: None, clock }
    }
}

impl fmt::Debug for LocalVaultOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalVaultOptions")
            .field("root", &self.root)
            .field("key", &self.key)
            .field("rotator", &self.rotator.is_some())
            .finish_non_exhaustive()
    }
}
