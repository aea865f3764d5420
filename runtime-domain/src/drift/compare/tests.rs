//! Two documents differ exactly where their meaning differs.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn rule(path: &[&str], treatment: Treatment) -> PathRule {
    PathRule { path: path.iter().map(ToString::to_string).collect(), treatment }
}

fn rules() -> Vec<PathRule> {
    vec![
        rule(&["cpu"], Treatment::Quantity),
        rule(&["replicas"], Treatment::AbsentMeans(json!(1))),
        rule(&["env"], Treatment::Unordered(Some("name".to_string()))),
        rule(&["tags"], Treatment::Unordered(None)),
        rule(&["status"], Treatment::Ignored),
    ]
}

fn entries(desired: &Value, actual: &Value) -> Vec<(String, ShownValue, ShownValue)> {
    let diff = difference(desired, actual, &rules()).unwrap();
    diff.iter()
        .flat_map(|diff| diff.entries())
        .map(|e| (e.path.clone(), e.desired.clone(), e.actual.clone()))
        .collect()
}

fn text(text: &str) -> ShownValue {
    ShownValue::Text(text.to_string())
}

proptest! {
    #[test]
    fn a_permuted_and_respelt_document_does_not_differ(
        order in Just(vec![0_u8, 1, 2, 3]).prop_shuffle(), millis in 0_u32..5_000,
    ) {
        let env = |order: &[u8]| order.iter().map(|n| json!({"name": n.to_string(), "value": n})).collect::<Vec<_>>();
        let desired = json!({"cpu": alloc::format!("{millis}m"), "env": env(&[0, 1, 2, 3]), "tags": [0, 1, 2, 3]});
        let spelt = alloc::format!("{}.{:03}", millis / 1_000, millis % 1_000);
        let actual = json!({"cpu": spelt, "env": env(&order), "tags": order, "replicas": 1, "status": millis});
        prop_assert_eq!(difference(&desired, &actual, &rules()), Ok(None));
    }

    #[test]
    fn one_changed_value_is_one_entry(a in 0_u32..100, b in 0_u32..100) {
        let found = entries(&json!({"x": {"y": [a]}}), &json!({"x": {"y": [b]}}));
        prop_assert_eq!(found.len(), usize::from(a != b));
    }
}

#[test]
fn only_what_is_declared_order_free_is() {
    assert_eq!(entries(&json!({"args": ["a", "b"]}), &json!({"args": ["b", "a"]})).len(), 2);
    let found = entries(&json!({"tags": ["a", "a"]}), &json!({"tags": ["a"]}));
    assert_eq!(found, [("/tags".to_string(), text("[\"a\",\"a\"]"), text("[\"a\"]"))]);
}

#[test]
fn what_is_missing_or_too_much_is_shown_at_its_path() {
    let found = entries(&json!({"a/b": 1}), &json!({"c~": 2.5}));
    let expected = [
        ("/a~1b".to_string(), text("1"), ShownValue::Absent),
        ("/c~0".to_string(), ShownValue::Absent, text("2.5")),
    ];
    assert_eq!(found, expected);
}

/// Buried: argo-cd#16193.
/// Shows X-11.
#[test]
fn a_secret_is_a_difference_that_is_never_shown() {
    let documents = [
        (json!({"dbPassword": "hunter2"}), json!({"dbPassword": "hunter3"})),
        (
            json!({"env": [{"name": "API_KEY", "value": "hunter2"}]}),
            json!({"env": [{"name": "API_KEY", "value": "hunter3"}]}),
        ),
        (
            json!({"list": [{"name": "API_KEY", "value": "hunter2"}]}),
            json!({"list": [{"name": "API_KEY", "value": "hunter3"}]}),
        ),
        (json!({"tags": [{"token": "hunter2"}]}), json!({"tags": [{"token": "hunter3"}]})),
        (json!({"url": "https://me:hunter2@host"}), json!({"url": "https://me:hunter3@host"})),
        (json!({"a": {"secret": {"deep": "hunter2"}}}), json!({"a": {"secret": {"deep": "hunter3"}}})),
    ];
    for (desired, actual) in documents {
        let diff = difference(&desired, &actual, &rules()).unwrap().unwrap();
        assert_eq!(diff.entries().len(), 1, "{diff:?}");
        assert_eq!(diff.entries()[0].desired, ShownValue::Redacted);
        assert_eq!(diff.entries()[0].actual, ShownValue::Redacted);
        let stored = serde_json::to_string(&diff).unwrap();
        assert!(!stored.contains("hunter"), "{stored}");
        assert_eq!(serde_json::from_str::<NonEmptyDiff>(&stored).unwrap(), diff);
    }
}

