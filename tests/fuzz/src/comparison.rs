//! The normaliser by which desired and actual documents are compared.

use runtime_domain::drift::compare::{DiffEntry, PathRule, difference};
use serde_json::{Map, Value, json};

use crate::hold::{panic_of, writes_and_reads};

/// `{"desired": …, "actual": …, "rules": […]}`: two documents, and how their paths are compared.
pub fn normaliser(data: &[u8]) -> bool {
    let Ok(Value::Object(mut given)) = serde_json::from_slice::<Value>(data) else { return false };
    let desired = given.remove("desired").unwrap_or_default();
    let actual = given.remove("actual").unwrap_or_default();
    let rules = given.remove("rules").unwrap_or_else(|| json!([]));
    let Ok(rules) = serde_json::from_value::<Vec<PathRule>>(rules) else { return false };
    for document in [&desired, &actual] {
        // Nothing differs from itself, nor from the same with members that say nothing, however often it is normalised.
        assert!(
            matches!(difference(document, document, &rules), Ok(None) | Err(_)),
            "{document} differs from itself"
        );
        let said = with_nothing_said(document.clone());
        if let (Ok(_), Ok(found)) =
            (difference(document, document, &rules), difference(&said, document, &rules))
        {
            assert_eq!(found, None, "{document} differs from {said}");
        }
    }
    let Ok(found) = difference(&desired, &actual, &rules) else {
        assert!(
            difference(&actual, &desired, &rules).is_err(),
            "what is refused is refused either way round"
        );
        return false;
    };
    let back = difference(&actual, &desired, &rules)
        .unwrap_or_else(|error| panic_of(format!("it is compared one way round only: {error}")));
    let turned = |entry: &DiffEntry| DiffEntry {
        path: entry.path.clone(),
        desired: entry.actual.clone(),
        actual: entry.desired.clone(),
    };
    let there: Vec<_> = found.iter().flat_map(|diff| diff.entries()).cloned().collect();
    let and_back: Vec<_> = back.iter().flat_map(|diff| diff.entries()).map(turned).collect();
    assert_eq!(there, and_back, "the way back shows something else");
    // What a comparison makes can be stored.
    found.iter().for_each(writes_and_reads);
    true
}

/// The same document, with a member in every object that is `null`.
fn with_nothing_said(document: Value) -> Value {
    match document {
        Value::Object(members) => {
            let mut said: Map<String, Value> =
                members.into_iter().map(|(name, value)| (name, with_nothing_said(value))).collect();
            said.entry("nothing").or_insert(Value::Null);
            Value::Object(said)
        }
        Value::Array(items) => items.into_iter().map(with_nothing_said).collect(),
        scalar => scalar,
    }
}
