//! RuntimeHealthService.

use runtime_ports::authenticator::Role;
use runtime_ports::health_results::HealthResultQuery;
use runtime_ports::store::Cursor;

use crate::call::{Call, Reply};
use crate::document::environments::EnvironmentRequest;
use crate::document::health::{
    HealthCheckResult, ListHealthResults, ProductHealth, ServiceEvaluation, ServiceHealth, ServiceRequest,
};
use crate::document::page::{Page, size};
use crate::operation::{Descriptor, Operation};
use crate::problem::Problem;

const SERVICE: &str = "RuntimeHealthService";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Descriptor::read(
            SERVICE,
            "GetServiceHealth",
            "/runtime/services/{serviceId}/health",
            "How a service is now, as far as is known.",
        )
        .performed_by(health),
        Descriptor::read(
            SERVICE,
            "GetProductHealth",
            "/runtime/environments/{environmentId}/health",
            "How a whole environment is: the worst of its services, with the reasons.",
        )
        .performed_by(product),
        Descriptor::read(
            SERVICE,
            "ListHealthResults",
            "/runtime/health-results",
            "The evaluations that are kept, the newest first.",
        )
        .performed_by(results),
        Descriptor::command(
            SERVICE,
            "EvaluateService",
            "/runtime/services/{serviceId}/evaluate",
            Role::Operator,
            "Evaluates a service now and records the result.",
        )
        .without_preview()
        .without_key()
        .performed_by(evaluate),
    ]
}

async fn health(call: Call, asked: ServiceRequest) -> Result<Reply<ServiceHealth>, Problem> {
    let health = call.services.health().health(&call.scope, asked.service_id).await?;
    Ok(Reply::of(ServiceHealth::of(asked.service_id, health)))
}

async fn product(call: Call, asked: EnvironmentRequest) -> Result<Reply<ProductHealth>, Problem> {
    call.services.environments().stored(&call.scope, asked.environment_id).await?;
    let health = call.services.health().product_health(&call.scope, asked.environment_id).await?;
    Ok(Reply::of(ProductHealth::of(asked.environment_id, health)))
}

async fn results(call: Call, asked: ListHealthResults) -> Result<Reply<Page<HealthCheckResult>>, Problem> {
    let mut query = HealthResultQuery::of(asked.environment_id).limited_to(size(asked.limit)?);
    if let Some(module) = &asked.module {
        query = query.about(module);
    }
    query.revision = asked.revision;
    query.from = asked.from;
    query.until = asked.until;
    query.after = asked.cursor.map(Cursor);
    let page = call.services.health().results(&call.scope, &query).await?;
    Ok(Reply::of(Page::of(page, HealthCheckResult::recorded)))
}

async fn evaluate(call: Call, asked: ServiceRequest) -> Result<Reply<ServiceEvaluation>, Problem> {
    let result = call.services.health().evaluate(&call.scope, asked.service_id).await?;
    let result = result.map(|result| HealthCheckResult::of(&result, None));
    Ok(Reply::of(ServiceEvaluation { result }))
}
