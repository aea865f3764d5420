//! What only the operating system can tell about processes: who one is, whether it lives, and how to end it.
//!
//! On Linux a process is known by its identifier, its start time and the boot it belongs to, is held by a process file
//! descriptor, and is found again by the marker in its environment. On other Unix systems only the identifier is known: a process
//! that was started by an earlier host is never signalled there, since its identifier may have been given to another.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    LIMITS_MEMORY, Process, hang_up, identify, is_alive, is_gone, kill, limit_memory, marked, members,
    running_for, usage,
};

#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::{
    LIMITS_MEMORY, Process, hang_up, identify, is_alive, is_gone, kill, limit_memory, marked, members,
    running_for, usage,
};

/// The variable that marks every process of one surface, with the surface's own identifier as its value.
pub(crate) const SURFACE_VARIABLE: &str = "FACTORY_SURFACE";

/// Which process: an identifier alone may be given to another after its owner ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    /// The process identifier, which is also its group's.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the system started.
    pub(crate) started: u64,
    /// Which start of the system that was.
    pub(crate) boot: String,
}

/// What a process and those that it started use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// The processors' time that it has used, in all.
    pub(crate) cpu: Duration,
    /// The memory that it has now, in bytes.
    pub(crate) memory: u64,
}

/// How to ask a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It may finish what it does: `SIGTERM`.
    Asked,
    /// At once: `SIGKILL`.
    Forced,
}

/// A live process that carries a surface's marker.
#[derive(Debug, Clone)]
pub(crate) struct MarkedProcess {
    /// Which process.
    pub(crate) identity: ProcessIdentity,
    /// Whether it leads its process group, as everything that a surface starts does.
    pub(crate) leads_group: bool,
    /// Its variables that begin with `FACTORY_`, as they were when it started.
    pub(crate) variables: BTreeMap<String, String>,
}

/// Ends every process of the surface whose variables match, and returns once none is left or a second has passed.
pub(crate) async fn sweep(surface: &str, matches: impl Fn(&BTreeMap<String, String>) -> bool) {
    for _ in 0..50 {
        let Ok(found) = marked(surface) else { return };
        let left: Vec<_> = found.into_iter().filter(|process| matches(&process.variables)).collect();
        if left.is_empty() {
            return;
        }
        for process in left {
            kill(&process.identity);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tracing::warn!("processes of an ended instance are still there a second after they were killed");
}
