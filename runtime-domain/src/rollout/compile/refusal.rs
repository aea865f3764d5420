//! Why a plan cannot be made.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};

use crate::refusal::{Refusal, Rule};
use crate::rollout::compile::PlanInput;
use crate::rollout::gate::{GateCheck, GatePoint, GateSpec};
use crate::rollout::strategy::DeploymentStrategy;
use crate::surface::{SurfaceKind, TrafficControl};
use crate::value::{ModuleId, Name};

/// Why a plan cannot be made. Nothing was touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanRefusal {
    /// There is nothing to roll out.
    #[error("the release has no components")]
    Empty,
    /// A component's key and its own name differ.
    #[error("component `{module}` is listed under another name")]
    Misnamed {
        /// The component.
        module: ModuleId,
    },
    /// A component depends on one that is not part of the release.
    #[error("component `{module}` depends on `{missing}`, which the release does not contain")]
    UnknownDependency {
        /// The component.
        module: ModuleId,
        /// What it depends on.
        missing: ModuleId,
    },
    /// Components depend on each other in a circle.
    #[error("components {modules} depend on each other in a circle")]
    DependencyCycle {
        /// Their names.
        modules: String,
    },
    /// The strategy's parameters make no sense.
    #[error("the strategy cannot be carried out: {why}")]
    Strategy {
        /// What is wrong.
        why: &'static str,
        /// What would be right.
        remedy: &'static str,
    },
    /// A gate makes no sense.
    #[error("gate `{gate}` cannot be evaluated: {why}")]
    Gate {
        /// The gate.
        gate: Name,
        /// What is wrong.
        why: String,
        /// What would be right.
        remedy: &'static str,
    },
    /// The environment does not have the surface that a component wants.
    #[error("component `{module}` wants surface `{surface}`, which this host does not have")]
    UnknownSurface {
        /// The component.
        module: ModuleId,
        /// The surface.
        surface: SurfaceKind,
    },
    /// The surface cannot do what the plan would need.
    #[error("surface `{surface}` cannot {need}, which component `{module}` would need")]
    Capability {
        /// The component.
        module: ModuleId,
        /// The surface.
        surface: SurfaceKind,
        /// What it cannot do.
        need: &'static str,
    },
}

impl Refusal for PlanRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::Capability { .. } | Self::UnknownSurface { .. } => Rule::Capability,
            _ => Rule::Content,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Empty => "add at least one component".to_string(),
            Self::Misnamed { .. } => "list each component under its own module name".to_string(),
            Self::UnknownDependency { missing, .. } => {
                format!("add `{missing}` to the release, or drop it from depends_on if it already runs")
            }
            Self::DependencyCycle { .. } => "remove one of the dependencies".to_string(),
            Self::Strategy { remedy, .. } | Self::Gate { remedy, .. } => (*remedy).to_string(),
            Self::UnknownSurface { .. } => {
                "choose a surface that the environment was provisioned with and the host has an adapter for".to_string()
            }
            Self::Capability { .. } => {
                "choose another strategy, or another surface for the component; RollingHealthGated asks least of a surface"
                    .to_string()
            }
        }
    }
}

pub(super) fn check(input: PlanInput<'_>) -> Result<(), PlanRefusal> {
    if input.components.is_empty() {
        return Err(PlanRefusal::Empty);
    }
    if let Some((_, component)) =
        input.components.iter().find(|(module, component)| **module != component.module)
    {
        return Err(PlanRefusal::Misnamed { module: component.module.clone() });
    }
    check_strategy(input.strategy)?;
    check_gates(input)?;
    check_surfaces(input)
}

fn check_strategy(strategy: &DeploymentStrategy) -> Result<(), PlanRefusal> {
    match strategy {
        DeploymentStrategy::RollingHealthGated(rolling)
            if rolling.max_surge == 0 && rolling.max_unavailable == 0 =>
        {
            Err(PlanRefusal::Strategy {
                why: "with neither surge nor unavailable instances nothing can be replaced",
                remedy: "set max_surge or max_unavailable to at least 1",
            })
        }
        DeploymentStrategy::Canary(canary) => {
            let weights: alloc::vec::Vec<u8> = canary.steps.iter().map(|step| step.weight.get()).collect();
            let rising = weights.windows(2).all(|pair| matches!(pair, [lower, higher] if lower < higher));
            if rising && weights.iter().all(|weight| (1..=99).contains(weight)) {
                Ok(())
            } else {
                Err(PlanRefusal::Strategy {
                    why: "canary weights do not rise between 1% and 99%",
                    remedy: "write weights that rise strictly, from 1 to 99; the step to 100 follows by itself",
                })
            }
        }
        DeploymentStrategy::RollingHealthGated(_) | DeploymentStrategy::BlueGreen(_) => Ok(()),
    }
}

