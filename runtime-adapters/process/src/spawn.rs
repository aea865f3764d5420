//! Starting a process of an image, and following it to its end.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use runtime_domain::component::VariableName;
use runtime_ports::registry::Bundle;
use tokio::process::{Child, Command};

use crate::bundle::{COMMAND_FOLDERS, CommandLine};
use crate::logs;
use crate::os::{Ending, Process, ProcessIdentity, identify};

/// How long a killed process may take to be gone: it can be held up by the kernel only.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A command in its own process group, without input, with its output appended to `log`, and with an environment of exactly: a minimal
/// `PATH`, the image's variables, those of what is delivered, the component's, and the runtime's own. Nothing of the host's environment is
/// passed on.
pub(crate) fn command<'a>(
    line: &CommandLine,
    bundle: &Bundle,
    delivered: impl Iterator<Item = (&'a String, &'a String)>,
    variables: impl Iterator<Item = (&'a VariableName, &'a String)>,
    own: &[(&str, String)],
    log: &Path,
) -> io::Result<Command> {
    let log = logs::open(log)?;
    let mut command = Command::new(&line.program);
    command
        .args(&line.arguments)
        .current_dir(&line.folder)
        .env_clear()
        .env("PATH", COMMAND_FOLDERS)
        .envs(bundle.variables.iter().filter(|(name, _)| !name.starts_with("FACTORY_")).cloned())
        .envs(delivered)
        .envs(variables.map(|(name, value)| (name.as_str(), value)))
        .envs(own.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(false);
    Ok(command)
}

/// A process that was started or found, until it ends.
#[derive(Debug)]
pub(crate) struct Running {
    /// Our child; absent for a process that an earlier host started.
    child: Option<Child>,
    /// A hold on the process; absent where it ended before it could be held.
    process: Option<Process>,
}

impl Running {
    /// Starts a command.
    pub(crate) fn start(mut command: Command) -> io::Result<(Self, Option<ProcessIdentity>)> {
        let mut child = command.spawn()?;
        match hold(&child) {
            Ok((identity, process)) => Ok((Self { child: Some(child), process }, identity)),
            Err(error) => {
                // What cannot be held would be lost: it is ended before anything depends on it.
                child.start_kill()?;
                Err(error)
            }
        }
    }

    /// A process that an earlier host started.
    pub(crate) fn adopted(process: Process) -> Self {
        Self { child: None, process: Some(process) }
    }

    /// Which process, where it could be held.
    pub(crate) fn identity(&self) -> Option<&ProcessIdentity> {
        self.process.as_ref().map(Process::identity)
    }

    /// Returns once the process has ended, with its status where the system still knows it. Cancellation safe.
    pub(crate) async fn exited(&mut self) -> Option<ExitStatus> {
        match (&mut self.child, &self.process) {
            (Some(child), _) => {
                let status = child.wait().await.ok();
                // It is reaped: its identifier may mean another process from now on.
                self.process = None;
                status
            }
            (None, Some(process)) => {
                process.exited().await;
                None
            }
            (None, None) => None,
        }
    }

    /// Asks the process's group to end, and kills it where it has not ended within `grace`.
    pub(crate) async fn end(&mut self, grace: Duration) {
        self.signal(Ending::Asked);
        if tokio::time::timeout(grace, self.exited()).await.is_ok() {
            return;
        }
        self.signal(Ending::Forced);
        if tokio::time::timeout(KILL_PATIENCE, self.exited()).await.is_err() {
            tracing::warn!(process = ?self.identity(), "a killed process is still there");
        }
    }

    fn signal(&self, ending: Ending) {
        if let Some(process) = &self.process {
            process.signal_group(ending);
        }
    }
}

/// Takes hold of a child. It is not reaped before it is waited for, so its identifier is its own until then.
fn hold(child: &Child) -> io::Result<(Option<ProcessIdentity>, Option<Process>)> {
    let identity = match child.id() {
        Some(pid) => identify(pid)?,
        None => None,
    };
    let process = match &identity {
        Some(identity) => Process::open(identity)?,
        None => None,
    };
    Ok((identity, process))
}

/// An ended process's exit code; as shells have it, 128 and the signal's number where a signal ended it.
pub(crate) fn exit_code(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}
