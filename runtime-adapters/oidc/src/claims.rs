//! What a verified token says, in our terms.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use runtime_domain::bug;
use runtime_domain::id::TenantId;
use runtime_domain::scope::Actor;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::authenticator::{AuthenticationError, Role};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::token::invalid;

type Claims = Map<String, Value>;

/// The actors that the library itself is, in its audit.
const OWN_ACTORS: &str = "reconciler:";

/// Where in a token something is said: a claim's name, or, beginning with `/`, a JSON pointer (RFC 6901) into the claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimPath(String);

impl ClaimPath {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether it can lead anywhere.
    pub(crate) fn is_legal(&self) -> bool {
        let escapes_are_whole =
            self.0.split('~').skip(1).all(|rest| rest.starts_with('0') || rest.starts_with('1'));
        !self.0.is_empty() && (!self.0.starts_with('/') || (self.0.len() > 1 && escapes_are_whole))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn find<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        let Some(pointer) = self.0.strip_prefix('/') else { return claims.get(&self.0) };
        let unescaped = |step: &str| step.replace("~1", "/").replace("~0", "~");
        let (first, rest) = match pointer.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (pointer, None),
        };
        let found = claims.get(&unescaped(first))?;
        match rest {
            Some(rest) => found.pointer(&format!("/{rest}")),
            None => Some(found),
        }
    }

    fn missing(&self) -> AuthenticationError {
        AuthenticationError::Incomplete { claim: self.0.clone() }
    }
}

/// How callers of an issuer find their tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TenantRule {
    /// All are of one.
    One(TenantId),
    /// A claim names it: by a word of the issuer's where there are any, else by its identifier.
    Claim { path: ClaimPath, words: BTreeMap<String, TenantId> },
}

impl TenantRule {
    pub(crate) fn tenant(&self, claims: &Claims) -> Result<TenantId, AuthenticationError> {
        let (path, words) = match self {
            Self::One(tenant) => return Ok(*tenant),
            Self::Claim { path, words } => (path, words),
        };
        let unknown = invalid("its tenant claim is no tenant of this host");
        let word = match path.find(claims) {
            None | Some(Value::Null) => return Err(path.missing()),
            Some(Value::String(word)) => word,
            Some(_) => return Err(unknown),
        };
        let found = if words.is_empty() { parse_tenant(word) } else { words.get(word).copied() };
        found.ok_or(unknown)
    }
}

/// A tenant's identifier as we write it, or its UUID with hyphens.
fn parse_tenant(text: &str) -> Option<TenantId> {
    let is_hyphenated = text.len() == 36;
    let uuid = || Uuid::try_parse(text).ok().filter(|_| is_hyphenated).map(TenantId::from_uuid);
    text.parse().ok().or_else(uuid)
}

/// What callers of an issuer may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleRule {
    pub(crate) path: ClaimPath,
    /// The issuer's words; where there are none, they are ours.
    pub(crate) words: BTreeMap<String, BTreeSet<Role>>,
}

