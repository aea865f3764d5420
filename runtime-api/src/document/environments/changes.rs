//! What is asked of environments that are there.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::calendar::{
    Activity, ChangeCalendar as Calendar, ChangeWindow, Day, Freeze as Frozen, LocalTime, Opening, TimeZone,
};
use runtime_domain::environment::{EnvironmentChange, EnvironmentStage, RuntimeEnvironment};
use runtime_domain::id::{EnvironmentId, ProjectId};
use runtime_domain::promotion::{PromotionPolicy as Policy, Upstreams};
use runtime_domain::scope::Actor;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, Region};
use runtime_ports::infrastructure::{ResourceCondition, ResourceFinding};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvironmentStatus, Quota};
use crate::document::millis;
use crate::problem::{Problem, ProblemKind};

/// A time of day on a day, wherever that is.
const LOCAL: &str = r"^[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-9]))T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?$";

/// Asks for a list of environments. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListEnvironments {
    /// Only with one of these statuses.
    #[serde(default)]
    pub status: Vec<EnvironmentStatus>,
    /// Only of this stage.
    #[serde(default)]
    pub stage: Option<EnvironmentStage>,
    /// Only of this project.
    #[serde(default)]
    pub project_id: Option<ProjectId>,
    /// Where to go on: the cursor of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many to a page, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Asks for an environment's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentHistoryRequest {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The number of the entry to go on after.
    #[serde(default)]
    pub after: Option<u64>,
    /// How many entries, 1 to 500.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
}

/// Changes an environment. What is not said stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeEnvironment {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Another name.
    #[serde(default)]
    pub name: Option<Name>,
    /// Another stage.
    #[serde(default)]
    pub stage: Option<EnvironmentStage>,
    /// Another region.
    #[serde(default)]
    pub region: Option<Region>,
    /// The surfaces that it needs.
    #[serde(default)]
    pub surfaces: Option<SurfacesWanted>,
    /// Destinations that workloads may call.
    #[serde(default)]
    pub egress_allow_list: Option<EgressWanted>,
    /// How much its tenants may be given in all.
    #[serde(default)]
    pub capacity: Option<Quota>,
}

/// The surfaces of an environment: an object, since protobuf does not tell an empty list from none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SurfacesWanted {
    /// All of them.
    pub kinds: BTreeSet<SurfaceKind>,
}

/// Where workloads may call: an object, since protobuf does not tell an empty list from none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressWanted {
    /// All of them; none where workloads may call nobody.
    pub destinations: BTreeSet<String>,
}

impl ChangeEnvironment {
    pub(crate) fn into_change(self) -> Result<EnvironmentChange, Problem> {
        Ok(EnvironmentChange {
            name: self.name,
            stage: self.stage,
            region: self.region,
            surfaces: self.surfaces.map(|wanted| wanted.kinds),
            egress_allow_list: self.egress_allow_list.map(|wanted| wanted.destinations),
            capacity: self.capacity.map(Quota::into_quota).transpose()?,
        })
    }
}

/// Protects an environment, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeProtection {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Whether it is to be kept from being decommissioned.
    pub is_protected: bool,
}

/// Lets an environment end by itself, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeExpiry {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// After how many seconds it ends; never where it is not said.
    #[serde(default)]
    pub time_to_live_seconds: Option<u64>,
}

/// Stops the line, or resumes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopTheLine {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
}

/// Decommissions an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecommissionEnvironment {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Why. It is kept.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
}

fn utc() -> String {
    TimeZone::default().name().to_owned()
}

/// Changes when an environment may be changed: the whole calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeCalendar {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The zone of its local times: an IANA name.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// When it is open to the activities that they name.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// When it is closed to the activities that they name.
    #[serde(default)]
    pub freezes: Vec<Freeze>,
}

/// A time of some days at which a calendar is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ChangeWindow")]
pub struct Window {
    /// Its name.
    pub name: Name,
    /// To which activities.
    pub activities: BTreeSet<Activity>,
    /// On which days.
    pub days: BTreeSet<Day>,
    /// From when, local time.
    pub from: LocalTime,
    /// Until when; where that is not later, on the next day.
    pub to: LocalTime,
}

/// A stretch of time in which a calendar is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ChangeFreeze")]
pub struct Freeze {
    /// Its name.
    pub name: Name,
    /// To which activities.
    pub activities: BTreeSet<Activity>,
    /// From when, local time: `2026-12-24T00:00:00`.
    #[schemars(extend("pattern" = LOCAL, "format" = "partial-date-time"))]
    pub from: String,
    /// Until when, local time.
    #[schemars(extend("pattern" = LOCAL, "format" = "partial-date-time"))]
    pub until: String,
    /// Why.
    #[schemars(length(min = 1, max = 2_000), regex(pattern = r"\S"))]
    pub reason: String,
}

impl Window {
    fn of(window: &ChangeWindow) -> Self {
        let ChangeWindow { name, activities, days, from, to } = window.clone();
        Self { name, activities, days, from, to }
    }
}

impl Freeze {
    fn of(freeze: &Frozen) -> Self {
        let Frozen { name, activities, from, until, reason } = freeze.clone();
        Self { name, activities, from: format!("{from:?}"), until: format!("{until:?}"), reason }
    }

