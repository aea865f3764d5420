//! A scaling policy, as spec.md §2 and the context's table describe it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::{Facts, Foreseen, Model, Told, exclusive, text};
use crate::plan::scaling::{Count, Look, ScalingPlan, Terms, Whose};

mod autoscaler;
mod memory;
mod terms;

use autoscaler::Outcome;
use memory::Memory;

/// The model of a scaling policy.
#[derive(Debug, Clone, Default)]
pub struct ScalingModel {
    life: Option<Life>,
    /// What the last evaluation must have come to.
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone)]
struct Life {
    is_another: bool,
    module: u8,
    terms: Terms,
    applied_at: i64,
    /// What it said before, with when it ended to.
    before: Vec<(i64, i64, Terms)>,
    /// The number of the newest release that it follows.
    follows: Option<u8>,
    /// The actions that it brought about.
    actions: Vec<(i64, u16, u16)>,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Scales(Watch),
    Suspended,
    Retired,
}

#[derive(Debug, Clone)]
struct Watch {
    since: i64,
    memory: Memory,
    seen: Option<u16>,
    wanted: Option<(u16, u16)>,
    broken: Option<&'static str>,
}

const LIFECYCLE: Foreseen = Foreseen::Refused("LIFECYCLE");
const CONTENT: Foreseen = Foreseen::Refused("CONTENT");
const APPLIED: &str = "ScalingPolicyApplied";
const VIOLATED: &str = "ScalingPolicyViolated";

const MOST_ACTIONS: usize = 32;
const MOST_BEFORE: usize = 16;
const EVERY: i64 = 15;
const SHORT_FOR: i64 = 300;

const SIGNALS: [&str; 5] =
    ["cpu-utilization", "memory-utilization", "queue-length", "request-rate", "error-budget"];

impl Watch {
    fn begun(since: i64, memory: Memory, seen: Option<u16>) -> State {
        State::Scales(Self { since, memory, seen, wanted: None, broken: None })
    }
}

impl Model for ScalingModel {
    type Plan = ScalingPlan;

    fn absent() -> Self {
        Self::default()
    }

    fn foresee(&mut self, plan: &ScalingPlan, now: i64) -> Foreseen {
        self.outcome = None;
        if let ScalingPlan::Apply { terms, .. }
        | ScalingPlan::Change(terms)
        | ScalingPlan::Release { terms, .. } = plan
            && let Some(rule) = terms::fault(terms)
        {
            return Foreseen::Refused(rule);
        }
        let Some(life) = &mut self.life else {
            let (whose, module, terms, follows) = match plan {
                ScalingPlan::Apply { whose, module, terms } => (whose, module, terms, None),
                ScalingPlan::Release { whose, module, number, terms, .. } => {
                    (whose, module, terms, Some(*number))
                }
                _ => return Foreseen::Report,
            };
            if matches!(whose, Whose::OtherTenant | Whose::OtherEnvironment) {
                return Foreseen::Refused("X-1");
            }
            self.life = Some(Life {
                is_another: *whose == Whose::Another,
                module: *module,
                terms: terms.clone(),
                applied_at: now,
                before: Vec::new(),
                follows,
                actions: Vec::new(),
                state: Watch::begun(now, Memory::default(), None),
            });
            return Foreseen::Changes(vec![APPLIED]);
        };
        match plan {
            ScalingPlan::Retire { .. } if matches!(life.state, State::Retired) => Foreseen::Same,
            _ if matches!(life.state, State::Retired) => LIFECYCLE,
            ScalingPlan::Apply { whose, module, terms } => life.apply_again(*whose, *module, terms),
            ScalingPlan::Change(terms) => life.change(terms, now),
            ScalingPlan::Release { whose, module, number, ago, terms } => {
                life.follow(*whose, *module, *number, now - i64::from(*ago), terms, now)
            }
            ScalingPlan::Suspend { .. } if matches!(life.state, State::Suspended) => Foreseen::Same,
            ScalingPlan::Suspend { reason } => life.end(State::Suspended, reason),
            ScalingPlan::Retire { reason } => life.end(State::Retired, reason),
            ScalingPlan::Resume => match life.state {
                State::Suspended => {
                    life.state = Watch::begun(now, Memory::default(), None);
                    Foreseen::Changes(Vec::new())
                }
                _ => Foreseen::Same,
            },
            ScalingPlan::See(count) => life.see(*count, now),
            ScalingPlan::Evaluate(look) => {
                let (foreseen, outcome) = life.evaluate(look, now);
                self.outcome = outcome;
                foreseen
            }
        }
    }

