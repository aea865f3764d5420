//! A configuration, as spec.md §2 and the context's table describe it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::place::{cleared, place};
use crate::model::{Facts, Foreseen, Model, exclusive, text};
use crate::plan::configuration::{Askew, CONSUMERS, ConfigurationPlan, Newer, Publication, Runs};
use crate::plan::place::Whose;

mod content;

use content::{Line, Wanted};

/// The model of a configuration.
#[derive(Debug, Clone, Default)]
pub struct ConfigurationModel {
    life: Option<Life>,
}

#[derive(Debug, Clone)]
struct Life {
    whose: Whose,
    version: u32,
    content: Vec<Line>,
    glass: Option<String>,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    InForce(Use),
    Superseded { by: u32, applied: Option<i64> },
    Withdrawn { reason: String },
}

/// Who should run it, and who does.
#[derive(Debug, Clone, Default)]
struct Use {
    expected: BTreeSet<u8>,
    /// How many more are expected, of whom none is ever seen.
    crowd: u16,
    /// With what each was seen, and when.
    seen: BTreeMap<u8, (Runs, i64)>,
    was_consumed: bool,
    /// Since when everybody runs it.
    applied: Option<i64>,
}

/// The most consumers that can be expected.
const MOST_CONSUMERS: u16 = 10_000;

const LIFECYCLE: Foreseen = Foreseen::Refused("LIFECYCLE");
const CONTENT: Foreseen = Foreseen::Refused("CONTENT");
const X_1: Foreseen = Foreseen::Refused("X-1");

fn quietly() -> Foreseen {
    Foreseen::Changes(Vec::new())
}

impl Model for ConfigurationModel {
    type Plan = ConfigurationPlan;

    fn absent() -> Self {
        Self::default()
    }

    fn foresee(&mut self, plan: &ConfigurationPlan, now: i64) -> Foreseen {
        let Some(life) = &mut self.life else {
            let ConfigurationPlan::Publish(asked) = plan else { return Foreseen::Report };
            return match published(asked) {
                Ok(life) => {
                    self.life = Some(life);
                    Foreseen::Changes(vec!["ConfigurationPublished"])
                }
                Err(rule) => Foreseen::Refused(rule),
            };
        };
        match plan {
            ConfigurationPlan::Publish(asked) => match shown(asked) {
                Ok((content, _)) => life.again(asked.whose, content == life.content),
                Err(rule) => Foreseen::Refused(rule),
            },
            ConfigurationPlan::Again { whose, is_changed } => life.again(*whose, !is_changed),
            ConfigurationPlan::Expect(bits) => {
                let expected = (0..8).filter(|who| bits >> who & 1 == 1);
                life.expect(expected.collect(), 0, now)
            }
            ConfigurationPlan::Crowd(count) => life.expect(BTreeSet::new(), *count, now),
            ConfigurationPlan::Observe { who, runs, age } => {
                // A time to come is taken as now.
                life.observe(*who, *runs, (now - age).min(now), now)
            }
            ConfigurationPlan::Supersede(newer) => life.supersede(*newer),
            ConfigurationPlan::Withdraw { reason } => life.withdraw(reason),
        }
    }

    fn facts(&self) -> Option<Facts> {
        let life = self.life.as_ref()?;
        let (tenant, environment) = place(life.whose);
        let key = format!("configuration-version/env_{environment:032x}/v{}", life.version);
        let uses = match &life.state {
            State::InForce(uses) => Some(uses),
            State::Superseded { .. } | State::Withdrawn { .. } => None,
        };
        let (status, applied, end) = match &life.state {
            State::InForce(Use { applied: None, .. }) => ("Published", None, String::new()),
            State::InForce(uses) => ("Synced", uses.applied, String::new()),
            State::Superseded { by, applied } => ("Superseded", *applied, format!("by v{by}")),
            State::Withdrawn { reason } => ("Withdrawn", None, reason.clone()),
        };
        let facts = Facts {
            status: status.to_owned(),
            claims: [exclusive(key)].into(),
            wakes: matches!(status, "Published" | "Synced"),
            ..Facts::default()
        };
        let content: String = life.content.iter().map(Line::told).collect();
        Some(
            facts
                .with("tenant", format!("ten_{tenant:032x}"))
                .with("content", content)
                .with("broken glass", life.glass.as_deref().unwrap_or_default())
                .with("applied", applied.map(|at| at.to_string()).unwrap_or_default())
                .with("ended", end)
                .with("consumers", uses.map(Use::told).unwrap_or_default())
                .with("was run", uses.is_some_and(|uses| uses.was_consumed)),
        )
    }
}

/// The content that is asked for, and the glass that is broken for it, where both can be shown at all.
fn shown(asked: &Publication) -> Result<(Vec<Line>, Option<String>), &'static str> {
    let content = Wanted::of(&asked.content)?;
    Ok((content, cleared(asked.ground, asked.glass.as_deref())?))
}

