//! Leases.

use std::collections::BTreeSet;

use runtime_domain::id::{AggregateKind, TenantId};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Revision;
use runtime_ports::PortResult;
use runtime_ports::store::{AggregateKey, Lease, LeaseError, LeaseRequest, LeaseTopic};
use rusqlite::{Connection, OptionalExtension, Row, ToSql};

use super::row::{self, Address, execute, number, statement};
use super::turn::{Known, Turns};
use crate::error::During;
use crate::writer::Flush;

/// When a stream became due: the present, counted from below every time, so that it is due whatever the time is; and after `?4`, the newest of
/// those before, so that there is an order within a millisecond.
const SINCE_NOW: &str =
    "max(?4 + 1, -9223372036854775808 + CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)";

/// How many tokens are set aside at once, durably, so that giving them out need not wait for the disk.
const TOKENS: u64 = 10_000;

/// Takes leases, a share for every tenant before anybody's second share. Whoever was served longest ago comes first, so that none waits
/// for ever where there are more tenants than leases are asked for.
///
/// `None` where tokens must be set aside for it, and this write does not wait for the disk: a token that is given out is never forgotten.
pub(super) fn take(
    connection: &Connection,
    turns: &Turns,
    request: &LeaseRequest,
    flush: Flush,
) -> PortResult<Option<Vec<Lease>>> {
    let take = |known: &mut Known| {
        let kinds: BTreeSet<AggregateKind> = request.kinds.iter().copied().collect();
        let waiting = known.waiting(request.topic, &kinds, row::present(request.now));
        if waiting.is_empty() || request.limit == 0 {
            return Ok(Some(Vec::new()));
        }
        let most = u64::from(request.limit);
        if known.tokens_left() < most {
            if flush == Flush::Later {
                return Ok(None);
            }
            let set_aside = known.set_tokens_aside(TOKENS.saturating_add(most));
            execute(connection, "UPDATE lease_tokens SET newest = ?1", &[&number(set_aside)])?;
        }
        let mut taking = Taking { connection, known, request, taken: Vec::new() };
        taking.take(waiting)?;
        Ok(Some(taking.taken))
    };
    turns.with(connection, take).during("store.take_leases")
}

/// One call of [`take`].
struct Taking<'c> {
    connection: &'c Connection,
    known: &'c mut Known,
    request: &'c LeaseRequest,
    taken: Vec<Lease>,
}

impl Taking<'_> {
    fn take(&mut self, mut waiting: Vec<(TenantId, Vec<AggregateKind>)>) -> rusqlite::Result<()> {
        let most = usize::try_from(self.request.limit).unwrap_or(usize::MAX);
        while self.taken.len() < most && !waiting.is_empty() {
            let share = ((most - self.taken.len()) / waiting.len()).max(1);
            let mut with_more = Vec::new();
            for (tenant, kinds) in waiting {
                let share = share.min(most - self.taken.len());
                if share == 0 {
                    break;
                }
                if self.take_share(tenant, &kinds, share)? {
                    with_more.push((tenant, kinds));
                }
            }
            // What some did not need is for those who have more. Leases that have ended already would be given twice.
            waiting = if self.request.until > self.request.now { with_more } else { Vec::new() };
        }
        Ok(())
    }

    /// Takes at most `share` of the tenant's, the longest due first, and says whether there may be more.
    fn take_share(
        &mut self,
        tenant: TenantId,
        kinds: &[AggregateKind],
        share: usize,
    ) -> rusqlite::Result<bool> {
        let mut found = Vec::new();
        for kind in kinds {
            self.find(tenant, *kind, share, &mut found)?;
        }
        found.sort_unstable();
        found.truncate(share);
        for found in &found {
            self.grant(tenant, found)?;
        }
        if !found.is_empty() {
            self.known.serve(self.request.topic, tenant);
        }
        let may_have_more = found.len() == share;
        if !may_have_more {
            for kind in kinds {
                let next = self.next_free(tenant, *kind)?;
                self.known.set(self.request.topic, *kind, tenant, next);
            }
        }
        Ok(may_have_more)
    }

    fn find(
        &self,
        tenant: TenantId,
        kind: AggregateKind,
        most: usize,
        found: &mut Vec<Found>,
    ) -> rusqlite::Result<()> {
        let sql = "SELECT free_at, id, token FROM work
             WHERE topic = ?1 AND kind = ?2 AND tenant = ?3 AND free_at <= ?4 ORDER BY free_at, id LIMIT ?5";
        let (topic, now, tenant) =
            (row::topic(self.request.topic), row::present(self.request.now), tenant.uuid());
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let read = |row: &Row<'_>| {
            let key = AggregateKey { kind, id: row::uuid(row, 1)? };
            Ok(Found { free_at: row.get(0)?, key, token: row.get(2)? })
        };
        for row in statement(self.connection, sql)?
            .query_map((topic, kind.name(), tenant.as_bytes(), now, most), read)?
        {
            found.push(row?);
        }
        Ok(())
    }

    fn next_free(&self, tenant: TenantId, kind: AggregateKind) -> rusqlite::Result<Option<i64>> {
        let sql = "SELECT min(free_at) FROM work
             WHERE topic = ?1 AND kind = ?2 AND tenant = ?3 AND free_at IS NOT NULL";
        let tenant = tenant.uuid();
        statement(self.connection, sql)?
            .query_row((row::topic(self.request.topic), kind.name(), tenant.as_bytes()), |row| row.get(0))
    }

    fn grant(&mut self, tenant: TenantId, found: &Found) -> rusqlite::Result<()> {
        let key = found.key;
        let newest = self.known.next_token();
        let sql = "UPDATE work SET host = ?5, token = ?6, until = ?7
             WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = ?4
             RETURNING CASE topic WHEN 'work' THEN (
                 SELECT a.revision FROM aggregates AS a
                 WHERE a.tenant = work.tenant AND a.kind = work.kind AND a.id = work.id
             ) END";
        let (address, host) = (Address::new(tenant, key), self.request.host.uuid());
        let (topic, token) = (row::topic(self.request.topic), number(newest));
        let until = row::future(self.request.until);
        let columns = address.and([&topic, host.as_bytes(), &token, &until]);
        let revision: Option<Option<i64>> =
            statement(self.connection, sql)?.query_row(&*columns, |row| row.get(0)).optional()?;
        self.taken.push(Lease {
            topic: self.request.topic,
            tenant,
            key,
            host: self.request.host,
            token: FencingToken(newest),
            previous: found.token.and_then(|token| u64::try_from(token).ok()).map(FencingToken),
            revision: revision.flatten().and_then(|revision| u64::try_from(revision).ok()).map(Revision),
            until: self.request.until,
        });
        Ok(())
    }
}

