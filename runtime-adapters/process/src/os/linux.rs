//! Linux: `/proc` and process file descriptors.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal, prlimit};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Ending, MarkedProcess, ProcessIdentity, SURFACE_VARIABLE, Usage};

/// How often a group is looked through again while it is being killed, since a member may fork in between.
const KILL_PASSES: usize = 16;

/// The largest environment that is read of a process.
const ENVIRONMENT_LIMIT: u64 = 4 * 1024 * 1024;

struct Stat {
    state: char,
    group: u32,
    started: u64,
    /// Used by the process and by its children that have ended, in clock ticks.
    cpu: u64,
    /// Resident, in pages.
    pages: u64,
}

fn stat(pid: u32) -> io::Result<Option<Stat>> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    parse_stat(&text).map(Some).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is not understood"))
    })
}

/// The command's name may hold spaces and parentheses, so fields are counted from the last closing one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    let times: Vec<u64> =
        fields.by_ref().skip(8).take(4).map(|field| field.parse().ok()).collect::<Option<_>>()?;
    let started = fields.nth(4)?.parse().ok()?;
    let pages = fields.nth(1)?.parse().ok()?;
    Some(Stat { state, group, started, cpu: times.iter().sum(), pages })
}

/// Whether an error says that a process has ended.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The identity of the process that has this identifier now; `None` where there is none.
pub(crate) fn identify(pid: u32) -> io::Result<Option<ProcessIdentity>> {
    let boot = boot()?;
    Ok(stat(pid)?.map(|stat| ProcessIdentity { pid, started: stat.started, boot }))
}

/// Whether exactly this process still runs; one that ended and was not reaped yet does not.
pub(crate) fn is_alive(identity: &ProcessIdentity) -> bool {
    let same_boot = boot().is_ok_and(|boot| boot == identity.boot);
    same_boot
        && stat(identity.pid)
            .ok()
            .flatten()
            .is_some_and(|stat| stat.started == identity.started && !matches!(stat.state, 'Z' | 'X'))
}

/// For how long the process has been running, by the system's own steady clock.
pub(crate) fn running_for(identity: &ProcessIdentity) -> Option<Duration> {
    let uptime: f64 =
        fs::read_to_string("/proc/uptime").ok()?.split_ascii_whitespace().next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let started = Duration::from_millis(identity.started.saturating_mul(1_000) / ticks);
    Some(Duration::try_from_secs_f64(uptime).ok()?.saturating_sub(started))
}

/// What these processes use, each with all of the group that it leads, by process identifier; absent where it has ended. `None` where the
/// system does not tell.
pub(crate) fn usage(processes: &[ProcessIdentity]) -> io::Result<Option<BTreeMap<u32, Usage>>> {
    let boot = boot()?;
    let mut found = BTreeMap::new();
    for process in processes {
        let seen = stat(process.pid)?;
        if seen.is_some_and(|seen| seen.started == process.started && process.boot == boot) {
            found.insert(process.pid, Usage::default());
        }
    }
    if found.is_empty() {
        return Ok(Some(found));
    }
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4_096);
    for pid in pids()? {
        // A process that ends meanwhile uses nothing any more.
        let Ok(Some(seen)) = stat(pid) else { continue };
        if let Some(usage) = found.get_mut(&seen.group) {
            usage.cpu += Duration::from_millis(seen.cpu.saturating_mul(1_000) / ticks);
            usage.memory = usage.memory.saturating_add(seen.pages.saturating_mul(page));
        }
    }
    Ok(Some(found))
}

/// The processes of the group that this one leads, and itself.
pub(crate) fn members(leader: &ProcessIdentity) -> io::Result<Vec<u32>> {
    let mut members = Vec::new();
    for pid in pids()? {
        // A process that ends meanwhile is no member any more.
        if stat(pid).ok().flatten().is_some_and(|seen| seen.group == leader.pid) {
            members.push(pid);
        }
    }
    Ok(members)
}

/// Memory that a process may allocate is limited here.
pub(crate) const LIMITS_MEMORY: bool = true;

/// Limits what a process, and each that it starts, may allocate from now on.
pub(crate) fn limit_memory(identity: &ProcessIdentity, bytes: u64) -> io::Result<()> {
    let pid = i32::try_from(identity.pid).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    prlimit(pid, Resource::Data, limit)?;
    Ok(())
}

/// Takes hold of a process, and only then checks who it is: what is held cannot be replaced by another any more.
fn hold(identity: &ProcessIdentity) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(identity.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let descriptor = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(descriptor) => descriptor,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(is_alive(identity).then_some(descriptor))
}

/// Kills exactly this process; does nothing where it ended or its identifier was given to another.
pub(crate) fn kill(identity: &ProcessIdentity) {
    if let Ok(Some(descriptor)) = hold(identity) {
        let _ = pidfd_send_signal(&descriptor, Signal::KILL);
    }
}

/// Sends exactly this process `SIGHUP`, and none of those that it has started. Answers whether it was still there.
pub(crate) fn hang_up(identity: &ProcessIdentity) -> io::Result<bool> {
    let Some(descriptor) = hold(identity)? else { return Ok(false) };
    match pidfd_send_signal(&descriptor, Signal::HUP) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn pids() -> io::Result<impl Iterator<Item = u32>> {
    Ok(fs::read_dir("/proc")?
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())))
}

