//! Several authenticators, each for its kind of credentials.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal};

/// Asks one authenticator for bearer tokens and another for client certificates. A kind that has none is refused as
/// [`AuthenticationError::Missing`]; nobody's refusal is another's to overrule.
#[derive(Clone, Default)]
#[must_use = "it lets nobody in until it is given authenticators"]
pub struct ByKind {
    bearer: Option<Arc<dyn Authenticator>>,
    certificate: Option<Arc<dyn Authenticator>>,
}

impl ByKind {
    /// Accepts nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts bearer tokens, as this authenticator judges them.
    pub fn bearer(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.bearer = Some(authenticator);
        self
    }

    /// Accepts client certificates, as this authenticator judges them.
    pub fn certificate(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.certificate = Some(authenticator);
        self
    }
}

impl fmt::Debug for ByKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ByKind")
            .field("bearer", &self.bearer.is_some())
            .field("certificate", &self.certificate.is_some())
            .finish()
    }
}

#[async_trait]
impl Authenticator for ByKind {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        let authenticator = match credentials {
            Credentials::Bearer(_) => self.bearer.as_ref(),
            Credentials::Certificate(_) => self.certificate.as_ref(),
            _ => None,
        };
        match authenticator {
            Some(authenticator) => authenticator.authenticate(credentials).await,
            None => Err(AuthenticationError::Missing),
        }
    }
}
