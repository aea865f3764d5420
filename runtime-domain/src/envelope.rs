//! The canonical event envelope: CloudEvents 1.0 in the structured JSON mode.
//!
//! | attribute | what it says here |
//! |---|---|
//! | `id` | the event; consumers deduplicate on it (X-2) |
//! | `source` | the host that raised it |
//! | `type` | `factory.runtime.<EventName>.v<version>`: [`EventType`] |
//! | `subject` | the aggregate that raised it: [`Subject`] |
//! | `time` | when it happened |
//! | `dataschema` | where the schema of its data is published |
//! | `tenantid`, `environmentid` | whose it is |
//! | `correlationid`, `causationid` | the chain of work, and the event that caused this one (X-10) |
//! | `traceparent` | the W3C trace context |
//! | `sequence` | its number within the aggregate, in twenty digits, so that it is ordered as a text, as CloudEvents' sequence asks: it rises, with gaps where unpublished events lie between |
//!
//! Reading is strict about these and lenient about the rest: attributes that this version does not know are passed over as long as
//! their names are legal, so that a newer writer is understood.
//!
//! - **X-14** (type): an [`Envelope`] has every attribute that the platform needs; what lacks one, or has it in another form, is refused.

mod attribute;
mod read;
#[cfg(test)]
mod tests;

pub use attribute::{EventType, SchemaUri, Source, Subject, TraceParent};
pub use read::{EnvelopeError, UncheckedEnvelope};

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::id::{CorrelationId, EnvironmentId, EventId, TenantId};
use crate::time::Timestamp;

/// The version of CloudEvents that is written and read.
pub const SPEC_VERSION: &str = "1.0";

/// The media type of the data.
pub const DATA_CONTENT_TYPE: &str = "application/json";

/// The media type of a whole envelope, for a transport's header.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// One event as it leaves the context, with data of type `D`.
///
/// Serde writes and reads the structured JSON form. To learn in a typed way why an envelope is refused, read an
/// [`UncheckedEnvelope`] and convert that.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "UncheckedEnvelope<D>", bound(deserialize = "D: Deserialize<'de>"))]
pub struct Envelope<D> {
    /// The event's identifier.
    pub id: EventId,
    /// Who raised it.
    pub source: Source,
    /// What happened, and in which version of its schema.
    pub event_type: EventType,
    /// When it happened.
    pub time: Timestamp,
    /// To which aggregate.
    pub subject: Subject,
    /// Where the schema of its data is published.
    pub data_schema: Option<SchemaUri>,
    /// The tenant.
    pub tenant: TenantId,
    /// The environment.
    pub environment: EnvironmentId,
    /// The chain of work.
    pub correlation: CorrelationId,
    /// The event that caused it, if one did.
    pub causation: Option<EventId>,
    /// The trace that it belongs to, if it was traced.
    pub trace_parent: Option<TraceParent>,
    /// Its number within the aggregate, from 1.
    pub sequence: u64,
    /// What it says.
    pub data: D,
}

impl<D: Serialize> Serialize for Envelope<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", SPEC_VERSION)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("source", &self.source)?;
        map.serialize_entry("type", &self.event_type)?;
        map.serialize_entry("subject", &self.subject)?;
        map.serialize_entry("time", &self.time)?;
        map.serialize_entry("datacontenttype", DATA_CONTENT_TYPE)?;
        if let Some(schema) = &self.data_schema {
            map.serialize_entry("dataschema", schema)?;
        }
        map.serialize_entry("tenantid", &self.tenant)?;
        map.serialize_entry("environmentid", &self.environment)?;
        map.serialize_entry("correlationid", &self.correlation)?;
        if let Some(causation) = &self.causation {
            map.serialize_entry("causationid", causation)?;
        }
        if let Some(trace_parent) = &self.trace_parent {
            map.serialize_entry("traceparent", trace_parent)?;
        }
        map.serialize_entry("sequence", &alloc::format!("{:020}", self.sequence))?;
        map.serialize_entry("data", &self.data)?;
        map.end()
    }
}
