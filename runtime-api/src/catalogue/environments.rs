//! RuntimeEnvironmentService.

use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::refusal::Rule;
use runtime_domain::time::Span;
use runtime_ports::authenticator::Role;
use runtime_ports::store::{Loaded, Page as Listed, Query};
use runtime_services::Done;
use runtime_services::environments::EnvironmentService;

use crate::call::{Call, Reply};
use crate::document::Outcome;
use crate::document::environments::{
    ChangeCalendar, ChangeEnvironment, ChangeExpiry, ChangePromotionPolicy, ChangeProtection,
    DecommissionEnvironment, Environment, EnvironmentCalendar, EnvironmentHistoryRequest, EnvironmentOutputs,
    EnvironmentRequest, ListEnvironments, ProvisionEnvironment, ProvisionEnvironmentOutcome, Refresh,
    StopTheLine, previewed,
};
use crate::document::page::{History, Page, paged, size};
use crate::operation::{Descriptor, Operation};
use crate::problem::Problem;

const SERVICE: &str = "RuntimeEnvironmentService";
const CHANGES: &[Rule] = &[Rule::Lifecycle];

pub(super) fn operations() -> Vec<Operation> {
    let mut operations = vec![
        Descriptor::command(
            SERVICE,
            "ProvisionEnvironment",
            "/runtime/environments",
            Role::Administrator,
            "Asks for an environment. Its project and name are its natural key: asking again gives the one that is there.",
        )
        .creates()
        .refused_by(&[Rule::X3])
        .performed_by(provision),
        Descriptor::read(
            SERVICE,
            "ListEnvironments",
            "/runtime/environments",
            "The tenant's environments, the newest first.",
        )
        .performed_by(list),
        Descriptor::read(
            SERVICE,
            "GetEnvironment",
            "/runtime/environments/{environmentId}",
            "One environment.",
        )
        .revises()
        .performed_by(environment),
        Descriptor::read(
            SERVICE,
            "ListEnvironmentHistory",
            "/runtime/environments/{environmentId}/history",
            "What happened to an environment, who did it, and why.",
        )
        .performed_by(history),
        Descriptor::read(
            SERVICE,
            "GetEnvironmentCalendar",
            "/runtime/environments/{environmentId}/calendar",
            "When an environment may be changed, and whether it may be now.",
        )
        .performed_by(calendar),
        Descriptor::read(
            SERVICE,
            "GetEnvironmentOutputs",
            "/runtime/environments/{environmentId}/outputs",
            "What the engine tells of a provisioned environment.",
        )
        .needing(Role::Operator)
        .performed_by(outputs),
        Descriptor::command(
            SERVICE,
            "RefreshEnvironment",
            "/runtime/environments/{environmentId}/refresh",
            Role::Operator,
            "Looks whether everything that was provisioned is still there; what is gone is made again.",
        )
        .without_key()
        .performed_by(refresh),
    ];
    operations.extend(changes());
    operations
}

