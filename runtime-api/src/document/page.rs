//! Lists, page by page, and histories.

use runtime_domain::id::{CorrelationId, EventId};
use runtime_domain::time::Timestamp;
use runtime_ports::store::{Cursor, HistoryEntry, Page as Listed, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::{Problem, ProblemKind};

/// How many are on a page where it is not said.
pub const USUAL: u32 = 100;
/// How many are on a page at the most.
pub const MOST: u32 = 500;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "{D}Page")]
pub struct Page<D> {
    /// What is on it.
    pub items: Vec<D>,
    /// Where the list goes on; none where it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<D> Page<D> {
    pub(crate) fn of<A>(page: Listed<A>, document: impl FnMut(&A) -> D) -> Self {
        Self {
            items: page.items.iter().map(document).collect(),
            next_cursor: page.next.map(|cursor| cursor.0),
        }
    }
}

/// The page's size, where it is one.
pub(crate) fn size(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(USUAL);
    if (1..=MOST).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("limit: a page has 1 to {MOST}");
    Err(Problem::new(ProblemKind::Malformed, detail))
}

/// The query, at the page that is asked for.
pub(crate) fn paged(query: Query, cursor: Option<String>, limit: Option<u32>) -> Result<Query, Problem> {
    Ok(Query { after: cursor.map(Cursor), limit: size(limit)?, ..query })
}

/// What happened to something, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// One entry of a history: who did what, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "HistoryEntry")]
pub struct Entry {
    /// Its number, from 1, without gaps.
    pub sequence: u64,
    /// The event's identifier; the published event, where there is one, has the same.
    pub event_id: EventId,
    /// The event's name.
    pub event: String,
    /// When it was decided.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: String,
    /// Why it was decided.
    pub explanation: String,
    /// The chain of work.
    pub correlation_id: CorrelationId,
    /// The event that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<EventId>,
    /// What the history comes to with it.
    pub digest: String,
}

impl Entry {
    pub(crate) fn of(entry: HistoryEntry) -> Self {
        Self {
            sequence: entry.sequence,
            event_id: entry.id,
            event: entry.event,
            at: entry.at,
            actor: entry.actor.to_string(),
            explanation: entry.explanation,
            correlation_id: entry.correlation,
            causation_id: entry.causation,
            digest: entry.digest.to_string(),
        }
    }
}

impl History {
    pub(crate) fn of(entries: Vec<HistoryEntry>) -> Self {
        Self { entries: entries.into_iter().map(Entry::of).collect() }
    }
}
