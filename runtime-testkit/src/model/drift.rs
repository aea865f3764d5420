//! A drift finding, as spec.md §2 and the context's table describe it.

use std::collections::BTreeSet;

use crate::model::{Facts, Foreseen, Model, Told, exclusive, text};
use crate::plan::drift::{Asked, Attempt, Budget, Cleared, DriftPlan, Kind, Look, Repair, Said, Subject};
use crate::plan::inventory::Whose;

mod comparison;

use comparison::{Divergence, FRESH_FOR, Seen, compared, place};

/// The model of a drift finding.
#[derive(Debug, Clone, Default)]
pub struct DriftModel {
    life: Option<Life>,
}

#[derive(Debug, Clone)]
struct Life {
    /// Tenant and environment.
    place: (u8, u8),
    divergence: Divergence,
    is_automatic: bool,
    detected: i64,
    last_seen: i64,
    revision: u8,
    severity: u8,
    image: Option<u8>,
    sightings: u64,
    attempts: Vec<Tried>,
    attempted: u32,
    /// Learnt when it was made: what makes two findings one.
    hash: String,
    state: State,
}

#[derive(Debug, Clone, Copy)]
struct Tried {
    repair: Repair,
    result: &'static str,
    at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Detected { look_at: Option<i64> },
    Excepted { by: u8, reason: String, until: i64 },
    Remediating { tries: u16, repair: Repair, since: i64, until: i64, budget: Budget },
    Failed { tries: u16, retry_at: i64 },
    Escalated,
    Resolved,
    Vanished,
}

const LIFECYCLE: Foreseen = Foreseen::Refused("LIFECYCLE");
const CONTENT: Foreseen = Foreseen::Refused("CONTENT");
const X_1: Foreseen = Foreseen::Refused("X-1");

const DAY: i64 = 86_400;
const HEARTBEAT: i64 = 900;
const MOST_KEPT: usize = 64;

fn quietly() -> Foreseen {
    Foreseen::Changes(Vec::new())
}

impl Said {
    /// What is kept of a reason that is stated, or the number of the rule that refuses it.
    fn stated(&self) -> Result<String, Foreseen> {
        match self {
            Self::Secret(_) => Err(Foreseen::Refused("X-11")),
            Self::Words(words) if text::is_reason(words) => Ok(words.trim().to_owned()),
            Self::Words(_) => Err(CONTENT),
        }
    }
}

impl Look {
    fn seen_at(&self, now: i64) -> i64 {
        now - i64::from(self.delay) - i64::from(self.age)
    }

    fn is_stale(&self, now: i64) -> bool {
        now > self.seen_at(now) + FRESH_FOR
    }

    fn severity(&self, kind: Kind) -> u8 {
        let usual = match kind {
            Kind::Missing => 4,
            Kind::Image => 3,
            Kind::Replicas | Kind::Configuration => 2,
            Kind::Unmanaged => 1,
        };
        self.severity.map_or(usual, |severity| severity.min(4))
    }

    fn desired_image(&self) -> Option<u8> {
        self.desired.filter(|_| self.subject != Subject::Queue).map(|made| made.image)
    }
}

impl Budget {
    fn wait(self, failures: u16) -> i64 {
        let doubled = (1..failures).fold(i64::from(self.first), |wait, _| (2 * wait).min(DAY));
        doubled.min(i64::from(self.longest))
    }
}

impl Model for DriftModel {
    type Plan = DriftPlan;

    fn absent() -> Self {
        Self::default()
    }

