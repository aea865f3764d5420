//! A host that stands still in the midst of what it sends.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use runtime_ports::store::Store;
use runtime_postgres::{PostgresOptions, PostgresStore};
use runtime_testkit::sample::{self, Draft};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use crate::{Site, eventually, key};

/// The end of a transaction as a client sends it: a simple query.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// A way to a server on which the ends of transactions are held back.
struct Way {
    folder: TempDir,
    holds: Arc<AtomicBool>,
    held: Arc<AtomicUsize>,
}

impl Way {
    fn to(server: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let way = Self { folder, holds: Arc::default(), held: Arc::default() };
        let (holds, held) = (Arc::clone(&way.holds), Arc::clone(&way.held));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = UnixStream::connect(&server).await.unwrap().into_split();
                tokio::spawn(pass_on(from_client, to_server, Arc::clone(&holds), Arc::clone(&held)));
                tokio::spawn(pass_on(from_server, to_client, Arc::default(), Arc::default()));
            }
        });
        way
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    holds: Arc<AtomicBool>,
    held: Arc<AtomicUsize>,
) {
    let mut bytes = vec![0; 1 << 20];
    while let Ok(many @ 1..) = from.read(&mut bytes).await {
        let read = &bytes[..many];
        let end = read.windows(COMMIT.len()).position(|part| part == COMMIT);
        if let Some(before) = end.filter(|_| holds.load(Ordering::SeqCst)) {
            to.write_all(&read[..before]).await.unwrap();
            held.fetch_add(1, Ordering::SeqCst);
            // Its host says nothing more, and hears what the server says.
            return std::mem::forget(to);
        }
        if to.write_all(read).await.is_err() {
            return;
        }
    }
}

/// A transaction of several tenants is sent at once, and yet a host may be stopped before its end is out. What it has locked is another's to write soon.
///
/// Shows X-7.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_has_locked_that_stands_still_is_another_hosts_before_a_lease_is_over() {
    let site = Site::shared().await;
    let database = site.database();
    let address = site.server.address("host", &database);
    let folder = address.split_once("host=").and_then(|(_, rest)| rest.split_once(' ')).unwrap().0;
    let way = Way::to(PathBuf::from(folder).join(".s.PGSQL.5432"));
    let around = address.replace(folder, &way.folder.path().display().to_string());
    let stopped = PostgresStore::open(PostgresOptions::new(&around).unwrap()).await.unwrap();
    let other = site.open(&database).await.unwrap();
    let drafts: Vec<Draft> = (1..=8).map(|tenant| Draft::create(tenant, key(tenant))).collect();
    for (tenant, draft) in (1..).zip(&drafts) {
        other.for_tenant(&sample::scope(tenant)).commit(draft.commit()).await.unwrap();
    }
    way.holds.store(true, Ordering::SeqCst);
    let commits: Vec<_> = (1..)
        .zip(&drafts)
        .map(|(tenant, draft)| {
            let (store, next) = (stopped.clone(), draft.next());
            tokio::spawn(async move { store.for_tenant(&sample::scope(tenant)).commit(next.commit()).await })
        })
        .collect();
    let held = || async { (way.held.load(Ordering::SeqCst) > 0).then_some(()) };
    eventually("the end of a transaction is held back", held).await;
    let waiting = commits.iter().rposition(|commit| !commit.is_finished()).unwrap();
    let tenant = u64::try_from(waiting).unwrap() + 1;
    let begun = std::time::Instant::now();
    other.for_tenant(&sample::scope(tenant)).commit(drafts[waiting].next().commit()).await.unwrap();
    println!("after {:.1?}", begun.elapsed());
    way.holds.store(false, Ordering::SeqCst);
    let late = commits.into_iter().nth(waiting).unwrap().await.unwrap();
    assert!(late.is_err(), "both were acknowledged");
}