    /// A day that the calendar does not have is a rule's matter: no pattern knows how long a month is.
    fn frozen(self, number: usize) -> Result<Frozen, Problem> {
        let Self { name, activities, from, until, reason } = self;
        let local = |field: &str, text: &str| {
            text.parse::<chrono::NaiveDateTime>().map_err(|error| {
                Problem::new(ProblemKind::Unprocessable, format!("freezes[{number}].{field}: {error}"))
            })
        };
        Ok(Frozen { name, activities, from: local("from", &from)?, until: local("until", &until)?, reason })
    }
}

impl ChangeCalendar {
    pub(crate) fn into_calendar(self) -> Result<Calendar, Problem> {
        let windows = self.windows.into_iter().map(|window| {
            let Window { name, activities, days, from, to } = window;
            ChangeWindow { name, activities, days, from, to }
        });
        let freezes = self.freezes.into_iter().enumerate().map(|(number, freeze)| freeze.frozen(number));
        let freezes = freezes.collect::<Result<Vec<_>, Problem>>()?;
        let unprocessable = |why: String| Problem::new(ProblemKind::Unprocessable, why);
        let time_zone =
            TimeZone::new(&self.time_zone).map_err(|error| unprocessable(format!("timeZone: {error}")))?;
        Calendar::new(time_zone, windows.collect(), freezes).map_err(|error| unprocessable(error.to_string()))
    }
}

/// When an environment may be changed, and whether it may be now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentCalendar {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The zone of its local times.
    pub time_zone: String,
    /// When it is open.
    pub windows: Vec<Window>,
    /// When it is closed.
    pub freezes: Vec<Freeze>,
    /// How it is now, for each activity.
    pub now: Vec<OpenOrClosed>,
    /// What it asks of a release before it comes; none where it asks nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_policy: Option<PromotionPolicy>,
}

/// Whether a calendar is open to an activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CalendarOpening")]
pub struct OpenOrClosed {
    /// The activity.
    pub activity: Activity,
    /// Whether it is open.
    pub is_open: bool,
    /// When that changes; none where nothing says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl EnvironmentCalendar {
    pub(crate) fn of(environment: &RuntimeEnvironment, now: Timestamp) -> Self {
        let calendar = environment.calendar();
        let openings = Activity::ALL.into_iter().map(|activity| match environment.opening(activity, now) {
            Opening::Open { until } => OpenOrClosed { activity, is_open: true, until, cause: None },
            Opening::Closed { why, opens_at } => {
                OpenOrClosed { activity, is_open: false, until: opens_at, cause: Some(why) }
            }
        });
        Self {
            environment_id: environment.id(),
            time_zone: calendar.time_zone().name().to_owned(),
            windows: calendar.windows().iter().map(Window::of).collect(),
            freezes: calendar.freezes().iter().map(Freeze::of).collect(),
            now: openings.collect(),
            promotion_policy: environment.promotion().map(PromotionPolicy::of),
        }
    }
}

/// Changes what an environment asks of a release before it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangePromotionPolicy {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// What it asks; nothing where it is not said.
    #[serde(default)]
    pub policy: Option<PromotionPolicy>,
}

/// What an environment asks of a release before it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PromotionPolicy {
    /// The environments before it.
    pub upstream: BTreeSet<EnvironmentId>,
    /// Whether any of them must have verified it, or all.
    pub verified_by: Upstreams,
    /// How long it must have served there, in milliseconds.
    #[serde(default)]
    pub soak_millis: u64,
    /// How many people must agree.
    #[serde(default)]
    pub approvals: u16,
    /// Who may.
    #[serde(default)]
    pub approvers: BTreeSet<Actor>,
}

impl PromotionPolicy {
    fn of(policy: &Policy) -> Self {
        Self {
            upstream: policy.upstream().clone(),
            verified_by: policy.verified_by(),
            soak_millis: millis(policy.soak()),
            approvals: policy.approvals(),
            approvers: policy.approvers().clone(),
        }
    }
}

impl ChangePromotionPolicy {
    pub(crate) fn into_policy(self) -> Result<Option<Policy>, Problem> {
        let Some(asked) = self.policy else { return Ok(None) };
        let soak = Span::from_millis(asked.soak_millis);
        let policy = Policy::new(asked.upstream, asked.verified_by, soak)
            .and_then(|policy| policy.approved_by(asked.approvals, asked.approvers));
        policy.map(Some).map_err(|error| Problem::new(ProblemKind::Unprocessable, error.to_string()))
    }
}

/// What the engine tells of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentOutputs {
    /// Whether it is provisioned.
    pub is_provisioned: bool,
    /// By name.
    pub outputs: BTreeMap<String, String>,
}

/// What was found of what was provisioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EnvironmentRefresh")]
pub struct Refresh {
    /// How each resource is, by the engine's name.
    pub resources: BTreeMap<String, Condition>,
    /// Whether nothing was changed because only a preview was asked for.
    pub dry_run: bool,
}

/// How a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ResourceCondition")]
pub enum Condition {
    /// It is there.
    Present,
    /// It is gone, and is made again.
    Missing,
    /// It is there, and was not made by the engine.
    Foreign,
}

impl Refresh {
    pub(crate) fn of(findings: Vec<ResourceFinding>, dry_run: bool) -> Self {
        let resources = findings.into_iter().map(|finding| {
            let condition = match finding.condition {
                ResourceCondition::Present => Condition::Present,
                ResourceCondition::Missing => Condition::Missing,
                ResourceCondition::Foreign => Condition::Foreign,
            };
            (finding.resource, condition)
        });
        Self { resources: resources.collect(), dry_run }
    }
}
