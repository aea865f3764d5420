//! What keeps tenants apart on this machine: users, folders, ports and limits, one place for each tenant and environment.
//!
//! Each place has a number that it keeps, on disk before anything is started in it; its user and its block of ports follow from the
//! number. Where the host may not change users, or its folder cannot be passed by them, instances and jobs run as the host's user, and
//! `enforcement` says so.
//!
//! ```text
//! <root>, components/, components/<tenant>/      can be passed by anybody, and listed by the host alone
//! components/<tenant>/<environment>/ and below   can be passed by the place's group alone
//!   <module>/delivered/…                         can be read by the group, written by the host alone
//!   <module>/storage/                            is the place's user's own
//! jobs/, jobs/<tenant>/                          can be passed by anybody, and listed by the host alone
//! jobs/<tenant>/<deployment>/ and below          can be passed by the place's group alone
//!   <ordinal>/run/                               is the place's user's own
//! ```

mod groups;
mod report;

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use runtime_domain::component::InstanceResources;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::ComponentKey;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::os::{self, ProcessIdentity};
use crate::state;
use groups::ControlGroups;

/// How tenants are kept apart beyond what is always done. Nothing more by default.
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IsolationOptions {
    /// Identifiers of users and groups that nobody else has: each tenant and environment gets one, for the host's root only. Where the
    /// host is not root, or its folder lies below one that others may not pass, they are not used, and the surface says so.
    pub users: Option<RangeInclusive<u32>>,
    /// How many of the surface's instance ports each tenant and environment gets for its own; needs a range of instance ports.
    pub ports_each: Option<u16>,
    /// A control group that was delegated to the host, as a folder below `/sys/fs/cgroup`, with the controller of compute: each instance
    /// whose component says what it needs gets a group of its own in it, and no more compute than that. Where the host may not make groups
    /// there, none is limited, and the surface says so.
    pub compute_group: Option<PathBuf>,
}

/// Who may be started where.
#[derive(Debug)]
pub(crate) struct Isolation {
    root: PathBuf,
    users: Users,
    ports: Option<(RangeInclusive<u16>, u16)>,
    compute: Compute,
    places: Mutex<BTreeMap<String, u32>>,
}

/// Whether instances run as users of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Users {
    Own(RangeInclusive<u32>),
    Hosts {
        /// Why not.
        why: String,
    },
}

/// Whether the kernel limits what an instance may compute.
#[derive(Debug)]
enum Compute {
    Limited(ControlGroups),
    Unlimited {
        /// Why.
        why: String,
    },
}

/// What belongs to one tenant and environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its user, who is also its group.
    pub(crate) user: Option<u32>,
    /// Its ports.
    pub(crate) ports: Option<RangeInclusive<u16>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlacesRecord {
    places: BTreeMap<String, u32>,
}

impl Isolation {
    /// What the options come to on this machine, with these rights. The folder is locked by this host.
    pub(crate) fn open(
        options: &IsolationOptions,
        root: &Path,
        instance_ports: Option<RangeInclusive<u16>>,
        surface: &str,
    ) -> io::Result<Self> {
        let users = match &options.users {
            None => Users::Hosts { why: "no users were set aside: `IsolationOptions::users`".to_owned() },
            Some(_) if !rustix::process::geteuid().is_root() => {
                Users::Hosts { why: "the host is not root, and may not change users".to_owned() }
            }
            Some(users) => match closed_to_others(root)? {
                Some(closed) => {
                    Users::Hosts { why: format!("other users may not pass {}", closed.display()) }
                }
                None => Users::Own(users.clone()),
            },
        };
        let compute = match &options.compute_group {
            None => Err("no control group was set aside: `IsolationOptions::compute_group`".to_owned()),
            Some(folder) => ControlGroups::open(folder, surface),
        };
        let places = state::read::<PlacesRecord>(&root.join("places.json"))?;
        let isolation = Self {
            root: root.to_path_buf(),
            users,
            ports: instance_ports.zip(options.ports_each.filter(|each| *each > 0)),
            compute: compute.map_or_else(|why| Compute::Unlimited { why }, Compute::Limited),
            places: Mutex::new(places.map_or_else(BTreeMap::new, |record| record.places)),
        };
        if let Users::Own(_) = isolation.users {
            passable(&isolation.root)?;
        }
        Ok(isolation)
    }

    /// The place of a component, with its folders as they should be. Its number is on disk once this returns.
    pub(crate) fn place(&self, key: &ComponentKey, folder: &Path) -> io::Result<Place> {
        let number = self.number(key.tenant, key.environment)?;
        let user = self.user(number)?;
        let ports = match &self.ports {
            None => None,
            Some((all, each)) => Some(block(all, *each, number)?),
        };
        self.make_folders(folder, &storage_of(folder), user)?;
        Ok(Place { user, ports })
    }

    /// The user of a tenant's job, who alone may write into `own`, a folder below the job's. Its number is on disk once this returns.
    pub(crate) fn user_of_job(
        &self,
        (tenant, environment): (TenantId, EnvironmentId),
        folder: &Path,
        own: &Path,
    ) -> io::Result<Option<u32>> {
        let user = self.user(self.number(tenant, environment)?)?;
        self.make_folders(folder, own, user)?;
        Ok(user)
    }

