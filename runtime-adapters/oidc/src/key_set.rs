//! An issuer's keys (RFC 7517).

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::algorithm::SigningAlgorithm;
use crate::json::parse_object;

/// More than any issuer publishes at once.
const MOST_KEYS: usize = 64;

/// As many keys as one token is tried with: that of the issuer may be one of a few, and a forged one costs a bounded time.
const MOST_CANDIDATES: usize = 4;

/// The keys that an issuer published.
pub(crate) struct KeySet {
    keys: Vec<VerificationKey>,
}

/// What a token's signature came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    /// One of the keys made it.
    Genuine,
    /// None of the keys that it may be of made it.
    Forged,
    /// No key of the set is the one that the token names, and has its algorithm.
    UnknownKey,
}

impl KeySet {
    /// Parses a JWK set. Keys that cannot verify a token are left out: of other kinds, for other uses, too weak, damaged, or with their private
    /// half. `None` where this is no JWK set.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let Value::Array(keys) = parse_object(bytes)?.remove("keys")? else { return None };
        if keys.len() > MOST_KEYS {
            return None;
        }
        let keys = keys.iter().filter_map(Value::as_object).filter_map(VerificationKey::parse).collect();
        Some(Self { keys })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Judges a signature by the keys that it may be of. A token without `kid` may be of any; of several keys with one `kid`, of each of them.
    pub(crate) fn judge(
        &self,
        algorithm: SigningAlgorithm,
        key_id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Signature {
        let may_be_of = |key: &&VerificationKey| {
            key.agrees_with(algorithm) && key_id.is_none_or(|wanted| key.key_id.as_deref() == Some(wanted))
        };
        let mut candidates = self.keys.iter().filter(may_be_of).take(MOST_CANDIDATES).peekable();
        if candidates.peek().is_none() {
            Signature::UnknownKey
        } else if candidates.any(|key| key.verifies(algorithm, signed, signature)) {
            Signature::Genuine
        } else if key_id.is_none() {
            Signature::UnknownKey
        } else {
            Signature::Forged
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.keys.iter().map(|key| &key.key_id)).finish()
    }
}

struct VerificationKey {
    key_id: Option<String>,
    /// The one algorithm that the issuer says the key is for, where it says one.
    only: Option<SigningAlgorithm>,
    material: Material,
}

enum Material {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    P256(ParsedPublicKey),
    P384(ParsedPublicKey),
    Ed25519(ParsedPublicKey),
}

impl VerificationKey {
    fn parse(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let key_id = match jwk.get("kid") {
            None => None,
            Some(key_id) => Some(key_id.as_str()?.to_owned()),
        };
        let only = match jwk.get("alg") {
            None => None,
            Some(name) => Some(SigningAlgorithm::named(name.as_str()?)?),
        };
        let is_for_signatures = match jwk.get("use") {
            None => true,
            Some(intended) => intended.as_str() == Some("sig"),
        };
        let is_for_verifying = match jwk.get("key_ops") {
            None => true,
            Some(Value::Array(operations)) => operations.iter().any(|it| it.as_str() == Some("verify")),
            Some(_) => false,
        };
        // What everybody can read signs for nobody.
        let is_compromised = jwk.contains_key("d") || jwk.contains_key("k");
        if !is_for_signatures || !is_for_verifying || is_compromised {
            return None;
        }
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => Material::rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?)?,
            ("EC", Some("P-256")) => Material::P256(point(jwk, 32, &ECDSA_P256_SHA256_FIXED)?),
            ("EC", Some("P-384")) => Material::P384(point(jwk, 48, &ECDSA_P384_SHA384_FIXED)?),
            ("OKP", Some("Ed25519")) => {
                Material::Ed25519(ParsedPublicKey::new(&ED25519, sized(jwk, "x", 32)?).ok()?)
            }
            _ => return None,
        };
        let key = Self { key_id, only: None, material };
        match only {
            Some(algorithm) if !key.agrees_with(algorithm) => None,
            only => Some(Self { only, ..key }),
        }
    }

    /// Whether this key is of the kind that the algorithm needs, and not kept for another.
    fn agrees_with(&self, algorithm: SigningAlgorithm) -> bool {
        use SigningAlgorithm::{Ed25519, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let is_of_its_kind = matches!(
            (&self.material, algorithm),
            (Material::Rsa(_), Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512)
                | (Material::P256(_), Es256)
                | (Material::P384(_), Es384)
                | (Material::Ed25519(_), Ed25519)
        );
        is_of_its_kind && self.only.is_none_or(|only| only == algorithm)
    }

    fn verifies(&self, algorithm: SigningAlgorithm, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa(key) => rsa_parameters(algorithm)
                .is_some_and(|parameters| key.verify(parameters, signed, signature).is_ok()),
            Material::P256(key) | Material::P384(key) | Material::Ed25519(key) => {
                key.verify_sig(signed, signature).is_ok()
            }
        }
    }
}

impl Material {
    /// An RSA key of 2,048 to 8,192 bits.
    fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let without_leading_zeros =
            |number: &[u8]| -> Vec<u8> { number.iter().copied().skip_while(|byte| *byte == 0).collect() };
        let (n, e) = (without_leading_zeros(modulus), without_leading_zeros(exponent));
        let is_strong =
            (256..=1024).contains(&n.len()) && n.first().is_some_and(|byte| n.len() > 256 || *byte >= 0x80);
        let is_usual = (1..=4).contains(&e.len()) && e.last().is_some_and(|byte| byte % 2 == 1) && e != [1];
        (is_strong && is_usual).then_some(Self::Rsa(RsaPublicKeyComponents { n, e }))
    }
}

fn rsa_parameters(algorithm: SigningAlgorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        SigningAlgorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        SigningAlgorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        SigningAlgorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        SigningAlgorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        SigningAlgorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        SigningAlgorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        SigningAlgorithm::Es256 | SigningAlgorithm::Es384 | SigningAlgorithm::Ed25519 => None,
    }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()
}

fn sized(jwk: &Map<String, Value>, name: &str, length: usize) -> Option<Vec<u8>> {
    bytes(jwk, name).filter(|bytes| bytes.len() == length)
}

/// A point of a curve in its uncompressed form; `None` where it is not on the curve.
fn point(
    jwk: &Map<String, Value>,
    length: usize,
    algorithm: &'static dyn VerificationAlgorithm,
) -> Option<ParsedPublicKey> {
    let coordinates = [sized(jwk, "x", length)?, sized(jwk, "y", length)?].concat();
    ParsedPublicKey::new(algorithm, [&[4], coordinates.as_slice()].concat()).ok()
}
