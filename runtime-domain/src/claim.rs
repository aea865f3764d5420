//! Claims: exclusive keys that an aggregate holds while its state calls for them.
//!
//! Uniqueness across aggregates is kept by one mechanism in every store: an aggregate says which keys it holds in its
//! present state, and a commit whose claim another aggregate holds is refused whole.
//!
//! | claim | rule |
//! |---|---|
//! | [`Claim::in_flight`] | DEP-3 |
//! | [`Claim::deployment_number`] | no deployment is planned against an outdated predecessor |
//! | [`Claim::quarantine`] | a rolled-back digest stays out until released |
//! | [`Claim::environment_name`] | X-3, for environments |
//! | [`Claim::tenant_binding`] | TEN-3 |
//! | [`Claim::occupancy`] | TEN-1 |
//! | [`Claim::partition`] | TEN-1: no two tenants in one partition |
//! | [`Claim::service`] | one inventory record per environment and module |
//! | [`Claim::health_window`] | HLT-3 |
//! | [`Claim::drift_finding`] | DRF-2 |
//! | [`Claim::scaling_policy`] | SCL-3: one scaling policy per service |
//! | [`Claim::configuration_version`] | CFG-1 |
//! | [`Claim::secret_binding`] | X-3, for secret bindings |

use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::component::ImageDigest;
use crate::configuration::ConfigVersion;
use crate::drift::FindingHash;
use crate::id::{EnvironmentId, ProjectId, ServiceId, TenantId};
use crate::secrets::Delivery;
use crate::time::Timestamp;
use crate::value::{ModuleId, Name};

/// Whether several aggregates may hold a key at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ClaimMode {
    /// Only one holder, and no shared holders beside it.
    Exclusive,
    /// Any number of shared holders, and no exclusive one beside them.
    Shared,
}

/// Among whom a key is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ClaimSpace {
    /// Among one tenant's aggregates: two tenants may hold the same key.
    Tenant,
    /// Among all tenants' aggregates. A refusal never says who holds it.
    Global,
}

/// A key that an aggregate holds in its present state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The key: its kind, then what it is about, separated by `/`.
    pub key: String,
    /// Whether others may hold it too.
    pub mode: ClaimMode,
    /// Among whom it is unique.
    pub space: ClaimSpace,
}

impl Claim {
    fn exclusive(key: String) -> Self {
        Self { key, mode: ClaimMode::Exclusive, space: ClaimSpace::Tenant }
    }

    /// Held by a deployment while it is in flight, for each component (DEP-3).
    pub fn in_flight(environment: EnvironmentId, module: &ModuleId) -> Self {
        Self::exclusive(format!("in-flight/{environment}/{module}"))
    }

    /// Held by a deployment for ever: it is the `number`th of the component. Two that were planned against the same predecessor
    /// cannot both be accepted.
    pub fn deployment_number(environment: EnvironmentId, module: &ModuleId, number: u32) -> Self {
        Self::exclusive(format!("deployment-number/{environment}/{module}/{number}"))
    }

    /// Held while a deployment brings a digest, and kept when it was rolled back: the digest is quarantined.
    pub fn quarantine(environment: EnvironmentId, module: &ModuleId, digest: &ImageDigest) -> Self {
        Self::exclusive(format!("quarantine/{environment}/{module}/{digest}"))
    }

    /// Held by an environment until it is decommissioned, so that asking twice gives one.
    pub fn environment_name(project: ProjectId, name: &Name) -> Self {
        Self::exclusive(format!("environment/{project}/{name}"))
    }

    /// Held by a tenant binding until it is released (TEN-3).
    pub fn tenant_binding(tenant: TenantId, environment: EnvironmentId) -> Self {
        Self::exclusive(format!("tenant/{tenant}/{environment}"))
    }

    /// Held by every tenant binding of an environment: exclusively by a silo, shared by the others (TEN-1).
    pub fn occupancy(environment: EnvironmentId, mode: ClaimMode) -> Self {
        Self { key: format!("occupancy/{environment}"), mode, space: ClaimSpace::Global }
    }

