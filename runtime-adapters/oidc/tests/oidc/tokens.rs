//! The matrix of tokens: each differs from a good one in one thing.

use jsonwebtoken::{Algorithm, EncodingKey};
use runtime_domain::id::TenantId;
use runtime_domain::time::{Span, Timestamp};
use runtime_oidc::{OidcAuthenticator, SigningAlgorithm};
use runtime_ports::authenticator::{AuthenticationError, Role};
use runtime_testkit::sample;
use serde_json::{Value, json};

use crate::keys::{ED25519, P256, P384, RSA, STRANGER, encode};
use crate::world::{AUDIENCE, Driven, ISSUER, START, claims, claims_with, given, show, trusting};

fn is_invalid(error: &AuthenticationError) -> bool {
    matches!(error, AuthenticationError::Invalid { .. })
}

fn lacks(claim: &str) -> AuthenticationError {
    AuthenticationError::Incomplete { claim: claim.to_owned() }
}

async fn refusal(authenticator: &OidcAuthenticator, token: impl Into<String>) -> AuthenticationError {
    let token = token.into();
    match show(authenticator, token.clone()).await {
        Ok(_) => panic!("let in: {token}"),
        Err(error) => error,
    }
}

/// What a good token with these claims instead comes to.
async fn refusal_of(others: Value) -> AuthenticationError {
    let authenticator = trusting(&[P256.jwk("1")]);
    refusal(&authenticator, P256.sign("1", &claims_with(ISSUER, others))).await
}

#[tokio::test]
async fn a_good_token_is_its_subject_with_tenant_roles_and_end() {
    let authenticator = trusting(&[P256.jwk("1")]);
    let principal = show(&authenticator, P256.sign("1", &claims(ISSUER))).await.unwrap();
    assert_eq!(principal.tenant(), sample::tenant(1));
    assert_eq!(principal.actor().as_str(), "ada");
    assert_eq!(principal.roles().iter().copied().collect::<Vec<_>>(), [Role::Operator]);
    let end = Timestamp::from_timestamp(START + 660, 0);
    assert_eq!(principal.expires_at(), end, "with the skew, so that it ends when the token would be refused");
}

#[tokio::test]
async fn every_algorithm_verifies_with_a_key_of_its_kind() {
    let rsa = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
    ];
    let rsa = rsa.map(|algorithm| (&*RSA, algorithm));
    let others = [(&*P256, Algorithm::ES256), (&*P384, Algorithm::ES384), (&*ED25519, Algorithm::EdDSA)];
    for (pair, algorithm) in rsa.into_iter().chain(others) {
        let authenticator = trusting(&[pair.jwk_with(json!({ "kid": "1" }))]);
        let header = json!({ "alg": format!("{algorithm:?}"), "kid": "1" }).to_string();
        let token = pair.sign_text(&header, claims(ISSUER).to_string().as_bytes(), algorithm);
        assert!(show(&authenticator, token).await.is_ok(), "{algorithm:?}");
    }
    let authenticator = trusting(&[ED25519.jwk_with(json!({ "kid": "1", "alg": "Ed25519" }))]);
    let header = json!({ "alg": "Ed25519", "kid": "1" });
    assert!(show(&authenticator, ED25519.sign_with(&header, &claims(ISSUER))).await.is_ok(), "RFC 9864");
}

/// Shows X-1.
#[tokio::test]
async fn a_token_without_a_signature_is_refused_in_every_spelling() {
    let authenticator = trusting(&[P256.jwk("1")]);
    for algorithm in ["none", "None", "NONE", "nOnE", "", " none", "null"] {
        let header = encode(json!({ "alg": algorithm, "kid": "1" }).to_string());
        let claims = encode(claims(ISSUER).to_string());
        for signature in ["", "AA", &encode([0; 64])] {
            let error = refusal(&authenticator, format!("{header}.{claims}.{signature}")).await;
            assert!(is_invalid(&error), "{algorithm:?} {error:?}");
        }
    }
    for header in
        [json!({ "kid": "1" }), json!({ "alg": null }), json!({ "alg": 1 }), json!({ "alg": ["ES256"] })]
    {
        assert!(
            is_invalid(&refusal(&authenticator, P256.sign_with(&header, &claims(ISSUER))).await),
            "{header}"
        );
    }
}

