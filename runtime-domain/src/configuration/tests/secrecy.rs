//! What is taken for a secret, and what is not.
//!
//! Every secret here is made up while the test runs, so that no scanner of this repository finds one.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::configuration::secrecy::{Suspicion, inspect};
use crate::refusal::{Refusal, Rule};

/// So many letters and digits of three kinds, as random as a test needs.
fn random(length: usize) -> String {
    "Zq3Xv9Lk2Bn7Rt5Wc8Yd4Mf6HgPsJ1eA".chars().cycle().take(length).collect()
}

fn shapes() -> Vec<(Suspicion, Vec<String>)> {
    use Suspicion::{
        Authorization, CloudKey, ConnectionString, PrivateKey, RepositoryToken, ServiceToken, UrlCredentials,
        WebToken,
    };
    let prefixed = |cases: &[(&str, usize)]| -> Vec<String> {
        cases.iter().map(|(prefix, length)| format!("{prefix}{}", random(*length))).collect()
    };
    let upper = random(16).to_uppercase();
    let cloud = [("AIza", 35), ("ya29.", 20), ("GOCSPX-", 20), ("dop_v1_", 40), ("LTAI", 16)];
    let repository = [
        ("ghp_", 36),
        ("gho_", 36),
        ("ghu_", 36),
        ("ghs_", 36),
        ("ghr_", 36),
        ("github_pat_", 22),
        ("glpat-", 20),
        ("gldt-", 20),
        ("glrt-", 20),
        ("glptt-", 20),
        ("npm_", 36),
        ("pypi-", 50),
        ("cio", 32),
        ("rubygems_", 40),
        ("dckr_pat_", 20),
        ("ATBB", 28),
    ];
    let service = [
        ("xoxb-", 10),
        ("xoxp-", 10),
        ("xoxa-", 10),
        ("xoxr-", 10),
        ("xoxs-", 10),
        ("xapp-", 10),
        ("sk_live_", 16),
        ("sk_test_", 16),
        ("rk_live_", 16),
        ("rk_test_", 16),
        ("whsec_", 20),
        ("sk-ant-", 20),
        ("sk-proj-", 20),
        ("SG.", 40),
        ("hvs.", 24),
        ("hvb.", 24),
        ("shpat_", 32),
        ("dp.pt.", 40),
        ("hf_", 30),
        ("https://hooks.slack.com/services/", 8),
    ];
    vec![
        (
            PrivateKey,
            vec![
                format!("-----BEGIN {}PRIVATE KEY-----\nMIIE", ""),
                format!("-----BEGIN {}PRIVATE KEY-----\\nMIIE", "RSA "),
                format!("-----BEGIN {}PRIVATE KEY BLOCK-----", "PGP "),
                format!("a certificate -----BEGIN CERTIFICATE----- and -----BEGIN {}PRIVATE KEY-----", "EC "),
                format!("PuTTY-User-Key-File-{}: ssh-rsa", 2),
                format!("AGE-SECRET-KEY-{}", 1),
                format!("LS0tLS1CRUdJTi{}", "BQUklWQVRFIEtFWS0tLS0t"),
            ],
        ),
        (CloudKey, {
            let mut keys = prefixed(&cloud);
            keys.extend(["AKIA", "ASIA", "ABIA"].map(|prefix| format!("{prefix}{upper}")));
            keys
        }),
        (RepositoryToken, prefixed(&repository)),
        (ServiceToken, prefixed(&service)),
        (WebToken, vec![format!("eyJ{}.eyJ{}.{}", random(12), random(20), random(20))]),
        (
            Authorization,
            vec![
                format!("Bearer {}", random(16)),
                format!("Authorization: bearer {}", random(30)),
                // `ada:lovelace` and `a:b`.
                format!("Basic {}", "YWRhOmxvdmVsYWNl"),
                format!("basic {}", "YTpi"),
            ],
        ),
        (
            UrlCredentials,
            vec![
                format!("postgres://shop:{}@db:5432/shop", "winter"),
                format!("postgres://shop:{}@db:5432/shop", "win/ter"),
                format!("amqp://:{}@queue", "xy"),
                format!("https://{}@git.example/shop.git", random(24)),
                format!("see <redis://u:{}@cache/0> there", "wq"),
            ],
        ),
        (
            ConnectionString,
            vec![
                format!("Server=db;Database=shop;User Id=sa;Password={};", "winter"),
                format!("Endpoint=sb://bus.example/;SharedAccessKeyName=root;SharedAccessKey={}", "abc="),
                format!("DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={};", "abc"),
                format!("host=db;pwd={}", "x1"),
            ],
        ),
    ]
}

