//! Applies events. No policy is here: whatever was decided happens.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use uuid::Uuid;

use crate::aggregate::{Aggregate, DomainEvent, Misapplied, RecordError};
use crate::claim::Claim;
use crate::id::{AggregateKind, EnvironmentId, TenantId};
use crate::secrets::{
    Bound, Distributing, Grace, Requested, Retiring, Rotation, RotationFailed, RotationOutcome,
    RotationRecord, SecretBinding, SecretBindingRecord, SecretBound, SecretEvent, SecretReference,
    SecretState, SecretVersion, Suspended, Unbound,
};
use crate::time::Timestamp;
use crate::value::ModuleId;

impl Aggregate for SecretBinding {
    const KIND: AggregateKind = AggregateKind::SecretBinding;
    const SCHEMA: u16 = 1;
    type Event = SecretEvent;
    type Record = SecretBindingRecord;

    fn uuid(&self) -> Uuid {
        self.secret_binding_id.uuid()
    }

    fn tenant(&self) -> TenantId {
        self.tenant_id
    }

    fn environment(&self) -> EnvironmentId {
        self.environment_id
    }

    fn status(&self) -> &'static str {
        self.state.status().name()
    }

    fn modules(&self) -> BTreeSet<ModuleId> {
        BTreeSet::from([self.module.clone()])
    }

    fn claims(&self) -> BTreeSet<Claim> {
        match &self.state {
            SecretState::Unbound(_) => BTreeSet::new(),
            _ => BTreeSet::from([Claim::secret_binding(self.environment_id, &self.module, &self.delivery)]),
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        match &self.state {
            SecretState::Bound(state) => state.next_rotation_at,
            SecretState::Requested(state) => Some(state.since),
            SecretState::RotationFailed(state) => Some(state.retry_at),
            SecretState::Distributing(state) => Some(state.since),
            SecretState::Grace(state) => Some(state.until),
            SecretState::Retiring(state) => Some(state.retry_at),
            SecretState::Suspended(_) | SecretState::Unbound(_) => None,
        }
    }

    fn evolve(state: Option<Self>, event: &SecretEvent, at: Timestamp) -> Result<Self, Misapplied> {
        let misapplied = |state| Misapplied { event: event.name(), state };
        match (state, event) {
            (None, SecretEvent::SecretBound(bound)) => begun(bound, at).ok_or(misapplied("absent")),
            (None, _) => Err(misapplied("absent")),
            (Some(binding), event) => {
                let status = binding.state.status().name();
                binding.step(event, at).ok_or(misapplied(status))
            }
        }
    }

    fn to_record(&self) -> SecretBindingRecord {
        SecretBindingRecord::of(self)
    }

    fn from_record(schema: u16, record: SecretBindingRecord) -> Result<Self, RecordError> {
        record.open(schema)
    }
}

fn begun(bound: &SecretBound, at: Timestamp) -> Option<SecretBinding> {
    Some(SecretBinding {
        secret_binding_id: bound.secret_binding_id,
        tenant_id: bound.tenant_id,
        environment_id: bound.environment_id,
        module: bound.module.clone(),
        current: SecretReference::new(bound.key_vault_ref.clone(), bound.version).ok()?,
        identity: bound.identity.clone(),
        delivery: bound.delivery.clone(),
        rotation_schedule: bound.rotation_schedule.clone(),
        bound_at: at,
        rotations: Vec::new(),
        state: SecretState::Bound(Bound { since: at, next_rotation_at: bound.next_rotation_at }),
    })
}

impl SecretBinding {
    fn step(mut self, event: &SecretEvent, at: Timestamp) -> Option<Self> {
        let is_unbound = matches!(self.state, SecretState::Unbound(_));
        match event {
            _ if is_unbound => return None,
            SecretEvent::SecretBound(_) => return None,
            SecretEvent::SecretUnbound { reason } => {
                self.state = SecretState::Unbound(Unbound { since: at, reason: reason.clone() });
            }
            SecretEvent::SecretRotationScheduleChanged { rotation_schedule, next_rotation_at } => {
                self.rotation_schedule = rotation_schedule.clone();
                if let SecretState::Bound(bound) = &mut self.state {
                    bound.next_rotation_at = *next_rotation_at;
                }
            }
            SecretEvent::SecretRotationSuspended { .. }
            | SecretEvent::SecretRotationResumed { .. }
            | SecretEvent::SecretRotationAborted { .. } => return self.interrupted(event, at),
            SecretEvent::SecretRotated { previous, version, .. } => {
                let SecretState::Grace(grace) = &self.state else { return None };
                let rotation = grace.rotation.clone();
                self.current = SecretReference::new(self.key_vault_ref().clone(), *version).ok()?;
                self.keep(&rotation, *previous, Some(*version), RotationOutcome::Completed, at);
                self.state = SecretState::Retiring(Retiring {
                    version: *previous,
                    retry_at: at,
                    failures: 0,
                    fault: None,
                });
            }
            _ => self.state = moved(self.state, event, at)?,
        }
        Some(self)
    }