/// Shows X-1.
#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    for pair in [&*RSA, &*P256, &*ED25519] {
        let jwk = pair.jwk_with(json!({ "kid": "1" }));
        let authenticator = trusting(std::slice::from_ref(&jwk));
        let modulus = jwk["n"].as_str().or(jwk["x"].as_str()).unwrap();
        for secret in
            [pair.public_bytes(), jwk.to_string().into_bytes(), modulus.as_bytes().to_vec(), Vec::new()]
        {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let header = encode(json!({ "alg": format!("{algorithm:?}"), "kid": "1" }).to_string());
                let signed = format!("{header}.{}", encode(claims(ISSUER).to_string()));
                let key = EncodingKey::from_secret(&secret);
                let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
                assert!(is_invalid(&refusal(&authenticator, format!("{signed}.{signature}")).await));
            }
        }
    }
}

#[tokio::test]
async fn a_shared_secret_that_an_issuer_publishes_verifies_nothing() {
    let secret = json!({ "kty": "oct", "kid": "1", "k": encode("secret"), "alg": "HS256" });
    let authenticator = trusting(&[secret, P256.jwk("2")]);
    let header = encode(json!({ "alg": "HS256", "kid": "1" }).to_string());
    let signed = format!("{header}.{}", encode(claims(ISSUER).to_string()));
    let key = EncodingKey::from_secret(b"secret");
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    assert!(is_invalid(&refusal(&authenticator, format!("{signed}.{signature}")).await));
}

/// Shows X-1.
#[tokio::test]
async fn a_key_verifies_only_what_its_own_members_agree_with() {
    for (pair, members) in [
        (&*P256, json!({ "alg": "ES384" })),
        (&*P256, json!({ "alg": "RS256" })),
        (&*P256, json!({ "alg": "HS256" })),
        (&*P256, json!({ "alg": "none" })),
        (&*P256, json!({ "alg": 256 })),
        (&*P256, json!({ "use": "enc" })),
        (&*P256, json!({ "use": ["sig"] })),
        (&*P256, json!({ "key_ops": ["sign"] })),
        (&*P256, json!({ "key_ops": "verify" })),
        (&*P256, json!({ "kty": "RSA" })),
        (&*P256, json!({ "kty": "OKP" })),
        (&*P256, json!({ "crv": "P-384" })),
        (&*P256, json!({ "crv": "secp256k1" })),
        (&*P256, json!({ "y": P256.jwk("1")["x"] })),
        (&*P256, json!({ "x": "AA" })),
        (&*P256, json!({ "d": encode([7; 32]) })),
        (&*P256, json!({ "kid": 1 })),
        (&*RSA, json!({ "alg": "PS256" })),
        (&*RSA, json!({ "alg": "RS384" })),
        (&*RSA, json!({ "n": encode([0xff; 128]) })),
        (&*RSA, json!({ "n": encode([0xff; 2_048]) })),
        (&*RSA, json!({ "e": "AQ" })),
        (&*RSA, json!({ "e": "" })),
        (&*RSA, json!({ "e": encode([0xff; 64]) })),
        (&*RSA, json!({ "d": "AQAB" })),
        (&*ED25519, json!({ "crv": "X25519" })),
        (&*ED25519, json!({ "x": encode([1; 31]) })),
    ] {
        let mut all = json!({ "kid": "1" });
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let authenticator = trusting(&[pair.jwk_with(all), P384.jwk("other")]);
        let error = refusal(&authenticator, pair.sign("1", &claims(ISSUER))).await;
        assert!(is_invalid(&error), "{members} {error:?}");
    }
    for members in [json!({ "key_ops": ["verify"] }), json!({ "use": "sig" }), json!({ "alg": "ES256" })] {
        let mut all = json!({ "kid": "1" });
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let authenticator = trusting(&[P256.jwk_with(all)]);
        assert!(show(&authenticator, P256.sign("1", &claims(ISSUER))).await.is_ok(), "{members}");
    }
}

#[tokio::test]
async fn an_algorithm_that_the_issuer_is_not_allowed_is_refused() {
    let issuer =
        given(&[P256.jwk("1"), RSA.jwk_with(json!({ "kid": "2" }))]).algorithms([SigningAlgorithm::Es256]);
    let authenticator = OidcAuthenticator::new(Driven::new(), [issuer]).unwrap();
    assert!(show(&authenticator, P256.sign("1", &claims(ISSUER))).await.is_ok());
    assert!(is_invalid(&refusal(&authenticator, RSA.sign("2", &claims(ISSUER))).await));
}

