//! An issuer whose tokens are trusted, and on which terms.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use runtime_domain::id::TenantId;
use runtime_domain::time::Span;
use runtime_ports::authenticator::Role;

use crate::algorithm::SigningAlgorithm;
use crate::claims::{ClaimPath, RoleRule, SubjectRule, TenantRule};
use crate::endpoint::Endpoint;
use crate::key_cache::KeyTimes;
use crate::key_set::KeySet;

/// More leeway than this is a clock that wants mending.
const LARGEST_SKEW: Span = Span::from_secs(300);
const LONGEST_FETCH: Span = Span::from_secs(30);

/// An issuer whose tokens are trusted, and on which terms. What is said here is checked when an [`OidcAuthenticator`](crate::OidcAuthenticator)
/// is made of it.
///
/// Unless said otherwise: every [`SigningAlgorithm`], a clock skew of 60 s, the claims `tenant` (our identifier) and `roles` (our words), the subject
/// as it is, keys that are fetched anew after ten minutes and used for an hour where the issuer cannot be asked, at most one fetch in
/// ten seconds, of at most five seconds.
#[derive(Clone)]
#[must_use = "an issuer is trusted when an authenticator has it"]
pub struct Issuer {
    pub(crate) name: String,
    pub(crate) keys: Keys,
    pub(crate) audiences: BTreeSet<String>,
    pub(crate) algorithms: BTreeSet<SigningAlgorithm>,
    pub(crate) skew: Span,
    pub(crate) access_tokens_only: bool,
    pub(crate) one_tenant: Option<TenantId>,
    pub(crate) tenant_path: ClaimPath,
    pub(crate) tenant_words: BTreeMap<String, TenantId>,
    pub(crate) role_rule: RoleRule,
    pub(crate) subject_rule: SubjectRule,
    pub(crate) key_hosts: BTreeSet<String>,
    pub(crate) allows_loopback: bool,
    pub(crate) authorities: Option<Vec<u8>>,
    pub(crate) times: KeyTimes,
}

/// Where an issuer's keys are.
#[derive(Clone)]
pub(crate) enum Keys {
    /// Where its discovery document says.
    Discovered,
    /// At a URL.
    At(String),
    /// Here.
    Given(Vec<u8>),
}

/// An authenticator that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// Nobody's tokens would be accepted.
    #[error("no issuer is trusted: give the authenticator at least one")]
    NoIssuer,
    /// One issuer twice.
    #[error("issuer `{issuer}` is there twice: give each issuer's terms once")]
    Repeated {
        /// The issuer.
        issuer: String,
    },
    /// Two issuers' subjects could be the same actor.
    #[error(
        "subjects of issuer `{issuer}` could be taken for those of another: give each issuer an `actor_prefix` of its own, or hash its subjects"
    )]
    AmbiguousActors {
        /// The issuer.
        issuer: String,
    },
    /// Something that was said of an issuer.
    #[error("issuer `{issuer}`: {problem}")]
    Issuer {
        /// The issuer.
        issuer: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}

impl Issuer {
    fn new(name: &str, keys: Keys) -> Self {
        Self {
            name: name.to_owned(),
            keys,
            audiences: BTreeSet::new(),
            algorithms: SigningAlgorithm::ALL.into(),
            skew: Span::from_secs(60),
            access_tokens_only: false,
            one_tenant: None,
            tenant_path: ClaimPath::new("tenant"),
            tenant_words: BTreeMap::new(),
            role_rule: RoleRule { path: ClaimPath::new("roles"), words: BTreeMap::new() },
            subject_rule: SubjectRule::Verbatim,
            key_hosts: BTreeSet::new(),
            allows_loopback: false,
            authorities: None,
            times: KeyTimes {
                fresh_for: Span::from_secs(600),
                usable_for: Span::from_secs(3_600),
                between_fetches: Span::from_secs(10),
                longest_fetch: Span::from_secs(5),
            },
        }
    }

    /// The issuer of this URL, exactly as its tokens' `iss` has it, whose keys are found by its discovery document
    /// (`/.well-known/openid-configuration` behind the URL).
    pub fn discovered(issuer: &str) -> Self {
        Self::new(issuer, Keys::Discovered)
    }

