//! A tenant binding, as spec.md §2 and the context's tables describe it. One number stands for every unit of a quota.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Facts, Foreseen, Model, exclusive, text};
use crate::plan::tenancy::{Place, Target, TenancyPlan};

/// The model of a tenant binding.
#[derive(Debug, Clone, Default)]
pub struct TenancyModel {
    life: Option<Life>,
}

/// What serves and what comes, by component: the latter with its deployment.
type Works = BTreeMap<u8, (Option<u8>, Option<(u8, u8)>)>;

#[derive(Debug, Clone)]
struct Life {
    place: Place,
    is_protected: bool,
    works: Works,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Pending { until: i64 },
    Bound(Uses, Where),
    Released { is_returned: bool },
}

/// How much may be used, and what waits to be settled about it.
#[derive(Debug, Clone)]
struct Uses {
    quota: u8,
    waits: Waits,
}

#[derive(Debug, Clone)]
enum Waits {
    Nothing,
    More { quota: u8, until: i64 },
    Less,
}

#[derive(Debug, Clone)]
enum Where {
    Home,
    Cordoned,
    Moving { stage: Stage, since: i64, observe: i64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Replicating,
    Switching,
    Observing,
    Cordoning,
    Releasing,
    Uncordoning,
    SwitchingBack,
}

/// What a step of a move leads to.
enum Turn {
    To(Stage),
    Again,
    Home,
    Gone,
}

const SILO: u8 = 0;
const SHARED: u8 = 2;
const LIFECYCLE: Foreseen = Foreseen::Refused("LIFECYCLE");
const CONTENT: Foreseen = Foreseen::Refused("CONTENT");
const TEN_2: Foreseen = Foreseen::Refused("TEN-2");

/// For how long a reservation of the story lasts, in seconds.
const RESERVED_FOR: i64 = 3_600;

fn quietly() -> Foreseen {
    Foreseen::Changes(Vec::new())
}

impl Model for TenancyModel {
    type Plan = TenancyPlan;

    fn absent() -> Self {
        Self::default()
    }

    fn foresee(&mut self, plan: &TenancyPlan, now: i64) -> Foreseen {
        let Some(life) = &mut self.life else {
            let TenancyPlan::Bind(place) = plan else { return Foreseen::Report };
            if place.wanted != place.offered {
                return Foreseen::Refused("TEN-1");
            }
            if place.wanted == SILO && !place.is_own {
                return Foreseen::Refused("X-1");
            }
            if place.reserved < place.quota {
                return TEN_2;
            }
            let state = State::Pending { until: now + RESERVED_FOR };
            self.life =
                Some(Life { place: place.clone(), is_protected: false, works: BTreeMap::new(), state });
            return quietly();
        };
        match plan {
            TenancyPlan::Bind(place) => life.bind_again(place),
            TenancyPlan::Confirm { is_foreign: true, .. } | TenancyPlan::Returned { is_foreign: true } => {
                Foreseen::Refused("X-1")
            }
            TenancyPlan::Confirm { quota, .. } => life.confirm(*quota),
            TenancyPlan::Adjust { quota, reserved } => life.adjust(*quota, *reserved, now),
            TenancyPlan::Cordon { reason } => life.cordon(reason),
            TenancyPlan::Uncordon => match &mut life.state {
                State::Bound(_, place @ Where::Cordoned) => {
                    *place = Where::Home;
                    quietly()
                }
                State::Bound(_, Where::Home) => Foreseen::Same,
                _ => LIFECYCLE,
            },
            TenancyPlan::Protect => life.protect(true),
            TenancyPlan::Unprotect => life.protect(false),
            TenancyPlan::Move { target, observe } => life.begin_move(*target, i64::from(*observe), now),
            TenancyPlan::Step { is_next, is_done } => life.step(*is_next, *is_done, now),
            TenancyPlan::Stay { reason } => life.stay(reason, now),
            TenancyPlan::Release { reason } => life.release(reason),
            TenancyPlan::Returned { .. } => match &mut life.state {
                State::Released { is_returned: true } => Foreseen::Same,
                State::Released { is_returned } => {
                    *is_returned = true;
                    quietly()
                }
                _ => LIFECYCLE,
            },
            TenancyPlan::Admit { deployment, module, amount } => life.admit(*deployment, *module, *amount),
            TenancyPlan::Settle { deployment, is_kept } => life.settle(*deployment, *is_kept),
            TenancyPlan::Scale { module, amount } => life.scale(*module, *amount),
            TenancyPlan::Retire if life.works.is_empty() => Foreseen::Same,
            TenancyPlan::Retire => {
                life.works.clear();
                quietly()
            }
            TenancyPlan::Tick => life.tick(now),
        }
    }