#[tokio::test]
async fn only_the_issuers_keys_sign_for_it() {
    let authenticator = trusting(&[P256.jwk("1")]);
    let stranger = STRANGER.jwk("9");
    assert!(
        is_invalid(&refusal(&authenticator, STRANGER.sign("1", &claims(ISSUER))).await),
        "under a known kid"
    );
    assert!(
        is_invalid(&refusal(&authenticator, STRANGER.sign("9", &claims(ISSUER))).await),
        "under an unknown one"
    );
    for (name, value) in [
        ("jwk", stranger.clone()),
        ("jku", json!("https://attacker.example.com/jwks")),
        ("x5u", json!("https://attacker.example.com/cert")),
        ("x5c", json!(["MIIB"])),
        ("jwks", json!({ "keys": [stranger.clone()] })),
    ] {
        for key_id in ["1", "9"] {
            let header = json!({ "alg": "ES256", "kid": key_id, name: value });
            let error = refusal(&authenticator, STRANGER.sign_with(&header, &claims(ISSUER))).await;
            assert!(is_invalid(&error), "{name}");
        }
        // What a token of the issuer's brings along changes nothing.
        let header = json!({ "alg": "ES256", "kid": "1", name: value });
        assert!(show(&authenticator, P256.sign_with(&header, &claims(ISSUER))).await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn of_two_keys_with_one_kid_each_verifies_its_own_tokens() {
    let authenticator = trusting(&[P256.jwk("1"), STRANGER.jwk("1"), RSA.jwk("1")]);
    for pair in [&*P256, &*STRANGER, &*RSA] {
        assert!(show(&authenticator, pair.sign("1", &claims(ISSUER))).await.is_ok(), "{:?}", pair.algorithm);
    }
    assert!(is_invalid(&refusal(&authenticator, P384.sign("1", &claims(ISSUER))).await));
}

#[tokio::test]
async fn a_token_without_kid_is_verified_by_the_issuers_keys_of_its_kind() {
    let header = json!({ "alg": "ES256" });
    let authenticator = trusting(&[RSA.jwk("1"), STRANGER.jwk("2"), P256.jwk("3"), P256.jwk_with(json!({}))]);
    assert!(show(&authenticator, P256.sign_with(&header, &claims(ISSUER))).await.is_ok());
    let authenticator = trusting(&[RSA.jwk("1"), STRANGER.jwk("2")]);
    assert!(is_invalid(&refusal(&authenticator, P256.sign_with(&header, &claims(ISSUER))).await));
    let named = trusting(&[P256.jwk_with(json!({}))]);
    assert!(
        is_invalid(&refusal(&named, P256.sign("1", &claims(ISSUER))).await),
        "a key without kid is nobody's kid"
    );
}

/// Buried: Argo CD CVE-2023-22482. Theirs: a token that the trusted issuer had made for somebody else was accepted, since its audience was not
/// checked. Ours: a token is good here only if this host is among its audiences, exactly.
/// Shows X-1.
#[tokio::test]
async fn only_a_token_for_this_host_is_good_here() {
    for audience in [
        json!("other"),
        json!(["other"]),
        json!([]),
        json!(""),
        json!(1),
        json!({ "factory-runtime": true }),
        json!([[AUDIENCE]]),
        json!([AUDIENCE, 1]),
        json!("FACTORY-RUNTIME"),
        json!("factory-runtime "),
        json!("factory-runtime other"),
        json!("factory"),
    ] {
        assert!(is_invalid(&refusal_of(json!({ "aud": audience })).await), "{audience}");
    }
    assert_eq!(refusal_of(json!({ "aud": null })).await, lacks("aud"));
    let authenticator = trusting(&[P256.jwk("1")]);
    for audience in [json!([AUDIENCE]), json!(["other", AUDIENCE])] {
        let token = P256.sign("1", &claims_with(ISSUER, json!({ "aud": audience })));
        assert!(show(&authenticator, token).await.is_ok(), "{audience}");
    }
}

/// Shows X-1.
#[tokio::test]
async fn only_the_trusted_issuer_exactly_is_believed() {
    for issuer in [
        "https://login.example.com/realms/other".to_owned(),
        format!("{ISSUER}/"),
        ISSUER.to_uppercase(),
        format!(" {ISSUER}"),
        ISSUER.replace("https", "http"),
        format!("{ISSUER}#x"),
        String::new(),
    ] {
        assert!(is_invalid(&refusal_of(json!({ "iss": issuer })).await), "{issuer}");
    }
    assert_eq!(refusal_of(json!({ "iss": null })).await, lacks("iss"));
    assert_eq!(refusal_of(json!({ "iss": [ISSUER] })).await, lacks("iss"));
}

#[tokio::test]
async fn times_hold_with_the_skew_and_no_longer() {
    let authenticator = trusting(&[P256.jwk("1")]);
    for (others, wanted) in [
        (json!({ "exp": START - 59 }), None),
        (json!({ "exp": START - 60 }), Some(AuthenticationError::Expired)),
        (json!({ "exp": 0 }), Some(AuthenticationError::Expired)),
        (json!({ "exp": START + 600, "nbf": START + 60 }), None),
        (json!({ "nbf": START + 61 }), Some(AuthenticationError::NotYetValid)),
        (json!({ "iat": START + 60 }), None),
        (json!({ "iat": START + 61 }), Some(AuthenticationError::NotYetValid)),
        (json!({ "nbf": null, "iat": null }), None),
        (json!({ "exp": START as f64 + 0.5 }), None),
        (json!({ "exp": null }), Some(lacks("exp"))),
    ] {
        let token = P256.sign("1", &claims_with(ISSUER, others.clone()));
        assert_eq!(show(&authenticator, token).await.err(), wanted, "{others}");
    }
    for time in [
        json!("1900000000"),
        json!(true),
        json!([]),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MAX),
        json!(1e17),
    ] {
        for name in ["exp", "nbf", "iat"] {
            assert!(is_invalid(&refusal_of(json!({ name: time })).await), "{name} {time}");
        }
    }
    for name in ["exp", "nbf", "iat"] {
        let text =
            claims(ISSUER).to_string().replace(&format!("\"{name}\":"), &format!("\"{name}\":null,\"was\":"));
        let header = json!({ "alg": "ES256", "kid": "1" }).to_string();
        let token = P256.sign_text(&header, text.as_bytes(), Algorithm::ES256);
        assert!(is_invalid(&refusal(&authenticator, token).await), "{name} null");
    }
}

#[tokio::test]
async fn a_token_is_good_until_its_end_by_the_hosts_clock() {
    let clock = Driven::new();
    let issuer = given(&[P256.jwk("1")]).clock_skew(Span::ZERO);
    let authenticator = OidcAuthenticator::new(clock.clone(), [issuer]).unwrap();
    let token = P256.sign("1", &claims(ISSUER));
    clock.advance(599);
    assert!(show(&authenticator, token.clone()).await.is_ok());
    clock.advance(1);
    assert_eq!(refusal(&authenticator, token.clone()).await, AuthenticationError::Expired);
    clock.advance(-700);
    assert_eq!(refusal(&authenticator, token).await, AuthenticationError::NotYetValid);
}

#[tokio::test]
async fn tokens_of_other_kinds_are_refused() {
    let authenticator = trusting(&[P256.jwk("1")]);
    for kind in [
        json!("logout+jwt"),
        json!("dpop+jwt"),
        json!("secevent+jwt"),
        json!("JWE"),
        json!(""),
        json!(1),
        json!(["JWT"]),
    ] {
        let header = json!({ "alg": "ES256", "kid": "1", "typ": kind });
        assert!(
            is_invalid(&refusal(&authenticator, P256.sign_with(&header, &claims(ISSUER))).await),
            "{kind}"
        );
    }
    for kind in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
        let header = json!({ "alg": "ES256", "kid": "1", "typ": kind });
        assert!(show(&authenticator, P256.sign_with(&header, &claims(ISSUER))).await.is_ok(), "{kind}");
    }
    let strict = given(&[P256.jwk("1")]).access_tokens_only();
    let strict = OidcAuthenticator::new(Driven::new(), [strict]).unwrap();
    for (header, is_good) in [
        (json!({ "alg": "ES256", "kid": "1", "typ": "at+jwt" }), true),
        (json!({ "alg": "ES256", "kid": "1", "typ": "JWT" }), false),
        (json!({ "alg": "ES256", "kid": "1" }), false),
    ] {
        assert_eq!(
            show(&strict, P256.sign_with(&header, &claims(ISSUER))).await.is_ok(),
            is_good,
            "{header}"
        );
    }
}

#[tokio::test]
async fn what_a_header_demands_and_this_host_does_not_do_is_refused() {
    let authenticator = trusting(&[P256.jwk("1")]);
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(null)),
        ("b64", json!(false)),
        ("kid", json!(1)),
    ] {
        let mut header = json!({ "alg": "ES256", "kid": "1" });
        header[name] = value;
        assert!(
            is_invalid(&refusal(&authenticator, P256.sign_with(&header, &claims(ISSUER))).await),
            "{header}"
        );
    }
    assert!(
        is_invalid(&refusal_of(json!({ "cnf": { "jkt": "0" } })).await),
        "bound to a key of its holder's"
    );
}

