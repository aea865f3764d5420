//! Health.

use runtime_domain::health::{
    HealthStatus, ProductHealth as Product, ProductStatus, ServiceHealth as Service,
};
use runtime_domain::id::{EnvironmentId, ServiceId};
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod results;

pub use results::{HealthCheckEntry, HealthCheckResult, ListHealthResults, ServiceEvaluation};

/// Names a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRequest {
    /// The service.
    pub service_id: ServiceId,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "HealthStatus")]
pub enum Status {
    /// As it should be.
    Healthy,
    /// It works, worse than it should.
    Degraded,
    /// It does not work.
    Unhealthy,
    /// Nothing fresh is known.
    Unknown,
}

impl From<HealthStatus> for Status {
    fn from(status: HealthStatus) -> Self {
        match status {
            HealthStatus::Healthy => Self::Healthy,
            HealthStatus::Degraded => Self::Degraded,
            HealthStatus::Unhealthy => Self::Unhealthy,
        }
    }
}

impl From<ProductStatus> for Status {
    fn from(status: ProductStatus) -> Self {
        match status {
            ProductStatus::Healthy => Self::Healthy,
            ProductStatus::Unknown => Self::Unknown,
            ProductStatus::Degraded => Self::Degraded,
            ProductStatus::Unhealthy => Self::Unhealthy,
        }
    }
}

/// How a service is now, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceHealth {
    /// The service.
    pub service_id: ServiceId,
    /// How it is.
    pub status: Status,
    /// When it was evaluated; none where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated_at: Option<Timestamp>,
    /// Why it is not healthy, or not known.
    pub reasons: Vec<String>,
}

impl ServiceHealth {
    pub(crate) fn of(service_id: ServiceId, health: Service) -> Self {
        match health {
            Service::Unknown { why } => {
                Self { service_id, status: Status::Unknown, evaluated_at: None, reasons: vec![why] }
            }
            Service::Known { status, evaluated_at, reasons } => {
                Self { service_id, status: status.into(), evaluated_at: Some(evaluated_at), reasons }
            }
        }
    }
}

/// How a whole environment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductHealth {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The worst of its services.
    pub status: Status,
    /// Which services are not healthy, the worst first.
    pub reasons: Vec<ProductReason>,
}

/// Why a product is not healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductReason {
    /// The service's module.
    pub module: ModuleId,
    /// How it is.
    pub status: Status,
    /// Why.
    pub because: Vec<String>,
}

impl ProductHealth {
    pub(crate) fn of(environment_id: EnvironmentId, health: Product) -> Self {
        let reasons = health.reasons.into_iter().map(|reason| ProductReason {
            module: reason.module,
            status: reason.status.into(),
            because: reason.because,
        });
        Self { environment_id, status: health.status.into(), reasons: reasons.collect() }
    }
}
