//! The source's suite, on Git work trees and on plain directories.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use async_trait::async_trait;
use runtime_desired_state_directory::{DesiredStateDirectory, Tenants};
use runtime_domain::id::TenantId;
use runtime_ports::PortResult;
use runtime_ports::desired_state::DesiredPlace;
use runtime_testkit::conformance::desired_state::{DesiredStateCapabilities, Document, Documents};
use runtime_testkit::conformance::{
    AdapterFactory, DesiredStateFactory, Persistence, Report, Verdict, desired_state,
};
use runtime_testkit::sample;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

/// Sources of one kind, each in a folder of its own; the folder belongs to the source that was made last.
struct Folders {
    git: bool,
    tenants: Tenants,
    folders: Mutex<Vec<TempDir>>,
}

fn folders(git: bool, tenants: Tenants) -> Folders {
    Folders { git, tenants, folders: Mutex::default() }
}

impl Folders {
    /// The newest folder's source, and beside it room to prepare what is moved into it as a whole.
    fn root(&self) -> PathBuf {
        self.folders.lock().unwrap().last().unwrap().path().join("source")
    }

    fn place(&self, place: &DesiredPlace) -> PathBuf {
        let own = self.own(place.tenant);
        place.path.parts().fold(self.root().join(own), |folder, part| folder.join(part))
    }

    fn own(&self, tenant: TenantId) -> String {
        if self.tenants == Tenants::Each { tenant.to_string() } else { String::new() }
    }

    async fn open(&self) -> PortResult<DesiredStateDirectory> {
        match self.git {
            true => DesiredStateDirectory::git(self.root(), self.tenants).await,
            false => DesiredStateDirectory::plain(self.root(), self.tenants).await,
        }
    }

    /// Puts the documents into the place: the folder as a whole, in one step.
    fn write(&self, place: &DesiredPlace, documents: &Documents) {
        let place = self.place(place);
        let beside = tempfile::tempdir_in(self.root().parent().unwrap()).unwrap();
        let new = beside.path().join("new");
        std::fs::create_dir(&new).unwrap();
        std::fs::write(new.join("README.md"), "for people").unwrap();
        for (name, document) in documents {
            let content = match document {
                Document::Release(release) => serde_json::to_vec(release).unwrap(),
                Document::Garbage(garbage) => garbage.clone(),
            };
            std::fs::write(new.join(format!("{name}.yaml")), content).unwrap();
        }
        std::fs::create_dir_all(&place).unwrap();
        renameat_with(CWD, &new, CWD, &place, RenameFlags::EXCHANGE).unwrap();
    }

    fn commit(&self) {
        if self.git {
            git(&self.root(), &["add", "--all"]);
            git(&self.root(), &["commit", "--quiet", "--allow-empty", "--message", "as it should be"]);
        }
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@shop.test", "-c", "init.defaultBranch=main"])
        .args(["-c", "commit.gpgsign=false", "-c", "gc.auto=0", "-c", "maintenance.auto=false"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[async_trait]
impl AdapterFactory for Folders {
    type Adapter = DesiredStateDirectory;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<DesiredStateDirectory> {
        self.folders.lock().unwrap().push(tempfile::tempdir().unwrap());
        std::fs::create_dir(self.root()).unwrap();
        if self.git {
            git(&self.root(), &["init", "--quiet"]);
            self.commit();
        }
        self.open().await
    }

    async fn reopen(&self, source: DesiredStateDirectory) -> PortResult<DesiredStateDirectory> {
        drop(source);
        self.open().await
    }
}

#[async_trait]
impl DesiredStateFactory for Folders {
    async fn say(
        &self,
        _source: &DesiredStateDirectory,
        place: &DesiredPlace,
        documents: &Documents,
    ) -> PortResult<()> {
        self.write(place, documents);
        self.commit();
        Ok(())
    }

    async fn remove(&self, _source: &DesiredStateDirectory, place: &DesiredPlace) -> PortResult<()> {
        std::fs::remove_dir_all(self.place(place)).unwrap();
        self.commit();
        Ok(())
    }

    async fn begin(
        &self,
        _source: &DesiredStateDirectory,
        place: &DesiredPlace,
        documents: &Documents,
    ) -> PortResult<bool> {
        if self.git {
            self.write(place, documents);
        }
        Ok(self.git)
    }
}

/// The trials that the suite left out.
fn left_out(report: &Report) -> Vec<&str> {
    report.assert_passed();
    let skipped = report.trials().iter().filter(|trial| trial.verdict != Verdict::Passed);
    skipped.map(|trial| trial.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_work_tree_keeps_every_promise_of_the_port() {
    let each = folders(true, Tenants::Each);
    let report = desired_state(each, DesiredStateCapabilities { many_tenants: true }).await;
    assert_eq!(left_out(&report), Vec::<&str>::new(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_directory_keeps_every_promise_of_the_port() {
    let each = folders(false, Tenants::Each);
    let report = desired_state(each, DesiredStateCapabilities { many_tenants: true }).await;
    assert_eq!(left_out(&report), ["what is not authoritative is not answered"], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_one_tenant_keeps_every_promise_of_the_port() {
    let only = folders(false, Tenants::Only(sample::tenant(1)));
    let report = desired_state(only, DesiredStateCapabilities { many_tenants: false }).await;
    let wanted = ["tenants are told their own", "what is not authoritative is not answered"];
    assert_eq!(left_out(&report), wanted, "{report}");
}
