//! What an effect changes of a component: what is wanted of it, on disk, and when it may not be.

use std::path::PathBuf;

use runtime_domain::component::{ConfigurationReload, RevisionId};
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::surface::{ComponentKey, EffectId, RevisionSpec, SurfaceKind, Traffic};
use runtime_domain::value::Replicas;
use runtime_ports::{PortError, PortErrorKind, PortResult};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::delivery::secrets::SecretBase;
use crate::delivery::{DeliveryFolder, Parcel};
use crate::state::{ComponentRecord, RevisionRecord};

/// The most revisions of one component at once.
pub(crate) const CONCURRENT_REVISIONS: u16 = 8;

/// A change that an effect makes to one component.
#[derive(Debug, Clone, Serialize)]
pub(crate) enum Change {
    Apply { spec: Box<RevisionSpec>, replicas: u16 },
    Scale { revision: RevisionId, replicas: u16 },
    Shift { traffic: Traffic },
    Retire { revision: RevisionId },
    HandOver { to: Option<ComponentKey> },
    Deliver { revision: RevisionId, configuration: Box<DeliveredConfiguration> },
}

impl Change {
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Apply { .. } => "surface.apply",
            Self::Scale { .. } => "surface.scale",
            Self::Shift { .. } => "surface.shift_traffic",
            Self::Retire { .. } => "surface.retire",
            Self::HandOver { .. } => "handover.hand_over",
            Self::Deliver { .. } => "surface.deliver",
        }
    }

    /// Tells this change from any other.
    pub(super) fn fingerprint(&self) -> PortResult<String> {
        let bytes = serde_json::to_vec(self).map_err(|error| {
            PortError::new(PortErrorKind::Internal, self.operation(), "the effect could not be written down")
                .caused_by(error)
        })?;
        Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Whether a surface that plays `kind` can run so many of a revision.
pub(super) fn check_spec(
    operation: &'static str,
    kind: SurfaceKind,
    spec: &RevisionSpec,
    replicas: u16,
) -> PortResult<()> {
    let component = &spec.component;
    if component.surface != kind {
        let message =
            format!("the component is meant for {}: this surface plays {kind} only", component.surface);
        return Err(PortError::new(PortErrorKind::Unsupported, operation, message));
    }
    let message = if component.module != spec.key.module || spec.revision.module != spec.key.module {
        format!(
            "the component is {}, the revision is of {} and the address is {}: name one module in all three",
            component.module, spec.revision.module, spec.key.module
        )
    } else if replicas > Replicas::MOST {
        format!("{replicas} replicas are too many: ask for {} at most", Replicas::MOST)
    } else {
        return Ok(());
    };
    Err(PortError::new(PortErrorKind::Invalid, operation, message))
}

/// Makes an effect's change to what is wanted.
pub(super) fn change_record(
    record: &mut ComponentRecord,
    effect: EffectId,
    change: Change,
) -> PortResult<()> {
    let operation = change.operation();
    let absent = |revision: &RevisionId| {
        let message = format!("revision {revision} does not exist here: apply it first");
        PortError::new(PortErrorKind::NotFound, operation, message)
    };
    let exists = |record: &ComponentRecord, revision: &RevisionId| {
        record.revisions.get(revision).is_some_and(|it| !it.retiring)
    };
    match change {
        Change::Apply { spec, replicas } => {
            let others = record.revisions.keys().filter(|other| **other != spec.revision).count();
            if others >= usize::from(CONCURRENT_REVISIONS) {
                let message = format!(
                    "{CONCURRENT_REVISIONS} revisions of {} exist already: retire one first",
                    spec.key.module
                );
                return Err(PortError::new(PortErrorKind::Exhausted, operation, message));
            }
            let revision = record
                .revisions
                .entry(spec.revision.clone())
                .or_insert_with(|| RevisionRecord::new((*spec).clone()));
            if revision.spec != *spec {
                let message = format!(
                    "revision {} exists with other content: bring changes as a new revision",
                    spec.revision
                );
                return Err(PortError::new(PortErrorKind::Invalid, operation, message));
            }
            revision.retiring = false;
            revision.resize(replicas);
        }
        Change::Scale { revision, replicas } => {
            if replicas > Replicas::MOST {
                let message = format!("{replicas} replicas are too many: ask for {} at most", Replicas::MOST);
                return Err(PortError::new(PortErrorKind::Invalid, operation, message));
            }
            let found = record.revisions.get_mut(&revision).filter(|found| !found.retiring);
            found.ok_or_else(|| absent(&revision))?.resize(replicas);
        }
        Change::Shift { traffic } => {
            if let Some(missing) = traffic.revisions().into_iter().find(|revision| !exists(record, revision))
            {
                return Err(absent(missing));
            }
            record.traffic = Some(traffic);
            record.traffic_effect = Some(effect);
        }
        Change::HandOver { to } => record.handed_to = to,
        Change::Retire { revision } => {
            if record.traffic.as_ref().is_some_and(|traffic| traffic.revisions().contains(&&revision)) {
                record.traffic_effect = Some(effect);
            }
            record.retire(&revision);
        }
        Change::Deliver { revision, configuration } => {
            let found = record.revisions.get_mut(&revision).filter(|found| !found.retiring);
            let found = found.ok_or_else(|| absent(&revision))?;
            let declared = &found.spec.component.configuration;
            if declared.reload != ConfigurationReload::Signal {
                let message =
                    format!("{revision} takes no configuration in place: bring it as a new revision");
                return Err(PortError::new(PortErrorKind::Unsupported, operation, message));
            }
            // What could not be given to an instance is refused before anything is wanted of it.
            let nowhere = SecretBase::nowhere().instance(&found.spec.key, "");
            Parcel::of(
                operation,
                &found.spec,
                Some(&configuration),
                &DeliveryFolder::new(PathBuf::new()),
                &nowhere,
            )?;
            found.deliver(*configuration);
        }
    }
    Ok(())
}
