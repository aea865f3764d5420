//! Files and folders that may not be written: clear errors, and recovery without help.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use runtime_domain::id::AggregateKind;
use runtime_ports::store::Store;
use runtime_ports::{PortError, PortErrorKind};
use runtime_sqlite::{IntegrityDepth, SqliteStore};
use runtime_testkit::sample::{self, Draft};

const VARIABLE: &str = "RUNTIME_SQLITE_READ_ONLY_TEST";
/// Who has no rights but those that are given.
const NOBODY: u32 = 65_534;

async fn commit(store: &SqliteStore, number: u64) {
    let draft = Draft::create(1, sample::key(AggregateKind::RuntimeDeployment, number));
    store.for_tenant(&sample::scope(1)).commit(draft.commit()).await.unwrap();
}

fn permit(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn refusal(path: &Path) -> PortError {
    SqliteStore::open(path).unwrap_err()
}

#[tokio::test]
#[ignore = "the child process of the test below, which runs it as a user who is refused: alone it has nothing to do"]
async fn refused_child() {
    let Ok(folder) = std::env::var(VARIABLE) else { return };
    let folder = Path::new(&folder);
    let path = folder.join("store.sqlite");
    let store = SqliteStore::open(&path).unwrap();
    commit(&store, 1).await;

    // Rights are asked for when a file is opened: a store that has it goes on, and finishes its log when it is closed.
    permit(&path, 0o444);
    commit(&store, 2).await;
    store.close().await;
    let refused = refusal(&path);
    assert_eq!(refused.kind(), PortErrorKind::Denied, "{refused}");
    assert!(refused.message().contains("written"), "{refused}");
    permit(&path, 0o644);

    permit(folder, 0o555);
    let refused = refusal(&path);
    assert_eq!(refused.kind(), PortErrorKind::Denied, "{refused}");
    assert!(refused.message().contains("folder"), "{refused}");
    let refused = refusal(&folder.join("new.sqlite"));
    assert_eq!(refused.kind(), PortErrorKind::Denied, "{refused}");
    permit(folder, 0o755);

    let store = SqliteStore::open(&path).unwrap();
    commit(&store, 3).await;
    assert!(store.check_integrity(IntegrityDepth::Full).await.unwrap().is_sound());
    let tenant = store.for_tenant(&sample::scope(1));
    for number in 1..=3 {
        let key = sample::key(AggregateKind::RuntimeDeployment, number);
        assert!(tenant.load(&key).await.unwrap().is_some(), "{key} is lost");
    }
}

#[test]
fn what_may_not_be_written_is_refused_clearly_and_opens_once_it_may() {
    let folder = tempfile::tempdir().unwrap();
    permit(folder.path(), 0o755);
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    // Nothing is refused to root, who may not even read where others' programs are.
    let mut child = if std::fs::metadata(&data).unwrap().uid() == 0 {
        let program = folder.path().join("child");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        permit(&program, 0o755);
        std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        let mut child = Command::new(program);
        child.uid(NOBODY).gid(NOBODY).current_dir(&data);
        child
    } else {
        Command::new(std::env::current_exe().unwrap())
    };
    let output = child
        .args(["--exact", "refused_child", "--ignored", "--nocapture"])
        .env(VARIABLE, &data)
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].map(|told| String::from_utf8_lossy(&told).into_owned());
    assert!(output.status.success() && told[0].contains("1 passed"), "{told:?}");
}
