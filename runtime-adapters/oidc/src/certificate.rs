//! The authenticator of client certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use runtime_domain::id::TenantId;
use runtime_domain::scope::Actor;
use runtime_domain::time::Timestamp;
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal, Role};
use runtime_ports::clock::Clock;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use crate::token::invalid;

const MOST_CERTIFICATE_BYTES: usize = 64 * 1024;
const MOST_URI_BYTES: usize = 2_048;

/// Who a certificate's holder is to this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateHolder {
    /// The tenant.
    pub tenant: TenantId,
    /// The actor.
    pub actor: Actor,
    /// What they may do.
    pub roles: BTreeSet<Role>,
}

/// Knows client certificates by a table: by a URI among their alternative names (such as a SPIFFE identity), or by fingerprint.
///
/// A certificate that the table does not know is refused, whoever issued it. The TLS handshake has verified chain and key before; times are looked at
/// again with every call, since a connection may outlive a certificate, and the principal's end is the certificate's.
pub struct CertificateAuthenticator {
    clock: Arc<dyn Clock>,
    by_uri: BTreeMap<String, CertificateHolder>,
    by_fingerprint: BTreeMap<[u8; 32], CertificateHolder>,
}

/// An entry that the table cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateEntryError {
    /// Not a URI.
    #[error("`{0}` is not a URI in ASCII, such as spiffe://example.com/ci, of at most 2,048 bytes")]
    NotAUri(String),
    /// Not a fingerprint.
    #[error(
        "`{0}` is not a fingerprint: write the SHA-256 of the certificate's DER as 64 hexadecimal digits, with colons or without"
    )]
    NotAFingerprint(String),
    /// The same twice.
    #[error("`{0}` is there already: say once who it is")]
    Repeated(String),
}

impl CertificateAuthenticator {
    /// An authenticator that knows nobody yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, by_uri: BTreeMap::new(), by_fingerprint: BTreeMap::new() }
    }

    /// Knows the holder of every certificate with this URI among its alternative names, compared exactly.
    ///
    /// # Errors
    /// It is no URI, or there already.
    pub fn uri(mut self, uri: &str, holder: CertificateHolder) -> Result<Self, CertificateEntryError> {
        let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme || uri.len() > MOST_URI_BYTES || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CertificateEntryError::NotAUri(uri.to_owned()));
        }
        match self.by_uri.insert(uri.to_owned(), holder) {
            None => Ok(self),
            Some(_) => Err(CertificateEntryError::Repeated(uri.to_owned())),
        }
    }

    /// Knows the holder of the one certificate with this SHA-256 fingerprint.
    ///
    /// # Errors
    /// It is no fingerprint, or there already.
    pub fn fingerprint(
        mut self,
        text: &str,
        holder: CertificateHolder,
    ) -> Result<Self, CertificateEntryError> {
        let fingerprint = parse_fingerprint(text)
            .ok_or_else(|| CertificateEntryError::NotAFingerprint(text.chars().take(128).collect()))?;
        match self.by_fingerprint.insert(fingerprint, holder) {
            None => Ok(self),
            Some(_) => Err(CertificateEntryError::Repeated(text.to_owned())),
        }
    }

    fn holder(
        &self,
        der: &[u8],
        certificate: &Certificate,
    ) -> Result<&CertificateHolder, AuthenticationError> {
        let fingerprint: Option<[u8; 32]> = digest(&SHA256, der).as_ref().try_into().ok();
        let uris = uris(certificate)?;
        let is_spiffe = |uri: &String| uri.starts_with("spiffe://");
        if uris.len() > 1 && uris.iter().any(is_spiffe) {
            return Err(invalid("the certificate has a SPIFFE identity and other URIs beside it"));
        }
        let by_fingerprint = fingerprint.and_then(|fingerprint| self.by_fingerprint.get(&fingerprint));
        let mut known = by_fingerprint.into_iter().chain(uris.iter().filter_map(|uri| self.by_uri.get(uri)));
        let holder = known.next().ok_or(invalid("the certificate is not one that this host knows"))?;
        if known.any(|other| other != holder) {
            return Err(invalid("the certificate is that of several holders"));
        }
        Ok(holder)
    }

    fn verify(&self, der: &[u8]) -> Result<Principal, AuthenticationError> {
        let damaged = || invalid("the certificate cannot be read");
        if der.len() > MOST_CERTIFICATE_BYTES {
            return Err(damaged());
        }
        let certificate = Certificate::from_der(der).map_err(|_| damaged())?;
        let holder = self.holder(der, &certificate)?;
        let validity = &certificate.tbs_certificate.validity;
        let (not_before, not_after) =
            (time(validity.not_before).ok_or_else(damaged)?, time(validity.not_after).ok_or_else(damaged)?);
        let now = self.clock.now();
        if now > not_after {
            return Err(AuthenticationError::Expired);
        }
        if now < not_before {
            return Err(AuthenticationError::NotYetValid);
        }
        Ok(Principal::verified(
            holder.tenant,
            holder.actor.clone(),
            holder.roles.iter().copied(),
            Some(not_after),
        ))
    }
}

fn uris(certificate: &Certificate) -> Result<Vec<String>, AuthenticationError> {
    let names = certificate
        .tbs_certificate
        .get::<SubjectAltName>()
        .map_err(|_| invalid("the certificate's alternative names cannot be read"))?;
    let names = names.map(|(_, names)| names.0).unwrap_or_default();
    let uri = |name: GeneralName| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
        _ => None,
    };
    Ok(names.into_iter().filter_map(uri).collect())
}

fn time(time: Time) -> Option<Timestamp> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
    Timestamp::from_timestamp(seconds, 0)
}

fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = match text.contains(':') {
        true => text
            .split(':')
            .map(|pair| pair.as_bytes().try_into().ok())
            .collect::<Option<Vec<[u8; 2]>>>()?
            .concat(),
        false => text.as_bytes().to_vec(),
    };
    let nibbles: Vec<u8> = digits
        .iter()
        .map(|digit| char::from(*digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok()))
        .collect::<Option<_>>()?;
    let (pairs, rest) = nibbles.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| high << 4 | low).collect::<Vec<u8>>().try_into().ok()
}

impl fmt::Debug for CertificateAuthenticator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CertificateAuthenticator")
            .field("uris", &self.by_uri.len())
            .field("fingerprints", &self.by_fingerprint.len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for CertificateAuthenticator {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        match credentials {
            Credentials::Certificate(der) => self.verify(der),
            _ => Err(AuthenticationError::Missing),
        }
    }
}
