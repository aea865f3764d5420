//! What needs the vault's own disk: a process that dies at every change.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use runtime_domain::surface::FencingToken;
use runtime_ports::clock::Clock;
use runtime_system::SystemClock;

use super::*;

fn secret() -> KeyVaultReference {
    "local://main/database".parse().unwrap()
}

fn access() -> SecretAccess {
    SecretAccess {
        tenant: TenantId::from_uuid(uuid::Uuid::from_u128(1)),
        identity: "local:web".parse().unwrap(),
    }
}

fn context(rotation: u32) -> VaultContext {
    let binding = runtime_domain::id::SecretBindingId::from_uuid(uuid::Uuid::from_u128(9));
    let previous = SecretVersion::numbered(NonZeroU32::new(rotation).unwrap());
    let requested_at = Timestamp::from_timestamp_micros(i64::from(rotation)).unwrap();
    VaultContext { rotation: RotationId { binding, previous, requested_at }, fence: FencingToken(7) }
}

fn open(root: &Path, changes_left: Option<usize>) -> PortResult<LocalVault> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = LocalVaultOptions::new(root, clock);
    LocalVault::open_on(options, Disk { changes_left: changes_left.map(AtomicUsize::new) })
}

/// A story that a host tells again from its beginning after every death, as reconcilers do.
async fn story(vault: &LocalVault) -> PortResult<()> {
    if vault.versions(&access(), &secret()).await.is_err() {
        vault.put(access().tenant, &secret(), &[access().identity], b"first").await?;
    }
    for rotation in 1..=2 {
        let made = vault.create_version(context(rotation), &access(), &secret()).await?;
        assert_eq!(made.to_string(), (rotation + 1).to_string());
        let old = SecretReference::new(secret(), context(rotation).rotation.previous).unwrap();
        vault.retire_version(context(rotation), &access(), &old).await?;
    }
    Ok(())
}

/// Shows X-7.
#[tokio::test]
async fn a_process_that_dies_at_any_change_is_continued_without_a_second_version_or_a_lost_one() {
    let mut deaths = 0;
    for changes in 0.. {
        let root = tempfile::tempdir().unwrap();
        let ended = match open(root.path(), Some(changes)) {
            Ok(vault) => story(&vault).await.is_ok(),
            Err(_) => false,
        };
        // It dies a second time while it mends, at the same depth.
        if let Ok(vault) = open(root.path(), Some(changes % 3)) {
            drop(story(&vault).await);
        }
        let vault =
            open(root.path(), None).unwrap_or_else(|error| panic!("after {changes} changes: {error}"));
        story(&vault).await.unwrap();
        let known = vault.versions(&access(), &secret()).await.unwrap();
        let shown: Vec<_> = known.iter().map(|it| (it.version.to_string(), it.is_retired)).collect();
        assert_eq!(
            shown,
            [("1".into(), true), ("2".into(), true), ("3".into(), false)],
            "after {changes} changes"
        );
        vault.check().await.unwrap();
        drop(vault);
        drop(open(root.path(), None).unwrap());
        let left = std::fs::read_dir(root.path().join("values")).unwrap().count();
        assert_eq!(left, 1, "after {changes} changes, files that no index names are left");
        if ended {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 20, "it died at {deaths} changes only");
}

#[test]
fn what_is_generated_is_forty_three_characters_that_differ() {
    let (one, other) = (generated().unwrap(), generated().unwrap());
    assert_eq!(one.expose().len(), 43);
    assert!(one.expose().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)));
    assert_ne!(one.expose(), other.expose());
}
