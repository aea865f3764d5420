//! When an environment ends by itself, and what was removed behind the engine's back.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use super::Decided;
use crate::aggregate::Decision;
use crate::environment::{
    EnvironmentEvent, EnvironmentRefusal, EnvironmentStage, EnvironmentState, RuntimeEnvironment,
};
use crate::time::Timestamp;

impl RuntimeEnvironment {
    pub(super) fn change_expiry(&self, expires_at: Option<Timestamp>) -> Decided {
        self.check_stays("ChangeExpiry")?;
        if expires_at.is_some() && self.stage == EnvironmentStage::Prod {
            return Err(EnvironmentRefusal::EndlessStage);
        }
        if expires_at == self.expires_at {
            return Ok(Decision::unchanged("it is as asked"));
        }
        let explanation = match expires_at {
            Some(at) => format!("it ends by itself at {at}, unless it is protected then"),
            None => "it does not end by itself".into(),
        };
        Ok(Decision::of(vec![EnvironmentEvent::EnvironmentExpiryChanged { expires_at }], explanation))
    }

    /// Nothing happens before its time, while it is protected, and where it ends already.
    pub(super) fn expire(&self, now: Timestamp) -> Decided {
        match self.ends_at() {
            Some(at) if at <= now => {
                let reason = format!("its time to live ended at {at}");
                Ok(Decision::of(
                    vec![EnvironmentEvent::EnvironmentDecommissioningStarted { reason }],
                    "its time to live has ended",
                ))
            }
            _ => Ok(Decision::unchanged("its time has not come")),
        }
    }

    pub(super) fn resources_lost(&self, resources: &BTreeSet<String>) -> Decided {
        match &self.state {
            EnvironmentState::Provisioned(_) if resources.is_empty() => {
                Ok(Decision::unchanged("everything is there"))
            }
            EnvironmentState::Provisioned(state) if state.pending.is_some() => {
                Ok(Decision::unchanged("it waits to be applied anew already"))
            }
            EnvironmentState::Provisioned(_) => Ok(Decision::of(
                vec![EnvironmentEvent::EnvironmentResourcesLost { resources: resources.clone() }],
                format!("{} resources were removed behind the engine's back", resources.len()),
            )),
            // Whatever is missing is made, or is to go, anyway.
            _ => Ok(Decision::unchanged("nothing of it needs to be there")),
        }
    }
}
