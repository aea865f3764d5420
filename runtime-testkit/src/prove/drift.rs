//! Drift findings: the driver.

use std::collections::BTreeSet;

use proptest::strategy::BoxedStrategy;
use runtime_domain::aggregate::Decision;
use runtime_domain::calendar::Activity;
use runtime_domain::drift::{
    Comparison, DetectDrift, DetectedDrift, DriftCommand, DriftEvent, DriftException, DriftKind, DriftState,
    PlanRemediation, RemediationAction, RemediationBudget, RemediationMode, RemediationPolicy,
    RemediationResult, RuntimeDriftFinding, Severity, Subject,
};
use runtime_domain::scope::Actor;
use runtime_domain::time::{Span, Timestamp};

use crate::model::{DriftModel, Facts};
use crate::plan::Step;
use crate::plan::drift::{Asked, Attempt, Cleared, DriftPlan, Kind, Look, Repair};
use crate::prove::deployment::{brought_version, clearance};
use crate::prove::environment::numbered;
use crate::prove::{Answer, Driver, Fault, Provable};
use crate::strategy::drift::drift_stories;

mod check;
mod compare;

/// Drives drift findings: what is desired and what is there are compared for every question, and deployments and calendars hand out
/// the rest.
#[derive(Debug, Clone)]
pub struct DriftDriver;

impl Driver<RuntimeDriftFinding> for DriftDriver {
    type Plan = DriftPlan;

    fn begin() -> Self {
        Self
    }

    fn ask(
        &self,
        state: Option<&RuntimeDriftFinding>,
        plan: &DriftPlan,
        now: Timestamp,
    ) -> Answer<DriftEvent> {
        match (state, plan) {
            (state, DriftPlan::Detect { look, kind, mode }) => seeing(look, *kind, now, |drift| {
                let (drift_finding_id, mode) = (numbered(5), self::mode(*mode));
                match state {
                    None => Answer::of(RuntimeDriftFinding::detect(
                        &DetectDrift { drift_finding_id, drift, mode },
                        now,
                    )),
                    Some(finding) => Answer::of(finding.detect_again(&drift, now)),
                }
            }),
            (None, _) => Answer::Nothing,
            (Some(finding), DriftPlan::Replaced { look, kind }) => seeing(look, *kind, now, |drift| {
                Answer::of(finding.decide(&DriftCommand::SeeReplaced { drift }, now))
            }),
            (Some(finding), DriftPlan::InSync { look, kind, brought }) => compared(look, now, |comparison| {
                let subject = compare::subject(look.subject)?;
                let Some(in_sync) = comparison.in_sync(&subject, compare::kind(*kind)) else {
                    return Some(nothing_seen());
                };
                let deployed = match brought {
                    Some(brought) => Some(Box::new(brought_version(brought.number, brought.whose, now)?)),
                    None => None,
                };
                Some(Answer::of(finding.decide(&DriftCommand::SeeInSync { in_sync, deployed }, now)))
            }),
            (Some(finding), plan) => match command(finding, plan, now) {
                Some(command) => Answer::of(finding.decide(&command, now)),
                None => Answer::Nothing,
            },
        }
    }
}

/// A comparison that shows nothing of what was asked gives nothing to report.
fn nothing_seen() -> Answer<DriftEvent> {
    Answer::Decided(Decision::unchanged("the comparison does not show it"))
}

fn compared(
    look: &Look,
    now: Timestamp,
    ask: impl FnOnce(Comparison) -> Option<Answer<DriftEvent>>,
) -> Answer<DriftEvent> {
    match compare::compared(look, now) {
        Some(Ok(comparison)) => ask(comparison).unwrap_or(Answer::Nothing),
        Some(Err(refusal)) => Answer::refused(&refusal),
        None => Answer::Nothing,
    }
}

fn seeing(
    look: &Look,
    kind: Kind,
    now: Timestamp,
    ask: impl FnOnce(DetectedDrift) -> Answer<DriftEvent>,
) -> Answer<DriftEvent> {
    compared(look, now, |comparison| {
        let subject = compare::subject(look.subject)?;
        let kind = compare::kind(kind);
        let mut detected = comparison.detected.into_iter();
        let drift = detected.find(|drift| *drift.subject() == subject && drift.kind() == kind);
        Some(drift.map_or_else(nothing_seen, ask))
    })
}

const fn mode(number: u8) -> RemediationMode {
    match number {
        0 => RemediationMode::Off,
        1 => RemediationMode::Warn,
        _ => RemediationMode::Remediate,
    }
}

fn person(number: u8) -> Option<Actor> {
    Actor::new(&format!("person-{number}")).ok()
}

