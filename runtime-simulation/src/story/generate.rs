//! A story from a seed.

use runtime_domain::time::Span;
use runtime_ports::PortErrorKind;
use runtime_testkit::faults::{Fault, METHODS, Method};

use super::{
    DriftAsk, EnvironmentAsk, Event, Hand, Operation, Place, ScalingAsk, SecretAsk, Step, Story, Strategy,
    TenancyAsk, Trouble,
};
use crate::Size;
use crate::coverage::RECONCILERS;
use crate::random::Random;

/// How far a clock may jump either way, in milliseconds: in most stories a minute, in one of so many an hour. Whatever is written by a clock
/// that is an hour ahead is waited for in the end, and most seeds are better spent on other things.
const JUMPS: [i64; 2] = [60_000, 3_600_000];
const FAR_JUMPS_ONCE_IN: u64 = 8;

/// The story of a seed.
pub(crate) fn story(seed: u64, size: &Size) -> Story {
    let mut random = Random::of(seed, 1);
    let [near, far] = JUMPS;
    let furthest = if random.once_in(FAR_JUMPS_ONCE_IN) { far } else { near };
    let mut maker = Maker { random, size: size.clone(), furthest };
    let beginning = maker.beginning();
    let mut events = beginning;
    while events.len() < usize::try_from(size.steps).unwrap_or(usize::MAX) {
        events.push(maker.event());
    }
    events.truncate(usize::try_from(size.steps).unwrap_or(usize::MAX));
    let steps = (1..).zip(events).map(|(number, event)| Step { number, event, pause: maker.pause() });
    Story { seed, steps: steps.collect() }
}

struct Maker {
    random: Random,
    size: Size,
    /// How far clocks jump in this story.
    furthest: i64,
}

impl Maker {
    /// Every environment is asked for, and something in it.
    fn beginning(&mut self) -> Vec<Event> {
        let places = (1..=self.size.tenants).flat_map(|tenant| {
            (1..=self.size.environments).map(move |environment| Place { tenant, environment })
        });
        let places: Vec<Place> = places.collect();
        let mut events = Vec::new();
        for place in &places {
            events.push(Event::Asked { host: self.host(), place: *place, operation: Operation::Provision });
        }
        for place in &places {
            let components = (0..self.size.components).collect();
            let operation = Operation::Deploy { version: 1, components, strategy: Strategy::Rolling };
            events.push(Event::Asked { host: self.host(), place: *place, operation });
        }
        let have_neighbours = self.size.environments > 1;
        for place in places.into_iter().filter(|_| have_neighbours) {
            let operation = Operation::Tenancy { ask: TenancyAsk::Bind };
            events.push(Event::Asked { host: self.host(), place, operation });
        }
        events
    }

    fn event(&mut self) -> Event {
        match self.random.below(100) {
            0..40 => Event::Asked { host: self.host(), place: self.place(), operation: self.operation() },
            40..52 => Event::ByHand { place: self.place(), hand: self.hand() },
            _ => Event::Host { host: self.host(), trouble: self.trouble() },
        }
    }

    /// How long the hosts work after a step.
    fn pause(&mut self) -> Span {
        match self.random.below(20) {
            0..12 => self.random.span(Span::from_millis(500)),
            12..19 => self.random.span(Span::from_secs(4)),
            _ => self.random.span(Span::from_secs(40)),
        }
    }

    fn host(&mut self) -> u8 {
        1 + self.random.small(self.size.hosts)
    }

    fn place(&mut self) -> Place {
        let tenant = 1 + self.random.small(self.size.tenants);
        Place { tenant, environment: 1 + self.random.small(self.size.environments) }
    }

    fn component(&mut self) -> u8 {
        self.random.small(self.size.components)
    }

    fn operation(&mut self) -> Operation {
        match self.random.below(100) {
            0..60 => self.about_releases(),
            60..82 => self.about_components(),
            _ => self.about_the_place(),
        }
    }

