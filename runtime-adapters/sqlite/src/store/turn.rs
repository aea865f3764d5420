//! Whose turn it is: which tenants may have due work, and when each was served last.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use runtime_domain::id::{AggregateKind, TenantId};
use runtime_ports::store::{AggregateKey, LeaseRequest, LeaseTopic};
use rusqlite::Connection;

use super::row::{self, statement};

/// What can be leased, at the latest: for each topic, kind and tenant a time before which nothing of it is free.
///
/// It is kept beside the table `work`, so that a call finds the tenants with due work without looking at the others' or at anybody's backlog. A
/// time may be too early, which costs one look; it is never too late. It is read from the table when it is first asked for, and again
/// after a transaction was lost.
#[derive(Debug)]
pub(crate) struct Turns {
    known: Mutex<Option<Known>>,
    filled: Mutex<Filled>,
}

/// Streams of which it is certain that they are due, so that a commit to one need not look.
#[derive(Debug)]
struct Filled {
    streams: HashSet<(TenantId, AggregateKey)>,
    /// When the last one became due.
    newest: i64,
}

/// How many streams are remembered at most.
const REMEMBERED: usize = 16_384;

impl Default for Turns {
    fn default() -> Self {
        let filled = Filled { streams: HashSet::new(), newest: i64::MIN };
        Self { known: Mutex::default(), filled: Mutex::new(filled) }
    }
}

impl Turns {
    /// Whether it is certain that the aggregate is due for relaying.
    pub(super) fn is_filled(&self, tenant: TenantId, key: AggregateKey) -> bool {
        self.filled().streams.contains(&(tenant, key))
    }

    /// When the last stream became due.
    pub(super) fn newest(&self) -> i64 {
        self.filled().newest
    }

    /// The aggregate is due for relaying since `due_at`.
    pub(super) fn fill(&self, tenant: TenantId, key: AggregateKey, due_at: i64) {
        let mut filled = self.filled();
        if filled.streams.len() >= REMEMBERED {
            filled.streams.clear();
        }
        filled.streams.insert((tenant, key));
        filled.newest = filled.newest.max(due_at);
        drop(filled);
        self.free(LeaseTopic::Outbox, key.kind, tenant, due_at);
    }

    /// The aggregate is not due for relaying any more.
    pub(super) fn drained(&self, tenant: TenantId, key: AggregateKey) {
        self.filled().streams.remove(&(tenant, key));
    }

    fn filled(&self) -> MutexGuard<'_, Filled> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of the tenant is free from `at` on.
    pub(super) fn free(&self, topic: LeaseTopic, kind: AggregateKind, tenant: TenantId, at: i64) {
        if let Some(known) = &mut *self.known.lock().unwrap_or_else(PoisonError::into_inner) {
            known.line(topic, kind).lower(tenant, at);
        }
    }

    /// Whether it is certain that nothing can be taken: then the writer need not be asked.
    pub(super) fn nothing_waits(&self, request: &LeaseRequest) -> bool {
        let now = row::present(request.now);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().is_some_and(|known| {
            let of_kind = |kind: &AggregateKind| known.lines.get(&(request.topic, *kind));
            request.kinds.iter().filter_map(of_kind).all(|line| line.earliest().is_none_or(|at| at > now))
        })
    }

    /// A transaction was lost: what it raised may be too late.
    pub(crate) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.filled().streams.clear();
    }

    /// Does something with what is known. Only the writer's thread calls it: nothing changes meanwhile.
    pub(super) fn with<T>(
        &self,
        connection: &Connection,
        work: impl FnOnce(&mut Known) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out, so that a failure in the middle leaves nothing half raised.
        let mut present = known.take().map_or_else(|| Known::read(connection), Ok)?;
        let done = work(&mut present)?;
        *known = Some(present);
        Ok(done)
    }
}

#[derive(Debug, Default)]
pub(super) struct Known {
    lines: BTreeMap<(LeaseTopic, AggregateKind), Line>,
    /// When each tenant was served last, as a running number. Absent: never.
    served: BTreeMap<(LeaseTopic, TenantId), u64>,
    newest: u64,
    /// The token given out last, and up to which they are set aside in the table.
    token: u64,
    set_aside: u64,
}

/// The tenants with something of one topic and kind, by the time from which on it may be free.
#[derive(Debug, Default)]
struct Line {
    times: BTreeMap<TenantId, i64>,
    by_time: BTreeSet<(i64, TenantId)>,
}

