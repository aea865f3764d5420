//! Desired state as release manifests in a directory: a Git work tree, or a plain one.
//!
//! ```text
//!   root/[<tenant>/]<path of the watch>/shop.yaml       every *.yaml, *.yml and *.json of the folder is one release manifest
//!                                      /worker.yaml     no component is in two of them
//!                                      /README.md       anything else is not looked at, and neither are folders below
//! ```
//!
//! | | Git work tree | plain directory |
//! |---|---|---|
//! | what is read | the tree of the commit that is checked out | the files |
//! | revision | `git:<commit>` | `directory:<SHA-256 of names and contents>` |
//! | not authoritative | while anything is not committed, or the commit changes | while files change, or another folder takes the place |
//!
//! # Guarantees
//! - Everything that [`DesiredStateSource`](runtime_ports::desired_state::DesiredStateSource) promises. A folder that is not there is an error;
//!   one that is there and holds no manifest is empty.
//! - **No path leads elsewhere**: a path is parsed before it comes here, no link is followed on the way, and a link or a submodule in a manifest's
//!   place is refused. In a Git tree no file of the work tree is opened at all.
//! - **Bounded**: at most 1,000 manifests of at most 4 MiB, 32 MiB in all; more is refused before it is read into memory.
//! - A content that was parsed once is not parsed again while this value remembers it.
//!
//! # Git is run, not linked
//! Whether a tree is dirty depends on ignore rules, attributes, filters and line endings: only the operator's own `git` says what the operator's
//! own `git status` would, and a library for it would outweigh the rest of the build. It runs without the user's and the system's configuration,
//! hooks, file monitors, pagers, prompts, replacement objects, optional locks and network, with an environment that holds nothing else, and is ended
//! with the call. The repository's own configuration is the operator's and is believed, filters included; a repository that another user owns is
//! refused, as git does.
//!
//! # Caveats
//! A plain directory cannot tell a file that is written slowly from one that is short on purpose: replace files whole, by renaming, or use Git.

mod documents;
mod git;
mod plain;
mod source;

pub use documents::{LARGEST_DOCUMENT, LARGEST_IN_ALL, MOST_DOCUMENTS};
pub use source::{DesiredStateDirectory, Tenants};