    /// Held by a tenant binding for each partition that is its alone, such as `data/acme` (TEN-1).
    pub fn partition(environment: EnvironmentId, partition: &str) -> Self {
        Self {
            key: format!("partition/{environment}/{partition}"),
            mode: ClaimMode::Exclusive,
            space: ClaimSpace::Global,
        }
    }

    /// Held by an inventory record until it is retired.
    pub fn service(environment: EnvironmentId, module: &ModuleId) -> Self {
        Self::exclusive(format!("service/{environment}/{module}"))
    }

    /// Held by a drift finding while it is open, so that the same divergence is found once (DRF-2).
    pub fn drift_finding(environment: EnvironmentId, hash: &FindingHash) -> Self {
        Self::exclusive(format!("drift/{environment}/{hash}"))
    }

    /// Held by a health check result for ever (HLT-3).
    pub fn health_window(service: ServiceId, window_start: Timestamp) -> Self {
        Self::exclusive(format!("health/{service}/{}", window_start.timestamp_millis()))
    }

    /// Held by a configuration version for ever, withdrawn or not: a number is used once (CFG-1).
    pub fn configuration_version(environment: EnvironmentId, version: ConfigVersion) -> Self {
        Self::exclusive(format!("configuration-version/{environment}/{version}"))
    }

    /// Held by a secret binding until it is unbound: a component gets one secret by one name.
    pub fn secret_binding(environment: EnvironmentId, module: &ModuleId, delivery: &Delivery) -> Self {
        Self::exclusive(format!("secret/{environment}/{module}/{delivery}"))
    }

    /// Held by a scaling policy until it is retired (SCL-3).
    pub fn scaling_policy(environment: EnvironmentId, module: &ModuleId) -> Self {
        Self::exclusive(format!("scaling-policy/{environment}/{module}"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::testing::{at, id, letters, name};

    const ENVIRONMENT: &str = "env_00000000000000000000000000000001";

    /// Shows DEP-3, TEN-1, TEN-3, HLT-3, X-3.
    #[test]
    fn a_key_names_all_that_it_is_unique_among() {
        let digest = ImageDigest::new(&["sha256:", &letters(64)].concat()).unwrap();
        let key = |kind: &str, rest: &str| [kind, "/", ENVIRONMENT, rest].concat();
        let of_tenant = [
            (Claim::in_flight(id(1), &name("cart")), key("in-flight", "/cart")),
            (Claim::deployment_number(id(1), &name("cart"), 7), key("deployment-number", "/cart/7")),
            (
                Claim::quarantine(id(1), &name("cart"), &digest),
                key("quarantine", &["/cart/", digest.as_str()].concat()),
            ),
            (Claim::service(id(1), &name("cart")), key("service", "/cart")),
            (
                Claim::environment_name(id(2), &name("shop")),
                "environment/prj_00000000000000000000000000000002/shop".to_string(),
            ),
            (
                Claim::tenant_binding(id(3), id(1)),
                ["tenant/ten_00000000000000000000000000000003/", ENVIRONMENT].concat(),
            ),
            (
                Claim::health_window(id(4), at(1)),
                "health/svc_00000000000000000000000000000004/1800000001000".to_string(),
            ),
        ];
        for (claim, key) in of_tenant {
            assert_eq!(claim, Claim { key, mode: ClaimMode::Exclusive, space: ClaimSpace::Tenant });
        }
        let partition = Claim::partition(id(1), "data/acme");
        assert_eq!((partition.key, partition.mode), (key("partition", "/data/acme"), ClaimMode::Exclusive));
        assert_eq!(partition.space, ClaimSpace::Global);
        for mode in [ClaimMode::Exclusive, ClaimMode::Shared] {
            let occupancy = Claim::occupancy(id(1), mode);
            assert_eq!(occupancy, Claim { key: key("occupancy", ""), mode, space: ClaimSpace::Global });
        }
    }
}
