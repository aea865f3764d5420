//! No statement shows or changes another tenant's rows, whatever the code above forgot.

use runtime_domain::health::HealthStatus;
use runtime_domain::id::EventId;
use runtime_domain::value::Name;
use runtime_ports::artifacts::{ArtifactKey, ArtifactStore as _};
use runtime_ports::health_results::HealthResultStore as _;
use runtime_ports::snapshots::{SnapshotBody, SnapshotStore as _};
use runtime_ports::store::{Commit, InboxEntry, LeaseRequest, LeaseTopic, ParkedUntil, Parking, Store};
use runtime_testkit::sample::{self, Draft, exclusive, global};
use tokio_postgres::{Client, NoTls};

use crate::{Site, key};

/// Every table that holds a tenant's rows.
const TABLES: [&str; 12] = [
    "aggregates",
    "aggregate_modules",
    "artifacts",
    "claims",
    "counters",
    "health_results",
    "held",
    "history",
    "inbox",
    "outbox",
    "snapshots",
    "work",
];

/// The partition of the health results that [`fill`] records.
const PARTITION: &str = "health_results_1970_01_01";

/// As whom a session asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// No tenant was ever named.
    Nobody,
    /// The tenant whose rows they are.
    Owner,
    /// Another tenant.
    Other,
    /// Nobody, on a connection on which the owner was served before.
    Stale,
    /// Nobody, after a statement that named the owner within itself.
    Spent,
}

async fn connect(site: &Site, database: &str, role: &str) -> Client {
    let address = site.server.address("host", database);
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    tokio::spawn(connection);
    let settle = format!("SET search_path = factory_runtime; SET ROLE {role}");
    client.batch_execute(&settle).await.unwrap();
    client
}

/// Fills every table for the tenants 1 and 2.
async fn fill(site: &Site, database: &str) {
    let store = site.open(database).await.unwrap();
    for number in [1, 2] {
        let tenant = store.for_tenant(&sample::scope(number));
        let draft = Draft::create(number, key(number))
            .about([Name::new("cart").unwrap()])
            .claiming([exclusive("one"), global(exclusive(&format!("of all {number}")))])
            .publishing()
            .waking_at(1);
        let inbox =
            InboxEntry { consumer: Name::new("relay").unwrap(), event: EventId::from_uuid(key(9).id) };
        tenant.commit(Commit { inbox: Some(inbox), ..draft.commit() }).await.unwrap();
        let scope = sample::scope(number);
        let result = sample::health_record(number, 1, "cart", 1, sample::at(1), HealthStatus::Healthy);
        store.tenant_health_results(&scope).append(&[result]).await.unwrap();
        let subject = sample::subject(1, "surface/cart");
        let body = SnapshotBody::parse("{}").unwrap();
        store.tenant_snapshots(&scope).capture(&subject, sample::at(1), &body).await.unwrap();
        let artifact = ArtifactKey { subject, name: sample::kept("log") };
        let writer = store.tenant_artifacts(&scope).begin(&artifact, sample::at(1)).await.unwrap();
        writer.finish(None).await.unwrap();
    }
    let operator = store.for_operator(&sample::operator());
    let request = LeaseRequest {
        topic: LeaseTopic::Outbox,
        kinds: vec![key(1).kind],
        host: sample::host(1),
        now: sample::at(1),
        until: sample::at(9),
        limit: 10,
    };
    let parking = Parking {
        destination: Name::new("bus").unwrap(),
        sequence: 1,
        reason: "poison".to_owned(),
        until: ParkedUntil::Unparked,
        at: sample::at(1),
    };
    for lease in operator.take_leases(&request).await.unwrap() {
        operator.outbox_park(&lease, &parking).await.unwrap();
    }
    store.close().await;
}