fn command(finding: &RuntimeDriftFinding, plan: &DriftPlan, now: Timestamp) -> Option<DriftCommand> {
    let later = |seconds: i32| {
        let millis = Span::between(Timestamp::UNIX_EPOCH, now).as_millis();
        let millis = millis.checked_add_signed(i64::from(seconds) * 1_000)?;
        Some(Span::from_millis(millis).after(Timestamp::UNIX_EPOCH))
    };
    Some(match plan {
        DriftPlan::Detect { .. } | DriftPlan::InSync { .. } | DriftPlan::Replaced { .. } => return None,
        DriftPlan::Repair(asked) => DriftCommand::PlanRemediation(repair(asked, now)?),
        DriftPlan::Postpone { seconds, reason } => {
            DriftCommand::PostponeRemediation { until: later(*seconds)?, reason: reason.text() }
        }
        DriftPlan::Failed { attempt, reason } => {
            let last = finding.attempts().last().map_or(0, |attempt| attempt.number);
            let attempt = match attempt {
                Attempt::Last => last,
                Attempt::Before => last.saturating_sub(1),
                Attempt::Next => last + 1,
            };
            DriftCommand::RecordRemediationFailed { attempt, reason: reason.text() }
        }
        DriftPlan::Retry => DriftCommand::RetryRemediation { by: person(0)? },
        DriftPlan::Accept { by, seconds, reason } => DriftCommand::AcceptException(DriftException {
            owner: person(*by)?,
            reason: reason.text(),
            expires_at: later(*seconds)?,
        }),
        DriftPlan::Revoke { reason } => DriftCommand::RevokeException { reason: reason.text() },
        DriftPlan::Tick => DriftCommand::Tick,
    })
}

fn repair(asked: &Asked, now: Timestamp) -> Option<PlanRemediation> {
    let seconds = |seconds: u32| Span::from_secs(seconds.into());
    let budget = asked.budget;
    let budget = RemediationBudget::new(
        budget.most,
        seconds(budget.first),
        seconds(budget.longest),
        seconds(budget.deadline),
    );
    let (tenant, environment, activity) = match asked.cleared {
        Cleared::Repair => (1, 1, Activity::Remediation),
        Cleared::Rotation => (1, 1, Activity::Rotation),
        Cleared::Elsewhere => (1, 2, Activity::Remediation),
        Cleared::Foreign => (2, 1, Activity::Remediation),
    };
    Some(PlanRemediation {
        action: match asked.repair {
            Repair::Deploy(number) => {
                RemediationAction::Redeploy { deployment: numbered(100 + u128::from(number)) }
            }
            Repair::Prune => RemediationAction::Prune,
        },
        policy: RemediationPolicy {
            modes: DriftKind::ALL.map(|kind| (kind, mode(asked.mode))).into(),
            budget: budget.ok()?,
        },
        requested_by: if asked.is_requested { Some(person(1)?) } else { None },
        quarantined: match asked.quarantined {
            Some(number) => BTreeSet::from([compare::image(number)?]),
            None => BTreeSet::new(),
        },
        clearance: clearance(tenant, environment, activity, now)?,
    })
}

impl Provable for RuntimeDriftFinding {
    type Plan = DriftPlan;
    type Driver = DriftDriver;
    type Model = DriftModel;

    const FINAL: &'static [&'static str] = &["Resolved", "Vanished"];
    const KEPT: &'static [&'static str] = &[];

    fn stories() -> BoxedStrategy<Vec<Step<DriftPlan>>> {
        drift_stories()
    }

    fn is_idempotent(_plan: &DriftPlan) -> bool {
        true
    }

    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        check::check(before, after)
    }

    fn facts(&self, facts: Facts) -> Facts {
        use runtime_domain::aggregate::Aggregate;
        let since = |at: Timestamp| (at - self.detected_at()).num_seconds();
        let last = self.attempts().last().map(|last| {
            let by = match last.action {
                RemediationAction::Redeploy { deployment } => (deployment.uuid().as_u128() - 100).to_string(),
                RemediationAction::Prune => "prune".to_owned(),
            };
            let result = match last.result {
                RemediationResult::Running => "running",
                RemediationResult::Succeeded => "succeeded",
                RemediationResult::Failed { .. } => "failed",
            };
            (last.number, by, result, since(last.timestamp))
        });
        let by = match self.state() {
            DriftState::Excepted(exception) => format!("{}: {}", exception.owner, exception.reason),
            _ => String::new(),
        };
        let image =
            self.desired_image().and_then(|image| u8::from_str_radix(image.as_str().get(69..)?, 16).ok());
        let revision = self.revision().as_str().rsplit('@').next().unwrap_or_default();
        facts
            .with("tenant", self.tenant_id().uuid().as_u128())
            .with("diverges", format!("{} {}", shown(self.subject()), shown_kind(self.kind())))
            .with("revision", revision)
            .with("severity", grade(self.severity()))
            .with("desired image", format!("{image:?}"))
            .with("sightings", self.sightings())
            .with("last seen", since(self.last_seen_at()))
            .with("attempts", format!("{}, last {last:?}", self.attempts().len()))
            .with("accepted by", by)
            .with("wakes at", format!("{:?}", self.wake_at().map(since)))
    }
}

fn shown(subject: &Subject) -> &'static str {
    match subject {
        Subject::Component(name) if name.as_str() == "cart" => "Cart",
        Subject::Component(_) => "Pay",
        Subject::Resource(_) => "Queue",
    }
}

const fn shown_kind(kind: DriftKind) -> &'static str {
    match kind {
        DriftKind::ImageVersionMismatch => "Image",
        DriftKind::ReplicaMismatch => "Replicas",
        DriftKind::ConfigDrift => "Configuration",
        DriftKind::MissingResource => "Missing",
        DriftKind::UnmanagedResource => "Unmanaged",
    }
}

const fn grade(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}
