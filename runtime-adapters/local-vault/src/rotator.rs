//! Where the next value of a secret comes from.

use async_trait::async_trait;
use runtime_domain::secrets::KeyVaultReference;
use runtime_ports::PortResult;
use runtime_ports::secret_store::{RotationId, SecretValue};

/// Makes the next value of a secret that somebody else must know too, such as a database's password.
///
/// Guarantees that the vault relies on: for the same rotation it gives the same value, or one that makes the one before it void. It is asked
/// again where the process died before the value was kept.
#[async_trait]
pub trait SecretRotator: Send + Sync + 'static {
    /// The next value, or `None` for a secret that it does not know: then the vault makes 32 random bytes, as base64url.
    async fn next(
        &self,
        secret: &KeyVaultReference,
        rotation: &RotationId,
    ) -> PortResult<Option<SecretValue>>;
}
