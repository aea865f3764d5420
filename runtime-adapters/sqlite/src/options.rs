//! How the store is opened.

use runtime_domain::time::Span;

/// What a commit survives once it has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A crash of the process and of the machine: every group of commits is flushed to the disk (`synchronous=FULL`). What does no harm
    /// where it is as it was a moment before is not waited for, and flushed with the next commit: leases, and what the relay has published.
    #[default]
    Full,
    /// A crash of the process. After one of the machine the newest commits may be missing, the older ones are whole
    /// (`synchronous=NORMAL`).
    Normal,
}

/// How the store is opened. `SqliteOptions::default()` suits a host in production.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// What a commit survives. Default: [`Durability::Full`].
    pub durability: Durability,
    /// How long SQLite waits for a lock, such as a backup tool's, before it gives up. Default: 5 s.
    pub busy_timeout: Span,
    /// How many reads run at once: 1 to 64, outside that range the nearer end. Default: 4.
    pub readers: u32,
    /// How large the database may grow, in bytes, rounded down to whole pages; a commit beyond it is refused as with a full disk.
    /// Default: `None`, as large as the disk allows.
    pub largest: Option<u64>,
    /// How large the write-ahead log grows before its pages are written home, in bytes; it is read when the store is opened after a crash.
    /// Default: 32 MB. A larger one makes commits faster, since a page that is written again meanwhile goes home once.
    pub largest_log: u64,
    /// How much of the database is kept in memory, in bytes: four fifths by the writer, the rest shared out among the readers, and by each of them at
    /// least 64 KiB. It is filled as pages are used, and given back when the store is closed. Default: 40 MB, which holds the inner pages of every index
    /// where there are millions of aggregates.
    pub page_cache: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            busy_timeout: Span::from_secs(5),
            readers: 4,
            largest: None,
            largest_log: 32_000_000,
            page_cache: 40_000_000,
        }
    }
}

impl SqliteOptions {
    /// With this durability.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Waiting at most so long for a lock.
    #[must_use]
    pub fn busy_timeout(self, busy_timeout: Span) -> Self {
        Self { busy_timeout, ..self }
    }

    /// With so many reads at once.
    #[must_use]
    pub fn readers(self, readers: u32) -> Self {
        Self { readers, ..self }
    }

    /// Growing to at most so many bytes.
    #[must_use]
    pub fn largest(self, bytes: u64) -> Self {
        Self { largest: Some(bytes), ..self }
    }

    /// Writing the log's pages home when it has grown to so many bytes.
    #[must_use]
    pub fn largest_log(self, bytes: u64) -> Self {
        Self { largest_log: bytes, ..self }
    }

    /// Keeping so many bytes of the database in memory.
    #[must_use]
    pub fn page_cache(self, bytes: u64) -> Self {
        Self { page_cache: bytes, ..self }
    }

    /// How many readers that makes.
    pub(crate) fn reader_count(&self) -> u32 {
        self.readers.clamp(1, 64)
    }
}