    fn learn(&mut self, events: &[Told<'_>]) -> Result<(), String> {
        let Some(outcome) = self.outcome.take() else { return Ok(()) };
        let found = events.iter().find(|event| event.name == "ScalingEvaluated").map(Told::data);
        let found = found.as_ref().and_then(|data| data.get("findings")).cloned().unwrap_or_default();
        let own = findings(&outcome);
        if found == own { Ok(()) } else { Err(format!("it found {found}, and the model {own}")) }
    }

    fn facts(&self) -> Option<Facts> {
        let life = self.life.as_ref()?;
        let (status, watch) = match &life.state {
            State::Scales(watch) if watch.broken.is_some() => ("Violated", Some(watch)),
            State::Scales(watch) => ("Active", Some(watch)),
            State::Suspended => ("Suspended", None),
            State::Retired => ("Retired", None),
        };
        let claims = if status == "Retired" { BTreeSet::new() } else { BTreeSet::from([life.claim()]) };
        let facts = Facts { status: status.to_owned(), claims, wakes: watch.is_some(), ..Facts::default() };
        let since = |at: i64| at - life.applied_at;
        let wakes = watch.map(|watch| watch.memory.evaluated_at.map_or(watch.since, |last| last + EVERY));
        let unknown: Vec<_> = watch
            .into_iter()
            .flat_map(|watch| &watch.memory.unknown_since)
            .filter_map(|(signal, at)| Some((*SIGNALS.get(usize::from(*signal))?, since(*at))))
            .collect();
        let last = life.actions.last().map(|(at, from, to)| (since(*at), *from, *to));
        let short = watch.and_then(|watch| watch.memory.short_since).map(since);
        let changed = watch.and_then(|watch| watch.memory.last_change()).map(since);
        Some(
            facts
                .with("tenant", if life.is_another { 2 } else { 1 })
                .with("module", life.module)
                .with("bounds", format!("{} to {}", life.terms.least, life.terms.most))
                .with("follows", format!("{:?}", life.follows.map(u32::from)))
                .with("seen", format!("{:?}", watch.and_then(|watch| watch.seen)))
                .with("wanted", format!("{:?}", watch.and_then(|watch| watch.wanted)))
                .with("violation", watch.and_then(|watch| watch.broken).unwrap_or_default())
                .with("actions", format!("{}, last {last:?}", life.actions.len()))
                .with("unknown", format!("{unknown:?}"))
                .with("short", format!("{short:?}"))
                .with("changed", format!("{changed:?}"))
                .with("wakes at", format!("{:?}", wakes.map(since))),
        )
    }
}

fn findings(outcome: &Outcome) -> Value {
    let unknown: Vec<_> =
        outcome.unknown.iter().filter_map(|signal| SIGNALS.get(usize::from(*signal))).collect();
    json!({
        "current": outcome.current,
        "recommended": outcome.recommended,
        "desired": outcome.desired,
        "is_idle": outcome.is_idle,
        "unknown": unknown,
        "is_short": outcome.is_short,
    })
}

impl Life {
    fn claim(&self) -> String {
        let module = if self.module == 0 { "cart" } else { "stock" };
        exclusive(format_args!("scaling-policy/env_{:032x}/{module}", 1))
    }

    fn apply_again(&self, whose: Whose, module: u8, terms: &Terms) -> Foreseen {
        if matches!(whose, Whose::OtherTenant | Whose::OtherEnvironment) {
            return Foreseen::Refused("X-1");
        }
        let is_same =
            self.terms == *terms && self.module == module && self.is_another == (whose == Whose::Another);
        if is_same { Foreseen::Same } else { Foreseen::Refused("SCL-3") }
    }

    fn change(&mut self, terms: &Terms, now: i64) -> Foreseen {
        if self.terms == *terms {
            return Foreseen::Same;
        }
        let before = std::mem::replace(&mut self.terms, terms.clone());
        self.before.push((self.applied_at, now, before));
        if self.before.len() > MOST_BEFORE {
            self.before.remove(0);
        }
        self.applied_at = now;
        if let State::Scales(watch) = &mut self.state {
            let mut memory = std::mem::take(&mut watch.memory);
            memory.forget();
            self.state = Watch::begun(now, memory, watch.seen);
        }
        Foreseen::Changes(vec![APPLIED])
    }

