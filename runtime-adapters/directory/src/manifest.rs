//! The two files that make a folder an environment.

use std::fs;
use std::io;
use std::path::Path;

use runtime_domain::environment::{
    ComputeTarget, EnvironmentBlueprint, NetworkBoundary, ProvisionedResources,
};
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_ports::PortErrorKind;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::disk::look_up;
use crate::fault::{Fault, Outcome};
use crate::place::{MANIFEST, MARK, PARTS, Place};

/// The version of both files.
const FORMAT: u32 = 1;

/// Says that this engine made the folder, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    format: u32,
    engine: String,
    tenant: TenantId,
    environment: EnvironmentId,
}

impl Mark {
    pub(crate) fn of(place: &Place) -> Self {
        Self {
            format: FORMAT,
            engine: "directory".to_owned(),
            tenant: place.tenant,
            environment: place.environment,
        }
    }
}

/// What the environment is to be, and whether it is so yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    pub(crate) complete: bool,
    pub(crate) blueprint: EnvironmentBlueprint,
    pub(crate) resources: ProvisionedResources,
}

impl Manifest {
    pub(crate) fn new(place: &Place, blueprint: &EnvironmentBlueprint, complete: bool) -> Self {
        Self {
            format: FORMAT,
            complete,
            blueprint: blueprint.clone(),
            resources: resources(place, blueprint),
        }
    }
}

/// What an environment of this blueprint is made of.
pub(crate) fn resources(place: &Place, blueprint: &EnvironmentBlueprint) -> ProvisionedResources {
    let mut outputs = std::collections::BTreeMap::new();
    outputs.insert("root".to_owned(), place.folder.display().to_string());
    let compute_targets = blueprint.surfaces.iter().map(|surface| {
        for part in PARTS {
            outputs
                .insert(format!("{surface}.{part}"), place.target(*surface).join(part).display().to_string());
        }
        let resource_ids = PARTS.iter().map(|part| place.part_id(*surface, part)).collect();
        ComputeTarget { surface: *surface, resource_ids }
    });
    let compute_targets = compute_targets.collect();
    ProvisionedResources {
        stack_ref: place.stack_ref(),
        compute_targets,
        network_boundary: NetworkBoundary {
            egress_allow_list: blueprint.egress_allow_list.clone(),
            resource_ids: Vec::new(),
        },
        outputs,
    }
}

/// Whether there is an environment in this place.
///
/// # Errors
/// Something is there that this engine did not make for this tenant and environment.
pub(crate) fn is_ours(place: &Place) -> Outcome<bool> {
    if !crate::disk::is_folder(&place.tenant_folder)? || !crate::disk::is_folder(&place.folder)? {
        return Ok(false);
    }
    let path = place.folder.join(MARK);
    match read::<Mark>(&path) {
        Ok(Some(mark)) if mark == Mark::of(place) => Ok(true),
        Ok(Some(_)) => Err(Fault::foreign(&place.folder, "carries the mark of another environment")),
        Ok(None) => Err(Fault::foreign(&place.folder, "does not carry the mark of this engine")),
        Err(fault) => Err(fault),
    }
}

/// The manifest of an environment that is there.
pub(crate) fn read_manifest(place: &Place) -> Outcome<Manifest> {
    let path = place.folder.join(MANIFEST);
    let manifest = read::<Manifest>(&path)?.ok_or_else(|| damaged(&path, "is missing"))?;
    if manifest.format != FORMAT {
        return Err(Fault::new(
            PortErrorKind::Unsupported,
            format!("{} has format {}: use the version that wrote it", path.display(), manifest.format),
        ));
    }
    let (tenant, environment) = (manifest.blueprint.tenant, manifest.blueprint.environment);
    if (tenant, environment) != (place.tenant, place.environment) {
        return Err(damaged(&path, "is that of another environment"));
    }
    Ok(manifest)
}

pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Outcome<Option<T>> {
    match look_up(path)? {
        None => return Ok(None),
        Some(metadata) if metadata.is_file() => {}
        Some(_) => return Err(Fault::foreign(path, "is not a file")),
    }
    let bytes = fs::read(path).map_err(|error| Fault::io("read", path, error))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        damaged(path, "cannot be read").caused_by(io::Error::new(io::ErrorKind::InvalidData, error))
    })
}

fn damaged(path: &Path, what: &str) -> Fault {
    // Without its mark, the engine does not remove the folder either.
    let otherwise =
        if path.ends_with(MARK) { "move the environment's folder away" } else { "destroy the environment" };
    Fault::new(
        PortErrorKind::Corrupt,
        format!("{} {what}: restore it from a backup, or {otherwise}", path.display()),
    )
}

pub(crate) fn to_json(content: &impl Serialize) -> Outcome<Vec<u8>> {
    serde_json::to_vec_pretty(content).map_err(|error| {
        Fault::new(PortErrorKind::Internal, "a file could not be written as JSON").caused_by(error)
    })
}
