//! An [`InfrastructureEngine`](runtime_ports::infrastructure::InfrastructureEngine) that provisions environments as directories on this
//! machine: the embedded default, with nothing to install.
//!
//! # Layout
//!
//! ```text
//! <root>/<tenant>/.lock                               one writer per tenant, across processes
//! <root>/<tenant>/.fences.json                        the greatest fencing token seen of each environment, gone ones included
//! <root>/<tenant>/<environment>/.factory-runtime.json the mark of this engine: it removes no environment without it
//!                              /environment.json      the blueprint, what was provisioned, and whether that is complete
//!                              /targets/<surface>/state, artifacts, logs
//! ```
//!
//! The stack reference is `directory/<environment>`, a resource identifier `directory/<environment>/<surface>/state`. The outputs name
//! the folders: `root`, `process.state`, `process.artifacts`, `process.logs`.
//!
//! # Guarantees
//!
//! - `up` is repeatable: it adopts what exists and continues what a process that died has begun. What it intends is recorded before it
//!   is done, so an environment's stage and region stay what they were from the first moment on (ENV-2).
//! - `up` removes the folder of a surface that the blueprint no longer has; `preview` says so beforehand.
//! - `destroy` removes what `up` made, with all that workloads wrote into it, and nothing else: a folder without the mark, or
//!   with entries that the engine does not know, is refused whole and left as it was. What is absent is destroyed already.
//! - An effect with an older fencing token than one that was seen for the environment is refused, destroyed or not: a host that was replaced
//!   brings nothing back.
//! - `refresh` looks at every folder beside the blueprint: what was removed behind the engine's back is missing, what it did not make is
//!   foreign.
//! - An environment appears and disappears in one step. `environment.json` is replaced as a whole.
//! - Tenants do not meet: an environment is found below its own tenant only (X-1). Every name on the path is an identifier or a constant, and
//!   a symbolic link in the place of a folder is refused, so nothing outside the root is touched.
//! - Folders are readable by this process's user only.
//!
//! # Limits
//!
//! - It keeps no network boundary: the egress allow-list is recorded, and is the surface's to enforce.
//! - The lock needs a local file system, or one that shares locks.
//! - Dropping a returned future does not stop work that has begun; the next call finds it done, or continues it.

mod disk;
mod engine;
mod fault;
mod fence;
mod manifest;
mod place;

pub use crate::engine::DirectoryEngine;
