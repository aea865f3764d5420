//! From documents to releases: what counts as one, how much may be read, and what is wrong with those that are wrong.

use std::collections::BTreeMap;

use runtime_ports::desired_state::DesiredReleases;
use runtime_ports::manifest::ReleaseManifest;
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};

/// The most manifests of a folder.
pub const MOST_DOCUMENTS: usize = 1_000;
/// The largest manifest, in bytes.
pub const LARGEST_DOCUMENT: u64 = 4 * 1024 * 1024;
/// The most that a folder's manifests come to, in bytes.
pub const LARGEST_IN_ALL: u64 = 32 * 1024 * 1024;

pub(crate) const READ: &str = "desired_state.read";

/// The names that a message may repeat: a manifest's own. Whatever else stands in quotes is the document's, and is not repeated.
const FIELDS: [&str; 34] = [
    "release",
    "strategy",
    "components",
    "gates",
    "limits",
    "image",
    "version",
    "type",
    "surface",
    "replicas",
    "arguments",
    "variables",
    "readiness",
    "liveness",
    "termination_grace",
    "depends_on",
    "dependencies",
    "required",
    "http",
    "url",
    "path",
    "period",
    "timeout",
    "failure_threshold",
    "at",
    "modules",
    "check",
    "probe",
    "metric",
    "approval",
    "job",
    "canary",
    "blue-green",
    "rolling-health-gated",
];

/// Whether a file of this name is a manifest.
pub(crate) fn is_document(name: &[u8]) -> bool {
    [b".yaml".as_slice(), b".yml", b".json"].iter().any(|ending| name.ends_with(ending))
}

/// A manifest's name, as errors and reports tell it.
pub(crate) fn document_name(name: &[u8]) -> PortResult<String> {
    match std::str::from_utf8(name) {
        Ok(name) if name.chars().all(|letter| !letter.is_control()) => Ok(name.to_owned()),
        _ => Err(corrupt("a manifest's name is not plain text: rename it")),
    }
}

/// Counts what is read, and refuses what is too much before it is in memory.
#[derive(Default)]
pub(crate) struct Allowance {
    documents: usize,
    bytes: u64,
}

impl Allowance {
    pub(crate) fn take(&mut self, document: &str, size: u64) -> PortResult<()> {
        self.documents += 1;
        self.bytes = self.bytes.saturating_add(size);
        if size > LARGEST_DOCUMENT {
            return Err(exhausted(format!(
                "`{document}` has {size} bytes, and a manifest may have {LARGEST_DOCUMENT}: divide it"
            )));
        }
        if self.documents > MOST_DOCUMENTS || self.bytes > LARGEST_IN_ALL {
            return Err(exhausted(format!(
                "the folder has more than {MOST_DOCUMENTS} manifests or {LARGEST_IN_ALL} bytes of them: divide the environment"
            )));
        }
        Ok(())
    }
}

/// The releases that documents say. One that is wrong makes all of them unreadable: what it would have said is not known.
pub(crate) fn parsed(documents: &BTreeMap<String, Vec<u8>>) -> PortResult<DesiredReleases> {
    let mut releases = BTreeMap::new();
    for (name, content) in documents {
        let text = std::str::from_utf8(content)
            .map_err(|_| corrupt(format!("`{name}` is not UTF-8: save it as UTF-8")))?;
        let release: ReleaseManifest = serde_saphyr::from_str(text).map_err(|error| {
            let place = error
                .location()
                .map(|place| format!(", line {}, column {}", place.line(), place.column()))
                .unwrap_or_default();
            let said = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            corrupt(format!("`{name}`{place}: {}", without_quotations(&said)))
        })?;
        releases.insert(name.clone(), release);
    }
    DesiredReleases::new(releases).map_err(|twice| corrupt(twice.to_string()))
}

/// The first line of a message, without what it quotes of the document.
fn without_quotations(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let mut text = String::with_capacity(line.len());
    let mut parts = line.split(['`', '"', '\'']);
    text.push_str(parts.next().unwrap_or_default());
    while let Some(quoted) = parts.next() {
        let shown = if FIELDS.contains(&quoted) { quoted } else { "…" };
        text.push('`');
        text.push_str(shown);
        text.push('`');
        text.push_str(parts.next().unwrap_or_default());
    }
    text
}

pub(crate) fn corrupt(message: impl Into<String>) -> PortError {
    PortError::new(PortErrorKind::Corrupt, READ, message)
}

pub(crate) fn not_found(message: impl Into<String>) -> PortError {
    PortError::new(PortErrorKind::NotFound, READ, message)
}

pub(crate) fn unavailable(message: impl Into<String>) -> PortError {
    PortError::new(PortErrorKind::Unavailable, READ, message)
}

fn exhausted(message: impl Into<String>) -> PortError {
    PortError::new(PortErrorKind::Exhausted, READ, message).with_retry(Retry::Never)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_manifests_are_documents() {
        for name in ["a.yaml", "a.yml", "a.json", ".yaml"] {
            assert!(is_document(name.as_bytes()), "{name}");
        }
        for name in ["README.md", "a.yaml.swp", "yaml", "a.YAML~", ""] {
            assert!(!is_document(name.as_bytes()), "{name}");
        }
        assert!(document_name(b"a\n.yaml").is_err() && document_name(b"\xff.yaml").is_err());
    }

    /// Shows X-11.
    #[test]
    fn an_error_repeats_nothing_of_the_document() {
        let wrong = [
            ("release: shop-1\nstrategy: {}\nhunter2: x\n", "hunter2"),
            ("release: \"hunter2 hunter2\"\n", "hunter2"),
            (
                "release: shop\nstrategy: { rolling-health-gated: {} }\ncomponents: { web: { image: 'hunter2!!', version: 1 } }\n",
                "hunter2",
            ),
            ("password: hunter2: [", "hunter2"),
        ];
        for (text, secret) in wrong {
            let documents = BTreeMap::from([("shop.yaml".to_owned(), text.as_bytes().to_vec())]);
            let error = parsed(&documents).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(!told.contains(secret), "{told}");
            assert!(told.contains("`shop.yaml`"), "{told}");
        }
    }

    #[test]
    fn too_much_is_refused_before_it_is_read() {
        let mut allowance = Allowance::default();
        assert!(allowance.take("a.yaml", LARGEST_DOCUMENT).is_ok());
        assert!(allowance.take("b.yaml", LARGEST_DOCUMENT + 1).is_err());
        let mut allowance = Allowance::default();
        let refused = (0..=MOST_DOCUMENTS).find(|_| allowance.take("a.yaml", 1).is_err());
        assert_eq!(refused, Some(MOST_DOCUMENTS));
        let mut allowance = Allowance::default();
        let refused = (0..100).find(|_| allowance.take("a.yaml", LARGEST_DOCUMENT).is_err());
        assert_eq!(refused, usize::try_from(LARGEST_IN_ALL / LARGEST_DOCUMENT).ok());
    }
}
