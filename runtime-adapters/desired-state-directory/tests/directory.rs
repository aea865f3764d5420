//! What is read of a directory, and what is refused: on the file system and with the `git` of this machine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use runtime_desired_state_directory::{DesiredStateDirectory, LARGEST_DOCUMENT, Tenants};
use runtime_domain::drift::Authoritative;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_ports::desired_state::{DesiredPlace, DesiredReleases, DesiredStateSource as _};
use runtime_ports::{PortError, PortErrorKind, Retry};
use tempfile::TempDir;
use uuid::Uuid;

const SHOP: &str = "release: shop-1\nstrategy: { rolling-health-gated: {} }\ncomponents:\n";

fn manifest(modules: &[&str]) -> String {
    let components =
        modules.iter().map(|module| format!("  {module}: {{ image: 'shop/{module}:1', version: '1' }}\n"));
    [SHOP.to_owned(), components.collect()].concat()
}

fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

fn place(path: &str) -> DesiredPlace {
    DesiredPlace {
        tenant: tenant(1),
        environment: EnvironmentId::from_uuid(Uuid::from_u128(2)),
        path: path.parse().unwrap(),
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@shop.test", "-c", "init.defaultBranch=main"])
        .args(["-c", "commit.gpgsign=false"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commit(folder: &Path) -> String {
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", "as it should be"]);
    format!("git:{}", git(folder, &["rev-parse", "HEAD"]))
}

/// A work tree with `shop/staging/shop.yaml` committed.
fn work_tree() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet"]);
    write(folder.path(), "shop/staging/shop.yaml", &manifest(&["cart", "web"]));
    write(folder.path(), "shop/staging/README.md", "for people");
    let revision = commit(folder.path());
    (folder, revision)
}

async fn open(folder: &Path) -> DesiredStateDirectory {
    DesiredStateDirectory::open(folder, Tenants::Only(tenant(1))).await.unwrap()
}

type Answer = Result<Authoritative<Arc<DesiredReleases>>, PortError>;

fn modules(answer: &Answer) -> Vec<String> {
    let releases = answer.as_ref().unwrap_or_else(|error| panic!("{error}"));
    releases.value().components().map(|(module, ..)| module.to_string()).collect()
}

#[track_caller]
fn refused(answer: &Answer, kind: PortErrorKind, says: &str) {
    let error = answer.as_ref().unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.message().contains(says), "`{says}` is not said in: {error}");
}

#[tokio::test]
async fn a_commit_is_read_with_its_own_revision() {
    let (folder, revision) = work_tree();
    let source = open(folder.path()).await;
    let read = source.read(&place("shop/staging")).await;
    assert_eq!(modules(&read), ["cart", "web"]);
    let read = read.unwrap();
    assert_eq!((read.revision().as_str(), read.tenant()), (revision.as_str(), tenant(1)));
    write(folder.path(), "shop/staging/worker.yaml", &manifest(&["worker"]));
    let next = commit(folder.path());
    let read = source.read(&place("shop/staging")).await;
    assert_eq!(modules(&read), ["cart", "web", "worker"]);
    assert_eq!(read.unwrap().revision().as_str(), next);
}

/// Shows DRF-3.
#[tokio::test]
async fn a_dirty_tree_is_not_authoritative_whatever_is_dirty() {
    let (folder, revision) = work_tree();
    let source = open(folder.path()).await;
    let root = folder.path();
    let is_dirty = async |what: &str| {
        let read = source.read(&place("shop/staging")).await;
        refused(&read, PortErrorKind::Unavailable, "1 paths are not as the commit says");
        assert!(matches!(read.unwrap_err().retry(), Retry::Later { .. }), "{what}");
    };
    write(root, "shop/staging/shop.yaml", &manifest(&["cart"]));
    is_dirty("a manifest that is changed").await;
    git(root, &["add", "--all"]);
    is_dirty("a manifest that is staged").await;
    git(root, &["reset", "--quiet", "--hard"]);
    write(root, "shop/staging/new.yaml", "half writ");
    is_dirty("a manifest that is new").await;
    std::fs::remove_file(root.join("shop/staging/new.yaml")).unwrap();
    std::fs::remove_file(root.join("shop/staging/README.md")).unwrap();
    is_dirty("a file that is removed").await;
    git(root, &["reset", "--quiet", "--hard"]);
    let read = source.read(&place("shop/staging")).await.unwrap();
    assert_eq!(read.revision().as_str(), revision);
}

#[tokio::test]
async fn what_git_ignores_does_not_make_a_tree_dirty() {
    let (folder, _) = work_tree();
    write(folder.path(), ".gitignore", "*.swp\n");
    let revision = commit(folder.path());
    write(folder.path(), "shop/staging/shop.yaml.swp", "an editor's");
    let read = open(folder.path()).await.read(&place("shop/staging")).await.unwrap();
    assert_eq!(read.revision().as_str(), revision);
}

/// Buried: Argo CD CVE-2022-24731. Theirs: a link in a repository read files of the server beside it. Ours: no link is followed, in the tree or on
/// the way to it.
#[tokio::test]
async fn no_link_leads_out_of_the_tree() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "shop.yaml", &manifest(&["stolen"]));
    let (folder, _) = work_tree();
    let root = folder.path();
    std::os::unix::fs::symlink(outside.path(), root.join("shop/away")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("shop.yaml"), root.join("shop/staging/away.yaml"))
        .unwrap();
    let plain = DesiredStateDirectory::plain(root, Tenants::Only(tenant(1))).await.unwrap();
    commit(root);
    let committed = open(root).await;
    for source in [&committed, &plain] {
        let through_a_folder = source.read(&place("shop/away")).await;
        refused(&through_a_folder, PortErrorKind::NotFound, "links are not followed");
        let through_a_file = source.read(&place("shop/staging")).await;
        refused(&through_a_file, PortErrorKind::Corrupt, "`away.yaml` is a link");
    }
}