fn refused(entry: ConfigurationEntry) -> ConfigurationRefusal {
    let refusal = ConfigurationEntries::new(vec![entry]).unwrap_err();
    assert_eq!(refusal.rule(), Rule::Cfg2);
    assert!(refusal.remedy().contains("SecretBinding"), "{}", refusal.remedy());
    refusal
}

/// Shows CFG-2, X-11.
#[test]
fn every_known_shape_is_refused_by_its_rule_wherever_it_stands_and_never_repeated() {
    for (suspicion, secrets) in shapes() {
        for secret in secrets {
            let quoted = serde_json::Value::from(secret.as_str()).to_string();
            let member = if suspicion == Suspicion::Authorization { "ordinary" } else { &secret };
            let member = serde_json::Value::from(member).to_string();
            let values = [
                text(&secret),
                text(&format!("before {secret} after")),
                text(&format!("a\n{secret}\n")),
                text(&format!("{{\"a\":[{quoted}]}}")),
                json(&quoted),
                json(&format!("{{\"a\":[1,[{{\"b\":{quoted}}}]]}}")),
                json(&format!("[{{{member}:{quoted}}}]")),
            ];
            for value in values {
                for scope in ["environment", "service:cart"] {
                    let refusal = refused(entry(scope, "greeting", value.clone()));
                    let ConfigurationRefusal::SecretValue { suspicion: said, .. } = &refusal else {
                        panic!()
                    };
                    assert_eq!(*said, suspicion, "{value:?}");
                    let told = format!("{refusal} {refusal:?} {} {value:?}", refusal.remedy());
                    assert!(told.contains("greeting") && told.contains(scope), "{told}");
                    assert!(told.contains(&suspicion.to_string()), "{told}");
                    assert!(secret.len() < 8 || !told.contains(&secret), "{told}");
                }
            }
            assert_eq!(inspect("GREETING", &secret), Err(suspicion));
        }
    }
}

/// Shows CFG-2.
#[test]
fn a_secret_that_stands_in_a_json_key_is_found() {
    let secret = format!("ghp_{}", random(36));
    refused(entry("environment", "greeting", json(&format!("{{\"{secret}\":1}}"))));
    let assigned = format!("{{\"password={}\":1}}", random(12));
    refused(entry("environment", "greeting", json(&assigned)));
}

/// Shows X-11.
#[test]
fn a_key_or_scope_that_is_a_secret_itself_is_not_shown() {
    let secret = format!("ghp_{}", random(36));
    let refusal = refused(entry("environment", &secret, text("x")));
    assert!(!format!("{refusal}{refusal:?}").contains(&secret));
    assert!(refusal.to_string().contains("not shown"));
    let module = format!("glpat-{}", random(20).to_lowercase());
    let refusal = refused(entry(&format!("service:{module}"), "k", text("x")));
    assert!(!format!("{refusal}{refusal:?}").contains(&module));
    assert_eq!(inspect(&secret, "x"), Err(Suspicion::RepositoryToken));
    let pinned = SecretReference::pinned(id(1), &secret).unwrap();
    refused(entry("environment", "k", ConfigurationValue::Secret(pinned)));
}

/// Shows CFG-2.
#[test]
fn a_json_web_key_with_its_private_part_is_a_private_key() {
    let key = |part: &str| json(&format!("{{\"keys\":[{{\"kty\":\"EC\",\"{part}\":\"x\"}}]}}"));
    refused(entry("environment", "jwks", key("d")));
    refused(entry("environment", "jwks", key("k")));
    assert!(ConfigurationEntries::new(vec![entry("environment", "jwks", key("x"))]).is_ok());
    let without = json("{\"d\":1,\"k\":2}");
    assert!(ConfigurationEntries::new(vec![entry("environment", "jwks", without)]).is_ok());
}