    fn facts(&self) -> Option<Facts> {
        let life = self.life.as_ref()?;
        let (status, wakes) = match &life.state {
            State::Pending { .. } => ("Pending", true),
            State::Bound(uses, Where::Home) => ("Bound", uses.is_unsettled()),
            State::Bound(uses, Where::Cordoned) => ("Cordoned", uses.is_unsettled()),
            State::Bound(_, Where::Moving { .. }) => ("Moving", true),
            State::Released { is_returned } => ("Released", !is_returned),
        };
        let wakes = wakes || life.works.values().any(|(_, coming)| coming.is_some());
        let claims = if status == "Released" { BTreeSet::new() } else { claims(&life.place) };
        let facts = Facts { status: status.to_owned(), claims, wakes, ..Facts::default() };
        let (quota, waits, stage) = match &life.state {
            State::Bound(uses, place) => {
                let waits = match &uses.waits {
                    Waits::Nothing => "nothing".to_owned(),
                    Waits::More { quota, .. } => format!("{} more", u16::from(*quota) + 1),
                    Waits::Less => "less".to_owned(),
                };
                let stage = match place {
                    Where::Moving { stage, .. } => format!("{stage:?}"),
                    _ => String::new(),
                };
                (u16::from(uses.quota) + 1, waits, stage)
            }
            _ => (0, "nothing".to_owned(), String::new()),
        };
        Some(
            facts
                .with("quota", quota)
                .with("isolation", life.place.wanted)
                .with("protected", life.is_protected)
                .with("waits for", waits)
                .with("moves", stage)
                .with("charged", charged(&life.works)),
        )
    }
}

impl Uses {
    const fn is_unsettled(&self) -> bool {
        !matches!(self.waits, Waits::Nothing)
    }
}

impl Life {
    fn bind_again(&self, asked: &Place) -> Foreseen {
        let quota = match &self.state {
            State::Pending { .. } => self.place.quota,
            State::Bound(uses, _) => uses.quota,
            State::Released { .. } => return LIFECYCLE,
        };
        // What the environment offers and keeps is its own business once the tenant has its place.
        let own = Place { quota, offered: asked.offered, reserved: asked.reserved, ..self.place.clone() };
        if own == *asked { Foreseen::Same } else { Foreseen::Refused("TEN-3") }
    }

    fn confirm(&mut self, committed: u8) -> Foreseen {
        match &mut self.state {
            State::Pending { .. } if committed < self.place.quota => TEN_2,
            State::Pending { .. } => {
                let uses = Uses { quota: self.place.quota, waits: Waits::Nothing };
                self.state = State::Bound(uses, Where::Home);
                Foreseen::Changes(vec!["RuntimeTenantBound"])
            }
            State::Released { .. } => LIFECYCLE,
            State::Bound(uses, _) => match uses.waits {
                Waits::Nothing => Foreseen::Same,
                Waits::More { quota, .. } if committed >= quota => {
                    let waits = if committed == quota { Waits::Nothing } else { Waits::Less };
                    *uses = Uses { quota, waits };
                    Foreseen::Changes(vec!["RuntimeTenantQuotaAdjusted"])
                }
                Waits::Less if committed == uses.quota => {
                    uses.waits = Waits::Nothing;
                    quietly()
                }
                Waits::More { .. } | Waits::Less => TEN_2,
            },
        }
    }

    fn adjust(&mut self, quota: u8, reserved: Option<u8>, now: i64) -> Foreseen {
        let charged = charged(&self.works);
        let State::Bound(uses, _) = &mut self.state else { return LIFECYCLE };
        match uses.waits {
            Waits::More { quota: asked, .. } if asked == quota => Foreseen::Same,
            Waits::More { .. } => LIFECYCLE,
            _ if uses.quota == quota => Foreseen::Same,
            _ if charged > u16::from(quota) + 1 => TEN_2,
            _ if uses.quota > quota => {
                *uses = Uses { quota, waits: Waits::Less };
                Foreseen::Changes(vec!["RuntimeTenantQuotaAdjusted"])
            }
            _ if reserved.is_some_and(|reserved| reserved >= quota) => {
                uses.waits = Waits::More { quota, until: now + RESERVED_FOR };
                quietly()
            }
            _ => TEN_2,
        }
    }

