//! What a committed schema says of a text is what its parser says: who makes a text by the schema is not told that it is none, and who checks an
//! event by the schema refuses none that was published.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::fs;
use std::path::PathBuf;

use jsonschema::Validator;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use runtime_testkit::strategy::{component, configuration, secrets, value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const SAMPLES: usize = 400;

/// A text as a schema describes it.
struct Told {
    pattern: String,
    validator: Validator,
}

/// Every text with a pattern that a committed schema defines, by its name.
fn told() -> BTreeMap<String, Told> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runtime-domain/schemas");
    let mut told = BTreeMap::new();
    for file in fs::read_dir(folder).unwrap() {
        let schema: Value = serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
        let Some(definitions) = schema["$defs"].as_object() else { continue };
        for (name, schema) in definitions {
            let Some(pattern) = schema["pattern"].as_str() else { continue };
            let validator = jsonschema::validator_for(schema).unwrap();
            told.insert(name.clone(), Told { pattern: pattern.to_owned(), validator });
        }
    }
    told
}

/// A text of the schemas with its parser: `strays` says which texts a pattern cannot tell from legal ones.
fn agree<T>(told: &mut BTreeMap<String, Told>, name: &str, legal: BoxedStrategy<T>, strays: fn(&str) -> bool)
where
    T: Serialize + DeserializeOwned + Debug,
{
    let Told { pattern, validator } = told.remove(name).unwrap_or_else(|| panic!("no schema has {name}"));
    let mut runner = TestRunner::deterministic();
    for _ in 0..SAMPLES {
        let value = json!(legal.new_tree(&mut runner).unwrap().current());
        assert!(validator.is_valid(&value), "{name}: {value} is legal, and not as {pattern}");
    }
    // What may be repeated often is repeated a few times, so that the whole is not too long.
    let short = pattern.replace(")*", "){0,2}").replace("){0,63}", "){0,2}").replace("]+", "]{1,4}");
    let made = string_regex(short.trim_start_matches('^').trim_end_matches('$')).unwrap();
    let mut parsed = 0;
    for _ in 0..SAMPLES {
        let text = made.new_tree(&mut runner).unwrap().current();
        if !validator.is_valid(&json!(text)) || strays(&text) {
            continue;
        }
        let legal = serde_json::from_value::<T>(json!(text));
        assert!(legal.is_ok(), "{name}: {text:?} is as {pattern}, and refused: {}", display(legal.err()));
        parsed += 1;
    }
    assert!(parsed > SAMPLES / 4, "{name}: of {SAMPLES} texts that the pattern makes, {parsed} were tried");
}

fn display(error: Option<impl Display>) -> String {
    error.map(|error| error.to_string()).unwrap_or_default()
}

const fn none(_: &str) -> bool {
    false
}

/// Shows X-14.
#[test]
fn what_a_schema_says_of_a_text_is_what_its_parser_says() {
    let mut told = told();
    agree(&mut told, "Actor", value::valid_actor(), none);
    agree(&mut told, "Name", value::valid_name(), none);
    agree(&mut told, "Span", value::valid_span(), is_near_the_longest);
    agree(&mut told, "Measure", value::valid_measure(), none);
    agree(&mut told, "Version", component::valid_version(), none);
    agree(&mut told, "ImageDigest", component::valid_image_digest(), none);
    agree(&mut told, "PinnedImage", component::valid_pinned_image(), none);
    agree(&mut told, "ReleaseReference", component::valid_release_reference(), none);
    agree(&mut told, "RevisionId", component::valid_revision_id(), none);
    agree(&mut told, "HttpPath", component::valid_http_path(), none);
    agree(&mut told, "ServiceUrl", component::valid_service_url(), |url| url.contains("//["));
    agree(&mut told, "EntryKey", configuration::valid_entry_key(), none);
    agree(&mut told, "ConfigScope", configuration::valid_config_scope(), none);
    agree(&mut told, "Delivery", secrets::valid_delivery(), none);
    agree(&mut told, "ManagedIdentityRef", secrets::valid_managed_identity(), none);
    told.retain(|name, told| !is_identifier(name, told));
    assert_eq!(told.into_keys().collect::<Vec<_>>(), [""; 0], "texts that nobody has held against a parser");
}

/// A span is 36,500 days at most, and no pattern adds up.
fn is_near_the_longest(span: &str) -> bool {
    span.split_once('d').is_some_and(|(days, _)| days.parse::<u32>().is_ok_and(|days| days > 31_000))
}

/// An identifier's pattern is its prefix and 32 digits.
fn is_identifier(name: &str, told: &Told) -> bool {
    name.strip_prefix("Id_").is_some_and(|kind| told.pattern == format!("^{kind}_[0-9a-f]{{32}}$"))
}
