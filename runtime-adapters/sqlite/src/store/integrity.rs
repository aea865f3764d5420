//! Whether the file is whole.

use rusqlite::Connection;

use super::row::rows;
use crate::error::During;
use runtime_ports::PortResult;

/// How thoroughly [`SqliteStore::check_integrity`](crate::SqliteStore::check_integrity) looks. Both read the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntegrityDepth {
    /// The file's pages alone (`PRAGMA quick_check`).
    Quick,
    /// The pages and that every index agrees with its table (`PRAGMA integrity_check`), what refers to nothing, and every other [`IntegrityRule`].
    Full,
}

/// What has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum IntegrityRule {
    /// The file's pages and indexes are whole.
    Pages,
    /// Claims, modules, history, leases and what is held for a destination belong to aggregates that exist, and modules are found where
    /// their aggregate is.
    References,
    /// An aggregate's history is numbered from 1 without gaps.
    HistoryGapless,
    /// An aggregate is at the sequence of its newest history entry.
    HistoryComplete,
    /// A key that is held exclusively is held once, and a tenant's key by that tenant.
    Claims,
    /// Whatever waits to be published is in the history, and whatever the history says is still to be told waits.
    Outbox,
    /// What is due can be taken: an aggregate is due when it says so, and so is a stream that has events for a
    /// destination that it is not parked for.
    Due,
    /// No lease has a token beyond the newest.
    Tokens,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntegrityFinding {
    /// The rule.
    pub rule: IntegrityRule,
    /// Where, for people: the row, by kind and identifier where it is an aggregate's, and what is wrong with it.
    pub detail: String,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a file that is not whole is to be restored from a backup"]
#[non_exhaustive]
pub struct IntegrityReport {
    /// What does not hold, at most 100 of each rule.
    pub findings: Vec<IntegrityFinding>,
}

impl IntegrityReport {
    /// Whether everything holds.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

const OPERATION: &str = "store.check_integrity";

const REFERENCES: &str = "SELECT \"table\" || ' has a row that refers to no row of ' || parent FROM pragma_foreign_key_check LIMIT 100";

/// Each asks for what does not hold, as one text.
const RULES: [(IntegrityRule, &str); 10] = [
    (IntegrityRule::References, REFERENCES),
    (
        IntegrityRule::References,
        "SELECT m.kind || '/' || lower(hex(m.id)) || ' is not found where it is by ' || m.module FROM aggregate_modules AS m
         JOIN aggregates AS a ON a.tenant = m.tenant AND a.kind = m.kind AND a.id = m.id
         WHERE (a.environment, a.created) <> (m.environment, m.created) LIMIT 100",
    ),
    (
        IntegrityRule::HistoryGapless,
        "SELECT kind || '/' || lower(hex(id)) || ' has ' || count(*) || ' entries, ' || min(sequence) || ' to ' || max(sequence)
         FROM history GROUP BY tenant, kind, id HAVING min(sequence) <> 1 OR max(sequence) <> count(*) LIMIT 100",
    ),
    (
        IntegrityRule::HistoryComplete,
        "SELECT a.kind || '/' || lower(hex(a.id)) || ' is at ' || a.sequence FROM aggregates AS a WHERE a.sequence IS NOT (
             SELECT max(h.sequence) FROM history AS h WHERE h.tenant = a.tenant AND h.kind = a.kind AND h.id = a.id) LIMIT 100",
    ),
    (
        IntegrityRule::Claims,
        "SELECT c.kind || '/' || lower(hex(c.id)) || ' holds a key that it may not' FROM claims AS c
         WHERE (length(c.space) > 0 AND c.space <> c.tenant) OR (NOT c.shared AND EXISTS (
             SELECT 1 FROM claims AS o WHERE o.space = c.space AND o.key = c.key
                 AND (o.tenant, o.kind, o.id) <> (c.tenant, c.kind, c.id))) LIMIT 100",
    ),
    (
        IntegrityRule::Outbox,
        "SELECT 'the history knows nothing of the event at ' || position FROM (
             SELECT position FROM envelopes EXCEPT SELECT position FROM outbox) LIMIT 100",
    ),
    (
        IntegrityRule::Outbox,
        "SELECT h.kind || '/' || lower(hex(h.id)) || ' has lost its event ' || h.sequence FROM history AS h
         LEFT JOIN work AS w ON w.topic = 'outbox' AND w.kind = h.kind AND w.tenant = h.tenant AND w.id = h.id
         LEFT JOIN envelopes AS e ON e.position = h.position AND e.event_id = h.event_id
         WHERE h.position IS NOT NULL AND e.position IS NULL AND h.sequence > coalesce(w.published, 0) LIMIT 100",
    ),
    (
        IntegrityRule::Due,
        "SELECT a.kind || '/' || lower(hex(a.id)) || ' is not due when it says' FROM aggregates AS a
         LEFT JOIN work AS w ON w.topic = 'work' AND w.kind = a.kind AND w.tenant = a.tenant AND w.id = a.id
         WHERE a.wake_at IS NOT w.due_at LIMIT 100",
    ),
    (
        IntegrityRule::Due,
        "SELECT DISTINCT w.kind || '/' || lower(hex(w.id)) || ' has events that nobody would publish' FROM work AS w
         JOIN outbox AS o ON o.kind = w.kind AND o.tenant = w.tenant AND o.id = w.id
         WHERE w.topic = 'outbox' AND w.due_at IS NULL AND (
             o.sequence > coalesce((SELECT max(t.others) FROM held AS t WHERE t.tenant = w.tenant AND t.kind = w.kind AND t.id = w.id), 0)
             OR EXISTS (
                 SELECT 1 FROM held AS t WHERE t.tenant = w.tenant AND t.kind = w.kind AND t.id = w.id AND t.parked_until IS NULL
                     AND o.sequence BETWEEN t.from_sequence AND t.others)) LIMIT 100",
    ),
    (
        IntegrityRule::Tokens,
        "SELECT kind || '/' || lower(hex(id)) || ' has the token ' || token FROM work
         WHERE token > (SELECT newest FROM lease_tokens) LIMIT 100",
    ),
];

/// Checks one state of the store: the last commit before it began.
pub(super) fn check(connection: &Connection, depth: IntegrityDepth) -> PortResult<IntegrityReport> {
    let transaction = connection.unchecked_transaction().during(OPERATION)?;
    let mut report = IntegrityReport::default();
    let pages = match depth {
        IntegrityDepth::Quick => "SELECT quick_check FROM pragma_quick_check WHERE quick_check <> 'ok'",
        IntegrityDepth::Full => {
            "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'"
        }
    };
    report.look(&transaction, IntegrityRule::Pages, pages)?;
    // What is built on broken pages says nothing.
    if depth == IntegrityDepth::Full && report.is_sound() {
        for (rule, sql) in RULES {
            report.look(&transaction, rule, sql)?;
        }
    }
    Ok(report)
}

impl IntegrityReport {
    fn look(&mut self, connection: &Connection, rule: IntegrityRule, sql: &str) -> PortResult<()> {
        // Not cached: a check is rare.
        let found = connection
            .prepare(sql)
            .and_then(|mut statement| rows(&mut statement, &[], |row| row.get::<_, String>(0)))
            .during(OPERATION)?;
        self.findings.extend(found.into_iter().map(|detail| IntegrityFinding { rule, detail }));
        Ok(())
    }
}
