//! A vault whose process is killed by the system at any moment, again and again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use runtime_domain::id::{SecretBindingId, TenantId};
use runtime_domain::secrets::{KeyVaultReference, SecretReference};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_local_vault::{LocalVault, LocalVaultOptions};
use runtime_ports::secret_store::{RotationId, SecretAccess, SecretStore as _, VaultContext};
use runtime_system::SystemClock;
use uuid::Uuid;

/// Set for the process that is killed: where its vault is.
const ROOT: &str = "LOCAL_VAULT_KILL_ROOT";
/// How many times it is killed; many more at a release.
const ROUNDS: &str = "LOCAL_VAULT_KILLS";

fn access() -> SecretAccess {
    SecretAccess { tenant: TenantId::from_uuid(Uuid::from_u128(1)), identity: "local:web".parse().unwrap() }
}

fn secret() -> KeyVaultReference {
    "local://main/database".parse().unwrap()
}

fn open(root: &Path) -> LocalVault {
    LocalVault::open(LocalVaultOptions::new(root, Arc::new(SystemClock::new()))).unwrap()
}

/// The rotation that replaces a version.
fn context(previous: u32) -> VaultContext {
    let binding = SecretBindingId::from_uuid(Uuid::from_u128(9));
    let requested_at = Timestamp::from_timestamp_micros(i64::from(previous)).unwrap();
    let rotation = RotationId { binding, previous: previous.to_string().parse().unwrap(), requested_at };
    VaultContext { rotation, fence: FencingToken(previous.into()) }
}

/// Not a test of its own: what the killed process does. It says what was acknowledged.
#[tokio::test]
#[ignore = "it is started by the test below, to be killed"]
async fn rotates_for_ever() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let vault = open(&PathBuf::from(root));
    let mut said = std::io::stdout();
    let listed = vault.versions(&access(), &secret()).await.unwrap();
    let mut current = u32::try_from(listed.iter().rposition(|it| !it.is_retired).unwrap()).unwrap() + 1;
    // The one before may have been made and not been retired.
    if let Some(before) = listed.iter().rev().skip(1).find(|it| !it.is_retired) {
        current = before.version.to_string().parse().unwrap();
    }
    loop {
        let made = vault.create_version(context(current), &access(), &secret()).await.unwrap();
        writeln!(said, "made {made}").unwrap();
        let old = SecretReference::new(secret(), current.to_string().parse().unwrap()).unwrap();
        vault.retire_version(context(current), &access(), &old).await.unwrap();
        writeln!(said, "retired {current}").unwrap();
        current = made.to_string().parse().unwrap();
    }
}

/// Shows X-7.
#[tokio::test]
async fn a_vault_that_is_killed_at_any_moment_loses_nothing_that_it_acknowledged() {
    let rounds: usize = std::env::var(ROUNDS).ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let root = tempfile::tempdir().unwrap();
    open(root.path()).put(access().tenant, &secret(), &[access().identity], b"first").await.unwrap();
    let (mut made, mut retired) = (1_u32, 0_u32);
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["rotates_for_ever", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ROOT, root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = round % 7 + 1;
        // Killed while it does whatever it does after so many acknowledgements; then what it said before that is read.
        while let Some(Ok(line)) = lines.next() {
            if let Some((what, number)) = line.split_once(' ')
                && let Ok(number) = number.parse::<u32>()
            {
                match what {
                    "made" => made = made.max(number),
                    "retired" => retired = retired.max(number),
                    _ => continue,
                }
                left = left.saturating_sub(1);
                if left == 0 {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        let vault = open(root.path());
        let listed = vault.versions(&access(), &secret()).await.unwrap();
        let last = u32::try_from(listed.len()).unwrap();
        assert!(last == made || last == made + 1, "round {round}: {last} versions, {made} acknowledged");
        for (number, entry) in (1..).zip(&listed) {
            assert_eq!(entry.version.to_string(), number.to_string(), "round {round}");
            assert!(entry.is_retired || number > retired, "round {round}: {number} came back");
        }
        assert!(listed.iter().filter(|entry| !entry.is_retired).count() <= 2, "round {round}");
        vault.check().await.unwrap();
        made = last;
    }
    assert!(retired > 3, "it was killed before it did anything: {retired}");
}
