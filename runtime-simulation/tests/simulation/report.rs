//! What a run has come to, for people and for PROOF.md; and what there is to be reached, taken from the code.

use std::collections::{BTreeMap, BTreeSet};

use runtime_simulation::{Coverage, NEVER_CALLED, Outcome};
use serde_json::{Value, json};

use crate::unreachable;

/// The domain's contexts, and the aggregate of each.
const CONTEXTS: [(&str, &str); 10] = [
    ("configuration", "RuntimeConfiguration"),
    ("deployment", "RuntimeDeployment"),
    ("drift", "RuntimeDriftFinding"),
    ("drift/watch", "DriftWatch"),
    ("environment", "RuntimeEnvironment"),
    ("health", "HealthCheckResult"),
    ("inventory", "RuntimeService"),
    ("scaling", "ScalingPolicy"),
    ("secrets", "SecretBinding"),
    ("tenancy", "RuntimeTenantBinding"),
];

fn source(context: &str, room: &str) -> String {
    let path = format!("{}/../runtime-domain/src/{context}/{room}.rs", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The variants of the public enums whose name ends so, by the enum's name. The code is formatted, so that lines are enough.
fn variants(source: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut inside: Option<String> = None;
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("pub enum ") {
            let name = rest.split([' ', '<', '{']).next().unwrap_or_default();
            inside = name.ends_with(ending).then(|| name.to_owned());
        } else if line == "}" {
            inside = None;
        } else if let (Some(own), Some(rest)) = (&inside, line.strip_prefix("    "))
            && rest.starts_with(|letter: char| letter.is_ascii_uppercase())
        {
            let variant = rest.split([' ', ',', '(', '{']).next().unwrap_or_default();
            found.push((own.clone(), variant.to_owned()));
        }
    }
    found
}

/// Every state, event or refusal that the code has, by context.
fn all(room: &str, ending: &str, told: impl Fn(&str, (String, String)) -> String) -> BTreeSet<String> {
    let of_context = |(context, aggregate): (&str, &str)| {
        let variants = variants(&source(context, room), ending).into_iter();
        variants.map(|variant| told(aggregate, variant)).collect::<Vec<_>>()
    };
    CONTEXTS.into_iter().flat_map(of_context).collect()
}

/// `StepStatus` is of a step of a deployment, and `ProductStatus` of no aggregate.
fn all_states() -> BTreeSet<String> {
    let all = all("state", "Status", |aggregate, (own, variant)| {
        if own == "StepStatus" { String::new() } else { format!("{aggregate} {variant}") }
    });
    all.into_iter().filter(|state| !state.is_empty()).collect()
}

fn all_events() -> BTreeSet<String> {
    all("event", "Event", |aggregate, (_, variant)| format!("{aggregate} {variant}"))
}

fn all_refusals() -> BTreeSet<String> {
    all("refusal", "Refusal", |_, (own, variant)| format!("{own}::{variant}"))
}

/// How many of all that can be were reached, and which were not.
fn part(reached: &BTreeMap<String, u64>, all: &BTreeSet<String>) -> Value {
    let can_be: Vec<&String> = all.iter().filter(|one| unreachable::why(one).is_none()).collect();
    let left: Vec<&&String> = can_be.iter().filter(|one| !reached.contains_key(**one)).collect();
    json!({ "reached": can_be.len() - left.len(), "of": can_be.len(), "left": left })
}

/// What no story comes to, each with its reason.
fn never() -> Value {
    let methods = NEVER_CALLED.iter().map(|(method, why)| format!("faults of {method}: {why}"));
    let others = unreachable::all().map(|(one, why)| format!("{one}: {why}"));
    methods.chain(others).collect()
}

/// What was reached though there is a reason why it cannot be.
fn wrongly_excused(outcome: &Outcome) -> Vec<String> {
    // What is waited for is called, and meets no fault.
    let waited_for = ["scaling_signals.waiting", "store.work_arrived"];
    let never = NEVER_CALLED.iter().map(|(method, _)| *method).filter(|method| !waited_for.contains(method));
    let called = never.filter(|method| outcome.calls.contains_key(method)).map(str::to_owned);
    let reached = outcome.coverage.refusals.keys().chain(outcome.coverage.events.keys());
    called.chain(reached.filter(|one| unreachable::why(one).is_some()).cloned()).collect()
}

pub(crate) fn of(outcome: &Outcome) -> Value {
    let coverage = &outcome.coverage;
    let cells_left = coverage.cells_left();
    let cells = Coverage::all_cells().len();
    let told =
        |(method, kind): &(&str, runtime_testkit::faults::FaultKind)| format!("{method}: {}", kind.name());
    let (points, points_left) = coverage.points();
    let failure = outcome.failure.as_ref().map(|failure| {
        json!({ "law": failure.broken.law().sentence(), "what": failure.broken.what(), "again": failure.replay() })
    });
    json!({
        "seeds": outcome.seeds,
        "steps": outcome.steps,
        "seconds": outcome.took.as_secs_f64().round(),
        "calls": outcome.calls.values().sum::<u64>(),
        "simulated": outcome.virtual_time.to_string(),
        "failure": failure,
        "actions": coverage.actions.len(),
        "crashPoints": {
            "reached": points - points_left.len(),
            "of": points,
            "left": points_left.iter().map(|(action, point)| format!("{action}: {point}")).collect::<Vec<_>>(),
        },
        "cells": {
            "reached": cells - cells_left.len(),
            "of": cells,
            "left": cells_left.iter().map(told).collect::<Vec<_>>(),
        },
        "states": part(&coverage.states, &all_states()),
        "events": part(&coverage.events, &all_events()),
        "refusals": part(&coverage.refusals, &all_refusals()),
        "never": never(),
    })
}

/// Prints it, and writes it where `SIMULATION_REPORT` says.
pub(crate) fn tell(outcome: &Outcome) {
    println!("{outcome}");
    println!("asked, and how often accepted and not: {:?}", outcome.answers);
    println!("called: {:?}", outcome.calls);
    println!("ended last: {:?}", outcome.longest_ending);
    let report = of(outcome);
    for part in ["crashPoints", "cells", "states", "events", "refusals"] {
        let Value::Array(left) = &report[part]["left"] else { continue };
        let left: Vec<&str> = left.iter().filter_map(Value::as_str).collect();
        println!("{part}: {} of {}; not: {}", report[part]["reached"], report[part]["of"], left.join(", "));
    }
    if let Ok(path) = std::env::var("SIMULATION_REPORT") {
        let text = format!("{}\n", serde_json::to_string_pretty(&report).unwrap());
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let wrongly = wrongly_excused(outcome);
    // A broken law is told first, by whoever asserts that there is none.
    assert!(
        wrongly.is_empty() || outcome.failure.is_some(),
        "a story came to what unreachable.rs or NEVER_CALLED says it cannot: {wrongly:?}"
    );
}

#[test]
fn what_there_is_to_be_reached_is_found_in_the_code() {
    let (states, events, refusals) = (all_states(), all_events(), all_refusals());
    assert!(states.contains("RuntimeDeployment RolledBack") && states.contains("DriftWatch Stopped"));
    assert!(events.contains("RuntimeEnvironment LineStopped") && events.len() > 100, "{events:?}");
    assert!(refusals.contains("TenancyRefusal::OverQuota") && refusals.len() > 60, "{refusals:?}");
    for (one, _) in unreachable::all() {
        assert!(refusals.contains(one) || events.contains(one), "there is no {one}");
    }
    let contexts: BTreeSet<&str> = refusals.iter().filter_map(|one| one.split("::").next()).collect();
    assert_eq!(contexts.len(), CONTEXTS.len(), "{contexts:?}");
}
