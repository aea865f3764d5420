//! Identifiers of traces and spans, and which traces are recorded.

use std::hash::{DefaultHasher, Hasher as _};

use runtime_domain::envelope::TraceParent;
use runtime_ports::clock::IdGenerator;
use uuid::Uuid;

/// A span's place in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace: [u8; 16],
    pub(crate) span: [u8; 8],
    pub(crate) is_sampled: bool,
}

impl Context {
    /// What `parent` says; `None` where its digits are none, which its own parser does not let happen.
    pub(crate) fn of(parent: &TraceParent) -> Option<Self> {
        let trace = u128::from_str_radix(parent.trace_id(), 16).ok()?.to_be_bytes();
        let span = u64::from_str_radix(parent.parent_id(), 16).ok()?.to_be_bytes();
        Some(Self { trace, span, is_sampled: parent.is_sampled() })
    }

    pub(crate) fn to_parent(self) -> Option<TraceParent> {
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        TraceParent::new(&format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(self.is_sampled))).ok()
    }
}

/// A fresh trace. The identifier is spread evenly over its last eight bytes, as W3C's trace context wants it for sampling.
pub(crate) fn trace(ids: &dyn IdGenerator) -> [u8; 16] {
    let id = ids.next();
    let (high, _) = id.as_u64_pair();
    // Nothing but zeros names no trace.
    (u128::from(high) << 64 | u128::from(spread(id).max(1))).to_be_bytes()
}

/// A fresh span.
pub(crate) fn span(ids: &dyn IdGenerator) -> [u8; 8] {
    spread(ids.next()).max(1).to_be_bytes()
}

/// An identifier is a time, a count and some random bits; each of its bits changes about half of these.
fn spread(id: Uuid) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(id.as_bytes());
    hasher.finish()
}

/// Which traces are recorded: those whose identifier's last 56 bits are not below a threshold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampler {
    threshold: u64,
}

/// One more than the last 56 bits can say.
const ALL: u64 = 1 << 56;

impl Sampler {
    /// Records this share of all traces, from 0 to 1.
    pub(crate) fn of(share: f64) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share times 2^56 is a number of 57 bits, and its last digits do not matter"
        )]
        let recorded = (share * ALL as f64) as u64;
        Self { threshold: ALL.saturating_sub(recorded) }
    }

    pub(crate) fn records(self, trace: [u8; 16]) -> bool {
        let last = u128::from_be_bytes(trace) & u128::from(ALL - 1);
        last >= u128::from(self.threshold)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use runtime_system::UuidV7Generator;

    use super::*;

    proptest! {
        #[test]
        fn a_context_is_told_in_w3cs_words_and_understood_again(trace in 1_u128.., span in 1_u64.., is_sampled: bool) {
            let context = Context { trace: trace.to_be_bytes(), span: span.to_be_bytes(), is_sampled };
            prop_assert_eq!(Context::of(&context.to_parent().unwrap()), Some(context));
        }
    }

    #[test]
    fn of_many_traces_the_share_is_recorded_that_was_asked_for() {
        let ids = UuidV7Generator::new();
        let traces: Vec<_> = (0..20_000).map(|_| trace(&ids)).collect();
        for (share, least, most) in
            [(0.0, 0, 0), (0.1, 1_600, 2_400), (0.5, 9_000, 11_000), (1.0, 20_000, 20_000)]
        {
            let sampler = Sampler::of(share);
            let recorded = traces.iter().filter(|trace| sampler.records(**trace)).count();
            assert!((least..=most).contains(&recorded), "{recorded} of 20,000 at {share}");
        }
    }

    #[test]
    fn no_two_spans_of_many_have_one_identifier() {
        let ids = UuidV7Generator::new();
        let spans: std::collections::HashSet<_> = (0..100_000).map(|_| span(&ids)).collect();
        assert_eq!(spans.len(), 100_000);
    }
}
