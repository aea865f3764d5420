//! TenantRuntimeIsolationService.

use runtime_domain::id::AggregateKind;
use runtime_domain::refusal::Rule;
use runtime_domain::tenancy::RuntimeTenantBinding;
use runtime_domain::time::Span;
use runtime_ports::authenticator::Role;
use runtime_ports::store::Query;
use runtime_services::Done;
use runtime_services::tenancy::TenancyService;

use crate::call::{Call, Reply};
use crate::document::Outcome;
use crate::document::page::{History, Page, paged, size};
use crate::document::tenancy::{
    AdjustQuota, BindTenant, ListTenantBindings, MoveTenant, ProtectTenantBinding, TenantBinding,
    TenantBindingHistoryRequest, TenantBindingReason, TenantBindingRequest, TenantIsolation,
};
use crate::operation::{Descriptor, Operation};
use crate::problem::Problem;

const SERVICE: &str = "TenantRuntimeIsolationService";

pub(super) fn operations() -> Vec<Operation> {
    let mut operations = vec![
        Descriptor::command(
            SERVICE,
            "BindTenant",
            "/runtime/tenant-bindings",
            Role::Administrator,
            "Binds the caller's tenant to an environment. Asking again gives the binding that is there.",
        )
        .creates()
        .refused_by(&[Rule::Ten1, Rule::Ten2, Rule::Ten3, Rule::X3])
        .performed_by(bind),
        Descriptor::read(
            SERVICE,
            "ListTenantBindings",
            "/runtime/tenant-bindings",
            "The tenant's bindings, the newest first.",
        )
        .performed_by(list),
        Descriptor::read(
            SERVICE,
            "GetTenantBinding",
            "/runtime/tenant-bindings/{tenantBindingId}",
            "One binding.",
        )
        .revises()
        .performed_by(binding),
        Descriptor::read(
            SERVICE,
            "ListTenantBindingHistory",
            "/runtime/tenant-bindings/{tenantBindingId}/history",
            "What happened to a binding, who did it, and why.",
        )
        .performed_by(history),
        Descriptor::read(
            SERVICE,
            "GetTenantIsolation",
            "/runtime/tenant-bindings/{tenantBindingId}/isolation",
            "What is kept of the tenant's isolation, how, and what its workloads use.",
        )
        .performed_by(isolation),
    ];
    operations.extend(changes());
    operations
}

/// Commands on a binding that is there.
fn changes() -> Vec<Operation> {
    let change = |name, path, summary| {
        Descriptor::command(SERVICE, name, path, Role::Administrator, summary)
            .revises()
            .refused_by(&[Rule::Lifecycle])
    };
    vec![
        change(
            "AdjustQuota",
            "/runtime/tenant-bindings/{tenantBindingId}/quota",
            "Changes how much the tenant may use.",
        )
        .refused_by(&[Rule::Ten2, Rule::Lifecycle])
        .performed_by(adjust_quota),
        change(
            "CordonTenant",
            "/runtime/tenant-bindings/{tenantBindingId}/cordon",
            "Keeps new deployments out of a tenant's place. What runs there stays.",
        )
        .performed_by(cordon),
        change(
            "UncordonTenant",
            "/runtime/tenant-bindings/{tenantBindingId}/uncordon",
            "Lets deployments into a tenant's place again.",
        )
        .performed_by(uncordon),
        change(
            "ProtectTenantBinding",
            "/runtime/tenant-bindings/{tenantBindingId}/protection",
            "Keeps a binding from being released, or no longer.",
        )
        .performed_by(protect),
        change(
            "MoveTenant",
            "/runtime/tenant-bindings/{tenantBindingId}/move",
            "Moves a tenant into a silo of its own, under its clients' feet.",
        )
        .refused_by(&[Rule::Ten1, Rule::Ten2, Rule::Lifecycle, Rule::Capability])
        .performed_by(move_tenant),
        change(
            "AbortTenantMove",
            "/runtime/tenant-bindings/{tenantBindingId}/abort-move",
            "Lets a tenant that moves stay where it was.",
        )
        .performed_by(abort_move),
        change(
            "ReleaseTenant",
            "/runtime/tenant-bindings/{tenantBindingId}/release",
            "Ends a binding, and gives its quota back.",
        )
        .performed_by(release),
    ]
}

