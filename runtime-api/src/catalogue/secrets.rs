//! SecretBindingService.

use runtime_domain::id::AggregateKind;
use runtime_domain::refusal::Rule;
use runtime_domain::secrets::SecretBinding as Bound;
use runtime_ports::authenticator::Role;
use runtime_ports::store::Query;
use runtime_services::Done;
use runtime_services::secrets::{RotationRequest, SecretService};

use crate::call::{Call, Reply};
use crate::document::Outcome;
use crate::document::page::{History, Page, paged, size};
use crate::document::secrets::{
    BindSecret, ChangeRotationSchedule, ListSecretBindings, RotateSecret, SecretBinding,
    SecretBindingHistoryRequest, SecretBindingReason, SecretBindingRequest,
};
use crate::operation::{Descriptor, Operation};
use crate::problem::Problem;

const SERVICE: &str = "SecretBindingService";

pub(super) fn operations() -> Vec<Operation> {
    let mut operations = vec![
        Descriptor::command(
            SERVICE,
            "BindSecret",
            "/runtime/secret-bindings",
            Role::Administrator,
            "Binds a component to a secret in a vault. It gets it with its next revision.",
        )
        .creates()
        .refused_by(&[Rule::Sec3, Rule::X3])
        .performed_by(bind),
        Descriptor::read(
            SERVICE,
            "ListSecretBindings",
            "/runtime/secret-bindings",
            "The tenant's secret bindings, the newest first.",
        )
        .performed_by(list),
        Descriptor::read(
            SERVICE,
            "GetSecretBinding",
            "/runtime/secret-bindings/{secretBindingId}",
            "One secret binding.",
        )
        .revises()
        .performed_by(binding),
        Descriptor::read(
            SERVICE,
            "ListSecretBindingHistory",
            "/runtime/secret-bindings/{secretBindingId}/history",
            "What happened to a binding, who did it, and why.",
        )
        .performed_by(history),
    ];
    operations.extend(changes());
    operations
}

/// Commands on a binding that is there.
fn changes() -> Vec<Operation> {
    let change = |name, path, role, summary| {
        Descriptor::command(SERVICE, name, path, role, summary).revises().refused_by(&[Rule::Lifecycle])
    };
    vec![
        change(
            "RotateSecret",
            "/runtime/secret-bindings/{secretBindingId}/rotate",
            Role::Operator,
            "Asks for a new version. The old one stays valid until every consumer was seen on the new one, and for its grace.",
        )
        .refused_by(&[Rule::Lifecycle, Rule::Calendar])
        .performed_by(rotate),
        change(
            "ChangeRotationSchedule",
            "/runtime/secret-bindings/{secretBindingId}/schedule",
            Role::Administrator,
            "Rotates at other times, or with another grace.",
        )
        .performed_by(schedule),
        change(
            "AbortRotation",
            "/runtime/secret-bindings/{secretBindingId}/abort",
            Role::Operator,
            "Calls a rotation off: consumers go back to the old version.",
        )
        .performed_by(abort),
        change(
            "SuspendRotation",
            "/runtime/secret-bindings/{secretBindingId}/suspend",
            Role::Operator,
            "Rotates it no more until it is resumed.",
        )
        .performed_by(suspend),
        change(
            "ResumeRotation",
            "/runtime/secret-bindings/{secretBindingId}/resume",
            Role::Operator,
            "Rotates it again, with a fresh budget.",
        )
        .performed_by(resume),
        change(
            "UnbindSecret",
            "/runtime/secret-bindings/{secretBindingId}/unbind",
            Role::Administrator,
            "Gives the component the secret no longer, from its next revision on.",
        )
        .performed_by(unbind),
    ]
}

impl Call {
    fn secrets(&self) -> SecretService {
        self.services.secrets().under(&self.terms)
    }
}

type Changed = Result<Reply<Outcome<SecretBinding>>, Problem>;

fn changed(call: &Call, done: Done<Bound>) -> Changed {
    let document = SecretBinding::of(&done.aggregate, done.revision);
    Ok(call.outcome(document, done))
}

async fn bind(call: Call, asked: BindSecret) -> Changed {
    let wanted = asked.into_wanted()?;
    let done = call.secrets().bind(&call.scope, wanted).await?;
    let location = format!("/runtime/secret-bindings/{}", done.aggregate.id());
    let document = SecretBinding::of(&done.aggregate, done.revision);
    Ok(call.outcome_at(document, location, done))
}

async fn list(call: Call, asked: ListSecretBindings) -> Result<Reply<Page<SecretBinding>>, Problem> {
    let statuses: Vec<&str> = asked.status.iter().map(|status| status.stored().name()).collect();
    let query = Query {
        environment: asked.environment_id,
        module: asked.module,
        ..Query::all(AggregateKind::SecretBinding).with_status(&statuses)
    };
    let query = paged(query, asked.cursor, asked.limit)?;
    let page = call.services.secrets().bindings(&call.scope, query).await?;
    Ok(Reply::of(Page::of(page, |found| SecretBinding::of(&found.aggregate, found.revision))))
}

async fn binding(call: Call, asked: SecretBindingRequest) -> Result<Reply<SecretBinding>, Problem> {
    let found = call.services.secrets().stored(&call.scope, asked.secret_binding_id).await?;
    Ok(Reply::of(SecretBinding::of(&found.aggregate, found.revision)).at(found.revision))
}

async fn history(call: Call, asked: SecretBindingHistoryRequest) -> Result<Reply<History>, Problem> {
    let secrets = call.services.secrets();
    secrets.stored(&call.scope, asked.secret_binding_id).await?;
    let (after, limit) = (asked.after.unwrap_or(0), size(asked.limit)?);
    let entries = secrets.history(&call.scope, asked.secret_binding_id, after, limit).await?;
    Ok(Reply::of(History::of(entries)))
}

async fn rotate(call: Call, asked: RotateSecret) -> Changed {
    let RotateSecret { secret_binding_id, reason, is_compromised, break_glass } = asked;
    let request = RotationRequest { reason, is_compromised, break_glass };
    changed(&call, call.secrets().rotate(&call.scope, secret_binding_id, request).await?)
}

async fn schedule(call: Call, asked: ChangeRotationSchedule) -> Changed {
    let schedule = asked.rotation_schedule.scheduled()?;
    changed(&call, call.secrets().change_schedule(&call.scope, asked.secret_binding_id, schedule).await?)
}

async fn abort(call: Call, asked: SecretBindingReason) -> Changed {
    changed(&call, call.secrets().abort(&call.scope, asked.secret_binding_id, asked.reason).await?)
}

async fn suspend(call: Call, asked: SecretBindingReason) -> Changed {
    changed(&call, call.secrets().suspend(&call.scope, asked.secret_binding_id, asked.reason).await?)
}

async fn resume(call: Call, asked: SecretBindingRequest) -> Changed {
    changed(&call, call.secrets().resume(&call.scope, asked.secret_binding_id).await?)
}

async fn unbind(call: Call, asked: SecretBindingReason) -> Changed {
    changed(&call, call.secrets().unbind(&call.scope, asked.secret_binding_id, asked.reason).await?)
}
