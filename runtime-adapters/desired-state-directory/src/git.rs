//! The commit that is checked out, by the word of `git` itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use runtime_domain::drift::watch::DesiredStatePath;
use runtime_ports::{PortError, PortErrorKind, PortResult};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::documents::{
    Allowance, LARGEST_IN_ALL, READ, corrupt, document_name, is_document, not_found, unavailable,
};

/// The most that a list of names may come to, in bytes.
const LARGEST_LIST: u64 = 16 * 1024 * 1024;

/// A work tree.
#[derive(Debug)]
pub(crate) struct Git {
    root: PathBuf,
}

/// What git answered.
struct Answer {
    succeeded: bool,
    output: Vec<u8>,
}

impl Git {
    /// The work tree whose top folder this is.
    pub(crate) async fn open(root: PathBuf) -> PortResult<Self> {
        let git = Self { root };
        let answer = git.run(&["rev-parse", "--show-prefix", "--is-inside-work-tree"], b"", 4_096).await?;
        // At the top the prefix is an empty line.
        if answer.succeeded && answer.output == b"\ntrue\n" {
            return Ok(git);
        }
        let message = format!(
            "{} is not the top folder of a Git work tree that this user owns: name one, or use a plain directory",
            git.root.display()
        );
        Err(PortError::new(PortErrorKind::Invalid, "desired_state.open", message))
    }

    /// The commit that is checked out, where nothing else is in the tree.
    pub(crate) async fn clean_commit(&self) -> PortResult<String> {
        let commit = self.head().await?;
        let arguments = [
            "status",
            "--porcelain=v1",
            "-z",
            "--untracked-files=normal",
            "--ignore-submodules=none",
            "--no-renames",
        ];
        let answer = self.run(&arguments, b"", LARGEST_LIST).await?;
        if !answer.succeeded {
            return Err(unavailable(
                "git could not say whether the work tree is clean: look at `git status` there",
            ));
        }
        // How many and not which: the names may be another tenant's.
        let dirty = answer.output.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).count();
        if dirty > 0 {
            return Err(unavailable(format!(
                "the work tree is dirty: {dirty} paths are not as the commit says, so that it is not authoritative; commit or discard them"
            )));
        }
        Ok(commit)
    }

    /// The tree of a folder at a commit.
    pub(crate) async fn tree(
        &self,
        commit: &str,
        folder: &[String],
        path: &DesiredStatePath,
    ) -> PortResult<String> {
        let asked = format!("{commit}:{}\n", folder.join("/"));
        let answer = self.run(&["cat-file", "--batch-check"], asked.as_bytes(), 4_096).await?;
        // `<object> tree <size>`, or what there is else, or that there is nothing.
        let told = String::from_utf8_lossy(&answer.output);
        let mut told = told.split_ascii_whitespace();
        match (answer.succeeded, told.next(), told.next()) {
            (true, Some(tree), Some("tree")) if is_object(tree) => Ok(tree.to_owned()),
            (true, ..) => Err(not_found(format!(
                "there is no folder `{path}` in the commit (links are not followed): commit it, or watch another"
            ))),
            (false, ..) => Err(unavailable("git could not read the commit: run `git fsck` there")),
        }
    }

    /// The manifests of a tree.
    pub(crate) async fn documents(&self, tree: &str) -> PortResult<BTreeMap<String, Vec<u8>>> {
        let listed = self.run(&["ls-tree", "-z", "-l", tree], b"", LARGEST_LIST).await?;
        if !listed.succeeded {
            return Err(corrupt("the folder's tree cannot be listed: run `git fsck` there"));
        }
        let mut allowance = Allowance::default();
        let mut wanted = Vec::new();
        for entry in listed.output.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
            if let Some(blob) = blob(entry)? {
                allowance.take(&blob.name, blob.size)?;
                wanted.push(blob);
            }
        }
        let mut asked = Vec::new();
        for blob in &wanted {
            asked.extend_from_slice(blob.object.as_bytes());
            asked.push(b'\n');
        }
        // Each content comes with a line before it and one after it.
        let most = LARGEST_IN_ALL.saturating_add(256 * u64::try_from(wanted.len()).unwrap_or(u64::MAX));
        let answer = self.run(&["cat-file", "--batch"], &asked, most).await?;
        if !answer.succeeded {
            return Err(corrupt("the manifests' contents cannot be read: run `git fsck` there"));
        }
        contents(wanted, &answer.output)
    }

    /// Refused where another commit was checked out meanwhile.
    pub(crate) async fn is_still(&self, commit: &str) -> PortResult<()> {
        if self.head().await? == commit {
            return Ok(());
        }
        Err(unavailable("another commit is being checked out: it is read again when the tree rests"))
    }

    async fn head(&self) -> PortResult<String> {
        let answer = self.run(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], b"", 4_096).await?;
        object_name(&answer).ok_or_else(|| {
            unavailable("no commit is checked out, or it cannot be read: commit something, or run `git fsck`")
        })
    }

    /// Runs git with nothing of the user's, of the system's or of the network, and ends it with the call.
    async fn run(&self, arguments: &[&str], input: &[u8], most: u64) -> PortResult<Answer> {
        let mut command = Command::new("git");
        command.env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(parent) = self.root.parent() {
            // A repository above is another one.
            command.env("GIT_CEILING_DIRECTORIES", parent);
        }
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .args([
                "-c",
                "core.fsmonitor=false",
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "protocol.allow=never",
            ])
            .args([
                "-c",
                "core.pager=cat",
                "-c",
                "submodule.recurse=false",
                "--literal-pathspecs",
                "--no-pager",
            ])
            .args(arguments)
            .current_dir(&self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What git says there may hold paths of anybody.
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            let message = "`git` cannot be run: install it, or use a plain directory";
            PortError::new(PortErrorKind::Unsupported, READ, message).caused_by(error)
        })?;
        let cut_off = |error: std::io::Error| unavailable("git was cut off").caused_by(error);
        let (mut stdin, mut stdout) = (child.stdin.take(), child.stdout.take());
        let mut output = Vec::new();
        let write = async {
            if let Some(stdin) = stdin.as_mut() {
                stdin.write_all(input).await?;
            }
            drop(stdin);
            Ok::<_, std::io::Error>(())
        };
        let read = async {
            match stdout.as_mut() {
                Some(stdout) => stdout.take(most.saturating_add(1)).read_to_end(&mut output).await,
                None => Ok(0),
            }
        };
        let (written, read) = tokio::join!(write, read);
        read.map_err(cut_off)?;
        if u64::try_from(output.len()).unwrap_or(u64::MAX) > most {
            let message = "git answered with more than may be read: divide the repository";
            return Err(PortError::new(PortErrorKind::Exhausted, READ, message));
        }
        let status = child.wait().await.map_err(cut_off)?;
        if status.success() {
            written.map_err(cut_off)?;
        }
        Ok(Answer { succeeded: status.success(), output })
    }
}

