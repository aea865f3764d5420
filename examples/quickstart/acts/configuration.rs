//! A change of configuration alone, through the same gates as a change of code.

use std::time::Instant;

use factory_runtime::domain::configuration::{
    ConfigScope, ConfigurationEntries, ConfigurationEntry, ConfigurationState, ConfigurationValue, EntryKey,
};
use factory_runtime::services::configuration::Synchronise;

use crate::Failure;
use crate::load::{Load, get};
use crate::progress::follow;
use crate::stage::{Stage, WEB};
use crate::story::Told;

const GREETING: &str = "good evening";

/// Publishes another greeting and brings it to what runs.
pub async fn publish(stage: &Stage, load: &Load) -> Result<Told, Failure> {
    println!("\npublishing configuration");
    let (begun, before) = (Instant::now(), load.counted());
    let configurations = stage.runtime().configuration();
    let entries = ConfigurationEntries::new(vec![ConfigurationEntry {
        scope: ConfigScope::Environment,
        key: EntryKey::new("GREETING")?,
        value: ConfigurationValue::Text(GREETING.to_owned()),
    }])?;
    let published = configurations.publish(stage.scope(), stage.dev(), entries).await?.aggregate;
    println!("   version {} is {}", published.version(), published.checksum());
    let wanted = Synchronise::to(published.id());
    let begun_now = configurations.synchronise(stage.scope(), stage.dev(), wanted).await?;
    for deployment in &begun_now.deployments {
        follow(stage, deployment.aggregate.id()).await?;
    }
    let synced = async || {
        let found = configurations.configuration(stage.scope(), published.id()).await?;
        Ok(matches!(found.state(), ConfigurationState::Synced(_)))
    };
    stage.wait("the configuration was not seen with its consumers", synced).await?;
    let answer = get(&stage.endpoint(stage.dev(), WEB).await?).await?;
    println!("   {answer}");
    let counted = load.counted().since(before);
    Ok(Told {
        act: "configuration published".to_owned(),
        took: begun.elapsed(),
        counted,
        verdict: format!("version {} seen with every consumer", published.version()),
        held: answer.starts_with(GREETING) && counted.failed == 0,
    })
}
