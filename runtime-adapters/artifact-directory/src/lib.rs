//! Artifacts as files in a directory.
//!
//! ```text
//!   root/<tenant>/<environment>/<subject>/<name>/content          the bytes, to look at with any tool
//!                                              /artifact.json    size, digest, time
//!   root/.writing-…/content                                      locked for as long as it is being written
//! ```
//!
//! # Guarantees
//! - Everything that [`ArtifactStore`](runtime_ports::artifacts::ArtifactStore) promises, after a crash of the machine too: both files are
//!   flushed before their folder is moved to its name, and the folder that holds the name is flushed before `finish` returns.
//! - **No path leads elsewhere**: every name on disk is an identifier's text or a parsed name of which each part begins and ends with a letter or
//!   digit; `/` is written as `+`. Links are not followed.
//! - Any number of hosts may use one directory on a local disk: of those who finish one artifact at once, one wins.
//! - What a killed host left half written is removed when the store is opened or pruned next, and never shown.
//! - Writing and reading hold 64 KiB of an artifact in memory, however large it is.
//!
//! # Caveats
//! Not for network file systems, whose renames, locks and flushes cannot be relied on. Lists read one small file for every artifact of the
//! subject that they show.

mod disk;
mod fault;
mod place;
mod prune;
mod read;
mod store;
mod write;

pub use store::ArtifactDirectory;
