//! Where an issuer's keys are fetched from.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::endpoint::Endpoint;
use crate::fetch::{Silence, fetch};
use crate::issuer::{ConfigurationError, Issuer};
use crate::json::parse_object;
use crate::key_cache::KeySource;
use crate::key_set::KeySet;

/// Fetches keys by a discovery document, or from where they are known to be.
pub(crate) struct Remote {
    issuer: String,
    first: Endpoint,
    is_discovery: bool,
    key_hosts: BTreeSet<String>,
    allows_loopback: bool,
    tls: Arc<ClientConfig>,
}

impl Remote {
    pub(crate) fn new(
        issuer: &Issuer,
        first: Endpoint,
        is_discovery: bool,
    ) -> Result<Self, ConfigurationError> {
        let mut key_hosts = issuer.key_hosts.clone();
        key_hosts.insert(first.host.clone());
        Ok(Self {
            issuer: issuer.name.clone(),
            first,
            is_discovery,
            key_hosts,
            allows_loopback: issuer.allows_loopback,
            tls: Arc::new(client_config(issuer)?),
        })
    }

    /// The keys' address in a discovery document, if that is this issuer's own and the address may be asked.
    fn keys_endpoint(&self, document: &[u8]) -> Result<Endpoint, Silence> {
        let document = parse_object(document).ok_or("its discovery document is not a JSON object")?;
        let text = |name: &str| document.get(name).and_then(|it| it.as_str());
        if text("issuer") != Some(&self.issuer) {
            return Err("its discovery document is of another issuer");
        }
        let url = text("jwks_uri").ok_or("its discovery document does not say where the keys are")?;
        let endpoint = Endpoint::parse(url, self.allows_loopback)?;
        let is_downgrade = self.first.is_secure && !endpoint.is_secure;
        // Another port of the machine itself is another service.
        let is_elsewhere = endpoint.is_loopback() && endpoint.port != self.first.port;
        if !self.key_hosts.contains(&endpoint.host) || is_downgrade || is_elsewhere {
            return Err("its keys are at a host that is not allowed: allow it with `key_host`");
        }
        Ok(endpoint)
    }
}

#[async_trait]
impl KeySource for Remote {
    async fn fetch(&self) -> Result<KeySet, Silence> {
        let first = fetch(&self.first, &self.tls).await?;
        let document = match self.is_discovery {
            true => fetch(&self.keys_endpoint(&first)?, &self.tls).await?,
            false => first,
        };
        KeySet::parse(&document).ok_or("its answer is not a JWK set of at most 64 keys")
    }
}

fn client_config(issuer: &Issuer) -> Result<ClientConfig, ConfigurationError> {
    let mut roots = RootCertStore::empty();
    match &issuer.authorities {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate
                    .map_err(|_| issuer.refused("the certificate authorities are not in PEM form"))?;
                roots
                    .add(certificate)
                    .map_err(|_| issuer.refused("a certificate authority cannot be read"))?;
            }
            if roots.is_empty() {
                return Err(issuer.refused("there is no certificate authority among those given"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| issuer.refused("the TLS library offers no protocol"))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
