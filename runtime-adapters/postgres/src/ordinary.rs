//! The ordinary batch, in one plain statement: it changes aggregates that are there, and handles no event of an inbox.
//!
//! Most commits are of this sort, and judging them needs few looks: what each aggregate claims and is about must have stayed, which its row
//! tells by their digest. Where anything is not as it must be the statement fails and nothing of it happens; the function `commit` then
//! judges the same batch with care, and says what was wrong.
//!
//! Values are bound column by column, and unpacked where rows are made: rows of composite types cost more to bind than to store.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::LazyLock;

use postgres_types::private::BytesMut;
use postgres_types::{IsNull, Kind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::batch::Rows;

/// What the server's state says that is raised where a batch is not ordinary after all.
pub(crate) const NOT_ORDINARY: &str = "FR007";

/// A parameter with a value for each row. Where the statement asks for no array, it is the only row's value.
#[derive(Debug)]
struct Column<T>(Vec<T>);

impl<T: ToSql> ToSql for Column<T> {
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (wanted.kind(), self.0.first()) {
            (Kind::Array(_), _) => self.0.to_sql(wanted, out),
            (_, Some(only)) => only.to_sql(wanted, out),
            (_, None) => Ok(IsNull::Yes),
        }
    }

    fn accepts(wanted: &Type) -> bool {
        T::accepts(wanted) || <Vec<T>>::accepts(wanted)
    }

    to_sql_checked!();
}

/// What one statement takes.
#[derive(Debug)]
pub(crate) struct Ordinary<'c> {
    sql: &'static str,
    parameters: Vec<Box<dyn ToSql + Sync + Send + 'c>>,
}

impl<'c> Ordinary<'c> {
    /// The statement for these rows; `None` where they are not of this sort.
    pub(crate) fn of(rows: &Rows<'c>) -> Option<Self> {
        let is_ordinary = rows.inboxes.is_empty()
            && !rows.writes.is_empty()
            && rows.writes.iter().all(|write| write.replaced_revision > 0);
        if !is_ordinary {
            return None;
        }
        let shape = match (rows.writes.len(), rows.histories.len(), rows.events.len()) {
            (1, 1, 1) => Shape::OneEvent,
            (1, _, _) => Shape::OneWrite,
            _ => Shape::ManyWrites,
        };
        let form = Form { shape, is_conditional: !(rows.leases.is_empty() && rows.evidences.is_empty()) };
        Some(Self { sql: form.statement(), parameters: parameters(rows, form) })
    }

    pub(crate) const fn sql(&self) -> &'static str {
        self.sql
    }

    pub(crate) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync)).collect()
    }
}

/// How much it writes: what is there once is bound as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One aggregate with one entry of its history, which is published.
    OneEvent,
    /// One aggregate.
    OneWrite,
    ManyWrites,
}

/// Which statement it is.
#[derive(Debug, Clone, Copy)]
struct Form {
    shape: Shape,
    /// It rests on leases or evidence.
    is_conditional: bool,
}

