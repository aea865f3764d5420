//! RuntimeDriftDetectionService.

use runtime_domain::drift::RuntimeDriftFinding;
use runtime_domain::drift::watch::DriftWatch as Watch;
use runtime_domain::id::AggregateKind;
use runtime_domain::refusal::Rule;
use runtime_ports::authenticator::Role;
use runtime_ports::store::Query;
use runtime_services::drift::DriftService;
use runtime_services::{CommandError, Done};

use crate::call::{Call, Reply};
use crate::document::Outcome;
use crate::document::drift::{
    AcceptDriftException, DriftExplanation, DriftFinding, DriftFindingHistoryRequest, DriftFindingReason,
    DriftFindingRequest, DriftReport, DriftWatch, EnvironmentDrift, ListDriftFindings, StopWatching,
    WatchEnvironment,
};
use crate::document::environments::{EnvironmentHistoryRequest, EnvironmentRequest};
use crate::document::page::{History, Page, paged, size};
use crate::operation::{Descriptor, Operation};
use crate::problem::Problem;

const SERVICE: &str = "RuntimeDriftDetectionService";

pub(super) fn operations() -> Vec<Operation> {
    let mut operations = vec![
        Descriptor::read(
            SERVICE,
            "GetEnvironmentDrift",
            "/runtime/drift/{environmentId}",
            "How an environment stands to its desired state: what the last comparison came to, and every open finding.",
        )
        .performed_by(drift),
        Descriptor::read(
            SERVICE,
            "GetDriftWatch",
            "/runtime/drift/{environmentId}/watch",
            "On which terms an environment is compared.",
        )
        .revises()
        .performed_by(watched),
        Descriptor::read(
            SERVICE,
            "ListDriftWatchHistory",
            "/runtime/drift/{environmentId}/history",
            "Who watched an environment on which terms, and what comparisons came to.",
        )
        .performed_by(watch_history),
        Descriptor::read(
            SERVICE,
            "CompareEnvironment",
            "/runtime/drift/{environmentId}/comparison",
            "Compares an environment now and changes nothing: what diverges, and what would be done about it.",
        )
        .needing(Role::Operator)
        .refused_by(&[Rule::Drf3])
        .performed_by(compare),
        Descriptor::read(
            SERVICE,
            "ListDriftFindings",
            "/runtime/drift-findings",
            "The tenant's findings, the newest first.",
        )
        .performed_by(list),
        Descriptor::read(
            SERVICE,
            "GetDriftFinding",
            "/runtime/drift-findings/{findingId}",
            "One finding.",
        )
        .revises()
        .performed_by(finding),
        Descriptor::read(
            SERVICE,
            "ListDriftFindingHistory",
            "/runtime/drift-findings/{findingId}/history",
            "What happened to a finding, who did it, and why.",
        )
        .performed_by(history),
        Descriptor::read(
            SERVICE,
            "ExplainDriftFinding",
            "/runtime/drift-findings/{findingId}/explanation",
            "A finding in words: what diverges, where it stands, and what happens next.",
        )
        .performed_by(explain),
    ];
    operations.extend(changes());
    operations
}

fn changes() -> Vec<Operation> {
    let change = |name, path, role, summary| {
        Descriptor::command(SERVICE, name, path, role, summary).revises().refused_by(&[Rule::Lifecycle])
    };
    vec![
        change(
            "WatchEnvironment",
            "/runtime/drift/{environmentId}/watch",
            Role::Administrator,
            "Compares an environment with its desired state from now on, or on other terms.",
        )
        .refused_by(&[Rule::Drf3, Rule::Content])
        .performed_by(watch),
        change(
            "StopWatching",
            "/runtime/drift/{environmentId}/stop-watching",
            Role::Administrator,
            "Compares an environment no more. Findings stay as they are.",
        )
        .performed_by(stop_watching),
        change(
            "AcceptDriftException",
            "/runtime/drift-findings/{findingId}/accept-exception",
            Role::Operator,
            "Accepts a divergence for a while, in the caller's name.",
        )
        .refused_by(&[Rule::Drf1, Rule::Lifecycle])
        .performed_by(accept_exception),
        change(
            "RevokeDriftException",
            "/runtime/drift-findings/{findingId}/revoke-exception",
            Role::Operator,
            "Accepts a divergence no longer.",
        )
        .performed_by(revoke_exception),
        change(
            "RetryRemediation",
            "/runtime/drift-findings/{findingId}/retry",
            Role::Operator,
            "Lets a repair be tried again, as often as at first.",
        )
        .performed_by(retry),
        change(
            "RemediateDrift",
            "/runtime/drift-findings/{findingId}/remediate",
            Role::Operator,
            "Asks for a repair in the caller's name, where it is not repaired by itself.",
        )
        .refused_by(&[Rule::Lifecycle, Rule::Calendar, Rule::Quarantine])
        .performed_by(remediate),
    ]
}

impl Call {
    fn drift(&self) -> DriftService {
        self.services.drift().under(&self.terms)
    }
}

