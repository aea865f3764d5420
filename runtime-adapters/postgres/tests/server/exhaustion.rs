//! What runs out is named, harms nothing, and is used again when there is some.

use std::time::Duration;

use postgres_server::{Server, SmallDisk};
use runtime_ports::store::{CommitError, Query, Store};
use runtime_ports::{PortError, PortErrorKind, Retry};
use runtime_testkit::faults::was_performed;
use runtime_testkit::sample::{self, Draft};
use tokio::task::JoinSet;

use crate::{Site, eventually, key};

/// Text that cannot be compressed away.
fn bulk(seed: u64) -> String {
    let mut state = seed;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    };
    (0..40_000).map(letter).collect()
}

/// Commits until one fails; how many did not, and the failure.
async fn until_it_fails(store: &runtime_postgres::PostgresStore, first: u64) -> (u64, PortError) {
    let tenant = store.for_tenant(&sample::scope(1));
    for number in first..first + 2_000 {
        match tenant.commit(Draft::create(1, key(number)).body(&bulk(number)).commit()).await {
            Ok(_) => {}
            Err(CommitError::Port(error)) => return (number, error),
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the disk was not filled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_commits_go_on_when_there_is_room() {
    let site = Site::start(Server::start_on(SmallDisk::Data, 200, &["fsync=off", "max_wal_size=64MB"])).await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    for number in 1..=5 {
        tenant.commit(Draft::create(1, key(number)).body(&bulk(number)).commit()).await.unwrap();
    }
    site.server.fill_disk();
    let (failed, error) = until_it_fails(&store, 6).await;
    assert_eq!(error.kind(), PortErrorKind::Exhausted, "{error:?}");
    assert!(matches!(error.retry(), Retry::Later { .. }), "{error:?}");
    assert!(error.message().contains("disk is full"), "{error}");
    // What is there can be read, and nothing of what failed is.
    assert!(tenant.load(&key(failed)).await.unwrap().is_none());
    assert!(tenant.history(&key(failed), 0, 10).await.unwrap().is_empty());
    for number in 1..failed {
        assert_eq!(tenant.load(&key(number)).await.unwrap().unwrap().record.body, bulk(number));
    }
    site.server.free_disk();
    tenant.commit(Draft::create(1, key(failed)).body(&bulk(failed)).commit()).await.unwrap();
    store.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_write_its_log_loses_nothing_and_is_used_again() {
    let mut site = Site::start(Server::start_on(
        SmallDisk::WriteAheadLog,
        100,
        &["max_wal_size=32MB", "min_wal_size=32MB"],
    ))
    .await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    site.server.fill_disk();
    let (failed, error) = until_it_fails(&store, 1).await;
    // The server gives up: whether the last commit was done, nobody can say yet.
    assert!(
        matches!(
            error.kind(),
            PortErrorKind::Unavailable | PortErrorKind::TimedOut | PortErrorKind::Exhausted
        ),
        "{error:?}"
    );
    assert_ne!(error.retry(), Retry::Never, "{error:?}");
    site.server.free_disk();
    eventually("an answer of the server, or its end", || async {
        let answers = tenant.load(&key(1)).await.is_ok();
        (answers || !site_is_running(&site)).then_some(())
    })
    .await;
    if !site.server.is_running() {
        site.server.run();
    }
    for number in 1..failed {
        let stored = eventually("a load", || async { tenant.load(&key(number)).await.ok() }).await;
        assert_eq!(stored.unwrap().record.body, bulk(number), "acknowledged {number} is lost");
    }
    let again = Draft::create(1, key(failed)).body(&bulk(failed)).commit();
    eventually("the commit that failed", || async {
        match tenant.commit(again.clone()).await {
            Ok(_) => Some(()),
            Err(CommitError::Conflict { .. }) => was_performed(&*tenant, &again).await.ok()?.then_some(()),
            Err(_) => None,
        }
    })
    .await;
}

fn site_is_running(site: &Site) -> bool {
    site.server.logged().rfind("database system is shut down").is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn more_callers_than_connections_wait_for_their_turn() {
    let site = Site::shared().await;
    let database = site.database();
    let store = runtime_postgres::PostgresStore::open(site.options(&database).readers(1)).await.unwrap();
    let mut callers = JoinSet::new();
    for number in 0..500 {
        let tenant = store.for_tenant(&sample::scope(number % 7));
        callers.spawn(async move {
            tenant.commit(Draft::create(number % 7, key(number)).commit()).await.unwrap();
            assert!(tenant.load(&key(number)).await.unwrap().is_some());
            assert_eq!(tenant.history(&key(number), 0, 10).await.unwrap().len(), 1);
            tenant.query(&Query::all(key(number).kind).limited_to(3)).await.unwrap();
        });
    }
    callers.join_all().await;
    let sessions = format!(
        "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity WHERE datname = '{database}'"
    );
    let counted = site.server.sql("postgres", &sessions);
    let (all, busy) = counted.trim().split_once('|').unwrap();
    assert!(all.parse::<u32>().unwrap() <= 8, "{counted}");
    assert_eq!(busy, "0", "a session is still in the middle of something");
}

/// Every session is ended again and again while commits are under way. Whoever was told that nobody knows finds out, and is right.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_end_in_the_middle_of_commits_lose_and_double_nothing() {
    const LANES: u64 = 8;
    let site = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let (mut lanes, done) = (JoinSet::new(), tokio_util::sync::CancellationToken::new());
    let performed = tokio::sync::watch::Sender::new(0_u64);
    for lane in 0..LANES {
        let (store, done, performed) = (store.clone(), done.clone(), performed.clone());
        lanes.spawn(async move {
            let (tenant, mut committed, mut unknown) = (store.for_tenant(&sample::scope(1)), 0, 0_u32);
            let mut draft = Draft::create(1, key(lane)).publishing();
            while !done.is_cancelled() {
                match tenant.commit(draft.commit()).await {
                    Ok(_) => {
                        committed += 1;
                        performed.send_modify(|count| *count += 1);
                        draft = draft.next().publishing();
                    }
                    Err(CommitError::Port(error)) => {
                        unknown += u32::from(error.retry() == Retry::OutcomeUnknown);
                        assert_ne!(error.retry(), Retry::Never, "{error:?}");
                    }
                    Err(CommitError::Conflict { .. }) => {
                        let found = eventually("a look", || async {
                            was_performed(&*tenant, &draft.commit()).await.ok()
                        });
                        assert!(found.await, "a conflict with nobody");
                        committed += 1;
                        draft = draft.next().publishing();
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            (lane, committed, unknown, draft.commit())
        });
    }
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
    let mut seen = performed.subscribe();
    for _ in 0..15 {
        let goal = *seen.borrow_and_update() + LANES;
        site.server.sql("postgres", &end);
        // The sessions that follow are ended in the middle of commits as well.
        let goes_on = seen.wait_for(|count| *count >= goal);
        tokio::time::timeout(Duration::from_secs(60), goes_on).await.unwrap().unwrap();
    }
    done.cancel();
    let tenant = store.for_tenant(&sample::scope(1));
    let mut unknown = 0;
    for (lane, mut committed, of_lane, last) in lanes.join_all().await {
        let performed = eventually("a look", || async { was_performed(&*tenant, &last).await.ok() }).await;
        committed += u64::from(performed);
        let history = tenant.history(&key(lane), 0, u32::MAX).await.unwrap();
        let sequences: Vec<u64> = history.iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, (1..=committed).collect::<Vec<_>>(), "lane {lane}");
        unknown += of_lane;
    }
    assert_eq!(unknown, 0, "the server was in reach all the time: every answer can be found out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_session_ends_while_it_waits_was_not_done_and_that_is_known() {
    let site = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    let first = Draft::create(1, key(1));
    tenant.commit(first.commit()).await.unwrap();
    let address = site.server.address("postgres", &database);
    let (other, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    other.batch_execute("BEGIN; SELECT FROM factory_runtime.aggregates FOR UPDATE").await.unwrap();
    let waiting = {
        let store = store.clone();
        let commit = first.next().commit();
        tokio::spawn(async move { store.for_tenant(&sample::scope(1)).commit(commit).await })
    };
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND wait_event_type = 'Lock'"
    );
    eventually("a commit that waits", || async {
        (site.server.sql("postgres", &end).trim() == "1").then_some(())
    })
    .await;
    let answer = waiting.await.unwrap();
    let Err(CommitError::Port(error)) = answer else { panic!("{answer:?}") };
    assert!(matches!(error.retry(), Retry::Later { .. }), "{error:?}");
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(tenant.history(&key(1), 0, 10).await.unwrap().len(), 1);
    tenant.commit(first.next().commit()).await.unwrap();
}
