//! Who is let in: whoever the issuers in the settings vouch for, or, without issuers, everybody on this machine.

use std::path::Path;
use std::sync::Arc;

use factory_runtime::adapters::system::{SystemClock, UuidV7Generator};
use factory_runtime::api::Access;
use factory_runtime::oidc::{Issuer, OidcAuthenticator};
use factory_runtime::ports::authenticator::{Principal, Role};
use factory_runtime::ports::clock::IdGenerator as _;
use factory_runtime::prelude::*;

use crate::Failure;
use crate::configuration::{Configuration, IssuerSettings};

/// The access that the settings ask for.
pub async fn of(configuration: &Configuration) -> Result<Access, Failure> {
    if configuration.issuers.is_empty() {
        let tenant = tenant(configuration)?;
        println!("the tenant is {tenant}");
        return Ok(Access::Insecure(Principal::verified(tenant, Actor::new("local")?, Role::ALL, None)));
    }
    let issuers = configuration.issuers.iter().map(issuer).collect::<Result<Vec<_>, _>>()?;
    let authenticator = OidcAuthenticator::new(Arc::new(SystemClock::new()), issuers)?;
    // An issuer that is away now may be there when somebody comes.
    if let Err(error) = authenticator.refresh().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "an issuer's keys cannot be had yet");
    }
    Ok(Access::Authenticated(Arc::new(authenticator)))
}

fn issuer(settings: &IssuerSettings) -> Result<Issuer, Failure> {
    let issuer = Issuer::discovered(&settings.url)
        .audience(&settings.audience)
        .tenant_claim(&settings.tenant_claim)
        .role_claim(&settings.role_claim);
    let issuer = if settings.allow_loopback { issuer.allow_loopback() } else { issuer };
    settings.roles.iter().try_fold(issuer, |issuer, (word, role)| {
        let ours = Role::named(role).ok_or_else(|| {
            format!("{role} is no role: choose viewer, operator, approver or administrator")
        })?;
        Ok(issuer.role(word, ours))
    })
}

/// The tenant of everybody on this machine.
pub fn tenant(configuration: &Configuration) -> Result<TenantId, Failure> {
    match &configuration.tenant {
        Some(tenant) => Ok(tenant.parse()?),
        None => kept_tenant(&configuration.folder),
    }
}

/// That of whoever named none: made once, and kept beside what is its.
fn kept_tenant(folder: &Path) -> Result<TenantId, Failure> {
    let file = folder.join("tenant");
    if let Ok(text) = std::fs::read_to_string(&file) {
        return Ok(text.trim().parse()?);
    }
    let tenant = TenantId::from_uuid(UuidV7Generator::new().next());
    std::fs::create_dir_all(folder)?;
    std::fs::write(&file, tenant.to_string())?;
    Ok(tenant)
}