fn published(asked: &Publication) -> Result<Life, &'static str> {
    let (content, glass) = shown(asked)?;
    let is_foreign = match asked.askew {
        Askew::Clearance(whose) | Askew::Secret(whose) => whose != Whose::Own,
        Askew::Before(whose) => whose != Whose::Own && asked.before.is_some(),
        Askew::Nothing | Askew::Activity => false,
    };
    if is_foreign {
        return Err("X-1");
    }
    if asked.askew == Askew::Activity {
        return Err("CALENDAR");
    }
    let (tenant, _) = place(asked.whose);
    let is_silo = asked.isolation == 0;
    if is_silo && content.iter().any(|line| line.tenant().is_some_and(|of| of != tenant)) {
        return Err("X-1");
    }
    if content.iter().any(|line| !line.is_shown(asked.shown)) {
        return Err("CFG-2");
    }
    let version = match &asked.before {
        None => 1,
        Some(before) if before.is_same && before.ended.is_none() => return Err("X-3"),
        Some(before) => before.number.checked_add(1).ok_or("CFG-1")?,
    };
    let state = State::InForce(Use::default());
    Ok(Life { whose: asked.whose, version, content, glass, state })
}

impl Life {
    fn again(&self, whose: Whose, is_same: bool) -> Foreseen {
        match &self.state {
            _ if !is_same || whose != self.whose => Foreseen::Refused("CFG-3"),
            State::InForce(_) => Foreseen::Same,
            State::Superseded { .. } | State::Withdrawn { .. } => LIFECYCLE,
        }
    }

    fn expect(&mut self, expected: BTreeSet<u8>, crowd: u16, now: i64) -> Foreseen {
        let State::InForce(uses) = &mut self.state else { return LIFECYCLE };
        if crowd > MOST_CONSUMERS {
            return CONTENT;
        }
        if (&uses.expected, uses.crowd) == (&expected, crowd) {
            return Foreseen::Same;
        }
        // Who left is not looked for any more.
        let left = &uses.expected - &expected;
        uses.seen.retain(|who, _| !left.contains(who));
        (uses.expected, uses.crowd) = (expected, crowd);
        uses.settle(now)
    }

    fn observe(&mut self, who: u8, runs: Runs, at: i64, now: i64) -> Foreseen {
        let State::InForce(uses) = &mut self.state else { return Foreseen::Same };
        let is_news = uses.seen.get(&who).is_none_or(|(known, seen)| *known != runs && at >= *seen);
        if !is_news {
            return Foreseen::Same;
        }
        uses.seen.insert(who, (runs, at));
        uses.was_consumed |= runs == Runs::This;
        uses.settle(now)
    }

    fn supersede(&mut self, newer: Newer) -> Foreseen {
        let by = match newer {
            Newer::Foreign(_) => return X_1,
            Newer::Itself | Newer::First => return Foreseen::Refused("CFG-1"),
            Newer::After(more) => self.version + u32::from(more),
        };
        match &self.state {
            State::InForce(uses) => {
                self.state = State::Superseded { by, applied: uses.applied };
                quietly()
            }
            State::Superseded { .. } => Foreseen::Same,
            State::Withdrawn { .. } => LIFECYCLE,
        }
    }

    fn withdraw(&mut self, reason: &str) -> Foreseen {
        match &self.state {
            State::Withdrawn { .. } => Foreseen::Same,
            State::InForce(uses) if !uses.was_consumed => {
                if !text::is_reason(reason) {
                    return CONTENT;
                }
                self.state = State::Withdrawn { reason: reason.trim().to_owned() };
                quietly()
            }
            State::InForce(_) | State::Superseded { .. } => LIFECYCLE,
        }
    }
}

impl Use {
    /// It is in sync where somebody is expected, and everybody who is runs exactly it.
    fn settle(&mut self, now: i64) -> Foreseen {
        let runs_it = |who: &u8| matches!(self.seen.get(who), Some((Runs::This, _)));
        let is_whole = self.crowd == 0 && !self.expected.is_empty() && self.expected.iter().all(runs_it);
        match (self.applied, is_whole) {
            (None, true) => {
                self.applied = Some(now);
                Foreseen::Changes(vec!["ConfigurationSynced"])
            }
            (Some(_), true) => quietly(),
            (_, false) => {
                self.applied = None;
                quietly()
            }
        }
    }

    fn told(&self) -> String {
        let name = |who: &u8| {
            let (module, letter, length) = CONSUMERS.get(usize::from(*who)).unwrap_or(&("", "", 0));
            format!("{module}/{}", letter.repeat(*length))
        };
        let mut told: BTreeMap<String, String> =
            self.expected.iter().map(|who| (name(who), "unseen".to_owned())).collect();
        for (who, (runs, at)) in &self.seen {
            let how = if *runs == Runs::This { "in" } else { "out of" };
            told.insert(name(who), format!("{how} sync since {at}"));
        }
        format!("{told:?} and {} more", self.crowd)
    }
}