#[test]
fn names_of_credentials_are_read_as_words() {
    let secret = random(20);
    for name in [
        "password",
        "dbPassword",
        "DB_PASSWORD",
        "db.passwd",
        "smtp-pwd",
        "PASSPHRASE",
        "pass_code.passcode",
        "clientSecret",
        "client_secret",
        "stripe:secret",
        "secrets",
        "API_KEY",
        "apiKey",
        "APIKey",
        "apikey2",
        "MYAPIKEY",
        "x-api-key",
        "accessKey",
        "private.key",
        "account_key",
        "SharedKey",
        "signing-key",
        "encryptionKey",
        "master_key",
        "storageKey",
        "authKey",
        "licenseKey",
        "clientKey",
        "connectionString",
        "connection_string",
        "CONNSTR",
        "authToken",
        "token",
        "tokens.0",
        "github_pat",
        "blob-sas",
        "vpn.psk",
        "credentials",
        "awsCredential",
        "password.production",
        "token_old",
        "adminpassword",
        "PasswordSalt",
    ] {
        assert_eq!(inspect(name, &secret), Err(Suspicion::RandomCredential), "{name}");
    }
    for name in [
        "build",
        "commit",
        "monkey",
        "keyboard",
        "primary_key",
        "path",
        "compass",
        "pattern",
        "tokenizer",
        "password_min_length",
        "token_url",
        "secret-name",
        "secretRef",
        "apiKeyHeader",
        "token.version",
        "PASSWORD_FILE",
        "credentials.path",
        "key",
        "sasl",
        "spat",
        "passwordPolicy",
        "tokenTtl",
    ] {
        assert_eq!(inspect(name, &secret), Ok(()), "{name}");
    }
}

#[test]
fn what_stands_under_a_name_of_credentials_is_judged_by_its_looks() {
    let random_ones = [
        "Ab3xb4Cd".to_string(), // eight characters of three kinds
        "aB!cD?eF".to_string(),
        "abcdef123456ghij".to_string(), // sixteen, with digits among letters
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301".to_string(),
        "0123456789abcdef".repeat(4),
        format!("the key is {}, keep it", random(16)),
        format!("'{}'", random(16)),
        format!("https://vault.example/v1/{}", random(24)),
        format!("/run/{}", random(24)),
        format!("https://example.com/?code={}", random(24)),
    ];
    for text in random_ones {
        assert_eq!(inspect("client.secret", &text), Err(Suspicion::RandomCredential), "{text}");
        let nested =
            json(&format!("{{\"client\":{{\"secret\":[{}]}}}}", serde_json::Value::from(text.as_str())));
        refused(entry("environment", "settings", nested.clone()));
        let inherited = json(&format!("{{\"main\":[{}]}}", serde_json::Value::from(text.as_str())));
        refused(entry("environment", "client.secret", inherited));
    }
    let plain_ones = [
        "",
        "true",
        "3600",
        "1.4.2",
        "none",
        "******",
        "xxxxxxxxxxxxxxxx",
        "${STRIPE_TOKEN}",
        "{{ token }}",
        "<password>",
        "$(TOKEN)",
        "%TOKEN%",
        "{token}",
        "Ab3Ab3C",
        "AbcdefgH",
        "aA1aA1aA1aA1a",
        "stripe-live",
        "RS256",
        "payment-provider-token-v2",
        "/run/secrets/db-password-v2",
        "./secrets/Token.v2.txt",
        "~/.Secrets/token1",
        "https://login.example.com/OAuth2/v2.0/token",
        "bring your own token to the door",
        "abcdefghijklmnop12",
        "abcabcabc123123abc",
        "Microsoft.Identity.TokenProvider",
        "1234567890123456",
    ];
    for text in plain_ones {
        assert_eq!(inspect("client.secret", text), Ok(()), "{text}");
    }
}

#[test]
fn a_password_need_not_look_random() {
    for text in ["hunter2", "winter!", "abcde1", "Abc-123"] {
        assert_eq!(inspect("db.password", text), Err(Suspicion::RandomCredential), "{text}");
        assert_eq!(inspect("db.token", text), Ok(()), "{text}");
    }
    for text in ["", "abcd1", "letmein", "123456", "required", "${DB_PASSWORD}", "*******", "at-least-eight"]
    {
        assert_eq!(inspect("db.password", text), Ok(()), "{text}");
    }
}

