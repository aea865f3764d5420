//! Manifests as texts: what is good parses, what is wrong is refused with the line and the rule.

#![cfg(feature = "manifest")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use factory_runtime::manifest::{ReleaseManifest, parse};

const GOOD: &str = "release: shop-1
strategy: { rolling-health-gated: {} }
components:
  cart:
    image: shop/cart:1.4.2
    version: 1.4.2
    replicas: 2
    readiness: { path: /ready, period: 250ms }
gates:
  answers:
    at: before-traffic
    check:
      probe: { path: / }
limits: { progress_deadline: 5m }
";

/// `GOOD` with one text in place of another is refused, at this line, with all of this said.
#[track_caller]
fn refused(good: &str, bad: &str, line: u64, says: &[&str]) {
    assert!(GOOD.contains(good), "{good}");
    let error = parse(&GOOD.replacen(good, bad, 1)).expect_err("refused");
    let text = error.to_string();
    for part in says {
        assert!(text.contains(part), "`{part}` is not said in: {text}");
    }
    assert_eq!(error.line(), Some(line), "{text}");
    assert!(text.contains(&format!("line {line}")), "the line is not in the text: {text}");
}

#[test]
fn the_examples_parse() {
    let parsed = |text: &str| -> ReleaseManifest { parse(text).unwrap_or_else(|error| panic!("{error}")) };
    assert_eq!(parsed(GOOD).components.len(), 1);
    assert_eq!(parsed(include_str!("../examples/quickstart/release.yaml")).components.len(), 2);
}

#[test]
fn the_manifest_of_the_documentation_parses() {
    let lines = include_str!("../src/manifest.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let inside =
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).skip_while(|line| *line != "```yaml");
    let yaml: Vec<_> = inside.skip(1).take_while(|line| *line != "```").collect();
    let manifest = parse(&yaml.join("\n")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(manifest.components.len(), 2);
    assert_eq!(manifest.gates.len(), 1);
}

#[test]
fn an_unknown_field_is_refused_with_the_ones_there_are() {
    refused("replicas: 2", "replica: 2", 7, &["replica", "replicas"]);
    refused("release: shop-1", "release: shop-1\nstages: []", 2, &["stages", "strategy"]);
    refused("period: 250ms", "every: 250ms", 8, &["every", "period"]);
    refused("progress_deadline", "progress_dead_line", 14, &["progress_dead_line", "progress_deadline"]);
    refused("at: before-traffic", "at: before-traffic\n    when: now", 12, &["when", "check"]);
}

#[test]
fn an_unknown_choice_is_refused_with_the_ones_there_are() {
    refused("rolling-health-gated", "rolling", 2, &["rolling", "blue-green", "canary"]);
    refused("before-traffic", "before", 11, &["before", "before-traffic"]);
    refused("probe:", "ping:", 13, &["ping", "probe", "metric"]);
}

#[test]
fn a_missing_field_is_refused_with_its_name() {
    // The line is in the component that lacks it.
    refused("    image: shop/cart:1.4.2\n", "", 7, &["missing field `image`"]);
}

#[test]
fn a_value_that_breaks_its_rule_is_refused_with_the_rule() {
    refused("250ms", "250", 8, &["250", "unit"]);
    refused("5m", "soon", 14, &["soon"]);
    refused("shop/cart:1.4.2", "'shop/cart:1.4.2:3'", 5, &["shop/cart:1.4.2:3"]);
    refused("shop/cart:1.4.2", "Shop/Cart:1.4.2", 5, &["Shop/Cart:1.4.2"]);
    refused("shop/cart:1.4.2", "shop/cart@sha256:12", 5, &["sha256:12"]);
    refused("  cart:", "  Cart!:", 4, &["Cart!"]);
    refused("path: /ready", "path: ready", 8, &["ready", "/"]);
}

#[test]
fn a_component_says_how_it_scales_in_the_words_of_a_policy_and_what_is_no_policy_is_refused_with_what_would_be()
 {
    let scaling = |least: &str, rules: &str| {
        format!(
            "replicas: 2\n    scaling:\n      bounds: {{ target: process, min_replicas: {least}, max_replicas: 4 }}\n      rules: {rules}"
        )
    };
    let rule = "[{ metric: cpu-utilization, threshold: \"60\" }]";
    let good = parse(&GOOD.replacen("replicas: 2", &scaling("1", rule), 1)).expect("a manifest");
    let policy = good.components.values().next().and_then(|component| component.scaling.as_ref());
    assert_eq!(policy.map(|policy| policy.bounds().most().get()), Some(4));
    assert!(
        parse(GOOD).expect("a manifest").components.values().all(|component| component.scaling.is_none())
    );
    let none = scaling("0", rule);
    refused("replicas: 2", &none, 9, &["least of 1, or use container-apps or functions"]);
    refused("replicas: 2", &scaling("5", rule), 9, &["a least that is not more than the most"]);
    refused("replicas: 2", &scaling("1", "[]"), 9, &["a policy needs a rule: write one for a metric"]);
    let stray = scaling("1", rule).replace("rules:", "rule:");
    refused("replicas: 2", &stray, 10, &["rule", "rules"]);
}

#[test]
fn a_value_of_another_type_is_refused_with_the_wanted_one() {
    refused("replicas: 2", "replicas: two", 7, &["two"]);
    refused("replicas: 2", "replicas: [2]", 7, &[]);
    refused("replicas: 2", "replicas: -1", 7, &["-1"]);
    refused("  cart:\n", "  cart: yes\n  other:\n", 4, &[]);
}

#[test]
fn a_name_that_is_given_twice_is_refused() {
    refused("release: shop-1", "release: shop-1\nrelease: shop-2", 2, &["release", "duplicate"]);
    let twice = "replicas: 2\n    replicas: 3";
    refused("replicas: 2", twice, 8, &["replicas", "duplicate"]);
    let other = "components:\n  cart:\n    image: shop/cart:1.0.0\n    version: 1.0.0";
    refused("components:", other, 7, &["cart", "duplicate"]);
}

#[test]
fn what_is_no_manifest_at_all_is_refused() {
    for text in ["", "just words", "- a\n- b\n", "release: [", "\u{0}", "a: &a [*a]"] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}
