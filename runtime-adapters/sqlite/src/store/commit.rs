//! Commits. Within a savepoint, so that a refusal may come after changes: the writer undoes them.

use std::collections::BTreeSet;

use runtime_domain::claim::{Claim, ClaimMode, ClaimSpace};
use runtime_domain::id::TenantId;
use runtime_ports::store::{
    AggregateWrite, Commit, CommitError, CommitReceipt, EvidenceCheck, Expected, HistoryEntry, InboxEntry,
    Wanted,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use rusqlite::{Connection, OptionalExtension};

use super::lease;
use super::row::{self, Address, execute, number, rows, statement, unsigned};
use crate::error::During;

const OPERATION: &str = "store.commit";

/// Performs a commit whose form was checked.
pub(super) fn perform(
    connection: &Connection,
    tenant: TenantId,
    commit: &Commit,
) -> Result<CommitReceipt, CommitError> {
    if let Some(entry) = &commit.inbox
        && !first_time(connection, tenant, entry)?
    {
        return Err(CommitError::AlreadyHandled);
    }
    if let Some(lease) = &commit.lease
        && (lease.tenant != tenant || !lease::holds(connection, lease).during(OPERATION)?)
    {
        return Err(CommitError::LeaseLost { key: lease.key });
    }
    for check in &commit.evidence {
        check_evidence(connection, tenant, check)?;
    }
    let mut sequences = Vec::with_capacity(commit.writes.len());
    for write in &commit.writes {
        sequences.push(check_revision(connection, tenant, write)?);
    }
    for (write, newest) in commit.writes.iter().zip(sequences) {
        check_sequence(write, newest)?;
    }
    for write in &commit.writes {
        let address = Address::new(tenant, write.key);
        put_aggregate(connection, address, write).during(OPERATION)?;
        put_modules(connection, address, write).during(OPERATION)?;
        append_history(connection, address, &write.history).during(OPERATION)?;
        append_outbox(connection, address, write).during(OPERATION)?;
    }
    put_claims(connection, tenant, &commit.writes)?;
    Ok(CommitReceipt { revisions: commit.writes.iter().map(|write| write.expected.result()).collect() })
}

fn first_time(connection: &Connection, tenant: TenantId, entry: &InboxEntry) -> PortResult<bool> {
    let sql = "INSERT OR IGNORE INTO inbox (tenant, consumer, event_id) VALUES (?1, ?2, ?3)";
    let (tenant, event) = (tenant.uuid(), entry.event.uuid());
    execute(connection, sql, &[tenant.as_bytes(), &entry.consumer.as_str(), event.as_bytes()])
        .map(|inserted| inserted == 1)
        .during(OPERATION)
}

/// An aggregate's revision and the sequence of its newest history entry.
fn present(connection: &Connection, address: Address) -> PortResult<Option<(u64, u64)>> {
    let sql = "SELECT revision, sequence FROM aggregates WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
    statement(connection, sql)
        .and_then(|mut statement| {
            let row =
                statement.query_row(&*address.and([]), |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)));
            row.optional()
        })
        .during(OPERATION)
}

fn check_evidence(
    connection: &Connection,
    tenant: TenantId,
    check: &EvidenceCheck,
) -> Result<(), CommitError> {
    let revision = present(connection, Address::new(tenant, check.key))?.map(|(revision, _)| revision);
    let holds = match check.wanted {
        Wanted::Exactly(wanted) => revision == Some(wanted.0),
        Wanted::AtLeast(wanted) => revision.is_some_and(|revision| revision >= wanted.0),
    };
    if holds { Ok(()) } else { Err(CommitError::EvidenceStale { key: check.key }) }
}

