//! What the context's tests share: one component that drifts.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::calendar::{Activity, Clearance};
use crate::component::{
    ComponentSpec, ComponentType, ImageDigest, ImageReference, ReleaseTuple, RevisionId, Version,
};
use crate::deployment::DeployedVersion;
use crate::drift::*;
use crate::scope::Actor;
use crate::surface::SurfaceKind;
use crate::testing::{Told, at, id, name};
use crate::time::{Span, Timestamp};
use crate::value::{Replicas, Revision};

pub(super) type Finding = Told<RuntimeDriftFinding>;

pub(in crate::drift) fn digest(number: u8) -> ImageDigest {
    ImageDigest::new(&format!("sha256:{number:064x}")).unwrap()
}

pub(super) fn desired_component() -> DesiredComponent {
    DesiredComponent {
        surface: SurfaceKind::Process,
        image: digest(1),
        replicas: Replicas::new(3).unwrap(),
        configuration: None,
        secrets: BTreeSet::new(),
        scaling: None,
        settings: serde_json::Value::Null,
    }
}

pub(super) fn actual_component(seconds: u64) -> ActualComponent {
    ActualComponent {
        observed_at: at(seconds),
        surface: SurfaceKind::Process,
        image: digest(1),
        replicas: 3,
        configuration: None,
        secrets: BTreeSet::new(),
        scaling: None,
        settings: serde_json::Value::Null,
    }
}

pub(super) fn cart() -> Subject {
    Subject::Component(name("cart"))
}

pub(super) fn desired_state() -> DesiredState {
    DesiredState {
        components: BTreeMap::from([(name("cart"), desired_component())]),
        resources: BTreeMap::new(),
    }
}

pub(super) fn actual_state(component: Option<ActualComponent>, seconds: u64) -> ActualState {
    ActualState {
        tenant: id(1),
        environment: id(2),
        listed_at: at(seconds),
        components: component.into_iter().map(|component| (name("cart"), component)).collect(),
        resources: BTreeMap::new(),
    }
}

pub(super) fn authoritative(state: DesiredState) -> Authoritative<DesiredState> {
    Authoritative::from_revision("pulumi:prod@7".parse().unwrap(), id(1), id(2), state)
}

pub(super) fn compared(
    state: DesiredState,
    actual: &ActualState,
    owners: &Ownership,
    now: u64,
) -> Comparison {
    compare_states(&authoritative(state), actual, owners, &ComparisonPolicy::default(), at(now)).unwrap()
}

/// The cart, seen at this second to run this image.
pub(super) fn seen_running(image: u8, seconds: u64) -> Comparison {
    let actual = ActualComponent { image: digest(image), ..actual_component(seconds) };
    compared(desired_state(), &actual_state(Some(actual), seconds), &Ownership::nobody(), seconds)
}

pub(super) fn drift(image: u8, seconds: u64) -> DetectedDrift {
    seen_running(image, seconds).detected.pop().unwrap()
}

pub(super) fn in_sync(seconds: u64) -> InSync {
    seen_running(1, seconds).in_sync(&cart(), DriftKind::ImageVersionMismatch).unwrap()
}

pub(super) fn clearance() -> Clearance {
    Clearance {
        tenant: id(1),
        environment: id(2),
        activity: Activity::Remediation,
        break_glass: None,
        at: Revision(4),
    }
}

pub(super) fn budget() -> RemediationBudget {
    RemediationBudget::new(2, Span::from_secs(10), Span::from_secs(15), Span::from_secs(100)).unwrap()
}

pub(super) fn policy(mode: RemediationMode) -> RemediationPolicy {
    RemediationPolicy { modes: DriftKind::ALL.map(|kind| (kind, mode)).into(), budget: budget() }
}

