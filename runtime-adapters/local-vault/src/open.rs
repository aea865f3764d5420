//! The vault while it is open: what is read and changed as a whole.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use runtime_ports::PortErrorKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::disk::{self, Disk};
use crate::fault::{Fault, Outcome};
use crate::index::{Anchor, Index, Value, Version};
use crate::key::Key;
use crate::seal::{self, Part, digest, hex, random, seal};

/// The longest value, in bytes.
const LONGEST: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Open {
    root: PathBuf,
    anchor: PathBuf,
    key: Key,
    pub(crate) disk: Disk,
    index: Index,
    /// The digest of the index's file.
    sealed: String,
    /// A change failed half-way: what is on disk is read again before anything else.
    is_doubtful: bool,
    _lock: File,
}

impl Open {
    pub(crate) fn new(root: &Path, key: &Path, disk: Disk) -> Outcome<Self> {
        disk.ensure_folder(root)?;
        let lock = lock(root)?;
        disk.ensure_folder(&root.join("values"))?;
        if let Some(folder) = key.parent() {
            disk.ensure_folder(folder)?;
        }
        let is_new = disk::look_up(&root.join("index.sealed"))?.is_none();
        let key_read = Key::read(key)?;
        let own = match key_read {
            Some(key) => key,
            None if is_new => Key::make(&disk, key)?,
            None => {
                let message = format!("the key {} is missing: put it back from its backup", key.display());
                return Err(Fault::new(PortErrorKind::NotFound, message));
            }
        };
        let mut name = key.as_os_str().to_owned();
        name.push(".anchor");
        let mut open = Self {
            root: root.to_owned(),
            anchor: name.into(),
            key: own,
            disk,
            index: Index::first(String::new()),
            sealed: String::new(),
            is_doubtful: true,
            _lock: lock,
        };
        open.settle()?;
        Ok(open)
    }

    pub(crate) fn index(&mut self) -> Outcome<&Index> {
        self.settle()?;
        Ok(&self.index)
    }

    /// Whether what is on disk is what is known.
    pub(crate) fn check(&mut self) -> Outcome<()> {
        self.settle()?;
        let path = self.index_path();
        match disk::read(&path)? {
            Some(sealed) if digest(&sealed) == self.sealed => Ok(()),
            _ => Err(Fault::tampered(&path, "was exchanged or removed while the vault was open")),
        }
    }

    fn index_path(&self) -> PathBuf {
        self.root.join("index.sealed")
    }

    fn value_path(&self, file: &str) -> PathBuf {
        self.root.join("values").join(file)
    }

    /// Reads what is on disk, where that is in doubt, and removes what a process that was killed left of a change.
    fn settle(&mut self) -> Outcome<()> {
        if !self.is_doubtful {
            return Ok(());
        }
        let path = self.index_path();
        let anchor: Option<Anchor> = match disk::read(&self.anchor)? {
            Some(sealed) => Some(self.read(&Part::Anchor, &self.anchor, &sealed)?),
            None => None,
        };
        let Some(sealed) = disk::read(&path)? else {
            if anchor.is_some() {
                return Err(Fault::tampered(&path, "is missing, and its anchor is there"));
            }
            let mut name = [0; 16];
            random(&mut name)?;
            self.index = Index::first(hex(&name));
            self.sealed = String::new();
            self.is_doubtful = false;
            return self.change(|_| Ok(())).map(drop);
        };
        let index: Index = self.read(&Part::Index, &path, &sealed)?;
        let own = Anchor { generation: index.generation, index: digest(&sealed) };
        let follows = match &anchor {
            Some(anchor) => {
                *anchor == own
                    || (index.previous == anchor.index
                        && index.generation == anchor.generation.saturating_add(1))
            }
            None => index.generation == 1,
        };
        if !follows {
            return Err(Fault::tampered(
                &path,
                "is not the newest one: it was put back to an earlier state, or exchanged",
            ));
        }
        if anchor.as_ref() != Some(&own) {
            self.write(&Part::Anchor, &self.anchor, &own)?;
        }
        for name in disk::names_in(&self.root.join("values"))? {
            if !index.files().contains(name.as_str()) {
                self.disk.remove(&self.value_path(&name))?;
            }
        }
        self.index = index;
        self.sealed = own.index;
        self.is_doubtful = false;
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, part: &Part<'_>, path: &Path, sealed: &[u8]) -> Outcome<T> {
        let plain = seal::open(&self.key, part, path, sealed)?;
        serde_json::from_slice(&plain)
            .map_err(|_| Fault::tampered(path, "was written by a version that this one does not understand"))
    }

