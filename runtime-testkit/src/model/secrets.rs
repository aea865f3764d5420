//! A secret binding, as spec.md §2 and the context's table describe it. Times are in milliseconds since the story's beginning.

use std::collections::BTreeMap;

use runtime_domain::time::{Span, Timestamp};
use serde_json::Value;

use crate::model::place::{cleared, place};
use crate::model::{Facts, Foreseen, Model, Told, exclusive, text};
use crate::plan::place::Whose;
use crate::plan::secrets::{Cause, DELIVERIES, MODULES, SecretPlan, Times, VAULTS, Wanted};

mod due;
mod rotation;

use due::Due;

/// The model of a secret binding.
#[derive(Debug, Clone, Default)]
pub struct SecretModel {
    life: Option<Life>,
}

#[derive(Debug, Clone)]
struct Life {
    wanted: Wanted,
    times: Times,
    current: u64,
    past: Vec<Past>,
    state: State,
    /// When it is rotated next is learnt, within these bounds.
    awaited: Option<Due>,
}

/// A rotation that is over.
#[derive(Debug, Clone)]
struct Past {
    cause: &'static str,
    previous: u64,
    version: Option<u64>,
    outcome: &'static str,
    from: i64,
    to: i64,
}

#[derive(Debug, Clone)]
struct Rotation {
    cause: Cause,
    glass: Option<String>,
    from: i64,
}

#[derive(Debug, Clone)]
enum State {
    Bound { next: Option<i64> },
    Requested { rotation: Rotation, since: i64, failures: u32 },
    RotationFailed { rotation: Rotation, retry_at: i64, failures: u32 },
    Distributing { rotation: Rotation, version: u64, since: i64, seen: Option<Users> },
    Grace { rotation: Rotation, version: u64, since: i64, until: i64 },
    Retiring { version: u64, retry_at: i64, failures: u32 },
    Suspended { why: String, unretired: Option<u64> },
    Unbound { reason: String },
}

/// Who uses it, by number, on which version; an empty list is nobody.
type Users = BTreeMap<u16, Option<u64>>;

/// How often a vault may fail in a row before a person must look.
const MOST_FAILURES: u32 = 8;
/// How many past rotations are kept.
const MOST_PAST: usize = 20;
/// The most instances in a report.
const MOST_USERS: u16 = 2_000;

const LIFECYCLE: Foreseen = Foreseen::Refused("LIFECYCLE");
const CONTENT: Foreseen = Foreseen::Refused("CONTENT");
const X_1: Foreseen = Foreseen::Refused("X-1");

fn quietly() -> Foreseen {
    Foreseen::Changes(Vec::new())
}

impl Model for SecretModel {
    type Plan = SecretPlan;

    fn absent() -> Self {
        Self::default()
    }

    fn foresee(&mut self, plan: &SecretPlan, now: i64) -> Foreseen {
        let now = now * 1_000;
        let Some(life) = &mut self.life else {
            let SecretPlan::Bind(wanted) = plan else { return Foreseen::Report };
            if wanted.is_gone {
                return LIFECYCLE;
            }
            if wanted.whose == Whose::OtherTenant {
                return X_1;
            }
            self.life = Some(Life {
                wanted: wanted.clone(),
                times: wanted.times,
                current: u64::from(wanted.version),
                past: Vec::new(),
                state: State::Bound { next: None },
                awaited: Some(Due::of(wanted.times.turns, wanted.binding, now)),
            });
            return Foreseen::Changes(vec!["SecretBound"]);
        };
        match plan {
            SecretPlan::Bind(wanted) => life.bind_again(wanted),
            SecretPlan::Rotate { cause, ground, glass, whose, is_rotation } => {
                let glass = match cleared(*ground, glass.as_deref()) {
                    Ok(glass) => glass,
                    Err(rule) => return Foreseen::Refused(rule),
                };
                if *whose != Whose::Own {
                    return X_1;
                }
                if !is_rotation {
                    return Foreseen::Refused("CALENDAR");
                }
                life.rotate(cause, glass, now)
            }
            SecretPlan::Made { by, is_odd } => life.made(*by, *is_odd, now),
            SecretPlan::Look { age, seen } => life.look(now - age * 1_000, seen, now),
            SecretPlan::Fail { fault, retry_after } => life.fail(*fault, *retry_after, now),
            SecretPlan::Retired(old) => life.retired(*old, now),
            SecretPlan::Reschedule(times) => life.reschedule(*times, now),
            SecretPlan::Abort { reason } => life.abort(reason, now),
            SecretPlan::Suspend { reason } => life.suspend(reason, now),
            SecretPlan::Resume => life.resume(now),
            SecretPlan::Unbind { reason } => match &life.state {
                State::Unbound { .. } => Foreseen::Same,
                _ if !text::is_reason(reason) => CONTENT,
                _ => {
                    life.state = State::Unbound { reason: reason.trim().to_owned() };
                    quietly()
                }
            },
            SecretPlan::Tick => life.tick(now),
        }
    }

