//! What holds for any input.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use runtime_ports::authenticator::Role;
use serde_json::{Value, json};

use crate::keys::{P256, encode};
use crate::world::{ISSUER, START, claims_with, show, trusting};

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().unwrap());

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["administrator", "operator", "viewer", "approver"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,8}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_text_is_let_in_and_none_breaks_anything(text in "\\PC{0,64}|([A-Za-z0-9_=+/-]{0,40}\\.){0,4}") {
        let authenticator = trusting(&[P256.jwk("1")]);
        prop_assert!(RUNTIME.block_on(show(&authenticator, text)).is_err());
    }

    #[test]
    fn no_header_lets_in_what_is_not_signed(header in value(), signature in prop::collection::vec(any::<u8>(), 0..80)) {
        let authenticator = trusting(&[P256.jwk("1")]);
        let claims = encode(claims_with(ISSUER, json!({})).to_string());
        let token = format!("{}.{claims}.{}", encode(header.to_string()), encode(signature));
        prop_assert!(RUNTIME.block_on(show(&authenticator, token)).is_err());
    }

    /// Whatever stands in one claim, nobody is let in with more than it says.
    #[test]
    fn no_claim_gives_more_than_it_says(name in prop::sample::select(vec!["iss", "aud", "exp", "nbf", "iat", "tenant", "sub", "x"]), value in value()) {
        let authenticator = trusting(&[P256.jwk("1")]);
        let changed = claims_with(ISSUER, json!({ name: value }));
        let answer = RUNTIME.block_on(show(&authenticator, P256.sign("1", &changed)));
        if let Ok(principal) = answer {
            prop_assert_eq!(principal.roles(), &BTreeSet::from([Role::Operator]));
            prop_assert_eq!(principal.tenant().to_string(), changed["tenant"].as_str().unwrap());
            prop_assert_eq!(principal.actor().as_str(), changed["sub"].as_str().unwrap());
            prop_assert!(principal.expires_at().unwrap().timestamp() > START);
            prop_assert_eq!(&changed["iss"], ISSUER);
        }
    }

    #[test]
    fn roles_are_exactly_the_words_of_ours_that_stand_by_themselves(roles in value()) {
        let authenticator = trusting(&[P256.jwk("1")]);
        let token = P256.sign("1", &claims_with(ISSUER, json!({ "roles": roles })));
        let principal = RUNTIME.block_on(show(&authenticator, token)).unwrap();
        let words: Vec<&str> = match &roles {
            Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
            Value::String(words) => words.split(' ').collect(),
            _ => Vec::new(),
        };
        let wanted: BTreeSet<Role> = words.into_iter().filter_map(Role::named).collect();
        prop_assert_eq!(principal.roles(), &wanted);
    }
}
