//! How an environment is compared with its desired state: one watch for each environment, under the environment's identifier.
//!
//! ```text
//! (none) ─► Watching ◄─► Stopped
//! ```
//!
//! | command | Watching | Stopped |
//! |---|---|---|
//! | Watch, on the same terms | same | yes |
//! | Watch, on other terms | yes | yes |
//! | Stop | yes | same |
//! | RecordOutlook, the same | same | LIFECYCLE |
//! | RecordOutlook, another | yes | LIFECYCLE |
//!
//! It keeps the terms, and the [`Outlook`] of the last comparison: whether the desired state could be read at all, and at which revision
//! what runs was what it says. What could not be read or seen is told as that, and never as in sync or as empty.

mod decide;
mod event;
mod evolve;
mod path;
mod record;
mod refusal;
mod state;
#[cfg(test)]
mod tests;

pub use event::WatchEvent;
pub use path::DesiredStatePath;
pub use record::DriftWatchRecord;
pub use refusal::WatchRefusal;
pub use state::{DriftWatch, Outlook, Watch, WatchState, WatchStatus, WatchTerms};
