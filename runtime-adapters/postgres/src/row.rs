//! Values as columns and back: the composite types of the schema, field by field.

use postgres_types::ToSql;
use runtime_domain::time::Timestamp;
use runtime_ports::store::LeaseTopic;
use uuid::Uuid;

#[derive(Debug, ToSql)]
#[postgres(name = "inbox_row")]
pub(crate) struct InboxRow<'c> {
    pub(crate) consumer: &'c str,
    pub(crate) event_id: Uuid,
}

#[derive(Debug, ToSql)]
#[postgres(name = "lease_row")]
pub(crate) struct LeaseRow {
    pub(crate) topic: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
    pub(crate) host: Uuid,
    pub(crate) token: i64,
}

#[derive(Debug, ToSql)]
#[postgres(name = "evidence_row")]
pub(crate) struct EvidenceRow {
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
    pub(crate) revision: i64,
    pub(crate) is_exact: bool,
}

#[derive(Debug, ToSql)]
#[postgres(name = "write_row")]
pub(crate) struct WriteRow<'c> {
    pub(crate) place: i32,
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
    /// 0 where the aggregate is new.
    pub(crate) replaced_revision: i64,
    /// 0 where the aggregate is new.
    pub(crate) replaced_sequence: i64,
    /// `None` where the aggregate is new.
    pub(crate) replaced_digest: Option<&'c [u8]>,
    pub(crate) revision: i64,
    pub(crate) sequence: i64,
    pub(crate) digest: &'c [u8],
    pub(crate) schema: i32,
    pub(crate) environment: Uuid,
    pub(crate) status: &'c str,
    pub(crate) wake_at: Option<i64>,
    pub(crate) publishes: bool,
    /// A digest of modules and claims.
    pub(crate) facets: Uuid,
    pub(crate) body: &'c str,
}

#[derive(Debug, ToSql)]
#[postgres(name = "module_row")]
pub(crate) struct ModuleRow<'c> {
    pub(crate) write: i32,
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
    pub(crate) module: &'c str,
}

#[derive(Debug, ToSql)]
#[postgres(name = "claim_row")]
pub(crate) struct ClaimRow<'c> {
    pub(crate) place: i32,
    pub(crate) write: i32,
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
    /// `None` where the key is unique among all tenants'.
    pub(crate) space: Option<Uuid>,
    pub(crate) key: &'c str,
    pub(crate) shared: bool,
}

#[derive(Debug, ToSql)]
#[postgres(name = "history_row")]
pub(crate) struct HistoryRow<'c> {
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
    pub(crate) sequence: i64,
    pub(crate) event_id: Uuid,
    pub(crate) event: &'c str,
    pub(crate) body: &'c str,
    pub(crate) at: String,
    pub(crate) actor: &'c str,
    pub(crate) correlation: Uuid,
    pub(crate) causation: Option<Uuid>,
    pub(crate) explanation: &'c str,
    pub(crate) digest: &'c [u8],
    pub(crate) trace_parent: Option<&'c str>,
}

#[derive(Debug, ToSql)]
#[postgres(name = "outbox_row")]
pub(crate) struct OutboxRow<'c> {
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
    pub(crate) sequence: i64,
    pub(crate) event_id: Uuid,
    pub(crate) event_type: &'c str,
    pub(crate) envelope: &'c str,
}

pub(crate) fn topic(topic: LeaseTopic) -> &'static str {
    match topic {
        LeaseTopic::Work => "work",
        LeaseTopic::Outbox => "outbox",
    }
}

/// A count or number for a column. Numbers that no column can hold are taken as the largest: they compare the same with all that are stored.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The present time, to compare with stored ones: the last whole microsecond.
pub(crate) fn present(now: Timestamp) -> i64 {
    now.timestamp_micros()
}

/// A future time, for a column: rounded up to the next whole microsecond, so that nothing is due early.
pub(crate) fn future(at: Timestamp) -> i64 {
    let rounded = i64::from(!at.timestamp_subsec_nanos().is_multiple_of(1_000));
    at.timestamp_micros() + rounded
}

/// A stored time. The calendar's last microsecond was rounded up beyond its end.
pub(crate) fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        Timestamp::MIN_UTC
    } else {
        Timestamp::MAX_UTC
    })
}