type Changed = Result<Reply<Outcome<DriftFinding>>, Problem>;
type Watched = Result<Reply<Outcome<DriftWatch>>, Problem>;

fn changed(call: &Call, done: Done<RuntimeDriftFinding>) -> Changed {
    let document = DriftFinding::of(&done.aggregate, done.revision);
    Ok(call.outcome(document, done))
}

fn watch_changed(call: &Call, done: Done<Watch>) -> Watched {
    let document = DriftWatch::of(&done.aggregate, done.revision);
    Ok(call.outcome(document, done))
}

async fn drift(call: Call, asked: EnvironmentRequest) -> Result<Reply<EnvironmentDrift>, Problem> {
    let environment = asked.environment_id;
    call.services.environments().stored(&call.scope, environment).await?;
    let drift = call.services.drift();
    let watch = match drift.watched(&call.scope, environment).await {
        Ok(watch) => Some(watch),
        Err(CommandError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let open = drift.stored_open_findings(&call.scope, environment).await?;
    let findings = open.iter().map(|found| DriftFinding::of(&found.aggregate, found.revision)).collect();
    Ok(Reply::of(EnvironmentDrift::of(environment, watch.as_ref(), findings)))
}

async fn watched(call: Call, asked: EnvironmentRequest) -> Result<Reply<DriftWatch>, Problem> {
    let found = call.services.drift().stored_watch(&call.scope, asked.environment_id).await?;
    Ok(Reply::of(DriftWatch::of(&found.aggregate, found.revision)).at(found.revision))
}

async fn watch_history(call: Call, asked: EnvironmentHistoryRequest) -> Result<Reply<History>, Problem> {
    let drift = call.services.drift();
    drift.stored_watch(&call.scope, asked.environment_id).await?;
    let (after, limit) = (asked.after.unwrap_or(0), size(asked.limit)?);
    let entries = drift.watch_history(&call.scope, asked.environment_id, after, limit).await?;
    Ok(Reply::of(History::of(entries)))
}

async fn compare(call: Call, asked: EnvironmentRequest) -> Result<Reply<DriftReport>, Problem> {
    let report = call.services.drift().compare(&call.scope, asked.environment_id).await?;
    Ok(Reply::of(DriftReport::of(report)))
}

async fn list(call: Call, asked: ListDriftFindings) -> Result<Reply<Page<DriftFinding>>, Problem> {
    let statuses: Vec<&str> = asked.status.iter().map(|status| status.stored().name()).collect();
    let query = Query {
        environment: asked.environment_id,
        module: asked.module,
        ..Query::all(AggregateKind::RuntimeDriftFinding).with_status(&statuses)
    };
    let query = paged(query, asked.cursor, asked.limit)?;
    let page = call.services.drift().findings(&call.scope, query).await?;
    Ok(Reply::of(Page::of(page, |found| DriftFinding::of(&found.aggregate, found.revision))))
}

async fn finding(call: Call, asked: DriftFindingRequest) -> Result<Reply<DriftFinding>, Problem> {
    let found = call.services.drift().stored(&call.scope, asked.finding_id).await?;
    Ok(Reply::of(DriftFinding::of(&found.aggregate, found.revision)).at(found.revision))
}

async fn history(call: Call, asked: DriftFindingHistoryRequest) -> Result<Reply<History>, Problem> {
    let drift = call.services.drift();
    drift.stored(&call.scope, asked.finding_id).await?;
    let (after, limit) = (asked.after.unwrap_or(0), size(asked.limit)?);
    let entries = drift.history(&call.scope, asked.finding_id, after, limit).await?;
    Ok(Reply::of(History::of(entries)))
}

async fn explain(call: Call, asked: DriftFindingRequest) -> Result<Reply<DriftExplanation>, Problem> {
    let explained = call.services.drift().explain(&call.scope, asked.finding_id).await?;
    Ok(Reply::of(DriftExplanation::of(explained)))
}

async fn watch(call: Call, asked: WatchEnvironment) -> Watched {
    let terms = asked.terms.into_terms()?;
    watch_changed(&call, call.drift().watch(&call.scope, asked.environment_id, terms).await?)
}

async fn stop_watching(call: Call, asked: StopWatching) -> Watched {
    watch_changed(&call, call.drift().stop_watching(&call.scope, asked.environment_id, &asked.reason).await?)
}

async fn accept_exception(call: Call, asked: AcceptDriftException) -> Changed {
    let AcceptDriftException { finding_id, reason, expires_at } = asked;
    changed(&call, call.drift().accept_exception(&call.scope, finding_id, reason, expires_at).await?)
}

async fn revoke_exception(call: Call, asked: DriftFindingReason) -> Changed {
    changed(&call, call.drift().revoke_exception(&call.scope, asked.finding_id, asked.reason).await?)
}

async fn retry(call: Call, asked: DriftFindingRequest) -> Changed {
    changed(&call, call.drift().retry(&call.scope, asked.finding_id).await?)
}

async fn remediate(call: Call, asked: DriftFindingRequest) -> Changed {
    changed(&call, call.drift().remediate(&call.scope, asked.finding_id).await?)
}
