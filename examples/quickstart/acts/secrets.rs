//! A component is given a secret, which is then rotated in two phases while it serves.

use std::time::Instant;

use factory_runtime::domain::id::SecretBindingId;
use factory_runtime::domain::secrets::{
    KeyVaultReference, ManagedIdentityRef, RotationSchedule, SecretStatus,
};
use factory_runtime::ports::secret_store::{SecretAccess, SecretStore as _};
use factory_runtime::prelude::*;
use factory_runtime::services::secrets::{NewSecretBinding, RotationRequest};

use crate::Failure;
use crate::load::{Load, get};
use crate::stage::{Stage, WEB};
use crate::story::Told;

/// How long the old version stays valid once everybody was seen on the new one.
const GRACE: Span = Span::from_secs(1);

fn secret() -> Result<KeyVaultReference, Failure> {
    Ok("local://main/password".parse()?)
}

fn identity() -> Result<ManagedIdentityRef, Failure> {
    Ok("local:web".parse()?)
}

/// Puts a password into the vault and binds the component to it, which gets it with its next revision.
pub async fn bind(stage: &Stage) -> Result<SecretBindingId, Failure> {
    println!("\nbinding a secret");
    let tenant = stage.scope().tenant();
    let put = stage.vault().put(tenant, &secret()?, &[identity()?], b"correct horse battery staple").await?;
    println!("   the vault has version {put}; `{WEB}` gets it as a file with its next revision");
    let wanted = NewSecretBinding {
        environment: stage.dev(),
        module: Name::new(WEB)?,
        secret: format!("{}/{put}", secret()?).parse()?,
        identity: identity()?,
        delivery: "file:password".parse()?,
        rotation_schedule: RotationSchedule::new(None, GRACE)?,
    };
    Ok(stage.runtime().secrets().bind(stage.scope(), wanted).await?.aggregate.id())
}

/// Rotates it under load.
pub async fn rotate(stage: &Stage, load: &Load, binding: SecretBindingId) -> Result<Told, Failure> {
    println!("\nrotating the secret");
    let (begun, before) = (Instant::now(), load.counted());
    let secrets = stage.runtime().secrets();
    let old = secrets.binding(stage.scope(), binding).await?.current_version();
    secrets.rotate(stage.scope(), binding, RotationRequest::because("the quickstart shows it")).await?;
    let status = async || Ok::<_, Failure>(secrets.binding(stage.scope(), binding).await?.state().status());
    let in_grace = async || Ok(matches!(status().await?, SecretStatus::Grace | SecretStatus::Bound));
    let after = stage.wait("the new version was not seen with every consumer", in_grace).await?;
    println!(
        "   every replica was seen on the new version after {:.1}s; the old one stays valid for {GRACE}",
        after.as_secs_f64()
    );
    let bound = async || Ok(status().await? == SecretStatus::Bound);
    stage.wait("the rotation did not end", bound).await?;
    let new = secrets.binding(stage.scope(), binding).await?.current_version();
    let access = SecretAccess { tenant: stage.scope().tenant(), identity: identity()? };
    let versions = stage.vault().versions(&access, &secret()?).await?;
    let retired: Vec<_> = versions.iter().filter(|it| it.is_retired).map(|it| it.version).collect();
    println!("   version {new} is the current one, version {old} is retired");
    let answer = get(&stage.endpoint(stage.dev(), WEB).await?).await?;
    let counted = load.counted().since(before);
    Ok(Told {
        act: "a secret rotated".to_owned(),
        took: begun.elapsed(),
        counted,
        verdict: format!("version {new} with every replica, version {old} retired"),
        held: new != old && retired == [old] && answer.contains("knows its password") && counted.failed == 0,
    })
}