    fn cordon(&mut self, reason: &str) -> Foreseen {
        match &mut self.state {
            State::Bound(_, Where::Home) if !text::is_reason(reason) => CONTENT,
            State::Bound(_, place @ Where::Home) => {
                *place = Where::Cordoned;
                quietly()
            }
            State::Bound(..) => Foreseen::Same,
            _ => LIFECYCLE,
        }
    }

    fn protect(&mut self, wanted: bool) -> Foreseen {
        match &self.state {
            State::Released { .. } => LIFECYCLE,
            _ if self.is_protected == wanted => Foreseen::Same,
            State::Pending { .. } | State::Bound(_, Where::Moving { .. }) if wanted => LIFECYCLE,
            _ => {
                self.is_protected = wanted;
                quietly()
            }
        }
    }

    fn begin_move(&mut self, target: Target, observe: i64, now: i64) -> Foreseen {
        if target == Target::Foreign {
            return Foreseen::Refused("X-1");
        }
        match &mut self.state {
            State::Bound(_, Where::Moving { observe: own, .. })
                if target == Target::Silo && *own == observe =>
            {
                Foreseen::Same
            }
            State::Bound(_, Where::Home) if self.is_protected => LIFECYCLE,
            State::Bound(_, place @ Where::Home) => {
                let leads_nowhere =
                    self.place.wanted == SILO || matches!(target, Target::Pool | Target::Here);
                if leads_nowhere {
                    return Foreseen::Refused("TEN-1");
                }
                if target == Target::Cordoned {
                    return LIFECYCLE;
                }
                *place = Where::Moving { stage: Stage::Replicating, since: now, observe };
                quietly()
            }
            _ => LIFECYCLE,
        }
    }

    fn step(&mut self, is_next: bool, is_done: bool, now: i64) -> Foreseen {
        use Stage::{Cordoning, Observing, Releasing, Replicating, Switching, SwitchingBack, Uncordoning};
        let State::Bound(_, Where::Moving { stage, since, observe }) = &self.state else { return LIFECYCLE };
        let is_early = *stage == Observing && is_done && now < since + observe;
        let leaves_something = *stage == Releasing && is_done && !self.works.is_empty();
        if !is_next || is_early || leaves_something {
            return LIFECYCLE;
        }
        let turn = match (*stage, is_done) {
            (Replicating, true) => Turn::To(Switching),
            (Switching, true) => Turn::To(Observing),
            (Observing, true) => Turn::To(Cordoning),
            (Cordoning, true) => Turn::To(Releasing),
            (Releasing, true) => Turn::Gone,
            (Uncordoning, true) | (Switching | Observing, false) => Turn::To(SwitchingBack),
            (SwitchingBack, true) | (Replicating, false) => Turn::Home,
            (Cordoning | Releasing | Uncordoning | SwitchingBack, false) => Turn::Again,
        };
        self.turn(turn, now)
    }

    fn turn(&mut self, turn: Turn, now: i64) -> Foreseen {
        let State::Bound(_, place) = &mut self.state else { return LIFECYCLE };
        match (turn, &mut *place) {
            (Turn::To(next), Where::Moving { stage, since, .. }) => (*stage, *since) = (next, now),
            (Turn::Home, _) => *place = Where::Home,
            (Turn::Gone, _) => self.state = State::Released { is_returned: false },
            (Turn::Again | Turn::To(_), _) => {}
        }
        quietly()
    }

    fn stay(&mut self, reason: &str, now: i64) -> Foreseen {
        let stage = match &self.state {
            State::Bound(_, Where::Home) => return Foreseen::Same,
            State::Bound(_, Where::Moving { stage, .. }) => *stage,
            _ => return LIFECYCLE,
        };
        let turn = match stage {
            Stage::Uncordoning | Stage::SwitchingBack => return Foreseen::Same,
            Stage::Releasing => return LIFECYCLE,
            _ if !text::is_reason(reason) => return CONTENT,
            Stage::Replicating => Turn::Home,
            Stage::Switching | Stage::Observing => Turn::To(Stage::SwitchingBack),
            Stage::Cordoning => Turn::To(Stage::Uncordoning),
        };
        self.turn(turn, now)
    }

