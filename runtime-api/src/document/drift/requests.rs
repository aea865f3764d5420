//! What is asked of drift, and what comparisons show.

use std::collections::BTreeMap;

use runtime_domain::drift::compare::{PathRule as Rule, Treatment as Compared};
use runtime_domain::drift::watch::{DesiredStatePath, DriftWatch as Watched, WatchState, WatchTerms};
use runtime_domain::drift::{
    ComparisonPolicy, NotCompared as Unseen, RemediationBudget, RemediationMode, RemediationPolicy, Severity,
    Suppressed as Owned,
};
use runtime_domain::id::{DriftFindingId, EnvironmentId};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{ModuleId, Percent, Revision};
use runtime_services::drift::{
    Divergence as Diverged, DriftExplanation as Explained, DriftReport as Report, Remedy as Repair,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Difference, DriftKind, Status, Subject, Watching};
use crate::document::millis;
use crate::problem::{Problem, ProblemKind};

/// Asks for a list of findings. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListDriftFindings {
    /// Only in this environment.
    #[serde(default)]
    pub environment_id: Option<EnvironmentId>,
    /// Only about this module.
    #[serde(default)]
    pub module: Option<ModuleId>,
    /// Only with one of these statuses.
    #[serde(default)]
    pub status: Vec<Status>,
    /// Where to go on: the cursor of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many to a page, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Asks for a finding's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DriftFindingHistoryRequest {
    /// The finding.
    pub finding_id: DriftFindingId,
    /// The number of the entry to go on after.
    #[serde(default)]
    pub after: Option<u64>,
    /// How many entries, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Accepts a divergence for a while, in the caller's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptDriftException {
    /// The finding.
    pub finding_id: DriftFindingId,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
    /// Until when: at most 90 days.
    pub expires_at: Timestamp,
}

/// Names a finding, and says why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DriftFindingReason {
    /// The finding.
    pub finding_id: DriftFindingId,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
}

/// Compares an environment with its desired state from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchEnvironment {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// On which terms.
    pub terms: Terms,
}

/// Compares an environment no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopWatching {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
}

/// On which terms an environment is compared with its desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DriftTerms")]
pub struct Terms {
    /// The folder of the source that says what is desired; `.` is the whole source.
    #[schemars(
        length(max = 256),
        regex(pattern = r"^(\.|[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*)$")
    )]
    pub path: String,
    /// How often it is compared, in milliseconds.
    #[serde(default = "quarter_of_a_minute")]
    pub interval_millis: u64,
    /// How old what was seen may be, in milliseconds.
    #[serde(default = "five_minutes")]
    pub fresh_for_millis: u64,
    /// How grave each kind is, where that is not as usual.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "$ref": "#/components/schemas/DriftKind" }))]
    pub severities: BTreeMap<DriftKind, Severity>,
    /// How the values at some paths of what was provisioned are compared, where that is not member by member.
    #[serde(default)]
    pub rules: Vec<PathRule>,
    /// What is done about each kind; those that are not named are told.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "$ref": "#/components/schemas/DriftKind" }))]
    pub modes: BTreeMap<DriftKind, RemediationMode>,
    /// How often a repair is tried, and for how long.
    #[serde(default)]
    pub budget: Budget,
    /// Nothing is removed where more than this share of all would be.
    #[serde(default = "half")]
    pub prune_at_most_percent: Percent,
}

const fn quarter_of_a_minute() -> u64 {
    15_000
}
const fn five_minutes() -> u64 {
    300_000
}
const fn half() -> Percent {
    Percent::HALF
}

/// How often a repair is tried, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "RemediationBudget")]
pub struct Budget {
    /// How often.
    pub most_attempts: u16,
    /// How long it waits after the first failure, in milliseconds; twice as long after each.
    pub first_backoff_millis: u64,
    /// How long it waits at the most, in milliseconds.
    pub longest_backoff_millis: u64,
    /// How long one may take, in milliseconds.
    pub deadline_millis: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(&RemediationBudget::default())
    }
}

