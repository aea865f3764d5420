//! The examples are run as people run them. `cargo test --all-features` builds them beside this test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use factory_runtime::adapters::http_prober::{AllowList, HttpProber};
use factory_runtime::adapters::oci_layout::OciLayout;
use factory_runtime::adapters::process::{ProcessSurface, ProcessSurfaceOptions};
use factory_runtime::adapters::system::{SystemClock, UuidV7Generator};
use postgres_server::{Durability, Server};
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(60);

/// Where an example was built.
pub(crate) fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this test is a program");
    let folder = own.parent().and_then(|folder| folder.parent()).expect("the folder of programs");
    let program: PathBuf = folder.join("examples").join(name);
    assert!(
        program.is_file(),
        "{} is not built: run `cargo test --all-features`, or `cargo build --all-features --examples` before",
        program.display()
    );
    program
}

/// A command that runs an example.
fn example(name: &str) -> Command {
    Command::new(program(name))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_held(ran: &Output) {
    assert!(ran.status.success(), "{}: {}{}", ran.status, text(&ran.stdout), text(&ran.stderr));
}

#[test]
fn the_least_program_that_embeds_the_library_deploys_something_that_answers() {
    let ran = example("embed_minimal").output().unwrap();
    assert_held(&ran);
    let told = text(&ran.stdout);
    assert!(told.starts_with("Completed; http://127.0.0.1:") && told.trim_end().ends_with("hello"), "{told}");
    let source = include_str!("../../examples/embed_minimal/main.rs");
    assert!(source.lines().count() < 40, "the example is to stay under 40 lines");
}

#[test]
fn the_tutorials_canary_goes_back_and_costs_no_request() {
    let ran = example("tutorial").output().unwrap();
    assert_held(&ran);
    let told = text(&ran.stdout);
    assert!(told.contains("1.0.0 is Completed") && told.contains("2.0.0 is RolledBack"), "{told}");
    assert!(told.contains("gate errors failed: error-rate"), "{told}");
    assert!(told.trim_end().ends_with("0 of 600 requests were not answered well"), "{told}");
}

#[test]
fn a_surface_of_ones_own_carries_rollouts_a_canary_and_the_way_back() {
    let ran = example("custom_surface").output().unwrap();
    assert_held(&ran);
    let told = text(&ran.stdout);
    assert!(told.contains("of 100 requests {\"one\": 80, \"two\": 20}"), "{told}");
    assert!(told.contains("3.0.0, whose readiness fails, is RolledBack"), "{told}");
}

/// One exchange over HTTP/1.1: the status and the body.
fn ask(url: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut client = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = "host: service\r\nconnection: close\r\n";
    write!(client, "{method} {path} HTTP/1.1\r\n{head}content-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A service that is killed where a test ends early.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_deployment_service_alone_on_postgresql_carries_out_what_it_is_asked_and_refuses_the_rest() {
    let server = Server::start(Durability::None);
    let database = server.database(None);
    let folder = tempfile::tempdir().unwrap();
    let command = || {
        let mut command = example("deployment_service");
        command
            .env("DATABASE_URL", server.url("host", &database))
            .env("OWNER_URL", server.url("owner", &database))
            .env("SERVICE_FOLDER", folder.path())
            .env("SERVICE_LISTEN", "127.0.0.1:0");
        command
    };
    let prepared = command().args(["prepare", "dev"]).output().unwrap();
    assert_held(&prepared);
    let environment = text(&prepared.stdout).trim().to_owned();
    assert!(environment.starts_with("env_"), "{environment}");

    let mut service = Service(command().stdout(Stdio::piped()).spawn().unwrap());
    let mut told = BufReader::new(service.0.stdout.take().unwrap()).lines();
    let first = told.next().expect("it says where it serves").unwrap();
    let url = first.strip_prefix("serving on ").expect("it says where it serves").to_owned();
    for path in ["/live", "/ready"] {
        let (status, body) = ask(&url, "GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
    }

    let release = include_str!("../../examples/deployment_service/release.yaml");
    let path = format!("/runtime/deployments?environmentId={environment}");
    let (status, body) = ask(&url, "POST", &path, release);
    assert_eq!(status, 202, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let path = format!("/runtime/deployments/{}", answer["deploymentId"].as_str().unwrap());
    let begun = Instant::now();
    let ended = loop {
        let (status, body) = ask(&url, "GET", &path, "");
        assert_eq!(status, 200, "{body}");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        let status = answer["status"].as_str().unwrap().to_owned();
        if ["Completed", "RolledBack", "Failed", "Aborted"].contains(&status.as_str()) {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE, "it is {status}");
        // Somebody else's process can only be asked again.
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert_eq!(ended, "Completed");

    let (status, body) = ask(&url, "POST", "/runtime/environments", "{}");
    assert!(status == 404 && body.contains("runs the context `deployment` only"), "{status} {body}");
    let (status, body) = ask(&url, "POST", "/runtime/deployments?environmentId=nonsense", release);
    assert!(status == 400 && body.contains("env_"), "{status} {body}");

    let process = i32::try_from(service.0.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(process, Signal::TERM).unwrap();
    let rest: Vec<String> = told.map_while(Result::ok).collect();
    assert!(rest.iter().any(|line| line.starts_with("stopping")), "{rest:?}");
    assert!(service.0.wait().unwrap().success(), "it drains and ends well");
    assert_eq!(left_running(folder.path()), 2, "workloads go on when their host has ended");
}

/// How many replicas the next host finds; they are ended.
pub(crate) fn left_running(folder: &std::path::Path) -> usize {
    let executor = tokio::runtime::Runtime::new().unwrap();
    executor.block_on(async {
        let registry = Arc::new(OciLayout::open(folder.join("images")).unwrap());
        let prober = Arc::new(HttpProber::new(AllowList::builder().allow_loopback().build()));
        let (clock, ids) = (Arc::new(SystemClock::new()), Arc::new(UuidV7Generator::new()));
        let workloads = folder.join("workloads");
        let options = ProcessSurfaceOptions::new(&workloads, registry, prober, clock, ids);
        let surface = ProcessSurface::open(options).await.unwrap();
        let adopted = std::fs::read_dir(&workloads).unwrap().count();
        assert!(adopted > 0, "there is a folder of workloads");
        let running = instances(&workloads);
        surface.destroy_all().await.unwrap();
        surface.shutdown().await;
        running
    })
}

/// The surface writes one file for each instance.
fn instances(folder: &std::path::Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap().map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            let is_list = path.file_name().is_some_and(|name| name == "instances");
            count += if is_list { std::fs::read_dir(&path).unwrap().count() } else { instances(&path) };
        }
    }
    count
}

#[test]
fn every_setting_of_the_service_is_told_and_what_is_missing_is_said() {
    let help = example("deployment_service").arg("--help").output().unwrap();
    assert_held(&help);
    for setting in
        ["DATABASE_URL", "SERVICE_FOLDER", "SERVICE_LISTEN", "SERVICE_TENANT", "SERVICE_DRAIN_SECONDS"]
    {
        assert!(text(&help.stdout).contains(setting), "{setting} is not told of");
    }
    let ran = example("deployment_service").env_remove("DATABASE_URL").output().unwrap();
    assert!(!ran.status.success() && text(&ran.stderr).contains("set DATABASE_URL"), "{}", text(&ran.stderr));
    let open = example("deployment_service").args(["--listen", "0.0.0.0:0"]).output().unwrap();
    assert!(!open.status.success() && text(&open.stderr).contains("no loopback address"));
}

/// A host on a folder of its own that may take so long to drain, where it says that it serves, and what else it says.
fn host(
    folder: &std::path::Path,
    drain_seconds: u32,
) -> (Service, String, std::io::Lines<BufReader<ChildStdout>>) {
    let mut command = example("host");
    command
        .env("FACTORY_RUNTIME__FOLDER", folder)
        .env("FACTORY_RUNTIME__LISTEN", "127.0.0.1:0")
        .env("FACTORY_RUNTIME__DRAIN_SECONDS", drain_seconds.to_string());
    let mut host = Service(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut told = BufReader::new(host.0.stdout.take().unwrap()).lines();
    let serving = told.by_ref().map(Result::unwrap).find(|line| line.starts_with("serving")).unwrap();
    let (_, rest) = serving.split_once(" on ").unwrap();
    let url = rest.split(',').next().unwrap().to_owned();
    (host, url, told)
}

/// A request whose body does not come: it is in flight until it is given up.
fn endless(url: &str) -> TcpStream {
    let mut client = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let head =
        "host: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 9\r\nexpect: 100-continue\r\n";
    write!(client, "POST /runtime/environments HTTP/1.1\r\n{head}\r\n").unwrap();
    // The host asks for the body, so it works on the request.
    let mut asked = [0; 12];
    client.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    client
}

fn tell(host: &Service, signal: Signal) {
    let process = i32::try_from(host.0.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(process, signal).unwrap();
}

#[test]
fn a_host_that_is_told_to_stop_ends_within_its_bound_whoever_holds_it_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mut host, url, told) = host(folder.path(), 1);
    let _held = endless(&url);
    let begun = Instant::now();
    tell(&host, Signal::TERM);
    let rest: Vec<String> = told.map_while(Result::ok).collect();
    assert!(rest.iter().any(|line| line.starts_with("stopping")), "{rest:?}");
    assert!(host.0.wait().unwrap().success());
    // The body is waited for for half a minute, where nobody stops the host.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(TcpStream::connect(url.trim_start_matches("http://")).is_err());
}

#[test]
fn a_host_that_is_told_twice_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut host, url, mut told) = host(folder.path(), 600);
    let mut held = endless(&url);
    tell(&host, Signal::INT);
    assert!(told.next().unwrap().unwrap().starts_with("stopping"));
    tell(&host, Signal::TERM);
    assert_eq!(host.0.wait().unwrap().code(), Some(130));
    // Nothing was answered, so the client may ask again.
    let mut said = Vec::new();
    drop(held.read_to_end(&mut said));
    assert_eq!(text(&said).trim(), "Continue");
}
