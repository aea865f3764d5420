//! Tenant bindings: a tenant's place in an environment, with the isolation it is promised and the quota it may use.
//!
//! ```text
//! (none) ─► Bound ─► Released
//! ```
//!
//! | command | Bound | Released |
//! |---|---|---|
//! | Bind again, the same | same | LIFECYCLE |
//! | Bind again, otherwise | TEN-3 | LIFECYCLE |
//! | AdjustQuota | yes | LIFECYCLE |
//! | ReleaseTenant | yes | same |
//!
//! *same* means accepted and nothing changes; adjusting to the quota that is allocated is *same*, too.
//!
//! Invariants, each with the place that keeps it:
//! - **TEN-1** (claim): a silo binding has its environment to itself: [`Claim::occupancy`](crate::claim::Claim::occupancy), exclusive for a
//!   silo, shared by the others; and no two tenants share a partition that is one's own:
//!   [`Claim::partition`](crate::claim::Claim::partition). The isolation model is the environment's, shown by
//!   [`HostedEnvironment`](crate::environment::HostedEnvironment).
//! - **TEN-3** (claim): one binding per tenant and environment: [`Claim::tenant_binding`](crate::claim::Claim::tenant_binding), held until Released.
//! - **X-1** (evidence): a silo is bound by its environment's own tenant only.

mod command;
mod decide;
mod event;
mod evidence;
mod evolve;
mod quota;
mod record;
mod refusal;
mod state;
#[cfg(test)]
pub(crate) mod tests;

pub use command::{BindTenant, TenancyCommand};
pub use event::{TenancyEvent, TenantBound};
pub use evidence::BoundTenant;
pub use quota::{PartitionAssignment, PartitionKey, QuotaAllocation, QuotaError, ResourceQuota};
pub use record::RuntimeTenantBindingRecord;
pub use refusal::TenancyRefusal;
pub use state::{BindingState, BindingStatus, Bound, Released, RuntimeTenantBinding};