    fn about_releases(&mut self) -> Operation {
        match self.random.below(60) {
            0..24 => self.deploy(),
            24..28 => Operation::Pause,
            28..33 => Operation::Resume,
            33..37 => Operation::Promote,
            37..41 => Operation::Abort,
            41..44 => Operation::RollBack,
            44..47 => Operation::ReleaseQuarantine,
            47..50 => Operation::Approve { agrees: !self.random.once_in(4) },
            50..54 => Operation::Publish { text: self.random.small(200) },
            54 => Operation::PublishSecret,
            55..58 => Operation::Synchronise,
            58 => Operation::Withdraw,
            _ => Operation::BringOn,
        }
    }

    fn about_components(&mut self) -> Operation {
        let component = self.component();
        match self.random.below(24) {
            0..4 => Operation::BindSecret { component },
            4..8 => Operation::Rotate { component },
            8..13 => {
                let asks = [
                    (1, SecretAsk::Compromised),
                    (1, SecretAsk::Schedule { seconds: 60 + u16::from(self.random.small(120)) }),
                    (2, SecretAsk::Abort),
                    (2, SecretAsk::Suspend),
                    (3, SecretAsk::Resume),
                    (1, SecretAsk::Unbind),
                ];
                let ask = self.random.weighted(&asks).unwrap_or(SecretAsk::Resume);
                Operation::Secret { component, ask }
            }
            13..16 => Operation::Scale { component },
            16..19 => {
                let asks = [
                    (2, ScalingAsk::Change { most: 1 + self.random.small(8) }),
                    (1, ScalingAsk::Suspend),
                    (2, ScalingAsk::Resume),
                    (1, ScalingAsk::Retire),
                ];
                let ask = self.random.weighted(&asks).unwrap_or(ScalingAsk::Resume);
                Operation::Scaling { component, ask }
            }
            19..21 => Operation::Watch,
            21 if self.random.once_in(3) => Operation::StopWatching,
            _ => {
                let asks = [
                    (2, DriftAsk::Accept),
                    (1, DriftAsk::Revoke),
                    (2, DriftAsk::Retry),
                    (3, DriftAsk::Remediate),
                ];
                Operation::Drift { ask: self.random.weighted(&asks).unwrap_or(DriftAsk::Remediate) }
            }
        }
    }

    fn about_the_place(&mut self) -> Operation {
        match self.random.below(18) {
            0..8 => {
                let asks = [
                    (5, TenancyAsk::Bind),
                    (2, TenancyAsk::Grow { units: 10 + self.random.small(110) }),
                    (1, TenancyAsk::Cordon),
                    (3, TenancyAsk::Uncordon),
                    (2, TenancyAsk::Protect { is_on: self.random.once_in(4) }),
                    (4, TenancyAsk::Move),
                    (1, TenancyAsk::AbortMove),
                    (1, TenancyAsk::Release),
                ];
                Operation::Tenancy { ask: self.random.weighted(&asks).unwrap_or(TenancyAsk::Bind) }
            }
            8..12 => {
                let asks = [
                    (2, EnvironmentAsk::Retry),
                    (2, EnvironmentAsk::Protect { is_on: self.random.once_in(4) }),
                    (3, EnvironmentAsk::Freeze { is_on: self.random.once_in(4) }),
                    (1, EnvironmentAsk::LiveFor { seconds: u16::from(self.random.small(120)) }),
                    (2, EnvironmentAsk::Refresh),
                    (1, EnvironmentAsk::Change { may_be: self.random.once_in(2) }),
                    (3, EnvironmentAsk::Promotion { is_on: self.random.once_in(4) }),
                ];
                Operation::Environment { ask: self.random.weighted(&asks).unwrap_or(EnvironmentAsk::Refresh) }
            }
            12 => Operation::StopTheLine,
            13..15 => Operation::ResumeTheLine,
            15 if self.random.once_in(2) => Operation::Decommission,
            16 if self.random.once_in(2) => Operation::Unpark,
            _ => Operation::Provision,
        }
    }

