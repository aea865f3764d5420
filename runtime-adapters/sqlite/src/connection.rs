//! Opening connections, and bringing the schema up to date.

use std::path::Path;

use runtime_ports::{PortError, PortErrorKind, PortResult};
use rusqlite::{Connection, OpenFlags};

use crate::error::During;
use crate::options::{Durability, SqliteOptions};

/// Older versions can damage a database in WAL mode while it is reset.
const OLDEST_SQLITE: i32 = 3_051_003;

/// Marks a file as ours (`PRAGMA application_id`): "FRun".
const APPLICATION: i32 = 0x4652_756e;

/// The schema's versions, the first of them 1. Shipped ones are never edited.
const MIGRATIONS: [&str; 2] =
    [include_str!("../migrations/0001_initial.sql"), include_str!("../migrations/0002_records.sql")];

/// The least that a connection keeps of the database, in KiB: with less, a deep index is read anew at every step.
const LEAST_CACHE_KIB: u64 = 64;

const OPERATION: &str = "store.open";

/// The connection of the writer, with the schema brought up to date.
pub(crate) fn open_writer(path: &Path, options: &SqliteOptions) -> PortResult<Connection> {
    check_version(rusqlite::version_number())?;
    let mut connection = open(path, options)?;
    refuse_foreign(&connection)?;
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).during(OPERATION)?;
    if mode != "wal" {
        return Err(PortError::new(
            PortErrorKind::Unsupported,
            OPERATION,
            "the file system offers no shared memory for a write-ahead log: choose a local disk",
        ));
    }
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous).during(OPERATION)?;
    // Without it, REPLACE would delete history without asking the trigger.
    connection.pragma_update(None, "recursive_triggers", true).during(OPERATION)?;
    // A commit judges what its rows refer to before it writes them; `check_integrity` looks for any that refer to nothing.
    connection.pragma_update(None, "foreign_keys", false).during(OPERATION)?;
    keep(&connection, options.page_cache / 5 * 4)?;
    migrate(&mut connection)?;
    let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).during(OPERATION)?;
    let pages = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
    let log = pages(options.largest_log).clamp(1, i64::from(i32::MAX));
    connection.pragma_update(None, "wal_autocheckpoint", log).during(OPERATION)?;
    if let Some(bytes) = options.largest {
        let pages = pages(bytes);
        connection
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            .during(OPERATION)?;
    }
    Ok(connection)
}

/// A connection that can only read.
pub(crate) fn open_reader(path: &Path, options: &SqliteOptions) -> PortResult<Connection> {
    let connection = open(path, options)?;
    connection.pragma_update(None, "query_only", true).during(OPERATION)?;
    keep(&connection, options.page_cache / 5 / u64::from(options.reader_count()))?;
    Ok(connection)
}

/// Lets a connection keep so many bytes of the database.
fn keep(connection: &Connection, bytes: u64) -> PortResult<()> {
    let kib = i32::try_from((bytes / 1_024).max(LEAST_CACHE_KIB)).unwrap_or(i32::MAX);
    // A negative number is one of KiB, and not of pages.
    connection.pragma_update(None, "cache_size", -kib).during(OPERATION)
}

fn open(path: &Path, options: &SqliteOptions) -> PortResult<Connection> {
    // Neither URI names nor creation: the path is a file that the owner's lock has made.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).during(OPERATION)?;
    connection.busy_timeout(options.busy_timeout.to_std()).during(OPERATION)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn check_version(version: i32) -> PortResult<()> {
    if version >= OLDEST_SQLITE {
        return Ok(());
    }
    Err(PortError::new(
        PortErrorKind::Unsupported,
        OPERATION,
        format!(
            "SQLite {version} can damage a database in WAL mode: link 3.51.3 or later, as the bundled one is"
        ),
    ))
}

/// Refuses a database that another application or a newer version of this one has written, before anything in it is changed.
fn refuse_foreign(connection: &Connection) -> PortResult<()> {
    let number =
        |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i32>(0)).during(OPERATION);
    let application = number("PRAGMA application_id")?;
    let schema = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let fresh = application == 0 && schema == 0 && tables == 0;
    if !fresh && application != APPLICATION {
        return Err(PortError::new(
            PortErrorKind::Invalid,
            OPERATION,
            "the file is another application's database: choose a file of its own for the store",
        ));
    }
    let known = MIGRATIONS.len();
    if usize::try_from(schema).map_or(true, |schema| schema > known) {
        return Err(PortError::new(
            PortErrorKind::Unsupported,
            OPERATION,
            format!(
                "the store has schema {schema}, this version knows {known}: run the version that wrote it, or a newer one"
            ),
        ));
    }
    Ok(())
}

fn migrate(connection: &mut Connection) -> PortResult<()> {
    let transaction = connection.transaction().during(OPERATION)?;
    let present: i32 =
        transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).during(OPERATION)?;
    let done = usize::try_from(present).unwrap_or(0);
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        transaction.execute_batch(migration).during(OPERATION)?;
        let version = i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1);
        transaction.pragma_update(None, "user_version", version).during(OPERATION)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION).during(OPERATION)?;
    transaction.commit().during(OPERATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Buried: SQLite WAL-reset. Theirs: before 3.51.3 a reset of the write-ahead log could corrupt the database. Ours: a store is not opened with a
    /// SQLite that can do that.
    #[test]
    fn a_sqlite_that_can_damage_a_write_ahead_log_is_refused() {
        let refused = check_version(3_051_002).unwrap_err();
        assert_eq!(refused.kind(), PortErrorKind::Unsupported);
        assert!(refused.message().contains("3.51.3"), "{refused}");
        assert!(check_version(3_051_003).is_ok());
    }

    #[test]
    fn the_writer_logs_ahead_and_flushes_as_it_was_asked_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        std::fs::File::create(&path).unwrap();
        for (durability, wanted) in [(Durability::Full, 2), (Durability::Normal, 1)] {
            let writer = open_writer(&path, &SqliteOptions::default().durability(durability)).unwrap();
            let number = |pragma: &str| writer.query_row(pragma, [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(number("PRAGMA synchronous"), wanted);
            let mode: String = writer.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
        }
    }

    #[test]
    fn the_writer_keeps_four_fifths_of_the_page_cache_and_the_readers_share_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        std::fs::File::create(&path).unwrap();
        let kib = |connection: &Connection| {
            connection.query_row("PRAGMA cache_size", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        for (bytes, readers, of_writer, of_reader) in [
            (10 << 20, 4, 8_192, 512),
            (0, 4, 64, 64),
            (u64::MAX, 1, i64::from(i32::MAX), i64::from(i32::MAX)),
        ] {
            let options = SqliteOptions::default().page_cache(bytes).readers(readers);
            assert_eq!(kib(&open_writer(&path, &options).unwrap()), -of_writer);
            assert_eq!(kib(&open_reader(&path, &options).unwrap()), -of_reader);
        }
    }

    #[test]
    fn a_reader_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        std::fs::File::create(&path).unwrap();
        let options = SqliteOptions::default();
        open_writer(&path, &options).unwrap();
        let refused = open_reader(&path, &options).unwrap().execute("DELETE FROM inbox", []);
        assert!(refused.is_err_and(|error| error.to_string().contains("readonly")));
    }
}