    fn write(&self, part: &Part<'_>, path: &Path, what: &impl Serialize) -> Outcome<String> {
        let plain = serde_json::to_vec(what).map_err(|_| {
            Fault::new(PortErrorKind::Internal, "the vault's index could not be written down")
        })?;
        let sealed = seal(&self.key, part, &plain)?;
        self.disk.write(path, &sealed)?;
        Ok(digest(&sealed))
    }

    /// Changes the index as a whole. Where that fails half-way, what is on disk decides.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Index) -> Outcome<T>) -> Outcome<T> {
        self.settle()?;
        let mut next = self.index.clone();
        let answer = change(&mut next)?;
        next.generation += 1;
        next.previous.clone_from(&self.sealed);
        self.is_doubtful = true;
        let sealed = self.write(&Part::Index, &self.index_path(), &next).map_err(Fault::unknown)?;
        let anchor = Anchor { generation: next.generation, index: sealed.clone() };
        self.write(&Part::Anchor, &self.anchor, &anchor).map_err(Fault::unknown)?;
        let gone: Vec<String> =
            self.index.files().difference(&next.files()).map(|name| (*name).to_owned()).collect();
        (self.index, self.sealed) = (next, sealed);
        self.is_doubtful = false;
        for name in gone {
            // No index names it any more: where it stays, the next process removes it.
            if self.disk.remove(&self.value_path(&name)).is_err() {
                tracing::warn!(file = name, "a retired version's file could not be removed yet");
            }
        }
        Ok(answer)
    }

    /// Seals a value into a file, which nothing names yet.
    pub(crate) fn keep(&mut self, secret: &str, number: u32, value: &[u8]) -> Outcome<Value> {
        if value.is_empty() || value.len() > LONGEST {
            let message = format!("a value has 1 to {LONGEST} bytes: put in another, or where to find it");
            return Err(Fault::new(PortErrorKind::Invalid, message));
        }
        self.settle()?;
        let mut name = [0; 16];
        random(&mut name)?;
        let file = format!("{}.sealed", hex(&name));
        let part = Part::Value { vault: &self.index.vault, secret, version: number };
        let sealed = seal(&self.key, &part, value)?;
        self.disk.write(&self.value_path(&file), &sealed)?;
        Ok(Value { file, digest: digest(&sealed) })
    }

    /// A version's value.
    pub(crate) fn value(&self, secret: &str, version: &Version) -> Outcome<Zeroizing<Vec<u8>>> {
        let Some(value) = &version.value else {
            let message =
                format!("version {} of the secret was retired: deliver a later one", version.number);
            return Err(Fault::new(PortErrorKind::NotFound, message));
        };
        let path = self.value_path(&value.file);
        let sealed = disk::read(&path)?.ok_or_else(|| Fault::tampered(&path, "is missing"))?;
        if digest(&sealed) != value.digest {
            return Err(Fault::tampered(&path, "was exchanged"));
        }
        let part = Part::Value { vault: &self.index.vault, secret, version: version.number };
        seal::open(&self.key, &part, &path, &sealed)
    }
}

fn lock(root: &Path) -> Outcome<File> {
    let path = root.join("vault.lock");
    let lock = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| Fault::io("open", &path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Fault::new(
            PortErrorKind::Unavailable,
            "another process has the vault open: stop it, or give this one a vault of its own",
        )),
        Err(TryLockError::Error(error)) => Err(Fault::io("lock", &path, error)),
    }
}
