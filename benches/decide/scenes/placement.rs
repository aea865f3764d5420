//! Environments and who is bound to them.

use std::collections::{BTreeMap, BTreeSet};

use factory_runtime::domain::environment::{
    ComputeTarget, EnvironmentCommand, EnvironmentStage, IsolationModel, NetworkBoundary,
    ProvisionRuntimeEnvironment, ProvisionedResources, QuotaCommand, RuntimeEnvironment,
};
use factory_runtime::domain::surface::SurfaceKind;
use factory_runtime::domain::tenancy::{
    BindTenant, PartitionAssignment, PartitionKey, RuntimeTenantBinding, TenancyCommand, TenantPlace,
};
use factory_runtime::domain::value::Revision;

use super::{after, at, begun, id, name, quota};
use crate::measure;

pub fn run() {
    environment();
    tenancy();
}

pub fn provisioned() -> RuntimeEnvironment {
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
