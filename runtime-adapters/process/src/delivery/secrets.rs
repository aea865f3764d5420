//! Secrets: files in a folder of each instance's own, in memory where the system has such; variables where a binding says so.
//!
//! ```text
//! BASE/TENANT/ENVIRONMENT/MODULE/INSTANCE/NAME        folders of mode 700, files of mode 600
//! BASE/TENANT/ENVIRONMENT/.jobs/OWNER-ORDINAL/NAME    a job's, by its effect
//! ```
//!
//! They are whole before the process is started, stay as they are while it runs, and go when it is gone. A later version comes with a later
//! revision: so a revision that goes back has its secrets again.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use runtime_domain::component::VariableName;
use runtime_domain::id::{EnvironmentId, SecretBindingId, TenantId};
use runtime_domain::secrets::{DeliveredSecret, Delivery, VaultKind};
use runtime_domain::surface::{ComponentKey, EffectId, RevisionSpec};
use runtime_ports::secret_store::{SecretAccess, SecretSink, SecretStore, SecretValue};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::isolation::give_secrets;
use crate::state::{self, failed};

/// Beside the folders of components. No module has a name with a dot.
const JOBS: &str = ".jobs";

/// Tells a workload where its files are.
const FOLDER_VARIABLE: &str = "FACTORY_SECRETS";

/// The vaults that a surface delivers from.
pub(crate) type Vaults = BTreeMap<VaultKind, Arc<dyn SecretStore>>;

/// Where the secrets of all instances of a surface are.
#[derive(Debug, Clone)]
pub(crate) struct SecretBase(PathBuf);

impl SecretBase {
    /// The folder that was chosen, or one in memory where the system has such, or else one in the surface's own folder.
    ///
    /// # Errors
    /// What is there is another user's, or others can look into it.
    pub(crate) fn open(chosen: Option<&Path>, root: &Path, surface: &str) -> io::Result<Self> {
        let base = match chosen {
            Some(chosen) => chosen.to_owned(),
            None => in_memory().map_or_else(
                || root.join("secrets"),
                |memory| memory.join(format!("factory-runtime-{surface}")),
            ),
        };
        if base.symlink_metadata().is_ok() {
            is_private(&base)?;
        }
        Ok(Self(base))
    }

    /// For looking whether something could be delivered.
    pub(crate) fn nowhere() -> Self {
        Self(PathBuf::new())
    }

    fn place(&self, (tenant, environment): (TenantId, EnvironmentId)) -> PathBuf {
        self.0.join(tenant.to_string()).join(environment.to_string())
    }

    /// The folder of one component's instances.
    pub(crate) fn component(&self, key: &ComponentKey) -> PathBuf {
        self.place((key.tenant, key.environment)).join(key.module.as_str())
    }

    /// The folder of one job.
    pub(crate) fn job(&self, place: (TenantId, EnvironmentId), effect: EffectId) -> SecretFolder {
        let name = format!("{}-{}", effect.owner, effect.ordinal);
        SecretFolder { base: self.0.clone(), path: self.place(place).join(JOBS).join(name) }
    }

    /// The folder of one instance.
    pub(crate) fn instance(&self, key: &ComponentKey, name: &str) -> SecretFolder {
        SecretFolder { base: self.0.clone(), path: self.component(key).join(name) }
    }