#[tokio::test]
async fn what_is_no_token_is_refused_whatever_its_form() {
    let authenticator = trusting(&[P256.jwk("1")]);
    let good = P256.sign("1", &claims(ISSUER));
    let parts: Vec<&str> = good.split('.').collect();
    let [header, body, signature] = *parts else { panic!("three parts") };
    for text in [
        format!("{header}.{body}"),
        format!("{header}.{body}.{signature}.{signature}"),
        format!("{header}.{body}.{signature}="),
        format!("{header}=.{body}.{signature}"),
        format!("{header}.{body}.{signature}\n"),
        format!(" {good}"),
        format!("Bearer {good}"),
        format!("{body}.{header}.{signature}"),
        format!("{header}..{signature}"),
        format!(".{body}.{signature}"),
        good.replace('.', ".."),
        // Letters of the other alphabet of base 64.
        format!("{header}.{body}.+{}", &signature[1..]),
        format!("{header}.{body}./{}", &signature[1..]),
        format!("{header}.{body}.{}", encode([0; 64])),
        format!("{header}.{body}.{}", encode([0xff; 64])),
        format!("{header}.{body}.{}", encode([0; 63])),
        // Five parts: an encrypted token.
        format!("{header}.{body}.{body}.{body}.{signature}"),
        "ä.ö.ü".to_owned(),
    ] {
        assert!(is_invalid(&refusal(&authenticator, text.clone()).await), "{text}");
    }
    let header = json!({ "alg": "ES256", "kid": "1" }).to_string();
    for payload in [
        &b"\xff\xfe"[..],
        b"{\"iss\":\"\xff\"}",
        b"[]",
        b"null",
        b"\"x\"",
        b"",
        b"{} {}",
        b"{",
        b"{\"iss\":\"\\ud800\"}",
    ] {
        let token = P256.sign_text(&header, payload, Algorithm::ES256);
        assert!(is_invalid(&refusal(&authenticator, token).await), "{payload:?}");
    }
}

