//! The database, the world, and the hosts that come and go.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use factory_runtime_hosts::{World, WorldSurface, ports};
use postgres_server::{Durability, Server};
use runtime_postgres::{PostgresOptions, PostgresStore, migrate};
use runtime_services::{Host, HostOptions, Services};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::LEASE;

/// One database, one world.
pub(crate) struct Site {
    server: Server,
    database: String,
    folder: TempDir,
    pub(crate) world: World,
}

/// A host's process, which is killed when it goes.
pub(crate) struct Process {
    pub(crate) name: String,
    id: Uuid,
    child: Child,
}

/// A lease that a host had.
#[derive(Debug)]
pub(crate) struct Held {
    place: String,
    host: Uuid,
    pub(crate) token: Option<u64>,
    /// Whether there was something to do, so that others must take it.
    pub(crate) is_due: bool,
    /// What it is for, on what, and how many milliseconds of it were left.
    pub(crate) about: String,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let server = Server::start(Durability::None);
        let database = server.database(None);
        migrate(&PostgresOptions::new(&server.address("owner", &database)).unwrap(), "host").await.unwrap();
        let folder = TempDir::with_prefix("hosts-").unwrap();
        let world = World::default();
        let listener = UnixListener::bind(folder.path().join("world")).unwrap();
        let served = world.clone();
        tokio::spawn(async move { served.serve(listener).await });
        Self { server, database, folder, world }
    }

    fn address(&self) -> String {
        self.server.address("host", &self.database)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("world")
    }

    /// The services of a host that works on nothing: what callers ask.
    pub(crate) async fn services(&self) -> Services {
        let store = PostgresStore::open(PostgresOptions::new(&self.address()).unwrap()).await.unwrap();
        let ports = ports(Arc::new(store), WorldSurface::new(self.socket(), "caller"));
        Services::new(Host::new(ports, HostOptions::default()), Vec::new()).unwrap()
    }

    pub(crate) async fn host(&self, name: &str) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sharing-host"))
            .arg(self.address())
            .arg(self.socket())
            .args([name, &LEASE.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let id = lines.next_line().await.unwrap().expect("the host says who it is").parse().unwrap();
        Process { name: name.to_owned(), id, child }
    }

    /// The leases that a host has at present.
    pub(crate) fn held_by(&self, host: &Process) -> Vec<Held> {
        let listed = self.sql(
            &format!(
                "WITH present AS (SELECT extract(epoch FROM clock_timestamp()) * 1000000 AS now)
                 SELECT format('tenant = %L AND kind = %L AND id = %L AND topic = %L', tenant, kind, id, topic), token,
                        due_at IS NOT NULL AND (topic <> 'work' OR due_at <= present.now),
                        format('%s %s, %s ms left', topic, kind, ((until - present.now) / 1000)::bigint)
                 FROM factory_runtime.work, present WHERE host = '{}' AND until > present.now",
                host.id
            ),
        );
        let lines = listed.lines().map(|line| {
            let mut fields = line.split('|');
            let place = fields.next().unwrap().to_owned();
            let token = fields.next().and_then(|token| token.parse().ok());
            let is_due = fields.next() == Some("t");
            Held { place, host: host.id, token, is_due, about: fields.next().unwrap().to_owned() }
        });
        lines.collect()
    }

    /// Asks the server, while the world goes on answering.
    fn sql(&self, asked: &str) -> String {
        tokio::task::block_in_place(|| self.server.sql(&self.database, asked))
    }

    /// How many of these leases are still as they were: nobody has taken them since, and there is still something to do.
    pub(crate) fn still_held(&self, held: &[&Held]) -> usize {
        let each = held.iter().map(|held| {
            let token = held.token.unwrap_or_default();
            format!("({} AND host = '{}' AND token = {token} AND due_at IS NOT NULL)", held.place, held.host)
        });
        let any = each.collect::<Vec<_>>().join(" OR ");
        let asked = format!("SELECT count(*) FROM factory_runtime.work WHERE {any}");
        self.sql(&asked).trim().parse().unwrap()
    }
}

impl Process {
    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// It does nothing more until it is resumed, and does not know.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.expect("it runs"), signal).unwrap();
    }
}
