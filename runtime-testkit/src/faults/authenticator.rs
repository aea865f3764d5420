//! Who lets callers in, some of whose calls meet a fault.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_ports::PortError;
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal};

use super::{Call, Faults};

impl Faults {
    /// The same authenticator, whose calls meet these faults: whoever meets one cannot be verified now.
    pub fn authenticator(&self, inner: Arc<dyn Authenticator>) -> Arc<dyn Authenticator> {
        Arc::new(FaultyAuthenticator { inner, faults: self.clone() })
    }
}

struct FaultyAuthenticator {
    inner: Arc<dyn Authenticator>,
    faults: Faults,
}

/// Why a caller was not let in. A fault is told as an issuer that cannot be asked: its details are nobody's who knocks.
struct Refused(AuthenticationError);

impl From<PortError> for Refused {
    fn from(_: PortError) -> Self {
        Self(AuthenticationError::Unavailable)
    }
}

#[async_trait]
impl Authenticator for FaultyAuthenticator {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        let about = match credentials {
            Credentials::Bearer(_) => "a bearer token",
            Credentials::Certificate(_) => "a certificate",
            _ => "nothing",
        };
        // An answer is given for what was shown and never again, so that nobody is taken for another.
        let call = Call::of("authenticator.authenticate", about);
        let asked = async { self.inner.authenticate(credentials).await.map_err(Refused) };
        self.faults.change_once(call, Box::pin(asked)).await.map_err(|Refused(why)| why)
    }
}
