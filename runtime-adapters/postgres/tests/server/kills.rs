//! `kill -9` under load: of the server with all its sessions, and of the host that commits, in turn.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use postgres_server::{Durability, Server};
use runtime_domain::id::AggregateKind;
use runtime_ports::Retry;
use runtime_ports::store::{AggregateKey, Commit, CommitError, Store, TenantStore};
use runtime_postgres::{PostgresOptions, PostgresStore};
use runtime_testkit::faults::was_performed;
use runtime_testkit::sample::{self, Draft, exclusive};

use crate::{Site, eventually, rounds};

/// Numbers of one child's commits stay below it.
const SPAN: u64 = 1_000_000;
/// How many commits the child has in flight.
const LANES: u64 = 8;
const TENANTS: u64 = 3;
const VARIABLE: &str = "RUNTIME_POSTGRES_COMMITTER";

/// Each commit creates an aggregate of either kind.
fn keys(number: u64) -> [AggregateKey; 2] {
    [AggregateKind::RuntimeDeployment, AggregateKind::RuntimeService].map(|kind| sample::key(kind, number))
}

fn tenant_of(number: u64) -> u64 {
    1 + number % LANES % TENANTS
}

/// Commits, again and again while nobody can tell, until it is certain that it was done.
async fn certainly(tenant: &dyn TenantStore, commit: Commit) {
    loop {
        match tenant.commit(commit.clone()).await {
            Ok(_) => return,
            Err(CommitError::Port(error)) if error.retry() != Retry::Never => {
                a_moment().await;
            }
            // An earlier try was performed, and its answer lost.
            Err(CommitError::Conflict { .. }) => {
                let found =
                    eventually("a look", || async { was_performed(tenant, &commit).await.ok() }).await;
                assert!(found, "a conflict with nobody");
                return;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Commits for ever, and prints the number of every commit that was certainly done. Each lane has a claim that goes from its newest
/// aggregate to the next in the commit that creates it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child process of the kills, which ends it: alone it has nothing to do"]
async fn committing_child() {
    let Ok(arguments) = std::env::var(VARIABLE) else { return };
    let (round, address) = arguments.split_once(' ').unwrap();
    let round: u64 = round.parse().unwrap();
    let store = PostgresStore::open(PostgresOptions::new(address).unwrap()).await.unwrap();
    let lanes = (0..LANES).map(|lane| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut previous: Option<Draft> = None;
            for number in (round * SPAN + lane..).step_by(usize::try_from(LANES).unwrap()) {
                let own = tenant_of(number);
                let tenant = store.for_tenant(&sample::scope(own));
                let [one, other] = keys(number);
                let claim = exclusive(&format!("lane-{lane}-{round}"));
                let newest = Draft::create(own, one).claiming([claim]).entries(2).publishing().waking_at(0);
                let beside = Draft::create(own, other).publishing();
                let given_up = previous.iter().map(|draft| draft.next().claiming([]));
                let drafts: Vec<Draft> = [newest.clone(), beside].into_iter().chain(given_up).collect();
                certainly(&*tenant, sample::commit(drafts)).await;
                println!("acknowledged {number}");
                previous = Some(newest);
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
}

struct Committer {
    child: Child,
    acknowledged: Receiver<u64>,
}

impl Committer {
    fn start(round: u64, address: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::committing_child", "--ignored", "--nocapture"])
            .env(VARIABLE, format!("{round} {address}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (sender, acknowledged) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            let numbers = lines
                .map_while(Result::ok)
                .filter_map(|line| line.strip_prefix("acknowledged ").and_then(|text| text.parse().ok()));
            for number in numbers {
                let _ = sender.send(number);
            }
        });
        Self { child, acknowledged }
    }

    /// The next so many that it acknowledges.
    fn next(&self, many: usize) -> Vec<u64> {
        let next = |_| self.acknowledged.recv_timeout(Duration::from_secs(180)).unwrap();
        (0..many).map(next).collect()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it has acknowledged beyond that; all of it, where it was killed.
    fn rest(&self, is_killed: bool) -> Vec<u64> {
        if is_killed { self.acknowledged.iter().collect() } else { self.acknowledged.try_iter().collect() }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whatever was committed is whole: what must be nought, each with what it would mean.
const WHOLE: &[(&str, &str)] = &[
    (
        "commits of which only one half is there",
        "SELECT count(*) FROM aggregates AS a WHERE NOT EXISTS (
             SELECT FROM aggregates AS b WHERE b.tenant = a.tenant AND b.id = a.id AND b.kind <> a.kind)",
    ),
    (
        "histories that have a gap or do not reach their state",
        "SELECT count(*) FROM aggregates AS a WHERE a.sequence <> (
             SELECT count(*) FROM history AS h WHERE (h.tenant, h.kind, h.id) = (a.tenant, a.kind, a.id)
                 AND h.sequence BETWEEN 1 AND a.sequence AND h.body = format('{\"number\":%s}', h.sequence))",
    ),
    (
        "events of no aggregate",
        "SELECT count(*) FROM history AS h WHERE NOT EXISTS (
             SELECT FROM aggregates AS a WHERE (h.tenant, h.kind, h.id) = (a.tenant, a.kind, a.id) AND h.sequence <= a.sequence)",
    ),
    (
        "states that their history does not lead to",
        "SELECT count(*) FROM aggregates WHERE body <> format('{\"step\":%s}', CASE revision WHEN 1 THEN 1 ELSE sequence END)",
    ),
    (
        "events that wait for no relay, or twice",
        "SELECT count(*) FROM aggregates AS a WHERE (
             SELECT count(*) FROM outbox AS o WHERE (o.tenant, o.kind, o.id) = (a.tenant, a.kind, a.id)
         ) <> CASE kind WHEN 'RuntimeService' THEN 1 ELSE 2 END",
    ),
    (
        "claims that are held by another than the newest of a lane, or not at all",
        "SELECT count(*) FROM aggregates AS a WHERE (
             SELECT count(*) FROM claims AS c WHERE (c.tenant, c.kind, c.id) = (a.tenant, a.kind, a.id)
         ) <> CASE WHEN kind = 'RuntimeDeployment' AND revision = 1 THEN 1 ELSE 0 END",
    ),
];

fn check_whole(site: &Site, database: &str) {
    for (meaning, query) in WHOLE {
        let sql = format!("SET search_path = factory_runtime; {query}");
        assert_eq!(site.server.sql(database, &sql).trim(), "0", "{meaning}");
    }
}

async fn check_all_there(store: &PostgresStore, acknowledged: &[u64]) {
    for number in acknowledged {
        let tenant = store.for_tenant(&sample::scope(tenant_of(*number)));
        for key in keys(*number) {
            let stored = eventually("a load", || async { tenant.load(&key).await.ok() }).await;
            assert!(stored.is_some(), "acknowledged {key} is lost");
        }
    }
}

/// So many kills as `RUNTIME_POSTGRES_KILLS` says.
///
/// Buried: NATS 2.12.1 (Jepsen).
/// Shows.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_every_kill_of_server_and_host() {
    let mut site = Site::start(Server::start(Durability::Full)).await;
    let database = site.database();
    let address = site.server.address("host", &database);
    let store = site.open(&database).await.unwrap();
    let mut committer = Committer::start(0, &address);
    let mut everything = Vec::new();
    let kills = rounds("RUNTIME_POSTGRES_KILLS", 4);
    for kill in 0..kills {
        let enough = usize::try_from(20 + kill * 37 % 180).unwrap();
        let mut acknowledged = committer.next(enough);
        let is_of_host = kill % 2 == 1;
        if is_of_host {
            committer.kill();
        } else {
            site.server.kill();
            site.server.run();
        }
        acknowledged.extend(committer.rest(is_of_host));
        check_all_there(&store, &acknowledged).await;
        everything.extend(acknowledged);
        if (kill + 1) % 20 == 0 {
            println!("{} kills, {} acknowledged commits", kill + 1, everything.len());
        }
        if is_of_host {
            check_whole(&site, &database);
            committer = Committer::start(1 + kill, &address);
        }
    }
    everything.extend(committer.next(20));
    committer.kill();
    everything.extend(committer.rest(true));
    check_whole(&site, &database);
    check_all_there(&store, &everything).await;
    println!("{kills} kills, {} acknowledged commits, none lost", everything.len());
}
