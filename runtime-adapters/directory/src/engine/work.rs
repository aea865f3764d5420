//! What the engine does in one place.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use runtime_domain::environment::{EnvironmentBlueprint, ProvisionedResources};
use runtime_domain::surface::{FencingToken, SurfaceKind};
use runtime_ports::PortErrorKind;
use runtime_ports::infrastructure::{ResourceChange, ResourceCondition, ResourceFinding, ResourcePreview};

use crate::disk::{Disk, PARTIAL_PREFIX, is_folder, look_up, names_in};
use crate::fault::{Fault, Outcome};
use crate::fence;
use crate::manifest::{Manifest, Mark, is_ours, read_manifest, to_json};
use crate::place::{MANIFEST, MARK, PARTS, Place, SURFACES, TARGETS};

#[derive(Debug)]
pub(super) struct Work {
    place: Place,
    disk: Disk,
}

/// Keeps other writers of the tenant out, in this process and others, until it is dropped or its process dies.
struct TenantLock(#[expect(dead_code, reason = "held for its lock, which closing releases")] File);

impl Work {
    pub(super) fn new(place: Place, disk: Disk) -> Self {
        Self { place, disk }
    }

    pub(super) fn preview(&self, blueprint: &EnvironmentBlueprint) -> Outcome<Vec<ResourcePreview>> {
        let exists = is_ours(&self.place)?;
        if exists {
            must_keep_stage_and_region(&read_manifest(&self.place)?.blueprint, blueprint)?;
        }
        let line = |resource: String, exists: bool| ResourcePreview {
            resource,
            change: if exists { ResourceChange::Keep } else { ResourceChange::Create },
        };
        let mut lines = vec![line(self.place.stack_ref(), exists)];
        for surface in &blueprint.surfaces {
            let target = self.place.target(*surface);
            for part in PARTS {
                let there = exists
                    && is_folder(&self.place.targets())?
                    && is_folder(&target)?
                    && is_folder(&target.join(part))?;
                lines.push(line(self.place.part_id(*surface, part), there));
            }
        }
        if exists {
            lines.extend(self.dropped(blueprint)?.into_iter().map(|surface| ResourcePreview {
                resource: self.place.target_id(surface),
                change: ResourceChange::Delete,
            }));
        }
        Ok(lines)
    }

    pub(super) fn refresh(&self, blueprint: &EnvironmentBlueprint) -> Outcome<Vec<ResourceFinding>> {
        let exists = is_ours(&self.place)?;
        let found = |resource: String, is_there: bool| ResourceFinding {
            resource,
            condition: if is_there { ResourceCondition::Present } else { ResourceCondition::Missing },
        };
        let mut findings = vec![found(self.place.stack_ref(), exists)];
        let targets = exists && is_folder(&self.place.targets())?;
        for surface in &blueprint.surfaces {
            let target = self.place.target(*surface);
            let is_target = targets && is_folder(&target)?;
            for part in PARTS {
                let is_there = is_target && is_folder(&target.join(part))?;
                findings.push(found(self.place.part_id(*surface, part), is_there));
            }
        }
        if exists {
            let foreign = self.foreign(blueprint)?.into_iter();
            findings.extend(
                foreign.map(|resource| ResourceFinding { resource, condition: ResourceCondition::Foreign }),
            );
        }
        Ok(findings)
    }

    /// What is in the environment's folders beside what the engine makes there.
    fn foreign(&self, blueprint: &EnvironmentBlueprint) -> Outcome<Vec<String>> {
        let stack = self.place.stack_ref();
        let mut foreign: Vec<String> = names_in(&self.place.folder)?
            .into_iter()
            .filter(|name| !is_own_entry(name))
            .map(|name| format!("{stack}/{name}"))
            .collect();
        let is_surface = |name: &str| SURFACES.iter().any(|surface| surface.name() == name);
        let strays = names_in(&self.place.targets())?.into_iter().filter(|name| !is_surface(name));
        foreign.extend(strays.map(|name| format!("{stack}/{TARGETS}/{name}")));
        for surface in &blueprint.surfaces {
            let strays = names_in(&self.place.target(*surface))?.into_iter().filter(|name| !is_part(name));
            foreign.extend(strays.map(|name| self.place.part_id(*surface, &name)));
        }
        Ok(foreign)
    }

    pub(super) fn outputs(&self) -> Outcome<Option<BTreeMap<String, String>>> {
        if !is_ours(&self.place)? {
            return Ok(None);
        }
        let manifest = read_manifest(&self.place)?;
        Ok(manifest.complete.then_some(manifest.resources.outputs))
    }

    pub(super) fn up(
        &self,
        fence: FencingToken,
        blueprint: &EnvironmentBlueprint,
    ) -> Outcome<ProvisionedResources> {
        self.disk.ensure_folder(&self.place.tenant_folder)?;
        let _lock = self.lock()?;
        fence::admit(&self.disk, &self.place, fence)?;
        self.clear_leftovers()?;
        let wanted = Manifest::new(&self.place, blueprint, true);
        let intended = Manifest::new(&self.place, blueprint, false);
        let recorded = if is_ours(&self.place)? {
            read_manifest(&self.place)?
        } else {
            self.make(&intended)?;
            intended.clone()
        };
        must_keep_stage_and_region(&recorded.blueprint, blueprint)?;
        let dropped = self.dropped(blueprint)?;
        for surface in &dropped {
            must_know_all_in(&self.place.target(*surface), is_part)?;
        }
        if recorded != wanted && recorded != intended {
            self.record(&intended)?;
        }
        self.disk.ensure_folder(&self.place.targets())?;
        for surface in &blueprint.surfaces {
            let target = self.place.target(*surface);
            self.disk.ensure_folder(&target)?;
            for part in PARTS {
                self.disk.ensure_folder(&target.join(part))?;
            }
        }
        for surface in dropped {
            self.disk.remove_folder(&self.place.target(surface))?;
        }
        if recorded != wanted {
            self.record(&wanted)?;
        }
        Ok(wanted.resources)
    }

    pub(super) fn destroy(&self, fence: FencingToken) -> Outcome<()> {
        self.disk.ensure_folder(&self.place.tenant_folder)?;
        let _lock = self.lock()?;
        // Kept even of what never was: whoever was to make it may still be on its way.
        fence::admit(&self.disk, &self.place, fence)?;
        self.clear_leftovers()?;
        if !is_ours(&self.place)? {
            return Ok(());
        }
        self.must_hold_nothing_foreign()?;
        let removing = self.place.removing();
        self.disk.rename(&self.place.folder, &removing)?;
        self.disk.remove_folder(&removing)
    }

    fn lock(&self) -> Outcome<TenantLock> {
        let path = self.place.lock();
        let lock = |error| Fault::io("lock", &path, error);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(lock)?;
        file.lock().map_err(lock)?;
        Ok(TenantLock(file))
    }

    /// Removes what a process that died was making or removing; only a holder of the lock has such folders.
    fn clear_leftovers(&self) -> Outcome<()> {
        for leftover in [self.place.making(), self.place.removing()] {
            if look_up(&leftover)?.is_some() {
                self.disk.remove_folder(&leftover)?;
            }
        }
        Ok(())
    }

    /// Makes the environment's folder, which appears with its mark and its manifest or not at all.
    fn make(&self, intended: &Manifest) -> Outcome<()> {
        let making = self.place.making();
        self.disk.create_folder(&making)?;
        self.disk.write_file(&making, MANIFEST, &to_json(intended)?)?;
        self.disk.write_file(&making, MARK, &to_json(&Mark::of(&self.place))?)?;
        self.disk.rename(&making, &self.place.folder)
    }

    fn record(&self, manifest: &Manifest) -> Outcome<()> {
        self.disk.write_file(&self.place.folder, MANIFEST, &to_json(manifest)?)
    }

    /// The surfaces that are there and no longer wanted.
    fn dropped(&self, blueprint: &EnvironmentBlueprint) -> Outcome<Vec<SurfaceKind>> {
        let mut dropped = Vec::new();
        if is_folder(&self.place.targets())? {
            for surface in SURFACES.into_iter().filter(|surface| !blueprint.surfaces.contains(surface)) {
                if is_folder(&self.place.target(surface))? {
                    dropped.push(surface);
                }
            }
        }
        Ok(dropped)
    }

    fn must_hold_nothing_foreign(&self) -> Outcome<()> {
        must_know_all_in(&self.place.folder, is_own_entry)?;
        let is_surface = |name: &str| SURFACES.iter().any(|surface| surface.name() == name);
        for surface in must_know_all_in(&self.place.targets(), is_surface)? {
            must_know_all_in(&self.place.targets().join(surface), is_part)?;
        }
        Ok(())
    }
}

fn is_own_entry(name: &str) -> bool {
    [MARK, MANIFEST, TARGETS].contains(&name) || name.starts_with(PARTIAL_PREFIX)
}

fn is_part(name: &str) -> bool {
    PARTS.contains(&name)
}

/// The names in a folder, all of which this engine gave.
fn must_know_all_in(folder: &Path, is_known: impl Fn(&str) -> bool) -> Outcome<Vec<String>> {
    let names = names_in(folder)?;
    match names.iter().find(|name| !is_known(name)) {
        Some(foreign) => Err(Fault::foreign(&folder.join(foreign), "was not made by this engine")),
        None => Ok(names),
    }
}

fn must_keep_stage_and_region(recorded: &EnvironmentBlueprint, wanted: &EnvironmentBlueprint) -> Outcome<()> {
    if recorded.stage == wanted.stage && recorded.region == wanted.region {
        return Ok(());
    }
    Err(Fault::new(
        PortErrorKind::Invalid,
        format!(
            "ENV-2: stage and region of an environment never change; it is {} in {}, not {} in {}: provision another environment",
            recorded.stage, recorded.region, wanted.stage, wanted.region
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::engine::tests::{blueprint, environment, every_path, tenant};

    const FENCE: FencingToken = FencingToken(1);

    fn work(root: &Path, changes: Option<usize>) -> Work {
        let disk = Disk { changes_left: changes.map(Cell::new) };
        Work::new(Place::new(root, tenant(1), environment(1)), disk)
    }

    /// Lets `attempt` die after each possible number of changes, and hands the root to `then`; gives the number of deaths.
    fn dying_everywhere(
        prepare: impl Fn(&Path),
        attempt: impl Fn(&Work) -> bool,
        then: impl Fn(&Path),
    ) -> usize {
        for changes in 0.. {
            let root = tempfile::tempdir().unwrap();
            prepare(root.path());
            let survived = attempt(&work(root.path(), Some(changes)));
            then(root.path());
            if survived {
                return changes;
            }
        }
        unreachable!("the range has no end")
    }

    /// Buried: pulumi#11599. Theirs: a create that was killed was repeated, and made a second resource. Ours: provisioning that dies after any
    /// change on disk is continued to the very same files.
    #[test]
    fn a_provisioning_that_dies_anywhere_is_continued_to_the_same_result() {
        let whole = tempfile::tempdir().unwrap();
        work(whole.path(), None).up(FENCE, &blueprint()).unwrap();
        let deaths = dying_everywhere(
            |_| {},
            |work| work.up(FENCE, &blueprint()).is_ok(),
            |root| {
                work(root, None).up(FENCE, &blueprint()).unwrap();
                assert_eq!(every_path(root), every_path(whole.path()));
            },
        );
        assert!(deaths >= 10, "{deaths}");
    }

    /// Buried: pulumi#8559. Theirs: a read that was killed left a state which nothing went on from before it was mended by hand. Ours: wherever it
    /// dies, what is there can be looked at as it is, continued or destroyed.
    #[test]
    fn a_provisioning_that_dies_anywhere_can_be_destroyed() {
        dying_everywhere(
            |_| {},
            |work| work.up(FENCE, &blueprint()).is_ok(),
            |root| {
                assert!(!work(root, None).refresh(&blueprint()).unwrap().is_empty());
                work(root, None).destroy(FENCE).unwrap();
                assert!(every_path(root).iter().all(|path| !path.contains("env_")), "{:?}", every_path(root));
            },
        );
    }

    #[test]
    fn stage_and_region_stand_wherever_a_provisioning_dies() {
        let mut elsewhere = blueprint();
        elsewhere.region = "elsewhere".parse().unwrap();
        dying_everywhere(
            |_| {},
            |work| work.up(FENCE, &blueprint()).is_ok(),
            |root| {
                let place = Place::new(root, tenant(1), environment(1));
                let stands = place.folder.exists();
                assert_eq!(work(root, None).up(FENCE, &elsewhere).is_err(), stands);
            },
        );
    }

    #[test]
    fn a_destruction_that_dies_anywhere_is_continued() {
        let deaths = dying_everywhere(
            |root| {
                work(root, None).up(FENCE, &blueprint()).unwrap();
            },
            |work| work.destroy(FENCE).is_ok(),
            |root| {
                work(root, None).destroy(FENCE).unwrap();
                assert!(every_path(root).iter().all(|path| !path.contains("env_")), "{:?}", every_path(root));
            },
        );
        assert_eq!(deaths, 2);
        let root = tempfile::tempdir().unwrap();
        work(root.path(), None).destroy(FencingToken(2)).unwrap();
        let late = work(root.path(), None).up(FENCE, &blueprint()).unwrap_err();
        assert_eq!(late.at("infrastructure.up").kind(), PortErrorKind::Fenced);
    }

    #[test]
    fn a_change_of_surfaces_that_dies_anywhere_is_continued() {
        let mut wider = blueprint();
        wider.surfaces.insert(SurfaceKind::Functions);
        let whole = tempfile::tempdir().unwrap();
        work(whole.path(), None).up(FENCE, &blueprint()).unwrap();
        dying_everywhere(
            |root| {
                work(root, None).up(FENCE, &wider).unwrap();
            },
            |work| work.up(FENCE, &blueprint()).is_ok(),
            |root| {
                work(root, None).up(FENCE, &blueprint()).unwrap();
                assert_eq!(every_path(root), every_path(whole.path()));
            },
        );
    }
}
