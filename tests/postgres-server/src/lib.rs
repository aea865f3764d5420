//! A PostgreSQL server of a test's own: started in a temporary folder, reached through a socket in it, stopped when it is dropped.
//!
//! Where PostgreSQL is not installed, starting one panics and says what to install: a test that needs it fails rather than passes unseen.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says so; a program that starts can only be waited for"
)]

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// How much the server does so that nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As installed: every commit is flushed.
    Full,
    /// Nothing is flushed: for tests of something else.
    None,
}

/// What of a server is on a small disk of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmallDisk {
    /// Everything.
    Data,
    /// What it writes first, so that nothing is lost.
    WriteAheadLog,
}

/// A running server. Its superuser is `postgres`; `owner` may create databases and roles, `host` may log in and nothing more.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    programs: PathBuf,
    settings: Vec<String>,
    /// Where it listens beside its socket.
    port: Option<u16>,
    child: Option<Child>,
    databases: AtomicU32,
    /// Where its small disk is, if it has one.
    disk: Option<PathBuf>,
}

impl Server {
    /// Starts a server, and waits until it answers.
    pub fn start(durability: Durability) -> Self {
        let flush = match durability {
            Durability::Full => "fsync=on",
            Durability::None => "fsync=off",
        };
        Self::start_with(&[flush])
    }

    /// As [`Server::start`], with settings such as `max_connections=5` added to those of a test.
    pub fn start_with(settings: &[&str]) -> Self {
        let mut server = Self::prepared(settings);
        server.begin();
        server
    }

    /// A server that also listens on a free port of the loopback address, encrypted with this certificate and key in PEM form, where `host`
    /// needs a password.
    pub fn start_encrypted(certificate: &str, key: &str) -> Self {
        let mut server = Self::prepared(&["fsync=off", "ssl=on"]);
        let files = [("server.crt", certificate.to_owned()), ("server.key", key.to_owned())];
        let allowed = "local all all trust\nhostssl all host 127.0.0.1/32 scram-sha-256\n";
        for (name, content) in files.into_iter().chain([("pg_hba.conf", allowed.to_owned())]) {
            let path = server.data().join(name);
            fs::write(&path, content).expect("a file is written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file is kept private");
            if let Some((user, group)) = other_user() {
                chown(&path, Some(user), Some(group)).expect("a file can be given away");
            }
        }
        let free =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        server.port = Some(free.port());
        server.begin();
        server
    }

