//! Secret bindings: the driver.

use std::collections::BTreeMap;

use proptest::strategy::BoxedStrategy;
use runtime_domain::calendar::Activity;
use runtime_domain::environment::IsolationModel;
use runtime_domain::schedule::Schedule;
use runtime_domain::secrets::{
    BindSecret, Consumer, Consumption, RotateSecret, RotationCause, RotationOutcome, RotationRecord,
    RotationSchedule, SecretBinding, SecretCommand, SecretEvent, SecretReference, SecretState, SecretVersion,
    VaultFault,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, Revision};

use crate::model::{Facts, SecretModel};
use crate::plan::Step;
use crate::plan::place::Ground;
use crate::plan::secrets::{
    BINDINGS, Cause, DELIVERIES, IDENTITIES, MODULES, Old, On, SecretPlan, Seen, Times, Turns, VAULTS, Wanted,
};
use crate::prove::environment::numbered;
use crate::prove::place::{Place, Shown, person};
use crate::prove::{Answer, Driver, Fault, Provable};
use crate::strategy::secrets::secret_stories;

mod check;

/// Drives secret bindings: the environment is brought about for every question.
#[derive(Debug, Clone)]
pub struct SecretDriver;

impl Driver<SecretBinding> for SecretDriver {
    type Plan = SecretPlan;

    fn begin() -> Self {
        Self
    }

    fn ask(&self, state: Option<&SecretBinding>, plan: &SecretPlan, now: Timestamp) -> Answer<SecretEvent> {
        match (state, plan) {
            (state, SecretPlan::Bind(wanted)) => match (bind(wanted, now), state) {
                (Ok(command), None) => Answer::of(SecretBinding::bind(&command, now)),
                (Ok(command), Some(binding)) => Answer::of(binding.bind_again(&command)),
                (Err(answer), _) => answer,
            },
            (None, _) => Answer::Nothing,
            (Some(binding), plan) => match command(binding, plan, now) {
                Ok(command) => Answer::of(binding.decide(&command, now)),
                Err(answer) => answer,
            },
        }
    }
}

fn bind(wanted: &Wanted, now: Timestamp) -> Shown<BindSecret, SecretEvent> {
    let place = Place::of(wanted.whose, IsolationModel::Pool);
    let ground = if wanted.is_gone { Ground::Gone } else { Ground::Open };
    // Every environment here is tenant 1's: what another tenant asks, it asks in one that is not its own.
    let owner = Place { tenant: 1, ..place };
    let environment = owner.environment(ground, now).ok_or(Answer::Nothing)?;
    let environment = environment.host(Revision::FIRST).map_err(|refusal| Answer::refused(&refusal))?;
    let command = || {
        let (vault, _) = VAULTS.get(usize::from(wanted.vault))?;
        Some(BindSecret {
            secret_binding_id: numbered(*BINDINGS.get(usize::from(wanted.binding))?),
            tenant_id: numbered(place.tenant),
            environment,
            module: Name::new(MODULES.get(usize::from(wanted.module))?).ok()?,
            secret: SecretReference::new(
                vault.parse().ok()?,
                version(is_counted(vault), u64::from(wanted.version))?,
            )
            .ok()?,
            identity: IDENTITIES.get(usize::from(wanted.identity))?.parse().ok()?,
            delivery: DELIVERIES.get(usize::from(wanted.delivery))?.parse().ok()?,
            rotation_schedule: schedule(wanted.times)?,
        })
    };
    command().ok_or(Answer::Nothing)
}

fn is_counted(vault: &str) -> bool {
    !vault.starts_with("https://")
}

fn version(is_counted: bool, number: u64) -> Option<SecretVersion> {
    if is_counted { number.to_string().parse().ok() } else { format!("{number:032x}").parse().ok() }
}

/// The number of a version, however its vault names it.
fn number(version: SecretVersion) -> Option<u64> {
    let text = version.to_string();
    if text.len() == 32 { u64::from_str_radix(&text, 16).ok() } else { text.parse().ok() }
}

fn schedule(times: Times) -> Option<RotationSchedule> {
    let schedule = match times.turns {
        Turns::Never => None,
        Turns::Every(seconds) => Some(Schedule::every(Span::from_secs(u64::from(seconds))).ok()?),
        Turns::Hourly => Some("@hourly".parse().ok()?),
    };
    RotationSchedule::new(schedule, Span::from_secs(u64::from(times.grace))).ok()
}

fn command(binding: &SecretBinding, plan: &SecretPlan, now: Timestamp) -> Shown<SecretCommand, SecretEvent> {
    if let SecretPlan::Rotate { cause, ground, glass, whose, is_rotation } = plan {
        let own = Place {
            tenant: binding.tenant_id().uuid().as_u128(),
            environment: binding.environment_id().uuid().as_u128(),
            isolation: IsolationModel::Pool,
        };
        let activity = if *is_rotation { Activity::Rotation } else { Activity::Configuration };
        let clearance = own.seen_by(*whose).clearance(*ground, glass.as_deref(), activity, now)?;
        let cause = self::cause(cause).ok_or(Answer::Nothing)?;
        return Ok(SecretCommand::RotateSecret(RotateSecret { cause, clearance }));
    }
    plain(binding, plan, now).ok_or(Answer::Nothing)
}

