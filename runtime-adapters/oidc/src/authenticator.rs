//! The authenticator of bearer tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::time::Span;
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal};
use runtime_ports::clock::Clock;

use crate::algorithm::SigningAlgorithm;
use crate::claims::{RoleRule, SubjectRule, TenantRule, check_audience, check_times};
use crate::issuer::{ConfigurationError, Issuer, Keys};
use crate::key_cache::{KeyCache, Unavailable};
use crate::key_set::{KeySet, Signature};
use crate::source::Remote;
use crate::token::{TokenType, Unverified, invalid};

/// Verifies OIDC bearer tokens of the issuers that a host trusts.
///
/// The crate's documentation lists guarantees and limits. Needs a Tokio runtime with its I/O and timer enabled.
pub struct OidcAuthenticator {
    issuers: BTreeMap<String, Trusted>,
    clock: Arc<dyn Clock>,
}

struct Trusted {
    issuer: String,
    keys: HeldKeys,
    audiences: BTreeSet<String>,
    algorithms: BTreeSet<SigningAlgorithm>,
    skew: Span,
    access_tokens_only: bool,
    tenant_rule: TenantRule,
    role_rule: RoleRule,
    subject_rule: SubjectRule,
}

enum HeldKeys {
    Given(Arc<KeySet>),
    Fetched(KeyCache),
}

/// Keys that could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keys of issuer `{issuer}` cannot be had: {reason}")]
pub struct KeysError {
    issuer: String,
    reason: &'static str,
}

impl OidcAuthenticator {
    /// An authenticator of these issuers' tokens, which goes by this clock. Nothing is fetched yet: [`OidcAuthenticator::refresh`] does,
    /// and so does the first caller.
    ///
    /// # Errors
    /// See [`ConfigurationError`].
    pub fn new(
        clock: Arc<dyn Clock>,
        issuers: impl IntoIterator<Item = Issuer>,
    ) -> Result<Self, ConfigurationError> {
        let mut trusted = BTreeMap::new();
        for issuer in issuers {
            issuer.check()?;
            let name = issuer.name.clone();
            let this = Trusted::new(issuer, &clock)?;
            if trusted.insert(name.clone(), this).is_some() {
                return Err(ConfigurationError::Repeated { issuer: name });
            }
        }
        if trusted.is_empty() {
            return Err(ConfigurationError::NoIssuer);
        }
        check_actors(&trusted)?;
        Ok(Self { issuers: trusted, clock })
    }

    /// Fetches every issuer's keys now, so that a mistake in the configuration shows when a host starts and not when somebody calls.
    ///
    /// # Errors
    /// The first issuer, by name, whose keys could not be had; the others were fetched all the same.
    pub async fn refresh(&self) -> Result<(), KeysError> {
        let mut outcome = Ok(());
        for trusted in self.issuers.values() {
            if let HeldKeys::Fetched(keys) = &trusted.keys
                && let Err(reason) = keys.refresh().await
            {
                outcome = outcome.and(Err(KeysError { issuer: trusted.issuer.clone(), reason }));
            }
        }
        outcome
    }

    async fn verify(&self, token: &str) -> Result<Principal, AuthenticationError> {
        let token = Unverified::parse(token)?;
        let trusted = match token.claims.get("iss").and_then(|issuer| issuer.as_str()) {
            Some(issuer) => self.issuers.get(issuer),
            None => return Err(AuthenticationError::Incomplete { claim: "iss".to_owned() }),
        };
        let trusted = trusted.ok_or(invalid("its issuer is not one that this host trusts"))?;
        if !trusted.algorithms.contains(&token.algorithm) {
            return Err(invalid("the token's algorithm is not allowed"));
        }
        if trusted.access_tokens_only && token.token_type != TokenType::AccessToken {
            return Err(invalid("it is not an access token, of type `at+jwt`"));
        }
        if token.claims.contains_key("cnf") {
            return Err(invalid("it is bound to a key of its holder's, which this host does not check"));
        }
        trusted.check_signature(&token).await?;
        check_audience(&token.claims, &trusted.audiences)?;
        let good_until = check_times(&token.claims, self.clock.now(), trusted.skew)?;
        let tenant = trusted.tenant_rule.tenant(&token.claims)?;
        let actor = trusted.subject_rule.actor(&trusted.issuer, &token.claims)?;
        let roles = trusted.role_rule.roles(&token.claims);
        Ok(Principal::verified(tenant, actor, roles, Some(good_until)))
    }
}

impl Trusted {
    fn new(issuer: Issuer, clock: &Arc<dyn Clock>) -> Result<Self, ConfigurationError> {
        let remote = |source: Remote| {
            HeldKeys::Fetched(KeyCache::new(&issuer.name, Box::new(source), clock.clone(), issuer.times))
        };
        let keys = match &issuer.keys {
            Keys::Discovered => remote(Remote::new(&issuer, issuer.discovery_endpoint()?, true)?),
            Keys::At(url) => remote(Remote::new(&issuer, issuer.endpoint("the keys' URL", url)?, false)?),
            Keys::Given(document) => {
                let keys = KeySet::parse(document).ok_or_else(|| issuer.refused("no JWK set is given"))?;
                HeldKeys::Given(Arc::new(keys))
            }
        };
        Ok(Self {
            keys,
            tenant_rule: issuer.tenant_rule(),
            issuer: issuer.name,
            audiences: issuer.audiences,
            algorithms: issuer.algorithms,
            skew: issuer.skew,
            access_tokens_only: issuer.access_tokens_only,
            role_rule: issuer.role_rule,
            subject_rule: issuer.subject_rule,
        })
    }

    async fn check_signature(&self, token: &Unverified<'_>) -> Result<(), AuthenticationError> {
        let away = |_: Unavailable| AuthenticationError::Unavailable;
        let judge = |keys: &KeySet| {
            keys.judge(token.algorithm, token.key_id.as_deref(), token.signed, &token.signature)
        };
        let signature = match &self.keys {
            HeldKeys::Given(keys) => judge(keys),
            HeldKeys::Fetched(cache) => {
                let keys = cache.keys().await.map_err(away)?;
                match judge(&keys) {
                    Signature::UnknownKey => match cache.newer_than(&keys).await.map_err(away)? {
                        Some(newer) => judge(&newer),
                        None => Signature::UnknownKey,
                    },
                    judged => judged,
                }
            }
        };
        match signature {
            Signature::Genuine => Ok(()),
            Signature::Forged => Err(invalid("its signature is not of the key that it names")),
            Signature::UnknownKey => {
                Err(invalid("no key that its issuer publishes is the one it is signed with"))
            }
        }
    }
}

/// Several issuers' subjects must be told apart.
fn check_actors(trusted: &BTreeMap<String, Trusted>) -> Result<(), ConfigurationError> {
    let mut prefixes = BTreeSet::new();
    for (issuer, this) in trusted {
        let is_apart = match &this.subject_rule {
            SubjectRule::Hashed => true,
            SubjectRule::Prefixed(prefix) => prefixes.insert(prefix),
            SubjectRule::Verbatim => trusted.len() == 1,
        };
        if !is_apart {
            return Err(ConfigurationError::AmbiguousActors { issuer: issuer.clone() });
        }
    }
    Ok(())
}

impl fmt::Debug for OidcAuthenticator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<&str> = self.issuers.keys().map(String::as_str).collect();
        formatter.debug_struct("OidcAuthenticator").field("issuers", &issuers).finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for OidcAuthenticator {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        match credentials {
            Credentials::Bearer(token) => self.verify(token).await,
            _ => Err(AuthenticationError::Missing),
        }
    }
}
