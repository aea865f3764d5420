//! A binding in every state.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use core::num::NonZeroU32;

use crate::calendar::{Activity, Clearance};
use crate::environment::{HostedEnvironment, IsolationModel};
use crate::scope::Actor;
use crate::secrets::*;
use crate::testing::{Told, at, id, name};
use crate::time::{Span, Timestamp};
use crate::value::Revision;

pub(super) const DAY: u64 = 86_400;
/// Later than any jittered due time of the schedule.
pub(super) const DUE: u64 = 31 * DAY;

pub(super) fn version(number: u32) -> SecretVersion {
    SecretVersion::numbered(NonZeroU32::new(number).unwrap())
}

pub(super) fn actor() -> Actor {
    Actor::new("ann").unwrap()
}

pub(super) fn monthly() -> RotationSchedule {
    RotationSchedule::new(Some("every 30d".parse().unwrap()), Span::from_secs(600)).unwrap()
}

pub(super) fn bind() -> BindSecret {
    BindSecret {
        secret_binding_id: id(5),
        tenant_id: id(2),
        environment: HostedEnvironment {
            tenant: id(2),
            environment: id(1),
            stage: crate::environment::EnvironmentStage::Dev,
            isolation_model: IsolationModel::Silo,
            at: Revision(3),
        },
        module: name("cart"),
        secret: "vault://kv/shop/db?version=3#password".parse().unwrap(),
        identity: "local:cart".parse().unwrap(),
        delivery: "file:db-password".parse().unwrap(),
        rotation_schedule: monthly(),
    }
}

pub(super) fn clearance() -> Clearance {
    Clearance {
        tenant: id(2),
        environment: id(1),
        activity: Activity::Rotation,
        break_glass: None,
        at: Revision(4),
    }
}

pub(super) fn on_demand() -> RotationCause {
    RotationCause::OnDemand { by: actor(), reason: "audit".to_string() }
}

pub(super) fn compromised() -> RotationCause {
    RotationCause::Compromised { by: actor(), reason: "leaked".to_string() }
}

pub(super) fn rotate(cause: RotationCause) -> SecretCommand {
    SecretCommand::RotateSecret(RotateSecret { cause, clearance: clearance() })
}

pub(super) fn created(number: u32) -> SecretCommand {
    SecretCommand::RecordNewVersion { version: version(number) }
}

pub(super) fn failed(fault: VaultFault) -> SecretCommand {
    SecretCommand::RecordVaultFailure { fault, retry_after: None }
}

pub(super) fn retired(number: u32) -> SecretCommand {
    SecretCommand::RecordRetired { version: version(number) }
}

/// Instances 0, 1, …, each seen on a version, or on none that is known.
pub(super) fn instances(seen: &[Option<u32>]) -> Consumption {
    let consumer = |index: usize| format!("cart@{}/i{index}", id::<crate::id::kind::Deployment>(9));
    let each = seen.iter().enumerate();
    let map: BTreeMap<_, _> =
        each.map(|(index, seen)| (consumer(index).parse().unwrap(), seen.map(version))).collect();
    Consumption::Instances(map)
}

pub(super) fn seen(observed_at: Timestamp, consumption: Consumption) -> SecretCommand {
    SecretCommand::RecordConsumption { observed_at, consumption }
}

pub(super) fn all_on(seconds: u64, number: u32) -> SecretCommand {
    seen(at(seconds), instances(&[Some(number), Some(number)]))
}

pub(super) fn abort() -> SecretCommand {
    SecretCommand::AbortRotation { by: actor(), reason: "not now".to_string() }
}

pub(super) fn suspend() -> SecretCommand {
    SecretCommand::SuspendRotation { by: actor(), reason: "maintenance".to_string() }
}

pub(super) fn resume() -> SecretCommand {
    SecretCommand::ResumeRotation { by: actor() }
}

pub(super) fn unbind() -> SecretCommand {
    SecretCommand::Unbind { reason: "not needed".to_string() }
}

/// A binding that was told these commands, each at its second.
pub(super) fn told(commands: &[(u64, SecretCommand)]) -> Told<SecretBinding> {
    let mut told: Told<SecretBinding> = Told::begin(SecretBinding::bind(&bind(), at(0)), at(0));
    for (seconds, command) in commands {
        let decision = told.now().decide(command, at(*seconds)).unwrap_or_else(|why| panic!("{why}"));
        told.happen(decision, at(*seconds));
    }
    told
}

pub(super) fn bound() -> Told<SecretBinding> {
    told(&[])
}
pub(super) fn requested() -> Told<SecretBinding> {
    told(&[(10, rotate(on_demand()))])
}
pub(super) fn rotation_failed() -> Told<SecretBinding> {
    told(&[(10, rotate(on_demand())), (20, failed(VaultFault::Unreachable))])
}
pub(super) fn distributing() -> Told<SecretBinding> {
    told(&[(10, rotate(on_demand())), (20, created(4))])
}
pub(super) fn grace() -> Told<SecretBinding> {
    told(&[(10, rotate(on_demand())), (20, created(4)), (30, all_on(30, 4))])
}
pub(super) fn retiring() -> Told<SecretBinding> {
    told(&[(10, rotate(on_demand())), (20, created(4)), (30, all_on(30, 4)), (630, all_on(630, 4))])
}
pub(super) fn suspended() -> Told<SecretBinding> {
    told(&[(10, suspend())])
}
pub(super) fn unbound() -> Told<SecretBinding> {
    told(&[(10, unbind())])
}

/// In the order of the table in the context's docs.
pub(super) fn every_state() -> [Told<SecretBinding>; 8] {
    [bound(), requested(), rotation_failed(), distributing(), grace(), retiring(), suspended(), unbound()]
}
