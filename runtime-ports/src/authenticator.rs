//! Who calls, and what they may do: the door through which a host lets others in.
//!
//! - **X-1** (type): a caller's tenant and roles come from an [`Authenticator`]'s verified answer, never from what a request says of itself.

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use runtime_domain::id::{CorrelationId, TenantId};
use runtime_domain::scope::{Actor, TenantScope};
use runtime_domain::time::Timestamp;
use zeroize::Zeroizing;

/// What a caller may do within its tenant. Every operation that a host offers names the one that it needs.
///
/// Every role may look. Beyond that they do not contain one another, save that an administrator may do what an operator may: who approves is
/// not by that who operates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks at everything of the tenant, changes nothing.
    Viewer,
    /// Deploys, rolls back, publishes configuration, rotates secrets, scales, repairs drift.
    Operator,
    /// Approves and rejects what waits for an approval.
    Approver,
    /// Provisions and decommissions environments, binds tenants and secrets, changes protection, calendars and policies.
    Administrator,
}

impl Role {
    /// Every role, least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Administrator];

    /// The role's word, as tokens and documents have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Administrator => "administrator",
        }
    }

    /// The role of this word; `None` where there is no such role.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == word)
    }

    /// Whether who has this role may do what needs the `needed` one.
    pub fn suffices_for(self, needed: Self) -> bool {
        self == needed || needed == Self::Viewer || (self == Self::Administrator && needed == Self::Operator)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// An authenticated caller: one tenant's, with roles, for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    tenant: TenantId,
    actor: Actor,
    roles: BTreeSet<Role>,
    expires_at: Option<Timestamp>,
}

impl Principal {
    /// Who was verified to be `actor` of `tenant` with these roles, until `expires_at` where the credentials end.
    ///
    /// Call it where credentials were verified and nowhere else; searching for this name finds every place that lets somebody in.
    pub fn verified(
        tenant: TenantId,
        actor: Actor,
        roles: impl IntoIterator<Item = Role>,
        expires_at: Option<Timestamp>,
    ) -> Self {
        Self { tenant, actor, roles: roles.into_iter().collect(), expires_at }
    }

    /// The tenant, the only one whose things exist for this caller.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// What they may do.
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.roles
    }

    /// When the credentials end: what is kept open for the caller longer than that (a stream of events) ends then.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Whether the caller may do what needs this role.
    pub fn may(&self, needed: Role) -> bool {
        self.roles.iter().any(|role| role.suffices_for(needed))
    }

    /// The caller's authority, for one piece of work.
    pub fn scope(&self, correlation: CorrelationId) -> TenantScope {
        TenantScope::authenticated(self.tenant, self.actor.clone(), correlation)
    }
}

/// What a caller shows. Its `Debug` shows the kind only.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// A bearer token (RFC 6750), as it came, without the word `Bearer`.
    Bearer(Zeroizing<String>),
    /// The leaf certificate, in DER, of a client whose chain and possession of the key the TLS handshake has verified.
    Certificate(Vec<u8>),
    /// Nothing.
    None,
}

impl Credentials {
    /// The credentials of an `Authorization` header's bearer token.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer(Zeroizing::new(token.into()))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bearer(_) => "Bearer(…)",
            Self::Certificate(_) => "Certificate(…)",
            Self::None => "None",
        })
    }
}

/// Why a caller was not let in. What a caller is told is `Display`; it holds nothing of what was shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// No credentials of a kind that this host accepts.
    #[error(
        "credentials are needed: send a bearer token, or a client certificate where the host accepts those"
    )]
    Missing,
    /// The credentials do not verify: forged, damaged, of another issuer or audience, or of a forbidden algorithm.
    #[error("the credentials do not verify: {reason}")]
    Invalid {
        /// Which check failed; never a part of the credentials.
        reason: &'static str,
    },
    /// They were valid, and are not any more.
    #[error("the credentials have expired: ask the issuer for new ones")]
    Expired,
    /// They are not valid yet.
    #[error("the credentials are not valid yet: compare the clocks of issuer and host")]
    NotYetValid,
    /// They verify, and do not say which tenant, or who.
    #[error("the credentials verify, and lack {claim}: have the issuer add it")]
    Incomplete {
        /// What is missing: the claim's name.
        claim: String,
    },
    /// Whether they verify cannot be known now: the issuer's keys cannot be had. Nobody is let in meanwhile.
    #[error("credentials cannot be verified now: try again later")]
    Unavailable,
}

/// Verifies callers.
///
/// Guarantees: a [`Principal`] is answered only for credentials that were verified whole (signature, issuer, audience, times); whatever cannot
/// be verified, for whatever reason, is an error: it fails closed. An answer never waits longer than a bounded time.
///
/// Errors: see [`AuthenticationError`]. None carries a part of the credentials.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Who shows these credentials.
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthenticationError>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn principal(roles: &[Role]) -> Principal {
        let tenant = TenantId::from_uuid(uuid::Uuid::from_u128(7));
        Principal::verified(tenant, Actor::new("ada").unwrap(), roles.iter().copied(), None)
    }

    #[test]
    fn every_role_may_look_and_only_its_own_besides() {
        for role in Role::ALL {
            let caller = principal(&[role]);
            let may: Vec<_> = Role::ALL.into_iter().filter(|needed| caller.may(*needed)).collect();
            let expected = match role {
                Role::Viewer => vec![Role::Viewer],
                Role::Operator => vec![Role::Viewer, Role::Operator],
                Role::Approver => vec![Role::Viewer, Role::Approver],
                Role::Administrator => vec![Role::Viewer, Role::Operator, Role::Administrator],
            };
            assert_eq!(may, expected, "{role}");
            assert_eq!(Role::named(role.name()), Some(role));
        }
        assert!(Role::ALL.into_iter().all(|role| !principal(&[]).may(role)));
    }

    /// Shows X-1.
    #[test]
    fn a_callers_scope_is_of_the_tenant_that_was_verified() {
        let caller = principal(&[Role::Viewer]);
        let correlation = CorrelationId::from_uuid(uuid::Uuid::from_u128(8));
        assert_eq!(caller.scope(correlation).tenant(), caller.tenant());
    }

    /// Shows X-11.
    #[test]
    fn what_a_caller_shows_is_not_in_its_debug_text() {
        let shown = format!("{:?}", Credentials::bearer("eyJhbGciOi"));
        assert!(!shown.contains("eyJ"), "{shown}");
    }
}