impl RoleRule {
    /// The roles that the token gives: an array's strings are a word each, a string is words with single spaces between them, as a `scope` is.
    /// Whatever else is there, and every word that nobody mapped, gives nothing.
    pub(crate) fn roles(&self, claims: &Claims) -> BTreeSet<Role> {
        let words: Vec<&str> = match self.path.find(claims) {
            Some(Value::String(words)) => words.split(' ').collect(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        words.into_iter().flat_map(|word| self.meant_by(word)).collect()
    }

    fn meant_by(&self, word: &str) -> BTreeSet<Role> {
        if self.words.is_empty() {
            Role::named(word).into_iter().collect()
        } else {
            self.words.get(word).cloned().unwrap_or_default()
        }
    }
}

/// How a subject is written down as an actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubjectRule {
    /// As the issuer has it.
    Verbatim,
    /// The same, behind a word for the issuer and a colon.
    Prefixed(String),
    /// A digest of issuer and subject.
    Hashed,
}

impl SubjectRule {
    pub(crate) fn actor(&self, issuer: &str, claims: &Claims) -> Result<Actor, AuthenticationError> {
        let subject = match claims.get("sub") {
            None | Some(Value::Null) => {
                return Err(AuthenticationError::Incomplete { claim: "sub".to_owned() });
            }
            Some(Value::String(subject)) => subject,
            Some(_) => return Err(invalid("its subject is not a string")),
        };
        if subject.is_empty() || subject.len() > 255 {
            return Err(invalid("its subject is empty or longer than 255 bytes"));
        }
        let text = match self {
            Self::Verbatim => subject.clone(),
            Self::Prefixed(prefix) => format!("{prefix}:{subject}"),
            Self::Hashed => pseudonym(issuer, subject),
        };
        Actor::new(&text).ok().filter(|actor| !actor.as_str().starts_with(OWN_ACTORS)).ok_or(invalid(
            "its subject cannot stand in an audit: it has spaces or other than ASCII characters, is too long, or is a name of this \
             library's own; have this host hash the issuer's subjects",
        ))
    }
}

/// The first 128 bits of a digest, which say nothing of who it is and are the same every time.
fn pseudonym(issuer: &str, subject: &str) -> String {
    // An issuer's text has no zero byte, so that no two pairs are one text.
    let digest = digest(&SHA256, &[issuer.as_bytes(), &[0], subject.as_bytes()].concat());
    let digits = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("sub:{}", digits.collect::<String>())
}

/// Whether one of `ours` is among those that the token is for.
pub(crate) fn check_audience(claims: &Claims, ours: &BTreeSet<String>) -> Result<(), AuthenticationError> {
    let is_for_us = match claims.get("aud") {
        None | Some(Value::Null) => {
            return Err(AuthenticationError::Incomplete { claim: "aud".to_owned() });
        }
        Some(Value::String(audience)) => ours.contains(audience),
        Some(Value::Array(audiences)) => {
            audiences.iter().all(Value::is_string)
                && audiences.iter().filter_map(Value::as_str).any(|audience| ours.contains(audience))
        }
        Some(_) => false,
    };
    if is_for_us || bug!("audience-unchecked") { Ok(()) } else { Err(invalid("it is for another audience")) }
}

/// Checks `exp`, `nbf` and `iat`, and says until when the token is good.
pub(crate) fn check_times(
    claims: &Claims,
    now: Timestamp,
    skew: Span,
) -> Result<Timestamp, AuthenticationError> {
    let expires_at =
        time(claims, "exp")?.ok_or_else(|| AuthenticationError::Incomplete { claim: "exp".to_owned() })?;
    let not_before = time(claims, "nbf")?;
    let issued_at = time(claims, "iat")?;
    let good_until = skew.after(expires_at);
    if now >= good_until {
        return Err(AuthenticationError::Expired);
    }
    let latest_now = skew.after(now);
    if [not_before, issued_at].into_iter().flatten().any(|begin| begin > latest_now) {
        return Err(AuthenticationError::NotYetValid);
    }
    Ok(good_until)
}

/// A claim that is a time (RFC 7519's NumericDate), in whole seconds; a fraction is dropped.
fn time(claims: &Claims, name: &str) -> Result<Option<Timestamp>, AuthenticationError> {
    let seconds = match claims.get(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Some(_) => None,
    };
    let time =
        seconds.filter(|seconds| *seconds >= 0).and_then(|seconds| Timestamp::from_timestamp(seconds, 0));
    time.map(Some).ok_or(invalid("one of its times is not a number of seconds since 1970"))
}

fn whole(number: f64) -> Option<i64> {
    // Far beyond the calendar's end, and exact in a double.
    const MOST: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the fraction is to be dropped, and the range is checked"
    )]
    (number.abs() <= MOST).then_some(number as i64)
}
