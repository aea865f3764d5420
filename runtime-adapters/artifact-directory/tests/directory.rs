//! The store keeps every promise of its port, whatever is killed, edited or put in its way.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use runtime_artifact_directory::ArtifactDirectory;
use runtime_ports::artifacts::{Artifact, ArtifactKey, ArtifactQuery, ArtifactStore, TenantArtifacts};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::conformance::{self, AdapterFactory, Persistence};
use runtime_testkit::sample;
use tempfile::TempDir;

struct Directory {
    folder: TempDir,
    opened: Mutex<Vec<PathBuf>>,
}

#[async_trait::async_trait]
impl AdapterFactory for Directory {
    type Adapter = ArtifactDirectory;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<ArtifactDirectory> {
        let mut opened = self.opened.lock().unwrap();
        let root = self.folder.path().join(opened.len().to_string());
        opened.push(root.clone());
        ArtifactDirectory::open_with(root, 1 << 20)
    }

    async fn reopen(&self, _store: ArtifactDirectory) -> PortResult<ArtifactDirectory> {
        let root = self.opened.lock().unwrap().last().cloned().unwrap();
        ArtifactDirectory::open_with(root, 1 << 20)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_keep_every_promise_of_their_port() {
    let directory = Directory { folder: tempfile::tempdir().unwrap(), opened: Mutex::default() };
    conformance::artifacts(directory).await.assert_passed();
}

fn tenant(store: &ArtifactDirectory, number: u64) -> Box<dyn TenantArtifacts> {
    store.tenant_artifacts(&sample::scope(number))
}

fn key(name: &str) -> ArtifactKey {
    ArtifactKey { subject: sample::subject(1, "deployment/step-1"), name: sample::kept(name) }
}

async fn write(store: &ArtifactDirectory, name: &str, content: &[u8]) -> PortResult<Artifact> {
    let mut writer = tenant(store, 1).begin(&key(name), sample::at(1)).await?;
    writer.write(content).await?;
    writer.finish(None).await
}

async fn read(store: &ArtifactDirectory, name: &str) -> PortResult<Option<Vec<u8>>> {
    let Some(mut reader) = tenant(store, 1).open(&key(name)).await? else { return Ok(None) };
    let mut bytes = Vec::new();
    while let Some(part) = reader.read().await? {
        bytes.extend(part);
    }
    Ok(Some(bytes))
}

async fn names(store: &ArtifactDirectory) -> PortResult<Vec<String>> {
    let query = ArtifactQuery::of(key("any").subject).limited_to(1_000);
    let page = tenant(store, 1).list(&query).await?;
    Ok(page.items.into_iter().map(|artifact| artifact.key.name.to_string()).collect())
}

/// Where the artifacts of [`key`] are.
fn folder_of(root: &Path, name: &str) -> PathBuf {
    let (tenant, environment) = (sample::tenant(1).to_string(), sample::environment(1).to_string());
    root.join(tenant).join(environment).join("deployment+step-1").join(name)
}

fn entries(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn kind<T>(answer: PortResult<T>) -> Option<PortErrorKind> {
    answer.err().as_ref().map(PortError::kind)
}

#[tokio::test]
async fn what_was_all_but_moved_to_its_name_is_not_there_and_is_swept_away() {
    let root = tempfile::tempdir().unwrap();
    let store = ArtifactDirectory::open(root.path()).unwrap();
    write(&store, "a", b"content").await.unwrap();
    // As a host leaves it that dies between the last flush and the move.
    let left = root.path().join(".writing-left");
    fs::rename(folder_of(root.path(), "a"), &left).unwrap();
    assert_eq!(read(&store, "a").await.unwrap(), None);
    assert_eq!(names(&store).await.unwrap(), Vec::<String>::new());
    // And others that died earlier: without a manifest, without anything, in the middle of removing.
    for (name, files) in
        [(".writing-begun", vec!["content"]), (".writing-empty", vec![]), (".removing-half", vec!["content"])]
    {
        fs::create_dir(root.path().join(name)).unwrap();
        for file in files {
            fs::write(root.path().join(name).join(file), "half").unwrap();
        }
    }
    let store = ArtifactDirectory::open(root.path()).unwrap();
    assert!(entries(root.path()).iter().all(|name| !name.starts_with('.')), "{:?}", entries(root.path()));
    write(&store, "a", b"another").await.unwrap();
    assert_eq!(read(&store, "a").await.unwrap(), Some(b"another".to_vec()));
}

#[tokio::test]
async fn what_another_is_writing_is_not_swept_away() {
    let root = tempfile::tempdir().unwrap();
    let store = ArtifactDirectory::open(root.path()).unwrap();
    let mut writer = tenant(&store, 1).begin(&key("a"), sample::at(1)).await.unwrap();
    writer.write(&[7; 200_000]).await.unwrap();
    let other = ArtifactDirectory::open(root.path()).unwrap();
    other.artifact_pruner(&sample::operator()).prune(sample::at(9), 10).await.unwrap();
    writer.write(&[8; 10]).await.unwrap();
    writer.finish(None).await.unwrap();
    assert_eq!(read(&other, "a").await.unwrap().map(|content| content.len()), Some(200_010));
    assert!(entries(root.path()).iter().all(|name| !name.starts_with('.')), "{:?}", entries(root.path()));
}

#[tokio::test]
async fn what_is_abandoned_leaves_nothing_on_the_disk() {
    let root = tempfile::tempdir().unwrap();
    let store = ArtifactDirectory::open_with(root.path(), 10).unwrap();
    let mut dropped = tenant(&store, 1).begin(&key("a"), sample::at(1)).await.unwrap();
    dropped.write(b"dropped").await.unwrap();
    drop(dropped);
    let mut large = tenant(&store, 1).begin(&key("b"), sample::at(1)).await.unwrap();
    let refused = large.write(b"eleven byte").await.unwrap_err();
    assert!(refused.message().contains("at most 10 bytes"), "{refused}");
    assert_eq!(entries(root.path()), Vec::<String>::new());
}

#[tokio::test]
async fn what_was_edited_by_hand_is_told_and_not_believed() {
    let root = tempfile::tempdir().unwrap();
    let store = ArtifactDirectory::open(root.path()).unwrap();
    for name in ["changed", "shorter", "longer", "unmarked", "forged", "linked", "whole"] {
        write(&store, name, b"content").await.unwrap();
    }
    let at = |name: &str, file: &str| folder_of(root.path(), name).join(file);
    fs::write(at("changed", "content"), "contemn").unwrap();
    fs::write(at("shorter", "content"), "conten").unwrap();
    fs::write(at("longer", "content"), "content!").unwrap();
    fs::remove_file(at("unmarked", "artifact.json")).unwrap();
    fs::write(at("forged", "artifact.json"), "{\"size\":7}").unwrap();
    let secret = root.path().join("secret");
    fs::write(&secret, "content").unwrap();
    fs::remove_file(at("linked", "content")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&secret, at("linked", "content")).unwrap();
    for name in ["changed", "shorter", "longer", "unmarked", "forged", "linked"] {
        assert_eq!(kind(read(&store, name).await), Some(PortErrorKind::Corrupt), "{name}");
    }
    assert_eq!(read(&store, "whole").await.unwrap(), Some(b"content".to_vec()));
    // What cannot be judged by its age holds up nothing else.
    let pruner = store.artifact_pruner(&sample::operator());
    assert_eq!(pruner.prune(sample::at(9), 100).await.unwrap().removed, 5);
    assert_eq!(read(&store, "whole").await.unwrap(), None);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_in_the_way_is_not_followed() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = ArtifactDirectory::open(root.path()).unwrap();
    let way = root.path().join(sample::tenant(1).to_string());
    std::os::unix::fs::symlink(elsewhere.path(), &way).unwrap();
    assert_eq!(kind(write(&store, "a", b"content").await), Some(PortErrorKind::Corrupt));
    assert_eq!(entries(elsewhere.path()), Vec::<String>::new());
}

#[tokio::test]
async fn what_does_not_belong_to_the_store_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let store = ArtifactDirectory::open(root.path()).unwrap();
    write(&store, "a", b"content").await.unwrap();
    fs::create_dir_all(root.path().join("notes").join("deep")).unwrap();
    fs::create_dir(folder_of(root.path(), "Not A Name")).unwrap();
    assert_eq!(names(&store).await.unwrap(), ["a"]);
    store.artifact_pruner(&sample::operator()).prune(sample::at(9), 100).await.unwrap();
    assert_eq!(names(&store).await.unwrap(), Vec::<String>::new());
    assert!(root.path().join("notes").join("deep").is_dir());
    assert!(folder_of(root.path(), "Not A Name").is_dir());
}

const VARIABLE: &str = "RUNTIME_ARTIFACT_DIRECTORY_CRASH_TEST";
const KILLS: u64 = 6;

/// The content of an artifact: large enough to be killed in the middle of.
fn content(number: u64) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(300_000).collect()
}

/// Writes for ever and prints the number of every artifact that was acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child process of the crash test, which kills it: alone it has nothing to do"]
async fn writing_child() {
    let Ok(arguments) = std::env::var(VARIABLE) else { return };
    let (round, root) = arguments.split_once(' ').unwrap();
    let round: u64 = round.parse().unwrap();
    let store = ArtifactDirectory::open(root).unwrap();
    let lanes = (0..4).map(|lane| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in (round * 1_000_000 + lane..).step_by(4) {
                write(&store, &format!("log-{number}"), &content(number)).await.unwrap();
                println!("acknowledged {number}");
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
}

fn child(round: u64, root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writing_child", "--ignored", "--nocapture"])
        .env(VARIABLE, format!("{round} {}", root.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_artifact_survives_kill_dash_nine_and_none_is_there_in_part() {
    let root = tempfile::tempdir().unwrap();
    let kills =
        std::env::var("RUNTIME_TESTKIT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut acknowledged: Vec<u64> = Vec::new();
    for round in 0..kills {
        let mut child = child(round, root.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let number =
            |line: String| line.strip_prefix("acknowledged ").and_then(|text| text.parse::<u64>().ok());
        let enough = usize::try_from(3 + round % 5 * 3).unwrap();
        let before = acknowledged.len();
        acknowledged.extend(lines.by_ref().filter_map(number).take(enough));
        assert_eq!(acknowledged.len(), before + enough, "the child ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines.filter_map(number));
    }
    let store = ArtifactDirectory::open(root.path()).unwrap();
    for number in &acknowledged {
        let found = read(&store, &format!("log-{number}")).await.unwrap();
        assert!(found == Some(content(*number)), "acknowledged {number} is lost or damaged");
    }
    // Acknowledged or not, whatever is shown is whole.
    for name in names(&store).await.unwrap() {
        let number: u64 = name.strip_prefix("log-").unwrap().parse().unwrap();
        assert!(read(&store, &name).await.unwrap() == Some(content(number)), "{name} is there in part");
    }
    assert!(entries(root.path()).iter().all(|name| !name.starts_with('.')), "{:?}", entries(root.path()));
}