impl Form {
    fn statement(self) -> &'static str {
        static STATEMENTS: LazyLock<[[String; 2]; 3]> = LazyLock::new(|| {
            [Shape::OneEvent, Shape::OneWrite, Shape::ManyWrites]
                .map(|shape| [false, true].map(|is_conditional| Form { shape, is_conditional }.made()))
        });
        let [one_event, one_write, many_writes] = &*STATEMENTS;
        let [plain, conditional] = match self.shape {
            Shape::OneEvent => one_event,
            Shape::OneWrite => one_write,
            Shape::ManyWrites => many_writes,
        };
        if self.is_conditional { conditional } else { plain }
    }

    const fn is_of_one(self) -> bool {
        !matches!(self.shape, Shape::ManyWrites)
    }

    /// What goes into the history and into the outbox, after the tenant; `kind` and `id` are those of the writes.
    fn events(self, next: &mut impl FnMut() -> usize, kind: &str, id: &str) -> (String, String) {
        let mut column = |kind: &str| match self.shape {
            Shape::OneEvent => format!("${}::{kind}", next()),
            _ => format!("unnest(${}::{kind}[])", next()),
        };
        let history =
            ["bigint", "uuid", "text", "text", "text", "text", "uuid", "uuid", "text", "bytea", "text"]
                .map(&mut column)
                .join(", ");
        let outbox = ["bigint", "uuid", "text", "text"].map(&mut column).join(", ");
        let mut of = |events: String| match self.is_of_one() {
            true => format!("{kind}, {id}, {events}"),
            false => format!("{}, {}, {events}", column("text"), column("uuid")),
        };
        (of(history), of(outbox))
    }

    /// The parameters are numbered as [`parameters`] gives them.
    fn made(self) -> String {
        let mut sql = String::new();
        let mut number = 1;
        let mut next = || {
            number += 1;
            number
        };
        // A column of the writes.
        let mut of_write = |kind: &str| match self.is_of_one() {
            true => format!("${}::{kind}", next()),
            false => format!("unnest(${}::{kind}[])", next()),
        };
        let [kind, id] = ["text", "uuid"].map(&mut of_write);
        let [replaced_revision, replaced_sequence, revision, sequence] = ["bigint"; 4].map(&mut of_write);
        let [replaced_digest, digest, schema, environment, status, facets, body, wake_at, publishes] =
            ["bytea", "bytea", "integer", "uuid", "text", "uuid", "text", "bigint", "boolean"]
                .map(&mut of_write);
        let (history, outbox) = self.events(&mut next, &kind, &id);
        // Whole arrays again.
        let array = |column: &str| match self.is_of_one() {
            true => format!("ARRAY[{column}]"),
            false => column.trim_start_matches("unnest(").trim_end_matches(')').to_owned(),
        };
        let many = match self.is_of_one() {
            true => "1".to_owned(),
            false => format!("cardinality({})", array(&id)),
        };
        let conditions = if self.is_conditional { conditions(&mut next) } else { String::new() };
        let due = [&kind, &id, &wake_at, &publishes].map(|column| array(column)).join(", ");
        let make_due = match self.is_of_one() {
            true => unless_due(&kind, &id, &wake_at, &publishes, &format!("make_due($1, {due})")),
            false => format!("make_due($1, {due})"),
        };
        // The tenant is named first: until then row-level security shows and takes nothing, and whatever is in the wrong order fails.
        // Locks come before rows, as everywhere.
        let _ = write!(
            sql,
            "WITH standing AS (
                INSERT INTO aggregates AS a (
                    tenant, kind, id, created, revision, sequence, digest, schema, environment, status, facets, replaced_revision,
                    replaced_sequence, replaced_digest, body
                )
                SELECT w.* FROM (
                    SELECT given.tenant, {kind}, {id} AS id, 0, {revision}, {sequence}, {digest}, {schema}, {environment}, {status},
                        {facets}, {replaced_revision}, {replaced_sequence}, {replaced_digest}, {body}
                    FROM (SELECT set_config('factory_runtime.tenant', $1::uuid::text, true)::uuid AS tenant) AS given{conditions}
                ) AS w
                WHERE pg_advisory_xact_lock_shared(aggregate_lock(w.id)) IS NOT NULL
                ON CONFLICT (tenant, kind, id) DO UPDATE
                SET revision = excluded.revision, sequence = excluded.sequence, digest = excluded.digest, schema = excluded.schema,
                    environment = excluded.environment, status = excluded.status, replaced_revision = excluded.replaced_revision,
                    replaced_sequence = excluded.replaced_sequence, replaced_facets = a.facets, body = excluded.body
                WHERE a.revision = excluded.replaced_revision AND a.sequence = excluded.replaced_sequence
                    AND a.digest = excluded.replaced_digest AND a.facets = excluded.facets
                RETURNING a.replaced_facets
            ), judged AS MATERIALIZED (
                -- What was not there has been made, and has replaced nothing.
                SELECT CASE WHEN count(replaced_facets) <> {many} THEN refuse_as_ordinary() END FROM standing
            ), remembered AS (
                INSERT INTO history (tenant, kind, id, sequence, event_id, event, body, at, actor, correlation, causation, explanation, digest,
                    trace_parent)
                SELECT $1, {history} FROM judged
            ), sent AS (
                INSERT INTO outbox (tenant, kind, id, sequence, event_id, event_type, envelope)
                SELECT $1, {outbox} FROM judged
            )
            SELECT {make_due} FROM judged"
        );
        sql
    }
}