    /// A server that has so many megabytes for some of its files. Only root may make such a disk: whoever is not is told so by a panic.
    pub fn start_on(disk: SmallDisk, megabytes: u32, settings: &[&str]) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "a disk that can be filled is needed, which only root may mount: run this test as root"
        );
        let mut server = Self::unprepared(settings);
        let place = match disk {
            SmallDisk::Data => server.folder.path().to_owned(),
            SmallDisk::WriteAheadLog => server.folder.path().join("disk"),
        };
        fs::create_dir_all(&place).expect("a folder is made");
        let size = std::ffi::CString::new(format!("size={megabytes}m")).expect("a size");
        mount("none", &place, "tmpfs", MountFlags::empty(), size.as_c_str())
            .expect("root may mount a small disk");
        server.disk = Some(place.clone());
        let log = place.join("wal");
        server.give_away(&place);
        server.initialise(if disk == SmallDisk::WriteAheadLog { Some(&log) } else { None });
        server.begin();
        server
    }

    /// Fills the small disk to the last block.
    pub fn fill_disk(&self) {
        let mut ballast = fs::File::create(self.ballast()).expect("a file is made");
        for size in [1 << 20, 1 << 12] {
            while std::io::Write::write_all(&mut ballast, &vec![0; size]).is_ok() {}
        }
    }

    /// Frees what [`Server::fill_disk`] took.
    pub fn free_disk(&self) {
        fs::remove_file(self.ballast()).expect("a file is removed");
    }

    fn ballast(&self) -> PathBuf {
        self.disk.as_deref().unwrap_or_else(|| panic!("start the server on a small disk")).join("ballast")
    }

    /// True while the server's process lives. It may be recovering.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The server's processes: the one that was started, and those that it has at present.
    pub fn processes(&self) -> Vec<u32> {
        let own = self.child.as_ref().map(Child::id);
        own.into_iter().flat_map(|own| std::iter::once(own).chain(children_of(own))).collect()
    }

    fn prepared(settings: &[&str]) -> Self {
        let server = Self::unprepared(settings);
        server.give_away(server.folder.path());
        server.initialise(None);
        server
    }

    fn unprepared(settings: &[&str]) -> Self {
        Self {
            programs: programs(),
            settings: settings.iter().map(ToString::to_string).collect(),
            port: None,
            child: None,
            databases: AtomicU32::new(0),
            disk: None,
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    fn give_away(&self, folder: &Path) {
        if let Some((user, group)) = other_user() {
            for folder in [self.folder.path(), folder] {
                chown(folder, Some(user), Some(group)).expect("a folder can be given away");
            }
        }
    }

    fn initialise(&self, log: Option<&Path>) {
        let mut initdb = self.program("initdb");
        initdb.args(["-A", "trust", "--no-sync", "-U", "postgres", "-E", "UTF8", "--locale=C"]);
        if let Some(log) = log {
            initdb.arg("-X").arg(log);
        }
        let made = initdb.arg("-D").arg(self.data()).output().expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    }

    fn begin(&mut self) {
        self.run();
        self.sql("postgres", "CREATE ROLE owner LOGIN CREATEDB CREATEROLE; CREATE ROLE host LOGIN");
    }

    /// Starts it again after [`Server::stop`] or [`Server::kill`], on the same data.
    pub fn run(&mut self) {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        match self.port {
            None => command.args(["-c", "listen_addresses="]),
            Some(port) => command.args(["-c", "listen_addresses=127.0.0.1", "-p", &port.to_string()]),
        };
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let log = fs::File::options().create(true).append(true).open(self.log()).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("postgres starts"));
        let begun = Instant::now();
        while !self.answers() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "PostgreSQL did not start: {}",
                fs::read_to_string(self.log()).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends every session at once and stops, as a restart by an operator does.
    pub fn stop(&mut self) {
        self.signal(Signal::INT);
        self.wait();
    }

    /// `kill -9`: the server and all its sessions die where they are.
    pub fn kill(&mut self) {
        // Its sessions notice when the postmaster is gone; killing them too leaves them no time to. Stopped first, it starts no others.
        self.signal(Signal::STOP);
        let own = self.child.as_ref().map_or(0, Child::id);
        let sessions = children_of(own);
        for session in &sessions {
            signal_process(*session, Signal::KILL);
        }
        self.signal(Signal::KILL);
        self.wait();
        // The next one refuses to start as long as one of them is still there.
        let begun = Instant::now();
        while sessions.iter().any(|session| is_alive(*session)) && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The address of a database, for a login, through the socket.
    pub fn address(&self, login: &str, database: &str) -> String {
        let port = self.port.map(|port| format!(" port={port}")).unwrap_or_default();
        format!("host={}{port} user={login} dbname={database}", self.folder.path().display())
    }

    /// The same as a URL, for programs that take no other form.
    pub fn url(&self, login: &str, database: &str) -> String {
        format!("postgres://{login}@localhost/{database}?host={}", self.folder.path().display())
    }

    /// The port that [`Server::start_encrypted`] has chosen.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// A new database that belongs to `owner`; a copy of `template` where one is named, to which nobody may be connected then.
    pub fn database(&self, template: Option<&str>) -> String {
        let name = format!("store_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut create = format!("CREATE DATABASE {name} OWNER owner");
        if let Some(template) = template {
            let _ = write!(create, " TEMPLATE {template}");
        }
        self.sql("postgres", &create);
        name
    }

    /// Runs statements as the superuser, and returns what they print.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let ran = self.psql(database).args(["-c", statements]).output().expect("psql runs");
        assert!(ran.status.success(), "{statements}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// What the server has logged so far.
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            database,
            "-h",
        ]);
        command.arg(self.folder.path());
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        command
    }

    fn answers(&self) -> bool {
        self.psql("postgres").args(["-c", "SELECT 1"]).output().is_ok_and(|ran| ran.status.success())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// A program of the server's, as a user that it accepts: it refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path());
        if let Some((user, group)) = other_user() {
            command.uid(user).gid(group);
        }
        command
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            signal_process(child.id(), signal);
        }
    }

    fn wait(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::QUIT);
        self.wait();
        if let Some(disk) = &self.disk {
            let _ = unmount(disk, UnmountFlags::DETACH);
        }
    }
}

fn signal_process(id: u32, signal: Signal) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(id, signal);
    }
}

fn is_alive(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = status.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).unwrap_or("Z");
    !matches!(state, "Z" | "X")
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("the list of processes");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |id: &u32| {
        let status = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let after_name = status.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1).and_then(|text| text.parse::<u32>().ok()) == Some(parent)
    };
    ids.filter(is_child).collect()
}

/// Where `postgres` is: the newest that the system's packages have installed, or what `PATH` finds.
fn programs() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut versions: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&paths).map(|path| (0, path));
    let has_server = |path: &Path| path.join("postgres").is_file() && path.join("initdb").is_file();
    versions
        .into_iter()
        .rev()
        .chain(on_path)
        .map(|(_, path)| path)
        .find(|path| has_server(path))
        .unwrap_or_else(|| panic!("PostgreSQL 15 or later is needed: apt-get install postgresql-15"))
}

/// The system's user `postgres` and its group, where this process is root.
fn other_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the list of users");
    let fields =
        users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == "postgres");
    let fields = fields.unwrap_or_else(|| panic!("the user postgres is needed: install postgresql-15"));
    Some((fields[2].parse().expect("a user's number"), fields[3].parse().expect("a group's number")))
}
