//! What the vault keeps, from whom, and what it notices.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::id::{SecretBindingId, TenantId};
use runtime_domain::secrets::{KeyVaultReference, ManagedIdentityRef, SecretReference};
use runtime_domain::surface::{EffectClass, FencingToken};
use runtime_domain::time::Timestamp;
use runtime_local_vault::{LocalVault, LocalVaultOptions, SecretRotator};
use runtime_ports::secret_store::{
    RotationId, SecretAccess, SecretSink, SecretStore as _, SecretValue, VaultContext,
};
use runtime_ports::{PortErrorKind, PortResult};
use runtime_system::SystemClock;
use uuid::Uuid;

const VALUE: &[u8] = b"correct horse battery staple";

fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

fn web() -> ManagedIdentityRef {
    "local:web".parse().unwrap()
}

fn access() -> SecretAccess {
    SecretAccess { tenant: tenant(1), identity: web() }
}

fn secret(name: &str) -> KeyVaultReference {
    format!("local://main/{name}").parse().unwrap()
}

fn version(name: &str, number: u32) -> SecretReference {
    format!("local://main/{name}/{number}").parse().unwrap()
}

fn context(rotation: u32, fence: u64) -> VaultContext {
    let binding = SecretBindingId::from_uuid(Uuid::from_u128(9));
    let requested_at = Timestamp::from_timestamp_micros(i64::from(rotation)).unwrap();
    let rotation = RotationId { binding, previous: "1".parse().unwrap(), requested_at };
    VaultContext { rotation, fence: FencingToken(fence) }
}

fn options(root: &Path) -> LocalVaultOptions {
    LocalVaultOptions::new(root.join("vault"), Arc::new(SystemClock::new()))
}

fn open(root: &Path) -> PortResult<LocalVault> {
    LocalVault::open(options(root))
}

/// A sink that keeps what it is given.
#[derive(Default, Clone)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl SecretSink for Kept {
    fn receive(self: Box<Self>, value: SecretValue) -> PortResult<()> {
        *self.0.lock().unwrap() = value.expose().to_vec();
        Ok(())
    }
}

async fn delivered(vault: &LocalVault, access: &SecretAccess, what: &SecretReference) -> PortResult<Vec<u8>> {
    let kept = Kept::default();
    vault.deliver(access, what, Box::new(kept.clone())).await?;
    let bytes = kept.0.lock().unwrap().clone();
    Ok(bytes)
}

async fn with_a_secret(root: &Path) -> LocalVault {
    let vault = open(root).unwrap();
    vault.put(tenant(1), &secret("database"), &[web()], VALUE).await.unwrap();
    vault
}

#[tokio::test]
async fn a_value_comes_back_as_it_was_put_in_after_a_restart_too() {
    let root = tempfile::tempdir().unwrap();
    drop(with_a_secret(root.path()).await);
    let vault = open(root.path()).unwrap();
    assert_eq!(delivered(&vault, &access(), &version("database", 1)).await.unwrap(), VALUE);
    assert_eq!(vault.effect_class(), EffectClass::Fenced);
    vault.check().await.unwrap();
}

/// Shows X-1.
#[tokio::test]
async fn another_tenants_secret_is_answered_as_one_that_does_not_exist() {
    let root = tempfile::tempdir().unwrap();
    let vault = with_a_secret(root.path()).await;
    let foreign = SecretAccess { tenant: tenant(2), ..access() };
    let theirs = delivered(&vault, &foreign, &version("database", 1)).await.unwrap_err();
    let absent = delivered(&vault, &foreign, &version("nothing", 1)).await.unwrap_err();
    assert_eq!((theirs.kind(), absent.kind()), (PortErrorKind::NotFound, PortErrorKind::NotFound));
    assert_eq!(theirs.to_string().replace("database", "nothing"), absent.to_string());
    // Each tenant's secrets are its own, by whatever name.
    vault.put(tenant(2), &secret("database"), &[web()], b"another").await.unwrap();
    assert_eq!(delivered(&vault, &access(), &version("database", 1)).await.unwrap(), VALUE);
    assert_eq!(delivered(&vault, &foreign, &version("database", 1)).await.unwrap(), b"another");
}

