//! From `tracing` to OTLP: which spans belong to one trace, and what is told of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use runtime_domain::envelope::TraceParent;
use runtime_ports::clock::{Clock, IdGenerator};
use runtime_ports::telemetry::{Follows, TraceContext};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::Context as Within;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use crate::message::{Line, nanos};
use crate::queue::Queue;
use crate::trace::{Context, Sampler, span as span_id, trace as trace_id};
use open::Open;
use told::Told;

mod open;
mod told;

pub use told::WITHHELD;

/// What all spans of a host share.
pub(crate) struct Core {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdGenerator>,
    pub(crate) sampler: Sampler,
    pub(crate) keeps_idle: bool,
    pub(crate) spans: Queue<Span>,
    pub(crate) lines: Queue<Line>,
}

impl Core {
    fn begins_trace(&self) -> Context {
        let trace = trace_id(&*self.ids);
        Context { trace, span: span_id(&*self.ids), is_sampled: self.sampler.records(trace) }
    }

    fn begins_span(&self, within: Context) -> Context {
        Context { span: span_id(&*self.ids), ..within }
    }
}

/// Turns spans and events into what is exported. A subscriber has one at the most.
pub struct Layer {
    core: Arc<Core>,
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Layer").field("spans", &self.core.spans.len()).finish_non_exhaustive()
    }
}

impl Layer {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

impl<S> tracing_subscriber::Layer<S> for Layer
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, within: Within<'_, S>) {
        let Some(span) = within.span(id) else { return };
        let parent = span.parent().and_then(|parent| parent.extensions().get::<Arc<Open>>().cloned());
        let mut told = Told::of(attributes.metadata().name());
        attributes.record(&mut told);
        let open = Open::new(parent, nanos(self.core.clock.now()), told);
        span.extensions_mut().replace(Arc::new(open));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, within: Within<'_, S>) {
        if let Some(open) = opened(&within, id) {
            values.record(&mut *open.told());
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, within: Within<'_, S>) {
        if let (Some(open), Some(before)) = (opened(&within, id), opened(&within, follows)) {
            let before = before.context(&self.core);
            open.follow(before, Follows::Link);
        }
    }

    fn on_event(&self, event: &Event<'_>, within: Within<'_, S>) {
        let metadata = event.metadata();
        let now = nanos(self.core.clock.now());
        let mut told = Told::of(metadata.name());
        event.record(&mut told);
        let of = within.event_span(event);
        let of = of.and_then(|span| span.extensions().get::<Arc<Open>>().cloned());
        let context = of.map(|open| open.context(&self.core));
        let (number, severity) = severity(*metadata.level());
        let record = LogRecord {
            time_unix_nano: now,
            observed_time_unix_nano: now,
            severity_number: number,
            severity_text: severity.to_owned(),
            body: told.message.take(),
            attributes: told.attributes,
            dropped_attributes_count: told.dropped,
            flags: context.map_or(0, |context| u32::from(context.is_sampled)),
            trace_id: context.map(|context| context.trace.to_vec()).unwrap_or_default(),
            span_id: context.map(|context| context.span.to_vec()).unwrap_or_default(),
            event_name: String::new(),
        };
        self.core.lines.put(Line { target: metadata.target(), record });
    }

    fn on_close(&self, id: Id, within: Within<'_, S>) {
        let Some(open) = opened(&within, &id) else { return };
        open.close(&self.core, nanos(self.core.clock.now()));
    }
}

fn opened<S: Subscriber + for<'s> LookupSpan<'s>>(within: &Within<'_, S>, id: &Id) -> Option<Arc<Open>> {
    within.span(id)?.extensions().get::<Arc<Open>>().cloned()
}

/// The number and the text that OTLP has for a level.
fn severity(level: Level) -> (i32, &'static str) {
    match level {
        Level::TRACE => (1, "TRACE"),
        Level::DEBUG => (5, "DEBUG"),
        Level::INFO => (9, "INFO"),
        Level::WARN => (13, "WARN"),
        Level::ERROR => (17, "ERROR"),
    }
}

/// Tells the services which trace they work in.
pub(crate) struct Traces {
    core: Arc<Core>,
}

impl Traces {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

impl TraceContext for Traces {
    fn current(&self) -> Option<TraceParent> {
        // A span that only others take is in the trace of the one around it.
        let nearest = at(&tracing::Span::current(), |span| {
            span.scope().find_map(|span| span.extensions().get::<Arc<Open>>().cloned())
        });
        nearest?.context(&self.core).to_parent()
    }

    fn follow(&self, span: &tracing::Span, parent: &TraceParent, how: Follows) {
        let open = at(span, |span| span.extensions().get::<Arc<Open>>().cloned());
        if let (Some(open), Some(parent)) = (open, Context::of(parent)) {
            open.follow(parent, how);
        }
    }
}

/// Looks at a span where the registry keeps it.
fn at<T>(span: &tracing::Span, look: impl FnOnce(SpanRef<'_, Registry>) -> Option<T>) -> Option<T> {
    span.with_subscriber(|(id, dispatch)| look(dispatch.downcast_ref::<Registry>()?.span(id)?)).flatten()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