impl Line {
    fn lower(&mut self, tenant: TenantId, at: i64) {
        if self.times.get(&tenant).is_none_or(|present| at < *present) {
            self.set(tenant, Some(at));
        }
    }

    fn earliest(&self) -> Option<i64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    fn set(&mut self, tenant: TenantId, at: Option<i64>) {
        let before = match at {
            Some(at) => self.times.insert(tenant, at),
            None => self.times.remove(&tenant),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, tenant));
        }
        if let Some(at) = at {
            self.by_time.insert((at, tenant));
        }
    }
}

impl Known {
    /// From tenant to tenant by the index: what each has costs nothing.
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "
            WITH RECURSIVE found (tenant) AS (
                SELECT (SELECT min(tenant) FROM work INDEXED BY work_free
                    WHERE topic = ?1 AND kind = ?2 AND free_at IS NOT NULL)
                UNION ALL
                SELECT (SELECT min(tenant) FROM work INDEXED BY work_free
                    WHERE topic = ?1 AND kind = ?2 AND tenant > found.tenant AND free_at IS NOT NULL)
                FROM found WHERE found.tenant IS NOT NULL
            )
            SELECT tenant, (SELECT min(free_at) FROM work
                WHERE topic = ?1 AND kind = ?2 AND work.tenant = found.tenant AND free_at IS NOT NULL)
            FROM found WHERE tenant IS NOT NULL";
        // What was set aside before may have been given out.
        let token = statement(connection, "SELECT newest FROM lease_tokens")?
            .query_row([], |row| row::unsigned(row, 0))?;
        let mut known = Self { token, set_aside: token, ..Self::default() };
        for topic in [LeaseTopic::Work, LeaseTopic::Outbox] {
            for kind in AggregateKind::ALL {
                let mut tenants = statement(connection, sql)?;
                let read =
                    |row: &rusqlite::Row<'_>| Ok((TenantId::from_uuid(row::uuid(row, 0)?), row.get(1)?));
                for found in tenants.query_map([row::topic(topic), kind.name()], read)? {
                    let (tenant, at) = found?;
                    known.line(topic, kind).lower(tenant, at);
                }
            }
        }
        Ok(known)
    }

    fn line(&mut self, topic: LeaseTopic, kind: AggregateKind) -> &mut Line {
        self.lines.entry((topic, kind)).or_default()
    }

    /// The tenants who may have something free at `now`, each with the kinds of it: who was served longest ago first, and among those who never
    /// were, who has waited longest.
    pub(super) fn waiting(
        &self,
        topic: LeaseTopic,
        kinds: &BTreeSet<AggregateKind>,
        now: i64,
    ) -> Vec<(TenantId, Vec<AggregateKind>)> {
        let mut tenants: BTreeMap<TenantId, (i64, Vec<AggregateKind>)> = BTreeMap::new();
        for kind in kinds {
            let Some(line) = self.lines.get(&(topic, *kind)) else { continue };
            for (at, tenant) in line.by_time.iter().take_while(|(at, _)| *at <= now) {
                let (earliest, kinds) = tenants.entry(*tenant).or_insert((*at, Vec::new()));
                *earliest = (*earliest).min(*at);
                kinds.push(*kind);
            }
        }
        let mut order: Vec<_> = tenants.into_iter().collect();
        order.sort_by_key(|(tenant, (earliest, _))| {
            (self.served.get(&(topic, *tenant)).copied().unwrap_or(0), *earliest)
        });
        order.into_iter().map(|(tenant, (_, kinds))| (tenant, kinds)).collect()
    }

    pub(super) fn tokens_left(&self) -> u64 {
        self.set_aside.saturating_sub(self.token)
    }

    /// Sets tokens aside, and returns up to which.
    pub(super) fn set_tokens_aside(&mut self, many: u64) -> u64 {
        self.set_aside = self.set_aside.saturating_add(many);
        self.set_aside
    }

    pub(super) fn next_token(&mut self) -> u64 {
        self.token += 1;
        self.token
    }

    pub(super) fn serve(&mut self, topic: LeaseTopic, tenant: TenantId) {
        self.newest += 1;
        self.served.insert((topic, tenant), self.newest);
    }

    /// From when on something of the tenant is free, as the table says; `None` where nothing ever is.
    pub(super) fn set(&mut self, topic: LeaseTopic, kind: AggregateKind, tenant: TenantId, at: Option<i64>) {
        self.line(topic, kind).set(tenant, at);
    }
}