    /// The issuer whose tokens have this `iss`, and whose JWK set is at `url`.
    pub fn with_keys_at(issuer: &str, url: &str) -> Self {
        Self::new(issuer, Keys::At(url.to_owned()))
    }

    /// The issuer whose tokens have this `iss`, and whose JWK set is this one, in JSON. Nothing is fetched, and keys change when the
    /// authenticator is made anew.
    pub fn with_keys(issuer: &str, jwk_set: impl Into<Vec<u8>>) -> Self {
        Self::new(issuer, Keys::Given(jwk_set.into()))
    }

    /// One more audience that is us: a token's `aud` must have one of them. At least one is needed.
    pub fn audience(mut self, audience: &str) -> Self {
        self.audiences.insert(audience.to_owned());
        self
    }

    /// These algorithms only.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = SigningAlgorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// How far the issuer's clock and ours may differ; at most five minutes.
    pub fn clock_skew(mut self, skew: Span) -> Self {
        self.skew = skew;
        self
    }

    /// Tokens of type `at+jwt` (RFC 9068) only: with an issuer that types its access tokens, no other token of its gets in.
    pub fn access_tokens_only(mut self) -> Self {
        self.access_tokens_only = true;
        self
    }

    /// Every caller of this issuer is of this tenant, whatever its token says.
    pub fn one_tenant(mut self, tenant: TenantId) -> Self {
        self.one_tenant = Some(tenant);
        self
    }

    /// The claim that names the tenant: a name (`tenant`, `https://example.com/tenant`), or, beginning with `/`, a JSON pointer (`/organization/id`).
    /// It is a string: our identifier (`tenant_…` as we print it, or its UUID), or a word of [`Issuer::tenant`].
    pub fn tenant_claim(mut self, path: &str) -> Self {
        self.tenant_path = ClaimPath::new(path);
        self
    }

    /// What the issuer calls this tenant. Where it is said of one tenant, others have no access, even by their identifiers.
    pub fn tenant(mut self, word: &str, tenant: TenantId) -> Self {
        self.tenant_words.insert(word.to_owned(), tenant);
        self
    }

    /// The claim that names roles, written as [`Issuer::tenant_claim`] is: an array of strings, or a string with spaces between words.
    pub fn role_claim(mut self, path: &str) -> Self {
        self.role_rule.path = ClaimPath::new(path);
        self
    }

    /// What the issuer calls this role; one word may mean several. Where one is said, only such words give roles: ours do not.
    pub fn role(mut self, word: &str, role: Role) -> Self {
        self.role_rule.words.entry(word.to_owned()).or_default().insert(role);
        self
    }

    /// Actors are this word, a colon, and the subject: so that two issuers' subjects are never one actor.
    pub fn actor_prefix(mut self, prefix: &str) -> Self {
        self.subject_rule = SubjectRule::Prefixed(prefix.to_owned());
        self
    }

    /// Actors are digests of issuer and subject: for issuers whose subjects say who somebody is, or are no legal actors. The same subject is
    /// always the same actor, and no other issuer's.
    pub fn hashed_subjects(mut self) -> Self {
        self.subject_rule = SubjectRule::Hashed;
        self
    }

    /// One more host that the discovery document may say the keys are at; otherwise they must be at the issuer's own.
    pub fn key_host(mut self, host: &str) -> Self {
        self.key_hosts.insert(host.to_ascii_lowercase());
        self
    }

    /// The machine itself may be asked for keys, also without TLS. For tests, and for issuers beside the host.
    pub fn allow_loopback(mut self) -> Self {
        self.allows_loopback = true;
        self
    }

    /// Trusts these certificate authorities, in PEM form, and not the system's, where keys are fetched.
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// How long keys are used without asking again; a key that the issuer withdrew is trusted as long.
    pub fn keys_fresh_for(mut self, span: Span) -> Self {
        self.times.fresh_for = span;
        self
    }

    /// How long keys are used while the issuer cannot be asked; then nobody is let in until it can. At least as long as they are fresh.
    pub fn keys_usable_for(mut self, span: Span) -> Self {
        self.times.usable_for = span;
        self
    }

