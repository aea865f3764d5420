//! A deployment's life cycle, as spec.md §2 and the context's table describe it.
//!
//! What the plan does next is not this model's to say: it learns from the events which way a rollout went, and says whether that way
//! exists, who is asked what where, and what is held meanwhile.

use std::collections::BTreeSet;

use crate::model::{Facts, Foreseen, Model, Told, exclusive};
use crate::plan::deployment::{Approval, DeploymentPlan, Setup, Way};

/// The model of a deployment.
#[derive(Debug, Clone, Default)]
pub struct DeploymentModel {
    life: Option<Life>,
}

#[derive(Debug, Clone)]
struct Life {
    setup: Setup,
    status: Status,
    /// Who agreed.
    agreed: BTreeSet<u8>,
    /// Gates before the rollout that have not passed: the approval first, then the job.
    preflight: usize,
    /// Whether the approval passed, or was refused by someone.
    has_verdict: bool,
    has_passed: bool,
    is_promoted: bool,
    touched: BTreeSet<String>,
    keeps_out: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Requested,
    InProgress,
    Paused,
    RollingBack,
    Completed,
    RolledBack,
    Rejected,
    Failed,
}

use Status::{Completed, Failed, InProgress, Paused, Rejected, Requested, RolledBack, RollingBack};

const LIFECYCLE: Foreseen = Foreseen::Refused("LIFECYCLE");
const PUBLISHED: [&str; 3] =
    ["RuntimeDeploymentRequested", "RuntimeDeploymentCompleted", "RuntimeDeploymentRolledBack"];

impl Status {
    const fn has_ended(self) -> bool {
        matches!(self, Completed | RolledBack | Rejected | Failed)
    }
}

impl Setup {
    /// The rule that keeps it from beginning, if one does.
    fn obstacle(&self) -> Option<&'static str> {
        if !self.is_provisioned {
            return Some("ENV-1");
        }
        let has_before = self.before > 0;
        if self.is_rollback {
            return match self.before {
                _ if self.is_foreign => Some("X-1"),
                // Nothing of an empty release serves, or what would be gone back to serves already.
                1 => Some("DEP-2"),
                _ => None,
            };
        }
        if self.clearance != 0 || (self.is_foreign && has_before) {
            return Some("X-1");
        }
        if self.modules == 0 {
            return Some("CONTENT");
        }
        let makes_sense = match &self.way {
            Way::Rolling { surge, unavailable } => surge + unavailable > 0,
            Way::BlueGreen => true,
            Way::Canary(weights) => {
                weights.iter().all(|weight| (1..100).contains(weight))
                    && weights.iter().zip(weights.iter().skip(1)).all(|(one, next)| one < next)
            }
        };
        let can_agree = self.approval.as_ref().is_none_or(|approval| {
            approval.required > 0 && (approval.named == 0 || approval.named >= approval.required)
        });
        if !makes_sense || !can_agree {
            return Some("CONTENT");
        }
        let can = match (&self.way, self.traffic) {
            (Way::Rolling { .. }, traffic) => traffic != 1,
            (Way::BlueGreen, traffic) => traffic != 0,
            (Way::Canary(_), traffic) => traffic == 2,
        };
        (has_before && !can).then_some("CAPABILITY")
    }
}

impl Model for DeploymentModel {
    type Plan = DeploymentPlan;

    fn absent() -> Self {
        Self::default()
    }

    fn foresee(&mut self, plan: &DeploymentPlan, _now: i64) -> Foreseen {
        match (&mut self.life, plan) {
            (None, DeploymentPlan::Request(setup)) => {
                if let Some(rule) = setup.obstacle() {
                    return Foreseen::Refused(rule);
                }
                self.life = Some(Life::of(setup));
                Foreseen::Changes(vec!["RuntimeDeploymentRequested"])
            }
            (None, _) => Foreseen::Report,
            (Some(life), plan) => life.foresee(plan),
        }
    }