/// Commands on an environment that is there.
fn changes() -> Vec<Operation> {
    let change = |name, path, role, summary| {
        Descriptor::command(SERVICE, name, path, role, summary).revises().refused_by(CHANGES)
    };
    vec![
        change(
            "RetryProvisioning",
            "/runtime/environments/{environmentId}/retry",
            Role::Operator,
            "Tries again what could not be provisioned.",
        )
        .performed_by(retry),
        change(
            "ChangeEnvironment",
            "/runtime/environments/{environmentId}/change",
            Role::Administrator,
            "Changes what may be changed; region and stage may not once it is provisioned.",
        )
        .refused_by(&[Rule::Env2, Rule::Ten2, Rule::X3, Rule::Lifecycle])
        .performed_by(change_environment),
        change(
            "ChangeProtection",
            "/runtime/environments/{environmentId}/protection",
            Role::Administrator,
            "Keeps an environment from being decommissioned, or no longer.",
        )
        .performed_by(protect),
        change(
            "ChangeCalendar",
            "/runtime/environments/{environmentId}/calendar",
            Role::Administrator,
            "Lets an environment be changed at other times. What is in flight goes on.",
        )
        .performed_by(change_calendar),
        change(
            "ChangePromotionPolicy",
            "/runtime/environments/{environmentId}/promotion-policy",
            Role::Administrator,
            "Changes what an environment asks of a release before it comes.",
        )
        .performed_by(change_promotion_policy),
        change(
            "ChangeExpiry",
            "/runtime/environments/{environmentId}/expiry",
            Role::Administrator,
            "Lets an environment end by itself after a time, or never.",
        )
        .performed_by(change_expiry),
        change(
            "StopTheLine",
            "/runtime/environments/{environmentId}/stop-the-line",
            Role::Operator,
            "Stops every change of an environment until the line is resumed. Going back is never held up.",
        )
        .performed_by(stop_the_line),
        change(
            "ResumeTheLine",
            "/runtime/environments/{environmentId}/resume-the-line",
            Role::Operator,
            "Lets an environment be changed again as its calendar says.",
        )
        .performed_by(resume_the_line),
        change(
            "DecommissionEnvironment",
            "/runtime/environments/{environmentId}/decommission",
            Role::Administrator,
            "Removes an environment with everything in it.",
        )
        .performed_by(decommission),
    ]
}

impl Call {
    fn environments(&self) -> EnvironmentService {
        self.services.environments().under(&self.terms)
    }
}

type Changed = Result<Reply<Outcome<Environment>>, Problem>;

fn changed(call: &Call, done: Done<RuntimeEnvironment>) -> Changed {
    let document = Environment::of(&done.aggregate, done.revision);
    Ok(call.outcome(document, done))
}

async fn provision(
    call: Call,
    asked: ProvisionEnvironment,
) -> Result<Reply<ProvisionEnvironmentOutcome>, Problem> {
    let wanted = asked.into_wanted()?;
    let environments = call.environments();
    let resources = match call.terms.preview {
        true => previewed(environments.preview(&call.scope, wanted.clone()).await?),
        false => Default::default(),
    };
    let done = environments.provision(&call.scope, wanted).await?;
    let location = format!("/runtime/environments/{}", done.aggregate.id());
    let outcome = ProvisionEnvironmentOutcome {
        result: Environment::of(&done.aggregate, done.revision),
        changed: done.changed,
        explanation: done.explanation.clone(),
        dry_run: call.terms.preview,
        resources,
    };
    Ok(call.created(outcome, location, &done))
}

async fn list(call: Call, asked: ListEnvironments) -> Result<Reply<Page<Environment>>, Problem> {
    let statuses: Vec<&str> = asked.status.iter().map(|status| status.stored().name()).collect();
    let query = Query::all(runtime_domain::id::AggregateKind::RuntimeEnvironment).with_status(&statuses);
    let wanted = usize::try_from(size(asked.limit)?).unwrap_or(usize::MAX);
    let mut query = paged(query, asked.cursor, asked.limit)?;
    let is_wanted = |found: &Loaded<RuntimeEnvironment>| {
        let environment = &found.aggregate;
        asked.stage.is_none_or(|stage| environment.stage() == stage)
            && asked.project_id.is_none_or(|project| environment.project_id() == project)
    };
    let mut items: Vec<Loaded<RuntimeEnvironment>> = Vec::new();
    let next = loop {
        // No more than are wanted, so that the cursor never goes past what is given.
        let left = wanted.saturating_sub(items.len());
        query.limit = u32::try_from(left).unwrap_or(u32::MAX);
        let page = call.services.environments().environments(&call.scope, query.clone()).await?;
        items.extend(page.items.into_iter().filter(is_wanted));
        match page.next {
            Some(cursor) if items.len() < wanted => query = query.after(cursor),
            next => break next,
        }
    };
    let page = Listed { items, next };
    Ok(Reply::of(Page::of(page, |found| Environment::of(&found.aggregate, found.revision))))
}

