//! Secret bindings that forget one of their rules.

use std::collections::BTreeSet;

use runtime_domain::aggregate::{Aggregate, Misapplied};
use runtime_domain::claim::Claim;
use runtime_domain::secrets::{RotationKind, SecretBinding, SecretEvent, SecretState};
use runtime_domain::time::{Span, Timestamp};
use runtime_testkit::plan::secrets::SecretPlan;
use runtime_testkit::prove::{Answer, Property};

use crate::broken::{Bug, assert_breaks_nothing, assert_caught, bug, changed, decided, is_refused, is_same};

type State<'s> = Option<&'s SecretBinding>;
type Answered = Answer<SecretEvent>;

fn rotated(binding: &SecretBinding) -> SecretEvent {
    SecretEvent::SecretRotated {
        secret_binding_id: binding.id(),
        service_id: binding.service_id(),
        module: binding.module().clone(),
        previous: binding.current_version(),
        version: binding.new_version().unwrap(),
        cause: RotationKind::OnDemand,
    }
}

bug!(RevokesUnderItsUsers of SecretBinding {
    /// A look at whoever still holds the old version ends the grace.
    fn answer(state: State<'_>, plan: &SecretPlan, answer: Answered) -> Answered {
        match (state, plan, &answer) {
            (Some(binding), SecretPlan::Look { .. }, Answer::Decided(decision))
                if matches!(binding.state(), SecretState::Grace(_)) && !decision.is_unchanged() =>
            {
                decided(vec![rotated(binding)])
            }
            _ => answer,
        }
    }
});

bug!(KeepsNoGrace of SecretBinding {
    fn answer(state: State<'_>, plan: &SecretPlan, answer: Answered) -> Answered {
        match (state, plan) {
            (Some(binding), SecretPlan::Look { .. })
                if matches!(binding.state(), SecretState::Grace(_)) && is_same(&answer) =>
            {
                decided(vec![rotated(binding)])
            }
            _ => answer,
        }
    }
});

bug!(BringsWhatWasSeen of SecretBinding {
    fn answer(state: State<'_>, _: &SecretPlan, answer: Answered) -> Answered {
        match state {
            Some(binding) if is_refused(&answer, "SEC-2") => {
                decided(vec![SecretEvent::SecretVersionCreated { version: binding.current_version() }])
            }
            _ => answer,
        }
    }
});

bug!(AsksItsVaultForEver of SecretBinding {
    fn answer(state: State<'_>, plan: &SecretPlan, answer: Answered) -> Answered {
        match (state.map(SecretBinding::state), plan, &answer) {
            (Some(SecretState::Retiring(state)), SecretPlan::Fail { .. }, Answer::Decided(decision))
                if matches!(decision.events.as_slice(), [SecretEvent::SecretRotationSuspended { .. }]) =>
            {
                let fault = runtime_domain::secrets::VaultFault::Failing;
                decided(vec![SecretEvent::SecretRetirementFailed { fault, retry_at: state.retry_at }])
            }
            _ => answer,
        }
    }
});

bug!(RotatesTooEarly of SecretBinding {
    fn evolve(state: Option<SecretBinding>, event: &SecretEvent, at: Timestamp) -> Result<SecretBinding, Misapplied> {
        let after = SecretBinding::evolve(state, event, at)?;
        let SecretState::Bound(bound) = after.state() else { return Ok(after) };
        let Some(next) = bound.next_rotation_at else { return Ok(after) };
        let millis = Span::between(Timestamp::UNIX_EPOCH, next).as_millis() - 1;
        let earlier = Span::from_millis(millis).after(Timestamp::UNIX_EPOCH);
        Ok(changed(&after, |form| {
            form["state"]["Bound"]["next_rotation_at"] = serde_json::to_value(earlier).unwrap();
        }))
    }
});

bug!(GoesToAnotherVault of SecretBinding {
    fn evolve(state: Option<SecretBinding>, event: &SecretEvent, at: Timestamp) -> Result<SecretBinding, Misapplied> {
        let after = SecretBinding::evolve(state, event, at)?;
        Ok(match event {
            SecretEvent::SecretRotationScheduleChanged { .. } => changed(&after, |form| {
                form["identity"] = "local:somebody-else".into();
            }),
            _ => after,
        })
    }
});

bug!(HoldsItsNameForEver of SecretBinding {
    fn claims(binding: &SecretBinding) -> BTreeSet<Claim> {
        let own = Claim::secret_binding(binding.environment_id(), binding.module(), binding.delivery());
        BTreeSet::from([own])
    }
});

bug!(TakesForeignEvidence of SecretBinding {
    fn answer(state: State<'_>, plan: &SecretPlan, answer: Answered) -> Answered {
        match plan {
            SecretPlan::Rotate { .. } if state.is_some() && is_refused(&answer, "X-1") => decided(Vec::new()),
            _ => answer,
        }
    }
});

#[test]
fn the_wrapper_itself_breaks_nothing() {
    assert_breaks_nothing::<SecretBinding>();
}

#[test]
fn a_version_that_is_brought_again_is_caught() {
    assert_caught::<SecretBinding, BringsWhatWasSeen>(Property::KeepsInvariants);
}

#[test]
fn a_version_that_is_revoked_under_its_users_is_caught() {
    assert_caught::<SecretBinding, RevokesUnderItsUsers>(Property::AgreesWithModel);
}

#[test]
fn a_grace_that_is_not_kept_is_caught() {
    assert_caught::<SecretBinding, KeepsNoGrace>(Property::AgreesWithModel);
}

#[test]
fn a_vault_that_is_asked_for_ever_is_caught() {
    assert_caught::<SecretBinding, AsksItsVaultForEver>(Property::KeepsInvariants);
}

#[test]
fn a_rotation_a_millisecond_too_early_is_caught() {
    assert_caught::<SecretBinding, RotatesTooEarly>(Property::AgreesWithModel);
}

#[test]
fn another_identity_is_caught() {
    assert_caught::<SecretBinding, GoesToAnotherVault>(Property::KeepsInvariants);
}

#[test]
fn a_name_that_is_never_let_go_is_caught() {
    assert_caught::<SecretBinding, HoldsItsNameForEver>(Property::HoldsClaims);
}

#[test]
fn foreign_evidence_that_is_taken_is_caught() {
    assert_caught::<SecretBinding, TakesForeignEvidence>(Property::AgreesWithModel);
}
