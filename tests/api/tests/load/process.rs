//! A host in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A host that ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    /// Held as long as the store is needed.
    _folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) environments: Vec<String>,
}

impl Process {
    /// A host on SQLite that keeps so many bytes of the database.
    pub(crate) fn on_sqlite(page_cache: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_api-host"));
        command.arg("sqlite").arg(folder.path()).arg(page_cache.to_string()).stdin(Stdio::piped());
        command.stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let environments = said["environments"].as_array().unwrap().iter();
        Self {
            child,
            _folder: folder,
            address: said["ours"].as_str().unwrap().parse().unwrap(),
            environments: environments.map(|id| id.as_str().unwrap().to_owned()).collect(),
        }
    }

    /// What it keeps in memory, in bytes.
    pub(crate) fn resident(&self) -> usize {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}
