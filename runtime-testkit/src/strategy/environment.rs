//! Environments: stages, isolation, blueprints, and the stories of environments.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use runtime_domain::environment::{
    ComputeTarget, EnvironmentBlueprint, EnvironmentChange, EnvironmentStage, IsolationModel,
    NetworkBoundary, ProvisionRuntimeEnvironment, ProvisionedResources,
};
use runtime_domain::surface::SurfaceKind;

use crate::plan::environment::{Blueprint, Calendar, Change, EnvironmentPlan, Fit, Freeze, Window};
use crate::plan::{DESTINATIONS, Step};
use crate::strategy::tenancy::valid_resource_quota;
use crate::strategy::{reason, story, value};

/// A stage.
pub fn valid_stage() -> BoxedStrategy<EnvironmentStage> {
    use EnvironmentStage::{Dev, Prod, Staging, Test};
    prop_oneof![Just(Dev), Just(Test), Just(Staging), Just(Prod)].boxed()
}

/// A way of keeping tenants apart.
pub fn valid_isolation_model() -> BoxedStrategy<IsolationModel> {
    prop_oneof![Just(IsolationModel::Silo), Just(IsolationModel::Pool), Just(IsolationModel::Shared)].boxed()
}

/// A kind of compute surface.
pub fn valid_surface_kind() -> BoxedStrategy<SurfaceKind> {
    use SurfaceKind::{AppService, ContainerApps, Functions, Kubernetes, Process};
    prop_oneof![Just(Process), Just(Kubernetes), Just(ContainerApps), Just(Functions), Just(AppService)]
        .boxed()
}

/// One to five surfaces.
pub fn valid_surfaces() -> BoxedStrategy<BTreeSet<SurfaceKind>> {
    btree_set(valid_surface_kind(), 1..4).boxed()
}

/// A destination that workloads may call: `host` or `host:port`.
pub fn valid_destination() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z0-9]{1,8}){0,3}(:[1-9][0-9]{0,3})?",
        (any::<[u8; 4]>(), 1..=u16::MAX).prop_map(|([a, b, c, d], port)| format!("{a}.{b}.{c}.{d}:{port}")),
        any::<u128>().prop_map(|bits| format!("[{}]:443", std::net::Ipv6Addr::from(bits))),
    ]
    .boxed()
}

/// Asks for an environment.
pub fn valid_provision() -> BoxedStrategy<ProvisionRuntimeEnvironment> {
    let ids = (value::valid_id(), value::valid_id(), value::valid_id());
    let words = (value::valid_name(), value::valid_name());
    (
        ids,
        words,
        valid_stage(),
        valid_isolation_model(),
        valid_surfaces(),
        btree_set(valid_destination(), 0..4),
        valid_resource_quota(),
    )
        .prop_map(|(ids, (name, region), stage, isolation_model, surfaces, egress_allow_list, capacity)| {
            let (environment_id, tenant_id, project_id) = ids;
            ProvisionRuntimeEnvironment {
                environment_id,
                tenant_id,
                project_id,
                name,
                stage,
                region,
                isolation_model,
                surfaces,
                egress_allow_list,
                capacity,
            }
        })
        .boxed()
}

/// What an engine is asked to bring about.
pub fn valid_blueprint() -> BoxedStrategy<EnvironmentBlueprint> {
    valid_provision()
        .prop_map(|asked| EnvironmentBlueprint {
            tenant: asked.tenant_id,
            environment: asked.environment_id,
            name: asked.name,
            stage: asked.stage,
            region: asked.region,
            isolation_model: asked.isolation_model,
            surfaces: asked.surfaces,
            egress_allow_list: asked.egress_allow_list,
            capacity: asked.capacity,
        })
        .boxed()
}

