//! DeploymentService, with promotion.

use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::id::AggregateKind;
use runtime_domain::refusal::Rule;
use runtime_ports::authenticator::Role;
use runtime_ports::store::Query;
use runtime_services::Done;
use runtime_services::deployments::DeploymentService;

use crate::call::{Call, Reply};
use crate::document::Outcome;
use crate::document::deployments::{
    ApproveDeployment, Deployment, DeploymentExplanation, DeploymentHistoryRequest, DeploymentReason,
    DeploymentRequest, ListDeployments, PromoteRelease, PromotionStanding, RejectDeployment,
    RequestDeployment,
};
use crate::document::page::{History, Page, paged, size};
use crate::operation::{Descriptor, Operation};
use crate::problem::Problem;

const SERVICE: &str = "DeploymentService";
const ADMISSION: &[Rule] = &[
    Rule::Env1,
    Rule::Env3,
    Rule::Dep3,
    Rule::Ten2,
    Rule::Quarantine,
    Rule::Calendar,
    Rule::Promotion,
    Rule::Capability,
];

pub(super) fn operations() -> Vec<Operation> {
    let mut operations = vec![
        Descriptor::command(
            SERVICE,
            "RequestDeployment",
            "/runtime/deployments",
            Role::Operator,
            "Asks for a rollout. Asking again for what is in flight or serves already gives that deployment.",
        )
        .creates()
        .refused_by(ADMISSION)
        .performed_by(request),
        Descriptor::read(
            SERVICE,
            "ListDeployments",
            "/runtime/deployments",
            "The tenant's deployments, the newest first.",
        )
        .performed_by(list),
        Descriptor::read(SERVICE, "GetDeployment", "/runtime/deployments/{deploymentId}", "One deployment.")
            .revises()
            .performed_by(deployment),
        Descriptor::read(
            SERVICE,
            "ListDeploymentHistory",
            "/runtime/deployments/{deploymentId}/history",
            "What happened to a deployment, who did it, and why.",
        )
        .performed_by(history),
        Descriptor::read(
            SERVICE,
            "ExplainDeployment",
            "/runtime/deployments/{deploymentId}/explanation",
            "Why a deployment is where it is, and what it waits for.",
        )
        .performed_by(explain),
        Descriptor::command(
            SERVICE,
            "RollBack",
            "/runtime/deployments/{deploymentId}/roll-back",
            Role::Operator,
            "Asks to go back to this deployment, which was completed: the old release in full, then all traffic at once.",
        )
        .creates()
        .refused_by(&[Rule::Dep2, Rule::Dep3, Rule::Env1, Rule::Ten2])
        .performed_by(roll_back),
        Descriptor::command(
            SERVICE,
            "PromoteRelease",
            "/runtime/promotions",
            Role::Operator,
            "Asks for the deployment of exactly what serves in the environment before.",
        )
        .creates()
        .refused_by(ADMISSION)
        .performed_by(promote),
        Descriptor::read(
            SERVICE,
            "ExplainPromotion",
            "/runtime/promotions/standing",
            "What a release lacks before it may come to an environment.",
        )
        .performed_by(explain_promotion),
    ];
    operations.extend(changes());
    operations
}

/// Commands on a deployment that is there.
fn changes() -> Vec<Operation> {
    let change = |name, path, role, summary| {
        Descriptor::command(SERVICE, name, path, role, summary).revises().refused_by(&[Rule::Lifecycle])
    };
    vec![
        change(
            "ApproveDeployment",
            "/runtime/deployments/{deploymentId}/approve",
            Role::Approver,
            "Agrees to a gate in the caller's name.",
        )
        .refused_by(&[Rule::Lifecycle, Rule::Promotion])
        .performed_by(approve),
        change(
            "RejectDeployment",
            "/runtime/deployments/{deploymentId}/reject",
            Role::Approver,
            "Disagrees in the caller's name: the gate fails.",
        )
        .performed_by(reject),
        change(
            "PauseDeployment",
            "/runtime/deployments/{deploymentId}/pause",
            Role::Operator,
            "Begins nothing new until it is resumed.",
        )
        .performed_by(pause),
        change(
            "ResumeDeployment",
            "/runtime/deployments/{deploymentId}/resume",
            Role::Operator,
            "Goes on, from a pause or a hold that waits for a person.",
        )
        .performed_by(resume),
        change(
            "PromoteDeployment",
            "/runtime/deployments/{deploymentId}/promote",
            Role::Operator,
            "Skips what waits, never what judges: every gate must still pass.",
        )
        .performed_by(promote_now),
        change(
            "AbortDeployment",
            "/runtime/deployments/{deploymentId}/abort",
            Role::Operator,
            "Ends the rollout; what served before serves again, at full capacity.",
        )
        .performed_by(abort),
        change(
            "ReleaseQuarantine",
            "/runtime/deployments/{deploymentId}/release-quarantine",
            Role::Operator,
            "Lets rolled-back images be deployed again.",
        )
        .performed_by(release_quarantine),
    ]
}

impl Call {
    fn deployments(&self) -> DeploymentService {
        self.services.deployments().under(&self.terms)
    }
}

type Changed = Result<Reply<Outcome<Deployment>>, Problem>;

