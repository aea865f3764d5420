//! What processor time something took: unlike a rate, it is hardly spoilt by what else the machine does. By `/proc`: on Linux alone.

use std::collections::HashSet;

/// Processor time of this process and of the server that it started, in clock ticks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ticks {
    client: u64,
    server: u64,
}

/// What a commit took, in microseconds of one core.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) client: f64,
    pub(crate) server: f64,
}

/// How many ticks a second has, on every Linux.
const PER_SECOND: f64 = 100.0;

impl Ticks {
    /// Until now; nothing where there is no `/proc`.
    pub(crate) fn now() -> Self {
        let own = std::process::id();
        let mut processes = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            // Others come and go meanwhile.
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok();
            processes.extend(stat.as_deref().and_then(Process::parse));
        }
        let mut ours = HashSet::from([own]);
        let mut client = 0;
        let mut server = 0;
        loop {
            let found: Vec<_> = processes
                .iter()
                .filter(|process| ours.contains(&process.parent) && !ours.contains(&process.id))
                .collect();
            if found.is_empty() {
                break;
            }
            for process in found {
                ours.insert(process.id);
                server += process.own + process.of_ended_children;
            }
        }
        if let Some(process) = processes.iter().find(|process| process.id == own) {
            client = process.own;
        }
        Self { client, server }
    }

    /// What each of so many commits took since then.
    pub(crate) fn each(self, commits: f64) -> Cost {
        let now = Self::now();
        let cost = |before: u64, after: u64| after.saturating_sub(before) as f64 / PER_SECOND * 1e6 / commits;
        Cost { client: cost(self.client, now.client), server: cost(self.server, now.server) }
    }
}

struct Process {
    id: u32,
    parent: u32,
    own: u64,
    of_ended_children: u64,
}

impl Process {
    fn parse(stat: &str) -> Option<Self> {
        let (id, rest) = stat.split_once(" (")?;
        // A name may have brackets in it.
        let (_, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            id: id.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(11)? + ticks(12)?,
            of_ended_children: ticks(13)? + ticks(14)?,
        })
    }
}
