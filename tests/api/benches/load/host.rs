//! The host's process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A host that ends when it is dropped.
pub struct Host {
    child: Child,
    /// Held as long as the store is needed.
    _folder: tempfile::TempDir,
    pub ours: SocketAddr,
    pub grpc: SocketAddr,
    pub bare: SocketAddr,
    pub environments: Vec<String>,
}

impl Host {
    pub fn start(store: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_api-host"));
        command.arg(store).stdin(Stdio::piped()).stdout(Stdio::piped());
        if store == "sqlite" {
            command.arg(folder.path());
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = |name: &str| said[name].as_str().unwrap().parse().unwrap();
        let environments = said["environments"].as_array().unwrap().iter();
        Self {
            _folder: folder,
            ours: address("ours"),
            grpc: address("grpc"),
            bare: address("bare"),
            environments: environments.map(|id| id.as_str().unwrap().to_owned()).collect(),
            child,
        }
    }

    /// The processor time that all its threads have taken, to a hundredth of a second.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: u64 = [fields[11], fields[12]].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}