#[test]
fn an_assignment_within_a_text_is_judged_as_a_name_and_its_text() {
    let secret = random(20);
    for text in [
        format!("DB_HOST=db\nDB_PASSWORD={secret}\n"),
        format!("password: \"{secret}\""),
        format!("--api-key={secret}"),
        format!("https://example.com/callback?access_token={secret}&a=1"),
        format!("https://blob.example/x?sv=1&sig={secret}"),
        format!("{{\\\"clientSecret\\\":\\\"{secret}\\\"}}"),
        format!("{{\"client\": {{\"secret\": \"{secret}\"}}"),
    ] {
        assert_eq!(inspect("note", &text), Err(Suspicion::RandomCredential), "{text}");
        refused(entry("environment", "note", json(&serde_json::Value::from(text.as_str()).to_string())));
    }
    for text in [
        "password: see the vault".to_string(),
        "PASSWORD=${DB_PASSWORD}".to_string(),
        "Server=db;User Id=sa;Password=${DB_PASSWORD};".to_string(),
        "Server=db;Integrated Security=true;".to_string(),
        "tokenUrl=https://login.example.com/token;issuer=me".to_string(),
        format!("commit={secret}"),
        format!("etag: {secret}; sigma={secret}"),
    ] {
        assert_eq!(inspect("note", &text), Ok(()), "{text}");
    }
}

#[test]
fn ordinary_values_pass() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let certificate = format!("-----BEGIN {}-----\nMIIC\n-----END CERTIFICATE-----", "CERTIFICATE");
    for text in [
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        digest.as_str(),
        &digest[7..47],
        certificate.as_str(),
        "-----BEGIN PUBLIC KEY-----",
        "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
        "LS0tLS1CRUdJTiBQVUJMSUMgS0VZ",
        "https://api.example.com/v2/orders?limit=50#top",
        "postgres://shop@db:5432/shop",
        "ssh://git@git.example/a.git",
        "http://localhost:8080/ready",
        "http://[::1]:8080/",
        "postgres://shop:${DB_PASSWORD}@db/shop",
        "https://example.com/@user/page",
        "https://example.com:443/a@b",
        "1.4.2-rc.1+build.5",
        "2026-11-21T08:46:35Z",
        "The quick brown fox jumps over the lazy dog.",
        "Basic authentication is used",
        "basic auth",
        "Bearer tokens are required for every call",
        "bearer of bad news",
        "Bearer authenticationscheme",
        "ada@example.com",
        "task-force-proj-1",
        "risk-anthology",
        "AKIA",
        "AKIAshort",
        "ghp_short",
        "eyJhbGciOi",
        "xAKIAABCDEFGHIJKLMNOP",
        "Grüße aus Köln",
        "cron: 0 3 * * *",
        "eu-west-1",
        "10.0.0.0/16",
        "{\"a\": 1}",
        "[1, 2]",
        "{not json",
        "eyJa.b.c",
        "a://b",
        "://",
        "Basic",
        "Basic a",
        "Basic YWRh",
        "Basic AAAA:",
    ] {
        assert_eq!(inspect("note", text), Ok(()), "{text}");
        assert!(ConfigurationEntries::new(vec![entry("environment", "note", super::text(text))]).is_ok());
    }
}

#[test]
fn a_prefix_is_followed_by_as_much_as_its_issuer_writes() {
    let cases = [("AKIA", 16), ("ghp_", 36), ("glpat-", 20), ("SG.", 40), ("hvs.", 24), ("npm_", 36)];
    for (prefix, least) in cases {
        let run = "A1B2".repeat(12);
        let long = format!("{prefix}{}", &run[..least]);
        assert!(inspect("note", &long).is_err(), "{long}");
        let short = format!("{prefix}{}", &run[..least - 1]);
        assert_eq!(inspect("note", &short), Ok(()), "{short}");
        assert!(inspect("note", &format!("é{long}")).is_err());
        assert_eq!(inspect("note", &format!("x{long}")), Ok(()));
    }
    assert!(inspect("note", &format!("Bearer {}", "a1".repeat(8))).is_err());
    assert_eq!(inspect("note", &format!("Bearer {}a", "a1".repeat(7))), Ok(()));
    let token = |signature: usize| format!("eyJhbGci.eyJzdWIi.{}", "x".repeat(signature));
    assert!(inspect("note", &token(10)).is_err());
    assert_eq!(inspect("note", &token(9)), Ok(()));
}

