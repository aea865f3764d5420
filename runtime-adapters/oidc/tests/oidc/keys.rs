//! Key pairs of the tests' issuers, and tokens that are signed by them: by another library than the one that verifies.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, RsaKeySize, SignatureAlgorithm};
use serde_json::{Value, json};

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key pair of an issuer.
pub(crate) struct Pair {
    private: EncodingKey,
    /// What the issuer publishes, without `kid`, `use` and `alg`.
    public: Value,
    pub(crate) algorithm: Algorithm,
}

impl Pair {
    fn rsa() -> Self {
        let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        // What is wrapped in a PKCS#8 document of this size is the key alone.
        let private = EncodingKey::from_rsa_der(pair.serialized_der().get(26..).unwrap());
        let jwk = Jwk::from_encoding_key(&private, Algorithm::RS256).unwrap();
        let AlgorithmParameters::RSA(parameters) = jwk.algorithm else { panic!("an RSA key") };
        let public = json!({ "kty": "RSA", "n": parameters.n, "e": parameters.e });
        Self { private, public, algorithm: Algorithm::RS256 }
    }

    pub(crate) fn elliptic(algorithm: Algorithm) -> Self {
        let (signature, curve): (&'static SignatureAlgorithm, _) = match algorithm {
            Algorithm::ES256 => (&rcgen::PKCS_ECDSA_P256_SHA256, "P-256"),
            Algorithm::ES384 => (&rcgen::PKCS_ECDSA_P384_SHA384, "P-384"),
            _ => panic!("not of a curve of the tests"),
        };
        let pair = KeyPair::generate_for(signature).unwrap();
        let (x, y) = pair.public_key_raw()[1..].split_at(pair.public_key_raw().len() / 2);
        let public = json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) });
        Self { private: EncodingKey::from_ec_der(pair.serialized_der()), public, algorithm }
    }

    fn edwards() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key_raw()) });
        let private = EncodingKey::from_ed_der(pair.serialized_der());
        Self { private, public, algorithm: Algorithm::EdDSA }
    }

    /// The public half as an issuer publishes it.
    pub(crate) fn jwk(&self, key_id: &str) -> Value {
        self.jwk_with(json!({ "kid": key_id, "use": "sig", "alg": format!("{:?}", self.algorithm) }))
    }

    /// The public half with these members.
    pub(crate) fn jwk_with(&self, members: Value) -> Value {
        let mut jwk = self.public.clone();
        jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        jwk
    }

    /// What the public half is made of, as bytes.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.public).unwrap()
    }

    /// A token of this header and these claims, as they are written, signed by an algorithm of this key's kind.
    pub(crate) fn sign_text(&self, header: &str, claims: &[u8], algorithm: Algorithm) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.private, algorithm).unwrap();
        format!("{signed}.{signature}")
    }

    /// A token of these claims.
    pub(crate) fn sign(&self, key_id: &str, claims: &Value) -> String {
        let header = json!({ "alg": format!("{:?}", self.algorithm), "typ": "at+jwt", "kid": key_id });
        self.sign_text(&header.to_string(), claims.to_string().as_bytes(), self.algorithm)
    }

    /// A token of this header and these claims.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), claims.to_string().as_bytes(), self.algorithm)
    }
}

/// Making one takes long.
pub(crate) static RSA: LazyLock<Pair> = LazyLock::new(Pair::rsa);
pub(crate) static P256: LazyLock<Pair> = LazyLock::new(|| Pair::elliptic(Algorithm::ES256));
pub(crate) static P384: LazyLock<Pair> = LazyLock::new(|| Pair::elliptic(Algorithm::ES384));
pub(crate) static ED25519: LazyLock<Pair> = LazyLock::new(Pair::edwards);
/// A key of somebody else.
pub(crate) static STRANGER: LazyLock<Pair> = LazyLock::new(|| Pair::elliptic(Algorithm::ES256));

pub(crate) fn jwk_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}