fn check_gates(input: PlanInput<'_>) -> Result<(), PlanRefusal> {
    let mut names = BTreeSet::new();
    for gate in input.gates {
        let refused = |why: String, remedy| Err(PlanRefusal::Gate { gate: gate.name.clone(), why, remedy });
        if !names.insert(&gate.name) {
            return refused(
                "another gate has the same name".to_string(),
                "give every gate a name of its own",
            );
        }
        if let Some(module) = gate.modules.iter().find(|module| !input.components.contains_key(*module)) {
            return refused(
                format!("it judges `{module}`, which the release does not contain"),
                "name modules of the release",
            );
        }
        if let GateCheck::Job(job) = &gate.check
            && let Some(module) =
                job.component.as_ref().filter(|module| !input.components.contains_key(*module))
        {
            return refused(
                format!("its job works for `{module}`, which the release does not contain"),
                "name a component of the release, or none",
            );
        }
        if let Some((why, remedy)) = fault(gate) {
            return refused(why.to_string(), remedy);
        }
    }
    Ok(())
}

fn fault(gate: &GateSpec) -> Option<(&'static str, &'static str)> {
    let before_or_after = matches!(gate.at, GatePoint::BeforeRollout | GatePoint::AfterRollout);
    match &gate.check {
        GateCheck::Readiness => Some(("every new revision has this gate by itself", "remove it")),
        GateCheck::Probe(_) if gate.at == GatePoint::BeforeRollout => {
            Some(("before the rollout there is nothing to probe", "set `at` to before-traffic or later"))
        }
        GateCheck::Metric(_) if !matches!(gate.at, GatePoint::DuringTraffic | GatePoint::AfterRollout) => {
            Some((
                "without traffic there is nothing to measure",
                "set `at` to during-traffic or after-rollout",
            ))
        }
        GateCheck::Probe(check) if check.interval.is_zero() || check.timeout.is_zero() => {
            Some(("its interval or time-out is zero", "set both to at least 1ms"))
        }
        GateCheck::Metric(check) if check.interval.is_zero() => {
            Some(("its interval is zero", "set it to at least 1ms"))
        }
        GateCheck::Metric(check) if check.freshness.is_zero() => {
            Some(("no sample is ever that fresh", "set `freshness` to at least 1ms"))
        }
        GateCheck::Metric(check) if check.min_samples == 0 => {
            Some(("a verdict would rest on no sample at all", "set min_samples to at least 1"))
        }
        GateCheck::Approval(_) | GateCheck::Job(_) if !before_or_after => Some((
            "approvals and jobs judge the release as a whole",
            "set `at` to before-rollout or after-rollout",
        )),
        GateCheck::Approval(check) if check.required == 0 => {
            Some(("nobody would have to approve", "set `required` to at least 1"))
        }
        GateCheck::Approval(check)
            if !check.approvers.is_empty() && check.approvers.len() < usize::from(check.required) =>
        {
            Some((
                "more approvals are required than there are approvers",
                "lower `required` or name more approvers",
            ))
        }
        GateCheck::Job(job) if job.timeout.is_zero() => {
            Some(("its job has no time", "set the job's timeout to at least 1ms"))
        }
        _ => None,
    }
}

fn check_surfaces(input: PlanInput<'_>) -> Result<(), PlanRefusal> {
    for component in input.components.values() {
        let module = || component.module.clone();
        let surface = component.surface;
        let able = input
            .surfaces
            .get(&surface)
            .ok_or_else(|| PlanRefusal::UnknownSurface { module: module(), surface })?;
        let cannot = |need| Err(PlanRefusal::Capability { module: module(), surface, need });
        let Some(point) = input.restore_points.get(&component.module) else { continue };
        if point.component.surface != surface {
            return cannot("take over a component that another surface runs");
        }
        if able.concurrent_revisions < 2 {
            return cannot("run two revisions side by side");
        }
        let measures = input.gates.iter().any(|gate| {
            matches!(gate.check, GateCheck::Metric(_))
                && (gate.modules.is_empty() || gate.modules.contains(&component.module))
        });
        if measures && !able.metrics_by_revision {
            return cannot("tell metrics apart by revision");
        }
        match (input.strategy, able.traffic) {
            (DeploymentStrategy::RollingHealthGated(_), TrafficControl::Switch) => {
                return cannot("route to two revisions at once");
            }
            (DeploymentStrategy::BlueGreen(_), TrafficControl::PerInstance) => {
                return cannot("move all traffic in one step");
            }
            (DeploymentStrategy::Canary(_), TrafficControl::PerInstance | TrafficControl::Switch) => {
                return cannot("divide traffic by weight");
            }
            _ => {}
        }
    }
    Ok(())
}
