//! Contents: keys, values, checksums, precedence, differences.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use serde_json::{Value, json as written};

use super::*;
use crate::refusal::{Refusal, Rule};

fn sample() -> Vec<ConfigurationEntry> {
    let pinned = SecretReference::pinned(id(9), "v3").unwrap();
    let tenant = ConfigScope::Tenant(id(2)).to_string();
    vec![
        entry("environment", "limits", json(r#"{"b":null,"a":[1.0,25e-1]}"#)),
        entry(&tenant, "beta", ConfigurationValue::Boolean(true)),
        entry("environment", "ratio", number("0.50")),
        entry("service:cart", "db.password", ConfigurationValue::Secret(pinned)),
        entry("environment", "greeting", text("Grüße")),
    ]
}

// Both sums were computed with another implementation of SHA-256, from the form that `Checksum` documents.
#[test]
fn the_checksum_is_the_documented_one_and_stays_so() {
    let expected = "sha256:0bb7135dd963a050799b1ce727742d0e6b3be8ca25df724fb3788c1fc1203739";
    assert_eq!(content(sample()).checksum().as_str(), expected);
    let empty = "sha256:dd5c7caf45d5297123b20b5344f0166c7dadb755437011449efb977ce1e72d7c";
    assert_eq!(ConfigurationEntries::default().checksum().to_string(), empty);
    assert_eq!(empty.parse(), Ok(ConfigurationEntries::default().checksum()));
}

#[test]
fn what_is_not_a_checksum_is_refused_and_not_repeated() {
    let hex = "a".repeat(64);
    for bad in [
        hex.clone(),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}a"),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256:{}g", &hex[1..]),
    ] {
        let error = Checksum::new(&bad).unwrap_err();
        assert!(!error.to_string().contains("aaa"), "{error}");
    }
    assert!(Checksum::new(&format!("sha256:{hex}")).is_ok());
}

#[test]
fn a_key_is_what_the_type_says() {
    let longest = "k".repeat(EntryKey::LONGEST);
    for good in ["a", "_", "a.b", "LOG__LEVEL", "a:b-c_9", longest.as_str()] {
        assert_eq!(EntryKey::new(good).unwrap().to_string(), good);
    }
    let long = "k".repeat(EntryKey::LONGEST + 1);
    for bad in ["", "9a", ".a", "-a", "a.", "a-", "a:", "a b", "a/b", "ä", long.as_str()] {
        assert_eq!(bad.parse::<EntryKey>(), Err(EntryError::Key), "{bad}");
    }
}

#[test]
fn a_scope_is_written_as_it_is_read() {
    let tenant = format!("tenant:{}", id::<crate::id::kind::Tenant>(2));
    for good in ["environment", "service:cart", tenant.as_str()] {
        assert_eq!(good.parse::<ConfigScope>().unwrap().to_string(), good);
    }
    for bad in ["", "environment:x", "service", "service:", "service:A", "tenant:2", "cluster:a"] {
        assert_eq!(bad.parse::<ConfigScope>(), Err(EntryError::Scope), "{bad}");
    }
}

#[test]
fn a_number_has_one_canonical_text() {
    let cases = [
        ("0", "0"),
        ("-0", "0"),
        ("-0.00", "0"),
        ("1.0", "1"),
        ("1.50", "1.5"),
        ("-0.05", "-0.05"),
        ("10", "10"),
        ("100.010", "100.01"),
        ("-12", "-12"),
    ];
    for (text, canonical) in cases {
        assert_eq!(Decimal::new(text).unwrap().as_str(), canonical, "{text}");
        assert_eq!(Decimal::from_json(text).unwrap().as_str(), canonical, "{text}");
    }
    for bad in ["", "-", "+1", "01", "-01", ".5", "5.", "1e3", "1,5", "1.2.3", "--1", "0x1", " 1", "NaN"] {
        assert_eq!(Decimal::new(bad), Err(EntryError::Number), "{bad}");
    }
    let most = "9".repeat(Decimal::MOST_DIGITS);
    assert!(Decimal::new(&most).is_ok());
    assert!(Decimal::new(&format!("{most}9")).is_err());
    assert!(Decimal::new(&format!("9.{}", &most[1..])).is_ok());
    assert!(Decimal::new(&format!("9.{most}")).is_err());
    assert!(Decimal::new(&format!("1.{}", "0".repeat(62))).is_ok(), "64 bytes are looked at");
    assert!(Decimal::new(&format!("1.{}", "0".repeat(63))).is_err());
}

