//! Hosts that come and go, each with its troubles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use runtime_domain::time::Span;
use runtime_ports::PortErrorKind;
use runtime_ports::clock::Clock as _;
use runtime_ports::store::Store;
use runtime_ports::surface::ComputeSurface;
use runtime_services::Services;
use runtime_testkit::faults::{Call, Fault, Faults};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::coverage::{self, CrashPoint};
use crate::pace::Pace;
use crate::random::Random;
use crate::records::Records;
use crate::story::Trouble;
use crate::trace::Trace;
use crate::world::{World, lock};

/// What hosts are made of.
pub(crate) struct Yard {
    pub(crate) world: World,
    pub(crate) store: Arc<dyn Store>,
    /// What that holds, looked at past all faults.
    pub(crate) records: Records,
    pub(crate) surface: Arc<dyn ComputeSurface>,
    pub(crate) trace: Trace,
    /// Of what operators ask for, of hosts' own tasks, and of whatever calls a port.
    pub(crate) pace: Pace,
    /// How long calls take.
    latencies: Arc<Mutex<Random>>,
    slots: Vec<Slot>,
}

/// A place for a host.
struct Slot {
    number: u8,
    troubles: Arc<Mutex<Troubles>>,
    running: Option<Running>,
}

struct Running {
    faults: Faults,
    services: Services,
    /// Everything that the process does. Where it is dropped, nothing of that goes on.
    tasks: JoinSet<()>,
}

/// What a host's calls are to meet.
#[derive(Debug, Default)]
struct Troubles {
    faults: BTreeMap<&'static str, Vec<(u8, Fault)>>,
    partition: Option<&'static str>,
    /// At which action of which reconciler it is killed, and whether that is done.
    deaths: Vec<(&'static str, u8, bool)>,
    /// Where it is to come to at an action at which nobody has yet.
    stops: Vec<Stop>,
    is_dead: bool,
}

/// To which point of which reconciler a host is to come, after how many different new actions, and those that it has passed.
#[derive(Debug)]
struct Stop {
    reconciler: &'static str,
    point: CrashPoint,
    skipped: u8,
    passed: BTreeSet<String>,
}

impl Stop {
    /// Whether it is at this action, which is each of these.
    fn is_at(&mut self, new: Vec<String>) -> bool {
        let mut new = new.into_iter().filter(|action| !self.passed.contains(action)).peekable();
        if new.peek().is_none() {
            return false;
        }
        if self.passed.len() >= usize::from(self.skipped) {
            return true;
        }
        let passed: Vec<String> = new.collect();
        self.passed.extend(passed);
        false
    }
}

impl Troubles {
    fn meets(&mut self, method: &'static str) -> Option<Fault> {
        let waiting = self.faults.get_mut(method)?;
        let now = waiting.iter().position(|(skipped, _)| *skipped == 0);
        let met = now.map(|at| waiting.remove(at).1);
        waiting.iter_mut().for_each(|(skipped, _)| *skipped = skipped.saturating_sub(1));
        met
    }

    /// Where it is killed at this action of a reconciler.
    fn dies(&mut self, reconciler: &str) -> Option<CrashPoint> {
        let mut own = self.deaths.iter_mut().enumerate().filter(|(_, (of, ..))| *of == reconciler);
        let (at, (_, skipped, is_done)) = own.next()?;
        if *skipped > 0 {
            *skipped -= 1;
            return None;
        }
        let point = if *is_done { CrashPoint::KilledAfter } else { CrashPoint::KilledBefore };
        self.deaths.remove(at);
        self.is_dead = true;
        Some(point)
    }

    /// The point that it is to come to at this action of a reconciler, where that is among the new ones.
    fn comes_to(&mut self, reconciler: &str, new: impl Fn(CrashPoint) -> Vec<String>) -> Option<CrashPoint> {
        let is_now = |stop: &mut Stop| stop.reconciler == reconciler && stop.is_at(new(stop.point));
        let at = self.stops.iter_mut().position(is_now)?;
        let point = self.stops.remove(at).point;
        self.is_dead |= point.is_death();
        Some(point)
    }

    fn is_cut_off(&self, method: &str) -> bool {
        self.partition.is_some_and(|port| method.split('.').next() == Some(port))
    }
}

impl Yard {
    pub(crate) fn new(
        world: World,
        store: Arc<dyn Store>,
        surface: Arc<dyn ComputeSurface>,
        seed: u64,
        hosts: u8,
    ) -> Self {
        let slot = |number| Slot { number, troubles: Arc::default(), running: None };
        Self {
            world,
            records: Records::of(Arc::clone(&store)),
            store,
            surface,
            trace: Trace::default(),
            pace: Pace::default(),
            latencies: Arc::new(Mutex::new(Random::of(seed, 2))),
            slots: (1..=hosts).map(slot).collect(),
        }
    }

    /// A host without faults that does nothing by itself.
    pub(crate) fn onlooker(&self) -> Option<Services> {
        self.world.services(&self.store, &self.surface, &Faults::none())
    }

    /// What a host may be asked, and where that goes on. Where it is gone, it is the next one that is there; `None` where nobody is.
    pub(crate) fn host(&mut self, number: u8) -> Option<(Services, &mut JoinSet<()>)> {
        let at = usize::from(number.saturating_sub(1)).min(self.slots.len());
        let (before, from) = self.slots.split_at_mut(at);
        let mut there = from.iter_mut().chain(before).filter_map(|slot| slot.running.as_mut());
        let running = there.next()?;
        while running.tasks.try_join_next().is_some() {}
        Some((running.services.clone(), &mut running.tasks))
    }

    pub(crate) fn start_all(&mut self) {
        let numbers: Vec<u8> = self.slots.iter().map(|slot| slot.number).collect();
        numbers.into_iter().for_each(|number| self.meet(number, &Trouble::Start));
    }

