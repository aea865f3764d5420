//! One scene of the commit benches, as a service on cqrs-es does it: `peers <store> <address> <callers> <distinct|one> <milliseconds>`.
//!
//! The store is `sqlite` (sqlite-es, `address` names a file that is created) or `postgres` (postgres-es, `address` is a URL; its tables are
//! created). Every caller loads an aggregate, decides one command with one event, and commits, again and again; what conflicts is tried
//! again, and only what was committed counts. The aggregate is kept beside its events (cqrs-es's "aggregate store"), so that loading does not
//! take longer with every event, and there are no views, which would take further transactions. Durability is FULL: sqlite-es's own pool
//! would set NORMAL, which does not flush a commit. All else is as its authors chose it, ten connections among them.
//!
//! Prints one line of JSON.

mod aggregate;
mod scene;

use cqrs_es::CqrsFramework;
use cqrs_es::persist::PersistedEventStore;
use postgres_es::{PostgresEventRepository, default_postgress_pool};
use sqlite_es::SqliteEventRepository;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use scene::Scene;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS events (
        aggregate_type text NOT NULL, aggregate_id text NOT NULL, sequence bigint CHECK (sequence >= 0) NOT NULL,
        event_type text NOT NULL, event_version text NOT NULL, payload {json} NOT NULL, metadata {json} NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, sequence)
    );
    CREATE TABLE IF NOT EXISTS snapshots (
        aggregate_type text NOT NULL, aggregate_id text NOT NULL, last_sequence bigint CHECK (last_sequence >= 0) NOT NULL,
        current_snapshot bigint CHECK (current_snapshot >= 0) NOT NULL, payload {json} NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, last_sequence)
    );";

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, address, scene @ ..] = &*arguments else {
        return Err(
            "say: peers <sqlite|postgres> <file or URL> <callers> <distinct|one> <milliseconds>".into()
        );
    };
    let scene = Scene::parse(scene)?;
    match store.as_str() {
        "sqlite" => sqlite(address, scene).await,
        "postgres" => postgres(address, scene).await,
        other => Err(format!("`{other}` is no store: say sqlite or postgres").into()),
    }
}

async fn sqlite(file: &str, scene: Scene) -> Result<(), Box<dyn std::error::Error>> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true);
    let pool = SqlitePoolOptions::new().max_connections(10).connect_with(options).await?;
    sqlx::raw_sql(&TABLES.replace("{json}", "text").replace("bigint", "integer")).execute(&pool).await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&pool).await?;
    let store = PersistedEventStore::new_aggregate_store(SqliteEventRepository::new(pool));
    let done = scene.play(CqrsFramework::new(store, Vec::new(), ())).await;
    println!("{}", done.json("sqlite-es", if synchronous == 2 { "FULL" } else { "not FULL" }));
    Ok(())
}

async fn postgres(url: &str, scene: Scene) -> Result<(), Box<dyn std::error::Error>> {
    let pool = default_postgress_pool(url).await;
    sqlx::raw_sql(&TABLES.replace("{json}", "json")).execute(&pool).await?;
    let flushed: String = sqlx::query_scalar(
        "SELECT current_setting('synchronous_commit') || ', fsync ' || current_setting('fsync')",
    )
    .fetch_one(&pool)
    .await?;
    let store = PersistedEventStore::new_aggregate_store(PostgresEventRepository::new(pool));
    let done = scene.play(CqrsFramework::new(store, Vec::new(), ())).await;
    println!("{}", done.json("postgres-es", &flushed));
    Ok(())
}
