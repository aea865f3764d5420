//! What goes wrong with the server is told, harms nothing, and passes.

use postgres_server::{Durability, Server};
use runtime_domain::id::AggregateKind;
use runtime_ports::store::{CommitError, Query, Store, TenantStore};
use runtime_ports::{PortError, PortErrorKind, Retry};
use runtime_testkit::sample::{self, Draft};

use crate::{Site, eventually, key};

fn port(error: CommitError) -> PortError {
    match error {
        CommitError::Port(error) => error,
        other => panic!("not a failure of the store: {other:?}"),
    }
}

async fn commits_again(tenant: &dyn TenantStore, number: u64) {
    eventually("a commit", || async {
        match tenant.commit(Draft::create(1, key(number)).commit()).await {
            Ok(_) => Some(()),
            Err(error) => {
                // One whose answer was lost may have been done.
                tenant.load(&key(number)).await.ok().flatten().map(drop).or_else(|| {
                    port(error);
                    None
                })
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_the_server_ends_are_made_anew() {
    let site = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    tenant.commit(Draft::create(1, key(1)).commit()).await.unwrap();
    tenant.load(&key(1)).await.unwrap().unwrap();
    let end =
        format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}'");
    assert!(site.server.sql("postgres", &end).trim().parse::<u32>().unwrap() >= 3);
    // A read is tried again by itself; a commit is only where nothing was sent.
    tenant.load(&key(1)).await.unwrap().unwrap();
    tenant.history(&key(1), 0, 10).await.unwrap();
    commits_again(&*tenant, 2).await;
    store.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_restarted_is_used_again_and_has_kept_everything() {
    let mut site = Site::start(Server::start(Durability::Full)).await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    for number in 1..=20 {
        tenant.commit(Draft::create(1, key(number)).commit()).await.unwrap();
    }
    site.server.stop();
    let refused = port(tenant.commit(Draft::create(1, key(21)).commit()).await.unwrap_err());
    assert!(matches!(refused.kind(), PortErrorKind::Unavailable | PortErrorKind::TimedOut), "{refused:?}");
    let refused = tenant.load(&key(1)).await.unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Unavailable, "{refused:?}");
    assert!(matches!(refused.retry(), Retry::Later { .. }), "{refused:?}");
    assert!(store.check().await.is_err());
    site.server.run();
    commits_again(&*tenant, 22).await;
    for number in 1..=20 {
        assert!(tenant.load(&key(number)).await.unwrap().is_some(), "{number}");
    }
    store.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_reads_is_told_from_one_that_works() {
    let site = Site::shared().await;
    let database = site.database();
    site.server.sql("postgres", &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    let store = site.open(&database).await.unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    let refused = port(tenant.commit(Draft::create(1, key(1)).commit()).await.unwrap_err());
    assert_eq!((refused.kind(), refused.retry()), (PortErrorKind::Denied, Retry::Never), "{refused:?}");
    assert!(store.check().await.is_err());
    assert!(tenant.query(&Query::all(AggregateKind::RuntimeDeployment)).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection_says_so_and_serves_when_it_has_one() {
    let site = Site::start(Server::start_with(&["fsync=off", "max_connections=8"])).await;
    let database = site.database();
    let first = site.open(&database).await.unwrap();
    let mut others = Vec::new();
    let refused = loop {
        match site.open(&database).await {
            Ok(store) => others.push(store),
            Err(error) => break error,
        }
        assert!(others.len() < 8, "the limit was not kept");
    };
    assert_eq!(refused.kind(), PortErrorKind::Exhausted, "{refused:?}");
    assert!(refused.message().contains("max_connections"), "{refused}");
    for store in others {
        store.close().await;
    }
    let tenant = first.for_tenant(&sample::scope(1));
    eventually("a commit", || async { tenant.commit(Draft::create(1, key(1)).commit()).await.ok() }).await;
    eventually("a load", || async { tenant.load(&key(1)).await.ok().flatten() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_stays_locked_is_not_waited_for_for_ever() {
    let site = Site::shared().await;
    let database = site.database();
    let options = site.options(&database).lock_timeout(runtime_domain::time::Span::from_millis(200));
    let store = runtime_postgres::PostgresStore::open(options).await.unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    let first = Draft::create(1, key(1));
    tenant.commit(first.commit()).await.unwrap();
    let address = site.server.address("postgres", &database);
    let (other, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    other.batch_execute("BEGIN; SELECT FROM factory_runtime.aggregates FOR UPDATE").await.unwrap();
    let refused = port(tenant.commit(first.next().commit()).await.unwrap_err());
    assert_eq!(refused.kind(), PortErrorKind::TimedOut, "{refused:?}");
    assert!(matches!(refused.retry(), Retry::Later { .. }), "nothing was done: {refused:?}");
    other.batch_execute("ROLLBACK").await.unwrap();
    tenant.commit(first.next().commit()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_postgresql_cannot_keep_is_refused_and_spoils_no_other_commit() {
    let site = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    let (bad, good) = tokio::join!(
        tenant.commit(Draft::create(1, key(1)).status("with\0nothing").commit()),
        tenant.commit(Draft::create(1, key(2)).commit()),
    );
    assert_eq!(port(bad.unwrap_err()).kind(), PortErrorKind::Invalid);
    good.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_closed_says_so() {
    let site = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let tenant = store.for_tenant(&sample::scope(1));
    store.close().await;
    store.close().await;
    let refused = port(tenant.commit(Draft::create(1, key(1)).commit()).await.unwrap_err());
    assert_eq!((refused.kind(), refused.retry()), (PortErrorKind::Unavailable, Retry::Never));
    assert_eq!(tenant.load(&key(1)).await.unwrap_err().retry(), Retry::Never);
}
