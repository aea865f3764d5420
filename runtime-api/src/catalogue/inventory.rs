//! ServiceCatalogRuntimeService.

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::id::AggregateKind;
use runtime_domain::inventory::RuntimeService;
use runtime_ports::store::{Loaded, Query};

use crate::call::{Call, Reply};
use crate::document::health::ServiceRequest;
use crate::document::inventory::{ListServices, Service, ServiceHistoryRequest};
use crate::document::page::{History, Page, paged, size};
use crate::operation::{Descriptor, Operation};
use crate::problem::Problem;

const SERVICE: &str = "ServiceCatalogRuntimeService";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Descriptor::read(
            SERVICE,
            "ListServices",
            "/runtime/services",
            "The tenant's inventory: which services run where, at which version, with which instances.",
        )
        .performed_by(list),
        Descriptor::read(
            SERVICE,
            "GetService",
            "/runtime/services/{serviceId}",
            "One service of the inventory.",
        )
        .revises()
        .performed_by(service),
        Descriptor::read(
            SERVICE,
            "ListServiceHistory",
            "/runtime/services/{serviceId}/history",
            "What happened to a service's record, and why.",
        )
        .performed_by(history),
    ]
}

fn document(found: &Loaded<RuntimeService>) -> Service {
    let service = &found.aggregate;
    Service::of(service, service.tenant(), service.environment(), found.revision)
}

async fn list(call: Call, asked: ListServices) -> Result<Reply<Page<Service>>, Problem> {
    let statuses: Vec<&str> = asked.status.iter().map(|status| status.stored().name()).collect();
    let query = Query {
        environment: asked.environment_id,
        module: asked.module,
        ..Query::all(AggregateKind::RuntimeService).with_status(&statuses)
    };
    let query = paged(query, asked.cursor, asked.limit)?;
    let page = call.services.inventory().listed(&call.scope, query).await?;
    Ok(Reply::of(Page::of(page, document)))
}

async fn service(call: Call, asked: ServiceRequest) -> Result<Reply<Service>, Problem> {
    let found = call.services.inventory().stored(&call.scope, asked.service_id).await?;
    Ok(Reply::of(document(&found)).at(found.revision))
}

async fn history(call: Call, asked: ServiceHistoryRequest) -> Result<Reply<History>, Problem> {
    let inventory = call.services.inventory();
    inventory.stored(&call.scope, asked.service_id).await?;
    let (after, limit) = (asked.after.unwrap_or(0), size(asked.limit)?);
    let entries = inventory.history(&call.scope, asked.service_id, after, limit).await?;
    Ok(Reply::of(History::of(entries)))
}