#[tokio::test]
async fn a_claim_that_is_there_twice_is_there_not_at_all() {
    let authenticator = trusting(&[P256.jwk("1")]);
    let header = json!({ "alg": "ES256", "kid": "1" }).to_string();
    for (name, value) in claims(ISSUER).as_object().unwrap() {
        let text = claims(ISSUER).to_string();
        let twice = format!("{},{}:{value}}}", text.trim_end_matches('}'), json!(name));
        let token = P256.sign_text(&header, twice.as_bytes(), Algorithm::ES256);
        assert!(is_invalid(&refusal(&authenticator, token).await), "{name}");
    }
    for header in [r#"{"alg":"ES256","kid":"1","kid":"1"}"#, r#"{"alg":"none","alg":"ES256","kid":"1"}"#] {
        let token = P256.sign_text(header, claims(ISSUER).to_string().as_bytes(), Algorithm::ES256);
        assert!(is_invalid(&refusal(&authenticator, token).await), "{header}");
    }
}

#[tokio::test]
async fn huge_and_deeply_nested_tokens_are_refused_at_once() {
    let authenticator = trusting(&[P256.jwk("1")]);
    let header = json!({ "alg": "ES256", "kid": "1" }).to_string();
    let filled = claims_with(ISSUER, json!({ "filler": "x".repeat(16_384) }));
    assert!(is_invalid(&refusal(&authenticator, P256.sign("1", &filled)).await));
    assert!(is_invalid(&refusal(&authenticator, "a".repeat(10_000_000)).await));
    for levels in [9, 100, 5_000] {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let token = P256.sign_text(&header, deep.as_bytes(), Algorithm::ES256);
        assert!(is_invalid(&refusal(&authenticator, token).await), "{levels}");
        let token = P256.sign_text(&deep, claims(ISSUER).to_string().as_bytes(), Algorithm::ES256);
        assert!(is_invalid(&refusal(&authenticator, token).await), "{levels}");
    }
}

