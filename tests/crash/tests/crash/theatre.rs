//! The folder, the hosts that come and go on it, and the processes that stay.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long a host may take to bring a rollout to its end.
const LONGEST_ROLLOUT: Duration = Duration::from_secs(45);
/// How long an answer, or a process's end, may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Numbers that a seed repeats (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed that differs from run to run.
    pub(crate) fn seed() -> u64 {
        RandomState::new().build_hasher().finish() % 1_000_000
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// A process of a workload, by its markers.
#[derive(Debug)]
pub(crate) struct Workload {
    pid: i32,
    pub(crate) revision: String,
    pub(crate) instance: String,
}

/// One folder, whose processes are killed when it goes.
pub(crate) struct Theatre {
    folder: TempDir,
    tenant: String,
}

impl Theatre {
    pub(crate) fn new() -> Self {
        let unique = RandomState::new().build_hasher().finish();
        let folder = TempDir::with_prefix("factory-runtime-crash-").expect("a folder");
        Self { folder, tenant: format!("ten_{unique:032x}") }
    }

    /// Writes a manifest down.
    pub(crate) fn script(&self, release: &str, manifest: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{release}.yaml"));
        std::fs::write(&path, manifest).expect("the manifest is written");
        path
    }

    /// Where a release's migration leaves its line.
    pub(crate) fn migrations(&self, release: &str) -> PathBuf {
        self.folder.path().join(format!("{release}.migrations"))
    }

    /// How often a release's migration ran.
    pub(crate) fn migrated(&self, release: &str) -> usize {
        std::fs::read_to_string(self.migrations(release)).unwrap_or_default().lines().count()
    }

    /// Starts a host on the next rollout.
    pub(crate) async fn host(&self, script: &Path) -> Host {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crash-host"))
            .arg(self.folder.path().join("runtime"))
            .arg(&self.tenant)
            .arg(env!("CARGO_BIN_EXE_crash-workload"))
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the host starts");
        let input = child.stdin.take().expect("an input");
        let lines = BufReader::new(child.stdout.take().expect("an output")).lines();
        Host { child, input, lines }
    }

    /// Every live process of this folder's workloads and jobs.
    pub(crate) fn processes(&self) -> Vec<Workload> {
        let marker = format!("FACTORY_TENANT={}", self.tenant);
        let entries = std::fs::read_dir("/proc").expect("the processes are listed");
        let found = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // A process that has ended, or is another user's, shows nothing.
            let bytes = std::fs::read(entry.path().join("environ")).ok()?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let variables: Vec<&str> = text.split('\0').collect();
            let variable = |name: &str| {
                let value = variables.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
                value.unwrap_or_default().to_owned()
            };
            let (revision, instance) = (variable("FACTORY_REVISION"), variable("FACTORY_INSTANCE"));
            variables.contains(&&*marker).then_some(Workload { pid, revision, instance })
        });
        found.collect()
    }

    /// Waits until there are exactly so many processes; what was retired may take its grace.
    pub(crate) async fn until_processes(&self, wanted: usize) -> Vec<Workload> {
        let begun = Instant::now();
        loop {
            let processes = self.processes();
            if processes.len() == wanted {
                return processes;
            }
            assert!(begun.elapsed() < PATIENCE, "{wanted} processes are wanted, not {processes:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Theatre {
    fn drop(&mut self) {
        for process in self.processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(process.pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// How a rollout ended, as its host tells.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: String,
    pub(crate) serving: String,
    pub(crate) endpoint: String,
    pub(crate) is_replayed: bool,
    pub(crate) is_gapless: bool,
    pub(crate) doubled: Vec<String>,
    /// What happened, with the reasons.
    #[expect(dead_code, reason = "shown where a rollout ends otherwise than it should")]
    told: Vec<String>,
}

/// When a host is to be killed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cue {
    /// So long after its start.
    After(Duration),
    /// As soon as it has told so many events, or the rollout's end.
    Event(u64),
}

/// Where a host was when it was killed.
#[derive(Debug)]
pub(crate) enum Point {
    /// It had told nothing yet: it was opening its folder, packing or provisioning.
    Opening,
    /// It had told so many events, and this one last.
    Within(u64, String),
    /// The rollout had ended.
    Ended,
}

impl Point {
    /// Whether the rollout was in flight.
    pub(crate) fn is_within(&self) -> bool {
        matches!(self, Self::Within(..))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => formatter.write_str("opening"),
            Self::Within(number, event) => write!(formatter, "{number}: {event}"),
            Self::Ended => formatter.write_str("its end"),
        }
    }
}

/// A host at work.
pub(crate) struct Host {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Host {
    async fn line(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.expect("the host's output is read")?;
        Some(serde_json::from_str(&line).expect("the host writes JSON"))
    }

    /// Kills the host alone. Answers where it was.
    pub(crate) async fn kill_at(mut self, cue: Cue) -> Point {
        let (longest, most) = match cue {
            Cue::After(moment) => (moment, u64::MAX),
            Cue::Event(number) => (LONGEST_ROLLOUT, number),
        };
        let deadline = tokio::time::Instant::now() + longest;
        let (mut told, mut point) = (0, Point::Opening);
        while told < most {
            let Ok(line) = tokio::time::timeout_at(deadline, self.line()).await else { break };
            let Some(line) = line else {
                let status = self.child.wait().await.expect("the host has ended");
                panic!("the host ended by itself, with {status}, after {point}");
            };
            told += 1;
            point = match line["event"].as_str() {
                Some(event) => Point::Within(told, event.to_owned()),
                None => Point::Ended,
            };
            if matches!(cue, Cue::Event(_)) && matches!(point, Point::Ended) {
                break;
            }
        }
        self.child.kill().await.expect("the host is killed");
        point
    }

    /// Waits until the host tells how the rollout ended.
    pub(crate) async fn end(&mut self) -> Ended {
        let deadline = tokio::time::Instant::now() + LONGEST_ROLLOUT;
        let mut told = Vec::new();
        loop {
            let Ok(line) = tokio::time::timeout_at(deadline, self.line()).await else {
                panic!("the rollout did not end; so far: {told:#?}");
            };
            let line = line.unwrap_or_else(|| panic!("the host ended by itself after {told:#?}"));
            if let Some(event) = line["event"].as_str() {
                told.push(format!("{event}: {}", line["why"]));
                continue;
            }
            let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
            let list = line["doubled"].as_array().expect("a list").iter();
            return Ended {
                status: text("ended"),
                serving: text("serving"),
                endpoint: text("endpoint"),
                is_replayed: line["is_replayed"] == true,
                is_gapless: line["is_gapless"] == true,
                doubled: list.map(ToString::to_string).collect(),
                told,
            };
        }
    }

    /// Gives a command, and answers what came of it.
    pub(crate) async fn ask(&mut self, command: &str) -> String {
        self.input.write_all(format!("{command}\n").as_bytes()).await.expect("the host listens");
        let line = tokio::time::timeout(PATIENCE, self.line()).await.expect("an answer in time");
        let line = line.expect("the host answers");
        line["answer"].as_str().expect("an answer").to_owned()
    }

    /// Lets the host go in good order; workloads stay.
    pub(crate) async fn leave(self) {
        let Self { mut child, input, lines } = self;
        drop(input);
        let status = tokio::time::timeout(PATIENCE, child.wait()).await;
        drop(lines);
        let status = status.expect("the host goes in time").expect("the host has ended");
        assert!(status.success(), "the host went with {status}");
    }
}
