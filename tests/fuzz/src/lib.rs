//! The doors through which bytes come in from people, callers, stores, buses and images, each with what must hold of it for any bytes.
//!
//! A target is a plain function. It panics where something does not hold: what parses prints and parses to the same, what is believed can be
//! stored and read again, what is refused is refused with a reason, and nobody gets in or out by a way that is not one.
//!
//! Two fuzzers knock with these. `tests/corpus` does at every check of a change, on any toolchain: it replays what is kept in
//! `fuzz/seeds` and `fuzz/corpus`, and mutates it for a while by chance that begins at a seed. libFuzzer does at length, led by coverage, where there
//! is a nightly toolchain: `cargo +nightly fuzz run envelope fuzz/corpus/envelope fuzz/seeds/envelope`.
//!
//! | to find | look in |
//! |---|---|
//! | events, in each mode of the envelope | `envelope.rs` |
//! | stored forms of every aggregate | `record.rs` |
//! | names, references, keys, documents of a configuration | `words.rs` |
//! | what is compared for drift | `comparison.rs` |
//! | addresses of probes | `probe.rs` |
//! | bearer tokens | `token.rs` |
//! | requests, their bodies and terms; the host that is asked | `request.rs`, `host.rs` |
//! | layers of images | `archive.rs` |

mod archive;
mod comparison;
mod envelope;
mod hold;
mod host;
mod probe;
mod record;
mod request;
mod token;
mod waiting;
mod words;

pub use archive::archive;
pub use comparison::normaliser;
pub use envelope::{envelope, envelope_binary};
pub use probe::probe_url;
pub use record::{
    record_configuration, record_deployment, record_drift, record_drift_watch, record_environment,
    record_health, record_inventory, record_scaling, record_secrets, record_tenancy,
};
pub use request::{body, terms};
pub use token::{ISSUED, claims, token};
pub use words::{configuration_json, configuration_key, image_reference, words};

/// A door.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of the function, of its file in `fuzz/fuzz_targets`, and of its folders in `fuzz/seeds` and `fuzz/corpus`.
    pub name: &'static str,
    /// Knocks once; panics where something does not hold. Whether it was let in: what was sent was believed, or done.
    pub knock: fn(&[u8]) -> bool,
    /// How many mutated inputs are tried at a check of a change: as many as take some tenths of a second.
    pub rounds: u32,
}

/// All of them.
pub const TARGETS: [Target; 22] = [
    target("archive", archive, 60),
    target("body", body, 400),
    target("configuration_json", configuration_json, 4_000),
    target("configuration_key", configuration_key, 4_000),
    target("envelope", envelope, 600),
    target("envelope_binary", envelope_binary, 2_000),
    target("image_reference", image_reference, 4_000),
    target("normaliser", normaliser, 2_000),
    target("probe_url", probe_url, 2_000),
    target("record_configuration", record_configuration, 2_000),
    target("record_deployment", record_deployment, 600),
    target("record_drift", record_drift, 2_000),
    target("record_drift_watch", record_drift_watch, 2_000),
    target("record_environment", record_environment, 2_000),
    target("record_health", record_health, 2_000),
    target("record_inventory", record_inventory, 2_000),
    target("record_scaling", record_scaling, 2_000),
    target("record_secrets", record_secrets, 2_000),
    target("record_tenancy", record_tenancy, 2_000),
    target("terms", terms, 400),
    target("token", token, 4_000),
    target("words", words, 2_000),
];

const fn target(name: &'static str, knock: fn(&[u8]) -> bool, rounds: u32) -> Target {
    Target { name, knock, rounds }
}