async fn environment(call: Call, asked: EnvironmentRequest) -> Result<Reply<Environment>, Problem> {
    let found = call.services.environments().stored(&call.scope, asked.environment_id).await?;
    Ok(Reply::of(Environment::of(&found.aggregate, found.revision)).at(found.revision))
}

async fn history(call: Call, asked: EnvironmentHistoryRequest) -> Result<Reply<History>, Problem> {
    let environments = call.services.environments();
    environments.stored(&call.scope, asked.environment_id).await?;
    let limit = size(asked.limit)?;
    let entries =
        environments.history(&call.scope, asked.environment_id, asked.after.unwrap_or(0), limit).await?;
    Ok(Reply::of(History::of(entries)))
}

async fn calendar(call: Call, asked: EnvironmentRequest) -> Result<Reply<EnvironmentCalendar>, Problem> {
    let found = call.services.environments().stored(&call.scope, asked.environment_id).await?;
    Ok(Reply::of(EnvironmentCalendar::of(&found.aggregate, call.now())))
}

async fn outputs(call: Call, asked: EnvironmentRequest) -> Result<Reply<EnvironmentOutputs>, Problem> {
    let outputs = call.services.environments().outputs(&call.scope, asked.environment_id).await?;
    Ok(Reply::of(EnvironmentOutputs {
        is_provisioned: outputs.is_some(),
        outputs: outputs.unwrap_or_default(),
    }))
}

async fn refresh(call: Call, asked: EnvironmentRequest) -> Result<Reply<Refresh>, Problem> {
    let findings = call.environments().refresh(&call.scope, asked.environment_id).await?;
    Ok(Reply::of(Refresh::of(findings, call.terms.preview)))
}

async fn retry(call: Call, asked: EnvironmentRequest) -> Changed {
    changed(&call, call.environments().retry(&call.scope, asked.environment_id).await?)
}

async fn change_environment(call: Call, asked: ChangeEnvironment) -> Changed {
    let environment = asked.environment_id;
    changed(&call, call.environments().change(&call.scope, environment, asked.into_change()?).await?)
}

async fn protect(call: Call, asked: ChangeProtection) -> Changed {
    let environments = call.environments();
    changed(&call, environments.protect(&call.scope, asked.environment_id, asked.is_protected).await?)
}

async fn change_calendar(call: Call, asked: ChangeCalendar) -> Changed {
    let environment = asked.environment_id;
    let calendar = asked.into_calendar()?;
    changed(&call, call.environments().change_calendar(&call.scope, environment, calendar).await?)
}

async fn change_promotion_policy(call: Call, asked: ChangePromotionPolicy) -> Changed {
    let environment = asked.environment_id;
    let policy = asked.into_policy()?;
    changed(&call, call.environments().change_promotion_policy(&call.scope, environment, policy).await?)
}

async fn change_expiry(call: Call, asked: ChangeExpiry) -> Changed {
    let time_to_live = asked.time_to_live_seconds.map(Span::from_secs);
    changed(&call, call.environments().live_for(&call.scope, asked.environment_id, time_to_live).await?)
}

async fn stop_the_line(call: Call, asked: StopTheLine) -> Changed {
    let environments = call.environments();
    changed(&call, environments.stop_the_line(&call.scope, asked.environment_id, &asked.reason).await?)
}

async fn resume_the_line(call: Call, asked: StopTheLine) -> Changed {
    let environments = call.environments();
    changed(&call, environments.resume_the_line(&call.scope, asked.environment_id, &asked.reason).await?)
}

async fn decommission(call: Call, asked: DecommissionEnvironment) -> Changed {
    let environments = call.environments();
    changed(&call, environments.decommission(&call.scope, asked.environment_id, asked.reason).await?)
}
