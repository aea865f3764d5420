//! Unix systems other than Linux: only the process identifier is known.
//!
//! A process of an earlier host cannot be told from another that was given its identifier, so it is never adopted and never
//! signalled: such a system wants its workloads stopped before the host is replaced.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

use super::{Ending, MarkedProcess, ProcessIdentity, Usage};

/// How often a process is looked at, since there is nothing to wait on.
const POLL: Duration = Duration::from_millis(50);

fn own_boot() -> String {
    format!("host-{}", std::process::id())
}

fn pid(identity: &ProcessIdentity) -> Option<Pid> {
    i32::try_from(identity.pid).ok().and_then(Pid::from_raw)
}

/// The identity of a process that this host has just started: it is valid as long as this host lives.
pub(crate) fn identify(pid: u32) -> io::Result<Option<ProcessIdentity>> {
    Ok(Some(ProcessIdentity { pid, started: 0, boot: own_boot() }))
}

/// Whether a process that this host started still has its identifier.
pub(crate) fn is_alive(identity: &ProcessIdentity) -> bool {
    identity.boot == own_boot() && pid(identity).is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// Not known here.
pub(crate) fn running_for(_identity: &ProcessIdentity) -> Option<Duration> {
    None
}

/// Not known here: `None`.
pub(crate) fn usage(_processes: &[ProcessIdentity]) -> io::Result<Option<BTreeMap<u32, Usage>>> {
    Ok(None)
}

/// Kills the group of a process that this host started.
pub(crate) fn kill(identity: &ProcessIdentity) {
    if is_alive(identity)
        && let Some(pid) = pid(identity)
    {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Sends a process that this host started `SIGHUP`, and none of those that it has started. Answers whether it was still there.
pub(crate) fn hang_up(identity: &ProcessIdentity) -> io::Result<bool> {
    match pid(identity).filter(|_| is_alive(identity)) {
        Some(pid) => Ok(kill_process(pid, Signal::HUP).is_ok()),
        None => Ok(false),
    }
}

/// Whether an error says that a process has ended.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// The processes of the group that this one leads: nobody can tell here, and only itself is known.
pub(crate) fn members(leader: &ProcessIdentity) -> io::Result<Vec<u32>> {
    Ok(vec![leader.pid])
}

/// Limits are set on processes that run on Linux only.
pub(crate) const LIMITS_MEMORY: bool = false;

/// Not done here.
pub(crate) fn limit_memory(_identity: &ProcessIdentity, _bytes: u64) -> io::Result<()> {
    Ok(())
}

/// Environments of other processes cannot be read here: nothing is found.
pub(crate) fn marked(_surface: &str) -> io::Result<Vec<MarkedProcess>> {
    Ok(Vec::new())
}

/// A process that this host started.
#[derive(Debug)]
pub(crate) struct Process {
    identity: ProcessIdentity,
}

impl Process {
    /// Takes hold of a process of this host; `None` for any other.
    pub(crate) fn open(identity: &ProcessIdentity) -> io::Result<Option<Self>> {
        Ok(is_alive(identity).then(|| Self { identity: identity.clone() }))
    }

    /// Which process this is.
    pub(crate) fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Returns once the process has ended and was reaped. Cancellation safe.
    pub(crate) async fn exited(&self) {
        while is_alive(&self.identity) {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Signals the group that this process leads. Its owner lets go of it once it was reaped.
    pub(crate) fn signal_group(&self, ending: Ending) {
        let signal = match ending {
            Ending::Asked => Signal::TERM,
            Ending::Forced => Signal::KILL,
        };
        if let Some(pid) = pid(&self.identity) {
            let _ = kill_process_group(pid, signal);
        }
    }
}
