//! What the environment asks of a release before it comes.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use super::Decided;
use crate::aggregate::Decision;
use crate::environment::{EnvironmentEvent, EnvironmentRefusal, HostedEnvironment, RuntimeEnvironment};
use crate::promotion::PromotionPolicy;

impl RuntimeEnvironment {
    /// Decides what the environment asks of a release before it comes; `None` asks nothing. `upstream` proves of each environment that the
    /// policy names whose it is and which stage: the commit re-checks that they are still at exactly these revisions.
    ///
    /// # Errors
    /// PROMOTION where an upstream environment is not of an earlier stage, or nothing is proven of it; X-1 where it is of another tenant;
    /// LIFECYCLE where this environment is being taken down.
    pub fn change_promotion_policy(
        &self,
        policy: Option<&PromotionPolicy>,
        upstream: &[HostedEnvironment],
    ) -> Decided {
        self.check_stays("ChangePromotionPolicy")?;
        for environment in policy.into_iter().flat_map(|policy| policy.upstream()) {
            let Some(proof) = upstream.iter().find(|proof| proof.environment() == *environment) else {
                return Err(EnvironmentRefusal::UnknownUpstream { environment: *environment });
            };
            if proof.tenant() != self.tenant_id {
                return Err(EnvironmentRefusal::ForeignUpstream);
            }
            // Stages are ordered and fixed (ENV-2), so environments never come after each other in a circle.
            if proof.stage() >= self.stage {
                let (environment, stage) = (*environment, proof.stage());
                return Err(EnvironmentRefusal::LateUpstream { environment, stage, own: self.stage });
            }
        }
        if policy == self.promotion.as_ref() {
            return Ok(Decision::unchanged("this is its promotion policy already"));
        }
        let explanation = match policy {
            Some(policy) => format!("a release comes by {} environments before", policy.upstream().len()),
            None => "a release may come from anywhere".to_string(),
        };
        Ok(Decision::of(
            vec![EnvironmentEvent::PromotionPolicyChanged { policy: policy.cloned() }],
            explanation,
        ))
    }
}
