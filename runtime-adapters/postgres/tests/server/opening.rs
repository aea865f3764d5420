//! What a store refuses to be opened on.

use runtime_ports::PortErrorKind;
use runtime_postgres::{PostgresOptions, PostgresStore, migrate};

use crate::Site;

async fn refusal(options: PostgresOptions) -> (PortErrorKind, String) {
    match PostgresStore::open(options).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => (error.kind(), error.message().to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_could_pass_over_the_policies_is_refused() {
    let site = Site::shared().await;
    let database = site.database();
    for login in ["postgres", "owner"] {
        let options = PostgresOptions::new(&site.server.address(login, &database)).unwrap();
        let (kind, message) = refusal(options).await;
        assert_eq!(kind, PortErrorKind::Denied, "{login}: {message}");
        assert!(message.contains("row-level security"), "{login}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_take_on_the_roles_is_refused() {
    let site = Site::shared().await;
    let database = site.database();
    site.server.sql("postgres", "CREATE ROLE stranger LOGIN");
    let options = PostgresOptions::new(&site.server.address("stranger", &database)).unwrap();
    let (kind, message) = refusal(options).await;
    assert_eq!(kind, PortErrorKind::Denied, "{message}");
    assert!(message.contains("factory_runtime_tenant"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_missing_older_or_newer_is_refused() {
    let site = Site::shared().await;
    let empty = site.server.database(None);
    let (kind, message) = refusal(site.options(&empty)).await;
    assert_eq!(kind, PortErrorKind::Unsupported, "{message}");
    let database = site.database();
    for (change, version) in [
        ("DELETE FROM factory_runtime.schema_version WHERE version > 1", 1),
        ("INSERT INTO factory_runtime.schema_version VALUES (99)", 99),
    ] {
        site.server.sql(&database, change);
        let (kind, message) = refusal(site.options(&database)).await;
        assert_eq!(kind, PortErrorKind::Unsupported, "{message}");
        assert!(message.contains(&format!("schema {version}")), "{message}");
    }
    let owner = PostgresOptions::new(&site.server.address("owner", &database)).unwrap();
    let refused = migrate(&owner, "host").await.unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Unsupported, "a newer schema is not touched: {refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_not_found_and_a_server_that_is_not_there_is_unavailable() {
    let site = Site::shared().await;
    let (kind, message) = refusal(site.options("nowhere")).await;
    assert_eq!(kind, PortErrorKind::NotFound, "{message}");
    let folder = tempfile::tempdir().unwrap();
    let address = format!("host={} user=host dbname=store", folder.path().display());
    let (kind, message) = refusal(PostgresOptions::new(&address).unwrap()).await;
    assert_eq!(kind, PortErrorKind::Unavailable, "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_twice_and_at_once_gives_one_schema() {
    let site = Site::shared().await;
    let database = site.server.database(None);
    let owner = PostgresOptions::new(&site.server.address("owner", &database)).unwrap();
    let (one, other) = tokio::join!(migrate(&owner, "host"), migrate(&owner, "host"));
    one.unwrap();
    other.unwrap();
    migrate(&owner, "host").await.unwrap();
    let versions = "SELECT count(*) = count(DISTINCT version) AND count(*) = max(version) FROM factory_runtime.schema_version";
    assert_eq!(site.server.sql(&database, versions).trim(), "t");
    site.open(&database).await.unwrap().close().await;
}