    /// Sets what the system limits of an instance's process that was just started. What it allocated before is not undone.
    pub(crate) fn limit(
        &self,
        (key, instance): (&ComponentKey, &str),
        process: Option<&ProcessIdentity>,
        resources: Option<InstanceResources>,
    ) {
        let (Some(process), Some(resources)) = (process, resources) else { return };
        if let Err(error) = os::limit_memory(process, resources.memory_bytes) {
            tracing::warn!(instance, %error, "the memory of a process could not be limited");
        }
        if let Compute::Limited(groups) = &self.compute
            && let Err(error) = groups.hold((key, instance), process, resources.cpu_millicores)
        {
            tracing::warn!(instance, %error, "the compute of a process could not be limited");
        }
    }

    /// What the system limited of an instance that is gone is forgotten. Answers false where a part of it is there still.
    pub(crate) fn forget(&self, key: &ComponentKey, instance: &str) -> io::Result<bool> {
        match &self.compute {
            Compute::Limited(groups) => groups.remove(key, instance),
            Compute::Unlimited { .. } => Ok(true),
        }
    }

    fn user(&self, number: u32) -> io::Result<Option<u32>> {
        match &self.users {
            Users::Hosts { .. } => Ok(None),
            Users::Own(users) => {
                let user = users.start().checked_add(number).filter(|user| users.contains(user));
                user.map(Some).ok_or_else(|| used_up("users", "set aside more of them"))
            }
        }
    }

    fn number(&self, tenant: TenantId, environment: EnvironmentId) -> io::Result<u32> {
        let name = format!("{tenant}/{environment}");
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = places.get(&name) {
            return Ok(*number);
        }
        // A number is never given to another: files of its user may be left anywhere.
        let number = places.values().max().map_or(Ok(0), |last| {
            last.checked_add(1).ok_or_else(|| used_up("places", "use another folder"))
        })?;
        let mut after = places.clone();
        after.insert(name, number);
        state::write(&self.root.join("places.json"), &PlacesRecord { places: after.clone() })?;
        *places = after;
        Ok(number)
    }

    /// Makes a folder that the user alone may use, and lets it pass to where that is.
    fn make_folders(&self, folder: &Path, own: &Path, user: Option<u32>) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(own)?;
        let Some(user) = user else { return Ok(()) };
        chown(own, Some(user), Some(user))?;
        let below = folder.strip_prefix(&self.root).map_err(io::Error::other)?;
        let mut path = self.root.clone();
        for (depth, part) in below.iter().enumerate() {
            path.push(part);
            // The first and the tenant's folder lead to several places; what is below them to this one.
            if depth < 2 { passable(&path)? } else { passable_by(&path, user)? }
        }
        Ok(())
    }

    /// Lets an instance read what it was given, and nobody else but the host.
    pub(crate) fn give(&self, delivered: &Path, user: u32) -> io::Result<()> {
        let parents = [delivered.parent(), Some(delivered)];
        for path in parents.into_iter().flatten().filter(|path| path.is_dir()) {
            passable_by(path, user)?;
        }
        for generation in state::entries(delivered)? {
            if generation.is_symlink() || !generation.is_dir() {
                continue;
            }
            for file in state::entries(&generation)? {
                chown(&file, None, Some(user))?;
                set_mode(&file, 0o640)?;
            }
            chown(&generation, None, Some(user))?;
            set_mode(&generation, 0o750)?;
        }
        Ok(())
    }
}

/// Lets an instance read its secrets' files, and nobody else but the host. They lie in `<base>/<tenant>/<environment>/<component>/<instance>/`, of
/// which the first two lead to several places and can be passed by whoever knows what is below them.
pub(crate) fn give_secrets(folder: &Path, user: u32) -> io::Result<()> {
    for file in state::entries(folder)? {
        chown(&file, Some(user), Some(user))?;
        set_mode(&file, 0o400)?;
    }
    for (height, path) in folder.ancestors().take(5).enumerate() {
        if height < 3 { passable_by(path, user)? } else { passable(path)? }
    }
    Ok(())
}

/// Where a component's instances may keep what they like.
pub(crate) fn storage_of(component: &Path) -> PathBuf {
    component.join("storage")
}

/// Lets a command run as its place's user.
pub(crate) fn confine(command: &mut Command, user: Option<u32>) {
    if let Some(user) = user {
        // Supplementary groups of the host are given up with its user.
        command.uid(user).gid(user);
    }
}

fn block(all: &RangeInclusive<u16>, each: u16, number: u32) -> io::Result<RangeInclusive<u16>> {
    let first = u32::from(*all.start()).checked_add(number.saturating_mul(u32::from(each)));
    let block = first.and_then(|first| {
        let last = first.checked_add(u32::from(each) - 1)?;
        Some(u16::try_from(first).ok()?..=u16::try_from(last).ok()?)
    });
    block.filter(|block| block.end() <= all.end()).ok_or_else(|| {
        used_up("blocks of instance ports", "widen the range of instance ports or make the blocks smaller")
    })
}

fn used_up(what: &str, remedy: &str) -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, format!("no {what} are left for another place: {remedy}"))
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let now = std::fs::symlink_metadata(path)?.permissions();
    if now.mode() & 0o7777 == mode {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

fn passable(path: &Path) -> io::Result<()> {
    set_mode(path, 0o711)
}

fn passable_by(path: &Path, group: u32) -> io::Result<()> {
    chown(path, None, Some(group))?;
    set_mode(path, 0o710)
}

/// The first folder above the root that other users may not pass.
fn closed_to_others(root: &Path) -> io::Result<Option<PathBuf>> {
    let root = std::fs::canonicalize(root)?;
    for folder in root.ancestors().skip(1) {
        if std::fs::metadata(folder)?.permissions().mode() & 0o001 == 0 {
            return Ok(Some(folder.to_path_buf()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
