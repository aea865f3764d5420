//! Commits: first judged, by reading alone, then performed. What is refused has changed nothing, so that it spoils no other commit of its group.

use runtime_domain::bug;
use runtime_domain::envelope::TraceParent;
use runtime_domain::id::TenantId;
use runtime_domain::value::Revision;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    AggregateWrite, ChainDigest, Commit, CommitError, CommitReceipt, EvidenceCheck, Expected, InboxEntry,
    Wanted,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use rusqlite::{Connection, OptionalExtension};

use super::lease;
use super::row::{self, Address, execute, number, statement, unsigned};
use super::turn::Turns;
use crate::error::During;

mod held;
mod prepared;

pub(super) use prepared::Prepared;

const OPERATION: &str = "store.commit";

/// Performs a commit whose form was checked.
pub(super) fn perform(
    connection: &Connection,
    turns: &Turns,
    tenant: TenantId,
    prepared: &Prepared,
) -> Result<CommitReceipt, CommitError> {
    let commit = &prepared.commit;
    judge_conditions(connection, tenant, commit)?;
    if !update_unchanged(connection, tenant, prepared).during(OPERATION)? {
        let presents = judge_writes(connection, tenant, &commit.writes)?;
        let changes = held::judge(connection, tenant, prepared, &presents)?;
        for ((write, held), present) in commit.writes.iter().zip(&prepared.held).zip(&presents) {
            put_aggregate(connection, tenant, write, held, *present).during(OPERATION)?;
            let before = present.and_then(|present| present.wake_at);
            let wake_at = write.wake_at.map(row::future);
            if wake_at != before {
                lease::wake(connection, turns, tenant, write.key, wake_at).during(OPERATION)?;
            }
        }
        held::put(connection, tenant, &commit.writes, &changes).during(OPERATION)?;
    }
    for (write, times) in commit.writes.iter().zip(&prepared.times) {
        append_history(connection, turns, tenant, write, times).during(OPERATION)?;
    }
    if let Some(entry) = &commit.inbox {
        remember(connection, tenant, entry).during(OPERATION)?;
    }
    Ok(CommitReceipt { revisions: commit.writes.iter().map(|write| write.expected.result()).collect() })
}

fn judge_conditions(connection: &Connection, tenant: TenantId, commit: &Commit) -> Result<(), CommitError> {
    if let Some(entry) = &commit.inbox
        && was_handled(connection, tenant, entry).during(OPERATION)?
    {
        return Err(CommitError::AlreadyHandled);
    }
    if let Some(lease) = &commit.lease
        && (lease.tenant != tenant
            || !(bug!("two-leaders") || lease::holds(connection, lease).during(OPERATION)?))
    {
        return Err(CommitError::LeaseLost { key: lease.key });
    }
    commit.evidence.iter().try_for_each(|check| check_evidence(connection, tenant, check))
}

fn was_handled(connection: &Connection, tenant: TenantId, entry: &InboxEntry) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM inbox WHERE tenant = ?1 AND consumer = ?2 AND event_id = ?3";
    let (tenant, event) = (tenant.uuid(), entry.event.uuid());
    statement(connection, sql)?.exists((tenant.as_bytes(), entry.consumer.as_str(), event.as_bytes()))
}

fn remember(connection: &Connection, tenant: TenantId, entry: &InboxEntry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO inbox (tenant, consumer, event_id) VALUES (?1, ?2, ?3)";
    let (tenant, event) = (tenant.uuid(), entry.event.uuid());
    execute(connection, sql, &[tenant.as_bytes(), &entry.consumer.as_str(), event.as_bytes()]).map(drop)
}

fn check_evidence(
    connection: &Connection,
    tenant: TenantId,
    check: &EvidenceCheck,
) -> Result<(), CommitError> {
    let sql = "SELECT revision FROM aggregates WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
    let address = Address::new(tenant, check.key);
    let revision = statement(connection, sql)
        .and_then(|mut found| found.query_row(&*address.and([]), |row| unsigned(row, 0)).optional())
        .during(OPERATION)?;
    let holds = match check.wanted {
        Wanted::Exactly(wanted) => revision == Some(wanted.0),
        Wanted::AtLeast(wanted) => revision.is_some_and(|revision| revision >= wanted.0),
    };
    if holds { Ok(()) } else { Err(CommitError::EvidenceStale { key: check.key }) }
}

/// The most usual commit at one stroke: one aggregate, at the expected revision and sequence, which keeps what it is found, woken and claimed
/// by. `false` where the commit is not of that form: then nothing has happened, and it is judged step by step.
fn update_unchanged(
    connection: &Connection,
    tenant: TenantId,
    prepared: &Prepared,
) -> rusqlite::Result<bool> {
    let ([write], [held]) = (&*prepared.commit.writes, &*prepared.held) else { return Ok(false) };
    let (Expected::At { revision, digest }, Some(first), Some(last)) =
        (write.expected, write.history.first(), write.history.last())
    else {
        return Ok(false);
    };
    let sql = "UPDATE aggregates SET revision = ?4, sequence = ?5, schema = ?6, body = ?7, digest = ?14
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND revision = ?8 AND sequence = ?9
             AND held = ?10 AND environment = ?11 AND status = ?12 AND wake_at IS ?13 AND digest = ?15";
    let environment = write.facets.environment.uuid();
    let updated = execute(
        connection,
        sql,
        &Address::new(tenant, write.key).and([
            &number(revision.next().0),
            &number(last.sequence),
            &write.record.schema,
            &write.record.body,
            &number(revision.0),
            &number(first.sequence.saturating_sub(1)),
            held,
            environment.as_bytes(),
            &write.facets.status,
            &write.wake_at.map(row::future),
            last.digest.as_bytes(),
            digest.as_bytes(),
        ]),
    )?;
    Ok(updated == 1)
}