/// A manifest in a tree.
struct Blob {
    name: String,
    object: String,
    size: u64,
}

/// An entry of `ls-tree -z -l`: `<mode> <type> <object> <size>\t<name>`. `None` where it is no manifest.
fn blob(entry: &[u8]) -> PortResult<Option<Blob>> {
    let unreadable = || corrupt("the folder's tree cannot be read: run `git fsck` there");
    let tab = entry.iter().position(|byte| *byte == b'\t').ok_or_else(unreadable)?;
    let (told, name) = (entry.get(..tab).unwrap_or_default(), entry.get(tab + 1..).unwrap_or_default());
    if !is_document(name) {
        return Ok(None);
    }
    let name = document_name(name)?;
    let told = std::str::from_utf8(told).map_err(|_| unreadable())?;
    let mut told = told.split_ascii_whitespace();
    let (mode, _, object, size) = (told.next(), told.next(), told.next(), told.next());
    match (mode, object, size) {
        (Some("100644" | "100755"), Some(object), Some(size)) => {
            let size = size.parse().map_err(|_| unreadable())?;
            Ok(Some(Blob { name, object: object.to_owned(), size }))
        }
        (Some("120000"), ..) => Err(corrupt(format!("`{name}` is a link: commit the manifest itself"))),
        (Some("040000"), ..) => Err(corrupt(format!("`{name}` is a folder: commit the manifest itself"))),
        (Some("160000"), ..) => Err(corrupt(format!("`{name}` is a submodule: commit the manifest itself"))),
        _ => Err(unreadable()),
    }
}

/// The answers of `cat-file --batch`, in the order they were asked in: `<object> blob <size>\n<content>\n`.
fn contents(wanted: Vec<Blob>, mut output: &[u8]) -> PortResult<BTreeMap<String, Vec<u8>>> {
    let unreadable = || corrupt("a manifest's content cannot be read: run `git fsck` there");
    let mut documents = BTreeMap::new();
    for blob in wanted {
        let end = output.iter().position(|byte| *byte == b'\n').ok_or_else(unreadable)?;
        let told = output.get(..end).unwrap_or_default();
        let expected = format!("{} blob {}", blob.object, blob.size);
        let size = usize::try_from(blob.size).map_err(|_| unreadable())?;
        let content = output.get(end + 1..end + 1 + size);
        let (Some(content), true) = (content, told == expected.as_bytes()) else { return Err(unreadable()) };
        documents.insert(blob.name, content.to_vec());
        output = output.get(end + 2 + size..).ok_or_else(unreadable)?;
    }
    Ok(documents)
}

fn object_name(answer: &Answer) -> Option<String> {
    let text = std::str::from_utf8(&answer.output).ok()?.trim_end();
    (answer.succeeded && is_object(text)).then(|| text.to_owned())
}

fn is_object(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