/// Shows X-1.
#[tokio::test]
async fn a_tenant_that_is_not_told_exactly_is_not_guessed() {
    let id = sample::tenant(1).to_string();
    for tenant in [
        json!(1),
        json!([id]),
        json!({ "id": id }),
        json!(""),
        json!("acme"),
        json!(id.to_uppercase()),
        json!(format!(" {id}")),
        json!(format!("{id},{id}")),
        json!(true),
        json!(id.replace("ten", "env")),
        json!("00000000000000000000000000000001"),
        json!(format!("{{{}}}", sample::tenant(1).uuid())),
        json!("*"),
    ] {
        assert!(is_invalid(&refusal_of(json!({ "tenant": tenant })).await), "{tenant}");
    }
    assert_eq!(refusal_of(json!({ "tenant": null })).await, lacks("tenant"));
    let authenticator = trusting(&[P256.jwk("1")]);
    let by_uuid = claims_with(ISSUER, json!({ "tenant": sample::tenant(1).uuid().to_string() }));
    assert_eq!(show(&authenticator, P256.sign("1", &by_uuid)).await.unwrap().tenant(), sample::tenant(1));
}

#[tokio::test]
async fn the_issuers_words_for_tenants_are_the_only_ones_where_there_are_any() {
    let issuer = given(&[P256.jwk("1")])
        .tenant_claim("/organization/id~1x")
        .tenant("acme", sample::tenant(1))
        .tenant("globex", sample::tenant(2));
    let authenticator = OidcAuthenticator::new(Driven::new(), [issuer]).unwrap();
    let token =
        |tenant: Value| P256.sign("1", &claims_with(ISSUER, json!({ "organization": { "id/x": tenant } })));
    for (word, number) in [("acme", 1), ("globex", 2)] {
        let principal = show(&authenticator, token(json!(word))).await.unwrap();
        assert_eq!(principal.tenant(), sample::tenant(number));
    }
    for word in [json!("ACME"), json!("initech"), json!(sample::tenant(1).to_string()), json!(["acme"])] {
        assert!(is_invalid(&refusal(&authenticator, token(word.clone())).await), "{word}");
    }
    let error = refusal(&authenticator, P256.sign("1", &claims(ISSUER))).await;
    assert_eq!(error, lacks("/organization/id~1x"));
}

#[tokio::test]
async fn an_issuer_of_one_tenant_speaks_for_no_other() {
    let one: TenantId = sample::tenant(7);
    let issuer = given(&[P256.jwk("1")]).one_tenant(one);
    let authenticator = OidcAuthenticator::new(Driven::new(), [issuer]).unwrap();
    for tenant in [json!(sample::tenant(1).to_string()), json!(null)] {
        let token = P256.sign("1", &claims_with(ISSUER, json!({ "tenant": tenant })));
        assert_eq!(show(&authenticator, token).await.unwrap().tenant(), one);
    }
}

