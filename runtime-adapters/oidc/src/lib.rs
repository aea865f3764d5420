//! Who calls: verified by OIDC bearer tokens ([`OidcAuthenticator`]), by client certificates ([`CertificateAuthenticator`]), or by either
//! ([`ByKind`]). Each is an [`Authenticator`](runtime_ports::authenticator::Authenticator) (X-1).
//!
//! ```
//! use std::sync::Arc;
//!
//! use runtime_oidc::{Issuer, OidcAuthenticator};
//! use runtime_ports::authenticator::Role;
//! use runtime_ports::clock::Clock;
//!
//! # async fn example(clock: Arc<dyn Clock>) -> Result<(), Box<dyn std::error::Error>> {
//! let authenticator = OidcAuthenticator::new(
//!     clock,
//!     [Issuer::discovered("https://login.example.com/realms/factory")
//!         .audience("factory-runtime")
//!         .tenant_claim("/organization/id")
//!         .role_claim("/realm_access/roles")
//!         .role("platform-operator", Role::Operator)
//!         .role("release-manager", Role::Approver)],
//! )?;
//! authenticator.refresh().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! - A caller is let in only by a token whose signature one of the keys that its issuer publishes made, whose `iss` is that issuer exactly,
//!   whose `aud` names this host, and whose `exp`, `nbf` and `iat` hold by the [`Clock`](runtime_ports::clock::Clock) with bounded skew. Whatever cannot be
//!   decided is an error.
//! - [`SigningAlgorithm`] has neither `none` nor shared secrets. A key verifies an algorithm only where its `kty`, `crv`, `alg`, `use` and `key_ops` agree
//!   with it; RSA keys have 2,048 bits or more; a key that is published with its private half verifies nothing. Keys that a token brings along
//!   are not looked at, and what a token's `crit` demands is refused.
//! - Tokens of another `typ` than `JWT` and `at+jwt` are refused; so are members that are there twice, deep nesting, and more than 16 KiB.
//! - Tenant and roles come from the token only. A role's word that nobody mapped gives nothing, and a tenant that is not told is not guessed.
//!   A subject that this library's own actors are named like is refused.
//! - Keys are fetched over HTTPS, from the configured hosts only (X-12): no redirects, no proxies, nothing from the environment; at most 512 KiB,
//!   within a bounded time. The machine itself is asked only where [`Issuer::allow_loopback`] says so.
//! - However many tokens name keys that nobody knows, an issuer is asked once at a time and not often ([`Issuer::between_fetches`]). While it is away,
//!   known keys serve for a bounded time ([`Issuer::keys_usable_for`]); then every caller is answered
//!   [`Unavailable`](runtime_ports::authenticator::AuthenticationError::Unavailable).
//! - Nothing of a token is in an error, a log or a `Debug` text.
//!
//! # Limits
//!
//! - No revocation before `exp`: ask the issuer for tokens that live for minutes. A key that an issuer withdraws is trusted until the next fetch.
//! - A key that is replaced under its old `kid` is found by the next regular fetch only.
//! - Of several keys that a token may be signed with, four are tried.
//! - Verified tokens are not remembered: every call verifies its own.
//! - Opaque tokens and encrypted tokens are not understood. Nor is a token that is bound to its holder's key (`cnf`), which is refused.

mod algorithm;
mod authenticator;
mod by_kind;
mod certificate;
mod claims;
mod endpoint;
mod fetch;
mod issuer;
mod json;
mod key_cache;
mod key_set;
mod source;
mod token;

pub use crate::algorithm::SigningAlgorithm;
pub use crate::authenticator::{KeysError, OidcAuthenticator};
pub use crate::by_kind::ByKind;
pub use crate::certificate::{CertificateAuthenticator, CertificateEntryError, CertificateHolder};
pub use crate::issuer::{ConfigurationError, Issuer};
