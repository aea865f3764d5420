//! How a release earns its way from stage to stage: dev → test → staging → prod.
//!
//! An environment may have a [`PromotionPolicy`]: which environments before it must have verified a release, for how long it must have
//! served there, and how many people must agree. A release is what its images are: configuration and secrets are each environment's own.
//! [`judge`] says whether a release may come, from what Completed deployments prove and from nothing else: what is not proven is missing,
//! and missing is never enough.
//!
//! | asked of a release | shown by |
//! |---|---|
//! | verified upstream, by any or by all | the newest Completed deployment of each component there has the same image |
//! | soaked | the newest of those was completed that long ago, and none was replaced since |
//! | agreed to | an approval gate, which the policy adds to the rollout: it is bound to this deployment alone |
//! | not gone back from | where what serves came by a rollback, an image that was left by it is held until someone releases the hold |
//!
//! Going back needs no promotion: a rollback asks none of this.

mod judge;
mod policy;
mod refusal;
#[cfg(test)]
mod tests;

pub use judge::{Candidate, judge};
pub use policy::{PromotionPolicy, Upstreams};
pub use refusal::{Missing, PolicyError, PromotionRefusal};
