//! The canonical event envelope: CloudEvents 1.0 with who, where, why and in which order (X-14).
//!
//! ```json
//! {
//!   "specversion": "1.0",
//!   "id": "evt_…",
//!   "source": "/factory/runtime/environments/env_…",
//!   "type": "factory.runtime.RuntimeEnvironmentProvisioned.v1",
//!   "subject": "RuntimeEnvironment/…",
//!   "time": "2026-11-21T09:30:00Z",
//!   "datacontenttype": "application/json",
//!   "dataschema": "urn:factory:runtime:schema:RuntimeEnvironmentProvisioned:v1",
//!   "tenantid": "ten_…",
//!   "environmentid": "env_…",
//!   "correlationid": "cor_…",
//!   "causationid": "evt_…",
//!   "traceparent": "00-…-…-01",
//!   "sequence": "3",
//!   "data": { }
//! }
//! ```
//!
//! An [`Envelope`] is always valid; what comes from a wire is an [`UncheckedEnvelope`] first, and [`Envelope::try_from`] says by an
//! [`EnvelopeError`] what is wrong with it. Deserialising an [`Envelope`] goes through the same door.

mod attribute;
mod checked;
mod error;
#[cfg(test)]
mod tests;
mod trace;
mod unchecked;

pub use attribute::{AttributeValue, EventType};
pub use checked::{Envelope, EventOrigin};
pub use error::EnvelopeError;
pub use trace::TraceParent;
pub use unchecked::UncheckedEnvelope;