#[tokio::test]
async fn an_identity_that_was_not_let_in_or_no_longer_is_is_denied() {
    let root = tempfile::tempdir().unwrap();
    let vault = with_a_secret(root.path()).await;
    let other = SecretAccess { identity: "local:worker".parse().unwrap(), ..access() };
    let denied = delivered(&vault, &other, &version("database", 1)).await.unwrap_err();
    assert_eq!(denied.kind(), PortErrorKind::Denied);
    vault.revoke(tenant(1), &secret("database"), &web()).await.unwrap();
    let denied = delivered(&vault, &access(), &version("database", 1)).await.unwrap_err();
    assert_eq!(denied.kind(), PortErrorKind::Denied);
}

/// Shows SEC-2.
#[tokio::test]
async fn a_rotation_that_is_asked_again_makes_no_second_version() {
    let root = tempfile::tempdir().unwrap();
    let vault = with_a_secret(root.path()).await;
    let made = vault.create_version(context(1, 5), &access(), &secret("database")).await.unwrap();
    drop(vault);
    let vault = open(root.path()).unwrap();
    let again = vault.create_version(context(1, 6), &access(), &secret("database")).await.unwrap();
    assert_eq!((made.to_string().as_str(), made), ("2", again));
    let listed = vault.versions(&access(), &secret("database")).await.unwrap();
    assert_eq!(listed.iter().map(|it| it.made_for).collect::<Vec<_>>(), [None, Some(context(1, 6).rotation)]);
    let (access, database) = (access(), secret("database"));
    let both = tokio::join!(
        vault.create_version(context(2, 6), &access, &database),
        vault.create_version(context(2, 6), &access, &database),
    );
    assert_eq!(both.0.unwrap(), both.1.unwrap());
    assert_eq!(vault.versions(&access, &database).await.unwrap().len(), 3);
}

/// Shows X-7.
#[tokio::test]
async fn a_host_that_was_replaced_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let vault = with_a_secret(root.path()).await;
    vault.create_version(context(1, 7), &access(), &secret("database")).await.unwrap();
    let made = vault.create_version(context(2, 6), &access(), &secret("database")).await.unwrap_err();
    let retired = vault.retire_version(context(1, 6), &access(), &version("database", 1)).await.unwrap_err();
    assert_eq!((made.kind(), retired.kind()), (PortErrorKind::Fenced, PortErrorKind::Fenced));
    assert_eq!(delivered(&vault, &access(), &version("database", 1)).await.unwrap(), VALUE);
}

#[tokio::test]
async fn a_retired_version_is_given_to_nobody_and_its_file_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let vault = with_a_secret(root.path()).await;
    vault.create_version(context(1, 1), &access(), &secret("database")).await.unwrap();
    for _ in 0..2 {
        vault.retire_version(context(1, 1), &access(), &version("database", 1)).await.unwrap();
    }
    let gone = delivered(&vault, &access(), &version("database", 1)).await.unwrap_err();
    assert_eq!(gone.kind(), PortErrorKind::NotFound);
    assert_eq!(delivered(&vault, &access(), &version("database", 2)).await.unwrap().len(), 43);
    assert_eq!(fs::read_dir(root.path().join("vault/values")).unwrap().count(), 1);
    let absent = vault.retire_version(context(1, 1), &access(), &version("database", 9)).await.unwrap_err();
    assert_eq!(absent.kind(), PortErrorKind::NotFound);
}

struct Database;

#[async_trait]
impl SecretRotator for Database {
    async fn next(&self, secret: &KeyVaultReference, _: &RotationId) -> PortResult<Option<SecretValue>> {
        let knows_it = secret.secret_name() == "database";
        Ok(knows_it.then(|| SecretValue::new(b"from the database".to_vec())))
    }
}

