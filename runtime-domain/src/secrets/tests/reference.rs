//! The grammars of references: what they take, and that no refusal repeats what was written.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::{Debug, Display};
use core::str::FromStr;

use proptest::prelude::*;

use crate::secrets::tests::fixture::version;
use crate::secrets::*;

const HEX: &str = "0123456789abcdef0123456789abcdef";

fn takes<T>(texts: &[&str])
where
    T: FromStr<Err = ReferenceError>
        + Display
        + PartialEq
        + Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    for text in texts {
        let parsed: T = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(parsed.to_string(), *text);
        let json = serde_json::to_string(&parsed).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<T>(&json).unwrap(), parsed);
    }
}

fn refuses<T: FromStr<Err = ReferenceError> + Debug>(texts: &[&str]) {
    for text in texts {
        let why = text.parse::<T>().expect_err(text).to_string();
        assert!(text.len() < 8 || !why.contains(text), "{why} repeats {text}");
        assert!(why.contains("write "), "{why}");
    }
}

/// Shows SEC-1.
#[test]
fn a_reference_is_to_a_vault_and_to_nothing_else() {
    let long = |length: usize| "a".repeat(length);
    takes::<KeyVaultReference>(&[
        "https://acme.vault.azure.net/secrets/Db-Password1",
        "https://a-1.vault.azure.cn/secrets/x",
        "https://abc.vault.usgovcloudapi.net/secrets/x",
        &format!("https://{}.vault.azure.net/secrets/{}", long(24), long(127)),
        "vault://kv/shop/db#password",
        "openbao://kv/db#password",
        &format!("vault://{}/1/2/3/4/5/6/7/8#{}", long(64), long(64)),
        "local://main/db.password_1",
    ]);
    refuses::<KeyVaultReference>(&[
        "",
        "hunter2-is-no-reference",
        "http://acme.vault.azure.net/secrets/x",
        "HTTPS://acme.vault.azure.net/secrets/x",
        "https://acme.vault.azure.net.evil.example/secrets/x",
        "https://evil.example/secrets/x",
        "https://user:pass@acme.vault.azure.net/secrets/x",
        "https://acme.vault.azure.net:443/secrets/x",
        "https://acme.vault.azure.net/secrets/x?y=z",
        "https://acme.vault.azure.net/secrets/x#y",
        "https://acme.vault.azure.net/keys/x",
        "https://acme.vault.azure.net/secrets/",
        "https://acme.vault.azure.net/secrets/x_y",
        "https://acme.vault.azure.net/secrets/x/0123456789abcdef0123456789abcdef",
        "https://ab.vault.azure.net/secrets/x",
        "https://1ab.vault.azure.net/secrets/x",
        "https://-ab.vault.azure.net/secrets/x",
        "https://ab-.vault.azure.net/secrets/x",
        "https://a--b.vault.azure.net/secrets/x",
        "https://Acme.vault.azure.net/secrets/x",
        &format!("https://{}.vault.azure.net/secrets/x", long(25)),
        &format!("https://abc.vault.azure.net/secrets/{}", long(128)),
        "vault://kv/shop/db",
        "vault://kv#password",
        "vault://kv/#password",
        "vault://kv/a//b#password",
        "vault://kv/../b#password",
        "vault://kv/a#b#c",
        "vault://kv/a#",
        "vault://kv/a?version=1#b",
        "vault://kv/1/2/3/4/5/6/7/8/9#b",
        "vault://a b/c#d",
        &format!("vault://{}/a#b", long(65)),
        "local://main/a/b",
        "local://main/.hidden",
        "local:///x",
        "file://main/x",
    ]);
}

#[test]
fn a_reference_says_what_it_refers_to() {
    for (text, kind, vault, name) in [
        ("https://acme.vault.azure.net/secrets/x", VaultKind::KeyVault, "acme.vault.azure.net", "x"),
        ("vault://kv/shop/db#p", VaultKind::Vault, "kv", "shop/db#p"),
        ("openbao://kv/db#p", VaultKind::OpenBao, "kv", "db#p"),
        ("local://main/db", VaultKind::Local, "main", "db"),
    ] {
        let reference: KeyVaultReference = text.parse().unwrap();
        assert_eq!((reference.kind(), reference.vault(), reference.secret_name()), (kind, vault, name));
        let is_key_vault = kind == VaultKind::KeyVault;
        assert_eq!(reference.takes(HEX.parse().unwrap()), is_key_vault);
        assert_eq!(reference.takes(version(1)), !is_key_vault);
        assert_eq!(SecretReference::new(reference.clone(), version(1)).is_ok(), !is_key_vault);
    }
}

/// Shows SEC-1.
#[test]
fn a_version_is_a_number_or_a_key_vaults_and_no_other_text() {
    takes::<SecretVersion>(&["1", "4294967295", HEX, "00000000000000000000000000000000"]);
    refuses::<SecretVersion>(&[
        "",
        "0",
        "01",
        "+1",
        "-1",
        "4294967296",
        "latest",
        "hunter2",
        "0123456789ABCDEF0123456789ABCDEF",
        "0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdef0",
        "g123456789abcdef0123456789abcdef",
    ]);
    assert!(version(2).is_counted_after(version(1)));
    assert!(!version(2).is_counted_after(version(2)));
    let hex: SecretVersion = HEX.parse().unwrap();
    assert!(!hex.is_counted_after(version(1)) && !version(1).is_counted_after(hex));
}