    /// The least time between the beginnings of two fetches, whatever tokens come; a new key is known after as long at the latest.
    pub fn between_fetches(mut self, span: Span) -> Self {
        self.times.between_fetches = span;
        self
    }

    /// How long a fetch may take, discovery and keys together; at most 30 s.
    pub fn longest_fetch(mut self, span: Span) -> Self {
        self.times.longest_fetch = span;
        self
    }

    pub(crate) fn tenant_rule(&self) -> TenantRule {
        match self.one_tenant {
            Some(tenant) => TenantRule::One(tenant),
            None => TenantRule::Claim { path: self.tenant_path.clone(), words: self.tenant_words.clone() },
        }
    }

    pub(crate) fn refused(&self, problem: impl Into<String>) -> ConfigurationError {
        ConfigurationError::Issuer { issuer: self.name.clone(), problem: problem.into() }
    }

    /// Checks everything that can be checked without asking the issuer.
    pub(crate) fn check(&self) -> Result<(), ConfigurationError> {
        if self.name.is_empty() || self.name.contains('\0') {
            return Err(self.refused("it has no name: give the `iss` of its tokens"));
        }
        if self.audiences.is_empty() || self.audiences.contains("") {
            return Err(self.refused("no audience, or an empty one: say who this host is with `audience`"));
        }
        if self.algorithms.is_empty() {
            return Err(self.refused("no algorithm is allowed: name at least one"));
        }
        if self.skew > LARGEST_SKEW {
            return Err(self.refused("the clock skew is larger than five minutes: have the clocks set"));
        }
        for path in [&self.tenant_path, &self.role_rule.path] {
            if !path.is_legal() {
                let problem = format!("`{}` is neither a claim's name nor a JSON pointer", path.as_str());
                return Err(self.refused(problem));
            }
        }
        if self.one_tenant.is_some() && !self.tenant_words.is_empty() {
            return Err(self.refused("it has one tenant, and words for others: say either"));
        }
        if let SubjectRule::Prefixed(prefix) = &self.subject_rule {
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            // What the library and this crate write themselves.
            let is_taken = matches!(prefix.as_str(), "reconciler" | "sub");
            if !(1..=32).contains(&prefix.len()) || !prefix.bytes().all(is_word) || is_taken {
                return Err(self.refused(
                    "the actor's prefix is not 1 to 32 letters, digits, `-`, `_` and `.`, or it is `reconciler` or `sub`",
                ));
            }
        }
        self.check_times()?;
        match &self.keys {
            Keys::Discovered => self.discovery_endpoint().map(drop),
            Keys::At(url) => self.endpoint("the keys' URL", url).map(drop),
            Keys::Given(document) => match KeySet::parse(document) {
                Some(keys) if !keys.is_empty() => Ok(()),
                _ => Err(self.refused(
                    "the given keys are no JWK set with a public key for signatures: RSA of 2,048 bits or more, P-256, P-384 or Ed25519",
                )),
            },
        }
    }

    fn check_times(&self) -> Result<(), ConfigurationError> {
        let times = self.times;
        if times.fresh_for.is_zero() || times.between_fetches.is_zero() || times.longest_fetch.is_zero() {
            return Err(self.refused("a span of its keys is zero: give it at least a millisecond"));
        }
        if times.usable_for < times.fresh_for {
            return Err(self.refused("keys are fresh for longer than they may be used"));
        }
        if times.longest_fetch > LONGEST_FETCH {
            return Err(self.refused("a fetch may take longer than 30 s, and callers wait for it"));
        }
        Ok(())
    }

    pub(crate) fn endpoint(&self, what: &str, url: &str) -> Result<Endpoint, ConfigurationError> {
        Endpoint::parse(url, self.allows_loopback)
            .map_err(|why| self.refused(format!("{what} cannot be asked: {why}")))
    }

    pub(crate) fn discovery_endpoint(&self) -> Result<Endpoint, ConfigurationError> {
        if self.name.contains('?') {
            return Err(self.refused("a URL with a query is no issuer that can be discovered"));
        }
        let base = self.name.strip_suffix('/').unwrap_or(&self.name);
        self.endpoint("its discovery document", &format!("{base}/.well-known/openid-configuration"))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Issuer")
            .field("name", &self.name)
            .field("audiences", &self.audiences)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