/// What a statement did to, or showed of, the first tenant's rows.
async fn reached(client: &Client, asker: Asker, statement: &str) -> Result<u64, String> {
    let name = |number| format!("SET LOCAL factory_runtime.tenant = '{}'", sample::tenant(number).uuid());
    if asker == Asker::Stale {
        client.batch_execute(&format!("BEGIN; {}; COMMIT", name(1))).await.unwrap();
    }
    if asker == Asker::Spent {
        let named =
            format!("SELECT set_config('factory_runtime.tenant', '{}', true)", sample::tenant(1).uuid());
        client.batch_execute(&named).await.unwrap();
    }
    let begin = match asker {
        Asker::Nobody | Asker::Stale | Asker::Spent => "BEGIN".to_owned(),
        Asker::Owner => format!("BEGIN; {}", name(1)),
        Asker::Other => format!("BEGIN; {}", name(2)),
    };
    client.batch_execute(&begin).await.unwrap();
    let done = client.execute(statement, &[]).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    done.map_err(|error| error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()))
}

/// Buried: PostgreSQL CVE-2023-2455.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_tenant_that_is_named_for_the_transaction_sees_or_changes_its_rows() {
    let site = Site::shared().await;
    let database = site.database();
    fill(&site, &database).await;
    let of_first = format!("tenant = '{}'", sample::tenant(1).uuid());
    for asker in [Asker::Nobody, Asker::Other, Asker::Stale, Asker::Spent, Asker::Owner] {
        // A session of its own, so that `Nobody` is one that never served anybody.
        let client = connect(&site, &database, "factory_runtime_tenant").await;
        for table in TABLES {
            let columns = site.server.sql(
                &database,
                &format!(
                    "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
                     WHERE attrelid = 'factory_runtime.{table}'::regclass AND attnum > 0 AND NOT attisdropped"
                ),
            );
            let row = format!("SELECT {} FROM {table} WHERE {of_first} LIMIT 1", columns.trim());
            let verbs = [
                ("SELECT", row),
                ("UPDATE", format!("UPDATE {table} SET tenant = tenant WHERE {of_first}")),
                ("DELETE", format!("DELETE FROM {table} WHERE {of_first}")),
                ("TRUNCATE", format!("TRUNCATE {table}")),
            ];
            for (verb, statement) in verbs {
                let reached = reached(&client, asker, &statement).await;
                let what = format!("{verb} {table} as {asker:?}");
                match (asker, verb, &reached) {
                    // Nobody empties a table: row-level security does not apply to it.
                    (_, "TRUNCATE", reached) => assert_eq!(reached, &Err("42501".to_owned()), "{what}"),
                    (Asker::Owner, "SELECT", reached) => assert_eq!(reached, &Ok(1), "{what}"),
                    (Asker::Owner, _, Err(code)) => assert_eq!(code, "42501", "{what}"),
                    (Asker::Owner, _, Ok(count)) => assert!(*count > 0, "{what}"),
                    (_, _, Ok(count)) => assert_eq!(*count, 0, "{what}"),
                    (_, _, Err(code)) => assert_eq!(code, "42501", "{what}"),
                }
            }
            let forged = format!(
                "INSERT INTO {table} SELECT
                     (jsonb_populate_record(NULL::{table}, jsonb_build_object('tenant', '{}', 'evaluated_at', 1))).*",
                sample::tenant(1).uuid()
            );
            if asker != Asker::Owner {
                // A row of another tenant is refused before its other columns are looked at.
                let refused = reached(&client, asker, &forged).await;
                assert_eq!(refused, Err("42501".to_owned()), "INSERT {table} as {asker:?}");
            }
        }
    }
}