#[test]
fn a_stored_difference_is_never_empty_unordered_or_equal_on_both_sides() {
    let entry = |path: &str, desired: &str| json!({"path": path, "desired": {"text": desired}, "actual": {"text": "x"}});
    let reads = |entries: Value, omitted: u32| {
        serde_json::from_value::<NonEmptyDiff>(json!({"entries": entries, "omitted": omitted})).is_ok()
    };
    assert!(reads(json!([entry("/a", "1"), entry("/b", "1")]), 0));
    assert!(!reads(json!([]), 0));
    assert!(!reads(json!([entry("/a", "1")]), 1));
    assert!(!reads(json!([entry("/b", "1"), entry("/a", "1")]), 0));
    assert!(!reads(json!([entry("/a", "x")]), 0));
    assert!(!reads(json!([entry("/token", "1")]), 0));
    assert!(!reads(json!([entry("/a", "Bearer abc")]), 0));
}

#[test]
fn quantities_are_exact() {
    let equal = [("500m", "0.5"), ("1Gi", "1073741824"), ("1k", "1e3"), ("1500u", "1.5m"), ("-2", "-2.0")];
    for (one, other) in equal {
        assert!(quantity::nanos(one).is_some(), "{one}");
        assert_eq!(quantity::nanos(one), quantity::nanos(other), "{one} {other}");
    }
    assert_ne!(quantity::nanos("1G"), quantity::nanos("1Gi"));
    for none in ["", "m", "1x", "1.2.3", "--1", "0.1n", "1e99", "99999999999999999999999999999999999999999Ei"]
    {
        assert_eq!(quantity::nanos(none), None, "{none}");
    }
}

#[test]
fn hostile_documents_are_refused_at_exactly_the_bounds() {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    assert!(difference(&nested(DEEPEST), &json!(1), &[]).is_ok());
    assert_eq!(difference(&nested(DEEPEST + 1), &json!(1), &[]), Err(CompareError::TooDeep));
    let wide = |count: usize| Value::from(vec![0; count]);
    assert!(difference(&wide(MOST_VALUES - 1), &json!(1), &[]).is_ok());
    assert_eq!(difference(&wide(MOST_VALUES), &json!(1), &[]), Err(CompareError::TooLarge));
    let many = |count| vec![rule(&["x"], Treatment::Ignored); count];
    assert!(difference(&json!(1), &json!(1), &many(MOST_RULES)).is_ok());
    assert_eq!(difference(&json!(1), &json!(1), &many(MOST_RULES + 1)), Err(CompareError::TooManyRules));
    let long = json!({"x".repeat(LONGEST_PATH): 1});
    assert_eq!(difference(&long, &json!(1), &[]), Err(CompareError::PathTooLong));
}

#[test]
fn more_differences_than_are_shown_are_counted() {
    let zeros = Value::from(vec![0; MOST_ENTRIES + 3]);
    let ones = Value::from(vec![1; MOST_ENTRIES + 3]);
    let diff = difference(&zeros, &ones, &[]).unwrap().unwrap();
    assert_eq!((diff.entries().len(), diff.omitted()), (MOST_ENTRIES, 3));
}