    fn foresee(&mut self, plan: &DriftPlan, now: i64) -> Foreseen {
        let Some(life) = &mut self.life else {
            let DriftPlan::Detect { look, kind, mode } = plan else { return Foreseen::Report };
            return match compared(look, *kind) {
                Seen::Refused(rule) => Foreseen::Refused(rule),
                Seen::InSync | Seen::Unknown => Foreseen::Same,
                Seen::Diverges(_) if look.is_stale(now) => CONTENT,
                Seen::Diverges(divergence) => {
                    self.life = Some(Life::begun(look, divergence, *mode == 2, now));
                    Foreseen::Changes(vec!["RuntimeDriftDetected"])
                }
            };
        };
        match plan {
            DriftPlan::Detect { look, kind, .. } => match compared(look, *kind) {
                Seen::Refused(rule) => Foreseen::Refused(rule),
                Seen::InSync | Seen::Unknown => Foreseen::Same,
                Seen::Diverges(divergence) => life.again(look, &divergence, now),
            },
            DriftPlan::Replaced { look, kind } => match compared(look, *kind) {
                Seen::Refused(rule) => Foreseen::Refused(rule),
                Seen::InSync | Seen::Unknown => Foreseen::Same,
                Seen::Diverges(divergence) => life.replaced(look, &divergence, now),
            },
            DriftPlan::InSync { look, kind, brought } => match compared(look, *kind) {
                Seen::Refused(rule) => Foreseen::Refused(rule),
                Seen::Diverges(_) | Seen::Unknown => Foreseen::Same,
                Seen::InSync => {
                    let is_own = brought.is_none_or(|brought| life.is_own(brought.whose));
                    let number = brought.map(|brought| brought.number);
                    if is_own { life.in_sync(look, *kind, number, now) } else { X_1 }
                }
            },
            DriftPlan::Repair(asked) => life.repair(asked, now),
            DriftPlan::Postpone { seconds, reason } => life.postpone(now + i64::from(*seconds), reason, now),
            DriftPlan::Failed { attempt, .. } => life.failed(*attempt, now),
            DriftPlan::Retry => match life.state {
                State::Failed { .. } | State::Escalated => {
                    life.state = State::Detected { look_at: Some(now) };
                    quietly()
                }
                State::Detected { .. } | State::Remediating { .. } => Foreseen::Same,
                _ => LIFECYCLE,
            },
            DriftPlan::Accept { by, seconds, reason } => {
                life.accept(*by, now + i64::from(*seconds), reason, now)
            }
            DriftPlan::Revoke { reason } => life.revoke(reason, now),
            DriftPlan::Tick => life.tick(now),
        }
    }

