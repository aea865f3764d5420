//! Environments of a story, and what they prove of their calendars.

use runtime_domain::calendar::{Activity, BreakGlass, Clearance};
use runtime_domain::environment::{EnvironmentCommand, IsolationModel, RuntimeEnvironment};
use runtime_domain::scope::Actor;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;

use crate::plan::place::{Ground, Whose};
use crate::prove::Answer;
use crate::prove::tenancy::evidence::{self, Who, after};

/// A tenant's environment, by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) tenant: u128,
    pub(super) environment: u128,
    pub(super) isolation: IsolationModel,
}

/// What is shown; or nothing can be asked, or what is needed for it is refused.
pub(super) type Shown<T, E> = Result<T, Answer<E>>;

impl Place {
    pub(super) const fn of(whose: Whose, isolation: IsolationModel) -> Self {
        let (tenant, environment) = match whose {
            Whose::Own => (1, 1),
            Whose::OtherEnvironment => (1, 2),
            Whose::OtherTenant => (2, 1),
        };
        Self { tenant, environment, isolation }
    }

    /// Somebody else's place, or this one.
    pub(super) const fn seen_by(self, whose: Whose) -> Self {
        match whose {
            Whose::Own => self,
            Whose::OtherEnvironment => Self { environment: self.environment + 10, ..self },
            Whose::OtherTenant => Self { tenant: self.tenant + 10, ..self },
        }
    }

    /// The environment, as it is found.
    pub(super) fn environment(self, ground: Ground, now: Timestamp) -> Option<RuntimeEnvironment> {
        let Self { tenant, environment, isolation } = self;
        let who = Who { environment, owner: tenant, tenant, binding: 1, isolation };
        let begun = evidence::environment(who, now)?;
        let command = match ground {
            Ground::Open => return Some(begun),
            Ground::Stopped => EnvironmentCommand::StopTheLine { by: person()?, reason: "smoke".to_owned() },
            Ground::Gone => {
                EnvironmentCommand::DecommissionRuntimeEnvironment { reason: "not needed".to_owned() }
            }
        };
        let decision = begun.decide(&command, now).ok()?;
        after(Some(begun), &decision, now)
    }

    /// Proof that its calendar is open to an activity, or that someone broke the glass.
    pub(super) fn clearance<E>(
        self,
        ground: Ground,
        glass: Option<&str>,
        activity: Activity,
        now: Timestamp,
    ) -> Shown<Clearance, E> {
        let environment = self.environment(ground, now).ok_or(Answer::Nothing)?;
        let glass = match (glass, person()) {
            (Some(reason), Some(by)) => Some(BreakGlass { by, reason: reason.to_owned() }),
            _ => None,
        };
        environment.clear(activity, Revision::FIRST, now, glass).map_err(|refusal| Answer::refused(&refusal))
    }
}

/// Who asks.
pub(super) fn person() -> Option<Actor> {
    Actor::new("operator").ok()
}
