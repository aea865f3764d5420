//! The embedded vault of Factory Runtime: secrets in encrypted files, in versions, tamper evident.
//!
//! [`LocalVault`] implements the port `SecretStore` for references of the form `local://<vault>/<name>`. An operator puts values in with
//! [`LocalVault::put`]; workloads get them from their surface.
//!
//! # What is on disk
//! ```text
//! ROOT/
//!   vault.lock                 keeps other processes out
//!   index.sealed               which secrets, versions and readers there are, and the digest of every value's file; each index names the
//!                              digest of the one before it
//!   values/<random>.sealed     one version's value
//! KEY                          32 random bytes, as hexadecimal digits, for its owner alone
//! KEY.anchor                   which index is the newest
//! ```
//! Everything that is sealed is XChaCha20-Poly1305 under the key, with a fresh random nonce, and with what it is and where it belongs as
//! associated data: no file can be read, altered, or put in another's place without its being noticed.
//!
//! # Guarantees
//! - A change has happened or has not, whenever the process is killed: a value's file is on disk before the index that names it, the index is
//!   replaced as a whole, and the anchor follows it. What a killed process left that no index names is removed by the next.
//! - An index or value that was altered, exchanged, removed, or put back to an earlier state is `Corrupt`, and nothing is delivered from it. A
//!   vault that is put back *with* its anchor cannot be told from one that was never changed: keep key and anchor on another medium than the
//!   vault where that matters ([`LocalVaultOptions::key`]).
//! - A key file that others than its owner can read is refused.
//! - One process at a time has a vault open.
//! - A retired version's file is removed; what the medium keeps of removed files is as unreadable as the rest.
//! - Values are wiped from memory after use. The key is in memory while the vault is open.
//! - Making and retiring versions is fenced: a repeated rotation is recognised by its identifier, an older token is refused.
//!
//! # Assumptions
//! Whoever can read this process's memory, or its key file, can read the vault.
//!
//! # Where to find what
//!
//! | room | what is in it |
//! |---|---|
//! | `vault` | opening, the operator's side, the port's methods |
//! | `open` | the vault while it is open: what is read and changed as a whole |
//! | `index` | what is known of secrets without their values |
//! | `key`, `seal` | the key, and what it seals |
//! | `disk` | changes of the file system, each whole or not at all |
//! | `fault` | failures |

mod disk;
mod fault;
mod index;
mod key;
mod open;
mod options;
mod rotator;
mod seal;
mod vault;

pub use options::LocalVaultOptions;
pub use rotator::SecretRotator;
pub use vault::LocalVault;