    /// From now on no call fails: what was frozen or late goes on, who is gone comes back.
    pub(crate) fn recover(&mut self) {
        let numbers: Vec<u8> = self.slots.iter().map(|slot| slot.number).collect();
        for number in numbers {
            if let Some(slot) = self.slots.iter_mut().find(|slot| slot.number == number) {
                *lock(&slot.troubles) = Troubles::default();
            }
            for trouble in [Trouble::ClockJump(0), Trouble::Thaw, Trouble::Release, Trouble::Start] {
                self.meet(number, &trouble);
            }
        }
    }

    /// Takes away those who were killed at an action.
    pub(crate) fn bury(&mut self) {
        for slot in &mut self.slots {
            let is_dead = std::mem::take(&mut lock(&slot.troubles).is_dead);
            if is_dead {
                slot.running = None;
            }
        }
    }

    /// A host gets into trouble, or out of it.
    pub(crate) fn meet(&mut self, number: u8, trouble: &Trouble) {
        let started = match trouble {
            Trouble::Start => self.started(number),
            _ => None,
        };
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.number == number) else { return };
        let faults = slot.running.as_ref().map(|running| running.faults.clone());
        match trouble {
            Trouble::Fault { method, skipped, fault } => {
                lock(&slot.troubles).faults.entry(method).or_default().push((*skipped, *fault));
            }
            Trouble::Crash => slot.running = None,
            Trouble::Die { reconciler, skipped, is_done } => {
                lock(&slot.troubles).deaths.push((reconciler, *skipped, *is_done));
            }
            Trouble::Stop { reconciler, skipped, point } => {
                let stop = Stop { reconciler, point: *point, skipped: *skipped, passed: BTreeSet::new() };
                lock(&slot.troubles).stops.push(stop);
            }
            Trouble::Start => slot.running = started.or(slot.running.take()),
            Trouble::Freeze => faults.iter().for_each(Faults::freeze),
            Trouble::Thaw => faults.iter().for_each(Faults::thaw),
            Trouble::ClockJump(by) => faults.iter().for_each(|faults| faults.jump_clock(*by)),
            Trouble::Partition(port) => lock(&slot.troubles).partition = Some(port),
            Trouble::Heal => lock(&slot.troubles).partition = None,
            Trouble::Release => faults.iter().for_each(Faults::release),
        }
    }

    /// A host at work, where there is none.
    fn started(&self, number: u8) -> Option<Running> {
        let slot = self.slots.iter().find(|slot| slot.number == number)?;
        if slot.running.is_some() {
            return None;
        }
        let faults = self.faults(slot);
        let pace = self.pace.clone();
        faults.guard(move |method| pace.has_turn(method));
        let services = self.world.services(&self.store, &self.surface, &faults)?;
        let (work, mut tasks) = (services.clone(), JoinSet::new());
        let pace = self.pace.clone();
        tasks.spawn(async move { pace.keep("a host", work.run(CancellationToken::new())).await });
        Some(Running { faults, services, tasks })
    }

    fn faults(&self, slot: &Slot) -> Faults {
        let (number, troubles) = (slot.number, Arc::clone(&slot.troubles));
        let (trace, latencies) = (self.trace.clone(), Arc::clone(&self.latencies));
        let clock = Arc::clone(&self.world.clock);
        Faults::new(move |call: &Call| {
            let now = clock.now().timestamp_millis();
            trace.call(call.method, format_args!("{number} {} {} {now};", call.method, call.about));
            if lock(&troubles).is_cut_off(call.method) {
                return Some(Fault::Before(PortErrorKind::Unavailable));
            }
            let whose = coverage::reconciler(call);
            let stops = whose.and_then(|whose| {
                let mut troubles = lock(&troubles);
                let new = |point| trace.new_actions(whose, call, point);
                troubles.dies(whose).or_else(|| troubles.comes_to(whose, new))
            });
            let fault = stops.map(CrashPoint::fault).or_else(|| lock(&troubles).meets(call.method));
            if let Some(whose) = whose {
                trace.acted(whose, call, stops.or_else(|| fault.and_then(CrashPoint::of)));
            }
            if let Some(fault) = fault {
                trace.hit(call.method, fault);
            }
            fault.or_else(|| latency(&mut lock(&latencies)))
        })
    }
}

/// Most calls take no time; some take a little, and now and then one takes long.
fn latency(random: &mut Random) -> Option<Fault> {
    let most = match random.below(64) {
        0..8 => Span::from_millis(20),
        8..10 => Span::from_millis(400),
        10 => Span::from_secs(3),
        _ => return None,
    };
    Some(Fault::Slow { there: random.span(most), back: random.span(most) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_stop_later_passes_each_action_once_and_stops_at_the_next_new_one() {
        let stop = |point| Stop { reconciler: "drift", point, skipped: 1, passed: BTreeSet::new() };
        let mut troubles = Troubles { stops: vec![stop(CrashPoint::KilledAfter)], ..Troubles::default() };
        let mut at = |reconciler, new: &[&str]| {
            troubles.comes_to(reconciler, |_| new.iter().map(|action| (*action).to_owned()).collect())
        };
        assert_eq!(at("drift", &["commits"]), None);
        assert_eq!(at("drift", &["commits"]), None, "it has passed that one");
        assert_eq!(at("drift", &[]), None, "where somebody has been, nothing is new");
        assert_eq!(at("secrets", &["rotates"]), None, "another reconciler");
        assert_eq!(at("drift", &["commits", "repairs"]), Some(CrashPoint::KilledAfter));
        assert_eq!(at("drift", &["prunes"]), None, "once is enough");
        assert!(troubles.is_dead);
    }
}
