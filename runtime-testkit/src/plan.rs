//! Plans: what a story asks of an aggregate, as plain data.
//!
//! Evidence cannot be forged, so a plan is not a command. A [driver](crate::prove::Driver) turns it into one, running the aggregates that
//! hand the evidence out, as every user of the public interface must. A [model](crate::model) reads the same plan and says by itself
//! what must come of it. Small numbers stand for names, tenants and times, so that stories collide often and shrink well.

pub mod configuration;
pub mod deployment;
pub mod drift;
pub mod environment;
pub mod health;
pub mod inventory;
pub mod place;
pub mod scaling;
pub mod secrets;
pub mod tenancy;

/// One step of a story: time passes, then something is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<P> {
    /// How many seconds pass first; negative where a clock jumps back.
    pub seconds: i64,
    /// What is asked.
    pub plan: P,
}

/// Texts that an egress list may hold, and whether each is a destination: `host` or `host:port`.
pub const DESTINATIONS: [(&str, bool); 14] = [
    ("api.example.com:443", true),
    ("queue", true),
    ("10.0.0.1:5432", true),
    ("[2001:db8::1]:443", true),
    ("Example.COM", true),
    ("", false),
    ("https://example.com", false),
    ("two words", false),
    ("host:0", false),
    ("host:65536", false),
    ("-leading.example", false),
    ("../../etc/passwd", false),
    ("[::1", false),
    ("еxample.com", false),
];
