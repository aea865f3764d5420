//! What a component gets of a version, as a file and as variables.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::{at, content, entry, json, number, publish, reference, text};
use crate::component::VariableName;
use crate::configuration::*;
use crate::testing::{Told, id, name};

fn told(entries: Vec<ConfigurationEntry>) -> Told<RuntimeConfiguration> {
    Told::begin(RuntimeConfiguration::publish(&publish(content(entries)), at(0)), at(0))
}

fn variables(delivered: &DeliveredConfiguration) -> Vec<(String, String)> {
    let variables = delivered.variables().unwrap().into_iter();
    variables.map(|(name, text)| (name.into(), text)).collect()
}

#[test]
fn a_component_gets_what_holds_for_it_under_the_name_of_the_whole_version() {
    let own = ["tenant:", &id::<crate::id::kind::Tenant>(2).to_string()].concat();
    let told = told(vec![
        entry("environment", "greeting", text("hello")),
        entry("environment", "level", text("info")),
        entry("service:cart", "level", text("debug")),
        entry("service:pay", "level", text("error")),
        entry(&own, "greeting", text("welcome")),
    ]);
    let version = told.now();
    let delivered = version.delivered(&name("cart"), Some(id(2)));
    assert_eq!(delivered.to_version_ref(), version.version_ref());
    assert_eq!((delivered.checksum(), delivered.version()), (version.checksum(), version.version()));
    let expected = [("greeting", "welcome"), ("level", "debug")];
    assert_eq!(variables(&delivered), expected.map(|(key, text)| (key.to_string(), text.to_string())));
    let of_pay = version.delivered(&name("pay"), Some(id(2)));
    assert!(!delivered.says_the_same(&of_pay));
    assert!(of_pay.says_the_same(&version.delivered(&name("pay"), Some(id(2)))));
    let without_tenant = version.delivered(&name("cart"), None);
    assert!(variables(&without_tenant).contains(&("greeting".to_string(), "hello".to_string())));
}

#[test]
fn the_file_is_json_whose_numbers_are_exact_and_whose_secrets_are_references() {
    let told = told(vec![
        entry("environment", "a", text("say \"hello\"\n")),
        entry("environment", "b", number("0.1000000000000000000000000001")),
        entry("environment", "c", ConfigurationValue::Boolean(true)),
        entry("environment", "d", json("{\"z\":[1,2.50],\"a\":null}")),
    ]);
    let delivered = told.now().delivered(&name("cart"), None);
    let file = delivered.document(&Default::default());
    assert!(file.contains(r#""b":0.1000000000000000000000000001,"#), "{file}");
    let read: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert_eq!(read["version"], 1);
    assert_eq!(read["checksum"], delivered.checksum().as_str());
    assert_eq!(read["entries"]["a"], "say \"hello\"\n");
    assert_eq!(read["entries"]["c"], true);
    assert_eq!(read["entries"]["d"]["z"][1], 2.5);
    let empty = self::told(vec![]).now().delivered(&name("cart"), None).document(&Default::default());
    assert_eq!(serde_json::from_str::<serde_json::Value>(&empty).unwrap()["entries"], serde_json::json!({}));
}

/// Shows CFG-2.
#[test]
fn a_secret_is_delivered_as_its_reference_and_never_as_a_variable() {
    let entries =
        content(vec![entry("environment", "db", reference(7)), entry("environment", "level", text("info"))]);
    let command = PublishConfiguration {
        secrets: vec![crate::secrets::BoundSecret {
            tenant: id(2),
            environment: id(1),
            module: name("cart"),
            binding: id(7),
            at: crate::value::Revision(1),
        }],
        ..publish(entries)
    };
    let told: Told<RuntimeConfiguration> = Told::begin(RuntimeConfiguration::publish(&command, at(0)), at(0));
    let delivered = told.now().delivered(&name("cart"), None);
    assert_eq!(delivered.secrets().len(), 1);
    assert_eq!(variables(&delivered), [("level".to_string(), "info".to_string())]);
    let read: serde_json::Value = serde_json::from_str(&delivered.document(&Default::default())).unwrap();
    let binding: crate::id::SecretBindingId = id(7);
    assert_eq!(read["entries"]["db"]["secret"], binding.to_string());
}

#[test]
fn keys_become_variables_that_every_shell_takes_or_are_refused_by_name() {
    let shown = told(vec![
        entry("environment", "Logging:Level", text("1")),
        entry("environment", "db.pool-size", text("2")),
        entry("environment", "plain", text("3")),
    ]);
    let names = variables(&shown.now().delivered(&name("cart"), None));
    let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Logging__Level", "db__pool_size", "plain"]);

    let refused = |entries| told(entries).now().delivered(&name("cart"), None).variables().unwrap_err();
    let key = |text: &str| EntryKey::new(text).unwrap();
    let twice = refused(vec![entry("environment", "a.b", text("1")), entry("environment", "a:b", text("2"))]);
    assert_eq!(twice, VariableError::Twice { one: key("a.b"), other: key("a:b") });
    let own = refused(vec![entry("environment", "FACTORY_TENANT", text("1"))]);
    assert_eq!(own, VariableError::Key { key: key("FACTORY_TENANT") });
    let zero = refused(vec![entry("environment", "a", text("b\0c"))]);
    assert_eq!(zero, VariableError::Zero { key: key("a") });
    assert!(!zero.to_string().contains("b\0c"), "no value is repeated");
    assert!(VariableName::new("a__b").is_ok());
}

#[test]
fn what_is_delivered_is_stored_and_read_through_the_door_of_entries() {
    let told = told(vec![entry("environment", "level", text("info"))]);
    let delivered = told.now().delivered(&name("cart"), None);
    let stored = serde_json::to_value(&delivered).unwrap();
    assert_eq!(serde_json::from_value::<DeliveredConfiguration>(stored.clone()).unwrap(), delivered);
    let mut leaking = stored;
    leaking["entries"][0]["key"] = serde_json::json!("db.password");
    leaking["entries"][0]["value"]["value"] = serde_json::json!("hunter2-hunter2");
    assert!(serde_json::from_value::<DeliveredConfiguration>(leaking).is_err());
}