#[tokio::test]
async fn a_rotator_makes_the_values_of_the_secrets_that_it_knows() {
    let root = tempfile::tempdir().unwrap();
    let mut options = options(root.path());
    options.rotator = Some(Arc::new(Database));
    let vault = LocalVault::open(options).unwrap();
    for name in ["database", "other"] {
        vault.put(tenant(1), &secret(name), &[web()], VALUE).await.unwrap();
        vault.create_version(context(1, 1), &access(), &secret(name)).await.unwrap();
    }
    assert_eq!(delivered(&vault, &access(), &version("database", 2)).await.unwrap(), b"from the database");
    assert_eq!(delivered(&vault, &access(), &version("other", 2)).await.unwrap().len(), 43);
}

#[tokio::test]
async fn a_value_that_is_empty_or_too_long_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let vault = open(root.path()).unwrap();
    for value in [Vec::new(), vec![7; 64 * 1024 + 1]] {
        let refused = vault.put(tenant(1), &secret("database"), &[web()], &value).await.unwrap_err();
        assert_eq!(refused.kind(), PortErrorKind::Invalid);
    }
    let foreign = "vault://kv/web#password".parse().unwrap();
    let refused = vault.put(tenant(1), &foreign, &[web()], VALUE).await.unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Invalid);
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused_and_one_that_is_missing_is_not_made_anew() {
    let root = tempfile::tempdir().unwrap();
    drop(with_a_secret(root.path()).await);
    let key = root.path().join("vault/key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    for mode in [0o640, 0o604, 0o620, 0o666] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let refused = open(root.path()).unwrap_err();
        assert_eq!(refused.kind(), PortErrorKind::Denied, "{mode:o}");
        assert!(refused.to_string().contains("600"), "{refused}");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let content = fs::read(&key).unwrap();
    fs::write(&key, "factory-runtime-vault-key-1\nabc\n").unwrap();
    assert_eq!(open(root.path()).unwrap_err().kind(), PortErrorKind::Corrupt);
    fs::remove_file(&key).unwrap();
    assert_eq!(open(root.path()).unwrap_err().kind(), PortErrorKind::NotFound);
    std::os::unix::fs::symlink("/dev/zero", &key).unwrap();
    assert_eq!(open(root.path()).unwrap_err().kind(), PortErrorKind::Invalid);
    fs::remove_file(&key).unwrap();
    fs::write(&key, content).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    open(root.path()).unwrap();
}

#[tokio::test]
async fn one_process_at_a_time_has_it_open() {
    let root = tempfile::tempdir().unwrap();
    let vault = open(root.path()).unwrap();
    assert_eq!(open(root.path()).unwrap_err().kind(), PortErrorKind::Unavailable);
    vault.clone().close().await;
    assert_eq!(vault.check().await.unwrap_err().kind(), PortErrorKind::Unavailable);
    open(root.path()).unwrap();
}

/// Everything that the vault keeps, by its path.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.push((path, content));
        }
    }
    found.sort();
    found
}

