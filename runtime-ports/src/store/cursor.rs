//! Places in lists.

use std::fmt::Display;

use crate::error::{PortError, PortErrorKind, PortResult};

/// A place in a list, opaque to callers. A cursor that another query or store made is [`Invalid`](crate::PortErrorKind::Invalid).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// For stores: binds cursors to the list that they are of, so that one of another store, tenant or query is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal(String);

impl Seal {
    /// The seal of one list: `store` is the adapter's name, `list` says everything that decides what is listed, for whom, and in which order.
    ///
    /// It is FNV-1a: unlike the standard library's hasher it stays the same from one release to the next, so that a page can be turned
    /// across an upgrade.
    pub fn of(store: &str, list: &str) -> Self {
        let fingerprint = list.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(format!("{store}-{fingerprint:016x}-"))
    }

    /// The cursor that goes on after `place`.
    pub fn cursor(&self, place: impl Display) -> Cursor {
        Cursor(format!("{}{place}", self.0))
    }

    /// The place that `cursor` goes on after, read by `parse`.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid): it is another list's, or `parse` finds no place in it.
    pub fn place<T>(
        &self,
        operation: &'static str,
        cursor: &Cursor,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> PortResult<T> {
        cursor.0.strip_prefix(&self.0).and_then(parse).ok_or_else(|| {
            let message = "the cursor belongs to another query: begin again without one";
            PortError::new(PortErrorKind::Invalid, operation, message)
        })
    }
}

/// Checks how many are asked for.
///
/// # Errors
/// [`Invalid`](PortErrorKind::Invalid): not 1 to `most`.
pub fn check_limit(operation: &'static str, limit: u32, most: u32) -> PortResult<()> {
    if (1..=most).contains(&limit) {
        return Ok(());
    }
    let message = format!("the limit is out of range: ask for 1 to {most} to a page");
    Err(PortError::new(PortErrorKind::Invalid, operation, message))
}
