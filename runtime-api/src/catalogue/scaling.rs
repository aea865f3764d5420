//! RuntimeScalingService.

use runtime_domain::id::AggregateKind;
use runtime_domain::refusal::Rule;
use runtime_domain::scaling::ScalingPolicy as Policy;
use runtime_ports::authenticator::Role;
use runtime_ports::store::Query;
use runtime_services::Done;
use runtime_services::scaling::{NewScalingPolicy, ScalingService};

use crate::call::{Call, Reply};
use crate::document::Outcome;
use crate::document::page::{History, Page, paged, size};
use crate::document::scaling::{
    ApplyScalingPolicy, ApplyScalingPolicyOutcome, ChangeScalingPolicy, ListScalingPolicies,
    ScalingExplanation, ScalingPolicy, ScalingPolicyHistoryRequest, ScalingPolicyReason,
    ScalingPolicyRequest, decided,
};
use crate::operation::{Descriptor, Operation};
use crate::problem::Problem;

const SERVICE: &str = "RuntimeScalingService";

pub(super) fn operations() -> Vec<Operation> {
    let mut operations = vec![
        Descriptor::command(
            SERVICE,
            "ApplyScalingPolicy",
            "/runtime/scaling-policies",
            Role::Administrator,
            "Has a service scale by a policy. Asking for the same again gives the one that is there.",
        )
        .creates()
        .refused_by(&[Rule::Scl3, Rule::Capability, Rule::Lifecycle])
        .performed_by(apply),
        Descriptor::read(
            SERVICE,
            "ListScalingPolicies",
            "/runtime/scaling-policies",
            "The tenant's scaling policies, the newest first.",
        )
        .performed_by(list),
        Descriptor::read(
            SERVICE,
            "GetScalingPolicy",
            "/runtime/scaling-policies/{scalingPolicyId}",
            "One scaling policy.",
        )
        .revises()
        .performed_by(policy),
        Descriptor::read(
            SERVICE,
            "ListScalingPolicyHistory",
            "/runtime/scaling-policies/{scalingPolicyId}/history",
            "Every evaluation of a policy, and why it decided so.",
        )
        .performed_by(history),
        Descriptor::read(
            SERVICE,
            "ExplainScaling",
            "/runtime/scaling-policies/{scalingPolicyId}/explanation",
            "Why a policy's service has as many replicas as it has.",
        )
        .performed_by(explain),
    ];
    operations.extend(changes());
    operations
}

/// Commands on a policy that is there.
fn changes() -> Vec<Operation> {
    let change = |name, path, role, summary| {
        Descriptor::command(SERVICE, name, path, role, summary).revises().refused_by(&[Rule::Lifecycle])
    };
    vec![
        change(
            "ChangeScalingPolicy",
            "/runtime/scaling-policies/{scalingPolicyId}/change",
            Role::Administrator,
            "Changes what a policy says. The service is judged anew from then on.",
        )
        .performed_by(change_policy),
        change(
            "SuspendScaling",
            "/runtime/scaling-policies/{scalingPolicyId}/suspend",
            Role::Operator,
            "Keeps the replicas as they are, whatever is measured.",
        )
        .performed_by(suspend),
        change(
            "ResumeScaling",
            "/runtime/scaling-policies/{scalingPolicyId}/resume",
            Role::Operator,
            "Lets a suspended policy scale again.",
        )
        .performed_by(resume),
        change(
            "RetireScalingPolicy",
            "/runtime/scaling-policies/{scalingPolicyId}/retire",
            Role::Administrator,
            "Ends a policy. The service keeps the replicas that it has.",
        )
        .performed_by(retire),
    ]
}

impl Call {
    fn scaling(&self) -> ScalingService {
        self.services.scaling().under(&self.terms)
    }
}

type Changed = Result<Reply<Outcome<ScalingPolicy>>, Problem>;

fn changed(call: &Call, done: Done<Policy>) -> Changed {
    let document = ScalingPolicy::of(&done.aggregate, done.revision);
    Ok(call.outcome(document, done))
}

async fn apply(call: Call, asked: ApplyScalingPolicy) -> Result<Reply<ApplyScalingPolicyOutcome>, Problem> {
    let wanted = NewScalingPolicy {
        environment: asked.environment_id,
        module: asked.module,
        policy: asked.policy.spec()?,
    };
    let scaling = call.scaling();
    let done = scaling.apply(&call.scope, wanted.clone()).await?;
    let decision = match call.terms.preview {
        true => decided(scaling.preview(&call.scope, wanted).await?),
        false => None,
    };
    let location = format!("/runtime/scaling-policies/{}", done.aggregate.id());
    let outcome = ApplyScalingPolicyOutcome {
        result: ScalingPolicy::of(&done.aggregate, done.revision),
        changed: done.changed,
        explanation: done.explanation.clone(),
        dry_run: call.terms.preview,
        decision,
    };
    Ok(call.created(outcome, location, &done))
}

async fn list(call: Call, asked: ListScalingPolicies) -> Result<Reply<Page<ScalingPolicy>>, Problem> {
    let statuses: Vec<&str> = asked.status.iter().map(|status| status.stored().name()).collect();
    let query = Query {
        environment: asked.environment_id,
        module: asked.module,
        ..Query::all(AggregateKind::ScalingPolicy).with_status(&statuses)
    };
    let query = paged(query, asked.cursor, asked.limit)?;
    let page = call.services.scaling().policies(&call.scope, query).await?;
    Ok(Reply::of(Page::of(page, |found| ScalingPolicy::of(&found.aggregate, found.revision))))
}

async fn policy(call: Call, asked: ScalingPolicyRequest) -> Result<Reply<ScalingPolicy>, Problem> {
    let found = call.services.scaling().stored(&call.scope, asked.scaling_policy_id).await?;
    Ok(Reply::of(ScalingPolicy::of(&found.aggregate, found.revision)).at(found.revision))
}

async fn history(call: Call, asked: ScalingPolicyHistoryRequest) -> Result<Reply<History>, Problem> {
    let scaling = call.services.scaling();
    scaling.stored(&call.scope, asked.scaling_policy_id).await?;
    let (after, limit) = (asked.after.unwrap_or(0), size(asked.limit)?);
    let entries = scaling.history(&call.scope, asked.scaling_policy_id, after, limit).await?;
    Ok(Reply::of(History::of(entries)))
}

async fn explain(call: Call, asked: ScalingPolicyRequest) -> Result<Reply<ScalingExplanation>, Problem> {
    let explained = call.services.scaling().explain(&call.scope, asked.scaling_policy_id).await?;
    Ok(Reply::of(ScalingExplanation::of(explained)))
}

async fn change_policy(call: Call, asked: ChangeScalingPolicy) -> Changed {
    let spec = asked.policy.spec()?;
    changed(&call, call.scaling().change(&call.scope, asked.scaling_policy_id, spec).await?)
}

async fn suspend(call: Call, asked: ScalingPolicyReason) -> Changed {
    changed(&call, call.scaling().suspend(&call.scope, asked.scaling_policy_id, asked.reason).await?)
}

async fn resume(call: Call, asked: ScalingPolicyRequest) -> Changed {
    changed(&call, call.scaling().resume(&call.scope, asked.scaling_policy_id).await?)
}

async fn retire(call: Call, asked: ScalingPolicyReason) -> Changed {
    changed(&call, call.scaling().retire(&call.scope, asked.scaling_policy_id, asked.reason).await?)
}