    fn learn(&mut self, events: &[Told<'_>]) -> Result<(), String> {
        let Some(life) = &mut self.life else { return Ok(()) };
        for event in events {
            if event.is_published != PUBLISHED.contains(&event.name) {
                return Err(format!("that {} is published is {}", event.name, event.is_published));
            }
            life.learn(event)?;
        }
        Ok(())
    }

    fn facts(&self) -> Option<Facts> {
        let life = self.life.as_ref()?;
        let facts = Facts {
            status: format!("{:?}", life.status),
            claims: life.claims(),
            wakes: !life.status.has_ended(),
            ..Facts::default()
        };
        Some(facts.with("has started", !life.touched.is_empty()).with("has ended", life.status.has_ended()))
    }
}

impl Life {
    fn of(setup: &Setup) -> Self {
        // A way back was judged before: nobody is asked again.
        let asks = !setup.is_rollback;
        Self {
            status: Requested,
            agreed: BTreeSet::new(),
            preflight: usize::from(asks && setup.approval.is_some()) + usize::from(asks && setup.has_job),
            has_verdict: !asks || setup.approval.is_none(),
            has_passed: false,
            is_promoted: false,
            touched: BTreeSet::new(),
            keeps_out: true,
            setup: setup.clone(),
        }
    }

    fn approval(&self) -> Option<&Approval> {
        self.setup.approval.as_ref().filter(|_| !self.setup.is_rollback)
    }

    fn foresee(&mut self, plan: &DeploymentPlan) -> Foreseen {
        match plan {
            DeploymentPlan::Pause { .. } => match self.status {
                Requested | InProgress => Foreseen::Accepted,
                Paused => Foreseen::Same,
                _ => LIFECYCLE,
            },
            DeploymentPlan::Resume => match self.status {
                Paused => Foreseen::Accepted,
                Requested | InProgress => Foreseen::Report,
                _ => LIFECYCLE,
            },
            DeploymentPlan::Promote => match self.status {
                InProgress if self.is_promoted => Foreseen::Same,
                InProgress | Paused => Foreseen::Accepted,
                _ => LIFECYCLE,
            },
            DeploymentPlan::Abort { .. } => match self.status {
                Requested | InProgress | Paused => Foreseen::Accepted,
                RollingBack | RolledBack | Rejected | Failed => Foreseen::Same,
                Completed => LIFECYCLE,
            },
            DeploymentPlan::Release => match self.status {
                RolledBack | Failed if self.kept_out().is_empty() => Foreseen::Same,
                RolledBack | Failed => Foreseen::Accepted,
                _ => LIFECYCLE,
            },
            DeploymentPlan::Approve { is_known, by } => self.approve(*is_known, *by),
            DeploymentPlan::Reject { is_known, by } => {
                self.asked(*is_known, *by).unwrap_or(Foreseen::Accepted)
            }
            _ if self.status.has_ended() => Foreseen::Same,
            _ => Foreseen::Report,
        }
    }

    /// Why someone may not speak now, if they may not.
    fn asked(&self, is_known: bool, by: u8) -> Option<Foreseen> {
        if self.status == RollingBack || self.status.has_ended() {
            return Some(LIFECYCLE);
        }
        let Some(approval) = self.approval().filter(|_| is_known && !self.has_verdict) else {
            return Some(Foreseen::Refused("DEP-1"));
        };
        (approval.named > 0 && by >= approval.named).then_some(Foreseen::Refused("DEP-1"))
    }

    fn approve(&mut self, is_known: bool, by: u8) -> Foreseen {
        if is_known && self.has_passed {
            return Foreseen::Same;
        }
        if let Some(answer) = self.asked(is_known, by) {
            return answer;
        }
        if self.agreed.insert(by) { Foreseen::Accepted } else { Foreseen::Same }
    }

    fn has_agreed(&self) -> bool {
        self.approval().is_some_and(|approval| self.agreed.len() >= usize::from(approval.required))
    }

    fn go(&mut self, from: &[Status], to: Status, event: &str) -> Result<(), String> {
        if !from.contains(&self.status) {
            return Err(format!("{event} cannot happen while it is {:?}", self.status));
        }
        self.status = to;
        Ok(())
    }

