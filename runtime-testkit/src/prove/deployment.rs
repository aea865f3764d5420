//! Deployments: the driver, which keeps a small world beside them.

use proptest::strategy::BoxedStrategy;
use runtime_domain::aggregate::Aggregate;
use runtime_domain::deployment::{DeploymentCommand, DeploymentEvent, EffectOutcome, RuntimeDeployment};
use runtime_domain::rollout::{Action, Look};
use runtime_domain::scope::Actor;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Name;

use crate::model::{DeploymentModel, Facts};
use crate::plan::Step;
use crate::plan::deployment::DeploymentPlan;
use crate::prove::{Answer, Driver, Fault, Provable};
use crate::strategy::deployment::deployment_stories;

mod check;
mod scaled;
mod setup;
mod world;

pub(super) use scaled::released_scaling;
pub(super) use setup::{brought_version, clearance};
use world::{World, pick};

/// Drives deployments: brings about the environment and the deployments before, hands their evidence over, and then acts on a world as a
/// reconciler would.
#[derive(Debug, Clone)]
pub struct DeploymentDriver {
    world: World,
}

impl Driver<RuntimeDeployment> for DeploymentDriver {
    type Plan = DeploymentPlan;

    fn begin() -> Self {
        Self { world: World::empty() }
    }

    fn ask(
        &self,
        state: Option<&RuntimeDeployment>,
        plan: &DeploymentPlan,
        now: Timestamp,
    ) -> Answer<DeploymentEvent> {
        match (state, plan) {
            (None, DeploymentPlan::Request(setup)) => setup::ask(setup, now),
            (None, _) | (Some(_), DeploymentPlan::Request(_)) => Answer::Nothing,
            (Some(deployment), plan) => match self.command(deployment, plan, now) {
                Some(command) => Answer::of(deployment.decide(&command, now)),
                None => Answer::Nothing,
            },
        }
    }

    fn follow(&mut self, before: Option<&RuntimeDeployment>, plan: &DeploymentPlan, now: Timestamp) {
        match (before, plan) {
            (None, DeploymentPlan::Request(wanted)) => self.world = setup::serving(wanted, now),
            (Some(before), DeploymentPlan::Act(number) | DeploymentPlan::LoseAnswer(number)) => {
                if let Some(Action::Perform(effect)) = pick(before, usize::from(*number), now) {
                    self.world.perform(before, &effect);
                }
            }
            (_, DeploymentPlan::Break(is_broken)) => self.world.is_broken = *is_broken,
            (_, DeploymentPlan::Crash(is_crashing)) => self.world.is_crashing = *is_crashing,
            (_, DeploymentPlan::Metric(metric)) => self.world.metric = *metric,
            (_, DeploymentPlan::Job(fail)) => self.world.jobs_fail = *fail,
            _ => {}
        }
    }
}

impl DeploymentDriver {
    fn command(
        &self,
        deployment: &RuntimeDeployment,
        plan: &DeploymentPlan,
        now: Timestamp,
    ) -> Option<DeploymentCommand> {
        let gate = |is_known: bool| Name::new(if is_known { "approval" } else { "unheard-of" }).ok();
        Some(match plan {
            DeploymentPlan::Act(number) => {
                let action = pick(deployment, usize::from(*number), now)?;
                self.carried_out(deployment, action, now)?
            }
            DeploymentPlan::LoseAnswer(number) => {
                let reason = "no answer".to_owned();
                outcome(deployment, *number, EffectOutcome::Unknown { reason }, now)?
            }
            DeploymentPlan::Defer(number) => {
                let reason = "busy".to_owned();
                outcome(deployment, *number, EffectOutcome::Deferred { reason }, now)?
            }
            DeploymentPlan::Refuse(number) => {
                let reason = "never".to_owned();
                outcome(deployment, *number, EffectOutcome::Refused { reason }, now)?
            }
            DeploymentPlan::Tick => DeploymentCommand::Tick,
            DeploymentPlan::Pause { reason } => DeploymentCommand::Pause { reason: reason.clone() },
            DeploymentPlan::Resume => DeploymentCommand::Resume,
            DeploymentPlan::Promote => DeploymentCommand::PromoteNow,
            DeploymentPlan::Abort { reason } => DeploymentCommand::Abort { reason: reason.clone() },
            DeploymentPlan::Approve { is_known, by } => {
                DeploymentCommand::Approve { gate: gate(*is_known)?, by: person(*by)? }
            }
            DeploymentPlan::Reject { is_known, by } => DeploymentCommand::Reject {
                gate: gate(*is_known)?,
                by: person(*by)?,
                reason: "not now".to_owned(),
            },
            DeploymentPlan::Release => DeploymentCommand::ReleaseQuarantine { reason: "repaired".to_owned() },
            DeploymentPlan::Request(_)
            | DeploymentPlan::Break(_)
            | DeploymentPlan::Crash(_)
            | DeploymentPlan::Metric(_)
            | DeploymentPlan::Job(_) => return None,
        })
    }

