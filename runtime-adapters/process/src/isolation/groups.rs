//! Groups of processes that the kernel gives no more compute than was said: Linux control groups, of either version.
//!
//! ```text
//! <folder>/                                             somebody has delegated it to the host
//!   <surface>.<tenant>.<environment>.<instance>/        an instance's own, from its first process until it is gone
//! ```
//!
//! A group outlives the host, as the processes in it do. Who opens the surface next removes those that nothing is in.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use runtime_domain::surface::ComponentKey;

use crate::os::{self, ProcessIdentity};
use crate::state;

/// What a limit is counted over, in microseconds.
const PERIOD: u64 = 100_000;
/// The least that the kernel takes for a limit, in microseconds of a period.
const LEAST: u64 = 1_000;
/// The file that names a group's processes.
const PROCESSES: &str = "cgroup.procs";

/// The control groups of one surface.
#[derive(Debug)]
pub(super) struct ControlGroups {
    folder: PathBuf,
    surface: String,
    interface: Interface,
}

/// How a limit is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interface {
    /// One hierarchy for everything.
    Unified,
    /// A hierarchy for each controller.
    Legacy,
}

impl Interface {
    /// How the kernel has it in this group, where it counts compute there at all.
    fn of(group: &Path) -> Option<Self> {
        [Self::Unified, Self::Legacy].into_iter().find(|interface| group.join(interface.limit()).exists())
    }

    /// The file that holds the limit.
    const fn limit(self) -> &'static str {
        match self {
            Self::Unified => "cpu.max",
            Self::Legacy => "cpu.cfs_quota_us",
        }
    }

    fn write(self, group: &Path, quota: u64) -> io::Result<()> {
        match self {
            Self::Unified => fs::write(group.join(self.limit()), format!("{quota} {PERIOD}")),
            Self::Legacy => {
                fs::write(group.join("cpu.cfs_period_us"), PERIOD.to_string())?;
                fs::write(group.join(self.limit()), quota.to_string())
            }
        }
    }
}

impl ControlGroups {
    /// Tries whether groups can be made in the folder, and removes what an earlier host of the surface left there and nothing is in.
    ///
    /// # Errors
    /// Why they cannot.
    pub(super) fn open(folder: &Path, surface: &str) -> Result<Self, String> {
        let trial = folder.join(format!("{surface}.trial"));
        made(&trial).map_err(|error| {
            format!("the host may not make control groups in {}: {error}", folder.display())
        })?;
        let interface = Interface::of(&trial);
        let removed = fs::remove_dir(&trial);
        let interface = interface.ok_or_else(|| {
            format!(
                "{} has no controller of compute: enable `cpu` in its `cgroup.subtree_control`",
                folder.display()
            )
        })?;
        let groups = Self { folder: folder.to_path_buf(), surface: surface.to_owned(), interface };
        let swept = removed.and_then(|()| groups.sweep());
        swept.map_err(|error| format!("what is left in {} cannot be removed: {error}", folder.display()))?;
        Ok(groups)
    }

    /// Which file limits what.
    pub(super) fn limit(&self) -> &'static str {
        self.interface.limit()
    }

    /// Holds a process that was just started, and what it has started meanwhile, to so many thousandths of a processor.
    pub(super) fn hold(
        &self,
        (key, instance): (&ComponentKey, &str),
        process: &ProcessIdentity,
        millicores: u64,
    ) -> io::Result<()> {
        let group = self.group(key, instance);
        made(&group)?;
        let quota = (PERIOD / 1_000).saturating_mul(millicores).max(LEAST);
        self.interface.write(&group, quota)?;
        let mut held = BTreeSet::new();
        let mut next = vec![process.pid];
        // What a process of the group starts is in the group; what it had started before is looked for until nothing is left outside.
        while !next.is_empty() {
            for pid in next {
                enter(&group, pid)?;
                held.insert(pid);
            }
            next = os::members(process)?.into_iter().filter(|pid| !held.contains(pid)).collect();
        }
        Ok(())
    }

    /// Removes an instance's group. Answers false where something is in it still.
    pub(super) fn remove(&self, key: &ComponentKey, instance: &str) -> io::Result<bool> {
        removed(&self.group(key, instance))
    }

    fn group(&self, key: &ComponentKey, instance: &str) -> PathBuf {
        self.folder.join(format!("{}.{}.{}.{instance}", self.surface, key.tenant, key.environment))
    }

    fn sweep(&self) -> io::Result<()> {
        let own = format!("{}.", self.surface);
        for path in state::entries(&self.folder)? {
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&own)) {
                removed(&path)?;
            }
        }
        Ok(())
    }
}

/// Makes a group, unless it is there.
fn made(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn removed(group: &Path) -> io::Result<bool> {
    match fs::remove_dir(group) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(false),
        Err(error) => Err(error),
    }
}

/// Puts a process into a group, unless it has ended.
fn enter(group: &Path, pid: u32) -> io::Result<()> {
    match fs::write(group.join(PROCESSES), pid.to_string()) {
        // It is the group that is not there, and not the process.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(error) if os::is_gone(&error) => Ok(()),
        entered => entered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_was_taken_away_is_not_taken_for_a_process_that_has_ended() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let entered = enter(&folder.path().join("taken-away"), std::process::id());
        assert_eq!(entered.map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    }
}