impl Call {
    fn tenancy(&self) -> TenancyService {
        self.services.tenancy().under(&self.terms)
    }
}

type Changed = Result<Reply<Outcome<TenantBinding>>, Problem>;

fn changed(call: &Call, done: Done<RuntimeTenantBinding>) -> Changed {
    let document = TenantBinding::of(&done.aggregate, done.revision);
    Ok(call.outcome(document, done))
}

async fn bind(call: Call, asked: BindTenant) -> Changed {
    let wanted = asked.into_wanted(call.scope.tenant())?;
    let done = call.tenancy().bind(&call.scope, wanted).await?;
    let location = format!("/runtime/tenant-bindings/{}", done.aggregate.id());
    let document = TenantBinding::of(&done.aggregate, done.revision);
    Ok(call.outcome_at(document, location, done))
}

async fn list(call: Call, asked: ListTenantBindings) -> Result<Reply<Page<TenantBinding>>, Problem> {
    let statuses: Vec<&str> = asked.status.iter().map(|status| status.stored().name()).collect();
    let query = Query {
        environment: asked.environment_id,
        ..Query::all(AggregateKind::RuntimeTenantBinding).with_status(&statuses)
    };
    let query = paged(query, asked.cursor, asked.limit)?;
    let page = call.services.tenancy().tenant_bindings(&call.scope, query).await?;
    Ok(Reply::of(Page::of(page, |found| TenantBinding::of(&found.aggregate, found.revision))))
}

async fn binding(call: Call, asked: TenantBindingRequest) -> Result<Reply<TenantBinding>, Problem> {
    let found = call.services.tenancy().stored(&call.scope, asked.tenant_binding_id).await?;
    Ok(Reply::of(TenantBinding::of(&found.aggregate, found.revision)).at(found.revision))
}

async fn history(call: Call, asked: TenantBindingHistoryRequest) -> Result<Reply<History>, Problem> {
    let tenancy = call.services.tenancy();
    tenancy.stored(&call.scope, asked.tenant_binding_id).await?;
    let (after, limit) = (asked.after.unwrap_or(0), size(asked.limit)?);
    let entries = tenancy.history(&call.scope, asked.tenant_binding_id, after, limit).await?;
    Ok(Reply::of(History::of(entries)))
}

async fn isolation(call: Call, asked: TenantBindingRequest) -> Result<Reply<TenantIsolation>, Problem> {
    let isolation = call.services.tenancy().isolation(&call.scope, asked.tenant_binding_id).await?;
    Ok(Reply::of(TenantIsolation::of(isolation)))
}

async fn adjust_quota(call: Call, asked: AdjustQuota) -> Changed {
    let quota = asked.quota.into_quota()?;
    changed(&call, call.tenancy().adjust_quota(&call.scope, asked.tenant_binding_id, quota).await?)
}

async fn cordon(call: Call, asked: TenantBindingReason) -> Changed {
    changed(&call, call.tenancy().cordon(&call.scope, asked.tenant_binding_id, asked.reason).await?)
}

async fn uncordon(call: Call, asked: TenantBindingRequest) -> Changed {
    changed(&call, call.tenancy().uncordon(&call.scope, asked.tenant_binding_id).await?)
}

async fn protect(call: Call, asked: ProtectTenantBinding) -> Changed {
    let ProtectTenantBinding { tenant_binding_id, is_protected } = asked;
    changed(&call, call.tenancy().protect(&call.scope, tenant_binding_id, is_protected).await?)
}

async fn move_tenant(call: Call, asked: MoveTenant) -> Changed {
    let MoveTenant { tenant_binding_id, target_environment_id, observe_millis } = asked;
    let observe_for = Span::from_millis(observe_millis);
    let tenancy = call.tenancy();
    let done = tenancy.move_to_silo(&call.scope, tenant_binding_id, target_environment_id, observe_for);
    changed(&call, done.await?)
}

async fn abort_move(call: Call, asked: TenantBindingReason) -> Changed {
    changed(&call, call.tenancy().abort_move(&call.scope, asked.tenant_binding_id, asked.reason).await?)
}

async fn release(call: Call, asked: TenantBindingReason) -> Changed {
    changed(&call, call.tenancy().release(&call.scope, asked.tenant_binding_id, asked.reason).await?)
}