    fn learn(&mut self, events: &[Told<'_>]) -> Result<(), String> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let told = events.iter().map(Told::data).find_map(|data| data.get("next_rotation_at").cloned());
        let told = match told {
            None | Some(Value::Null) => None,
            Some(time) => {
                let time: Timestamp = serde_json::from_value(time).map_err(|error| error.to_string())?;
                let millis = Span::between(Timestamp::UNIX_EPOCH, time).as_millis();
                Some(i64::try_from(millis).unwrap_or(i64::MAX) - 1_800_000_000_000)
            }
        };
        let awaited = life.awaited.take().unwrap_or(Due::Never);
        if !awaited.takes(told) {
            return Err(format!("it is rotated next at {told:?}, and the model says {awaited:?}"));
        }
        if let State::Bound { next } = &mut life.state {
            *next = told.or(*next);
        }
        Ok(())
    }

    fn facts(&self) -> Option<Facts> {
        let life = self.life.as_ref()?;
        let (_, environment) = place(life.wanted.whose);
        let module = MODULES.get(usize::from(life.wanted.module)).unwrap_or(&"");
        let delivery = DELIVERIES.get(usize::from(life.wanted.delivery)).unwrap_or(&"");
        let claim = exclusive(format_args!("secret/env_{environment:032x}/{module}/{delivery}"));
        let is_unbound = matches!(life.state, State::Unbound { .. });
        let facts = Facts {
            status: life.state.status().to_owned(),
            claims: if is_unbound { Default::default() } else { [claim.to_lowercase()].into() },
            wakes: life.state.wakes().is_some(),
            ..Facts::default()
        };
        let newest = life.version(life.newest());
        let past = life.past.iter().map(|past| {
            let version = past.version.map(|version| life.version(version)).unwrap_or_default();
            let previous = life.version(past.previous);
            format!("{} {previous} {version} {} {} {}\n", past.cause, past.outcome, past.from, past.to)
        });
        let rotation = life.state.rotation().map(|rotation| {
            let (cause, reason) = told(&rotation.cause);
            format!("{cause} {reason:?} {:?} {}", rotation.glass, rotation.from)
        });
        Some(
            facts
                .with("wakes at", life.state.wakes().map(|at| at.to_string()).unwrap_or_default())
                .with("current", life.version(life.current))
                .with("deliver", if is_unbound { String::new() } else { newest })
                .with("past", past.collect::<String>())
                .with("rotation", rotation.unwrap_or_default())
                .with("more", life.state.more(life)),
        )
    }
}

/// A cause's name, and what is kept of its reason.
fn told(cause: &Cause) -> (&'static str, Option<String>) {
    match cause {
        Cause::Scheduled => ("Scheduled", None),
        Cause::OnDemand(reason) => ("OnDemand", Some(reason.trim().to_owned())),
        Cause::Compromised(reason) => ("Compromised", Some(reason.trim().to_owned())),
    }
}

impl State {
    const fn status(&self) -> &'static str {
        match self {
            Self::Bound { .. } => "Bound",
            Self::Requested { .. } => "Requested",
            Self::RotationFailed { .. } => "RotationFailed",
            Self::Distributing { .. } => "Distributing",
            Self::Grace { .. } => "Grace",
            Self::Retiring { .. } => "Retiring",
            Self::Suspended { .. } => "Suspended",
            Self::Unbound { .. } => "Unbound",
        }
    }

    const fn wakes(&self) -> Option<i64> {
        match self {
            Self::Bound { next } => *next,
            Self::Requested { since, .. } | Self::Distributing { since, .. } => Some(*since),
            Self::RotationFailed { retry_at, .. } | Self::Retiring { retry_at, .. } => Some(*retry_at),
            Self::Grace { until, .. } => Some(*until),
            Self::Suspended { .. } | Self::Unbound { .. } => None,
        }
    }

    const fn rotation(&self) -> Option<&Rotation> {
        match self {
            Self::Requested { rotation, .. }
            | Self::RotationFailed { rotation, .. }
            | Self::Distributing { rotation, .. }
            | Self::Grace { rotation, .. } => Some(rotation),
            Self::Bound { .. } | Self::Retiring { .. } | Self::Suspended { .. } | Self::Unbound { .. } => {
                None
            }
        }
    }

