//! TLS for the server, with client certificates or without.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What is asked of clients beside the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates<'a> {
    /// Nothing.
    None,
    /// A certificate of one of these authorities, in PEM form; without one there is no connection.
    Required(&'a [u8]),
    /// A certificate of one of these authorities, in PEM form, or none; one of another authority is refused.
    Optional(&'a [u8]),
}

/// The server's certificate and key, and what it asks of clients: TLS 1.2 and 1.3.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

/// TLS that cannot be offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The server's certificates.
    #[error("the server's certificates cannot be read: give the leaf and what stands above it, in PEM form")]
    Certificates,
    /// The server's key.
    #[error(
        "the server's key cannot be read, or is not its certificate's: give the leaf's private key, in PEM form"
    )]
    Key,
    /// The clients' authorities.
    #[error("the authorities of client certificates cannot be read: give at least one, in PEM form")]
    Authorities,
    /// The library.
    #[error("the TLS library offers no protocol")]
    Protocols,
}

impl Tls {
    /// TLS with this chain of certificates and this key, in PEM form.
    ///
    /// # Errors
    /// See [`TlsError`]; none repeats what was given.
    pub fn new(chain: &[u8], key: &[u8], clients: ClientCertificates<'_>) -> Result<Self, TlsError> {
        let chain = certificates(chain).ok_or(TlsError::Certificates)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|_| TlsError::Protocols)?;
        let verifier = |pem: &[u8]| {
            let mut roots = RootCertStore::empty();
            for authority in certificates(pem).ok_or(TlsError::Authorities)? {
                roots.add(authority).map_err(|_| TlsError::Authorities)?;
            }
            Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()))
        };
        let verifier = match clients {
            ClientCertificates::None => None,
            ClientCertificates::Required(pem) => Some(verifier(pem)?),
            ClientCertificates::Optional(pem) => Some(verifier(pem)?.allow_unauthenticated()),
        };
        let builder = match verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => {
                builder.with_client_cert_verifier(verifier.build().map_err(|_| TlsError::Authorities)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|_| TlsError::Key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

/// At least one certificate.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls(…)")
    }
}
