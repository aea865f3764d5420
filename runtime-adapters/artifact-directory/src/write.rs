//! Writing: into a locked folder of its own, which is moved to its name when all of it is on the disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::time::Timestamp;
use runtime_ports::PortResult;
use runtime_ports::artifacts::{Artifact, ArtifactKey, ArtifactRefusals, ArtifactWriter};
use runtime_ports::subject::{ContentDigest, Digesting};

use crate::disk::{make_subject_folder, read_manifest, remove_folder, sync_folder, write_manifest};
use crate::fault::failed;
use crate::place::{self, CONTENT, WRITING};
use crate::store::blocking;

/// How much is collected before it is written: a system call costs the same for one byte.
const BUFFER: usize = 64 << 10;

pub(crate) struct FileWriter {
    /// `None` after a failure.
    state: Option<State>,
}

struct State {
    root: Arc<Path>,
    tenant: TenantId,
    key: ArtifactKey,
    at: Timestamp,
    largest: u64,
    size: u64,
    digesting: Digesting,
    waiting: Vec<u8>,
    file: File,
    folder: Unfinished,
}

/// The folder of an unfinished artifact, removed when it is dropped.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(error) = remove_folder(&self.0) {
            tracing::warn!(%error, "an unfinished artifact was not removed: it is when the store is opened next");
        }
    }
}

impl FileWriter {
    pub(crate) fn begin(
        root: Arc<Path>,
        tenant: TenantId,
        key: ArtifactKey,
        at: Timestamp,
        largest: u64,
    ) -> PortResult<Self> {
        const OPERATION: &str = "artifacts.begin";
        loop {
            let made = tempfile::Builder::new().prefix(WRITING).tempdir_in(&root);
            let folder =
                Unfinished(made.map_err(|error| failed(OPERATION, "write in", &root, error))?.keep());
            let path = folder.0.join(CONTENT);
            // Whoever sweeps may take the folder for abandoned until its file is locked: then another one is begun.
            match locked(&path) {
                Ok(Some(file)) => {
                    let (digesting, waiting) = (Digesting::default(), Vec::new());
                    let state =
                        State { root, tenant, key, at, largest, size: 0, digesting, waiting, file, folder };
                    return Ok(Self { state: Some(state) });
                }
                Ok(None) => {}
                Err(error) => return Err(failed(OPERATION, "write", &path, error)),
            }
        }
    }
}

/// A new file that nobody else has locked; `None` where its folder was swept away.
fn locked(path: &Path) -> io::Result<Option<File>> {
    let file = match File::options().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) => Ok(fs::exists(path)?.then_some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

impl State {
    fn flush(&mut self) -> PortResult<()> {
        let written = self.file.write_all(&self.waiting);
        self.waiting.clear();
        written.map_err(|error| failed("artifacts.write", "write", &self.folder.0.join(CONTENT), error))
    }

    fn finish(mut self, expected: Option<ContentDigest>) -> PortResult<Artifact> {
        const OPERATION: &str = "artifacts.finish";
        let digest = self.digesting.digest();
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(ArtifactRefusals::not_as_expected(expected, digest));
        }
        self.flush()?;
        let unfinished = &self.folder.0;
        self.file.sync_all().map_err(|error| failed(OPERATION, "write to disk", unfinished, error))?;
        let stored_at = Timestamp::from_timestamp_micros(self.at.timestamp_micros()).unwrap_or(self.at);
        let artifact = Artifact { key: self.key.clone(), size: self.size, digest, stored_at };
        write_manifest(unfinished, &artifact)?;
        sync_folder(OPERATION, unfinished)?;
        make_subject_folder(&self.root, self.tenant, &self.key)?;
        let folder = place::folder(&self.root, self.tenant, &self.key);
        loop {
            // A folder that holds something is never replaced: of several writers the first wins.
            match fs::rename(unfinished, &folder) {
                Ok(()) => {
                    if let Some(parent) = folder.parent() {
                        sync_folder(OPERATION, parent)?;
                    }
                    return Ok(artifact);
                }
                Err(error) if is_taken(&error) => {}
                // Pruning has taken the empty folder of the subject away.
                Err(error) if error.kind() == io::ErrorKind::NotFound && unfinished.exists() => {
                    make_subject_folder(&self.root, self.tenant, &self.key)?;
                    continue;
                }
                Err(error) => return Err(failed(OPERATION, "move to", &folder, error)),
            }
            match read_manifest(OPERATION, &folder, self.key.clone())? {
                Some(there) if there.digest == digest => {
                    // Who wrote it may not have made it durable yet.
                    if let Some(parent) = folder.parent() {
                        sync_folder(OPERATION, parent)?;
                    }
                    return Ok(there);
                }
                Some(_) => return Err(ArtifactRefusals::exists(&self.key)),
                // It was removed meanwhile, so the name is free.
                None => {}
            }
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

#[async_trait]
impl ArtifactWriter for FileWriter {
    async fn write(&mut self, bytes: &[u8]) -> PortResult<()> {
        const OPERATION: &str = "artifacts.write";
        // Taken out until it has gone well: a future that is dropped in the middle leaves the writer spoilt.
        let mut state = self.state.take().ok_or_else(|| ArtifactRefusals::spoilt(OPERATION))?;
        let size = state.size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if size > state.largest {
            return Err(ArtifactRefusals::too_large(state.largest));
        }
        state.size = size;
        for part in bytes.chunks(BUFFER) {
            state.digesting.update(part);
            state.waiting.extend_from_slice(part);
            if state.waiting.len() >= BUFFER {
                let flush = move || state.flush().map(|()| state);
                state = blocking(OPERATION, flush).await?;
            }
        }
        self.state = Some(state);
        Ok(())
    }

    async fn finish(mut self: Box<Self>, expected: Option<ContentDigest>) -> PortResult<Artifact> {
        const OPERATION: &str = "artifacts.finish";
        let state = self.state.take().ok_or_else(|| ArtifactRefusals::spoilt(OPERATION))?;
        blocking(OPERATION, move || state.finish(expected)).await
    }
}
