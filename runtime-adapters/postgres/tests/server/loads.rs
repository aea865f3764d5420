//! What is loaded together: each caller gets its own.

use futures::future::join_all;
use runtime_ports::PortErrorKind;
use runtime_ports::store::{Store, TenantStore};
use runtime_postgres::PostgresStore;
use runtime_testkit::sample::{self, Draft};

use crate::{Site, key};

/// How many aggregates each tenant has; every other key is of none.
const THERE: u64 = 40;

fn body(tenant: u64, number: u64) -> String {
    format!("{{\"tenant\":{tenant},\"number\":{number}}}")
}

/// A store that loads on one connection, with aggregates of two tenants under the same keys.
async fn stored(site: &Site, database: &str) -> (PostgresStore, [Box<dyn TenantStore>; 2]) {
    let store = PostgresStore::open(site.options(database).readers(1)).await.unwrap();
    let tenants = [1, 2].map(|tenant| store.for_tenant(&sample::scope(tenant)));
    for (handle, tenant) in tenants.iter().zip(1..) {
        let drafts =
            (0..THERE).map(|number| Draft::create(tenant, key(2 * number)).body(&body(tenant, number)));
        handle.commit(sample::commit(drafts)).await.unwrap();
    }
    (store, tenants)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_those_who_load_at_once_gets_its_own_whichever_tenant_it_is_of() {
    let site = Site::shared().await;
    let (_store, tenants) = stored(&site, &site.database()).await;
    for _ in 0..3 {
        let asked = (0..2 * THERE).rev().flat_map(|number| [(1, number), (2, number)]);
        let loaded = join_all(asked.map(async |(tenant, number)| {
            let loaded = tenants[tenant as usize - 1].load(&key(number)).await.unwrap();
            (tenant, number, loaded)
        }));
        for (tenant, number, loaded) in loaded.await {
            let found = loaded.map(|aggregate| (aggregate.key, aggregate.record.body));
            let wanted = (number % 2 == 0).then(|| (key(number), body(tenant, number / 2)));
            assert_eq!(found, wanted, "tenant {tenant}, {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_an_error_to_whoever_asked_for_it_alone() {
    let site = Site::shared().await;
    let database = site.database();
    let (_store, [first, second]) = stored(&site, &database).await;
    let (tenant, broken) = (sample::tenant(1).uuid(), key(4).id);
    site.server.sql(
        &database,
        &format!(
            "UPDATE factory_runtime.aggregates SET schema = -1 WHERE tenant = '{tenant}' AND id = '{broken}'"
        ),
    );
    let loaded = join_all([&first, &second].into_iter().flat_map(|tenant| {
        [2, 4, 6].map(async |number| tenant.load(&key(number)).await.map_err(|error| error.kind()))
    }));
    let found: Vec<_> = loaded.await.into_iter().map(|loaded| loaded.map(|found| found.is_some())).collect();
    let there = Ok(true);
    assert_eq!(found, [there, Err(PortErrorKind::Corrupt), there, there, there, there]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_while_it_loads_for_others_too_takes_nothing_from_them() {
    let site = Site::shared().await;
    let (_store, [tenant, _]) = stored(&site, &site.database()).await;
    let keys: Vec<_> = (0..THERE).map(|number| key(2 * number)).collect();
    let mut leading = tenant.load(&keys[0]);
    assert!(futures::poll!(&mut leading).is_pending(), "it lets others in");
    let mut others: Vec<_> = keys[1..].iter().map(|key| tenant.load(key)).collect();
    for other in &mut others {
        assert!(futures::poll!(other).is_pending(), "it waits for its turn");
    }
    assert!(futures::poll!(&mut leading).is_pending(), "it asks for all of them");
    drop(leading);
    for (other, number) in others.into_iter().zip(1..) {
        assert_eq!(other.await.unwrap().unwrap().record.body, body(1, number));
    }
}