/// A change of anything, nothing included.
pub fn valid_environment_change() -> BoxedStrategy<EnvironmentChange> {
    (valid_provision(), any::<[bool; 6]>())
        .prop_map(|(asked, [name, stage, region, surfaces, egress, capacity])| EnvironmentChange {
            name: name.then_some(asked.name),
            stage: stage.then_some(asked.stage),
            region: region.then_some(asked.region),
            surfaces: surfaces.then_some(asked.surfaces),
            egress_allow_list: egress.then_some(asked.egress_allow_list),
            capacity: capacity.then_some(asked.capacity),
        })
        .boxed()
}

/// What an engine made of exactly this blueprint.
pub fn valid_resources_of(blueprint: &EnvironmentBlueprint) -> BoxedStrategy<ProvisionedResources> {
    let (surfaces, egress) = (blueprint.surfaces.clone(), blueprint.egress_allow_list.clone());
    let ids = || vec("[a-z0-9/-]{1,20}", 0..3);
    let outputs = btree_map("[a-z_]{1,10}", "\\PC{0,20}", 0..3);
    ("[a-z0-9]{1,8}/[a-z0-9]{1,8}", ids(), ids(), outputs)
        .prop_map(move |(stack_ref, resource_ids, boundary_ids, outputs)| {
            let target = |surface: &SurfaceKind| ComputeTarget {
                surface: *surface,
                resource_ids: resource_ids.clone(),
            };
            ProvisionedResources {
                stack_ref,
                compute_targets: surfaces.iter().map(target).collect(),
                network_boundary: NetworkBoundary {
                    egress_allow_list: egress.clone(),
                    resource_ids: boundary_ids,
                },
                outputs: BTreeMap::from_iter(outputs),
            }
        })
        .boxed()
}

fn egress() -> impl Strategy<Value = u16> {
    let legal = DESTINATIONS
        .iter()
        .enumerate()
        .filter(|(_, (_, legal))| *legal)
        .map(|(bit, _)| 1_u16 << bit)
        .sum::<u16>();
    prop_oneof![
        3 => Just(0_u16),
        6 => any::<u16>().prop_map(move |bits| bits & legal),
        1 => (0..DESTINATIONS.len()).prop_map(|bit| 1 << bit),
    ]
}

