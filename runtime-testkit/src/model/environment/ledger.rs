//! Who holds how much of a capacity (TEN-2). One number stands for every unit: the story asks for the same of each.

use std::collections::BTreeMap;

use crate::model::Foreseen;

/// What is held, by binding.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    held: BTreeMap<u8, Held>,
}

#[derive(Debug, Clone)]
struct Held {
    tenant: u8,
    committed: Option<u8>,
    reserved: Option<(u8, i64)>,
}

/// What a reservation asks for.
pub(super) struct Wanted {
    pub(super) tenant: u8,
    pub(super) quota: u8,
    pub(super) until: i64,
}

/// The longest reservation, in seconds.
const LONGEST: i64 = 3_600;

impl Held {
    fn most(&self) -> Option<u8> {
        self.committed.max(self.reserved.map(|(quota, _)| quota))
    }
}

fn units(quota: Option<u8>) -> u32 {
    quota.map_or(0, |quota| u32::from(quota) + 1)
}

fn quietly() -> Foreseen {
    Foreseen::Changes(Vec::new())
}

impl Ledger {
    /// Whatever is decided, what has ended is given back first.
    fn at(&self, now: i64) -> Self {
        let mut held = self.held.clone();
        for entry in held.values_mut() {
            entry.reserved = entry.reserved.filter(|(_, until)| *until > now);
        }
        held.retain(|_, entry| entry.most().is_some());
        Self { held }
    }

    fn others(&self, binding: u8) -> u32 {
        self.held.iter().filter(|(other, _)| **other != binding).map(|(_, entry)| units(entry.most())).sum()
    }

    /// How much is held by all together, in units.
    pub(super) fn held(&self) -> u32 {
        self.held.values().map(|entry| units(entry.most())).sum()
    }

    pub(super) fn waits(&self) -> bool {
        self.held.values().any(|entry| entry.reserved.is_some())
    }

    pub(super) fn reserve(&mut self, binding: u8, wanted: Wanted, capacity: u8, now: i64) -> Foreseen {
        let Wanted { tenant, quota, until } = wanted;
        if until <= now || until > now + LONGEST {
            return Foreseen::Refused("CONTENT");
        }
        let mut next = self.at(now);
        let entry = next.held.get(&binding);
        if entry.is_some_and(|entry| entry.tenant != tenant) {
            return Foreseen::Refused("X-1");
        }
        let reserved = entry.and_then(|entry| entry.reserved);
        if reserved.is_some_and(|(own, end)| own == quota && end >= until) {
            return Foreseen::Same;
        }
        let committed = entry.and_then(|entry| entry.committed);
        if units(committed.max(Some(quota))) + next.others(binding) > units(Some(capacity)) {
            return Foreseen::Refused("TEN-2");
        }
        next.held.insert(binding, Held { tenant, committed, reserved: Some((quota, until)) });
        *self = next;
        quietly()
    }

    pub(super) fn commit(
        &mut self,
        binding: u8,
        tenant: u8,
        quota: u8,
        is_leaving: bool,
        now: i64,
    ) -> Foreseen {
        let mut next = self.at(now);
        let Some(entry) = next.held.get_mut(&binding) else { return Foreseen::Refused("TEN-2") };
        if entry.tenant != tenant {
            return Foreseen::Refused("X-1");
        }
        if entry.committed == Some(quota) && entry.reserved.is_none() {
            return Foreseen::Same;
        }
        if entry.most() < Some(quota) {
            return Foreseen::Refused("TEN-2");
        }
        if is_leaving && entry.committed < Some(quota) {
            return Foreseen::Refused("LIFECYCLE");
        }
        entry.committed = Some(quota);
        entry.reserved = None;
        *self = next;
        quietly()
    }

    pub(super) fn give_back(&mut self, binding: u8, tenant: u8) -> Foreseen {
        match self.held.get(&binding) {
            None => Foreseen::Same,
            Some(entry) if entry.tenant != tenant => Foreseen::Refused("X-1"),
            Some(_) => {
                self.held.remove(&binding);
                quietly()
            }
        }
    }

    pub(super) fn tick(&mut self, now: i64) -> Foreseen {
        let next = self.at(now);
        let has_ended = self.held.values().any(|entry| entry.reserved.is_some_and(|(_, until)| until <= now));
        *self = next;
        if has_ended { quietly() } else { Foreseen::Same }
    }

    /// Whether another capacity is enough; if so, what has ended is given back.
    pub(super) fn resize(&mut self, capacity: u8, now: i64) -> bool {
        let next = self.at(now);
        let fits = next.held() <= units(Some(capacity));
        if fits {
            *self = next;
        }
        fits
    }
}