#[test]
fn an_exponent_is_multiplied_out() {
    let cases = [
        ("1e3", "1000"),
        ("1E+3", "1000"),
        ("25e-1", "2.5"),
        ("-1.25e1", "-12.5"),
        ("-1.25e-3", "-0.00125"),
        ("0e99999999999", "0"),
        ("1.5e0", "1.5"),
        ("12e-2", "0.12"),
        ("1e37", "10000000000000000000000000000000000000"),
    ];
    for (text, canonical) in cases {
        assert_eq!(Decimal::from_json(text).unwrap().as_str(), canonical, "{text}");
    }
    for bad in [
        "1e",
        "e1",
        "1e+",
        "1e+-1",
        "1e--1",
        "1ee1",
        "1e1.5",
        "1e39",
        "1e76",
        "1e77",
        "1e99999999999",
        "1e-77",
    ] {
        assert_eq!(Decimal::from_json(bad), Err(EntryError::Number), "{bad}");
    }
    assert!(Decimal::from_json("1e-38").is_ok());
    assert!(Decimal::from_json("1e-39").is_err());
    let long = format!("0.{}1e38", "0".repeat(37));
    assert_eq!(Decimal::from_json(&long).unwrap().as_str(), "1");
    let longest = format!("{}e-76", "9".repeat(38));
    assert!(Decimal::from_json(&longest).is_err());
}