    /// What a reconciler reports once an action is carried out.
    fn carried_out(
        &self,
        deployment: &RuntimeDeployment,
        action: Action,
        now: Timestamp,
    ) -> Option<DeploymentCommand> {
        Some(match action {
            Action::Intend { track, job } => DeploymentCommand::RecordIntention { track, job },
            Action::Perform(effect) => {
                DeploymentCommand::RecordOutcome { effect: effect.id, outcome: EffectOutcome::Done }
            }
            Action::Look(Look::Component { module }) => DeploymentCommand::RecordObservation {
                observation: self.world.observe(deployment, &module, now),
            },
            Action::Look(Look::Metric { gate, .. }) => {
                DeploymentCommand::RecordReading { gate, reading: Ok(self.world.reading(now)) }
            }
            Action::Look(Look::Job { gate, .. }) => {
                DeploymentCommand::RecordJob { gate, report: self.world.job() }
            }
            Action::Look(Look::Probe { gate, .. }) => {
                DeploymentCommand::RecordProbes { gate, results: Vec::new() }
            }
            Action::Tick => DeploymentCommand::Tick,
        })
    }
}

fn outcome(
    deployment: &RuntimeDeployment,
    number: u8,
    outcome: EffectOutcome,
    now: Timestamp,
) -> Option<DeploymentCommand> {
    match pick(deployment, usize::from(number), now)? {
        Action::Perform(effect) => Some(DeploymentCommand::RecordOutcome { effect: effect.id, outcome }),
        _ => None,
    }
}

fn person(number: u8) -> Option<Actor> {
    Actor::new(&format!("person-{number}")).ok()
}

/// Acts until the deployment has ended, or would need people; the world follows.
fn settle(
    driver: &mut DeploymentDriver,
    mut deployment: RuntimeDeployment,
    mut now: Timestamp,
) -> Option<RuntimeDeployment> {
    for _ in 0..400 {
        if deployment.status().is_final() {
            return Some(deployment);
        }
        let mut has_changed = false;
        for number in 0..4 {
            let plan = DeploymentPlan::Act(number);
            let Answer::Decided(decision) = driver.ask(Some(&deployment), &plan, now) else { break };
            driver.follow(Some(&deployment), &plan, now);
            has_changed |= !decision.is_unchanged();
            for event in &decision.events {
                deployment = RuntimeDeployment::evolve(Some(deployment), event, now).ok()?;
            }
        }
        if !has_changed {
            now = Span::from_secs(1).after(now);
        }
    }
    None
}

impl Provable for RuntimeDeployment {
    type Plan = DeploymentPlan;
    type Driver = DeploymentDriver;
    type Model = DeploymentModel;

    const FINAL: &'static [&'static str] = &["Completed", "RolledBack", "Rejected", "Failed"];
    const KEPT: &'static [&'static str] = &["deployment-number/", "quarantine/"];

    fn stories() -> BoxedStrategy<Vec<Step<DeploymentPlan>>> {
        deployment_stories()
    }

    fn is_idempotent(plan: &DeploymentPlan) -> bool {
        matches!(
            plan,
            DeploymentPlan::Pause { .. }
                | DeploymentPlan::Promote
                | DeploymentPlan::Abort { .. }
                | DeploymentPlan::Approve { .. }
                | DeploymentPlan::Release
                | DeploymentPlan::Tick
        )
    }

    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        check::check(before, after)
    }

    fn facts(&self, facts: Facts) -> Facts {
        facts
            .with("has started", self.started_at().is_some())
            .with("has ended", self.completed_at().is_some())
    }
}