/// Where one aggregate is due as it should be already, nothing is to be done. What is locked is read as it is now, and not as it was when the
/// statement began, before it had the aggregate's lock.
fn unless_due(kind: &str, id: &str, wake_at: &str, publishes: &str, otherwise: &str) -> String {
    format!(
        "CASE WHEN 1 + {publishes}::integer > (
                SELECT count(*) FROM (
                    SELECT k.topic, k.due_at FROM work AS k WHERE k.tenant = $1 AND k.kind = {kind} AND k.id = {id} FOR KEY SHARE
                ) AS k
                WHERE CASE k.topic WHEN 'work' THEN k.due_at IS NOT DISTINCT FROM {wake_at} ELSE {publishes} AND k.due_at IS NOT NULL END
            ) THEN {otherwise} END"
    )
}

/// Leases that are held and facts that still hold, looked up by their whole keys and locked until the commit is made.
fn conditions(next: &mut impl FnMut() -> usize) -> String {
    let mut columns = |names: &[(&str, &str)]| {
        let columns = names.iter().map(|(name, kind)| format!("unnest(${}::{kind}[]) AS {name}", next()));
        columns.collect::<Vec<_>>().join(", ")
    };
    let leases = columns(&[
        ("topic", "text"),
        ("kind", "text"),
        ("id", "uuid"),
        ("host", "uuid"),
        ("token", "bigint"),
    ]);
    let facts = columns(&[("kind", "text"), ("id", "uuid"), ("revision", "bigint"), ("is_exact", "boolean")]);
    format!(
        "
                    WHERE NOT EXISTS (
                        SELECT FROM (SELECT {leases}) AS l
                        WHERE pg_advisory_xact_lock_shared(aggregate_lock(l.id)) IS NULL OR (
                            SELECT true FROM work AS k
                            WHERE k.tenant = given.tenant AND k.kind = l.kind AND k.id = l.id AND k.topic = l.topic
                                AND k.host = l.host AND k.token = l.token
                            FOR SHARE
                        ) IS NULL
                    ) AND NOT EXISTS (
                        SELECT FROM (SELECT {facts}) AS f
                        WHERE (
                            SELECT true FROM aggregates AS a
                            WHERE a.tenant = given.tenant AND a.kind = f.kind AND a.id = f.id
                                AND (a.revision = f.revision OR (a.revision > f.revision AND NOT f.is_exact))
                            FOR SHARE
                        ) IS NULL
                    )"
    )
}

/// In the order in which [`Form::made`] numbers them.
fn parameters<'c>(rows: &Rows<'c>, form: Form) -> Vec<Box<dyn ToSql + Sync + Send + 'c>> {
    /// A column of some rows.
    macro_rules! column {
        ($rows:expr, $field:ident) => {
            Box::new(Column($rows.iter().map(|row| row.$field).collect::<Vec<_>>())) as Box<_>
        };
    }
    let Rows { writes, histories, events, leases, evidences, .. } = rows;
    let at: Vec<String> = histories.iter().map(|entry| entry.at.clone()).collect();
    let tenant: Uuid = rows.tenant;
    let mut parameters: Vec<Box<dyn ToSql + Sync + Send + 'c>> = vec![
        Box::new(tenant),
        column!(writes, kind),
        column!(writes, id),
        column!(writes, replaced_revision),
        column!(writes, replaced_sequence),
        column!(writes, revision),
        column!(writes, sequence),
        column!(writes, replaced_digest),
        column!(writes, digest),
        column!(writes, schema),
        column!(writes, environment),
        column!(writes, status),
        column!(writes, facets),
        column!(writes, body),
        column!(writes, wake_at),
        column!(writes, publishes),
        column!(histories, sequence),
        column!(histories, event_id),
        column!(histories, event),
        column!(histories, body),
        Box::new(Column(at)),
        column!(histories, actor),
        column!(histories, correlation),
        column!(histories, causation),
        column!(histories, explanation),
        column!(histories, digest),
        column!(histories, trace_parent),
        column!(events, sequence),
        column!(events, event_id),
        column!(events, event_type),
        column!(events, envelope),
    ];
    if !form.is_of_one() {
        parameters.extend([
            column!(histories, kind) as Box<dyn ToSql + Sync + Send + 'c>,
            column!(histories, id),
            column!(events, kind),
            column!(events, id),
        ]);
    }
    if form.is_conditional {
        parameters.extend([
            column!(leases, topic) as Box<dyn ToSql + Sync + Send + 'c>,
            column!(leases, kind),
            column!(leases, id),
            column!(leases, host),
            column!(leases, token),
            column!(evidences, kind),
            column!(evidences, id),
            column!(evidences, revision),
            column!(evidences, is_exact),
        ]);
    }
    parameters
}
