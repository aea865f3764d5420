//! Reading: part by part, verified at the end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use async_trait::async_trait;
use runtime_ports::PortResult;
use runtime_ports::artifacts::{Artifact, ArtifactKey, ArtifactReader, ArtifactRefusals, Portions};
use runtime_ports::subject::Digesting;

use crate::disk::{is_folder, read_manifest};
use crate::fault::{failed, foreign};
use crate::place::CONTENT;
use crate::store::blocking;

pub(crate) struct FileReader {
    artifact: Artifact,
    /// `None` after the end, or a failure.
    state: Option<State>,
    is_damaged: bool,
}

struct State {
    file: File,
    size: u64,
    digesting: Digesting,
}

impl FileReader {
    /// `None` where there is no such artifact.
    pub(crate) fn open(folder: &Path, key: ArtifactKey) -> PortResult<Option<Self>> {
        const OPERATION: &str = "artifacts.open";
        let Some(artifact) = read_manifest(OPERATION, folder, key)? else { return Ok(None) };
        let path = folder.join(CONTENT);
        match std::fs::symlink_metadata(&path).map(|found| found.is_file()) {
            Ok(true) => {}
            Ok(false) => return Err(foreign(OPERATION, &path)),
            Err(error) => return absent(OPERATION, folder, &path, error),
        }
        match File::open(&path) {
            Ok(file) => {
                let state = State { file, size: 0, digesting: Digesting::default() };
                Ok(Some(Self { artifact, state: Some(state), is_damaged: false }))
            }
            Err(error) => absent(OPERATION, folder, &path, error),
        }
    }
}

/// What a content that cannot be opened means: the artifact may have been removed meanwhile.
fn absent(
    operation: &'static str,
    folder: &Path,
    path: &Path,
    error: io::Error,
) -> PortResult<Option<FileReader>> {
    match error.kind() {
        io::ErrorKind::NotFound if !is_folder(operation, folder)? => Ok(None),
        io::ErrorKind::NotFound => Err(foreign(operation, folder)),
        _ => Err(failed(operation, "read", path, error)),
    }
}

#[async_trait]
impl ArtifactReader for FileReader {
    fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    async fn read(&mut self) -> PortResult<Option<Vec<u8>>> {
        const OPERATION: &str = "artifacts.read";
        if self.is_damaged {
            return Err(ArtifactRefusals::damaged(&self.artifact.key));
        }
        let Some(mut state) = self.state.take() else { return Ok(None) };
        // Until it has gone well, so that a read that is dropped in the middle does not look like the end.
        self.is_damaged = true;
        let read = move || {
            let mut part = Vec::new();
            let limit = u64::try_from(Portions::SIZE).unwrap_or(u64::MAX);
            let read = state.file.by_ref().take(limit).read_to_end(&mut part);
            read.map_err(|error| failed(OPERATION, "read", Path::new(CONTENT), error))?;
            state.digesting.update(&part);
            state.size = state.size.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
            Ok((part, state))
        };
        let (part, state) = blocking(OPERATION, read).await?;
        let is_whole = state.size == self.artifact.size && state.digesting.digest() == self.artifact.digest;
        if part.is_empty() {
            self.is_damaged = !is_whole;
            return if is_whole { Ok(None) } else { Err(ArtifactRefusals::damaged(&self.artifact.key)) };
        }
        if state.size > self.artifact.size {
            return Err(ArtifactRefusals::damaged(&self.artifact.key));
        }
        self.is_damaged = false;
        self.state = Some(state);
        Ok(Some(part))
    }
}
