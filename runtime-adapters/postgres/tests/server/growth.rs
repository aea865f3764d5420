//! What a commit costs as the tables grow.

use std::time::{Duration, Instant};

use postgres_server::Server;
use runtime_domain::value::{ModuleId, Revision};
use runtime_ports::health_results::{HealthResultQuery, HealthResultStore as _};
use runtime_ports::store::{Commit, EvidenceCheck, LeaseRequest, LeaseTopic, Query, Store, Wanted};
use runtime_testkit::sample::{self, Draft};

use crate::{Site, key, rounds};

/// How many commits are measured at each size.
const COMMITS: u64 = 200;

/// Adds aggregates up to a number of them, each with its claim, its module, its due work and ten entries of history, as their owner would.
fn fill(site: &Site, database: &str, from: u64, to: u64) {
    let statements = format!(
        "SET search_path = factory_runtime; SET synchronous_commit = off;
         CREATE TEMP TABLE added AS SELECT n, ('00000001-0000-0000-0000-' || lpad(to_hex(n % 50 + 1), 12, '0'))::uuid AS tenant,
             ('00000005-0000-0001-0000-' || lpad(to_hex(n), 12, '0'))::uuid AS id FROM generate_series({from} + 1, {to}) AS n;
         INSERT INTO aggregates (tenant, kind, id, created, revision, sequence, digest, schema, environment, status, facets, replaced_revision, replaced_sequence, body)
             SELECT tenant, 'RuntimeDeployment', id, n + 1000000, 1, 10, sha256(''), 1, id, 'Open', id, 0, 0, '{{\"step\":1}}' FROM added;
         INSERT INTO claims SELECT tenant, 'RuntimeDeployment', id, tenant, 'claim-' || n, false FROM added;
         INSERT INTO aggregate_modules SELECT tenant, 'RuntimeDeployment', id, 'module-' || n % 1000, id, n + 1000000 FROM added;
         INSERT INTO work (tenant, kind, id, topic, due_at) SELECT tenant, 'RuntimeDeployment', id, 'work', 4000000000000000 + n FROM added;
         INSERT INTO history (tenant, kind, id, sequence, event_id, event, body, at, actor, correlation, explanation, digest)
             SELECT tenant, 'RuntimeDeployment', id, s, id, 'Sampled', '{{}}', '2026-01-01T00:00:00+00:00', 'reconciler:testkit', id, '', sha256('')
             FROM added, generate_series(1, 10) AS s;
         DROP TABLE added"
    );
    site.server.sql(database, &statements);
    site.server.sql(database, "VACUUM ANALYZE");
}

/// Statistics are complete when the sessions that they are of have ended.
async fn nobody_is_connected(site: &Site, database: &str) {
    let others = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
    crate::eventually("the end of all sessions", || async {
        (site.server.sql("postgres", &others).trim() == "0").then_some(())
    })
    .await;
}

struct Cost {
    /// Pages of tables and indexes that a commit looked at.
    pages: f64,
    /// Tables that were read from end to end.
    scans: u64,
    time: Duration,
}

/// What a commit costs: half of them create, with a claim and an event, half change what is there.
async fn measured(site: &Site, database: &str, first: u64) -> Cost {
    let touched = || -> (f64, u64) {
        let counted = site.server.sql(
            database,
            "SELECT (SELECT sum(coalesce(heap_blks_hit, 0) + coalesce(heap_blks_read, 0) + coalesce(idx_blks_hit, 0) + coalesce(idx_blks_read, 0))
                 FROM pg_statio_user_tables), (SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname <> 'schema_version')",
        );
        let (pages, scans) = counted.trim().split_once('|').unwrap();
        (pages.parse().unwrap(), scans.parse().unwrap())
    };
    nobody_is_connected(site, database).await;
    let before = touched();
    let store = site.open(database).await.unwrap();
    let mut time = Duration::ZERO;
    for number in first..first + COMMITS / 2 {
        let tenant_number = 1 + number % 50;
        let tenant = store.for_tenant(&sample::scope(tenant_number));
        let claim = sample::exclusive(&format!("new-{number}"));
        let created =
            Draft::create(tenant_number, key(number)).claiming([claim]).waking_at(number).publishing();
        let begun = Instant::now();
        tenant.commit(created.commit()).await.unwrap();
        tenant.commit(created.next().publishing().commit()).await.unwrap();
        time += begun.elapsed();
    }
    store.close().await;
    nobody_is_connected(site, database).await;
    let after = touched();
    let commits = f64::from(u32::try_from(COMMITS).unwrap());
    Cost {
        pages: (after.0 - before.0) / commits,
        scans: after.1 - before.1,
        time: time / u32::try_from(COMMITS).unwrap(),
    }
}

