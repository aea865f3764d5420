//! The store.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use runtime_ports::store::{Store as _, TenantStore};
use runtime_sqlite::SqliteStore;
use runtime_testkit::sample::{self, Draft};

use crate::{Scene, following};

/// Commits per second of callers that share the store.
pub async fn commits(store: &SqliteStore, scene: Scene, load: bool) -> f64 {
    let begun = Instant::now();
    let shared = Arc::new(Mutex::new(scene.draft(0)));
    let callers = (0..scene.callers).map(|caller| {
        let (store, shared) = (store.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let tenant = store.for_tenant(&sample::scope(1));
            let (mut count, mut draft) = (0_u32, scene.draft(caller));
            while begun.elapsed() < scene.lasts {
                if load {
                    tenant.load(&draft.key()).await.unwrap();
                }
                if scene.on_one {
                    commit_next(&*tenant, &shared).await;
                } else {
                    tenant.commit(draft.commit()).await.unwrap();
                    draft = following(&draft);
                }
                count += 1;
            }
            count
        })
    });
    let mut count = 0;
    for caller in callers.collect::<Vec<_>>() {
        count += caller.await.unwrap();
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// Commits what is next, in the order in which callers come: it is in the store's queue before another caller may follow.
async fn commit_next(tenant: &dyn TenantStore, shared: &Mutex<Draft>) {
    let mut commit = None;
    let answer = poll_fn(|context| {
        let mut draft = shared.lock().unwrap();
        let commit = commit.get_or_insert_with(|| {
            let present = draft.commit();
            *draft = following(&draft);
            tenant.commit(present)
        });
        commit.as_mut().poll(context)
    });
    answer.await.unwrap();
}
