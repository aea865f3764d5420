//! What serves in one environment comes to the next, as it is, once somebody else has agreed.

use std::time::Instant;

use factory_runtime::domain::promotion::{PromotionPolicy, Upstreams};
use factory_runtime::prelude::*;
use factory_runtime::services::promotion::Promotion;

use crate::Failure;
use crate::load::{Counted, get};
use crate::progress::follow;
use crate::stage::{Stage, WEB};
use crate::story::Told;

const APPROVER: &str = "ann";

/// Promotes what serves to an environment of the next stage; which that is.
pub async fn promote(stage: &Stage) -> Result<(Told, EnvironmentId), Failure> {
    println!("\npromotion from dev to staging");
    let begun = Instant::now();
    let staging =
        stage.provision("quickstart-staging", EnvironmentStage::Staging, IsolationModel::Silo).await?;
    let policy = PromotionPolicy::new([stage.dev()].into(), Upstreams::All, Span::from_secs(5))?;
    let policy = policy.approved_by(1, [Actor::new(APPROVER)?].into())?;
    let environments = stage.runtime().environments();
    environments.change_promotion_policy(stage.scope(), staging, Some(policy)).await?;

    let promotion = Promotion { from: stage.dev(), to: staging, modules: [].into() };
    let promotions = stage.runtime().promotion();
    let standing = promotions.explain(stage.scope(), &promotion).await?;
    for missing in &standing.missing {
        println!("   not yet: {missing}");
    }
    let may_come = async || Ok(promotions.explain(stage.scope(), &promotion).await?.may_come());
    stage.wait("the release may not come", may_come).await?;
    println!("   it may come, with {} approval, by {APPROVER}", standing.approvals);
    let asked = promotions.promote(stage.scope(), &promotion).await?.aggregate.id();
    let deployments = stage.runtime().deployments();
    let own = deployments.approve(stage.scope(), asked, Name::new(PromotionPolicy::GATE)?).await;
    println!(
        "   whoever asks for it may not agree to it: {}",
        if own.is_err() { "refused" } else { "accepted" }
    );
    deployments.approve(&stage.scope_of(APPROVER)?, asked, Name::new(PromotionPolicy::GATE)?).await?;
    let ended = follow(stage, asked).await?;

    let answer = get(&stage.endpoint(staging, WEB).await?).await?;
    let is_same = ended
        .release()
        .components
        .values()
        .zip(images(stage).await?)
        .all(|(component, image)| component.tuple.image.digest().to_string() == image);
    let held =
        ended.status() == DeploymentStatus::Completed && own.is_err() && is_same && answer.contains("4.0.0");
    let verdict = format!("{} with the same digests, approved by {APPROVER}", ended.status().name());
    let told = Told {
        act: "promotion to staging".to_owned(),
        took: begun.elapsed(),
        counted: Counted::default(),
        verdict,
        held,
    };
    Ok((told, staging))
}

/// The digests that serve in the environment before.
async fn images(stage: &Stage) -> Result<Vec<String>, Failure> {
    let services = stage.runtime().inventory().services(stage.scope(), stage.dev()).await?;
    Ok(services.iter().map(|service| service.version().image.digest().to_string()).collect())
}
