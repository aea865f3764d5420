//! What a host tells of itself: how much and how fast, by [`Meter`]; what belongs to one piece of work, by [`TraceContext`].
//!
//! ```text
//!   services ──► Meter ────────► totals and distributions, by instrument and attributes ──► a metrics endpoint, OTLP
//!   services ──► `tracing` spans ──► the host's subscriber ──► OTLP
//!                     ▲
//!                     └── TraceContext: which trace a span belongs to, over the border of a host or of a process
//! ```
//!
//! - **Nothing personal**: no actor, no text that people wrote, no secret is an attribute of a span or of a measurement.
//! - **Bounded**: a measurement's attributes are words from short lists. No tenant, environment, aggregate or effect is one of them; those
//!   are attributes of spans.
//! - **Never in the way**: neither port waits, fails or refuses. What cannot be kept is counted and lost.
//!
//! # Spans
//! The library opens `tracing` spans whose targets begin with `runtime_`. Fields named `otel.name`, `otel.kind` and `otel.status_code` mean
//! what bridges from `tracing` to OpenTelemetry agree on; those of the library's own begin with `factory.`.
//!
//! | span | when |
//! |---|---|
//! | `<Aggregate>.<Command>` | a command of a service |
//! | `decide` | a rule is asked |
//! | `commit` | what was decided becomes durable, in the store |
//! | `reconcile <worker>` | one pass over one aggregate, continuing the work that began it. [`IDLE`] is declared: it may be left out where nothing was changed |
//! | `<port>.<operation>` | a call of a port; with [`EFFECT_ID`] where it changes the world |
//! | `publish <event>` | an event to the bus, continuing the work that raised it |
//! | `process <event>` | an event to a subscriber of the host, likewise |

use std::sync::Arc;

use runtime_domain::envelope::TraceParent;
use tracing::Span;

mod in_process;
mod instrument;

pub use in_process::{Distribution, InProcessMeter, Reading, Series};
pub use instrument::{BOUNDS, Instrument, InstrumentKind};

/// The field by which a span says that it may be left out where nothing beneath it carries [`EFFECT_ID`] or [`COMMITTED`], and it did not fail.
pub const IDLE: &str = "factory.idle";
/// The field that names an effect on the world.
pub const EFFECT_ID: &str = "factory.effect.id";
/// The field of a commit's span that says how many events it made durable.
pub const COMMITTED: &str = "factory.events";

/// One attribute of a measurement: a name of [`Instrument::attributes`], and a word from a short list.
pub type Attribute<'a> = (&'static str, &'a str);

/// Keeps measurements.
///
/// Guarantees: never waits for anything but memory, never fails. Bounded: however many attributes it is given, it keeps so many series at the
/// most, and counts the rest together.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait Meter: Send + Sync + 'static {
    /// Adds to a counter, sets a gauge, or takes into a histogram, by [`Instrument::kind`]; `value` is in [`Instrument::unit`]. A value that is
    /// not a finite number is passed over.
    #[allow(clippy::needless_lifetimes, reason = "the mock needs them")]
    fn record<'a>(&self, instrument: Instrument, value: f64, attributes: &[Attribute<'a>]);
    /// All that was kept since the start.
    fn read(&self) -> Vec<Reading>;
}

/// How a span belongs to work that began elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Follows {
    /// It is a part of it: the same trace.
    Child,
    /// It comes of it, a long time after: a trace of its own that refers to it.
    Link,
}

/// Knows to which trace a span belongs, in W3C terms.
///
/// Guarantees: never waits, never fails.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait TraceContext: Send + Sync + 'static {
    /// The present span, for others to continue; `None` where it belongs to no trace.
    fn current(&self) -> Option<TraceParent>;
    /// Says what `span` comes of. Where it belongs to a trace already, since something was begun beneath it or asked about it, it stays there,
    /// and refers to `parent`.
    fn follow(&self, span: &Span, parent: &TraceParent, how: Follows);
}

/// No span belongs to a trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Untraced;

impl TraceContext for Untraced {
    fn current(&self) -> Option<TraceParent> {
        None
    }

    fn follow(&self, _span: &Span, _parent: &TraceParent, _how: Follows) {}
}

/// What a host tells of itself with. By default measurements are kept within the process, and nothing is traced.
#[derive(Clone)]
pub struct Telemetry {
    /// Keeps measurements.
    pub meter: Arc<dyn Meter>,
    /// Knows which trace a span belongs to.
    pub traces: Arc<dyn TraceContext>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { meter: Arc::new(InProcessMeter::default()), traces: Arc::new(Untraced) }
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Telemetry").finish_non_exhaustive()
    }
}