/// Every live process that carries the marker of this surface and that this user may look at.
pub(crate) fn marked(surface: &str) -> io::Result<Vec<MarkedProcess>> {
    let boot = boot()?;
    Ok(pids()?
        .filter_map(|pid| {
            // The start time is read on both sides of the environment, so that both are of the same process.
            let before = stat(pid).ok().flatten()?;
            let variables = factory_variables(pid)?;
            let after = stat(pid).ok().flatten()?;
            let same = before.started == after.started && !matches!(after.state, 'Z' | 'X');
            let ours = variables.get(SURFACE_VARIABLE).is_some_and(|value| value == surface);
            (same && ours).then(|| MarkedProcess {
                identity: ProcessIdentity { pid, started: after.started, boot: boot.clone() },
                leads_group: after.group == pid,
                variables,
            })
        })
        .collect())
}

fn factory_variables(pid: u32) -> Option<BTreeMap<String, String>> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    fs::File::open(format!("/proc/{pid}/environ"))
        .ok()?
        .take(ENVIRONMENT_LIMIT)
        .read_to_end(&mut bytes)
        .ok()?;
    let variables = bytes
        .split(|byte| *byte == 0)
        .filter(|pair| pair.starts_with(b"FACTORY_"))
        .filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Some(variables)
}

/// A process that is held: its identifier cannot come to mean another one.
#[derive(Debug)]
pub(crate) struct Process {
    identity: ProcessIdentity,
    descriptor: AsyncFd<OwnedFd>,
}

impl Process {
    /// Takes hold of a process; `None` where it ended or its identifier was given to another.
    pub(crate) fn open(identity: &ProcessIdentity) -> io::Result<Option<Self>> {
        let Some(descriptor) = hold(identity)? else { return Ok(None) };
        let descriptor = registered(descriptor)?;
        Ok(Some(Self { identity: identity.clone(), descriptor }))
    }

    /// Which process this is.
    pub(crate) fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Returns once the process has ended. Cancellation safe.
    pub(crate) async fn exited(&self) {
        // A process descriptor becomes readable when its process ends, and stays so.
        if self.descriptor.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Signals every member of the group that this process leads. Does nothing once the leader has ended: its group's number
    /// may mean another group then, and what is left of it is found by its marker.
    pub(crate) fn signal_group(&self, ending: Ending) {
        let signal = match ending {
            Ending::Asked => Signal::TERM,
            Ending::Forced => Signal::KILL,
        };
        let passes = if ending == Ending::Forced { KILL_PASSES } else { 1 };
        for _ in 0..passes {
            if !is_alive(&self.identity) {
                return;
            }
            let Ok(pids) = pids() else { break };
            let others = pids.filter(|pid| *pid != self.identity.pid).filter_map(|pid| {
                let stat = stat(pid).ok().flatten()?;
                (stat.group == self.identity.pid).then(|| ProcessIdentity {
                    pid,
                    started: stat.started,
                    boot: self.identity.boot.clone(),
                })
            });
            let mut reached = false;
            for member in others {
                if let Ok(Some(descriptor)) = hold(&member) {
                    reached |= pidfd_send_signal(&descriptor, signal).is_ok();
                }
            }
            if !reached {
                break;
            }
        }
        // The leader last: while it lives, the group's number is its own.
        let _ = pidfd_send_signal(self.descriptor.get_ref(), signal);
    }
}

/// The descriptor in the runtime's poller.
#[allow(
    deprecated,
    reason = "deprecated for types whose descriptor may change while it is registered; an `OwnedFd` keeps its own, and the \
              replacement is an unsafe function, which this workspace forbids"
)]
fn registered(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_cannot_shift_the_fields_of_a_process() {
        let text = "42 (a) b) (c) S 1 77 77 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 123456 9 9";
        let stat = parse_stat(text).expect("it parses");
        assert_eq!((stat.state, stat.group, stat.started), ('S', 77, 123_456));
        assert_eq!((stat.cpu, stat.pages), (3, 9));
    }

    #[test]
    fn what_a_process_uses_is_told_with_its_group_and_not_of_another_with_its_number() {
        let own = identify(std::process::id()).expect("readable").expect("this process lives");
        let leader = stat(own.pid).expect("readable").expect("this process lives").group;
        let used = usage(std::slice::from_ref(&own)).expect("readable").expect("the system tells");
        // The test's process leads a group or is in another's.
        assert_eq!(used[&own.pid].memory > 0, leader == own.pid);
        let other = ProcessIdentity { started: own.started + 1, ..own };
        assert!(usage(&[other]).expect("readable").expect("the system tells").is_empty());
    }

    #[test]
    fn a_process_whose_start_time_differs_is_another_process() {
        let own = identify(std::process::id()).expect("readable").expect("this process lives");
        assert!(is_alive(&own));
        let other = ProcessIdentity { started: own.started + 1, ..own };
        assert!(!is_alive(&other));
        assert!(hold(&other).expect("the descriptor opens").is_none());
        // Were it not refused, this would end the test itself.
        kill(&other);
    }

    #[test]
    fn a_process_of_another_boot_is_another_process() {
        let own = identify(std::process::id()).expect("readable").expect("this process lives");
        assert!(!is_alive(&ProcessIdentity { boot: "another".to_owned(), ..own }));
    }
}