#[test]
fn json_has_one_canonical_text() {
    let cases = [
        (r#" { "b" : [ ] , "a" : { } } "#, r#"{"a":{},"b":[]}"#),
        (r#"[1.0,true,false,null,"x"]"#, r#"[1,true,false,null,"x"]"#),
        (r#""\u0041\n\"\\/""#, "\"A\\u000a\\\"\\\\/\""),
        ("\t7\r\n", "7"),
        (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#),
        ("\"\u{1f}\u{20}\"", ""),
    ];
    for (text, canonical) in cases {
        match JsonDocument::parse(text) {
            Ok(document) => {
                assert_eq!(document.to_string(), canonical, "{text}");
                assert_eq!(JsonDocument::parse(canonical), Ok(document));
            }
            Err(error) => assert_eq!((error, canonical), (EntryError::Json, ""), "{text}"),
        }
    }
    for bad in [
        "",
        "{",
        "[1",
        "[1,]",
        "{\"a\"}",
        "{\"a\":1,}",
        "{a:1}",
        "nul",
        "1 2",
        "\"a",
        "\"\\x\"",
        "[1}",
        "]",
        ",",
        "'a'",
    ] {
        assert!(matches!(JsonDocument::parse(bad), Err(EntryError::Json | EntryError::Number)), "{bad}");
    }
    assert_eq!(JsonDocument::parse(r#"{"a":1,"a":2}"#), Err(EntryError::JsonDuplicate));
}

#[test]
fn json_is_bounded_in_depth_and_length() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let members = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    for written in [nested, members] as [fn(usize) -> String; 2] {
        let deepest = written(JsonDocument::DEEPEST);
        assert!(JsonDocument::parse(&deepest).is_ok());
        assert!(JsonDocument::from_value(&serde_json::from_str(&deepest).unwrap()).is_ok());
        let deeper = written(JsonDocument::DEEPEST + 1);
        assert_eq!(JsonDocument::parse(&deeper), Err(EntryError::JsonTooDeep));
        let value: Value = serde_json::from_str(&deeper).unwrap();
        assert_eq!(JsonDocument::from_value(&value), Err(EntryError::JsonTooDeep));
    }
    let text = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    assert!(JsonDocument::parse(&text(JsonDocument::LONGEST)).is_ok());
    assert_eq!(JsonDocument::parse(&text(JsonDocument::LONGEST + 1)), Err(EntryError::JsonTooLong));
    let grown = format!("[{}1]", "1e37,".repeat(500));
    assert_eq!(JsonDocument::parse(&grown), Err(EntryError::JsonTooLong), "multiplied out it is too long");
    let value = Value::String("x".repeat(JsonDocument::LONGEST));
    assert_eq!(JsonDocument::from_value(&value), Err(EntryError::JsonTooLong));
}

#[test]
fn a_value_is_written_with_its_type_and_read_back() {
    let cases = [
        (written!({"type": "text", "value": "x"}), text("x")),
        (written!({"type": "number", "value": "1.50"}), number("1.5")),
        (written!({"type": "number", "value": 3}), number("3")),
        (written!({"type": "number", "value": 0.25}), number("0.25")),
        (written!({"type": "boolean", "value": true}), ConfigurationValue::Boolean(true)),
        (written!({"type": "json", "value": "{\"a\": 1}"}), json(r#"{"a":1}"#)),
        (
            written!({"type": "json", "value": {"a": [1, "x", null, true]}}),
            json(r#"{"a":[1,"x",null,true]}"#),
        ),
        (
            written!({"type": "secret", "value": {"binding": "sec_0000000000000000000000000000001e"}}),
            reference(30),
        ),
        (
            written!({"type": "secret", "value": {"binding": "sec_0000000000000000000000000000001e", "version": null}}),
            reference(30),
        ),
    ];
    for (form, expected) in cases {
        let value: ConfigurationValue = serde_json::from_value(form).unwrap();
        assert_eq!(value, expected);
        let back = serde_json::to_value(&value).unwrap();
        assert_eq!(back["type"], value.type_name());
        assert_eq!(serde_json::from_value::<ConfigurationValue>(back).unwrap(), value);
    }
    let pinned = ConfigurationValue::Secret(SecretReference::pinned(id(30), "v2").unwrap());
    let form = serde_json::to_value(&pinned).unwrap();
    assert_eq!(form["value"]["version"], "v2");
    assert_eq!(serde_json::from_value::<ConfigurationValue>(form).unwrap(), pinned);
}

/// Shows X-11.
#[test]
fn a_value_of_another_type_is_refused_and_not_repeated() {
    let hidden = "hunter2hunter2";
    let forms = [
        written!({"type": "boolean", "value": hidden}),
        written!({"type": "number", "value": hidden}),
        written!({"type": "json", "value": hidden}),
        written!({"type": "text", "value": [hidden]}),
        written!({"type": hidden, "value": hidden}),
        written!({"type": "secret", "value": hidden}),
        written!({"type": "secret", "value": {"binding": hidden}}),
        written!({"type": "secret", "value": {"binding": 1}}),
        written!({"type": "secret", "value": {"binding": "sec_0000000000000000000000000000001e", "value": hidden}}),
        written!({"type": "secret", "value": {"binding": "sec_0000000000000000000000000000001e", "version": [hidden]}}),
        written!({"type": "secret", "value": {"binding": "sec_0000000000000000000000000000001e", "version": format!("{hidden} ")}}),
    ];
    for form in forms {
        let error = serde_json::from_value::<ConfigurationValue>(form.clone()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter"), "{error}");
    }
    for value in [text(hidden), json(&format!("\"{hidden}\""))] {
        assert!(!format!("{value:?}").contains("hunter"), "{value:?}");
    }
    assert_eq!(format!("{:?}", text("abc")), "text(3 bytes)");
    assert_eq!(format!("{:?}", JsonDocument::parse("[1]").unwrap()), "JsonDocument(3 bytes)");
}

#[test]
fn a_pinned_version_is_what_a_vault_would_name() {
    let longest = "v".repeat(SecretReference::LONGEST_VERSION);
    assert_eq!(SecretReference::pinned(id(1), &longest).unwrap().version(), Some(longest.as_str()));
    for bad in ["", "a b", "a/b", &format!("{longest}v")] {
        assert_eq!(SecretReference::pinned(id(1), bad), Err(EntryError::SecretVersion), "{bad}");
    }
    assert_eq!(SecretReference::to(id(1)).version(), None);
    assert_eq!(SecretReference::to(id(1)).binding(), id(1));
    assert!(SecretReference::pinned(id(1), "a.b-c_1").unwrap().to_string().ends_with("1@a.b-c_1"));
}

#[test]
fn a_content_is_bounded_and_has_each_key_once_per_scope() {
    let rule = |entries: Vec<_>| {
        ConfigurationEntries::new(entries).map_err(|refusal| {
            assert!(!refusal.remedy().is_empty() && !refusal.to_string().is_empty());
            refusal.rule()
        })
    };
    let many = |count: usize| -> Vec<_> {
        (0..count).map(|at| entry("environment", &format!("k{at}"), text(""))).collect()
    };
    assert!(rule(many(ConfigurationEntries::MOST)).is_ok());
    assert_eq!(rule(many(ConfigurationEntries::MOST + 1)), Err(Rule::Content));
    let one = |length: usize| vec![entry("environment", "k", text(&"x ".repeat(length / 2)))];
    assert!(rule(one(ConfigurationValue::LONGEST_TEXT)).is_ok());
    assert_eq!(rule(one(ConfigurationValue::LONGEST_TEXT + 2)), Err(Rule::Content));
    // Sixteen entries of 16 KiB each, their scopes and keys of 13 bytes included.
    let whole = |last: usize| -> Vec<_> {
        let length = |at: usize| if at == 15 { last } else { ConfigurationValue::LONGEST_TEXT - 14 };
        (0..16)
            .map(|at| entry("environment", &format!("k{at:02}"), text(&"x ".repeat(length(at) / 2))))
            .collect()
    };
    assert!(rule(whole(ConfigurationValue::LONGEST_TEXT - 14)).is_ok());
    assert_eq!(rule(whole(ConfigurationValue::LONGEST_TEXT - 12)), Err(Rule::Content));
    let twice = vec![entry("environment", "k", text("a")), entry("environment", "k", text("b"))];
    assert_eq!(rule(twice), Err(Rule::Content));
    let apart = vec![entry("environment", "k", text("a")), entry("service:cart", "k", text("b"))];
    assert!(rule(apart).is_ok());
}

#[test]
fn scopes_come_in_order_of_precedence_with_their_entries() {
    let tenant = ConfigScope::Tenant(id(2)).to_string();
    let entries = content(sample());
    let scopes: Vec<(String, usize)> =
        entries.scopes().map(|scope| (scope.scope.to_string(), scope.entries.len())).collect();
    assert_eq!(scopes, [("environment".to_string(), 3), ("service:cart".to_string(), 1), (tenant, 1)]);
    assert_eq!(entries.secrets().len(), 1);
}

#[test]
fn the_tenants_value_wins_over_the_services_and_that_over_the_environments() {
    let tenant = ConfigScope::Tenant(id(2)).to_string();
    let entries = content(vec![
        entry(&tenant, "a", text("tenant")),
        entry("service:cart", "a", text("service")),
        entry("environment", "a", text("environment")),
        entry("service:mail", "b", text("mail")),
        entry("environment", "c", text("all")),
    ]);
    let (cart, mail) = (name("cart"), name("mail"));
    let told = |module, tenant| -> Vec<String> {
        let effective = entries.effective(module, tenant);
        let line = |(key, entry): (&&EntryKey, &EffectiveEntry<'_>)| {
            let ConfigurationValue::Text(value) = entry.value else { panic!() };
            let shadowed: Vec<String> = entry.shadowed.iter().map(ToString::to_string).collect();
            format!("{key}={value} by {} over {}", entry.scope, shadowed.join(","))
        };
        effective.entries.iter().map(line).collect()
    };
    let all = "c=all by environment over ".to_string();
    let tenants = format!("a=tenant by {tenant} over environment,service:cart");
    assert_eq!(told(&cart, Some(id(2))), [tenants, all.clone()]);
    let services = "a=service by service:cart over environment".to_string();
    assert_eq!(told(&cart, None), [services.clone(), all.clone()]);
    assert_eq!(told(&cart, Some(id(3))), [services, all.clone()]);
    let mails = "b=mail by service:mail over ".to_string();
    assert_eq!(told(&mail, None), ["a=environment by environment over ".to_string(), mails, all]);
}

#[test]
fn a_difference_reads_line_by_line_in_order() {
    let old = content(vec![
        entry("environment", "a", text("x")),
        entry("environment", "b", number("1")),
        entry("environment", "d", ConfigurationValue::Boolean(true)),
    ]);
    let new = content(vec![
        entry("environment", "a", text("y")),
        entry("environment", "b", number("1.0")),
        entry("environment", "c", json("[1]")),
        entry("service:cart", "s", reference(30)),
    ]);
    let diff = ConfigurationDiff::between(&old, &new);
    let expected = "~ environment a = \"y\" (was \"x\")\n+ environment c = [1]\n- environment d = true\n\
                    + service:cart s = the secret sec_0000000000000000000000000000001e\n";
    assert_eq!(diff.to_string(), expected);
    assert_eq!(diff.changes().len(), 4);
    assert!(!diff.is_empty());
    assert!(ConfigurationDiff::between(&old, &old).is_empty());
    assert_eq!(diff.apply(&new).unwrap_err().rule(), Rule::Content);
    assert_eq!(diff.apply(&old), Ok(new));
}

fn values() -> impl Strategy<Value = ConfigurationValue> {
    prop_oneof![
        "[a-z ]{0,6}".prop_map(ConfigurationValue::Text),
        any::<i16>().prop_map(|whole| number(&whole.to_string())),
        any::<bool>().prop_map(ConfigurationValue::Boolean),
        any::<[u8; 2]>().prop_map(|items| json(&format!("{{\"a\":{items:?}}}"))),
        (0..3_u128).prop_map(reference),
    ]
}

fn contents() -> impl Strategy<Value = ConfigurationEntries> {
    let scope = prop_oneof![
        Just("environment".to_string()),
        "[a-b]".prop_map(|module| format!("service:{module}")),
        (0..2_u128).prop_map(|tenant| ConfigScope::Tenant(id(tenant)).to_string()),
    ];
    proptest::collection::btree_map((scope, "[a-d]"), values(), 0..10).prop_map(|entries| {
        content(entries.into_iter().map(|((scope, key), value)| entry(&scope, &key, value)).collect())
    })
}

proptest! {
    #[test]
    fn making_the_changes_to_the_old_gives_the_new(old in contents(), new in contents()) {
        let diff = ConfigurationDiff::between(&old, &new);
        prop_assert_eq!(diff.is_empty(), old == new);
        prop_assert_eq!(old.checksum() == new.checksum(), old == new);
        prop_assert_eq!(diff.apply(&old), Ok(new));
    }

    #[test]
    fn the_order_of_entries_is_no_matter(entries in contents().prop_map(Vec::from).prop_shuffle(), again in any::<u8>()) {
        let mut shuffled = entries.clone();
        shuffled.rotate_left(usize::from(again) % entries.len().max(1));
        prop_assert_eq!(content(entries).checksum(), content(shuffled).checksum());
    }

    #[test]
    fn a_content_is_read_back_as_it_was_written(entries in contents()) {
        let stored = serde_json::to_string(&entries).unwrap();
        prop_assert_eq!(serde_json::from_str::<ConfigurationEntries>(&stored).unwrap(), entries);
    }

    #[test]
    fn the_order_of_json_members_is_no_matter(members in proptest::collection::btree_map("\\PC{0,5}", any::<i32>(), 0..6)) {
        let member = |(key, value): (&String, &i32)| format!("{}:{value}", Value::from(key.as_str()));
        let forwards: Vec<String> = members.iter().map(member).collect();
        let backwards: Vec<String> = members.iter().rev().map(member).collect();
        let one = JsonDocument::parse(&format!("{{{}}}", forwards.join(","))).unwrap();
        prop_assert_eq!(&JsonDocument::parse(&format!("{{ {} }}", backwards.join(" , "))).unwrap(), &one);
        let oracle: Value = serde_json::from_str(&one.to_string()).unwrap();
        prop_assert_eq!(JsonDocument::from_value(&oracle).unwrap(), one);
    }

    #[test]
    fn hostile_json_is_refused_or_read_as_another_parser_reads_it(text in "[\\[\\]{}:,\"a1.e\\\\ -]{0,24}") {
        if let Ok(document) = JsonDocument::parse(&text) {
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            prop_assert_eq!(JsonDocument::parse(&document.to_string()), Ok(document));
        }
    }

    #[test]
    fn a_decimal_is_read_back_as_it_was_written(whole in any::<i64>(), places in "[0-9]{1,12}") {
        let number = Decimal::new(&format!("{whole}.{places}")).unwrap();
        prop_assert_eq!(Decimal::new(number.as_str()), Ok(number));
    }
}
