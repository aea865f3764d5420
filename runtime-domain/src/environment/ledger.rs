//! Who holds how much of an environment's capacity.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::id::{TenantBindingId, TenantId};
use crate::tenancy::{QuotaUnit, ResourceQuota};
use crate::time::{Span, Timestamp};

/// What is held of an environment's capacity, by tenant binding.
///
/// Holding precedes use: a binding takes a quota only with proof that it is held here, and a quota is given back only with proof that the
/// binding does without. So the bindings of an environment never use more than is held, and:
/// - **TEN-2** what is held never exceeds the capacity, in each unit by itself: whatever is reserved is checked here, in whole numbers,
///   before it is held; a stored ledger that breaks it is not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaLedger {
    capacity: ResourceQuota,
    entries: BTreeMap<TenantBindingId, QuotaEntry>,
}

/// What one tenant binding holds: for each unit the larger of what is committed and what is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaEntry {
    /// The tenant that is bound.
    pub tenant: TenantId,
    /// What the binding may use until it says that it does without.
    pub committed: Option<ResourceQuota>,
    /// What is kept for the binding to ask for.
    pub reserved: Option<ReservedQuota>,
}

/// What is kept for a binding until it is committed, and given to others where it never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReservedQuota {
    /// How much.
    pub quota: ResourceQuota,
    /// Until just before when.
    pub until: Timestamp,
}

impl QuotaEntry {
    /// How much of one unit is held.
    pub fn held(&self, unit: QuotaUnit) -> u64 {
        self.quotas().map(|quota| quota.of(unit)).max().unwrap_or(0)
    }

    /// True where what is held is at least this much in every unit.
    pub fn covers(&self, quota: ResourceQuota) -> bool {
        QuotaUnit::ALL.into_iter().all(|unit| self.held(unit) >= quota.of(unit))
    }

    fn quotas(&self) -> impl Iterator<Item = ResourceQuota> {
        self.committed.into_iter().chain(self.reserved.map(|reserved| reserved.quota))
    }
}

/// Where a quota does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shortage {
    pub(super) unit: QuotaUnit,
    pub(super) wanted: u64,
    pub(super) free: u64,
}

impl QuotaLedger {
    /// The most bindings that hold something of one environment: the ledger is stored and loaded whole.
    pub const MOST_BINDINGS: usize = 1_000;
    /// The longest that something is reserved without being committed.
    pub const LONGEST_RESERVATION: Span = Span::from_secs(3_600);

    /// A ledger of which nothing is held.
    pub const fn new(capacity: ResourceQuota) -> Self {
        Self { capacity, entries: BTreeMap::new() }
    }

    /// How much there is.
    pub fn capacity(&self) -> ResourceQuota {
        self.capacity
    }

    /// What is held, by tenant binding. What is reserved counts until its expiry is recorded.
    pub fn entries(&self) -> &BTreeMap<TenantBindingId, QuotaEntry> {
        &self.entries
    }

    /// How much of one unit is held by all together. It is never more than the capacity (TEN-2).
    pub fn allocated(&self, unit: QuotaUnit) -> u64 {
        self.sum(unit, |_| true).unwrap_or(u64::MAX)
    }

