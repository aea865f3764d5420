//! A token in its compact form (RFC 7515), and its header.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use runtime_ports::authenticator::AuthenticationError;
use serde_json::{Map, Value};

use crate::algorithm::SigningAlgorithm;
use crate::json::parse_object;

/// Longer than any token that fits the headers which HTTP servers take.
pub(crate) const MOST_TOKEN_BYTES: usize = 16 * 1024;

pub(crate) const fn invalid(reason: &'static str) -> AuthenticationError {
    AuthenticationError::Invalid { reason }
}

/// What a token's header says of its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenType {
    /// `at+jwt`: an access token (RFC 9068).
    AccessToken,
    /// `JWT`, or nothing.
    Plain,
}

/// A token that was taken apart, and of which nothing is believed yet.
pub(crate) struct Unverified<'a> {
    pub(crate) algorithm: SigningAlgorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) token_type: TokenType,
    pub(crate) claims: Map<String, Value>,
    /// What is signed: header and claims as they came.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, AuthenticationError> {
        if token.len() > MOST_TOKEN_BYTES {
            return Err(invalid("the token is longer than 16 KiB"));
        }
        let malformed =
            invalid("the token is not three parts in base64url, header and claims being JSON objects");
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| malformed.clone())?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| malformed.clone())?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let object = |part: &str| decode(part).and_then(|bytes| parse_object(&bytes));
        let header = object(header).ok_or_else(|| malformed.clone())?;
        let (algorithm, key_id, token_type) = parse_header(&header)?;
        let claims = object(claims).ok_or_else(|| malformed.clone())?;
        let signature = decode(signature).ok_or(malformed)?;
        Ok(Self { algorithm, key_id, token_type, claims, signed: signed.as_bytes(), signature })
    }
}

/// Keys that a header brings along (`jwk`, `jku`, `x5c`, `x5u`) are not looked at: a key is the issuer's or it is nobody's.
fn parse_header(
    header: &Map<String, Value>,
) -> Result<(SigningAlgorithm, Option<String>, TokenType), AuthenticationError> {
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(invalid("the token's header demands extensions"));
    }
    let algorithm = match header.get("alg") {
        Some(Value::String(name)) => SigningAlgorithm::named(name),
        _ => None,
    };
    let algorithm = algorithm.ok_or(invalid("the token's algorithm is not allowed"))?;
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(key_id)) => Some(key_id.clone()),
        Some(_) => return Err(invalid("the token's `kid` is not a string")),
    };
    let token_type = match header.get("typ") {
        None => TokenType::Plain,
        Some(Value::String(name)) => parse_type(name)?,
        Some(_) => return Err(invalid("the token's `typ` is not a string")),
    };
    Ok((algorithm, key_id, token_type))
}

fn parse_type(name: &str) -> Result<TokenType, AuthenticationError> {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("application/").unwrap_or(&name) {
        "at+jwt" => Ok(TokenType::AccessToken),
        "jwt" => Ok(TokenType::Plain),
        _ => Err(invalid("the token's `typ` is that of another kind of token")),
    }
}
