//! Real values to begin with, by name: what stories of the aggregates store and publish, what the description of the host says is a request,
//! and texts as people write them. The same every time.

use std::collections::BTreeMap;

mod aggregates;
mod requests;
mod texts;

/// Seeds by their names, which are names of files.
pub type Seeds = BTreeMap<String, Vec<u8>>;

/// A door's seeds.
pub fn of(target: &str) -> Seeds {
    match target {
        "body" => requests::bodies(),
        "terms" => requests::requests(),
        "envelope" => aggregates::envelopes(),
        "envelope_binary" => aggregates::binary(),
        "token" => texts::tokens(),
        other => other.strip_prefix("record_").map_or_else(|| texts::of(other), aggregates::records),
    }
}

/// Texts as seeds, by their numbers.
fn numbered<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Seeds {
    let named = |(number, text): (usize, T)| (format!("{number:03}"), text.as_ref().to_vec());
    texts.into_iter().enumerate().map(named).collect()
}