impl Budget {
    fn of(budget: &RemediationBudget) -> Self {
        Self {
            most_attempts: budget.most_attempts(),
            first_backoff_millis: millis(budget.backoff(1)),
            longest_backoff_millis: millis(budget.backoff(u16::MAX)),
            deadline_millis: millis(budget.deadline()),
        }
    }
}

/// How the values at every path that matches are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DriftPathRule")]
pub struct PathRule {
    /// The members that lead there; `*` is any member or element.
    pub path: Vec<String>,
    /// How they are compared.
    pub treatment: Treatment,
}

/// How the values at a path are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DriftTreatment")]
pub enum Treatment {
    /// Being absent means this value.
    AbsentMeans {
        /// The value, as a text of JSON.
        value: String,
    },
    /// A quantity: `500m` is `0.5`, `1Gi` is `1073741824`.
    Quantity {},
    /// The list has no order.
    Unordered {
        /// The member by which elements are matched that all have a text of their own there; by all of it where it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<String>,
    },
    /// Not compared: something else owns it.
    Ignored {},
}

impl PathRule {
    fn into_rule(self) -> Result<Rule, serde_json::Error> {
        let treatment = match self.treatment {
            Treatment::AbsentMeans { value } => Compared::AbsentMeans(serde_json::from_str(&value)?),
            Treatment::Quantity {} => Compared::Quantity,
            Treatment::Unordered { member } => Compared::Unordered(member),
            Treatment::Ignored {} => Compared::Ignored,
        };
        Ok(Rule { path: self.path, treatment })
    }

    fn of(rule: &Rule) -> Self {
        let treatment = match &rule.treatment {
            Compared::AbsentMeans(value) => Treatment::AbsentMeans { value: value.to_string() },
            Compared::Quantity => Treatment::Quantity {},
            Compared::Unordered(member) => Treatment::Unordered { member: member.clone() },
            Compared::Ignored => Treatment::Ignored {},
        };
        Self { path: rule.path.clone(), treatment }
    }
}

impl Terms {
    pub(crate) fn into_terms(self) -> Result<WatchTerms, Problem> {
        let unprocessable =
            |error: String| Problem::new(ProblemKind::Unprocessable, format!("terms: {error}"));
        let path = DesiredStatePath::new(&self.path).map_err(|error| unprocessable(error.to_string()))?;
        let budget = RemediationBudget::new(
            self.budget.most_attempts,
            Span::from_millis(self.budget.first_backoff_millis),
            Span::from_millis(self.budget.longest_backoff_millis),
            Span::from_millis(self.budget.deadline_millis),
        );
        let rules = self.rules.into_iter().enumerate().map(|(number, rule)| {
            rule.into_rule().map_err(|error| format!("rules[{number}].treatment: {error}"))
        });
        Ok(WatchTerms {
            path,
            interval: Span::from_millis(self.interval_millis),
            comparison: ComparisonPolicy {
                fresh_for: Span::from_millis(self.fresh_for_millis),
                severities: self.severities.into_iter().map(|(kind, grave)| (kind.stored(), grave)).collect(),
                rules: rules.collect::<Result<_, _>>().map_err(unprocessable)?,
            },
            remediation: RemediationPolicy {
                modes: self.modes.into_iter().map(|(kind, mode)| (kind.stored(), mode)).collect(),
                budget: budget.map_err(|error| unprocessable(error.to_string()))?,
            },
            prune_at_most: self.prune_at_most_percent,
        })
    }

    fn of(terms: &WatchTerms) -> Self {
        let WatchTerms { path, interval, comparison, remediation, prune_at_most } = terms;
        Self {
            path: path.as_str().to_owned(),
            interval_millis: millis(*interval),
            fresh_for_millis: millis(comparison.fresh_for),
            severities: comparison.severities.iter().map(|(kind, grave)| ((*kind).into(), *grave)).collect(),
            rules: comparison.rules.iter().map(PathRule::of).collect(),
            modes: remediation.modes.iter().map(|(kind, mode)| ((*kind).into(), *mode)).collect(),
            budget: Budget::of(&remediation.budget),
            prune_at_most_percent: *prune_at_most,
        }
    }
}

/// How an environment is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftWatch {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// On which terms.
    pub terms: Terms,
    /// Whether it is compared.
    pub status: Watching,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How often it was written.
    pub revision: u64,
}