fn blueprint() -> impl Strategy<Value = Blueprint> {
    let surfaces = prop_oneof![12 => 1..32_u8, 1 => Just(0_u8)];
    (0..2_u8, 0..4_u8, 0..2_u8, 0..3_u8, surfaces, egress(), 3..8_u8).prop_map(
        |(name, stage, region, isolation, surfaces, egress, capacity)| Blueprint {
            name,
            stage,
            region,
            isolation,
            surfaces,
            egress,
            capacity,
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    (blueprint(), any::<[bool; 6]>(), any::<bool>()).prop_map(
        |(other, [name, stage, region, surfaces, egress, capacity], is_small)| {
            let is_big = !is_small;
            Change {
                name: (name && is_big).then_some(other.name),
                stage: (stage && is_big).then_some(other.stage),
                region: (region && is_big).then_some(other.region),
                surfaces: surfaces.then_some(other.surfaces),
                egress: egress.then_some(other.egress),
                capacity: capacity.then_some(other.capacity),
            }
        },
    )
}

fn fit() -> impl Strategy<Value = Fit> {
    prop_oneof![
        12 => Just(Fit::Exact),
        1 => Just(Fit::SurfaceMissing),
        1 => Just(Fit::SurfaceStray),
        1 => Just(Fit::SurfaceTwice),
        1 => Just(Fit::BoundaryWider),
        1 => Just(Fit::ReferenceBlank),
    ]
}

fn calendar() -> impl Strategy<Value = Calendar> {
    let minute = || prop_oneof![0..=1_440_u16, Just(480_u16), Just(0_u16), Just(1_440_u16)];
    let window = (1..16_u8, 1..128_u8, minute(), minute()).prop_map(|(activities, days, from, to)| Window {
        activities,
        days,
        from,
        to,
    });
    let freeze = (1..16_u8, -48..48_i16, 1..60_u8).prop_map(|(activities, from, hours)| Freeze {
        activities,
        from,
        hours,
    });
    (vec(window, 0..3), prop::option::weighted(0.3, freeze))
        .prop_map(|(windows, freeze)| Calendar { windows, freeze })
}

fn calendar_plans() -> impl Strategy<Value = EnvironmentPlan> {
    prop_oneof![
        3 => calendar().prop_map(EnvironmentPlan::Calendar),
        1 => reason().prop_map(|reason| EnvironmentPlan::StopLine { reason }),
        1 => reason().prop_map(|reason| EnvironmentPlan::ResumeLine { reason }),
        4 => (0..4_u8, prop::option::weighted(0.2, reason()))
            .prop_map(|(activity, glass)| EnvironmentPlan::Clear { activity, glass }),
    ]
}

fn quota_plans() -> impl Strategy<Value = EnvironmentPlan> {
    let seconds = prop_oneof![6 => 1..60_i16, 1 => Just(3_600_i16), 1 => Just(3_601_i16), 1 => -1..1_i16];
    let whose = || (0..3_u8, prop_oneof![9 => Just(None), 1 => (0..3_u8).prop_map(Some)]);
    let of = |(binding, other): (u8, Option<u8>)| (binding, other.unwrap_or(binding));
    let is_elsewhere = || prop::bool::weighted(0.05);
    prop_oneof![
        5 => (whose(), 0..5_u8, seconds).prop_map(move |(whose, quota, seconds)| {
            let (binding, tenant) = of(whose);
            EnvironmentPlan::Reserve { binding, tenant, quota, seconds }
        }),
        5 => (whose(), 0..5_u8, is_elsewhere()).prop_map(move |(whose, quota, is_elsewhere)| {
            let (binding, tenant) = of(whose);
            EnvironmentPlan::Commit { binding, tenant, quota, is_elsewhere }
        }),
        1 => (whose(), is_elsewhere()).prop_map(move |(whose, is_elsewhere)| {
            let (binding, tenant) = of(whose);
            EnvironmentPlan::Return { binding, tenant, is_elsewhere }
        }),
        1 => Just(EnvironmentPlan::Tick),
    ]
}

/// What may be asked of an environment, or reported to it.
pub fn environment_plans() -> BoxedStrategy<EnvironmentPlan> {
    let retry = || prop_oneof![Just(None), (0..600_u16).prop_map(Some)];
    prop_oneof![
        2 => blueprint().prop_map(EnvironmentPlan::Provision),
        8 => Just(EnvironmentPlan::Start),
        8 => (fit(), 0..2_u8).prop_map(|(fit, making)| EnvironmentPlan::Made { fit, making }),
        3 => (reason(), retry()).prop_map(|(reason, retry)| EnvironmentPlan::Failed { reason, retry }),
        3 => Just(EnvironmentPlan::Retry),
        5 => change().prop_map(EnvironmentPlan::Change),
        1 => Just(EnvironmentPlan::Protect),
        1 => Just(EnvironmentPlan::Unprotect),
        2 => reason().prop_map(|reason| EnvironmentPlan::Decommission { reason }),
        2 => Just(EnvironmentPlan::Gone),
        1 => (reason(), 0..600_u16).prop_map(|(reason, retry)| EnvironmentPlan::NotGone { reason, retry }),
        2 => prop::option::weighted(0.8, 0..40_u16).prop_map(EnvironmentPlan::Expiry),
        2 => Just(EnvironmentPlan::Expire),
        2 => any::<bool>().prop_map(|is_lost| EnvironmentPlan::Lost { is_lost }),
        10 => quota_plans(),
        8 => calendar_plans(),
    ]
    .boxed()
}

/// Stories of an environment.
pub fn environment_stories() -> BoxedStrategy<Vec<Step<EnvironmentPlan>>> {
    story(blueprint().prop_map(EnvironmentPlan::Provision), environment_plans(), 16)
}