    fn release(&mut self, reason: &str) -> Foreseen {
        match &self.state {
            State::Released { .. } => Foreseen::Same,
            _ if self.is_protected => LIFECYCLE,
            State::Bound(_, Where::Home | Where::Moving { .. }) => LIFECYCLE,
            _ if !self.works.is_empty() => LIFECYCLE,
            _ if !text::is_reason(reason) => CONTENT,
            _ => {
                self.state = State::Released { is_returned: false };
                quietly()
            }
        }
    }

    fn admit(&mut self, deployment: u8, module: u8, amount: u8) -> Foreseen {
        let State::Bound(uses, Where::Home) = &self.state else { return LIFECYCLE };
        let brought: Vec<(u8, u8)> = self
            .works
            .iter()
            .filter_map(|(module, (_, coming))| {
                coming.filter(|coming| coming.0 == deployment).map(|coming| (*module, coming.1))
            })
            .collect();
        if brought == [(module, amount)] {
            return Foreseen::Same;
        }
        if !brought.is_empty() || self.works.get(&module).is_some_and(|(_, coming)| coming.is_some()) {
            return LIFECYCLE;
        }
        let mut works = self.works.clone();
        works.entry(module).or_default().1 = Some((deployment, amount));
        if charged(&works) > u16::from(uses.quota) + 1 {
            return TEN_2;
        }
        self.works = works;
        quietly()
    }

    fn settle(&mut self, deployment: u8, is_kept: bool) -> Foreseen {
        let mut is_known = false;
        for (serving, coming) in self.works.values_mut() {
            if let Some((_, amount)) = coming.filter(|coming| coming.0 == deployment) {
                is_known = true;
                *coming = None;
                if is_kept {
                    *serving = Some(amount);
                }
            }
        }
        self.works.retain(|_, entry| *entry != (None, None));
        if is_known { quietly() } else { Foreseen::Same }
    }

    fn scale(&mut self, module: u8, amount: u8) -> Foreseen {
        let State::Bound(uses, _) = &self.state else { return Foreseen::Same };
        let Some((Some(serving), coming)) = self.works.get(&module).copied() else { return Foreseen::Same };
        if serving == amount {
            return Foreseen::Same;
        }
        let mut works = self.works.clone();
        works.insert(module, (Some(amount), coming));
        if amount > serving && charged(&works) > u16::from(uses.quota) + 1 {
            return TEN_2;
        }
        self.works = works;
        quietly()
    }

    fn tick(&mut self, now: i64) -> Foreseen {
        match &mut self.state {
            State::Pending { until } if *until <= now => {
                self.state = State::Released { is_returned: false };
                quietly()
            }
            State::Bound(Uses { waits: waits @ Waits::More { .. }, .. }, _) => {
                let Waits::More { until, .. } = waits else { return Foreseen::Same };
                if *until > now {
                    return Foreseen::Same;
                }
                *waits = Waits::Less;
                quietly()
            }
            _ => Foreseen::Same,
        }
    }
}

fn charged(works: &Works) -> u16 {
    let each = works
        .values()
        .map(|(serving, coming)| u16::from(serving.unwrap_or(0).max(coming.map_or(0, |(_, amount)| amount))));
    each.sum()
}

fn claims(place: &Place) -> BTreeSet<String> {
    let tenant = if place.is_own { 1 } else { 2 };
    let environment = format!("env_{:032x}", 1);
    let mode = if place.wanted == SILO { "exclusive" } else { "shared" };
    let mut claims = BTreeSet::from([
        exclusive(format_args!("tenant/ten_{tenant:032x}/{environment}")),
        format!("occupancy/{environment} {mode} global"),
        format!("partition/{environment}/data/data-{} exclusive global", place.partition),
    ]);
    if place.wanted != SHARED {
        claims.insert(format!("partition/{environment}/network/net-{} exclusive global", place.partition));
    }
    claims
}
