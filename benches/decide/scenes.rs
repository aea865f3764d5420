//! A typical command of each aggregate, made as any host makes it: by the public API alone.

use std::collections::{BTreeMap, BTreeSet};

use factory_runtime::domain::aggregate::{Aggregate, Decision};
use factory_runtime::domain::calendar::Activity;
use factory_runtime::domain::component::{
    ComponentSpec, ComponentType, ImageDigest, ImageReference, ReleaseReference, ReleaseTuple, Version,
};
use factory_runtime::domain::deployment::{DeploymentCommand, Release, RequestDeployment, RuntimeDeployment};
use factory_runtime::domain::environment::{
    ComputeTarget, EnvironmentCommand, EnvironmentStage, IsolationModel, NetworkBoundary,
    ProvisionRuntimeEnvironment, ProvisionedResources, QuotaCommand, RuntimeEnvironment,
};
use factory_runtime::domain::health::{
    CheckEntry, EvaluationWindow, HealthCheckResult, HealthStatus, LatencyMs, ProbeKind, RecordHealthCheck,
};
use factory_runtime::domain::id::{Id, IdKind, ServiceId};
use factory_runtime::domain::rollout::strategy::Rolling;
use factory_runtime::domain::rollout::{DeploymentStrategy, RolloutLimits};
use factory_runtime::domain::surface::{EffectClass, SurfaceCapabilities, SurfaceKind, TrafficControl};
use factory_runtime::domain::tenancy::{
    BindTenant, PartitionAssignment, PartitionKey, ResourceQuota, RuntimeTenantBinding, TenancyCommand,
    TenantPlace,
};
use factory_runtime::domain::time::{Span, Timestamp};
use factory_runtime::domain::value::{ModuleId, Name, Replicas, Revision};

use crate::measure;

pub fn run() {
    environment();
    tenancy();
    deployment();
    health();
}

fn id<K: IdKind>(number: u128) -> Id<K> {
    Id::from_uuid(uuid::Uuid::from_u128(number))
}