    /// Removes the secrets of components and jobs that are not among these.
    pub(crate) fn keep_only(&self, components: &[ComponentKey], jobs: &[SecretFolder]) -> io::Result<()> {
        let kept: Vec<PathBuf> = components.iter().map(|key| self.component(key)).collect();
        for tenant in state::entries(&self.0)? {
            for environment in state::entries(&tenant)? {
                for folder in state::entries(&environment)? {
                    if folder.ends_with(JOBS) {
                        let gone = |job: &PathBuf| !jobs.iter().any(|kept| kept.path == *job);
                        state::entries(&folder)?
                            .into_iter()
                            .filter(gone)
                            .try_for_each(|job| state::remove_folder(&job))?;
                    } else if !kept.contains(&folder) {
                        state::remove_folder(&folder)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A file system in memory, where there is one that this user may write to.
#[cfg(target_os = "linux")]
fn in_memory() -> Option<PathBuf> {
    let memory = Path::new("/dev/shm");
    // The number that the system gives file systems in memory (`TMPFS_MAGIC`), in whichever integer type.
    let is_in_memory = rustix::fs::statfs(memory).ok()?.f_type == 0x0102_1994;
    let is_open = rustix::fs::access(memory, rustix::fs::Access::WRITE_OK).is_ok();
    (is_in_memory && is_open).then(|| memory.to_owned())
}

#[cfg(not(target_os = "linux"))]
fn in_memory() -> Option<PathBuf> {
    None
}

/// Where the secrets of one instance or job are.
#[derive(Debug, Clone)]
pub(crate) struct SecretFolder {
    base: PathBuf,
    path: PathBuf,
}

impl SecretFolder {
    /// Where a revision's secrets are found by the workload, by binding: a file's path or a variable's name, each under what it is.
    pub(crate) fn places(&self, spec: &RevisionSpec) -> BTreeMap<SecretBindingId, (&'static str, String)> {
        let place = |secret: &DeliveredSecret| match (secret.delivery.file(), secret.delivery.variable()) {
            (Some(file), _) => Some(("file", self.path.join(file).to_string_lossy().into_owned())),
            (None, Some(variable)) => Some(("variable", variable.as_str().to_owned())),
            (None, None) => None,
        };
        spec.secrets.iter().filter_map(|secret| Some((secret.binding, place(secret)?))).collect()
    }

    /// Puts everything that a revision is given where its instance finds it: all of it, or an error.
    pub(crate) async fn fill(
        &self,
        operation: &'static str,
        vaults: &Vaults,
        spec: &RevisionSpec,
    ) -> PortResult<Given> {
        self.put(operation, fetch(operation, vaults, spec).await?)
    }

    /// Puts what was fetched where its workload finds it, and nothing of what was there before.
    pub(crate) fn put(&self, operation: &'static str, fetched: Fetched) -> PortResult<Given> {
        let refused =
            |error| failed(operation, "the folder of a workload's secrets could not be made", error);
        self.remove().map_err(refused)?;
        let mut given = Given::default();
        if fetched.0.is_empty() {
            return Ok(given);
        }
        self.make().map_err(refused)?;
        for (delivery, value) in fetched.0 {
            if let Some(name) = delivery.file() {
                write_private(&self.path.join(name), &value)
                    .map_err(|error| failed(operation, "a secret's file could not be written", error))?;
                given.folder = Some(self.path.clone());
            } else if let Some(name) = delivery.variable() {
                check_variable(operation, name, &value)?;
                given.variables.push((name.clone(), value));
            }
        }
        Ok(given)
    }

    /// Lets an instance that runs as another user read it.
    pub(crate) fn lend(&self, user: u32) -> io::Result<()> {
        if self.path.is_dir() { give_secrets(&self.path, user) } else { Ok(()) }
    }

    /// Makes the folder and those above it. Whoever removes another instance's may remove one of those meanwhile.
    fn make(&self) -> io::Result<()> {
        let made = private_folder(&self.base).and_then(|()| private_folder(&self.path));
        match made {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                private_folder(&self.base).and_then(|()| private_folder(&self.path))
            }
            made => made,
        }
    }

    /// Removes everything, and the folders above it that hold nothing any more.
    pub(crate) fn remove(&self) -> io::Result<()> {
        state::remove_folder(&self.path)?;
        for above in self.path.ancestors().skip(1).take_while(|above| above.starts_with(&self.base)) {
            if fs::remove_dir(above).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// What a workload was given, for its process to be started with.
#[derive(Debug, Default)]
pub(crate) struct Given {
    folder: Option<PathBuf>,
    variables: Vec<(VariableName, SecretValue)>,
}

impl Given {
    /// Adds what the process gets by variables. The system keeps them readable for this user for as long as the process runs.
    pub(crate) fn apply(self, command: &mut tokio::process::Command) {
        if let Some(folder) = self.folder {
            command.env(FOLDER_VARIABLE, folder);
        }
        for (name, value) in self.variables {
            command.env(name.as_str(), std::ffi::OsString::from_vec(value.expose().to_vec()));
        }
    }
}

/// Refuses what could not be delivered, before anything is wanted of it: a vault that the surface has not, a version that is not there.
pub(crate) async fn check(operation: &'static str, vaults: &Vaults, spec: &RevisionSpec) -> PortResult<()> {
    for secret in &spec.secrets {
        let vault = vault(operation, vaults, secret)?;
        let access = SecretAccess { tenant: spec.key.tenant, identity: secret.identity.clone() };
        let listed = vault.versions(&access, secret.secret.key_vault_ref()).await?;
        let version = secret.secret.version();
        if !listed.iter().any(|entry| entry.version == version && !entry.is_retired) {
            let message = format!("{} was retired, or never was: deploy with a later version", secret.secret);
            return Err(PortError::new(PortErrorKind::NotFound, operation, message));
        }
    }
    Ok(())
}

fn vault<'v>(
    operation: &'static str,
    vaults: &'v Vaults,
    secret: &DeliveredSecret,
) -> PortResult<&'v dyn SecretStore> {
    let kind = secret.secret.key_vault_ref().kind();
    vaults.get(&kind).map(|vault| &**vault).ok_or_else(|| {
        let message = format!("this surface has no adapter for vaults of kind {kind:?}: open it with one");
        PortError::new(PortErrorKind::Unsupported, operation, message)
    })
}

/// What a revision is given, from its vaults, on its way to a workload.
#[derive(Debug, Default)]
pub(crate) struct Fetched(Vec<(Delivery, SecretValue)>);

/// Asks the vaults for everything that a revision is given: all of it, or an error.
pub(crate) async fn fetch(
    operation: &'static str,
    vaults: &Vaults,
    spec: &RevisionSpec,
) -> PortResult<Fetched> {
    let mut fetched = Fetched::default();
    for secret in &spec.secrets {
        let vault = vault(operation, vaults, secret)?;
        let access = SecretAccess { tenant: spec.key.tenant, identity: secret.identity.clone() };
        let received = Arc::new(Mutex::new(None));
        vault.deliver(&access, &secret.secret, Box::new(Receiver(Arc::clone(&received)))).await?;
        let value = received.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(|| {
            let message = format!("the vault says that it has delivered {}, and nothing came", secret.secret);
            PortError::new(PortErrorKind::Internal, operation, message)
        })?;
        fetched.0.push((secret.delivery.clone(), value));
    }
    Ok(fetched)
}

/// Keeps a value until it is put where its workload finds it.
struct Receiver(Arc<Mutex<Option<SecretValue>>>);

impl SecretSink for Receiver {
    fn receive(self: Box<Self>, value: SecretValue) -> PortResult<()> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }
}

/// Writes a value into a new file for this user alone.
fn write_private(path: &Path, value: &SecretValue) -> io::Result<()> {
    File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(value.expose())
}

fn check_variable(operation: &'static str, name: &VariableName, value: &SecretValue) -> PortResult<()> {
    if !value.expose().contains(&0) {
        return Ok(());
    }
    let message = format!(
        "what {} should hold has a zero byte, which no environment variable can: deliver it as a file",
        name.as_str()
    );
    Err(PortError::new(PortErrorKind::Invalid, operation, message))
}

/// Makes a folder for this user alone, and refuses one that somebody else made or can look into. Passing it is no looking.
fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    is_private(path)
}

fn is_private(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let is_own =
        found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o066 == 0;
    if is_own {
        return Ok(());
    }
    let message = format!(
        "{} is not a folder of this user alone: remove it, or choose another with `ProcessSurfaceOptions::secret_folder`",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use runtime_ports::secret_store::MockSecretStore;

    use super::*;

    #[test]
    fn a_base_that_others_can_look_into_is_refused() {
        let root = tempfile::tempdir().expect("a folder");
        let base = root.path().join("base");
        private_folder(&base).expect("made");
        SecretBase::open(Some(&base), root.path(), "s").expect("for this user alone");
        assert_eq!(fs::metadata(&base).expect("there").permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&base, fs::Permissions::from_mode(0o750)).expect("changed");
        SecretBase::open(Some(&base), root.path(), "s").expect_err("others can look into it");
        fs::remove_dir(&base).expect("removed");
        std::os::unix::fs::symlink(root.path(), &base).expect("a link");
        SecretBase::open(Some(&base), root.path(), "s").expect_err("it is a link");
    }

    #[test]
    fn the_last_instance_takes_the_folders_above_it_along() {
        let root = tempfile::tempdir().expect("a folder");
        let base = SecretBase::open(Some(&root.path().join("base")), root.path(), "s").expect("opened");
        let key = ComponentKey {
            tenant: TenantId::from_uuid(uuid::Uuid::nil()),
            environment: EnvironmentId::from_uuid(uuid::Uuid::nil()),
            module: "cart".parse().expect("a name"),
        };
        let (one, other) = (base.instance(&key, "one"), base.instance(&key, "other"));
        one.make().expect("made");
        other.make().expect("made");
        one.remove().expect("removed");
        assert!(other.path.is_dir() && !one.path.exists());
        other.remove().expect("removed");
        assert!(!root.path().join("base").exists());
        other.remove().expect("nothing is left to remove");
    }

    #[tokio::test]
    async fn a_workload_is_not_started_without_what_a_vault_only_says_that_it_delivered() {
        let mut vault = MockSecretStore::new();
        vault.expect_deliver().returning(|_, _, _| Ok(()));
        let vaults = Vaults::from([(VaultKind::Local, Arc::new(vault) as Arc<dyn SecretStore>)]);
        let spec = serde_json::json!({
            "key": { "tenant": format!("ten_{:032x}", 1), "environment": format!("env_{:032x}", 2), "module": "cart" },
            "revision": format!("cart@dep_{:032x}", 3),
            "component": {
                "module": "cart", "component_type": "microservice", "version": "1.0.0", "surface": "process", "replicas": 1,
                "tuple": { "image": format!("shop/cart@sha256:{}", "a".repeat(64)) },
            },
            "secrets": [{
                "binding": format!("sec_{:032x}", 4), "secret": "local://main/password/1", "identity": "local:web",
                "delivery": "file:password",
            }],
        });
        let spec = serde_json::from_value(spec).expect("a revision");
        let refused = fetch("test", &vaults, &spec).await.expect_err("nothing came");
        assert!(refused.message().contains("local://main/password/1"), "{refused}");
    }

    #[test]
    fn a_file_is_for_this_user_alone_and_never_written_over() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("password");
        write_private(&path, &SecretValue::new(b"one".to_vec())).expect("written");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let refused = write_private(&path, &SecretValue::new(b"two".to_vec())).expect_err("it is there");
        assert!(!format!("{refused:?}").contains("two"), "{refused:?}");
        assert_eq!(fs::read(&path).expect("there"), b"one");
    }
}