/// Shows X-1.
#[tokio::test]
async fn a_role_is_one_that_was_mapped_and_written_as_a_word_of_its_own() {
    let ours = trusting(&[P256.jwk("1")]);
    let issuer = given(&[P256.jwk("1")])
        .role_claim("/realm_access/roles")
        .role("ops", Role::Operator)
        .role("ops", Role::Approver)
        .role("boss", Role::Administrator);
    let mapped = OidcAuthenticator::new(Driven::new(), [issuer]).unwrap();
    let everything = |roles: &Value| json!({ "roles": roles, "realm_access": { "roles": roles } });
    let cases: [(Value, &[Role], &[Role]); 13] = [
        (json!(["operator"]), &[Role::Operator], &[]),
        (json!("operator viewer"), &[Role::Viewer, Role::Operator], &[]),
        (json!(["operator viewer"]), &[], &[]),
        (json!(["Administrator", "ADMINISTRATOR", "administrator "]), &[], &[]),
        (json!("administrator,operator"), &[], &[]),
        (json!({ "administrator": true }), &[], &[]),
        (json!([["administrator"], { "administrator": 1 }, 3, null, true]), &[], &[]),
        (json!(["root", "*", "admin", "", "viewer"]), &[Role::Viewer], &[]),
        (json!(["ops"]), &[], &[Role::Operator, Role::Approver]),
        (json!("boss ops"), &[], &[Role::Operator, Role::Approver, Role::Administrator]),
        (json!("boss\tops"), &[], &[]),
        (json!(true), &[], &[]),
        (json!(null), &[], &[]),
    ];
    for (roles, by_ours, by_theirs) in cases {
        let token = P256.sign("1", &claims_with(ISSUER, everything(&roles)));
        for (authenticator, wanted) in [(&ours, by_ours), (&mapped, by_theirs)] {
            let principal = show(authenticator, token.clone()).await.unwrap();
            assert_eq!(principal.roles().iter().copied().collect::<Vec<_>>(), wanted, "{roles}");
        }
    }
}

#[tokio::test]
async fn a_subject_that_is_no_actor_is_refused_and_one_that_is_ours_too() {
    for subject in [
        json!(""),
        json!(1),
        json!(["ada"]),
        json!("a b"),
        json!("ada\n"),
        json!("ädä"),
        json!("x".repeat(129)),
        json!("reconciler:relay"),
        json!("x".repeat(256)),
    ] {
        assert!(is_invalid(&refusal_of(json!({ "sub": subject })).await), "{subject}");
    }
    assert_eq!(refusal_of(json!({ "sub": null })).await, lacks("sub"));
}

#[tokio::test]
async fn subjects_can_be_hashed_or_prefixed_so_that_issuers_do_not_meet() {
    let other = "https://other.example.com";
    let keys = crate::keys::jwk_set(&[P256.jwk("1")]);
    let issuer = |name: &str| runtime_oidc::Issuer::with_keys(name, keys.clone()).audience(AUDIENCE);
    let hashing = OidcAuthenticator::new(
        Driven::new(),
        [issuer(ISSUER).hashed_subjects(), issuer(other).hashed_subjects()],
    )
    .unwrap();
    let actor = async |authenticator: &OidcAuthenticator, issuer: &str, subject: &str| {
        let token = P256.sign("1", &claims_with(issuer, json!({ "sub": subject })));
        show(authenticator, token).await.unwrap().actor().as_str().to_owned()
    };
    let first = actor(&hashing, ISSUER, "ada@example.com").await;
    assert_eq!(first, actor(&hashing, ISSUER, "ada@example.com").await);
    assert!(!first.contains("ada") && first.len() == 36, "{first}");
    assert_ne!(first, actor(&hashing, other, "ada@example.com").await);
    assert_ne!(first, actor(&hashing, ISSUER, "Ada@example.com").await);
    assert!(actor(&hashing, ISSUER, "Ada Löv").await.starts_with("sub:"), "what is no actor can be hashed");
    let prefixing = OidcAuthenticator::new(
        Driven::new(),
        [issuer(ISSUER).actor_prefix("corp"), issuer(other).actor_prefix("partner")],
    )
    .unwrap();
    assert_eq!(actor(&prefixing, ISSUER, "ada").await, "corp:ada");
    assert_eq!(actor(&prefixing, other, "ada").await, "partner:ada");
}

/// Shows X-1.
#[tokio::test]
async fn one_issuers_keys_do_not_sign_for_another() {
    let other = "https://other.example.com";
    let issuer = |name: &str, key: Value| {
        runtime_oidc::Issuer::with_keys(name, crate::keys::jwk_set(&[key]))
            .audience(AUDIENCE)
            .hashed_subjects()
    };
    let both = [issuer(ISSUER, P256.jwk("1")), issuer(other, STRANGER.jwk("1"))];
    let authenticator = OidcAuthenticator::new(Driven::new(), both).unwrap();
    assert!(show(&authenticator, P256.sign("1", &claims(ISSUER))).await.is_ok());
    assert!(show(&authenticator, STRANGER.sign("1", &claims(other))).await.is_ok());
    assert!(is_invalid(&refusal(&authenticator, P256.sign("1", &claims(other))).await));
    assert!(is_invalid(&refusal(&authenticator, STRANGER.sign("1", &claims(ISSUER))).await));
}
