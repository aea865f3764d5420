//! Bringing the schema up to date, and refusing one that does not fit.

use runtime_ports::{PortError, PortErrorKind, PortResult};
use tokio_postgres::Client;

use crate::connection::{Dialler, Role};
use crate::error::During;
use crate::options::PostgresOptions;

/// The schema's versions, the first of them 1. Shipped ones are never edited.
const MIGRATIONS: [&str; 5] = [
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_commits.sql"),
    include_str!("../migrations/0003_leases.sql"),
    include_str!("../migrations/0004_outbox.sql"),
    include_str!("../migrations/0005_records.sql"),
];

const OLDEST_SERVER: i32 = 150_000;
/// Hosts that are installed together migrate one after the other.
const LOCK: i64 = 0x4652_756e;

/// Brings the schema `factory_runtime` up to this version, in one transaction, and lets `login` (the one that hosts open the store with)
/// take on the two roles that the store works in. Doing so again changes nothing.
///
/// `owner` names the same database with a login that may create a schema in it and, the first time, roles: it becomes the tables' owner.
/// It must not be the hosts' login.
///
/// # Errors
/// [`Unsupported`](PortErrorKind::Unsupported): the server is older than PostgreSQL 15, or the schema newer than this version.
/// [`Denied`](PortErrorKind::Denied): `owner` may not do this. [`Unavailable`](PortErrorKind::Unavailable): the server cannot be reached.
pub async fn migrate(owner: &PostgresOptions, login: &str) -> PortResult<()> {
    const OPERATION: &str = "store.migrate";
    let mut client = Dialler::primary(owner)?.dial(OPERATION, Role::Login).await?;
    check_server(&client, OPERATION).await?;
    let transaction = client.transaction().await.during(OPERATION)?;
    let prepare = format!(
        "SET LOCAL lock_timeout = 0; SET LOCAL client_min_messages = warning;
         SELECT pg_advisory_xact_lock({LOCK});
         CREATE SCHEMA IF NOT EXISTS factory_runtime;
         REVOKE ALL ON SCHEMA factory_runtime FROM PUBLIC;
         CREATE TABLE IF NOT EXISTS factory_runtime.schema_version (version integer NOT NULL);"
    );
    transaction.batch_execute(&prepare).await.during(OPERATION)?;
    for role in [Role::Tenant, Role::Operator].into_iter().filter_map(Role::name) {
        // Roles are the whole server's: another database may be making the same.
        let create = format!(
            "DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        );
        transaction.batch_execute(&create).await.during(OPERATION)?;
    }
    let present = transaction
        .query_one("SELECT coalesce(max(version), 0) FROM factory_runtime.schema_version", &[])
        .await
        .and_then(|row| row.try_get::<_, i32>(0))
        .during(OPERATION)?;
    let done = usize::try_from(present).unwrap_or(0);
    if done > MIGRATIONS.len() {
        return Err(other_schema(OPERATION, present));
    }
    for (migration, version) in MIGRATIONS.iter().zip(1_i32..).skip(done) {
        transaction.batch_execute(migration).await.during(OPERATION)?;
        transaction
            .execute("INSERT INTO factory_runtime.schema_version VALUES ($1)", &[&version])
            .await
            .during(OPERATION)?;
    }
    let login = login.replace('"', "\"\"");
    let grant = format!(
        "GRANT factory_runtime_tenant, factory_runtime_operator TO \"{login}\";
         GRANT USAGE ON SCHEMA factory_runtime TO \"{login}\";
         GRANT SELECT ON factory_runtime.schema_version TO \"{login}\";"
    );
    transaction.batch_execute(&grant).await.during(OPERATION)?;
    transaction.commit().await.during(OPERATION)
}

/// Refuses a server, a schema or a login with which the store would not keep its promises.
pub(crate) async fn check(dialler: &Dialler) -> PortResult<()> {
    const OPERATION: &str = "store.open";
    let client = dialler.dial(OPERATION, Role::Login).await?;
    check_server(&client, OPERATION).await?;
    let sql = "SELECT rolsuper OR rolbypassrls OR EXISTS (
                   SELECT FROM pg_tables WHERE schemaname = 'factory_runtime' AND pg_has_role(current_user, tableowner, 'MEMBER'))
               FROM pg_roles WHERE rolname = current_user";
    let is_above =
        client.query_one(sql, &[]).await.and_then(|row| row.try_get::<_, bool>(0)).during(OPERATION)?;
    if is_above {
        return Err(PortError::new(
            PortErrorKind::Denied,
            OPERATION,
            "the login is a superuser, owns the tables or may bypass row-level security, so that nothing would keep tenants apart: \
             open the store with the login that `migrate` was told",
        ));
    }
    let sql = "SELECT coalesce(max(version), 0) FROM factory_runtime.schema_version";
    let version =
        client.query_one(sql, &[]).await.and_then(|row| row.try_get::<_, i32>(0)).during(OPERATION)?;
    if usize::try_from(version) == Ok(MIGRATIONS.len()) {
        Ok(())
    } else {
        Err(other_schema(OPERATION, version))
    }
}

async fn check_server(client: &Client, operation: &'static str) -> PortResult<()> {
    let sql = "SELECT current_setting('server_version_num')::integer, current_setting('server_version')";
    let row = client.query_one(sql, &[]).await.during(operation)?;
    let (number, name): (i32, String) =
        (row.try_get(0).during(operation)?, row.try_get(1).during(operation)?);
    if number >= OLDEST_SERVER {
        return Ok(());
    }
    let message = format!("the server is PostgreSQL {name}: run 15 or later");
    Err(PortError::new(PortErrorKind::Unsupported, operation, message))
}

fn other_schema(operation: &'static str, version: i32) -> PortError {
    let known = MIGRATIONS.len();
    let message = format!(
        "the database has schema {version}, this version knows {known}: migrate it, or run the version that did"
    );
    PortError::new(PortErrorKind::Unsupported, operation, message)
}