/// Up to so many thousand aggregates as `RUNTIME_POSTGRES_GROWTH` says, ten times as many entries of history; a million need 6 GB of disk.
/// An index's depth may add a few pages; nothing else may grow.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_costs_no_more_than_its_indexes_depth_as_the_tables_grow() {
    let settings = [
        "fsync=off",
        "wal_level=minimal",
        "max_wal_senders=0",
        "max_wal_size=512MB",
        "autovacuum=off",
        "shared_buffers=256MB",
    ];
    let site = Site::start(Server::start_with(&settings)).await;
    let database = site.database();
    let largest = rounds("RUNTIME_POSTGRES_GROWTH", 10) * 1_000;
    let mut first: Option<Cost> = None;
    let mut filled = 0;
    for size in [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|size| *size <= largest) {
        fill(&site, &database, filled, size);
        filled = size;
        let cost = measured(&site, &database, size * 10).await;
        println!(
            "{size} aggregates, {} entries of history: {:.1} pages and {:?} a commit, {} whole scans",
            size * 10,
            cost.pages,
            cost.time,
            cost.scans
        );
        assert_eq!(cost.scans, 0, "a table is read from end to end");
        match &first {
            None => first = Some(cost),
            Some(first) => {
                let ratio = cost.pages / first.pages;
                println!(
                    "  {ratio:.2} times the pages, {:.2} times the time",
                    cost.time.as_secs_f64() / first.time.as_secs_f64()
                );
                assert!(ratio < 2.0, "{} pages, {} with a thousand aggregates", cost.pages, first.pages);
            }
        }
    }
}

/// A server that tells every plan, and never learns anything of the tables.
const TELLS_PLANS: [&str; 5] = [
    "fsync=off",
    "autovacuum=off",
    "session_preload_libraries=auto_explain",
    "auto_explain.log_min_duration=0",
    "auto_explain.log_nested_statements=on",
];

/// The plans of the statements that a text is in.
fn plans_of(site: &Site, statement: &str) -> Vec<String> {
    let logged = site.server.logged();
    let plans: Vec<String> =
        logged.split("duration: ").filter(|plan| plan.contains(statement)).map(str::to_owned).collect();
    assert!(!plans.is_empty(), "`{statement}` was never run: {logged}");
    plans
}

