//! Manifests that parse, and still make no release. What does not parse: `tests/manifest.rs` of the library.

use factory_runtime::domain::refusal::Rule;
use factory_runtime::manifest;

use crate::bench::{Bench, in_words, release_of, says};

/// The service refuses the release; nothing is listed that was not before, and the remedy comes with the error.
async fn refused(bench: &Bench, yaml: &str, rule: Rule) -> String {
    let before = bench.listing().await;
    let release = bench.resolve(yaml).await.expect("resolved");
    let deployments = bench.runtime().deployments();
    let preview = deployments.preview(bench.scope(), bench.environment(), release.clone()).await;
    let error = deployments.request(bench.scope(), bench.environment(), release).await.expect_err("refused");
    assert_eq!(error.rule(), Some(rule));
    assert_eq!(preview.expect_err("refused").to_string(), error.to_string(), "a preview says the same");
    assert_eq!(bench.listing().await, before);
    assert!(!deployments.is_busy(bench.scope(), bench.environment()).await.expect("read"));
    format!("{}; {}", in_words(&error), error.remedy())
}

fn component(module: &str, depends_on: &str) -> String {
    format!("  {module}: {{ image: 'test/web:1.0.0', version: 1.0.0, depends_on: [{depends_on}] }}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_cycle_is_refused_with_the_modules_in_it() {
    let bench = Bench::with_a_release().await;
    let yaml = release_of("1.0.0") + &component("cart", "catalog") + &component("catalog", "cart");
    let error = refused(&bench, &yaml, Rule::Content).await;
    says(&error, &["cart", "catalog", "in a circle", "remove one of the dependencies"]);
    assert!(!error.contains("web"), "`web` is not part of it: {error}");

    let error = refused(&bench, &(release_of("1.0.0") + &component("cart", "cart")), Rule::Content).await;
    says(&error, &["cart", "in a circle", "remove one of the dependencies"]);
    bench.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_makes_no_plan_is_refused_with_what_would() {
    let bench = Bench::with_a_release().await;
    let yaml = release_of("1.0.0") + &component("cart", "absent");
    says(&refused(&bench, &yaml, Rule::Content).await, &["`cart`", "`absent`", "add `absent`"]);

    let nothing = release_of("1.0.0")
        .replace("rolling-health-gated: {}", "rolling-health-gated: { max_surge: 0, max_unavailable: 0 }");
    says(&refused(&bench, &nothing, Rule::Content).await, &["nothing can be replaced", "set max_surge"]);

    let falling = release_of("1.0.0").replace(
        "rolling-health-gated: {}",
        "canary: { steps: [{ weight: 50, hold: { for: 1s } }, { weight: 10, hold: { for: 1s } }], bake: 1s }",
    );
    says(&refused(&bench, &falling, Rule::Content).await, &["do not rise", "rise strictly"]);

    let elsewhere = release_of("1.0.0").replace("    version", "    surface: kubernetes\n    version");
    let error = refused(&bench, &elsewhere, Rule::Capability).await;
    says(&error, &["`web`", "kubernetes", "choose a surface"]);
    bench.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_field_is_refused_before_anything_is_asked_for() {
    let bench = Bench::with_a_release().await;
    let before = bench.listing().await;
    let yaml = release_of("1.0.0").replace("    version", "    replica: 3\n    version");
    let error = manifest::parse(&yaml).expect_err("refused");
    says(&error.to_string(), &["replica", "replicas"]);
    assert_eq!(error.line(), Some(7), "{error}");
    assert_eq!(bench.listing().await, before);
    bench.is_unharmed().await;
}
