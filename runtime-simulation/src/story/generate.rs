//! A story from a seed.

use runtime_domain::time::Span;
use runtime_ports::PortErrorKind;
use runtime_testkit::faults::{Fault, FaultKind, METHODS, Method};

use super::emphasis::Theme;
use super::{
    DriftAsk, EnvironmentAsk, Event, Hand, Operation, Place, ScalingAsk, SecretAsk, Step, Story, Strategy,
    TenancyAsk, Trouble, Wrong,
};
use crate::Size;
use crate::coverage::{CrashPoint, RECONCILERS, is_called};
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
    let theme = Theme::of(seed);
    let mut maker = Maker { random, size: size.clone(), furthest, theme, cells: theme.cells() };
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
    /// What half of what happens is about.
    theme: Theme,
    /// The faults of that.
    cells: Vec<(Method, FaultKind)>,
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
        match self.random.below(16) {
            0 => {
                let each = Wrong::ALL.map(|wrong| (1, wrong));
                let wrong = self.random.weighted(&each).unwrap_or(Wrong::EmptyRelease);
                return Operation::Wrong { wrong };
            }
            1 if self.random.once_in(4) => return Operation::Look,
            _ => {}
        }
        if self.random.once_in(2) {
            match self.theme {
                Theme::Everything | Theme::Inventory | Theme::Relay | Theme::Store => {}
                Theme::Releases => return self.about_releases(),
                Theme::Environments => return self.about_the_environment(),
                Theme::Configuration => return self.about_configuration(),
                Theme::Secrets => return self.about_secrets(),
                Theme::Scaling => return self.about_scaling(),
                Theme::Drift => return self.about_drift(),
                Theme::Tenancy => return self.about_tenancy(),
            }
        }
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
            50..59 => self.about_configuration(),
            _ => Operation::BringOn,
        }
    }

    fn about_configuration(&mut self) -> Operation {
        match self.random.below(9) {
            0..4 => Operation::Publish { text: self.random.small(200) },
            4 => Operation::PublishSecret,
            5..8 => Operation::Synchronise,
            _ => Operation::Withdraw,
        }
    }

    fn about_components(&mut self) -> Operation {
        match self.random.below(24) {
            0..13 => self.about_secrets(),
            13..19 => self.about_scaling(),
            _ => self.about_drift(),
        }
    }

    fn about_secrets(&mut self) -> Operation {
        let component = self.component();
        match self.random.below(13) {
            0..4 => Operation::BindSecret { component },
            4..8 => Operation::Rotate { component },
            _ => {
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
        }
    }

    fn about_scaling(&mut self) -> Operation {
        let component = self.component();
        if self.random.once_in(2) {
            return Operation::Scale { component };
        }
        let asks = [
            (2, ScalingAsk::Change { most: 1 + self.random.small(8) }),
            (1, ScalingAsk::Suspend),
            (2, ScalingAsk::Resume),
            (1, ScalingAsk::Retire),
        ];
        let ask = self.random.weighted(&asks).unwrap_or(ScalingAsk::Resume);
        Operation::Scaling { component, ask }
    }

    fn about_drift(&mut self) -> Operation {
        match self.random.below(5) {
            0..2 => Operation::Watch,
            2 if self.random.once_in(3) => Operation::StopWatching,
            _ => {
                let asks = [
                    (2, DriftAsk::Accept),
                    (2, DriftAsk::Revoke),
                    (2, DriftAsk::Retry),
                    (3, DriftAsk::Remediate),
                ];
                Operation::Drift { ask: self.random.weighted(&asks).unwrap_or(DriftAsk::Remediate) }
            }
        }
    }

    fn about_the_place(&mut self) -> Operation {
        match self.random.below(18) {
            0..8 => self.about_tenancy(),
            8..15 => self.about_the_environment(),
            15 if self.random.once_in(2) => Operation::Decommission,
            16 if self.random.once_in(2) => Operation::Unpark,
            _ => Operation::Provision,
        }
    }

    fn about_tenancy(&mut self) -> Operation {
        let asks = [
            (5, TenancyAsk::Bind),
            (2, TenancyAsk::Grow { units: 10 + self.random.small(110) }),
            (1, TenancyAsk::Cordon),
            (3, TenancyAsk::Uncordon),
            (2, TenancyAsk::Protect { is_on: self.random.once_in(2) }),
            (4, TenancyAsk::Move),
            (1, TenancyAsk::AbortMove),
            (1, TenancyAsk::Release),
        ];
        Operation::Tenancy { ask: self.random.weighted(&asks).unwrap_or(TenancyAsk::Bind) }
    }

    fn about_the_environment(&mut self) -> Operation {
        match self.random.below(7) {
            0..4 => {
                let asks = [
                    (2, EnvironmentAsk::Retry),
                    (2, EnvironmentAsk::Protect { is_on: self.random.once_in(2) }),
                    (3, EnvironmentAsk::Freeze { is_on: self.random.once_in(4) }),
                    (1, EnvironmentAsk::LiveFor { seconds: u16::from(self.random.small(120)) }),
                    (2, EnvironmentAsk::Refresh),
                    (1, EnvironmentAsk::Change { may_be: self.random.once_in(2) }),
                    (3, EnvironmentAsk::Promotion { is_on: self.random.once_in(4) }),
                ];
                Operation::Environment { ask: self.random.weighted(&asks).unwrap_or(EnvironmentAsk::Refresh) }
            }
            4 => Operation::StopTheLine,
            _ => Operation::ResumeTheLine,
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
        // As many come back as go, or most of a story nobody is there.
        match self.random.below(100) {
            0..40 => self.fault(),
            40..55 => self.death(),
            55..57 => Trouble::Crash,
            57..71 => Trouble::Start,
            71..73 => Trouble::Freeze,
            73..87 => Trouble::Thaw,
            87..89 => Trouble::ClockJump(self.jump()),
            89..91 => Trouble::ClockJump(0),
            91..93 => Trouble::Partition(self.port()),
            93..97 => Trouble::Heal,
            _ => Trouble::Release,
        }
    }

    fn jump(&mut self) -> i64 {
        let by = i64::try_from(self.random.below(2 * self.furthest.unsigned_abs())).unwrap_or_default();
        by - self.furthest
    }

    fn death(&mut self) -> Trouble {
        let each: Vec<(u64, &'static str)> = RECONCILERS.iter().map(|of| (1, *of)).collect();
        let any = self.random.weighted(&each).unwrap_or("deployment");
        let reconciler = self.theme.reconciler().filter(|_| self.random.once_in(2)).unwrap_or(any);
        if self.random.once_in(2) {
            return Trouble::Die {
                reconciler,
                skipped: self.random.small(4),
                is_done: self.random.once_in(2),
            };
        }
        let points = CrashPoint::ALL.map(|point| (1, point));
        let point = self.random.weighted(&points).unwrap_or(CrashPoint::KilledAfter);
        Trouble::Stop { reconciler, skipped: self.random.small(8), point }
    }

    fn port(&mut self) -> &'static str {
        let ports = [(1, "store"), (1, "surface"), (1, "publisher"), (1, "infrastructure"), (1, "secrets")];
        self.random.weighted(&ports).unwrap_or("store")
    }

    fn fault(&mut self) -> Trouble {
        let error = self.error();
        if self.random.once_in(2)
            && let Some((method, kind)) = self.cell()
        {
            return Trouble::Fault {
                method: method.name,
                skipped: self.random.small(2),
                fault: fault(kind, error),
            };
        }
        let weighted: Vec<(u64, Method)> =
            METHODS.iter().map(|method| (weight(method.name), *method)).collect();
        let Some(method) = self.random.weighted(&weighted) else { return Trouble::Release };
        let kinds = [
            (2, FaultKind::Before),
            (2, FaultKind::After),
            (2, FaultKind::RequestLost),
            (3, FaultKind::AnswerLost),
            (2, FaultKind::Twice),
            (1, FaultKind::Late),
            (1, FaultKind::FreezeBefore),
            (1, FaultKind::FreezeAfter),
            (3, FaultKind::Stale),
            (2, FaultKind::Partial),
            (2, FaultKind::Garbage),
        ];
        let kinds = kinds.map(|(often, kind)| (often * u64::from(method.may_meet(kind)), kind));
        let kind = self.random.weighted(&kinds).unwrap_or(FaultKind::AnswerLost);
        Trouble::Fault { method: method.name, skipped: self.random.small(4), fault: fault(kind, error) }
    }

    /// A cell of the theme.
    fn cell(&mut self) -> Option<(Method, FaultKind)> {
        let count = u64::try_from(self.cells.len()).unwrap_or_default();
        let at = usize::try_from(self.random.below(count)).ok()?;
        self.cells.get(at).copied()
    }

    fn error(&mut self) -> PortErrorKind {
        let kinds = [
            (3, PortErrorKind::Unavailable),
            (2, PortErrorKind::TimedOut),
            (1, PortErrorKind::Internal),
            (1, PortErrorKind::Exhausted),
        ];
        self.random.weighted(&kinds).unwrap_or(PortErrorKind::Unavailable)
    }
}

/// A fault of this kind; where the caller is told an error, this one.
const fn fault(kind: FaultKind, error: PortErrorKind) -> Fault {
    match kind {
        FaultKind::Before => Fault::Before(error),
        FaultKind::After => Fault::After(error),
        FaultKind::RequestLost => Fault::RequestLost,
        FaultKind::AnswerLost => Fault::AnswerLost,
        FaultKind::Twice => Fault::Twice,
        FaultKind::Slow => Fault::Slow { there: Span::from_millis(400), back: Span::from_millis(400) },
        FaultKind::Late => Fault::Late,
        FaultKind::FreezeBefore => Fault::FreezeBefore,
        FaultKind::FreezeAfter => Fault::FreezeAfter,
        FaultKind::Stale => Fault::Stale,
        FaultKind::Partial => Fault::Partial,
        FaultKind::Garbage => Fault::Garbage,
    }
}

/// How often a method is chosen where no theme chooses it: what hosts here never call never is, and what changes the world is most often.
fn weight(method: &str) -> u64 {
    let port = method.split('.').next().unwrap_or_default();
    match (port, method) {
        _ if !is_called(method) => 0,
        ("clock", _) => 0,
        (_, "store.commit") => 12,
        (_, "surface.observe") => 6,
        ("surface", _) => 5,
        ("store" | "infrastructure" | "secrets", _) => 2,
        _ => 1,
    }
}
