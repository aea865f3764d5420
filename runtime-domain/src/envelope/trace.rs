//! Trace context.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use crate::envelope::EnvelopeError;

/// A W3C `traceparent`: version, trace, parent and flags, `00-<32 hex>-<16 hex>-<2 hex>` in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceParent(String);

impl TraceParent {
    /// The trace's identifier: 32 hexadecimal digits, not all zero.
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }

    /// The identifier of the span that it came from: 16 hexadecimal digits, not all zero.
    pub fn parent_id(&self) -> &str {
        self.0.get(36..52).unwrap_or_default()
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.0
            .get(53..55)
            .and_then(|flags| u8::from_str_radix(flags, 16).ok())
            .is_some_and(|flags| flags & 1 == 1)
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for TraceParent {
    type Err = EnvelopeError;

    fn from_str(text: &str) -> Result<Self, EnvelopeError> {
        if is_trace_parent(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(EnvelopeError::malformed(
                "traceparent",
                text,
                "00-<32 hexadecimal digits>-<16>-<2>, in lower case, neither identifier all zero",
            ))
        }
    }
}

fn is_trace_parent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut hex = |digits: usize| {
        parts.next().filter(|part| {
            part.len() == digits
                && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        })
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) = (hex(2), hex(32), hex(16), hex(2)) else {
        return false;
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    // A later version may append parts; this one may not.
    let ends_well = version != "00" || parts.next().is_none();
    version != "ff"
        && !is_zero(trace)
        && !is_zero(parent)
        && ends_well
        && text.len() <= 256
        && text.is_ascii()
}