    fn learn(&mut self, event: &Told<'_>) -> Result<(), String> {
        let (name, is_touched) = (event.name, !self.touched.is_empty());
        match name {
            "RuntimeDeploymentRequested" | "RolloutPlanned" => self.go(&[Requested], Requested, name),
            "EffectIntended" => self.intend(event),
            "RolloutPaused" => self.go(&[Requested, InProgress], Paused, name),
            "RolloutResumed" if is_touched => self.go(&[Paused], InProgress, name),
            "RolloutResumed" => self.go(&[Paused], Requested, name),
            "RolloutPromoted" => {
                self.is_promoted = true;
                self.go(&[Requested, InProgress], self.status, name)
            }
            "GatePassed" if self.preflight > 0 => {
                self.preflight -= 1;
                if !self.has_verdict {
                    if !self.has_agreed() {
                        return Err("the approval passed, and too few have agreed".to_owned());
                    }
                    (self.has_verdict, self.has_passed) = (true, true);
                }
                self.go(&[Requested], Requested, name)
            }
            "GateFailed" => {
                self.has_verdict = true;
                self.go(&[Requested, InProgress, Paused], self.status, name)
            }
            "GatePassed" | "StageSkipped" => self.go(&[Requested, InProgress], self.status, name),
            "RollbackStarted" if is_touched => self.go(&[InProgress, Paused], RollingBack, name),
            "DeploymentRejected" if !is_touched => self.go(&[Requested, Paused], Rejected, name),
            "RuntimeDeploymentCompleted" if self.preflight == 0 => self.go(&[InProgress], Completed, name),
            "RuntimeDeploymentRolledBack" => self.go(&[RollingBack], RolledBack, name),
            "DeploymentFailed" => self.go(&[RollingBack], Failed, name),
            "QuarantineReleased" if self.keeps_out => {
                self.keeps_out = false;
                self.go(&[RolledBack, Failed], self.status, name)
            }
            "StageCleared" | "EffectPerformed" | "EffectDeferred" | "EffectRepeated" | "GateSampled"
            | "GateApproved" | "StageCompleted" | "HoldReleased"
                if !self.status.has_ended() =>
            {
                Ok(())
            }
            _ => Err(format!("{name} cannot happen while it is {:?}", self.status)),
        }
    }

    fn intend(&mut self, event: &Told<'_>) -> Result<(), String> {
        let data = event.data();
        let track = data.get("track").and_then(|track| track.as_str()).unwrap_or_default();
        if self.status == Paused || self.status.has_ended() {
            return Err(format!("something is begun while it is {:?}", self.status));
        }
        match track.strip_prefix("component/") {
            None => Ok(()),
            Some(_) if self.preflight > 0 => {
                Err(format!("{track} is touched before every gate before it has passed"))
            }
            Some(module) => {
                self.touched.insert(module.to_owned());
                if self.status == Requested {
                    self.status = InProgress;
                }
                Ok(())
            }
        }
    }

    fn modules(&self) -> impl Iterator<Item = &'static str> {
        let count = if self.setup.is_rollback { self.setup.modules.max(1) } else { self.setup.modules };
        ["cart", "pay"].into_iter().take(usize::from(count))
    }

    /// The modules whose new image stays out once it has gone back.
    fn kept_out(&self) -> BTreeSet<&'static str> {
        let is_new = !self.setup.is_rollback && self.keeps_out;
        self.modules().filter(|module| is_new && self.touched.contains(*module)).collect()
    }

    fn claims(&self) -> BTreeSet<String> {
        let environment = format!("env_{:032x}", 1);
        let mut claims: BTreeSet<String> = self
            .modules()
            .map(|module| exclusive(format_args!("deployment-number/{environment}/{module}/3")))
            .collect();
        if !self.status.has_ended() {
            claims.extend(
                self.modules().map(|module| exclusive(format_args!("in-flight/{environment}/{module}"))),
            );
        }
        // A way back brings an old image, which is new to who left it: the first deployment's.
        let image = if self.setup.is_rollback { 1 } else { 3 };
        let out =
            |module: &str| exclusive(format_args!("quarantine/{environment}/{module}/sha256:{image:064x}"));
        match self.status {
            Completed | Rejected => {}
            RolledBack | Failed => claims.extend(self.kept_out().into_iter().map(out)),
            Requested | InProgress | Paused | RollingBack => claims.extend(self.modules().map(out)),
        }
        claims
    }
}
