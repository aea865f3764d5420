//! Drift: revisions of desired state, documents and their differences, budgets, and the stories of findings.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use runtime_domain::drift::compare::{NonEmptyDiff, difference};
use runtime_domain::drift::{
    DesiredStateRevision, DriftKind, FindingHash, RemediationBudget, RemediationMode, RemediationPolicy,
    Severity, Subject,
};
use runtime_domain::id::EnvironmentId;
use runtime_domain::time::Span;
use serde_json::{Map, Value};

use crate::strategy::{json::hostile_json, text::hostile_text, value};

mod looks;
mod stories;

pub use stories::{drift_plans, drift_stories};

/// A revision of Git or of a Pulumi stack.
pub fn valid_desired_state_revision() -> BoxedStrategy<DesiredStateRevision> {
    let label = "[a-z]([a-z0-9-]{0,20}[a-z0-9])?";
    let stack = vec(label, 1..=3).prop_map(|parts| parts.join("/"));
    let version = prop_oneof![Just(1_u64), 1..1_000_u64, Just(u64::MAX)];
    let text = prop_oneof![
        "git:[0-9a-f]{40}",
        "git:[0-9a-f]{64}",
        "directory:[0-9a-f]{64}",
        (stack, version).prop_map(|(stack, version)| format!("pulumi:{stack}@{version}")),
    ];
    text.prop_filter_map("a revision", |text| text.parse().ok()).boxed()
}

/// Texts that are nearly a revision: a branch, a shortened commit, a version that counts from none.
pub fn hostile_desired_state_revision() -> BoxedStrategy<String> {
    let near = select(vec![
        "git:main",
        "git:0123abc",
        "git:HEAD",
        "pulumi:prod",
        "pulumi:prod@0",
        "pulumi:prod@07",
        "pulumi:prod@-1",
        "pulumi:a/b/c/d@1",
        "pulumi:@1",
        "pulumi:../prod@1",
        "directory:0123abc",
        "directory:",
        "PULUMI:prod@1",
        "git:",
        "",
    ]);
    let cut = (valid_desired_state_revision(), any::<prop::sample::Index>()).prop_map(|(revision, end)| {
        let text = revision.as_str();
        text.get(..end.index(text.len())).unwrap_or_default().to_owned()
    });
    prop_oneof![
        2 => near.prop_map(str::to_owned),
        1 => "git:[0-9a-fA-F]{39,65}",
        1 => cut,
        1 => hostile_text(),
    ]
    .boxed()
}

/// A kind of drift.
pub fn valid_drift_kind() -> BoxedStrategy<DriftKind> {
    select(DriftKind::ALL.to_vec()).boxed()
}

/// How grave something is.
pub fn valid_severity() -> BoxedStrategy<Severity> {
    use Severity::{Critical, High, Info, Low, Medium};
    select(vec![Info, Low, Medium, High, Critical]).boxed()
}

/// What can diverge.
pub fn valid_subject() -> BoxedStrategy<Subject> {
    prop_oneof![
        value::valid_name().prop_map(Subject::Component),
        value::valid_name().prop_map(Subject::Resource),
    ]
    .boxed()
}

/// Whether a kind is repaired.
pub fn valid_remediation_mode() -> BoxedStrategy<RemediationMode> {
    use RemediationMode::{Off, Remediate, Warn};
    prop_oneof![Just(Off), Just(Warn), Just(Remediate)].boxed()
}

/// How often a repair is tried, the ends of the ranges included.
pub fn valid_remediation_budget() -> BoxedStrategy<RemediationBudget> {
    let day = 86_400_000_u64;
    let millis = move || prop_oneof![Just(1_000), Just(day), 1_000..=day, 1_000..60_000_u64];
    (1..=RemediationBudget::MOST_ATTEMPTS, millis(), millis(), millis())
        .prop_filter_map("a budget", |(most, one, other, deadline)| {
            let (first, longest) = (one.min(other), one.max(other));
            let span = Span::from_millis;
            RemediationBudget::new(most, span(first), span(longest), span(deadline)).ok()
        })
        .boxed()
}

/// Which kinds are repaired, and how often.
pub fn valid_remediation_policy() -> BoxedStrategy<RemediationPolicy> {
    (btree_map(valid_drift_kind(), valid_remediation_mode(), 0..=5), valid_remediation_budget())
        .prop_map(|(modes, budget)| RemediationPolicy { modes, budget })
        .boxed()
}

/// A resource's document, with passwords and tokens among its members, sometimes.
pub fn valid_document() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::from),
        3 => any::<i32>().prop_map(Value::from),
        3 => "[a-z0-9.-]{0,12}".prop_map(Value::from),
        1 => select(vec!["500m", "1Gi", "0.5", "1e3"]).prop_map(Value::from),
        1 => hostile_text().prop_map(Value::from),
    ];
    let member = prop_oneof![
        6 => "[a-z]{1,6}",
        1 => select(vec!["password", "apiToken", "a/b", "a~b", "", "name"]).prop_map(str::to_owned),
        1 => hostile_text().prop_filter("a name that leaves room for a path", |name| name.len() <= 64),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(Value::Array),
            2 => btree_map(member.clone(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
    .boxed()
}

/// A difference of two documents.
pub fn valid_difference() -> BoxedStrategy<NonEmptyDiff> {
    (valid_document(), valid_document())
        .prop_filter_map("two documents that differ", |(desired, actual)| {
            difference(&desired, &actual, &[]).ok().flatten()
        })
        .boxed()
}

/// What makes two findings one.
pub fn valid_finding_hash() -> BoxedStrategy<FindingHash> {
    let environment = value::valid_id().prop_map(|id: EnvironmentId| id);
    (environment, valid_subject(), valid_drift_kind(), valid_difference())
        .prop_map(|(environment, subject, kind, diff)| FindingHash::of(environment, &subject, kind, &diff))
        .boxed()
}

/// A difference's JSON with an entry that is missing, wrong, out of order, or shows a secret.
pub fn hostile_difference() -> BoxedStrategy<Value> {
    const PLACES: [&str; 6] =
        ["/entries", "/omitted", "/entries/0", "/entries/0/path", "/entries/0/desired", "/entries/0/actual"];
    let shown = select(vec!["password=hunter2", "x", ""]).prop_map(|text| serde_json::json!({"text": text}));
    let path = select(vec!["/password", "/db/apiToken", "", "/~"]).prop_map(Value::from);
    let value = prop_oneof![2 => hostile_json(), 1 => shown, 1 => path, 1 => Just(Value::from("redacted"))];
    (valid_difference(), select(&PLACES[..]), value)
        .prop_map(|(diff, place, value)| {
            let mut form = serde_json::to_value(diff).unwrap_or_default();
            if let Some(field) = form.pointer_mut(place) {
                *field = value;
            }
            form
        })
        .boxed()
}
