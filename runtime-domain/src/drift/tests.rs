//! Whose word counts, and what makes two findings one.

mod comparison;
mod finding;
pub(super) mod fixture;

use alloc::format;
use alloc::string::ToString;

use serde_json::json;

use crate::claim::{Claim, ClaimMode, ClaimSpace};
use crate::drift::compare::{NonEmptyDiff, difference};
use crate::drift::*;
use crate::testing::{id, name};

fn diff(desired: u32, actual: u32) -> NonEmptyDiff {
    difference(&json!({"n": desired}), &json!({"n": actual}), &[]).unwrap().unwrap()
}

fn hash(environment: u128, subject: &str, kind: DriftKind, diff: &NonEmptyDiff) -> FindingHash {
    FindingHash::of(id(environment), &Subject::Component(name(subject)), kind, diff)
}

#[test]
fn only_a_whole_commit_or_a_stacks_version_is_a_revision() {
    let (sha1, sha256) = ("a1".repeat(20), "0f".repeat(32));
    let directory = format!("directory:{sha256}");
    for text in
        [format!("git:{sha1}"), format!("git:{sha256}"), directory, "pulumi:acme/shop/prod@7".to_string()]
    {
        let revision: DesiredStateRevision = text.parse().unwrap();
        assert_eq!((revision.as_str(), revision.to_string()), (text.as_str(), text.clone()));
    }
    let refused = [
        sha1.clone(),
        format!("git:{sha1}-dirty"),
        format!("directory:{sha1}"),
        format!("git:{}", &sha1[1..]),
        format!("git:{sha1}a"),
        format!("git:{}", sha1.to_uppercase()),
        "git:main".to_string(),
        "pulumi:prod@0".to_string(),
        "pulumi:prod@07".to_string(),
        "pulumi:prod".to_string(),
        "pulumi:a/b/c/d@1".to_string(),
        "pulumi:/prod@1".to_string(),
        "pulumi:prod@+1".to_string(),
    ];
    for text in refused {
        assert!(text.parse::<DesiredStateRevision>().is_err(), "{text}");
    }
}

#[test]
fn what_is_authoritative_says_whose_it_is_and_which_revision() {
    let revision: DesiredStateRevision = "pulumi:prod@7".parse().unwrap();
    let desired = Authoritative::from_revision(revision.clone(), id(1), id(2), 3);
    assert_eq!((desired.tenant(), desired.environment()), (id(1), id(2)));
    assert_eq!((desired.revision(), desired.value()), (&revision, &3));
}

#[test]
fn the_same_divergence_has_one_hash_and_one_claim_and_another_has_another() {
    let one = hash(1, "orders", DriftKind::ConfigDrift, &diff(1, 2));
    assert_eq!(one, hash(1, "orders", DriftKind::ConfigDrift, &diff(1, 2)));
    for other in [
        hash(2, "orders", DriftKind::ConfigDrift, &diff(1, 2)),
        hash(1, "billing", DriftKind::ConfigDrift, &diff(1, 2)),
        hash(1, "orders", DriftKind::ReplicaMismatch, &diff(1, 2)),
        hash(1, "orders", DriftKind::ConfigDrift, &diff(1, 3)),
        hash(1, "orders", DriftKind::ConfigDrift, &diff(2, 1)),
    ] {
        assert_ne!(one, other);
    }
    let resource = Subject::Resource(name("orders"));
    assert_ne!(one, FindingHash::of(id(1), &resource, DriftKind::ConfigDrift, &diff(1, 2)));
    let claim = Claim::drift_finding(id(1), &one);
    assert_eq!((claim.mode, claim.space), (ClaimMode::Exclusive, ClaimSpace::Tenant));
    assert_eq!(claim.key, format!("drift/env_{:032x}/{one}", 1));
}

#[test]
fn a_hash_is_64_digits() {
    let one = hash(1, "orders", DriftKind::ConfigDrift, &diff(1, 2));
    assert_eq!(serde_json::from_value::<FindingHash>(json!(one.as_str())).unwrap(), one);
    for text in ["a".repeat(63), "a".repeat(65), "A".repeat(64), "g".repeat(64)] {
        assert!(FindingHash::try_from(text).is_err());
    }
}

#[test]
fn every_kind_has_its_name_and_severity() {
    let table = ["High", "Medium", "Medium", "Critical", "Low"];
    for (kind, severity) in DriftKind::ALL.into_iter().zip(table) {
        assert_eq!(format!("{:?}", kind.severity()), severity, "{kind}");
        assert_eq!((kind.to_string(), json!(kind)), (format!("{kind:?}"), json!(kind.name())));
    }
    assert!(Severity::Info < Severity::Low && Severity::High < Severity::Critical);
}
