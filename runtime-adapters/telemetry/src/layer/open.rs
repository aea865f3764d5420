//! A span that has not ended: which trace it belongs to, and what it has told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};
use runtime_ports::telemetry::Follows;

use super::{Core, Told, lock};
use crate::trace::Context;

/// How many other traces a span refers to at the most.
const MOST_LINKS: usize = 32;
/// How many spans are kept for a pass whose outcome is not known yet.
const MOST_HELD: usize = 512;

/// A span that has not ended.
pub(super) struct Open {
    parent: Option<Arc<Open>>,
    started: u64,
    /// The pass that it is a part of, or is.
    pass: Option<Arc<Held>>,
    is_pass: bool,
    place: Mutex<Place>,
    told: Mutex<Told>,
}

/// Which trace a span belongs to: decided when it is first asked, so that until then it can still be said.
#[derive(Default)]
struct Place {
    decided: Option<Decided>,
    follows: Option<Context>,
    links: Vec<Context>,
}

#[derive(Clone, Copy)]
struct Decided {
    own: Context,
    parent: Option<[u8; 8]>,
    is_remote: bool,
}

/// The spans of a pass that have ended, until it is known whether it changed anything.
#[derive(Default)]
pub(super) struct Held {
    has_worked: AtomicBool,
    spans: Mutex<Vec<Span>>,
}

impl Open {
    pub(super) fn new(parent: Option<Arc<Self>>, started: u64, told: Told) -> Self {
        let above = parent.as_ref().and_then(|parent| parent.pass.clone());
        let is_pass = told.may_be_idle && above.is_none();
        let pass = if is_pass { Some(Arc::default()) } else { above };
        Self { parent, started, pass, is_pass, place: Mutex::default(), told: Mutex::new(told) }
    }

    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        lock(&self.told)
    }

    /// The span's place, decided by now at the latest.
    pub(super) fn context(&self, core: &Core) -> Context {
        self.decided(core).own
    }

    fn decided(&self, core: &Core) -> Decided {
        // From child to parent only, so nobody waits for each other.
        let mut place = lock(&self.place);
        if let Some(decided) = place.decided {
            return decided;
        }
        let within = place.follows.or_else(|| self.parent.as_ref().map(|parent| parent.context(core)));
        let is_remote = place.follows.is_some();
        let decided = match within {
            Some(within) => Decided { own: core.begins_span(within), parent: Some(within.span), is_remote },
            None => Decided { own: core.begins_trace(), parent: None, is_remote },
        };
        place.decided = Some(decided);
        decided
    }

    pub(super) fn follow(&self, before: Context, how: Follows) {
        let mut place = lock(&self.place);
        if how == Follows::Child && place.decided.is_none() && place.follows.is_none() {
            place.follows = Some(before);
        } else if place.links.len() < MOST_LINKS {
            place.links.push(before);
        }
    }

    /// The span has ended, and all beneath it.
    pub(super) fn close(&self, core: &Core, ended: u64) {
        let decided = self.decided(core);
        let is_work = self.told().is_work;
        if let Some(pass) = self.pass.as_ref().filter(|_| is_work) {
            pass.has_worked.store(true, Ordering::Release);
        }
        let span = decided.own.is_sampled.then(|| self.span(decided, ended));
        let Some(pass) = &self.pass else {
            span.into_iter().for_each(|span| core.spans.put(span));
            return;
        };
        if !self.is_pass {
            let mut held = lock(&pass.spans);
            match span {
                Some(span) if held.len() < MOST_HELD => held.push(span),
                Some(_) => core.spans.dropped(1, "full"),
                None => {}
            }
            return;
        }
        let is_told = core.keeps_idle || self.told().is_failed || pass.has_worked.load(Ordering::Acquire);
        let held = std::mem::take(&mut *lock(&pass.spans));
        if is_told {
            held.into_iter().chain(span).for_each(|span| core.spans.put(span));
        }
    }

    fn span(&self, decided: Decided, ended: u64) -> Span {
        let links = std::mem::take(&mut lock(&self.place).links);
        let mut told = self.told();
        let mut flags = 1 | SpanFlags::ContextHasIsRemoteMask as u32;
        if decided.is_remote {
            flags |= SpanFlags::ContextIsRemoteMask as u32;
        }
        let code = if told.is_failed { StatusCode::Error } else { StatusCode::Unset };
        Span {
            trace_id: decided.own.trace.to_vec(),
            span_id: decided.own.span.to_vec(),
            parent_span_id: decided.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
            flags,
            name: told.name.clone().into_owned(),
            kind: told.kind.into(),
            start_time_unix_nano: self.started,
            // A clock that was set back makes no span end before it began.
            end_time_unix_nano: ended.max(self.started),
            attributes: std::mem::take(&mut told.attributes),
            dropped_attributes_count: told.dropped,
            links: links.into_iter().map(link).collect(),
            status: Some(Status { message: String::new(), code: code.into() }),
            ..Span::default()
        }
    }
}

fn link(to: Context) -> Link {
    Link {
        trace_id: to.trace.to_vec(),
        span_id: to.span.to_vec(),
        flags: u32::from(to.is_sampled) | SpanFlags::ContextHasIsRemoteMask as u32,
        ..Link::default()
    }
}