    /// What exists in this state only.
    fn more(&self, life: &Life) -> String {
        match self {
            Self::Bound { .. } => String::new(),
            Self::Requested { failures, .. } | Self::RotationFailed { failures, .. } => {
                format!("{failures} failures")
            }
            Self::Distributing { version, seen, .. } => {
                let version = life.version(*version);
                format!("{version} for {:?}", seen.as_ref().map(BTreeMap::len))
            }
            Self::Grace { version, since, .. } => format!("{} since {since}", life.version(*version)),
            Self::Retiring { version, failures, .. } => {
                format!("{}, {failures} failures", life.version(*version))
            }
            Self::Suspended { why, unretired } => {
                format!("{why}, {:?}", unretired.map(|version| life.version(version)))
            }
            Self::Unbound { reason } => reason.clone(),
        }
    }
}

impl Life {
    /// A version as its vault names it.
    fn version(&self, number: u64) -> String {
        if self.counts() { number.to_string() } else { format!("{number:032x}") }
    }

    fn counts(&self) -> bool {
        VAULTS.get(usize::from(self.wanted.vault)).is_some_and(|vault| vault.1)
    }

    /// The version that is brought, or else the current one.
    fn newest(&self) -> u64 {
        match &self.state {
            State::Distributing { version, .. } | State::Grace { version, .. } => *version,
            _ => self.current,
        }
    }

    fn bind_again(&self, wanted: &Wanted) -> Foreseen {
        if wanted.is_gone {
            return LIFECYCLE;
        }
        if wanted.whose != self.wanted.whose {
            return X_1;
        }
        if let State::Unbound { .. } = self.state {
            return LIFECYCLE;
        }
        let own = &self.wanted;
        let is_same = (wanted.module, wanted.delivery, wanted.vault, wanted.identity, wanted.times)
            == (own.module, own.delivery, own.vault, own.identity, self.times);
        if is_same { Foreseen::Same } else { Foreseen::Refused("X-3") }
    }

    fn await_next(&mut self, now: i64) {
        self.awaited = Some(Due::of(self.times.turns, self.wanted.binding, now));
    }

    fn reschedule(&mut self, times: Times, now: i64) -> Foreseen {
        match &mut self.state {
            State::Unbound { .. } => return LIFECYCLE,
            _ if times == self.times => return Foreseen::Same,
            State::Bound { next } => {
                *next = None;
                self.times = times;
                self.await_next(now);
            }
            _ => self.times = times,
        }
        quietly()
    }

    fn suspend(&mut self, reason: &str, now: i64) -> Foreseen {
        let unretired = match &self.state {
            State::Suspended { .. } => return Foreseen::Same,
            State::Distributing { .. } | State::Grace { .. } | State::Unbound { .. } => return LIFECYCLE,
            _ if !text::is_reason(reason) => return CONTENT,
            State::Retiring { version, .. } => Some(*version),
            State::Bound { .. } | State::Requested { .. } | State::RotationFailed { .. } => None,
        };
        self.set_aside("Suspended", now);
        self.state = State::Suspended { why: format!("asked: {}", reason.trim()), unretired };
        quietly()
    }

    fn resume(&mut self, now: i64) -> Foreseen {
        let State::Suspended { unretired, .. } = &self.state else {
            let is_unbound = matches!(self.state, State::Unbound { .. });
            return if is_unbound { LIFECYCLE } else { Foreseen::Same };
        };
        self.state = match *unretired {
            Some(version) => State::Retiring { version, retry_at: now, failures: 0 },
            None => {
                self.await_next(now);
                State::Bound { next: None }
            }
        };
        quietly()
    }

    fn tick(&mut self, now: i64) -> Foreseen {
        match &self.state {
            State::RotationFailed { rotation, retry_at, failures } if now >= *retry_at => {
                let (rotation, failures) = (rotation.clone(), *failures);
                self.state = State::Requested { rotation, since: now, failures };
                quietly()
            }
            _ => Foreseen::Same,
        }
    }

    /// The versions that were seen, as far as is known.
    fn has_seen(&self, version: u64) -> bool {
        let is_past = |past: &Past| past.previous == version || past.version == Some(version);
        self.current == version || self.past.iter().any(is_past)
    }

    /// The rotation under way, if any, is over.
    fn set_aside(&mut self, outcome: &'static str, now: i64) {
        let (Some(rotation), version) = (self.state.rotation(), self.newest()) else { return };
        let past = Past {
            cause: told(&rotation.cause).0,
            previous: self.current,
            version: (version != self.current).then_some(version),
            outcome,
            from: rotation.from,
            to: now,
        };
        self.past.push(past);
        if self.past.len() > MOST_PAST {
            self.past.remove(0);
        }
    }
}