pub(super) fn plan_of(deployment: u128) -> PlanRemediation {
    PlanRemediation {
        action: RemediationAction::Redeploy { deployment: id(deployment) },
        policy: policy(RemediationMode::Remediate),
        requested_by: None,
        quarantined: BTreeSet::new(),
        clearance: clearance(),
    }
}

pub(super) fn plan() -> DriftCommand {
    DriftCommand::PlanRemediation(plan_of(9))
}

pub(super) fn deployed(deployment: u128) -> DeployedVersion {
    let image = ImageReference::new("shop/cart:1").unwrap().pinned(digest(1));
    let component = ComponentSpec {
        module: name("cart"),
        component_type: ComponentType::Microservice,
        version: Version::new("1").unwrap(),
        tuple: ReleaseTuple {
            image,
            configuration: None,
            secrets: BTreeSet::new(),
            scaling_policy: None,
            scaling: None,
        },
        surface: SurfaceKind::Process,
        replicas: Replicas::ONE,
        resources: None,
        arguments: Vec::new(),
        variables: BTreeMap::new(),
        configuration: Default::default(),
        readiness: None,
        liveness: None,
        termination_grace: Span::from_secs(1),
        depends_on: BTreeSet::new(),
        dependencies: BTreeMap::new(),
    };
    DeployedVersion {
        tenant: id(1),
        environment: id(2),
        deployment: id(deployment),
        at: Revision(5),
        revision: RevisionId::new(name("cart"), id(deployment)),
        component,
    }
}

pub(super) fn see_in_sync(seconds: u64, by: Option<u128>) -> DriftCommand {
    DriftCommand::SeeInSync { in_sync: in_sync(seconds), deployed: by.map(deployed).map(Box::new) }
}

pub(super) fn failed(attempt: u32) -> DriftCommand {
    DriftCommand::RecordRemediationFailed { attempt, reason: "port in use".to_string() }
}

pub(super) fn ada() -> Actor {
    Actor::new("ada").unwrap()
}

pub(super) fn exception(until: Timestamp) -> DriftException {
    DriftException { owner: ada(), reason: "a load test".to_string(), expires_at: until }
}

pub(super) fn accept(seconds: u64) -> DriftCommand {
    DriftCommand::AcceptException(exception(at(seconds)))
}

pub(super) fn retry() -> DriftCommand {
    DriftCommand::RetryRemediation { by: ada() }
}

pub(super) fn detect(mode: RemediationMode) -> DetectDrift {
    DetectDrift { drift_finding_id: id(3), drift: drift(2, 0), mode }
}

impl Finding {
    pub(super) fn command(&mut self, command: &DriftCommand, seconds: u64) -> Result<(), DriftRefusal> {
        let decision = self.now().decide(command, at(seconds))?;
        self.happen(decision, at(seconds));
        Ok(())
    }
}

pub(super) fn detected(mode: RemediationMode) -> Finding {
    Told::begin(RuntimeDriftFinding::detect(&detect(mode), at(0)), at(0))
}

/// A finding of another image, in each state, reached by second 50.
pub(super) fn in_state(status: DriftStatus) -> Finding {
    let mut told = detected(RemediationMode::Remediate);
    let path: Vec<(u64, DriftCommand)> = match status {
        DriftStatus::Detected => Vec::new(),
        DriftStatus::Excepted => Vec::from([(1, accept(200))]),
        DriftStatus::Remediating => Vec::from([(1, plan())]),
        DriftStatus::RemediationFailed => Vec::from([(1, plan()), (2, failed(1))]),
        DriftStatus::Escalated => Vec::from([(1, plan()), (2, failed(1)), (12, plan()), (13, failed(2))]),
        DriftStatus::Resolved => Vec::from([(1, plan()), (2, see_in_sync(2, Some(9)))]),
        DriftStatus::Vanished => Vec::from([(2, see_in_sync(2, None))]),
    };
    for (seconds, command) in path {
        told.command(&command, seconds).unwrap();
    }
    assert_eq!(told.now().state().status(), status);
    told
}