/// What can be taken, from when on, and the token of the lease before. What can be taken first comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    free_at: i64,
    key: AggregateKey,
    token: Option<i64>,
}

/// Whether the lease is the present one. Time plays no part: an expired lease that nobody has taken is still good.
pub(super) fn holds(connection: &Connection, lease: &Lease) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM work
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = ?4 AND host = ?5 AND token = ?6";
    let (address, host) = (Address::new(lease.tenant, lease.key), lease.host.uuid());
    let (topic, token) = (row::topic(lease.topic), number(lease.token.0));
    let columns = address.and([&topic, host.as_bytes(), &token]);
    statement(connection, sql)?.exists(&*columns)
}

pub(super) fn renew(
    connection: &Connection,
    turns: &Turns,
    lease: &Lease,
    until: Timestamp,
) -> Result<Lease, LeaseError> {
    let sql = "UPDATE work SET until = ?7
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = ?4 AND host = ?5 AND token = ?6
         RETURNING free_at";
    // It may end earlier than before.
    if free(connection, turns, lease, sql, &[&row::future(until)]).during("store.renew_lease")? {
        Ok(Lease { until, ..lease.clone() })
    } else {
        Err(LeaseError::Lost { key: lease.key })
    }
}

pub(super) fn release(connection: &Connection, turns: &Turns, lease: &Lease) -> PortResult<()> {
    let sql = "UPDATE work SET host = NULL, until = NULL
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = ?4 AND host = ?5 AND token = ?6
         RETURNING free_at";
    free(connection, turns, lease, sql, &[]).map(drop).during("store.release_lease")
}

pub(super) fn defer(
    connection: &Connection,
    turns: &Turns,
    lease: &Lease,
    seen: Revision,
    wake_at: Timestamp,
) -> PortResult<()> {
    const OPERATION: &str = "store.defer_lease";
    if lease.topic != LeaseTopic::Work {
        return Ok(());
    }
    let sql = "UPDATE work SET host = NULL, until = NULL, due_at = CASE (
             SELECT revision FROM aggregates AS a
             WHERE a.tenant = work.tenant AND a.kind = work.kind AND a.id = work.id
         ) WHEN ?7 THEN ?8 ELSE due_at END
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = ?4 AND host = ?5 AND token = ?6
         RETURNING free_at";
    let (wake_at, seen) = (row::future(wake_at), number(seen.0));
    if free(connection, turns, lease, sql, &[&seen, &wake_at]).during(OPERATION)? {
        let sql = "UPDATE aggregates SET wake_at = ?4
             WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND revision = ?5 AND wake_at IS NOT ?4";
        let address = Address::new(lease.tenant, lease.key);
        execute(connection, sql, &address.and([&wake_at, &seen])).during(OPERATION)?;
    }
    Ok(())
}

/// Executes a statement that changes the lease's row and returns from when on it can be taken; `false` where the lease is lost.
fn free(
    connection: &Connection,
    turns: &Turns,
    lease: &Lease,
    sql: &str,
    others: &[&dyn ToSql],
) -> rusqlite::Result<bool> {
    let (address, host) = (Address::new(lease.tenant, lease.key), lease.host.uuid());
    let (topic, token) = (row::topic(lease.topic), number(lease.token.0));
    let mut columns = address.and([&topic, host.as_bytes(), &token]);
    columns.extend_from_slice(others);
    let free_at: Option<Option<i64>> =
        statement(connection, sql)?.query_row(&*columns, |row| row.get(0)).optional()?;
    if let Some(free_at) = free_at.flatten() {
        turns.free(lease.topic, lease.key.kind, lease.tenant, free_at);
    }
    Ok(free_at.is_some())
}