/// A plan that is made before anything is known of a table is kept while the table grows: it must be the right one from the beginning.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_nothing_of_the_tables_takes_what_is_a_tenants_by_the_tenant() {
    let site = Site::start(Server::start_with(&TELLS_PLANS)).await;
    let store = site.open(&site.database()).await.unwrap();
    let due = Draft::create(1, key(1)).waking_at(1);
    store.for_tenant(&sample::scope(1)).commit(due.commit()).await.unwrap();
    // So many whose work is for later that what is due is looked through.
    for tenant in 2..=300 {
        let later = Draft::create(tenant, key(tenant)).waking_at(1_000);
        store.for_tenant(&sample::scope(tenant)).commit(later.commit()).await.unwrap();
    }
    let request = LeaseRequest {
        topic: LeaseTopic::Work,
        kinds: vec![key(1).kind],
        host: sample::host(1),
        now: sample::at(10),
        until: sample::at(20),
        limit: 10,
    };
    let leases = store.for_operator(&sample::operator()).take_leases(&request).await.unwrap();
    assert_eq!(leases.len(), 1);
    for plan in plans_of(&site, "unnest(kinds, tenants, many)") {
        assert!(plan.contains("work_by_tenant") && !plan.contains("work_by_time"), "{plan}");
    }
    let by_time = plans_of(&site, "FROM work AS w WHERE w.topic = asked_topic AND w.kind = one");
    for plan in by_time.iter().filter(|plan| !plan.contains("walk")) {
        assert!(plan.contains("work_by_time"), "{plan}");
    }
    for plan in plans_of(&site, "unnest(kinds) AS k (kind)") {
        assert!(plan.contains("work_by_time") && !plan.contains("work_by_tenant"), "{plan}");
        assert!(plan.contains("Index Scan Backward"), "{plan}");
    }
    for plan in plans_of(&site, "left_behind AS MATERIALIZED") {
        assert!(plan.contains("work_by_time") && plan.contains("work_pkey"), "{plan}");
        assert!(!plan.contains("work_by_tenant"), "{plan}");
    }

    let results = store.tenant_health_results(&sample::scope(1));
    let result = crate::records::record(1, 1);
    let (environment, service) = (sample::environment(1), result.result.service_id());
    results.append(&[result]).await.unwrap();
    results.latest(environment, service, sample::at(0)).await.unwrap().unwrap();
    results.query(&HealthResultQuery::of(environment)).await.unwrap();
    for plan in plans_of(&site, "h.service = asked_service") {
        assert!(plan.contains("pkey") && !plan.contains("evaluated_at_id_idx"), "{plan}");
    }
}

/// The same, of what is looked up by its key.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_nothing_of_the_tables_looks_rows_up_by_their_whole_key() {
    let site = Site::start(Server::start_with(&TELLS_PLANS)).await;
    let store = site.open(&site.database()).await.unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    let modules = |names: &[&str]| names.iter().map(|name| ModuleId::new(name).unwrap()).collect::<Vec<_>>();
    let first = Draft::create(1, key(1)).about(modules(&["api", "web"])).claiming([sample::exclusive("one")]);
    tenant.commit(first.commit()).await.unwrap();
    let evidence = vec![EvidenceCheck { key: key(1), wanted: Wanted::Exactly(Revision::FIRST) }];
    let second = Draft::create(1, key(2)).publishing();
    tenant.commit(Commit { evidence, ..second.commit() }).await.unwrap();
    // Ordinary commits, of one aggregate and of several.
    let third = second.next().publishing();
    let evidence = vec![EvidenceCheck { key: key(1), wanted: Wanted::AtLeast(Revision::FIRST) }];
    tenant.commit(Commit { evidence, ..third.commit() }).await.unwrap();
    let first = first.next().publishing();
    tenant.commit(sample::commit([first.clone(), third.next().waking_at(1)])).await.unwrap();
    assert!(!site.server.logged().contains("not an ordinary batch"), "they were judged twice");
    // Another module and claim: those that it had are looked up and given up.
    let changed = first.next().about(modules(&["api"])).claiming([sample::exclusive("two")]);
    tenant.commit(changed.commit()).await.unwrap();
    tenant.commit(changed.commit()).await.unwrap_err();
    tenant.load(&key(1)).await.unwrap().unwrap();
    let plans = site.server.logged();
    for index in ["aggregates_pkey", "aggregate_modules_pkey", "claims_by_holder", "work_pkey"] {
        assert!(plans.contains(index), "nothing was looked up by {index}");
    }
    for index in ["aggregates_by_", "aggregate_modules_by_", "work_by_"] {
        let by_a_part = plans.lines().find(|line| line.contains(index));
        assert_eq!(by_a_part, None, "rows are looked up by a part of their key");
    }
    // Lists are what those are for.
    tenant.query(&Query::all(key(1).kind)).await.unwrap();
    assert!(site.server.logged().contains("aggregates_by_creation"));
}