#[test]
fn a_versioned_reference_is_its_secret_and_a_version_that_its_vault_gives() {
    takes::<SecretReference>(&[
        "https://acme.vault.azure.net/secrets/x/0123456789abcdef0123456789abcdef",
        "vault://kv/shop/db?version=3#password",
        "openbao://kv/db?version=4294967295#password",
        "local://main/db/1",
    ]);
    refuses::<SecretReference>(&[
        "https://acme.vault.azure.net/secrets/x",
        "https://acme.vault.azure.net/secrets/x/1",
        "https://acme.vault.azure.net/secrets/x/0123456789abcdef0123456789abcdef/",
        "vault://kv/shop/db#password",
        "vault://kv/shop/db?version=0#password",
        "vault://kv/shop/db?version=1&x=y#password",
        "vault://kv/shop/db/3#password",
        "vault://kv/db?version=0123456789abcdef0123456789abcdef#password",
        "local://main/db",
        "local://main/db?version=1",
        "nothing",
    ]);
    let reference: SecretReference = "local://main/db/7".parse().unwrap();
    assert_eq!(reference.version(), version(7));
    assert_eq!(reference.key_vault_ref().to_string(), "local://main/db");
}

#[test]
fn an_identity_is_one_of_three_kinds() {
    let long = "a".repeat(63);
    takes::<ManagedIdentityRef>(&[
        "azure:0192a1b2-0000-4000-8000-00000000000a",
        "kubernetes:shop-prod/cart",
        &format!("kubernetes:{long}/{long}"),
        "local:cart",
    ]);
    refuses::<ManagedIdentityRef>(&[
        "",
        "cart",
        "azure:0192A1B2-0000-4000-8000-00000000000A",
        "azure:0192a1b200004000800000000000000a",
        "azure:hunter2",
        "kubernetes:shop-prod",
        "kubernetes:shop-prod/",
        "kubernetes:shop/prod/cart",
        "kubernetes:Shop/cart",
        "local:-cart",
        "local:cart-",
        "local:",
        &format!("local:{long}a"),
        "aws:cart",
    ]);
    assert_eq!("local:cart".parse::<ManagedIdentityRef>().unwrap().as_str(), "local:cart");
}

#[test]
fn a_secret_is_delivered_as_a_file_or_a_variable() {
    takes::<Delivery>(&["file:db-password.txt", "env:DB_PASSWORD"]);
    refuses::<Delivery>(&[
        "",
        "file:",
        "file:../x",
        "file:.x",
        "env:1X",
        "env:FACTORY_X",
        "env:A=B",
        "mount:x",
        "x",
    ]);
    let file: Delivery = "file:x".parse().unwrap();
    assert_eq!((file.file(), file.variable()), (Some("x"), None));
    let variable: Delivery = "env:X".parse().unwrap();
    assert_eq!((variable.file(), variable.variable().map(|name| name.as_str())), (None, Some("X")));
}

#[test]
fn a_consumer_is_an_instance_of_a_revision() {
    let deployment = "dep_00000000000000000000000000000009";
    let long = "i".repeat(128);
    takes::<Consumer>(&[&format!("cart@{deployment}/pod-1_a.b:2"), &format!("cart@{deployment}/{long}")]);
    refuses::<Consumer>(&[
        "cart",
        "cart/i0",
        &format!("cart@{deployment}/"),
        &format!("cart@{deployment}/a b"),
        &format!("cart@{deployment}/a/b"),
        &format!("cart@{deployment}/{long}i"),
    ]);
    let consumer: Consumer = format!("cart@{deployment}/i0").parse().unwrap();
    assert_eq!((consumer.revision().module.as_str(), consumer.instance()), ("cart", "i0"));
}

proptest! {
    /// Shows X-11.
    #[test]
    fn no_refusal_repeats_what_was_written(text in "[!-~]{8,80}") {
        let told: [Option<String>; 6] = [
            text.parse::<SecretVersion>().err().map(|why| why.to_string()),
            text.parse::<KeyVaultReference>().err().map(|why| why.to_string()),
            text.parse::<SecretReference>().err().map(|why| why.to_string()),
            text.parse::<ManagedIdentityRef>().err().map(|why| why.to_string()),
            text.parse::<Delivery>().err().map(|why| why.to_string()),
            text.parse::<Consumer>().err().map(|why| why.to_string()),
        ];
        for why in told.into_iter().flatten() {
            prop_assert!(!why.contains(&text), "{} repeats {}", why, text);
        }
        let json = serde_json::to_string(&text).unwrap();
        if let Err(why) = serde_json::from_str::<SecretReference>(&json) {
            prop_assert!(!why.to_string().contains(&text));
        }
    }

    #[test]
    fn hostile_references_are_refused_or_round_trip(
        scheme in "(https|vault|openbao|local)", rest in "[a-z0-9./#?=-]{0,40}|acme\\.vault\\.azure\\.net/secrets/[a-zA-Z-]{1,9}"
    ) {
        let text = format!("{scheme}://{rest}");
        if let Ok(reference) = text.parse::<KeyVaultReference>() {
            prop_assert_eq!(reference.to_string(), text.clone());
        }
        if let Ok(reference) = text.parse::<SecretReference>() {
            prop_assert_eq!(reference.to_string(), text);
        }
    }
}
