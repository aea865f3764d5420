//! The texts that name things, at their limits; and what a probe and a component are when a manifest does not say.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::json;

use crate::component::*;
use crate::scope::Actor;
use crate::testing::{assert_text, id, letters, name};

#[test]
fn a_version_is_what_people_write_on_a_release() {
    let shown = |version: &Version| Vec::from([version.to_string(), version.as_str().to_string()]);
    assert_text(
        shown,
        &["1", "1.4.2", "v1.0.0-rc.1+build_7", &letters(64)],
        &["", "1 2", "1/2", "ä", &letters(65)],
    );
    assert_eq!("1.4.2".parse(), Version::new("1.4.2"));
    assert!("1 2".parse::<Version>().is_err());
}

#[test]
fn a_variable_name_is_one_that_every_shell_takes_and_none_of_our_own() {
    let shown = |name: &VariableName| Vec::from([name.as_str().to_string()]);
    let legal = ["A", "_", "_1", "LOG_LEVEL", "path", "FACTORY", "A_FACTORY_", &letters(128)];
    assert_text(shown, &legal, &["", "1A", "A-B", "A=B", "FACTORY_", "FACTORY_PORT", "Ä", &letters(129)]);
}

#[test]
fn a_path_fits_a_request_line() {
    let shown = |path: &HttpPath| Vec::from([path.as_str().to_string()]);
    let longest = format!("/{}", letters(511));
    let too_long = format!("/{}", letters(512));
    let refused = ["", "ready", "//host", "/a b", "/a#b", "/a\\b", "/a\nb", "/ä", &too_long];
    assert_text(shown, &["/", "/ready", "/a//b?c=d&e=%20", &longest], &refused);
}

#[test]
fn a_release_reference_is_one_word_of_a_pipeline() {
    let shown =
        |reference: &ReleaseReference| Vec::from([reference.to_string(), reference.as_str().to_string()]);
    let legal = ["shop-2026.11.2", "org/shop@main:1+2_3", &letters(128)];
    assert_text(shown, &legal, &["", "a b", "a\nb", "ä", &letters(129)]);
}

#[test]
fn a_revision_names_its_module_and_its_deployment() {
    let revision = RevisionId::new(name("cart"), id(7));
    let text = "cart@dep_00000000000000000000000000000007";
    assert_eq!(revision.to_string(), text);
    let shown = |revision: &RevisionId| Vec::from([revision.to_string()]);
    let environment = "cart@env_00000000000000000000000000000007";
    assert_text(
        shown,
        &[text],
        &["", "cart", "@", "Cart@dep_00000000000000000000000000000007", "cart@7", environment],
    );
}

#[test]
fn an_actor_is_one_printable_word() {
    let shown = |actor: &Actor| Vec::from([actor.to_string(), actor.as_str().to_string()]);
    assert_text(shown, &["a", "oidc|4711", &letters(128)], &["", "a b", "a\n", "ä", &letters(129)]);
    assert_eq!(Actor::reconciler("drift").as_str(), "reconciler:drift");
}

#[test]
fn a_probe_that_says_only_its_path_asks_every_second_and_believes_the_third_failure() {
    let probe: HttpProbeSpec = serde_json::from_value(json!({ "path": "/ready" })).unwrap();
    assert_eq!(probe, HttpProbeSpec::at(HttpPath::new("/ready").unwrap()));
    assert_eq!(
        (probe.period, probe.timeout, probe.failure_threshold),
        (Span::from_secs(1), Span::from_secs(1), 3)
    );
}

#[test]
fn a_component_that_does_not_say_has_ten_seconds_to_finish_its_requests() {
    let component: ComponentSpec = serde_json::from_value(json!({
        "module": "cart",
        "component_type": "worker",
        "version": "1",
        "tuple": { "image": format!("shop/cart:1@sha256:{}", letters(64)) },
        "surface": "process",
        "replicas": 1,
    }))
    .unwrap();
    assert_eq!(component.termination_grace, Span::from_secs(10));
    assert_eq!((component.readiness, component.liveness), (None, None));
    assert_eq!(component.arguments, Vec::<String>::new());
}

#[test]
fn a_service_outside_is_asked_over_http_and_its_url_holds_nothing_that_may_be_a_secret() {
    let shown = |url: &ServiceUrl| Vec::from([url.to_string(), url.as_str().to_string()]);
    let legal = [
        "http://pay.example",
        "http://pay.example/",
        "http://pay.example:8080/health/ready",
        "http://192.0.2.1:80/a",
        "http://[2001:db8::1]:8080/ready",
        "http://[2001:db8::1]",
    ];
    let long = format!("http://pay.example/{}", letters(512));
    let refused = [
        "",
        "http://",
        "http:///ready",
        "https://pay.example/",
        "HTTP://pay.example/",
        "http://Pay.example/",
        "http://ann:hunter2@pay.example/",
        "http://pay.example/?token=hunter2",
        "http://pay.example?token=hunter2",
        "http://pay.example/#a",
        "http://pay.example:0/",
        "http://pay.example:080/",
        "http://pay.example:65536/",
        "http://pay.example:/",
        "http://pay..example/",
        "http://-pay.example/",
        "http://[::1/",
        "http://[::1]x/",
        "http://pay.example/a b",
        "http://pay.example/AKIAIOSFODNN7EXAMPLE",
        &long,
    ];
    assert_text(shown, &legal, &refused);
    for text in refused {
        let told = ServiceUrl::new(text).unwrap_err().to_string();
        assert!(!told.contains("hunter2") && !told.contains("AKIA"), "{told}");
    }
}

#[test]
fn a_url_says_whom_to_ask_and_for_what() {
    for (text, address, host, path) in [
        ("http://pay.example", "pay.example:80", "pay.example", "/"),
        ("http://pay.example:8080/a/b", "pay.example:8080", "pay.example", "/a/b"),
        ("http://[2001:db8::1]/a", "[2001:db8::1]:80", "[2001:db8::1]", "/a"),
        ("http://[2001:db8::1]:81", "[2001:db8::1]:81", "[2001:db8::1]", "/"),
    ] {
        let url = ServiceUrl::new(text).unwrap();
        assert_eq!((url.address().as_str(), url.host()), (address, host), "{text}");
        assert_eq!(url.path(), HttpPath::new(path).ok(), "{text}");
    }
}

#[test]
fn what_is_required_comes_first_and_what_is_only_rolled_out_before_is_not_required() {
    let mut component: ComponentSpec = serde_json::from_value(json!({
        "module": "cart",
        "component_type": "worker",
        "version": "1",
        "tuple": { "image": format!("shop/cart:1@sha256:{}", letters(64)) },
        "surface": "process",
        "replicas": 1,
        "depends_on": ["catalog", "db", "cart"],
        "dependencies": {
            "adverts": { "required": false, "http": { "url": "http://adverts.example/" } },
            "cart": {},
            "db": {},
        },
    }))
    .unwrap();
    let needed: Vec<_> = component
        .needs()
        .map(|needed| (needed.name.as_str(), needed.required, needed.http.is_some()))
        .collect();
    assert_eq!(needed, [("db", true, false), ("adverts", false, true), ("catalog", false, false)]);
    let adverts = component.dependencies.remove(&name("adverts")).unwrap().http.unwrap();
    assert_eq!(adverts, OutsideService::at(ServiceUrl::new("http://adverts.example/").unwrap()));
    assert_eq!(adverts.timeout, Span::from_secs(1));
}
