//! A service scales with its load, out and back.

use std::time::Instant;

use factory_runtime::domain::scaling::{
    Cooldown, PolicySpec, PolicyTerms, ReplicaBounds, ScalingMetric, ScalingRule, Stabilisation,
};
use factory_runtime::domain::value::{Measure, Replicas};
use factory_runtime::prelude::*;
use factory_runtime::services::scaling::NewScalingPolicy;

use crate::Failure;
use crate::load::Load;
use crate::stage::{Stage, WEB};
use crate::story::Told;

/// Requests per second that one replica is to carry.
const CARRIED: i64 = 20;
const MOST: u16 = 3;
const BUSY: u64 = 60;
const QUIET: u64 = 5;

/// A service under way from its least to its most replicas.
pub struct Scaled<'s> {
    stage: &'s Stage,
    environment: EnvironmentId,
    begun: Instant,
    load: Load,
}

/// Sends more to the environment than its replicas are to carry.
pub async fn begin(stage: &Stage, environment: EnvironmentId) -> Result<Scaled<'_>, Failure> {
    println!(
        "\nscaling in staging by requests, from 1 to {MOST} replicas with {CARRIED} a second each; it goes on beside the rest"
    );
    let load = Load::begin(&stage.endpoint(environment, WEB).await?, BUSY);
    let bounds = ReplicaBounds::new(SurfaceKind::Process, 1, Replicas::new(MOST)?)?;
    let rule = ScalingRule::new(ScalingMetric::RequestRate, Measure::from_micros(CARRIED * 1_000_000));
    let terms = PolicyTerms {
        stabilisation: Stabilisation { scale_out: Span::ZERO, scale_in: Span::ZERO },
        cooldown_seconds: Cooldown::from_secs(0)?,
        ..PolicyTerms::new(bounds, [rule])
    };
    let wanted = NewScalingPolicy { environment, module: Name::new(WEB)?, policy: PolicySpec::new(terms)? };
    stage.runtime().scaling().apply(stage.scope(), wanted).await?;
    Ok(Scaled { stage, environment, begun: Instant::now(), load })
}

impl Scaled<'_> {
    async fn has(&self, replicas: u16) -> Result<(), Failure> {
        let ready = async || Ok(self.stage.ready(self.environment, WEB).await? == replicas);
        self.stage.wait(&format!("{replicas} replicas were not there"), ready).await.map(drop)
    }

    /// Waits until there are as many as may be, and sends less from then on.
    pub async fn until_out(&self) -> Result<(), Failure> {
        self.has(MOST).await?;
        println!("\nscaling: {MOST} replicas in staging now; from here on {QUIET} requests a second");
        self.load.change_rate(QUIET);
        Ok(())
    }

    /// Waits until there is one again.
    pub async fn until_back(self) -> Result<Told, Failure> {
        println!("\nscaling: waiting for the quiet to be noticed");
        self.has(1).await?;
        let scaling = self.stage.runtime().scaling();
        if let Some(policy) =
            scaling.policy_of(self.stage.scope(), self.environment, &Name::new(WEB)?).await?
        {
            let why = scaling.explain(self.stage.scope(), policy.id()).await?;
            println!("   {}", why.evaluated.map(|(_, why)| why).unwrap_or_default());
        }
        let took = self.begun.elapsed();
        let counted = self.load.end().await;
        let verdict = format!("{MOST} replicas under load, 1 after it");
        Ok(Told { act: "scaled out and back".to_owned(), took, counted, verdict, held: counted.failed == 0 })
    }
}