/// Buried: PostgreSQL CVE-2023-2455. Theirs: a plan that was made for one role was used for another, past the policies of its rows. Ours: what was
/// prepared for one shows the next what is its own, on the same connection and by whichever plan.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_was_made_for_one_tenant_shows_another_its_own_rows_only() {
    let site = Site::shared().await;
    let database = site.database();
    fill(&site, &database).await;
    let client = connect(&site, &database, "factory_runtime_tenant").await;
    for mode in ["auto", "force_generic_plan", "force_custom_plan"] {
        client.batch_execute(&format!("SET plan_cache_mode = {mode}")).await.unwrap();
        let prepared = client.prepare("SELECT tenant::text FROM aggregates WHERE $1").await.unwrap();
        // More often than it takes for a plan to be kept. An operator may see whose aggregates there are.
        for (round, whose) in [vec![1], vec![2], vec![1, 2], vec![]].into_iter().cycle().enumerate().take(28)
        {
            let role = if whose.len() == 2 { "operator" } else { "tenant" };
            client.batch_execute(&format!("SET ROLE factory_runtime_{role}; BEGIN")).await.unwrap();
            let ids: Vec<String> =
                whose.iter().map(|number| sample::tenant(*number).uuid().to_string()).collect();
            if let [one] = &ids[..] {
                let named = format!("SET LOCAL factory_runtime.tenant = '{one}'");
                client.batch_execute(&named).await.unwrap();
            }
            let rows = client.query(&prepared, &[&true]).await.unwrap();
            client.batch_execute("COMMIT").await.unwrap();
            let mut seen: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            seen.sort();
            assert_eq!(seen, ids, "{mode}, round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_reaches_leases_and_the_outbox_of_all_tenants_and_no_state() {
    let site = Site::shared().await;
    let database = site.database();
    fill(&site, &database).await;
    let client = connect(&site, &database, "factory_runtime_operator").await;
    let count = |table: &'static str| {
        let client = &client;
        async move {
            let rows = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await;
            rows.map(|row| row.get::<_, i64>(0)).map_err(|error| error.code().unwrap().code().to_owned())
        }
    };
    for table in ["held", "outbox"] {
        assert_eq!(count(table).await, Ok(2), "{table}");
    }
    assert_eq!(count("work").await, Ok(4));
    for table in ["history", "claims", "inbox", "counters", "aggregate_modules"] {
        assert_eq!(count(table).await, Err("42501".to_owned()), "{table}");
    }
    let seen = [
        ("id, revision", "aggregates"),
        ("evaluated_at", "health_results"),
        ("last_seen_at", "snapshots"),
        ("stored_at", "artifacts"),
    ];
    for (columns, table) in seen {
        let rows = client.query(&format!("SELECT {columns} FROM {table}"), &[]).await.unwrap();
        assert_eq!(rows.len(), 2, "{table}");
    }
    let hidden = [
        ("body", "aggregates"),
        ("body", "health_results"),
        ("body", "snapshots"),
        ("content", "artifacts"),
        ("digest", "artifacts"),
    ];
    for (column, table) in hidden {
        let refused = client.query(&format!("SELECT {column} FROM {table}"), &[]).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501", "{column} of {table}");
    }
    for table in ["health_results", "snapshots", "artifacts"] {
        let changed = client.execute(&format!("UPDATE {table} SET tenant = tenant"), &[]).await.unwrap_err();
        assert_eq!(changed.code().unwrap().code(), "42501", "{table}");
    }
}

/// Shows HLT-1.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_reached_through_its_table_alone_and_its_rows_never_change() {
    let site = Site::shared().await;
    let database = site.database();
    fill(&site, &database).await;
    for role in ["factory_runtime_tenant", "factory_runtime_operator"] {
        let client = connect(&site, &database, role).await;
        for statement in [
            format!("SELECT * FROM {PARTITION}"),
            format!("INSERT INTO {PARTITION} SELECT * FROM {PARTITION}"),
            format!("UPDATE {PARTITION} SET tenant = tenant"),
            format!("DELETE FROM {PARTITION}"),
            format!("TRUNCATE {PARTITION}"),
            format!("DROP TABLE {PARTITION}"),
            format!("ALTER TABLE health_results DETACH PARTITION {PARTITION}"),
            "UPDATE health_results SET tenant = tenant".to_owned(),
        ] {
            let reached = reached(&client, Asker::Owner, &statement).await;
            assert_eq!(reached, Err("42501".to_owned()), "{statement} as {role}");
        }
    }
    // Not even whoever may do everything changes a result by mistake.
    let (client, connection) =
        tokio_postgres::connect(&site.server.address("postgres", &database), NoTls).await.unwrap();
    tokio::spawn(connection);
    for table in ["health_results", PARTITION, "artifacts"] {
        let update = format!("UPDATE factory_runtime.{table} SET tenant = tenant");
        let refused = client.execute(&update, &[]).await.unwrap_err();
        assert!(refused.as_db_error().unwrap().message().contains("append-only"), "{table}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_says_that_no_table_was_forgotten() {
    let site = Site::shared().await;
    let database = site.database();
    // So that there are partitions.
    fill(&site, &database).await;
    let lines = |sql: &str| -> Vec<String> {
        site.server.sql(&database, sql).lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
    };
    let with_rows = lines(
        "SELECT relname FROM pg_class WHERE relnamespace = 'factory_runtime'::regnamespace AND relkind IN ('r', 'p')
             AND relname <> 'schema_version' ORDER BY 1",
    );
    let mut known: Vec<&str> = TABLES.into_iter().chain([PARTITION]).collect();
    known.sort_unstable();
    assert_eq!(with_rows, known);
    let forced = lines(
        "SELECT relname FROM pg_class WHERE relnamespace = 'factory_runtime'::regnamespace AND relkind IN ('r', 'p')
             AND relrowsecurity AND relforcerowsecurity ORDER BY 1",
    );
    assert_eq!(forced, with_rows);
    let open = lines(
        "SELECT c.relname FROM pg_class AS c WHERE relnamespace = 'factory_runtime'::regnamespace AND relkind IN ('r', 'p')
             AND relname <> 'schema_version' AND NOT EXISTS (
                 SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polname = 'of_the_present_tenant'
                     AND pg_get_expr(p.polqual, c.oid) LIKE '%tenant =%present_tenant%')",
    );
    assert!(open.is_empty(), "no policy keeps the tenants of {open:?} apart");
    let granted = lines(
        "SELECT c.relname FROM pg_class AS c WHERE c.relispartition AND relkind = 'r'
             AND relnamespace = 'factory_runtime'::regnamespace
             AND (has_any_column_privilege('factory_runtime_tenant', c.oid, 'SELECT, INSERT, UPDATE')
                 OR has_any_column_privilege('factory_runtime_operator', c.oid, 'SELECT, INSERT, UPDATE')
                 OR has_table_privilege('factory_runtime_operator', c.oid, 'DELETE, TRUNCATE'))",
    );
    assert!(granted.is_empty(), "partitions can be reached by themselves: {granted:?}");
    let views = lines(
        "SELECT relname FROM pg_class WHERE relnamespace = 'factory_runtime'::regnamespace AND relkind IN ('v', 'm')",
    );
    assert!(views.is_empty(), "a view would show its owner's rows: {views:?}");
    let above = lines(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'factory_runtime'::regnamespace AND prosecdef ORDER BY 1",
    );
    assert_eq!(
        above,
        ["claim_is_held", "prepare_health_results", "retire_health_results"],
        "a function with its owner's rights could see every tenant"
    );
    let unique = lines(
        "SELECT i.indexrelid::regclass FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
         WHERE i.indisunique AND c.relnamespace = 'factory_runtime'::regnamespace AND c.relname <> 'schema_version'
             AND (SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum = i.indkey[0]) <> 'tenant'",
    );
    assert_eq!(
        unique,
        ["factory_runtime.claims_exclusive"],
        "a key that does not lead with the tenant tells of another's"
    );
    let strong = lines(
        "SELECT rolname FROM pg_roles WHERE rolname IN ('host', 'factory_runtime_tenant', 'factory_runtime_operator')
             AND (rolsuper OR rolbypassrls OR EXISTS (
                 SELECT FROM pg_tables WHERE schemaname = 'factory_runtime' AND tableowner = rolname))",
    );
    assert!(strong.is_empty(), "{strong:?} could pass over the policies");
    let public = lines(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'factory_runtime'::regnamespace
             AND has_function_privilege('public', oid, 'EXECUTE')",
    );
    assert!(public.is_empty(), "anybody may call {public:?}");
}