fn cause(cause: &Cause) -> Option<RotationCause> {
    Some(match cause {
        Cause::Scheduled => RotationCause::Scheduled,
        Cause::OnDemand(reason) => RotationCause::OnDemand { by: person()?, reason: reason.clone() },
        Cause::Compromised(reason) => RotationCause::Compromised { by: person()?, reason: reason.clone() },
    })
}

/// A command that rests on nothing but what it says.
fn plain(binding: &SecretBinding, plan: &SecretPlan, now: Timestamp) -> Option<SecretCommand> {
    Some(match plan {
        SecretPlan::Bind(_) | SecretPlan::Rotate { .. } => return None,
        SecretPlan::Made { by, is_odd } => {
            let newest = number(binding.new_version().unwrap_or(binding.current_version()))?;
            let is_counted = is_counted(&binding.key_vault_ref().to_string());
            let version = version(is_counted != *is_odd, newest.saturating_add_signed(i64::from(*by)))?;
            SecretCommand::RecordNewVersion { version }
        }
        SecretPlan::Look { age, seen } => {
            let millis = Span::between(Timestamp::UNIX_EPOCH, now).as_millis();
            let millis = millis.checked_add_signed(age.checked_mul(-1_000)?)?;
            SecretCommand::RecordConsumption {
                observed_at: Span::from_millis(millis).after(Timestamp::UNIX_EPOCH),
                consumption: consumption(binding, seen)?,
            }
        }
        SecretPlan::Fail { fault, retry_after } => SecretCommand::RecordVaultFailure {
            fault: *FAULTS.get(usize::from(*fault))?,
            retry_after: retry_after.map(|seconds| Span::from_secs(u64::from(seconds))),
        },
        SecretPlan::Retired(old) => {
            let version = self::old(binding, *old).unwrap_or(binding.current_version());
            SecretCommand::RecordRetired { version }
        }
        SecretPlan::Reschedule(times) => {
            SecretCommand::ChangeSchedule { rotation_schedule: schedule(*times)? }
        }
        SecretPlan::Abort { reason } => {
            SecretCommand::AbortRotation { by: person()?, reason: reason.clone() }
        }
        SecretPlan::Suspend { reason } => {
            SecretCommand::SuspendRotation { by: person()?, reason: reason.clone() }
        }
        SecretPlan::Resume => SecretCommand::ResumeRotation { by: person()? },
        SecretPlan::Unbind { reason } => SecretCommand::Unbind { reason: reason.clone() },
        SecretPlan::Tick => SecretCommand::Tick,
    })
}

const FAULTS: [VaultFault; 7] = [
    VaultFault::Unreachable,
    VaultFault::Throttled,
    VaultFault::Forbidden,
    VaultFault::Failing,
    VaultFault::OutcomeUnknown,
    VaultFault::NotFound,
    VaultFault::Unsupported,
];

fn old(binding: &SecretBinding, wanted: Old) -> Option<SecretVersion> {
    let completed = |past: &&RotationRecord| past.outcome == RotationOutcome::Completed;
    let mut replaced = binding.rotations().iter().filter(completed).map(|past| past.previous);
    let waits = match binding.state() {
        SecretState::Retiring(state) => Some(state.version),
        SecretState::Suspended(state) => state.unretired,
        _ => None,
    };
    match wanted {
        Old::Last => waits.or(replaced.next_back()),
        Old::First => replaced.next(),
        Old::Current => None,
    }
}

fn consumption(binding: &SecretBinding, seen: &Seen) -> Option<Consumption> {
    let current = binding.current_version();
    let newest = binding.new_version().unwrap_or(current);
    let on = |on: On| match on {
        On::Newest => Some(newest),
        On::Current => Some(current),
        On::Unknown => None,
    };
    let instance = |number: usize, on: Option<SecretVersion>| Some((consumer(binding.module(), number)?, on));
    let instances: Option<BTreeMap<_, _>> = match seen {
        Seen::Nobody => return Some(Consumption::Nobody),
        Seen::Foreign => {
            let other = if binding.module().as_str() == "cart" { "mail" } else { "cart" };
            Some(BTreeMap::from([(consumer(&Name::new(other).ok()?, 0)?, Some(newest))]))
        }
        Seen::Instances(instances) => {
            instances.iter().enumerate().map(|(number, seen)| instance(number, on(*seen))).collect()
        }
        Seen::Crowd { count, is_whole } => {
            let last =
                |number| if *is_whole || number + 1 < usize::from(*count) { Some(newest) } else { None };
            (0..usize::from(*count)).map(|number| instance(number, last(number))).collect()
        }
    };
    Some(Consumption::Instances(instances?))
}

fn consumer(module: &Name, number: usize) -> Option<Consumer> {
    format!("{module}@dep_{:032x}/instance-{number}", 7).parse().ok()
}

impl Provable for SecretBinding {
    type Plan = SecretPlan;
    type Driver = SecretDriver;
    type Model = SecretModel;

    const FINAL: &'static [&'static str] = &["Unbound"];
    const KEPT: &'static [&'static str] = &[];

    fn stories() -> BoxedStrategy<Vec<Step<SecretPlan>>> {
        secret_stories()
    }

    fn is_idempotent(plan: &SecretPlan) -> bool {
        // A vault may fail again, and the next look may be the last that a rotation waits for.
        !matches!(plan, SecretPlan::Fail { .. } | SecretPlan::Look { .. })
    }

    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        check::check(before, after)
    }

    fn facts(&self, facts: Facts) -> Facts {
        check::facts(self, facts)
    }
}