fn at(seconds: u64) -> Timestamp {
    Span::from_secs(1_800_000_000 + seconds).after(Timestamp::UNIX_EPOCH)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn begun<A: Aggregate>(decision: &Decision<A::Event>) -> A {
    A::evolve_all(None, decision.events.iter().map(|event| (event, at(0)))).unwrap().unwrap()
}

fn after<A: Aggregate>(state: A, decision: &Decision<A::Event>, now: Timestamp) -> A {
    A::evolve_all(Some(state), decision.events.iter().map(|event| (event, now))).unwrap().unwrap()
}

fn quota(units: u64) -> ResourceQuota {
    ResourceQuota::new(units, units, units, units).unwrap()
}

fn provisioned() -> RuntimeEnvironment {
    let command = ProvisionRuntimeEnvironment {
        environment_id: id(1),
        tenant_id: id(2),
        project_id: id(3),
        name: name("shop-dev"),
        stage: EnvironmentStage::Dev,
        region: name("westeurope"),
        isolation_model: IsolationModel::Pool,
        surfaces: BTreeSet::from([SurfaceKind::Process]),
        egress_allow_list: BTreeSet::new(),
        capacity: quota(1_000_000),
    };
    let asked: RuntimeEnvironment = begun(&RuntimeEnvironment::provision(&command, at(0)).unwrap());
    let resources = ProvisionedResources {
        stack_ref: "shop/dev".to_owned(),
        compute_targets: vec![ComputeTarget {
            surface: SurfaceKind::Process,
            resource_ids: vec!["shop-dev".to_owned()],
        }],
        network_boundary: NetworkBoundary::default(),
        outputs: BTreeMap::new(),
    };
    [EnvironmentCommand::RecordProvisioningStarted, EnvironmentCommand::RecordProvisioned { resources }]
        .iter()
        .fold(asked, |state, command| after(state.clone(), &state.decide(command, at(1)).unwrap(), at(1)))
}

fn environment() {
    let environment = provisioned();
    measure("ProtectFromDeletion", Some(&environment), at(2), || {
        environment.decide(&EnvironmentCommand::ProtectFromDeletion, at(2)).unwrap()
    });
    measure("ReserveQuota", Some(&environment), at(2), || {
        let command =
            QuotaCommand::ReserveQuota { binding: id(5), tenant: id(2), quota: quota(9), expires_at: at(60) };
        environment.decide_quota(&command, at(2)).unwrap()
    });
}

fn bound() -> RuntimeTenantBinding {
    let (binding, quota) = (id(5), quota(9));
    let reserve = QuotaCommand::ReserveQuota { binding, tenant: id(2), quota, expires_at: at(60) };
    let environment = provisioned();
    let environment = after(environment.clone(), &environment.decide_quota(&reserve, at(2)).unwrap(), at(2));
    let command = BindTenant {
        tenant_binding_id: binding,
        place: TenantPlace {
            tenant_id: id(2),
            environment_id: id(1),
            isolation_model: IsolationModel::Pool,
            quota,
            partitions: PartitionAssignment {
                network: PartitionKey::new("tenant-dev-acme").unwrap(),
                data: PartitionKey::new("acme").unwrap(),
            },
        },
        environment: environment.host(Revision(3)).unwrap(),
        reservation: environment.reservation(binding, Revision(3), at(2)).unwrap(),
    };
    let pending: RuntimeTenantBinding = begun(&RuntimeTenantBinding::bind(&command, at(2)).unwrap());
    let commit = QuotaCommand::CommitQuota { claimed: pending.claim(Revision(1)).unwrap() };
    let environment = after(environment.clone(), &environment.decide_quota(&commit, at(3)).unwrap(), at(3));
    let confirm =
        TenancyCommand::ConfirmQuota { committed: environment.commitment(binding, Revision(4)).unwrap() };
    after(pending.clone(), &pending.decide(&confirm, at(4)).unwrap(), at(4))
}

fn tenancy() {
    let state = bound();
    measure("AdjustQuota", Some(&state), at(5), || {
        state.decide(&TenancyCommand::AdjustQuota { quota: quota(4), reservation: None }, at(5)).unwrap()
    });
}

fn component(module: &ModuleId, version: u64) -> ComponentSpec {
    let digest = ImageDigest::new(&format!("sha256:{version:064x}")).unwrap();
    let image = ImageReference::new(&format!("shop/{module}:{version}")).unwrap().pinned(digest);
    ComponentSpec {
        module: module.clone(),
        component_type: ComponentType::Microservice,
        version: Version::new(&version.to_string()).unwrap(),
        tuple: ReleaseTuple { image, configuration: None, secrets: BTreeSet::new(), scaling_policy: None },
        surface: SurfaceKind::Process,
        replicas: Replicas::new(3).unwrap(),
        arguments: Vec::new(),
        variables: BTreeMap::new(),
        readiness: None,
        liveness: None,
        termination_grace: Span::from_secs(10),
        depends_on: BTreeSet::new(),
    }
}

fn request() -> RequestDeployment {
    let module = name("cart");
    let capabilities = SurfaceCapabilities {
        kind: SurfaceKind::Process,
        traffic: TrafficControl::Weighted,
        concurrent_revisions: 8,
        metrics_by_revision: true,
        effect_class: EffectClass::Fenced,
    };
    RequestDeployment {
        deployment_id: id(7),
        release: Release {
            reference: ReleaseReference::new("shop-1").unwrap(),
            components: BTreeMap::from([(module.clone(), component(&module, 1))]),
            strategy: DeploymentStrategy::RollingHealthGated(Rolling::default()),
            gates: Vec::new(),
            limits: RolloutLimits::default(),
            configuration_id: None,
        },
        admission: provisioned().admit(Revision(3), None).unwrap(),
        clearance: provisioned().clear(Activity::Deployment, Revision(3), at(0), None).unwrap(),
        previous: Vec::new(),
        seen: BTreeMap::new(),
        numbers: BTreeMap::from([(module, 1)]),
        surfaces: BTreeMap::from([(SurfaceKind::Process, capabilities)]),
    }
}

fn deployment() {
    measure::<RuntimeDeployment>("RequestDeployment (and making it)", None, at(0), || {
        RuntimeDeployment::request(request()).unwrap()
    });
    let requested: RuntimeDeployment = begun(&RuntimeDeployment::request(request()).unwrap());
    measure("Pause", Some(&requested), at(1), || {
        requested.decide(&DeploymentCommand::Pause { reason: "look first".to_owned() }, at(1)).unwrap()
    });
}

fn health() {
    let entry = |probe, kind| CheckEntry {
        probe: name(probe),
        kind,
        required: true,
        status: HealthStatus::Healthy,
        duration: LatencyMs(4),
        data: BTreeMap::new(),
    };
    let command = || RecordHealthCheck {
        health_check_result_id: id(8),
        tenant_id: id(2),
        environment_id: id(1),
        service_id: ServiceId::of(id(1), &name("cart")),
        module_id: name("cart"),
        evaluation_window: EvaluationWindow::new(at(0), at(15)).unwrap(),
        entries: vec![entry("ready", ProbeKind::Readiness), entry("alive", ProbeKind::Liveness)],
        previous: Some(HealthStatus::Healthy),
    };
    measure::<HealthCheckResult>("RecordHealthCheck", None, at(15), || {
        HealthCheckResult::record(command(), at(15)).unwrap()
    });
}
