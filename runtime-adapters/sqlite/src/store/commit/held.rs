//! Modules and claims: what an aggregate is found by, and what it keeps others from taking.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::claim::{Claim, ClaimMode, ClaimSpace};
use runtime_domain::id::TenantId;
use runtime_ports::store::{AggregateWrite, CommitError};
use rusqlite::Connection;
use uuid::Uuid;

use super::prepared::Prepared;
use super::{OPERATION, Present};
use crate::error::During;
use crate::store::row::{self, Address, execute, rows, statement};

/// What one write takes and gives up.
#[derive(Debug, Default)]
pub(super) struct Change {
    taken: Vec<Claim>,
    given_up: Vec<Claim>,
    modules_gained: Vec<String>,
    modules_lost: Vec<String>,
}

/// Judges the claims of all writes by the state after the commit: one may take what another gives up.
pub(super) fn judge(
    connection: &Connection,
    tenant: TenantId,
    prepared: &Prepared,
    presents: &[Option<Present>],
) -> Result<Vec<Change>, CommitError> {
    let writes = &prepared.commit.writes;
    let mut changes = Vec::with_capacity(writes.len());
    for ((write, held), present) in writes.iter().zip(&prepared.held).zip(presents) {
        changes.push(match present {
            None => Change::first(write),
            Some(present) if present.held == *held => Change::default(),
            Some(_) => Change::later(connection, tenant, write).during(OPERATION)?,
        });
    }
    let freed: BTreeSet<(Address, ClaimSpace, &str)> = writes
        .iter()
        .zip(&changes)
        .flat_map(|(write, change)| {
            let address = Address::new(tenant, write.key);
            change.given_up.iter().map(move |claim| (address, claim.space, claim.key.as_str()))
        })
        .collect();
    // Whether each key that the commit takes is shared.
    let mut taken: BTreeMap<(ClaimSpace, &str), bool> = BTreeMap::new();
    for claim in changes.iter().flat_map(|change| &change.taken) {
        let shared = claim.mode == ClaimMode::Shared;
        let among_themselves = taken.insert((claim.space, &claim.key), shared);
        let clashes = among_themselves.is_some_and(|other| !(shared && other))
            || is_held(connection, tenant, claim, &freed).during(OPERATION)?;
        if clashes {
            return Err(CommitError::ClaimHeld { claim: claim.clone() });
        }
    }
    Ok(changes)
}

/// Whether another holds the key so that it cannot be taken, once what is freed is.
fn is_held(
    connection: &Connection,
    tenant: TenantId,
    claim: &Claim,
    freed: &BTreeSet<(Address, ClaimSpace, &str)>,
) -> rusqlite::Result<bool> {
    let sql =
        "SELECT tenant, kind, id FROM claims WHERE space = ?1 AND key = ?2 AND NOT (shared AND ?3) LIMIT ?4";
    // One more than the commit frees: one of them at least is another's, where there are so many.
    let most = i64::try_from(freed.len()).unwrap_or(i64::MAX).saturating_add(1);
    let mut statement = statement(connection, sql)?;
    let shared = claim.mode == ClaimMode::Shared;
    let mut holders = statement.query((space(tenant, claim), &claim.key, shared, most))?;
    while let Some(row) = holders.next()? {
        let (holder, key) = row::aggregate(row)?;
        if !freed.contains(&(Address::new(holder, key), claim.space, &claim.key)) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Change {
    fn first(write: &AggregateWrite) -> Self {
        Self {
            taken: write.claims.iter().cloned().collect(),
            modules_gained: write.facets.modules.iter().map(|module| module.as_str().to_owned()).collect(),
            ..Self::default()
        }
    }

    fn later(connection: &Connection, tenant: TenantId, write: &AggregateWrite) -> rusqlite::Result<Self> {
        let address = Address::new(tenant, write.key);
        let held = held_claims(connection, address)?;
        let sql =
            "SELECT module, environment FROM aggregate_modules WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
        let modules: BTreeSet<(String, Uuid)> =
            rows(&mut *statement(connection, sql)?, &address.and([]), |row| {
                Ok((row.get(0)?, row::uuid(row, 1)?))
            })?
            .into_iter()
            .collect();
        let environment = write.facets.environment.uuid();
        let wanted: BTreeSet<(String, Uuid)> =
            write.facets.modules.iter().map(|module| (module.as_str().to_owned(), environment)).collect();
        let names = |of: &BTreeSet<(String, Uuid)>, without: &BTreeSet<(String, Uuid)>| {
            of.difference(without).map(|(module, _)| module.clone()).collect()
        };
        Ok(Self {
            taken: write.claims.difference(&held).cloned().collect(),
            given_up: held.difference(&write.claims).cloned().collect(),
            modules_gained: names(&wanted, &modules),
            modules_lost: names(&modules, &wanted),
        })
    }
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

/// Gives up first what any of the writes no longer claims, so that another of them may take it. The aggregates are there already.
pub(super) fn put(
    connection: &Connection,
    tenant: TenantId,
    writes: &[AggregateWrite],
    changes: &[Change],
) -> rusqlite::Result<()> {
    for (write, change) in writes.iter().zip(changes) {
        let address = Address::new(tenant, write.key);
        for claim in &change.given_up {
            let sql =
                "DELETE FROM claims WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND space = ?4 AND key = ?5";
            execute(connection, sql, &address.and([&space(tenant, claim), &claim.key]))?;
        }
        for module in &change.modules_lost {
            let sql =
                "DELETE FROM aggregate_modules WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND module = ?4";
            execute(connection, sql, &address.and([module]))?;
        }
        for module in &change.modules_gained {
            let sql = "INSERT INTO aggregate_modules (tenant, kind, id, module, environment, created)
                 SELECT tenant, kind, id, ?4, environment, created FROM aggregates
                 WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
            execute(connection, sql, &address.and([module]))?;
        }
    }
    for (write, change) in writes.iter().zip(changes) {
        let address = Address::new(tenant, write.key);
        for claim in &change.taken {
            let sql =
                "INSERT INTO claims (tenant, kind, id, space, key, shared) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let shared = claim.mode == ClaimMode::Shared;
            execute(connection, sql, &address.and([&space(tenant, claim), &claim.key, &shared]))?;
        }
    }
    Ok(())
}

/// The column `space` of a claim.
fn space(tenant: TenantId, claim: &Claim) -> Vec<u8> {
    match claim.space {
        ClaimSpace::Tenant => tenant.uuid().as_bytes().to_vec(),
        ClaimSpace::Global => Vec::new(),
    }
}