    fn learn(&mut self, events: &[Told<'_>]) -> Result<(), String> {
        let made = events.iter().find(|event| event.name == "RuntimeDriftDetected").map(Told::data);
        let hash = made.as_ref().and_then(|data| data.get("hash")?.as_str());
        if let (Some(life), Some(hash)) = (&mut self.life, hash) {
            hash.clone_into(&mut life.hash);
        }
        let gone = events.iter().find(|event| event.name == "DriftVanished").map(Told::data);
        let replaced_by = gone.as_ref().and_then(|data| data.get("replaced_by")?.as_str());
        match (&self.life, replaced_by) {
            (Some(life), Some(other)) if other == life.hash => {
                Err("another divergence is in its place, and has the same hash".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn facts(&self) -> Option<Facts> {
        let life = self.life.as_ref()?;
        let since = |at: i64| at - life.detected;
        let (status, wakes) = match &life.state {
            State::Detected { look_at } => ("Detected", *look_at),
            State::Excepted { until, .. } => ("Excepted", Some(*until)),
            State::Remediating { until, .. } => ("Remediating", Some(*until)),
            State::Failed { retry_at, .. } => ("RemediationFailed", Some(*retry_at)),
            State::Escalated => ("Escalated", None),
            State::Resolved => ("Resolved", None),
            State::Vanished => ("Vanished", None),
        };
        let (tenant, environment) = life.place;
        let claim = exclusive(format_args!("drift/env_{environment:032x}/{}", life.hash));
        let claims = if life.is_open() { BTreeSet::from([claim]) } else { BTreeSet::new() };
        let facts = Facts { status: status.to_owned(), claims, wakes: wakes.is_some(), ..Facts::default() };
        let last = life.attempts.last().map(|last| {
            let by = match last.repair {
                Repair::Deploy(number) => number.to_string(),
                Repair::Prune => "prune".to_owned(),
            };
            (life.attempted, by, last.result, since(last.at))
        });
        let by = match &life.state {
            State::Excepted { by, reason, .. } => format!("person-{by}: {reason}"),
            _ => String::new(),
        };
        Some(
            facts
                .with("tenant", tenant)
                .with("diverges", format!("{:?} {:?}", life.divergence.subject, life.divergence.kind))
                .with("revision", life.revision)
                .with("severity", life.severity)
                .with("desired image", format!("{:?}", life.image))
                .with("sightings", life.sightings)
                .with("last seen", since(life.last_seen))
                .with("attempts", format!("{}, last {last:?}", life.attempts.len()))
                .with("accepted by", by)
                .with("wakes at", format!("{:?}", wakes.map(since))),
        )
    }
}

impl Life {
    fn begun(look: &Look, divergence: Divergence, is_automatic: bool, now: i64) -> Self {
        Self {
            place: place(look.of),
            severity: look.severity(divergence.kind),
            divergence,
            is_automatic,
            detected: now,
            last_seen: look.seen_at(now),
            revision: look.revision,
            image: look.desired_image(),
            sightings: 1,
            attempts: Vec::new(),
            attempted: 0,
            hash: String::new(),
            state: State::Detected { look_at: is_automatic.then_some(now) },
        }
    }

    const fn is_open(&self) -> bool {
        !matches!(self.state, State::Resolved | State::Vanished)
    }

    fn waiting(&self, now: i64) -> State {
        State::Detected { look_at: self.is_automatic.then_some(now) }
    }

    /// Whether a deployment can have brought what the finding is of.
    fn is_own(&self, whose: Whose) -> bool {
        let (place, subject) = match whose {
            Whose::Own => ((1, 1), Subject::Cart),
            Whose::OtherTenant => ((2, 1), Subject::Cart),
            Whose::OtherEnvironment => ((1, 2), Subject::Cart),
            Whose::OtherModule => ((1, 1), Subject::Pay),
        };
        place == self.place && subject == self.divergence.subject
    }

    fn again(&mut self, look: &Look, seen: &Divergence, now: i64) -> Foreseen {
        if place(look.of) != self.place {
            return X_1;
        }
        if *seen != self.divergence {
            return Foreseen::Refused("DRF-2");
        }
        if !self.is_open() {
            return LIFECYCLE;
        }
        if look.is_stale(now) {
            return CONTENT;
        }
        let now_so = (look.revision, look.severity(seen.kind), look.desired_image());
        let is_other = now_so != (self.revision, self.severity, self.image);
        let later = look.seen_at(now) - self.last_seen;
        if later >= HEARTBEAT || (later > 0 && is_other) {
            self.last_seen = look.seen_at(now);
            (self.revision, self.severity, self.image) = now_so;
            self.sightings += 1;
            quietly()
        } else {
            Foreseen::Same
        }
    }

    fn replaced(&mut self, look: &Look, seen: &Divergence, now: i64) -> Foreseen {
        let own = &self.divergence;
        if place(look.of) != self.place || (seen.subject, seen.kind) != (own.subject, own.kind) {
            X_1
        } else if look.is_stale(now) {
            CONTENT
        } else if *seen == *own || look.seen_at(now) <= self.last_seen {
            Foreseen::Same
        } else if let State::Remediating { .. } = self.state {
            Foreseen::Same
        } else {
            self.gone()
        }
    }

    fn in_sync(&mut self, look: &Look, kind: Kind, brought: Option<u8>, now: i64) -> Foreseen {
        let own = &self.divergence;
        if place(look.of) != self.place || (look.subject, kind) != (own.subject, own.kind) {
            return X_1;
        }
        if look.is_stale(now) {
            return CONTENT;
        }
        let seen_at = look.seen_at(now);
        if seen_at <= self.last_seen {
            return Foreseen::Same;
        }
        let State::Remediating { repair, since, .. } = self.state else { return self.gone() };
        match (repair, brought) {
            _ if seen_at <= since => return Foreseen::Same,
            (Repair::Prune, _) => {}
            (Repair::Deploy(_), None) => return Foreseen::Same,
            (Repair::Deploy(planned), Some(number)) if planned == number => {}
            (Repair::Deploy(_), Some(_)) => return Foreseen::Refused("DRF-1"),
        }
        self.ended("succeeded", now);
        self.state = State::Resolved;
        Foreseen::Changes(vec!["RuntimeDriftRemediated"])
    }

    fn gone(&mut self) -> Foreseen {
        self.state = match self.state {
            State::Resolved | State::Vanished => return Foreseen::Same,
            State::Excepted { .. } => State::Resolved,
            _ => State::Vanished,
        };
        quietly()
    }

    fn ended(&mut self, result: &'static str, now: i64) {
        if let Some(last) = self.attempts.last_mut() {
            (last.result, last.at) = (result, now);
        }
    }

    fn repair(&mut self, asked: &Asked, now: i64) -> Foreseen {
        let cleared = match asked.cleared {
            Cleared::Repair | Cleared::Rotation => (1, 1),
            Cleared::Elsewhere => (1, 2),
            Cleared::Foreign => (2, 1),
        };
        if cleared != self.place {
            return X_1;
        }
        if asked.cleared == Cleared::Rotation {
            return Foreseen::Refused("CALENDAR");
        }
        let tries = match &self.state {
            State::Detected { .. } => 1,
            State::Failed { tries, retry_at } if *retry_at <= now => tries + 1,
            State::Remediating { repair, .. } if *repair == asked.repair => return Foreseen::Same,
            _ => return LIFECYCLE,
        };
        let is_allowed = asked.mode == 2 || (asked.mode == 1 && asked.is_requested);
        let is_unmanaged = self.divergence.kind == Kind::Unmanaged;
        let is_fit = match asked.repair {
            Repair::Prune => is_unmanaged,
            Repair::Deploy(_) => !is_unmanaged && self.divergence.subject != Subject::Queue,
        };
        if !is_allowed {
            return LIFECYCLE;
        }
        if !is_fit {
            return CONTENT;
        }
        if self.image.is_some() && self.image == asked.quarantined {
            return Foreseen::Refused("QUARANTINE");
        }
        self.attempted += 1;
        self.attempts.push(Tried { repair: asked.repair, result: "running", at: now });
        if self.attempts.len() > MOST_KEPT {
            self.attempts.remove(0);
        }
        let (repair, budget) = (asked.repair, asked.budget);
        let until = now + i64::from(budget.deadline);
        self.state = State::Remediating { tries, repair, since: now, until, budget };
        quietly()
    }

    fn postpone(&mut self, wanted: i64, reason: &Said, now: i64) -> Foreseen {
        let due = match &self.state {
            State::Detected { look_at } => *look_at,
            State::Failed { retry_at, .. } => Some(*retry_at),
            _ => return LIFECYCLE,
        };
        if due == Some(wanted) {
            return Foreseen::Same;
        }
        if let Err(refused) = reason.stated() {
            return refused;
        }
        if wanted <= now || wanted > now + 7 * DAY {
            return CONTENT;
        }
        match &mut self.state {
            State::Failed { retry_at, .. } => *retry_at = wanted,
            state => *state = State::Detected { look_at: Some(wanted) },
        }
        quietly()
    }

    fn failed(&mut self, attempt: Attempt, now: i64) -> Foreseen {
        let is_last = match attempt {
            Attempt::Last => true,
            // Before the first there is none, and none is what was attempted.
            Attempt::Before => self.attempted == 0,
            Attempt::Next => false,
        };
        match &self.state {
            State::Remediating { .. } if is_last => {
                self.fail(now);
                quietly()
            }
            State::Failed { .. } | State::Escalated if is_last => Foreseen::Same,
            _ => LIFECYCLE,
        }
    }

    fn fail(&mut self, now: i64) {
        let State::Remediating { tries, budget, .. } = self.state else { return };
        self.ended("failed", now);
        self.state = if tries < budget.most {
            State::Failed { tries, retry_at: now + budget.wait(tries) }
        } else {
            State::Escalated
        };
    }

    fn accept(&mut self, by: u8, until: i64, reason: &Said, now: i64) -> Foreseen {
        let stated = reason.stated();
        match &self.state {
            State::Remediating { .. } | State::Resolved | State::Vanished => return LIFECYCLE,
            State::Excepted { by: own, reason, until: end } => {
                let is_same = *own == by && *end == until && stated.as_ref() == Ok(reason);
                if is_same {
                    return Foreseen::Same;
                }
            }
            _ => {}
        }
        match stated {
            Err(refused) => refused,
            Ok(_) if until <= now || until > now + 90 * DAY => CONTENT,
            Ok(reason) => {
                self.state = State::Excepted { by, reason, until };
                quietly()
            }
        }
    }

    fn revoke(&mut self, reason: &Said, now: i64) -> Foreseen {
        match &self.state {
            State::Resolved | State::Vanished => LIFECYCLE,
            State::Excepted { .. } => match reason.stated() {
                Err(refused) => refused,
                Ok(_) => {
                    self.state = self.waiting(now);
                    quietly()
                }
            },
            _ => Foreseen::Same,
        }
    }

    fn tick(&mut self, now: i64) -> Foreseen {
        match &self.state {
            State::Excepted { until, .. } if *until <= now => self.state = self.waiting(now),
            State::Remediating { until, .. } if *until <= now => self.fail(now),
            _ => return Foreseen::Same,
        }
        quietly()
    }
}
