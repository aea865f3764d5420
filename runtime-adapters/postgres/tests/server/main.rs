//! The store against a real server, which each test starts, or shares with others, and which stops with the last of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test calls is a test too")]

mod conformance;
mod exhaustion;
mod failure;
mod growth;
mod hosts;
mod isolation;
mod kills;
mod loads;
mod network;
mod opening;
mod pause;
mod races;
mod records;

use std::sync::{Arc, Mutex, Weak};

use postgres_server::Server;
use runtime_domain::id::AggregateKind;
use runtime_ports::PortResult;
use runtime_ports::store::AggregateKey;
use runtime_postgres::{PostgresOptions, PostgresStore, migrate};
use runtime_testkit::sample;

/// Nothing is flushed, and of two that wait for each other one gives way soon.
const SETTINGS: [&str; 2] = ["fsync=off", "deadlock_timeout=50ms"];

/// A server with a migrated database to copy.
struct Site {
    server: Server,
    template: String,
}

impl Site {
    async fn start(server: Server) -> Self {
        let template = server.database(None);
        let owner = PostgresOptions::new(&server.address("owner", &template)).unwrap();
        migrate(&owner, "host").await.unwrap();
        Self { server, template }
    }

    /// The site of the tests that leave the server alone.
    async fn shared() -> Arc<Self> {
        static SITE: Mutex<Weak<Site>> = Mutex::new(Weak::new());
        static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _starting = STARTING.lock().await;
        let running = SITE.lock().unwrap().upgrade();
        if let Some(site) = running {
            return site;
        }
        let site = Arc::new(Self::start(Server::start_with(&SETTINGS)).await);
        *SITE.lock().unwrap() = Arc::downgrade(&site);
        site
    }

    fn database(&self) -> String {
        self.server.database(Some(&self.template))
    }

    fn options(&self, database: &str) -> PostgresOptions {
        PostgresOptions::new(&self.server.address("host", database)).unwrap()
    }

    async fn open(&self, database: &str) -> PortResult<PostgresStore> {
        PostgresStore::open(self.options(database)).await
    }
}

fn key(number: u64) -> AggregateKey {
    sample::key(AggregateKind::RuntimeDeployment, number)
}

/// How often something is done: so often as the variable says, or as is quick enough for every change.
fn rounds(variable: &str, quick: u64) -> u64 {
    std::env::var(variable).ok().map_or(quick, |text| text.parse().unwrap())
}

/// Repeats until it answers something, for as long as a slow machine may need.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut attempt: impl FnMut() -> F) -> T {
    for _ in 0..600 {
        if let Some(answer) = attempt().await {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen");
}