/// Returns the sequence of the aggregate's newest history entry, 0 where it is new.
fn check_revision(
    connection: &Connection,
    tenant: TenantId,
    write: &AggregateWrite,
) -> Result<u64, CommitError> {
    match (present(connection, Address::new(tenant, write.key))?, write.expected) {
        (None, Expected::Absent) => Ok(0),
        (Some((revision, sequence)), Expected::At(expected)) if revision == expected.0 => Ok(sequence),
        _ => Err(CommitError::Conflict { key: write.key }),
    }
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
    address: Address,
    write: &AggregateWrite,
) -> rusqlite::Result<usize> {
    let sql = match write.expected {
        Expected::Absent => {
            "INSERT INTO aggregates
                 (tenant, kind, id, created, revision, sequence, schema, environment, status, wake_at, body)
             VALUES (?1, ?2, ?3,
                 (SELECT coalesce(max(created), 0) + 1 FROM aggregates WHERE tenant = ?1 AND kind = ?2),
                 ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        }
        Expected::At(_) => {
            "UPDATE aggregates SET revision = ?4, sequence = ?5, schema = ?6, environment = ?7, status = ?8,
                 wake_at = ?9, body = ?10
             WHERE tenant = ?1 AND kind = ?2 AND id = ?3"
        }
    };
    let revision = number(write.expected.result().0);
    let sequence = number(write.history.last().map_or(0, |entry| entry.sequence));
    let environment = write.facets.environment.uuid();
    let wake_at = write.wake_at.map(row::future);
    let columns = address.and([
        &revision,
        &sequence,
        &write.record.schema,
        environment.as_bytes(),
        &write.facets.status,
        &wake_at,
        &write.record.body,
    ]);
    execute(connection, sql, &columns)
}

fn put_modules(connection: &Connection, address: Address, write: &AggregateWrite) -> rusqlite::Result<()> {
    let held: BTreeSet<String> = match write.expected {
        Expected::Absent => BTreeSet::new(),
        Expected::At(_) => {
            let sql = "SELECT module FROM aggregate_modules WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
            rows(&mut *statement(connection, sql)?, &address.and([]), |row| row.get(0))?.into_iter().collect()
        }
    };
    let wanted = || write.facets.modules.iter().map(|module| module.as_str());
    for gone in held.iter().filter(|module| !wanted().any(|wanted| wanted == module.as_str())) {
        let sql = "DELETE FROM aggregate_modules WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND module = ?4";
        execute(connection, sql, &address.and([gone]))?;
    }
    for new in wanted().filter(|module| !held.contains(*module)) {
        let sql = "INSERT INTO aggregate_modules (tenant, kind, id, module) VALUES (?1, ?2, ?3, ?4)";
        execute(connection, sql, &address.and([&new]))?;
    }
    Ok(())
}

fn append_history(
    connection: &Connection,
    address: Address,
    history: &[HistoryEntry],
) -> rusqlite::Result<()> {
    let mut insert = statement(
        connection,
        "INSERT INTO history
             (tenant, kind, id, sequence, event_id, event, body, at, actor, correlation, causation, explanation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for entry in history {
        let (id, correlation) = (entry.id.uuid(), entry.correlation.uuid());
        let causation = entry.causation.map(|event| *event.uuid().as_bytes());
        insert.execute(&*address.and([
            &number(entry.sequence),
            id.as_bytes(),
            &entry.event,
            &entry.body,
            &entry.at.to_rfc3339(),
            &entry.actor.as_str(),
            correlation.as_bytes(),
            &causation,
            &entry.explanation,
        ]))?;
    }
    Ok(())
}

fn append_outbox(connection: &Connection, address: Address, write: &AggregateWrite) -> rusqlite::Result<()> {
    for event in &write.outbox {
        let id = event.id.uuid();
        let sequence = number(event.sequence);
        let sql = "INSERT INTO outbox (tenant, kind, id, sequence, event_id, event_type, envelope)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let columns = address.and([&sequence, id.as_bytes(), &event.event_type, &event.envelope]);
        execute(connection, sql, &columns)?;
    }
    Ok(())
}

/// Gives up first what any of the writes no longer claims, so that another of them may take it.
fn put_claims(
    connection: &Connection,
    tenant: TenantId,
    writes: &[AggregateWrite],
) -> Result<(), CommitError> {
    let mut held = Vec::with_capacity(writes.len());
    for write in writes {
        let present = held_claims(connection, Address::new(tenant, write.key)).during(OPERATION)?;
        for gone in present.difference(&write.claims) {
            let sql =
                "DELETE FROM claims WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND space = ?4 AND key = ?5";
            let address = Address::new(tenant, write.key);
            execute(connection, sql, &address.and([&space(tenant, gone), &gone.key])).during(OPERATION)?;
        }
        held.push(present);
    }
    for (write, held) in writes.iter().zip(&held) {
        for claim in write.claims.difference(held) {
            take_claim(connection, tenant, write, claim)?;
        }
    }
    Ok(())
}

fn held_claims(connection: &Connection, address: Address) -> rusqlite::Result<BTreeSet<Claim>> {
    let sql = "SELECT key, shared, length(space) FROM claims WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
    let claims = rows(&mut *statement(connection, sql)?, &address.and([]), |row| {
        let mode = if row.get(1)? { ClaimMode::Shared } else { ClaimMode::Exclusive };
        let space = if row.get::<_, i64>(2)? == 0 { ClaimSpace::Global } else { ClaimSpace::Tenant };
        Ok(Claim { key: row.get(0)?, mode, space })
    })?;
    Ok(claims.into_iter().collect())
}

fn take_claim(
    connection: &Connection,
    tenant: TenantId,
    write: &AggregateWrite,
    claim: &Claim,
) -> Result<(), CommitError> {
    let address = Address::new(tenant, write.key);
    let (space, shared) = (space(tenant, claim), claim.mode == ClaimMode::Shared);
    // What the aggregate itself holds was given up: every row is another's.
    let clash = "SELECT 1 FROM claims WHERE space = ?1 AND key = ?2 AND NOT (shared AND ?3) LIMIT 1";
    let held = statement(connection, clash)
        .and_then(|mut statement| statement.exists((&space, &claim.key, shared)))
        .during(OPERATION)?;
    if held {
        return Err(CommitError::ClaimHeld { claim: claim.clone() });
    }
    let sql = "INSERT INTO claims (tenant, kind, id, space, key, shared) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    execute(connection, sql, &address.and([&space, &claim.key, &shared])).during(OPERATION)?;
    Ok(())
}

/// The column `space` of a claim.
fn space(tenant: TenantId, claim: &Claim) -> Vec<u8> {
    match claim.space {
        ClaimSpace::Tenant => tenant.uuid().as_bytes().to_vec(),
        ClaimSpace::Global => Vec::new(),
    }
}