    /// A release is followed once and in the order of numbers. It changes what the policy says, unless that was the same when the release was
    /// asked for: what was changed since stands.
    fn follow(
        &mut self,
        whose: Whose,
        module: u8,
        number: u8,
        asked_at: i64,
        terms: &Terms,
        now: i64,
    ) -> Foreseen {
        if self.module != module || self.is_another != (whose == Whose::Another) {
            return Foreseen::Refused("X-1");
        }
        if self.follows.is_some_and(|known| known >= number) {
            return Foreseen::Same;
        }
        if matches!(whose, Whose::OtherTenant | Whose::OtherEnvironment) {
            return Foreseen::Refused("X-1");
        }
        self.follows = Some(number);
        if self.said_at(asked_at) == Some(terms) || self.terms == *terms {
            return Foreseen::Changes(Vec::new());
        }
        self.change(terms, now)
    }

    fn said_at(&self, at: i64) -> Option<&Terms> {
        if self.applied_at <= at {
            return Some(&self.terms);
        }
        let mut before = self.before.iter().rev();
        before.find(|(since, until, _)| (*since..*until).contains(&at)).map(|(_, _, terms)| terms)
    }

    fn end(&mut self, state: State, reason: &str) -> Foreseen {
        if !text::is_reason(reason) {
            return CONTENT;
        }
        self.state = state;
        Foreseen::Changes(Vec::new())
    }

    fn resolved(&self, count: Count) -> u16 {
        let (seen, wanted) = match &self.state {
            State::Scales(watch) => (watch.seen, watch.wanted),
            _ => (None, None),
        };
        let same = seen.unwrap_or(self.terms.least.max(1));
        match (count, wanted) {
            (Count::Exactly(count), _) => count,
            (Count::Wanted, Some((_, to))) => to,
            (Count::HalfWay, Some((from, to))) => from.midpoint(to),
            _ => same,
        }
    }

    fn see(&mut self, count: Count, now: i64) -> Foreseen {
        let count = self.resolved(count);
        let State::Scales(watch) = &mut self.state else { return Foreseen::Same };
        if let Some(action) = watch.see(count, now) {
            self.remember(now, action);
            Foreseen::Changes(vec![APPLIED])
        } else if watch.seen == Some(count) {
            Foreseen::Same
        } else {
            watch.seen = Some(count);
            Foreseen::Changes(Vec::new())
        }
    }

    fn remember(&mut self, now: i64, (from, to): (u16, u16)) {
        self.actions.push((now, from, to));
        if self.actions.len() > MOST_ACTIONS {
            self.actions.remove(0);
        }
    }

    fn evaluate(&mut self, look: &Look, now: i64) -> (Foreseen, Option<Outcome>) {
        let current = self.resolved(look.count);
        let State::Scales(watch) = &mut self.state else { return (LIFECYCLE, None) };
        let action = watch.see(current, now);
        watch.seen = Some(current);
        let outcome = autoscaler::evaluate(&self.terms, &watch.memory, look, current, now);
        watch.memory.evaluated(&self.terms, &outcome, now);
        watch.want(current, outcome.desired);
        let broken = broken(&self.terms, watch, look, current, now);
        let is_told = broken.is_some() && broken != watch.broken;
        watch.broken = broken;
        let told = [action.map(|_| APPLIED), is_told.then_some(VIOLATED)].into_iter().flatten().collect();
        if let Some(action) = action {
            self.remember(now, action);
        }
        (Foreseen::Changes(told), Some(outcome))
    }
}

impl Watch {
    /// What is wanted is there: the change that is done with it.
    fn see(&mut self, count: u16, now: i64) -> Option<(u16, u16)> {
        let (from, to) = self.wanted.take_if(|(_, to)| *to == count)?;
        self.memory.change(from, to, now);
        self.seen = Some(count);
        Some((from, to))
    }

    /// A change that is under way is still one from where it began while it goes on the same way; the other way it is one from what is there.
    fn want(&mut self, current: u16, desired: u16) {
        let same_way = |from: &u16| if desired > current { *from < desired } else { *from > desired };
        let begun = self.wanted.map(|(from, _)| from).filter(same_way);
        self.wanted = (current != desired).then_some((begun.unwrap_or(current), desired));
    }
}

/// In which way the policy is not kept, the first of them.
fn broken(terms: &Terms, watch: &Watch, look: &Look, current: u16, now: i64) -> Option<&'static str> {
    let is_outside = !(terms.least..=terms.most).contains(&current);
    let mut unknown = watch.memory.unknown_since.keys();
    if is_outside && look.floor.is_none() {
        Some("out-of-bounds")
    } else if unknown.any(|signal| watch.memory.has_been_unknown_for(*signal, terms.fallback_after, now)) {
        Some("metrics-missing")
    } else if watch.memory.short_since.is_some_and(|since| now - since >= SHORT_FOR) {
        Some("target-missed")
    } else {
        None
    }
}
