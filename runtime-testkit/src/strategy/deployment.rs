//! Stories of deployments.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::plan::Step;
use crate::plan::deployment::{Approval, DeploymentPlan, Setup, Way};
use crate::strategy::{reason, story};

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        4 => (0..3_u8, 0..3_u8).prop_map(|(surge, unavailable)| Way::Rolling { surge, unavailable }),
        3 => Just(Way::BlueGreen),
        3 => prop_oneof![Just(vec![10, 50]), Just(vec![50]), Just(vec![1, 99]), Just(vec![])].prop_map(Way::Canary),
        1 => vec(0..110_u8, 0..3).prop_map(Way::Canary),
    ]
}

fn setup() -> impl Strategy<Value = Setup> {
    let rare = |chance| prop::bool::weighted(chance);
    let before = prop_oneof![1 => Just(0_u8), 3 => Just(1_u8), 1 => Just(2_u8)];
    let cleared = prop_oneof![30 => Just(0_u8), 1 => Just(1_u8), 1 => Just(2_u8)];
    let odd = (rare(0.15), rare(0.03), rare(0.97), cleared);
    let modules = prop_oneof![1 => Just(0_u8), 20 => Just(1_u8), 8 => Just(2_u8)];
    let named = prop_oneof![2 => Just(0_u8), 1 => 0..4_u8];
    let approval = (0..3_u8, named).prop_map(|(required, named)| Approval { required, named });
    let traffic = prop_oneof![1 => Just(0_u8), 1 => Just(1_u8), 4 => Just(2_u8)];
    (
        before,
        odd,
        way(),
        traffic,
        modules,
        (1..4_u8, 1..4_u8),
        prop::option::weighted(0.3, approval),
        (rare(0.2), rare(0.4)),
    )
        .prop_map(|(before, odd, way, traffic, modules, (old, new), approval, (has_job, has_metric))| {
            Setup {
                before,
                is_rollback: odd.0,
                is_foreign: odd.1,
                is_provisioned: odd.2,
                clearance: odd.3,
                way,
                traffic,
                modules,
                old,
                new,
                approval,
                has_job,
                has_metric,
            }
        })
}

/// What may be asked of a deployment, or happen to it.
pub fn deployment_plans() -> BoxedStrategy<DeploymentPlan> {
    prop_oneof![
        30 => (0..4_u8).prop_map(DeploymentPlan::Act),
        2 => (0..4_u8).prop_map(DeploymentPlan::LoseAnswer),
        2 => (0..4_u8).prop_map(DeploymentPlan::Defer),
        1 => (0..4_u8).prop_map(DeploymentPlan::Refuse),
        2 => Just(DeploymentPlan::Tick),
        1 => reason().prop_map(|reason| DeploymentPlan::Pause { reason }),
        2 => Just(DeploymentPlan::Resume),
        1 => Just(DeploymentPlan::Promote),
        1 => reason().prop_map(|reason| DeploymentPlan::Abort { reason }),
        4 => (prop::bool::weighted(0.9), 0..4_u8).prop_map(|(is_known, by)| DeploymentPlan::Approve { is_known, by }),
        1 => (prop::bool::weighted(0.9), 0..4_u8).prop_map(|(is_known, by)| DeploymentPlan::Reject { is_known, by }),
        1 => Just(DeploymentPlan::Release),
        1 => any::<bool>().prop_map(DeploymentPlan::Break),
        1 => prop::bool::weighted(0.3).prop_map(DeploymentPlan::Crash),
        1 => prop::option::of(prop_oneof![Just(0_u32), Just(900_000_u32)]).prop_map(DeploymentPlan::Metric),
        1 => any::<bool>().prop_map(DeploymentPlan::Job),
    ]
    .boxed()
}

/// Stories of a deployment.
pub fn deployment_stories() -> BoxedStrategy<Vec<Step<DeploymentPlan>>> {
    let begin = || setup().prop_map(DeploymentPlan::Request);
    // Most of a calm story is work, so that it gets to the end of a rollout.
    let calm = prop_oneof![
        20 => (0..4_u8).prop_map(DeploymentPlan::Act),
        1 => Just(DeploymentPlan::Resume),
        1 => (Just(true), 0..4_u8).prop_map(|(is_known, by)| DeploymentPlan::Approve { is_known, by }),
        1 => deployment_plans(),
    ];
    prop_oneof![story(begin(), deployment_plans(), 70), story(begin(), calm, 90)].boxed()
}