/// What is stored of an aggregate before it is written.
#[derive(Debug, Clone, Copy)]
struct Present {
    row: i64,
    expected_next: Expected,
    sequence: u64,
    wake_at: Option<i64>,
    held: [u8; 16],
}

/// What is stored of each write's aggregate, `None` where it is new. Every revision is judged before any history.
fn judge_writes(
    connection: &Connection,
    tenant: TenantId,
    writes: &[AggregateWrite],
) -> Result<Vec<Option<Present>>, CommitError> {
    let mut presents = Vec::with_capacity(writes.len());
    for write in writes {
        let present = present(connection, Address::new(tenant, write.key)).during(OPERATION)?;
        presents.push(match (present, write.expected) {
            (None, Expected::Absent) => None,
            (Some(present), expected @ Expected::At { .. }) if present.expected_next == expected => {
                Some(present)
            }
            _ => return Err(CommitError::Conflict { key: write.key }),
        });
    }
    for (write, present) in writes.iter().zip(&presents) {
        check_sequence(write, present.map_or(0, |present| present.sequence))?;
    }
    Ok(presents)
}

fn present(connection: &Connection, address: Address) -> rusqlite::Result<Option<Present>> {
    let sql = "SELECT rowid, revision, sequence, wake_at, held, digest FROM aggregates
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
    let read = |row: &rusqlite::Row<'_>| {
        let (revision, digest) = (Revision(unsigned(row, 1)?), ChainDigest::from_bytes(row.get(5)?));
        Ok(Present {
            row: row.get(0)?,
            expected_next: Expected::At { revision, digest },
            sequence: unsigned(row, 2)?,
            wake_at: row.get(3)?,
            held: row.get(4)?,
        })
    };
    statement(connection, sql)?.query_row(&*address.and([]), read).optional()
}

fn check_sequence(write: &AggregateWrite, newest: u64) -> PortResult<()> {
    if write.history.first().map(|entry| entry.sequence) == Some(newest + 1) {
        return Ok(());
    }
    let message = format!(
        "the history of {} has {newest} entries: the next must have number {}",
        write.key,
        newest + 1
    );
    Err(PortError::new(PortErrorKind::Invalid, OPERATION, message))
}

fn put_aggregate(
    connection: &Connection,
    tenant: TenantId,
    write: &AggregateWrite,
    held: &[u8; 16],
    present: Option<Present>,
) -> rusqlite::Result<()> {
    let revision = number(write.expected.result().0);
    let sequence = number(write.history.last().map_or(0, |entry| entry.sequence));
    let digest = write.history.last().map_or(ChainDigest::GENESIS, |entry| entry.digest);
    let environment = write.facets.environment.uuid();
    let wake_at = write.wake_at.map(row::future);
    let columns: [&dyn rusqlite::ToSql; 9] = [
        &revision,
        &sequence,
        digest.as_bytes(),
        &write.record.schema,
        environment.as_bytes(),
        &write.facets.status,
        &wake_at,
        held,
        &write.record.body,
    ];
    if let Some(present) = present {
        let sql =
            "UPDATE aggregates SET revision = ?1, sequence = ?2, digest = ?3, schema = ?4, environment = ?5, status = ?6,
                 wake_at = ?7, held = ?8, body = ?9 WHERE rowid = ?10";
        let row: [&dyn rusqlite::ToSql; 1] = [&present.row];
        return execute(connection, sql, &[&columns[..], &row].concat()).map(drop);
    }
    let sql = "INSERT INTO aggregates
             (tenant, kind, id, created, revision, sequence, digest, schema, environment, status, wake_at, held, body)
         VALUES (?1, ?2, ?3,
             (SELECT coalesce(max(created), 0) + 1 FROM aggregates WHERE tenant = ?1 AND kind = ?2),
             ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    execute(connection, sql, &Address::new(tenant, write.key).and(columns)).map(drop)
}

/// Appends the history, and to the outbox what others are told of it.
fn append_history(
    connection: &Connection,
    turns: &Turns,
    tenant: TenantId,
    write: &AggregateWrite,
    times: &[String],
) -> rusqlite::Result<()> {
    let address = Address::new(tenant, write.key);
    let mut insert = statement(
        connection,
        "INSERT INTO history (tenant, kind, id, sequence, event_id, position, event, body, at, actor, correlation, causation, explanation,
             digest, trace_parent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    for (entry, at) in write.history.iter().zip(times) {
        let (id, correlation) = (entry.id.uuid(), entry.correlation.uuid());
        let causation = entry.causation.map(|event| *event.uuid().as_bytes());
        let told = write.outbox.iter().find(|event| event.sequence == entry.sequence);
        let position = told.map(|event| append_envelope(connection, event)).transpose()?;
        insert.execute(&*address.and([
            &number(entry.sequence),
            id.as_bytes(),
            &position,
            &entry.event,
            &entry.body,
            at,
            &entry.actor.as_str(),
            correlation.as_bytes(),
            &causation,
            &entry.explanation,
            entry.digest.as_bytes(),
            &entry.trace_parent.as_ref().map(TraceParent::as_str),
        ]))?;
    }
    match write.outbox.iter().map(|event| event.sequence).min() {
        Some(first) => lease::fill_outbox(connection, turns, tenant, write.key, first),
        None => Ok(()),
    }
}

/// Returns the position.
fn append_envelope(connection: &Connection, event: &PublishedEvent) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO envelopes (event_id, event_type, envelope) VALUES (?1, ?2, ?3)";
    let id = event.id.uuid();
    statement(connection, sql)?.insert((id.as_bytes(), &event.event_type, &event.envelope))
}