/// Makes an aggregate due for work at a time, or never.
pub(super) fn wake(
    connection: &Connection,
    turns: &Turns,
    tenant: TenantId,
    key: AggregateKey,
    at: Option<i64>,
) -> rusqlite::Result<()> {
    let address = Address::new(tenant, key);
    match at {
        Some(at) => {
            let sql = "INSERT INTO work (tenant, kind, id, topic, due_at) VALUES (?1, ?2, ?3, 'work', ?4)
                 ON CONFLICT DO UPDATE SET due_at = excluded.due_at";
            execute(connection, sql, &address.and([&at]))?;
            turns.free(LeaseTopic::Work, key.kind, tenant, at);
        }
        None => {
            let sql = "UPDATE work SET due_at = NULL
                 WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = 'work' AND due_at IS NOT NULL";
            execute(connection, sql, &address.and([]))?;
        }
    }
    Ok(())
}

/// Makes an aggregate due for relaying, to whose outbox events were added, `first` the first of them: unless it is already, for older ones.
pub(super) fn fill_outbox(
    connection: &Connection,
    turns: &Turns,
    tenant: TenantId,
    key: AggregateKey,
    first: u64,
) -> rusqlite::Result<()> {
    if turns.is_filled(tenant, key) {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO work (tenant, kind, id, topic, due_at, published) VALUES (?1, ?2, ?3, 'outbox', {SINCE_NOW}, ?5)
         ON CONFLICT DO UPDATE SET due_at = coalesce(due_at, excluded.due_at)
         RETURNING due_at"
    );
    let address = Address::new(tenant, key);
    let before = number(first.saturating_sub(1));
    let due_at = statement(connection, &sql)?
        .query_row(&*address.and([&turns.newest(), &before]), |row| row.get(0))?;
    turns.fill(tenant, key, due_at);
    Ok(())
}

/// Takes the events up to `sequence` out of an aggregate's outbox.
pub(super) fn leave_outbox(connection: &Connection, address: Address, sequence: i64) -> rusqlite::Result<()> {
    let positions = "DELETE FROM envelopes WHERE position IN (
             SELECT position FROM outbox WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND sequence <= ?4)";
    execute(connection, positions, &address.and([&sequence]))?;
    // Not beyond what there is: later events are still to be published.
    let sql = "UPDATE work SET published = max(published, (SELECT min(sequence, ?4) FROM aggregates
             WHERE tenant = ?1 AND kind = ?2 AND id = ?3))
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = 'outbox'";
    execute(connection, sql, &address.and([&sequence])).map(drop)
}

/// Makes an aggregate due for relaying, or not, as its outbox and those who are held say: to be called after either has changed.
pub(super) fn follow_outbox(
    connection: &Connection,
    turns: &Turns,
    tenant: TenantId,
    key: AggregateKey,
) -> rusqlite::Result<()> {
    let waits = "SELECT 1 FROM outbox
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND (
             sequence > coalesce((SELECT max(others) FROM held WHERE tenant = ?1 AND kind = ?2 AND id = ?3), 0)
             OR EXISTS (
                 SELECT 1 FROM held WHERE held.tenant = ?1 AND held.kind = ?2 AND held.id = ?3 AND held.parked_until IS NULL
                     AND outbox.sequence BETWEEN held.from_sequence AND held.others))";
    let address = Address::new(tenant, key);
    if statement(connection, waits)?.exists(&*address.and([]))? {
        // Behind those that wait already, so that one that is filled all the time does not keep the others from their turn.
        let sql = format!(
            "UPDATE work SET due_at = {SINCE_NOW}
             WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = 'outbox' RETURNING due_at"
        );
        let due_at =
            statement(connection, &sql)?.query_row(&*address.and([&turns.newest()]), |row| row.get(0))?;
        turns.fill(tenant, key, due_at);
    } else {
        turns.drained(tenant, key);
        let sql = "UPDATE work SET due_at = NULL
             WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND topic = 'outbox' AND due_at IS NOT NULL";
        execute(connection, sql, &address.and([]))?;
    }
    Ok(())
}

pub(super) fn next_due(connection: &Connection, kinds: &[AggregateKind]) -> PortResult<Option<Timestamp>> {
    // One look at the index for each kind: `min` over several would scan.
    let sql = "SELECT min(wake_at) FROM aggregates WHERE kind = ?1 AND wake_at IS NOT NULL";
    let earliest = kinds
        .iter()
        .map(|kind| statement(connection, sql)?.query_row([kind.name()], |row| row.get::<_, Option<i64>>(0)));
    let earliest: Vec<Option<i64>> = earliest.collect::<rusqlite::Result<_>>().during("store.next_due")?;
    Ok(earliest.into_iter().flatten().min().map(row::timestamp))
}