    fn interrupted(mut self, event: &SecretEvent, at: Timestamp) -> Option<Self> {
        let under_way = match &self.state {
            SecretState::Requested(state) => Some((state.rotation.clone(), None)),
            SecretState::RotationFailed(state) => Some((state.rotation.clone(), None)),
            SecretState::Distributing(state) => Some((state.rotation.clone(), Some(state.version))),
            _ => None,
        };
        let current = self.current_version();
        self.state = match (&self.state, event) {
            (_, SecretEvent::SecretRotationAborted { next_rotation_at, .. }) => {
                let (rotation, version) = under_way?;
                self.keep(&rotation, current, version, RotationOutcome::Aborted, at);
                match version {
                    Some(version) => {
                        SecretState::Retiring(Retiring { version, retry_at: at, failures: 0, fault: None })
                    }
                    None => SecretState::Bound(Bound { since: at, next_rotation_at: *next_rotation_at }),
                }
            }
            (SecretState::Bound(_), SecretEvent::SecretRotationSuspended { cause }) => {
                SecretState::Suspended(Suspended { since: at, cause: cause.clone(), unretired: None })
            }
            (SecretState::Retiring(state), SecretEvent::SecretRotationSuspended { cause }) => {
                let unretired = Some(state.version);
                SecretState::Suspended(Suspended { since: at, cause: cause.clone(), unretired })
            }
            (
                SecretState::Requested(_) | SecretState::RotationFailed(_),
                SecretEvent::SecretRotationSuspended { cause },
            ) => {
                let (rotation, version) = under_way?;
                self.keep(&rotation, current, version, RotationOutcome::Suspended, at);
                SecretState::Suspended(Suspended { since: at, cause: cause.clone(), unretired: None })
            }
            (SecretState::Suspended(state), SecretEvent::SecretRotationResumed { next_rotation_at, .. }) => {
                match state.unretired {
                    Some(version) => {
                        SecretState::Retiring(Retiring { version, retry_at: at, failures: 0, fault: None })
                    }
                    None => SecretState::Bound(Bound { since: at, next_rotation_at: *next_rotation_at }),
                }
            }
            _ => return None,
        };
        Some(self)
    }

    fn keep(
        &mut self,
        rotation: &Rotation,
        previous: SecretVersion,
        version: Option<SecretVersion>,
        outcome: RotationOutcome,
        at: Timestamp,
    ) {
        if self.rotations.len() >= Self::MOST_RECORDS {
            self.rotations.remove(0);
        }
        self.rotations.push(RotationRecord {
            cause: rotation.cause.kind(),
            previous,
            version,
            requested_at: rotation.requested_at,
            ended_at: at,
            outcome,
        });
    }
}

fn moved(state: SecretState, event: &SecretEvent, at: Timestamp) -> Option<SecretState> {
    Some(match (state, event) {
        (SecretState::Bound(_), SecretEvent::SecretRotationRequested { cause, break_glass }) => {
            let rotation =
                Rotation { cause: cause.clone(), break_glass: break_glass.clone(), requested_at: at };
            SecretState::Requested(Requested { rotation, since: at, failures: 0 })
        }
        (mut state, SecretEvent::SecretRotationEscalated { cause, break_glass }) => {
            let rotation = match &mut state {
                SecretState::Requested(state) => &mut state.rotation,
                SecretState::RotationFailed(state) => &mut state.rotation,
                SecretState::Distributing(state) => &mut state.rotation,
                SecretState::Grace(state) => {
                    // No longer than it would have been, and never before it began, whatever a clock says.
                    state.until = state.until.min(at).max(state.since);
                    &mut state.rotation
                }
                _ => return None,
            };
            rotation.cause = cause.clone();
            rotation.break_glass = break_glass.clone().or(rotation.break_glass.take());
            state
        }
        (SecretState::Requested(state), SecretEvent::SecretRotationFailed { fault, retry_at }) => {
            SecretState::RotationFailed(RotationFailed {
                rotation: state.rotation,
                fault: *fault,
                failures: state.failures.saturating_add(1),
                retry_at: *retry_at,
            })
        }
        (SecretState::RotationFailed(state), SecretEvent::SecretRotationRetried) => {
            SecretState::Requested(Requested {
                rotation: state.rotation,
                since: at,
                failures: state.failures,
            })
        }
        (
            SecretState::Requested(Requested { rotation, .. })
            | SecretState::RotationFailed(RotationFailed { rotation, .. }),
            SecretEvent::SecretVersionCreated { version },
        ) => SecretState::Distributing(Distributing {
            rotation,
            version: *version,
            since: at,
            consumption: None,
        }),
        (SecretState::Distributing(state), SecretEvent::SecretConsumptionObserved { consumption }) => {
            SecretState::Distributing(Distributing { consumption: Some(consumption.clone()), ..state })
        }
        (SecretState::Grace(state), SecretEvent::SecretConsumptionObserved { consumption }) => {
            SecretState::Distributing(Distributing {
                rotation: state.rotation,
                version: state.version,
                since: at,
                consumption: Some(consumption.clone()),
            })
        }
        (SecretState::Distributing(state), SecretEvent::SecretDistributed { grace_until }) => {
            SecretState::Grace(Grace {
                rotation: state.rotation,
                version: state.version,
                since: at,
                until: *grace_until,
            })
        }
        (SecretState::Retiring(state), SecretEvent::SecretRetirementFailed { fault, retry_at }) => {
            SecretState::Retiring(Retiring {
                version: state.version,
                retry_at: *retry_at,
                failures: state.failures.saturating_add(1),
                fault: Some(*fault),
            })
        }
        (SecretState::Retiring(_), SecretEvent::SecretVersionRetired { next_rotation_at, .. }) => {
            SecretState::Bound(Bound { since: at, next_rotation_at: *next_rotation_at })
        }
        _ => return None,
    })
}
