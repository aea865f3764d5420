//! What of a commit can be worked out before the writer has it.

use runtime_domain::claim::{ClaimMode, ClaimSpace};
use runtime_ports::store::{AggregateWrite, Commit};
use sha2::{Digest, Sha256};

/// A commit, with what the writer would otherwise have to work out while others wait for it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) commit: Commit,
    /// Of each write: the digest of its modules, where they are, and its claims.
    pub(super) held: Vec<[u8; 16]>,
    /// Of each write's history entries: their times.
    pub(super) times: Vec<Vec<String>>,
}

impl Prepared {
    pub(crate) fn new(commit: Commit) -> Self {
        let held = commit.writes.iter().map(digest).collect();
        let times =
            |write: &AggregateWrite| write.history.iter().map(|entry| entry.at.to_rfc3339()).collect();
        Self { held, times: commit.writes.iter().map(times).collect(), commit }
    }
}

/// Where two are equal, so are environment, modules and claims.
fn digest(write: &AggregateWrite) -> [u8; 16] {
    let mut hash = Sha256::new();
    let mut part = |mark: &[u8; 1], text: &str| {
        hash.update(mark);
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    part(b"n", &write.facets.environment.to_string());
    for module in &write.facets.modules {
        part(b"m", module.as_str());
    }
    for claim in &write.claims {
        let mark = match (claim.space, claim.mode) {
            (ClaimSpace::Tenant, ClaimMode::Exclusive) => b"e",
            (ClaimSpace::Tenant, ClaimMode::Shared) => b"s",
            (ClaimSpace::Global, ClaimMode::Exclusive) => b"E",
            (ClaimSpace::Global, ClaimMode::Shared) => b"S",
        };
        part(mark, &claim.key);
    }
    let mut half = [0; 16];
    half.iter_mut().zip(hash.finalize()).for_each(|(half, byte)| *half = byte);
    half
}
