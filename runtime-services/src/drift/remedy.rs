//! What would be done about a divergence: the same answer for those who preview and for the reconciler that does it.

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::drift::watch::{DriftWatch, WatchTerms};
use runtime_domain::drift::{
    DetectedDrift, DriftKind, DriftState, DriftStatus, RemediationMode, Resolution, RuntimeDriftFinding,
};
use runtime_domain::id::EnvironmentId;
use runtime_domain::time::Timestamp;
use runtime_ports::store::{LoadError, Loaded, Query, Repository, TenantStore};

use crate::drift::DriftExplanation;
use crate::drift::look::Looked;

/// What would be done about a divergence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// It is told and nothing else, by the terms of the watch.
    Report {
        /// Why.
        why: String,
    },
    /// The part of this document's release that diverges is deployed.
    Redeploy {
        /// The document that desires it.
        document: String,
    },
    /// It is removed.
    Prune,
    /// It would be repaired, and may not be now.
    HeldBack {
        /// What keeps it.
        why: String,
    },
    /// The finding waits, or a repair is under way.
    Waits {
        /// For what.
        why: String,
    },
}

impl Remedy {
    /// The same, unless the calendar is closed to repairs.
    pub(crate) fn unless(self, closed: Option<&str>) -> Self {
        match (self, closed) {
            (Self::Redeploy { .. } | Self::Prune, Some(why)) => Self::HeldBack { why: why.to_owned() },
            (remedy, _) => remedy,
        }
    }
}

/// The findings of an environment that are open.
pub(crate) async fn open(
    store: &dyn TenantStore,
    environment: EnvironmentId,
) -> Result<Vec<Loaded<RuntimeDriftFinding>>, LoadError> {
    let query = Query::all(RuntimeDriftFinding::KIND)
        .in_environment(environment)
        .with_status(&DriftStatus::OPEN.map(DriftStatus::name))
        .limited_to(1_000);
    Repository::<RuntimeDriftFinding>::new(store).every(query).await
}

/// The prune guard: why nothing is pruned, where more than the terms allow would be.
pub(crate) fn guard(detected: &[DetectedDrift], shown: usize, terms: &WatchTerms) -> Option<String> {
    let is_unmanaged = |drift: &&DetectedDrift| drift.kind() == DriftKind::UnmanagedResource;
    let unmanaged = detected.iter().filter(is_unmanaged).count();
    let most = usize::from(terms.prune_at_most.get());
    (unmanaged * 100 > shown * most).then(|| {
        format!(
            "{unmanaged} of {shown} components would be pruned, and at most {most}% may be: look whether the desired state is whole"
        )
    })
}

/// What would be done about a divergence, as far as the calendar is open.
pub(crate) fn of(
    looked: &Looked,
    terms: &WatchTerms,
    drift: &DetectedDrift,
    finding: Option<&RuntimeDriftFinding>,
    guard: Option<&str>,
    now: Timestamp,
) -> Remedy {
    if let Some(why) = finding.and_then(|finding| waits(finding, now)) {
        return Remedy::Waits { why };
    }
    match terms.remediation.mode(drift.kind()) {
        RemediationMode::Off => {
            return Remedy::Report { why: "this kind of drift is never repaired".to_owned() };
        }
        RemediationMode::Warn => {
            return Remedy::Report {
                why: "this kind of drift is repaired at somebody's request only".to_owned(),
            };
        }
        RemediationMode::Remediate => {}
    }
    let Some(module) = drift.subject().module() else {
        return Remedy::Report { why: "it is no component: repair it in its own tool".to_owned() };
    };
    if drift.kind() == DriftKind::UnmanagedResource {
        return match guard {
            Some(why) => Remedy::HeldBack { why: why.to_owned() },
            None => Remedy::Prune,
        };
    }
    let Some((document, release)) = looked.release_of(module) else {
        return Remedy::HeldBack { why: "nothing desires it any more".to_owned() };
    };
    let desired = release.components.get(module).map(|component| component.tuple.image.digest());
    let is_out = looked.quarantined.get(module).zip(desired).is_some_and(|(out, image)| out.contains(image));
    if is_out {
        let why = "the desired image was rolled back, and stays out until it is released on purpose";
        return Remedy::HeldBack { why: why.to_owned() };
    }
    Remedy::Redeploy { document: document.to_owned() }
}

fn waits(finding: &RuntimeDriftFinding, now: Timestamp) -> Option<String> {
    match finding.state() {
        DriftState::Detected(detected) => {
            let until = detected.look_at.filter(|until| now < *until)?;
            Some(format!("a repair was put off until {until}"))
        }
        DriftState::Excepted(exception) => {
            Some(format!("{} accepts it until {}", exception.owner, exception.expires_at))
        }
        DriftState::Remediating(remediating) => Some(format!("attempt {} is under way", remediating.attempt)),
        DriftState::RemediationFailed(failed) if now < failed.retry_at => {
            Some(format!("a repair failed, and is tried again at {}", failed.retry_at))
        }
        DriftState::RemediationFailed(_) => None,
        DriftState::Escalated(_) => {
            Some("repairs failed as often as may be: look at it, and let it be retried".to_owned())
        }
        DriftState::Resolved(_) | DriftState::Vanished(_) => Some("it is closed".to_owned()),
    }
}

/// A finding in words. `because` is why its newest event was decided.
pub(super) fn explain(
    finding: &RuntimeDriftFinding,
    watch: Option<&DriftWatch>,
    because: String,
) -> DriftExplanation {
    let places: Vec<&str> = finding.diff().entries().iter().map(|entry| entry.path.as_str()).collect();
    let what = format!(
        "{} shows {} at {} against {}",
        finding.subject(),
        finding.kind(),
        places.join(", "),
        finding.revision()
    );
    let status = format!("{}: {because}", finding.state().status());
    let mode = watch.map(|watch| watch.terms().remediation.mode(finding.kind()));
    let next = match (finding.state(), mode) {
        (DriftState::Resolved(resolved), _) => match &resolved.resolution {
            Resolution::Remediated { attempt } => format!("nothing: attempt {attempt} repaired it"),
            Resolution::Excepted(exception) => {
                format!("nothing: it went while {} accepted it", exception.owner)
            }
        },
        (DriftState::Vanished(_), _) => "nothing: it went by itself".to_owned(),
        (DriftState::Excepted(exception), _) => {
            format!(
                "it is repaired or told again at {}, or when the exception is revoked",
                exception.expires_at
            )
        }
        (DriftState::Escalated(_), _) => "somebody looks at it, and lets it be retried".to_owned(),
        (_, None) => "nothing: the environment is not watched; watch it".to_owned(),
        (DriftState::Remediating(remediating), _) => {
            format!(
                "what runs is compared until {}, and then the attempt counts as failed",
                remediating.until
            )
        }
        (DriftState::RemediationFailed(failed), Some(RemediationMode::Remediate)) => {
            format!("it is tried again at {}", failed.retry_at)
        }
        (DriftState::Detected(detected), Some(RemediationMode::Remediate)) => match detected.look_at {
            Some(at) => format!("it is repaired at {at}, if it is still seen then"),
            None => "it is repaired when it is seen next".to_owned(),
        },
        (_, Some(RemediationMode::Off)) => "nothing: this kind of drift is never repaired".to_owned(),
        (_, Some(_)) => "somebody asks for a repair, accepts it, or changes what is desired".to_owned(),
    };
    DriftExplanation { what, status, next }
}