#[tokio::test]
async fn a_submodule_or_a_folder_is_no_manifest() {
    let (folder, _) = work_tree();
    let root = folder.path();
    let commit_id = git(root, &["rev-parse", "HEAD"]);
    git(root, &["update-index", "--add", "--cacheinfo", &format!("160000,{commit_id},shop/sub/x.yaml")]);
    git(root, &["commit", "--quiet", "--message", "a submodule"]);
    std::fs::create_dir_all(root.join("shop/sub/x.yaml")).unwrap();
    refused(
        &open(root).await.read(&place("shop/sub")).await,
        PortErrorKind::Corrupt,
        "`x.yaml` is a submodule",
    );
    let plain = DesiredStateDirectory::plain(root, Tenants::Only(tenant(1))).await.unwrap();
    refused(&plain.read(&place("shop/sub")).await, PortErrorKind::Corrupt, "`x.yaml` is no file");
}

#[tokio::test]
async fn one_broken_file_makes_the_state_unreadable_and_not_smaller() {
    for (text, says) in [
        ("release: [", "`broken.yaml`"),
        ("release: shop-2\nstrategy: { rolling-health-gated: {} }\ncomponents: {}\nmisspelt: 1\n", "line 4"),
        ("\u{1}", "`broken.yaml`"),
    ] {
        let (folder, _) = work_tree();
        write(folder.path(), "shop/staging/broken.yaml", text);
        let plain = DesiredStateDirectory::plain(folder.path(), Tenants::Only(tenant(1))).await.unwrap();
        refused(&plain.read(&place("shop/staging")).await, PortErrorKind::Corrupt, says);
        commit(folder.path());
        refused(&open(folder.path()).await.read(&place("shop/staging")).await, PortErrorKind::Corrupt, says);
    }
    let (folder, _) = work_tree();
    write(folder.path(), "shop/staging/twice.yaml", &manifest(&["web"]));
    commit(folder.path());
    let twice = open(folder.path()).await.read(&place("shop/staging")).await;
    refused(&twice, PortErrorKind::Corrupt, "component web is in `shop.yaml` and in `twice.yaml`");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let (folder, _) = work_tree();
    let large =
        format!("{}# {}\n", manifest(&["web"]), "x".repeat(usize::try_from(LARGEST_DOCUMENT).unwrap()));
    write(folder.path(), "large/large.yaml", &large);
    let plain = DesiredStateDirectory::plain(folder.path(), Tenants::Only(tenant(1))).await.unwrap();
    refused(&plain.read(&place("large")).await, PortErrorKind::Exhausted, "`large.yaml` has");
    commit(folder.path());
    refused(
        &open(folder.path()).await.read(&place("large")).await,
        PortErrorKind::Exhausted,
        "`large.yaml` has",
    );
}

#[tokio::test]
async fn a_bomb_of_aliases_is_refused() {
    let mut text = String::from("a0: &a0 [x, x]\n");
    for level in 1..40 {
        let below = level - 1;
        text.push_str(&format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}, *a{below}]\n"));
    }
    let (folder, _) = work_tree();
    write(folder.path(), "shop/staging/bomb.yaml", &text);
    commit(folder.path());
    refused(
        &open(folder.path()).await.read(&place("shop/staging")).await,
        PortErrorKind::Corrupt,
        "`bomb.yaml`",
    );
}

#[tokio::test]
async fn what_is_not_there_is_an_error_and_what_says_nothing_is_empty() {
    let (folder, _) = work_tree();
    write(folder.path(), "shop/empty/README.md", "nothing should run here");
    commit(folder.path());
    let plain = DesiredStateDirectory::plain(folder.path(), Tenants::Only(tenant(1))).await.unwrap();
    for source in [&open(folder.path()).await, &plain] {
        refused(
            &source.read(&place("shop/prod")).await,
            PortErrorKind::NotFound,
            "there is no folder `shop/prod`",
        );
        let file = source.read(&place("shop/empty/README.md")).await;
        refused(&file, PortErrorKind::NotFound, "there is no folder");
        assert_eq!(modules(&source.read(&place("shop/empty")).await), Vec::<String>::new());
        assert_eq!(
            modules(&source.read(&place(".")).await),
            Vec::<String>::new(),
            "folders below are others'"
        );
    }
}

