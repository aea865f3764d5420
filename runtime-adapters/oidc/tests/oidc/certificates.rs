//! What the table of certificates knows, and what it refuses.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, KeyPair, SanType};
use runtime_oidc::{CertificateAuthenticator, CertificateEntryError, CertificateHolder};
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Role};
use runtime_testkit::sample;

use crate::world::Driven;

fn holder(number: u64) -> CertificateHolder {
    CertificateHolder {
        tenant: sample::tenant(number),
        actor: sample::caller(number),
        roles: BTreeSet::from([Role::Operator]),
    }
}

fn certificate(uris: &[&str]) -> Vec<u8> {
    let mut parameters = CertificateParams::default();
    parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let name = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
    parameters.subject_alt_names = uris.iter().map(name).collect();
    parameters.subject_alt_names.push(SanType::DnsName("spiffe.example.com".try_into().unwrap()));
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    parameters.self_signed(&key).unwrap().der().to_vec()
}

fn fingerprint(der: &[u8]) -> String {
    digest(&SHA256, der).as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

async fn refusal(authenticator: &CertificateAuthenticator, der: Vec<u8>) -> AuthenticationError {
    authenticator.authenticate(&Credentials::Certificate(der)).await.unwrap_err()
}

#[tokio::test]
async fn a_holder_is_known_by_uri_or_by_fingerprint_and_nobody_by_the_authority_alone() {
    let (by_uri, by_print, unknown) =
        (certificate(&["urn:example:ci"]), certificate(&[]), certificate(&["urn:example:other"]));
    let authenticator = CertificateAuthenticator::new(Driven::new())
        .uri("urn:example:ci", holder(1))
        .unwrap()
        .fingerprint(&fingerprint(&by_print), holder(2))
        .unwrap();
    for (der, number) in [(by_uri.clone(), 1), (by_print, 2)] {
        let principal = authenticator.authenticate(&Credentials::Certificate(der)).await.unwrap();
        assert_eq!(
            (principal.tenant(), principal.actor()),
            (sample::tenant(number), &sample::caller(number))
        );
    }
    assert!(matches!(refusal(&authenticator, unknown).await, AuthenticationError::Invalid { .. }));
    let mut longer = by_uri;
    longer.push(0);
    assert!(matches!(refusal(&authenticator, longer).await, AuthenticationError::Invalid { .. }));
}

#[tokio::test]
async fn a_certificate_that_could_be_of_two_holders_is_of_none() {
    let both = certificate(&["urn:example:a", "urn:example:b"]);
    let authenticator = CertificateAuthenticator::new(Driven::new())
        .uri("urn:example:a", holder(1))
        .unwrap()
        .uri("urn:example:b", holder(2))
        .unwrap();
    assert!(matches!(refusal(&authenticator, both).await, AuthenticationError::Invalid { .. }));
    let authenticator =
        CertificateAuthenticator::new(Driven::new()).uri("spiffe://example.com/ci", holder(1)).unwrap();
    let spiffe = certificate(&["spiffe://example.com/ci", "https://example.com/"]);
    assert!(matches!(refusal(&authenticator, spiffe).await, AuthenticationError::Invalid { .. }));
}

#[test]
fn what_is_no_entry_is_refused_with_what_would_be_one() {
    let table = || CertificateAuthenticator::new(Driven::new());
    for text in ["", "ci", "://x", "1a:b", "urn:exa mple", "urn:é"] {
        assert_eq!(
            table().uri(text, holder(1)).unwrap_err(),
            CertificateEntryError::NotAUri(text.to_owned())
        );
    }
    for text in ["", "00", "zz", &"0".repeat(63), &"0".repeat(66), &"g".repeat(64), &"00:".repeat(32)] {
        assert!(
            matches!(table().fingerprint(text, holder(1)), Err(CertificateEntryError::NotAFingerprint(_))),
            "{text}"
        );
    }
    let twice = table().uri("urn:a", holder(1)).unwrap().uri("urn:a", holder(2));
    assert!(matches!(twice, Err(CertificateEntryError::Repeated(_))));
    let digits = "ab".repeat(32);
    let twice =
        table().fingerprint(&digits, holder(1)).unwrap().fingerprint(&digits.to_uppercase(), holder(2));
    assert!(matches!(twice, Err(CertificateEntryError::Repeated(_))));
}
