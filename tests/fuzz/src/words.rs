//! Texts that have a form: names, references, keys, identifiers, times.

use runtime_domain::calendar::LocalTime;
use runtime_domain::component::{ImageDigest, ImageReference, RevisionId, Version};
use runtime_domain::configuration::{
    Checksum, ConfigScope, ConfigurationEntry, ConfigurationValue, Decimal, EntryKey, JsonDocument,
};
use runtime_domain::drift::DesiredStateRevision;
use runtime_domain::drift::watch::DesiredStatePath;
use runtime_domain::envelope::{EventType, SchemaUri, Source, Subject, TraceParent};
use runtime_domain::id::{
    AggregateKind, CorrelationId, DeploymentId, EnvironmentId, EventId, SecretBindingId, TenantId,
};
use runtime_domain::schedule::Schedule;
use runtime_domain::secrets::{Consumer, Delivery, KeyVaultReference, SecretReference, SecretVersion};
use runtime_domain::tenancy::PartitionKey;
use runtime_domain::time::Span;
use runtime_domain::value::{Measure, Name};
use runtime_ports::store::ChainDigest;
use runtime_ports::subject::{ContentDigest, KeptName};

use crate::hold::{has_one_door, panic_of, prints_and_parses, text, writes_and_reads};

/// A reference to an image, as people write it.
pub fn image_reference(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let is_digest = has_one_door::<ImageDigest>(text);
    if !has_one_door::<ImageReference>(text) {
        return is_digest;
    }
    let Ok(reference) = text.parse::<ImageReference>() else { return false };
    assert_eq!(reference.to_string(), text, "a reference says what was written");
    assert!(reference.tag().is_some() || reference.digest().is_some(), "{text:?} names no content");
    let parts = reference.repository().split('/');
    let is_upwards = parts.into_iter().any(|part| part.is_empty() || part.starts_with('.'));
    assert!(!is_upwards, "{text:?} would lead out of a folder");
    let Ok(digest) = ImageDigest::new(&format!("sha256:{}", "0f".repeat(32))) else { return false };
    let pinned = reference.pinned(digest.clone());
    assert_eq!(*pinned.digest(), digest);
    assert_eq!(pinned.reference().repository(), reference.repository());
    assert_eq!(pinned.reference().tag(), reference.tag());
    writes_and_reads(&pinned);
    true
}

/// A key of a configuration, its scope, its value, and a whole entry as JSON.
pub fn configuration_key(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let mut is_believed = [
        has_one_door::<EntryKey>(text),
        has_one_door::<ConfigScope>(text),
        has_one_door::<Decimal>(text),
        has_one_door::<Checksum>(text),
    ]
    .contains(&true);
    if let Ok(key) = EntryKey::new(text) {
        assert_eq!(key.as_str(), text, "a key says what was written");
    }
    if let Ok(value) = serde_json::from_str::<ConfigurationValue>(text) {
        writes_and_reads(&value);
        assert!(!format!("{value:?}").contains('"'), "a value's debug text tells of it");
        is_believed = true;
    }
    if let Ok(entry) = serde_json::from_str::<ConfigurationEntry>(text) {
        writes_and_reads(&entry);
        is_believed = true;
    }
    is_believed
}

/// A JSON document, as configuration normalises it: its normal form is its own.
pub fn configuration_json(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let Ok(document) = JsonDocument::parse(text) else { return false };
    let normal = document.to_string();
    assert!(normal.len() <= JsonDocument::LONGEST, "the normal form is too long to be stored");
    let again = JsonDocument::parse(&normal);
    assert!(again.as_ref() == Ok(&document), "{text:?} is normalised to {normal:?}, which is another");
    assert_eq!(
        again.map(|again| again.to_string()),
        Ok(normal.clone()),
        "the normal form is normalised anew"
    );
    if serde_json::from_str::<serde_json::Value>(&normal).is_err() {
        panic_of(format!("{text:?} is normalised to {normal:?}, which others cannot read"));
    }
    true
}

/// Every other text that has a form: identifiers, names, times, versions, schedules, references.
pub fn words(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let believed = [
        has_one_door::<EnvironmentId>(text),
        has_one_door::<DeploymentId>(text),
        has_one_door::<TenantId>(text),
        has_one_door::<EventId>(text),
        has_one_door::<CorrelationId>(text),
        has_one_door::<SecretBindingId>(text),
        has_one_door::<RevisionId>(text),
        has_one_door::<Name>(text),
        has_one_door::<Version>(text),
        has_one_door::<Measure>(text),
        has_one_door::<Span>(text),
        has_one_door::<Schedule>(text),
        has_one_door::<LocalTime>(text),
        has_one_door::<PartitionKey>(text),
        has_one_door::<SecretVersion>(text),
        has_one_door::<KeyVaultReference>(text),
        has_one_door::<SecretReference>(text),
        has_one_door::<Delivery>(text),
        has_one_door::<Consumer>(text),
        has_one_door::<DesiredStatePath>(text),
        has_one_door::<DesiredStateRevision>(text),
        has_one_door::<EventType>(text),
        has_one_door::<Subject>(text),
        prints_and_parses::<AggregateKind>(text),
        prints_and_parses::<ChainDigest>(text),
        prints_and_parses::<ContentDigest>(text),
        prints_and_parses::<KeptName>(text),
    ];
    for kept in [
        Source::new(text).map(|it| it.to_string()),
        SchemaUri::new(text).map(|it| it.to_string()),
        TraceParent::new(text).map(|it| it.to_string()),
    ] {
        assert!(
            kept.as_deref().is_ok_and(|kept| kept == text) || kept.is_err(),
            "{text:?} is kept as {kept:?}"
        );
    }
    believed.contains(&true)
}