#[test]
fn a_long_hostile_text_is_read_in_proportion_to_its_length() {
    for part in ["hf_", "token:", "a=", "a://", "bearer ", "eyJ.", "LS0tLS1CRUdJTiBDRVJU ", "password=${P};"]
    {
        let text = part.repeat(200_000 / part.len());
        assert_eq!(
            inspect("note", &text),
            if part == "hf_" { Err(Suspicion::ServiceToken) } else { Ok(()) },
            "{part}"
        );
    }
}

#[test]
fn every_rule_says_what_it_takes_a_text_for() {
    let said: BTreeSet<String> = shapes().iter().map(|(rule, _)| rule.to_string()).collect();
    assert_eq!(said.len(), 8);
    assert!(said.iter().all(|words| words.starts_with("looks like ")));
    assert!(Suspicion::RandomCredential.to_string().contains("random"));
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "ghp_[a-zA-Z0-9]{36}",
        "AKIA[A-Z0-9]{16}",
        "glpat-[a-zA-Z0-9_-]{20}",
        "xoxb-[0-9]{11}-[a-zA-Z0-9]{24}",
        "sk_live_[a-zA-Z0-9]{24}",
        "eyJ[a-zA-Z0-9]{20}\\.eyJ[a-zA-Z0-9]{40}\\.[a-zA-Z0-9_-]{43}",
        "-----BEGIN (RSA |EC |)PRIVATE KEY-----\n[a-zA-Z0-9/+]{40}",
        "(postgres|amqp|https)://[a-z]{3,8}:[a-zA-Z0-9]{8,20}@[a-z]{3,8}",
        "Server=[a-z]{4};User=[a-z]{4};Password=[a-zA-Z0-9]{7}q[a-z];",
        "Bearer [a-zA-Z]{20}[0-9][a-zA-Z]{5}",
    ]
}

proptest! {
    /// Shows CFG-2, X-11.
    #[test]
    fn a_secret_of_any_shape_is_refused_wherever_it_is_put_and_never_repeated(
        secret in secret(),
        before in "([a-z]{1,5} ){0,3}",
        depth in 0..10_usize,
        place in 0..4_u8,
    ) {
        let quoted = serde_json::Value::from(format!("{before}{secret}")).to_string();
        let value = match place {
            0 => text(&format!("{before}{secret}")),
            1 => json(&format!("{}{quoted}{}", "[".repeat(depth), "]".repeat(depth))),
            2 => json(&format!("{}{quoted}{}", "{\"a\":".repeat(depth), "}".repeat(depth))),
            _ => json(&format!("{{{quoted}:true}}")),
        };
        let form = serde_json::to_value(entry("environment", "note", value.clone())).unwrap();
        let refusal = refused(entry("environment", "note", value));
        let told = format!("{refusal} {refusal:?} {}", refusal.remedy());
        prop_assert!(!told.contains(&secret), "{}", told);
        let error = serde_json::from_value::<ConfigurationEntries>(vec![form].into()).unwrap_err();
        prop_assert!(!format!("{error} {error:?}").contains(&secret), "{}", error);
    }

    /// Shows CFG-2.
    #[test]
    fn anything_random_under_a_name_of_credentials_is_refused(
        secret in "[A-Z]{2}[a-z]{2}[0-9]{3}[a-zA-Z0-9]{17,40}",
        name in "(db|shop|x)[._-]?(password|clientSecret|api_key|auth_token|CREDENTIALS)",
    ) {
        prop_assume!(name.contains(['.', '_', '-']) || !name.ends_with("CREDENTIALS"));
        prop_assert_eq!(inspect(&name, &secret), Err(Suspicion::RandomCredential));
    }

    #[test]
    fn no_text_makes_the_inspection_fail(name in "\\PC{0,20}", text in "\\PC{0,80}|[a-z:/@=;.\"{}-]{0,60}") {
        let _ = inspect(&name, &text);
    }

    #[test]
    fn sentences_and_identifiers_pass(
        sentence in "[A-Z][a-z]{1,9}( [a-z]{1,9}){0,12}\\.",
        digits in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        digest in "sha256:[0-9a-f]{64}",
    ) {
        prop_assume!(!sentence.to_lowercase().contains("basic"));
        for text in [&sentence, &digits, &digest] {
            prop_assert_eq!(inspect("note", text), Ok(()));
        }
    }
}