    /// When the next reservation ends that is not committed; `None` where there is none.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.entries.values().filter_map(|entry| entry.reserved).map(|reserved| reserved.until).min()
    }

    fn sum(&self, unit: QuotaUnit, counted: impl Fn(TenantBindingId) -> bool) -> Option<u64> {
        let counted = self.entries.iter().filter(|(binding, _)| counted(**binding));
        counted.map(|(_, entry)| entry.held(unit)).try_fold(0, u64::checked_add)
    }

    /// The bindings whose reservations have ended.
    pub(super) fn expired(&self, now: Timestamp) -> BTreeSet<TenantBindingId> {
        let ended = |entry: &QuotaEntry| entry.reserved.is_some_and(|reserved| reserved.until <= now);
        self.entries.iter().filter(|(_, entry)| ended(entry)).map(|(binding, _)| *binding).collect()
    }

    /// The ledger without these reservations.
    pub(super) fn after_expiry(&self, expired: &BTreeSet<TenantBindingId>) -> Cow<'_, Self> {
        if expired.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut ledger = self.clone();
        ledger.expire(expired);
        Cow::Owned(ledger)
    }

    /// Where this would not fit if the binding held it beside what is committed to it.
    pub(super) fn shortage(&self, binding: TenantBindingId, wanted: ResourceQuota) -> Option<Shortage> {
        let committed = self.entries.get(&binding).and_then(|entry| entry.committed);
        let wanted = committed.map_or(wanted, |committed| committed.covering(wanted));
        QuotaUnit::ALL.into_iter().find_map(|unit| {
            let others = self.sum(unit, |other| other != binding).unwrap_or(u64::MAX);
            let free = self.capacity.of(unit).saturating_sub(others);
            (wanted.of(unit) > free).then(|| Shortage { unit, wanted: wanted.of(unit), free })
        })
    }

    /// Where more is held than this capacity.
    pub(super) fn excess(&self, capacity: ResourceQuota) -> Option<(QuotaUnit, u64)> {
        let held = QuotaUnit::ALL.into_iter().map(|unit| (unit, self.allocated(unit)));
        held.into_iter().find(|(unit, held)| *held > capacity.of(*unit))
    }

    pub(super) fn reserve(&mut self, binding: TenantBindingId, tenant: TenantId, reserved: ReservedQuota) {
        let vacant = QuotaEntry { tenant, committed: None, reserved: None };
        self.entries.entry(binding).or_insert(vacant).reserved = Some(reserved);
    }

    pub(super) fn commit(&mut self, binding: TenantBindingId, quota: ResourceQuota) -> Option<()> {
        let entry = self.entries.get_mut(&binding)?;
        entry.committed = Some(quota);
        entry.reserved = None;
        Some(())
    }

    pub(super) fn release(&mut self, binding: TenantBindingId) -> Option<()> {
        self.entries.remove(&binding).map(|_| ())
    }

    pub(super) fn expire(&mut self, bindings: &BTreeSet<TenantBindingId>) {
        for binding in bindings {
            if let Some(entry) = self.entries.get_mut(binding) {
                entry.reserved = None;
            }
        }
        self.entries.retain(|_, entry| entry.committed.is_some() || entry.reserved.is_some());
    }

    pub(super) fn resize(&mut self, capacity: ResourceQuota) {
        self.capacity = capacity;
    }
}

/// The stored form of a ledger, before it is checked. An environment that was stored without one has the largest capacity, and nothing held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuotaLedgerRecord {
    capacity: ResourceQuota,
    entries: BTreeMap<TenantBindingId, QuotaEntry>,
}

impl Default for QuotaLedgerRecord {
    fn default() -> Self {
        Self { capacity: ResourceQuota::LARGEST, entries: BTreeMap::new() }
    }
}

impl From<QuotaLedger> for QuotaLedgerRecord {
    fn from(ledger: QuotaLedger) -> Self {
        Self { capacity: ledger.capacity, entries: ledger.entries }
    }
}

impl QuotaLedgerRecord {
    pub(super) fn open(self) -> Result<QuotaLedger, String> {
        let ledger = QuotaLedger { capacity: self.capacity, entries: self.entries };
        if ledger.entries.len() > QuotaLedger::MOST_BINDINGS {
            return Err(format!("more than {} bindings hold a quota", QuotaLedger::MOST_BINDINGS));
        }
        if ledger.entries.values().any(|entry| entry.committed.is_none() && entry.reserved.is_none()) {
            return Err("a binding stands in the ledger and holds nothing".into());
        }
        match ledger.excess(ledger.capacity) {
            Some((unit, held)) => {
                Err(format!("{held} {unit} are held, and there are {}", ledger.capacity.of(unit)))
            }
            None => Ok(ledger),
        }
    }
}