    fn deploy(&mut self) -> Operation {
        let mut components: Vec<u8> = (0..self.size.components).filter(|_| self.random.once_in(2)).collect();
        if components.is_empty() {
            components.push(self.component());
        }
        let strategies = [(2, Strategy::Rolling), (1, Strategy::BlueGreen), (2, Strategy::Canary)];
        let strategy = self.random.weighted(&strategies).unwrap_or(Strategy::Rolling);
        Operation::Deploy { version: 2 + self.random.small(60), components, strategy }
    }

    fn hand(&mut self) -> Hand {
        let component = self.component();
        match self.random.below(10) {
            0..2 => Hand::Scale { component, replicas: self.random.small(4) },
            2..4 => Hand::Crash { component },
            4 => Hand::Ill { component, is_ill: true },
            5..7 => Hand::Ill { component, is_ill: false },
            7..9 => Hand::Load { units: 5 * self.random.small(12) },
            _ => Hand::Desire { version: 2 + self.random.small(60) },
        }
    }

    fn trouble(&mut self) -> Trouble {
        match self.random.below(100) {
            0..54 => self.fault(),
            54..63 => self.death(),
            63..66 => Trouble::Crash,
            66..74 => Trouble::Start,
            74..77 => Trouble::Freeze,
            77..86 => Trouble::Thaw,
            86..88 => Trouble::ClockJump(self.jump()),
            88..91 => Trouble::ClockJump(0),
            91..93 => Trouble::Partition(self.port()),
            93..96 => Trouble::Heal,
            _ => Trouble::Release,
        }
    }

    fn jump(&mut self) -> i64 {
        let by = i64::try_from(self.random.below(2 * self.furthest.unsigned_abs())).unwrap_or_default();
        by - self.furthest
    }

    fn death(&mut self) -> Trouble {
        let each: Vec<(u64, &'static str)> = RECONCILERS.iter().map(|of| (1, *of)).collect();
        let reconciler = self.random.weighted(&each).unwrap_or("deployment");
        Trouble::Die { reconciler, skipped: self.random.small(4), is_done: self.random.once_in(2) }
    }

    fn port(&mut self) -> &'static str {
        let ports = [(1, "store"), (1, "surface"), (1, "publisher"), (1, "infrastructure"), (1, "secrets")];
        self.random.weighted(&ports).unwrap_or("store")
    }

    fn fault(&mut self) -> Trouble {
        let weighted: Vec<(u64, Method)> =
            METHODS.iter().map(|method| (weight(method.name), *method)).collect();
        let Some(method) = self.random.weighted(&weighted) else { return Trouble::Release };
        let kinds = [
            (3, PortErrorKind::Unavailable),
            (2, PortErrorKind::TimedOut),
            (1, PortErrorKind::Internal),
            (1, PortErrorKind::Exhausted),
        ];
        let kind = self.random.weighted(&kinds).unwrap_or(PortErrorKind::Unavailable);
        let may = |fault: Fault, often: u64| (often * u64::from(method.may_meet(fault.kind())), fault);
        let faults = [
            may(Fault::Before(kind), 2),
            may(Fault::After(kind), 2),
            may(Fault::RequestLost, 2),
            may(Fault::AnswerLost, 3),
            may(Fault::Twice, 2),
            may(Fault::Late, 1),
            may(Fault::FreezeBefore, 1),
            may(Fault::FreezeAfter, 1),
            may(Fault::Stale, 3),
            may(Fault::Partial, 2),
            may(Fault::Garbage, 2),
        ];
        let fault = self.random.weighted(&faults).unwrap_or(Fault::AnswerLost);
        Trouble::Fault { method: method.name, skipped: self.random.small(4), fault }
    }
}

/// How often a method is chosen: what the simulated hosts have no adapter for never is, and what changes the world is most often.
fn weight(method: &str) -> u64 {
    let port = method.split('.').next().unwrap_or_default();
    match (port, method) {
        ("artifacts" | "isolation" | "clock", _) => 0,
        (_, "secrets.deliver" | "registry.unpack" | "store.work_arrived" | "scaling_signals.waiting") => 0,
        (_, "store.commit") => 12,
        (_, "surface.observe") => 6,
        ("surface", _) => 5,
        ("store" | "infrastructure" | "secrets", _) => 2,
        _ => 1,
    }
}
