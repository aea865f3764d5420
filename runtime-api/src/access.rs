//! Who is let in, whatever the wire.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use runtime_ports::authenticator::{Authenticator, Credentials, Principal};

use crate::problem::{Problem, ProblemKind};

/// How callers are known.
#[derive(Clone)]
#[non_exhaustive]
pub enum Access {
    /// By credentials, which are verified.
    Authenticated(Arc<dyn Authenticator>),
    /// Everybody on this machine is this caller, without credentials: for trying things out. Only requests of which it is known that they come
    /// from a loopback address, and that were meant for one, are answered; see [`Peer`].
    Insecure(Principal),
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Authenticated(_) => "Authenticated(…)",
            Self::Insecure(_) => "Insecure(…)",
        })
    }
}

/// From where a connection comes: a request's extension, which the server puts there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// The leaf certificate, in DER, of a client that the TLS handshake has verified: a request's extension, which the server puts there.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate(pub Vec<u8>);

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ClientCertificate({} bytes)", self.0.len())
    }
}

/// What a request shows of who sends it.
#[derive(Clone, Default)]
pub struct Shown<'a> {
    /// Every `authorization` header, as it came.
    pub authorization: Vec<&'a [u8]>,
    /// The certificate of the connection.
    pub certificate: Option<&'a ClientCertificate>,
    /// From where the connection comes.
    pub peer: Option<Peer>,
    /// The name, or address, of the host that the request was meant for, without the port.
    pub host: Option<&'a str>,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Shown")
            .field("peer", &self.peer)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Who asks.
    ///
    /// # Errors
    /// [`ProblemKind::Unauthenticated`] where the credentials are missing or do not verify, [`ProblemKind::Unavailable`] where that cannot be
    /// known now, and [`ProblemKind::Forbidden`] where a host that lets everybody in is not asked from its own machine.
    pub async fn caller(&self, shown: &Shown<'_>) -> Result<Principal, Problem> {
        match self {
            Self::Authenticated(authenticator) => {
                Ok(authenticator.authenticate(&shown.credentials()?).await?)
            }
            Self::Insecure(principal) if shown.is_from_here() => Ok(principal.clone()),
            Self::Insecure(_) => {
                let detail =
                    "this host lets everybody in without credentials, and answers on its own machine only";
                let remedy = "ask from the machine itself, or run the host with an authenticator";
                Err(Problem::new(ProblemKind::Forbidden, detail).remedied_by(remedy))
            }
        }
    }
}

impl Shown<'_> {
    fn credentials(&self) -> Result<Credentials, Problem> {
        match self.authorization.as_slice() {
            [] => {
                let certificate = self.certificate;
                Ok(certificate.map_or(Credentials::None, |leaf| Credentials::Certificate(leaf.0.clone())))
            }
            [header] => {
                let text = std::str::from_utf8(header).unwrap_or_default();
                let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                token.map(|(_, token)| Credentials::bearer(token.trim())).ok_or_else(not_one_token)
            }
            _ => Err(not_one_token()),
        }
    }

    /// Whether it is known that a request comes from this machine, and that nobody led a browser here by a name of their own.
    fn is_from_here(&self) -> bool {
        let is_local_peer = self.peer.is_some_and(|peer| peer.0.ip().is_loopback());
        let is_local_name = self.host.is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        });
        is_local_peer && is_local_name
    }
}

fn not_one_token() -> Problem {
    Problem::new(ProblemKind::Unauthenticated, "the authorization header is not one bearer token")
}