fn put_back(folder: &Path, saved: &[(PathBuf, Vec<u8>)]) {
    for (path, _) in files(folder) {
        fs::remove_file(path).unwrap();
    }
    for (path, content) in saved {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Opens the vault and asks for everything in it; how that ends tells whether something is noticed.
async fn read_all(root: &Path) -> PortResult<()> {
    let vault = open(root)?;
    for name in ["database", "other"] {
        for number in 1..=2 {
            delivered(&vault, &access(), &version(name, number)).await?;
        }
    }
    vault.check().await
}

#[tokio::test]
async fn whatever_is_altered_exchanged_or_put_back_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("vault");
    let vault = with_a_secret(root.path()).await;
    vault.put(tenant(1), &secret("database"), &[web()], b"the second one").await.unwrap();
    vault.put(tenant(1), &secret("other"), &[web()], VALUE).await.unwrap();
    drop(vault);
    let earlier = files(&folder);
    let vault = open(root.path()).unwrap();
    vault.put(tenant(1), &secret("other"), &[web()], b"the second one").await.unwrap();
    drop(vault);
    let now = files(&folder);
    read_all(root.path()).await.unwrap();

    let is_sealed = |path: &Path| path.extension().is_some_and(|it| it == "sealed" || it == "anchor");
    for (path, content) in now.iter().filter(|(path, _)| is_sealed(path)) {
        for at in (0..content.len()).step_by(content.len().div_ceil(40)).chain([content.len() - 1]) {
            let mut altered = content.clone();
            altered[at] ^= 1;
            fs::write(path, &altered).unwrap();
            let noticed = read_all(root.path()).await.unwrap_err();
            assert_eq!(noticed.kind(), PortErrorKind::Corrupt, "byte {at} of {}", path.display());
        }
        fs::write(path, &content[..content.len() - 1]).unwrap();
        assert_eq!(read_all(root.path()).await.unwrap_err().kind(), PortErrorKind::Corrupt);
        put_back(&folder, &now);
    }
    let values: Vec<_> = now.iter().filter(|(path, _)| path.parent().unwrap().ends_with("values")).collect();
    for pair in values.windows(2) {
        fs::write(&pair[0].0, &pair[1].1).unwrap();
        fs::write(&pair[1].0, &pair[0].1).unwrap();
        assert_eq!(read_all(root.path()).await.unwrap_err().kind(), PortErrorKind::Corrupt, "exchanged");
        put_back(&folder, &now);
    }
    // Of the newest state, each file and every two of them from the earlier one; the whole is the anchor's keeper's to notice.
    for kept in ["index.sealed", "key.anchor"] {
        let (path, content) = earlier.iter().find(|(path, _)| path.ends_with(kept)).unwrap();
        fs::write(path, content).unwrap();
        let noticed = read_all(root.path()).await;
        // An anchor that is one behind is what a process leaves that dies between index and anchor.
        assert_eq!(noticed.is_ok(), kept == "key.anchor", "{kept}: {noticed:?}");
        put_back(&folder, &now);
    }
    for (path, _) in now.iter().filter(|(path, _)| is_sealed(path)) {
        fs::remove_file(path).unwrap();
        assert_eq!(
            read_all(root.path()).await.unwrap_err().kind(),
            PortErrorKind::Corrupt,
            "{} is missing",
            path.display()
        );
        put_back(&folder, &now);
    }
    let other = tempfile::tempdir().unwrap();
    drop(with_a_secret(other.path()).await);
    fs::copy(other.path().join("vault/index.sealed"), folder.join("index.sealed")).unwrap();
    assert_eq!(read_all(root.path()).await.unwrap_err().kind(), PortErrorKind::Corrupt, "another vault's");
}

#[tokio::test]
async fn an_index_that_is_exchanged_while_the_vault_is_open_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let vault = with_a_secret(root.path()).await;
    fs::write(root.path().join("vault/index.sealed"), b"something else").unwrap();
    assert_eq!(vault.check().await.unwrap_err().kind(), PortErrorKind::Corrupt);
}

/// Buried: external-secrets#2401.
/// Shows X-11.
#[tokio::test]
async fn nothing_of_a_value_is_in_a_file_an_error_or_a_debug_text() {
    let root = tempfile::tempdir().unwrap();
    let vault = with_a_secret(root.path()).await;
    for (path, content) in files(&root.path().join("vault")) {
        let is_there = content.windows(8).any(|part| VALUE.windows(8).any(|own| own == part));
        assert!(!is_there, "{}", path.display());
    }
    let key = fs::read_to_string(root.path().join("vault/key")).unwrap();
    let key = key.lines().nth(1).unwrap();
    let mut told = format!("{vault:?} {:?}", options(root.path()));
    for what in [version("database", 9), version("nothing", 1)] {
        let error = delivered(&vault, &access(), &what).await.unwrap_err();
        told += &format!("{error} {error:?}");
    }
    assert!(!told.contains(key) && !told.contains("horse"), "{told}");
}