impl DriftWatch {
    pub(crate) fn of(watch: &Watched, revision: Revision) -> Self {
        let (since, cause) = match watch.state() {
            WatchState::Watching(state) => (state.since, None),
            WatchState::Stopped { since, reason } => (*since, Some(reason.clone())),
        };
        Self {
            environment_id: watch.environment_id(),
            terms: Terms::of(watch.terms()),
            status: watch.status().into(),
            since,
            cause,
            revision: revision.0,
        }
    }
}

/// What a comparison shows. Nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftReport {
    /// The revision that says what is desired.
    pub desired_revision: String,
    /// What diverges.
    pub divergences: Vec<Divergence>,
    /// What differs and is no drift, because somebody owns it.
    pub suppressed: Vec<Suppressed>,
    /// What is not known.
    pub not_compared: Vec<NotCompared>,
}

/// A divergence as it was seen, and what would be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Divergence {
    /// What diverges.
    pub subject: Subject,
    /// How.
    pub kind: DriftKind,
    /// How grave it is.
    pub severity: Severity,
    /// Where desired and actual differ, without secrets (X-11).
    pub differences: Vec<Difference>,
    /// The finding that is open about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding_id: Option<DriftFindingId>,
    /// What would be done about it.
    pub remedy: Remedy,
}

/// What would be done about a divergence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DriftRemedy")]
pub struct Remedy {
    /// What.
    pub action: RemedyAction,
    /// Why, or by which document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// What would be done about a divergence, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RemedyAction {
    /// It is told and nothing else.
    Report,
    /// The part of the desired release that diverges is deployed.
    Redeploy,
    /// It is removed.
    Prune,
    /// It would be repaired, and may not be now.
    HeldBack,
    /// The finding waits, or a repair is under way.
    Waits,
}

impl Remedy {
    fn of(repair: Repair) -> Self {
        let (action, because) = match repair {
            Repair::Report { why } => (RemedyAction::Report, Some(why)),
            Repair::Redeploy { document } => (RemedyAction::Redeploy, Some(document)),
            Repair::Prune => (RemedyAction::Prune, None),
            Repair::HeldBack { why } => (RemedyAction::HeldBack, Some(why)),
            Repair::Waits { why } => (RemedyAction::Waits, Some(why)),
        };
        Self { action, because }
    }
}

/// What differs and is no drift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SuppressedDrift")]
pub struct Suppressed {
    /// What differs.
    pub subject: Subject,
    /// How.
    pub kind: DriftKind,
    /// Who owns it.
    pub owner: String,
}

/// What could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotCompared {
    /// What.
    pub subject: Subject,
    /// Why not.
    pub cause: String,
}

impl DriftReport {
    pub(crate) fn of(report: Report) -> Self {
        let divergence = |diverged: Diverged| Divergence {
            subject: Subject::of(&diverged.subject),
            kind: diverged.kind.into(),
            severity: diverged.severity,
            differences: Difference::all(&diverged.diff),
            finding_id: diverged.finding,
            remedy: Remedy::of(diverged.remedy),
        };
        let suppressed = |owned: Owned| Suppressed {
            subject: Subject::of(&owned.subject),
            kind: owned.kind.into(),
            owner: owned.owner.to_string(),
        };
        let unseen = |unseen: Unseen| NotCompared {
            subject: Subject::of(&unseen.subject),
            cause: unseen.why.to_string(),
        };
        Self {
            desired_revision: report.revision.to_string(),
            divergences: report.divergences.into_iter().map(divergence).collect(),
            suppressed: report.suppressed.into_iter().map(suppressed).collect(),
            not_compared: report.not_compared.into_iter().map(unseen).collect(),
        }
    }
}

/// A finding in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftExplanation {
    /// What diverges, and by whose word.
    pub what: String,
    /// Where it stands.
    pub status: String,
    /// What happens next, and when; or what somebody would have to do.
    pub next: String,
}

impl DriftExplanation {
    pub(crate) fn of(explained: Explained) -> Self {
        let Explained { what, status, next } = explained;
        Self { what, status, next }
    }
}