/// Shows X-1.
#[tokio::test]
async fn a_tenant_is_told_its_own_folder_and_nothing_of_anothers() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &format!("{}/shop/shop.yaml", tenant(1)), &manifest(&["cart"]));
    write(folder.path(), &format!("{}/shop/shop.yaml", tenant(2)), &manifest(&["secret-plan"]));
    let each = DesiredStateDirectory::plain(folder.path(), Tenants::Each).await.unwrap();
    assert_eq!(modules(&each.read(&place("shop")).await), ["cart"]);
    let other = DesiredPlace { tenant: tenant(2), ..place("shop") };
    assert_eq!(modules(&each.read(&other).await), ["secret-plan"]);
    let stranger = DesiredPlace { tenant: tenant(3), ..place("shop") };
    refused(&each.read(&stranger).await, PortErrorKind::NotFound, "there is no folder `shop`");
    let only = DesiredStateDirectory::plain(folder.path(), Tenants::Only(tenant(1))).await.unwrap();
    refused(&only.read(&other).await, PortErrorKind::NotFound, "nothing is kept for this tenant");
}

#[tokio::test]
async fn a_plain_directorys_revision_is_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "shop/shop.yaml", &manifest(&["cart"]));
    let source = open(root).await;
    let revision = async || source.read(&place("shop")).await.unwrap().revision().as_str().to_owned();
    let first = revision().await;
    assert!(first.starts_with("directory:") && first.len() == "directory:".len() + 64, "{first}");
    write(root, "shop/README.md", "for people");
    write(root, "other/other.yaml", "broken: [");
    assert_eq!(revision().await, first, "only what is desired here counts");
    write(root, "shop/shop.yaml", &manifest(&["web"]));
    let second = revision().await;
    assert_ne!(second, first);
    std::fs::rename(root.join("shop/shop.yaml"), root.join("shop/web.yaml")).unwrap();
    assert_ne!(revision().await, second, "a name is content");
    std::fs::remove_file(root.join("shop/web.yaml")).unwrap();
    write(root, "shop/shop.yaml", &manifest(&["cart"]));
    assert_eq!(revision().await, first, "the same content is the same revision");
}

#[tokio::test]
async fn whatever_is_not_the_top_of_a_work_tree_is_refused_as_one() {
    let (folder, _) = work_tree();
    let only = Tenants::Only(tenant(1));
    let outside = tempfile::tempdir().unwrap();
    for root in [folder.path().join("shop"), outside.path().to_owned(), outside.path().join("nowhere")] {
        let error = DesiredStateDirectory::git(&root, only).await.unwrap_err();
        assert_eq!(error.kind(), PortErrorKind::Invalid, "{error}");
    }
    let fresh = tempfile::tempdir().unwrap();
    git(fresh.path(), &["init", "--quiet"]);
    let source = DesiredStateDirectory::git(fresh.path(), only).await.unwrap();
    refused(&source.read(&place("shop")).await, PortErrorKind::Unavailable, "no commit is checked out");
}

#[tokio::test]
async fn a_hostile_repository_runs_nothing() {
    let (folder, _) = work_tree();
    let root = folder.path();
    let marked =
        root.parent().unwrap().join(format!("{}-marked", root.file_name().unwrap().to_string_lossy()));
    let touch = format!("touch {}", marked.display());
    write(root, ".git/hooks/post-index-change", &format!("#!/bin/sh\n{touch}\n"));
    Command::new("chmod").args(["+x"]).arg(root.join(".git/hooks/post-index-change")).status().unwrap();
    git(root, &["config", "core.fsmonitor", &touch]);
    git(root, &["config", "core.pager", &touch]);
    let read = open(root).await.read(&place("shop/staging")).await;
    assert_eq!(modules(&read), ["cart", "web"]);
    assert!(!marked.exists(), "a command of the repository was run");
}

#[tokio::test]
async fn what_is_read_while_commits_come_is_of_one_commit() {
    let (folder, _) = work_tree();
    let root = folder.path().to_owned();
    let source = Arc::new(open(&root).await);
    let writing = tokio::task::spawn_blocking(move || {
        for number in 0..12 {
            let name = if number % 2 == 0 { "even" } else { "odd" };
            write(&root, "shop/staging/shop.yaml", &manifest(&[name]));
            write(&root, "shop/staging/other.yaml", &manifest(&[&format!("{name}-too")]));
            commit(&root);
        }
    });
    while !writing.is_finished() {
        match source.read(&place("shop/staging")).await {
            Ok(read) => {
                let read: Answer = Ok(read);
                let modules = modules(&read);
                let is_whole = [["cart", "web"], ["even-too", "even"], ["odd-too", "odd"]]
                    .iter()
                    .any(|it| modules == *it);
                assert!(is_whole, "{modules:?}");
            }
            Err(error) => assert_eq!(error.kind(), PortErrorKind::Unavailable, "{error}"),
        }
    }
    writing.await.unwrap();
    assert_eq!(modules(&source.read(&place("shop/staging")).await), ["odd-too", "odd"]);
}