fn changed(call: &Call, done: Done<RuntimeDeployment>) -> Changed {
    let document = Deployment::of(&done.aggregate, done.revision);
    Ok(call.outcome(document, done))
}

fn begun(call: &Call, done: Done<RuntimeDeployment>) -> Changed {
    let location = format!("/runtime/deployments/{}", done.aggregate.id());
    let document = Deployment::of(&done.aggregate, done.revision);
    Ok(call.outcome_at(document, location, done))
}

async fn request(call: Call, asked: RequestDeployment) -> Changed {
    let manifest = asked.release.manifest()?;
    let deployments = call.deployments();
    // Asked for before anything is resolved, so that what is another's is not there.
    call.services.environments().stored(&call.scope, asked.environment_id).await?;
    let release = deployments.resolve(&manifest).await?;
    let exceptions = asked.exceptions();
    let done = deployments.request_with(&call.scope, asked.environment_id, release, exceptions).await?;
    begun(&call, done)
}

async fn list(call: Call, asked: ListDeployments) -> Result<Reply<Page<Deployment>>, Problem> {
    let statuses: Vec<&str> = asked.status.iter().map(|status| status.stored().name()).collect();
    let query = Query {
        environment: asked.environment_id,
        module: asked.module,
        ..Query::all(AggregateKind::RuntimeDeployment).with_status(&statuses)
    };
    let query = paged(query, asked.cursor, asked.limit)?;
    let page = call.services.deployments().deployments(&call.scope, query).await?;
    Ok(Reply::of(Page::of(page, |found| Deployment::of(&found.aggregate, found.revision))))
}

async fn deployment(call: Call, asked: DeploymentRequest) -> Result<Reply<Deployment>, Problem> {
    let found = call.services.deployments().stored(&call.scope, asked.deployment_id).await?;
    Ok(Reply::of(Deployment::of(&found.aggregate, found.revision)).at(found.revision))
}

async fn history(call: Call, asked: DeploymentHistoryRequest) -> Result<Reply<History>, Problem> {
    let deployments = call.services.deployments();
    deployments.stored(&call.scope, asked.deployment_id).await?;
    let (after, limit) = (asked.after.unwrap_or(0), size(asked.limit)?);
    let entries = deployments.history(&call.scope, asked.deployment_id, after, limit).await?;
    Ok(Reply::of(History::of(entries)))
}

async fn explain(call: Call, asked: DeploymentRequest) -> Result<Reply<DeploymentExplanation>, Problem> {
    let deployments = call.services.deployments();
    let found = deployments.stored(&call.scope, asked.deployment_id).await?;
    let before_last = found.sequence.saturating_sub(1);
    let newest = deployments.history(&call.scope, asked.deployment_id, before_last, 1).await?;
    let because = newest.into_iter().next().map(|entry| entry.explanation).unwrap_or_default();
    Ok(Reply::of(DeploymentExplanation::of(&found.aggregate, because, call.now())))
}

async fn roll_back(call: Call, asked: DeploymentRequest) -> Changed {
    let deployments = call.deployments();
    let target = deployments.stored(&call.scope, asked.deployment_id).await?;
    let environment = target.aggregate.environment_id();
    begun(&call, deployments.roll_back(&call.scope, environment, asked.deployment_id).await?)
}

async fn promote(call: Call, asked: PromoteRelease) -> Changed {
    let promotion = call.services.promotion().under(&call.terms);
    begun(&call, promotion.promote(&call.scope, &asked.into_promotion()).await?)
}

async fn explain_promotion(call: Call, asked: PromoteRelease) -> Result<Reply<PromotionStanding>, Problem> {
    let standing = call.services.promotion().explain(&call.scope, &asked.into_promotion()).await?;
    Ok(Reply::of(PromotionStanding::of(standing)))
}

async fn approve(call: Call, asked: ApproveDeployment) -> Changed {
    changed(&call, call.deployments().approve(&call.scope, asked.deployment_id, asked.gate).await?)
}

async fn reject(call: Call, asked: RejectDeployment) -> Changed {
    let RejectDeployment { deployment_id, gate, reason } = asked;
    changed(&call, call.deployments().reject(&call.scope, deployment_id, gate, reason).await?)
}

async fn pause(call: Call, asked: DeploymentReason) -> Changed {
    changed(&call, call.deployments().pause(&call.scope, asked.deployment_id, asked.reason).await?)
}

async fn resume(call: Call, asked: DeploymentRequest) -> Changed {
    changed(&call, call.deployments().resume(&call.scope, asked.deployment_id).await?)
}

async fn promote_now(call: Call, asked: DeploymentRequest) -> Changed {
    changed(&call, call.deployments().promote_now(&call.scope, asked.deployment_id).await?)
}

async fn abort(call: Call, asked: DeploymentReason) -> Changed {
    changed(&call, call.deployments().abort(&call.scope, asked.deployment_id, asked.reason).await?)
}

async fn release_quarantine(call: Call, asked: DeploymentReason) -> Changed {
    let DeploymentReason { deployment_id, reason } = asked;
    changed(&call, call.deployments().release_quarantine(&call.scope, deployment_id, reason).await?)
}
