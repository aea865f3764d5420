//! What the commands of a move come to.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::Decided;
use crate::aggregate::Decision;
use crate::environment::IsolationModel;
use crate::reason;
use crate::tenancy::relocation::MoveTurn;
use crate::tenancy::{
    BindingState, BoundTenant, MoveOutcome, MoveStep, RuntimeTenantBinding, TenancyEvent, TenancyRefusal,
};
use crate::time::{Span, Timestamp};

impl RuntimeTenantBinding {
    pub(super) fn begin_move(&self, target: &BoundTenant, observe_for: Span) -> Decided {
        if target.tenant() != self.tenant_id {
            return Err(TenancyRefusal::ForeignEvidence);
        }
        match &self.state {
            BindingState::Bound(_) => {}
            BindingState::Moving(moving)
                if moving.relocation.target_binding == target.binding()
                    && moving.relocation.observe_for == observe_for =>
            {
                return Ok(Decision::unchanged("this move was begun before"));
            }
            BindingState::Moving(_) => {
                return Err(self.lifecycle("BeginMove", "let the move that was begun end, or abort it"));
            }
            BindingState::Cordoned(_) => return Err(self.lifecycle("BeginMove", "uncordon the tenant first")),
            BindingState::Pending(_) | BindingState::Released(_) => {
                return Err(self.lifecycle("BeginMove", "move a tenant that has its place"));
            }
        }
        if self.is_protected {
            return Err(TenancyRefusal::Protected);
        }
        if self.isolation_model == IsolationModel::Silo
            || target.isolation_model() != IsolationModel::Silo
            || target.environment() == self.environment_id
        {
            return Err(TenancyRefusal::NotIntoASilo);
        }
        if target.is_cordoned() {
            return Err(TenancyRefusal::TargetCordoned);
        }
        let begun = TenancyEvent::TenantMoveBegun {
            target_environment: target.environment(),
            target_binding: target.binding(),
            observe_for,
        };
        Ok(Decision::of(vec![begun], format!("the tenant has a silo of its own at {}", target.at())))
    }

    pub(super) fn record_step(&self, step: MoveStep, outcome: &MoveOutcome, now: Timestamp) -> Decided {
        let BindingState::Moving(moving) = &self.state else {
            return Err(self.lifecycle("RecordMoveStep", "leave it: the tenant is not moving"));
        };
        let expected = moving.relocation.stage.step();
        if step != expected {
            return Err(TenancyRefusal::OtherStep { step, expected });
        }
        if step == MoveStep::ReleaseSource && *outcome == MoveOutcome::Done {
            self.nothing_stays()?;
        }
        let turn = moving.relocation.turn(outcome, now);
        let turn = turn.ok_or(TenancyRefusal::TooEarly { until: moving.relocation.due_at() })?;
        let failure = match outcome {
            MoveOutcome::Done => None,
            MoveOutcome::Failed(why) => Some(reason::reported(why)),
        };
        Ok(Decision::of(self.turned(step, turn, failure), format!("{step:?} ended")))
    }

    pub(super) fn abort_move(&self, why: &str) -> Decided {
        let BindingState::Moving(moving) = &self.state else {
            return match &self.state {
                BindingState::Bound(_) => Ok(Decision::unchanged("the tenant is not moving")),
                _ => Err(self.lifecycle("AbortMove", "leave it: the tenant is not moving")),
            };
        };
        let stage = moving.relocation.stage;
        if stage.is_back() {
            return Ok(Decision::unchanged("the tenant is on its way back"));
        }
        let turn = moving.relocation.abort().ok_or(TenancyRefusal::PastReturn)?;
        let reason = reason::stated(why).ok_or(TenancyRefusal::BadReason)?;
        Ok(Decision::of(self.turned(stage.step(), turn, Some(reason)), "the tenant is to stay"))
    }

    fn turned(&self, step: MoveStep, turn: MoveTurn, reason: Option<String>) -> Vec<TenancyEvent> {
        let said = |reason: Option<String>| reason.unwrap_or_else(|| "the move was taken back".into());
        vec![match turn {
            MoveTurn::To(stage) => TenancyEvent::TenantMoveTurned { stage, reason },
            MoveTurn::Again(retry_at) => {
                TenancyEvent::TenantMoveStepFailed { step, reason: said(reason), retry_at }
            }
            MoveTurn::Stayed => TenancyEvent::TenantMoveAborted { reason: said(reason) },
            MoveTurn::Moved => {
                TenancyEvent::TenantReleased { reason: "the tenant has moved to a silo of its own".into() }
            }
        }]
    }
}
