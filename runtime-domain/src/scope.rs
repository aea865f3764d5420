//! Who acts, for which tenant, and as part of what.
//!
//! - **X-1** (type): only a host's authentication makes a [`TenantScope`]: it cannot be deserialised, defaulted or derived from a request.

use alloc::borrow::ToOwned;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::id::{CorrelationId, EventId, TenantId};
use crate::value::{TextError, parsed_text};

/// Who caused a change: a person's subject, a service's name, or one of the library's own reconcilers.
///
/// One to 128 printable characters without white space. Never a display name or an e-mail shown to others: it is audit data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[!-~]{1,128}$")))]
#[serde(try_from = "String", into = "String")]
pub struct Actor(String);

impl Actor {
    /// Parses an actor.
    ///
    /// # Errors
    /// Empty, longer than 128 characters, or with white space or control characters.
    pub fn new(text: &str) -> Result<Self, TextError> {
        parsed_text(text, "an actor", "1 to 128 printable characters without spaces", |text| {
            (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        })
        .map(Self)
    }

    /// The library acting by itself, as the named reconciler.
    pub fn reconciler(name: &'static str) -> Self {
        Self(["reconciler:", name].concat())
    }

    /// The actor's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Actor {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.0
    }
}

impl core::fmt::Display for Actor {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The authority to act for one tenant, and the trace of the work it belongs to.
///
/// It cannot be deserialised, defaulted or derived from request data: a host's authentication makes it, by
/// [`TenantScope::authenticated`], and everything below takes it by reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantScope {
    tenant: TenantId,
    actor: Actor,
    correlation: CorrelationId,
    causation: Option<EventId>,
}

impl TenantScope {
    /// The scope of a caller whom the host has authenticated as `actor` of `tenant`.
    ///
    /// Call it where the credentials were verified and nowhere else; searching for this name finds every place that grants.
    pub fn authenticated(tenant: TenantId, actor: Actor, correlation: CorrelationId) -> Self {
        Self { tenant, actor, correlation, causation: None }
    }

    /// The same authority, acting because of `event`.
    #[must_use]
    pub fn caused_by(&self, event: EventId) -> Self {
        Self { causation: Some(event), ..self.clone() }
    }

    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The chain of work.
    pub fn correlation(&self) -> CorrelationId {
        self.correlation
    }

    /// The event that caused this work, if one did.
    pub fn causation(&self) -> Option<EventId> {
        self.causation
    }
}

/// The authority to work across tenants: leases, the outbox relay, maintenance. Every use is for a stated purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorScope {
    actor: Actor,
    purpose: String,
}

impl OperatorScope {
    /// The scope of an operator or a reconciler whom the host trusts with every tenant, for `purpose`.
    pub fn trusted(actor: Actor, purpose: &str) -> Self {
        Self { actor, purpose: purpose.to_owned() }
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Why all tenants are needed.
    pub fn purpose(&self) -> &str {
        &self.purpose
    }

    /// Narrows to one tenant, for work found while looking across all of them.
    #[must_use]
    pub fn for_tenant(&self, tenant: TenantId, correlation: CorrelationId) -> TenantScope {
        TenantScope { tenant, actor: self.actor.clone(), correlation, causation: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::id;

    /// Shows X-1.
    #[test]
    fn a_scope_keeps_its_tenant_and_its_actor_whatever_causes_it() {
        let ada = Actor::new("ada").unwrap();
        let scope = TenantScope::authenticated(id(1), ada.clone(), id(2));
        assert_eq!(
            (scope.tenant(), scope.actor(), scope.correlation(), scope.causation()),
            (id(1), &ada, id(2), None)
        );
        let caused = scope.caused_by(id(3));
        assert_eq!(caused.causation(), Some(id(3)));
        assert_eq!((caused.tenant(), caused.actor(), caused.correlation()), (id(1), &ada, id(2)));
    }

    #[test]
    fn an_operator_says_why_and_narrows_to_one_tenant() {
        let relay = Actor::reconciler("relay");
        let operator = OperatorScope::trusted(relay.clone(), "relay the outbox");
        assert_eq!((operator.actor(), operator.purpose()), (&relay, "relay the outbox"));
        let narrowed = operator.for_tenant(id(1), id(2));
        assert_eq!(narrowed, TenantScope::authenticated(id(1), relay, id(2)));
    }
}
