//! Finding what an earlier host left: processes that it recorded, and processes that it spawned and could not record any more.
//!
//! # Guarantees
//! - A process is adopted only where its identifier, its start time and the boot agree with the record, or where it carries the
//!   surface's marker with the very start that was wished for.
//! - Every other process that carries the marker is ended, unless it is a descendant of an adopted instance or of a job.
//! - Nothing without the marker is signalled.
//!
//! # Caveats
//! A process that was forked and had not yet begun its program when the host was killed shows no marker for that instant.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use runtime_ports::{PortError, PortResult};

use crate::component::{Component, Shared};
use crate::delivery;
use crate::instance::{Instance, instance_name};
use crate::os::{self, MarkedProcess, Process};
use crate::state::{self, ComponentFolder, ComponentRecord, InstanceRecord, failed};
use crate::supervisor::Found;

const OPERATION: &str = "surface.open";

/// A component that was found on disk, with its instances.
pub(crate) struct Remains {
    pub(crate) component: Arc<Component>,
    pub(crate) instances: Vec<(Arc<Instance>, Found)>,
}

fn damaged(path: &Path) -> impl FnOnce(io::Error) -> PortError {
    let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    move |error| {
        failed(
            OPERATION,
            format!("{shown} could not be read: repair it, or remove it with its folder"),
            error,
        )
    }
}

/// Every component on disk, each with the processes that are found of it; other marked processes are ended.
pub(crate) fn remains(shared: &Arc<Shared>) -> PortResult<Vec<Remains>> {
    let marked = os::marked(&shared.surface).map_err(damaged(Path::new("/proc")))?;
    let mut found = Vec::new();
    let root = shared.options.root.join("components");
    for tenant in folders(&root)? {
        for environment in folders(&tenant)? {
            for folder in folders(&environment)? {
                let path = folder.join("component.json");
                let Some(record) = state::read::<ComponentRecord>(&path).map_err(damaged(&path))? else {
                    continue;
                };
                found.push(component(shared, record, &marked)?);
            }
        }
    }
    end_orphans(&found, &marked);
    Ok(found)
}

fn folders(path: &Path) -> PortResult<Vec<std::path::PathBuf>> {
    let entries = state::entries(path).map_err(damaged(path))?;
    Ok(entries.into_iter().filter(|entry| entry.is_dir()).collect())
}

fn component(shared: &Arc<Shared>, record: ComponentRecord, marked: &[MarkedProcess]) -> PortResult<Remains> {
    let folder = ComponentFolder::of(&shared.options.root, &record.key);
    let component = Arc::new(Component::new(Arc::clone(shared), record.clone()));
    let mut instances = Vec::new();
    for path in state::entries(&folder.instances()).map_err(damaged(&folder.instances()))? {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Some(mut known) = state::read::<InstanceRecord>(&path).map_err(damaged(&path))? else { continue };
        let Some(revision) = record.revisions.get(&known.revision) else {
            // Its revision is gone, and so is whatever still runs of it, as an orphan.
            state::remove(&path).map_err(damaged(&path))?;
            continue;
        };
        let spec = Arc::new(revision.spec.clone());
        let instance = Instance::new(spec, known.number, known.restarts);
        let process = process_of(&component, &instance, &mut known, marked).map_err(damaged(&path))?;
        if process.is_none() && known.start > 0 {
            // It ended while no host watched, or was never spawned; either way this is another start.
            known.restarts = known.restarts.saturating_add(u32::from(known.process.is_some()));
            known.process = None;
        }
        state::write(&path, &known).map_err(damaged(&path))?;
        let instance = Arc::new(Instance::new(Arc::clone(&instance.spec), known.number, known.restarts));
        instance.want(revision.configuration());
        instances.push((instance, Found { record: known, process }));
    }
    let names: Vec<String> = instances.iter().map(|(instance, _)| instance.name.clone()).collect();
    delivery::keep_only(&folder.deliveries(), &names).map_err(damaged(&folder.deliveries()))?;
    Ok(Remains { component, instances })
}

/// The live process of an instance: the recorded one, or the one that was spawned for the last wish.
fn process_of(
    component: &Component,
    instance: &Instance,
    known: &mut InstanceRecord,
    marked: &[MarkedProcess],
) -> io::Result<Option<Process>> {
    if let Some(identity) = &known.process
        && let Some(process) = Process::open(identity)?
    {
        return Ok(Some(process));
    }
    let identifying = component.identifying_variables(instance);
    let start = known.start.to_string();
    let spawned = marked.iter().find(|process| {
        process.leads_group
            && process.variables.get("FACTORY_START") == Some(&start)
            && identifying.iter().all(|(name, value)| process.variables.get(*name) == Some(value))
    });
    let Some(spawned) = spawned.filter(|_| known.process.is_none()) else { return Ok(None) };
    known.process = Some(spawned.identity.clone());
    Process::open(&spawned.identity)
}

fn end_orphans(found: &[Remains], marked: &[MarkedProcess]) {
    let mut kept: BTreeMap<(String, String, String, String), String> = BTreeMap::new();
    for remains in found {
        for (instance, found) in &remains.instances {
            if found.process.is_some() {
                let key = &remains.component.key;
                let name = instance_name(instance.revision(), instance.number);
                let place =
                    (key.tenant.to_string(), key.environment.to_string(), key.module.to_string(), name);
                kept.insert(place, found.record.start.to_string());
            }
        }
    }
    for process in marked {
        let variable = |name: &str| process.variables.get(name).cloned().unwrap_or_default();
        let place = (
            variable("FACTORY_TENANT"),
            variable("FACTORY_ENVIRONMENT"),
            variable("FACTORY_MODULE"),
            variable("FACTORY_INSTANCE"),
        );
        let belongs = kept.get(&place).is_some_and(|start| *start == variable("FACTORY_START"));
        let is_job = process.variables.contains_key("FACTORY_JOB");
        if !belongs && !is_job {
            tracing::info!(
                pid = process.identity.pid,
                instance = place.3,
                "ending a process that nobody wants"
            );
            os::kill(&process.identity);
        }
    }
}
